//! A file system object in memory, for small trees and for tests.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use super::{NarEvent, NarReader, NarWriter};
use crate::error::{Error, Result};

/// A regular file, directory or symbolic link, with the executable bit and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fso {
    /// A regular file.
    File {
        /// May it be executed?
        executable: bool,
        /// Its contents.
        contents: Vec<u8>,
    },
    /// A directory: entries by name.
    Directory(BTreeMap<Vec<u8>, Self>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
}

/// A directory's entries by name.
type Entries = BTreeMap<Vec<u8>, Fso>;

impl Fso {
    /// A file that is not executable.
    pub fn file(contents: impl Into<Vec<u8>>) -> Self {
        Self::File { executable: false, contents: contents.into() }
    }

    /// An executable file.
    pub fn program(contents: impl Into<Vec<u8>>) -> Self {
        Self::File { executable: true, contents: contents.into() }
    }

    /// A directory of entries.
    pub fn directory<N: Into<Vec<u8>>>(
        entries: impl IntoIterator<Item = (N, Self)>,
    ) -> Self {
        Self::Directory(
            entries.into_iter().map(|(name, node)| (name.into(), node)).collect(),
        )
    }

    /// Serialises the tree.
    pub fn to_nar(&self) -> Result<Vec<u8>> {
        let mut writer = NarWriter::new(Vec::new())?;
        self.write(&mut writer, b"")?;
        writer.finish()
    }

    /// Writes the tree as the node `name` of an archive.
    pub fn write<W: Write>(&self, writer: &mut NarWriter<W>, name: &[u8]) -> Result<()> {
        match self {
            Self::File { executable, contents } => {
                let (executable, size) = (*executable, contents.len() as u64);
                writer.write_event(NarEvent::File { name, executable, size })?;
                writer.write_contents(contents)
            }
            Self::Symlink(target) => {
                writer.write_event(NarEvent::Symlink { name, target })
            }
            Self::Directory(entries) => {
                writer.write_event(NarEvent::Directory { name })?;
                for (name, node) in entries {
                    node.write(writer, name)?;
                }
                writer.write_event(NarEvent::EndDirectory)
            }
        }
    }

