//! What evaluation may know of the outside.
//!
//! The evaluator performs no input or output itself: files, the environment, the clock and the store are all
//! reached through a [`World`]. The engine has the real one; tests have one in memory. A world also decides
//! what evaluation must not see (pure and restricted modes): it then answers with an error.
//!
//! Paths are absolute and canonical byte strings. A path below the store directory is logical: the world maps
//! it to where the store really lies.

use picnix_store_core::{Derivation, DerivationText, Hash, StoreDir, StorePath};

use crate::features::Features;
use crate::flake::{Input, Registries};
use crate::interrupt::Interrupt;
use crate::lints::Lints;

/// An answer of the outside, or a message that says why there is none.
pub type WorldResult<T> = std::result::Result<T, WorldError>;

/// Why the outside gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct WorldError {
    /// The message, worded as Nix words it where the ecosystem matches on it.
    pub message: String,
    /// What could be done about it.
    pub hint: Option<String>,
    /// Whether a build failed, rather than a read.
    pub is_build_failure: bool,
    /// The exit status that Nix's commands have for it: mostly 1.
    pub nix_status: u8,
    /// Whether the thing may be there, but must not be seen: `builtins.pathExists` says no to it.
    pub is_forbidden: bool,
}

impl WorldError {
    /// Makes an error without a hint.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            is_build_failure: false,
            nix_status: 1,
            is_forbidden: false,
        }
    }
}

/// The kind of a file, as `builtins.readFileType` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Unknown,
}

impl FileKind {
    /// The name that Nix uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Unknown => "unknown",
        }
    }
}

/// How a path becomes a store object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingestion {
    /// The contents of a regular file.
    Flat,
    /// The NAR of a file system object.
    Nar,
}

/// Decides whether `path` (absolute) becomes a part of the store object.
pub type PathFilter<'f> = &'f mut dyn FnMut(&[u8], FileKind) -> crate::Result<bool>;

/// A thing that must be valid before evaluation can go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realisation {
    /// A store object.
    Opaque(StorePath),
    /// An output of a derivation.
    Built(StorePath, String),
    /// A derivation with everything that it refers to.
    DrvDeep(StorePath),
}

/// A file or a tarball that is to be fetched by its URL.
#[derive(Clone, Debug)]
pub struct UrlFetch<'a> {
    /// Where it is.
    pub url: &'a str,
    /// The name of the store object.
    pub name: &'a str,
    /// Whether it is a tarball whose contents are the store object.
    pub unpack: bool,
    /// The hash that the file, or the NAR of what is unpacked, must have.
    pub expected: Option<Hash>,
}

/// A tree that was fetched.
#[derive(Clone, Debug)]
pub struct FetchedTree {
    /// The store object.
    pub path: StorePath,
    /// What is known of it: the input with everything that fetching found, `narHash` among it.
    pub locked: Input,
}

/// The outside, as evaluation sees it. Every method may be called many times and must answer alike.
pub trait World {
    /// The logical store directory.
    fn store_dir(&self) -> &StoreDir;

    /// The bytes of a regular file; symbolic links are followed.
    ///
    /// # Errors
    /// The file is missing, unreadable or forbidden.
    fn read_file(&self, path: &[u8]) -> WorldResult<Vec<u8>>;

    /// The names in a directory and what they are (not following links), in any order.
    ///
    /// # Errors
    /// The directory is missing, unreadable or forbidden.
    fn read_dir(&self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileKind)>>;

    /// What a path is, not following a link in its last component; none where there is nothing.
    ///
    /// # Errors
    /// The path is forbidden, or the look-up failed otherwise than by not finding anything.
    fn file_kind(&self, path: &[u8]) -> WorldResult<Option<FileKind>>;

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// The path is no link, or forbidden.
    fn read_link(&self, path: &[u8]) -> WorldResult<Vec<u8>>;

    /// A variable of the environment; none where it is unset or hidden.
    fn env_var(&self, name: &[u8]) -> Option<Vec<u8>>;

    /// Seconds since 1970 at the start of the evaluation; none in pure mode.
    fn current_time(&self) -> Option<i64>;

    /// `builtins.currentSystem`; none in pure mode.
    fn current_system(&self) -> Option<String>;

    /// Copies a path into the store and returns its store path.
    ///
    /// `expected` is a hash that the object must have; where it is given and valid already, nothing is read.
    /// The object refers to `references`.
    ///
    /// # Errors
    /// The outer error is the outside's, the inner one that of the filter.
    fn add_path(
        &self,
        path: &[u8],
        name: &str,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
        expected: Option<&Hash>,
        references: &[StorePath],
    ) -> WorldResult<crate::Result<StorePath>>;

    /// Adds a text object, as `builtins.toFile` does.
    ///
    /// # Errors
    /// The name or the store refuses.
    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> WorldResult<StorePath>;

    /// Writes a derivation, whose outputs are computed. `text` is its file.
    ///
    /// # Errors
    /// The store refuses.
    fn add_derivation(
        &self,
        derivation: Derivation,
        text: DerivationText,
    ) -> WorldResult<()>;

