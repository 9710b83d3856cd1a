//! What the user says of the lock files of flakes: Nix's `--override-input`, `--no-write-lock-file` and the like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use picnix_eval::flake::{FlakeRef, InputPath, LockFile, LockFlags};

use crate::Error;

/// Whether a lock file that is not as it should be is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockWriting {
    /// Where that is possible; elsewhere there is a warning.
    #[default]
    IfPossible,
    /// Where that is possible; elsewhere it is an error.
    Required,
    /// Nowhere: what is missing in it is locked for this evaluation only.
    Never,
    /// It must be as it should be.
    Refused,
}

/// How the flakes that a user names are locked.
#[derive(Clone, Debug, Default)]
pub struct LockOptions {
    /// What inputs are to be, whatever the flake says.
    pub overrides: BTreeMap<InputPath, FlakeRef>,
    /// The inputs that are to be locked anew.
    pub updates: BTreeSet<InputPath>,
    /// Forget the lock file that there is.
    pub recreate: bool,
    /// Whether the lock file is written.
    pub writing: LockWriting,
    /// The lock file to start from, in place of the flake's own.
    pub reference_file: Option<PathBuf>,
    /// The file to write, in place of the flake's own.
    pub output_file: Option<PathBuf>,
}

impl LockOptions {
    /// The same for the evaluator, which reads no files by itself.
    pub(crate) fn flags(&self) -> Result<LockFlags, Error> {
        let old = self.reference_file.as_deref().map(read).transpose()?;
        Ok(LockFlags {
            recreate: self.recreate,
            updates: self.updates.clone(),
            overrides: self.overrides.clone(),
            old,
            ..LockFlags::default()
        })
    }
}

fn read(path: &Path) -> Result<LockFile, Error> {
    let text = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(LockFile::parse(&text, &path.display().to_string())?)
}

/// The names on the way to an input: `a/b` is the input `b` of the input `a`.
#[must_use]
pub fn input_path(text: &str) -> InputPath {
    text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
