//! FAT12 and FAT16, the file systems that firmware reads.
//!
//! Specification: Microsoft's "FAT: General Overview of On-Disk Format", version 1.03. Numbers are
//! little-endian. Every file lies in one piece, in the order of paths, so that a loader needs to know
//! its first sector only; `fatfs` and others promise no such thing, which is why this is our own.
//!
//! Names are those of DOS: eight letters, a dot, three more, in capitals. There are no long names, no
//! owners and no modes; every file is of 1980-01-01.

use crate::bios::Extent;
use crate::{Entry, EntrySize, ImageError, ImagePath, ImageTree, Node, content};
use std::collections::BTreeMap;
use std::io::{self, Write};

const SECTOR_BYTES: u32 = 512;
const ENTRY_BYTES: u32 = 32;
/// Sectors in one of a CD's.
const CD_SECTORS: u8 = 4;
/// With fewer clusters the numbers of clusters have 12 bits, with fewer than the second 16.
const FAT12_MAX_CLUSTERS: u32 = 4084;
const FAT16_MAX_CLUSTERS: u32 = 65524;
/// The first cluster has this number.
const FIRST_CLUSTER: u32 = 2;
/// 1980-01-01 in a directory.
const DATE: u16 = 0x0021;
/// The serial number of every volume; it only tells floppies in a drive apart.
const SERIAL: u32 = 0x7069_6378;
/// The part of the first sector that describes the volume.
const DESCRIPTION: std::ops::Range<usize> = 3..62;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_ARCHIVE: u8 = 0x20;

/// The shape of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// All sectors of the volume.
    pub sectors: u32,
    /// Those before the first table: the boot sector and what a loader needs more.
    pub reserved_sectors: u16,
    /// Sectors of each of the two tables.
    pub table_sectors: u16,
    /// Entries of the root directory.
    pub root_entries: u16,
    /// A power of two.
    pub cluster_sectors: u8,
    /// 0xF0 for a floppy, 0xF8 for a disk.
    pub media: u8,
    /// Sectors of a track, for BIOSes that count them.
    pub track_sectors: u16,
    /// Heads, likewise.
    pub heads: u16,
    /// Sectors of the medium before the volume.
    pub hidden_sectors: u32,
}

impl Geometry {
    /// A floppy of 1,474,560 bytes, with room for a loader of four sectors.
    pub const FLOPPY: Self = Self {
        sectors: 2880,
        reserved_sectors: 4,
        table_sectors: 9,
        root_entries: 224,
        cluster_sectors: 1,
        media: 0xf0,
        track_sectors: 18,
        heads: 2,
        hidden_sectors: 0,
    };

    /// The smallest volume of a disk that holds a tree.
    pub fn fitting(tree: &ImageTree, hidden_sectors: u32) -> Result<Self, ImageError> {
        Self::smallest(tree, hidden_sectors, 1)
    }

    /// The smallest one of a CD, whose files begin where its sectors of 2,048 bytes do.
    pub fn fitting_cd(tree: &ImageTree, hidden_sectors: u32) -> Result<Self, ImageError> {
        Self::smallest(tree, hidden_sectors, CD_SECTORS)
    }

    /// Files begin at multiples of `alignment` sectors, as the volume itself does.
    fn smallest(
        tree: &ImageTree,
        hidden_sectors: u32,
        alignment: u8,
    ) -> Result<Self, ImageError> {
        let mut cluster_sectors = alignment;
        loop {
            let shape = Self { cluster_sectors, hidden_sectors, ..Self::FLOPPY };
            let clusters = tree
                .iter()
                .map(|(path, entry)| shape.clusters_of(tree, path, entry))
                .sum::<u64>()
                .max(1);
            match u32::try_from(clusters) {
                Ok(clusters) if clusters <= FAT12_MAX_CLUSTERS => {
                    return Ok(shape.with_clusters(clusters, alignment));
                }
                // A cluster has at most 64 sectors.
                _ if cluster_sectors < 64 => cluster_sectors *= 2,
                _ => {
                    let available_bytes = u64::from(FAT12_MAX_CLUSTERS) * 64 * 512;
                    return Err(ImageError::TooLarge {
                        medium: "a FAT12 volume",
                        needed_bytes: clusters * u64::from(shape.cluster_bytes()),
                        available_bytes,
                    });
                }
            }
        }
    }

