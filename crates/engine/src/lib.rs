//! The real World; composes the hops; the registry of builtin builders.

pub mod deb;
pub mod image_builtin;
