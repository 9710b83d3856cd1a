//! One step from its locks to its valid outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use picnix_sandbox::{BoxSpec, Exit, Input, Limits, Network, Status};
use picnix_store::{PathLocks, Store};
use picnix_store_core::{Derivation, DerivationKind, OutputName, StorePath};

use crate::build::BuildConfig;
use crate::builtin::{BuiltinContext, BuiltinOutput, Builtins};
use crate::cancel::Cancel;
use crate::environment::{Environment, Sources};
use crate::error::StepError;
use crate::lock::lock;
use crate::logs::{LogWriter, log_path};
use crate::observer::{Event, Observer, StepKind};
use crate::options::Options;
use crate::outputs::Made;
use crate::plan::{Purpose, Step};
use crate::remote::{Attempt, Dispatcher, Need, Place, Trouble, build_on};
use crate::{fetchurl, hook};

/// How often a lock that somebody else holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// A step being done.
pub(crate) struct Run<'a> {
    pub(crate) store: &'a Store,
    pub(crate) config: &'a BuildConfig,
    pub(crate) builtins: &'a Builtins,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: &'a Cancel,
    pub(crate) step: &'a Step,
    /// Who knows the other machines, where there are some.
    pub(crate) dispatcher: Option<&'a Dispatcher<'a>>,
}

