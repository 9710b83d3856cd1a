//! Archives as others make them, and as nobody should. They are written here byte by byte, because archivers refuse
//! to write what hostile ones have.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::unpack::{Unpacked, unpack_archive};
use super::*;

const UNIX: u16 = 3 << 8;
const DOS: u16 = 0;
/// 2020-01-02 03:04:06.
const TIME: (u16, u16) = (0x1883, 0x5022);
const TIME_SECS: u64 = 1_577_934_246;

/// An entry of an archive that is written.
#[derive(Clone)]
struct Item {
    name: &'static str,
    /// The name in the header before the data.
    local_name: &'static str,
    made_by: u16,
    external: u32,
    flags: u16,
    method: u16,
    /// As they are in the archive.
    data: Vec<u8>,
    crc: u32,
    len: u32,
}

impl Item {
    fn stored(name: &'static str, mode: u32, data: &[u8]) -> Self {
        Self {
            name,
            local_name: name,
            made_by: UNIX,
            external: mode << 16,
            flags: 0,
            method: 0,
            data: data.to_vec(),
            crc: rawzip::crc32(data),
            len: u32::try_from(data.len()).unwrap(),
        }
    }

    fn file(name: &'static str, text: &str) -> Self {
        Self::stored(name, TYPE_REGULAR | 0o644, text.as_bytes())
    }

    fn link(name: &'static str, target: &str) -> Self {
        Self::stored(name, TYPE_LINK | 0o777, target.as_bytes())
    }

    fn packed(self, method: u16, data: Vec<u8>) -> Self {
        Self { method, data, ..self }
    }

    fn header(&self) -> Vec<u8> {
        let len = u32::try_from(self.data.len()).unwrap();
        let mut bytes = Vec::new();
        for number in [self.flags, self.method, TIME.0, TIME.1] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.crc, len, self.len] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }
}

/// Writes an archive; the offsets of the entries go through `place` on their way into the directory.
fn zip_with(items: &[Item], place: impl Fn(usize, u32) -> u32) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let offset = place(index, u32::try_from(archive.len()).unwrap());
        let [name, local] =
            [item.name, item.local_name].map(|name| u16::try_from(name.len()).unwrap());
        archive.extend(b"PK\x03\x04\x14\x00");
        archive.extend(item.header());
        archive.extend([local.to_le_bytes(), [0; 2]].concat());
        archive.extend(item.local_name.as_bytes());
        archive.extend(&item.data);
        directory.extend(b"PK\x01\x02");
        directory.extend(item.made_by.to_le_bytes());
        directory.extend([20, 0]);
        directory.extend(item.header());
        directory.extend(name.to_le_bytes());
        directory.extend([0; 8]);
        directory.extend(item.external.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(item.name.as_bytes());
    }
    let count = u16::try_from(items.len()).unwrap().to_le_bytes();
    let [start, len] =
        [&archive, &directory].map(|part| u32::try_from(part.len()).unwrap());
    archive.extend(directory);
    archive.extend([b"PK\x05\x06", &[0; 4][..], &count, &count].concat());
    archive.extend([len.to_le_bytes(), start.to_le_bytes()].concat());
    archive.extend([0; 2]);
    archive
}

fn zip(items: &[Item]) -> Vec<u8> {
    zip_with(items, |_, offset| offset)
}

fn unpack_as(
    bytes: &[u8],
    attributes: Attributes,
) -> io::Result<(tempfile::TempDir, Unpacked)> {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    fs::write(&archive, bytes).unwrap();
    let unpacked = unpack_archive(&archive, &dir.path().join("out"), attributes)?;
    Ok((dir, unpacked))
}

fn unpack(bytes: &[u8]) -> io::Result<(tempfile::TempDir, Unpacked)> {
    unpack_as(bytes, Attributes::Known)
}