    fn with_clusters(self, clusters: u32, alignment: u8) -> Self {
        let table_bytes = ((clusters + FIRST_CLUSTER) * 3).div_ceil(2);
        let table_sectors = table_bytes.div_ceil(SECTOR_BYTES);
        let table_sectors = u16::try_from(table_sectors).expect("at most 4,086 numbers");
        let mut shape = Self {
            media: 0xf8,
            table_sectors,
            reserved_sectors: 1,
            root_entries: 16,
            ..self
        };
        let data = shape.first_data_sector();
        let padding = data.next_multiple_of(u32::from(alignment)) - data;
        shape.reserved_sectors += u16::try_from(padding).expect("less than a cluster");
        shape.sectors =
            shape.first_data_sector() + clusters * u32::from(shape.cluster_sectors);
        shape
    }

    const fn first_data_sector(&self) -> u32 {
        self.reserved_sectors as u32
            + 2 * self.table_sectors as u32
            + self.root_entries as u32 * ENTRY_BYTES / SECTOR_BYTES
    }

    const fn clusters(&self) -> u32 {
        (self.sectors - self.first_data_sector()) / self.cluster_sectors as u32
    }

    const fn cluster_bytes(&self) -> u32 {
        self.cluster_sectors as u32 * SECTOR_BYTES
    }

    fn clusters_of(&self, tree: &ImageTree, path: &ImagePath, entry: &Entry) -> u64 {
        let bytes = match &entry.node {
            // Itself and the one above have entries too.
            Node::Directory => {
                (children(tree, path).count() as u64 + 2) * u64::from(ENTRY_BYTES)
            }
            node => node.size_bytes(),
        };
        bytes.div_ceil(u64::from(self.cluster_bytes()))
    }
}

/// Where everything of a volume lies.
#[derive(Debug)]
pub struct Volume<'a> {
    geometry: Geometry,
    tree: &'a ImageTree,
    /// First cluster and number of clusters of everything that has contents, in this order.
    runs: BTreeMap<ImagePath, Run>,
    names: BTreeMap<ImagePath, [u8; 11]>,
    free_clusters: u32,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    count: u32,
}

impl<'a> Volume<'a> {
    /// Gives everything of a tree its place.
    pub fn plan(tree: &'a ImageTree, geometry: Geometry) -> Result<Self, ImageError> {
        let mut names = BTreeMap::new();
        let mut runs = BTreeMap::new();
        let mut next = u64::from(FIRST_CLUSTER);
        for (path, entry) in tree.iter() {
            let refuse = |reason| ImageError::Unrepresentable {
                path: path.to_string(),
                origin: entry.origin.clone(),
                format: "FAT",
                reason,
            };
            if !matches!(entry.node, Node::Directory | Node::File(_)) {
                return Err(refuse("only directories and files"));
            }
            if entry.node.size_bytes() > u64::from(u32::MAX) {
                return Err(refuse("a file of 4 GiB or more"));
            }
            let name = short_name(path)
                .ok_or_else(|| refuse("names are eight letters, a dot and three more"))?;
            if names.insert(path.clone(), name).is_some() {
                return Err(refuse("the name is there twice"));
            }
            let count = geometry.clusters_of(tree, path, entry);
            runs.insert(path.clone(), (next, count));
            next += count;
        }
        let needed = next - u64::from(FIRST_CLUSTER);
        let Some(free) = u64::from(geometry.clusters()).checked_sub(needed) else {
            let bytes = u64::from(geometry.cluster_bytes());
            return Err(ImageError::TooLarge {
                medium: if geometry == Geometry::FLOPPY {
                    "a floppy"
                } else {
                    "the volume"
                },
                needed_bytes: needed * bytes,
                available_bytes: u64::from(geometry.clusters()) * bytes,
            });
        };
        let narrow = |number| u32::try_from(number).expect("no more than there are");
        let runs = runs
            .into_iter()
            .map(|(path, (first, count))| {
                (path, Run { first: narrow(first), count: narrow(count) })
            })
            .collect();
        let volume = Self { geometry, tree, runs, names, free_clusters: narrow(free) };
        volume.check_names()?;
        Ok(volume)
    }

    /// DOS knows no small letters: two names may become one.
    fn check_names(&self) -> Result<(), ImageError> {
        let mut seen = std::collections::BTreeSet::new();
        for (path, entry) in self.tree.iter() {
            if !seen.insert((path.parent(), self.names[path])) {
                return Err(ImageError::Unrepresentable {
                    path: path.to_string(),
                    origin: entry.origin.clone(),
                    format: "FAT",
                    reason: "another file has this name in capitals",
                });
            }
        }
        let in_root = children(self.tree, &ImagePath::default()).count();
        if in_root > usize::from(self.geometry.root_entries) {
            return Err(ImageError::TooLarge {
                medium: "the root directory of a FAT volume",
                needed_bytes: in_root as u64 * u64::from(ENTRY_BYTES),
                available_bytes: u64::from(self.geometry.root_entries)
                    * u64::from(ENTRY_BYTES),
            });
        }
        Ok(())
    }

