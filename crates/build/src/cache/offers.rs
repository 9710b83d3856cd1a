//! What caches offer, and what they are asked for: the planner's side of substitution.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picnix_store_core::{Derivation, NarInfo, PathInfo, StorePath};

use crate::cache::compression::Compression;

/// A path that a cache has, with everything that is known before it is downloaded.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The object: believed, but not seen yet.
    pub info: PathInfo,
    /// The bytes to download, where the cache says it.
    pub download_bytes: Option<u64>,
    /// Which of the caches has it.
    pub(crate) cache: usize,
    pub(crate) compression: Compression,
    pub(crate) narinfo: NarInfo,
}

/// Offers by path, closed: what an offer refers to is valid or offered too.
pub type Offers = BTreeMap<StorePath, Arc<Offer>>;

/// Outputs of a derivation that are looked for in caches.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The derivation path.
    pub drv_path: &'a StorePath,
    /// The derivation.
    pub derivation: &'a Derivation,
    /// The outputs' paths, none of which is valid.
    pub paths: BTreeSet<StorePath>,
}
