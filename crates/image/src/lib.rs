//! Image trees and one writer per image format.
//!
//! An [`ImageTree`] says what is in an image: paths with modes, owners, link targets, device
//! numbers, and for each entry its *origin*, the words of whoever asked for it. A [`Format`]
//! turns a tree into bytes. Both are pure: file contents come in through [`ContentSource`],
//! bytes go out through [`std::io::Write`], and nothing here knows of a store, a clock, an owner
//! of this process or a directory on disk. The same tree, options and format version give the
//! same bytes on every machine; a change of the bytes raises the version.
//!
//! A tree is sorted by path and knows its sizes before contents are read, so writers stream and
//! compressors size their windows to the content.

pub mod bios;
mod compress;
mod content;
pub mod cpio;
mod disk;
pub mod efi;
mod error;
pub mod fat;
mod floppy;
mod format;
mod iso;
mod iso9660;
mod path;
pub mod squashfs;
mod tree;

pub use bios::{Boot, Extent};
pub use compress::{Compression, Encoder, XzFilter};
pub use error::ImageError;
pub use format::{EntrySize, Format, WriteOptions, Written, find_format, formats};
pub use iso::CdBoot;
pub use path::ImagePath;
pub use tree::{ContentSource, DeviceNumber, Entry, ImageTree, Metadata, Node};
