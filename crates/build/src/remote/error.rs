//! Why another machine was of no use.

use std::io;

use picnix_store_core::StorePath;

/// Why another machine was of no use.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// An address cannot be understood.
    #[error("'{text}' is not the address of a remote store: {reason}")]
    Address {
        /// The address.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of the `builders` setting makes no sense.
    #[error("bad machine specification '{line}': {reason}")]
    Machine {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A program or socket could not be opened.
    #[error("cannot open a connection to '{address}': {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The other side does not speak the protocol, or stopped to.
    #[error("lost the connection to '{address}': {}{}", ended(source), quoted(said))]
    Lost {
        /// The other side.
        address: String,
        /// What happened.
        source: picnix_store_core::Error,
        /// What its program wrote to its standard error.
        said: String,
    },
    /// The other side speaks another protocol.
    #[error("'{address}' does not speak the worker protocol{}", quoted(said))]
    NoDaemon {
        /// The other side.
        address: String,
        /// What it said instead.
        said: String,
    },
    /// The other side speaks a version that is too old.
    #[error(
        "'{address}' speaks version {version} of the worker protocol, which is too old"
    )]
    Version {
        /// The other side.
        address: String,
        /// Its version.
        version: String,
    },
    /// The other side refused.
    #[error("'{address}': {message}")]
    Refused {
        /// The other side.
        address: String,
        /// Its words.
        message: String,
    },
    /// The other side does not have a path.
    #[error("path '{path}' is not valid on '{address}'")]
    Missing {
        /// The other side.
        address: String,
        /// The path.
        path: StorePath,
    },
    /// Nobody who is trusted vouches for a path.
    #[error("path '{path}' of '{address}' lacks a signature by a trusted key")]
    Untrusted {
        /// The other side.
        address: String,
        /// The path.
        path: StorePath,
    },
    /// The store here failed.
    #[error("{0}")]
    Store(#[from] picnix_store::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn ended(source: &picnix_store_core::Error) -> String {
    match source {
        picnix_store_core::Error::Io(error)
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            "it ended unexpectedly".to_owned()
        }
        source => source.to_string(),
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said:\n{said}") }
}
