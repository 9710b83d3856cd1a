//! The real outside: files of this machine, its environment, its clock, its store.
//!
//! Decision: what evaluation adds to the store is held back. Texts and derivations are collected in memory and
//! written in one transaction by [`RealWorld::flush`], when the evaluation has succeeded or when something has
//! to be built on its way. An evaluation that fails leaves nothing behind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use picnix_eval::world::{
    FileKind, Ingestion, PathFilter, Realisation, World, WorldError, WorldResult,
};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Derivation, Hash, HashAlgo, HashSink,
    References, Sha256, StoreDir, StorePath,
};

use crate::Config;
use crate::source::{DumpError, dump, kind_of};
use crate::store::StoreAccess;

/// Shows the lines of `builtins.trace`.
pub type ShowMessage<'a> = Box<dyn Fn(&str) + 'a>;

/// The outside of an evaluation on this machine.
pub struct RealWorld<'a> {
    config: &'a Config,
    store: Option<&'a dyn StoreAccess>,
    show_message: ShowMessage<'a>,
    current_time: i64,
    pure: bool,
    texts: RefCell<BTreeMap<StorePath, PendingText>>,
    derivations: RefCell<BTreeMap<StorePath, Rc<Derivation>>>,
}

/// A text object that is not in the store yet.
pub struct PendingText {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub contents: Vec<u8>,
    /// What it refers to.
    pub references: Vec<StorePath>,
}

impl<'a> RealWorld<'a> {
    /// Makes a world. Without a store, paths are computed and nothing is written.
    #[must_use]
    pub fn new(
        config: &'a Config,
        store: Option<&'a dyn StoreAccess>,
        pure: bool,
        show_message: ShowMessage<'a>,
    ) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        Self {
            config,
            store,
            show_message,
            current_time: i64::try_from(seconds).unwrap_or(i64::MAX),
            pure,
            texts: RefCell::default(),
            derivations: RefCell::default(),
        }
    }

    /// Writes what the evaluation has added, in one transaction.
    ///
    /// # Errors
    /// The store refuses.
    pub fn flush(&self) -> WorldResult<()> {
        let Some(store) = self.store else { return Ok(()) };
        let texts = std::mem::take(&mut *self.texts.borrow_mut());
        store.add_texts(texts.into_values().collect())
    }

    /// The derivations that this evaluation has made.
    #[must_use]
    pub fn derivations(&self) -> BTreeMap<StorePath, Rc<Derivation>> {
        self.derivations.borrow().clone()
    }

    /// Where a path of the language really lies.
    fn physical(&self, path: &[u8]) -> PathBuf {
        let store_dir = self.config.store_dir.as_str().as_bytes();
        let inside = path
            .strip_prefix(store_dir)
            .filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        match inside {
            Some(_) => self
                .config
                .store_root
                .join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path))),
            None => PathBuf::from(OsString::from_vec(path.to_vec())),
        }
    }

    fn pending_text<T>(
        &self,
        path: &[u8],
        take: impl FnOnce(&PendingText) -> T,
    ) -> Option<T> {
        let texts = self.texts.borrow();
        if texts.is_empty() {
            return None;
        }
        let store_path = self.config.store_dir.parse_path(path).ok()?;
        texts.get(&store_path).map(take)
    }

    fn add_pending(
        &self,
        name: &str,
        contents: Vec<u8>,
        references: Vec<StorePath>,
    ) -> WorldResult<StorePath> {
        let others = references.iter().cloned().collect();
        let path = self
            .config
            .store_dir
            .make_text_path(name, Sha256::of(&contents), &others)
            .map_err(|error| WorldError::new(error.to_string()))?;
        let text = PendingText { name: name.to_owned(), contents, references };
        self.texts.borrow_mut().insert(path.clone(), text);
        Ok(path)
    }
}

fn io_error(action: &str, path: &[u8], error: &std::io::Error) -> WorldError {
    let path = String::from_utf8_lossy(path);
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            WorldError::new(format!("path '{path}' does not exist"))
        }
        _ => WorldError::new(format!("cannot {action} '{path}': {error}")),
    }
}

