//! What is in an image: a sorted map of paths to entries.
//!
//! Every entry keeps its *origin*, so that a conflict names both who asked, and so that sizes
//! can be accounted to causes later. Directories above an entry appear by themselves, mode 0755
//! and owned by root, until somebody asks for them explicitly.

use crate::{ImageError, ImagePath};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

/// All bits of a mode that say nothing of the kind of file.
const MODE_BITS: u32 = 0o7777;
/// The kernel's `PATH_MAX`, less its zero byte.
const MAX_TARGET_BYTES: usize = 4095;

/// The contents of a regular file, read when the image is written.
pub trait ContentSource: Send + Sync {
    /// The number of bytes that a reader will give, exactly.
    fn size_bytes(&self) -> u64;
    /// Opens the contents from their beginning; may be called more than once.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl ContentSource for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(self.as_slice())))
    }
}

/// Mode, owner and time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: at most 07777.
    pub mode: u32,
    /// The owner in the running system.
    pub uid: u32,
    /// The group in the running system.
    pub gid: u32,
    /// Modification time in seconds since 1970, UTC.
    pub mtime: u32,
}

impl Metadata {
    /// Returns metadata with this mode, owned by root, of 1970-01-01.
    pub const fn new(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0 }
    }
}

/// The number of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// What an entry is.
#[derive(Clone)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File(Arc<dyn ContentSource>),
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A character device.
    CharacterDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

impl Node {
    /// Returns a regular file holding these bytes.
    pub fn bytes(contents: impl Into<Vec<u8>>) -> Self {
        Self::File(Arc::new(contents.into()))
    }

