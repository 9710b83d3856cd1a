//! Why something could not be built.
//!
//! [`Error`] is about the whole: the plan, or the first step that failed and what that kept from
//! being built. [`StepError`] is about one step. Where Nix has words for it, they are Nix's.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use picnix_sandbox::Status;
use picnix_store_core::{OutputName, StorePath};

/// Why some outputs could not be made valid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(Box<picnix_store::Error>),
    /// A derivation cannot be read.
    #[error("cannot read the derivation '{drv_path}'")]
    Derivation {
        /// The derivation path.
        drv_path: StorePath,
        /// The cause.
        source: Box<picnix_store::Error>,
    },
    /// A derivation makes no sense.
    #[error("derivation '{drv_path}' is malformed")]
    Malformed {
        /// The derivation path.
        drv_path: StorePath,
        /// The cause.
        source: picnix_store_core::Error,
    },
    /// A derivation needs something that is not there yet.
    #[error("derivation '{drv_path}' cannot be built: {what}")]
    Unsupported {
        /// The derivation path.
        drv_path: StorePath,
        /// What it needs.
        what: Unsupported,
    },
    /// A derivation has no such output.
    #[error("derivation '{drv_path}' does not have an output named '{output}'")]
    NoSuchOutput {
        /// The derivation path.
        drv_path: StorePath,
        /// The name asked for.
        output: OutputName,
    },
    /// There can be no shell that is like a build of a derivation.
    #[error("cannot make a shell for derivation '{drv_path}'")]
    Shell {
        /// The derivation path.
        drv_path: StorePath,
        /// The cause.
        source: Box<StepError>,
    },
    /// Derivations need each other.
    #[error("derivation '{drv_path}' needs itself")]
    Cycle {
        /// One of them.
        drv_path: StorePath,
    },
    /// A step failed.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// A binary cache failed; what it had must be found elsewhere or built.
    #[error("cannot copy '{path}': {reason}")]
    Copy {
        /// The path that was to be copied.
        path: StorePath,
        /// Why it could not.
        reason: Box<crate::cache::CacheError>,
    },
    /// A damaged object of which there is no good copy, and which cannot be made again.
    #[error("cannot repair path '{path}': {reason}")]
    Unrepairable {
        /// The path, printed.
        path: String,
        /// Why.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Outputs whose paths follow from what the build makes.
    #[error("content-addressed outputs of unknown hash are not supported")]
    ContentAddressed,
    /// Builds that are never cached.
    #[error("impure derivations are not supported")]
    Impure,
    /// Outputs that are derivations.
    #[error("dynamic derivations are not supported")]
    Dynamic,
}

/// The first step that failed, and what else did not come about.
#[derive(Debug, thiserror::Error)]
#[error(
    "Cannot build '{drv}'.{}\nReason: {reason}{}",
    on_lines_of_its_own(place.as_deref()), consequences(*dependents, others)
)]
pub struct Failure {
    /// The derivation path, printed.
    pub drv: String,
    /// The derivation path.
    pub drv_path: StorePath,
    /// Where the derivation was written, in lines; whoever has evaluated it may know.
    pub place: Option<String>,
    /// Why.
    #[source]
    pub reason: StepError,
    /// How many further derivations could not be built for want of this one.
    pub dependents: usize,
    /// Other derivations that failed too.
    pub others: Vec<StorePath>,
    /// What kinds of failures there were among all of them.
    pub kinds: FailureKinds,
}

/// Kinds of failures, of which there may be several where what does not need a failed step is
/// still done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureKinds {
    /// A builder failed, by itself or by one of the limits below, or is for another machine.
    pub builder: bool,
    /// A build took or was silent for too long.
    pub timeout: bool,
    /// An output was not what was known beforehand.
    pub hash_mismatch: bool,
    /// Building again gave something else.
    pub not_deterministic: bool,
}

impl FailureKinds {
    /// Notes the kind of one failure.
    pub(crate) fn add(&mut self, reason: &StepError) {
        match reason {
            StepError::Builder {
                status: Status::WallTimeout | Status::SilenceTimeout,
                ..
            } => self.timeout = true,
            StepError::Builder {
                status: Status::Code(_) | Status::Signal(_), ..
            }
            | StepError::Remote { .. }
            | StepError::Builtin { .. }
            | StepError::WrongMachine { .. } => self.builder = true,
            StepError::HashMismatch { .. } => self.hash_mismatch = true,
            StepError::NotDeterministic { .. } => self.not_deterministic = true,
            _ => {}
        }
    }

