//! Copying closures to a cache.
//!
//! An object is dumped once, through the hash of its NAR, the compressor and the hash of the file,
//! into a temporary file; then the file is uploaded under its hash, and the narinfo last, so that
//! what a cache describes is there. References go before what refers to them: a cache is closed at
//! every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use picnix_fetch::Client;
use picnix_store::{DumpSink, Room, Store};
use picnix_store_core::{Hash, HashAlgo, HashSink, NarInfo, SecretKey, StorePath};

use crate::cache::address::CacheAddress;
use crate::cache::compression::FileEncoder;
use crate::cache::error::CacheError;
use crate::cache::remote::BinaryCache;
use crate::cancel::Cancel;
use crate::schedule::{self, Lane, Node, Policy};

/// How to copy to a cache.
pub struct UploadOptions<'a> {
    /// The cache.
    pub address: CacheAddress,
    /// How patient the client is.
    pub fetch: picnix_fetch::Config,
    /// How many objects are compressed and sent at a time.
    pub jobs: usize,
    /// A key that signs what is sent; the store's own signatures are sent in any case.
    pub sign_with: Option<&'a SecretKey>,
    /// The caller's request to stop.
    pub cancel: &'a Cancel,
    /// Told each path that is sent now.
    pub progress: &'a (dyn Fn(&StorePath) + Sync),
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadReport {
    /// Objects that were sent.
    pub sent: usize,
    /// Objects that the cache had already.
    pub present: usize,
    /// The bytes of the compressed NARs that were sent.
    pub sent_bytes: u64,
}

/// Copies the closure of some valid paths to a cache.
///
/// # Errors
/// A path is not valid, the cache cannot be written, or the caller asked to stop. What was sent
/// until then stays.
pub fn upload(
    store: &Store,
    roots: &BTreeSet<StorePath>,
    options: &UploadOptions<'_>,
) -> Result<UploadReport, CacheError> {
    store.add_temp_roots(roots)?;
    let graph = store.graph(roots)?;
    let order = graph.topological_order().map_err(picnix_store::Error::from)?;
    let mut nodes = Vec::with_capacity(order.len());
    let index: BTreeMap<&StorePath, usize> =
        order.iter().enumerate().map(|(at, path)| (path, at)).collect();
    for path in &order {
        let references = graph.references(path).map_err(picnix_store::Error::from)?;
        let needs = references.filter_map(|reference| index.get(reference).copied());
        nodes.push(Node { lane: Lane::Fetch, needs: needs.collect() });
    }
    let cache = BinaryCache {
        address: options.address.clone(),
        client: Arc::new(Client::new(options.fetch.clone())),
        store_dir: store.store_dir().clone(),
    };
    cache.make()?;
    let (sent, sent_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let policy =
        Policy { build_threads: 1, fetch_threads: options.jobs, keep_going: false };
    let outcome = schedule::run(&nodes, policy, options.cancel, &|at| {
        if let Some(size) = send(store, &cache, &order[at], options)? {
            sent.fetch_add(1, Ordering::Relaxed);
            sent_bytes.fetch_add(size, Ordering::Relaxed);
        }
        Ok::<(), CacheError>(())
    });
    if let Some((_, error)) = outcome.failures.into_iter().next() {
        return Err(error);
    }
    if outcome.not_run > 0 {
        return Err(CacheError::Interrupted);
    }
    let sent = sent.into_inner();
    let (present, sent_bytes) = (order.len() - sent, sent_bytes.into_inner());
    Ok(UploadReport { sent, present, sent_bytes })
}

/// Sends one object, unless the cache has it; returns the size of its compressed NAR.
fn send(
    store: &Store,
    cache: &BinaryCache,
    path: &StorePath,
    options: &UploadOptions<'_>,
) -> Result<Option<u64>, CacheError> {
    if cache.has_narinfo(path)? {
        return Ok(None);
    }
    (options.progress)(path);
    let mut info = store.path_info(path)?;
    if let Some(key) = options.sign_with {
        info.sign(store.store_dir(), key).map_err(picnix_store::Error::from)?;
    }
    let temp = store.temp_path()?;
    let packed = pack(store, path, &temp, options)?;
    if packed.nar_hash != info.nar_hash.into() || packed.nar_size != info.nar_size {
        return Err(CacheError::Modified(path.clone()));
    }
    let compression = options.address.compression;
    let hash = packed.file_hash.print(picnix_store_core::HashFormat::Nix32);
    let url = format!("nar/{hash}.nar{}", compression.suffix());
    cache.put_nar(&url, &temp)?;
    // A folder on the same file system took the file itself.
    let _ = std::fs::remove_file(&temp);
    cache.put_narinfo(&NarInfo {
        info,
        url,
        compression: compression.name().to_owned(),
        file_hash: Some(packed.file_hash),
        file_size: Some(packed.file_size),
    })?;
    Ok(Some(packed.file_size))
}

struct Packed {
    nar_hash: Hash,
    nar_size: u64,
    file_hash: Hash,
    file_size: u64,
}

fn pack(
    store: &Store,
    path: &StorePath,
    temp: &Path,
    options: &UploadOptions<'_>,
) -> Result<Packed, CacheError> {
    let fail = |source| CacheError::Io { action: "write", path: temp.to_owned(), source };
    let CacheAddress { compression, compression_level, .. } = options.address;
    let file = HashedFile {
        file: File::create(temp).map_err(fail)?,
        sink: HashSink::new(HashAlgo::Sha256),
    };
    let mut dump = HashedDump {
        encoder: compression.encoder(file, compression_level)?,
        hashed: 0,
        sink: HashSink::new(HashAlgo::Sha256),
        cancel: options.cancel,
    };
    if let Err(error) = store.dump_into(path, &mut dump) {
        return Err(if options.cancel.is_cancelled() {
            CacheError::Interrupted
        } else {
            error.into()
        });
    }
    dump.hash_waiting();
    let (nar_hash, nar_size) = dump.sink.finish();
    let file = dump.encoder.finish().map_err(fail)?;
    file.file.sync_data().map_err(fail)?;
    let (file_hash, file_size) = file.sink.finish();
    Ok(Packed { nar_hash, nar_size, file_hash, file_size })
}

/// A file that knows its hash.
pub(crate) struct HashedFile<W> {
    file: W,
    sink: HashSink,
}

impl<W: Write> Write for HashedFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.sink.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A NAR on its way to the compressor.
struct HashedDump<'a> {
    encoder: FileEncoder,
    /// How many of the bytes that wait in the encoder are hashed.
    hashed: usize,
    sink: HashSink,
    cancel: &'a Cancel,
}

impl HashedDump<'_> {
    /// Hashes what was put into the encoder's memory.
    fn hash_waiting(&mut self) {
        let waiting = self.encoder.waiting();
        self.sink.update(&waiting[self.hashed..]);
        self.hashed = waiting.len();
    }

    fn prepare(&mut self) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        self.hash_waiting();
        Ok(())
    }
}

impl DumpSink for HashedDump<'_> {
    fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>> {
        self.prepare()?;
        let room = self.encoder.room(max)?;
        self.hashed = room.as_ref().map_or(0, |room| room.bytes.len());
        Ok(room)
    }
}

impl Write for HashedDump<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.prepare()?;
        self.encoder.write_all(bytes)?;
        self.sink.update(bytes);
        self.hashed = self.encoder.waiting().len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
