//! The real outside: files of this machine, its environment, its clock, its store.
//!
//! Decision: what evaluation adds to the store is held back. Texts and derivations are collected ([`Texts`]) and
//! written in one transaction by [`RealWorld::flush`], when the evaluation has succeeded or when something has
//! to be built on its way. An evaluation that fails leaves nothing behind.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use picnix_eval::flake::{FlakeRef, Input, Registries};
use picnix_eval::world::{
    FetchedTree, FileKind, Ingestion, PathFilter, Realisation, UrlFetch, World,
    WorldError, WorldResult,
};
use picnix_store::{AddRequest, EntryKind, FilterStopped, TextObject};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Derivation, DerivationText, Hash, HashAlgo,
    HashFormat, OutputName, References, Sha256, StoreDir, StorePath,
};

use crate::Error;
use crate::access::{Access, Visibility};
use crate::caches::Signatures;
use crate::engine::Engine;
use crate::fetchers::{Fetchers, Freshness};
use crate::shadow::{Made, Shadow, Source};
use crate::texts::Texts;

/// Shows the lines of `builtins.trace`.
pub type ShowMessage<'a> = Box<dyn Fn(&str) + 'a>;

/// Whether what evaluation adds to the store gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Paths are computed; only import from derivation writes.
    WhenBuilding,
    /// Sources are copied at once, texts and derivations by [`RealWorld::flush`].
    Always,
}

/// The outside of an evaluation on this machine.
pub struct RealWorld<'a> {
    engine: &'a Engine,
    writes: Writes,
    show_message: ShowMessage<'a>,
    current_time: i64,
    is_pure: bool,
    access: Arc<Access>,
    made: Arc<Made>,
    /// Trees that this evaluation fetched.
    trees: RefCell<BTreeMap<Input, FetchedTree>>,
    freshness: Freshness,
    /// How many messages there were.
    messages: Cell<usize>,
    /// How many of them an earlier attempt at the same evaluation has shown.
    shown_before: usize,
    /// Store objects that were found valid.
    valid: RefCell<BTreeSet<StorePath>>,
    /// Whether helpers may have made a part of what there is.
    is_helped: Cell<bool>,
    needs_all: Cell<bool>,
}

/// What an attempt at an evaluation leaves to the next.
#[derive(Default)]
pub(crate) struct Remains {
    messages: usize,
    trees: BTreeMap<Input, FetchedTree>,
}

impl<'a> RealWorld<'a> {
    /// Makes a world.
    #[must_use]
    pub fn new(
        engine: &'a Engine,
        writes: Writes,
        visibility: Visibility,
        show_message: ShowMessage<'a>,
    ) -> Self {
        let access = Access::new(visibility);
        if visibility == Visibility::Restricted {
            allow_search_path(engine, &access);
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        Self {
            engine,
            writes,
            show_message,
            current_time: i64::try_from(seconds).unwrap_or(i64::MAX),
            is_pure: visibility == Visibility::Pure,
            access: Arc::new(access),
            made: Arc::default(),
            trees: RefCell::default(),
            freshness: Freshness::Cached,
            messages: Cell::new(0),
            shown_before: 0,
            valid: RefCell::default(),
            is_helped: Cell::new(false),
            needs_all: Cell::new(false),
        }
    }

    /// Goes on after an earlier attempt at the same evaluation: its messages are not shown again.
    pub(crate) fn after(mut self, earlier: Remains) -> Self {
        self.shown_before = earlier.messages;
        self.trees = RefCell::new(earlier.trees);
        self
    }

    /// What a later attempt at the same evaluation needs to know.
    pub(crate) fn remains(&self) -> Remains {
        Remains { messages: self.messages.get(), trees: self.trees.take() }
    }

    /// The outside for so many helpers.
    pub(crate) fn shadows(&self, count: usize) -> Vec<Shadow<'a>> {
        self.is_helped.set(count > 0);
        let of_helpers = Arc::new(Access::new(self.access.visibility()));
        let time = (!self.is_pure).then_some(self.current_time);
        let shadow = |_| {
            let shared = (self.made.clone(), self.access.clone(), of_helpers.clone());
            Shadow::new(&self.engine.config, shared, time)
        };
        (0..count).map(shadow).collect()
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.made.texts()
    }

