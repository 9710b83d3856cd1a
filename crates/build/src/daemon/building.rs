//! Operations that build, and those that look after the store.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use picnix_sandbox::Status;
use picnix_store::{Contents, GcOptions};
use picnix_store_core::worker::{
    BuildMode, BuildResult, BuildStatus, Realisation, WantedOutputs, WantedPath,
};
use picnix_store_core::{Derivation, Hash, StorePath};

use super::session::{Context, Refusal, Session, Wire};
use crate::error::{Error, StepError, chain};
use crate::plan::{Outputs, Plan, Purpose, Target};

/// What a client may want: nothing but the number of paths would bound the pairs of a message.
const GC_ACTIONS: [&str; 4] =
    ["return live", "return dead", "delete dead", "delete specific"];

/// What is to be built, and what only must be valid.
pub(super) fn split(wanted: &[WantedPath]) -> (Vec<Target>, BTreeSet<StorePath>) {
    let (mut targets, mut paths) = (Vec::new(), BTreeSet::new());
    for path in wanted {
        match path {
            WantedPath::Path(path) => {
                paths.insert(path.clone());
            }
            WantedPath::Built(drv_path, outputs) => {
                let outputs = match outputs {
                    WantedOutputs::All => Outputs::All,
                    WantedOutputs::Some(names) => Outputs::Some(names.clone()),
                };
                targets.push(Target { drv_path: drv_path.clone(), outputs });
            }
        }
    }
    (targets, paths)
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl<R: Read, W: Write + Send> Session<'_, R, W> {
    pub(super) fn build_paths(&mut self) -> Wire<()> {
        let wanted = self.reader.wanted_paths()?;
        let mode = self.reader.build_mode()?;
        self.ctx.set_mode(mode);
        let work = |s: &Context<'_, W>| {
            let (targets, paths) = split(&wanted);
            s.copy(&paths)?;
            s.build(&targets)?;
            Ok(())
        };
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    pub(super) fn build_paths_with_results(&mut self) -> Wire<()> {
        let wanted = self.reader.wanted_paths()?;
        let mode = self.reader.build_mode()?;
        self.ctx.set_mode(mode);
        let work = |s: &Context<'_, W>| Ok(s.build_each(&wanted)?);
        self.ctx.answer(work, |writer, results: Vec<BuildResult>| {
            writer.count(results.len())?;
            wanted.iter().zip(&results).try_for_each(|(path, result)| {
                writer.wanted_path(path)?;
                writer.build_result(result)
            })
        })
    }

    pub(super) fn build_derivation(&mut self) -> Wire<()> {
        let drv_path = self.reader.path()?;
        let name = drv_path.derivation_name()?.to_owned();
        let derivation = self.reader.derivation(&name)?;
        let mode = self.reader.build_mode()?;
        self.ctx.set_mode(mode);
        let work = |s: &Context<'_, W>| s.build_given(&drv_path, derivation);
        self.ctx.answer(work, |writer, result| writer.build_result(&result))
    }

    pub(super) fn ensure_path(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let work = |s: &Context<'_, W>| Ok(s.builder().copy(&[path].into())?);
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    /// Settings of the client that mean something here; the others are skipped.
    pub(super) fn set_options(&mut self) -> Wire<()> {
        let reader = &mut self.reader;
        let config = &mut self.ctx.config;
        config.keep_failed = reader.flag()?;
        config.keep_going = reader.flag()?;
        // Whether to build what caches fail to deliver, which we do; how much to say.
        reader.number()?;
        reader.number()?;
        let jobs = reader.number()?;
        let silence = reader.number()?;
        // Whether to ask other machines; how much to say, three times.
        for _ in 0..4 {
            reader.number()?;
        }
        let cores = reader.number()?;
        self.ctx.uses_caches = reader.flag()?;
        let (own_jobs, own_cores) = (config.jobs, config.cores);
        let within = |number: u64, own: usize| match usize::try_from(number) {
            Ok(0) | Err(_) => own,
            Ok(number) => number.min(MAX_JOBS),
        };
        config.jobs = within(jobs, own_jobs);
        config.cores = within(cores, own_cores);
        let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        config.limits.silence = limit(silence).or(config.limits.silence);
        for _ in 0..reader.count()? {
            let (name, value) = (reader.bytes()?, reader.bytes()?);
            let number =
                std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            match (&*name, number) {
                (b"timeout", Some(seconds)) => {
                    config.limits.wall = limit(seconds).or(config.limits.wall);
                }
                (b"max-build-log-size", Some(bytes)) if bytes > 0 => {
                    config.limits.log_bytes = Some(bytes);
                }
                _ => {}
            }
        }
        self.ctx.answer(|_| Ok(()), |_, ()| Ok(()))
    }

    pub(super) fn collect_garbage(&mut self) -> Wire<()> {
        let action = self.reader.number()?;
        let paths = self.reader.paths()?;
        let ignores_roots = self.reader.flag()?;
        let max = self.reader.number()?;
        // No longer looked at.
        for _ in 0..3 {
            self.reader.number()?;
        }
        let work = |s: &Context<'_, W>| {
            if ignores_roots {
                return Err(Refusal("you are not allowed to ignore liveness".to_owned()));
            }
            s.collect(action, &paths, max)
        };
        self.ctx.answer(work, |writer, (paths, freed): (BTreeSet<StorePath>, u64)| {
            writer.paths(&paths)?;
            writer.number(freed)?;
            writer.number(0)
        })
    }

    pub(super) fn optimise(&mut self) -> Wire<()> {
        let work = |s: &Context<'_, W>| Ok(s.store.optimise().map(|_| ())?);
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    pub(super) fn verify(&mut self) -> Wire<()> {
        let (check_contents, repair) = (self.reader.flag()?, self.reader.flag()?);
        let work = |s: &Context<'_, W>| {
            let contents =
                if check_contents { Contents::Hashed } else { Contents::Exist };
            let report = s.store.verify(contents)?;
            if report.is_sound() || !repair {
                return Ok(report.is_sound());
            }
            let repairs = s.builder().repair_found(&report, contents)?;
            Ok(report.database.is_empty() && repairs.failed.is_empty())
        };
        self.ctx.answer(work, |writer, is_sound: bool| writer.flag(!is_sound))
    }
}

