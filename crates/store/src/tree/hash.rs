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

#[cfg(test)]
mod tests {
    use super::*;
    use picnix_store_core::nar::Fso;

    #[test]
    fn files_of_any_length_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let lens = [3, 300_000, 0, 262_144, 70_001, 2_000_003, 200_000, 1, 524_289];
        let mut entries = std::collections::BTreeMap::new();
        for (number, len) in lens.into_iter().enumerate() {
            let name = format!("file-{number}");
            let contents: Vec<u8> = (0..=250).cycle().skip(number).take(len).collect();
            std::fs::write(dir.path().join(&name), &contents).unwrap();
            entries.insert(name.into_bytes(), Fso::File { executable: false, contents });
        }
        let nar = Fso::Directory(entries).to_nar().unwrap();
        for algo in [HashAlgo::Sha256, HashAlgo::Md5] {
            let wanted = (Hash::of(algo, &nar), nar.len() as u64);
            assert_eq!(hash_tree(dir.path(), algo).unwrap(), wanted);
        }
        let written = dump(dir.path(), crate::pipe::Written(Vec::new())).unwrap();
        assert!(written.0 == nar);
    }
}
