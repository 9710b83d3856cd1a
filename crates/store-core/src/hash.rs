//! Hashes: algorithm and digest, in every notation that Nix reads and writes.
//!
//! A [`Hash`] is a small `Copy` value. The notations are `algo:base16`, `algo:nix32`,
//! `algo:base64`, the same without algorithm where the context knows it, and SRI (`algo-base64`).
//! Which of the first three is meant follows from the length alone.

use std::fmt;
use std::io;

use sha2::Digest as _;

use crate::encoding::{
    base16_decode, base16_digits, base16_encode, base64_decode, base64_encode,
    nix32_decode, nix32_encode, nix32_len,
};
use crate::error::{Error, Result};

/// The longest digest, that of SHA-512.
const MAX_DIGEST_LEN: usize = 64;

/// A hash algorithm that Nix knows.
///
/// Nix reads `blake3` only when the experimental feature `blake3-hashes` is on; whoever speaks for
/// the user's configuration decides about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgo {
    /// MD5, 16 bytes.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// BLAKE3 with its normal digest of 32 bytes.
    Blake3,
}

impl HashAlgo {
    /// Every algorithm.
    pub const ALL: [Self; 5] =
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512, Self::Blake3];

    /// Parses an algorithm's name, such as `sha256`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algo| algo.name() == name)
            .ok_or_else(|| Error::HashAlgo(name.to_owned()))
    }

    /// The name in Nix's notations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// The digest's length in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A notation for a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFormat {
    /// Hexadecimal.
    Base16,
    /// Nix's base 32.
    Nix32,
    /// Base 64 with padding.
    Base64,
    /// Subresource Integrity: the algorithm, a dash, base 64.
    Sri,
}

impl HashFormat {
    /// Parses a format's name as in `builtins.convertHash`; `base32` is an old name of `nix32`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "base16" => Ok(Self::Base16),
            "nix32" | "base32" => Ok(Self::Nix32),
            "base64" => Ok(Self::Base64),
            "sri" => Ok(Self::Sri),
            _ => Err(Error::HashFormat(name.to_owned())),
        }
    }
}

/// A digest together with its algorithm.
#[derive(Clone, Copy)]
pub struct Hash {
    algo: HashAlgo,
    /// The digest, followed by zeros.
    bytes: [u8; MAX_DIGEST_LEN],
}

impl Hash {
    /// Makes a hash from a raw digest; `None` when the length is not the algorithm's.
    pub fn from_digest(algo: HashAlgo, digest: &[u8]) -> Option<Self> {
        (digest.len() == algo.digest_len()).then(|| {
            let mut bytes = [0; MAX_DIGEST_LEN];
            bytes[..digest.len()].copy_from_slice(digest);
            Self { algo, bytes }
        })
    }

    /// Hashes bytes.
    pub fn of(algo: HashAlgo, bytes: &[u8]) -> Self {
        let mut sink = HashSink::new(algo);
        sink.update(bytes);
        sink.finish().0
    }

    /// The hash of zeros that Nix puts where a user wrote an empty hash (`lib.fakeHash`).
    pub fn zero(algo: HashAlgo) -> Self {
        Self { algo, bytes: [0; MAX_DIGEST_LEN] }
    }

    /// Parses any notation; `algo` is what the context knows, and must agree with the text.
    pub fn parse_any(text: &str, algo: Option<HashAlgo>) -> Result<Self> {
        Ok(Self::parse_any_with_format(text, algo)?.0)
    }

    /// Parses any notation and tells which it was.
    pub fn parse_any_with_format(
        text: &str,
        algo: Option<HashAlgo>,
    ) -> Result<(Self, HashFormat)> {
        let (own, rest, sri) = split_algo(text)?;
        let algo = match (own, algo) {
            (None, None) => return Err(Error::HashUntyped(text.to_owned())),
            (Some(own), Some(wanted)) if own != wanted => {
                return Err(Error::HashType {
                    text: text.to_owned(),
                    expected: wanted.name(),
                });
            }
            (Some(own), _) => own,
            (None, Some(wanted)) => wanted,
        };
        let format = if sri { HashFormat::Sri } else { format_of_length(rest, algo)? };
        Ok((Self::decode(rest, algo, format)?, format))
    }

    /// Parses `algo:digest` or SRI; the algorithm must be there.
    pub fn parse_prefixed(text: &str) -> Result<Self> {
        let (own, rest, sri) = split_algo(text)?;
        let algo = own.ok_or_else(|| Error::HashUnprefixed(text.to_owned()))?;
        let format = if sri { HashFormat::Sri } else { format_of_length(rest, algo)? };
        Self::decode(rest, algo, format)
    }

    /// Parses a digest alone, of a known algorithm, in base 16, 32 or 64.
    pub fn parse_unprefixed(text: &str, algo: HashAlgo) -> Result<Self> {
        Self::decode(text, algo, format_of_length(text, algo)?)
    }

    /// Parses SRI only.
    pub fn parse_sri(text: &str) -> Result<Self> {
        let (algo, rest) =
            text.split_once('-').ok_or_else(|| Error::HashNotSri(text.to_owned()))?;
        Self::decode(rest, HashAlgo::parse(algo)?, HashFormat::Sri)
    }

