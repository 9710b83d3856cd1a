//! Building: from targets to valid outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use picnix_fetch::Mirrors;
use picnix_sandbox::{HostPath, Limits};
use picnix_store::Store;
use picnix_store_core::{Derivation, OutputName, StorePath};

use crate::builtin::Builtins;
use crate::cache::{CacheError, Offers, Substituters, Wanted};
use crate::cancel::Cancel;
use crate::error::{Error, Failure, FailureKinds, StepError};
use crate::hashes::check_paths;
use crate::observer::{Event, Observer, StepKind};
use crate::plan::{CopyStep, Plan, PlanCounts, Purpose, Recipes, Target, copy_steps};
use crate::remote::{Dispatcher, Machine};
use crate::schedule::{self, Lane, Node, Outcome, Policy};
use crate::space::Space;
use crate::step::{Run, wait_for_locks};

/// How many steps may wait for a machine without keeping others from theirs.
const WAITING_STEPS: usize = 16;
/// The most threads that build, whatever the settings say.
const MAX_BUILD_THREADS: usize = 1024;

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
    /// Other machines that build.
    pub machines: Vec<Machine>,
    /// Whether these may copy inputs from caches that they know.
    pub machines_substitute: bool,
    /// When a builder is stopped.
    pub limits: Limits,
    /// What builders see of the host besides.
    pub host_paths: Vec<HostPath>,
    /// What `mirror://` URLs stand for.
    pub mirrors: Mirrors,
    /// How patient downloads are.
    pub fetch: picnix_fetch::Config,
    /// The caller's environment, of which fixed-output builds see what their `impureEnvVars` name.
    pub caller_env: BTreeMap<String, String>,
    /// A program that is run after each build.
    pub post_build_hook: Option<PathBuf>,
    /// When garbage is collected before something is built.
    pub space: Arc<Space>,
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
            machines: Vec::new(),
            machines_substitute: false,
            limits: Limits::default(),
            host_paths: Vec::new(),
            mirrors: Mirrors { public: true, ..Mirrors::default() },
            fetch: picnix_fetch::Config::default(),
            caller_env: BTreeMap::new(),
            post_build_hook: None,
            space: Arc::default(),
        }
    }
}

impl BuildConfig {
    /// How many threads run steps: one for each place where something may be built, and some that
    /// hold steps for which no place is free, so that steps behind these find their places.
    fn build_threads(&self) -> usize {
        let elsewhere: usize = self.machines.iter().map(|machine| machine.jobs).sum();
        let waiting = if elsewhere == 0 { 0 } else { WAITING_STEPS };
        self.jobs.saturating_add(elsewhere).min(MAX_BUILD_THREADS) + waiting
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
    /// The binary caches to copy from, if any.
    pub substituters: Option<&'a Substituters>,
}

/// The outputs asked for, all valid now, by derivation.
pub type Built = BTreeMap<StorePath, Arc<BTreeMap<OutputName, StorePath>>>;

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

/// A store, and what caches have.
struct Sourced<'a> {
    store: &'a Store,
    substituters: &'a Substituters,
    warn: &'a (dyn Fn(&str) + Sync),
}

