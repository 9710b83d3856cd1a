//! The engine: the real World, and the hops of picnix composed.
//!
//! Every lower crate does one thing and knows nothing of the others; here they meet. An [`Engine`] holds the
//! settings, the store and the builders; [`session::evaluate`] runs an evaluation whose outside is this machine;
//! [`system::System`] goes the whole way from a configuration to an image or a virtual machine.

mod access;
pub mod bill;
mod builders;
pub mod caches;
mod config;
pub mod deb;
mod derivations;
mod engine;
mod error;
mod fetchers;
pub mod flakes;
pub mod image_builtin;
pub mod locking;
mod parallel;
mod places;
mod registry;
pub mod remote;
pub mod session;
mod settings;
mod shadow;
mod shell;
pub mod system;
mod texts;
pub mod tree;
pub mod world;

/// What the fuzzer reaches that nobody else may.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::fetchers::unpack_archive;
}

pub use access::Visibility;
pub use config::Config;
pub use derivations::Found;
pub use engine::{BuildOptions, Engine, target};
pub use error::Error;
pub use fetchers::Freshness;
pub use parallel::Wanted;
pub use picnix_build::chain;
pub use places::with_place;
pub use settings::UserSettings;
pub use shell::Shell;
