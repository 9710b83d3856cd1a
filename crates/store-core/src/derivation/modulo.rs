//! Derivation hashes and output paths.
//!
//! The path of an input-addressed output follows from the derivation's *hash modulo*: its text
//! with the own output paths left empty and each input derivation replaced by that one's hash
//! modulo. A fixed-output derivation's hash modulo follows from the output alone, so that how it is
//! fetched does not matter to whom uses it.
//!
//! The hash of an input is looked up through a function that the caller gives; it is expected to
//! remember what it computed, since each input is asked for once per use.

use std::sync::Arc;

use super::aterm::{InputHashes, Inputs, Mask, print_with};
use super::{Derivation, DerivationKind, DerivationOutput, OutputPaths};
use crate::content_address::ContentAddress;
use crate::error::{Error, Result, show};
use crate::hash::{HashFormat, Sha256};
use crate::store_path::{OutputName, StoreDir, StorePath};

/// May output paths be computed from a derivation hash?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrvHashKind {
    /// Yes.
    Regular,
    /// No: an input's path is known only after building it.
    Deferred,
}

/// The hash modulo of a derivation, for each of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrvHash {
    /// May output paths be computed from it?
    pub kind: DrvHashKind,
    /// The hash that stands for each output, in the order of the outputs' names.
    pub hashes: Box<[(OutputName, Sha256)]>,
}

impl DrvHash {
    /// The hash that stands for an output.
    #[must_use]
    pub fn of(&self, output: &OutputName) -> Option<Sha256> {
        let place = self.hashes.binary_search_by(|(known, _)| known.cmp(output)).ok()?;
        Some(self.hashes[place].1)
    }
}

