//! Finding and rewriting store path digests in streams.
//!
//! A store object refers to another when the other's digest, 32 characters of base 32, occurs in
//! its NAR. [`RefScanner`] finds them; [`Rewriter`] replaces them, which is how objects that refer
//! to themselves are hashed *modulo* their own digest and how outputs built under a temporary
//! digest get their final one.
//!
//! The search looks at the last byte of each window of 32 first: a byte outside the alphabet rules
//! out every window that holds it, so that most of a binary is skipped in steps of up to 32 bytes
//! (Nix's `RefScanSink` does the same). A window of digits only is compared through a table of
//! first characters, which rules out nearly all hexadecimal and base 64 text.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::encoding::{NIX32_VALUES, NO_DIGIT};
use crate::hash::{Hash, HashAlgo, HashSink};
use crate::store_path::{DIGEST_CHARS, StorePath};

/// A digest as it stands in files.
type Digest = [u8; DIGEST_CHARS];

/// The number of leading characters that the table knows, each of 5 bits.
const PREFIX_CHARS: usize = 3;

/// A set of digests to search for.
#[derive(Clone, Debug)]
struct Digests {
    sorted: Vec<Digest>,
    /// One bit for each possible prefix.
    prefixes: Vec<u64>,
}

impl Digests {
    fn new(digests: impl IntoIterator<Item = Digest>) -> Self {
        let mut sorted: Vec<Digest> = digests.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut prefixes = vec![0; (1 << (5 * PREFIX_CHARS)) / 64];
        for digest in &sorted {
            let prefix = prefix(digest);
            prefixes[prefix / 64] |= 1 << (prefix % 64);
        }
        Self { sorted, prefixes }
    }

    /// Calls `found` with the offset and the index of each digest in `bytes`, in order.
    fn search(&self, bytes: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.sorted.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + DIGEST_CHARS) {
            let no_digit = |byte: &u8| NIX32_VALUES[usize::from(*byte)] == NO_DIGIT;
            if let Some(last) = window.iter().rposition(no_digit) {
                at += last + 1;
                continue;
            }
            // Here a run of digits starts that is at least one window long.
            let run = &bytes[at..];
            let len = run.iter().position(no_digit).unwrap_or(run.len());
            for start in 0..=len - DIGEST_CHARS {
                let window = &run[start..start + DIGEST_CHARS];
                if let Some(index) = self.index_of(window) {
                    found(at + start, index);
                }
            }
            at += len + 1;
        }
    }

    fn index_of(&self, window: &[u8]) -> Option<usize> {
        let prefix = prefix(window);
        if self.prefixes[prefix / 64] & 1 << (prefix % 64) == 0 {
            return None;
        }
        self.sorted.binary_search_by(|digest| digest.as_slice().cmp(window)).ok()
    }
}

fn prefix(digest: &[u8]) -> usize {
    digest[..PREFIX_CHARS].iter().fold(0, |prefix, byte| {
        prefix << 5 | usize::from(NIX32_VALUES[usize::from(*byte)] & 31)
    })
}

/// Finds which of some store paths occur in the bytes written to it.
#[derive(Clone, Debug)]
pub struct RefScanner {
    paths: Vec<StorePath>,
    digests: Digests,
    seen: Vec<bool>,
    /// The end of what was written, short of a whole digest.
    tail: Vec<u8>,
}

impl RefScanner {
    /// Starts a scan for these paths.
    pub fn new(paths: impl IntoIterator<Item = StorePath>) -> Self {
        let mut paths: Vec<StorePath> = paths.into_iter().collect();
        paths.sort_unstable();
        paths.dedup();
        let digests = Digests::new(paths.iter().map(StorePath::digest_text));
        let seen = vec![false; digests.sorted.len()];
        Self { paths, digests, seen, tail: Vec::with_capacity(2 * DIGEST_CHARS) }
    }

