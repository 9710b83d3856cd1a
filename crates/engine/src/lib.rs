//! The real World; composes the hops; the registry of builtin builders.