    /// Parses a hash as a fixed output's attribute: an empty text is [`Hash::zero`].
    ///
    /// Nix warns about the empty text; the caller sees it by itself and can do so too.
    pub fn parse_allow_empty(text: &str, algo: Option<HashAlgo>) -> Result<Self> {
        if text.is_empty() {
            algo.map(Self::zero).ok_or(Error::HashEmpty)
        } else {
            Self::parse_any(text, algo)
        }
    }

    fn decode(text: &str, algo: HashAlgo, format: HashFormat) -> Result<Self> {
        let (bytes, encoding) = match format {
            HashFormat::Base16 => (base16_decode(text.as_bytes())?, "base16"),
            HashFormat::Nix32 => (nix32_decode(text.as_bytes())?, "nix32"),
            HashFormat::Base64 => (base64_decode(text.as_bytes())?, "Base64"),
            HashFormat::Sri => (base64_decode(text.as_bytes())?, "SRI"),
        };
        Self::from_digest(algo, &bytes).ok_or_else(|| Error::HashDecodedLength {
            encoding,
            text: text.to_owned(),
            actual: bytes.len(),
            expected: algo.digest_len(),
        })
    }

    /// The algorithm.
    pub const fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The raw digest.
    pub fn digest(&self) -> &[u8] {
        &self.bytes[..self.algo.digest_len()]
    }

    /// Prints the digest alone; SRI has its algorithm always.
    pub fn print(&self, format: HashFormat) -> String {
        match format {
            HashFormat::Base16 => base16_encode(self.digest()),
            HashFormat::Nix32 => nix32_encode(self.digest()),
            HashFormat::Base64 => base64_encode(self.digest()),
            HashFormat::Sri => format!("{}-{}", self.algo, base64_encode(self.digest())),
        }
    }

    /// Prints the algorithm, a colon and the digest; SRI is as [`Hash::print`] has it.
    pub fn print_prefixed(&self, format: HashFormat) -> String {
        match format {
            HashFormat::Base16 | HashFormat::Nix32 | HashFormat::Base64 => {
                format!("{}:{}", self.algo, self.print(format))
            }
            HashFormat::Sri => self.print(format),
        }
    }

    /// The digest if the algorithm is SHA-256.
    pub fn sha256(&self) -> Option<Sha256> {
        match (self.algo, self.digest().try_into()) {
            (HashAlgo::Sha256, Ok(digest)) => Some(Sha256(digest)),
            _ => None,
        }
    }
}

/// Splits the algorithm off: `algo:rest`, or else `algo-rest`, which is SRI.
fn split_algo(text: &str) -> Result<(Option<HashAlgo>, &str, bool)> {
    if let Some((algo, rest)) = text.split_once(':') {
        Ok((Some(HashAlgo::parse(algo)?), rest, false))
    } else if let Some((algo, rest)) = text.split_once('-') {
        Ok((Some(HashAlgo::parse(algo)?), rest, true))
    } else {
        Ok((None, text, false))
    }
}

/// The encoding that a digest of this length must be in.
fn format_of_length(text: &str, algo: HashAlgo) -> Result<HashFormat> {
    let len = algo.digest_len();
    match text.len() {
        n if n == len * 2 => Ok(HashFormat::Base16),
        n if n == nix32_len(len) => Ok(HashFormat::Nix32),
        n if n == len.div_ceil(3) * 4 => Ok(HashFormat::Base64),
        _ => Err(Error::HashLength { text: text.to_owned(), algo: algo.name() }),
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.algo == other.algo && self.digest() == other.digest()
    }
}

impl Eq for Hash {}

impl std::hash::Hash for Hash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.algo.hash(state);
        self.digest().hash(state);
    }
}

impl PartialOrd for Hash {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hash {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.algo, self.digest()).cmp(&(other.algo, other.digest()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(HashFormat::Sri))
    }
}

/// A SHA-256 digest: what NARs, derivations and store paths are made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Prints hexadecimal digits.
    pub fn base16(&self) -> String {
        base16_encode(&self.0)
    }

    /// As [`Self::base16`], without an allocation.
    #[must_use]
    pub fn base16_digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        base16_digits(&self.0, &mut digits);
        digits
    }

    /// Prints Nix's base 32.
    pub fn nix32(&self) -> String {
        nix32_encode(&self.0)
    }

    /// Folds the digest to the 20 bytes of a store path (Nix's `compressHash`).
    pub fn fold(&self) -> [u8; 20] {
        let mut folded = [0; 20];
        for (at, byte) in self.0.iter().enumerate() {
            folded[at % 20] ^= byte;
        }
        folded
    }
}

impl From<Sha256> for Hash {
    fn from(digest: Sha256) -> Self {
        let mut hash = Self::zero(HashAlgo::Sha256);
        hash.bytes[..32].copy_from_slice(&digest.0);
        hash
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.nix32())
    }
}