/// The most jobs or cores that a client may set.
const MAX_JOBS: usize = 1024;

impl<W: Write + Send> Context<'_, W> {
    fn set_mode(&mut self, mode: BuildMode) {
        self.repairs = mode == BuildMode::Repair;
        self.config.purpose = match mode {
            BuildMode::Check => Purpose::Check,
            // What is valid is looked at when everything is.
            BuildMode::Normal | BuildMode::Repair => Purpose::Realise,
        };
    }

    fn build(&self, targets: &[Target]) -> Result<(), Error> {
        let builder = self.builder();
        let built = match self.repairs {
            true => builder.build_repaired(targets),
            false => builder.build(targets),
        };
        built.map(|_| ())
    }

    /// Makes paths valid by copying them, and good if that was asked for.
    fn copy(&self, paths: &BTreeSet<StorePath>) -> Result<(), Error> {
        let builder = self.builder();
        builder.copy(paths)?;
        if !self.repairs {
            return Ok(());
        }
        builder.repair(paths)?.failed.into_values().next().map_or(Ok(()), Err)
    }

    /// Makes paths valid, all at once, and tells what became of each.
    fn build_each(&self, wanted: &[WantedPath]) -> Result<Vec<BuildResult>, Error> {
        let started = seconds_now();
        let (targets, paths) = split(wanted);
        let copied = self.copy(&paths);
        let mut built = self.build(&targets);
        if matches!(built, Err(Error::Interrupted)) {
            return Err(Error::Interrupted);
        }
        if let Err(error) = copied
            && built.is_ok()
        {
            built = Err(error);
        }
        let mut results = Vec::with_capacity(wanted.len());
        for path in wanted {
            let outputs = self.outputs_of(path)?;
            let valid = self.store.valid_among(outputs.iter().map(|(path, _)| path))?;
            let is_done = outputs.iter().all(|(path, _)| valid.contains(path));
            let mut result = match (&built, is_done) {
                (Ok(()), _) | (Err(_), true) => BuildResult::new(BuildStatus::Built, ""),
                (Err(error), false) => failure_of(error, path),
            };
            if is_done {
                result.outputs =
                    outputs.into_iter().filter_map(|(_, made)| made).collect();
            }
            (result.start_time, result.stop_time) = (started, seconds_now());
            results.push(result);
        }
        Ok(results)
    }

    /// The paths that are wanted, with what the protocol calls their realisations.
    fn outputs_of(
        &self,
        wanted: &WantedPath,
    ) -> Result<Vec<(StorePath, Option<Realisation>)>, Error> {
        let (drv_path, names) = match wanted {
            WantedPath::Path(path) => return Ok(vec![(path.clone(), None)]),
            WantedPath::Built(drv_path, names) => (drv_path, names),
        };
        // A derivation may lack what it was built from, and then has no realisation.
        let hash = self.store.derivation_hash(drv_path).ok();
        let mut outputs = Vec::new();
        for (name, path) in self.store.derivation_outputs(drv_path)? {
            let is_wanted = match names {
                WantedOutputs::All => true,
                WantedOutputs::Some(names) => names.contains(&name),
            };
            if let (true, Some(path)) = (is_wanted, path) {
                let hash = hash.as_ref().and_then(|hash| hash.of(&name));
                let made = hash
                    .map(|hash| Realisation::of_output(&Hash::from(hash), &name, &path));
                outputs.push((path, made));
            }
        }
        Ok(outputs)
    }

    /// Builds a derivation that need not be valid and whose inputs are store objects.
    fn build_given(
        &self,
        drv_path: &StorePath,
        derivation: Derivation,
    ) -> Result<BuildResult, Refusal> {
        let started = seconds_now();
        let inputs = derivation.input_srcs.clone();
        self.store.add_temp_roots(&inputs)?;
        if let Err(error) = self.builder().copy(&inputs) {
            let message = chain(&error);
            return Ok(BuildResult::new(BuildStatus::InputRejected, message));
        }
        let hash = derivation.hash_modulo(self.store.store_dir(), |path| {
            Err(Refusal(format!("'{path}' is not a store object")))
        });
        let store_dir = self.store.store_dir();
        let plan =
            Plan::of_derivation(store_dir, drv_path, derivation, self.config.purpose)?;
        let outputs = plan.steps[0].outputs.clone();
        self.store.add_temp_roots(outputs.values())?;
        let was_valid = self.store.valid_among(outputs.values())?;
        let is_valid = outputs.values().all(|path| was_valid.contains(path));
        let mut result = match self.builder().carry_out(&plan) {
            Ok(()) if is_valid => BuildResult::new(BuildStatus::AlreadyValid, ""),
            Ok(()) => BuildResult::new(BuildStatus::Built, ""),
            Err(Error::Interrupted) => return Err(Refusal("interrupted".to_owned())),
            Err(error) => failure_of(&error, &WantedPath::Path(drv_path.clone())),
        };
        if let (true, Ok(hash)) = (result.status.is_success(), hash) {
            let made = outputs.iter().filter_map(|(name, path)| {
                let hash = hash.of(name)?;
                Some(Realisation::of_output(&Hash::from(hash), name, path))
            });
            result.outputs = made.collect();
        }
        result.times_built = u64::from(result.status == BuildStatus::Built);
        (result.start_time, result.stop_time) = (started, seconds_now());
        Ok(result)
    }

    fn collect(
        &self,
        action: u64,
        paths: &BTreeSet<StorePath>,
        max: u64,
    ) -> Result<(BTreeSet<StorePath>, u64), Refusal> {
        let dry_run = GcOptions { dry_run: true, ..GcOptions::default() };
        let names = |report: picnix_store::GcReport| -> BTreeSet<StorePath> {
            report.deleted.into_iter().map(|(path, _)| path).collect()
        };
        match action {
            0 => {
                let dead = names(self.store.gc(&dry_run)?);
                let mut live = self.store.valid_paths()?;
                live.retain(|path| !dead.contains(path));
                Ok((live, 0))
            }
            1 => Ok((names(self.store.gc(&dry_run)?), 0)),
            2 => {
                let max_bytes = (max < u64::MAX).then_some(max);
                let options = GcOptions { max_bytes, ..GcOptions::default() };
                let report = self.store.gc(&options)?;
                let freed = report.freed_bytes;
                Ok((names(report), freed))
            }
            3 => Ok((paths.clone(), self.store.delete(paths)?)),
            _ => {
                let known = GC_ACTIONS.join(", ");
                Err(Refusal(format!("invalid collection {action}; there are: {known}")))
            }
        }
    }
}

