//! The tables of a squashfs: inodes, directories, fragments and owners.
//!
//! A table is a sequence of blocks of 8 KiB, each compressed and led by its length. A place in it is
//! the offset of the block as it is stored and the offset in the block as it was; tables of numbers are
//! found by a list of their blocks instead.

use super::blocks::{Block, Fragment};
use super::compress;
use crate::{Compression, DeviceNumber, Entry, ImageError, ImagePath, Metadata, Node};
use std::collections::BTreeMap;

const METADATA_BYTES: usize = 8192;
/// In the length of a block that is stored as it is.
const UNCOMPRESSED: u16 = 0x8000;
/// The least that an inode takes.
pub(super) const BASIC_BYTES: u64 = 16;
/// Entries that one header of a directory can stand for.
const MAX_HEADER_ENTRIES: usize = 256;
/// What stands for no fragment and no extended attributes.
const NONE: u32 = u32::MAX;
/// A directory's size counts "." and "..", which are not written.
const DOTS_BYTES: usize = 3;

/// The kernel's numbers of inode types; large ones have more and wider fields.
mod inode_type {
    pub(super) const DIRECTORY: u16 = 1;
    pub(super) const FILE: u16 = 2;
    pub(super) const SYMLINK: u16 = 3;
    pub(super) const BLOCK_DEVICE: u16 = 4;
    pub(super) const CHARACTER_DEVICE: u16 = 5;
    pub(super) const FIFO: u16 = 6;
    pub(super) const LARGE_DIRECTORY: u16 = 8;
    pub(super) const LARGE_FILE: u16 = 9;
}

/// The type of a node, as directories list it.
pub(super) const fn kind_of(node: &Node) -> u16 {
    match node {
        Node::Directory => inode_type::DIRECTORY,
        Node::File(_) => inode_type::FILE,
        Node::Symlink(_) => inode_type::SYMLINK,
        Node::BlockDevice(_) => inode_type::BLOCK_DEVICE,
        Node::CharacterDevice(_) => inode_type::CHARACTER_DEVICE,
        Node::Fifo => inode_type::FIFO,
    }
}

/// What an inode other than a directory's says.
pub(super) enum Inode<'a> {
    File { start: u64, sizes: Vec<u32>, fragment: Option<Fragment>, size_bytes: u64 },
    Symlink(&'a [u8]),
    Device(DeviceNumber),
    Fifo,
}

/// A place in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    block: u32,
    offset: u16,
}

impl Place {
    /// As the superblock refers to an inode.
    pub(super) fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// One name of a directory.
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) place: Place,
    pub(super) number: u32,
    pub(super) kind: u16,
}

/// A table in the making.
pub(super) struct MetadataWriter {
    compression: Compression,
    pub(super) blocks: Vec<u8>,
    starts: Vec<u64>,
    open: Vec<u8>,
}

impl MetadataWriter {
    const fn new(compression: Compression) -> Self {
        Self { compression, blocks: Vec::new(), starts: Vec::new(), open: Vec::new() }
    }