    /// Scans more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        const KEEP: usize = DIGEST_CHARS - 1;
        let Self { digests, seen, tail, .. } = self;
        if !tail.is_empty() {
            // What spans the border: the kept end and as much of the start.
            tail.extend_from_slice(&bytes[..bytes.len().min(KEEP)]);
            digests.search(tail, |_, index| seen[index] = true);
        }
        digests.search(bytes, |_, index| seen[index] = true);
        if bytes.len() >= KEEP {
            tail.clear();
            tail.extend_from_slice(&bytes[bytes.len() - KEEP..]);
        } else if tail.is_empty() {
            tail.extend_from_slice(bytes);
        } else {
            tail.drain(..tail.len().saturating_sub(KEEP));
        }
    }

    /// Ends the scan: the paths that occurred.
    pub fn finish(self) -> BTreeSet<StorePath> {
        let Self { paths, digests, seen, .. } = self;
        let occurred = |path: &StorePath| {
            let digest = path.digest_text();
            digests.sorted.binary_search(&digest).is_ok_and(|index| seen[index])
        };
        paths.into_iter().filter(occurred).collect()
    }
}

impl Write for RefScanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces digests in what is written through it.
///
/// [`Rewriter::finish`] must be called, since the end of the stream is held back.
#[derive(Debug)]
pub struct Rewriter<W> {
    digests: Digests,
    /// What replaces the digest of the same index.
    replacements: Vec<Digest>,
    sink: W,
    held: Vec<u8>,
}

impl<W: Write> Rewriter<W> {
    /// Starts rewriting; each pair is a digest and what replaces it.
    pub fn new(pairs: impl IntoIterator<Item = (Digest, Digest)>, sink: W) -> Self {
        let mut pairs: Vec<(Digest, Digest)> = pairs.into_iter().collect();
        pairs.sort_unstable();
        pairs.dedup_by_key(|(from, _)| *from);
        let digests = Digests::new(pairs.iter().map(|(from, _)| *from));
        let replacements = pairs.into_iter().map(|(_, to)| to).collect();
        Self { digests, replacements, sink, held: Vec::new() }
    }

    /// Writes what is held back and returns the sink.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.write_all(&self.held)?;
        Ok(self.sink)
    }
}

impl<W: Write> Write for Rewriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let mut hits = Vec::new();
        self.digests.search(&self.held, |at, index| hits.push((at, index)));
        let mut free_from = 0;
        for (at, index) in hits {
            if at >= free_from {
                free_from = at + DIGEST_CHARS;
                self.held[at..free_from].copy_from_slice(&self.replacements[index]);
            }
        }
        let keep_from = self.held.len().saturating_sub(DIGEST_CHARS - 1).max(free_from);
        self.sink.write_all(&self.held[..keep_from])?;
        self.held.drain(..keep_from);
        Ok(bytes.len())
    }

    /// Flushes the sink; what is held back stays so.
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Hashes a stream with every occurrence of a digest replaced by zeros: the hash of an object
/// *modulo* its references to itself.
pub struct HashModuloSink(Rewriter<HashSink>);

impl HashModuloSink {
    /// Starts hashing modulo the digest of `own`.
    pub fn new(algo: HashAlgo, own: &StorePath) -> Self {
        let pair = (own.digest_text(), [0; DIGEST_CHARS]);
        Self(Rewriter::new([pair], HashSink::new(algo)))
    }

    /// Ends the stream: its hash and its length.
    pub fn finish(self) -> (Hash, u64) {
        self.0.finish().expect("a hasher takes every byte").finish()
    }
}