/// Why a path is not valid, as the protocol tells it.
fn failure_of(error: &Error, wanted: &WantedPath) -> BuildResult {
    let Error::Failed(failure) = error else {
        return BuildResult::new(BuildStatus::MiscFailure, chain(error));
    };
    let own = match wanted {
        WantedPath::Path(path) | WantedPath::Built(path, _) => path,
    };
    if *own != failure.drv_path && !failure.others.contains(own) {
        return BuildResult::new(BuildStatus::DependencyFailed, error.to_string());
    }
    let status = match &failure.reason {
        StepError::Builder { status, .. } => match status {
            Status::WallTimeout | Status::SilenceTimeout => BuildStatus::TimedOut,
            Status::LogTooLarge => BuildStatus::LogLimitExceeded,
            Status::OutputTooLarge => BuildStatus::OutputRejected,
            Status::Code(_)
            | Status::Signal(_)
            | Status::OutOfMemory
            | Status::OutOfProcesses => BuildStatus::PermanentFailure,
            Status::Killed => BuildStatus::TransientFailure,
        },
        StepError::OutputMissing { .. }
        | StepError::HashMismatch { .. }
        | StepError::NotFlat { .. }
        | StepError::Check(_) => BuildStatus::OutputRejected,
        StepError::NotDeterministic { .. } => BuildStatus::NotDeterministic,
        StepError::Attribute(_)
        | StepError::Builtin { .. }
        | StepError::Remote { .. } => BuildStatus::PermanentFailure,
        _ => BuildStatus::MiscFailure,
    };
    let mut result = BuildResult::new(status, error.to_string());
    result.is_non_deterministic = status == BuildStatus::NotDeterministic;
    result
}
