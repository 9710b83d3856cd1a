//! What a PC's BIOS starts: the loader of `pkgs/biosLoader`, told where kernel and initramfs lie.
//!
//! The loader knows no file system. Its 2,048 bytes have a table of sector numbers at byte 64 and the
//! kernel command line in the last 512 bytes; `loader.S` is the other side of this file. All numbers
//! are little-endian.

use crate::{ImageError, ImagePath};

/// The loader's length.
pub const LOADER_BYTES: usize = 2048;
/// Where the table is, and what it begins with; the last digits are its version.
const TABLE: usize = 64;
const MAGIC: &[u8; 8] = b"picnix01";
/// Where the command line is.
const COMMAND_LINE: usize = 1536;
/// The longest command line, without its zero byte.
const MAX_COMMAND_LINE_BYTES: usize = 511;

/// How an image starts by itself.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The loader as it was assembled.
    pub loader: Vec<u8>,
    /// The kernel, in the image.
    pub kernel: ImagePath,
    /// The initramfs, in the image.
    pub initramfs: Option<ImagePath>,
    /// The kernel command line.
    pub command_line: String,
}

/// Bytes of a medium in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// The first sector.
    pub sector: u32,
    /// The length.
    pub bytes: u32,
}

/// The sectors that a medium has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectorSize {
    /// 512 bytes: floppies and disks.
    Disk,
    /// 2,048 bytes: CDs.
    Cd,
}

impl SectorSize {
    const fn log2(self) -> u8 {
        match self {
            Self::Disk => 9,
            Self::Cd => 11,
        }
    }
}

/// Where the loader finds things, counted from the beginning of the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) sector_size: SectorSize,
    pub(crate) kernel: Extent,
    pub(crate) initramfs: Option<Extent>,
    /// The loader itself.
    pub(crate) loader_sector: u32,
}

impl Boot {
    /// The loader with everything that it must know.
    pub(crate) fn install(&self, places: &Places) -> Result<Vec<u8>, ImageError> {
        let invalid = |reason| Err(ImageError::Boot { reason });
        let mut bytes = self.loader.clone();
        if bytes.len() != LOADER_BYTES || bytes[TABLE..TABLE + 8] != *MAGIC {
            return invalid("the loader is not one that this picnix knows");
        }
        let line = self.command_line.as_bytes();
        if line.contains(&0) {
            return invalid("the kernel command line holds a zero byte");
        }
        if line.len() > MAX_COMMAND_LINE_BYTES {
            return invalid("the kernel command line is longer than 511 bytes");
        }
        bytes[TABLE + 8] = places.sector_size.log2();
        let initramfs = places.initramfs.unwrap_or_default();
        let numbers = [
            places.kernel.sector,
            places.kernel.bytes,
            initramfs.sector,
            initramfs.bytes,
            places.loader_sector,
        ];
        for (number, field) in numbers.iter().zip(bytes[TABLE + 12..].chunks_exact_mut(4))
        {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[COMMAND_LINE..COMMAND_LINE + line.len()].copy_from_slice(line);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Boot {
        let mut loader = vec![0; LOADER_BYTES];
        loader[TABLE..TABLE + 8].copy_from_slice(MAGIC);
        Boot {
            loader,
            kernel: ImagePath::parse("/linux").unwrap(),
            initramfs: None,
            command_line: "console=ttyS0".to_owned(),
        }
    }

    const PLACES: Places = Places {
        sector_size: SectorSize::Cd,
        kernel: Extent { sector: 0x0102, bytes: 0x0003_0405 },
        initramfs: None,
        loader_sector: 7,
    };

    #[test]
    fn the_table_and_the_command_line_are_filled_in() {
        let bytes = boot().install(&PLACES).unwrap();
        assert_eq!(
            bytes[TABLE..TABLE + 32],
            *b"picnix01\x0b\0\0\0\x02\x01\0\0\x05\x04\x03\0\0\0\0\0\0\0\0\0\x07\0\0\0"
        );
        assert_eq!(&bytes[COMMAND_LINE..COMMAND_LINE + 14], b"console=ttyS0\0");
    }

    #[test]
    fn what_the_loader_cannot_take_is_refused() {
        let mut other = boot();
        other.loader[TABLE + 7] = b'2';
        assert!(other.install(&PLACES).is_err());
        let mut short = boot();
        short.loader.pop();
        assert!(short.install(&PLACES).is_err());
        for line in ["x".repeat(512), "a\0b".to_owned()] {
            assert!(Boot { command_line: line, ..boot() }.install(&PLACES).is_err());
        }
        assert!(
            Boot { command_line: "x".repeat(511), ..boot() }.install(&PLACES).is_ok()
        );
    }
}