    /// The exit status by which Nix's commands tell the kinds (`status-build-failure` in its
    /// manual).
    #[must_use]
    pub fn exit_status(self) -> u8 {
        let Self { builder, timeout, hash_mismatch, not_deterministic } = self;
        let failed = u8::from(builder || timeout || hash_mismatch) << 2;
        let kinds = failed
            | u8::from(timeout)
            | u8::from(hash_mismatch) << 1
            | u8::from(not_deterministic) << 3;
        if kinds == 0 { 1 } else { 0x60 | kinds }
    }
}

fn on_lines_of_its_own(place: Option<&str>) -> String {
    place.map(|place| format!("\n{place}")).unwrap_or_default()
}

fn consequences(dependents: usize, others: &[StorePath]) -> String {
    let mut text = match dependents {
        0 => String::new(),
        1 => "\n1 derivation that needs it was not built".to_owned(),
        count => format!("\n{count} derivations that need it were not built"),
    };
    for other in others {
        text += &format!("\nalso failed: {other}");
    }
    text
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The builder did not end well.
    #[error("{}{}", how_it_ended(*status, limit_text), log_text(tail, log_command))]
    Builder {
        /// How it ended.
        status: Status,
        /// The limit that it met, in words.
        limit_text: String,
        /// The last lines of its log.
        tail: Vec<String>,
        /// The command that shows the rest.
        log_command: String,
    },
    /// The builder did not end well on another machine.
    #[error("build on '{machine}' failed: {message}{}", log_text(tail, log_command))]
    Remote {
        /// The machine's address.
        machine: String,
        /// Its words.
        message: String,
        /// The last lines of the log.
        tail: Vec<String>,
        /// The command that shows the rest.
        log_command: String,
    },
    /// No machine can build this, or none is left.
    #[error(
        "failed to find a machine for the build\nrequired system: '{system}' with features {{{features}}}; {machines} machines are known{}",
        tried(failures)
    )]
    NoMachine {
        /// The system asked for.
        system: String,
        /// The features asked for.
        features: String,
        /// How many machines the settings name.
        machines: usize,
        /// Machines that failed, and why.
        failures: Vec<(String, String)>,
    },
    /// A builtin builder failed.
    #[error("{name} failed: {}", chain(source.as_ref()))]
    Builtin {
        /// The builder.
        name: String,
        /// The cause.
        source: BuiltinError,
    },
    /// There is no such builtin builder.
    #[error("unsupported builtin builder '{name}'; there are: {}", known.join(", "))]
    UnknownBuiltin {
        /// The builder.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The builder ended well but made no output.
    #[error("failed to produce output path for output '{output}' at '{path}'")]
    OutputMissing {
        /// The output.
        output: OutputName,
        /// Its path, printed.
        path: String,
    },
    /// The output is not what was known beforehand.
    #[error(
        "hash mismatch in fixed-output derivation '{drv}':\n  specified: {specified}\n     got:    {got}{whence}"
    )]
    HashMismatch {
        /// The derivation path, printed.
        drv: String,
        /// The hash that was known beforehand.
        specified: String,
        /// The hash of the output.
        got: String,
        /// Where it came from, in lines of its own; empty for what a builder made.
        whence: String,
    },
    /// A flat output is a directory, a link or executable.
    #[error(
        "output path '{path}' should be a non-executable regular file since recursive hashing is not enabled (one of outputHashMode={{flat,text}} is true)"
    )]
    NotFlat {
        /// The path, printed.
        path: String,
    },
    /// The derivation's own checks of its outputs failed, or make no sense.
    #[error("{0}")]
    Check(String),
    /// An attribute with a meaning for the build makes no sense.
    #[error("{0}")]
    Attribute(String),
    /// The machine cannot run such a builder.
    #[error("{}", wrong_machine(systems.as_ref(), features.as_ref()))]
    WrongMachine {
        /// The system asked for and that of this machine, where they differ.
        systems: Option<[String; 2]>,
        /// The features asked for and those of this machine, where some are missing.
        features: Option<[String; 2]>,
    },
    /// Nothing is built on this machine.
    #[error(
        "local builds are disabled (max-jobs = 0)\nHint: set 'max-jobs' to a non-zero value to enable local builds, or configure remote builders via 'builders'"
    )]
    NoLocalBuilds,
    /// Building again gave something else.
    #[error("may not be deterministic: output '{path}' differs{}", kept(kept_at.as_deref()))]
    NotDeterministic {
        /// The output, printed.
        path: String,
        /// Where the new one was kept.
        kept_at: Option<String>,
    },
    /// An output is to be compared that is not there.
    #[error("some outputs are not valid, so checking is not possible")]
    NothingToCheck,
    /// The program that is run after each build failed.
    #[error("the post-build hook '{}' failed: {status}", hook.display())]
    Hook {
        /// The program.
        hook: PathBuf,
        /// How it ended.
        status: String,
    },
    /// No box could be made or watched.
    #[error("{}", chain(.0))]
    Box(picnix_sandbox::Error),
    /// A file could not be fetched.
    #[error("{}", chain(.0))]
    Fetch(Box<picnix_fetch::Error>),
    /// A store object could not be copied from a binary cache.
    #[error("{}", chain(.0.as_ref()))]
    Copy(Box<crate::cache::CacheError>),
    /// The store could not be read or written.
    #[error("{}", chain(.0.as_ref()))]
    Store(Box<picnix_store::Error>),
    /// A file beside the store could not be read or written.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Whatever a builtin builder fails with.
