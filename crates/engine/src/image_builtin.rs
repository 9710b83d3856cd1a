//! `builtin:image`: a description becomes an image tree, and that an image.
//!
//! The description is the derivation's structured attributes: closures that are copied to their
//! own paths, entries with modes and owners, and files laid beside the image. Contents are read
//! from the store as the writer needs them. What comes from the store has the store's modes;
//! what an entry describes has the modes that it says.
//!
//! Links are followed by hand where a path names contents: the store's logical name is not where
//! it lies on this machine, so the kernel cannot follow an absolute link for us.

#[cfg(test)]
mod tests;

use picnix_image::{
    Boot, CdBoot, Compression, ContentSource, DeviceNumber, ImageError, ImagePath,
    ImageTree, Metadata, Node, WriteOptions, Written, find_format,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kernel's limit on links in one path, `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;
/// Trees of the store are not deeper than its paths are long; this guards the stack.
const MAX_TREE_DEPTH: usize = 1024;

/// A description that cannot become an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageBuildError {
    /// The derivation's attributes are not what this builder reads.
    #[error("the attributes of \"builtin:image\" are invalid")]
    Attributes(#[source] serde_json::Error),
    /// An entry is not what this builder reads.
    #[error("the image's entry \"{entry}\" is invalid")]
    EntryAttributes {
        /// The entry's path, or its number where it has none.
        entry: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An entry's attributes do not make sense together.
    #[error("the image's entry \"{entry}\" is invalid: {reason}")]
    Entry {
        /// The entry's path.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// The tree or the writer refuses.
    #[error(transparent)]
    Image(Box<ImageError>),
    /// A name of `files` that is not a plain file name, or the image's own.
    #[error("\"{name}\" cannot be a file beside the image: {reason}")]
    FileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path that does not lead to something in the store.
    #[error("{asker} needs \"{path}\", which {reason}")]
    Source {
        /// Who needs it.
        asker: String,
        /// The path, as it is given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file system object that a store cannot hold.
    #[error("\"{path}\" is neither file, directory nor link")]
    Special {
        /// Where it lies.
        path: PathBuf,
    },
    /// Something of the store cannot be read.
    #[error("cannot read \"{path}\"")]
    Read {
        /// Where it lies.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write \"{path}\"")]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl From<ImageError> for ImageBuildError {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}

/// The store as the builder sees it.
pub struct StoreView<'a> {
    /// Its logical name, such as `/nix/store`.
    pub store_dir: &'a str,
    /// Where a logical path lies on this machine.
    pub physical: &'a dyn Fn(&str) -> PathBuf,
}

/// What was built.
#[derive(Debug)]
pub struct BuiltImage {
    /// The image's file name in the output.
    pub file_name: String,
    /// What the writer says of it.
    pub written: Written,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    format: String,
    format_version: u32,
    compression: String,
    #[serde(default)]
    entries: Vec<serde_json::Value>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    boot: Option<BootAttributes>,
    cd: Option<CdAttributes>,
    root: Option<String>,
    #[serde(default)]
    disk_id: u32,
}

/// How an image starts by itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BootAttributes {
    loader: String,
    kernel: String,
    initramfs: Option<String>,
    command_line: String,
}

/// How an image starts that is a CD and a disk at once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CdAttributes {
    mbr: String,
    efi_loader: String,
    entries: Vec<serde_json::Value>,
    on_cd: String,
    on_disk: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryAttributes {
    path: String,
    r#type: EntryType,
    mode: Option<String>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    source: Option<String>,
    text: Option<String>,
    target: Option<String>,
    major: Option<u32>,
    minor: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EntryType {
    File,
    Symlink,
    Directory,
    CharacterDevice,
    BlockDevice,
}

/// Runs the builder: writes the image that the derivation's structured attributes describe, and
/// the files beside it, into the directory `out`, which must not exist yet.
///
/// `closure` lists the store paths of the attributes' `exportReferencesGraph`.
pub fn build_image(
    attributes_json: &str,
    closure: &[String],
    store: &StoreView<'_>,
    out: &Path,
) -> Result<BuiltImage, ImageBuildError> {
    let attributes: Attributes =
        serde_json::from_str(attributes_json).map_err(ImageBuildError::Attributes)?;
    let format = find_format(&attributes.format, attributes.format_version)?;
    let compression = Compression::parse(&attributes.compression)?;
    let options = WriteOptions {
        boot: attributes.boot.as_ref().map(|boot| boot.read(store)).transpose()?,
        cd: attributes.cd.as_ref().map(|cd| cd.read(store)).transpose()?,
        root: attributes.root_source(store)?,
        disk_id: attributes.disk_id,
        ..WriteOptions::new(compression)
    };
    let file_name = format!("{}.{}", format.name(), format.extension(&options));
    check_file_names(&attributes.files, &file_name)?;

    let mut tree = ImageTree::new();
    for path in closure {
        add_store_path(&mut tree, path, store)?;
    }
    for (index, entry) in attributes.entries.iter().enumerate() {
        add_entry(&mut tree, index, entry, store)?;
    }

    make_directory(out)?;
    let at = out.join(&file_name);
    let unwritable = |source| ImageBuildError::Write { path: at.clone(), source };
    let mut writer = BufWriter::new(create_file(&at)?);
    let written = format.write(&tree, &options, &mut writer)?;
    writer.flush().map_err(unwritable)?;
    for (name, source) in &attributes.files {
        copy_beside(name, source, store, out)?;
    }
    Ok(BuiltImage { file_name, written })
}

fn check_file_names(
    files: &BTreeMap<String, String>,
    image: &str,
) -> Result<(), ImageBuildError> {
    for name in files.keys() {
        let reason = if name == image {
            "it is the image's own name"
        } else if name.is_empty() || name == "." || name == ".." {
            "it is no name"
        } else if name.contains(['/', '\0']) {
            "it holds a slash or a zero byte"
        } else {
            continue;
        };
        return Err(ImageBuildError::FileName { name: name.clone(), reason });
    }
    Ok(())
}

impl Attributes {
    /// The contents of the root partition.
    fn root_source(
        &self,
        store: &StoreView<'_>,
    ) -> Result<Option<Arc<dyn ContentSource>>, ImageBuildError> {
        let Some(root) = &self.root else { return Ok(None) };
        let (path, found) = resolve_file("the image's root", root, store)?;
        Ok(Some(Arc::new(OnDisk { path, size_bytes: found.len() })))
    }
}

impl BootAttributes {
    fn read(&self, store: &StoreView<'_>) -> Result<Boot, ImageBuildError> {
        Ok(Boot {
            loader: read_loader(&self.loader, store)?,
            kernel: ImagePath::parse(&self.kernel)?,
            initramfs: self.initramfs.as_ref().map(ImagePath::parse).transpose()?,
            command_line: self.command_line.clone(),
        })
    }
}

impl CdAttributes {
    fn read(&self, store: &StoreView<'_>) -> Result<CdBoot, ImageBuildError> {
        let mut files = ImageTree::new();
        for (index, entry) in self.entries.iter().enumerate() {
            add_entry(&mut files, index, entry, store)?;
        }
        Ok(CdBoot {
            mbr: read_loader(&self.mbr, store)?,
            efi_loader: read_loader(&self.efi_loader, store)?,
            files,
            on_cd: self.on_cd.clone(),
            on_disk: self.on_disk.clone(),
        })
    }
}

/// The bytes of a program that firmware starts.
fn read_loader(path: &str, store: &StoreView<'_>) -> Result<Vec<u8>, ImageBuildError> {
    let (path, _) = resolve_file("the image's start", path, store)?;
    fs::read(&path).map_err(|source| ImageBuildError::Read { path, source })
}

/// Copies a store path to its own place in the image.
fn add_store_path(
    tree: &mut ImageTree,
    path: &str,
    store: &StoreView<'_>,
) -> Result<(), ImageBuildError> {
    if !store.holds(path) {
        return Err(ImageBuildError::Source {
            asker: "the closure".to_owned(),
            path: path.to_owned(),
            reason: format!("does not lie in \"{}\"", store.store_dir),
        });
    }
    let copy = TreeCopy { origin: path, modes: TreeModes::Store, uid: 0, gid: 0 };
    copy.add(tree, &(store.physical)(path), ImagePath::parse(path)?, 0)
}

fn add_entry(
    tree: &mut ImageTree,
    index: usize,
    entry: &serde_json::Value,
    store: &StoreView<'_>,
) -> Result<(), ImageBuildError> {
    let named = entry["path"].as_str().map_or_else(|| format!("#{index}"), str::to_owned);
    let attributes = EntryAttributes::deserialize(entry)
        .map_err(|source| ImageBuildError::EntryAttributes { entry: named, source })?;
    attributes.check()?;
    let path = ImagePath::parse(&attributes.path)?;
    let metadata = Metadata {
        uid: attributes.uid,
        gid: attributes.gid,
        ..Metadata::new(attributes.mode()?)
    };
    let node = match (attributes.r#type, &attributes.source) {
        (EntryType::File, Some(source)) => {
            return add_source(tree, &attributes, path, metadata, source, store);
        }
        (EntryType::File, None) => {
            Node::bytes(attributes.text.clone().unwrap_or_default())
        }
        (EntryType::Symlink, _) => {
            Node::Symlink(attributes.target.clone().unwrap_or_default().into_bytes())
        }
        (EntryType::Directory, _) => Node::Directory,
        (EntryType::CharacterDevice, _) => Node::CharacterDevice(attributes.device()),
        (EntryType::BlockDevice, _) => Node::BlockDevice(attributes.device()),
    };
    tree.insert(path, node, metadata, attributes.origin())?;
    Ok(())
}

/// Adds a file whose contents are in the store, or a tree.
fn add_source(
    tree: &mut ImageTree,
    attributes: &EntryAttributes,
    path: ImagePath,
    metadata: Metadata,
    source: &str,
    store: &StoreView<'_>,
) -> Result<(), ImageBuildError> {
    let origin = attributes.origin();
    let (at, found) = store.resolve(&origin, source)?;
    if found.is_dir() {
        if attributes.mode.is_some() {
            return Err(attributes.invalid("a tree's modes come from its source"));
        }
        let copy = TreeCopy {
            origin: &origin,
            modes: TreeModes::Writable,
            uid: metadata.uid,
            gid: metadata.gid,
        };
        return copy.add(tree, &at, path, 0);
    }
    let contents = OnDisk { path: at, size_bytes: found.len() };
    tree.insert(path, Node::File(Arc::new(contents)), metadata, origin)?;
    Ok(())
}

impl EntryAttributes {
    /// Each type has attributes that it needs and others that would mean nothing.
    fn check(&self) -> Result<(), ImageBuildError> {
        let given = [
            ("source", self.source.is_some()),
            ("text", self.text.is_some()),
            ("target", self.target.is_some()),
            ("major", self.major.is_some()),
            ("minor", self.minor.is_some()),
        ];
        let (needed, allowed): (&[&str], &[&str]) = match self.r#type {
            EntryType::File => (&[], &["source", "text"]),
            EntryType::Symlink => (&["target"], &["target"]),
            EntryType::Directory => (&[], &[]),
            EntryType::CharacterDevice | EntryType::BlockDevice => {
                (&["major", "minor"], &["major", "minor"])
            }
        };
        for (name, is_given) in given {
            if is_given && !allowed.contains(&name) {
                return Err(self.invalid(&format!("\"{name}\" has no meaning here")));
            }
            if !is_given && needed.contains(&name) {
                return Err(self.invalid(&format!("\"{name}\" is missing")));
            }
        }
        if self.r#type == EntryType::File && self.source.is_some() == self.text.is_some()
        {
            return Err(self.invalid("either \"source\" or \"text\" is needed"));
        }
        Ok(())
    }

    fn mode(&self) -> Result<u32, ImageBuildError> {
        let Some(text) = &self.mode else {
            return Ok(match self.r#type {
                EntryType::Directory => 0o755,
                EntryType::Symlink => 0o777,
                EntryType::File | EntryType::CharacterDevice | EntryType::BlockDevice => {
                    0o644
                }
            });
        };
        let is_octal = (1..=4).contains(&text.len())
            && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !is_octal {
            return Err(self.invalid(&format!(
                "the mode \"{text}\" is not one to four octal digits"
            )));
        }
        // A link's mode means nothing to the kernel; one value keeps images comparable.
        if self.r#type == EntryType::Symlink {
            return Ok(0o777);
        }
        Ok(u32::from_str_radix(text, 8).expect("at most four octal digits"))
    }

    fn device(&self) -> DeviceNumber {
        DeviceNumber {
            major: self.major.unwrap_or_default(),
            minor: self.minor.unwrap_or_default(),
        }
    }

    fn origin(&self) -> String {
        format!("the image's entry \"{}\"", self.path)
    }

    fn invalid(&self, reason: &str) -> ImageBuildError {
        ImageBuildError::Entry { entry: self.path.clone(), reason: reason.to_owned() }
    }
}

impl StoreView<'_> {
    /// Whether a logical path lies in the store: at or below one of its objects.
    fn holds(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.store_dir).and_then(|p| p.strip_prefix('/'));
        below.is_some_and(|name| !name.is_empty() && !name.starts_with('/'))
    }

    /// Follows links to the file or directory that a logical path names.
    fn resolve(
        &self,
        asker: &str,
        path: &str,
    ) -> Result<(PathBuf, fs::Metadata), ImageBuildError> {
        let failed = |reason: String| ImageBuildError::Source {
            asker: asker.to_owned(),
            path: path.to_owned(),
            reason,
        };
        let outside = || failed(format!("does not lie in \"{}\"", self.store_dir));
        let below = |path: &str| {
            let rest = path.strip_prefix(self.store_dir)?.strip_prefix('/')?;
            Some(rest.split('/').rev().map(str::to_owned).collect::<Vec<_>>())
        };
        let mut links = 0;
        let mut done: Vec<String> = Vec::new();
        // What is still to walk, the next component last.
        let mut todo = below(path).ok_or_else(outside)?;
        let mut found = None;
        while let Some(component) = todo.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop().ok_or_else(outside)?;
                    continue;
                }
                _ => done.push(component),
            }
            let logical = format!("{}/{}", self.store_dir, done.join("/"));
            let at = (self.physical)(&logical);
            let metadata = fs::symlink_metadata(&at)
                .map_err(|e| failed(format!("cannot be read: {e}")))?;
            if !metadata.is_symlink() {
                found = Some((at, metadata));
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(failed(format!("leads through more than {MAX_LINKS} links")));
            }
            let target = read_link(&at)?;
            let target = String::from_utf8(target).map_err(|_| {
                failed("leads through a link that is not UTF-8".to_owned())
            })?;
            done.pop();
            if target.starts_with('/') {
                done.clear();
                todo.extend(below(&target).ok_or_else(|| {
                    failed(format!("leads to \"{target}\", which is not in the store"))
                })?);
            } else {
                todo.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        // After `..` the last thing looked at is not the one that is named.
        let logical = format!("{}/{}", self.store_dir, done.join("/"));
        match found {
            _ if done.is_empty() => Err(outside()),
            Some((at, metadata)) if at == (self.physical)(&logical) => Ok((at, metadata)),
            _ => {
                let at = (self.physical)(&logical);
                let metadata = symlink_metadata(&at)?;
                Ok((at, metadata))
            }
        }
    }
}

