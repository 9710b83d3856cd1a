//! Building: from targets to valid outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picnix_fetch::Mirrors;
use picnix_sandbox::Limits;
use picnix_store::Store;
use picnix_store_core::{Derivation, OutputName, StorePath};

use crate::builtin::Builtins;
use crate::cancel::Cancel;
use crate::error::{Error, Failure, StepError};
use crate::observer::{Event, Observer, StepKind};
use crate::plan::{Plan, Purpose, Recipes, Target};
use crate::schedule::{self, Lane, Node, Outcome, Policy};
use crate::step::Run;

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildConfig {
    /// How many builds run at a time.
    pub jobs: usize,
    /// How many downloads run at a time.
    pub fetch_jobs: usize,
    /// How many processors a build may use.
    pub cores: usize,
    /// Whether what does not need a failed derivation is still built.
    pub keep_going: bool,
    /// Whether the build directory of a failed build is kept, and an output that differs from the
    /// one it is compared with; in `nix/var/picnix/failed` of the store.
    pub keep_failed: bool,
    /// Whether to build what is valid already, and compare.
    pub purpose: Purpose,
    /// The systems whose builders this machine runs, its own first.
    pub systems: Vec<String>,
    /// What this machine is able to do (`requiredSystemFeatures`).
    pub features: BTreeSet<String>,
    /// When a builder is stopped.
    pub limits: Limits,
    /// What `mirror://` URLs stand for.
    pub mirrors: Mirrors,
    /// How patient downloads are.
    pub fetch: picnix_fetch::Config,
    /// The caller's environment, of which fixed-output builds see what their `impureEnvVars` name.
    pub caller_env: BTreeMap<String, String>,
}

impl BuildConfig {
    /// How to build on a machine of this system with this many processors.
    #[must_use]
    pub fn new(system: &str, cores: usize) -> Self {
        let features = ["benchmark", "big-parallel", "nixos-test"];
        Self {
            jobs: cores,
            fetch_jobs: 8,
            cores,
            keep_going: false,
            keep_failed: false,
            purpose: Purpose::Realise,
            systems: vec![system.to_owned()],
            features: features.map(str::to_owned).into(),
            limits: Limits::default(),
            mirrors: Mirrors { public: true, ..Mirrors::default() },
            fetch: picnix_fetch::Config::default(),
            caller_env: BTreeMap::new(),
        }
    }
}

/// Builds in a store.
pub struct Builder<'a> {
    /// The store.
    pub store: &'a Store,
    /// How to build.
    pub config: &'a BuildConfig,
    /// The builders inside this program.
    pub builtins: &'a Builtins,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// The caller's request to stop.
    pub cancel: &'a Cancel,
}

/// The outputs asked for, all valid now, by derivation.
pub type Built = BTreeMap<StorePath, BTreeMap<OutputName, StorePath>>;

impl Recipes for Store {
    fn derivation(&self, drv_path: &StorePath) -> Result<Arc<Derivation>, Error> {
        self.read_derivation(drv_path).map_err(|source| {
            let drv_path = drv_path.clone();
            Error::Derivation { drv_path, source: Box::new(source) }
        })
    }

    fn valid_among(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error> {
        // A path that is found valid must stay so until the build has used it.
        self.add_temp_roots(paths)?;
        Ok(Self::valid_among(self, paths)?)
    }
}

impl Builder<'_> {
    /// What would have to be done.
    ///
    /// # Errors
    /// Where a derivation is missing, malformed or of a kind that cannot be built.
    pub fn plan(&self, targets: &[Target]) -> Result<Plan, Error> {
        self.store.add_temp_roots(targets.iter().map(|target| &target.drv_path))?;
        Plan::make(self.store, self.store.store_dir(), targets, self.config.purpose)
    }

    /// Makes outputs valid.
    ///
    /// # Errors
    /// [`Error::Failed`] with the first step that failed; [`Error::Interrupted`]. What other steps
    /// made stays valid.
    pub fn build(&self, targets: &[Target]) -> Result<Built, Error> {
        let plan = self.plan(targets)?;
        self.carry_out(&plan)?;
        Ok(plan.wanted)
    }

    /// Does what a plan says.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn carry_out(&self, plan: &Plan) -> Result<(), Error> {
        let counts = plan.counts();
        let (builds, fetches) = (counts.builds, counts.fetches);
        self.observer.event(&Event::Planned { builds, fetches });
        let nodes: Vec<Node> = plan
            .steps
            .iter()
            .map(|step| {
                let lane = match step.kind {
                    StepKind::Fetch => Lane::Fetch,
                    StepKind::Builtin | StepKind::Box => Lane::Build,
                };
                Node { lane, needs: step.needs.clone() }
            })
            .collect();
        let policy = Policy {
            build_threads: self.config.jobs,
            fetch_threads: self.config.fetch_jobs,
            keep_going: self.config.keep_going,
        };
        // Stops everything that runs: when the caller asks for it, and when a step has failed.
        let stop = Cancel::new();
        let inner = stop.clone();
        let forwarded = self.cancel.on_cancel(move || inner.cancel());
        let outcome = schedule::run(&nodes, policy, &stop, &|index| {
            self.run_step(&plan.steps[index], &stop)
        });
        drop(forwarded);
        self.judge(plan, &nodes, outcome)
    }

    fn run_step(&self, step: &crate::plan::Step, stop: &Cancel) -> Result<(), StepError> {
        let Self { store, config, builtins, observer, .. } = *self;
        let run = Run { store, config, builtins, observer, cancel: stop, step };
        let result = run.run();
        if let Err(error) = &result
            && !matches!(error, StepError::Interrupted)
        {
            let (drv_path, message) = (&step.drv_path, &*error.to_string());
            self.observer.event(&Event::Failed { drv_path, message });
            if !self.config.keep_going {
                stop.cancel();
            }
        }
        result
    }

    fn judge(
        &self,
        plan: &Plan,
        nodes: &[Node],
        outcome: Outcome<StepError>,
    ) -> Result<(), Error> {
        let failures = outcome.failures.into_iter();
        let mut failures =
            failures.filter(|(_, error)| !matches!(error, StepError::Interrupted));
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let Some((index, reason)) = failures.next() else {
            return if outcome.not_run == 0 { Ok(()) } else { Err(Error::Interrupted) };
        };
        let drv_path = plan.steps[index].drv_path.clone();
        Err(Error::Failed(Box::new(Failure {
            drv: self.store.store_dir().print(&drv_path),
            drv_path,
            reason,
            dependents: schedule::count_dependents(nodes, index),
            others: failures
                .map(|(index, _)| plan.steps[index].drv_path.clone())
                .collect(),
        })))
    }
}
