//! Trees out of zip archives (PKWARE's APPNOTE 6.3; numbers are little-endian), read without trusting what they say.
//!
//! The central directory decides what is in an archive. Its entries are taken in the order of their data, as
//! libarchive takes them for Nix, so that of two with one name the last stays. What readers of zip files understand
//! differently is refused: data that overlap, a local header with another name, encryption, a wrong length or
//! checksum. [`TreeWriter`] keeps everything inside the tree.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rawzip::time::{UtcDateTime, ZipDateTimeKind};
use rawzip::{
    CompressionMethod, CreatorSystem, FileReader, MAX_CENTRAL_DIRECTORY_RECORD_SIZE,
    ZipArchive, ZipArchiveEntryWayfinder, ZipEntry, ZipFileHeaderRecord,
};

use super::unpack::{MAX_ENTRIES, TreeWriter, XZ_MEMORY_BYTES, refuse};

/// The longest target of a symbolic link: Linux has none that is longer.
const MAX_LINK_BYTES: u64 = 4095;
/// The bits of a Unix mode that are the type of the file, and the types.
const TYPE_MASK: u32 = 0o17_0000;
const TYPE_FIFO: u32 = 0o1_0000;
const TYPE_DIRECTORY: u32 = 0o4_0000;
const TYPE_REGULAR: u32 = 0o10_0000;
const TYPE_LINK: u32 = 0o12_0000;
/// MS-DOS's attribute of a directory.
const DOS_DIRECTORY: u32 = 0x10;

/// Whether links and executable files are known as such. What says so is at the end of an archive: Nix, which
/// reads an archive from its beginning unless its URL ends with `.zip`, does not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    /// The central directory says what an entry is.
    Known,
    /// Everything is a directory or a file that is not executable.
    Unknown,
}

impl Attributes {
    /// What Nix sees of the archive at a URL.
    pub(super) fn of_url(url: &str) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let is_zip = path
            .len()
            .checked_sub(4)
            .and_then(|start| path.get(start..))
            .is_some_and(|extension| extension.eq_ignore_ascii_case(".zip"));
        if is_zip { Self::Known } else { Self::Unknown }
    }
}

/// What an entry becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File { is_executable: bool },
    Link,
}

/// What the central directory says of an entry.
struct Entry {
    /// As it is written in the archive.
    name: Vec<u8>,
    path: Vec<u8>,
    kind: Kind,
    method: CompressionMethod,
    place: ZipArchiveEntryWayfinder,
    offset: u64,
    last_modified: u64,
}

/// Whether a file with these first bytes is a zip archive.
pub(super) fn is_zip(magic: &[u8]) -> bool {
    magic.starts_with(b"PK\x03\x04") || magic.starts_with(b"PK\x05\x06")
}

/// Unpacks a zip archive; gives the latest time of change among its entries, in seconds since 1970.
pub(super) fn unpack_zip(
    archive: File,
    attributes: Attributes,
    writer: &mut TreeWriter,
) -> io::Result<u64> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let zip = ZipArchive::from_file(archive, &mut buffer).map_err(damaged)?;
    let entries = read_directory(&zip, attributes, &mut buffer)?;
    let mut end = 0;
    for entry in &entries {
        let data = zip.get_entry(entry.place).map_err(damaged)?;
        if entry.offset < end {
            return refuse(shown(&entry.name), "shares its data with another entry");
        }
        end = data.compressed_data_range().1;
        if end > zip.directory_offset() {
            return refuse(shown(&entry.name), "reaches into the archive's directory");
        }
        let local = data.local_header(&mut buffer).map_err(damaged)?;
        if local.file_path().as_bytes() != entry.name {
            return refuse(shown(&entry.name), "has two names in the archive");
        }
        write_entry(entry, &data, writer)?;
    }
    Ok(entries.iter().map(|entry| entry.last_modified).max().unwrap_or_default())
}