impl Recipes for Sourced<'_> {
    fn derivation(&self, drv_path: &StorePath) -> Result<Arc<Derivation>, Error> {
        Recipes::derivation(self.store, drv_path)
    }

    fn valid_among(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error> {
        Recipes::valid_among(self.store, paths)
    }

    fn offers(&self, wanted: &[Wanted<'_>]) -> Result<Offers, Error> {
        let Some(first) = wanted.first() else { return Ok(Offers::new()) };
        let offers = self.substituters.offers(self.store, wanted, self.warn);
        offers.map_err(|error| no_copy(first.drv_path, error))
    }
}

fn no_copy(path: &StorePath, reason: CacheError) -> Error {
    match reason {
        CacheError::Store(error) => error.into(),
        CacheError::Interrupted => Error::Interrupted,
        reason => Error::Copy { path: path.clone(), reason: Box::new(reason) },
    }
}

impl Builder<'_> {
    /// What would have to be done.
    ///
    /// # Errors
    /// Where a derivation is missing, malformed or of a kind that cannot be built.
    pub fn plan(&self, targets: &[Target]) -> Result<Plan, Error> {
        self.store.add_temp_roots(targets.iter().map(|target| &target.drv_path))?;
        let (store_dir, purpose) = (self.store.store_dir(), self.config.purpose);
        let warn = |message: &str| self.observer.event(&Event::Warning { message });
        match self.substituters {
            None => Plan::make(self.store, store_dir, targets, purpose),
            Some(substituters) => {
                let sourced = Sourced { store: self.store, substituters, warn: &warn };
                Plan::make(&sourced, store_dir, targets, purpose)
            }
        }
    }

    /// Makes outputs valid. What a cache promised and cannot deliver is planned for once more,
    /// without that promise; there are fewer each time.
    ///
    /// # Errors
    /// [`Error::Failed`] with the first step that failed; [`Error::Interrupted`]. What other steps
    /// made stays valid.
    pub fn build(&self, targets: &[Target]) -> Result<Built, Error> {
        loop {
            let plan = self.plan(targets)?;
            check_paths(self.store, &plan.steps)?;
            match self.carry_out(&plan) {
                Ok(()) => return Ok(plan.wanted),
                Err(Error::Copy { path, reason }) if !reason.is_local() => {
                    let message = format!("cannot copy '{path}': {reason}");
                    self.observer.event(&Event::Warning { message: &message });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes paths valid by copying their closures from the caches.
    ///
    /// # Errors
    /// [`Error::Copy`] where no cache has one of them, or cannot deliver; [`Error::Interrupted`].
    pub fn copy(&self, paths: &BTreeSet<StorePath>) -> Result<(), Error> {
        let valid = Recipes::valid_among(self.store, paths)?;
        self.copy_all(&paths.difference(&valid).cloned().collect(), false)
    }

    /// Copies a valid path once more, into the place of what is there.
    ///
    /// # Errors
    /// As [`Builder::copy`].
    pub(crate) fn copy_again(&self, path: &StorePath) -> Result<(), Error> {
        self.store.add_temp_roots([path])?;
        self.copy_all(&BTreeSet::from([path.clone()]), true)
    }

    fn copy_all(
        &self,
        wanted: &BTreeSet<StorePath>,
        replaces: bool,
    ) -> Result<(), Error> {
        let missing = |path: &StorePath| no_copy(path, CacheError::Missing(path.clone()));
        let Some(first) = wanted.first() else { return Ok(()) };
        let substituters = self.substituters.ok_or_else(|| missing(first))?;
        let warn = |message: &str| self.observer.event(&Event::Warning { message });
        let offers = substituters.offers_of_paths(self.store, wanted, &warn);
        let offers = offers.map_err(|error| no_copy(first, error))?;
        if let Some(path) = wanted.iter().find(|path| !offers.contains_key(*path)) {
            return Err(missing(path));
        }
        let mut copies = copy_steps(&offers)?;
        for copy in &mut copies {
            copy.replaces = replaces && wanted.contains(&copy.offer.info.path);
        }
        self.carry_out(&Plan { copies, steps: Vec::new(), wanted: BTreeMap::new() })
    }

    /// Does what a plan says.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn carry_out(&self, plan: &Plan) -> Result<(), Error> {
        let counts = plan.counts();
        let PlanCounts { builds, fetches, copies } = counts;
        self.observer.event(&Event::Planned { builds, fetches, copies });
        let nodes = nodes_of(plan);
        let dispatcher =
            (!self.config.machines.is_empty()).then(|| Dispatcher::new(self.config));
        let policy = Policy {
            build_threads: self.config.build_threads(),
            fetch_threads: self.config.fetch_jobs,
            keep_going: self.config.keep_going,
        };
        // Stops everything that runs: when the caller asks for it, and when a step has failed.
        let stop = Cancel::new();
        let inner = stop.clone();
        let forwarded = self.cancel.on_cancel(move || inner.cancel());
        let outcome =
            schedule::run(&nodes, policy, &stop, &|index| match plan.copies.get(index) {
                Some(copy) => self.run_copy(copy, &stop),
                None => {
                    let step = &plan.steps[index - copies];
                    self.run_step(step, dispatcher.as_ref(), &stop)
                }
            });
        drop(forwarded);
        self.judge(plan, &nodes, outcome)
    }

    fn run_step(
        &self,
        step: &crate::plan::Step,
        dispatcher: Option<&Dispatcher<'_>>,
        stop: &Cancel,
    ) -> Result<(), StepError> {
        let Self { store, config, builtins, observer, .. } = *self;
        let run =
            Run { store, config, builtins, observer, cancel: stop, step, dispatcher };
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

    /// Copies an object, unless it has become valid. A failure stops nothing that runs: what was
    /// to be copied is built instead.
    fn run_copy(&self, copy: &CopyStep, stop: &Cancel) -> Result<(), StepError> {
        let CopyStep { offer, replaces, .. } = copy;
        let path = &offer.info.path;
        let Some(substituters) = self.substituters else {
            return Err(StepError::Copy(Box::new(CacheError::Missing(path.clone()))));
        };
        let started = Instant::now();
        self.store.add_temp_roots([path])?;
        self.config.space.keep(self.store, self.observer);
        let locks = wait_for_locks(self.store, [path], stop, &|| {
            self.observer.event(&Event::Waiting { drv_path: path });
        })?;
        if *replaces || !self.store.is_valid(path)? {
            self.observer.event(&Event::Started { drv_path: path, kind: StepKind::Copy });
            let progress = |done_bytes, total_bytes| {
                let drv_path = path;
                self.observer.event(&Event::Progress {
                    drv_path,
                    done_bytes,
                    total_bytes,
                });
            };
            let warn = |message: &str| self.observer.event(&Event::Warning { message });
            let (store, replaces) = (self.store, *replaces);
            let copied =
                substituters.copy(store, offer, replaces, stop, &progress, &warn);
            if let Err(error) = copied {
                if matches!(error, CacheError::Interrupted) {
                    return Err(StepError::Interrupted);
                }
                let message = &*error.to_string();
                self.observer.event(&Event::Failed { drv_path: path, message });
                return Err(StepError::Copy(Box::new(error)));
            }
        }
        drop(locks);
        let (outputs, duration) = (&BTreeMap::new(), started.elapsed());
        self.observer.event(&Event::Finished { drv_path: path, outputs, duration });
        Ok(())
    }

    fn judge(
        &self,
        plan: &Plan,
        nodes: &[Node],
        outcome: Outcome<StepError>,
    ) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let copies = plan.copies.len();
        let mut first = None;
        let mut others = Vec::new();
        let mut copy_failed = None;
        let mut kinds = FailureKinds::default();
        for (index, reason) in outcome.failures {
            kinds.add(&reason);
            match (reason, plan.copies.get(index)) {
                (StepError::Interrupted, _) => {}
                (StepError::Copy(reason), Some(copy)) => {
                    let path = copy.offer.info.path.clone();
                    copy_failed.get_or_insert(Error::Copy { path, reason });
                }
                (StepError::Store(error), Some(_)) => return Err(Error::Store(error)),
                (reason, _) if first.is_none() => first = Some((index, reason)),
                (..) => others.push(plan.steps[index - copies].drv_path.clone()),
            }
        }
        let Some((index, reason)) = first else {
            return match copy_failed {
                Some(error) => Err(error),
                None if outcome.not_run == 0 => Ok(()),
                None => Err(Error::Interrupted),
            };
        };
        let drv_path = plan.steps[index - copies].drv_path.clone();
        Err(Error::Failed(Box::new(Failure {
            drv: self.store.store_dir().print(&drv_path),
            drv_path,
            place: None,
            reason,
            dependents: schedule::count_dependents(nodes, index),
            others,
            kinds,
        })))
    }
}

/// A plan as the scheduler sees it: first the copies, then the steps.
fn nodes_of(plan: &Plan) -> Vec<Node> {
    let copies = plan.copies.len();
    let copying = plan
        .copies
        .iter()
        .map(|copy| Node { lane: Lane::Fetch, needs: copy.needs.clone() });
    let steps = plan.steps.iter().map(|step| {
        let lane = match step.kind {
            StepKind::Fetch | StepKind::Copy => Lane::Fetch,
            StepKind::Builtin | StepKind::Box => Lane::Build,
        };
        let needs = step.needs.iter().map(|need| need + copies);
        Node { lane, needs: needs.chain(step.needs_copies.iter().copied()).collect() }
    });
    copying.chain(steps).collect()
}
