//! Derivations that are about to be built, checked once more: an older picnix let any into the store.

use std::collections::BTreeMap;

use picnix_store::Store;

use crate::error::Error;
use crate::plan::Step;

/// Checks that steps make the paths that follow from them. A derivation that lacks what it is built from cannot be
/// checked.
///
/// # Errors
/// [`Error::Malformed`] where a derivation claims another path.
pub(crate) fn check_paths(store: &Store, steps: &[Step]) -> Result<(), Error> {
    for Step { drv_path, derivation, .. } in steps {
        let inputs = derivation.input_drvs.keys();
        let hashes: Result<BTreeMap<_, _>, _> =
            inputs.map(|input| Ok((input, store.derivation_hash(input)?))).collect();
        let Ok::<_, picnix_store::Error>(hashes) = hashes else { continue };
        derivation
            .check_output_paths(store.store_dir(), |input| {
                Ok::<_, picnix_store_core::Error>(hashes[input].clone())
            })
            .map_err(|source| Error::Malformed { drv_path: drv_path.clone(), source })?;
    }
    Ok(())
}
