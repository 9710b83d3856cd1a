//! Store paths: a store object's name in the store, and how it is computed.
//!
//! A [`StorePath`] is a digest of 20 bytes and a name, without the store directory; a [`StoreDir`]
//! turns it into a path and back. How a path follows from what it names is specified in the Nix
//! manual ("Complete Store Path Calculation"): a *fingerprint* `type:hash:store-dir:name` is hashed
//! with SHA-256 and folded to 20 bytes.
//!
//! Store paths are ordered as their texts are, because sets of them are printed into derivations
//! and fingerprints. Base 32 prints the last byte first, so the digest is compared backwards.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::encoding::{
    NIX32_VALUES, NO_DIGIT, base16_digits, nix32_decode, nix32_digest,
};
use crate::error::{Error, Result, show, show_byte};
use crate::hash::{Hash, HashAlgo, HashFormat, Sha256};

/// The number of base 32 characters in a store path.
pub const DIGEST_CHARS: usize = 32;
/// The longest name: 255, the longest file name, less the digest, the dash and some slack for
/// temporary files' suffixes (Nix's `MaxPathLen`).
pub const MAX_NAME_LEN: usize = 211;
/// The output that most derivations have alone.
const OUT: &str = "out";
/// What the name of a store derivation ends in.
pub const DRV_SUFFIX: &str = ".drv";

/// Checks a store object's name by Nix's rules.
pub fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(Error::NameLength { name: show(name), max: MAX_NAME_LEN });
    }
    match name {
        b"." | b".." => return Err(Error::NameDots(show(name))),
        [b'.', b'-', ..] => {
            return Err(Error::NameComponent { name: show(name), component: "." });
        }
        [b'.', b'.', b'-', ..] => {
            return Err(Error::NameComponent { name: show(name), component: ".." });
        }
        _ => {}
    }
    match name.iter().find(|byte| !is_name_byte(**byte)) {
        None => Ok(()),
        Some(&byte) => {
            Err(Error::NameCharacter { name: show(name), character: show_byte(byte) })
        }
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'?' | b'=')
}

/// Checks a name and makes it text.
fn name_text(name: &[u8]) -> Result<&str> {
    check_name(name)?;
    Ok(std::str::from_utf8(name).expect("a checked name is ASCII"))
}

/// The name of a store object, without the store directory. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StorePath {
    digest: [u8; 20],
    name: Arc<str>,
}

impl StorePath {
    /// Joins a digest and a name.
    pub fn from_parts(digest: [u8; 20], name: &[u8]) -> Result<Self> {
        let name = name_text(name).map_err(|reason| Error::StorePathName {
            path: format!("{}-{}", show(&nix32_digest(&digest)), show(name)),
            reason: Box::new(reason),
        })?;
        Ok(Self { digest, name: name.into() })
    }

    /// Parses a base name, such as `…-hello-1.0`.
    pub fn parse(base_name: &[u8]) -> Result<Self> {
        if base_name.len() < DIGEST_CHARS + 1 {
            return Err(Error::StorePathShort(show(base_name)));
        }
        let (digest, rest) = base_name.split_at(DIGEST_CHARS);
        let digest = parse_digest(digest).ok_or_else(|| {
            let bad = digest.iter().find(|b| NIX32_VALUES[usize::from(**b)] == NO_DIGIT);
            Error::StorePathCharacter {
                path: show(base_name),
                character: show_byte(bad.copied().unwrap_or(b'?')),
            }
        })?;
        if rest[0] != b'-' {
            return Err(Error::StorePathDash(show(base_name)));
        }
        let name = name_text(&rest[1..]).map_err(|reason| Error::StorePathName {
            path: show(base_name),
            reason: Box::new(reason),
        })?;
        Ok(Self { digest, name: name.into() })
    }

    /// The raw digest.
    pub fn digest(&self) -> &[u8; 20] {
        &self.digest
    }

    /// The digest as it stands in the path: 32 characters of base 32.
    pub fn digest_text(&self) -> [u8; DIGEST_CHARS] {
        nix32_digest(&self.digest)
    }

