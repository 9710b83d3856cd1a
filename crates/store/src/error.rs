//! The one error type of this crate.
//!
//! A message names the path and what was tried; the operating system's own words follow. What to do
//! about it is a hint of its own ([`Error::hint`]), for the command line to print below.

use std::io;
use std::path::{Path, PathBuf};

use picnix_store_core::StorePath;

/// Anything that can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A format broke its rules, or a stream failed.
    #[error("{0}")]
    Format(#[from] picnix_store_core::Error),
    /// A format broke its rules in a file.
    #[error("in '{}': {source}", path.display())]
    FormatIn {
        /// The file.
        path: PathBuf,
        /// The broken rule.
        source: Box<picnix_store_core::Error>,
    },
    /// The database refused something.
    #[error("store database '{}': {source}", path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// The refusal.
        source: rusqlite::Error,
    },
    /// The database's file is damaged or no database.
    #[error("store database '{}' is corrupt: {reason}", path.display())]
    DatabaseCorrupt {
        /// The database's file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The database was written by a later picnix.
    #[error(
        "store database '{}' has schema version {found}, but this picnix knows only versions up to {known}",
        path.display()
    )]
    SchemaTooNew {
        /// The database's file.
        path: PathBuf,
        /// The version in it.
        found: i64,
        /// The latest version that this program knows.
        known: i64,
    },
    /// The store is opened for reading only.
    #[error("the store '{}' is open for reading only", .0.display())]
    ReadOnly(PathBuf),
    /// There is no store where one should be read.
    #[error("there is no store at '{}'", .0.display())]
    Missing(PathBuf),
    /// A closure that is not one, because the store changed while it was read.
    #[error("{0}; was it collected just now?")]
    Graph(#[from] picnix_closure::Error),
    /// A profile that does not exist or has no name.
    #[error("there is no profile '{}'", .0.display())]
    NoProfile(PathBuf),
    /// A generation that a profile does not have.
    #[error("profile '{}' has no {}", profile.display(), generation_text(*wanted))]
    NoGeneration {
        /// The profile.
        profile: PathBuf,
        /// The number asked for; none for the one before the current one.
        wanted: Option<u64>,
    },
    /// A path that ought to be valid and is not.
    #[error("path '{0}' is not valid")]
    NotValid(String),
    /// A path about to become valid refers to one that is not.
    #[error("cannot register path '{path}': its reference '{reference}' is not valid")]
    ReferenceNotValid {
        /// The path.
        path: StorePath,
        /// What it refers to.
        reference: StorePath,
    },
    /// A derivation whose outputs are not the paths that follow from it, or cannot be checked.
    #[error("cannot add derivation '{path}': {source}")]
    WrongDerivation {
        /// The derivation.
        path: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Derivations that need each other.
    #[error("derivation '{0}' is needed to build itself")]
    DerivationCycle(String),
    /// A stream that no `nix-store --export` wrote.
    #[error("input doesn't look like something created by 'nix-store --export'")]
    NotAnExport,
    /// A text that no `nix-store --dump-db` wrote.
    #[error("input is not a dump of a store database: {0}")]
    Registration(String),
    /// A file of a type that no store object can have.
    #[error("file '{}' has an unsupported type", .0.display())]
    FileType(PathBuf),
    /// A file of somebody else in a tree that is to become a store object.
    #[error("invalid ownership on file '{}'", .0.display())]
    Ownership(PathBuf),
    /// A file that changed while it was read.
    #[error("file '{}' changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A flat object that is not a regular file.
    #[error("path '{}' should be a regular file since its hash is flat", .0.display())]
    NotFlat(PathBuf),
    /// A tree that is too deep for a NAR.
    #[error("path '{}' exceeds maximum NAR directory depth of {max}", path.display())]
    Depth {
        /// The first node that is too deep.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// A filter that failed; whoever gave it knows why.
    #[error("the filter of source files failed")]
    FilterStopped,
    /// Contents that are not those announced.
    #[error(
        "hash mismatch importing path '{path}';\n  specified: sha256:{expected}\n  got:       sha256:{actual}"
    )]
    HashMismatch {
        /// The path.
        path: StorePath,
        /// The NAR hash in the path's info, in base 32.
        expected: String,
        /// The NAR hash of what came.
        actual: String,
    },
    /// Contents whose length is not the announced one.
    #[error(
        "size mismatch importing path '{path}';\n  specified: {expected}\n  got:       {actual}"
    )]
    SizeMismatch {
        /// The path.
        path: StorePath,
        /// The NAR size in the path's info.
        expected: u64,
        /// The NAR size of what came.
        actual: u64,
    },
    /// Contents whose hash does not fit the path's content address.
    #[error(
        "ca hash mismatch importing path '{path}';\n  specified: {expected}\n  got:       {actual}"
    )]
    ContentAddressMismatch {
        /// The path.
        path: StorePath,
        /// The content address in the path's info.
        expected: String,
        /// That of what came.
        actual: String,
    },
    /// A path that cannot be deleted because something keeps it.
    #[error("cannot delete path '{path}' since it is still alive: {keeper}")]
    Alive {
        /// The path.
        path: StorePath,
        /// A root or referrer that keeps it.
        keeper: String,
    },
    /// A link about to become a root stands where a file of somebody's is.
    #[error("cannot create the link '{}': a file of that name exists", .0.display())]
    RootOccupied(PathBuf),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn generation_text(wanted: Option<u64>) -> String {
    match wanted {
        Some(number) => format!("generation {number}"),
        None => "generation before the current one".to_owned(),
    }
}

