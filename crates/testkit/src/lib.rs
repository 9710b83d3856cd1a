//! What tests of several crates share: a [`World`](picnix_eval::World) in memory, and a look into programs.
//!
//! It has the semantics of the real one where evaluation can see them: symbolic links are followed, objects
//! that are added to its store can be read there, and their store paths are those that Nix computes. It builds
//! nothing; what an evaluation would have built is recorded.

mod elf;
mod tree;
mod world;

pub use elf::interpreter;
pub use tree::Tree;
pub use world::MemoryWorld;
