//! A file that takes space until there is none: then it goes, so that the collector can make room.
//!
//! Opening a database and forgetting objects needs a little space, which a full disk does not have. The file holds
//! something other than zeros, since a file system may store zeros in no space at all.

use std::io::Write as _;
use std::path::Path;

/// Enough for the log of the transaction that forgets some ten thousand objects.
const RESERVE_BYTES: usize = 1 << 20;

/// Makes the file, unless it is there. A disk without room for it is no error.
pub(crate) fn make_reserve(path: &Path) {
    if path.exists() {
        return;
    }
    let made = std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(&vec![b'X'; RESERVE_BYTES]));
    if made.is_err() {
        // A part of it would be taken for the whole.
        let _ = std::fs::remove_file(path);
    }
}

/// Removes the file; whether that freed anything.
pub(crate) fn release_reserve(path: &Path) -> bool {
    std::fs::remove_file(path).is_ok()
}
