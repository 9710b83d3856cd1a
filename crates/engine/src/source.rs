//! Files of the machine as store objects: the NAR of a path, with a filter.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use picnix_eval::world::FileKind;
use picnix_store_core::nar::{NarEvent, NarWriter};

/// Bytes that are read from a file at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a path has no NAR.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A file could not be read.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is neither regular, directory nor link.
    #[error("file '{0}' has an unsupported type")]
    Unsupported(String),
    /// A file shrank or grew while it was read.
    #[error("file '{0}' changed while it was read")]
    Changed(String),
    /// The archive refuses a name or depth.
    #[error(transparent)]
    Nar(#[from] picnix_store_core::Error),
    /// The filter failed.
    #[error("{0}")]
    Filter(picnix_eval::Error),
}

/// Whether a path (absolute, as the program knows it) belongs to the object.
pub type Filter<'f> =
    &'f mut dyn FnMut(&[u8], FileKind) -> picnix_eval::Result<bool>;

/// Writes the NAR of the file at `path`, which the filter knows as `shown`.
///
/// # Errors
/// Something below cannot be read or archived, or the filter fails.
pub fn dump<W: Write>(
    path: &Path,
    shown: &[u8],
    filter: Option<Filter<'_>>,
    sink: W,
) -> Result<W, DumpError> {
    let writer = NarWriter::new(sink).map_err(|source| read_error(path, source))?;
    let mut dump = Dump { writer, filter };
    dump.node(path, shown, b"")?;
    Ok(dump.writer.finish()?)
}

struct Dump<'f, W> {
    writer: NarWriter<W>,
    filter: Option<Filter<'f>>,
}

impl<W: Write> Dump<'_, W> {
    fn node(&mut self, path: &Path, shown: &[u8], name: &[u8]) -> Result<(), DumpError> {
        let metadata =
            fs::symlink_metadata(path).map_err(|source| read_error(path, source))?;
        if metadata.is_dir() {
            self.directory(path, shown, name)
        } else if metadata.is_file() {
            self.file(path, name, &metadata)
        } else if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(|source| read_error(path, source))?;
            let target = target.as_os_str().as_bytes();
            Ok(self.writer.write_event(NarEvent::Symlink { name, target })?)
        } else {
            Err(DumpError::Unsupported(path.display().to_string()))
        }
    }

    fn file(
        &mut self,
        path: &Path,
        name: &[u8],
        metadata: &fs::Metadata,
    ) -> Result<(), DumpError> {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let size = metadata.len();
        self.writer.write_event(NarEvent::File { name, executable, size })?;
        let file = fs::File::open(path).map_err(|source| read_error(path, source))?;
        let mut file = file.take(size);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = size;
        while left > 0 {
            let count =
                file.read(&mut chunk).map_err(|source| read_error(path, source))?;
            if count == 0 {
                return Err(DumpError::Changed(path.display().to_string()));
            }
            self.writer.write_contents(&chunk[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        path: &Path,
        shown: &[u8],
        name: &[u8],
    ) -> Result<(), DumpError> {
        self.writer.write_event(NarEvent::Directory { name })?;
        for entry in sorted_names(path)? {
            let child = path.join(std::ffi::OsString::from_vec(entry.clone()));
            let child_shown = [shown, b"/", &entry].concat();
            if self.is_wanted(&child, &child_shown)? {
                self.node(&child, &child_shown, &entry)?;
            }
        }
        Ok(self.writer.write_event(NarEvent::EndDirectory)?)
    }

    fn is_wanted(&mut self, path: &Path, shown: &[u8]) -> Result<bool, DumpError> {
        let Some(filter) = &mut self.filter else { return Ok(true) };
        let metadata =
            fs::symlink_metadata(path).map_err(|source| read_error(path, source))?;
        filter(shown, kind_of(metadata.file_type())).map_err(DumpError::Filter)
    }
}

fn sorted_names(path: &Path) -> Result<Vec<Vec<u8>>, DumpError> {
    let entries = fs::read_dir(path).map_err(|source| read_error(path, source))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| read_error(path, source))?;
        names.push(entry.file_name().into_vec());
    }
    names.sort();
    Ok(names)
}

fn read_error(path: &Path, source: std::io::Error) -> DumpError {
    DumpError::Read { path: path.display().to_string(), source }
}

/// The kind of a file as the language names it.
#[must_use]
pub fn kind_of(file_type: fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::Regular
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Unknown
    }
}
