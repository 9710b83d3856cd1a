//! Derivations in memory, for the unit tests of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picnix_store_core::{
    Derivation, DerivationOutput, DrvHash, InputOutputs, OutputName, StoreDir, StorePath,
};

use crate::error::Error;
use crate::plan::Recipes;

#[derive(Default)]
pub(crate) struct TestRecipes {
    derivations: BTreeMap<StorePath, Derivation>,
    hashes: BTreeMap<StorePath, Arc<DrvHash>>,
    valid: BTreeSet<StorePath>,
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
            env: BTreeMap::from([(b"out".to_vec(), Vec::new())]),
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
}
