//! The world in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use picnix_eval::World;
use picnix_eval::world::{
    FileKind, Ingestion, PathFilter, Realisation, WorldError, WorldResult,
};
use picnix_store_core::nar::Fso;
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Derivation, DerivationText, Hash, HashAlgo,
    References, Sha256, StoreDir, StorePath,
};

use crate::tree::{Tree, kind, missing};

/// A world in memory. Made by [`MemoryWorld::new`], furnished by the methods that follow it.
#[derive(Debug, Default)]
pub struct MemoryWorld {
    store_dir: StoreDir,
    env: BTreeMap<Vec<u8>, Vec<u8>>,
    time: Option<i64>,
    system: Option<String>,
    state: RefCell<State>,
}

/// What evaluation changes.
#[derive(Debug, Default)]
struct State {
    files: Tree,
    /// References of the store's objects, by path.
    objects: BTreeMap<StorePath, BTreeSet<StorePath>>,
    derivations: BTreeMap<StorePath, Derivation>,
    realised: Vec<Realisation>,
    messages: Vec<String>,
}

impl MemoryWorld {
    /// Makes a world without files, variables, time and system, whose store is `/nix/store`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that is not executable.
    #[must_use]
    pub fn file(self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.object(path, Fso::file(contents))
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.object(path, Fso::Symlink(target.into()))
    }

    /// Adds any object.
    #[must_use]
    pub fn object(self, path: &str, object: Fso) -> Self {
        self.state.borrow_mut().files.insert(path.as_bytes(), object);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the clock, in seconds since 1970.
    #[must_use]
    pub fn time(mut self, seconds: i64) -> Self {
        self.time = Some(seconds);
        self
    }

    /// Sets `builtins.currentSystem`.
    #[must_use]
    pub fn system(mut self, system: &str) -> Self {
        self.system = Some(system.to_owned());
        self
    }

    /// The lines of `builtins.trace`, `builtins.warn` and warnings so far.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.state.borrow().messages.clone()
    }

    /// The derivations made so far.
    #[must_use]
    pub fn derivations(&self) -> BTreeMap<StorePath, Derivation> {
        self.state.borrow().derivations.clone()
    }

    /// What evaluation asked to be made valid so far.
    #[must_use]
    pub fn realised(&self) -> Vec<Realisation> {
        self.state.borrow().realised.clone()
    }

    fn add_object(
        &self,
        name: &str,
        address: &ContentAddress,
        references: BTreeSet<StorePath>,
        object: Fso,
    ) -> WorldResult<StorePath> {
        let references = References::from(references);
        let path = self
            .store_dir
            .make_content_path(name, address, &references)
            .map_err(world_error)?;
        let mut state = self.state.borrow_mut();
        state.files.insert(self.store_dir.print(&path).as_bytes(), object);
        state.objects.insert(path.clone(), references.others);
        Ok(path)
    }

    /// What a path holds that is to be copied; its own link is copied as it is.
    fn object_at(&self, path: &[u8]) -> WorldResult<Fso> {
        let state = self.state.borrow();
        state.files.get(path)?.cloned().ok_or_else(|| missing(path))
    }
}

impl World for MemoryWorld {
    fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    fn read_file(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        match self.state.borrow().files.follow(path)? {
            Fso::File { contents, .. } => Ok(contents.clone()),
            Fso::Directory(_) | Fso::Symlink(_) => {
                let path = String::from_utf8_lossy(path);
                Err(WorldError::new(format!("reading file '{path}': Is a directory")))
            }
        }
    }

    fn read_dir(&self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileKind)>> {
        match self.state.borrow().files.follow(path)? {
            Fso::Directory(entries) => Ok(entries
                .iter()
                .map(|(name, object)| (name.clone(), kind(object)))
                .collect()),
            Fso::File { .. } | Fso::Symlink(_) => {
                let path = String::from_utf8_lossy(path);
                let text = format!("cannot read directory \"{path}\": Not a directory");
                Err(WorldError::new(text))
            }
        }
    }

    fn file_kind(&self, path: &[u8]) -> WorldResult<Option<FileKind>> {
        Ok(self.state.borrow().files.get(path)?.map(kind))
    }

    fn read_link(&self, path: &[u8]) -> WorldResult<Vec<u8>> {
        match self.state.borrow().files.get(path)? {
            Some(Fso::Symlink(target)) => Ok(target.clone()),
            Some(_) => {
                let path = String::from_utf8_lossy(path);
                Err(WorldError::new(format!("'{path}' is not a symbolic link")))
            }
            None => Err(missing(path)),
        }
    }

