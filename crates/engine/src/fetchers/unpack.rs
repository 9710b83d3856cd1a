//! Trees out of archives, written to disk without trusting a name in them.
//!
//! [`TreeWriter`] knows what it made itself, and makes nothing below anything else: a name with `..` or NUL is
//! refused, a path never leads through a link or a file. Owners, times and modes other than "executable" are not
//! kept, because the store has none.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::zip::{self, Attributes};

/// The most bytes that an archive may unpack to.
const MAX_BYTES: u64 = 32 << 30;
/// The most files and directories in an archive.
pub(super) const MAX_ENTRIES: usize = 8 << 20;
/// A stream of xz that wants more memory is hostile.
pub(super) const XZ_MEMORY_BYTES: u64 = 512 << 20;
/// The largest file whose contents are looked at to recognise its format.
const MAGIC_LEN: usize = 6;

/// What is at a path of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// A tree on disk that is being made.
pub(super) struct TreeWriter {
    root: PathBuf,
    made: BTreeMap<PathBuf, Kind>,
    left_bytes: u64,
}

impl TreeWriter {
    /// Makes the root, at which nothing may be.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir(root)?;
        let made = BTreeMap::from([(PathBuf::new(), Kind::Directory)]);
        Ok(Self { root: root.to_owned(), made, left_bytes: MAX_BYTES })
    }

    /// Makes a directory, unless it is there, and those around it.
    pub(super) fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        let path = clean(path)?;
        self.make_directory(&path)
    }

    fn make_directory(&mut self, path: &Path) -> io::Result<()> {
        match self.made.get(path) {
            Some(Kind::Directory) => return Ok(()),
            Some(_) => return refuse(path, "is a file and a directory"),
            None => {}
        }
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        fs::create_dir(self.root.join(path))?;
        self.note(path, Kind::Directory)
    }

    /// Makes a file; one that is there already is replaced.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        is_executable: bool,
        contents: &mut dyn Read,
    ) -> io::Result<()> {
        let path = self.prepare(path)?;
        let mode = if is_executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(self.root.join(&path))?;
        let count =
            io::copy(&mut contents.take(self.left_bytes.saturating_add(1)), &mut file)?;
        match self.left_bytes.checked_sub(count) {
            Some(left) => self.left_bytes = left,
            None => return refuse(&path, "makes the archive larger than 32 GiB"),
        }
        self.note(&path, Kind::File)
    }

    /// Makes a symbolic link.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        if target.is_empty() || target.contains(&0) {
            return refuse(
                Path::new(std::ffi::OsStr::from_bytes(path)),
                "links to nothing",
            );
        }
        let path = self.prepare(path)?;
        let target = std::ffi::OsStr::from_bytes(target);
        std::os::unix::fs::symlink(target, self.root.join(&path))?;
        self.note(&path, Kind::Link)
    }

    /// Makes a second name of a file that was made before.
    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let target = clean(target)?;
        match self.made.get(&target) {
            Some(Kind::File) => {
                let path = self.prepare(path)?;
                if path == target {
                    return refuse(&path, "is a hard link to itself");
                }
                fs::hard_link(self.root.join(&target), self.root.join(&path))?;
                self.note(&path, Kind::File)
            }
            Some(Kind::Link) => {
                let link = fs::read_link(self.root.join(&target))?;
                self.link(path, link.as_os_str().as_bytes())
            }
            _ => refuse(
                &target,
                "is the target of a hard link, and not in the archive before it",
            ),
        }
    }

    /// Makes the directories around a path and frees it.
    fn prepare(&mut self, path: &[u8]) -> io::Result<PathBuf> {
        let path = clean(path)?;
        let Some(parent) = path.parent() else {
            return refuse(&path, "has no name");
        };
        self.make_directory(parent)?;
        match self.made.get(&path) {
            None => {}
            Some(Kind::Directory) => return refuse(&path, "is a file and a directory"),
            Some(Kind::File | Kind::Link) => fs::remove_file(self.root.join(&path))?,
        }
        Ok(path)
    }

    fn note(&mut self, path: &Path, kind: Kind) -> io::Result<()> {
        if self.made.len() >= MAX_ENTRIES {
            return refuse(path, "is one entry too many");
        }
        self.made.insert(path.to_owned(), kind);
        Ok(())
    }

    /// The root, or the one directory in it that everything else lies in.
    pub(super) fn into_tree(self) -> PathBuf {
        let mut top = self.made.iter().filter(|(path, _)| path.components().count() == 1);
        match (top.next(), top.next()) {
            (Some((path, Kind::Directory)), None) => self.root.join(path),
            _ => self.root,
        }
    }
}

