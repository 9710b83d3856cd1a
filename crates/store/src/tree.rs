//! Trees of files on disk: dump, restore, canonical metadata, removal.
//!
//! Everything goes by directory descriptors and never follows a link, so that a path is not resolved
//! twice and nobody can swap a folder for a link in between.

mod canonical;
mod dump;
mod hash;
mod remove;
mod restore;

pub(crate) use canonical::canonicalise;
pub use dump::{EntryKind, Filter, FilterStopped};
pub(crate) use dump::{copy_filtered, dump, dump_filtered, read_flat};
pub(crate) use hash::hash_file;
pub use hash::hash_tree;
pub(crate) use remove::remove_tree;
pub use restore::restore;
pub(crate) use restore::write_file;

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};

use crate::error::{Context, Result};

/// The modification time of everything in a store: one second after the epoch, as in Nix, because
/// some programs take zero for "missing".
pub(crate) const STORE_TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

const MODE_FILE: Mode = Mode::from_raw_mode(0o444);
const MODE_EXECUTABLE: Mode = Mode::from_raw_mode(0o555);

/// Entries of a directory, sorted by name.
fn sorted_entries(
    dir: &mut rustix::fs::Dir,
    path: &Path,
) -> Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in dir {
        let entry = entry.context("read the directory", path)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push((name.to_vec(), entry.file_type()));
        }
    }
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

/// Opens a directory without following a link.
fn open_dir(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<rustix::fs::Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())
        .context("open the directory", path)?;
    rustix::fs::Dir::new(fd).context("read the directory", path)
}

/// A path that follows a walk, for messages and filters.
struct Trail(PathBuf);

impl Trail {
    fn enter(&mut self, name: &[u8]) {
        use std::os::unix::ffi::OsStrExt as _;
        self.0.push(OsStr::from_bytes(name));
    }

    fn leave(&mut self) {
        self.0.pop();
    }
}