    /// Where a file lies, in sectors of the volume.
    pub fn extent(&self, path: &ImagePath) -> Option<Extent> {
        let run = self.runs.get(path)?;
        let entry = self.tree.get(path)?;
        let Node::File(source) = &entry.node else { return None };
        let sector = self.geometry.first_data_sector()
            + (run.first - FIRST_CLUSTER) * u32::from(self.geometry.cluster_sectors);
        Some(Extent { sector, bytes: u32::try_from(source.size_bytes()).ok()? })
    }

    /// Bytes that further files can take.
    pub fn free_bytes(&self) -> u64 {
        u64::from(self.free_clusters) * u64::from(self.geometry.cluster_bytes())
    }

    /// All bytes of the volume.
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.geometry.sectors) * u64::from(SECTOR_BYTES)
    }

    /// Writes the volume; `boot` is what its first sectors hold, its own description aside.
    pub fn write(
        &self,
        boot: &[u8],
        out: &mut dyn Write,
    ) -> Result<Vec<EntrySize>, ImageError> {
        self.write_head(boot, out).map_err(ImageError::Write)?;
        let cluster_bytes = u64::from(self.geometry.cluster_bytes());
        let mut sizes = Vec::new();
        for (path, entry) in self.tree.iter() {
            let run = self.runs[path];
            let used = match &entry.node {
                Node::File(source) => {
                    content::copy(path, entry, source.as_ref(), out)?;
                    source.size_bytes()
                }
                _ => {
                    let listing = self.directory(path);
                    out.write_all(&listing).map_err(ImageError::Write)?;
                    listing.len() as u64
                }
            };
            let all = u64::from(run.count) * cluster_bytes;
            write_zeros(all - used, out).map_err(ImageError::Write)?;
            sizes.push(EntrySize {
                path: path.clone(),
                origin: entry.origin.clone(),
                size_bytes: all,
            });
        }
        let data = u64::from(self.geometry.sectors - self.geometry.first_data_sector());
        let clusters = u64::from(self.geometry.clusters() - self.free_clusters);
        let rest = data * u64::from(SECTOR_BYTES) - clusters * cluster_bytes;
        write_zeros(rest, out).map_err(ImageError::Write)?;
        Ok(sizes)
    }

    /// Everything before the first cluster.
    fn write_head(&self, boot: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let shape = &self.geometry;
        let mut head = vec![0; usize::from(shape.reserved_sectors) * 512];
        let copied = boot.len().min(head.len());
        head[..copied].copy_from_slice(&boot[..copied]);
        head[DESCRIPTION].copy_from_slice(&self.description());
        if head[0] == 0 {
            // Not to be started, but to be taken for a volume all the same.
            head[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
        }
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        out.write_all(&head)?;
        let table = self.table();
        out.write_all(&table)?;
        out.write_all(&table)?;
        let mut root = self.entries(&ImagePath::default());
        root.resize(usize::from(shape.root_entries) * ENTRY_BYTES as usize, 0);
        out.write_all(&root)
    }

    fn description(&self) -> Vec<u8> {
        let shape = &self.geometry;
        let mut bytes = b"picnix  ".to_vec();
        let short = u16::try_from(shape.sectors).unwrap_or(0);
        bytes.extend(512u16.to_le_bytes());
        bytes.push(shape.cluster_sectors);
        bytes.extend(shape.reserved_sectors.to_le_bytes());
        bytes.push(2);
        bytes.extend(shape.root_entries.to_le_bytes());
        bytes.extend(short.to_le_bytes());
        bytes.push(shape.media);
        bytes.extend(shape.table_sectors.to_le_bytes());
        bytes.extend(shape.track_sectors.to_le_bytes());
        bytes.extend(shape.heads.to_le_bytes());
        bytes.extend(shape.hidden_sectors.to_le_bytes());
        bytes.extend(if short == 0 { shape.sectors } else { 0 }.to_le_bytes());
        // The drive's number, a reserved byte, and the sign that what follows is there.
        bytes.extend([if shape.media == 0xf0 { 0 } else { 0x80 }, 0, 0x29]);
        bytes.extend(SERIAL.to_le_bytes());
        bytes.extend(b"NO NAME    ");
        bytes.extend(if self.is_fat12() { b"FAT12   " } else { b"FAT16   " });
        bytes
    }

    fn is_fat12(&self) -> bool {
        self.geometry.clusters() <= FAT12_MAX_CLUSTERS
    }

    /// For every cluster the number of the next one.
    fn table(&self) -> Vec<u8> {
        debug_assert!(self.geometry.clusters() <= FAT16_MAX_CLUSTERS);
        let last = 0xffff;
        let mut next = vec![0u16; (self.geometry.clusters() + FIRST_CLUSTER) as usize];
        next[0] = 0xff00 | u16::from(self.geometry.media);
        next[1] = last;
        for run in self.runs.values() {
            for number in run.first..run.first + run.count {
                let following = u16::try_from(number + 1).unwrap_or(last);
                next[number as usize] =
                    if number + 1 == run.first + run.count { last } else { following };
            }
        }
        let mut bytes = Vec::new();
        if self.is_fat12() {
            for pair in next.chunks(2) {
                let low = pair[0] & 0xfff;
                let high = pair.get(1).copied().unwrap_or(0) & 0xfff;
                let three = u32::from(low) | u32::from(high) << 12;
                bytes.extend(&three.to_le_bytes()[..3]);
            }
        } else {
            bytes.extend(next.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes.resize(usize::from(self.geometry.table_sectors) * 512, 0);
        bytes
    }

    /// A directory below the root: itself, the one above, and what it holds.
    fn directory(&self, path: &ImagePath) -> Vec<u8> {
        let cluster = |path: &ImagePath| self.runs.get(path).map_or(0, |run| run.first);
        let above = path.parent().map_or(0, |parent| cluster(&parent));
        let mut bytes =
            directory_entry(b".          ", ATTRIBUTE_DIRECTORY, cluster(path), 0);
        bytes.extend(directory_entry(b"..         ", ATTRIBUTE_DIRECTORY, above, 0));
        bytes.extend(self.entries(path));
        bytes
    }

    fn entries(&self, directory: &ImagePath) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, entry) in children(self.tree, directory) {
            let run = self.runs[path];
            let first = if run.count == 0 { 0 } else { run.first };
            let (attribute, size) = match &entry.node {
                Node::Directory => (ATTRIBUTE_DIRECTORY, 0),
                node => (ATTRIBUTE_ARCHIVE, node.size_bytes()),
            };
            let size = u32::try_from(size).expect("checked when it was planned");
            bytes.extend(directory_entry(&self.names[path], attribute, first, size));
        }
        bytes
    }
}

