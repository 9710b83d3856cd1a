//! squashfs, the compressed read-only file system of Linux.
//!
//! Specification: version 4.0 as the kernel reads it (`fs/squashfs/squashfs_fs.h`, and
//! `Documentation/filesystems/squashfs.rst`). Numbers are little-endian. The image is: the superblock,
//! blocks of data, then the tables of inodes, directories, fragments and owners. Ends of files that
//! fill no block share blocks, the fragments; there is no table for NFS and none for extended
//! attributes.
//!
//! Blocks are as large as the format allows, 1 MiB: small systems are a few blocks. They are compressed
//! on all processors and written in the order of paths, so the bytes depend on neither. Files of equal
//! contents are stored twice.

mod blocks;
mod inodes;

use crate::format::Counter;
use crate::{
    Compression, Entry, EntrySize, Format, ImageError, ImagePath, ImageTree, Metadata,
    Node, WriteOptions, Written, XzFilter,
};
use blocks::{BlockWriter, FileBlocks};
use inodes::{Inode, Tables};
use std::collections::BTreeMap;
use std::io::{self, Write};

const MAGIC: u32 = 0x7371_7368;
/// The superblock's length; what an image begins with.
pub(crate) const SUPERBLOCK_BYTES: u64 = 96;
/// Blocks of data: the largest that there are.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
const BLOCK_LOG2: u16 = 20;
/// No extended attributes.
const FLAG_NO_XATTRS: u16 = 0x0200;
/// No file has a fragment.
const FLAG_NO_FRAGMENTS: u16 = 0x0010;
/// What stands for a table that is not there.
const NO_TABLE: u64 = u64::MAX;
/// The file is padded to this, which block devices need.
const PADDING_BYTES: u64 = 4096;
/// The kernel's numbers of compressors.
const COMPRESSOR_GZIP: u16 = 1;
const COMPRESSOR_XZ: u16 = 4;
const COMPRESSOR_ZSTD: u16 = 6;

/// The format.
pub(crate) struct Squashfs;

impl Format for Squashfs {
    fn name(&self) -> &'static str {
        "squashfs"
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
        write(tree, options.compression, out)
    }
}

/// A file system whose superblock and other parts need not be adjacent.
pub(crate) struct Parts {
    /// What the medium begins with.
    pub(crate) superblock: Vec<u8>,
    /// Everything else, in one piece.
    pub(crate) body: Vec<u8>,
}

/// Writes a tree as a file system.
pub fn write(
    tree: &ImageTree,
    compression: Compression,
    out: &mut dyn Write,
) -> Result<Written, ImageError> {
    let Parts { superblock, body } = pack(tree, compression, SUPERBLOCK_BYTES)?;
    let mut counter = Counter { out, count: 0 };
    let used = SUPERBLOCK_BYTES + body.len() as u64;
    let padding = used.next_multiple_of(PADDING_BYTES) - used;
    counter
        .write_all(&superblock)
        .and_then(|()| counter.write_all(&body))
        .and_then(|()| {
            io::copy(&mut io::Read::take(io::repeat(0), padding), &mut counter)
        })
        .and_then(|_| counter.out.flush())
        .map_err(ImageError::Write)?;
    let entries = entry_sizes(tree);
    let raw_bytes = entries.iter().map(|entry| entry.size_bytes).sum();
    Ok(Written { raw_bytes, image_bytes: counter.count, entries })
}

