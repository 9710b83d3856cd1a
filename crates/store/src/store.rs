//! An open store, and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use picnix_closure::{Graph, Node};
use picnix_store_core::{
    Derivation, DrvHash, OutputName, PathInfo, Signature, StoreDir, StorePath,
};

use crate::config::{Access, Durability, Layout, StoreConfig};
use crate::database::Database;
use crate::error::{Context, Error, Result};
use crate::lock::PathLocks;
use crate::pipe::{DumpSink, Written};
use crate::reserve::{make_reserve, release_reserve};
use crate::session::Session;
use crate::tree::dump;

/// An open store. Threads may share it.
pub struct Store {
    pub(crate) config: StoreConfig,
    pub(crate) layout: Layout,
    pub(crate) database: Database,
    session: Mutex<Session>,
    /// The folder of the objects, for syncing its file system.
    objects: File,
    pub(crate) derivations: Mutex<BTreeMap<StorePath, Arc<Derivation>>>,
    /// Hashes modulo of valid derivations.
    pub(crate) derivation_hashes: Mutex<BTreeMap<StorePath, Arc<DrvHash>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.config.root).finish()
    }
}

impl Store {
    /// Opens a store, and creates it if there is none and it may be changed.
    ///
    /// The root of a store of Nix itself is refused: its database is another one, and everything in
    /// it would look like garbage.
    pub fn open(mut config: StoreConfig) -> Result<Self> {
        // Links into the store must hold wherever they are followed from.
        config.root = std::path::absolute(&config.root)
            .context("find the absolute path of", &config.root)?;
        let layout = Layout::new(&config.root, &config.store_dir);
        if config.root.join("nix/var/nix/db/db.sqlite").exists() {
            let reason = "a store of Nix itself lies here".to_owned();
            return Err(Error::DatabaseCorrupt { path: config.root, reason });
        }
        match config.access {
            // The folders are made in order, so that the last one tells whether all exist.
            Access::ReadWrite if !layout.is_complete() => {
                for folder in layout.folders() {
                    std::fs::create_dir_all(folder)
                        .context("create the directory", folder)?;
                }
            }
            Access::ReadOnly if !layout.database.exists() => {
                return Err(Error::Missing(config.root));
            }
            Access::ReadWrite | Access::ReadOnly => {}
        }
        let may_write = config.access == Access::ReadWrite;
        let database = match Database::open(&layout.database, config.access) {
            Err(error)
                if may_write
                    && error.is_disk_full()
                    && release_reserve(&layout.reserve) =>
            {
                Database::open(&layout.database, config.access)?
            }
            other => {
                let database = other?;
                if may_write {
                    make_reserve(&layout.reserve);
                }
                database
            }
        };
        let objects =
            File::open(&layout.objects).context("open the directory", &layout.objects)?;
        Ok(Self {
            config,
            layout,
            database,
            session: Mutex::default(),
            objects,
            derivations: Mutex::default(),
            derivation_hashes: Mutex::default(),
        })
    }

    /// How it was opened.
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// The logical store directory.
    pub fn store_dir(&self) -> &StoreDir {
        &self.config.store_dir
    }

    /// The folder that holds the objects.
    pub fn objects_dir(&self) -> &Path {
        &self.layout.objects
    }

    /// The folder for logs of builds.
    pub fn logs_dir(&self) -> &Path {
        &self.layout.logs
    }

    /// Where an object lies on this machine.
    pub fn real_path(&self, path: &StorePath) -> PathBuf {
        self.layout.object(path)
    }

    /// Where a logical path at or below an object lies on this machine.
    pub fn real_path_within(&self, path: &[u8]) -> Result<PathBuf> {
        use std::os::unix::ffi::OsStrExt as _;
        let (object, rest) = self.store_dir().parse_path_within(path)?;
        let mut real = self.real_path(&object).into_os_string();
        real.push(std::ffi::OsStr::from_bytes(rest));
        Ok(real.into())
    }

