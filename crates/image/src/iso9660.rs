//! ISO 9660, the file system of CDs, with El Torito's catalogue of what firmware starts.
//!
//! Specifications: ECMA-119 (numbers are written in one byte order, the other, or both, as it says);
//! Phoenix and IBM, "El Torito", version 1.0; UEFI 2.10, section 13.3.2.
//!
//! Only directories are made here: the files lie elsewhere on the medium, and whoever asks says where.
//! Their names are DOS's, which the format has without extensions; so there is neither Joliet nor Rock
//! Ridge, each of which would repeat every directory for names that nobody has.

use crate::fat::{children, short_name};
use crate::{Entry, Extent, ImageError, ImagePath, ImageTree, Node};

/// A sector of a CD.
pub(crate) const SECTOR_BYTES: usize = 2048;
/// The first sector that belongs to the format; those before it are the system's.
pub(crate) const FIRST_SECTOR: u32 = 16;
/// Three descriptors: of the volume, of the catalogue, and the end of descriptors.
const CATALOGUE_SECTOR: u32 = FIRST_SECTOR + 3;
const FIRST_TABLE_SECTOR: u32 = CATALOGUE_SECTOR + 1;
/// The root counts.
const MAX_LEVELS: usize = 8;
const ROOT_RECORD_BYTES: usize = 34;
/// 1980-01-01, the first day that DOS knows, as in the FAT volumes.
const DATE: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];
/// A date that is not known.
const NO_DATE: &[u8; 17] = b"0000000000000000\0";
const FLAG_DIRECTORY: u8 = 2;
/// What every descriptor has, its kind aside.
const STANDARD: &[u8; 6] = b"CD001\x01";
const VOLUME_NAME: &str = "PICNIX";
/// A BIOS loads this many of its own sectors, of 512 bytes: one of a CD's.
const BIOS_LOADER_SECTORS: u16 = 4;
const PLATFORM_EFI: u8 = 0xef;

/// What firmware starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starts {
    /// The sector that a BIOS loads.
    pub(crate) bios_loader: u32,
    /// The FAT volume of an EFI firmware: its first sector, and its length.
    pub(crate) efi_volume: Extent,
}

/// All directories of a tree with their places.
#[derive(Debug)]
pub(crate) struct Directories<'a> {
    /// In the order of their numbers: by level, by the parent's number, by name.
    all: Vec<Directory<'a>>,
    table_bytes: usize,
}

#[derive(Debug)]
struct Directory<'a> {
    path: ImagePath,
    /// The parent's place in the list; the root is its own.
    parent: usize,
    files: Vec<(String, &'a ImagePath, &'a Entry)>,
    first_sector: u32,
    sectors: u32,
}

impl<'a> Directories<'a> {
    /// Gives every directory its place.
    pub(crate) fn plan(tree: &'a ImageTree) -> Result<Self, ImageError> {
        let mut all = vec![Directory::read(tree, ImagePath::default(), 0)?];
        let mut next = 0;
        while next < all.len() {
            let found: Vec<_> = all[next]
                .files
                .iter()
                .filter(|(_, _, entry)| matches!(entry.node, Node::Directory))
                .map(|(_, path, _)| (*path).clone())
                .collect();
            for path in found {
                all.push(Directory::read(tree, path, next)?);
            }
            next += 1;
        }
        let table_bytes =
            all.iter().map(|directory| table_record(directory, 0, ORDERS[0]).len()).sum();
        let mut directories = Self { all, table_bytes };
        let mut sector = FIRST_TABLE_SECTOR + 2 * directories.table_sectors();
        for directory in &mut directories.all {
            directory.first_sector = sector;
            sector += directory.sectors;
        }
        Ok(directories)
    }

    fn table_sectors(&self) -> u32 {
        u32::try_from(self.table_bytes.div_ceil(SECTOR_BYTES)).expect("a few directories")
    }