#[track_caller]
fn assert_refused(bytes: &[u8], why: &str) {
    let error = unpack(bytes).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_directories_and_links_are_made() {
    let (_dir, found) = unpack(&zip(&[
        Item::stored("x/", TYPE_DIRECTORY | 0o755, b""),
        Item::stored("x/run", TYPE_REGULAR | 0o755, b"hello"),
        Item::file("x/sub/text", "text"),
        Item::link("x/link", "sub/text"),
        Item::stored("x/pipe", TYPE_FIFO | 0o644, b"piped"),
        Item { made_by: DOS, external: DOS_DIRECTORY, ..Item::file("x/dos", "") },
    ]))
    .unwrap();
    assert!(found.tree.ends_with("out/x"));
    assert_eq!(found.last_modified, TIME_SECS);
    let mode = |name| fs::metadata(found.tree.join(name)).unwrap().permissions().mode();
    assert_eq!((mode("run") & 0o100, mode("link") & 0o100), (0o100, 0));
    assert_eq!(fs::read_link(found.tree.join("link")).unwrap(), Path::new("sub/text"));
    assert_eq!(fs::read(found.tree.join("link")).unwrap(), b"text");
    assert_eq!(fs::read(found.tree.join("pipe")).unwrap(), b"piped");
    assert!(found.tree.join("dos").is_dir());
}

#[test]
fn attributes_at_the_end_are_not_seen_by_who_reads_from_the_beginning() {
    let archive = zip(&[
        Item::stored("run", TYPE_REGULAR | 0o755, b"hello"),
        Item::link("link", "run"),
    ]);
    let (_dir, found) = unpack_as(&archive, Attributes::Unknown).unwrap();
    let file = fs::symlink_metadata(found.tree.join("link")).unwrap();
    assert!(file.is_file());
    assert_eq!(fs::read(found.tree.join("link")).unwrap(), b"run");
    let mode = fs::metadata(found.tree.join("run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0);
    for (url, expected) in [
        ("https://host/a.zip", Attributes::Known),
        ("file:///a.ZIP", Attributes::Known),
        ("https://host/a.zip?b=c", Attributes::Known),
        ("https://host/a?b=c.zip", Attributes::Unknown),
        ("https://host/zip", Attributes::Unknown),
        ("é", Attributes::Unknown),
    ] {
        assert_eq!(Attributes::of_url(url), expected, "{url}");
    }
}

#[test]
fn compression_is_taken_off() {
    let text = "w".repeat(100_000);
    let file = Item::file("a", &text);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    io::Write::write_all(&mut bzip2, text.as_bytes()).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    io::Write::write_all(&mut xz, text.as_bytes()).unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (method, data) in [
        (8, deflated(text.as_bytes())),
        (12, bzip2.finish().unwrap()),
        (93, zstd),
        (95, xz.finish().unwrap()),
    ] {
        let archive = zip(&[file.clone().packed(method, data), Item::file("b", "")]);
        let (_dir, found) = unpack(&archive).unwrap();
        assert_eq!(fs::read(found.tree.join("a")).unwrap(), text.as_bytes(), "{method}");
    }
    assert_refused(&zip(&[file.packed(14, vec![0; 20])]), "does not decompress");
}

#[test]
fn an_archive_of_nothing_is_an_empty_tree() {
    let (_dir, found) = unpack(&zip(&[])).unwrap();
    assert_eq!(fs::read_dir(&found.tree).unwrap().count(), 0);
}

#[test]
fn hostile_names_are_refused() {
    assert_refused(&zip(&[Item::file("../a", "x")]), "leads out of the archive");
    assert_refused(&zip(&[Item::file("a/../../b", "x")]), "leads out of the archive");
    assert_refused(&zip(&[Item::file("a\0b", "x")]), "has a NUL in it");
    let backslashes = Item { made_by: DOS, external: 0, ..Item::file("..\\a", "x") };
    assert_refused(&zip(&[backslashes]), "leads out of the archive");
    assert_refused(&zip(&[Item::file("", "x")]), "has no name");
    // An absolute name stays inside.
    let (_dir, found) =
        unpack(&zip(&[Item::file("/etc/a", "x"), Item::file("/b", "y")])).unwrap();
    assert_eq!(fs::read(found.tree.join("etc/a")).unwrap(), b"x");
    // Only archivers of Windows mean a separator.
    let (_dir, found) = unpack(&zip(&[Item::file("a\\b", "x")])).unwrap();
    assert_eq!(fs::read(found.tree.join("a\\b")).unwrap(), b"x");
    let (_dir, found) = unpack(&zip(&[
        Item { made_by: DOS, external: 0, ..Item::file("a\\b", "x") },
        Item::file("c", ""),
    ]))
    .unwrap();
    assert_eq!(fs::read(found.tree.join("a/b")).unwrap(), b"x");
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let through = [Item::link("l", target), Item::file("l/a", "x")];
    assert_refused(&zip(&through), "is a file and a directory");
    // The later of two takes the place of the link, and not of what it leads to.
    let kept = outside.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    let instead = [
        Item::link("l", kept.to_str().unwrap()),
        Item::file("l", "x"),
        Item::file("m", ""),
    ];
    let (_dir, found) = unpack(&zip(&instead)).unwrap();
    assert_eq!(fs::read(found.tree.join("l")).unwrap(), b"x");
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_refused(&zip(&[Item::link("l", "")]), "links to nothing");
    assert_refused(&zip(&[Item::link("l", "a\0b")]), "links to nothing");
    assert_refused(&zip(&[Item::link("l", &"a".repeat(5000))]), "too long");
    for kind in [0o2_0000, 0o6_0000, 0o14_0000] {
        let device = Item { external: (kind | 0o644) << 16, ..Item::file("d", "") };
        assert_refused(&zip(&[device]), "is neither file, directory nor link");
    }
}

#[test]
fn of_two_entries_with_one_name_the_last_in_the_archive_stays() {
    let items = [Item::file("a", "one"), Item::file("a", "two"), Item::file("b", "")];
    let (_dir, found) = unpack(&zip(&items)).unwrap();
    assert_eq!(fs::read(found.tree.join("a")).unwrap(), b"two");
    // What the directory lists last is not what is last: its records are 47 bytes each.
    let mut swapped = zip(&items);
    let start = swapped.len() - 22 - 3 * 47;
    swapped[start..start + 2 * 47].rotate_left(47);
    let (_dir, found) = unpack(&swapped).unwrap();
    assert_eq!(fs::read(found.tree.join("a")).unwrap(), b"two");
    let both = [Item::file("a", "x"), Item::file("a/", "")];
    assert_refused(&zip(&both), "is a file and a directory");
}

#[test]
fn what_readers_understand_differently_is_refused() {
    let two_names = Item { local_name: "b", ..Item::file("a", "x") };
    assert_refused(&zip(&[two_names]), "has two names");
    for flags in [1, 1 << 6, 1 << 13] {
        let encrypted = Item { flags, ..Item::file("a", "x") };
        assert_refused(&zip(&[encrypted]), "is encrypted");
    }
    let wrong = Item { crc: 1, ..Item::file("a", "x") };
    assert_refused(&zip(&[wrong]), "checksum");
    for len in [0, 1, 3, u32::MAX - 1] {
        let wrong = Item { len, ..Item::file("a", "xy") };
        assert_refused(&zip(&[wrong]), "Invalid");
    }
    let mut counted = zip(&[Item::file("a", "x"), Item::file("b", "y")]);
    let end = counted.len() - 22;
    counted[end + 8..end + 12].copy_from_slice(&[3, 0, 3, 0]);
    assert_refused(&counted, "should have 3 entries");
}

#[test]
fn a_small_archive_of_much_is_refused() {
    // Entries that share their data: 42 of 100 bytes can say that they are 4 GiB each.
    let items: Vec<Item> = (0..42).map(|_| Item::file("a", "x")).collect();
    assert_refused(&zip_with(&items, |_, _| 0), "shares its data");
    // Data that are longer than is said are not written.
    let bomb = Item { len: 100, crc: 0, ..Item::file("a", "") }
        .packed(8, deflated(&vec![0; 50_000_000]));
    let bytes = zip(&[bomb]);
    assert!(bytes.len() < 100_000);
    let dir = tempfile::tempdir().unwrap();
    let (archive, out) = (dir.path().join("archive"), dir.path().join("out"));
    fs::write(&archive, bytes).unwrap();
    let error = unpack_archive(&archive, &out, Attributes::Known).unwrap_err();
    assert!(error.to_string().contains("Invalid size"), "{error}");
    assert!(fs::metadata(out.join("a")).unwrap().len() < 1_000_000);
}

#[test]
fn an_archive_that_ends_too_early_is_refused_everywhere() {
    let text = b"some text that is long enough to be cut";
    let whole = zip(&[
        Item::file("x/a", "hello"),
        Item::stored("x/b", TYPE_REGULAR | 0o644, text).packed(8, deflated(text)),
        Item::link("x/l", "a"),
    ]);
    unpack(&whole).unwrap();
    for length in 1..whole.len() {
        assert!(unpack(&whole[..length]).is_err(), "{length}");
    }
    // A directory that begins earlier, so that data reach into it.
    let long = Item::file("a", "x").packed(0, vec![0; 4]);
    let mut overlong = zip(&[Item { len: 4, ..long }]);
    let start = 30 + 1 + 4;
    overlong[18..22].copy_from_slice(&60_u32.to_le_bytes());
    overlong[start + 20..start + 24].copy_from_slice(&60_u32.to_le_bytes());
    assert_refused(&overlong, "reaches into the archive's directory");
}
