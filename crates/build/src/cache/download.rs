//! Copying one object from a cache: stream, decompress, bound, unpack, hash, register.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

use picnix_fetch::Stream;
use picnix_store::Store;
use picnix_store_core::{PathInfo, Sha256};

use crate::cache::error::CacheError;
use crate::cache::offers::Offer;
use crate::cache::remote::BinaryCache;
use crate::cancel::Cancel;

/// How much is read at a time.
const BUFFER_SIZE: usize = 256 * 1024;
/// For who reads little at once; larger reads pass the buffer by.
const SMALL_BUFFER_SIZE: usize = 16 * 1024;

/// A copy to be made.
pub(crate) struct Download<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a BinaryCache,
    pub(crate) offer: &'a Offer,
    pub(crate) cancel: &'a Cancel,
    /// Whether the object takes the place of what is valid.
    pub(crate) replaces: bool,
    /// Told the bytes that came, and how many there will be.
    pub(crate) progress: &'a dyn Fn(u64, Option<u64>),
}

/// Why a copy failed.
pub(crate) struct DownloadError {
    pub(crate) error: CacheError,
    /// Whether the cache could not be reached any more, rather than had something wrong.
    pub(crate) is_transport: bool,
}

/// Makes an offered path valid. Its references must be.
pub(crate) fn download(job: &Download<'_>) -> Result<(), DownloadError> {
    let transport = Cell::new(false);
    let fail = |error: CacheError| {
        let is_transport = transport.get() || matches!(error, CacheError::Fetch(_));
        let error =
            if job.cancel.is_cancelled() { CacheError::Interrupted } else { error };
        DownloadError { error, is_transport }
    };
    with_nar(job, &transport, fail, |nar| {
        let placed = match job.replaces {
            true => job.store.replace_by_nar(nar, &job.offer.info),
            false => job.store.add_nar(nar, &job.offer.info),
        };
        placed.map_err(CacheError::from)
    })
}

/// Reads the NAR of an offered path into memory. It has the length and the hash that were announced.
pub(crate) fn read_nar(job: &Download<'_>) -> Result<Vec<u8>, CacheError> {
    let PathInfo { path, nar_size, nar_hash, .. } = &job.offer.info;
    let fail = |error| DownloadError { error, is_transport: false };
    let mut nar = Vec::new();
    with_nar(job, &Cell::new(false), fail, |source| {
        source.read_to_end(&mut nar).map_err(|source| {
            let path = path.to_string().into();
            CacheError::Io { action: "download", path, source }
        })
    })
    .map_err(|failed| failed.error)?;
    let (actual, hash) = (nar.len() as u64, Sha256::of(&nar));
    let (path, expected) = (path.clone(), *nar_size);
    if actual != expected {
        return Err(picnix_store::Error::SizeMismatch { path, expected, actual }.into());
    }
    if hash != *nar_hash {
        let (expected, actual) = (nar_hash.nix32(), hash.nix32());
        return Err(picnix_store::Error::HashMismatch { path, expected, actual }.into());
    }
    Ok(nar)
}

/// Opens the NAR of an offered path for somebody: watched, decompressed, and not longer than announced.
fn with_nar<T>(
    job: &Download<'_>,
    transport: &Cell<bool>,
    fail: impl Fn(CacheError) -> DownloadError,
    work: impl FnOnce(&mut dyn BufRead) -> Result<T, CacheError>,
) -> Result<T, DownloadError> {
    let stream = job.cache.open_nar(&job.offer.narinfo).map_err(&fail)?;
    let total = job.offer.download_bytes.or(stream.total_bytes());
    let watched = Watched { stream, job, total, done: 0, failed: transport };
    let compressed = BufReader::with_capacity(BUFFER_SIZE, watched);
    let decoder = job.offer.compression.decoder(compressed);
    let decoder = decoder.map_err(|source| {
        let path = job.offer.info.path.to_string().into();
        fail(CacheError::Io { action: "decompress", path, source })
    })?;
    let bounded = Bounded { source: decoder, left: job.offer.info.nar_size };
    work(&mut BufReader::with_capacity(SMALL_BUFFER_SIZE, bounded)).map_err(fail)
}

/// A stream that reports how far it is and ends when the caller asks for it.
struct Watched<'a> {
    stream: Stream<'a>,
    job: &'a Download<'a>,
    total: Option<u64>,
    done: u64,
    failed: &'a Cell<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.job.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.stream.read(buffer).inspect_err(|_| self.failed.set(true))?;
        self.done += count as u64;
        (self.job.progress)(self.done, self.total);
        Ok(count)
    }
}

/// A NAR that is not longer than announced, whatever its compressed form unpacks to.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.source.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