/// A streaming hasher; what is written to it is hashed and counted.
#[derive(Clone)]
pub struct HashSink {
    state: State,
    count: u64,
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl HashSink {
    /// Starts hashing.
    pub fn new(algo: HashAlgo) -> Self {
        let state = match algo {
            HashAlgo::Md5 => State::Md5(md5::Md5::default()),
            HashAlgo::Sha1 => State::Sha1(sha1::Sha1::default()),
            HashAlgo::Sha256 => State::Sha256(sha2::Sha256::default()),
            HashAlgo::Sha512 => State::Sha512(sha2::Sha512::default()),
            HashAlgo::Blake3 => State::Blake3(Box::default()),
        };
        Self { state, count: 0 }
    }

    /// Hashes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.count += bytes.len() as u64;
        match &mut self.state {
            State::Md5(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
            State::Blake3(state) => drop(state.update(bytes)),
        }
    }

    /// Ends the stream: its hash and its length in bytes.
    pub fn finish(self) -> (Hash, u64) {
        let (algo, mut bytes) = (self.algo(), [0; MAX_DIGEST_LEN]);
        let slot = &mut bytes[..algo.digest_len()];
        match self.state {
            State::Md5(state) => slot.copy_from_slice(&state.finalize()),
            State::Sha1(state) => slot.copy_from_slice(&state.finalize()),
            State::Sha256(state) => slot.copy_from_slice(&state.finalize()),
            State::Sha512(state) => slot.copy_from_slice(&state.finalize()),
            State::Blake3(state) => slot.copy_from_slice(state.finalize().as_bytes()),
        }
        (Hash { algo, bytes }, self.count)
    }

    fn algo(&self) -> HashAlgo {
        match self.state {
            State::Md5(_) => HashAlgo::Md5,
            State::Sha1(_) => HashAlgo::Sha1,
            State::Sha256(_) => HashAlgo::Sha256,
            State::Sha512(_) => HashAlgo::Sha512,
            State::Blake3(_) => HashAlgo::Blake3,
        }
    }
}

impl io::Write for HashSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY_SHA256: &str =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_notation_of_one_hash_parses() {
        let hash = Hash::of(HashAlgo::Sha256, b"");
        assert_eq!(hash.print(HashFormat::Base16), EMPTY_SHA256);
        let sri = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(hash.print(HashFormat::Sri), sri);
        assert_eq!(
            hash.print_prefixed(HashFormat::Nix32),
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
        );
        for format in [HashFormat::Base16, HashFormat::Nix32, HashFormat::Base64] {
            let text = hash.print_prefixed(format);
            assert_eq!(Hash::parse_any_with_format(&text, None).unwrap(), (hash, format));
            let text = hash.print(format);
            assert_eq!(Hash::parse_any(&text, Some(HashAlgo::Sha256)).unwrap(), hash);
        }
        assert_eq!(Hash::parse_any(sri, None).unwrap(), hash);
    }

    #[test]
    fn known_digests_of_abc() {
        let hex = |algo| Hash::of(algo, b"abc").print(HashFormat::Base16);
        assert_eq!(hex(HashAlgo::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex(HashAlgo::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            hex(HashAlgo::Blake3),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
        assert!(hex(HashAlgo::Sha512).starts_with("ddaf35a193617aba"));
    }

    #[test]
    fn errors_have_the_words_of_nix() {
        let error =
            |text: &str, algo| Hash::parse_any(text, algo).unwrap_err().to_string();
        let sha256 = Some(HashAlgo::Sha256);
        assert_eq!(
            error("abc", sha256),
            "hash 'abc' has wrong length for hash algorithm 'sha256'"
        );
        assert_eq!(
            error("abc", None),
            "hash 'abc' does not include a type, nor is the type otherwise known from context"
        );
        assert_eq!(error("md5:abc", sha256), "hash 'md5:abc' should have type 'sha256'");
        assert_eq!(
            error("sha256-abc", None),
            "invalid SRI hash 'abc', length 2 != expected length 32"
        );
        assert_eq!(
            error("crc:abc", None),
            "unknown hash algorithm 'crc', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'"
        );
        assert_eq!(
            error(&"!".repeat(64), sha256),
            "invalid character in Base16 string: '!'"
        );
    }

    #[test]
    fn an_empty_hash_is_zeros_of_a_known_algorithm() {
        let hash = Hash::parse_allow_empty("", Some(HashAlgo::Sha256)).unwrap();
        assert_eq!(
            hash.print(HashFormat::Sri),
            "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        );
        assert!(Hash::parse_allow_empty("", None).is_err());
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(bytes in any::<Vec<u8>>(), which in 0usize..5) {
            let hash = Hash::of(HashAlgo::ALL[which], &bytes);
            for format in [HashFormat::Base16, HashFormat::Nix32, HashFormat::Base64, HashFormat::Sri] {
                prop_assert_eq!(Hash::parse_prefixed(&hash.print_prefixed(format)).unwrap(), hash);
            }
        }

        #[test]
        fn no_text_panics(text in "(sha256[:-])?.{0,80}") {
            let _ = (Hash::parse_any(&text, Some(HashAlgo::Sha256)), Hash::parse_any(&text, None));
        }
    }
}