/// What is in the archive, in the order of the data.
fn read_directory(
    zip: &ZipArchive<FileReader>,
    attributes: Attributes,
    buffer: &mut [u8],
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut records = zip.entries(buffer);
    while let Some(record) = records.next_entry().map_err(damaged)? {
        if entries.len() >= MAX_ENTRIES {
            return refuse(shown(record.file_path().as_bytes()), "is one entry too many");
        }
        entries.push(read_record(&record, attributes)?);
    }
    if zip.entries_hint() != entries.len() as u64 {
        let why = format!(
            "the archive should have {} entries, and has {}",
            zip.entries_hint(),
            entries.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    entries.sort_by_key(|entry| entry.offset);
    Ok(entries)
}

fn read_record(
    record: &ZipFileHeaderRecord<'_>,
    attributes: Attributes,
) -> io::Result<Entry> {
    let name = record.file_path().as_bytes().to_vec();
    let flags = record.flags();
    if flags.is_encrypted() || flags.has_strong_encryption() || flags.is_masked() {
        return refuse(shown(&name), "is encrypted");
    }
    let is_foreign = attributes == Attributes::Unknown
        || record.version_made_by().creator_system() == CreatorSystem::FAT;
    let mut path = name.clone();
    if is_foreign && !path.contains(&b'/') {
        // Some archivers of Windows separate with backslashes. One of another system may have them in a name.
        path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    let Some(kind) = kind_of(record, attributes, path.ends_with(b"/")) else {
        return refuse(shown(&name), "is neither file, directory nor link");
    };
    Ok(Entry {
        path,
        kind,
        method: record.compression_method(),
        place: record.wayfinder(),
        offset: record.local_header_offset(),
        last_modified: seconds(record.last_modified()),
        name,
    })
}

/// What an entry becomes, by the rules of libarchive; nothing, if the store has nothing like it.
fn kind_of(
    record: &ZipFileHeaderRecord<'_>,
    attributes: Attributes,
    ends_with_slash: bool,
) -> Option<Kind> {
    if ends_with_slash {
        return Some(Kind::Directory);
    }
    let plain = Kind::File { is_executable: false };
    if attributes == Attributes::Unknown {
        return Some(plain);
    }
    let external = record.external_attributes();
    match record.version_made_by().creator_system() {
        CreatorSystem::UNIX => {
            let mode = external >> 16;
            match mode & TYPE_MASK {
                TYPE_DIRECTORY => Some(Kind::Directory),
                TYPE_LINK => Some(Kind::Link),
                // Info-ZIP says "pipe" of what it read from one.
                0 | TYPE_REGULAR | TYPE_FIFO => {
                    Some(Kind::File { is_executable: mode & 0o100 != 0 })
                }
                _ => None,
            }
        }
        CreatorSystem::FAT if external & DOS_DIRECTORY != 0 => Some(Kind::Directory),
        _ => Some(plain),
    }
}

fn write_entry(
    entry: &Entry,
    data: &ZipEntry<'_, FileReader>,
    writer: &mut TreeWriter,
) -> io::Result<()> {
    let is_executable = match entry.kind {
        Kind::Directory => return writer.directory(&entry.path),
        Kind::File { is_executable } => is_executable,
        Kind::Link => false,
    };
    let mut contents = data.verifying_reader(decompress(entry, data)?);
    if entry.kind != Kind::Link {
        return writer.file(&entry.path, is_executable, &mut contents);
    }
    let mut target = Vec::new();
    contents.by_ref().take(MAX_LINK_BYTES + 1).read_to_end(&mut target)?;
    if target.len() as u64 > MAX_LINK_BYTES {
        return refuse(shown(&entry.name), "is a link to a name that is too long");
    }
    writer.link(&entry.path, &target)
}

fn decompress<'a>(
    entry: &Entry,
    data: &ZipEntry<'a, FileReader>,
) -> io::Result<Box<dyn Read + 'a>> {
    let reader = data.reader();
    Ok(match entry.method {
        CompressionMethod::STORE => Box::new(reader),
        CompressionMethod::DEFLATE => Box::new(flate2::read::DeflateDecoder::new(reader)),
        CompressionMethod::BZIP2 => Box::new(bzip2::read::BzDecoder::new(reader)),
        CompressionMethod::XZ => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, 0)?;
            Box::new(liblzma::read::XzDecoder::new_stream(reader, stream))
        }
        CompressionMethod::ZSTD => Box::new(zstd::Decoder::new(reader)?),
        method => {
            let why =
                format!("is compressed by {method}, which picnix does not decompress");
            return refuse(shown(&entry.name), &why);
        }
    })
}

/// Seconds since 1970. A time without a zone is taken as UTC, whatever the zone of this machine.
fn seconds(time: ZipDateTimeKind) -> u64 {
    let utc = match time {
        ZipDateTimeKind::Utc(time) => Some(time),
        ZipDateTimeKind::Local(time) => UtcDateTime::from_components(
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            0,
        ),
    };
    utc.and_then(|time| u64::try_from(time.to_unix()).ok()).unwrap_or_default()
}

fn shown(name: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name))
}

fn damaged(error: rawzip::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
