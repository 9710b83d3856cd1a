//! The fuzz targets of picnix; `tests/README.md` has the commands.

mod targets;

pub use targets::{evaluates, parses};
