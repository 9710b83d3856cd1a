//! From a NAR to files with the metadata of store objects.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use picnix_store_core::nar::{NarEvent, NarReader};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::{MODE_EXECUTABLE, MODE_FILE, STORE_TIMES, Trail};
use crate::error::{Context, Error, Result};

/// Creates the tree of an archive at `path`, where nothing must be.
///
/// Files and directories get their final mode and time at once.
pub fn restore(source: impl BufRead, path: &Path) -> Result<()> {
    let mut reader = NarReader::new(source);
    let mut restorer = Restorer::new(path);
    loop {
        let event = match reader.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(error) => return Err(of_archive(error, &restorer.trail.0)),
        };
        let is_file = matches!(event, NarEvent::File { .. });
        restorer.event(event)?;
        if is_file {
            let file = restorer.file.as_mut().expect("the event made a file");
            let written = reader.write_contents_to(&mut file.handle);
            written.map_err(|error| of_archive(error, &restorer.trail.0))?;
            restorer.end_file()?;
        }
    }
}

/// Makes a tree out of the events of an archive.
pub(super) struct Restorer {
    /// Where the tree is to be.
    path: PathBuf,
    trail: Trail,
    dirs: Vec<OwnedFd>,
    /// The file that is being written.
    file: Option<NewFile>,
    modes: NewModes,
}

struct NewFile {
    handle: File,
    mode: Mode,
}

/// Whether files of each mode have it as soon as they are made, as the first one had: neither the
/// process's mask nor a default list of access rights changes it, which all of a tree inherits.
#[derive(Default)]
struct NewModes {
    file: Option<bool>,
    executable: Option<bool>,
}

impl NewModes {
    /// Gives a new file its mode, unless it is known to have it.
    fn settle(&mut self, fd: BorrowedFd<'_>, mode: Mode, path: &Path) -> Result<()> {
        let known = match mode {
            MODE_EXECUTABLE => &mut self.executable,
            _ => &mut self.file,
        };
        if known.is_none() {
            let stat = rustix::fs::fstat(fd).context("examine", path)?;
            *known = Some(Mode::from_raw_mode(stat.st_mode) == mode);
        }
        match known {
            Some(true) => Ok(()),
            _ => rustix::fs::fchmod(fd, mode).context("set the mode of", path),
        }
    }
}

impl Restorer {
    pub(super) fn new(path: &Path) -> Self {
        let trail = Trail(path.to_owned());
        let modes = NewModes::default();
        Self { path: path.to_owned(), trail, dirs: Vec::new(), file: None, modes }
    }

    /// Does what an event says. After a file its contents follow, and [`Restorer::end_file`].
    pub(super) fn event(&mut self, event: NarEvent<'_>) -> Result<()> {
        // The root's name in its parent is the whole path.
        let is_root = self.dirs.is_empty();
        let dir = self.dirs.last().map_or(CWD, |dir| dir.as_fd());
        let path = &self.path;
        let name = |name| match is_root {
            true => path.as_os_str(),
            false => OsStr::from_bytes(name),
        };
        let trail = &mut self.trail;
        match event {
            NarEvent::EndDirectory => {
                let dir = self.dirs.pop().expect("the reader pairs directories");
                finish(dir.as_fd(), MODE_EXECUTABLE, &trail.0)?;
                if !self.dirs.is_empty() {
                    trail.leave();
                }
            }
            NarEvent::Directory { name: nar_name } => {
                enter(trail, is_root, nar_name);
                let made = make_dir(dir, name(nar_name), &trail.0)?;
                self.dirs.push(made);
            }
            NarEvent::Symlink { name: nar_name, target } => {
                enter(trail, is_root, nar_name);
                make_link(dir, name(nar_name), OsStr::from_bytes(target), &trail.0)?;
                self.leave();
            }
            NarEvent::File { name: nar_name, executable, .. } => {
                enter(trail, is_root, nar_name);
                let mode = if executable { MODE_EXECUTABLE } else { MODE_FILE };
                let handle = create(dir, name(nar_name), mode, &trail.0)?;
                self.file = Some(NewFile { handle, mode });
            }
        }
        Ok(())
    }

    /// Writes a piece of the current file's contents.
    pub(super) fn contents(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("contents follow a file");
        file.handle.write_all(bytes).context("write", &self.trail.0)
    }

    /// Ends the current file.
    pub(super) fn end_file(&mut self) -> Result<()> {
        if let Some(NewFile { handle, mode }) = self.file.take() {
            set_times(handle.as_fd(), &self.trail.0)?;
            self.modes.settle(handle.as_fd(), mode, &self.trail.0)?;
            self.leave();
        }
        Ok(())
    }

    fn leave(&mut self) {
        if !self.dirs.is_empty() {
            self.trail.leave();
        }
    }
}

/// Creates a single file that is not executable, with the metadata of a store object.
pub(crate) fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let mut file = create(CWD, path.as_os_str(), MODE_FILE, path)?;
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

/// Makes a file, which its maker may write whatever its mode says.
fn create(dir: BorrowedFd<'_>, name: &OsStr, mode: Mode, path: &Path) -> Result<File> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, mode).context("create", path)?;
    Ok(File::from(fd))
}

fn finish(fd: BorrowedFd<'_>, mode: Mode, path: &Path) -> Result<()> {
    set_times(fd, path)?;
    rustix::fs::fchmod(fd, mode).context("set the mode of", path)
}

fn set_times(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    rustix::fs::futimens(fd, &STORE_TIMES).context("set the time of", path)
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
