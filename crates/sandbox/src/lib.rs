//! One command in a box: namespaces, mounts, limits.
//!
//! A box is one run of one program in fresh user, mount, pid, network, ipc and uts namespaces. It
//! sees the inputs that its [`BoxSpec`] lists (read-only), a private build directory, a private
//! store directory for its outputs, and a few harmless device nodes; nothing else of the host. It
//! works the same for root and for an ordinary user and needs no helper program.
//!
//! The decision worth knowing: the child is made by one `clone` that *shares memory* with its
//! multi-threaded parent until it executes the builder. No page table is copied, so starting a box
//! costs the same from a process of 5 MB and of 500 MB; in exchange the child may neither allocate
//! nor take a lock. Everything it does is therefore prepared beforehand as a list of [`script`]
//! operations over C strings, which [`child`] merely interprets.
//!
//! What the crate does not do: it knows no derivations and no store; it moves no outputs; it never
//! falls back to running the program without a box.
//!
//! Beside boxes there is [`view`], which lets a person's own programs see the store at its logical place.
//!
//! **Linux 5.12 or newer** is needed (`mount_setattr`).

mod error;
mod refusal;
mod spec;

mod ids;
mod layout;
mod script;
mod seccomp;

mod child;
mod spawn;

mod cgroup;
mod running;
mod tree;

pub mod memory;
pub mod view;

pub use error::Error;
pub use refusal::Refusal;
pub use running::{Exit, Killer, Running, Status};
pub use spawn::start;
pub use spec::{BoxSpec, BuildFile, HostPath, Input, Limits, Network};
pub use tree::{remove_tree, take_ownership};