pub type BuiltinError = Box<dyn StdError + Send + Sync>;

impl From<picnix_store::Error> for StepError {
    fn from(error: picnix_store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<picnix_store::Error> for Error {
    fn from(error: picnix_store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl StepError {
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The message of an error with those of its causes, each after a colon, without saying anything twice.
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

fn how_it_ended(status: Status, limit_text: &str) -> String {
    match status {
        Status::Code(code) => format!("builder failed with exit code {code}."),
        Status::Signal(signal) => format!("builder failed due to signal {signal}."),
        Status::WallTimeout => format!("timed out {limit_text}."),
        Status::SilenceTimeout => format!("timed out {limit_text} of silence."),
        Status::LogTooLarge => {
            format!("killed after writing more than {limit_text} of log output.")
        }
        Status::OutputTooLarge => format!("its outputs take more than {limit_text}."),
        Status::OutOfMemory => {
            format!("its processes took more than {limit_text} of memory.")
        }
        Status::OutOfProcesses => format!("it started more than {limit_text}."),
        Status::Killed => "killed.".to_owned(),
    }
}

fn log_text(tail: &[String], log_command: &str) -> String {
    if tail.is_empty() {
        return "\nIt wrote nothing to its log.".to_owned();
    }
    let mut text = format!("\nLast {} log lines:", tail.len());
    for line in tail {
        text += &format!("\n> {line}");
    }
    if let Some(program) = tail.iter().rev().find_map(|line| missing_program(line)) {
        text += &format!(
            "\nhint: a build sees no program of this machine: add the package that has \
             '{program}' to nativeBuildInputs"
        );
    }
    if let Some(patch) = tail.iter().rev().find_map(|line| refused_patch(line)) {
        text += &format!(
            "\nhint: '{patch}' is for another version of the source: make it anew, or take it out of \
             'patches' where the source has the change already"
        );
    }
    text + &format!("\nFor full logs, run:\n  {log_command}")
}

/// The program that a shell did not find, by what it said.
fn missing_program(line: &str) -> Option<&str> {
    let rest = line
        .strip_suffix(": command not found")
        .or_else(|| line.strip_suffix(": not found"))?;
    let name = rest.rsplit(": ").next()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

fn wrong_machine(
    systems: Option<&[String; 2]>,
    features: Option<&[String; 2]>,
) -> String {
    let systems = systems.map(|[required, current]| {
        format!(
            "platform mismatch\nRequired system: '{required}'\nCurrent system: '{current}'"
        )
    });
    let features = features.map(|[required, current]| {
        format!(
            "missing system features\nRequired features: {{{required}}}\nAvailable features: {{{current}}}"
        )
    });
    let reasons: Vec<String> = systems.into_iter().chain(features).collect();
    reasons.join("\nReason: ")
}

/// The patch that did not apply, by what stdenv said.
fn refused_patch(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(": patchPhase: '")?;
    rest.split_once("' does not apply to ").map(|(patch, _)| patch)
}

fn tried(failures: &[(String, String)]) -> String {
    failures.iter().fold(String::new(), |text, (machine, reason)| {
        text + &format!("\n'{machine}' was of no use: {reason}")
    })
}

fn kept(kept_at: Option<&str>) -> String {
    kept_at.map(|path| format!(" from '{path}'")).unwrap_or_default()
}
