//! Builders inside this program.
//!
//! A builtin builder runs in the thread of its step, outside of any box: it is part of picnix and is
//! trusted to read its inputs only. It sees what a builder in a box would see, by physical paths,
//! and makes its outputs where a box would make them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use picnix_store::Store;
use picnix_store_core::{Derivation, OutputName, StorePath};

use crate::cancel::Cancel;
use crate::environment::{self, Environment, Sources};
use crate::error::{BuiltinError, StepError};
use crate::observer::{Event, Observer};

/// A builder inside this program.
pub trait BuiltinBuilder: Send + Sync {
    /// Its name, without `builtin:`.
    fn name(&self) -> &str;

    /// Makes the outputs of a derivation at their physical paths.
    ///
    /// # Errors
    /// Whatever went wrong; it is shown with its causes. What it leaves behind is removed.
    fn build(&self, ctx: &BuiltinContext<'_>) -> Result<(), BuiltinError>;
}

/// The builtin builders that there are, by name.
#[derive(Clone, Default)]
pub struct Builtins {
    builders: BTreeMap<String, Arc<dyn BuiltinBuilder>>,
}

impl Builtins {
    /// No builtin builders, but for `builtin:fetchurl`, which is always there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, builder: impl BuiltinBuilder + 'static) {
        self.builders.insert(builder.name().to_owned(), Arc::new(builder));
    }

    pub(crate) fn find(&self, name: &str) -> Result<&dyn BuiltinBuilder, StepError> {
        self.builders.get(name).map(AsRef::as_ref).ok_or_else(|| {
            let mut known: Vec<String> = self.builders.keys().cloned().collect();
            known.push("fetchurl".to_owned());
            known.sort();
            StepError::UnknownBuiltin { name: name.to_owned(), known }
        })
    }
}

/// Where an output is to be made.
#[derive(Debug, Clone)]
pub struct BuiltinOutput {
    /// The path that it will have.
    pub path: StorePath,
    /// Where to make it. Nothing is there yet.
    pub physical: PathBuf,
}

/// What a builtin builder sees.
pub struct BuiltinContext<'a> {
    /// The derivation path.
    pub drv_path: &'a StorePath,
    /// The derivation.
    pub derivation: &'a Derivation,
    /// The store of the inputs.
    pub store: &'a Store,
    /// The closure of the inputs.
    pub inputs: &'a BTreeSet<StorePath>,
    /// Where to make the outputs.
    pub outputs: &'a BTreeMap<OutputName, BuiltinOutput>,
    /// A private directory for temporary files, on the file system of the outputs.
    pub temp_dir: &'a Path,
    /// How many threads it may use.
    pub cores: usize,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    pub(crate) environment: &'a Environment,
    pub(crate) sources: &'a Sources<'a>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) log: &'a (dyn Fn(&[u8]) + Sync),
}

impl BuiltinContext<'_> {
    /// A variable of the environment, as a builder in a box would find it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.environment.variables.get(name.as_bytes())?;
        Some(self.environment.rewrite(value))
    }

    /// The structured attributes as JSON, with `outputs` and what `exportReferencesGraph` adds, as
    /// a builder in a box would find them in `.attrs.json`.
    #[must_use]
    pub fn attrs_json(&self) -> Option<&[u8]> {
        let mut files = self.environment.files.iter();
        files.find(|file| file.name == ".attrs.json").map(|file| &*file.contents)
    }

    /// The closure that `exportReferencesGraph` gives a name.
    ///
    /// # Errors
    /// Where there is no such name, or the store cannot be asked.
    pub fn exported(&self, name: &str) -> Result<BTreeSet<StorePath>, StepError> {
        let paths =
            self.sources.options.export_references.get(name).ok_or_else(|| {
                StepError::Attribute(format!("no '{name}' in 'exportReferencesGraph'"))
            })?;
        environment::exported(self.sources, paths)
    }

    /// The physical path of a logical path at or below an input.
    ///
    /// # Errors
    /// Where the path is not one of an input.
    pub fn real_path(&self, logical: &[u8]) -> Result<PathBuf, StepError> {
        let parsed = self.store.store_dir().parse_path_within(logical);
        let (path, _) =
            parsed.map_err(|error| StepError::Attribute(error.to_string()))?;
        if !self.inputs.contains(&path) {
            let printed = self.store.store_dir().print(&path);
            let message = format!("'{printed}' is not an input of the derivation");
            return Err(StepError::Attribute(message));
        }
        Ok(self.store.real_path_within(logical)?)
    }

    /// Writes a line to the log.
    pub fn log(&self, line: &str) {
        (self.log)(line.as_bytes());
    }

    /// Says how far the work is.
    pub fn progress(&self, done_bytes: u64, total_bytes: Option<u64>) {
        let drv_path = self.drv_path;
        self.observer.event(&Event::Progress { drv_path, done_bytes, total_bytes });
    }
}