fn directory_entry(name: &[u8; 11], attribute: u8, cluster: u32, size: u32) -> Vec<u8> {
    let cluster = u16::try_from(cluster).expect("FAT16 has no more clusters");
    let mut bytes = name.to_vec();
    bytes.extend([attribute, 0, 0]);
    // Made, read, and the upper half of a cluster's number that only FAT32 has.
    bytes.extend(0u16.to_le_bytes());
    bytes.extend(DATE.to_le_bytes());
    bytes.extend(DATE.to_le_bytes());
    bytes.extend(0u16.to_le_bytes());
    // Changed.
    bytes.extend(0u16.to_le_bytes());
    bytes.extend(DATE.to_le_bytes());
    bytes.extend(cluster.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

/// What lies directly in a directory, in the order of names.
pub(crate) fn children<'a, 'b>(
    tree: &'a ImageTree,
    directory: &'b ImagePath,
) -> impl Iterator<Item = (&'a ImagePath, &'a Entry)> + use<'a, 'b> {
    tree.iter().filter(move |(path, _)| path.parent().as_ref() == Some(directory))
}

/// "BOOTX64 EFI" for `bootx64.efi`; nothing for what DOS cannot name.
pub(crate) fn short_name(path: &ImagePath) -> Option<[u8; 11]> {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next()?;
    let mut parts = name.splitn(2, |byte| *byte == b'.');
    let (base, extension) = (parts.next()?, parts.next().unwrap_or_default());
    if base.is_empty() || base.len() > 8 || extension.len() > 3 {
        return None;
    }
    let mut short = [b' '; 11];
    let places = [(0, base), (8, extension)];
    for (at, part) in places {
        for (index, byte) in part.iter().enumerate() {
            if !byte.is_ascii_alphanumeric() && !b"-_".contains(byte) {
                return None;
            }
            short[at + index] = byte.to_ascii_uppercase();
        }
    }
    Some(short)
}

fn write_zeros(count: u64, out: &mut dyn Write) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count), out).map(drop)
}