pub(super) fn refuse<T>(path: &Path, why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("'{}' {why}", path.display())))
}

/// A path inside the tree, without `.` and doubled slashes. One that begins with a slash is taken as below the
/// root, as every unpacker does; one with `..` is hostile.
fn clean(path: &[u8]) -> io::Result<PathBuf> {
    let mut cleaned = PathBuf::new();
    let shown = Path::new(std::ffi::OsStr::from_bytes(path));
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return refuse(shown, "leads out of the archive"),
            part if part.contains(&0) => return refuse(shown, "has a NUL in it"),
            part => cleaned.push(std::ffi::OsString::from_vec(part.to_vec())),
        }
    }
    Ok(cleaned)
}

/// An archive that was unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The directory with what was in it, below the one that was named.
    pub(super) tree: PathBuf,
    /// The latest time of change among the entries, in seconds since 1970.
    pub(super) last_modified: u64,
}

/// Unpacks a tarball, plain or compressed, or a zip archive to a path at which nothing is.
pub(super) fn unpack_archive(
    archive: &Path,
    to: &Path,
    zip_attributes: Attributes,
) -> io::Result<Unpacked> {
    let mut writer = TreeWriter::create(to)?;
    let mut archive = BufReader::new(File::open(archive)?);
    let last_modified = if zip::is_zip(archive.fill_buf()?) {
        zip::unpack_zip(archive.into_inner(), zip_attributes, &mut writer)?
    } else {
        unpack_tar(decompress(archive)?, &mut writer)?
    };
    Ok(Unpacked { tree: writer.into_tree(), last_modified })
}

/// Unpacks an archive of tar; gives the latest time of change among its entries.
fn unpack_tar(archive: impl Read, writer: &mut TreeWriter) -> io::Result<u64> {
    let mut archive = tar::Archive::new(archive);
    let mut last_modified = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        last_modified = last_modified.max(time_of(&mut entry)?);
        let path = entry.path_bytes().into_owned();
        let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
        match kind {
            EntryType::Directory => writer.directory(&path)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let is_executable = entry.header().mode()? & 0o100 != 0;
                writer.file(&path, is_executable, &mut entry)?;
            }
            EntryType::Symlink => writer.link(&path, &target.unwrap_or_default())?,
            EntryType::Link => writer.hard_link(&path, &target.unwrap_or_default())?,
            _ => {
                let path = PathBuf::from(std::ffi::OsString::from_vec(path));
                return refuse(&path, "is neither file, directory nor link");
            }
        }
    }
    Ok(last_modified)
}

/// When an entry was changed: what an extended header says wins.
fn time_of<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<u64> {
    let in_header = entry.header().mtime()?;
    let Some(extensions) = entry.pax_extensions()? else { return Ok(in_header) };
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == b"mtime"
            && let Ok(text) = extension.value()
            && let Ok(seconds) = text.split('.').next().unwrap_or_default().parse()
        {
            return Ok(seconds);
        }
    }
    Ok(in_header)
}