impl Run<'_> {
    /// Does the step, unless somebody else has done it.
    pub(crate) fn run(&self) -> Result<(), StepError> {
        let started = Instant::now();
        let drv_path = &self.step.drv_path;
        let inputs = direct_inputs(self.store, &self.step.derivation)?;
        self.store.add_temp_roots(inputs.iter().chain(self.step.outputs.values()))?;
        let locks = self.lock()?;
        let valid = self.store.valid_among(self.step.outputs.values())?;
        let all_valid =
            valid.len() == self.step.outputs.values().collect::<BTreeSet<_>>().len();
        match (self.step.purpose, all_valid) {
            (Purpose::Realise, true) => {}
            // Those outputs that are there are compared.
            (Purpose::Check, false) if valid.is_empty() => {
                return Err(StepError::NothingToCheck);
            }
            (Purpose::Realise, false) | (Purpose::Check | Purpose::Repair, _) => {
                self.observer.event(&Event::Started { drv_path, kind: self.step.kind });
                self.config.space.keep(self.store, self.observer);
                self.make_somewhere(&inputs)?;
                self.run_hook()?;
            }
        }
        drop(locks);
        let (outputs, duration) = (&self.step.outputs, started.elapsed());
        self.observer.event(&Event::Finished { drv_path, outputs, duration });
        Ok(())
    }

    fn run_hook(&self) -> Result<(), StepError> {
        let Some(hook) = &self.config.post_build_hook else { return Ok(()) };
        let drv_path = &self.step.drv_path;
        let log = |line: &[u8]| self.observer.event(&Event::Log { drv_path, line });
        hook::run_hook(hook, self.store, self.step, self.cancel, &log)
    }

    /// Waits for the locks on the outputs, as long as nobody asks to stop.
    fn lock(&self) -> Result<PathLocks, StepError> {
        wait_for_locks(self.store, self.step.outputs.values(), self.cancel, &|| {
            self.observer.event(&Event::Waiting { drv_path: &self.step.drv_path });
        })
    }

    /// Does the step here or on another machine. A machine that fails is left for another place; a
    /// step that is done for the sake of what is here is done here.
    fn make_somewhere(
        &self,
        direct_inputs: &BTreeSet<StorePath>,
    ) -> Result<(), StepError> {
        let dispatcher = match self.dispatcher {
            Some(dispatcher)
                if self.step.purpose == Purpose::Realise
                    && self.step.kind != StepKind::Fetch =>
            {
                dispatcher
            }
            _ => return self.make(direct_inputs),
        };
        let options = Options::of(&self.step.derivation)?;
        let need = Need::of(&self.step.derivation, &options, self.step.kind);
        let mut tried = BTreeMap::new();
        loop {
            let permit = dispatcher.acquire(&need, &tried, self.cancel)?;
            let Place::Machine(at) = permit.place else {
                return self.make(direct_inputs);
            };
            let machine = &*dispatcher.machine(at).address.text;
            let drv_path = &self.step.drv_path;
            self.observer.event(&Event::Dispatched { drv_path, machine });
            let attempt = Attempt {
                store: self.store,
                step: self.step,
                inputs: &self.store.closure(direct_inputs)?,
                observer: self.observer,
                cancel: self.cancel,
                substitute: self.config.machines_substitute,
            };
            match build_on(&attempt, dispatcher, at) {
                Ok(()) => return Ok(()),
                Err(Trouble::Step(error)) => return Err(*error),
                Err(Trouble::Machine(reason)) => {
                    let message = format!("cannot build on '{machine}': {reason}");
                    self.observer.event(&Event::Warning { message: &message });
                    tried.insert(at, reason);
                }
            }
        }
    }

    fn make(&self, direct_inputs: &BTreeSet<StorePath>) -> Result<(), StepError> {
        let options = Options::of(&self.step.derivation)?;
        self.check_machine(&options)?;
        let inputs = self.store.closure(direct_inputs)?;
        let work = WorkDir::create(self.store.temp_path()?)?;
        let sources = Sources {
            store: self.store,
            derivation: &self.step.derivation,
            options: &options,
            outputs: &self.step.outputs,
            inputs: &inputs,
            cores: self.config.cores,
            caller: &self.config.caller_env,
        };
        match self.step.kind {
            StepKind::Fetch | StepKind::Copy => self.fetch(&work.path)?,
            StepKind::Builtin => self.run_builtin(&work.path, &sources)?,
            StepKind::Box => self.run_box(&work.path, &sources)?,
        }
        let made = Made {
            store: self.store,
            step: self.step,
            options: &options,
            inputs: &inputs,
            outputs_dir: work.path.join("store"),
        };
        let finished = match self.step.purpose {
            Purpose::Realise => made.register(),
            Purpose::Repair => made.replace_damaged(),
            Purpose::Check => {
                let keep_in = self.config.keep_failed.then(|| self.failed_dir());
                keep_in.iter().try_for_each(|dir| make_dirs(dir))?;
                made.compare(keep_in.as_deref())
            }
        };
        if finished.is_err() {
            self.keep(&work.path)?;
        }
        finished
    }

    fn check_machine(&self, options: &Options) -> Result<(), StepError> {
        if self.config.jobs == 0 && self.step.kind == StepKind::Box {
            return Err(StepError::NoLocalBuilds);
        }
        let system = String::from_utf8_lossy(&self.step.derivation.system).into_owned();
        let is_ours = system == "builtin" || self.config.systems.contains(&system);
        let features = &self.config.features;
        let has_features = options.required_features.is_subset(features);
        if is_ours && has_features {
            return Ok(());
        }
        let join = |set: &BTreeSet<String>| {
            set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let own_system = self.config.systems.first().cloned().unwrap_or_default();
        let required = join(&options.required_features);
        Err(StepError::WrongMachine {
            systems: (!is_ours).then_some([system, own_system]),
            features: (!has_features).then(|| [required, join(features)]),
        })
    }

    fn fetch(&self, work: &Path) -> Result<(), StepError> {
        let outputs_dir = make_outputs_dir(work)?;
        let Some(output) = self.step.outputs.get(&OutputName::out()) else {
            let message = "'builtin:fetchurl' requires an 'out' output".to_owned();
            return Err(StepError::Attribute(message));
        };
        let job = fetchurl::Job {
            config: self.config,
            derivation: &self.step.derivation,
            drv: self.store.store_dir().print(&self.step.drv_path),
            downloads_dir: &self.state_dir("downloads"),
            output,
            physical: &outputs_dir.join(output.to_string()),
            cancel: self.cancel,
        };
        let drv_path = &self.step.drv_path;
        job.run(&|done_bytes, total_bytes| {
            self.observer.event(&Event::Progress { drv_path, done_bytes, total_bytes });
        })
    }

    fn run_builtin(&self, work: &Path, sources: &Sources<'_>) -> Result<(), StepError> {
        let builder = String::from_utf8_lossy(&self.step.derivation.builder);
        let name = builder.trim_start_matches("builtin:");
        let builder = self.builtins.find(name)?;
        let outputs_dir = make_outputs_dir(work)?;
        let temp_dir = work.join("build");
        make_dirs(&temp_dir)?;
        let place = |(name, path): (&OutputName, &StorePath)| {
            let physical = outputs_dir.join(path.to_string());
            (name.clone(), BuiltinOutput { path: path.clone(), physical })
        };
        let outputs: BTreeMap<OutputName, BuiltinOutput> =
            self.step.outputs.iter().map(place).collect();
        let log =
            Mutex::new(LogWriter::create(&log_path(self.store, &self.step.drv_path))?);
        let write_line = |line: &[u8]| {
            lock(&log).line(line);
            self.observer.event(&Event::Log { drv_path: &self.step.drv_path, line });
        };
        let ctx = BuiltinContext {
            drv_path: &self.step.drv_path,
            derivation: &self.step.derivation,
            store: self.store,
            inputs: sources.inputs,
            outputs: &outputs,
            temp_dir: &temp_dir,
            cores: self.config.cores,
            cancel: self.cancel,
            environment: &Environment::make(sources)?,
            sources,
            observer: self.observer,
            log: &write_line,
        };
        let built = builder.build(&ctx);
        if self.cancel.is_cancelled() {
            return Err(StepError::Interrupted);
        }
        log.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).finish()?;
        built.map_err(|source| StepError::Builtin {
            name: format!("builtin:{name}"),
            source,
        })
    }

    fn run_box(&self, work: &Path, sources: &Sources<'_>) -> Result<(), StepError> {
        let spec = self.box_spec(work, sources)?;
        let mut log = LogWriter::create(&log_path(self.store, &self.step.drv_path))?;
        let running = picnix_sandbox::start(&spec).map_err(StepError::Box)?;
        let killer = running.killer();
        let killed = self.cancel.on_cancel(move || killer.kill());
        let exit = running
            .wait(&mut |line| {
                log.line(line);
                self.observer.event(&Event::Log { drv_path: &self.step.drv_path, line });
            })
            .map_err(StepError::Box)?;
        drop(killed);
        log.finish()?;
        if exit.status == Status::Code(0) {
            return Ok(());
        }
        if self.cancel.is_cancelled() {
            return Err(StepError::Interrupted);
        }
        self.keep(work)?;
        Err(self.builder_failed(exit))
    }

    fn box_spec(&self, work: &Path, sources: &Sources<'_>) -> Result<BoxSpec, StepError> {
        let derivation = &self.step.derivation;
        let environment = Environment::make(sources)?;
        let store_dir = PathBuf::from(self.store.store_dir().as_str());
        let input = |path: &StorePath| Input {
            physical: self.store.real_path(path),
            logical: store_dir.join(path.to_string()),
        };
        let os = |bytes: Vec<u8>| OsString::from_vec(bytes);
        let is_fixed = derivation.kind().is_ok_and(|kind| kind == DerivationKind::Fixed);
        Ok(BoxSpec {
            work_dir: work.to_owned(),
            inputs: sources.inputs.iter().map(input).collect(),
            root_tree: self.root_tree(sources)?,
            host_paths: self.config.host_paths.clone(),
            env: environment.for_box(),
            args: derivation
                .args
                .iter()
                .map(|arg| os(environment.rewrite(arg)))
                .collect(),
            build_files: environment.files,
            program: os(derivation.builder.clone()).into(),
            arg0: None,
            network: if is_fixed { Network::Host } else { Network::Isolated },
            limits: self.config.limits.clone(),
            store_dir,
        })
    }

    fn root_tree(&self, sources: &Sources<'_>) -> Result<Option<PathBuf>, StepError> {
        let Some(tree) = &sources.options.box_root else {
            return Ok(None);
        };
        let parsed = self.store.store_dir().parse_path_within(tree.as_bytes());
        let (path, _) =
            parsed.map_err(|error| StepError::Attribute(error.to_string()))?;
        if !sources.inputs.contains(&path) {
            let message = format!("boxRoot '{tree}' is not an input of the derivation");
            return Err(StepError::Attribute(message));
        }
        Ok(Some(self.store.real_path_within(tree.as_bytes())?))
    }

    fn builder_failed(&self, exit: Exit) -> StepError {
        let Limits { wall, silence, log_bytes, output_bytes, memory_bytes, processes } =
            &self.config.limits;
        let seconds = |limit: &Option<Duration>| {
            format!("after {} seconds", limit.unwrap_or_default().as_secs_f64())
        };
        let bytes = |limit: &Option<u64>| format!("{} bytes", limit.unwrap_or_default());
        let limit_text = match exit.status {
            Status::WallTimeout => seconds(wall),
            Status::SilenceTimeout => seconds(silence),
            Status::LogTooLarge => bytes(log_bytes),
            Status::OutputTooLarge => bytes(output_bytes),
            Status::OutOfMemory => bytes(memory_bytes),
            Status::OutOfProcesses => {
                format!("{} processes at a time", processes.unwrap_or_default())
            }
            Status::Code(_) | Status::Signal(_) | Status::Killed => String::new(),
        };
        let drv = self.store.store_dir().print(&self.step.drv_path);
        let log_command = format!("picnix store log {drv}");
        StepError::Builder {
            status: exit.status,
            limit_text,
            tail: exit.tail,
            log_command,
        }
    }

    /// Keeps the build directory of a failed build where that was asked for.
    fn keep(&self, work: &Path) -> Result<(), StepError> {
        let build_dir = work.join("build");
        if !self.config.keep_failed || !build_dir.exists() {
            return Ok(());
        }
        let dir = self.failed_dir();
        make_dirs(&dir)?;
        let name = &self.step.derivation.name;
        let free =
            (0_u32..).map(|n| dir.join(format!("{name}-{n}"))).find(|p| !p.exists());
        let kept = free.expect("some number is free");
        picnix_sandbox::take_ownership(&build_dir).map_err(StepError::Box)?;
        fs::rename(&build_dir, &kept).map_err(StepError::io("keep", &kept))?;
        let line = format!("note: keeping build directory '{}'", kept.display());
        let (drv_path, line) = (&self.step.drv_path, line.as_bytes());
        self.observer.event(&Event::Log { drv_path, line });
        Ok(())
    }

    fn failed_dir(&self) -> PathBuf {
        self.state_dir("failed")
    }

    /// A directory of this crate beside the store's own.
    fn state_dir(&self, name: &str) -> PathBuf {
        self.store.config().root.join("nix/var/picnix").join(name)
    }
}

