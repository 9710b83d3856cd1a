//! Where a module defines an option, found by a look at its text.
//!
//! The frames of the module system name an option and the file of a definition, but no line: a value does not know
//! where it was defined. A report can afford to parse the file once more and to follow the option's names through
//! whatever modules are written with: functions, `let`, `config = ...`, `mkIf ... { ... }`, `mkMerge [ ... ]`,
//! `a // b`. Where the names lead no further (a set that a function makes), the last place known is good enough.

use bumpalo::Bump;
use picnix_syntax::{AttrSet, AttrValue, Expr, ExprKind, Options, Span};

use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::source::Source;

/// The deepest nesting that is looked into.
const MAX_DEPTH: usize = 100;

/// A place, and how many names of the option lead on from it.
type Found = (usize, Span);

/// The place in a module's text where it defines an option, such as `services."a.b".enable`.
pub(super) fn find(ev: &Evaluator<'_>, module: &Source<'_>, option: &str) -> Option<Pos> {
    let path = names(option);
    let arena = Bump::new();
    let options = Options { pipe_operators: ev.settings.pipe_operators };
    let parsed = picnix_syntax::parse(&arena, module.text, options);
    let (_, span) = in_module(parsed.root, &path, 0)?;
    Some(module.start_of(span))
}

/// Splits an option's name at dots outside of quotes.
fn names(option: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    for letter in option.chars() {
        match (letter, names.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            ('.', _) if !is_quoted => names.push(String::new()),
            (letter, Some(name)) => name.push(letter),
            (_, None) => {}
        }
    }
    names
}

/// What a module says of an option: at its top, or below `config`.
fn in_module(expr: &Expr<'_>, path: &[String], depth: usize) -> Option<Found> {
    nearest(parts(expr, depth).into_iter().filter_map(|set| {
        let config = set.attrs.iter().find(|attr| attr.name == "config");
        let below = config.and_then(|attr| match attr.value {
            AttrValue::Plain(value) => in_value(value, path, depth + 1),
            AttrValue::Inherited | AttrValue::InheritedFrom(_) => None,
        });
        nearest([below, in_set(set, path, depth)].into_iter().flatten())
    }))
}

/// What the sets that a value is made of say of an option.
fn in_value(expr: &Expr<'_>, path: &[String], depth: usize) -> Option<Found> {
    let sets = parts(expr, depth).into_iter();
    nearest(sets.filter_map(|set| in_set(set, path, depth)))
}

fn in_set(set: &AttrSet<'_>, path: &[String], depth: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let attr = set.attrs.iter().find(|attr| attr.name == first)?;
    let here = Some((rest.len(), attr.span));
    let below = match attr.value {
        AttrValue::Plain(value) => in_value(value, rest, depth + 1),
        AttrValue::Inherited | AttrValue::InheritedFrom(_) => None,
    };
    below.or(here)
}

/// The one that the fewest names lead on from; the first of several.
fn nearest(found: impl Iterator<Item = Found>) -> Option<Found> {
    found.min_by_key(|(left, _)| *left)
}

/// The sets that an expression is made of, as modules are written.
fn parts<'e, 'a>(expr: &'e Expr<'a>, depth: usize) -> Vec<&'e AttrSet<'a>> {
    if depth > MAX_DEPTH {
        return Vec::new();
    }
    let all = |exprs: &[&'e Expr<'a>]| -> Vec<&'e AttrSet<'a>> {
        exprs.iter().flat_map(|expr| parts(expr, depth + 1)).collect()
    };
    match expr.kind {
        ExprKind::AttrSet(set) => vec![set],
        ExprKind::Lambda(lambda) => parts(lambda.body, depth + 1),
        ExprKind::Let { body, .. }
        | ExprKind::With { body, .. }
        | ExprKind::Assert { body, .. } => parts(body, depth + 1),
        ExprKind::If { consequence, alternative, .. } => all(&[consequence, alternative]),
        ExprKind::Binary { left, right, .. } => all(&[left, right]),
        ExprKind::Apply { arguments, .. } => all(arguments),
        ExprKind::List(items) => all(items),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, option: &str) -> Option<u32> {
        let arena = Bump::new();
        let options = Options { pipe_operators: false };
        let parsed = picnix_syntax::parse(&arena, text.as_bytes(), options);
        in_module(parsed.root, &names(option), 0).map(|(_, span)| span.start)
    }

    #[test]
    fn names_are_split_outside_of_quotes() {
        assert_eq!(names("a.\"b.c\".d"), ["a", "b.c", "d"]);
        assert_eq!(names("a"), ["a"]);
    }

    #[test]
    fn definitions_are_found_through_what_modules_are_made_of() {
        for text in [
            "{ a.^b = 1; }",
            "{ a = { ^b = 1; }; }",
            "{ lib, ... }: let x = { a.b = 2; }; in { config = lib.mkIf x { a = { ^b = 1; }; }; }",
            "with x; mkMerge [ { c = 1; } { a = y // { ^b = 1; }; } ]",
            "{ options.a.b = 2; config = if x then { } else { a = mkForce (z: { ^b = 1; }); }; }",
            "{ ^a = f x; }",
            "x: { inherit c; inherit ^a; }",
            "{ d = 1; ^a = { c = 2; }; }",
        ] {
            let expected = u32::try_from(text.find('^').unwrap()).unwrap();
            let plain = text.replace('^', "");
            // The place of a path is that of its first name.
            let expected = if text.contains("a.^b") { expected - 2 } else { expected };
            assert_eq!(place(&plain, "a.b"), Some(expected), "{text}");
        }
        assert_eq!(place("{ c = 1; }", "a.b"), None);
        assert_eq!(place("1 +", "a"), None);
    }
}
