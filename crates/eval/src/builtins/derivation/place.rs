//! Where a derivation was written, as far as the places of its attributes show: what a failed build is reported at.
//!
//! Most derivations are made by functions, and an attribute that a function adds says nothing of who called it.
//! What the caller gives and the function hands on keeps its place: a package's `pname`, the address of a file.

use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::{Symbol, sym};
use crate::value::Attrs;

/// The attributes that callers write themselves, the most telling first.
const OF_CALLERS: [Symbol; 3] = [sym::PNAME, sym::URL, sym::URLS];

/// The place of the derivation that is made of these attributes.
pub(super) fn of<'h>(ev: &Evaluator<'h>, attrs: &'h Attrs<'h>) -> Pos {
    let pos_of = |name| attrs.get_attr(name).map_or(Pos::NONE, |attr| attr.pos);
    if let Some(found) = OF_CALLERS.into_iter().map(pos_of).find(|pos| pos.is_some()) {
        return found;
    }
    let (name, system) = (pos_of(sym::NAME), pos_of(sym::SYSTEM));
    let text_of = |pos| ev.sources.source(pos).map(|source| source.origin);
    let of_functions = [text_of(name), text_of(system)];
    if of_functions[0] == of_functions[1] {
        return name;
    }
    // Two functions, each with its attributes: what is of neither is of who called them.
    let others = attrs.iter(ev.heap).map(|attr| attr.pos);
    others
        .filter(|pos| pos.is_some() && !of_functions.contains(&text_of(*pos)))
        .min()
        .unwrap_or(name)
}
