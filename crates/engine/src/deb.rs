//! `builtin:debs`: Debian packages unpacked into one tree.
//!
//! Format: deb(5), an `ar` archive with `debian-binary`, `control.tar.*` and `data.tar.*`. Only
//! the data matters; maintainer scripts never run, and the links that they would make are given
//! as `links`. The tree is merged as Debian's own systems are: `/bin`, `/sbin` and `/lib*` lie
//! below `/usr`, and links stand in their places.
//!
//! Packages are untrusted. Every path is normalised and looked up in a map of what the tree holds
//! before anything touches the disk, so nothing is ever written through a link or twice
//! ([`merge`]). Owners, times, setuid bits and write permissions of others are not kept: the
//! store has none of them. Several packages unpack at once; the result does not depend on which
//! is first, since two that disagree about a path are an error in either order.

mod ar;
mod glob;
mod merge;
#[cfg(test)]
mod tests;

use ar::DataCompression;
use glob::Glob;
use merge::{Merger, Permission};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use tar::EntryType;

/// The version of what this unpacker writes, raised by every change of it.
const FORMAT_VERSION: u32 = 1;
/// Decompressing is the work, and more threads than this wait for the disk.
const MAX_THREADS: usize = 4;
/// Preset 9 of xz needs 65 MiB; a stream that wants more is hostile.
const XZ_MEMORY_BYTES: u64 = 256 << 20;
/// What may follow the end of a tar archive inside its member: padding.
const MAX_TRAILING_BYTES: u64 = 64 << 20;

/// Debian packages that cannot become a tree.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The derivation's attributes are not what this builder reads.
    #[error("the attributes of \"builtin:debs\" are invalid")]
    Attributes(#[source] serde_json::Error),
    /// The derivation was made for another version of this builder.
    #[error(
        "the derivation asks for version {wanted} of \"builtin:debs\", and this picnix has \
         version {FORMAT_VERSION}; evaluate it again with this picnix"
    )]
    FormatVersion {
        /// The version that it asks for.
        wanted: u32,
    },
    /// A pattern that matches nothing or means nothing.
    #[error("the pattern \"{pattern}\" is invalid: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A package is not there.
    #[error("cannot open the package \"{package}\"")]
    Open {
        /// Its file name.
        package: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file that is no Debian package.
    #[error("\"{package}\" is not a Debian package: {reason}")]
    NotDeb {
        /// Its file name.
        package: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A package whose data is compressed in a way that nobody knows.
    #[error(
        "the data of \"{package}\" is \"{member}\"; known are data.tar and data.tar with .gz, \
         .xz, .zst, .bz2"
    )]
    Compression {
        /// Its file name.
        package: String,
        /// The member's name.
        member: String,
    },
    /// A package that ends too early.
    #[error("\"{package}\" is truncated")]
    Truncated {
        /// Its file name.
        package: String,
    },
    /// A package that cannot be read.
    #[error("cannot read \"{package}\"")]
    Read {
        /// Its file name.
        package: String,
        /// The decompressor's or the archive reader's error.
        source: io::Error,
    },
    /// A name that leads out of the tree or nowhere.
    #[error("\"{package}\" holds \"{name}\": {reason}")]
    Name {
        /// The package's file name.
        package: String,
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A kind of entry that a store cannot hold.
    #[error(
        "\"{package}\" holds \"{name}\", which is {kind}; only files, directories and links \
             can be unpacked"
    )]
    Special {
        /// The package's file name.
        package: String,
        /// The entry's name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// An entry below something that is no directory: it would be written elsewhere.
    #[error(
        "\"{package}\" holds \"{name}\" below \"{parent}\", which is {kind} of \"{other}\""
    )]
    NotBelowDirectory {
        /// The package's file name.
        package: String,
        /// The entry's path in the tree.
        name: String,
        /// The ancestor.
        parent: String,
        /// What the ancestor is.
        kind: &'static str,
        /// The package that the ancestor comes from.
        other: String,
    },
    /// Two entries for one path that cannot both be there.
    #[error("\"{path}\" is {kind} in \"{package}\" and {other_kind} in \"{other}\"")]
    Conflict {
        /// The path in the tree.
        path: String,
        /// A package.
        package: String,
        /// What it holds.
        kind: &'static str,
        /// The other package.
        other: String,
        /// What that holds.
        other_kind: &'static str,
    },
    /// Two files for one path with different contents.
    #[error("the file \"{path}\" differs between \"{package}\" and \"{other}\"")]
    Differs {
        /// The path in the tree.
        path: String,
        /// A package.
        package: String,
        /// The other package.
        other: String,
    },
    /// A hard link to what its package has not brought.
    #[error(
        "\"{package}\" holds \"{name}\", a hard link to \"{target}\", which {reason}"
    )]
    HardLink {
        /// The package's file name.
        package: String,
        /// The entry's path in the tree.
        name: String,
        /// The path it shall share its contents with.
        target: String,
        /// Why that is not possible.
        reason: &'static str,
    },
    /// A package that would fill the disk.
    #[error("\"{package}\" unpacks to more than {limit} {unit}")]
    TooLarge {
        /// The package's file name.
        package: String,
        /// The limit.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The tree could not be written.
    #[error("cannot write \"{path}\"")]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// What the derivation says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    format_version: u32,
    debs: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
}