    /// The name after the digest and the dash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is it a store derivation, by its name?
    pub fn is_derivation(&self) -> bool {
        self.name.ends_with(DRV_SUFFIX)
    }

    /// The name of the derivation in it: without `.drv`, which must be there.
    pub fn derivation_name(&self) -> Result<&str> {
        self.name
            .strip_suffix(DRV_SUFFIX)
            .ok_or_else(|| Error::NotDerivation(self.to_string()))
    }

    /// The digest as numbers that are ordered as its text is.
    fn order(&self) -> (u128, u32) {
        let [a, b, c, d, rest @ ..] = self.digest;
        (u128::from_le_bytes(rest), u32::from_le_bytes([a, b, c, d]))
    }

    /// Appends the base name to a text.
    pub fn push_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.digest_text());
        text.push(b'-');
        text.extend_from_slice(self.name.as_bytes());
    }
}

/// Parses the 32 characters of a digest part.
pub fn parse_digest(text: &[u8]) -> Option<[u8; 20]> {
    if text.len() != DIGEST_CHARS {
        return None;
    }
    nix32_decode(text).ok()?.try_into().ok()
}

impl fmt::Display for StorePath {
    /// Prints the base name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest_text();
        f.write_str(std::str::from_utf8(&digest).expect("base 32 digits are ASCII"))?;
        f.write_str("-")?;
        f.write_str(&self.name)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for StorePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order()).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for StorePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for StorePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a derivation's output, such as `out` or `dev`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(Arc<str>);

impl OutputName {
    /// Checks a name; the rules are those of store objects' names.
    pub fn parse(name: &[u8]) -> Result<Self> {
        if name == OUT.as_bytes() {
            return Ok(Self::out());
        }
        Ok(Self(name_text(name)?.into()))
    }

    /// The output `out`, which every derivation has unless it says otherwise.
    pub fn out() -> Self {
        static NAME: LazyLock<OutputName> = LazyLock::new(|| OutputName(OUT.into()));
        NAME.clone()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the output's store object: the derivation's name, and `-output` unless `out`.
    pub fn object_name(&self, drv_name: &str) -> String {
        if &*self.0 == OUT {
            drv_name.to_owned()
        } else {
            format!("{drv_name}-{}", self.0)
        }
    }
}

impl Borrow<str> for OutputName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for OutputName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What an object about to be named refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Other store objects.
    pub others: BTreeSet<StorePath>,
    /// Does it refer to itself?
    pub itself: bool,
}

impl References {
    /// No reference at all.
    pub fn none() -> Self {
        Self::default()
    }

    fn is_empty(&self) -> bool {
        self.others.is_empty() && !self.itself
    }
}

impl From<BTreeSet<StorePath>> for References {
    fn from(others: BTreeSet<StorePath>) -> Self {
        Self { others, itself: false }
    }
}

/// The store directory: where store objects believe they are, normally `/nix/store`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreDir(Arc<str>);

impl Default for StoreDir {
    fn default() -> Self {
        Self("/nix/store".into())
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StoreDir {
    /// Checks a store directory: absolute, without `.`, `..`, empty components or a slash at its end.
    pub fn parse(dir: &str) -> Result<Self> {
        let clean = dir.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
        });
        if clean { Ok(Self(dir.into())) } else { Err(Error::StoreDir(dir.to_owned())) }
    }

    /// The directory as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Prints the absolute path of a store object.
    pub fn print(&self, path: &StorePath) -> String {
        let mut text = Vec::with_capacity(self.len_of(path));
        self.push_path(path, &mut text);
        String::from_utf8(text).expect("directory, digits and names are text")
    }

    /// The number of bytes of the absolute path of a store object.
    fn len_of(&self, path: &StorePath) -> usize {
        self.0.len() + 1 + DIGEST_CHARS + 1 + path.name.len()
    }

    /// Appends the absolute path of a store object to a text.
    pub fn push_path(&self, path: &StorePath, text: &mut Vec<u8>) {
        text.extend_from_slice(self.0.as_bytes());
        text.push(b'/');
        path.push_to(text);
    }

