//! What can go wrong between the hops.

use std::path::PathBuf;

use picnix_eval::flake::WRONG_HASH_STATUS;
use picnix_store_core::{Hash, HashFormat};

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The current directory is gone.
    #[error("cannot tell the current directory")]
    CurrentDir(#[source] std::io::Error),
    /// There is neither a home directory nor `PICNIX_STORE`.
    #[error("there is no place for a store: neither 'HOME' nor 'PICNIX_STORE' is set")]
    NoStorePlace,
    /// The store cannot be where it should.
    #[error(
        "'{place}' cannot be the store: {reason}; name a folder, 'local?root=FOLDER' or 'auto' ('store copy' reaches \
         other stores, the setting 'builders' other machines)"
    )]
    StorePlace {
        /// What was named.
        place: String,
        /// Why not.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} '{}'", path.display())]
    File {
        /// What was being done: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] picnix_store::Error),
    /// A build failed, or could not be planned.
    #[error(transparent)]
    Build(#[from] picnix_build::Error),
    /// A binary cache is of no use.
    #[error(transparent)]
    Cache(#[from] picnix_build::cache::CacheError),
    /// Another machine is of no use.
    #[error(transparent)]
    Remote(#[from] picnix_build::remote::RemoteError),
    /// A client of the daemon broke off.
    #[error(transparent)]
    Daemon(#[from] picnix_build::daemon::DaemonError),
    /// The server of the store failed.
    #[error("cannot serve the store")]
    Serve(#[source] std::io::Error),
    /// A setting makes no sense.
    #[error("invalid setting '{name}' with the value '{value}': {reason}")]
    Setting {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A line of a settings file makes no sense.
    #[error("{whence}:{line}: {reason}")]
    SettingsLine {
        /// The file.
        whence: String,
        /// The line's number.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file holds no key.
    #[error("in the key file '{}'", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: picnix_store_core::Error,
    },
    /// A key cannot have that name.
    #[error(
        "'{0}' cannot be the name of a key; use something like 'cache.example.org-1'"
    )]
    KeyName(String),
    /// A virtual machine could not be described or started.
    #[error(transparent)]
    Vm(#[from] picnix_vm::VmError),
    /// There is no file of that name.
    #[error("there is no configuration at '{}'", .0.display())]
    NoConfiguration(PathBuf),
    /// The configuration's system has no image of that format.
    #[error("there is no image format '{format}'; there are: {}{}", known.join(", "), did_you_mean(similar))]
    NoFormat {
        /// The format asked for.
        format: String,
        /// Those that there are.
        known: Vec<String>,
        /// Those that are spelled alike.
        similar: Vec<String>,
    },
    /// Nothing in the configuration asks for that option of the kernel.
    #[error("nothing asks for the kernel's option '{name}'{}", did_you_mean(similar))]
    NoKernelOption {
        /// The option without `CONFIG_`.
        name: String,
        /// Those asked for that are spelled alike.
        similar: Vec<String>,
    },
    /// A build did not give what it was asked for.
    #[error("the build of '{0}' gave no such output")]
    NoOutput(String),
    /// A shell cannot be started.
    #[error("executing shell '{program}'")]
    NoShell {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program cannot be let see the store.
    #[error(transparent)]
    View(#[from] picnix_sandbox::Error),
    /// Something could not be downloaded.
    #[error(transparent)]
    Download(#[from] picnix_fetch::Error),
    /// A tree has another hash than the input says.
    #[error(
        "NAR hash mismatch in input '{input}', expected '{}' but got '{}'",
        wanted.print(HashFormat::Sri), got.print(HashFormat::Sri)
    )]
    TreeMismatch {
        /// The input.
        input: String,
        /// The hash that the tree should have.
        wanted: Box<Hash>,
        /// The hash that it has.
        got: Box<Hash>,
    },
    /// What came is not what was expected.
    #[error(
        "hash mismatch in file downloaded from '{url}':\n  specified: {}\n  got:       {}",
        wanted.print_prefixed(HashFormat::Nix32), got.print_prefixed(HashFormat::Nix32)
    )]
    HashMismatch {
        /// Where it came from.
        url: String,
        /// The hash that it should have.
        wanted: Box<Hash>,
        /// The hash that it has.
        got: Box<Hash>,
    },
    /// A tarball could not be unpacked.
    #[error("cannot unpack '{url}'")]
    Archive {
        /// Where it came from.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There is nothing at a path.
    #[error("path '{}' does not exist", .0.display())]
    NoPath(PathBuf),
    /// There is no repository at a path.
    #[error("Git repository {0:?} does not exist.")]
    NoRepository(PathBuf),
    /// `git` failed.
    #[error("'git {command}' failed in '{}': {reason}", dir.display())]
    Git {
        /// Its command, such as "fetch".
        command: String,
        /// Where it ran.
        dir: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Something cannot be fetched.
    #[error("cannot fetch {what}: {reason}")]
    CannotFetch {
        /// What it is.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A reference to a tree is wrong.
    #[error(transparent)]
    Reference(#[from] picnix_eval::flake::RefError),
    /// An evaluation failed; the text is complete, with places and trace.
    #[error("{0}")]
    Evaluation(String),
    /// The same, where Nix's commands end with a status of their own.
    #[error("{report}")]
    EvaluationOutside {
        /// The text.
        report: String,
        /// The exit status.
        nix_status: u8,
    },
}

impl Error {
    /// The report of an evaluation that failed.
    pub(crate) fn evaluation(error: &picnix_eval::Error, report: String) -> Self {
        match error.report().nix_status {
            1 => Self::Evaluation(report),
            nix_status => Self::EvaluationOutside { report, nix_status },
        }
    }

    /// The exit status that Nix's commands have for it.
    #[must_use]
    pub fn nix_status(&self) -> u8 {
        match self {
            Self::Build(picnix_build::Error::Failed(failure)) => {
                failure.kinds.exit_status()
            }
            Self::HashMismatch { .. } | Self::TreeMismatch { .. } => WRONG_HASH_STATUS,
            Self::EvaluationOutside { nix_status, .. } => *nix_status,
            _ => 1,
        }
    }
}

fn did_you_mean(similar: &[String]) -> String {
    similar.first().map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}
