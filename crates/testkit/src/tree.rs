//! A file system in memory.

use std::collections::BTreeMap;

use picnix_eval::world::{FileKind, WorldError, WorldResult};
use picnix_store_core::nar::Fso;

/// The most symbolic links that one look-up follows.
const MAX_LINKS: usize = 64;

/// A file system: the root directory and all below it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Fso,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: Fso::Directory(BTreeMap::new()) }
    }
}

impl Tree {
    /// Puts an object at an absolute path, whose directories are made.
    ///
    /// # Panics
    /// A part of the path before the last is no directory: a test that does this is wrong.
    #[expect(clippy::panic, reason = "a test world that is set up wrongly has no remedy")]
    pub fn insert(&mut self, path: &[u8], object: Fso) {
        let mut node = &mut self.root;
        for component in components(path) {
            let Fso::Directory(entries) = node else {
                panic!("'{}' leads through a file", String::from_utf8_lossy(path));
            };
            node = entries
                .entry(component.to_vec())
                .or_insert_with(|| Fso::Directory(BTreeMap::new()));
        }
        *node = object;
    }

    /// The object at a path; a symbolic link in the last component is not followed.
    ///
    /// # Errors
    /// Symbolic links form a cycle.
    pub fn get(&self, path: &[u8]) -> WorldResult<Option<&Fso>> {
        Ok(self.walk(path, false)?.map(|(_, node)| node))
    }

    /// The object at a path, all symbolic links followed.
    ///
    /// # Errors
    /// There is nothing, or symbolic links form a cycle.
    pub fn follow(&self, path: &[u8]) -> WorldResult<&Fso> {
        self.walk(path, true)?.map(|(_, node)| node).ok_or_else(|| missing(path))
    }

    fn walk(&self, path: &[u8], last: bool) -> WorldResult<Option<(Vec<u8>, &Fso)>> {
        let mut to_do: Vec<Vec<u8>> =
            components(path).rev().map(<[u8]>::to_vec).collect();
        let mut trail: Vec<(Vec<u8>, &Fso)> = Vec::new();
        let mut links = 0;
        while let Some(component) = to_do.pop() {
            match &*component {
                b"." => continue,
                b".." => {
                    trail.pop();
                    continue;
                }
                _ => {}
            }
            let parent = trail.last().map_or(&self.root, |(_, node)| *node);
            let Fso::Directory(entries) = parent else { return Ok(None) };
            let Some(node) = entries.get(&component) else { return Ok(None) };
            match node {
                Fso::Symlink(target) if last || !to_do.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        let path = String::from_utf8_lossy(path);
                        let text = format!("infinite symlink recursion in path '{path}'");
                        return Err(WorldError::new(text));
                    }
                    if target.starts_with(b"/") {
                        trail.clear();
                    }
                    to_do.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                node => trail.push((component, node)),
            }
        }
        Ok(Some(trail.pop().unwrap_or((Vec::new(), &self.root))))
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

/// What kind of file an object is.
pub(crate) fn kind(object: &Fso) -> FileKind {
    match object {
        Fso::File { .. } => FileKind::Regular,
        Fso::Directory(_) => FileKind::Directory,
        Fso::Symlink(_) => FileKind::Symlink,
    }
}

/// Nix's message about a path that is not there.
pub(crate) fn missing(path: &[u8]) -> WorldError {
    WorldError::new(format!("path '{}' does not exist", String::from_utf8_lossy(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed() {
        let mut tree = Tree::default();
        tree.insert(b"/a/b/file", Fso::file("x"));
        tree.insert(b"/a/up", Fso::Symlink(b"b/../b".to_vec()));
        tree.insert(b"/abs", Fso::Symlink(b"/a/up/file".to_vec()));
        tree.insert(b"/loop", Fso::Symlink(b"loop".to_vec()));
        assert_eq!(tree.follow(b"/abs").unwrap(), &Fso::file("x"));
        assert_eq!(tree.get(b"/a/up/file").unwrap(), Some(&Fso::file("x")));
        assert!(matches!(tree.get(b"/abs").unwrap(), Some(Fso::Symlink(_))));
        assert_eq!(tree.get(b"/a/b/file/x").unwrap(), None);
        assert_eq!(tree.get(b"/nothing").unwrap(), None);
        assert!(tree.follow(b"/loop").is_err());
        assert!(matches!(tree.follow(b"/").unwrap(), Fso::Directory(_)));
    }
}