/// Takes the compression off, by the first bytes.
pub(crate) fn decompress(mut archive: BufReader<File>) -> io::Result<Box<dyn Read>> {
    let start = archive.fill_buf()?;
    let magic = &start[..start.len().min(MAGIC_LEN)];
    Ok(if magic.starts_with(b"\x1f\x8b") {
        Box::new(flate2::read::MultiGzDecoder::new(archive))
    } else if magic.starts_with(b"BZh") {
        Box::new(bzip2::read::MultiBzDecoder::new(archive))
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        let stream = liblzma::stream::Stream::new_stream_decoder(
            XZ_MEMORY_BYTES,
            liblzma::stream::CONCATENATED,
        )?;
        Box::new(liblzma::read::XzDecoder::new_stream(archive, stream))
    } else if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(zstd::Decoder::with_buffer(archive)?)
    } else if zip::is_zip(magic) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is a zip archive, not a tarball",
        ));
    } else {
        Box::new(archive)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (index, (path, kind, data)) in entries.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_mtime(100 + index as u64);
            // Written directly, because the builder refuses what a hostile archive has.
            header.as_gnu_mut().unwrap().name[..path.len()]
                .copy_from_slice(path.as_bytes());
            let is_file = *kind == EntryType::Regular;
            if !is_file && !data.is_empty() {
                header.as_gnu_mut().unwrap().linkname[..data.len()]
                    .copy_from_slice(data.as_bytes());
            }
            let data = if is_file { data.as_bytes() } else { b"" };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpack(
        entries: &[(&str, EntryType, &str)],
    ) -> io::Result<(tempfile::TempDir, Unpacked)> {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        fs::write(&archive, tarball(entries)).unwrap();
        let unpacked =
            unpack_archive(&archive, &dir.path().join("out"), Attributes::Known)?;
        Ok((dir, unpacked))
    }

    #[test]
    fn a_single_directory_is_left_out() {
        let (_dir, found) = unpack(&[
            ("./x/", EntryType::Directory, ""),
            ("./x/a", EntryType::Regular, "hello"),
            ("./x/l", EntryType::Symlink, "a"),
            ("./x/h", EntryType::Link, "x/a"),
        ])
        .unwrap();
        assert!(found.tree.ends_with("out/x"));
        assert_eq!(found.last_modified, 103);
        assert_eq!(fs::read(found.tree.join("a")).unwrap(), b"hello");
        assert_eq!(fs::read(found.tree.join("l")).unwrap(), b"hello");
        assert_eq!(fs::read(found.tree.join("h")).unwrap(), b"hello");
    }

    #[test]
    fn several_things_at_the_top_stay() {
        let (_dir, found) =
            unpack(&[("a", EntryType::Regular, "1"), ("b/c", EntryType::Regular, "2")])
                .unwrap();
        assert!(found.tree.ends_with("out"));
        assert_eq!(fs::read(found.tree.join("b/c")).unwrap(), b"2");
    }

    #[test]
    fn hostile_names_are_refused() {
        let cases: [&[(&str, EntryType, &str)]; 5] = [
            &[("../a", EntryType::Regular, "x")],
            &[("a/../../b", EntryType::Regular, "x")],
            &[("l", EntryType::Symlink, "/tmp"), ("l/a", EntryType::Regular, "x")],
            &[("h", EntryType::Link, "/etc/passwd")],
            &[("f", EntryType::Fifo, "")],
        ];
        for case in cases {
            let error = unpack(case).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{case:?}: {error}");
        }
        // An absolute name stays inside.
        let (_dir, found) = unpack(&[
            ("/etc/a", EntryType::Regular, "x"),
            ("/b", EntryType::Regular, "y"),
        ])
        .unwrap();
        assert_eq!(fs::read(found.tree.join("etc/a")).unwrap(), b"x");
    }

    #[test]
    fn compression_is_recognised() {
        let plain =
            tarball(&[("a", EntryType::Regular, "1"), ("b", EntryType::Regular, "2")]);
        let mut gzip =
            flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &plain).unwrap();
        let mut bzip2 =
            bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        io::Write::write_all(&mut bzip2, &plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        io::Write::write_all(&mut xz, &plain).unwrap();
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for archive in
            [gzip.finish().unwrap(), bzip2.finish().unwrap(), xz.finish().unwrap(), zstd]
        {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("x"), archive).unwrap();
            let found = unpack_archive(
                &dir.path().join("x"),
                &dir.path().join("out"),
                Attributes::Known,
            )
            .unwrap();
            assert_eq!(fs::read(found.tree.join("b")).unwrap(), b"2");
        }
    }
}
