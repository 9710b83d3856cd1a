//! One step on another machine: inputs there, build, outputs back.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store::Store;
use picnix_store_core::worker::{
    BuildResult, BuildStatus, Field, Message, TrustLevel, WantedOutputs, WantedPath,
    result,
};
use picnix_store_core::{Derivation, DerivationOutput, PathInfo, StorePath};

use crate::cancel::Cancel;
use crate::error::StepError;
use crate::logs::{LogWriter, log_path};
use crate::observer::{Event, Observer};
use crate::plan::Step;
use crate::remote::connection::Connection;
use crate::remote::dispatch::Dispatcher;
use crate::remote::error::RemoteError;

/// How many lines of a log a failure shows.
const TAIL_LINES: usize = 25;

/// A step to be built on another machine.
pub(crate) struct Attempt<'a> {
    pub(crate) store: &'a Store,
    pub(crate) step: &'a Step,
    /// The closure of the inputs.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: &'a Cancel,
    /// Whether the machine may use the caches that it knows.
    pub(crate) substitute: bool,
}

/// Why it did not come about.
pub(crate) enum Trouble {
    /// It is the machine's: another one may do better.
    Machine(String),
    /// It is the step's.
    Step(Box<StepError>),
}

impl From<StepError> for Trouble {
    fn from(error: StepError) -> Self {
        Self::Step(Box::new(error))
    }
}

/// Builds a step on a machine; its outputs are valid here then.
pub(crate) fn build_on(
    attempt: &Attempt<'_>,
    dispatcher: &Dispatcher<'_>,
    at: usize,
) -> Result<(), Trouble> {
    let opened = dispatcher.connect(at, attempt.store.store_dir());
    let mut connection = opened.map_err(|error| {
        dispatcher.give_up(at, error.to_string());
        Trouble::Machine(error.to_string())
    })?;
    let ends = connection.end_on(attempt.cancel);
    let machine = &dispatcher.machine(at).address.text;
    let built = (|| {
        {
            let _alone = dispatcher.upload_lock(at);
            attempt.send_inputs(&mut connection).map_err(|error| attempt.judge(error))?;
        }
        let mut log = Log::create(attempt)?;
        let result = attempt.build(&mut connection, &mut log);
        log.file.finish()?;
        let result = result.map_err(|error| attempt.judge(error))?;
        judge_result(attempt, machine, &result, log.tail)?;
        attempt.fetch_outputs(&mut connection).map_err(|error| attempt.judge(error))
    })();
    drop(ends);
    // After a build that failed the connection is as good as before.
    if matches!(&built, Ok(()) | Err(Trouble::Step(_))) && !attempt.cancel.is_cancelled()
    {
        dispatcher.keep(at, connection);
    }
    built
}

