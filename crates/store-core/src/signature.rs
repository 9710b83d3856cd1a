//! Signatures of path infos: Ed25519, written `name:base64`.
//!
//! A secret key is a seed and its public key, 64 bytes, as libsodium lays it out. Which names are
//! trusted is the caller's knowledge; here a signature counts only for the key of its own name.

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::encoding::{base64_decode, base64_encode};
use crate::error::{Error, Result};

/// A key's name and a signature made with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// The name of the key.
    pub key_name: String,
    /// The signature, 64 bytes if it is any good.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Parses `name:base64`.
    pub fn parse(text: &str) -> Result<Self> {
        let (key_name, bytes) = parse_named(text, "signature")?;
        Ok(Self { key_name, bytes })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key_name, base64_encode(&self.bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signs. Its `Debug` shows the name only.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// Makes a key of 32 random bytes, which the caller draws.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) }
    }

    /// Parses `name:base64`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, bytes) = parse_named(text.trim_ascii_end(), "key")?;
        let pair = bytes.try_into().map_err(|_| Error::KeyLength("secret"))?;
        let key = SigningKey::from_keypair_bytes(&pair)
            .map_err(|_| Error::KeyLength("secret"))?;
        Ok(Self { name, key })
    }

    /// Prints the secret, for a file that only its owner can read.
    pub fn print(&self) -> String {
        format!("{}:{}", self.name, base64_encode(&self.key.to_keypair_bytes()))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signs a text.
    pub fn sign(&self, text: &[u8]) -> Signature {
        let bytes = self.key.sign(text).to_bytes().to_vec();
        Signature { key_name: self.name.clone(), bytes }
    }

    /// The key that verifies.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.name)
    }
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Parses `name:base64`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, bytes) = parse_named(text.trim_ascii_end(), "key")?;
        let bytes = bytes.try_into().map_err(|_| Error::KeyLength("public"))?;
        let key =
            VerifyingKey::from_bytes(&bytes).map_err(|_| Error::KeyLength("public"))?;
        Ok(Self { name, key })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is it a signature of this text by this key, under this name?
    pub fn verify(&self, text: &[u8], signature: &Signature) -> Result<bool> {
        if signature.key_name != self.name {
            return Ok(false);
        }
        let signature = ed25519_dalek::Signature::from_slice(&signature.bytes)
            .map_err(|_| Error::SignatureLength)?;
        Ok(self.key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, base64_encode(self.key.as_bytes()))
    }
}

/// The keys that a user trusts, by name.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(BTreeMap<String, PublicKey>);

impl PublicKeys {
    /// Collects keys; of two with one name the last counts.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.name.clone(), key)).collect())
    }

    /// Is it a signature of this text by a trusted key? A malformed one is not.
    pub fn verify(&self, text: &[u8], signature: &Signature) -> bool {
        let key = self.0.get(&signature.key_name);
        key.is_some_and(|key| key.verify(text, signature).unwrap_or(false))
    }
}

fn parse_named(text: &str, what: &'static str) -> Result<(String, Vec<u8>)> {
    let (name, data) = text.split_once(':').ok_or(Error::KeyFormat(what))?;
    let bytes = base64_decode(data.as_bytes())?;
    if name.is_empty() || bytes.is_empty() {
        return Err(Error::KeyFormat(what));
    }
    Ok((name.to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_for_its_text_and_name_only() {
        let key = SecretKey::from_seed("cache-1", &[7; 32]);
        let key = SecretKey::parse(&key.print()).unwrap();
        let public = PublicKey::parse(&key.public_key().to_string()).unwrap();
        let signature = Signature::parse(&key.sign(b"text").to_string()).unwrap();
        assert!(public.verify(b"text", &signature).unwrap());
        assert!(!public.verify(b"other", &signature).unwrap());
        let keys = PublicKeys::new([public]);
        assert!(keys.verify(b"text", &signature));
        let renamed = Signature { key_name: "cache-2".to_owned(), ..signature.clone() };
        assert!(!keys.verify(b"text", &renamed));
        let short = Signature { bytes: vec![1; 5], ..signature };
        assert!(!keys.verify(b"text", &short));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let error = |text: &str| PublicKey::parse(text).unwrap_err().to_string();
        assert_eq!(error("nocolon"), "key is corrupt");
        assert_eq!(error(":AAAA"), "key is corrupt");
        assert_eq!(error("a:AAAA"), "public key is not valid");
        assert_eq!(
            SecretKey::parse("a:AAAA").unwrap_err().to_string(),
            "secret key is not valid"
        );
        assert_eq!(
            Signature::parse("a:").unwrap_err().to_string(),
            "signature is corrupt"
        );
    }

    #[test]
    fn the_public_key_of_the_nixos_cache_parses() {
        let text = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
        assert_eq!(PublicKey::parse(text).unwrap().to_string(), text);
    }
}
