//! The logs of builders: one plain file for each derivation, kept after success and failure.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use picnix_store::Store;
use picnix_store_core::StorePath;

use crate::error::StepError;

/// How many characters of the derivation's name make the directory of its log.
const PREFIX_CHARS: usize = 2;

/// Where the log of a derivation lies, whether there is one or not.
#[must_use]
pub fn log_path(store: &Store, drv_path: &StorePath) -> PathBuf {
    let name = drv_path.to_string();
    let (prefix, rest) = name.split_at(PREFIX_CHARS);
    store.logs_dir().join(prefix).join(format!("{rest}.log"))
}

/// The log of a derivation, or of the derivation that produced a path, if there is one.
///
/// # Errors
/// Where the store cannot be asked who produced the path.
pub fn find_log(
    store: &Store,
    path: &StorePath,
) -> picnix_store::Result<Option<PathBuf>> {
    let drv_path = if path.is_derivation() {
        Some(path.clone())
    } else {
        store.query_path_info(path)?.and_then(|info| info.deriver)
    };
    let log = drv_path.map(|drv_path| log_path(store, &drv_path));
    Ok(log.filter(|path| path.exists()))
}

/// A log being written. What cannot be written is noticed at the end only.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl LogWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, StepError> {
        let dir = path.parent().expect("a log lies in a directory");
        fs::create_dir_all(dir).map_err(StepError::io("create", dir))?;
        let file = File::create(path).map_err(StepError::io("create", path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), failed: None })
    }

    pub(crate) fn line(&mut self, line: &[u8]) {
        let written = self.file.write_all(line).and_then(|()| self.file.write_all(b"\n"));
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), StepError> {
        let flushed = self.file.flush();
        let result = self.failed.take().map_or(flushed, Err);
        result.map_err(StepError::io("write", &self.path))
    }
}