    /// Whether a store object was made by this evaluation or was found valid by it.
    fn is_known(&self, path: &StorePath) -> bool {
        self.texts().contains(path) || self.valid.borrow().contains(path)
    }

    /// Whether something happened that only an evaluation without helpers does as it should.
    pub(crate) fn needs_all(&self) -> bool {
        self.needs_all.get()
    }

    /// Fails unless a path may be seen. Of what is not hidden for good, parts of the evaluation that were handled
    /// elsewhere may have made it.
    fn check(&self, path: &[u8]) -> WorldResult<()> {
        let allowed = self.access.check(path);
        if allowed.is_err() && self.may_hold_objects(path) {
            self.leave_to_one_core();
        }
        allowed
    }

    /// Whether what may be seen at a path depends on the store objects that were made so far.
    fn may_hold_objects(&self, path: &[u8]) -> bool {
        let store_dir = self.store_dir().as_str().as_bytes();
        path.starts_with(store_dir) || store_dir.starts_with(path)
    }

    /// Says that only an evaluation without helpers knows.
    fn leave_to_one_core(&self) {
        if self.is_helped.get() {
            self.needs_all.set(true);
        }
    }

    /// Copies what helpers have let through filters: alone, the evaluation does so at once.
    ///
    /// # Errors
    /// The store refuses.
    pub(crate) fn settle(&self) -> WorldResult<()> {
        let is_filtered = |source: &Source| source.excluded.is_some();
        if self.made.sources().iter().any(is_filtered) {
            self.write_sources(is_filtered)?;
            self.made.sources().retain(|source| !is_filtered(source));
        }
        Ok(())
    }

    /// Copies some of the sources whose paths were computed only.
    fn write_sources(&self, select: impl Fn(&Source) -> bool) -> WorldResult<()> {
        let sources = self.made.sources();
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        for source in sources.iter().filter(|source| select(source)) {
            let is_left_out = |path: &Path| {
                source.excluded.as_ref().is_some_and(|paths| paths.contains(path))
            };
            store
                .add_source(&source.path, &source.request, &mut |path, _| {
                    Ok(!is_left_out(path))
                })
                .map_err(|error| world_error(&error))?;
        }
        Ok(())
    }

    /// Says how long answers of the network are believed.
    #[must_use]
    pub fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Writes what the evaluation has added, in one transaction.
    ///
    /// # Errors
    /// The store refuses.
    pub fn flush(&self) -> WorldResult<()> {
        self.write(|_| true)?;
        self.made.sources().clear();
        *self.texts() = Texts::default();
        Ok(())
    }

    /// Writes some of what the evaluation has added, with all that it refers to.
    fn flush_for(&self, wanted: Vec<StorePath>) -> WorldResult<()> {
        let mut seen = BTreeSet::new();
        let mut to_do = wanted;
        while let Some(path) = to_do.pop() {
            if seen.contains(&path) {
                continue;
            }
            let texts = self.texts();
            if let Some(contents) = contents_of(&texts, &path)? {
                to_do.extend(self.references_of(&texts, &path, &contents)?);
            }
            seen.insert(path);
        }
        self.write(|path| seen.contains(path))
    }

    /// Writes some of what the evaluation has added, in one transaction.
    fn write(&self, select: impl Fn(&StorePath) -> bool) -> WorldResult<()> {
        if !self.made.sources().is_empty() {
            self.write_sources(|source| select(&source.object))?;
        }
        let texts = self.texts();
        let (mut objects, mut foreign) = (Vec::new(), Vec::new());
        for path in texts.paths().filter(|path| select(path)) {
            let Some(contents) = contents_of(&texts, path)? else { continue };
            let references = self.references_of(&texts, path, &contents)?;
            // A program may write what looks like a derivation.
            let is_foreign = path.is_derivation() && texts.references(path).is_some();
            if is_foreign { &mut foreign } else { &mut objects }
                .push((path, contents, references));
        }
        if objects.is_empty() && foreign.is_empty() {
            return Ok(());
        }
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        let objects: Vec<TextObject<'_>> = objects
            .iter()
            .map(|(path, contents, references)| TextObject {
                name: path.name(),
                contents,
                references,
            })
            .collect();
        store.add_texts(&objects).map_err(|error| world_error(&error))?;
        for (path, contents, references) in &foreign {
            store
                .add_text(path.name(), contents, references)
                .map_err(|error| world_error(&error))?;
        }
        Ok(())
    }

