//! Other machines that build: Nix's worker protocol from the client's side.
//!
//! A [`RemoteAddress`] says how to reach a daemon (a Unix socket, `ssh-ng://host`, any command that
//! speaks the protocol on its standard streams); a [`Connection`] asks it things; a [`Machine`] is a line
//! of Nix's `builders` setting, and `Dispatcher` decides which step is built where.
//!
//! The decision worth knowing: **a step belongs to this process wherever its builder runs.** Its locks,
//! its log and its place in the plan are as for a local build; only the middle differs: inputs are
//! copied there, the derivation is built there, its outputs are copied back and become valid here like
//! any other object, hash and content address checked. A machine that dies is therefore a place that was
//! tried, and the step goes on to the next one.
//!
//! What a machine builds is believed, as in Nix: whoever is listed as a builder builds what we run.

mod address;
mod build;
mod client;
mod connection;
mod dispatch;
mod error;
mod machine;

pub use address::RemoteAddress;
pub use client::CopyReport;
pub use connection::Connection;
pub use error::RemoteError;
pub use machine::{Machine, parse_machines};

pub(crate) use build::{Attempt, Trouble, build_on};
pub(crate) use dispatch::{Dispatcher, Need, Place};
