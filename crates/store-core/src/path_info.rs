//! What a store knows of a valid path.

use std::collections::BTreeSet;

use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::signature::{PublicKeys, SecretKey, Signature};
use crate::store_path::{References, StoreDir, StorePath};

/// The metadata of a store object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The store path.
    pub path: StorePath,
    /// The hash of its NAR.
    pub nar_hash: Sha256,
    /// The length of its NAR in bytes.
    pub nar_size: u64,
    /// What it refers to, possibly itself.
    pub references: BTreeSet<StorePath>,
    /// The derivation that produced it.
    pub deriver: Option<StorePath>,
    /// How the path follows from the contents, if it does.
    pub content_address: Option<ContentAddress>,
    /// Signatures of [`PathInfo::fingerprint`].
    pub signatures: BTreeSet<Signature>,
    /// When it became valid here, in seconds since 1970; 0 if unknown.
    pub registration_time: u64,
    /// Was it built here, rather than copied from elsewhere?
    pub ultimate: bool,
}

impl PathInfo {
    /// An info with the fields that every object has, and nothing else.
    pub fn new(path: StorePath, nar_hash: Sha256, nar_size: u64) -> Self {
        Self {
            path,
            nar_hash,
            nar_size,
            references: BTreeSet::new(),
            deriver: None,
            content_address: None,
            signatures: BTreeSet::new(),
            registration_time: 0,
            ultimate: false,
        }
    }

    /// The text that is signed.
    pub fn fingerprint(&self, store_dir: &StoreDir) -> Result<String> {
        let path = store_dir.print(&self.path);
        if self.nar_size == 0 {
            return Err(Error::FingerprintSize(path));
        }
        let references: Vec<String> =
            self.references.iter().map(|path| store_dir.print(path)).collect();
        Ok(format!(
            "1;{path};sha256:{};{};{}",
            self.nar_hash.nix32(),
            self.nar_size,
            references.join(",")
        ))
    }

    /// Adds a signature.
    pub fn sign(&mut self, store_dir: &StoreDir, key: &SecretKey) -> Result<()> {
        let signature = key.sign(self.fingerprint(store_dir)?.as_bytes());
        self.signatures.insert(signature);
        Ok(())
    }

    /// The references, with the one to itself set apart.
    pub fn split_references(&self) -> References {
        let mut others = self.references.clone();
        let itself = others.remove(&self.path);
        References { others, itself }
    }

    /// Does the path really follow from the content address that it claims?
    pub fn is_content_addressed(&self, store_dir: &StoreDir) -> bool {
        let path = self.content_address.and_then(|address| {
            let references = self.split_references();
            store_dir.make_content_path(self.path.name(), &address, &references).ok()
        });
        path.as_ref() == Some(&self.path)
    }

    /// May it be believed: content-addressed, or signed by a trusted key?
    ///
    /// The NAR still has to be checked against `nar_hash`, and a content address against the NAR.
    pub fn is_trusted(&self, store_dir: &StoreDir, keys: &PublicKeys) -> bool {
        if self.is_content_addressed(store_dir) {
            return true;
        }
        let Ok(fingerprint) = self.fingerprint(store_dir) else { return false };
        self.signatures.iter().any(|sig| keys.verify(fingerprint.as_bytes(), sig))
    }

    /// Is the content address one of the bytes of a single file?
    pub fn is_flat(&self) -> bool {
        self.content_address
            .is_some_and(|address| address.method != ContentAddressMethod::Nar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Hash, HashAlgo};

    #[test]
    fn trust_comes_from_a_signature_or_from_the_contents() {
        let dir = StoreDir::default();
        let path = StorePath::from_parts([1; 20], b"x").unwrap();
        let mut info = PathInfo::new(path, Sha256([2; 32]), 100);
        let key = SecretKey::from_seed("k", &[3; 32]);
        let keys = PublicKeys::new([key.public_key()]);
        assert!(!info.is_trusted(&dir, &keys));
        info.sign(&dir, &key).unwrap();
        assert!(info.is_trusted(&dir, &keys));
        assert!(!info.is_trusted(&dir, &PublicKeys::default()));
        info.nar_size = 101;
        assert!(!info.is_trusted(&dir, &keys));

        let hash = Hash::of(HashAlgo::Sha256, b"nar");
        let address = ContentAddress { method: ContentAddressMethod::Nar, hash };
        info.content_address = Some(address);
        assert!(!info.is_content_addressed(&dir));
        info.path = dir.make_content_path("x", &address, &References::none()).unwrap();
        assert!(info.is_trusted(&dir, &PublicKeys::default()));
    }

    #[test]
    fn the_fingerprint_is_nix_s() {
        let dir = StoreDir::default();
        let path = StorePath::parse(b"syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin")
            .unwrap();
        let other =
            StorePath::parse(b"0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0").unwrap();
        let hash = Hash::parse_prefixed(
            "sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0",
        );
        let hash = hash.unwrap().sha256().unwrap();
        let mut info = PathInfo::new(path, hash, 196_040);
        info.references.insert(other);
        assert_eq!(
            info.fingerprint(&dir).unwrap(),
            "1;/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin;\
             sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0;196040;\
             /nix/store/0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0"
        );
    }
}