impl Derivation {
    /// The hash modulo, as an input of another derivation: own output paths included.
    ///
    /// `lookup` gives the hash modulo of an input derivation.
    pub fn hash_modulo<E: From<Error>>(
        &self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<DrvHash, E> {
        let paths = self.output_paths(store_dir)?;
        self.hash_modulo_masked(store_dir, Mask::Nothing(&paths), lookup)
    }

    /// The hash modulo with the own output paths left empty, from which these follow.
    pub fn hash_modulo_of_recipe<E: From<Error>>(
        &self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<DrvHash, E> {
        self.hash_modulo_masked(store_dir, Mask::Outputs, lookup)
    }

    fn hash_modulo_masked<E: From<Error>>(
        &self,
        store_dir: &StoreDir,
        mask: Mask<'_>,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<DrvHash, E> {
        let kind = match self.kind()? {
            DerivationKind::Fixed => {
                let paths = self.output_paths(store_dir)?;
                return Ok(self.fixed_hash(store_dir, &paths));
            }
            DerivationKind::InputAddressed | DerivationKind::Deferred => {
                DrvHashKind::Regular
            }
            DerivationKind::Floating | DerivationKind::Impure => DrvHashKind::Deferred,
        };
        let (inputs, kind) = self.input_hashes(kind, lookup)?;
        let text = print_with(self, store_dir, mask, Inputs::Hashes(&inputs))?;
        Ok(self.hash_of_all(kind, Sha256::of(&text)))
    }

    /// The same hash for every output.
    pub(super) fn hash_of_all(&self, kind: DrvHashKind, hash: Sha256) -> DrvHash {
        let hashes = self.outputs.keys().map(|output| (output.clone(), hash)).collect();
        DrvHash { kind, hashes }
    }

    /// The hashes that stand for the inputs, and what kind these make of a hash of the given kind.
    pub(super) fn input_hashes<E: From<Error>>(
        &self,
        mut kind: DrvHashKind,
        mut lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<(InputHashes, DrvHashKind), E> {
        let mut inputs = InputHashes::new();
        for (path, wanted) in &self.input_drvs {
            let input = lookup(path)?;
            if input.kind == DrvHashKind::Deferred {
                kind = DrvHashKind::Deferred;
            }
            for output in &wanted.outputs {
                let hash = input.of(output).ok_or_else(|| {
                    let (output, drv) = (output.to_string(), self.name.clone());
                    Error::DrvHashMissing { output, drv }
                })?;
                inputs.entry(hash).or_default().insert(output.clone());
            }
        }
        Ok((inputs, kind))
    }

    /// The hash of a fixed-output derivation, which depends on nothing but its outputs.
    pub(super) fn fixed_hash(
        &self,
        store_dir: &StoreDir,
        paths: &OutputPaths,
    ) -> DrvHash {
        let mut hashes = Vec::new();
        for (name, output) in &self.outputs {
            if let DerivationOutput::CaFixed(address) = output
                && let Some(Some(path)) = paths.get(name)
            {
                let ContentAddress { method, hash } = address;
                let text = format!(
                    "fixed:out:{}:{}:{}",
                    method.print_with_algo(hash.algo()),
                    hash.print(HashFormat::Base16),
                    store_dir.print(path)
                );
                hashes.push((name.clone(), Sha256::of(text.as_bytes())));
            }
        }
        DrvHash { kind: DrvHashKind::Regular, hashes: hashes.into() }
    }

    /// Computes the paths of deferred outputs and puts every known output path into the environment.
    ///
    /// The evaluator's way: it makes all outputs [`DerivationOutput::Deferred`] with empty
    /// environment variables of the outputs' names, then calls this. Outputs stay deferred when an
    /// input's path is not known yet. A variable that is set to something else than its output's
    /// path is an error.
    pub fn fill_in_output_paths<E: From<Error>>(
        &mut self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<(), E> {
        match self.kind()? {
            DerivationKind::Floating | DerivationKind::Impure => return Ok(()),
            DerivationKind::Fixed => {}
            DerivationKind::InputAddressed | DerivationKind::Deferred => {
                let hash = self.hash_modulo_of_recipe(store_dir, lookup)?;
                self.fill_in_outputs(store_dir, &hash)?;
            }
        }
        let paths = self.output_paths(store_dir)?;
        Ok(self.fill_in_paths(store_dir, &paths)?)
    }

    pub(super) fn fill_in_outputs(
        &mut self,
        store_dir: &StoreDir,
        hash: &DrvHash,
    ) -> Result<()> {
        for (name, output) in &mut self.outputs {
            let right = match (hash.kind, hash.of(name)) {
                (DrvHashKind::Regular, Some(hash)) => {
                    Some(store_dir.make_output_path(name, hash, &self.name)?)
                }
                _ => None,
            };
            match (&*output, right) {
                (DerivationOutput::InputAddressed(path), right)
                    if right.as_ref() != Some(path) =>
                {
                    let expected = right
                        .map_or("deferred".to_owned(), |path| store_dir.print(&path));
                    let actual = store_dir.print(path);
                    return Err(Error::DrvOutputWrong { actual, expected });
                }
                (_, Some(right)) => *output = DerivationOutput::InputAddressed(right),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Puts every path that is known into the environment.
    pub(super) fn fill_in_paths(
        &mut self,
        store_dir: &StoreDir,
        paths: &OutputPaths,
    ) -> Result<()> {
        for (output, path) in paths {
            if let Some(path) = path {
                self.fill_in_env(output.as_str().as_bytes(), store_dir.print(path))?;
            }
        }
        Ok(())
    }

    fn fill_in_env(&mut self, name: &[u8], expected: String) -> Result<()> {
        let value = self.env.get(name).unwrap_or_default();
        if value.is_empty() {
            self.env.insert(name, expected.as_bytes());
        } else if value != expected.as_bytes() {
            let (name, actual) = (show(name), show(value));
            return Err(Error::DrvEnvWrong { name, expected, actual });
        }
        Ok(())
    }

    /// Checks that a derivation from elsewhere has the output paths that follow from it.
    ///
    /// Deferred outputs are left alone, as Nix only warns about them.
    pub fn check_output_paths<E: From<Error>>(
        &self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<(), E> {
        let mut filled = self.clone();
        filled.fill_in_output_paths(store_dir, lookup)?;
        for (name, output) in &self.outputs {
            let known = !matches!(output, DerivationOutput::Deferred);
            let path = output.path(store_dir, &self.name, name)?;
            if let Some(path) = path.filter(|_| known)
                && !self.env.contains_key(name.as_str().as_bytes())
            {
                let (name, expected) = (name.to_string(), store_dir.print(&path));
                return Err(Error::DrvEnvMissing { name, expected }.into());
            }
        }
        Ok(())
    }
}
