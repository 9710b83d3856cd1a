//! The builtins: one file per topic, each with a table.
//!
//! A builtin is a plain function over the evaluator and as many arguments as its arity, which it forces as far
//! as it needs. Its table entry carries what `:doc` and the manual show.

use std::cell::RefCell;

use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::value::{ContextElement, Value};

// Values.
mod attrsets;
mod control;
mod convert;
pub mod json;
mod lists;
mod numbers;
mod regex;
mod sort;
mod strings;
mod toml;
mod types;
mod versions;
pub mod xml;

// Files and the store.
mod closure;
mod context;
mod derivation;
mod fetch;
mod files;
mod flakes;
mod hashing;
mod output_of;
mod paths;
mod store;

pub(crate) use derivation::{
    Cache as DerivationCache, Table as DerivationTable, derivation_place,
    imported as imported_derivation,
};
pub(crate) use flakes::FETCH_FINAL_TREE;

/// The code of a builtin. It is given exactly as many arguments as its arity, none of them forced.
pub type Function = for<'h> fn(&Evaluator<'h>, &[Value<'h>], Pos) -> Result<Value<'h>>;

/// A function of the language that is written in Rust.
pub struct Builtin {
    /// Its name in the set `builtins`.
    pub name: &'static str,
    /// The names of its arguments, for documentation; their number is the arity.
    pub parameters: &'static [&'static str],
    /// Whether it is visible everywhere under its plain name, or only as `__name`.
    pub scope: Scope,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// The code.
    pub function: Function,
}

/// Under which name a builtin is visible outside the set `builtins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// As it is: `map`.
    Plain,
    /// Behind two underscores: `__add`.
    Prefixed,
}

impl Builtin {
    /// The number of arguments.
    #[inline]
    #[must_use]
    pub fn arity(&self) -> usize {
        self.parameters.len()
    }
}

/// All builtins, topic by topic.
const TABLES: &[&[Builtin]] = &[
    crate::import::BUILTINS,
    // Values.
    attrsets::BUILTINS,
    control::BUILTINS,
    convert::BUILTINS,
    json::BUILTINS,
    lists::BUILTINS,
    numbers::BUILTINS,
    regex::BUILTINS,
    strings::BUILTINS,
    toml::BUILTINS,
    types::BUILTINS,
    versions::BUILTINS,
    xml::BUILTINS,
    // Files and the store.
    context::BUILTINS,
    derivation::BUILTINS,
    closure::BUILTINS,
    fetch::BUILTINS,
    files::BUILTINS,
    flakes::BUILTINS,
    hashing::BUILTINS,
    output_of::BUILTINS,
    paths::BUILTINS,
    store::BUILTINS,
];

/// The most parameters of a builtin.
pub(crate) const MAX_ARITY: usize = 4;

const _: () = {
    let mut table = 0;
    while table < TABLES.len() {
        let mut index = 0;
        while index < TABLES[table].len() {
            assert!(TABLES[table][index].parameters.len() <= MAX_ARITY, "few parameters");
            index += 1;
        }
        table += 1;
    }
};

/// How much of a value a writer of text evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forcing {
    /// All of it.
    Deep,
    /// Nothing; what is not evaluated is written as such, or refused.
    Nothing,
}

/// The string that a writer of text makes, which depends on what the writer says.
fn written<'h>(
    ev: &Evaluator<'h>,
    write: impl FnOnce(&mut Vec<ContextElement>) -> Result<Vec<u8>>,
) -> Result<Value<'h>> {
    let mut context = Vec::new();
    let text = write(&mut context)?;
    Ok(ev.string_of(ev.heap.bytes(&text), ev.context_from(context)))
}

/// What builtins keep between calls.
#[derive(Default)]
pub(crate) struct Caches {
    // Values.
    /// Compiled patterns of `match` and `split`.
    pub(crate) regexes: RefCell<regex::Cache>,
    // Files and the store.
    /// What `derivationStrict` knows of derivations that this evaluation made.
    pub(crate) derivations: RefCell<derivation::Cache>,
    /// Entries of search paths that `findFile` looked at.
    pub(crate) search_path: RefCell<files::SearchPathCache>,
}

/// Finds a builtin by its name in the set `builtins`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Builtin> {
    all().find(|builtin| builtin.name == name)
}

/// The experimental feature without which a builtin is not there.
pub(crate) fn feature_of(builtin: &Builtin) -> Option<Feature> {
    match builtin.name {
        "fetchClosure" => Some(Feature::FetchClosure),
        "outputOf" => Some(Feature::DynamicDerivations),
        _ => None,
    }
}

/// All builtins, in no particular order.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    TABLES.iter().flat_map(|table| table.iter())
}