/// How much one unpacking may write.
#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: u64,
    entries: u64,
}

/// A compiler's whole tool chain has 0.5 GB and 30,000 files.
const LIMITS: Limits = Limits { bytes: 64 << 30, entries: 4_000_000 };

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, directories and links of the tree.
    pub entries: u64,
    /// The files' contents.
    pub size_bytes: u64,
}

/// A package file and what messages call it.
struct DebInput {
    name: String,
    path: PathBuf,
}

struct Options {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    links: BTreeMap<String, String>,
    limits: Limits,
    threads: usize,
}

/// Runs the builder: unpacks what the derivation's structured attributes name into `out`, which
/// must not exist yet. `physical` says where a store path lies.
pub fn build_debs(
    attributes_json: &str,
    physical: &dyn Fn(&str) -> PathBuf,
    out: &Path,
) -> Result<Unpacked, DebError> {
    let attributes: Attributes =
        serde_json::from_str(attributes_json).map_err(DebError::Attributes)?;
    if attributes.format_version != FORMAT_VERSION {
        return Err(DebError::FormatVersion { wanted: attributes.format_version });
    }
    let globs = |patterns: &[String]| {
        patterns.iter().map(|pattern| Glob::parse(pattern)).collect::<Result<Vec<_>, _>>()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        include: globs(&attributes.include)?,
        exclude: globs(&attributes.exclude)?,
        links: attributes.links,
        limits: LIMITS,
        threads: threads.min(MAX_THREADS),
    };
    let inputs = attributes.debs.iter().map(|deb| DebInput {
        name: deb.rsplit('/').next().unwrap_or(deb).to_owned(),
        path: physical(deb),
    });
    unpack(inputs.collect(), &options, out)
}

/// Unpacks all packages; of several errors, the one of the first package is returned.
fn unpack(
    inputs: Vec<DebInput>,
    options: &Options,
    out: &Path,
) -> Result<Unpacked, DebError> {
    let names = inputs.iter().map(|input| input.name.clone()).collect();
    let merger = Merger::create(out, names, options.limits)?;
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let errors = Mutex::new(BTreeMap::new());
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(index) else { return };
            if let Err(error) = unpack_one(index, input, options, &merger) {
                failed.store(true, Ordering::Relaxed);
                errors.lock().expect("no thread panics").insert(index, error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, inputs.len().max(1)) {
            scope.spawn(work);
        }
    });
    let errors = errors.into_inner().expect("no thread panics");
    if let Some((_, error)) = errors.into_iter().next() {
        return Err(error);
    }
    merger.finish(&options.links)
}