impl Error {
    /// What the user may do about it, if that is not plain.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.raw_os_error() {
                Some(libc_errno::ENOSPC | libc_errno::EDQUOT) => Some(
                    "free some space, for instance with 'picnix store gc'; the store itself is intact"
                        .to_owned(),
                ),
                Some(libc_errno::EROFS) => {
                    Some("the file system is mounted read-only".to_owned())
                }
                Some(libc_errno::EACCES | libc_errno::EPERM) => Some(format!(
                    "check who owns '{}', or choose another store with --store",
                    path.display()
                )),
                Some(libc_errno::EMFILE | libc_errno::ENFILE) => {
                    Some("raise the limit of open files ('ulimit -n')".to_owned())
                }
                _ => None,
            },
            Self::DatabaseCorrupt { path, .. } => Some(format!(
                "move '{}' and its '-wal' and '-shm' files away; the objects are then built or \
                 fetched anew",
                path.display()
            )),
            Self::ReadOnly(_) => Some(
                "its file system is mounted read-only, or this user may not write there; \
                 --store names another store"
                    .to_owned(),
            ),
            Self::SchemaTooNew { .. } => Some(
                "use the picnix that wrote it, or another store with --store".to_owned(),
            ),
            _ => None,
        }
    }

    /// Is it that nothing may be written there, by this user or by anybody?
    pub fn forbids_writing(&self) -> bool {
        let is_among = |error: &io::Error| {
            let forbidden = [libc_errno::EROFS, libc_errno::EACCES, libc_errno::EPERM];
            error.raw_os_error().is_some_and(|number| forbidden.contains(&number))
        };
        matches!(self, Self::Io { source, .. } if is_among(source))
    }

    /// Is it a full disk or an exhausted quota?
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc_errno::ENOSPC | libc_errno::EDQUOT)
            ),
            Self::Database { source, .. } => {
                // SQLite has a code of its own for "no room for the log's index".
                let extended = source.sqlite_error().map(|error| error.extended_code);
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
                    || extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
            }
            _ => false,
        }
    }
}

/// The numbers of Linux, which are those of every architecture picnix runs on.
mod libc_errno {
    use rustix::io::Errno;

    pub(super) const EPERM: i32 = Errno::PERM.raw_os_error();
    pub(super) const EACCES: i32 = Errno::ACCESS.raw_os_error();
    pub(super) const ENFILE: i32 = Errno::NFILE.raw_os_error();
    pub(super) const EMFILE: i32 = Errno::MFILE.raw_os_error();
    pub(super) const ENOSPC: i32 = Errno::NOSPC.raw_os_error();
    pub(super) const EROFS: i32 = Errno::ROFS.raw_os_error();
    pub(super) const EDQUOT: i32 = Errno::DQUOT.raw_os_error();
}

/// Adds the action and the path to an error of the operating system.
pub(crate) trait Context<T> {
    /// Turns the error into [`Error::Io`].
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}
