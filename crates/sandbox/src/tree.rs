//! Trees that a builder left behind: removing them, and becoming their owner.
//!
//! A builder leaves directories without write permission, deeper than any path may be long, and,
//! where root built, of another owner. Neither function follows links.

mod unlink;

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// Directories below this depth are moved up before they are removed, so that neither the number
/// of open directories nor the stack grows with what a builder made.
const MAX_DEPTH: usize = 40;
/// Up to so many files are removed one after the other; more, by several threads.
const FEW_FILES: usize = 64;

/// Removes a file or a directory with everything in it, whatever its permissions. A path that does
/// not exist is fine.
///
/// # Errors
/// [`Error::Tree`], with the path that could not be removed.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    let fail = |source: io::Error| tree("remove", path, source);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(tree("look at", path, source)),
    };
    if !found.is_dir() {
        return fs::remove_file(path).map_err(fail);
    }
    if found.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(fail)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
    let mut removal = Removal { top: top.as_fd(), moved: 0, budget: FEW_FILES };
    loop {
        let moved_before = removal.moved;
        let listed = Dir::read_from(&top).map_err(|errno| fail(errno.into()))?;
        match removal.clear(listed, 0) {
            Err(Stopped::Many) => {
                removal.budget = usize::MAX;
                if let Ok(again) = top.try_clone() {
                    unlink::unlink_files(again);
                }
            }
            Err(Stopped::Failed(errno)) => return Err(fail(errno.into())),
            Ok(()) if removal.moved == moved_before => break,
            Ok(()) => {}
        }
    }
    fs::remove_dir(path).map_err(fail)
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// How many directories were moved up.
    moved: u64,
    /// How many files may still be removed here.
    budget: usize,
}

/// Why a directory is not empty yet.
enum Stopped {
    /// It has more files than one thread should remove.
    Many,
    /// Something cannot be removed.
    Failed(Errno),
}

impl From<Errno> for Stopped {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl Removal<'_> {
    /// Removes what is in a directory, except what is moved to the top.
    fn clear(&mut self, mut dir: Dir, depth: usize) -> Result<(), Stopped> {
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let dir = dir.fd()?;
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                kind => kind,
            };
            if kind != FileType::Directory {
                self.budget = self.budget.checked_sub(1).ok_or(Stopped::Many)?;
                rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            } else if rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).is_ok() {
                // It was empty, as most that a box leaves are.
            } else if depth < MAX_DEPTH {
                self.clear(Dir::new(open_child(dir, name)?)?, depth + 1)?;
                rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
            } else {
                self.move_up(dir, name)?;
            }
        }
        Ok(())
    }

    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        // Its parent changes, which needs permission to write to it.
        drop(open_child(dir, name)?);
        loop {
            self.moved += 1;
            let to = format!(".removed-{}", self.moved);
            match rustix::fs::renameat(dir, name, self.top, &*to) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                other => return other,
            }
        }
    }
}

/// Opens a directory, making it ours to change.
fn open_child(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dir, name, flags, Mode::empty());
    let child = match open() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&child)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&child, Mode::RWXU)?;
    }
    Ok(child)
}

/// Makes the calling user the owner of a tree that a box wrote; does nothing where it is already.
///
/// # Errors
/// [`Error::Tree`], with the path whose owner could not be changed.
pub fn take_ownership(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(|s| tree("look at", path, s))?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if found.uid() != uid.as_raw() || found.gid() != gid.as_raw() {
        lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .map_err(|source| tree("become the owner of", path, source))?;
    }
    // An ordinary user's boxes are that user.
    if found.is_dir() && uid.is_root() {
        let entries = fs::read_dir(path).map_err(|source| tree("list", path, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| tree("list", path, source))?;
            take_ownership(&entry.path())?;
        }
    }
    Ok(())
}

/// The bytes of disk that a tree takes; no more is looked at once they are over the limit. What
/// vanishes meanwhile is not counted, nor is what lies in directories that are closed to us.
///
/// # Errors
/// The tree itself cannot be read.
pub(crate) fn measure_tree(path: &Path, limit: u64) -> io::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![fs::read_dir(path)?];
    while let Some(folder) = folders.last_mut() {
        let Some(entry) = folder.next() else {
            folders.pop();
            continue;
        };
        let Ok(entry) = entry else { continue };
        let Ok(found) = entry.metadata() else { continue };
        // A file of several names takes its space once; an equal part is counted for each.
        bytes +=
            found.blocks() * 512 / if found.is_dir() { 1 } else { found.nlink().max(1) };
        if bytes > limit {
            break;
        }
        if found.is_dir()
            && folders.len() < MAX_DEPTH
            && let Ok(inner) = fs::read_dir(entry.path())
        {
            folders.push(inner);
        }
    }
    Ok(bytes)
}

fn tree(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Tree { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_closed_trees_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        std::os::unix::fs::symlink("/", top.join("link")).unwrap();
        let closed = top.join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("file"), "").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut here = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..200 {
            rustix::fs::mkdirat(&here, &*name, Mode::RWXU).unwrap();
            here = rustix::fs::openat(&here, &*name, flags, Mode::empty()).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        remove_tree(&top).unwrap();
    }

    #[test]
    fn many_files_are_removed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        let top = dir.path().join("top");
        for folder in 0..20 {
            let folder = top.join(format!("{folder}/x/y"));
            fs::create_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(&kept, folder.join("link")).unwrap();
            for file in 0..150 {
                fs::write(folder.join(file.to_string()), "").unwrap();
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert!(kept.join("file").exists());
    }
}