/// Packs a tree into a file system whose body lies at `body_start` of its medium.
///
/// The superblock comes first and is known last, so the image is made in memory: it is no larger
/// than what will be compressed into it.
pub(crate) fn pack(
    tree: &ImageTree,
    compression: Compression,
    body_start: u64,
) -> Result<Parts, ImageError> {
    let compressor = match compression {
        Compression::Gzip => COMPRESSOR_GZIP,
        Compression::Xz(_) => COMPRESSOR_XZ,
        Compression::Zstd => COMPRESSOR_ZSTD,
        Compression::None => {
            return Err(ImageError::UnknownCompression {
                name: "none".to_owned(),
                known: "gzip, xz, xz-x86, zstd".to_owned(),
            });
        }
    };
    let mut blocks = BlockWriter::new(compression, body_start);
    let mut files = BTreeMap::new();
    for (path, entry) in tree.iter() {
        if let Node::File(source) = &entry.node {
            files.insert(path, blocks.add_file(path, entry, source.as_ref())?);
        }
    }
    let data = blocks.finish()?;
    let mut writer = TreeWriter {
        tree,
        files: &files,
        data: &data,
        children: children_by_parent(tree),
        tables: Tables::new(compression),
    };
    let root = writer.write_root()?;
    let tables = writer.tables.finish(&data.fragments)?;

    let mut superblock = Superblock {
        compressor,
        flags: FLAG_NO_XATTRS,
        inodes: tables.inode_count,
        fragments: u32::try_from(data.fragments.len()).expect("one per MiB"),
        owners: tables.owner_count,
        root,
        ..Superblock::default()
    };
    if data.fragments.is_empty() {
        superblock.flags |= FLAG_NO_FRAGMENTS;
    }
    let mut body = data.bytes;
    let mut append = |bytes: &[u8]| {
        let at = body_start + body.len() as u64;
        body.extend_from_slice(bytes);
        at
    };
    superblock.inode_table = append(&tables.inodes);
    superblock.directory_table = append(&tables.directories);
    superblock.fragment_table = NO_TABLE;
    if !data.fragments.is_empty() {
        let at = append(&tables.fragments.blocks);
        superblock.fragment_table = append(&tables.fragments.index(at));
    }
    let at = append(&tables.owners.blocks);
    superblock.owner_table = append(&tables.owners.index(at));
    superblock.bytes_used = body_start + body.len() as u64;
    Ok(Parts { superblock: superblock.bytes(), body })
}

/// What each entry takes before compression: its contents, its inode and its name.
pub(crate) fn entry_sizes(tree: &ImageTree) -> Vec<EntrySize> {
    tree.iter()
        .map(|(path, entry)| EntrySize {
            path: path.clone(),
            origin: entry.origin.clone(),
            size_bytes: entry.node.size_bytes()
                + inodes::BASIC_BYTES
                + name_of(path).len() as u64,
        })
        .collect()
}

/// The last component of a path.
fn name_of(path: &ImagePath) -> &[u8] {
    path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

type Children<'a> = BTreeMap<ImagePath, Vec<(&'a ImagePath, &'a Entry)>>;

/// What lies in every directory, in the order of names.
fn children_by_parent(tree: &ImageTree) -> Children<'_> {
    let mut children: Children<'_> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        children
            .entry(path.parent().unwrap_or_default())
            .or_default()
            .push((path, entry));
    }
    // Paths are sorted with their slashes: "a-b" comes before "a/c", but names must be sorted alone.
    for list in children.values_mut() {
        list.sort_by_key(|(path, _)| name_of(path));
    }
    children
}

struct TreeWriter<'a> {
    tree: &'a ImageTree,
    files: &'a BTreeMap<&'a ImagePath, FileBlocks>,
    data: &'a blocks::Data,
    children: Children<'a>,
    tables: Tables,
}

impl TreeWriter<'_> {
    /// Writes all inodes, each after what it refers to, and says where the root's is.
    fn write_root(&mut self) -> Result<u64, ImageError> {
        let root = ImagePath::default();
        let metadata =
            self.tree.get(&root).map_or(Metadata::new(0o755), |entry| entry.metadata);
        // The numbers of directories must be known before what they hold is written.
        let number = self.tables.take_number();
        // The root is its own parent, and by custom that is a number that no inode has.
        let parent = u32::try_from(self.tree.len() + 2).unwrap_or(u32::MAX);
        let place = self.write_directory(&root, metadata, number, parent)?;
        Ok(place.reference())
    }

    fn write_directory(
        &mut self,
        path: &ImagePath,
        metadata: Metadata,
        number: u32,
        parent: u32,
    ) -> Result<inodes::Place, ImageError> {
        let children = self.children.remove(path).unwrap_or_default();
        let mut listing = Vec::with_capacity(children.len());
        let mut directories = 0;
        for (child, entry) in children {
            let child_number = self.tables.take_number();
            let place = if matches!(entry.node, Node::Directory) {
                directories += 1;
                self.write_directory(child, entry.metadata, child_number, number)?
            } else {
                let inode = inode_of(self.files, self.data, child, entry);
                self.tables.add(&inode, entry.metadata, child_number, child, entry)?
            };
            listing.push(inodes::Listed {
                name: name_of(child).to_vec(),
                place,
                number: child_number,
                kind: inodes::kind_of(&entry.node),
            });
        }
        self.tables.add_directory(&listing, directories, metadata, number, parent)
    }
}