fn unpack_one(
    index: usize,
    input: &DebInput,
    options: &Options,
    merger: &Merger,
) -> Result<(), DebError> {
    let package = &input.name;
    let file = File::open(&input.path)
        .map_err(|source| DebError::Open { package: package.clone(), source })?;
    let reader = BufReader::with_capacity(64 << 10, file);
    let (compression, mut member) = ar::open_data(package, reader)?;
    let failed = |source| read_error(package, source);
    {
        let decoder = decompress(compression, &mut member).map_err(failed)?;
        let mut archive = tar::Archive::new(decoder);
        for entry in archive.entries().map_err(failed)? {
            add_entry(index, package, &mut entry.map_err(failed)?, options, merger)?;
        }
        // To the end of the stream, so that its checksum is looked at.
        let mut rest = archive.into_inner().take(MAX_TRAILING_BYTES);
        io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
    }
    io::copy(&mut member, &mut io::sink()).map_err(failed)?;
    if member.limit() > 0 {
        return Err(DebError::Truncated { package: package.clone() });
    }
    Ok(())
}

fn read_error(package: &str, source: io::Error) -> DebError {
    let package = package.to_owned();
    if source.kind() == io::ErrorKind::UnexpectedEof {
        DebError::Truncated { package }
    } else {
        DebError::Read { package, source }
    }
}

/// Is a file a Debian package, by its first bytes?
pub(crate) fn is_package(path: &Path) -> io::Result<bool> {
    let mut start = [0; ar::MAGIC.len()];
    let mut file = File::open(path)?;
    Ok(file.read(&mut start)? == start.len() && start == *ar::MAGIC)
}

/// The data of a package, a tar archive.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, DebError> {
    let package = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = File::open(path)
        .map_err(|source| DebError::Open { package: package.clone(), source })?;
    let (compression, data) = ar::open_data(&package, BufReader::new(file))?;
    decompress(compression, data).map_err(|source| DebError::Read { package, source })
}

fn decompress<'a>(
    compression: DataCompression,
    data: impl Read + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        DataCompression::None => Box::new(data),
        DataCompression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(data)),
        DataCompression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(data)),
        DataCompression::Zstd => Box::new(zstd::Decoder::new(data)?),
        DataCompression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, flags)
                    .map_err(io::Error::from)?;
            Box::new(liblzma::read::XzDecoder::new_stream(data, stream))
        }
    })
}

fn add_entry(
    index: usize,
    package: &str,
    entry: &mut tar::Entry<'_, impl Read>,
    options: &Options,
    merger: &Merger,
) -> Result<(), DebError> {
    let raw = entry.path_bytes().into_owned();
    let name = merge::normalise(package, &raw)?;
    let kind = entry.header().entry_type();
    if name.is_empty() || kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let link =
        || entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
    if merge::is_usr_link(&name, kind == EntryType::Symlink, &link()) {
        // Newer packages ship the links that we make anyway.
        return Ok(());
    }
    let path = merge::below_usr(name);
    if !is_wanted(&path, options) {
        return Ok(());
    }
    match kind {
        EntryType::Directory => merger.add_directory(index, &path),
        EntryType::Symlink => merger.add_symlink(index, &path, &link()),
        EntryType::Link => {
            let target = merge::below_usr(merge::normalise(package, &link())?);
            merger.add_hard_link(index, &path, &target)
        }
        EntryType::Regular | EntryType::Continuous => {
            let mode = entry.header().mode().map_err(|e| read_error(package, e))?;
            let permission = match mode & 0o111 {
                0 => Permission::Read,
                _ => Permission::Execute,
            };
            let size = entry.size();
            merger.add_file(index, &path, permission, size, entry)
        }
        other => Err(DebError::Special {
            package: package.to_owned(),
            name: String::from_utf8_lossy(&raw).into_owned(),
            kind: match other {
                EntryType::Char => "a character device",
                EntryType::Block => "a block device",
                EntryType::Fifo => "a named pipe",
                _ => "of an unknown kind",
            },
        }),
    }
}

fn is_wanted(path: &[u8], options: &Options) -> bool {
    let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
    (options.include.is_empty() || matches(&options.include))
        && !matches(&options.exclude)
}