/// The modes of a copied tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TreeModes {
    /// The store's own: nothing is writable.
    Store,
    /// Those of a file system that its owner changes.
    Writable,
}

impl TreeModes {
    const fn directory(self) -> u32 {
        match self {
            Self::Store => 0o555,
            Self::Writable => 0o755,
        }
    }

    const fn file(self, executable: bool) -> u32 {
        match (self, executable) {
            (Self::Store, false) => 0o444,
            (Self::Store, true) => 0o555,
            (Self::Writable, false) => 0o644,
            (Self::Writable, true) => 0o755,
        }
    }
}

/// How a tree of the store is copied into an image.
struct TreeCopy<'a> {
    origin: &'a str,
    modes: TreeModes,
    uid: u32,
    gid: u32,
}

impl TreeCopy<'_> {
    fn add(
        &self,
        tree: &mut ImageTree,
        from: &Path,
        to: ImagePath,
        depth: usize,
    ) -> Result<(), ImageBuildError> {
        let found = symlink_metadata(from)?;
        let (node, mode) = if found.is_symlink() {
            (Node::Symlink(read_link(from)?), 0o777)
        } else if found.is_dir() {
            (Node::Directory, self.modes.directory())
        } else if found.is_file() {
            let executable = found.permissions().mode() & 0o111 != 0;
            let contents = OnDisk { path: from.to_owned(), size_bytes: found.len() };
            (Node::File(Arc::new(contents)), self.modes.file(executable))
        } else {
            return Err(ImageBuildError::Special { path: from.to_owned() });
        };
        let metadata = Metadata { uid: self.uid, gid: self.gid, ..Metadata::new(mode) };
        tree.insert(to.clone(), node, metadata, self.origin)?;
        if !found.is_dir() {
            return Ok(());
        }
        if depth >= MAX_TREE_DEPTH {
            let path = from.to_owned();
            let source = io::Error::other("the tree is too deep");
            return Err(ImageBuildError::Read { path, source });
        }
        let unreadable = |source| ImageBuildError::Read { path: from.to_owned(), source };
        // The image tree sorts; the order of the directory does not matter.
        for entry in fs::read_dir(from).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let below = to.join(entry.file_name().as_bytes())?;
            self.add(tree, &entry.path(), below, depth + 1)?;
        }
        Ok(())
    }
}

