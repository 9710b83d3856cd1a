//! Derivations that anybody may have written, on their way into the store.
//!
//! A derivation names the paths of its outputs. Whoever could choose them freely could have a builder of theirs
//! write what another derivation should make, so a derivation becomes valid only if its outputs are the paths that
//! follow from it, as in Nix. That needs the derivations among its inputs, which are valid or arrive with it.
//! Derivations that an evaluation has just made are right by construction and are not checked again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use picnix_store_core::{Derivation, DrvHash, StorePath};

use crate::error::{Context, Error, Result};
use crate::place::Placement;
use crate::store::{Store, lock};

/// Derivations that are about to become valid together.
#[derive(Default)]
struct Arriving {
    derivations: BTreeMap<StorePath, Arc<Derivation>>,
    /// Hashes modulo of these alone.
    hashes: BTreeMap<StorePath, Arc<DrvHash>>,
}

impl Store {
    /// The hash modulo of a valid derivation.
    ///
    /// # Errors
    /// It, or one that it is built from, is not valid or malformed, or derivations need each other.
    pub fn derivation_hash(&self, drv_path: &StorePath) -> Result<Arc<DrvHash>> {
        self.hash_among(drv_path, &mut Arriving::default())
    }

    /// Checks those of some objects that are derivations; they lie under temporary names.
    pub(crate) fn check_placements(&self, placements: &[Placement]) -> Result<()> {
        self.check_arriving(placements.iter().map(|p| (&p.info.path, p.from.as_path())))
    }

    /// Checks those of some objects that are derivations: path by path, with where they lie now.
    pub(crate) fn check_arriving<'a>(
        &self,
        objects: impl Iterator<Item = (&'a StorePath, &'a Path)>,
    ) -> Result<()> {
        let mut arriving = Arriving::default();
        for (path, place) in objects.filter(|(path, _)| path.is_derivation()) {
            arriving
                .derivations
                .insert(path.clone(), self.parse_derivation(path, place)?);
        }
        for (path, derivation) in arriving.derivations.clone() {
            derivation
                .check_output_paths(self.store_dir(), |input| {
                    self.hash_among(input, &mut arriving)
                })
                .map_err(|source| Error::WrongDerivation {
                    path: self.store_dir().print(&path),
                    source: Box::new(source),
                })?;
        }
        Ok(())
    }

    fn hash_among(
        &self,
        drv_path: &StorePath,
        arriving: &mut Arriving,
    ) -> Result<Arc<DrvHash>> {
        // Depth first without recursion: a path stays until the hashes of its inputs are known.
        let mut stack = vec![(drv_path.clone(), false)];
        while let Some((path, inputs_are_done)) = stack.pop() {
            if self.known_hash(&path, arriving).is_some() {
                continue;
            }
            let derivation = match arriving.derivations.get(&path) {
                Some(derivation) => derivation.clone(),
                None if self.is_valid(&path)? => self.read_derivation(&path)?,
                None => return Err(self.not_valid(&path)),
            };
            let mut missing: Vec<(StorePath, bool)> = derivation
                .input_drvs
                .keys()
                .filter(|input| self.known_hash(input, arriving).is_none())
                .map(|input| (input.clone(), false))
                .collect();
            if missing.is_empty() {
                let hash = derivation.hash_modulo(self.store_dir(), |input| {
                    let known = self.known_hash(input, arriving);
                    known.ok_or_else(|| self.not_valid(input))
                });
                self.remember_hash(path, Arc::new(hash?), arriving);
            } else if inputs_are_done {
                return Err(Error::DerivationCycle(self.store_dir().print(&path)));
            } else {
                stack.push((path, true));
                stack.append(&mut missing);
            }
        }
        self.known_hash(drv_path, arriving).ok_or_else(|| self.not_valid(drv_path))
    }

    fn known_hash(&self, path: &StorePath, arriving: &Arriving) -> Option<Arc<DrvHash>> {
        if arriving.derivations.contains_key(path) {
            return arriving.hashes.get(path).cloned();
        }
        lock(&self.derivation_hashes).get(path).cloned()
    }

    fn remember_hash(
        &self,
        path: StorePath,
        hash: Arc<DrvHash>,
        arriving: &mut Arriving,
    ) {
        if arriving.derivations.contains_key(&path) {
            arriving.hashes.insert(path, hash);
        } else {
            lock(&self.derivation_hashes).insert(path, hash);
        }
    }

    /// Reads and remembers a derivation, valid or not, as long as its file is there.
    pub fn read_derivation(&self, path: &StorePath) -> Result<Arc<Derivation>> {
        if let Some(drv) = lock(&self.derivations).get(path) {
            return Ok(drv.clone());
        }
        let drv = self.parse_derivation(path, &self.real_path(path))?;
        lock(&self.derivations).insert(path.clone(), drv.clone());
        Ok(drv)
    }

    /// Reads a derivation that lies somewhere.
    fn parse_derivation(&self, path: &StorePath, file: &Path) -> Result<Arc<Derivation>> {
        let name = path.derivation_name()?;
        let text = std::fs::read(file).context("read the derivation", file)?;
        let drv = Derivation::parse(self.store_dir(), &text, name).map_err(|source| {
            Error::FormatIn { path: self.real_path(path), source: Box::new(source) }
        })?;
        Ok(Arc::new(drv))
    }

    /// Forgets what was read of derivations before they were valid.
    pub(crate) fn forget_derivations<'a>(
        &self,
        paths: impl Iterator<Item = &'a StorePath>,
    ) {
        for path in paths.filter(|path| path.is_derivation()) {
            lock(&self.derivations).remove(path);
            lock(&self.derivation_hashes).remove(path);
        }
    }
}
