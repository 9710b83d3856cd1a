//! The tree that packages are merged into, on disk and as a map of what is there.
//!
//! The map is the reason that writing is safe: the destination is new, everything in it was put
//! there by us, and an entry is only written after the map has shown that all its ancestors are
//! directories and that nothing has its name. Directories and links are made under the lock,
//! files after their name is claimed under it.

use super::{DebError, Limits, Unpacked};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Directories of the root that lie below `usr` in a merged tree.
const USR_DIRS: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];
/// The kernel's `PATH_MAX`, less its zero byte and room for the place of the tree.
const MAX_NAME_BYTES: usize = 3000;
/// The kernel's `NAME_MAX`.
const MAX_COMPONENT_BYTES: usize = 255;
/// A file that a second package brings is held in memory until it is compared.
const MAX_CLASH_BYTES: u64 = 256 << 20;
/// What a package calls itself when `links` are added.
const LINKS_ORIGIN: &str = "links";

/// Whether a file may be executed: all that a store keeps of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    Read,
    Execute,
}

impl Permission {
    const fn mode(self) -> u32 {
        match self {
            Self::Read => 0o644,
            Self::Execute => 0o755,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Directory,
    File(Permission),
    Symlink(Vec<u8>),
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File(Permission::Read) => "a file",
            Self::File(Permission::Execute) => "an executable file",
            Self::Symlink(_) => "a symlink",
        }
    }
}

struct Node {
    kind: Kind,
    package: usize,
}

/// A file that two packages hold; compared once both are complete.
struct Clash {
    path: Vec<u8>,
    package: usize,
    contents: Vec<u8>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<Vec<u8>, Node>,
    clashes: Vec<Clash>,
}

/// A tree being written by several threads.
pub(super) struct Merger {
    root: PathBuf,
    packages: Vec<String>,
    limits: Limits,
    size_bytes: AtomicU64,
    entries: AtomicU64,
    state: Mutex<State>,
}

/// Normalises an entry's name to a path without leading slash; the root is the empty path.
pub(super) fn normalise(package: &str, name: &[u8]) -> Result<Vec<u8>, DebError> {
    let invalid = |reason| DebError::Name {
        package: package.to_owned(),
        name: String::from_utf8_lossy(name).into_owned(),
        reason,
    };
    if name.first() == Some(&b'/') {
        return Err(invalid("its name is absolute"));
    }
    if name.contains(&0) {
        return Err(invalid("its name holds a zero byte"));
    }
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(invalid("its name holds \"..\"")),
            _ if component.len() > MAX_COMPONENT_BYTES => {
                return Err(invalid("its name is too long"));
            }
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if path.len() > MAX_NAME_BYTES {
        return Err(invalid("its name is too long"));
    }
    Ok(path)
}

/// Whether an entry is a link of the merged root, as newer packages ship them.
pub(super) fn is_usr_link(path: &[u8], is_symlink: bool, target: &[u8]) -> bool {
    let target = target.strip_prefix(b"/").unwrap_or(target);
    is_symlink && is_usr_dir(path) && target.strip_prefix(b"usr/") == Some(path)
}

fn is_usr_dir(name: &[u8]) -> bool {
    USR_DIRS.iter().any(|dir| dir.as_bytes() == name)
}