    /// Is the path valid?
    ///
    /// Only a path that is a temporary root (or alive otherwise) stays so; see
    /// [`Store::add_temp_roots`].
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        self.database.is_valid(path)
    }

    /// Those of some paths that are valid.
    pub fn valid_among<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        self.database.valid_among(paths)
    }

    /// What is known of a path; `None` if it is not valid.
    pub fn query_path_info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.database.info(path)
    }

    /// What is known of a path that must be valid.
    pub fn path_info(&self, path: &StorePath) -> Result<PathInfo> {
        self.database.info(path)?.ok_or_else(|| self.not_valid(path))
    }

    /// What a valid path refers to, possibly itself.
    pub fn query_references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        Ok(self.path_info(path)?.references)
    }

    /// The valid paths that refer to a path, possibly itself.
    pub fn query_referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.database.referrers(path)
    }

    /// The valid paths that a derivation produced, as far as the store knows.
    pub fn query_outputs(&self, deriver: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.database.outputs_of(deriver)
    }

    /// Every valid path.
    pub fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        self.database.all()
    }

    /// The valid path with this digest.
    pub fn path_from_digest(
        &self,
        digest: &[u8; picnix_store_core::DIGEST_CHARS],
    ) -> Result<Option<StorePath>> {
        self.database.by_digest(digest)
    }

    /// Everything that some valid paths reach over references, themselves included.
    pub fn closure<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        self.database.closure(paths)
    }

    /// The closure of some valid paths as a graph with sizes.
    pub fn graph<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Graph> {
        let mut nodes = Vec::new();
        for path in self.closure(roots)? {
            let PathInfo { path, nar_size, references, .. } = self.path_info(&path)?;
            nodes.push(Node { path, nar_size, references });
        }
        Ok(Graph::new(nodes)?)
    }

    /// Writes the NAR of a valid path.
    pub fn dump(&self, path: &StorePath, sink: impl Write) -> Result<()> {
        self.dump_into(path, Written(sink))
    }

    /// As [`Store::dump`], into a sink that may have files read into its memory.
    pub fn dump_into(&self, path: &StorePath, sink: impl DumpSink) -> Result<()> {
        if !self.is_valid(path)? {
            return Err(self.not_valid(path));
        }
        dump(&self.real_path(path), sink).map(|_| ())
    }

    /// The outputs of a derivation in the store with their paths, where these are known.
    pub fn derivation_outputs(
        &self,
        drv_path: &StorePath,
    ) -> Result<BTreeMap<OutputName, Option<StorePath>>> {
        Ok(self.read_derivation(drv_path)?.output_paths(self.store_dir())?)
    }

    /// Replaces the signatures of a valid path.
    pub fn set_signatures(
        &self,
        path: &StorePath,
        signatures: &BTreeSet<Signature>,
    ) -> Result<()> {
        self.require_writable()?;
        self.database.set_signatures(path, signatures)
    }

    /// Keeps paths from being collected as long as this store is open, valid or not yet.
    ///
    /// First add the root, then ask whether the path is valid: in the other order it may vanish in
    /// between. What a valid path refers to is kept with it; inputs of a build are not kept by an
    /// output that is not valid yet, so they need roots of their own.
    pub fn add_temp_roots<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<()> {
        if self.config.access == Access::ReadOnly {
            return Ok(());
        }
        lock(&self.session).add_roots(&self.layout, paths)
    }

    /// A path on the store's file system at which nothing is, and which is removed, with whatever
    /// was made there, when the store is closed or its process dies.
    pub fn temp_path(&self) -> Result<PathBuf> {
        self.require_writable()?;
        lock(&self.session).temp_path(&self.layout)
    }

    /// Waits for locks on paths, so that no other process builds or fetches them at the same time.
    pub fn lock_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<PathLocks> {
        self.require_writable()?;
        PathLocks::wait(&self.layout.locks, paths)
    }

    /// Takes locks on paths, or `None` if somebody has one of them.
    pub fn try_lock_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Option<PathLocks>> {
        self.require_writable()?;
        PathLocks::try_now(&self.layout.locks, paths)
    }

    pub(crate) fn require_writable(&self) -> Result<()> {
        match self.config.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::ReadOnly(self.config.root.clone())),
        }
    }

    pub(crate) fn not_valid(&self, path: &StorePath) -> Error {
        Error::NotValid(self.store_dir().print(path))
    }

    /// How many bytes an ordinary user may still write where the objects are.
    pub fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::fstatvfs(&self.objects);
        let found = found.context("examine the file system of", &self.layout.objects)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Waits until some files, and the names of objects, are on the disk.
    pub(crate) fn sync_each(&self, files: &[PathBuf]) -> Result<()> {
        if self.config.durability == Durability::Unsynced {
            return Ok(());
        }
        for path in files {
            let file = File::open(path).context("open", path)?;
            rustix::fs::fsync(&file).context("sync", path)?;
        }
        rustix::fs::fsync(&self.objects).context("sync", &self.layout.objects)
    }

    /// Waits until everything written so far is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        match self.config.durability {
            Durability::Unsynced => Ok(()),
            Durability::Synced => {
                rustix::fs::syncfs(&self.objects).context("sync", &self.layout.objects)
            }
        }
    }
}

/// Locks a value whose state is sound even if a thread died.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
