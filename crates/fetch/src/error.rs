//! Why something could not be fetched.

use std::fmt;
use std::io;
use std::path::PathBuf;

use picnix_store_core::{Hash, HashFormat};

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every URL was tried in vain. The words are those of Nix, which people search for.
    #[error("unable to download '{name}'{}", tried(name, .attempts))]
    Exhausted {
        /// The first URL as it was given.
        name: String,
        /// Every URL, and why it failed, in the order of trying.
        attempts: Vec<Attempt>,
    },
    /// A URL delivered, but not the bytes that were asked for, and no other URL did.
    #[error(
        "hash mismatch in file downloaded from '{url}':\n  specified: {}\n  got:       {}{}",
        wanted.print(HashFormat::Sri), got.print(HashFormat::Sri), also(.others)
    )]
    HashMismatch {
        /// The URL that delivered.
        url: String,
        /// The hash that was asked for.
        wanted: Box<Hash>,
        /// The hash of what came.
        got: Box<Hash>,
        /// The other URLs, and why they failed.
        others: Vec<Attempt>,
    },
    /// The thing is larger than the caller permits.
    #[error("{url:?} is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Where it was.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// A `mirror://` URL names a mirror list that does not exist.
    #[error("unknown mirror list {name:?} in {url:?}; known: {}", .known.join(", "))]
    UnknownMirror {
        /// The URL.
        url: String,
        /// The list's name.
        name: String,
        /// The lists that exist.
        known: Vec<String>,
    },
    /// A URL gave nothing.
    #[error("unable to download '{url}': {reason}")]
    Get {
        /// The URL.
        url: String,
        /// Why not, the last time it was tried.
        reason: String,
    },
    /// Nothing could be stored at a URL.
    #[error("cannot upload to '{url}': {reason}")]
    Put {
        /// The URL.
        url: String,
        /// Why not, the last time it was tried.
        reason: String,
    },
    /// No URL was given.
    #[error("no URL to fetch from")]
    NoUrl,
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// The result could not be written.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The proxy's address makes no sense.
    #[error("invalid proxy {proxy:?}")]
    Proxy {
        /// The address.
        proxy: String,
    },
}

/// A URL and why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The URL after resolving mirrors.
    pub url: String,
    /// Why it failed, the last time.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.reason)
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

fn tried(name: &str, attempts: &[Attempt]) -> String {
    match attempts {
        [only] if only.url == name => format!(": {}", only.reason),
        _ => format!("; tried{}", list(attempts)),
    }
}

fn also(others: &[Attempt]) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!("\nother URLs failed too:{}", list(others))
}
