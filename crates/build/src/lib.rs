//! Plan, schedule, run, register, logs.
//!
//! [`Builder::build`] makes outputs of derivations valid: it plans ([`Plan`]), runs every step when
//! what it needs is done, on threads, and registers what the steps made. A step fetches a file
//! (`builtin:fetchurl`), runs a builtin builder of this program ([`BuiltinBuilder`]), or runs a
//! program in a box of the sandbox.
//!
//! The decision worth knowing: a step is done under locks on its output paths, held from before the
//! last look whether they are valid until they are registered; so two processes never build the
//! same thing twice, and everything a step makes lies in a temporary directory until one
//! transaction of the store takes over all its outputs.
//!
//! What a derivation can ask for beyond Nix is `boxRoot`, an attribute that names a tree in the
//! store (one of its inputs): its `usr`, `bin`, `sbin`, `lib*` and `etc/alternatives` are shown at
//! the root of the box.
//!
//! An output that a binary cache has is copied with its closure instead of being built; [`cache`]
//! is everything about caches, in both directions.
//!
//! A step may be built by another machine: [`remote`] speaks Nix's worker protocol to it, and
//! [`daemon`] is the other end, so that Nix can build here.
//!
//! What is not here: expressions, and the terminal ([`Observer`] is told what happens).

mod cancel;
mod error;
mod lock;
mod observer;

mod plan;
mod schedule;

mod checks;
mod environment;
mod json;
mod options;
mod structured;

pub mod cache;
pub mod daemon;
pub mod remote;

mod build;
mod builtin;
mod fetchurl;
mod hashes;
mod hook;
mod logs;
mod outputs;
mod repair;
mod shell;
mod space;
mod step;

#[cfg(test)]
mod test_recipes;

pub use build::{BuildConfig, Builder, Built};
pub use builtin::{BuiltinBuilder, BuiltinContext, BuiltinOutput, Builtins};
pub use cancel::{Cancel, OnCancel};
pub use environment::Environment;
pub use error::{BuiltinError, Error, Failure, StepError, Unsupported, chain};
pub use logs::{find_log, log_path};
pub use observer::{Event, Observer, Silent, StepKind};
pub use options::BOX_ROOT;
pub use plan::{CopyStep, Outputs, Plan, PlanCounts, Purpose, Recipes, Step, Target};
pub use repair::Repairs;
pub use space::Space;
pub use structured::shell_quote;
