//! Contents of files on their way into an image.

use crate::{ContentSource, Entry, ImageError, ImagePath};
use std::io::{self, Write};

/// Contents go through a buffer of this size.
const COPY_BUFFER_BYTES: usize = 64 << 10;

/// Copies contents to `out`; another number of bytes than the source promised is an error.
pub(crate) fn copy(
    path: &ImagePath,
    entry: &Entry,
    source: &dyn ContentSource,
    out: &mut dyn Write,
) -> Result<(), ImageError> {
    let expected = source.size_bytes();
    let mut reader = source.open().map_err(|e| unreadable(path, entry, e))?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let mut copied = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unreadable(path, entry, e)),
        };
        copied += count as u64;
        if copied > expected {
            return Err(wrong_size(path, entry, expected, "more"));
        }
        out.write_all(&buffer[..count]).map_err(ImageError::Write)?;
    }
    if copied < expected {
        return Err(wrong_size(path, entry, expected, &copied.to_string()));
    }
    Ok(())
}

/// A content source that cannot be read.
pub(crate) fn unreadable(
    path: &ImagePath,
    entry: &Entry,
    source: io::Error,
) -> ImageError {
    ImageError::Content { path: path.to_string(), origin: entry.origin.clone(), source }
}

/// A content source that broke its promise.
pub(crate) fn wrong_size(
    path: &ImagePath,
    entry: &Entry,
    expected_bytes: u64,
    found: &str,
) -> ImageError {
    ImageError::ContentSize {
        path: path.to_string(),
        origin: entry.origin.clone(),
        expected_bytes,
        found: found.to_owned(),
    }
}
