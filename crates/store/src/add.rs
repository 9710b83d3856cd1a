//! Adding objects: texts, sources from the disk, trees from memory, NARs from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use picnix_store_core::nar::{Fso, NarEvent, NarWriter};
use picnix_store_core::refscan::HashModuloSink;
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, HashFormat, HashSink, PathInfo,
    References, Sha256, StoreDir, StorePath,
};

use crate::error::{Error, Result};
use crate::pipe::{HashPipe, HashedSource, Maybe, Tee, Written};
use crate::place::Placement;
use crate::store::Store;
use crate::tree::{
    Filter, copy_filtered, dump, dump_filtered, hash_file, read_flat, remove_tree,
    restore, write_file,
};

/// Up to this size a source is kept in memory while it is hashed, and read only once.
const BUFFER_SIZE: usize = 8 << 20;

/// A text to be added: a `.drv` file, or what `builtins.toFile` makes.
#[derive(Clone, Copy, Debug)]
pub struct TextObject<'a> {
    /// The object's name.
    pub name: &'a str,
    /// Its contents.
    pub contents: &'a [u8],
    /// What it refers to; all of it valid or part of the same batch.
    pub references: &'a BTreeSet<StorePath>,
}

/// How a source becomes an object.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// The object's name.
    pub name: String,
    /// How it becomes the bytes that are hashed.
    pub method: ContentAddressMethod,
    /// How they are hashed.
    pub algo: HashAlgo,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
}

impl AddRequest {
    /// A tree addressed by its NAR, as the language adds sources.
    pub fn source(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            method: ContentAddressMethod::Nar,
            algo: HashAlgo::Sha256,
            references: BTreeSet::new(),
        }
    }

    /// The bytes of a file.
    pub fn flat(name: impl Into<String>) -> Self {
        Self { method: ContentAddressMethod::Flat, ..Self::source(name) }
    }

    pub(crate) fn address(&self, hash: Hash) -> ContentAddress {
        ContentAddress { method: self.method, hash }
    }
}

/// Computes the path that [`Store::add_source`] would give in a store with this directory, without any store.
///
/// # Errors
/// The source cannot be read, or the filter stops.
pub fn source_path(
    store_dir: &StoreDir,
    source: &Path,
    request: &AddRequest,
    filter: &mut Filter<'_>,
) -> Result<StorePath> {
    let hash = match request.method {
        ContentAddressMethod::Nar => {
            let pipe = HashPipe::new(request.algo);
            dump_filtered(source, pipe, filter)?.finish().0
        }
        ContentAddressMethod::Flat | ContentAddressMethod::Text => {
            hash_flat(source, request.algo)?
        }
    };
    content_path(store_dir, request, hash)
}

fn content_path(
    store_dir: &StoreDir,
    request: &AddRequest,
    hash: Hash,
) -> Result<StorePath> {
    let references = References::from(request.references.clone());
    let address = request.address(hash);
    Ok(store_dir.make_content_path(&request.name, &address, &references)?)
}

