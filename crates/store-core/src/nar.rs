//! NAR, the Nix archive: the canonical serialisation of a file system object.
//!
//! A NAR is a sequence of *strings*: a length of 8 bytes (little-endian), the bytes, zeros up to a
//! multiple of 8. The grammar is in the Nix manual ("Nix Archive (NAR) Format"). It holds regular
//! files with the executable bit, directories with their entries sorted by name, symbolic links,
//! and nothing else: no owner, no time, no hard link.
//!
//! [`NarReader`] and [`NarWriter`] both speak [`NarEvent`]s, so that a disk, a tree in memory
//! ([`Fso`]), a listing and another archive are joined in any way with a loop. Both check every rule:
//! names strictly sorted and free of `/` and NUL, padding zero, no more depth than Nix allows.

mod fso;
mod listing;
mod reader;
mod writer;

pub use fso::Fso;
pub use listing::NarListing;
pub use reader::{NarReader, copy_nar};
pub use writer::NarWriter;

/// The string every NAR starts with.
pub const MAGIC: &[u8] = b"nix-archive-1";
/// The deepest nesting, as in Nix 2.34, so that no recursion over a tree can exhaust the stack.
pub const MAX_DEPTH: usize = 64;
/// The longest name of a directory's entry.
pub const MAX_NAME_LEN: usize = 255;
/// The longest target of a symbolic link.
pub const MAX_TARGET_LEN: usize = 4095;
/// The largest file: what a signed file offset can hold.
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// One step through a tree, in the order of the archive. The root's name is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NarEvent<'a> {
    /// A directory begins; its entries follow, sorted by name, and [`NarEvent::EndDirectory`].
    Directory {
        /// The entry's name.
        name: &'a [u8],
    },
    /// The innermost directory ends.
    EndDirectory,
    /// A regular file begins; its contents follow outside the events.
    File {
        /// The entry's name.
        name: &'a [u8],
        /// May it be executed?
        executable: bool,
        /// The length of its contents in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// The entry's name.
        name: &'a [u8],
        /// What it points at.
        target: &'a [u8],
    },
}

/// The number of zeros after a string of this length.
const fn padding(len: u64) -> usize {
    (len.wrapping_neg() & 7) as usize
}

/// May an entry have this name?
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && memchr::memchr2(b'/', 0, name).is_none()
}