    /// The first sector behind all this.
    pub(crate) fn end_sector(&self) -> u32 {
        self.all.last().map_or(0, |last| last.first_sector + last.sectors)
    }

    /// All sectors from [`FIRST_SECTOR`] to the end, for a medium of so many sectors.
    pub(crate) fn bytes(
        &self,
        find: impl Fn(&ImagePath) -> Option<Extent>,
        starts: Starts,
        medium_sectors: u32,
    ) -> Vec<u8> {
        let mut bytes = self.volume_descriptor(medium_sectors);
        bytes.extend(sector(boot_descriptor()));
        bytes.extend(sector([&[255], &STANDARD[..]].concat()));
        bytes.extend(sector(catalogue(starts)));
        for order in ORDERS {
            let mut table = Vec::new();
            for directory in &self.all {
                table.extend(table_record(directory, directory.first_sector, order));
            }
            table.resize(self.table_sectors() as usize * SECTOR_BYTES, 0);
            bytes.extend(table);
        }
        for directory in &self.all {
            bytes.extend(self.listing(directory, &find));
        }
        bytes
    }

    fn volume_descriptor(&self, medium_sectors: u32) -> Vec<u8> {
        let mut bytes = [&[1], &STANDARD[..], &[0]].concat();
        bytes.extend(padded("LINUX", 32));
        bytes.extend(padded(VOLUME_NAME, 32));
        bytes.extend([0; 8]);
        bytes.extend(both_32(medium_sectors));
        bytes.extend([0; 32]);
        // The first of one volume.
        bytes.extend(both_16(1));
        bytes.extend(both_16(1));
        bytes.extend(both_16(2048));
        let table_bytes = u32::try_from(self.table_bytes).expect("a few directories");
        bytes.extend(both_32(table_bytes));
        // Each table once, although there may be copies.
        bytes.extend(FIRST_TABLE_SECTOR.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend((FIRST_TABLE_SECTOR + self.table_sectors()).to_be_bytes());
        bytes.extend([0; 4]);
        let root = record(&[0], self.all[0].extent(), FLAG_DIRECTORY);
        debug_assert_eq!(root.len(), ROOT_RECORD_BYTES);
        bytes.extend(root);
        // Names of a set, a publisher, a preparer, a program, and of three files: none.
        bytes.extend(padded("", 4 * 128 + 3 * 37));
        for _ in 0..4 {
            bytes.extend(NO_DATE);
        }
        bytes.push(1);
        sector(bytes)
    }

    /// What a directory says of itself, of the one above and of what it holds.
    fn listing(
        &self,
        directory: &Directory<'_>,
        find: &impl Fn(&ImagePath) -> Option<Extent>,
    ) -> Vec<u8> {
        let mut bytes = record(&[0], directory.extent(), FLAG_DIRECTORY);
        bytes.extend(record(&[1], self.all[directory.parent].extent(), FLAG_DIRECTORY));
        for (name, path, _) in &directory.files {
            let below = self.all.iter().find(|other| other.path == **path);
            let line = match below {
                Some(other) => record(name.as_bytes(), other.extent(), FLAG_DIRECTORY),
                None => record(name.as_bytes(), find(path).unwrap_or_default(), 0),
            };
            place(&mut bytes, &line);
        }
        bytes.resize(directory.sectors as usize * SECTOR_BYTES, 0);
        bytes
    }
}

impl<'a> Directory<'a> {
    fn read(
        tree: &'a ImageTree,
        path: ImagePath,
        parent: usize,
    ) -> Result<Self, ImageError> {
        let mut files = Vec::new();
        for (child, entry) in children(tree, &path) {
            let refuse = |reason| ImageError::Unrepresentable {
                path: child.to_string(),
                origin: entry.origin.clone(),
                format: "ISO 9660",
                reason,
            };
            let is_directory = matches!(entry.node, Node::Directory);
            let name = short_name(child)
                .ok_or_else(|| refuse("names are eight letters, a dot and three more"))?;
            let level = child.as_bytes().split(|byte| *byte == b'/').count();
            if is_directory && level >= MAX_LEVELS {
                return Err(refuse("directories are at most eight deep"));
            }
            let name = iso_name(&name, is_directory)
                .ok_or_else(|| refuse("the name of a directory has no dot"))?;
            files.push((short_name(child), name, child, entry));
        }
        // By the name padded with spaces, not by the length.
        files.sort_by_key(|(short, ..)| *short);
        let files: Vec<_> = files
            .into_iter()
            .map(|(_, name, child, entry)| (name, child, entry))
            .collect();
        let mut bytes = vec![0; 2 * ROOT_RECORD_BYTES];
        for (name, ..) in &files {
            place(&mut bytes, &record(name.as_bytes(), Extent::default(), 0));
        }
        let sectors =
            u32::try_from(bytes.len().div_ceil(SECTOR_BYTES)).expect("fits memory");
        Ok(Self { path, parent, files, first_sector: 0, sectors })
    }

