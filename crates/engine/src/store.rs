//! What an evaluation needs of a store.

use picnix_eval::world::{Realisation, WorldResult};
use picnix_store_core::{ContentAddress, StorePath};

use crate::world::{Archive, PendingText};

/// A store, as seen by the world of an evaluation.
pub trait StoreAccess {
    /// Whether an object is there and complete.
    ///
    /// # Errors
    /// The store cannot be asked.
    fn is_valid(&self, path: &StorePath) -> WorldResult<bool>;

    /// Adds text objects, in one transaction, skipping those that are valid.
    ///
    /// # Errors
    /// The store refuses.
    fn add_texts(&self, texts: Vec<PendingText>) -> WorldResult<()>;

    /// Adds an object whose contents are known.
    ///
    /// # Errors
    /// The store refuses.
    fn add_archive(
        &self,
        path: &StorePath,
        archive: &Archive,
        address: &ContentAddress,
    ) -> WorldResult<()>;

    /// Makes things valid, by building if need be.
    ///
    /// # Errors
    /// A build failed.
    fn realise(&self, what: &[Realisation]) -> WorldResult<()>;
}
