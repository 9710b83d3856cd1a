//! Adding what arrives as a stream and is addressed by its contents, which nobody knows beforehand.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use picnix_store_core::{ContentAddressMethod, Hash, HashAlgo, StorePath};

use crate::add::{AddRequest, HashingReader};
use crate::error::{Context, Result};
use crate::pipe::{HashPipe, Tee};
use crate::store::Store;
use crate::tree::{canonicalise, dump, remove_tree, restore};

/// How much of a stream is copied at a time.
const COPY_SIZE: usize = 256 * 1024;

impl Store {
    /// Adds what a stream holds: a NAR, or the bytes of a file, as the request's method says.
    ///
    /// If the path turns out to be valid already, what came is dropped. The path is a temporary root
    /// afterwards.
    pub fn add_stream(
        &self,
        source: impl BufRead,
        request: &AddRequest,
    ) -> Result<StorePath> {
        let from = self.temp_path()?;
        let added = match request.method {
            ContentAddressMethod::Nar => restore_hashed(source, &from, request.algo),
            ContentAddressMethod::Flat | ContentAddressMethod::Text => {
                write_hashed(source, &from, request.algo)
            }
        };
        let placed = added.and_then(|(hash, nar_hash, nar_size)| {
            let path = self.content_path(request, hash)?;
            if self.is_kept(&path)? {
                remove_tree(&from)?;
                return Ok(path);
            }
            let nar_hash = nar_hash.sha256().expect("the pipe hashes with SHA-256");
            let (address, nar) = (request.address(hash), (nar_hash, nar_size));
            self.place_content(from.clone(), path, address, &request.references, nar)
        });
        if placed.is_err() {
            // It may be large. What cannot be removed now goes with the session.
            let _ = remove_tree(&from);
        }
        placed
    }
}

/// Restores a NAR; its hash by an algorithm, and by SHA-256 with its length.
fn restore_hashed(
    source: impl BufRead,
    to: &Path,
    algo: HashAlgo,
) -> Result<(Hash, Hash, u64)> {
    let mut source = HashingReader { source, pipe: HashPipe::new(HashAlgo::Sha256) };
    restore(&mut source, to)?;
    let (nar_hash, nar_size) = source.pipe.finish();
    if algo == HashAlgo::Sha256 {
        return Ok((nar_hash, nar_hash, nar_size));
    }
    let hash = dump(to, HashPipe::new(algo))?.finish().0;
    Ok((hash, nar_hash, nar_size))
}

/// Writes a file; the hash of its bytes, and that of its NAR with its length.
fn write_hashed(
    mut source: impl BufRead,
    to: &Path,
    algo: HashAlgo,
) -> Result<(Hash, Hash, u64)> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o644).open(to);
    let file = BufWriter::with_capacity(COPY_SIZE, file.context("create", to)?);
    let mut sink = Tee(HashPipe::new(algo), file);
    io::copy(&mut source, &mut sink).context("write", to)?;
    let Tee(pipe, mut file) = sink;
    file.flush().context("write", to)?;
    drop(file);
    canonicalise(to)?;
    let hash = pipe.finish().0;
    let (nar_hash, nar_size) = dump(to, HashPipe::new(HashAlgo::Sha256))?.finish();
    Ok((hash, nar_hash, nar_size))
}
