//! The outside as helpers see it: to read, and nothing else.
//!
//! A helper evaluates what its evaluation will need later ([`crate::parallel`]). It owns no store and no terminal. Texts and
//! derivations go where those of the evaluation are; of sources the paths are computed. Where it would have to build,
//! fetch, show something or ask the store, and where it does not know whether the evaluation would find the
//! same, it gives the place up.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use picnix_eval::Interrupt;
use picnix_eval::world::{
    FileKind, Ingestion, PathFilter, Realisation, World, WorldError, WorldResult,
};
use picnix_store::{AddRequest, FilterStopped};
use picnix_store_core::{
    ContentAddressMethod, Derivation, DerivationText, Hash, HashAlgo, Sha256, StoreDir,
    StorePath,
};

use crate::Config;
use crate::access::Access;
use crate::engine::Engine;
use crate::texts::Texts;
use crate::world::{entry_kind, is_absence, kind_of};

/// What an evaluation has made for the store and what is not there yet.
#[derive(Default)]
pub(crate) struct Made {
    texts: Mutex<Texts>,
    sources: Mutex<Vec<Source>>,
    /// What only helpers have made so far.
    by_helpers: Mutex<BTreeSet<StorePath>>,
}

/// A source whose path was computed only.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) request: AddRequest,
    /// What a filter left out; none if there was no filter.
    pub(crate) excluded: Option<BTreeSet<PathBuf>>,
    /// The store object that it becomes.
    pub(crate) object: StorePath,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Made {
    pub(crate) fn texts(&self) -> MutexGuard<'_, Texts> {
        lock(&self.texts)
    }

    pub(crate) fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        lock(&self.sources)
    }

    /// Whether only helpers have made an object.
    pub(crate) fn is_by_helpers(&self, path: &StorePath) -> bool {
        lock(&self.by_helpers).contains(path)
    }

    /// The evaluation itself has come to where an object was made; whether only helpers had made it before.
    pub(crate) fn adopt(&self, path: &StorePath) -> bool {
        lock(&self.by_helpers).remove(path)
    }
}

/// The outside of one helper.
pub(crate) struct Shadow<'a> {
    config: &'a Config,
    made: Arc<Made>,
    /// What the evaluation may see, and what helpers have made beside that.
    access: Arc<Access>,
    access_of_helpers: Arc<Access>,
    current_time: Option<i64>,
    stop: Interrupt,
}

impl<'a> Shadow<'a> {
    pub(crate) fn new(
        config: &'a Config,
        (made, access, access_of_helpers): (Arc<Made>, Arc<Access>, Arc<Access>),
        current_time: Option<i64>,
    ) -> Self {
        let stop = Interrupt::default();
        Self { config, made, access, access_of_helpers, current_time, stop }
    }

    /// What it requests to give a place up.
    pub(crate) fn stop(&self) -> &Interrupt {
        &self.stop
    }

    fn give_up<T>(&self) -> WorldResult<T> {
        self.stop.request();
        Err(WorldError::new("left to the evaluation itself"))
    }

    fn check(&self, path: &[u8]) -> WorldResult<()> {
        if self.access.is_allowed(path) || self.access_of_helpers.is_allowed(path) {
            return Ok(());
        }
        self.give_up()
    }

    fn physical(&self, path: &[u8]) -> PathBuf {
        Engine::physical_below(self.config, path)
    }

    fn is_in_store(&self, path: &[u8]) -> bool {
        path.starts_with(self.config.store_dir.as_str().as_bytes())
    }

    /// An object that the evaluation does not know yet.
    fn add(&self, path: &StorePath) {
        lock(&self.made.by_helpers).insert(path.clone());
        if self.access_of_helpers.is_limited() {
            let printed = self.config.store_dir.print(path);
            self.access_of_helpers.allow(printed.as_bytes());
        }
    }

    fn add_made(
        &self,
        path: StorePath,
        contents: Vec<u8>,
        references: Option<BTreeSet<StorePath>>,
    ) {
        let mut texts = self.made.texts();
        if !texts.contains(&path) {
            self.add(&path);
            texts.add(path, contents.into(), references);
        }
    }

    /// The contents of a text that is not in the store yet.
    fn pending(&self, path: &[u8]) -> WorldResult<Option<Vec<u8>>> {
        if !self.is_in_store(path) {
            return Ok(None);
        }
        let Ok(object) = self.config.store_dir.parse_path(path) else { return Ok(None) };
        match self.made.texts().contents(&object) {
            Ok(contents) => Ok(contents.map(std::borrow::Cow::into_owned)),
            Err(_) => self.give_up(),
        }
    }

    fn is_known(&self, path: &StorePath) -> bool {
        self.made.texts().contains(path)
    }
}