    /// Parses the absolute path of a store object itself; `//`, `.` and `..` are resolved.
    pub fn parse_path(&self, path: &[u8]) -> Result<StorePath> {
        match self.split(path) {
            Some((base_name, b"")) => StorePath::parse(base_name),
            _ => self.parse_unclean(path),
        }
    }

    /// The slow half of [`StoreDir::parse_path`].
    fn parse_unclean(&self, path: &[u8]) -> Result<StorePath> {
        let clean = clean_path(path).ok_or_else(|| Error::NotInStore(show(path)))?;
        match self.split(&clean) {
            Some((base_name, b"")) => StorePath::parse(base_name),
            _ => Err(Error::NotInStore(show(&clean))),
        }
    }

    /// Splits a path at or below a store object into the object and the rest, which is empty or
    /// starts with a slash.
    pub fn parse_path_within<'a>(&self, path: &'a [u8]) -> Result<(StorePath, &'a [u8])> {
        let (base_name, rest) =
            self.split(path).ok_or_else(|| Error::NotInStore(show(path)))?;
        Ok((StorePath::parse(base_name)?, rest))
    }

    /// Splits a clean path below the directory into the first component and the rest.
    fn split<'a>(&self, path: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let below = path.strip_prefix(self.0.as_bytes())?.strip_prefix(b"/")?;
        let end = memchr::memchr(b'/', below).unwrap_or(below.len());
        (end > 0).then(|| below.split_at(end))
    }

    /// Makes a path from a type (such as `source` or `output:out`), a hash and a name.
    pub fn make_store_path(
        &self,
        kind: &[u8],
        hash: &Hash,
        name: &str,
    ) -> Result<StorePath> {
        let algo = hash.algo().name();
        let len = kind.len() + algo.len() + 2 * hash.digest().len() + 4;
        let mut fingerprint = Vec::with_capacity(len + self.0.len() + name.len());
        fingerprint.extend_from_slice(kind);
        fingerprint.push(b':');
        fingerprint.extend_from_slice(algo.as_bytes());
        fingerprint.push(b':');
        let digits = fingerprint.len();
        fingerprint.resize(digits + 2 * hash.digest().len(), 0);
        base16_digits(hash.digest(), &mut fingerprint[digits..]);
        for part in [&*self.0, name] {
            fingerprint.push(b':');
            fingerprint.extend_from_slice(part.as_bytes());
        }
        StorePath::from_parts(Sha256::of(&fingerprint).fold(), name.as_bytes())
    }

    /// The path of a derivation's input-addressed output.
    pub fn make_output_path(
        &self,
        output: &OutputName,
        hash_modulo: Sha256,
        drv_name: &str,
    ) -> Result<StorePath> {
        let kind = format!("output:{output}");
        let name = output.object_name(drv_name);
        self.make_store_path(kind.as_bytes(), &hash_modulo.into(), &name)
    }

    /// The path of a text object (`builtins.toFile`, a store derivation), by the hash of its text.
    pub fn make_text_path(
        &self,
        name: &str,
        text_hash: Sha256,
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let kind = self.kind_with_references("text", references);
        self.make_store_path(&kind, &text_hash.into(), name)
    }

    /// The path of a content-addressed object.
    ///
    /// Only a NAR hashed with SHA-256 and a text may have references, and only the former to
    /// itself; its hash is then one *modulo* the own digest (see the reference scanner).
    pub fn make_content_path(
        &self,
        name: &str,
        address: &ContentAddress,
        references: &References,
    ) -> Result<StorePath> {
        match (address.method, address.hash.algo()) {
            (ContentAddressMethod::Text, algo) => {
                if references.itself {
                    return Err(Error::TextSelfReference);
                }
                let hash =
                    address.hash.sha256().ok_or(Error::TextHashAlgo(algo.name()))?;
                self.make_text_path(name, hash, &references.others)
            }
            (ContentAddressMethod::Nar, HashAlgo::Sha256) => {
                let mut kind = self.kind_with_references("source", &references.others);
                if references.itself {
                    kind.extend_from_slice(b":self");
                }
                self.make_store_path(&kind, &address.hash, name)
            }
            (ContentAddressMethod::Flat | ContentAddressMethod::Nar, _) => {
                if !references.is_empty() {
                    return Err(Error::FixedOutputReferences(name.to_owned()));
                }
                let inner = format!(
                    "fixed:out:{}{}:",
                    address.method.prefix(),
                    address.hash.print_prefixed(HashFormat::Base16)
                );
                let hash = Sha256::of(inner.as_bytes()).into();
                self.make_store_path(b"output:out", &hash, name)
            }
        }
    }

    /// A type with references stuffed into it, as Nix does.
    fn kind_with_references(
        &self,
        kind: &str,
        references: &BTreeSet<StorePath>,
    ) -> Vec<u8> {
        let paths = references.iter().map(|path| 1 + self.len_of(path));
        // Room for `:self`, too.
        let mut text = Vec::with_capacity(kind.len() + paths.sum::<usize>() + 5);
        text.extend_from_slice(kind.as_bytes());
        for path in references {
            text.push(b':');
            self.push_path(path, &mut text);
        }
        text
    }
}

