//! The registry of image formats.
//!
//! A format has a name, the version of the bytes it writes, and a writer. A description that
//! names another version was made for another picnix, and is refused instead of being answered
//! with bytes that its derivation does not stand for.

use crate::disk::Disk;
use crate::floppy::Floppy;
use crate::iso::Iso;
use crate::squashfs::Squashfs;
use crate::{
    Boot, CdBoot, Compression, ContentSource, ImageError, ImagePath, ImageTree, cpio,
};
use std::io::{self, Write};
use std::sync::Arc;

/// What a writer needs to know beyond the tree.
#[derive(Clone)]
pub struct WriteOptions {
    /// How the image is compressed.
    pub compression: Compression,
    /// How the image starts by itself, where its format can.
    pub boot: Option<Boot>,
    /// What an image needs more that is a CD and a disk at once.
    pub cd: Option<CdBoot>,
    /// The contents of the root partition, where the format has partitions.
    pub root: Option<Arc<dyn ContentSource>>,
    /// The number that tells disks apart, where the format is one of a disk.
    pub disk_id: u32,
}

impl WriteOptions {
    /// Options for a format that needs nothing but this.
    pub const fn new(compression: Compression) -> Self {
        Self { compression, boot: None, cd: None, root: None, disk_id: 0 }
    }
}

/// What one entry takes in an image before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrySize {
    /// The entry.
    pub path: ImagePath,
    /// Who asked for it.
    pub origin: String,
    /// Contents, name and header with padding.
    pub size_bytes: u64,
}

/// What a writer did.
#[derive(Debug, Clone)]
pub struct Written {
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// What each entry takes before compression, in the image's order.
    pub entries: Vec<EntrySize>,
}

/// A way to write image trees.
pub trait Format: Sync {
    /// The name in `system.build.images.<name>`.
    fn name(&self) -> &'static str;

    /// The version of the bytes: raised by every change of the writer that changes an image.
    fn version(&self) -> u32;

    /// What the image's file name ends with, without the leading dot.
    fn extension(&self, options: &WriteOptions) -> String;

    /// Writes a tree.
    fn write(
        &self,
        tree: &ImageTree,
        options: &WriteOptions,
        out: &mut dyn Write,
    ) -> Result<Written, ImageError>;
}

/// All formats, sorted by name.
pub fn formats() -> &'static [&'static dyn Format] {
    &[&Disk, &Floppy, &Initramfs, &Iso, &Squashfs]
}

/// Finds a format by name, and checks that it writes the version that a description asks for.
pub fn find_format(name: &str, version: u32) -> Result<&'static dyn Format, ImageError> {
    let found = formats().iter().find(|format| format.name() == name);
    let Some(format) = found else {
        let names: Vec<_> = formats().iter().map(|format| format.name()).collect();
        let known = names.join(", ");
        return Err(ImageError::UnknownFormat { name: name.to_owned(), known });
    };
    if format.version() != version {
        return Err(ImageError::FormatVersion {
            name: format.name(),
            wanted: version,
            have: format.version(),
        });
    }
    Ok(*format)
}

/// The archive that the kernel unpacks into its first root file system.
struct Initramfs;

impl Format for Initramfs {
    fn name(&self) -> &'static str {
        "initramfs"
    }

    fn version(&self) -> u32 {
        1
    }

    fn extension(&self, options: &WriteOptions) -> String {
        format!("cpio{}", options.compression.suffix())
    }

    fn write(
        &self,
        tree: &ImageTree,
        options: &WriteOptions,
        out: &mut dyn Write,
    ) -> Result<Written, ImageError> {
        let raw_bytes = cpio::size_bytes(tree);
        let counter = Counter { out, count: 0 };
        let mut encoder = options.compression.encoder(counter, raw_bytes)?;
        let entries = cpio::write(tree, &mut encoder)?;
        let counter = encoder.finish().map_err(ImageError::Write)?;
        counter.out.flush().map_err(ImageError::Write)?;
        Ok(Written { raw_bytes, image_bytes: counter.count, entries })
    }
}

/// A writer that knows how much was written.
pub(crate) struct Counter<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) count: u64,
}

impl Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_format_lists_the_known() {
        let error = find_format("tape", 1).err().unwrap();
        insta::assert_snapshot!(error, @r#"unknown image format "tape"; there are: disk, floppy, initramfs, iso, squashfs"#);
    }

    #[test]
    fn another_version_is_refused() {
        let error = find_format("initramfs", 2).err().unwrap();
        insta::assert_snapshot!(error, @r#"the description asks for version 2 of the format "initramfs", and this picnix writes version 1; evaluate it again with this picnix"#);
    }

    #[test]
    fn extensions_name_the_compression() {
        let format = find_format("initramfs", 1).unwrap();
        let names = Compression::ALL
            .map(|compression| format.extension(&WriteOptions::new(compression)));
        assert_eq!(names, ["cpio", "cpio.gz", "cpio.xz", "cpio.xz", "cpio.zst"]);
    }
}