/// The paths that a derivation names as inputs.
pub(crate) fn direct_inputs(
    store: &Store,
    derivation: &Derivation,
) -> Result<BTreeSet<StorePath>, picnix_store::Error> {
    let mut inputs = derivation.input_srcs.clone();
    for (input, wanted) in &derivation.input_drvs {
        let outputs = store.derivation_outputs(input)?;
        let wanted = wanted.outputs.iter().filter_map(|name| outputs.get(name));
        inputs.extend(wanted.flatten().cloned());
    }
    Ok(inputs)
}

/// Waits for locks on paths as long as nobody asks to stop; says so if it takes any time.
pub(crate) fn wait_for_locks<'p>(
    store: &Store,
    paths: impl IntoIterator<Item = &'p StorePath> + Clone,
    cancel: &Cancel,
    waiting: &dyn Fn(),
) -> Result<PathLocks, StepError> {
    let mut is_first = true;
    loop {
        if let Some(locks) = store.try_lock_paths(paths.clone())? {
            return Ok(locks);
        }
        if is_first {
            waiting();
            is_first = false;
        }
        if cancel.is_cancelled() {
            return Err(StepError::Interrupted);
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
}

/// A temporary directory that is removed whatever happens.
struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    fn create(path: PathBuf) -> Result<Self, StepError> {
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(StepError::io("create", &path))?;
        Ok(Self { path })
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed now goes with the store's session.
        let _ = picnix_sandbox::remove_tree(&self.path);
    }
}

fn make_outputs_dir(work: &Path) -> Result<PathBuf, StepError> {
    let dir = work.join("store");
    make_dirs(&dir)?;
    Ok(dir)
}

fn make_dirs(dir: &Path) -> Result<(), StepError> {
    fs::create_dir_all(dir).map_err(StepError::io("create", dir))
}