fn inode_of<'a>(
    files: &BTreeMap<&ImagePath, FileBlocks>,
    data: &blocks::Data,
    path: &ImagePath,
    entry: &'a Entry,
) -> Inode<'a> {
    match &entry.node {
        Node::File(source) => {
            let file = &files[path];
            Inode::File {
                start: data.start_of(file),
                sizes: data.sizes_of(file),
                fragment: file.fragment,
                size_bytes: source.size_bytes(),
            }
        }
        Node::Symlink(target) => Inode::Symlink(target),
        Node::CharacterDevice(number) | Node::BlockDevice(number) => {
            Inode::Device(*number)
        }
        Node::Fifo => Inode::Fifo,
        Node::Directory => unreachable!("directories are written by themselves"),
    }
}

#[derive(Debug, Default)]
struct Superblock {
    compressor: u16,
    flags: u16,
    inodes: u32,
    fragments: u32,
    owners: u16,
    root: u64,
    bytes_used: u64,
    owner_table: u64,
    inode_table: u64,
    directory_table: u64,
    fragment_table: u64,
}

impl Superblock {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let block_bytes = u32::try_from(BLOCK_BYTES).expect("1 MiB");
        for number in [MAGIC, self.inodes, 0, block_bytes, self.fragments] {
            bytes.extend(number.to_le_bytes());
        }
        let version = [4, 0];
        for number in
            [self.compressor, BLOCK_LOG2, self.flags, self.owners, version[0], version[1]]
        {
            bytes.extend(number.to_le_bytes());
        }
        let (xattrs, exports) = (NO_TABLE, NO_TABLE);
        for number in [
            self.root,
            self.bytes_used,
            self.owner_table,
            xattrs,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            exports,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }
}

/// Compresses bytes with the settings of the image; nothing where that does not help.
fn compress(
    bytes: &[u8],
    compression: Compression,
) -> Result<Option<Vec<u8>>, ImageError> {
    let variants: &[Compression] = match compression {
        // Code shrinks with the filter, other things without.
        Compression::Xz(XzFilter::X86) => {
            &[Compression::Xz(XzFilter::None), Compression::Xz(XzFilter::X86)]
        }
        _ => std::slice::from_ref(&compression),
    };
    let mut best: Option<Vec<u8>> = None;
    for variant in variants {
        let packed = variant.block(bytes)?;
        let limit = best.as_ref().map_or(bytes.len(), Vec::len);
        if packed.len() < limit {
            best = Some(packed);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_alone() {
        let mut tree = ImageTree::new();
        for path in ["/a/c", "/a-b", "/a.d"] {
            tree.insert(
                ImagePath::parse(path).unwrap(),
                Node::bytes("x"),
                Metadata::new(0o644),
                "test",
            )
            .unwrap();
        }
        let children = children_by_parent(&tree);
        let names: Vec<_> = children[&ImagePath::default()]
            .iter()
            .map(|(path, _)| name_of(path))
            .collect();
        assert_eq!(names, [&b"a"[..], b"a-b", b"a.d"]);
    }

    #[test]
    fn a_superblock_has_its_length() {
        assert_eq!(Superblock::default().bytes().len() as u64, SUPERBLOCK_BYTES);
    }
}
