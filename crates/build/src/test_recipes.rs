//! Derivations in memory, for the unit tests of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picnix_store_core::{
    Derivation, DerivationOutput, DrvHash, InputOutputs, NarInfo, OutputName, PathInfo,
    Sha256, StoreDir, StorePath,
};

use crate::cache::{Compression, Offer, Offers, Wanted};
use crate::error::Error;
use crate::plan::Recipes;

#[derive(Default)]
pub(crate) struct TestRecipes {
    derivations: BTreeMap<StorePath, Derivation>,
    hashes: BTreeMap<StorePath, Arc<DrvHash>>,
    valid: BTreeSet<StorePath>,
    /// What caches have, with all that it refers to.
    offered: Offers,
}

impl TestRecipes {
    /// Adds a derivation with one output.
    pub(crate) fn add(
        &mut self,
        name: &str,
        builder: &str,
        inputs: &[&StorePath],
    ) -> StorePath {
        let dir = StoreDir::default();
        let out = OutputName::out();
        let input_outputs = InputOutputs::from(BTreeSet::from([out.clone()]));
        let inputs = inputs.iter().map(|path| ((*path).clone(), input_outputs.clone()));
        let mut derivation = Derivation {
            name: name.to_owned(),
            outputs: BTreeMap::from([(out, DerivationOutput::Deferred)]),
            input_srcs: BTreeSet::new(),
            input_drvs: inputs.collect(),
            system: b"x86_64-linux".to_vec(),
            builder: builder.into(),
            args: Vec::new(),
            env: [("out", "")].into_iter().collect(),
            structured_attrs: None,
        };
        let lookup = |path: &StorePath| -> picnix_store_core::Result<_> {
            Ok(self.hashes[path].clone())
        };
        derivation.fill_in_output_paths(&dir, lookup).unwrap();
        let hash = derivation.hash_modulo(&dir, lookup).unwrap();
        let path = derivation.to_text(&dir).unwrap().path;
        self.hashes.insert(path.clone(), Arc::new(hash));
        self.derivations.insert(path.clone(), derivation);
        path
    }

    /// Lets a cache have the output of a derivation, which refers to those of others.
    pub(crate) fn offer(&mut self, drv_path: &StorePath, references: &[&StorePath]) {
        let path = self.output(drv_path);
        let mut info = PathInfo::new(path.clone(), Sha256([0; 32]), 120);
        info.references =
            references.iter().map(|drv_path| self.output(drv_path)).collect();
        let narinfo = NarInfo {
            info: info.clone(),
            url: "nar/x".to_owned(),
            compression: "none".to_owned(),
            file_hash: None,
            file_size: Some(50),
        };
        let (compression, download_bytes) = (Compression::None, narinfo.file_size);
        let offer = Offer { info, download_bytes, cache: 0, compression, narinfo };
        self.offered.insert(path, Arc::new(offer));
    }

    fn output(&self, drv_path: &StorePath) -> StorePath {
        let outputs =
            self.derivations[drv_path].output_paths(&StoreDir::default()).unwrap();
        outputs[&OutputName::out()].clone().unwrap()
    }

    /// Makes the outputs of a derivation valid.
    pub(crate) fn make_valid(&mut self, drv_path: &StorePath) {
        let outputs =
            self.derivations[drv_path].output_paths(&StoreDir::default()).unwrap();
        self.valid.extend(outputs.into_values().flatten());
    }
}

impl Recipes for TestRecipes {
    fn derivation(&self, drv_path: &StorePath) -> Result<Arc<Derivation>, Error> {
        Ok(Arc::new(self.derivations[drv_path].clone()))
    }

    fn valid_among(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error> {
        Ok(paths.intersection(&self.valid).cloned().collect())
    }

    fn offers(&self, wanted: &[Wanted<'_>]) -> Result<Offers, Error> {
        let mut found = Offers::new();
        let mut todo: Vec<StorePath> =
            wanted.iter().flat_map(|wanted| wanted.paths.clone()).collect();
        while let Some(path) = todo.pop() {
            if let Some(offer) = self.offered.get(&path) {
                todo.extend(offer.info.references.clone());
                found.insert(path, offer.clone());
            }
        }
        Ok(found)
    }
}