    /// Where a path of the language really lies.
    fn physical(&self, path: &[u8]) -> PathBuf {
        self.engine.physical(path)
    }

    /// What to say of a path that has another hash than it should have, where it was written.
    fn other_hash(&self, path: &StorePath, wanted: &Hash) -> Option<String> {
        let info = self.engine.store().ok()?.path_info(path).ok()?;
        let got = info.content_address?.hash.print_prefixed(HashFormat::Sri);
        Some(format!("wanted {}, got {got}", wanted.print_prefixed(HashFormat::Sri)))
    }

    /// Lets a store object that evaluation has made or asked for be seen.
    fn allow(&self, path: &StorePath) {
        if self.access.is_limited() {
            self.access.allow(self.store_dir().print(path).as_bytes());
        }
    }

    /// Lets what was built be seen, with everything that it refers to.
    fn allow_built(&self, built: &picnix_build::Built) -> WorldResult<()> {
        if !self.access.is_limited() {
            return Ok(());
        }
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        let outputs: Vec<&StorePath> =
            built.values().flat_map(|outputs| outputs.values()).collect();
        let closure = store.closure(outputs).map_err(|error| world_error(&error))?;
        closure.iter().for_each(|path| self.allow(path));
        Ok(())
    }

    fn fetchers(&self) -> Fetchers<'_> {
        Fetchers::new(self.engine, self.current_time, self.freshness, &self.show_message)
    }

    /// Forgets which trees were fetched, because one has changed.
    pub fn forget_trees(&self) {
        self.trees.borrow_mut().clear();
    }

    /// Lets Git know a file of a working tree, unless it is to ignore it.
    pub(crate) fn show_to_git(&self, dir: &Path, file: &str) -> Result<(), crate::Error> {
        self.fetchers().show_to_git(dir, file)
    }

    /// The path of a text that is not in the store yet.
    fn pending_text(&self, path: &[u8]) -> Option<StorePath> {
        let texts = self.texts();
        if texts.is_empty() {
            return None;
        }
        let store_path = self.engine.config.store_dir.parse_path(path).ok()?;
        let is_pending = texts.contains(&store_path);
        if is_pending && self.made.is_by_helpers(&store_path) {
            self.leave_to_one_core();
        }
        is_pending.then_some(store_path)
    }

    fn references_of(
        &self,
        texts: &Texts,
        path: &StorePath,
        contents: &[u8],
    ) -> WorldResult<BTreeSet<StorePath>> {
        match texts.references(path) {
            Some(references) => Ok(references.clone()),
            None => Ok(self.parse_derivation(path, contents)?.references()),
        }
    }

    fn parse_derivation(&self, path: &StorePath, text: &[u8]) -> WorldResult<Derivation> {
        let name =
            path.derivation_name().map_err(|error| WorldError::new(error.to_string()))?;
        Derivation::parse(self.store_dir(), text, name).map_err(|error| {
            let shown = self.store_dir().print(path);
            WorldError::new(format!("error parsing derivation '{shown}': {error}"))
        })
    }

    /// The path that an object of this content has.
    fn content_path(
        &self,
        name: &str,
        method: ContentAddressMethod,
        hash: Hash,
        references: &BTreeSet<StorePath>,
    ) -> WorldResult<StorePath> {
        let address = ContentAddress { method, hash };
        self.store_dir()
            .make_content_path(name, &address, &References::from(references.clone()))
            .map_err(|error| world_error(&error))
    }

    /// Computes the path of a source, and copies it there if that is to be done now.
    fn add_source(
        &self,
        path: &Path,
        request: &AddRequest,
        filter: Option<PathFilter<'_>>,
    ) -> WorldResult<picnix_eval::Result<StorePath>> {
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        let mut failure = None;
        // Of a directory above what may be seen only that is copied.
        let is_filtered = filter.is_some() || self.access.is_limited();
        let is_hidden = |path: &Path| {
            let store_root = &self.engine.config.store_root;
            let path_is_own = path.starts_with(store_root);
            !path_is_own && !self.access.is_allowed(path.as_os_str().as_bytes())
        };
        let mut keep: Box<dyn FnMut(&Path, EntryKind) -> _> = match filter {
            None => Box::new(|path: &Path, _| Ok(!is_hidden(path))),
            Some(filter) => Box::new(|path: &Path, kind| {
                if is_hidden(path) {
                    return Ok(false);
                }
                filter(path.as_os_str().as_bytes(), entry_kind(kind)).map_err(|error| {
                    failure = Some(error);
                    FilterStopped
                })
            }),
        };
        let compute_only = self.writes == Writes::WhenBuilding && !is_filtered;
        let added = if compute_only {
            store.source_path(path, request, &mut *keep)
        } else {
            store.add_source(path, request, &mut *keep)
        };
        drop(keep);
        if let Some(error) = failure {
            return Ok(Err(error));
        }
        let object = added.map_err(|error| world_error(&error))?;
        if compute_only {
            self.made.sources().push(Source {
                path: path.to_path_buf(),
                request: request.clone(),
                excluded: None,
                object: object.clone(),
            });
        }
        Ok(Ok(object))
    }
}

