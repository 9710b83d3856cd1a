//! The fuzz targets of picnix; `tests/README.md` has the commands.

#[cfg(feature = "archives")]
mod archives;
mod readers;
mod targets;

#[cfg(feature = "archives")]
pub use archives::unpacks;
pub use readers::{reads_derivation, reads_nar, reads_narinfo, reads_worker_protocol};
pub use targets::{evaluates, parses};
