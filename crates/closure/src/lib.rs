//! Reference graphs: sizes, dominators, why, diff, budgets.
//!
//! A [`Graph`] is a set of store paths with their sizes and references. Everything here answers one
//! question: *what is in this closure, why, and what would it weigh without that?* Pure: the graph
//! comes from a store, a binary cache or a test, and the answers are the same.
//!
//! The one decision worth knowing: paths become dense indices once, sorted, so that every result is
//! in a defined order and the algorithms are arrays. No recursion, since a chain may be as long as a
//! store is large.

mod budget;
mod diff;
mod dominators;
mod graph;
mod why;

pub use budget::{Budget, OverBudget, ParseBudgetError};
pub use diff::{Change, Diff, Side, diff, split_name};
pub use dominators::Weight;
pub use graph::{Error, Graph, Node};
pub use why::Explanations;
