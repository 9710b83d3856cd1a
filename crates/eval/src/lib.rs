//! The evaluator of the Nix language.
//!
//! Syntax is lowered once per file into a resolved form ([`expr`]) in which variables are slots, and that form
//! is walked in direct style: `eval` takes an expression and a scope and returns a value in weak head normal
//! form. Laziness is explicit: what may not be needed is a [`value::Thunk`].
//!
//! Everything that evaluation may know of the outside comes through [`world::World`]; this crate performs no
//! input or output, and it builds nothing.
//!
//! Memory: values are two words and `Copy`, and borrow from one [`value::Heap`] that is freed as a whole. See
//! `ARCHITECTURE.md` for what was weighed against it.

mod ahead;
mod call;
mod coerce;
mod docs;
mod eval;
mod evaluator;
mod features;
mod force;
mod import;
mod interactive;
mod internal;
mod interrupt;
mod lints;
mod lower;
mod ops;
mod parsed;
mod peek;
mod print;
mod shared;

pub mod builtins;
pub mod error;
pub mod expr;
pub mod flake;
#[cfg(fuzzing)]
pub mod fuel;
pub mod pos;
pub mod report;
pub mod source;
pub mod symbol;
pub mod value;
pub mod world;

pub use ahead::{Ahead, Handled};
pub use coerce::{Coercion, canonical_path};
pub use error::{Error, Result};
pub use evaluator::Evaluator;
pub use features::{Feature, Features};
pub use import::NIX_VERSION;
pub use interactive::{Entry, Interactive};
pub use interrupt::Interrupt;
pub use lints::{Lints, Severity};
pub use picnix_syntax::float_text;
pub use print::{Errors, PrintOptions, print_attr_name, print_string};
pub use symbol::sym;
pub use value::{Heap, Value};
pub use world::{Settings, World};