impl Write for HashModuloSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces digests in a text in memory.
pub fn rewrite_digests(text: &[u8], pairs: &[(Digest, Digest)]) -> Vec<u8> {
    let mut rewriter = Rewriter::new(pairs.iter().copied(), Vec::new());
    rewriter.write_all(text).expect("a vector takes every byte");
    rewriter.finish().expect("a vector takes every byte")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(fill: u8, name: &str) -> StorePath {
        StorePath::from_parts([fill; 20], name.as_bytes()).unwrap()
    }

    fn scan(chunks: &[&[u8]], paths: &[StorePath]) -> Vec<StorePath> {
        let mut scanner = RefScanner::new(paths.iter().cloned());
        chunks.iter().for_each(|chunk| scanner.update(chunk));
        scanner.finish().into_iter().collect()
    }

    #[test]
    fn two_paths_of_one_digest_are_both_found() {
        let (a, b) = (path(7, "a"), path(7, "b"));
        let text = a.digest_text();
        assert_eq!(scan(&[&text], &[a.clone(), b.clone()]), [a, b]);
    }

    #[test]
    fn a_digest_is_found_across_any_border() {
        let wanted = path(0x5a, "x");
        let text = [b"..".as_slice(), &wanted.digest_text(), b"-x"].concat();
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            assert_eq!(
                scan(&[left, right], std::slice::from_ref(&wanted)).len(),
                1,
                "{at}"
            );
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(scan(&bytes, std::slice::from_ref(&wanted)).len(), 1);
        assert!(scan(&[&text], &[path(1, "x")]).is_empty());
    }

    #[test]
    fn rewriting_leaves_the_length() {
        let (from, to) = (path(1, "a").digest_text(), path(2, "a").digest_text());
        let text = [b"x".as_slice(), &from, &from, b"tail"].concat();
        let wanted = [b"x".as_slice(), &to, &to, b"tail"].concat();
        assert_eq!(rewrite_digests(&text, &[(from, to)]), wanted);
    }

    #[test]
    fn the_hash_modulo_knows_no_own_digest() {
        let hash = |own: &StorePath, text: &[u8]| {
            let mut sink = HashModuloSink::new(HashAlgo::Sha256, own);
            sink.write_all(text).unwrap();
            sink.finish()
        };
        let (a, b) = (path(1, "a"), path(2, "a"));
        let text = |own: &StorePath| format!("ref /nix/store/{own}/bin").into_bytes();
        assert_eq!(hash(&a, &text(&a)), hash(&b, &text(&b)));
        assert_ne!(hash(&a, &text(&a)), hash(&a, &text(&b)));
    }

    fn naive(text: &[u8], digest: &Digest) -> bool {
        text.windows(DIGEST_CHARS).any(|window| window == digest)
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_search(
            text in proptest::collection::vec(prop_oneof![
                8 => "[0-9a-z]{1,40}".prop_map(String::into_bytes),
                1 => proptest::collection::vec(any::<u8>(), 1..9),
                3 => (1u8..4).prop_map(|fill| path(fill, "x").digest_text().to_vec()),
            ], 0..12),
            size in 1usize..90,
        ) {
            let text = text.concat();
            let paths: Vec<StorePath> = (1..4).map(|fill| path(fill, "x")).collect();
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let wanted: BTreeSet<StorePath> = paths.iter()
                .filter(|path| naive(&text, &path.digest_text())).cloned().collect();
            let found: BTreeSet<StorePath> = scan(&chunks, &paths).into_iter().collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn rewriting_does_not_depend_on_the_chunks(
            text in "([0-9a-f]{0,40}|A){0,8}", size in 1usize..90, at in 0usize..60,
        ) {
            let (from, to) = (path(3, "x").digest_text(), path(4, "x").digest_text());
            let mut text = text.into_bytes();
            let at = at.min(text.len());
            text.splice(at..at, from);
            let mut rewriter = Rewriter::new([(from, to)], Vec::new());
            for chunk in text.chunks(size) {
                rewriter.write_all(chunk).unwrap();
            }
            prop_assert_eq!(rewriter.finish().unwrap(), rewrite_digests(&text, &[(from, to)]));
            prop_assert!(!naive(&rewrite_digests(&text, &[(from, to)]), &from));
        }
    }
}
