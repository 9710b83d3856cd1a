//! A floppy of 1,474,560 bytes that a PC's BIOS starts.
//!
//! It is one FAT12 volume with the tree as its files, so that other systems can read and change it; the
//! loader lies in the volume's reserved sectors and knows where kernel and initramfs are. Replacing
//! one of these two by hand therefore needs a new image.

use crate::bios::{Places, SectorSize};
use crate::fat::{Geometry, Volume};
use crate::format::Counter;
use crate::{
    Boot, Extent, Format, ImageError, ImagePath, ImageTree, WriteOptions, Written,
};
use std::io::Write;

/// The format.
pub(crate) struct Floppy;

impl Format for Floppy {
    fn name(&self) -> &'static str {
        "floppy"
    }

    fn version(&self) -> u32 {
        1
    }

    fn extension(&self, _options: &WriteOptions) -> String {
        "img".to_owned()
    }

    fn write(
        &self,
        tree: &ImageTree,
        options: &WriteOptions,
        out: &mut dyn Write,
    ) -> Result<Written, ImageError> {
        let volume = Volume::plan(tree, Geometry::FLOPPY)?;
        let loader = match &options.boot {
            Some(boot) => install(boot, |path| volume.extent(path), 0)?,
            None => Vec::new(),
        };
        let mut counter = Counter { out, count: 0 };
        let entries = volume.write(&loader, &mut counter)?;
        counter.out.flush().map_err(ImageError::Write)?;
        let image_bytes = counter.count;
        let raw_bytes = volume.size_bytes() - volume.free_bytes();
        Ok(Written { raw_bytes, image_bytes, entries })
    }
}

/// The loader of a medium with sectors of 512 bytes that lies at its beginning.
pub(crate) fn install(
    boot: &Boot,
    find: impl Fn(&ImagePath) -> Option<Extent>,
    first_sector: u32,
) -> Result<Vec<u8>, ImageError> {
    let place = |path: &ImagePath| {
        let extent = find(path).ok_or(ImageError::Boot {
            reason: "kernel or initramfs is not a file of the image",
        })?;
        Ok(Extent { sector: extent.sector + first_sector, ..extent })
    };
    boot.install(&Places {
        sector_size: SectorSize::Disk,
        kernel: place(&boot.kernel)?,
        initramfs: boot.initramfs.as_ref().map(place).transpose()?,
        loader_sector: 0,
    })
}
