//! Versions: their components, their order, and where they begin in a package's name.

use std::cmp::Ordering;

use super::{Builtin, Scope};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::sym;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "parseDrvName",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Splits a package's name from its version at the first dash that no letter \
              follows: `\"nix-0.12pre1\"` yields `{ name = \"nix\"; version = \"0.12pre1\"; }`.",
        function: parse_drv_name,
    },
    Builtin {
        name: "compareVersions",
        parameters: &["s1", "s2"],
        scope: Scope::Prefixed,
        doc: "Compares two versions: `-1` if *s1* is older than *s2*, `0` if they are the \
              same, `1` if it is newer. Components are compared as numbers where they are \
              numbers; `pre` is older than anything.",
        function: compare_versions,
    },
    Builtin {
        name: "splitVersion",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "The components of a version: runs of digits, and runs of other characters than \
              digits, dots and dashes.",
        function: split_version,
    },
];

fn parse_drv_name<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.parseDrvName";
    let text = ev.expect_plain_string(args[0], pos, doing)?;
    let dash = text
        .windows(2)
        .position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    let (name, version) = match dash {
        Some(dash) => (&text[..dash], &text[dash + 1..]),
        None => (text, &b""[..]),
    };
    Ok(ev.attrs(&[
        (sym::NAME, ev.string_of(name, &[])),
        (sym::VERSION, ev.string_of(version, &[])),
    ]))
}

fn compare_versions<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.compareVersions";
    let a = ev.expect_plain_string(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.compareVersions";
    let b = ev.expect_plain_string(args[1], pos, doing)?;
    Ok(Value::Int(match compare(a, b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

fn split_version<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.splitVersion";
    let mut rest = ev.expect_plain_string(args[0], pos, doing)?;
    let mut components = Vec::new();
    loop {
        let component = next_component(&mut rest);
        if component.is_empty() {
            return Ok(ev.list(&components));
        }
        components.push(ev.string_of(component, &[]));
    }
}

/// Takes the next component off a version; an empty one where there is none.
fn next_component<'t>(rest: &mut &'t [u8]) -> &'t [u8] {
    let is_separator = |byte: u8| byte == b'.' || byte == b'-';
    let start = rest.iter().position(|byte| !is_separator(*byte)).unwrap_or(rest.len());
    let text = &rest[start..];
    let numeric = text.first().is_some_and(u8::is_ascii_digit);
    let ends = |byte: &u8| byte.is_ascii_digit() != numeric || is_separator(*byte);
    let end = text.iter().position(ends).unwrap_or(text.len());
    *rest = &text[end..];
    &text[..end]
}

/// Compares two versions, component by component.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (first, second) = (next_component(&mut a), next_component(&mut b));
        if is_older(first, second) {
            return Ordering::Less;
        }
        if is_older(second, first) {
            return Ordering::Greater;
        }
    }
    Ordering::Equal
}

/// Whether one component is older than another. A run of digits that 32 bits cannot hold is no number to Nix.
fn is_older(a: &[u8], b: &[u8]) -> bool {
    let number = |component| std::str::from_utf8(component).ok()?.parse::<i32>().ok();
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a < b,
        (_, Some(_)) if a.is_empty() => true,
        _ if a == b"pre" && b != b"pre" => true,
        _ if b == b"pre" => false,
        (_, Some(_)) => true,
        (Some(_), _) => false,
        (None, None) => a < b,
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::compare;

    #[test]
    fn versions_compare_as_in_nix() {
        let order = [
            ("1.0", "2.3", Ordering::Less),
            ("2.1", "2.3", Ordering::Less),
            ("2.3", "2.3", Ordering::Equal),
            ("2.5", "2.3", Ordering::Greater),
            ("2.3.1", "2.3", Ordering::Greater),
            ("2.3.1", "2.3a", Ordering::Greater),
            ("2.3pre1", "2.3", Ordering::Less),
            ("2.3pre3", "2.3pre12", Ordering::Less),
            ("2.3a", "2.3c", Ordering::Less),
            ("2.3pre1", "2.3c", Ordering::Less),
            ("99999999999", "1", Ordering::Less),
        ];
        for (a, b, expected) in order {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a} and {b}");
            assert_eq!(
                compare(b.as_bytes(), a.as_bytes()),
                expected.reverse(),
                "{b} and {a}"
            );
        }
    }
}
