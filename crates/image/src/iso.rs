//! A CD that a PC starts by BIOS or EFI, and a disk that it starts likewise: the bytes are the same, so
//! that the image can be burned or written to a stick.
//!
//! The image is four things at once, which share their bytes:
//!
//! - a squashfs with the tree, from byte 0 of the medium: Linux finds no partitions on a CD, so its root
//!   is the whole medium. Only the superblock is at the beginning; what it points to is at the end.
//! - an ISO 9660, whose descriptors begin at 32 KiB. Its directories are those of the FAT volume.
//! - a FAT volume in the middle with the files that firmware reads: the kernel, and the loader for EFI.
//!   The loaders for a BIOS know where in it the kernel lies.
//! - a disk with an MBR: its first partition is all of it, that is the squashfs, and its second one the
//!   FAT volume.
//!
//! A BIOS runs the first sector of a disk from its first byte, which is the superblock: `mbr.S` says how
//! that can be. Programs that guess what a medium holds find several things here, and some then say
//! nothing (blkid). Specifications are named in `iso9660.rs`, `fat.rs`, `squashfs.rs` and `disk.rs`.

use crate::bios::{LOADER_BYTES, Places, SectorSize};
use crate::disk::{Partition, TYPE_EFI, put_table};
use crate::efi::{self, Lines};
use crate::fat::{Geometry, Volume};
use crate::format::Counter;
use crate::iso9660::{Directories, FIRST_SECTOR, SECTOR_BYTES, Starts};
use crate::squashfs::{self, Parts};
use crate::{
    Boot, Extent, Format, ImageError, ImagePath, ImageTree, Metadata, Node, WriteOptions,
    Written,
};
use std::io::{self, Write};

/// Sectors of a disk in one of a CD.
const DISK_SECTORS: u32 = 4;
/// The sectors with the loaders for a BIOS, for a disk's and for a CD's.
const DISK_LOADER: u32 = 1;
const CD_LOADER: u32 = 2;
/// Where EFI firmware looks on media that it does not know.
const EFI_PROGRAM: &str = "/efi/boot/bootx64.efi";
const MBR_BYTES: usize = 512;
/// In the first sector: a mark with a version, and where its number of the loader's sector is.
const MBR_MAGIC: &[u8; 8] = b"picnixm1";
const MBR_MARK: usize = 400;
const MBR_LOADER: usize = 416;
/// The squashfs' fields that are run as code.
const SUPERBLOCK_INODES: std::ops::Range<usize> = 4..8;
const SUPERBLOCK_TIME: std::ops::Range<usize> = 8..12;
/// A jump over the end of the number of files, and from the time to byte 96.
const RUNNABLE_INODES: u32 = 4;
const RUNNABLE_TIME: [u8; 4] = [0xc0, 0xeb, 0x55, 0];
/// The first partition is marked as active: some BIOSes start no stick without one.
const ACTIVE: (usize, u8) = (446, 0x80);
/// A partition of no type, since EFI firmware ignores those: it overlaps the other one.
const TYPE_NONE: u8 = 0;

/// What only an image needs that starts from a CD as well as from a disk.
#[derive(Debug, Clone)]
pub struct CdBoot {
    /// The code of the first sector, as it was assembled.
    pub mbr: Vec<u8>,
    /// The EFI program, as it was assembled.
    pub efi_loader: Vec<u8>,
    /// The files that firmware sees; the kernel is `/linux`.
    pub files: ImageTree,
    /// The end of the kernel command line when it starts from a CD.
    pub on_cd: String,
    /// The same when it starts from a disk.
    pub on_disk: String,
}

/// The format.
pub(crate) struct Iso;

