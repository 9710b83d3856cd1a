//! The real World; composes the hops; the registry of builtin builders.

mod config;
mod error;
pub mod session;
pub mod source;
pub mod store;
pub mod tree;
pub mod world;

pub use config::Config;
pub use error::Error;
