//! What tests of several crates share: a world of evaluation in memory (`MemoryWorld`, with the feature `world`,
//! which is the default), a look into programs, the inputs of fuzz targets, and running tests once more as an ordinary
//! user.
//!
//! The world has the semantics of the real one where evaluation can see them: symbolic links are followed, objects
//! that are added to its store can be read there, and their store paths are those that Nix computes. It builds
//! nothing; what an evaluation would have built is recorded.

mod corpus;
mod elf;
#[cfg(feature = "world")]
mod tree;
mod user;
#[cfg(feature = "world")]
mod world;

pub use corpus::run_corpus;
pub use elf::interpreter;
#[cfg(feature = "world")]
pub use tree::Tree;
pub use user::again_as_user;
#[cfg(feature = "world")]
pub use world::MemoryWorld;
