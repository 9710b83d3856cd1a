//! The hashes modulo of derivations in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use picnix_store::Store;
use picnix_store_core::{DrvHash, StorePath};

use crate::error::Error;
use crate::plan::{Recipes, Step};

/// Hashes that were computed already.
pub(crate) type Hashes = BTreeMap<StorePath, Arc<DrvHash>>;

/// Checks that steps make the paths that follow from them: a derivation may have been written by anybody. One that lacks what
/// it is built from cannot be checked.
///
/// # Errors
/// [`Error::Malformed`] where a derivation claims another path.
pub(crate) fn check_paths(store: &Store, steps: &[Step]) -> Result<(), Error> {
    let mut known = Hashes::new();
    for Step { drv_path, derivation, .. } in steps {
        let mut inputs = derivation.input_drvs.keys();
        if inputs.any(|input| hash_of(store, input, &mut known).is_err()) {
            continue;
        }
        let lookup =
            |input: &StorePath| Ok::<_, picnix_store_core::Error>(known[input].clone());
        derivation
            .check_output_paths(store.store_dir(), lookup)
            .map_err(|source| Error::Malformed { drv_path: drv_path.clone(), source })?;
    }
    Ok(())
}

/// The hash modulo of a derivation whose inputs are all there, down to the sources.
///
/// # Errors
/// Where a derivation is missing or malformed, or derivations need each other.
pub(crate) fn hash_of(
    store: &Store,
    drv_path: &StorePath,
    known: &mut Hashes,
) -> Result<Arc<DrvHash>, Error> {
    // Depth first without recursion: a path stays until the hashes of its inputs are known.
    let mut stack = vec![(drv_path.clone(), false)];
    while let Some((path, inputs_are_done)) = stack.pop() {
        if known.contains_key(&path) {
            continue;
        }
        let derivation = Recipes::derivation(store, &path)?;
        let mut missing: Vec<(StorePath, bool)> = derivation
            .input_drvs
            .keys()
            .filter(|input| !known.contains_key(*input))
            .map(|input| (input.clone(), false))
            .collect();
        if missing.is_empty() {
            let hash = derivation.hash_modulo(store.store_dir(), |input| {
                Ok::<_, picnix_store_core::Error>(known[input].clone())
            });
            let malformed = |source| Error::Malformed { drv_path: path.clone(), source };
            known.insert(path.clone(), Arc::new(hash.map_err(malformed)?));
        } else if inputs_are_done {
            return Err(Error::Cycle { drv_path: path });
        } else {
            stack.push((path, true));
            stack.append(&mut missing);
        }
    }
    Ok(known[drv_path].clone())
}
