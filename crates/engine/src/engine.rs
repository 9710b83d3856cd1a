//! The engine: a configuration, a store that is opened when it is needed, and builders.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;

use picnix_build::cache::Substituters;
use picnix_build::{
    BuildConfig, Builder, Builtins, Cancel, Observer, Outputs, Plan, Purpose, Target,
};
use picnix_fetch::{Mirrors, Proxies};
use picnix_store::{Store, StoreConfig};
use picnix_store_core::{OutputName, StorePath};

use crate::{Config, Error};

/// How things are built, as far as the user has a say.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// How many builds run at a time; none means the number of processors.
    pub jobs: Option<usize>,
    /// Keep the build directory of a build that fails.
    pub keep_failed: bool,
    /// Build what does not need a failed derivation.
    pub keep_going: bool,
    /// Build what is valid once more, and compare.
    pub check: bool,
}

/// Everything that evaluation and building need of this machine.
pub struct Engine {
    /// The settings.
    pub config: Config,
    build_config: BuildConfig,
    builtins: Builtins,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: Cancel,
    store: OnceCell<Store>,
    pub(crate) substituters: OnceCell<Option<Substituters>>,
    /// How to build on other machines too, from when something is built.
    dispatching: OnceCell<BuildConfig>,
}

impl Engine {
    /// Makes an engine. Nothing is opened or read yet.
    #[must_use]
    pub fn new(
        config: Config,
        options: &BuildOptions,
        observer: Arc<dyn Observer>,
        cancel: Cancel,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut build_config = BuildConfig::new(&config.system, cores);
        build_config.jobs = options.jobs.unwrap_or(cores);
        build_config.keep_failed = options.keep_failed;
        build_config.keep_going = options.keep_going;
        if options.check {
            build_config.purpose = Purpose::Check;
        }
        build_config.mirrors = mirrors(&config);
        build_config.fetch.proxies = Proxies::from_lookup(&|name| {
            config.var(name).and_then(|value| value.into_string().ok())
        });
        build_config.caller_env = config
            .env
            .iter()
            .filter_map(|(name, value)| {
                Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
            })
            .collect();
        let builtins = crate::builders::registry();
        Self {
            config,
            build_config,
            builtins,
            observer,
            cancel,
            store: OnceCell::new(),
            substituters: OnceCell::new(),
            dispatching: OnceCell::new(),
        }
    }

    /// The store; opened, and made if there is none, when it is first asked for.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let mut config = StoreConfig::new(&self.config.store_root);
        config.store_dir = self.config.store_dir.clone();
        config.auto_optimise = self.config.settings.auto_optimise()?;
        let store = Store::open(config)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// What would have to be done for derivations to be valid.
    ///
    /// # Errors
    /// A derivation cannot be read or built at all.
    pub fn plan(&self, targets: &[Target]) -> Result<Plan, Error> {
        Ok(self.builder()?.plan(targets)?)
    }

    /// Makes derivations valid and returns the paths of the outputs asked for.
    ///
    /// # Errors
    /// A build fails.
    pub fn build(&self, targets: &[Target]) -> Result<picnix_build::Built, Error> {
        Ok(self.builder()?.build(targets)?)
    }

    /// What downloads need: mirrors, patience, and whether to go on.
    pub(crate) fn network(&self) -> (&Mirrors, &picnix_fetch::Config, &Cancel) {
        (&self.build_config.mirrors, &self.build_config.fetch, &self.cancel)
    }

    pub(crate) fn builder(&self) -> Result<Builder<'_>, Error> {
        self.builder_with(self.substituters()?)
    }

    pub(crate) fn builder_with<'a>(
        &'a self,
        substituters: Option<&'a Substituters>,
    ) -> Result<Builder<'a>, Error> {
        Ok(Builder {
            store: self.store()?,
            config: self.dispatching()?,
            builtins: &self.builtins,
            observer: &*self.observer,
            cancel: &self.cancel,
            substituters,
        })
    }

    /// How to build, other machines included.
    fn dispatching(&self) -> Result<&BuildConfig, Error> {
        if let Some(config) = self.dispatching.get() {
            return Ok(config);
        }
        let mut config = self.build_config.clone();
        let ssh_options = self.config.var("NIX_SSHOPTS").unwrap_or_default();
        let ssh_options = ssh_options.to_string_lossy();
        let machines = self.config.settings.machines(&config.systems, &ssh_options)?;
        (config.machines, config.machines_substitute) = machines;
        config.limits = self.config.settings.limits()?;
        config.host_paths = self.config.settings.sandbox_paths()?;
        config.cores = self.config.settings.cores()?.unwrap_or(config.cores);
        Ok(self.dispatching.get_or_init(|| config))
    }

    /// How many builds run at a time.
    pub(crate) fn jobs(&self) -> usize {
        self.build_config.jobs
    }
}

/// One output of a derivation, as a target.
#[must_use]
pub fn target(
    drv_path: StorePath,
    outputs: impl IntoIterator<Item = OutputName>,
) -> Target {
    let outputs: BTreeSet<OutputName> = outputs.into_iter().collect();
    Target { drv_path, outputs: Outputs::Some(outputs) }
}

/// Where `mirror://debian` leads: what the configuration names, then the machine's own sources.
fn mirrors(config: &Config) -> Mirrors {
    let configured = config.var("PICNIX_DEBIAN_MIRRORS").unwrap_or_default();
    let configured = configured.to_string_lossy();
    let debian: Vec<String> = configured.split_whitespace().map(str::to_owned).collect();
    let apt = picnix_fetch::read_apt_sources(std::path::Path::new("/"));
    let configured = [("debian".to_owned(), debian)].into();
    Mirrors { configured, apt, snapshot: None, public: true }
}
