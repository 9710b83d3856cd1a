//! Removal of trees that somebody made read-only, hostile or very deep.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;

use super::{Trail, open_dir, sorted_entries};
use crate::error::{Context, Result};

/// How deep the recursion goes. What lies deeper is moved up first: each level holds a descriptor,
/// and a process has 1,024 of them.
const MAX_RECURSION: usize = 128;

/// Removes the tree at `path`; nothing there is fine. Returns the bytes of disk that became free.
pub(crate) fn remove_tree(path: &Path) -> Result<u64> {
    let mut freed = 0;
    let mut trail = Trail(path.to_owned());
    let Some(kind) = kind_of(CWD, path.as_os_str(), path, &mut freed)? else {
        return Ok(0);
    };
    if kind != FileType::Directory {
        unlink(CWD, path.as_os_str(), AtFlags::empty(), path)?;
        return Ok(freed);
    }
    make_writable(CWD, path.as_os_str(), path)?;
    let mut top = open_dir(CWD, path.as_os_str(), path)?;
    let mut moved = 0;
    loop {
        let entries = sorted_entries(&mut top, path)?;
        if entries.is_empty() {
            break;
        }
        let fd = top.fd().context("read the directory", path)?;
        let mut removal = Removal { top: fd, moved: &mut moved, freed: &mut freed };
        removal.entries(fd, entries, &mut trail, 0)?;
        top.rewind();
    }
    drop(top);
    unlink(CWD, path.as_os_str(), AtFlags::REMOVEDIR, path)?;
    Ok(freed)
}

struct Removal<'a> {
    /// The root of the tree, where directories from the deep are moved to.
    top: BorrowedFd<'a>,
    moved: &'a mut u64,
    freed: &'a mut u64,
}

impl Removal<'_> {
    fn entries(
        &mut self,
        dir: BorrowedFd<'_>,
        entries: Vec<(Vec<u8>, FileType)>,
        trail: &mut Trail,
        depth: usize,
    ) -> Result<()> {
        for (name, _) in entries {
            trail.enter(&name);
            self.node(dir, OsStr::from_bytes(&name), trail, depth)?;
            trail.leave();
        }
        Ok(())
    }

    fn node(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        trail: &mut Trail,
        depth: usize,
    ) -> Result<()> {
        match kind_of(dir, name, &trail.0, self.freed)? {
            None => Ok(()),
            Some(FileType::Directory) if depth >= MAX_RECURSION => {
                make_writable(dir, name, &trail.0)?;
                self.move_up(dir, name, &trail.0)
            }
            Some(FileType::Directory) => {
                make_writable(dir, name, &trail.0)?;
                let mut inner = open_dir(dir, name, &trail.0)?;
                let entries = sorted_entries(&mut inner, &trail.0)?;
                let fd = inner.fd().context("read the directory", &trail.0)?;
                self.entries(fd, entries, trail, depth + 1)?;
                drop(inner);
                unlink(dir, name, AtFlags::REMOVEDIR, &trail.0)
            }
            Some(_) => unlink(dir, name, AtFlags::empty(), &trail.0),
        }
    }

    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
        loop {
            let new = OsString::from(format!(".picnix-deep-{}", *self.moved));
            *self.moved += 1;
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(dir, name, self.top, &new, flags) {
                Err(Errno::EXIST) => {}
                other => return other.context("move", path),
            }
        }
    }
}

/// What is there, and how much disk its removal frees.
fn kind_of(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    freed: &mut u64,
) -> Result<Option<FileType>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory || stat.st_nlink == 1 {
                *freed += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            }
            Ok(Some(kind))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).context("examine", path),
    }
}

fn make_writable(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    rustix::fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())
        .context("set the mode of", path)
}

fn unlink(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags, path: &Path) -> Result<()> {
    match rustix::fs::unlinkat(dir, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context("remove", path),
    }
}