    /// The name alone; a zero for the root.
    fn name(&self) -> Vec<u8> {
        match short_name(&self.path).and_then(|name| iso_name(&name, true)) {
            Some(name) => name.into_bytes(),
            None => vec![0],
        }
    }

    fn extent(&self) -> Extent {
        let bytes = self.sectors * u32::try_from(SECTOR_BYTES).expect("2,048");
        Extent { sector: self.first_sector, bytes }
    }
}

/// "BOOTX64.EFI;1" for a file, "BOOT" for a directory; nothing for a directory with an extension.
fn iso_name(short: &[u8; 11], is_directory: bool) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (base, extension) = (text(&short[..8]), text(&short[8..]));
    match is_directory {
        true => extension.is_empty().then_some(base),
        false => Some(format!("{base}.{extension};1")),
    }
}

/// Appends a record, which lies in one sector.
fn place(bytes: &mut Vec<u8>, record: &[u8]) {
    let left = bytes.len().next_multiple_of(SECTOR_BYTES) - bytes.len();
    if left < record.len() {
        bytes.resize(bytes.len() + left, 0);
    }
    bytes.extend(record);
}

/// A line of a directory.
fn record(name: &[u8], extent: Extent, flags: u8) -> Vec<u8> {
    // Its own length is filled in last.
    let mut bytes = vec![0, 0];
    bytes.extend(both_32(extent.sector));
    bytes.extend(both_32(extent.bytes));
    bytes.extend(DATE);
    bytes.extend([flags, 0, 0]);
    bytes.extend(both_16(1));
    bytes.push(u8::try_from(name.len()).expect("a DOS name"));
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes[0] = u8::try_from(bytes.len()).expect("a DOS name");
    bytes
}

/// How the numbers of a table of directories are written: there is one of each.
type Order = (fn(u32) -> [u8; 4], fn(u16) -> [u8; 2]);
const ORDERS: [Order; 2] =
    [(u32::to_le_bytes, u16::to_le_bytes), (u32::to_be_bytes, u16::to_be_bytes)];

/// A directory in such a table.
fn table_record(directory: &Directory<'_>, sector: u32, order: Order) -> Vec<u8> {
    let name = directory.name();
    let mut bytes = vec![u8::try_from(name.len()).expect("a DOS name"), 0];
    bytes.extend(order.0(sector));
    let parent = u16::try_from(directory.parent + 1).unwrap_or(u16::MAX);
    bytes.extend(order.1(parent));
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

/// Says where the catalogue is.
fn boot_descriptor() -> Vec<u8> {
    let mut bytes = [&[0], &STANDARD[..], b"EL TORITO SPECIFICATION"].concat();
    bytes.resize(71, 0);
    bytes.extend(CATALOGUE_SECTOR.to_le_bytes());
    bytes
}

fn catalogue(starts: Starts) -> Vec<u8> {
    // For PCs, and a sum of 0 over all its numbers.
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(padded_with_zeros(VOLUME_NAME, 24));
    bytes.extend([0, 0, 0x55, 0xaa]);
    let sum = bytes
        .chunks_exact(2)
        .fold(0u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]])));
    bytes[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    bytes.extend(catalogue_entry(starts.bios_loader, BIOS_LOADER_SECTORS));
    // The last section, with one entry.
    bytes.extend([0x91, PLATFORM_EFI, 1, 0]);
    bytes.extend([0; 28]);
    // 0 means up to the end of the medium.
    let sectors = u16::try_from(starts.efi_volume.bytes.div_ceil(512)).unwrap_or(0);
    bytes.extend(catalogue_entry(starts.efi_volume.sector, sectors));
    bytes
}

