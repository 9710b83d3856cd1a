//! The fuzz targets of picnix; `tests/README.md` has the commands.

mod archives;
mod readers;
mod targets;

pub use archives::unpacks;
pub use readers::{reads_derivation, reads_nar, reads_narinfo, reads_worker_protocol};
pub use targets::{evaluates, parses};
