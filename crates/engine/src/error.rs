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
    /// An evaluation failed; the text is complete, with places and trace.
    #[error("{0}")]
    Evaluation(String),
}
