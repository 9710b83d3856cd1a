//! Content-addressed copies of what a cache has: an object and everything that it refers to, each under the path
//! that follows from its contents.
//!
//! What Nix's `nix store make-content-addressed` does, byte for byte: references become those of the copies,
//! written as whole store paths; the hash of the result modulo its own digest gives the new path; then the own
//! digest becomes the new one. Nobody has to vouch for the objects: whoever asks knows the path that must come out.
//!
//! As in Nix, an object is in memory as a whole; [`MAX_NAR_BYTES`] is the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use picnix_closure::{Graph, Node};
use picnix_store::Store;
use picnix_store_core::refscan::{HashModuloSink, rewrite_digests};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, HashAlgo, PathInfo, References, Sha256,
    StoreDir, StorePath,
};

use crate::cache::error::CacheError;
use crate::cache::offers::Offer;
use crate::cache::substituters::{Substituters, Warn};
use crate::cancel::Cancel;

/// The longest NAR that is rewritten: it is in memory twice.
pub(crate) const MAX_NAR_BYTES: u64 = 2 << 30;

/// Where the bytes of an object are.
enum Source {
    Cache(Arc<Offer>),
    Store(Box<PathInfo>),
}

impl Source {
    fn info(&self) -> &PathInfo {
        match self {
            Self::Cache(offer) => &offer.info,
            Self::Store(info) => info,
        }
    }
}

/// Makes a content-addressed copy of an object of the store or of a cache valid, closure included, and returns its
/// path.
///
/// # Errors
/// Nobody has the object with its closure, something of it is too large, or it cannot be read or written.
pub fn readdress(
    store: &Store,
    substituters: &Substituters,
    path: &StorePath,
    cancel: &Cancel,
    warn: Warn<'_>,
) -> Result<StorePath, CacheError> {
    let sources = sources(store, substituters, path, warn)?;
    let node = |source: &Source| {
        let PathInfo { path, nar_size, references, .. } = source.info().clone();
        Node { path, nar_size, references }
    };
    let graph = Graph::new(sources.values().map(node));
    let order = graph.and_then(|graph| graph.topological_order());
    let order = order.map_err(|_| CacheError::Missing(path.clone()))?;
    let mut copies: BTreeMap<StorePath, StorePath> = BTreeMap::new();
    for path in order {
        if cancel.is_cancelled() {
            return Err(CacheError::Interrupted);
        }
        let Some(source) = sources.get(&path) else { continue };
        let nar = read(store, substituters, source, cancel)?;
        let (nar, info) = copy_of(store.store_dir(), source.info(), nar, &copies)
            .map_err(|error| CacheError::Store(picnix_store::Error::from(error)))?;
        store.add_nar(&nar[..], &info)?;
        copies.insert(path, info.path);
    }
    copies.remove(path).ok_or_else(|| CacheError::Missing(path.clone()))
}

/// The object and everything that it refers to.
fn sources(
    store: &Store,
    substituters: &Substituters,
    path: &StorePath,
    warn: Warn<'_>,
) -> Result<BTreeMap<StorePath, Source>, CacheError> {
    let mut sources = BTreeMap::new();
    let mut valid = BTreeSet::new();
    if store.is_valid(path)? {
        valid.insert(path.clone());
    } else {
        let wanted = BTreeSet::from([path.clone()]);
        let offers = substituters.offers_of_paths(store, &wanted, warn)?;
        for offer in offers.values() {
            let others = offer.info.references.iter();
            valid.extend(others.filter(|path| !offers.contains_key(*path)).cloned());
        }
        let cached = offers.into_iter();
        sources.extend(cached.map(|(path, offer)| (path, Source::Cache(offer))));
        if !sources.contains_key(path) {
            return Err(CacheError::Missing(path.clone()));
        }
    }
    for path in store.closure(&valid)? {
        let info = store.path_info(&path)?;
        sources.entry(path).or_insert(Source::Store(Box::new(info)));
    }
    Ok(sources)
}

fn read(
    store: &Store,
    substituters: &Substituters,
    source: &Source,
    cancel: &Cancel,
) -> Result<Vec<u8>, CacheError> {
    let PathInfo { path, nar_size, .. } = source.info();
    if *nar_size > MAX_NAR_BYTES {
        return Err(CacheError::TooLarge { path: path.clone(), limit: MAX_NAR_BYTES });
    }
    match source {
        Source::Cache(offer) => substituters.read_nar(store, offer, cancel),
        Source::Store(_) => {
            let mut nar = Vec::new();
            store.dump(path, &mut nar)?;
            Ok(nar)
        }
    }
}

/// The copy of an object, and what is to be known of it.
fn copy_of(
    store_dir: &StoreDir,
    from: &PathInfo,
    mut nar: Vec<u8>,
    copies: &BTreeMap<StorePath, StorePath>,
) -> picnix_store_core::Result<(Vec<u8>, PathInfo)> {
    let mut references = References::none();
    for reference in &from.references {
        if *reference == from.path {
            references.itself = true;
            continue;
        }
        let copy = copies.get(reference).unwrap_or(reference);
        if copy != reference {
            let (old, new) = (store_dir.print(reference), store_dir.print(copy));
            replace(&mut nar, old.as_bytes(), new.as_bytes());
        }
        references.others.insert(copy.clone());
    }
    let mut modulo = HashModuloSink::new(HashAlgo::Sha256, &from.path);
    modulo.write_all(&nar).map_err(picnix_store_core::Error::Io)?;
    let method = ContentAddressMethod::Nar;
    let address = ContentAddress { method, hash: modulo.finish().0 };
    let path = store_dir.make_content_path(from.path.name(), &address, &references)?;
    let nar = rewrite_digests(&nar, &[(from.path.digest_text(), path.digest_text())]);
    let mut info = PathInfo::new(path.clone(), Sha256::of(&nar), nar.len() as u64);
    info.content_address = Some(address);
    info.references = references.others;
    if references.itself {
        info.references.insert(path);
    }
    Ok((nar, info))
}

/// Replaces one text by another of the same length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let finder = memchr::memmem::Finder::new(from);
    let mut start = 0;
    while let Some(at) = finder.find(&bytes[start..]) {
        let end = start + at + from.len();
        bytes[start + at..end].copy_from_slice(to);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(fill: u8, name: &str) -> StorePath {
        StorePath::from_parts([fill; 20], name.as_bytes()).unwrap()
    }

    #[test]
    fn whole_paths_are_replaced_and_nothing_else() {
        let dir = StoreDir::default();
        let (own, old, new) = (path(1, "x"), path(2, "dep"), path(3, "dep"));
        let text =
            format!("{own} {}/bin {} {old}-", dir.print(&old), dir.print(&path(2, "de")));
        let mut from = PathInfo::new(own.clone(), Sha256::of(b""), text.len() as u64);
        from.references = BTreeSet::from([own.clone(), old.clone()]);
        let copies = BTreeMap::from([(old.clone(), new.clone())]);
        let (nar, info) = copy_of(&dir, &from, text.into_bytes(), &copies).unwrap();
        let expected = format!(
            "{} {}/bin {} {old}-",
            info.path,
            dir.print(&new),
            dir.print(&path(2, "de"))
        );
        assert_eq!(String::from_utf8(nar).unwrap(), expected);
        assert_eq!(info.references, BTreeSet::from([info.path.clone(), new]));
        assert!(info.is_content_addressed(&dir));
        assert_ne!(info.path, own);
    }
}
