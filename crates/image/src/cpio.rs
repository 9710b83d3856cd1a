//! The `newc` cpio archive, which the kernel unpacks as initramfs.
//!
//! Specification: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst` and
//! `init/initramfs.c`. All numbers are eight upper- or lower-case hexadecimal digits; headers
//! with names and contents are padded to four bytes; the record `TRAILER!!!` ends it.
//!
//! The writer numbers inodes from 1 in the order of paths, gives every file one link, and pads
//! nothing at the end: the kernel needs no 512-byte blocks. The root directory is not written,
//! since the kernel has made it. The reader is for tests and inspection.

use crate::{Entry, EntrySize, ImageError, ImagePath, ImageTree, Node, content};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 6] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const HEADER_BYTES: usize = 110;
/// A record that the reader would hold in memory is at most this large.
pub const MAX_READ_BYTES: u64 = 1 << 30;
/// The kernel's `PATH_MAX`.
const MAX_NAME_BYTES: u64 = 4096;

/// File type bits of a mode, as in inode(7).
mod file_type {
    pub(super) const FIFO: u32 = 0o010_000;
    pub(super) const CHARACTER: u32 = 0o020_000;
    pub(super) const DIRECTORY: u32 = 0o040_000;
    pub(super) const BLOCK: u32 = 0o060_000;
    pub(super) const REGULAR: u32 = 0o100_000;
    pub(super) const SYMLINK: u32 = 0o120_000;
}

/// One record of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name as it is in the archive.
    pub name: Vec<u8>,
    /// The inode number.
    pub inode: u32,
    /// File type and permissions.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The number of links.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Major and minor of a device node.
    pub device: (u32, u32),
    /// Contents of a file, target of a link.
    pub data: Vec<u8>,
}

/// The number of bytes that [`write`] will produce for a tree.
pub fn size_bytes(tree: &ImageTree) -> u64 {
    let trailer = record_bytes(TRAILER.len(), 0);
    tree.iter().map(|(path, entry)| entry_bytes(path, entry)).sum::<u64>() + trailer
}

fn entry_bytes(path: &ImagePath, entry: &Entry) -> u64 {
    record_bytes(path.as_bytes().len(), entry.node.size_bytes())
}

fn record_bytes(name_bytes: usize, data_bytes: u64) -> u64 {
    (HEADER_BYTES as u64 + name_bytes as u64 + 1).next_multiple_of(4)
        + data_bytes.next_multiple_of(4)
}

/// Writes a tree as an archive and says what each entry takes in it, in the archive's order.
pub fn write(
    tree: &ImageTree,
    out: &mut dyn Write,
) -> Result<Vec<EntrySize>, ImageError> {
    let mut sizes = Vec::with_capacity(tree.len());
    let mut inode = 0;
    for (path, entry) in tree.iter() {
        inode += 1;
        write_entry(path, entry, inode, out)?;
        sizes.push(EntrySize {
            path: path.clone(),
            origin: entry.origin.clone(),
            size_bytes: entry_bytes(path, entry),
        });
    }
    let trailer = Header { links: 1, ..Header::default() };
    write_header(&trailer, TRAILER, out).map_err(ImageError::Write)?;
    Ok(sizes)
}

#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    data_bytes: u32,
    device: (u32, u32),
}

fn write_entry(
    path: &ImagePath,
    entry: &Entry,
    inode: u32,
    out: &mut dyn Write,
) -> Result<(), ImageError> {
    let data_bytes = u32::try_from(entry.node.size_bytes()).map_err(|_| {
        ImageError::Unrepresentable {
            path: path.to_string(),
            origin: entry.origin.clone(),
            format: "cpio",
            reason: "a file of 4 GiB or more",
        }
    })?;
    let (file_type, links, device) = match &entry.node {
        Node::Directory => (file_type::DIRECTORY, 2, (0, 0)),
        Node::File(_) => (file_type::REGULAR, 1, (0, 0)),
        Node::Symlink(_) => (file_type::SYMLINK, 1, (0, 0)),
        Node::CharacterDevice(n) => (file_type::CHARACTER, 1, (n.major, n.minor)),
        Node::BlockDevice(n) => (file_type::BLOCK, 1, (n.major, n.minor)),
        Node::Fifo => (file_type::FIFO, 1, (0, 0)),
    };
    let meta = entry.metadata;
    let header = Header {
        inode,
        mode: file_type | meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        links,
        mtime: meta.mtime,
        data_bytes,
        device,
    };
    write_header(&header, path.as_bytes(), out).map_err(ImageError::Write)?;
    match &entry.node {
        Node::File(source) => content::copy(path, entry, source.as_ref(), out)?,
        Node::Symlink(target) => out.write_all(target).map_err(ImageError::Write)?,
        Node::Directory
        | Node::CharacterDevice(_)
        | Node::BlockDevice(_)
        | Node::Fifo => {}
    }
    pad(entry.node.size_bytes(), out).map_err(ImageError::Write)
}