/// A file of the store as contents of an image.
struct OnDisk {
    path: PathBuf,
    size_bytes: u64,
}

impl ContentSource for OnDisk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

fn symlink_metadata(at: &Path) -> Result<fs::Metadata, ImageBuildError> {
    fs::symlink_metadata(at)
        .map_err(|source| ImageBuildError::Read { path: at.to_owned(), source })
}

fn read_link(at: &Path) -> Result<Vec<u8>, ImageBuildError> {
    let target = fs::read_link(at)
        .map_err(|source| ImageBuildError::Read { path: at.to_owned(), source })?;
    Ok(target.as_os_str().as_bytes().to_vec())
}

/// Follows links to the file that a logical path names.
fn resolve_file(
    asker: &str,
    path: &str,
    store: &StoreView<'_>,
) -> Result<(PathBuf, fs::Metadata), ImageBuildError> {
    let (at, found) = store.resolve(asker, path)?;
    if !found.is_file() {
        return Err(ImageBuildError::Source {
            asker: asker.to_owned(),
            path: path.to_owned(),
            reason: "is not a file".to_owned(),
        });
    }
    Ok((at, found))
}

fn copy_beside(
    name: &str,
    source: &str,
    store: &StoreView<'_>,
    out: &Path,
) -> Result<(), ImageBuildError> {
    let asker = format!("the file \"{name}\" beside the image");
    let (from, _) = resolve_file(&asker, source, store)?;
    let at = out.join(name);
    let mut input = File::open(&from)
        .map_err(|source| ImageBuildError::Read { path: from, source })?;
    let mut output = create_file(&at)?;
    io::copy(&mut input, &mut output)
        .map_err(|source| ImageBuildError::Write { path: at, source })?;
    Ok(())
}

/// Makes a directory whose mode does not depend on the umask.
fn make_directory(at: &Path) -> Result<(), ImageBuildError> {
    let failed = |source| ImageBuildError::Write { path: at.to_owned(), source };
    DirBuilder::new().mode(0o755).create(at).map_err(failed)?;
    fs::set_permissions(at, Permissions::from_mode(0o755)).map_err(failed)
}

fn create_file(at: &Path) -> Result<File, ImageBuildError> {
    let failed = |source| ImageBuildError::Write { path: at.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(at)
        .map_err(failed)?;
    file.set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    Ok(file)
}