impl Attempt<'_> {
    fn send_inputs(&self, connection: &mut Connection) -> Result<(), RemoteError> {
        let mut paths = self.inputs.clone();
        if !can_build_directly(connection, &self.step.derivation) {
            paths.insert(self.step.drv_path.clone());
        }
        connection.send(self.store, &paths, self.substitute, &|_| {}).map(|_| ())
    }

    fn build(
        &self,
        connection: &mut Connection,
        log: &mut Log<'_>,
    ) -> Result<BuildResult, RemoteError> {
        let drv_path = &self.step.drv_path;
        let derivation = &self.step.derivation;
        let hear = &mut |message: &Message| log.hear(message);
        if can_build_directly(connection, derivation) {
            let mut basic = Derivation::clone(derivation);
            if !basic.input_drvs.is_empty() {
                basic.input_drvs = BTreeMap::new();
                basic.input_srcs = self.inputs.clone();
            }
            return connection.build_derivation(drv_path, &basic, hear);
        }
        let wanted = WantedPath::Built(drv_path.clone(), WantedOutputs::All);
        match connection.build_paths(&[wanted], hear) {
            Ok(()) => Ok(BuildResult::new(BuildStatus::Built, "")),
            // Whether the builder failed or the daemon refused is not told apart.
            Err(RemoteError::Refused { message, .. }) => {
                Ok(BuildResult::new(BuildStatus::PermanentFailure, message))
            }
            Err(error) => Err(error),
        }
    }

    fn fetch_outputs(&self, connection: &mut Connection) -> Result<(), RemoteError> {
        let outputs: BTreeSet<StorePath> = self.step.outputs.values().cloned().collect();
        let addresses: BTreeMap<&StorePath, _> = self
            .step
            .outputs
            .iter()
            .filter_map(|(name, path)| match self.step.derivation.outputs.get(name)? {
                DerivationOutput::CaFixed(address) => Some((path, *address)),
                DerivationOutput::InputAddressed(_)
                | DerivationOutput::CaFloating { .. }
                | DerivationOutput::Deferred
                | DerivationOutput::Impure { .. } => None,
            })
            .collect();
        let accept = |info: &mut PathInfo| {
            // What is known beforehand is not asked, but checked when it is added.
            info.content_address = addresses.get(&info.path).copied();
            if outputs.contains(&info.path) {
                info.deriver = Some(self.step.drv_path.clone());
            }
            info.signatures.clear();
            info.ultimate = false;
            true
        };
        connection.fetch(self.store, &outputs, &accept).map(|_| ())
    }

    fn judge(&self, error: RemoteError) -> Trouble {
        if self.cancel.is_cancelled() {
            return StepError::Interrupted.into();
        }
        match error {
            RemoteError::Store(error) if is_ours(&error) => StepError::from(error).into(),
            error => Trouble::Machine(error.to_string()),
        }
    }
}

/// Is it this machine's trouble, rather than what came from the other one?
fn is_ours(error: &picnix_store::Error) -> bool {
    use picnix_store::Error;
    !matches!(
        error,
        Error::Format(_)
            | Error::HashMismatch { .. }
            | Error::SizeMismatch { .. }
            | Error::ContentAddressMismatch { .. }
            | Error::ReferenceNotValid { .. }
    )
}

/// May the daemon build a derivation that it does not have? One that does not trust us may only if
/// the contents prove themselves.
fn can_build_directly(connection: &Connection, derivation: &Derivation) -> bool {
    let is_fixed =
        |output: &DerivationOutput| matches!(output, DerivationOutput::CaFixed(_));
    connection.trust() != TrustLevel::NotTrusted
        || derivation.outputs.values().all(is_fixed)
}

fn judge_result(
    attempt: &Attempt<'_>,
    machine: &str,
    result: &BuildResult,
    tail: Vec<String>,
) -> Result<(), Trouble> {
    if result.status.is_success() {
        return Ok(());
    }
    if !result.status.is_final() {
        return Err(Trouble::Machine(format!("'{machine}': {}", result.message)));
    }
    let drv = attempt.store.store_dir().print(&attempt.step.drv_path);
    Err(StepError::Remote {
        machine: machine.to_owned(),
        message: result.message.trim_end().to_owned(),
        tail,
        log_command: format!("picnix store log {drv}"),
    }
    .into())
}

/// The log of the build as it comes.
struct Log<'a> {
    attempt: &'a Attempt<'a>,
    file: LogWriter,
    tail: Vec<String>,
}

impl<'a> Log<'a> {
    fn create(attempt: &'a Attempt<'a>) -> Result<Self, StepError> {
        let path = log_path(attempt.store, &attempt.step.drv_path);
        Ok(Self { attempt, file: LogWriter::create(&path)?, tail: Vec::new() })
    }

    fn hear(&mut self, message: &Message) {
        let Message::Result { kind, fields, .. } = message else { return };
        let is_line =
            [result::BUILD_LOG_LINE, result::POST_BUILD_LOG_LINE].contains(kind);
        if let (true, Some(Field::Text(line))) = (is_line, fields.first()) {
            self.file.line(line);
            if self.tail.len() == TAIL_LINES {
                self.tail.remove(0);
            }
            self.tail.push(String::from_utf8_lossy(line).into_owned());
            let drv_path = &self.attempt.step.drv_path;
            self.attempt.observer.event(&Event::Log { drv_path, line });
        }
    }
}
