//! Hashes of what is on the disk, in a store or not.

use std::path::Path;

use picnix_store_core::{Hash, HashAlgo, HashSink};

use super::dump::{dump, read_flat};
use crate::error::Result;
use crate::pipe::HashPipe;

/// The hash and the size of the NAR of a tree.
///
/// # Errors
/// It cannot be read, or holds what no NAR can hold.
pub fn hash_tree(path: &Path, algo: HashAlgo) -> Result<(Hash, u64)> {
    Ok(dump(path, HashPipe::new(algo))?.finish())
}

/// The hash and the size of a regular file; links to it are not followed.
pub(crate) fn hash_file(path: &Path, algo: HashAlgo) -> Result<(Hash, u64)> {
    let mut sink = HashSink::new(algo);
    read_flat(path, |bytes| sink.update(bytes))?;
    Ok(sink.finish())
}