    fn env_var(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.env.get(name).cloned()
    }

    fn current_time(&self) -> Option<i64> {
        self.time
    }

    fn current_system(&self) -> Option<String> {
        self.system.clone()
    }

    fn add_path(
        &self,
        path: &[u8],
        name: &str,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
        _expected: Option<&Hash>,
        references: &[StorePath],
    ) -> WorldResult<picnix_eval::Result<StorePath>> {
        let mut object = self.object_at(path)?;
        if let Some(filter) = filter
            && let Err(error) = retain(&mut object, path, filter)
        {
            return Ok(Err(error));
        }
        let (method, bytes) = match (ingestion, &object) {
            (Ingestion::Nar, object) => {
                (ContentAddressMethod::Nar, object.to_nar().map_err(world_error)?)
            }
            (Ingestion::Flat, Fso::File { contents, .. }) => {
                (ContentAddressMethod::Flat, contents.clone())
            }
            (Ingestion::Flat, _) => {
                let path = String::from_utf8_lossy(path);
                return Err(WorldError::new(format!("'{path}' is not a regular file")));
            }
        };
        let hash = Hash::of(HashAlgo::Sha256, &bytes);
        let address = ContentAddress { method, hash };
        let references = references.iter().cloned().collect();
        self.add_object(name, &address, references, object).map(Ok)
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> WorldResult<StorePath> {
        let hash = Sha256::of(contents).into();
        let address = ContentAddress { method: ContentAddressMethod::Text, hash };
        let references = references.iter().cloned().collect();
        self.add_object(name, &address, references, Fso::file(contents))
    }

    fn add_derivation(
        &self,
        derivation: Derivation,
        text: DerivationText,
    ) -> WorldResult<()> {
        let mut state = self.state.borrow_mut();
        let printed = self.store_dir.print(&text.path);
        state.files.insert(printed.as_bytes(), Fso::file(text.contents));
        state.objects.insert(text.path.clone(), text.references);
        state.derivations.insert(text.path, derivation);
        Ok(())
    }

    fn read_derivation(&self, path: &StorePath) -> WorldResult<Derivation> {
        let printed = self.store_dir.print(path);
        let text = self.read_file(printed.as_bytes())?;
        let name = path.derivation_name().map_err(world_error)?;
        Derivation::parse(&self.store_dir, &text, name).map_err(world_error)
    }

    fn references(&self, path: &StorePath) -> WorldResult<Vec<StorePath>> {
        let state = self.state.borrow();
        let references = state.objects.get(path).into_iter().flatten();
        Ok(references.cloned().collect())
    }

    fn realise(&self, what: &[Realisation]) -> WorldResult<()> {
        self.state.borrow_mut().realised.extend_from_slice(what);
        for item in what {
            match item {
                Realisation::Opaque(path) | Realisation::DrvDeep(path) => {
                    self.ensure_path(path)?;
                }
                Realisation::Built(drv, output) => {
                    let drv = self.store_dir.print(drv);
                    let mut error = WorldError::new(format!(
                        "cannot build '{drv}^{output}' in memory"
                    ));
                    error.is_build_failure = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn ensure_path(&self, path: &StorePath) -> WorldResult<()> {
        if self.state.borrow().objects.contains_key(path) {
            return Ok(());
        }
        let path = self.store_dir.print(path);
        Err(WorldError::new(format!("path '{path}' is not valid")))
    }

    fn message(&self, line: &str) {
        self.state.borrow_mut().messages.push(line.to_owned());
    }
}

/// Drops from a directory what the filter refuses. The object itself is not asked about.
fn retain(
    object: &mut Fso,
    path: &[u8],
    filter: &mut dyn FnMut(&[u8], FileKind) -> picnix_eval::Result<bool>,
) -> picnix_eval::Result<()> {
    let Fso::Directory(entries) = object else { return Ok(()) };
    let mut kept = BTreeMap::new();
    for (name, mut entry) in std::mem::take(entries) {
        let path = [path, b"/", &name].concat();
        if filter(&path, kind(&entry))? {
            retain(&mut entry, &path, filter)?;
            kept.insert(name, entry);
        }
    }
    *entries = kept;
    Ok(())
}

fn world_error(error: picnix_store_core::Error) -> WorldError {
    WorldError::new(error.to_string())
}