    /// Where the next byte will be.
    fn place(&self) -> Place {
        Place {
            block: u32::try_from(self.blocks.len()).expect("tables are below 4 GiB"),
            offset: u16::try_from(self.open.len()).expect("at most 8 KiB"),
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), ImageError> {
        while !bytes.is_empty() {
            let fits = (METADATA_BYTES - self.open.len()).min(bytes.len());
            self.open.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
            if self.open.len() == METADATA_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        let plain = std::mem::take(&mut self.open);
        if plain.is_empty() {
            return Ok(());
        }
        let packed = compress(&plain, self.compression)?;
        let (bytes, flag) = match &packed {
            Some(packed) => (packed, 0),
            None => (&plain, UNCOMPRESSED),
        };
        self.starts.push(self.blocks.len() as u64);
        let length = u16::try_from(bytes.len()).expect("at most 8 KiB");
        self.blocks.extend((length | flag).to_le_bytes());
        self.blocks.extend_from_slice(bytes);
        Ok(())
    }

    /// The list of blocks of a table that begins at `base`.
    pub(super) fn index(&self, base: u64) -> Vec<u8> {
        self.starts.iter().flat_map(|start| (base + start).to_le_bytes()).collect()
    }
}

/// All tables in the making.
pub(super) struct Tables {
    inodes: MetadataWriter,
    directories: MetadataWriter,
    owners: Vec<u32>,
    owner_numbers: BTreeMap<u32, u16>,
    last_number: u32,
    compression: Compression,
}

/// All tables as they are written.
pub(super) struct FinishedTables {
    pub(super) inodes: Vec<u8>,
    pub(super) directories: Vec<u8>,
    pub(super) fragments: MetadataWriter,
    pub(super) owners: MetadataWriter,
    pub(super) inode_count: u32,
    pub(super) owner_count: u16,
}

impl Tables {
    pub(super) const fn new(compression: Compression) -> Self {
        Self {
            inodes: MetadataWriter::new(compression),
            directories: MetadataWriter::new(compression),
            owners: Vec::new(),
            owner_numbers: BTreeMap::new(),
            last_number: 0,
            compression,
        }
    }

    /// The next inode's number, from 1.
    pub(super) fn take_number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    fn owner(&mut self, id: u32) -> Result<u16, ImageError> {
        if let Some(number) = self.owner_numbers.get(&id) {
            return Ok(*number);
        }
        let number =
            u16::try_from(self.owners.len()).map_err(|_| ImageError::TooLarge {
                medium: "the table of owners of a squashfs",
                needed_bytes: (self.owners.len() as u64 + 1) * 4,
                available_bytes: 65536 * 4,
            })?;
        self.owners.push(id);
        self.owner_numbers.insert(id, number);
        Ok(number)
    }

    fn header(
        &mut self,
        kind: u16,
        metadata: Metadata,
        number: u32,
    ) -> Result<Vec<u8>, ImageError> {
        let mut bytes = kind.to_le_bytes().to_vec();
        let mode = u16::try_from(metadata.mode).expect("at most 07777");
        bytes.extend(mode.to_le_bytes());
        bytes.extend(self.owner(metadata.uid)?.to_le_bytes());
        bytes.extend(self.owner(metadata.gid)?.to_le_bytes());
        bytes.extend(metadata.mtime.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        Ok(bytes)
    }

    /// Writes the inode of anything but a directory.
    pub(super) fn add(
        &mut self,
        inode: &Inode<'_>,
        metadata: Metadata,
        number: u32,
        path: &ImagePath,
        entry: &Entry,
    ) -> Result<Place, ImageError> {
        let links = 1u32;
        let kind = kind_of(&entry.node);
        let mut bytes;
        match inode {
            Inode::File { start, sizes, fragment, size_bytes } => {
                let (index, offset) =
                    fragment.map_or((NONE, 0), |place| (place.index, place.offset));
                match (u32::try_from(*start), u32::try_from(*size_bytes)) {
                    (Ok(start), Ok(size)) => {
                        bytes = self.header(kind, metadata, number)?;
                        for field in [start, index, offset, size] {
                            bytes.extend(field.to_le_bytes());
                        }
                    }
                    _ => {
                        bytes = self.header(inode_type::LARGE_FILE, metadata, number)?;
                        for field in [*start, *size_bytes, 0] {
                            bytes.extend(field.to_le_bytes());
                        }
                        for field in [links, index, offset, NONE] {
                            bytes.extend(field.to_le_bytes());
                        }
                    }
                }
                bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            }
            Inode::Symlink(target) => {
                bytes = self.header(kind, metadata, number)?;
                bytes.extend(links.to_le_bytes());
                let length = u32::try_from(target.len()).expect("at most 4,095 bytes");
                bytes.extend(length.to_le_bytes());
                bytes.extend_from_slice(target);
            }
            Inode::Device(device) => {
                bytes = self.header(kind, metadata, number)?;
                bytes.extend(links.to_le_bytes());
                bytes.extend(device_bytes(*device, path, entry)?);
            }
            Inode::Fifo => {
                bytes = self.header(kind, metadata, number)?;
                bytes.extend(links.to_le_bytes());
            }
        }
        let place = self.inodes.place();
        self.inodes.write(&bytes)?;
        Ok(place)
    }

    /// Writes a directory's list and its inode.
    pub(super) fn add_directory(
        &mut self,
        listing: &[Listed],
        directories: u32,
        metadata: Metadata,
        number: u32,
        parent: u32,
    ) -> Result<Place, ImageError> {
        let at = self.directories.place();
        let list = directory_list(listing);
        self.directories.write(&list)?;
        let links = directories + 2;
        let size = list.len() + DOTS_BYTES;
        let bytes = if let Ok(size) = u16::try_from(size) {
            let mut bytes = self.header(inode_type::DIRECTORY, metadata, number)?;
            bytes.extend(at.block.to_le_bytes());
            bytes.extend(links.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(at.offset.to_le_bytes());
            bytes.extend(parent.to_le_bytes());
            bytes
        } else {
            let size = u32::try_from(size).expect("a directory's list is below 4 GiB");
            let mut bytes = self.header(inode_type::LARGE_DIRECTORY, metadata, number)?;
            for field in [links, size, at.block, parent] {
                bytes.extend(field.to_le_bytes());
            }
            // No index: it only makes looking up faster.
            bytes.extend(0u16.to_le_bytes());
            bytes.extend(at.offset.to_le_bytes());
            bytes.extend(NONE.to_le_bytes());
            bytes
        };
        let place = self.inodes.place();
        self.inodes.write(&bytes)?;
        Ok(place)
    }

    /// Writes what is left, and the tables of numbers.
    pub(super) fn finish(
        mut self,
        fragment_blocks: &[Block],
    ) -> Result<FinishedTables, ImageError> {
        self.inodes.flush()?;
        self.directories.flush()?;
        let mut fragments = MetadataWriter::new(self.compression);
        for block in fragment_blocks {
            fragments.write(&block.start.to_le_bytes())?;
            fragments.write(&block.size.to_le_bytes())?;
            fragments.write(&0u32.to_le_bytes())?;
        }
        fragments.flush()?;
        let mut owners = MetadataWriter::new(self.compression);
        for id in &self.owners {
            owners.write(&id.to_le_bytes())?;
        }
        owners.flush()?;
        Ok(FinishedTables {
            inodes: self.inodes.blocks,
            directories: self.directories.blocks,
            fragments,
            owners,
            inode_count: self.last_number,
            owner_count: u16::try_from(self.owners.len()).unwrap_or(u16::MAX),
        })
    }
}

/// Runs of names whose inodes lie in one block, each led by what they share.
fn directory_list(listing: &[Listed]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = listing;
    while let Some(first) = rest.first() {
        let difference = |one: &Listed| i64::from(one.number) - i64::from(first.number);
        let shares = |one: &&Listed| {
            one.place.block == first.place.block && i16::try_from(difference(one)).is_ok()
        };
        let count = rest.iter().take(MAX_HEADER_ENTRIES).take_while(shares).count();
        let fewer = u32::try_from(count - 1).expect("at most 256");
        for field in [fewer, first.place.block, first.number] {
            bytes.extend(field.to_le_bytes());
        }
        for one in &rest[..count] {
            let difference = i16::try_from(difference(one)).expect("looked at above");
            bytes.extend(one.place.offset.to_le_bytes());
            bytes.extend(difference.to_le_bytes());
            bytes.extend(one.kind.to_le_bytes());
            let length = u16::try_from(one.name.len() - 1).expect("at most 255 bytes");
            bytes.extend(length.to_le_bytes());
            bytes.extend_from_slice(&one.name);
        }
        rest = &rest[count..];
    }
    bytes
}

/// The kernel's number of a device: 12 bits of major, 20 of minor.
fn device_bytes(
    device: DeviceNumber,
    path: &ImagePath,
    entry: &Entry,
) -> Result<[u8; 4], ImageError> {
    let DeviceNumber { major, minor } = device;
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(ImageError::Unrepresentable {
            path: path.to_string(),
            origin: entry.origin.clone(),
            format: "squashfs",
            reason: "a device number of more than 12 and 20 bits",
        });
    }
    Ok((minor & 0xff | major << 8 | (minor & !0xff) << 12).to_le_bytes())
}
