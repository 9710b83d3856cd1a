//! Where a store lies and how careful it is.

use std::path::{Path, PathBuf};

use picnix_store_core::{StoreDir, StorePath};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The folder that holds everything of this store, such as `~/.local/share/picnix`.
    pub root: PathBuf,
    /// The store directory that objects believe to be in.
    pub store_dir: StoreDir,
    /// May it be changed?
    pub access: Access,
    /// What happens before an object is called valid.
    pub durability: Durability,
    /// Whether the files of new objects share their blocks with equal ones, as [`crate::Store::optimise`] lets
    /// them.
    pub auto_optimise: bool,
    /// Files with the keys that what is built here is signed with; read when something is built.
    pub secret_key_files: Vec<PathBuf>,
}

impl StoreConfig {
    /// A store that may be changed and survives power loss, under `/nix/store`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            store_dir: StoreDir::default(),
            access: Access::ReadWrite,
            durability: Durability::Synced,
            auto_optimise: false,
            secret_key_files: Vec::new(),
        }
    }
}

/// May a store be changed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Yes; it is created if it does not exist.
    ReadWrite,
    /// No; nothing is written, not even locks. For stores on read-only media.
    ReadOnly,
}

/// What happens before an object is called valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is written to the disk, so that a valid object survives the loss of power.
    Synced,
    /// Nothing: a killed process does no harm, but the loss of power may. For throw-away stores.
    Unsynced,
}

/// The folders and files of a store on disk, all derived from its root.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The store objects.
    pub(crate) objects: PathBuf,
    /// The database.
    pub(crate) database: PathBuf,
    /// Space for the collector on a full disk.
    pub(crate) reserve: PathBuf,
    /// Links that keep objects alive.
    pub(crate) roots: PathBuf,
    /// Links to links elsewhere that keep objects alive.
    pub(crate) indirect_roots: PathBuf,
    /// One file for each running process: what it needs.
    pub(crate) temp_roots: PathBuf,
    /// Logs of builds.
    pub(crate) logs: PathBuf,
    /// One link for each content of files that are shared.
    pub(crate) links: PathBuf,
    /// Lock files.
    pub(crate) locks: PathBuf,
    /// Objects under construction, trees being deleted; a folder for each running process.
    pub(crate) temp: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path, store_dir: &StoreDir) -> Self {
        let var = root.join("nix/var/picnix");
        Self {
            objects: root.join(store_dir.as_str().trim_start_matches('/')),
            database: var.join("db/store.sqlite"),
            reserve: var.join("db/reserve"),
            roots: var.join("gcroots"),
            indirect_roots: var.join("gcroots/auto"),
            temp_roots: var.join("temproots"),
            logs: var.join("log"),
            links: var.join("links"),
            locks: var.join("locks"),
            temp: var.join("tmp"),
        }
    }

    /// Every folder that must exist.
    pub(crate) fn folders(&self) -> [&Path; 8] {
        let database = self.database.parent().expect("the database lies in a folder");
        [
            &self.objects,
            database,
            &self.roots,
            &self.indirect_roots,
            &self.temp_roots,
            &self.logs,
            &self.locks,
            &self.temp,
        ]
    }

    /// Whether a store was made here. The folders are made in order, so the last one tells; that of the
    /// database is looked at too, since people delete it to make it anew.
    pub(crate) fn is_complete(&self) -> bool {
        self.temp.exists() && self.database.parent().is_some_and(Path::exists)
    }

    /// Where an object lies.
    pub(crate) fn object(&self, path: &StorePath) -> PathBuf {
        self.objects.join(path.to_string())
    }
}
