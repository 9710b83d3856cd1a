//! The engine: a configuration, a store that is opened when it is needed, and builders.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;

use picnix_build::cache::Substituters;
use picnix_build::{
    BuildConfig, Builder, Builtins, Cancel, Observer, Outputs, Plan, Purpose, Repairs,
    Target,
};
use picnix_fetch::{Mirrors, Proxies};
use picnix_store::{Access, Contents, Store, StoreConfig, VerifyReport};
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
    /// What is done about what is valid already.
    pub purpose: Purpose,
}

/// Everything that evaluation and building need of this machine.
pub struct Engine {
    /// The settings.
    pub config: Config,
    build_config: BuildConfig,
    repairs: bool,
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
        if options.purpose == Purpose::Check {
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
            repairs: options.purpose == Purpose::Repair,
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
        config.secret_key_files = self.config.settings.secret_key_files();
        let reading = StoreConfig { access: Access::ReadOnly, ..config.clone() };
        let store = match Store::open(config) {
            // What is there can be read, at least.
            Err(error) if error.forbids_writing() => {
                Store::open(reading).map_err(|_| error)?
            }
            other => other?,
        };
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
        let builder = self.builder()?;
        Ok(match self.repairs {
            true => builder.build_repaired(targets)?,
            false => builder.build(targets)?,
        })
    }

    /// Repairs what a verification of the store found.
    ///
    /// # Errors
    /// The user asks to stop, or the store cannot be asked.
    pub fn repair_found(
        &self,
        report: &VerifyReport,
        contents: Contents,
    ) -> Result<Repairs, Error> {
        Ok(self.builder()?.repair_found(report, contents)?)
    }

    /// Repairs those of some valid paths that are damaged.
    ///
    /// # Errors
    /// One of them cannot be repaired.
    pub fn repair(&self, paths: &BTreeSet<StorePath>) -> Result<(), Error> {
        let repairs = self.builder()?.repair(paths)?;
        repairs.failed.into_values().next().map_or(Ok(()), |error| Err(error.into()))
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
        config.post_build_hook = self.config.settings.post_build_hook();
        config.space = Arc::new(self.config.settings.space()?);
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