fn write_header(header: &Header, name: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let name_bytes = name.len() + 1;
    let fields = [
        header.inode,
        header.mode,
        header.uid,
        header.gid,
        header.links,
        header.mtime,
        header.data_bytes,
        0,
        0,
        header.device.0,
        header.device.1,
        u32::try_from(name_bytes).expect("an image path is at most 4094 bytes"),
        0,
    ];
    let mut bytes = Vec::with_capacity(HEADER_BYTES + name_bytes + 3);
    bytes.extend_from_slice(MAGIC);
    for field in fields {
        write!(bytes, "{field:08x}")?;
    }
    bytes.extend_from_slice(name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    out.write_all(&bytes)
}

fn pad(written: u64, out: &mut dyn Write) -> io::Result<()> {
    let missing = written.next_multiple_of(4) - written;
    let missing = usize::try_from(missing).expect("padding is at most 3 bytes");
    out.write_all(&[0; 3][..missing])
}

/// Reads an archive record by record.
pub struct Reader<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from the beginning of an uncompressed archive.
    pub const fn new(input: R) -> Self {
        Self { input, offset: 0 }
    }

    /// Reads all records up to the trailer.
    pub fn records(mut self) -> Result<Vec<Record>, ImageError> {
        let mut records = Vec::new();
        while let Some(record) = self.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    /// Reads the next record; nothing after the trailer.
    pub fn next_record(&mut self) -> Result<Option<Record>, ImageError> {
        let start = self.offset;
        let damaged = |reason| ImageError::Damaged { offset: start, reason };
        let header = self.take(HEADER_BYTES as u64)?;
        if &header[..6] != MAGIC {
            return Err(damaged("no newc magic"));
        }
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            *field = parse_hex(digits).ok_or_else(|| damaged("not a number"))?;
        }
        let [inode, mode, uid, gid, links, mtime, size, _, _, major, minor, named, _] =
            fields;
        if named == 0 || u64::from(named) > MAX_NAME_BYTES {
            return Err(damaged("a name of impossible length"));
        }
        if u64::from(size) > MAX_READ_BYTES {
            return Err(damaged("a record of more than 1 GiB"));
        }
        let mut name = self.take(u64::from(named))?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(damaged("a name that does not end where it should"));
        }
        self.skip_padding()?;
        let data = self.take(u64::from(size))?;
        self.skip_padding()?;
        if name == TRAILER {
            return Ok(None);
        }
        let device = (major, minor);
        Ok(Some(Record { name, inode, mode, uid, gid, links, mtime, device, data }))
    }

    fn take(&mut self, count: u64) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let read = (&mut self.input)
            .take(count)
            .read_to_end(&mut bytes)
            .map_err(ImageError::Read)?;
        if read as u64 != count {
            return Err(ImageError::Damaged {
                offset: self.offset,
                reason: "it ends too early",
            });
        }
        self.offset += count;
        Ok(bytes)
    }

    fn skip_padding(&mut self) -> Result<(), ImageError> {
        let missing = self.offset.next_multiple_of(4) - self.offset;
        self.take(missing).map(drop)
    }
}

fn parse_hex(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` takes a sign.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentSource, DeviceNumber, Metadata};

    fn tree() -> ImageTree {
        let mut tree = ImageTree::new();
        let mut add = |at: &str, node, metadata| {
            tree.insert(ImagePath::parse(at).unwrap(), node, metadata, "test").unwrap();
        };
        add("/etc/motd", Node::bytes("hello\n"), Metadata::new(0o644));
        add("/bin/sh", Node::Symlink(b"busybox".to_vec()), Metadata::new(0o777));
        let console = DeviceNumber { major: 5, minor: 1 };
        add("/dev/console", Node::CharacterDevice(console), Metadata::new(0o600));
        add(
            "/empty",
            Node::bytes(""),
            Metadata { uid: 7, gid: 8, mtime: 9, mode: 0o4755 },
        );
        tree
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let sizes = write(&tree(), &mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, size_bytes(&tree()));
        let summed: u64 = sizes.iter().map(|entry| entry.size_bytes).sum();
        assert_eq!(summed + 124, bytes.len() as u64, "all but the trailer is accounted");
        let records = Reader::new(bytes.as_slice()).records().unwrap();
        let listed: Vec<_> = records
            .iter()
            .map(|r| {
                let name = String::from_utf8_lossy(&r.name);
                let data = String::from_utf8_lossy(&r.data);
                let Record { inode, mode, uid, gid, links, mtime, device, .. } = r;
                format!("{inode} {mode:o} {uid}:{gid} {links} {mtime} {device:?} {name} {data:?}")
            })
            .collect();
        insta::assert_snapshot!(listed.join("\n"), @r#"
        1 40755 0:0 2 0 (0, 0) bin ""
        2 120777 0:0 1 0 (0, 0) bin/sh "busybox"
        3 40755 0:0 2 0 (0, 0) dev ""
        4 20600 0:0 1 0 (5, 1) dev/console ""
        5 104755 7:8 1 9 (0, 0) empty ""
        6 40755 0:0 2 0 (0, 0) etc ""
        7 100644 0:0 1 0 (0, 0) etc/motd "hello\n"
        "#);
    }

    #[test]
    fn damage_is_noticed() {
        let mut bytes = Vec::new();
        write(&tree(), &mut bytes).unwrap();
        for length in 0..bytes.len() {
            assert!(Reader::new(&bytes[..length]).records().is_err(), "{length}");
        }
        for at in 0..HEADER_BYTES {
            let mut broken = bytes.clone();
            broken[at] = b'+';
            assert!(Reader::new(broken.as_slice()).records().is_err(), "{at}");
        }
    }

    struct Liar(u64);

    impl ContentSource for Liar {
        fn size_bytes(&self) -> u64 {
            self.0
        }

        fn open(&self) -> io::Result<Box<dyn Read + '_>> {
            Ok(Box::new(&b"four"[..]))
        }
    }

    #[test]
    fn contents_that_change_are_an_error() {
        for size in [3, 5, 1 << 32] {
            let mut tree = ImageTree::new();
            let node = Node::File(std::sync::Arc::new(Liar(size)));
            let path = ImagePath::parse("/f").unwrap();
            tree.insert(path, node, Metadata::new(0o644), "liar").unwrap();
            assert!(write(&tree, &mut io::sink()).is_err(), "{size}");
        }
    }
}
