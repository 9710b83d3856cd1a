//! The index of a NAR: what is in it and where, as Nix's `.ls` files in binary caches have it.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Serialize, Serializer};

use super::{NarEvent, NarReader};
use crate::error::{Error, Result, show};

/// A node of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NarListing {
    /// A regular file.
    File {
        /// May it be executed?
        executable: bool,
        /// The length of its contents in bytes.
        size: u64,
        /// Where the contents start in the archive.
        nar_offset: u64,
    },
    /// A directory: entries by name.
    Directory(BTreeMap<Vec<u8>, Self>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
}

/// A directory's entries by name.
type Entries = BTreeMap<Vec<u8>, NarListing>;

impl NarListing {
    /// Reads an archive and keeps its index.
    pub fn read(source: impl BufRead) -> Result<Self> {
        let mut reader = NarReader::new(source);
        let mut open: Vec<(Vec<u8>, Entries)> = Vec::new();
        loop {
            let event = reader.next_event()?;
            let (name, node) =
                match event.ok_or_else(|| Error::Nar("no root".to_owned()))? {
                    NarEvent::Directory { name } => {
                        open.push((name.to_vec(), BTreeMap::new()));
                        continue;
                    }
                    NarEvent::EndDirectory => {
                        let (name, entries) = open.pop().expect("a directory is open");
                        (name, Self::Directory(entries))
                    }
                    NarEvent::Symlink { name, target } => {
                        (name.to_vec(), Self::Symlink(target.to_vec()))
                    }
                    NarEvent::File { name, executable, size } => {
                        let name = name.to_vec();
                        let nar_offset = reader.contents_offset();
                        (name, Self::File { executable, size, nar_offset })
                    }
                };
            match open.last_mut() {
                Some((_, entries)) => drop(entries.insert(name, node)),
                None => {
                    // The contents of a root that is a file are still to be checked.
                    reader.copy_contents(|_| Ok(()))?;
                    return Ok(node);
                }
            }
        }
    }

    /// The text of a `.ls` file.
    pub fn to_json(&self) -> String {
        let value = serde_json::json!({ "root": self, "version": 1 });
        value.to_string()
    }

    /// Finds the node at a path below this one, of components joined with `/`.
    pub fn get(&self, path: &[u8]) -> Option<&Self> {
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).try_fold(
            self,
            |node, part| match node {
                Self::Directory(entries) => entries.get(part),
                Self::File { .. } | Self::Symlink(_) => None,
            },
        )
    }
}

impl Serialize for NarListing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde_json::json;
        let value = match self {
            Self::File { executable, size, nar_offset } => {
                let mut value =
                    json!({ "type": "regular", "size": size, "narOffset": nar_offset });
                if *executable {
                    value["executable"] = true.into();
                }
                value
            }
            Self::Directory(entries) => {
                let entries: BTreeMap<_, _> =
                    entries.iter().map(|(name, node)| (show(name), node)).collect();
                json!({ "type": "directory", "entries": entries })
            }
            Self::Symlink(target) => json!({ "type": "symlink", "target": show(target) }),
        };
        value.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nar::Fso;

    #[test]
    fn offsets_point_at_the_contents() {
        let tree = Fso::directory([
            ("a", Fso::program("contents")),
            ("b", Fso::directory([("c", Fso::file(""))])),
            ("l", Fso::Symlink(b"a".to_vec())),
        ]);
        let nar = tree.to_nar().unwrap();
        let listing = NarListing::read(nar.as_slice()).unwrap();
        let Some(NarListing::File { executable: true, size: 8, nar_offset }) =
            listing.get(b"/a")
        else {
            panic!("{listing:?}");
        };
        let at = usize::try_from(*nar_offset).unwrap();
        assert_eq!(&nar[at..at + 8], b"contents");
        assert!(matches!(listing.get(b"b/c"), Some(NarListing::File { size: 0, .. })));
        assert_eq!(listing.get(b"a/x"), None);
        assert!(listing.to_json().contains(r#""l":{"target":"a","type":"symlink"}"#));
    }
}