    /// The derivation at a path that this evaluation did not make itself.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    fn read_derivation(&self, path: &StorePath) -> WorldResult<Derivation>;

    /// What the store object at a path refers to; nothing where the object is not valid.
    ///
    /// # Errors
    /// The store cannot be read.
    fn references(&self, path: &StorePath) -> WorldResult<Vec<StorePath>>;

    /// Makes things valid, by building if need be (import from derivation).
    ///
    /// # Errors
    /// A build failed, or building during evaluation is not allowed.
    fn realise(&self, what: &[Realisation]) -> WorldResult<()>;

    /// Checks that a store path is valid (`builtins.storePath`), making it so by substitution if that is possible.
    ///
    /// # Errors
    /// It is not valid.
    fn ensure_path(&self, path: &StorePath) -> WorldResult<()>;

    /// Fetches a file, or what is in a tarball, into the store.
    ///
    /// # Errors
    /// It cannot be had, or has another hash than was expected.
    fn fetch_url(&self, request: &UrlFetch<'_>) -> WorldResult<StorePath> {
        Err(WorldError::new(format!(
            "cannot fetch '{}': there is no network here",
            request.url
        )))
    }

    /// Fetches a tree into the store.
    ///
    /// # Errors
    /// It cannot be had.
    fn fetch_tree(&self, input: &Input) -> WorldResult<FetchedTree> {
        Err(WorldError::new(format!(
            "cannot fetch '{}': there is no network here",
            input.show()
        )))
    }

    /// Makes a store object valid with everything that it refers to, from a binary cache if need be; says
    /// whether its path follows from its contents.
    ///
    /// # Errors
    /// The cache does not have it, or is not believed.
    fn fetch_closure(&self, cache: &str, path: &StorePath) -> WorldResult<bool> {
        Err(WorldError::new(format!(
            "cannot copy '{path}' from '{cache}': there is no network here"
        )))
    }

    /// Makes a content-addressed copy of a store object valid, with copies of everything that it refers to, from
    /// a binary cache if need be; returns its path.
    ///
    /// # Errors
    /// The cache does not have it.
    fn readdress_closure(&self, cache: &str, path: &StorePath) -> WorldResult<StorePath> {
        Err(WorldError::new(format!(
            "cannot copy '{path}' from '{cache}': there is no network here"
        )))
    }

    /// What a registry says that a name means; none if no registry has it.
    ///
    /// # Errors
    /// A registry cannot be read.
    fn lookup_flake(
        &self,
        _input: &Input,
        _registries: Registries,
    ) -> WorldResult<Option<crate::flake::FlakeRef>> {
        Ok(None)
    }

    /// Fails where a canonical path must not be seen.
    ///
    /// # Errors
    /// See above.
    fn check_access(&self, _path: &[u8]) -> WorldResult<()> {
        Ok(())
    }

    /// Shows a line of `builtins.trace` or `builtins.warn`, without a newline at its end.
    fn message(&self, line: &str);
}

/// What evaluation is told by its caller, rather than by the outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `NIX_PATH` and `-I`: prefix (may be empty) and path, in the order of search.
    pub search_path: Vec<(Vec<u8>, Vec<u8>)>,
    /// The directory that relative paths of `-E` expressions are relative to.
    pub base_dir: Vec<u8>,
    /// The directory that `~/` stands for.
    pub home_dir: Option<Vec<u8>>,
    /// No impure builtins: `currentTime`, `currentSystem`, `getEnv`, absolute paths outside the store.
    pub pure: bool,
    /// Only what the world shows may be read, and only allowed URIs may be fetched.
    pub restricted: bool,
    /// The prefixes of URIs that may be fetched; where there are none, all may unless `restricted`.
    pub allowed_uris: Option<Vec<String>>,
    /// Whether `|>` and `<|` are operators.
    pub pipe_operators: bool,
    /// Whether import from derivation is allowed.
    pub allow_import_from_derivation: bool,
    /// The deepest chain of calls.
    pub max_call_depth: usize,
    /// Whether `builtins.trace` of `traceVerbose` shows anything.
    pub trace_verbose: bool,
    /// Whether `builtins.warn` aborts.
    pub abort_on_warn: bool,
    /// Whether what is printed tells forced values from others, so that exactly what C++ Nix makes a thunk of is one.
    pub unforced_shown: bool,
    /// Whether errors will be shown with every call on their way; if not, calls are left out of traces.
    pub show_trace: bool,
    /// Experimental features of Nix that are on.
    pub features: Features,
    /// What happens at literals that are better written otherwise.
    pub lints: Lints,
    /// A request to stop, which somebody may make while evaluation runs.
    pub interrupt: Interrupt,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            search_path: Vec::new(),
            base_dir: b"/".to_vec(),
            home_dir: None,
            pure: false,
            restricted: false,
            allowed_uris: None,
            pipe_operators: false,
            allow_import_from_derivation: true,
            max_call_depth: 10_000,
            unforced_shown: false,
            trace_verbose: false,
            abort_on_warn: false,
            show_trace: false,
            features: Features::default(),
            lints: Lints::default(),
            interrupt: Interrupt::default(),
        }
    }
}