impl World for RealWorld<'_> {
    fn store_dir(&self) -> &StoreDir {
        &self.config.store_dir
    }

    fn read_file(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        if let Some(contents) = self.pending_text(path, |text| text.contents.clone()) {
            return Ok(contents);
        }
        fs::read(self.physical(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::IsADirectory => WorldError::new(format!(
                "cannot read '{}': it is a directory",
                String::from_utf8_lossy(path)
            )),
            _ => io_error("read", path, &error),
        })
    }

    fn read_dir(&self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileKind)>> {
        let physical = self.physical(path);
        let fail = |error: std::io::Error| io_error("read directory", path, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&physical).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = entry.file_type().map_or(FileKind::Unknown, kind_of);
            names.push((entry.file_name().into_vec(), kind));
        }
        Ok(names)
    }

    fn file_kind(&self, path: &[u8]) -> WorldResult<Option<FileKind>> {
        if self.pending_text(path, |_| ()).is_some() {
            return Ok(Some(FileKind::Regular));
        }
        match fs::symlink_metadata(self.physical(path)) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(io_error("look at", path, &error)),
        }
    }

    fn read_link(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        fs::read_link(self.physical(path))
            .map(|target| target.into_os_string().into_vec())
            .map_err(|error| io_error("read link", path, &error))
    }

    fn env_var(&self, name: &[u8]) -> Option<Vec<u8>> {
        if self.pure {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        self.config.var(name).map(OsString::into_vec)
    }

    fn current_time(&self) -> Option<i64> {
        (!self.pure).then_some(self.current_time)
    }

    fn current_system(&self) -> Option<String> {
        (!self.pure).then(|| self.config.system.clone())
    }

    fn add_path(
        &self,
        path: &[u8],
        name: &str,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
        expected: Option<&Hash>,
    ) -> WorldResult<picnix_eval::Result<StorePath>> {
        let method = match ingestion {
            Ingestion::Flat => ContentAddressMethod::Flat,
            Ingestion::Nar => ContentAddressMethod::Nar,
        };
        let address_of = |hash: Hash| {
            let address = ContentAddress { method, hash };
            self.config
                .store_dir
                .make_content_path(name, &address, &References::none())
                .map_err(|error| WorldError::new(error.to_string()))
        };
        if let (Some(expected), Some(store)) = (expected, self.store) {
            let known = address_of(expected.clone())?;
            if store.is_valid(&known)? {
                return Ok(Ok(known));
            }
        }
        let physical = self.physical(path);
        let archive = match archive(&physical, path, ingestion, filter) {
            Ok(archive) => archive,
            Err(DumpError::Filter(error)) => return Ok(Err(error)),
            Err(DumpError::Read { source, .. }) if is_absence(&source) => {
                let path = String::from_utf8_lossy(path);
                return Err(WorldError::new(format!("path '{path}' does not exist")));
            }
            Err(error) => return Err(WorldError::new(error.to_string())),
        };
        let algo = expected.map_or(HashAlgo::Sha256, Hash::algo);
        let hash = archive.hash(algo);
        let store_path = address_of(hash.clone())?;
        if let Some(expected) = expected
            && *expected != hash
        {
            return Err(WorldError::new(format!(
                "hash mismatch for path '{}': wanted {}, got {}",
                String::from_utf8_lossy(path),
                expected.print_prefixed(picnix_store_core::HashFormat::Sri),
                hash.print_prefixed(picnix_store_core::HashFormat::Sri),
            )));
        }
        if let Some(store) = self.store {
            store.add_archive(&store_path, &archive, &ContentAddress { method, hash })?;
        }
        Ok(Ok(store_path))
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> WorldResult<StorePath> {
        self.add_pending(name, contents.to_vec(), references.to_vec())
    }

    fn add_derivation(&self, derivation: &Derivation) -> WorldResult<StorePath> {
        let text = derivation
            .to_text(&self.config.store_dir)
            .map_err(|error| WorldError::new(error.to_string()))?;
        let known = self.derivations.borrow().contains_key(&text.path);
        if !known {
            let pending = PendingText {
                name: format!("{}.drv", derivation.name),
                contents: text.contents,
                references: text.references.into_iter().collect(),
            };
            self.texts.borrow_mut().insert(text.path.clone(), pending);
            let derivation = Rc::new(derivation.clone());
            self.derivations.borrow_mut().insert(text.path.clone(), derivation);
        }
        Ok(text.path)
    }

    fn read_derivation(&self, path: &StorePath) -> WorldResult<Derivation> {
        if let Some(known) = self.derivations.borrow().get(path) {
            return Ok((**known).clone());
        }
        let shown = self.config.store_dir.print(path);
        let text = self.read_file(shown.as_bytes())?;
        let name = path
            .derivation_name()
            .map_err(|error| WorldError::new(error.to_string()))?;
        Derivation::parse(&self.config.store_dir, &text, name)
            .map_err(|error| WorldError::new(format!("error parsing derivation '{shown}': {error}")))
    }

    fn realise(&self, what: &[Realisation]) -> WorldResult<()> {
        let Some(store) = self.store else {
            let needs_build =
                what.iter().any(|item| matches!(item, Realisation::Built(..)));
            if !needs_build {
                return Ok(());
            }
            return Err(WorldError {
                message: "a build is needed during evaluation, but this command does not build"
                    .into(),
                hint: Some("'picnix build' and 'picnix instantiate' can build".into()),
                is_build_failure: true,
            });
        };
        self.flush()?;
        store.realise(what)
    }

    fn ensure_path(&self, path: &StorePath) -> WorldResult<()> {
        let shown = self.config.store_dir.print(path);
        let valid = match self.store {
            Some(store) => store.is_valid(path)?,
            None => self.physical(shown.as_bytes()).symlink_metadata().is_ok(),
        };
        if valid || self.texts.borrow().contains_key(path) {
            return Ok(());
        }
        Err(WorldError::new(format!("path '{shown}' is not valid")))
    }

    fn message(&self, line: &str) {
        (self.show_message)(line);
    }
}

/// Whether an error says that there is nothing at a path.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// What a path holds, serialised: a NAR, or the bytes of a file.
pub struct Archive {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub ingestion: Ingestion,
}

impl Archive {
    /// The hash of the bytes.
    #[must_use]
    pub fn hash(&self, algo: HashAlgo) -> Hash {
        let mut sink = HashSink::new(algo);
        sink.update(&self.bytes);
        sink.finish().0
    }
}

fn archive(
    physical: &Path,
    shown: &[u8],
    ingestion: Ingestion,
    filter: Option<PathFilter<'_>>,
) -> Result<Archive, DumpError> {
    let bytes = match ingestion {
        Ingestion::Nar => dump(physical, shown, filter, Vec::new())?,
        Ingestion::Flat => fs::read(physical).map_err(|source| DumpError::Read {
            path: physical.display().to_string(),
            source,
        })?,
    };
    Ok(Archive { bytes, ingestion })
}
