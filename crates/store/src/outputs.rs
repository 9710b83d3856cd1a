//! What a builder left becomes store objects.
//!
//! In two steps, so that the caller can judge in between: [`Store::examine_output`] makes the
//! metadata canonical, hashes, and finds the references; [`Store::register_outputs`] makes all
//! outputs of a build valid at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use picnix_store_core::refscan::{HashModuloSink, RefScanner};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, HashSink, PathInfo, SecretKey,
    Sha256, StoreDir, StorePath,
};

use crate::error::{Context, Error, Result};
use crate::pipe::{HashPipe, Tee, Written};
use crate::place::Placement;
use crate::store::Store;
use crate::tree::{canonicalise, dump, read_flat};

/// What is in an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputContents {
    /// The hash of its NAR.
    pub nar_hash: Sha256,
    /// The length of its NAR in bytes.
    pub nar_size: u64,
    /// Those of the candidates that occur in it.
    pub references: BTreeSet<StorePath>,
}

/// An output that is fit to be registered.
#[derive(Clone, Debug)]
pub struct OutputToRegister {
    /// Where it is now; on the store's file system (see [`Store::temp_path`]).
    pub real_path: PathBuf,
    /// The path that it is to have.
    pub path: StorePath,
    /// What was found in it.
    pub contents: OutputContents,
    /// The derivation that produced it.
    pub deriver: Option<StorePath>,
    /// Its content address if it has one; the caller has checked it.
    pub content_address: Option<ContentAddress>,
}

impl OutputToRegister {
    /// The output with its info, signed.
    fn into_placement(
        self,
        store_dir: &StoreDir,
        keys: &[SecretKey],
    ) -> Result<Placement> {
        let OutputContents { nar_hash, nar_size, references } = self.contents;
        let mut info = PathInfo::new(self.path, nar_hash, nar_size);
        info.references = references;
        info.deriver = self.deriver;
        info.content_address = self.content_address;
        info.ultimate = true;
        for key in keys {
            info.sign(store_dir, key)?;
        }
        Ok(Placement { from: self.real_path, info })
    }
}

impl Store {
    /// Makes the metadata of an output canonical, hashes it, and finds which candidates it refers
    /// to: the inputs' closure and the outputs of the same build.
    ///
    /// Fails on sockets, devices, pipes, and files of other owners.
    pub fn examine_output(
        &self,
        real_path: &Path,
        candidates: &BTreeSet<StorePath>,
    ) -> Result<OutputContents> {
        self.require_writable()?;
        canonicalise(real_path)?;
        let scanner = RefScanner::new(candidates.iter().cloned());
        let sink = Tee(HashPipe::new(HashAlgo::Sha256), scanner);
        let Written(Tee(pipe, scanner)) = dump(real_path, Written(sink))?;
        let (hash, nar_size) = pipe.finish();
        let nar_hash = hash.sha256().expect("the pipe hashes with SHA-256");
        Ok(OutputContents { nar_hash, nar_size, references: scanner.finish() })
    }

    /// Hashes a file or tree by a content address method, for outputs whose hash is known
    /// beforehand.
    pub fn hash_tree(
        &self,
        real_path: &Path,
        method: ContentAddressMethod,
        algo: HashAlgo,
    ) -> Result<Hash> {
        match method {
            ContentAddressMethod::Nar => {
                Ok(dump(real_path, HashPipe::new(algo))?.finish().0)
            }
            ContentAddressMethod::Flat | ContentAddressMethod::Text => {
                let mut sink = HashSink::new(algo);
                read_flat(real_path, |bytes| sink.update(bytes))?;
                Ok(sink.finish().0)
            }
        }
    }

    /// Hashes a tree modulo its references to `own`.
    pub fn hash_tree_modulo(
        &self,
        real_path: &Path,
        algo: HashAlgo,
        own: &StorePath,
    ) -> Result<Hash> {
        let sink = Written(HashModuloSink::new(algo, own));
        Ok(dump(real_path, sink)?.0.finish().0)
    }

    /// Writes the NAR of any tree on disk.
    pub fn dump_tree(&self, real_path: &Path, sink: impl Write) -> Result<()> {
        dump(real_path, Written(sink)).map(|_| ())
    }

    /// Moves outputs to their places and makes them valid, all or none.
    ///
    /// Their references must be valid or among them. An output that became valid in the meantime
    /// stays as it is.
    pub fn register_outputs(
        &self,
        outputs: Vec<OutputToRegister>,
    ) -> Result<Vec<PathInfo>> {
        let placements = self.placements(outputs)?;
        let infos = placements.iter().map(|placement| placement.info.clone()).collect();
        self.place(placements)?;
        Ok(infos)
    }

    /// Replaces a valid path by what a builder made anew. References must be valid.
    pub fn replace_by_output(&self, output: OutputToRegister) -> Result<()> {
        self.placements(vec![output])?.into_iter().try_for_each(|new| self.replace(new))
    }

    fn placements(&self, outputs: Vec<OutputToRegister>) -> Result<Vec<Placement>> {
        let keys = self.signing_keys()?;
        let place =
            |output: OutputToRegister| output.into_placement(self.store_dir(), &keys);
        outputs.into_iter().map(place).collect()
    }

    /// The keys that what is built here is signed with.
    fn signing_keys(&self) -> Result<Vec<SecretKey>> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).context("read the key", path)?;
            SecretKey::parse(text.trim_end()).map_err(|source| Error::FormatIn {
                path: path.clone(),
                source: Box::new(source),
            })
        };
        self.config.secret_key_files.iter().map(read).collect()
    }
}