    /// Reads a whole archive into memory.
    pub fn from_nar(source: impl BufRead) -> Result<Self> {
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
                    NarEvent::File { name, executable, .. } => {
                        let name = name.to_vec();
                        let mut contents = Vec::new();
                        reader.write_contents_to(&mut contents)?;
                        (name, Self::File { executable, contents })
                    }
                };
            match open.last_mut() {
                None => return Ok(node),
                Some((_, entries)) => drop(entries.insert(name, node)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nar::{MAX_DEPTH, copy_nar};
    use proptest::prelude::*;

    fn sample() -> Fso {
        Fso::directory([
            ("bin", Fso::directory([("sh", Fso::program("#!"))])),
            ("empty", Fso::file("")),
            ("link", Fso::Symlink(b"bin/sh".to_vec())),
        ])
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn strings(texts: &[&str]) -> Vec<u8> {
        texts.iter().flat_map(|text| string(text.as_bytes())).collect()
    }

    #[test]
    fn a_file_has_the_bytes_of_the_specification() {
        let wanted = strings(&[
            "nix-archive-1",
            "(",
            "type",
            "regular",
            "executable",
            "",
            "contents",
            "hello",
            ")",
        ]);
        assert_eq!(Fso::program("hello").to_nar().unwrap(), wanted);
    }

    #[test]
    fn archives_round_trip() {
        let nar = sample().to_nar().unwrap();
        assert_eq!(Fso::from_nar(nar.as_slice()).unwrap(), sample());
        let mut copy = Vec::new();
        copy_nar(nar.as_slice(), &mut copy).unwrap();
        assert_eq!(copy, nar);
    }

    #[test]
    fn the_reader_stops_at_the_end() {
        let mut nar = sample().to_nar().unwrap();
        nar.extend_from_slice(b"more");
        let mut reader = NarReader::new(nar.as_slice());
        while reader.next_event().unwrap().is_some() {}
        assert_eq!(reader.into_inner(), b"more");
    }

    fn error_of_entries(names: &[&str]) -> String {
        let mut nar = strings(&["nix-archive-1", "(", "type", "directory"]);
        for name in names {
            nar.extend(strings(&["entry", "(", "name", name, "node"]));
            nar.extend(strings(&["(", "type", "symlink", "target", "x", ")", ")"]));
        }
        nar.extend(string(b")"));
        Fso::from_nar(nar.as_slice()).unwrap_err().to_string()
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", ".", "..", "a/b", "/", "a\0b"] {
            let error = error_of_entries(&[name]);
            assert_eq!(
                error,
                format!("bad archive: NAR contains invalid file name '{name}'")
            );
        }
        for names in [["b", "a"], ["a", "a"]] {
            assert_eq!(
                error_of_entries(&names),
                "bad archive: NAR directory is not sorted"
            );
        }
        assert_eq!(
            error_of_entries(&[&"a".repeat(256)]),
            "bad archive: string is too long"
        );
    }

    #[test]
    fn depth_is_limited_on_both_ways() {
        let nested = |depth| {
            (0..depth).fold(Fso::file("x"), |node, _| Fso::directory([("d", node)]))
        };
        let nar = nested(MAX_DEPTH - 1).to_nar().unwrap();
        assert!(Fso::from_nar(nar.as_slice()).is_ok());
        assert!(matches!(nested(MAX_DEPTH).to_nar(), Err(Error::NarDepth { .. })));
        let mut nar = strings(&["nix-archive-1"]);
        for _ in 0..100 {
            nar.extend(strings(&[
                "(",
                "type",
                "directory",
                "entry",
                "(",
                "name",
                "d",
                "node",
            ]));
        }
        let error = Fso::from_nar(nar.as_slice()).unwrap_err().to_string();
        assert!(error.contains("maximum depth of 64"), "{error}");
    }

    #[test]
    fn truncation_and_padding_are_noticed() {
        let nar = sample().to_nar().unwrap();
        for len in 0..nar.len() {
            assert!(Fso::from_nar(&nar[..len]).is_err(), "{len}");
        }
        let mut nar = Fso::file("abc").to_nar().unwrap();
        let at = nar.windows(3).position(|w| w == b"abc").unwrap();
        nar[at + 5] = 1;
        let error = Fso::from_nar(nar.as_slice()).unwrap_err().to_string();
        assert_eq!(error, "bad archive: non-zero padding");
        let error = Fso::from_nar(&b"xx"[..]).unwrap_err().to_string();
        assert_eq!(error, "input doesn't look like a Nix archive");
    }

    #[test]
    fn an_announced_size_allocates_nothing() {
        let mut nar = strings(&["nix-archive-1", "(", "type", "regular", "contents"]);
        nar.extend((1u64 << 60).to_le_bytes());
        assert!(Fso::from_nar(nar.as_slice()).is_err());
        let len = nar.len();
        nar[len - 8..].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = Fso::from_nar(nar.as_slice()).unwrap_err().to_string();
        assert_eq!(error, "bad archive: file is too large");
    }

    #[test]
    fn the_writer_refuses_misuse() {
        let error = |events: &[NarEvent<'_>], contents: &[u8]| {
            let mut writer = NarWriter::new(Vec::new()).unwrap();
            let mut run = || {
                events.iter().try_for_each(|event| writer.write_event(*event))?;
                writer.write_contents(contents)
            };
            match run() {
                Err(error) => error.to_string(),
                Ok(()) => writer.finish().unwrap_err().to_string(),
            }
        };
        let file = NarEvent::File { name: b"", executable: false, size: 3 };
        assert!(error(&[file], b"ab").contains("shorter"));
        assert!(error(&[file], b"abcd").contains("longer"));
        assert!(error(&[], b"").contains("incomplete"));
        let root = NarEvent::Directory { name: b"" };
        assert!(error(&[root, root], b"").contains("invalid file name"));
        let entry = NarEvent::Symlink { name: b"a", target: b"x" };
        assert!(error(&[root, entry, entry], b"").contains("not sorted"));
    }

    fn tree() -> impl Strategy<Value = Fso> {
        let leaf = prop_oneof![
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(executable, contents)| Fso::File { executable, contents }),
            "[a-z/.]{1,20}".prop_map(|target| Fso::Symlink(target.into_bytes())),
        ];
        leaf.prop_recursive(4, 32, 6, |node| {
            proptest::collection::btree_map("[a-zA-Z0-9 ]{1,9}", node, 0..6)
                .prop_map(Fso::directory)
        })
    }

    proptest! {
        #[test]
        fn any_tree_round_trips(tree in tree()) {
            let nar = tree.to_nar().unwrap();
            prop_assert_eq!(nar.len() % 8, 0);
            // A buffer of three bytes exercises every boundary.
            let slow = std::io::BufReader::with_capacity(3, nar.as_slice());
            prop_assert_eq!(Fso::from_nar(slow).unwrap(), tree);
        }

        #[test]
        fn damaged_archives_never_panic(tree in tree(), at in any::<usize>(), byte in any::<u8>()) {
            let mut nar = tree.to_nar().unwrap();
            let at = at % nar.len();
            nar[at] = byte;
            let _ = Fso::from_nar(nar.as_slice());
        }
    }
}