    /// Bytes of the file's contents or of the link's target; 0 for everything else.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::File(source) => source.size_bytes(),
            Self::Symlink(target) => target.len() as u64,
            Self::Directory
            | Self::CharacterDevice(_)
            | Self::BlockDevice(_)
            | Self::Fifo => 0,
        }
    }

    /// Whether both are known to be the same without reading contents.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory, Self::Directory) | (Self::Fifo, Self::Fifo) => true,
            (Self::Symlink(a), Self::Symlink(b)) => a == b,
            (Self::CharacterDevice(a), Self::CharacterDevice(b))
            | (Self::BlockDevice(a), Self::BlockDevice(b)) => a == b,
            (Self::File(a), Self::File(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => write!(f, "a directory"),
            Self::File(source) => write!(f, "a file of {} bytes", source.size_bytes()),
            Self::Symlink(target) => {
                write!(f, "a symlink to \"{}\"", String::from_utf8_lossy(target))
            }
            Self::CharacterDevice(n) => {
                write!(f, "the character device {}:{}", n.major, n.minor)
            }
            Self::BlockDevice(n) => write!(f, "the block device {}:{}", n.major, n.minor),
            Self::Fifo => write!(f, "a named pipe"),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One path of an image.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Mode, owner and time.
    pub metadata: Metadata,
    /// Who asked for it: a store path, an option, a word of the caller's choice.
    pub origin: String,
    /// Whether it is a directory that exists only because something lies below it.
    pub implicit: bool,
}

impl Entry {
    fn describe(&self) -> String {
        let Metadata { mode, uid, gid, .. } = self.metadata;
        format!("{} (mode {mode:04o}, owner {uid}:{gid})", self.node)
    }
}

/// The contents of an image, sorted by path.
#[derive(Debug, Clone, Default)]
pub struct ImageTree {
    entries: BTreeMap<ImagePath, Entry>,
}

impl ImageTree {
    /// Returns a tree that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, and the directories above it where they are missing.
    ///
    /// The same directory, link or device twice is no conflict; a file twice is one, even with
    /// equal contents, since two who ask for one path seldom mean it. The root may be given as a
    /// directory.
    pub fn insert(
        &mut self,
        path: ImagePath,
        node: Node,
        metadata: Metadata,
        origin: impl Into<String>,
    ) -> Result<(), ImageError> {
        let entry = Entry { node, metadata, origin: origin.into(), implicit: false };
        check_entry(&path, &entry)?;
        self.insert_parents(&path, &entry.origin)?;
        match self.entries.get(&path) {
            Some(old) if !can_replace(old, &entry) => Err(conflict(&path, old, &entry)),
            Some(old) if !old.implicit => Ok(()),
            _ => {
                self.entries.insert(path, entry);
                Ok(())
            }
        }
    }

    fn insert_parents(
        &mut self,
        path: &ImagePath,
        origin: &str,
    ) -> Result<(), ImageError> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(parent) = at {
            match self.entries.get(&parent) {
                Some(Entry { node: Node::Directory, .. }) => break,
                Some(old) => {
                    return Err(ImageError::ParentNotDirectory {
                        path: path.to_string(),
                        origin: origin.to_owned(),
                        parent: parent.to_string(),
                        parent_kind: old.node.to_string(),
                        parent_origin: old.origin.clone(),
                    });
                }
                None => {
                    at = parent.parent();
                    missing.push(parent);
                }
            }
        }
        for parent in missing {
            let entry = Entry {
                node: Node::Directory,
                metadata: Metadata::new(0o755),
                origin: origin.to_owned(),
                implicit: true,
            };
            self.entries.insert(parent, entry);
        }
        Ok(())
    }

    /// Returns the entry at a path.
    pub fn get(&self, path: &ImagePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Iterates in the order of the paths' bytes; a directory comes before what it holds. The
    /// root is left out: formats that have one take it from [`ImageTree::get`].
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        self.entries.iter().filter(|(path, _)| !path.is_root())
    }

    /// The number of entries, the root not counted.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is nothing but perhaps the root.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// An implicit directory gives way to an explicit one; otherwise both must be the same.
fn can_replace(old: &Entry, new: &Entry) -> bool {
    if old.implicit {
        return matches!(new.node, Node::Directory);
    }
    old.node.is_same(&new.node) && old.metadata == new.metadata
}

fn conflict(path: &ImagePath, first: &Entry, second: &Entry) -> ImageError {
    ImageError::Conflict {
        path: path.to_string(),
        first_origin: first.origin.clone(),
        first_kind: first.describe(),
        second_origin: second.origin.clone(),
        second_kind: second.describe(),
    }
}

fn check_entry(path: &ImagePath, entry: &Entry) -> Result<(), ImageError> {
    if entry.metadata.mode > MODE_BITS {
        return Err(ImageError::Mode {
            path: path.to_string(),
            origin: entry.origin.clone(),
            mode: entry.metadata.mode,
        });
    }
    if path.is_root() && !matches!(entry.node, Node::Directory) {
        return Err(ImageError::Path {
            path: path.to_string(),
            reason: "the root of an image is a directory",
        });
    }
    let Node::Symlink(target) = &entry.node else { return Ok(()) };
    let reason = match target {
        _ if target.is_empty() => "it is empty",
        _ if target.contains(&0) => "it holds a zero byte",
        _ if target.len() > MAX_TARGET_BYTES => "it is longer than 4095 bytes",
        _ => return Ok(()),
    };
    Err(ImageError::SymlinkTarget {
        path: path.to_string(),
        origin: entry.origin.clone(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::parse(text).unwrap()
    }

    fn add(
        tree: &mut ImageTree,
        at: &str,
        node: Node,
        mode: u32,
    ) -> Result<(), ImageError> {
        tree.insert(path(at), node, Metadata::new(mode), format!("asker of {at}"))
    }

    #[test]
    fn parents_appear_and_order_is_by_bytes() {
        let mut tree = ImageTree::new();
        add(&mut tree, "/b/c/d", Node::bytes("x"), 0o644).unwrap();
        add(&mut tree, "/b-c", Node::Fifo, 0o600).unwrap();
        let listed: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(listed, ["/b", "/b-c", "/b/c", "/b/c/d"]);
        let parent = tree.get(&path("/b")).unwrap();
        assert!(parent.implicit);
        assert_eq!(parent.metadata, Metadata::new(0o755));
        assert_eq!(parent.origin, "asker of /b/c/d");
    }

    #[test]
    fn an_explicit_directory_replaces_an_implicit_one() {
        let mut tree = ImageTree::new();
        add(&mut tree, "/root/.profile", Node::bytes("x"), 0o644).unwrap();
        add(&mut tree, "/root", Node::Directory, 0o700).unwrap();
        assert_eq!(tree.get(&path("/root")).unwrap().metadata.mode, 0o700);
        add(&mut tree, "/root/b", Node::bytes("x"), 0o644).unwrap();
        assert_eq!(tree.get(&path("/root")).unwrap().metadata.mode, 0o700);
        assert!(add(&mut tree, "/root", Node::Directory, 0o755).is_err());
    }

    #[test]
    fn a_conflict_names_both_who_asked() {
        let mut tree = ImageTree::new();
        let motd = path("/etc/motd");
        let meta = Metadata::new(0o644);
        tree.insert(motd.clone(), Node::bytes("a"), meta, "environment.etc").unwrap();
        let error = tree.insert(motd, Node::bytes("bc"), meta, "pkgs.motd").unwrap_err();
        insta::assert_snapshot!(error, @r#""/etc/motd" is asked for twice: as a file of 1 bytes (mode 0644, owner 0:0) by environment.etc, and as a file of 2 bytes (mode 0644, owner 0:0) by pkgs.motd"#);
    }

    #[test]
    fn equal_links_and_devices_are_no_conflict() {
        let mut tree = ImageTree::new();
        for _ in 0..2 {
            add(&mut tree, "/bin", Node::Symlink(b"usr/bin".to_vec()), 0o777).unwrap();
            let null = DeviceNumber { major: 1, minor: 3 };
            add(&mut tree, "/dev/null", Node::CharacterDevice(null), 0o666).unwrap();
        }
        let other = Node::Symlink(b"sbin".to_vec());
        assert!(add(&mut tree, "/bin", other, 0o777).is_err());
    }

    #[test]
    fn nothing_lies_below_a_link() {
        let mut tree = ImageTree::new();
        add(&mut tree, "/bin", Node::Symlink(b"usr/bin".to_vec()), 0o777).unwrap();
        let error = add(&mut tree, "/bin/sh", Node::bytes("x"), 0o755).unwrap_err();
        insta::assert_snapshot!(error, @r#""/bin/sh" (asker of /bin/sh) lies below "/bin", which is a symlink to "usr/bin" and not a directory (asker of /bin)"#);
        assert_eq!(tree.len(), 1, "a refused entry leaves nothing behind");
    }

    #[test]
    fn a_file_does_not_replace_a_directory_that_is_used() {
        let mut tree = ImageTree::new();
        add(&mut tree, "/a/b", Node::bytes("x"), 0o644).unwrap();
        assert!(add(&mut tree, "/a", Node::bytes("x"), 0o644).is_err());
    }

    #[test]
    fn invalid_entries_are_refused() {
        let mut tree = ImageTree::new();
        assert!(add(&mut tree, "/a", Node::bytes("x"), 0o10_0644).is_err());
        assert!(add(&mut tree, "/a", Node::Symlink(Vec::new()), 0o777).is_err());
        assert!(add(&mut tree, "/a", Node::Symlink(b"a\0".to_vec()), 0o777).is_err());
        assert!(add(&mut tree, "/", Node::bytes("x"), 0o755).is_err());
        add(&mut tree, "/", Node::Directory, 0o755).unwrap();
        assert!(tree.is_empty());
    }
}
