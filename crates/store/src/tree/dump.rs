//! From files to a NAR.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use picnix_store_core::nar::{MAX_DEPTH, NarEvent, NarWriter};
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::restore::Restorer;
use super::{Trail, open_dir, sorted_entries};
use crate::error::{Context, Error, Result};
use crate::pipe::{DumpSink, Room};

/// How much of a file is read at once.
const READ_SIZE: usize = 256 * 1024;
/// How much of a file is read first where its size is not known: most sources are small.
const FIRST_READ_SIZE: usize = 16 * 1024;

/// What a filter is told of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Something that cannot be in a store: a socket, a device, a pipe.
    Unknown,
}

impl EntryKind {
    /// The name that the language knows, as in `builtins.filterSource`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Unknown => "unknown",
        }
    }

    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Unknown,
        }
    }
}

/// A filter failed; its owner keeps the reason.
#[derive(Clone, Copy, Debug)]
pub struct FilterStopped;

/// Decides whether an entry below the root of a tree is part of it, by its path and kind.
pub type Filter<'a> = dyn FnMut(&Path, EntryKind) -> Result<bool, FilterStopped> + 'a;

/// Writes the NAR of the tree at `path` to `sink`.
pub(crate) fn dump<W: DumpSink>(path: &Path, sink: W) -> Result<W> {
    dump_filtered(path, sink, &mut |_, _| Ok(true))
}

/// Writes the NAR of those parts of the tree at `path` that the filter lets pass.
pub(crate) fn dump_filtered<W: DumpSink>(
    path: &Path,
    sink: W,
    filter: &mut Filter<'_>,
) -> Result<W> {
    walk(path, sink, filter, None)
}

/// As [`dump_filtered`], and makes a copy of the tree at `to` as it goes, where nothing must be.
///
/// What is dumped and what is copied are the same bytes, whoever changes the tree meanwhile.
pub(crate) fn copy_filtered<W: DumpSink>(
    path: &Path,
    sink: W,
    filter: &mut Filter<'_>,
    to: &Path,
) -> Result<W> {
    walk(path, sink, filter, Some(Restorer::new(to)))
}

fn walk<W: DumpSink>(
    path: &Path,
    sink: W,
    filter: &mut Filter<'_>,
    copy: Option<Restorer>,
) -> Result<W> {
    let writer = NarWriter::new(sink).context("write the archive of", path)?;
    let mut dumper = Dumper {
        writer,
        copy,
        filter,
        trail: Trail(path.to_owned()),
        depth: 0,
        buffer: Vec::new(),
    };
    let kind = kind_of(CWD, path.as_os_str(), path)?;
    dumper.node(CWD, path.as_os_str(), b"", kind)?;
    dumper.writer.finish().map_err(|error| in_path(error, path))
}

/// Reads the regular file at `path` into `sink`; links to it are not followed.
pub(crate) fn read_flat(path: &Path, mut sink: impl FnMut(&[u8])) -> Result<u64> {
    let kind = kind_of(CWD, path.as_os_str(), path)?;
    if kind != FileType::RegularFile {
        return Err(Error::NotFlat(path.to_owned()));
    }
    let mut file = open_file(CWD, path.as_os_str(), path)?;
    let (mut buffer, mut size) = (vec![0; FIRST_READ_SIZE], 0);
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(size),
            len => {
                sink(&buffer[..len]);
                size += len as u64;
                if len == buffer.len() && len < READ_SIZE {
                    buffer = vec![0; READ_SIZE];
                }
            }
        }
    }
}

struct Dumper<'a, W> {
    writer: NarWriter<W>,
    /// Makes a copy, if there is to be one.
    copy: Option<Restorer>,
    filter: &'a mut Filter<'a>,
    trail: Trail,
    depth: usize,
    /// What files are read into where the sink has no place for it.
    buffer: Vec<u8>,
}

