//! Lock files.
//!
//! All locks are `flock`s: they belong to an open file, so that threads exclude each other like
//! processes do, and the kernel releases them when a process dies, however it dies.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use picnix_store_core::StorePath;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Context, Result};

/// Opens a lock file, creating it if need be.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .context("open the lock", path)
}

/// Waits for a lock.
pub(crate) fn lock(file: &File, operation: FlockOperation, path: &Path) -> Result<()> {
    loop {
        match rustix::fs::flock(file, operation) {
            Err(Errno::INTR) => {}
            other => return other.context("lock", path),
        }
    }
}

/// Takes an exclusive lock if nobody has it.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error).context("lock", path),
    }
}

/// A lock that is held until dropped, on a file that stays.
pub(crate) struct HeldLock(
    #[expect(dead_code, reason = "closing the file unlocks it")] File,
);

impl HeldLock {
    pub(crate) fn wait(path: &Path) -> Result<Self> {
        let file = open_lock(path)?;
        lock(&file, FlockOperation::LockExclusive, path)?;
        Ok(Self(file))
    }
}

/// Locks on store paths, so that only one process builds or fetches each; dropping releases them.
#[derive(Debug)]
pub struct PathLocks {
    held: Vec<(PathBuf, File)>,
}

impl PathLocks {
    /// Waits for all the locks. They are taken in the order of the paths, so that two callers
    /// cannot wait for each other.
    pub(crate) fn wait<'a>(
        folder: &Path,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Self> {
        let mut locks = Self { held: Vec::new() };
        for path in sorted(paths) {
            let file_path = lock_path(folder, path);
            loop {
                let file = open_lock(&file_path)?;
                lock(&file, FlockOperation::LockExclusive, &file_path)?;
                if is_linked(&file, &file_path)? {
                    locks.held.push((file_path, file));
                    break;
                }
            }
        }
        Ok(locks)
    }

    /// Takes all the locks or none.
    pub(crate) fn try_now<'a>(
        folder: &Path,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Option<Self>> {
        let mut locks = Self { held: Vec::new() };
        for path in sorted(paths) {
            let file_path = lock_path(folder, path);
            loop {
                let file = open_lock(&file_path)?;
                if !try_lock(&file, &file_path)? {
                    return Ok(None);
                }
                if is_linked(&file, &file_path)? {
                    locks.held.push((file_path, file));
                    break;
                }
            }
        }
        Ok(Some(locks))
    }
}

impl Drop for PathLocks {
    fn drop(&mut self) {
        for (path, file) in self.held.drain(..).rev() {
            // While it is still locked: whoever waits for it then sees that it is gone and opens a
            // new one. Failing leaves an empty file and does no harm.
            let _ = std::fs::remove_file(path);
            drop(file);
        }
    }
}

fn sorted<'a>(paths: impl IntoIterator<Item = &'a StorePath>) -> Vec<&'a StorePath> {
    let mut paths: Vec<_> = paths.into_iter().collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn lock_path(folder: &Path, path: &StorePath) -> PathBuf {
    folder.join(format!("{path}.lock"))
}

/// Is the file still in its folder, or did its last holder remove it?
fn is_linked(file: &File, path: &Path) -> Result<bool> {
    let stat = rustix::fs::fstat(file).context("examine the lock", path)?;
    Ok(stat.st_nlink > 0)
}
