//! The hashes modulo of derivations in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use picnix_store::Store;
use picnix_store_core::{DrvHash, StorePath};

use crate::error::Error;
use crate::plan::Recipes;

/// The hash modulo of a derivation whose inputs are all there, down to the sources.
///
/// # Errors
/// Where a derivation is missing or malformed, or derivations need each other.
pub(crate) fn hash_of(
    store: &Store,
    drv_path: &StorePath,
) -> Result<Arc<DrvHash>, Error> {
    let mut known: BTreeMap<StorePath, Arc<DrvHash>> = BTreeMap::new();
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
