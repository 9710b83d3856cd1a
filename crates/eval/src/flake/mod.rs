//! References to trees that are not here yet, and flakes.
//!
//! [`Url`] is a URL as Nix reads and writes it, [`Input`] says where a tree comes from, [`FlakeRef`] adds a
//! directory in it, [`LockFile`] is `flake.lock`. They are pure: what must be fetched is asked of the
//! [`crate::World`]. The words of messages are Nix's.

mod input;
mod lock;
mod lockfile;
mod reference;
mod source;
mod url;

pub use input::{Input, InputAttrs, InputValue, Scheme, is_legal_ref_name, is_rev};
pub use lock::{LockFlags, Locked};
pub use lockfile::{Edge, InputPath, LockFile, LockedNode, Node, NodeId};
pub use reference::{FlakeRef, RefForm, split_path};
pub(crate) use source::TreeShape;
pub use url::{Authority, Strictness, Url, fix_git_url, percent_decode, percent_encode};

/// Which registries a name is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registries {
    /// All: the user typed the name.
    All,
    /// The global one: a program says the name, and must mean the same everywhere.
    Global,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// It is no URL, or one of a form that the scheme does not know; it may still be a path.
    #[error("{0}")]
    BadUrl(String),
    /// It is a reference, and wrong.
    #[error("{0}")]
    Wrong(String),
    /// A tree has another hash than its reference says.
    #[error("{0}")]
    WrongHash(String),
}

/// The exit status of Nix's commands where a hash is not what it should be.
pub const WRONG_HASH_STATUS: u8 = 102;

impl From<RefError> for crate::Error {
    fn from(error: RefError) -> Self {
        let status = match error {
            RefError::WrongHash(_) => WRONG_HASH_STATUS,
            RefError::BadUrl(_) | RefError::Wrong(_) => 1,
        };
        crate::err!(Other, "{error}").with_status(status)
    }
}

/// What reading a reference gives.
pub type RefResult<T> = std::result::Result<T, RefError>;

fn bad_url<T>(message: impl Into<String>) -> RefResult<T> {
    Err(RefError::BadUrl(message.into()))
}

fn wrong<T>(message: impl Into<String>) -> RefResult<T> {
    Err(RefError::Wrong(message.into()))
}
