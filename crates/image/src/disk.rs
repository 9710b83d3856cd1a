//! A disk with a partition that firmware starts from and one that holds the system's root.
//!
//! The first partition is a FAT volume with the tree as its files: an EFI firmware finds the kernel
//! there as `EFI/BOOT/BOOTX64.EFI`, and the loader for a BIOS, in the sectors before the first
//! partition, loads that same file. The second one is the root file system as it is. The table is an
//! MBR's: EFI firmware reads it as well as a GPT, and only it leaves the first sectors to the loader.
//!
//! Specification: UEFI 2.10, section 5.2.1 (legacy MBR). Partitions begin at multiples of 4 KiB.

use crate::fat::{Geometry, Volume};
use crate::format::Counter;
use crate::{Format, ImageError, ImageTree, WriteOptions, Written, floppy};
use std::io::{self, Write};

const SECTOR_BYTES: u64 = 512;
/// 4 KiB, in sectors.
const ALIGNMENT: u64 = 8;
/// The table in the first sector, and the number that tells disks apart before it.
const DISK_ID: usize = 440;
const TABLE: usize = 446;
/// Partition types: the EFI system partition, and Linux.
pub(crate) const TYPE_EFI: u8 = 0xef;
const TYPE_LINUX: u8 = 0x83;
/// What a table says of addresses by cylinder, head and sector that it cannot express.
const NO_GEOMETRY: [u8; 3] = [0xfe, 0xff, 0xff];

/// The format.
pub(crate) struct Disk;

impl Format for Disk {
    fn name(&self) -> &'static str {
        "disk"
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
        let first = ALIGNMENT;
        let hidden = u32::try_from(first).expect("eight");
        let volume = Volume::plan(tree, Geometry::fitting(tree, hidden)?)?;
        let mut head = match &options.boot {
            Some(boot) => floppy::install(boot, |path| volume.extent(path), hidden)?,
            None => Vec::new(),
        };
        head.resize(usize::try_from(first * SECTOR_BYTES).expect("4 KiB"), 0);
        let efi = Partition { first, sectors: volume.size_bytes() / SECTOR_BYTES };
        let root_first = (first + efi.sectors).next_multiple_of(ALIGNMENT);
        let root_bytes = options.root.as_ref().map_or(0, |root| root.size_bytes());
        let root = Partition {
            first: root_first,
            sectors: root_bytes.next_multiple_of(ALIGNMENT * SECTOR_BYTES) / SECTOR_BYTES,
        };
        put_table(&mut head, options.disk_id, [(TYPE_EFI, efi), (TYPE_LINUX, root)])?;

        let mut counter = Counter { out, count: 0 };
        counter.write_all(&head).map_err(ImageError::Write)?;
        let entries = volume.write(&[], &mut counter)?;
        pad_to(root.first, &mut counter)?;
        if let Some(source) = &options.root {
            let read = |source| ImageError::Content {
                path: "the root partition".to_owned(),
                origin: "the image's description".to_owned(),
                source,
            };
            let mut reader = source.open().map_err(read)?;
            let copied =
                io::copy(&mut reader, &mut counter).map_err(ImageError::Write)?;
            if copied != source.size_bytes() {
                return Err(ImageError::ContentSize {
                    path: "the root partition".to_owned(),
                    origin: "the image's description".to_owned(),
                    expected_bytes: source.size_bytes(),
                    found: copied.to_string(),
                });
            }
        }
        pad_to(root.first + root.sectors, &mut counter)?;
        counter.out.flush().map_err(ImageError::Write)?;
        let image_bytes = counter.count;
        Ok(Written { raw_bytes: image_bytes, image_bytes, entries })
    }
}

/// Puts the table of two partitions into a disk's first sector, each with its type.
pub(crate) fn put_table(
    head: &mut [u8],
    disk_id: u32,
    partitions: [(u8, Partition); 2],
) -> Result<(), ImageError> {
    head[DISK_ID..DISK_ID + 4].copy_from_slice(&disk_id.to_le_bytes());
    for (index, (kind, partition)) in partitions.into_iter().enumerate() {
        let at = TABLE + 16 * index;
        head[at..at + 16].copy_from_slice(&partition.entry(kind)?);
    }
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    Ok(())
}

/// A part of a disk, in sectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partition {
    pub(crate) first: u64,
    pub(crate) sectors: u64,
}

impl Partition {
    /// The table's 16 bytes; zeros for a partition that is not there.
    fn entry(self, kind: u8) -> Result<[u8; 16], ImageError> {
        let mut bytes = [0; 16];
        if self.sectors == 0 {
            return Ok(bytes);
        }
        let number = |sectors: u64| {
            u32::try_from(sectors).map_err(|_| ImageError::TooLarge {
                medium: "a disk with an MBR",
                needed_bytes: sectors * SECTOR_BYTES,
                available_bytes: u64::from(u32::MAX) * SECTOR_BYTES,
            })
        };
        // Not marked as active: no BIOS that matters asks, and EFI must not care.
        bytes[1..4].copy_from_slice(&NO_GEOMETRY);
        bytes[4] = kind;
        bytes[5..8].copy_from_slice(&NO_GEOMETRY);
        bytes[8..12].copy_from_slice(&number(self.first)?.to_le_bytes());
        bytes[12..].copy_from_slice(&number(self.sectors)?.to_le_bytes());
        Ok(bytes)
    }
}

fn pad_to(sector: u64, out: &mut Counter<'_>) -> Result<(), ImageError> {
    let missing = sector * SECTOR_BYTES - out.count;
    io::copy(&mut io::Read::take(io::repeat(0), missing), out)
        .map(drop)
        .map_err(ImageError::Write)
}