/// Resolves `.`, `..` and empty components of an absolute path by its text alone.
fn clean_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let mut clean = vec![b'/'];
    clean.extend_from_slice(&parts.join(&b'/'));
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELLO: &[u8] = b"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo";

    #[test]
    fn paths_parse_and_print() {
        let dir = StoreDir::default();
        let path = StorePath::parse(HELLO).unwrap();
        assert_eq!(path.to_string().as_bytes(), HELLO);
        assert_eq!(dir.parse_path(dir.print(&path).as_bytes()).unwrap(), path);
        let odd = format!("/nix//store/./x/../{path}/");
        assert_eq!(dir.parse_path(odd.as_bytes()).unwrap(), path);
        let within = format!("/nix/store/{path}/bin/sh");
        assert_eq!(
            dir.parse_path_within(within.as_bytes()).unwrap(),
            (path, &b"/bin/sh"[..])
        );
        assert!(dir.parse_path(within.as_bytes()).is_err());
    }

    #[test]
    fn errors_have_the_words_of_nix() {
        let error =
            |text: &str| StorePath::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("x"), "'x' is too short to be a valid store path");
        let digest = "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q";
        assert_eq!(
            error(&format!("{digest}-a b")),
            format!(
                "path '{digest}-a b' is not a valid store path: name 'a b' contains illegal character ' '"
            )
        );
        assert_eq!(
            error(&format!("e{}-a", &digest[1..])),
            format!(
                "store path 'e{}-a' contains illegal base-32 character 'e'",
                &digest[1..]
            )
        );
        assert_eq!(
            error(&format!("{digest}-.-x")),
            format!(
                "path '{digest}-.-x' is not a valid store path: name '.-x' is not valid: first dash-separated component must not be '.'"
            )
        );
        assert!(check_name(b".gitignore").is_ok());
        assert!(check_name(b"...").is_ok());
        assert!(check_name(&[b'a'; 211]).is_ok());
        assert!(check_name(&[b'a'; 212]).is_err());
    }

    #[test]
    fn store_directories_are_clean() {
        assert!(StoreDir::parse("/nix/store").is_ok());
        for bad in ["nix/store", "/nix/store/", "/nix/../store", "/", ""] {
            assert!(StoreDir::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_path_of_the_manual() {
        // builtins.toFile "foo" "bar"
        let dir = StoreDir::default();
        let path =
            dir.make_text_path("foo", Sha256::of(b"bar"), &BTreeSet::new()).unwrap();
        assert_eq!(dir.print(&path), "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    }

    fn arbitrary_path() -> impl Strategy<Value = StorePath> {
        (any::<[u8; 20]>(), "[a-zA-Z0-9+_?=][a-zA-Z0-9+._?=-]{0,40}").prop_map(
            |(digest, name)| StorePath::from_parts(digest, name.as_bytes()).unwrap(),
        )
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_text(a in arbitrary_path(), b in arbitrary_path()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(StorePath::parse(a.to_string().as_bytes()).unwrap(), a);
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let dir = StoreDir::default();
            let path = [b"/nix/store/".as_slice(), &bytes].concat();
            let _ = (StorePath::parse(&bytes), dir.parse_path(&path), dir.parse_path_within(&path));
        }
    }
}