pub(crate) fn entry_kind(kind: EntryKind) -> FileKind {
    match kind {
        EntryKind::Regular => FileKind::Regular,
        EntryKind::Directory => FileKind::Directory,
        EntryKind::Symlink => FileKind::Symlink,
        EntryKind::Unknown => FileKind::Unknown,
    }
}

pub(crate) fn kind_of(file_type: fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::Regular
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Unknown
    }
}

/// An error of a lower layer with its causes, as evaluation reports it.
fn world_error(error: &(dyn std::error::Error + 'static)) -> WorldError {
    let nix_status = error.downcast_ref::<Error>().map_or(1, Error::nix_status);
    WorldError { nix_status, ..WorldError::new(crate::chain(error)) }
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

fn contents_of<'t>(
    texts: &'t Texts,
    path: &StorePath,
) -> WorldResult<Option<Cow<'t, [u8]>>> {
    texts.contents(path).map_err(|error| {
        let path = path.name();
        WorldError::new(format!(
            "cannot read '{path}' back from a temporary file: {error}"
        ))
    })
}

impl World for RealWorld<'_> {
    fn store_dir(&self) -> &StoreDir {
        &self.engine.config.store_dir
    }

    fn read_file(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        self.check(path)?;
        if let Some(path) = self.pending_text(path)
            && let Some(contents) = contents_of(&self.texts(), &path)?
        {
            return Ok(contents.into_owned());
        }
        let physical = self.physical(path);
        fs::read(physical).map_err(|error| match error.kind() {
            std::io::ErrorKind::IsADirectory => WorldError::new(format!(
                "cannot read '{}': it is a directory",
                String::from_utf8_lossy(path)
            )),
            _ => io_error("read", path, &error),
        })
    }

    fn read_dir(&self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileKind)>> {
        self.check(path)?;
        let physical = self.physical(path);
        let fail = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotADirectory => WorldError::new(format!(
                "cannot read directory {:?}: Not a directory",
                String::from_utf8_lossy(path)
            )),
            _ => io_error("read directory", path, &error),
        };
        let mut names = Vec::new();
        let store_dir = self.store_dir().as_str().as_bytes();
        if self.access.is_limited() && store_dir.starts_with(path) {
            self.leave_to_one_core();
        }
        for entry in fs::read_dir(&physical).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = entry.file_type().map_or(FileKind::Unknown, kind_of);
            let name = entry.file_name().into_vec();
            if !self.access.is_limited()
                || self.access.is_allowed(&[path, b"/", &name].concat())
            {
                names.push((name, kind));
            }
        }
        Ok(names)
    }

    fn file_kind(&self, path: &[u8]) -> WorldResult<Option<FileKind>> {
        self.check(path)?;
        if self.pending_text(path).is_some() {
            return Ok(Some(FileKind::Regular));
        }
        match fs::symlink_metadata(self.physical(path)) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(io_error("look at", path, &error)),
        }
    }

    fn read_link(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        self.check(path)?;
        fs::read_link(self.physical(path))
            .map(|target| target.into_os_string().into_vec())
            .map_err(|error| io_error("read link", path, &error))
    }

    fn env_var(&self, name: &[u8]) -> Option<Vec<u8>> {
        if self.is_pure {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        self.engine.config.var(name).map(OsString::into_vec)
    }

    fn current_time(&self) -> Option<i64> {
        (!self.is_pure).then_some(self.current_time)
    }

    fn current_system(&self) -> Option<String> {
        (!self.is_pure).then(|| self.engine.config.system.clone())
    }

    fn add_path(
        &self,
        path: &[u8],
        name: &str,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
        expected: Option<&Hash>,
        references: &[StorePath],
    ) -> WorldResult<picnix_eval::Result<StorePath>> {
        let references: BTreeSet<StorePath> = references.iter().cloned().collect();
        let method = match ingestion {
            Ingestion::Flat => ContentAddressMethod::Flat,
            Ingestion::Nar => ContentAddressMethod::Nar,
        };
        if let Some(expected) = expected {
            let known = self.content_path(name, method, *expected, &references)?;
            let store = self.engine.store().map_err(|error| world_error(&error))?;
            if store.is_valid(&known).map_err(|error| world_error(&error))? {
                self.allow(&known);
                return Ok(Ok(known));
            }
        }
        if let Some(pending) = self.pending_text(path) {
            self.flush_for(vec![pending])?;
        }
        let physical = self.physical(path);
        if self.file_kind(path)?.is_none() {
            let path = String::from_utf8_lossy(path);
            return Err(WorldError::new(format!("path '{path}' does not exist")));
        }
        let request = AddRequest {
            method,
            algo: expected.map_or(HashAlgo::Sha256, Hash::algo),
            name: name.to_owned(),
            references: references.clone(),
        };
        let added = match self.add_source(&physical, &request, filter)? {
            Ok(added) => added,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(expected) = expected
            && added != self.content_path(name, method, *expected, &references)?
        {
            let mut error = WorldError::new(format!(
                "store path mismatch in (possibly filtered) path added from '{}'",
                String::from_utf8_lossy(path),
            ));
            error.hint = self.other_hash(&added, expected);
            return Err(error);
        }
        self.allow(&added);
        Ok(Ok(added))
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> WorldResult<StorePath> {
        let references: BTreeSet<StorePath> = references.iter().cloned().collect();
        let path = self
            .store_dir()
            .make_text_path(name, Sha256::of(contents), &references)
            .map_err(|error| world_error(&error))?;
        self.made.adopt(&path);
        self.texts().add(path.clone(), contents.into(), Some(references));
        self.allow(&path);
        Ok(path)
    }

    fn add_derivation(&self, _: Derivation, text: DerivationText) -> WorldResult<()> {
        self.made.adopt(&text.path);
        self.texts().add(text.path, text.contents.into(), None);
        Ok(())
    }

    fn read_derivation(&self, path: &StorePath) -> WorldResult<Derivation> {
        let shown = self.store_dir().print(path);
        self.parse_derivation(path, &self.read_file(shown.as_bytes())?)
    }

    fn references(&self, path: &StorePath) -> WorldResult<Vec<StorePath>> {
        let texts = self.texts();
        if let Some(references) = texts.references(path) {
            return Ok(references.iter().cloned().collect());
        }
        if let Some(contents) = contents_of(&texts, path)? {
            let derivation = self.parse_derivation(path, &contents)?;
            return Ok(derivation.references().into_iter().collect());
        }
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        let found = store.query_references(path).map_err(|error| world_error(&error))?;
        Ok(found.into_iter().collect())
    }

    fn realise(&self, what: &[Realisation]) -> WorldResult<()> {
        for item in what {
            // Whoever has a string that depends on it has come to where it was made.
            if let Realisation::Opaque(path) | Realisation::DrvDeep(path) = item
                && self.made.adopt(path)
            {
                self.allow(path);
            }
        }
        let is_done = |item: &Realisation| matches!(item, Realisation::Opaque(path) if self.is_known(path));
        if what.iter().all(is_done) {
            return Ok(());
        }
        let mut targets = Vec::new();
        for item in what {
            match item {
                Realisation::Opaque(path) => {
                    self.ensure_path(path)?;
                }
                Realisation::DrvDeep(drv_path) => self.ensure_path(drv_path)?,
                Realisation::Built(drv_path, output) => {
                    let output = OutputName::parse(output.as_bytes())
                        .map_err(|error| world_error(&error))?;
                    targets.push(crate::engine::target(drv_path.clone(), [output]));
                }
            }
        }
        if targets.is_empty() {
            return Ok(());
        }
        self.flush_for(targets.iter().map(|target| target.drv_path.clone()).collect())?;
        let built = self.engine.build(&targets).map_err(|error| WorldError {
            is_build_failure: true,
            ..world_error(&error)
        })?;
        self.allow_built(&built)
    }

    fn ensure_path(&self, path: &StorePath) -> WorldResult<()> {
        if self.is_known(path) {
            return Ok(());
        }
        let store = self.engine.store().map_err(|error| world_error(&error))?;
        if store.is_valid(path).map_err(|error| world_error(&error))? {
            self.valid.borrow_mut().insert(path.clone());
            return Ok(());
        }
        // A source whose path was only computed so far is read where it is.
        let is_source = self.made.sources().iter().any(|source| source.object == *path);
        if is_source {
            return self.flush_for(vec![path.clone()]);
        }
        let shown = self.store_dir().print(path);
        Err(WorldError::new(format!("path '{shown}' is not valid")))
    }

    fn fetch_url(&self, request: &UrlFetch<'_>) -> WorldResult<StorePath> {
        let path =
            self.fetchers().fetch_url(request).map_err(|error| world_error(&error))?;
        self.allow(&path);
        Ok(path)
    }

    fn fetch_tree(&self, input: &Input) -> WorldResult<FetchedTree> {
        if let Some(known) = self.trees.borrow().get(input) {
            // It may be known from an earlier attempt.
            self.allow(&known.path);
            return Ok(known.clone());
        }
        let fetched = self.fetchers().fetch_tree(input);
        let fetched = fetched.map_err(|error| world_error(&error))?;
        self.trees.borrow_mut().insert(input.clone(), fetched.clone());
        self.allow(&fetched.path);
        Ok(fetched)
    }

    fn fetch_closure(&self, cache: &str, path: &StorePath) -> WorldResult<bool> {
        let fail = |error: Error| world_error(&error);
        let store = self.engine.store().map_err(fail)?;
        if !store.is_valid(path).map_err(|error| world_error(&error))? {
            let paths = BTreeSet::from([path.clone()]);
            self.engine
                .copy_from(cache, &paths, Signatures::AsConfigured)
                .map_err(fail)?;
        }
        let info = store.path_info(path).map_err(|error| world_error(&error))?;
        let closure = store.closure([path]).map_err(|error| world_error(&error))?;
        closure.iter().for_each(|path| self.allow(path));
        Ok(info.content_address.is_some())
    }

    fn readdress_closure(&self, cache: &str, path: &StorePath) -> WorldResult<StorePath> {
        self.engine.readdress_from(cache, path).map_err(|error| world_error(&error))
    }

    fn lookup_flake(
        &self,
        input: &Input,
        registries: Registries,
    ) -> WorldResult<Option<FlakeRef>> {
        crate::registry::lookup(&self.fetchers(), input, registries)
            .map_err(|error| world_error(&error))
    }

    fn check_access(&self, path: &[u8]) -> WorldResult<()> {
        self.check(path)
    }

    fn message(&self, line: &str) {
        let number = self.messages.get();
        self.messages.set(number + 1);
        if number >= self.shown_before {
            (self.show_message)(line);
        }
    }
}

/// Lets what the search path names be seen; of store objects also what they refer to.
fn allow_search_path(engine: &Engine, access: &Access) {
    let config = &engine.config;
    for (_, entry) in &config.search_path {
        let path = config.current_dir.join(Path::new(std::ffi::OsStr::from_bytes(entry)));
        let path = picnix_eval::canonical_path(path.as_os_str().as_bytes());
        access.allow(&path);
        if let Ok((object, _)) = config.store_dir.parse_path_within(&path)
            && let Ok(store) = engine.store()
            && let Ok(closure) = store.closure([&object])
        {
            for path in closure {
                access.allow(config.store_dir.print(&path).as_bytes());
            }
        }
    }
}

/// Whether an error says that there is nothing at a path.
pub(crate) fn is_absence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}