impl<W: DumpSink> Dumper<'_, W> {
    fn node(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        nar_name: &[u8],
        kind: FileType,
    ) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::Depth { path: self.trail.0.clone(), max: MAX_DEPTH });
        }
        match kind {
            FileType::RegularFile => self.file(dir, name, nar_name),
            FileType::Directory => self.directory(dir, name, nar_name),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .context("read the link", &self.trail.0)?;
                self.event(NarEvent::Symlink {
                    name: nar_name,
                    target: target.to_bytes(),
                })
            }
            _ => Err(Error::FileType(self.trail.0.clone())),
        }
    }

    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        nar_name: &[u8],
    ) -> Result<()> {
        self.event(NarEvent::Directory { name: nar_name })?;
        let mut dir = open_dir(dir, name, &self.trail.0)?;
        let entries = sorted_entries(&mut dir, &self.trail.0)?;
        let fd = dir.fd().context("read the directory", &self.trail.0)?;
        self.depth += 1;
        for (nar_name, kind) in entries {
            self.trail.enter(&nar_name);
            let name = OsStr::from_bytes(&nar_name);
            let kind = match kind {
                FileType::Unknown => kind_of(fd, name, &self.trail.0)?,
                kind => kind,
            };
            let keep = (self.filter)(&self.trail.0, EntryKind::of(kind));
            if keep.map_err(|FilterStopped| Error::FilterStopped)? {
                self.node(fd, name, &nar_name, kind)?;
            }
            self.trail.leave();
        }
        self.depth -= 1;
        self.event(NarEvent::EndDirectory)
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &OsStr, nar_name: &[u8]) -> Result<()> {
        let file = open_file(dir, name, &self.trail.0)?;
        let stat = rustix::fs::fstat(&file).context("examine", &self.trail.0)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::Changed(self.trail.0.clone()));
        }
        let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.event(NarEvent::File { name: nar_name, executable, size })?;
        let mut left = size;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(READ_SIZE).min(READ_SIZE);
            match self.piece(&file, size - left, len)? {
                0 => return Err(Error::Changed(self.trail.0.clone())),
                read => left -= read as u64,
            }
        }
        self.copy.as_mut().map_or(Ok(()), Restorer::end_file)
    }

    /// Reads a piece of a file, of at most so many bytes; how many there were.
    fn piece(&mut self, file: &File, offset: u64, max: usize) -> Result<usize> {
        let path = &self.trail.0;
        let of_sink = self.writer.sink_mut().room(max);
        let of_sink = of_sink.context("write the archive of", path)?;
        let is_in_sink = of_sink.is_some();
        let Room { bytes, most } = of_sink.unwrap_or_else(|| {
            self.buffer.clear();
            Room::within(READ_SIZE, &mut self.buffer, max)
        });
        let before = bytes.len();
        // There may be capacity for more than is wanted, and so much is read: hence the explicit offset.
        let read = || rustix::io::pread(file, spare_capacity(bytes), offset);
        rustix::io::retry_on_intr(read).context("read", path)?;
        bytes.truncate(before + most);
        let bytes = &bytes[before..];
        if let Some(copy) = &mut self.copy {
            copy.contents(bytes)?;
        }
        let read = bytes.len();
        let written = match is_in_sink {
            true => self.writer.contents_written(read),
            false => self.writer.write_contents(&self.buffer),
        };
        written.map_err(|error| in_path(error, path))?;
        Ok(read)
    }

    fn event(&mut self, event: NarEvent<'_>) -> Result<()> {
        let written = self.writer.write_event(event);
        written.map_err(|error| in_path(error, &self.trail.0))?;
        self.copy.as_mut().map_or(Ok(()), |copy| copy.event(event))
    }
}

/// An error of the writer belongs to the sink; the path tells how far it came.
fn in_path(error: picnix_store_core::Error, path: &Path) -> Error {
    match error {
        picnix_store_core::Error::Io(source) => {
            Error::Io { action: "write the archive of", path: path.to_owned(), source }
        }
        other => Error::FormatIn { path: path.to_owned(), source: Box::new(other) },
    }
}

fn open_file(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<File> {
    // Without NONBLOCK, opening a pipe that took the file's place would hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).context("open", path)?;
    Ok(File::from(fd))
}

fn kind_of(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<FileType> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .context("examine", path)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}