impl Format for Iso {
    fn name(&self) -> &'static str {
        "iso"
    }

    fn version(&self) -> u32 {
        1
    }

    fn extension(&self, _options: &WriteOptions) -> String {
        "iso".to_owned()
    }

    fn write(
        &self,
        tree: &ImageTree,
        options: &WriteOptions,
        out: &mut dyn Write,
    ) -> Result<Written, ImageError> {
        let (Some(boot), Some(cd)) = (&options.boot, &options.cd) else {
            return Err(ImageError::Boot { reason: "a CD needs a loader and a kernel" });
        };
        let files = firmware_files(boot, cd)?;
        let directories = Directories::plan(&files)?;
        let hidden = directories.end_sector() * DISK_SECTORS;
        let volume = Volume::plan(&files, Geometry::fitting_cd(&files, hidden)?)?;
        let place = Layout { hidden, volume: &volume, directories: &directories };

        let root = match tree.is_empty() {
            // A system that lives in memory.
            true => None,
            false => Some(squashfs::pack(tree, options.compression, place.root_start())?),
        };
        let body = root.as_ref().map_or(&[][..], |root| &root.body);
        let sectors = place.medium_sectors(body.len() as u64)?;
        let mut head =
            place.mbr(cd, root.as_ref(), options.disk_id, sectors * DISK_SECTORS)?;
        head.extend(place.loader(boot, &cd.on_disk, SectorSize::Disk)?);
        head.extend(place.loader(boot, &cd.on_cd, SectorSize::Cd)?);
        head.resize(FIRST_SECTOR as usize * SECTOR_BYTES, 0);
        head.extend(directories.bytes(
            |path| place.extent(path, SectorSize::Cd),
            place.starts(),
            sectors,
        ));

        let mut counter = Counter { out, count: 0 };
        counter.write_all(&head).map_err(ImageError::Write)?;
        let mut entries = volume.write(&[], &mut counter)?;
        entries.extend(squashfs::entry_sizes(tree));
        let end = u64::from(sectors) * SECTOR_BYTES as u64;
        counter
            .write_all(body)
            .and_then(|()| {
                let missing = end - counter.count;
                io::copy(&mut io::Read::take(io::repeat(0), missing), &mut counter)
            })
            .and_then(|_| counter.out.flush())
            .map_err(ImageError::Write)?;
        let raw_bytes = entries.iter().map(|entry| entry.size_bytes).sum();
        Ok(Written { raw_bytes, image_bytes: counter.count, entries })
    }
}

/// The files of the FAT volume: those that were given, and the program that EFI starts.
fn firmware_files(boot: &Boot, cd: &CdBoot) -> Result<ImageTree, ImageError> {
    let initrd = boot.initramfs.as_ref().map(efi::initrd_parameter);
    let common: Vec<&str> = [Some(boot.command_line.as_str()), initrd.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let lines =
        Lines { common: &common.join(" "), on_cd: &cd.on_cd, on_disk: &cd.on_disk };
    let program = efi::install(&cd.efi_loader, &boot.kernel, lines)?;
    let mut files = cd.files.clone();
    files.insert(
        ImagePath::parse(EFI_PROGRAM)?,
        Node::bytes(program),
        Metadata::new(0o644),
        "the loader for EFI",
    )?;
    Ok(files)
}

/// Where everything is.
struct Layout<'a> {
    /// A disk's sectors before the volume.
    hidden: u32,
    volume: &'a Volume<'a>,
    directories: &'a Directories<'a>,
}

