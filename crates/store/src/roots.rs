//! GC roots: links that keep objects alive.
//!
//! A root is a link in `gcroots` into the store, or a link anywhere whose path a link in
//! `gcroots/auto` holds (an *indirect* root, such as `./result`): when the user deletes his link,
//! the root is gone. Links may name an object by its logical path or by where it really lies.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use picnix_store_core::{Hash, HashAlgo, HashFormat, StorePath};

use crate::error::{Context, Error, Result};
use crate::session::{names_in, remove_if_there};
use crate::store::Store;

/// The deepest nesting of folders in `gcroots`.
const MAX_DEPTH: usize = 16;

/// Something that keeps a path alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The path.
    pub path: StorePath,
    /// What keeps it: the path of a link, or a running process.
    pub keeper: String,
}

impl Store {
    /// Makes a link to a valid path and a root of it. Returns where the link is.
    ///
    /// A link into a store that stands there is replaced, anything else is not touched. The link
    /// points at where the object really lies, so that it can be followed.
    pub fn add_root(&self, link: &Path, path: &StorePath) -> Result<PathBuf> {
        self.require_writable()?;
        self.add_temp_roots([path])?;
        if !self.is_valid(path)? {
            return Err(self.not_valid(path));
        }
        let link =
            std::path::absolute(link).context("find the absolute path of", link)?;
        self.check_replaceable(&link)?;
        // The indirection first: killed in between, it points at nothing and is cleared away.
        self.add_indirect_root(&link)?;
        replace_link(&link, &self.real_path(path))?;
        Ok(link)
    }

    /// Makes a root of a link that somebody else made or will make.
    pub fn add_indirect_root(&self, link: &Path) -> Result<()> {
        self.require_writable()?;
        let link =
            std::path::absolute(link).context("find the absolute path of", link)?;
        if link.starts_with(&self.layout.roots) {
            return Ok(());
        }
        let hash = Hash::of(HashAlgo::Sha1, link.as_os_str().as_bytes());
        let name = hash.print(HashFormat::Nix32);
        replace_link(&self.layout.indirect_roots.join(name), &link)
    }

    fn check_replaceable(&self, link: &Path) -> Result<()> {
        match std::fs::symlink_metadata(link) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context("examine", link),
            Ok(metadata) if metadata.is_symlink() => {
                let target = std::fs::read_link(link).context("read the link", link)?;
                let is_ours = target.starts_with(&self.layout.objects)
                    || target.starts_with(self.store_dir().as_str());
                if is_ours { Ok(()) } else { Err(Error::RootOccupied(link.to_owned())) }
            }
            Ok(_) => Err(Error::RootOccupied(link.to_owned())),
        }
    }

    /// All links that keep valid paths alive, without those of running processes.
    pub fn roots(&self) -> Result<Vec<Root>> {
        let mut roots = Vec::new();
        self.roots_in(&self.layout.roots, 0, &mut roots)?;
        roots.retain(|root| self.is_valid(&root.path).unwrap_or(true));
        roots.sort_unstable();
        roots.dedup();
        Ok(roots)
    }

    /// Collects the links in a folder of roots.
    fn roots_in(&self, folder: &Path, depth: usize, roots: &mut Vec<Root>) -> Result<()> {
        for name in names_in(folder)? {
            let path = folder.join(name);
            let kind = match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.context("examine", &path)?.file_type(),
            };
            if kind.is_dir() && depth < MAX_DEPTH {
                self.roots_in(&path, depth + 1, roots)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).context("read the link", &path)?;
                match self.object_of(&target) {
                    Some(object) => roots.push(root(object, &path)),
                    None => roots.extend(self.indirect_root(folder, &target)),
                }
            }
        }
        Ok(())
    }

    /// Follows an indirect root. A link that cannot be read just now (another user's home, a medium
    /// that is not mounted) is no reason to fail, and is not cleared away.
    fn indirect_root(&self, folder: &Path, target: &Path) -> Option<Root> {
        let link = folder.join(target);
        let object = self.object_of(&std::fs::read_link(&link).ok()?)?;
        Some(root(object, &link))
    }

    /// Removes indirections whose links are gone.
    pub(crate) fn clear_stale_roots(&self) -> Result<()> {
        for name in names_in(&self.layout.indirect_roots)? {
            let path = self.layout.indirect_roots.join(name);
            let Ok(link) = std::fs::read_link(&path) else { continue };
            let gone = matches!(
                std::fs::symlink_metadata(&link),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound
            );
            if gone {
                std::fs::remove_file(&path).context("remove", &path)?;
            }
        }
        Ok(())
    }

    /// The object at or above a path, logical or real.
    pub(crate) fn object_of(&self, target: &Path) -> Option<StorePath> {
        let below = target
            .strip_prefix(&self.layout.objects)
            .or_else(|_| target.strip_prefix(self.store_dir().as_str()))
            .ok()?;
        let name = below.components().next()?;
        StorePath::parse(name.as_os_str().as_bytes()).ok()
    }
}

fn root(path: StorePath, link: &Path) -> Root {
    Root { path, keeper: link.to_string_lossy().into_owned() }
}

/// Makes or replaces a link in one step.
pub(crate) fn replace_link(link: &Path, target: &Path) -> Result<()> {
    let mut temp = link.as_os_str().to_owned();
    temp.push(format!(".picnix-{}", std::process::id()));
    let temp = PathBuf::from(temp);
    remove_if_there(&temp)?;
    std::os::unix::fs::symlink(target, &temp).context("create the link", link)?;
    std::fs::rename(&temp, link).context("create the link", link)
}
