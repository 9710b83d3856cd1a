//! Objects get their place: renamed, synced, registered.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use picnix_store_core::{PathInfo, StorePath};
use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;

use crate::error::{Context, Result};
use crate::lock::HeldLock;
use crate::session::move_away;
use crate::store::Store;
use crate::tree::remove_tree;

/// From this size on, objects are synced before the lock is taken and once more for the rename, so
/// that others do not wait for this one's data.
const SYNC_EARLY_SIZE: u64 = 16 << 20;

/// Up to so many files are synced one by one.
const SYNC_EACH_LEN: usize = 8;

/// A complete object under a temporary name.
pub(crate) struct Placement {
    /// Where it is: a tree with canonical metadata, on the store's file system.
    pub(crate) from: PathBuf,
    pub(crate) info: PathInfo,
}

impl Store {
    /// Gives objects their places and makes them valid, all or none.
    ///
    /// An object that is valid already stays; the new one is dropped. Infos with a registration time
    /// of 0 get the present one.
    ///
    /// # Errors
    /// One of them is a derivation whose outputs are not those that follow from it.
    pub(crate) fn place(&self, placements: Vec<Placement>) -> Result<()> {
        self.check_placements(&placements)?;
        self.place_own(placements)
    }

    /// As [`Store::place`], for derivations that this process has made, if there are any.
    pub(crate) fn place_own(&self, mut placements: Vec<Placement>) -> Result<()> {
        self.require_writable()?;
        self.add_temp_roots(placements.iter().map(|placement| &placement.info.path))?;
        let now = now();
        for Placement { info, .. } in &mut placements {
            if info.registration_time == 0 {
                info.registration_time = now;
            }
        }
        let size: u64 = placements.iter().map(|p| p.info.nar_size).sum();
        if size >= SYNC_EARLY_SIZE {
            self.sync()?;
        }
        let mut bin = Bin::new(self)?;
        let lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let valid = self.database.valid_among(placements.iter().map(|p| &p.info.path))?;
        let (old, new): (Vec<_>, Vec<_>) =
            placements.into_iter().partition(|p| valid.contains(&p.info.path));
        for Placement { from, info } in &new {
            let place = self.layout.object(&info.path);
            bin.throw(&place)?;
            rename_object(from, &place)?;
        }
        let mut placed = Vec::new();
        if !new.is_empty() {
            self.sync_placed(new.iter().map(|placement| &placement.info.path))?;
            let infos: Vec<PathInfo> = new.into_iter().map(|p| p.info).collect();
            self.database.register(&infos)?;
            self.forget_derivations(infos.iter().map(|info| &info.path));
            placed.extend(infos.into_iter().map(|info| info.path));
        }
        drop(lock);
        if self.config.auto_optimise {
            // They are valid, whether they share their blocks or not.
            let _ = self.optimise_paths(&placed);
        }
        // The new objects are valid; what cannot be deleted now goes with the session.
        let _ = bin.empty();
        old.iter().for_each(|placement| drop(remove_tree(&placement.from)));
        Ok(())
    }

    /// Waits until objects and their names are on the disk.
    ///
    /// Small objects are synced file by file: syncing the file system would wait for whatever else
    /// this machine is writing, too.
    fn sync_placed<'a>(&self, paths: impl Iterator<Item = &'a StorePath>) -> Result<()> {
        let mut files = Vec::new();
        for path in paths {
            if !few_files(&self.layout.object(path), &mut files)? {
                return self.sync();
            }
        }
        self.sync_each(&files)
    }

    /// Makes objects valid that lie in their places already, all or none.
    pub(crate) fn register_present(&self, mut infos: Vec<PathInfo>) -> Result<()> {
        self.require_writable()?;
        self.add_temp_roots(infos.iter().map(|info| &info.path))?;
        let now = now();
        let _lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        for info in &mut infos {
            info.registration_time = now;
            let place = self.layout.object(&info.path);
            rustix::fs::statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW)
                .context("examine", &place)?;
        }
        self.forget_derivations(infos.iter().map(|info| &info.path));
        let places: Vec<PathBuf> =
            infos.iter().map(|info| self.layout.object(&info.path)).collect();
        let paths = infos.iter().map(|info| &info.path);
        self.check_arriving(paths.zip(places.iter().map(PathBuf::as_path)))?;
        self.sync()?;
        self.database.register(&infos)
    }
}

/// Gathers the files and directories of a tree; false if there are many, or one that cannot be
/// synced by itself.
fn few_files(path: &Path, files: &mut Vec<PathBuf>) -> Result<bool> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .context("examine", path)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_ordinary = matches!(kind, FileType::RegularFile | FileType::Directory);
    if !is_ordinary || files.len() >= SYNC_EACH_LEN {
        return Ok(false);
    }
    files.push(path.to_owned());
    if kind == FileType::Directory {
        for entry in std::fs::read_dir(path).context("read the directory", path)? {
            let entry = entry.context("read the directory", path)?;
            if !few_files(&entry.path(), files)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Seconds since the epoch, never 0.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |time| time.as_secs().max(1))
}

/// A folder for what is to be deleted when no lock is held.
///
/// It is made before the locks are taken: a name for it may have to wait for a thread that itself
/// waits for a lock.
pub(crate) struct Bin {
    folder: PathBuf,
    count: u64,
}

impl Bin {
    pub(crate) fn new(store: &Store) -> Result<Self> {
        Ok(Self { folder: store.temp_path()?, count: 0 })
    }

    /// Moves something into the bin; nothing there is fine.
    pub(crate) fn throw(&mut self, path: &Path) -> Result<()> {
        // There is hardly ever anything.
        match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.context("examine", path)?,
        };
        if self.count == 0 {
            std::fs::create_dir_all(&self.folder)
                .context("create the directory", &self.folder)?;
        }
        self.count += 1;
        move_away(path, &self.folder.join(self.count.to_string())).map(|_| ())
    }

    /// Deletes what is in the bin; returns the bytes of disk that became free.
    pub(crate) fn empty(self) -> Result<u64> {
        if self.count == 0 { Ok(0) } else { remove_tree(&self.folder) }
    }
}

/// Moves an object to another folder of the same file system.
///
/// A directory must be writable for that, since its `..` changes.
pub(crate) fn rename_object(from: &Path, to: &Path) -> Result<()> {
    let stat = rustix::fs::statat(CWD, from, AtFlags::SYMLINK_NOFOLLOW)
        .context("examine", from)?;
    let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_dir {
        set_mode(from, Mode::from_raw_mode(0o755))?;
    }
    std::fs::rename(from, to).context("move an object to", to)?;
    if is_dir {
        set_mode(to, Mode::from_raw_mode(0o555))?;
    }
    Ok(())
}

pub(crate) fn set_mode(path: &Path, mode: Mode) -> Result<()> {
    rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())
        .context("set the mode of", path)
}
