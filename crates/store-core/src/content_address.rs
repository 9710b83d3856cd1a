//! Content addresses: how an object's path follows from its contents.

use std::fmt;

use crate::error::{Error, Result};
use crate::hash::{Hash, HashAlgo, HashFormat};

/// How a file system object becomes the bytes that are hashed.
///
/// Nix's fourth method, `git`, needs an experimental feature and is refused with its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAddressMethod {
    /// The bytes of a single regular file that is not executable.
    Flat,
    /// The NAR (`recursive`).
    Nar,
    /// The bytes of a file that may have references.
    Text,
}

impl ContentAddressMethod {
    /// Parses the name in `outputHashMode` and JSON: `flat`, `nar` or `text`.
    ///
    /// The old name `recursive` of `nar` exists in the language only.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "flat" => Ok(Self::Flat),
            "nar" => Ok(Self::Nar),
            "text" => Ok(Self::Text),
            "git" => Err(Error::GitIngestion),
            _ => Err(Error::IngestionMethod(name.to_owned())),
        }
    }

    /// The name that [`ContentAddressMethod::parse`] reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Nar => "nar",
            Self::Text => "text",
        }
    }

    /// What stands before the algorithm in a derivation: nothing, `r:` or `text:`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Flat => "",
            Self::Nar => "r:",
            Self::Text => "text:",
        }
    }

    /// Splits a derivation's `r:sha256` into method and algorithm.
    pub fn parse_with_algo(text: &str) -> Result<(Self, HashAlgo)> {
        let (method, algo) = if let Some(algo) = text.strip_prefix("r:") {
            (Self::Nar, algo)
        } else if let Some(algo) = text.strip_prefix("text:") {
            (Self::Text, algo)
        } else if text.starts_with("git:") {
            return Err(Error::GitIngestion);
        } else {
            (Self::Flat, text)
        };
        Ok((method, HashAlgo::parse(algo)?))
    }

    /// Prints method and algorithm as a derivation has them.
    pub fn print_with_algo(self, algo: HashAlgo) -> String {
        format!("{}{algo}", self.prefix())
    }
}

/// A method and the hash of what it yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentAddress {
    /// How the object becomes bytes.
    pub method: ContentAddressMethod,
    /// The hash of those bytes.
    pub hash: Hash,
}

impl ContentAddress {
    /// Parses the form of narinfo and database: `text:sha256:…`, `fixed:sha256:…`, `fixed:r:sha256:…`.
    pub fn parse(text: &str) -> Result<Self> {
        let (prefix, rest) =
            text.split_once(':').ok_or_else(|| Error::ContentAddress(text.to_owned()))?;
        let (method, rest) = match prefix {
            "text" => (ContentAddressMethod::Text, rest),
            "fixed" => match rest.strip_prefix("r:") {
                Some(rest) => (ContentAddressMethod::Nar, rest),
                None if rest.starts_with("git:") => return Err(Error::GitIngestion),
                None => (ContentAddressMethod::Flat, rest),
            },
            _ => return Err(Error::ContentAddressPrefix(prefix.to_owned())),
        };
        let (algo, digest) = rest
            .split_once(':')
            .ok_or_else(|| Error::ContentAddressHash(text.to_owned()))?;
        let hash = Hash::parse_unprefixed(digest, HashAlgo::parse(algo)?)?;
        Ok(Self { method, hash })
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.method {
            ContentAddressMethod::Text => "text:",
            ContentAddressMethod::Flat => "fixed:",
            ContentAddressMethod::Nar => "fixed:r:",
        };
        write!(f, "{prefix}{}", self.hash.print_prefixed(HashFormat::Nix32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        let hash = Hash::of(HashAlgo::Sha256, b"x");
        for method in [
            ContentAddressMethod::Flat,
            ContentAddressMethod::Nar,
            ContentAddressMethod::Text,
        ] {
            let address = ContentAddress { method, hash };
            assert_eq!(ContentAddress::parse(&address.to_string()).unwrap(), address);
            let text = method.print_with_algo(hash.algo());
            assert_eq!(
                ContentAddressMethod::parse_with_algo(&text).unwrap(),
                (method, hash.algo())
            );
            assert_eq!(ContentAddressMethod::parse(method.name()).unwrap(), method);
        }
    }

    #[test]
    fn errors_have_the_words_of_nix() {
        let error = |text| ContentAddress::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("abc"),
            "not a content address because it is not in the form '<prefix>:<rest>': abc"
        );
        assert!(error("foo:sha256:x").starts_with("content address prefix 'foo'"));
        assert!(error("fixed:sha256").starts_with("content address hash must be"));
        assert!(error("fixed:git:sha1:x").contains("git-hashing"));
    }
}