/// Something that is started as it is, not as a floppy or disk in miniature.
fn catalogue_entry(sector: u32, sectors: u16) -> Vec<u8> {
    let mut bytes = vec![0x88, 0, 0, 0, 0, 0];
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(sector.to_le_bytes());
    bytes.resize(32, 0);
    bytes
}

fn sector(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(SECTOR_BYTES, 0);
    bytes
}

fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

fn padded_with_zeros(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, 0);
    bytes
}

fn both_16(number: u16) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

fn both_32(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    fn tree(paths: &[&str]) -> ImageTree {
        let mut tree = ImageTree::new();
        for path in paths {
            let path = ImagePath::parse(path).unwrap();
            tree.insert(path, Node::bytes("x"), Metadata::new(0o644), "test").unwrap();
        }
        tree
    }

    #[test]
    fn directories_are_numbered_by_level() {
        let tree = tree(&["/b/c/x", "/a/d/x", "/a/x", "/x"]);
        let directories = Directories::plan(&tree).unwrap();
        let shown: Vec<_> = directories
            .all
            .iter()
            .map(|directory| (directory.path.to_string(), directory.parent))
            .collect();
        let expected = [("/", 0), ("/a", 0), ("/b", 0), ("/a/d", 1), ("/b/c", 2)]
            .map(|(path, n)| (path.to_owned(), n));
        assert_eq!(shown, expected);
        // Descriptors, catalogue, two tables, five directories.
        assert_eq!(directories.end_sector(), FIRST_SECTOR + 3 + 1 + 2 + 5);
    }

    #[test]
    fn a_record_lies_in_one_sector() {
        let paths: Vec<String> = (0..100).map(|n| format!("/file{n:03}.txt")).collect();
        let tree = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let directories = Directories::plan(&tree).unwrap();
        let listing = directories.listing(&directories.all[0], &|_| None);
        assert_eq!(listing.len(), 3 * SECTOR_BYTES);
        let mut seen = 0;
        for sector in listing.chunks(SECTOR_BYTES) {
            let mut at = 0;
            while at < SECTOR_BYTES && sector[at] != 0 {
                at += usize::from(sector[at]);
                seen += 1;
            }
            assert!(at <= SECTOR_BYTES && sector[at..].iter().all(|byte| *byte == 0));
        }
        assert_eq!(seen, 102);
    }

    #[test]
    fn the_catalogue_has_a_sum_of_zero() {
        let efi_volume = Extent { sector: 30, bytes: 65_536 * 512 };
        let bytes = catalogue(Starts { bios_loader: 2, efi_volume });
        let sum = bytes[..32].chunks_exact(2).fold(0u16, |sum, pair| {
            sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]))
        });
        assert_eq!(sum, 0);
        assert_eq!(bytes.len(), 4 * 32);
        assert_eq!(bytes[102..104], [0, 0], "too long for the field");
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for path in ["/a.b/x", "/1/2/3/4/5/6/7/8/x", "/long-name"] {
            let tree = tree(&[path]);
            let error = Directories::plan(&tree).unwrap_err();
            assert!(matches!(error, ImageError::Unrepresentable { .. }), "{path}");
        }
        assert!(Directories::plan(&tree(&["/1/2/3/4/5/6/7/x"])).is_ok());
    }
}
