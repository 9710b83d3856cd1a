//! Nix's own commands, as far as scripts use them.
//!
//! The binary answers as `nix-instantiate`, `nix-build`, `nix-store`, `nix-hash` or `nix-daemon` when it is called
//! by that name, through a link or otherwise. Flags, output and exit codes are those of Nix 2.34; settings that have no meaning here
//! (such as `--option cores 4`) are accepted and ignored. What a command of Nix can do and these cannot is refused
//! by name, never left out silently.

mod build;
mod daemon;
mod eval;
mod flags;
mod graph;
mod hash;
mod instantiate;
mod query;
mod settings;
mod store;
mod transfer;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use crate::error::CommandError;
use crate::output;

/// A command of Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `nix-instantiate`
    Instantiate,
    /// `nix-build`
    Build,
    /// `nix-store`
    Store,
    /// `nix-daemon`
    Daemon,
    /// `nix-hash`
    Hash,
}

impl Command {
    /// The command that a program called `program` is, if it is one of Nix's.
    pub(crate) fn of_program(program: &OsStr) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        [Self::Instantiate, Self::Build, Self::Store, Self::Daemon, Self::Hash]
            .into_iter()
            .find(|command| command.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Instantiate => "nix-instantiate",
            Self::Build => "nix-build",
            Self::Store => "nix-store",
            Self::Daemon => "nix-daemon",
            Self::Hash => "nix-hash",
        }
    }

    fn help(self) -> String {
        match self {
            Self::Instantiate => instantiate::help(),
            Self::Build => build::help(),
            Self::Store => store::help(),
            Self::Daemon => daemon::help(),
            Self::Hash => hash::help(),
        }
    }
}

/// Runs a command of Nix with the arguments after its name.
pub(crate) fn run(command: Command, args: Vec<std::ffi::OsString>) -> ExitCode {
    match try_run(command, args) {
        Ok(code) => code,
        Err(Stop::Error(error)) => {
            // Nix does not tell whose fault it is, but how builds failed.
            error.report();
            error.nix_code()
        }
        Err(Stop::Usage(message)) => {
            let name = command.name();
            output::error(&format!("error: {message}"));
            output::error(&format!("Try '{name} --help' for more information."));
            ExitCode::from(1)
        }
    }
}

/// Why a command ends early.
pub(crate) enum Stop {
    /// The command line is wrong.
    Usage(String),
    /// Something else is.
    Error(CommandError),
}

impl<E: Into<CommandError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// A usage error.
pub(crate) fn usage<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Usage(message.into()))
}

fn try_run(command: Command, args: Vec<std::ffi::OsString>) -> Result<ExitCode, Stop> {
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        match arg.into_string() {
            Ok(text) => texts.push(text),
            Err(arg) => {
                return usage(format!(
                    "argument '{}' is not UTF-8",
                    arg.to_string_lossy()
                ));
            }
        }
    }
    if texts.iter().any(|arg| arg == "--version") {
        output::line(&format!(
            "{} (picnix) {}",
            command.name(),
            picnix_eval::NIX_VERSION
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    if texts.iter().any(|arg| arg == "--help") {
        output::write(command.help().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Instantiate => instantiate::run(texts),
        Command::Build => build::run(texts),
        Command::Store => store::run(texts),
        Command::Daemon => daemon::run(texts),
        Command::Hash => hash::run(texts),
    }
}