/// Moves what lies in `bin`, `sbin` and `lib*` below `usr`.
pub(super) fn below_usr(path: Vec<u8>) -> Vec<u8> {
    let first = path.split(|&byte| byte == b'/').next().unwrap_or_default();
    if is_usr_dir(first) { [b"usr/".as_slice(), &path].concat() } else { path }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Merger {
    /// Makes the root of a tree, which must not exist.
    pub(super) fn create(
        root: &Path,
        packages: Vec<String>,
        limits: Limits,
    ) -> Result<Self, DebError> {
        let merger = Self {
            root: root.to_owned(),
            packages,
            limits,
            size_bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            state: Mutex::default(),
        };
        make_directory(root)?;
        Ok(merger)
    }

    pub(super) fn add_directory(
        &self,
        package: usize,
        path: &[u8],
    ) -> Result<(), DebError> {
        let mut state = self.lock();
        self.make_parents(&mut state, package, path)?;
        match state.nodes.get(path) {
            Some(Node { kind: Kind::Directory, .. }) => Ok(()),
            Some(node) => Err(self.conflict(path, package, &Kind::Directory, node)),
            None => self.make_node(&mut state, package, path, Kind::Directory),
        }
    }

    pub(super) fn add_symlink(
        &self,
        package: usize,
        path: &[u8],
        target: &[u8],
    ) -> Result<(), DebError> {
        if target.is_empty() || target.contains(&0) {
            return Err(DebError::Name {
                package: self.package(package),
                name: shown(path),
                reason: "a symlink with an empty target or a zero byte in it",
            });
        }
        let mut state = self.lock();
        self.make_parents(&mut state, package, path)?;
        let kind = Kind::Symlink(target.to_vec());
        match state.nodes.get(path) {
            Some(node) if node.kind == kind => Ok(()),
            Some(node) => Err(self.conflict(path, package, &kind, node)),
            None => self.make_node(&mut state, package, path, kind),
        }
    }

    pub(super) fn add_file(
        &self,
        package: usize,
        path: &[u8],
        permission: Permission,
        size_bytes: u64,
        contents: impl Read,
    ) -> Result<(), DebError> {
        let before = self.size_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        if before.saturating_add(size_bytes) > self.limits.bytes {
            return Err(self.too_large(package, self.limits.bytes, "bytes"));
        }
        if self.claim_file(package, path, permission)? {
            let at = self.on_disk(path);
            let mut file = create_file(&at, permission)?;
            return self.copy(package, size_bytes, contents, &mut file, &at);
        }
        if size_bytes > MAX_CLASH_BYTES {
            return Err(self.too_large(
                package,
                MAX_CLASH_BYTES,
                "bytes in a file twice",
            ));
        }
        let mut copy = Vec::new();
        self.copy(package, size_bytes, contents, &mut copy, &self.on_disk(path))?;
        let clash = Clash { path: path.to_vec(), package, contents: copy };
        self.lock().clashes.push(clash);
        Ok(())
    }

    /// Copies what an earlier entry of the same package holds: a store knows no hard links.
    pub(super) fn add_hard_link(
        &self,
        package: usize,
        path: &[u8],
        target: &[u8],
    ) -> Result<(), DebError> {
        let failed = |reason| DebError::HardLink {
            package: self.package(package),
            name: shown(path),
            target: shown(target),
            reason,
        };
        let permission = match self.lock().nodes.get(target) {
            Some(Node { kind: Kind::File(permission), package: owner })
                if *owner == package =>
            {
                *permission
            }
            Some(Node { kind: Kind::File(_), .. }) => {
                return Err(failed("another package has brought"));
            }
            Some(_) => return Err(failed("is not a file")),
            None => return Err(failed("is not unpacked (before it)")),
        };
        let from = self.on_disk(target);
        let unreadable = |source| DebError::Write { path: from.clone(), source };
        let file = File::open(&from).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        self.add_file(package, path, permission, size, file)
    }

    /// Adds the links of the merged root and those of the derivation, and compares what two
    /// packages brought.
    pub(super) fn finish(
        self,
        links: &BTreeMap<String, String>,
    ) -> Result<Unpacked, DebError> {
        self.compare_clashes()?;
        let links_package = self.packages.len();
        for dir in USR_DIRS {
            let target = format!("usr/{dir}");
            let is_there = self.lock().nodes.contains_key(target.as_bytes());
            if is_there {
                self.add_symlink(links_package, dir.as_bytes(), target.as_bytes())?;
            }
        }
        for (path, target) in links {
            let path = below_usr(normalise(LINKS_ORIGIN, path.as_bytes())?);
            if path.is_empty() {
                let reason = "the root of the tree cannot be a link";
                let (package, name) = (LINKS_ORIGIN.to_owned(), String::new());
                return Err(DebError::Name { package, name, reason });
            }
            self.add_symlink(links_package, &path, target.as_bytes())?;
        }
        Ok(Unpacked {
            entries: self.entries.into_inner(),
            size_bytes: self.size_bytes.into_inner(),
        })
    }

    fn compare_clashes(&self) -> Result<(), DebError> {
        let mut state = self.lock();
        let mut clashes = std::mem::take(&mut state.clashes);
        clashes.sort_by(|a, b| (&a.path, a.package).cmp(&(&b.path, b.package)));
        for clash in clashes {
            let at = self.on_disk(&clash.path);
            let there =
                fs::read(&at).map_err(|source| DebError::Write { path: at, source })?;
            if there != clash.contents {
                let first = state.nodes.get(&clash.path).map_or(0, |node| node.package);
                // Which of them was first depends on the threads, the message must not.
                let (one, two) = (first.min(clash.package), first.max(clash.package));
                return Err(DebError::Differs {
                    path: shown(&clash.path),
                    package: self.package(one),
                    other: self.package(two),
                });
            }
            self.size_bytes.fetch_sub(there.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the file is new, and its writing therefore ours.
    fn claim_file(
        &self,
        package: usize,
        path: &[u8],
        permission: Permission,
    ) -> Result<bool, DebError> {
        let mut state = self.lock();
        self.make_parents(&mut state, package, path)?;
        let kind = Kind::File(permission);
        match state.nodes.get(path) {
            Some(node) if node.kind == kind => Ok(false),
            Some(node) => Err(self.conflict(path, package, &kind, node)),
            None => self.make_node(&mut state, package, path, kind).map(|()| true),
        }
    }

    fn make_parents(
        &self,
        state: &mut State,
        package: usize,
        path: &[u8],
    ) -> Result<(), DebError> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (end, _) in slashes {
            let parent = &path[..end];
            match state.nodes.get(parent) {
                Some(Node { kind: Kind::Directory, .. }) => {}
                Some(node) => {
                    return Err(DebError::NotBelowDirectory {
                        package: self.package(package),
                        name: shown(path),
                        parent: shown(parent),
                        kind: node.kind.name(),
                        other: self.package(node.package),
                    });
                }
                None => self.make_node(state, package, parent, Kind::Directory)?,
            }
        }
        Ok(())
    }

    /// Enters a node into the map, and makes it on disk unless it is a file.
    fn make_node(
        &self,
        state: &mut State,
        package: usize,
        path: &[u8],
        kind: Kind,
    ) -> Result<(), DebError> {
        if self.entries.fetch_add(1, Ordering::Relaxed) >= self.limits.entries {
            return Err(self.too_large(package, self.limits.entries, "entries"));
        }
        let at = self.on_disk(path);
        match &kind {
            Kind::Directory => make_directory(&at)?,
            Kind::Symlink(target) => symlink(OsStr::from_bytes(target), &at)
                .map_err(|source| DebError::Write { path: at, source })?,
            Kind::File(_) => {}
        }
        state.nodes.insert(path.to_vec(), Node { kind, package });
        Ok(())
    }

    fn copy(
        &self,
        package: usize,
        size_bytes: u64,
        mut contents: impl Read,
        to: &mut impl io::Write,
        at: &Path,
    ) -> Result<(), DebError> {
        let mut buffer = vec![0; 64 << 10];
        let mut copied = 0;
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(super::read_error(&self.package(package), e)),
            };
            copied += count as u64;
            to.write_all(&buffer[..count])
                .map_err(|source| DebError::Write { path: at.to_owned(), source })?;
        }
        if copied != size_bytes {
            return Err(DebError::Truncated { package: self.package(package) });
        }
        Ok(())
    }

    fn conflict(
        &self,
        path: &[u8],
        package: usize,
        kind: &Kind,
        node: &Node,
    ) -> DebError {
        let mut sides = [(package, kind.name()), (node.package, node.kind.name())];
        // Which of them was first depends on the threads, the message must not.
        sides.sort_unstable();
        let [(package, kind), (other, other_kind)] = sides;
        DebError::Conflict {
            path: shown(path),
            package: self.package(package),
            kind,
            other: self.package(other),
            other_kind,
        }
    }

    fn too_large(&self, package: usize, limit: u64, unit: &'static str) -> DebError {
        DebError::TooLarge { package: self.package(package), limit, unit }
    }

    fn package(&self, index: usize) -> String {
        self.packages.get(index).map_or(LINKS_ORIGIN, String::as_str).to_owned()
    }

    fn on_disk(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }
}

/// Makes a directory whose mode does not depend on the umask.
fn make_directory(at: &Path) -> Result<(), DebError> {
    let failed = |source| DebError::Write { path: at.to_owned(), source };
    DirBuilder::new().mode(0o755).create(at).map_err(failed)?;
    fs::set_permissions(at, Permissions::from_mode(0o755)).map_err(failed)
}

fn create_file(at: &Path, permission: Permission) -> Result<File, DebError> {
    let failed = |source| DebError::Write { path: at.to_owned(), source };
    let mode = permission.mode();
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(at)
        .map_err(failed)?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    Ok(file)
}
