//! Texts and derivations that an evaluation has made and that are not in the store yet.
//!
//! An evaluation makes thousands of derivations and reads few of them again: of all of corepkgs they are 80 MB. So
//! what is more than [`KEPT_BYTES`] goes to a temporary file without a name. Where none can be made, or written,
//! everything stays in memory.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use picnix_store_core::StorePath;
use rustc_hash::FxBuildHasher;

/// So many bytes of texts are kept in memory.
const KEPT_BYTES: usize = 2 * 1024 * 1024;
/// So many bytes are written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// Texts by the paths that they will have.
#[derive(Default)]
pub(crate) struct Texts {
    known: HashMap<StorePath, Text, FxBuildHasher>,
    kept_bytes: usize,
    file: Option<Spilled>,
    cannot_spill: bool,
}

struct Text {
    contents: Contents,
    /// What it refers to; none for a derivation, whose references are parsed out of it when somebody asks.
    references: Option<BTreeSet<StorePath>>,
}

enum Contents {
    Kept(Box<[u8]>),
    /// Bytes of the file: where they begin and how many they are.
    Spilled(u64, usize),
}

/// A temporary file, and what is still to be written to it.
struct Spilled {
    file: File,
    written: u64,
    tail: Vec<u8>,
}

impl Texts {
    /// Adds a text, if there is none of that path. `references` is none for a derivation.
    pub(crate) fn add(
        &mut self,
        path: StorePath,
        contents: Cow<'_, [u8]>,
        references: Option<BTreeSet<StorePath>>,
    ) {
        if self.known.contains_key(&path) {
            return;
        }
        let contents = match self.spill(&contents) {
            Some(spilled) => spilled,
            None => {
                self.kept_bytes += contents.len();
                Contents::Kept(contents.into_owned().into_boxed_slice())
            }
        };
        self.known.insert(path, Text { contents, references });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether there is one of a path.
    pub(crate) fn contains(&self, path: &StorePath) -> bool {
        self.known.contains_key(path)
    }

    /// The paths, in their order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &StorePath> {
        let mut paths: Vec<_> = self.known.keys().collect();
        paths.sort_unstable();
        paths.into_iter()
    }

    /// The text of a path; none if it is not known.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn contents(&self, path: &StorePath) -> io::Result<Option<Cow<'_, [u8]>>> {
        let Some(text) = self.known.get(path) else { return Ok(None) };
        match &text.contents {
            Contents::Kept(contents) => Ok(Some(Cow::Borrowed(contents))),
            Contents::Spilled(at, len) => match &self.file {
                Some(file) => file.read(*at, *len).map(Some),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// What the text of a path refers to; none if it is a derivation or not known.
    pub(crate) fn references(&self, path: &StorePath) -> Option<&BTreeSet<StorePath>> {
        self.known.get(path)?.references.as_ref()
    }

    /// Puts a text into a file, if it is time for that and it can be done.
    fn spill(&mut self, contents: &[u8]) -> Option<Contents> {
        if self.cannot_spill || self.kept_bytes + contents.len() <= KEPT_BYTES {
            return None;
        }
        if self.file.is_none() {
            let Ok(file) = tempfile::tempfile() else {
                self.cannot_spill = true;
                return None;
            };
            self.file = Some(Spilled { file, written: 0, tail: Vec::new() });
        }
        let spilled = self.file.as_mut()?;
        let at = spilled.written + spilled.tail.len() as u64;
        spilled.tail.extend_from_slice(contents);
        if spilled.tail.len() >= WRITE_BYTES && spilled.write().is_err() {
            // What could not be written stays in the tail, and what comes later in memory.
            self.cannot_spill = true;
        }
        Some(Contents::Spilled(at, contents.len()))
    }
}

impl Spilled {
    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.tail, self.written)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    fn read(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        // A text is written as a whole.
        if let Some(offset) = at.checked_sub(self.written) {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let tail = self.tail.get(start..).and_then(|rest| rest.get(..len));
            return tail.map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        let mut contents = vec![0; len];
        self.file.read_exact_at(&mut contents, at)?;
        Ok(Cow::Owned(contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: usize) -> StorePath {
        StorePath::parse(format!("{number:032}-text").as_bytes()).unwrap()
    }

    fn text(number: usize) -> Vec<u8> {
        format!("{number} ").into_bytes().repeat(10_000)
    }

    fn check(texts: &Texts, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let contents = texts.contents(&path(number)).unwrap().unwrap();
            assert!(*contents == text(number), "{number}");
        }
    }

    #[test]
    fn texts_come_back_from_memory_and_from_files() {
        let mut texts = Texts::default();
        for number in 0..1002 {
            texts.add(path(number), text(number).into(), None);
        }
        check(&texts, 0..1002);
        assert!(texts.kept_bytes <= KEPT_BYTES);
        let last = texts.file.as_ref().unwrap();
        assert!(last.written > 0 && !last.tail.is_empty(), "both ways are tested");
    }

    #[test]
    fn what_cannot_be_written_stays_in_memory() {
        let mut texts = Texts::default();
        for number in 0..1000 {
            texts.add(path(number), text(number).into(), None);
        }
        let spilled = texts.file.as_mut().unwrap();
        spilled.file = File::open("/dev/null").unwrap();
        spilled.written = 0;
        spilled.tail.clear();
        for number in 1000..1100 {
            texts.add(path(number), text(number).into(), None);
        }
        assert!(texts.cannot_spill);
        let start = texts.paths().position(|known| *known == path(1000)).unwrap();
        check(&texts, start..1100);
    }
}
