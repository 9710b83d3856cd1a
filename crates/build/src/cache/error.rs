//! Why a binary cache was of no use.

use std::io;
use std::path::PathBuf;

use picnix_store_core::StorePath;

/// Why a binary cache was of no use.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// An address cannot be understood.
    #[error("'{text}' is not the address of a binary cache: {reason}")]
    Address {
        /// The address.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network, the server or the folder failed.
    #[error("{0}")]
    Fetch(#[from] picnix_fetch::Error),
    /// There is no cache at the address.
    #[error("'{0}' does not appear to be a binary cache: it has no 'nix-cache-info'")]
    NotACache(String),
    /// The cache is for another store directory.
    #[error(
        "binary cache '{url}' is for Nix stores with prefix '{theirs}', not '{ours}'"
    )]
    StoreDir {
        /// The cache.
        url: String,
        /// Its store directory.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// A file of the cache breaks the rules of its format.
    #[error("binary cache '{url}': {source}")]
    Format {
        /// The cache.
        url: String,
        /// The broken rule.
        source: picnix_store_core::Error,
    },
    /// A narinfo describes another path than the one asked for.
    #[error("binary cache '{url}': the narinfo of '{asked}' describes '{got}'")]
    WrongPath {
        /// The cache.
        url: String,
        /// The path asked for.
        asked: StorePath,
        /// The path described.
        got: StorePath,
    },
    /// A narinfo's URL leads out of the cache.
    #[error(
        "binary cache '{url}': the narinfo of '{path}' has the forbidden URL '{target}'"
    )]
    ForbiddenUrl {
        /// The cache.
        url: String,
        /// The path.
        path: StorePath,
        /// The URL in the narinfo.
        target: String,
    },
    /// A compression that we cannot undo, or not make.
    #[error("unknown compression method '{0}'")]
    Compression(String),
    /// Nobody who is trusted vouches for a path.
    #[error("path '{path}' of binary cache '{url}' lacks a signature by a trusted key")]
    Untrusted {
        /// The cache.
        url: String,
        /// The path.
        path: StorePath,
    },
    /// No cache has a path, or not its closure.
    #[error("path '{0}' is not in any of the binary caches, or not with its closure")]
    Missing(StorePath),
    /// A NAR is not where its narinfo says.
    #[error("binary cache '{url}' has lost the NAR of '{path}'")]
    NarMissing {
        /// The cache.
        url: String,
        /// The path.
        path: StorePath,
    },
    /// An object is too large for what was to be done with it.
    #[error("store object '{path}' is larger than {limit} bytes and cannot be rewritten")]
    TooLarge {
        /// The object.
        path: StorePath,
        /// The limit in bytes.
        limit: u64,
    },
    /// A store object is not what the database says.
    #[error("the store object '{0}' was modified; 'picnix store verify' tells more")]
    Modified(StorePath),
    /// The store refused, or what came is not what was announced.
    #[error("{0}")]
    Store(#[from] picnix_store::Error),
    /// A file could not be read or written.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl CacheError {
    /// Is it this machine's trouble, which no other cache would mend?
    pub(crate) fn is_local(&self) -> bool {
        match self {
            // Errors of decoders have no number of the operating system's.
            Self::Store(picnix_store::Error::Io { source, .. }) => {
                source.raw_os_error().is_some()
            }
            Self::Store(error) => {
                error.is_disk_full()
                    || matches!(
                        error,
                        picnix_store::Error::Database { .. }
                            | picnix_store::Error::DatabaseCorrupt { .. }
                            | picnix_store::Error::ReadOnly(_)
                    )
            }
            Self::Io { .. } | Self::Interrupted => true,
            _ => false,
        }
    }
}