impl World for Shadow<'_> {
    fn store_dir(&self) -> &StoreDir {
        &self.config.store_dir
    }

    fn read_file(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        self.check(path)?;
        if let Some(contents) = self.pending(path)? {
            return Ok(contents);
        }
        let physical = self.physical(path);
        // Reading a pipe takes away what is in it.
        match fs::metadata(&physical) {
            Ok(metadata) if metadata.is_file() => {}
            _ => return self.give_up(),
        }
        fs::read(physical).or_else(|_| self.give_up())
    }

    fn read_dir(&self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileKind)>> {
        self.check(path)?;
        if self.access.is_limited() && !self.access.covers(path) {
            return self.give_up();
        }
        let Ok(entries) = fs::read_dir(self.physical(path)) else {
            return self.give_up();
        };
        let mut names = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else { return self.give_up() };
            let kind = entry.file_type().map_or(FileKind::Unknown, kind_of);
            names.push((entry.file_name().into_vec(), kind));
        }
        Ok(names)
    }

    fn file_kind(&self, path: &[u8]) -> WorldResult<Option<FileKind>> {
        self.check(path)?;
        if self.pending(path)?.is_some() {
            return Ok(Some(FileKind::Regular));
        }
        match fs::symlink_metadata(self.physical(path)) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            // Another part of the evaluation may make an object of the store.
            Err(error) if is_absence(&error) && !self.is_in_store(path) => Ok(None),
            Err(_) => self.give_up(),
        }
    }

    fn read_link(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        self.check(path)?;
        match fs::read_link(self.physical(path)) {
            Ok(target) => Ok(target.into_os_string().into_vec()),
            Err(_) => self.give_up(),
        }
    }

    fn env_var(&self, name: &[u8]) -> Option<Vec<u8>> {
        // In pure mode there is no time either.
        self.current_time?;
        let name = std::str::from_utf8(name).ok()?;
        self.config.var(name).map(std::ffi::OsString::into_vec)
    }

    fn current_time(&self) -> Option<i64> {
        self.current_time
    }

    fn current_system(&self) -> Option<String> {
        self.current_time.map(|_| self.config.system.clone())
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
        // What is in the store, or only a part of what may be seen, is looked at by the evaluation itself.
        if expected.is_some() || self.is_in_store(path) || !self.access.covers(path) {
            return self.give_up();
        }
        let method = match ingestion {
            Ingestion::Flat => ContentAddressMethod::Flat,
            Ingestion::Nar => ContentAddressMethod::Nar,
        };
        let request = AddRequest {
            method,
            algo: HashAlgo::Sha256,
            name: name.to_owned(),
            references: references.iter().cloned().collect(),
        };
        let mut excluded = filter.is_some().then(BTreeSet::new);
        let mut failure = None;
        let mut filter = filter;
        let mut keep = |path: &Path, kind| {
            let Some(filter) = filter.as_mut() else { return Ok(true) };
            match filter(path.as_os_str().as_bytes(), entry_kind(kind)) {
                Ok(true) => Ok(true),
                Ok(false) => {
                    excluded.get_or_insert_default().insert(path.to_owned());
                    Ok(false)
                }
                Err(error) => {
                    failure = Some(error);
                    Err(FilterStopped)
                }
            }
        };
        let path = self.physical(path);
        let found =
            picnix_store::source_path(&self.config.store_dir, &path, &request, &mut keep);
        if let Some(error) = failure {
            return Ok(Err(error));
        }
        let Ok(object) = found else { return self.give_up() };
        self.add(&object);
        let source = Source { path, request, excluded, object: object.clone() };
        self.made.sources().push(source);
        Ok(Ok(object))
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> WorldResult<StorePath> {
        let references: BTreeSet<StorePath> = references.iter().cloned().collect();
        let hash = Sha256::of(contents);
        let Ok(path) = self.config.store_dir.make_text_path(name, hash, &references)
        else {
            return self.give_up();
        };
        self.add_made(path.clone(), contents.to_vec(), Some(references));
        Ok(path)
    }

    fn add_derivation(&self, _: Derivation, text: DerivationText) -> WorldResult<()> {
        self.add_made(text.path, text.contents, None);
        Ok(())
    }

    fn read_derivation(&self, _: &StorePath) -> WorldResult<Derivation> {
        self.give_up()
    }

    fn references(&self, path: &StorePath) -> WorldResult<Vec<StorePath>> {
        match self.made.texts().references(path) {
            Some(references) => Ok(references.iter().cloned().collect()),
            None => self.give_up(),
        }
    }

    fn realise(&self, what: &[Realisation]) -> WorldResult<()> {
        let is_done = |item: &Realisation| matches!(item, Realisation::Opaque(path) if self.is_known(path));
        if what.iter().all(is_done) { Ok(()) } else { self.give_up() }
    }

    fn ensure_path(&self, path: &StorePath) -> WorldResult<()> {
        if self.is_known(path) { Ok(()) } else { self.give_up() }
    }

    fn check_access(&self, path: &[u8]) -> WorldResult<()> {
        self.check(path)
    }

    fn fetch_url(&self, _: &picnix_eval::world::UrlFetch<'_>) -> WorldResult<StorePath> {
        self.give_up()
    }

    fn fetch_tree(
        &self,
        _: &picnix_eval::flake::Input,
    ) -> WorldResult<picnix_eval::world::FetchedTree> {
        self.give_up()
    }

    fn fetch_closure(&self, _: &str, _: &StorePath) -> WorldResult<bool> {
        self.give_up()
    }

    fn readdress_closure(&self, _: &str, _: &StorePath) -> WorldResult<StorePath> {
        self.give_up()
    }

    fn lookup_flake(
        &self,
        _: &picnix_eval::flake::Input,
        _: picnix_eval::flake::Registries,
    ) -> WorldResult<Option<picnix_eval::flake::FlakeRef>> {
        self.give_up()
    }

    fn message(&self, _: &str) {
        self.stop.request();
    }
}
