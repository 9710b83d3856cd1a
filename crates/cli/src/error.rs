//! What ends a command: a message, hints, and an exit code that its kind decides.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use picnix_build::StepError;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    /// The exit status that Nix's commands have for it.
    nix_status: u8,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The input is wrong or a build failed: exit code 1.
    User,
    /// The command line is wrong: exit code 2.
    Usage,
}

impl CommandError {
    /// An error of the user's input.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::User,
            message: message.into(),
            hints: Vec::new(),
            nix_status: 1,
        }
    }

    /// An error of the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::user(message) }
    }

    /// An error of the store.
    pub(crate) fn store(error: &picnix_store::Error) -> Self {
        let made = Self::user(picnix_engine::chain(error));
        match error.hint() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code of Nix's commands.
    pub(crate) fn nix_code(&self) -> ExitCode {
        ExitCode::from(self.nix_status)
    }

    /// Shows the error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let prefix = if self.message.starts_with("error:") { "" } else { "error: " };
        crate::output::error(&format!("{prefix}{}", self.message));
        for hint in &self.hints {
            crate::output::error(&format!("hint: {hint}"));
        }
        match self.kind {
            Kind::User => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        }
    }
}

impl From<picnix_engine::Error> for CommandError {
    fn from(error: picnix_engine::Error) -> Self {
        let hint = match &error {
            picnix_engine::Error::Store(error) => return Self::store(error),
            picnix_engine::Error::Build(picnix_build::Error::Failed(failure)) => {
                hint_of_step(&failure.reason)
            }
            _ => None,
        };
        let mut made = Self::user(picnix_engine::chain(&error));
        made.nix_status = error.nix_status();
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

/// What to do about a step that failed for what is not its builder's fault.
fn hint_of_step(reason: &StepError) -> Option<String> {
    if let StepError::Store(error) = reason {
        return error.hint();
    }
    if let StepError::HashMismatch { got, .. } = reason {
        return Some(format!("if what came is what you want, write the hash \"{got}\""));
    }
    let mut cause = Some(reason as &dyn Error);
    if let StepError::Fetch(error) = reason {
        cause = Some(error.as_ref());
    }
    while let Some(error) = cause {
        let is_full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
        if error.downcast_ref::<io::Error>().is_some_and(is_full) {
            return Some(
                "free some space, for instance with 'picnix store gc'".to_owned(),
            );
        }
        cause = error.source();
    }
    None
}

impl From<picnix_vm::VmError> for CommandError {
    fn from(error: picnix_vm::VmError) -> Self {
        Self::user(picnix_engine::chain(&error))
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::user(format!("cannot write to standard output: {error}"))
    }
}
