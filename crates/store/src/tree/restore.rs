//! From a NAR to files with the metadata of store objects.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use picnix_store_core::nar::{NarEvent, NarReader};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::{MODE_EXECUTABLE, MODE_FILE, STORE_TIMES, Trail};
use crate::error::{Context, Error, Result};

/// Creates the tree of an archive at `path`, where nothing must be.
///
/// Files and directories get their final mode and time at once.
pub fn restore(source: impl BufRead, path: &Path) -> Result<()> {
    let mut reader = NarReader::new(source);
    let mut trail = Trail(path.to_owned());
    let mut dirs: Vec<OwnedFd> = Vec::new();
    loop {
        let event = match reader.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(error) => return Err(of_archive(error, &trail.0)),
        };
        // The root's name in its parent is the whole path.
        let is_root = dirs.is_empty();
        let dir = dirs.last().map_or(CWD, |dir| dir.as_fd());
        let name = |name| match is_root {
            true => path.as_os_str(),
            false => OsStr::from_bytes(name),
        };
        match event {
            NarEvent::EndDirectory => {
                let dir = dirs.pop().expect("the reader pairs directories");
                finish(dir.as_fd(), MODE_EXECUTABLE, &trail.0)?;
                if !dirs.is_empty() {
                    trail.leave();
                }
                continue;
            }
            NarEvent::Directory { name: nar_name } => {
                if !is_root {
                    trail.enter(nar_name);
                }
                let made = make_dir(dir, name(nar_name), &trail.0)?;
                dirs.push(made);
                continue;
            }
            NarEvent::Symlink { name: nar_name, target } => {
                enter(&mut trail, is_root, nar_name);
                make_link(dir, name(nar_name), OsStr::from_bytes(target), &trail.0)?;
            }
            NarEvent::File { name: nar_name, executable, .. } => {
                enter(&mut trail, is_root, nar_name);
                let mut file = create(dir, name(nar_name), &trail.0)?;
                reader
                    .write_contents_to(&mut file)
                    .map_err(|error| of_archive(error, &trail.0))?;
                let mode = if executable { MODE_EXECUTABLE } else { MODE_FILE };
                finish(file.as_fd(), mode, &trail.0)?;
            }
        }
        if !is_root {
            trail.leave();
        }
    }
}

/// Creates a single file that is not executable, with the metadata of a store object.
pub(crate) fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let mut file = create(CWD, path.as_os_str(), path)?;
    file.write_all(contents).context("write", path)?;
    finish(file.as_fd(), MODE_FILE, path)
}

fn enter(trail: &mut Trail, is_root: bool, name: &[u8]) {
    if !is_root {
        trail.enter(name);
    }
}

fn make_dir(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<OwnedFd> {
    rustix::fs::mkdirat(dir, name, Mode::RWXU).context("create the directory", path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
        .context("open the directory", path)
}

fn make_link(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    target: &OsStr,
    path: &Path,
) -> Result<()> {
    rustix::fs::symlinkat(target, dir, name).context("create the link", path)?;
    rustix::fs::utimensat(dir, name, &STORE_TIMES, AtFlags::SYMLINK_NOFOLLOW)
        .context("set the time of", path)
}

fn create(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<File> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
        .context("create", path)?;
    Ok(File::from(fd))
}

fn finish(fd: BorrowedFd<'_>, mode: Mode, path: &Path) -> Result<()> {
    rustix::fs::futimens(fd, &STORE_TIMES).context("set the time of", path)?;
    rustix::fs::fchmod(fd, mode).context("set the mode of", path)
}

/// The archive's errors have no path of ours; the disk's do.
fn of_archive(error: picnix_store_core::Error, path: &Path) -> Error {
    match error {
        picnix_store_core::Error::Io(source) => {
            Error::Io { action: "restore", path: path.to_owned(), source }
        }
        other => Error::Format(other),
    }
}