impl Layout<'_> {
    fn root_start(&self) -> u64 {
        u64::from(self.directories.end_sector()) * SECTOR_BYTES as u64
            + self.volume.size_bytes()
    }

    /// All sectors of the CD.
    fn medium_sectors(&self, body_bytes: u64) -> Result<u32, ImageError> {
        let needed_bytes = self.root_start() + body_bytes;
        // What the tables of disks can say.
        let most = u32::MAX / DISK_SECTORS;
        u32::try_from(needed_bytes.div_ceil(SECTOR_BYTES as u64))
            .ok()
            .filter(|sectors| *sectors <= most)
            .ok_or(ImageError::TooLarge {
                medium: "a CD that is a disk with an MBR",
                needed_bytes,
                available_bytes: u64::from(most) * SECTOR_BYTES as u64,
            })
    }

    /// Where a file of the volume lies on the medium.
    fn extent(&self, path: &ImagePath, sectors: SectorSize) -> Option<Extent> {
        let found = self.volume.extent(path)?;
        let sector = self.hidden + found.sector;
        Some(match sectors {
            SectorSize::Disk => Extent { sector, ..found },
            SectorSize::Cd => Extent { sector: sector / DISK_SECTORS, ..found },
        })
    }

    fn starts(&self) -> Starts {
        let bytes = u32::try_from(self.volume.size_bytes()).unwrap_or(u32::MAX);
        let sector = self.directories.end_sector();
        Starts { bios_loader: CD_LOADER, efi_volume: Extent { sector, bytes } }
    }

    /// The first sector of a CD: that of a disk, and nothing.
    fn mbr(
        &self,
        cd: &CdBoot,
        root: Option<&Parts>,
        disk_id: u32,
        sectors: u32,
    ) -> Result<Vec<u8>, ImageError> {
        let mut bytes = cd.mbr.clone();
        if bytes.len() != MBR_BYTES || bytes[MBR_MARK..MBR_MARK + 8] != *MBR_MAGIC {
            let reason = "the MBR is not one that this picnix knows";
            return Err(ImageError::Boot { reason });
        }
        if let Some(root) = root {
            let superblock = runnable(&root.superblock);
            bytes[..superblock.len()].copy_from_slice(&superblock);
        }
        let loader = DISK_LOADER * DISK_SECTORS;
        bytes[MBR_LOADER..MBR_LOADER + 4].copy_from_slice(&loader.to_le_bytes());
        let whole = Partition { first: 0, sectors: u64::from(sectors) };
        let volume = Partition {
            first: u64::from(self.hidden),
            sectors: self.volume.size_bytes() / MBR_BYTES as u64,
        };
        put_table(&mut bytes, disk_id, [(TYPE_NONE, whole), (TYPE_EFI, volume)])?;
        bytes[ACTIVE.0] = ACTIVE.1;
        bytes.resize(SECTOR_BYTES, 0);
        Ok(bytes)
    }

    /// The loader for a BIOS.
    fn loader(
        &self,
        boot: &Boot,
        line_end: &str,
        sector_size: SectorSize,
    ) -> Result<Vec<u8>, ImageError> {
        let find = |path: &ImagePath| {
            self.extent(path, sector_size).ok_or(ImageError::Boot {
                reason: "kernel or initramfs is not a file of the image",
            })
        };
        let command_line = format!("{} {line_end}", boot.command_line);
        let places = Places {
            sector_size,
            kernel: find(&boot.kernel)?,
            initramfs: boot.initramfs.as_ref().map(find).transpose()?,
            loader_sector: match sector_size {
                SectorSize::Disk => DISK_LOADER * DISK_SECTORS,
                SectorSize::Cd => CD_LOADER,
            },
        };
        let bytes = Boot { command_line, ..boot.clone() }.install(&places)?;
        debug_assert_eq!(bytes.len(), LOADER_BYTES);
        Ok(bytes)
    }
}

/// A superblock that a PC can run: it claims some files more than there are, which nothing but `df -i`
/// shows, and a time that is none.
fn runnable(superblock: &[u8]) -> Vec<u8> {
    let mut bytes = superblock.to_vec();
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[SUPERBLOCK_INODES]);
    let files = u32::from_le_bytes(field);
    let claimed =
        files.saturating_sub(RUNNABLE_INODES).next_multiple_of(256) + RUNNABLE_INODES;
    bytes[SUPERBLOCK_INODES].copy_from_slice(&claimed.to_le_bytes());
    bytes[SUPERBLOCK_TIME].copy_from_slice(&RUNNABLE_TIME);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_can_be_run() {
        for (files, claimed) in [(1, 4), (4, 4), (5, 260), (260, 260), (261, 516)] {
            let mut superblock = vec![0; 96];
            superblock[..4].copy_from_slice(b"hsqs");
            superblock[SUPERBLOCK_INODES].copy_from_slice(&u32::to_le_bytes(files));
            let bytes = runnable(&superblock);
            assert_eq!(bytes[SUPERBLOCK_INODES], u32::to_le_bytes(claimed));
            // push, jnc to 9; there a jump to 96.
            assert_eq!(bytes[..5], [0x68, 0x73, 0x71, 0x73, 4]);
            assert_eq!(bytes[9..11], [0xeb, 96 - 11]);
        }
    }
}
