//! What can go wrong between the hops.

use std::path::PathBuf;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The current directory is gone.
    #[error("cannot tell the current directory")]
    CurrentDir(#[source] std::io::Error),
    /// There is neither a home directory nor `PICNIX_STORE`.
    #[error("there is no place for a store: neither 'HOME' nor 'PICNIX_STORE' is set")]
    NoStorePlace,
    /// A file could not be read or written.
    #[error("cannot {action} '{}'", path.display())]
    File {
        /// What was being done: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] picnix_store::Error),
    /// A build failed, or could not be planned.
    #[error(transparent)]
    Build(#[from] picnix_build::Error),
    /// An evaluation failed; the text is complete, with places and trace.
    #[error("{0}")]
    Evaluation(String),
}

/// The message of an error with those of its causes, without saying anything twice.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
