//! Binary caches, both ways: asking them for outputs, copying from them and to them, being one.
//!
//! A binary cache is a folder, or a server that shows one, in Nix's format: `nix-cache-info` says
//! what it is, `<digest>.narinfo` describes a store object, and the narinfo's URL leads to its
//! compressed NAR. [`Substituters`] asks several caches for the closures of paths and gives
//! [`Offer`]s, which the planner turns into copies; [`upload`] writes a closure to a cache;
//! [`Server`] shows a store as a cache over HTTP.
//!
//! The decision worth knowing: **what a cache says is believed as far as a trusted key signed it or
//! the contents prove it.** Signature, path, references and URL are checked before anything is
//! downloaded; length and hash while it is unpacked, so that nothing of an object is ever in memory
//! as a whole and a lying cache costs no more disk than it announced. (A content-addressed copy is
//! the exception: [`readdress`].)
//!
//! This lies in `build` because an output that a cache has is a step of a plan like any other, and
//! because it needs the store and the network client, which know nothing of each other.

mod address;
mod compression;
mod error;
mod http;
mod remote;

mod download;
mod offers;
mod readdress;
mod serve;
mod substituters;
mod upload;

pub use address::{CacheAddress, Scope};
pub use compression::Compression;
pub use error::CacheError;
pub use offers::{Offer, Offers, Wanted};
pub use readdress::readdress;
pub use serve::{Served, Server};
pub use substituters::{CachePolicy, Substituters, Warn};
pub use upload::{UploadOptions, UploadReport, upload};

pub(crate) use substituters::order_of;