impl Store {
    /// Adds a text, whoever has written it.
    ///
    /// # Errors
    /// It is a derivation whose outputs are not those that follow from it.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let text = TextObject { name, contents, references };
        let (mut paths, placements) = self.prepare_texts(&[text])?;
        if !placements.is_empty() {
            self.place(placements)?;
        }
        Ok(paths.pop().expect("there is one path for each text"))
    }

    /// Adds many texts in one transaction; those that are valid cost a query each.
    ///
    /// The paths are in the order of the texts. They are temporary roots afterwards. Derivations are believed to
    /// be what this process has made itself.
    pub fn add_texts(&self, texts: &[TextObject<'_>]) -> Result<Vec<StorePath>> {
        let (paths, placements) = self.prepare_texts(texts)?;
        if !placements.is_empty() {
            self.place_own(placements)?;
        }
        Ok(paths)
    }

    /// The paths of texts; those that are not valid lie under temporary names.
    fn prepare_texts(
        &self,
        texts: &[TextObject<'_>],
    ) -> Result<(Vec<StorePath>, Vec<Placement>)> {
        let mut paths = Vec::with_capacity(texts.len());
        for TextObject { name, contents, references } in texts {
            let hash = Sha256::of(contents);
            paths.push(self.store_dir().make_text_path(name, hash, references)?);
        }
        self.add_temp_roots(&paths)?;
        let mut done = self.valid_among(&paths)?;
        let mut placements = Vec::new();
        for (path, text) in paths.iter().zip(texts) {
            if done.insert(path.clone()) {
                let from = self.temp_path()?;
                write_file(&from, text.contents)?;
                let (nar_hash, nar_size) = nar_of_file(text.contents)?;
                let mut info = PathInfo::new(path.clone(), nar_hash, nar_size);
                info.references.clone_from(text.references);
                let (method, hash) =
                    (ContentAddressMethod::Text, Sha256::of(text.contents).into());
                info.content_address = Some(ContentAddress { method, hash });
                placements.push(Placement { from, info });
            }
        }
        Ok((paths, placements))
    }

    /// Computes the path that [`Store::add_source`] would give, without adding anything.
    pub fn source_path(
        &self,
        source: &Path,
        request: &AddRequest,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath> {
        source_path(self.store_dir(), source, request, filter)
    }

    /// Adds a file or a tree from the disk; what the filter does not let pass is left out.
    ///
    /// If the path is valid already, the source is only read. The path is a temporary root
    /// afterwards.
    pub fn add_source(
        &self,
        source: &Path,
        request: &AddRequest,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath> {
        match request.method {
            ContentAddressMethod::Nar => self.add_source_tree(source, request, filter),
            ContentAddressMethod::Flat | ContentAddressMethod::Text => {
                self.add_source_file(source, request)
            }
        }
    }

    fn add_source_file(&self, source: &Path, request: &AddRequest) -> Result<StorePath> {
        let path = self.content_path(request, hash_flat(source, request.algo)?)?;
        if self.is_kept(&path)? {
            return Ok(path);
        }
        // The file may have changed since; what is copied now is what counts.
        let mut contents = Vec::new();
        read_flat(source, |bytes| contents.extend_from_slice(bytes))?;
        self.add_bytes(&contents, request)
    }

    /// Adds bytes as a file that is not executable, by the request's flat method.
    pub fn add_bytes(&self, contents: &[u8], request: &AddRequest) -> Result<StorePath> {
        let hash = match request.method {
            ContentAddressMethod::Nar => hash_nar_of_file(contents, request.algo)?,
            ContentAddressMethod::Flat | ContentAddressMethod::Text => {
                Hash::of(request.algo, contents)
            }
        };
        let path = self.content_path(request, hash)?;
        if self.is_kept(&path)? {
            return Ok(path);
        }
        let from = self.temp_path()?;
        write_file(&from, contents)?;
        let nar = nar_of_file(contents)?;
        self.place_content(from, path, request.address(hash), &request.references, nar)
    }

    fn add_source_tree(
        &self,
        source: &Path,
        request: &AddRequest,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath> {
        // A second walk must see what the first one saw, and the filter may be slow.
        let mut answers = BTreeMap::new();
        let mut ask = |path: &Path, kind: crate::EntryKind| {
            // As bytes: paths are compared part by part, which takes longer than reading a file.
            let bytes = path.as_os_str().as_bytes();
            if let Some(keep) = answers.get(bytes) {
                return Ok(*keep);
            }
            let keep = filter(path, kind)?;
            answers.insert(bytes.to_vec(), keep);
            Ok(keep)
        };
        // A long tree is copied while it is hashed, unless it may well be here already.
        let is_known = self.database.has_name(&request.name)?;
        let overflow = if is_known { Overflow::Forgets } else { Overflow::Stops };
        let buffer = Buffer { bytes: Some(Vec::new()), overflow };
        let sink = Written(Tee(HashPipe::new(request.algo), buffer));
        let Written(Tee(pipe, buffer)) = match dump_filtered(source, sink, &mut ask) {
            Err(Error::Io { source: error, .. }) if is_overflow(&error) => {
                return self.add_long_source(source, request, &mut ask);
            }
            other => other?,
        };
        let (hash, _) = pipe.finish();
        let path = self.content_path(request, hash)?;
        if self.is_kept(&path)? {
            return Ok(path);
        }
        match buffer.bytes {
            Some(nar) => self.add_tree_nar(&nar, request),
            None => self.add_long_source(source, request, &mut ask),
        }
    }

    /// Adds a tree by its NAR in memory.
    fn add_tree_nar(&self, nar: &[u8], request: &AddRequest) -> Result<StorePath> {
        let hash = Hash::of(request.algo, nar);
        let path = self.content_path(request, hash)?;
        if self.is_kept(&path)? {
            return Ok(path);
        }
        let from = self.temp_path()?;
        restore(nar, &from)?;
        let nar = (Sha256::of(nar), nar.len() as u64);
        self.place_content(from, path, request.address(hash), &request.references, nar)
    }

    /// Copies and hashes a tree that is too long for memory.
    fn add_long_source(
        &self,
        source: &Path,
        request: &AddRequest,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath> {
        let from = self.temp_path()?;
        let hashes = Tee(HashPipe::new(HashAlgo::Sha256), second_hash(request.algo));
        let added = copy_filtered(source, hashes, filter, &from).and_then(|hashes| {
            let Tee(nar_pipe, other) = hashes;
            let (nar_hash, nar_size) = nar_pipe.finish();
            let hash = other.0.map_or(nar_hash, |pipe| pipe.finish().0);
            let path = self.content_path(request, hash)?;
            let nar_hash = nar_hash.sha256().expect("the pipe hashes with SHA-256");
            let (address, nar) = (request.address(hash), (nar_hash, nar_size));
            self.place_content(from.clone(), path, address, &request.references, nar)
        });
        if added.is_err() {
            // It is large. What cannot be removed now goes with the session.
            let _ = remove_tree(&from);
        }
        added
    }

    /// Adds a tree from memory, as a source.
    pub fn add_tree(&self, tree: &Fso, request: &AddRequest) -> Result<StorePath> {
        match (request.method, tree) {
            (ContentAddressMethod::Nar, _) => self.add_tree_nar(&tree.to_nar()?, request),
            (_, Fso::File { executable: false, contents }) => {
                self.add_bytes(contents, request)
            }
            _ => Err(Error::NotFlat(PathBuf::from(&request.name))),
        }
    }

    /// Adds an object from elsewhere by its NAR, checked against its info: the hash, the size, and
    /// the content address if it claims one. What follows the NAR in the source may be read, too.
    ///
    /// Whether the info may be believed is the caller's question. References must be valid. If the
    /// path is valid already, nothing is read.
    pub fn add_nar(&self, source: impl Read, info: &PathInfo) -> Result<()> {
        if self.is_kept(&info.path)? {
            return Ok(());
        }
        let from = self.temp_path()?;
        if let Err(error) = self.restore_checked(source, &from, info) {
            // It may be large. What cannot be removed now goes with the session.
            let _ = remove_tree(&from);
            return Err(error);
        }
        let info = PathInfo { registration_time: 0, ..info.clone() };
        self.place(vec![Placement { from, info }])
    }

    /// Unpacks a NAR that must be what its info says.
    pub(crate) fn restore_checked(
        &self,
        source: impl Read,
        to: &Path,
        info: &PathInfo,
    ) -> Result<()> {
        checked_restore(source, to, info)?;
        self.check_content_address(to, info)
    }

    /// Checks the tree at `from`, whose NAR has the hash in the info, against the content address there, if
    /// there is one.
    fn check_content_address(&self, from: &Path, info: &PathInfo) -> Result<()> {
        let Some(claimed) = info.content_address else { return Ok(()) };
        let (method, algo) = (claimed.method, claimed.hash.algo());
        let hash = match method {
            ContentAddressMethod::Flat | ContentAddressMethod::Text => {
                hash_flat(from, algo)?
            }
            // It is the hash of the NAR, which the caller has compared.
            ContentAddressMethod::Nar
                if algo == HashAlgo::Sha256 && !info.references.contains(&info.path) =>
            {
                info.nar_hash.into()
            }
            ContentAddressMethod::Nar if info.references.contains(&info.path) => {
                let sink = Written(HashModuloSink::new(algo, &info.path));
                dump(from, sink)?.0.finish().0
            }
            ContentAddressMethod::Nar => dump(from, HashPipe::new(algo))?.finish().0,
        };
        if hash == claimed.hash && info.is_content_addressed(self.store_dir()) {
            return Ok(());
        }
        Err(Error::ContentAddressMismatch {
            path: info.path.clone(),
            expected: claimed.to_string(),
            actual: ContentAddress { method, hash }.to_string(),
        })
    }

    /// Makes a path a temporary root and asks whether it is valid.
    pub(crate) fn is_kept(&self, path: &StorePath) -> Result<bool> {
        self.add_temp_roots([path])?;
        self.is_valid(path)
    }

    pub(crate) fn content_path(
        &self,
        request: &AddRequest,
        hash: Hash,
    ) -> Result<StorePath> {
        content_path(self.store_dir(), request, hash)
    }

    pub(crate) fn place_content(
        &self,
        from: PathBuf,
        path: StorePath,
        address: ContentAddress,
        references: &BTreeSet<StorePath>,
        (nar_hash, nar_size): (Sha256, u64),
    ) -> Result<StorePath> {
        let mut info = PathInfo::new(path.clone(), nar_hash, nar_size);
        info.content_address = Some(address);
        info.references.clone_from(references);
        self.place(vec![Placement { from, info }])?;
        Ok(path)
    }
}

/// Restores a NAR that must have the hash and the size in the info.
pub(crate) fn checked_restore(
    source: impl Read,
    to: &Path,
    info: &PathInfo,
) -> Result<()> {
    let mut source = HashedSource::new(source, HashAlgo::Sha256);
    restore(&mut source, to)?;
    let (hash, size) = source.finish();
    let path = info.path.clone();
    if size != info.nar_size {
        let (expected, actual) = (info.nar_size, size);
        return Err(Error::SizeMismatch { path, expected, actual });
    }
    if hash != info.nar_hash.into() {
        let (expected, actual) = (info.nar_hash.nix32(), hash.print(HashFormat::Nix32));
        return Err(Error::HashMismatch { path, expected, actual });
    }
    Ok(())
}

/// A hasher for an algorithm other than SHA-256, which is computed anyhow.
fn second_hash(algo: HashAlgo) -> Maybe<HashPipe> {
    Maybe((algo != HashAlgo::Sha256).then(|| HashPipe::new(algo)))
}

fn hash_flat(source: &Path, algo: HashAlgo) -> Result<Hash> {
    Ok(hash_file(source, algo)?.0)
}

/// The hash and size of the NAR of a file that is not executable.
fn nar_of_file(contents: &[u8]) -> Result<(Sha256, u64)> {
    let sink = write_nar_of_file(contents, HashSink::new(HashAlgo::Sha256))?;
    let (hash, size) = sink.finish();
    Ok((hash.sha256().expect("the sink hashes with SHA-256"), size))
}

fn hash_nar_of_file(contents: &[u8], algo: HashAlgo) -> Result<Hash> {
    Ok(write_nar_of_file(contents, HashSink::new(algo))?.finish().0)
}

fn write_nar_of_file<W: Write>(contents: &[u8], sink: W) -> Result<W> {
    let mut writer = NarWriter::new(sink).map_err(picnix_store_core::Error::Io)?;
    let size = contents.len() as u64;
    writer.write_event(NarEvent::File { name: b"", executable: false, size })?;
    writer.write_contents(contents)?;
    Ok(writer.finish()?)
}

/// Keeps what is written, until it is too much.
struct Buffer {
    bytes: Option<Vec<u8>>,
    overflow: Overflow,
}

/// What happens when it is too much.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    /// The bytes are forgotten, and the writing goes on.
    Forgets,
    /// The writing stops.
    Stops,
}

/// The error with which it stops.
#[derive(Debug, thiserror::Error)]
#[error("the source is too long for memory")]
struct TooLong;

fn is_overflow(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<TooLong>())
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(kept) = &mut self.bytes {
            if kept.len() + bytes.len() <= BUFFER_SIZE {
                kept.extend_from_slice(bytes);
            } else if self.overflow == Overflow::Stops {
                return Err(std::io::Error::other(TooLong));
            } else {
                self.bytes = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hashes what is consumed.
pub(crate) struct HashingReader<R> {
    pub(crate) source: R,
    pub(crate) pipe: HashPipe,
}

impl<R: BufRead> Read for HashingReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let len = self.source.read(bytes)?;
        self.pipe.write_all(&bytes[..len])?;
        Ok(len)
    }
}

impl<R: BufRead> BufRead for HashingReader<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        // The bytes are still in the buffer, so that filling it again reads nothing. If the hashing
        // thread could not be started, the hash will not fit, which is noticed.
        if let Ok(bytes) = self.source.fill_buf() {
            let _ = self.pipe.write_all(&bytes[..len.min(bytes.len())]);
        }
        self.source.consume(len);
    }
}
