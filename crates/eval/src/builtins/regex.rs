//! `match` and `split`: POSIX extended regular expressions, as C++ Nix understands them.
//!
//! Nix hands its patterns to `std::regex`, whose answers are not those of POSIX where alternatives, optional
//! parts or empty iterations compete, nor those of any other engine. So the engine is our own, in three parts:
//! `parse` knows the syntax, `program` turns it into instructions, and `machine` runs them with libstdc++'s
//! order of preference, remembering where it failed so that no pattern takes exponential time.

mod machine;
mod parse;
mod program;

use std::rc::Rc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use self::machine::{Capture, Flags, Machine, Match, Scratch};
use self::program::Program;
use super::{Builtin, Scope};
use crate::err;
use crate::error::{Error, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{Str, Value};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "match",
        parameters: &["regex", "str"],
        scope: Scope::Prefixed,
        doc: "Matches the whole of *str* against a POSIX extended regular expression: the \
              list of what its groups matched (`null` for one that took no part), or `null` \
              if it does not match.",
        function: match_whole,
    },
    Builtin {
        name: "split",
        parameters: &["regex", "str"],
        scope: Scope::Prefixed,
        doc: "Splits *str* at the matches of a POSIX extended regular expression: the strings \
              between matches, and between them, for every match, the list of what its \
              groups matched.",
        function: split,
    },
];

/// Why a pattern cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    /// It is no regular expression.
    Invalid,
    /// It is too large.
    TooLarge,
}

/// Compiled patterns, and the memory that matching needs.
#[derive(Default)]
pub(crate) struct Cache {
    programs: HashMap<Box<[u8]>, Rc<Program>, FxBuildHasher>,
    scratch: Scratch,
}

fn compiled(ev: &Evaluator<'_>, pattern: &[u8]) -> Result<Rc<Program>> {
    let mut cache = ev.caches.regexes.borrow_mut();
    if let Some(program) = cache.programs.get(pattern) {
        return Ok(program.clone());
    }
    let program = parse::pattern(pattern).and_then(|parsed| Program::compile(&parsed));
    let program = Rc::new(program.map_err(|problem| pattern_error(problem, pattern))?);
    cache.programs.insert(pattern.into(), program.clone());
    Ok(program)
}

#[cold]
fn pattern_error(problem: Problem, pattern: &[u8]) -> Error {
    let pattern = String::from_utf8_lossy(pattern);
    match problem {
        Problem::Invalid => err!(Other, "invalid regular expression '{pattern}'"),
        Problem::TooLarge => {
            err!(Other, "memory limit exceeded by regular expression '{pattern}'")
        }
    }
}

fn match_whole<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.match";
    let program = compiled(ev, ev.expect_plain_string(args[0], pos, doing)?)?;
    let doing = "while evaluating the second argument passed to builtins.match";
    let text = ev.expect_string(args[1], pos, doing)?;
    let scratch = &mut ev.caches.regexes.borrow_mut().scratch;
    let found = Machine::new(&program, text.bytes, scratch).whole();
    Ok(found.map_or(Value::Null, |found| groups(ev, text, &found.captures)))
}

fn groups<'h>(ev: &Evaluator<'h>, text: &Str<'h>, captures: &[Capture]) -> Value<'h> {
    let groups: Vec<_> = captures
        .iter()
        .map(|capture| match capture.range() {
            Some(range) => ev.string_of(&text.bytes[range], &[]),
            None => Value::Null,
        })
        .collect();
    ev.list(&groups)
}

fn split<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.split";
    let program = compiled(ev, ev.expect_plain_string(args[0], pos, doing)?)?;
    let doing = "while evaluating the second argument passed to builtins.split";
    let text = ev.expect_string(args[1], pos, doing)?;
    let scratch = &mut ev.caches.regexes.borrow_mut().scratch;
    let mut machine = Machine::new(&program, text.bytes, scratch);
    let mut items = Vec::new();
    let mut matches = Matches::default();
    let mut copied = 0;
    while let Some(found) = matches.next(&mut machine) {
        items.push(ev.string_of(&text.bytes[copied..found.start], &[]));
        items.push(groups(ev, text, &found.captures));
        copied = found.end;
    }
    if items.is_empty() {
        // The string as it was, with its context, which all other parts lose.
        return Ok(ev.list(&[Value::String(text)]));
    }
    items.push(ev.string_of(&text.bytes[copied..], &[]));
    Ok(ev.list(&items))
}

/// The matches in a text, one after the other, as `std::regex_iterator` finds them.
#[derive(Default)]
struct Matches {
    last: Option<(usize, usize)>,
    flags: Flags,
}

impl Matches {
    fn next(&mut self, machine: &mut Machine<'_, '_>) -> Option<Match> {
        let found = match self.last {
            None => machine.find(0, self.flags),
            Some((start, end)) => self.after(start, end, machine),
        }?;
        self.last = Some((found.start, found.end));
        Some(found)
    }

    fn after(
        &mut self,
        start: usize,
        end: usize,
        machine: &mut Machine<'_, '_>,
    ) -> Option<Match> {
        let mut from = end;
        if start == end {
            if end == machine.text().len() {
                return None;
            }
            // After an empty match, one that is not empty may begin at the same place.
            let again = machine.at(end, Flags { not_empty: true, ..self.flags });
            if again.is_some() {
                return again;
            }
            from += 1;
        }
        self.flags.not_at_start = true;
        machine.find(from, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::machine::{Machine, Scratch};
    use super::program::Program;
    use super::{Matches, Problem, parse};

    fn compile(pattern: &str) -> Result<Program, Problem> {
        parse::pattern(pattern.as_bytes()).and_then(|parsed| Program::compile(&parsed))
    }

    fn matched(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
        let program = compile(pattern).unwrap();
        let mut scratch = Scratch::default();
        let found = Machine::new(&program, text.as_bytes(), &mut scratch).whole()?;
        Some(
            found
                .captures
                .iter()
                .map(|c| c.range().map(|r| text[r].to_owned()))
                .collect(),
        )
    }

    fn pieces(pattern: &str, text: &str) -> Vec<String> {
        let program = compile(pattern).unwrap();
        let mut scratch = Scratch::default();
        let mut machine = Machine::new(&program, text.as_bytes(), &mut scratch);
        let mut matches = Matches::default();
        std::iter::from_fn(|| matches.next(&mut machine))
            .map(|found| text[found.start..found.end].to_owned())
            .collect()
    }

    #[test]
    fn groups_are_captured() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(matched("a(b)(c)", "abc"), Some(vec![some("b"), some("c")]));
        assert_eq!(matched("(a)|(b)", "b"), Some(vec![None, some("b")]));
        assert_eq!(matched("(a*)*", "aa"), Some(vec![some("")]));
        assert_eq!(matched("ab", "abc"), None);
        assert_eq!(
            matched("[[:space:]]+([[:upper:]]+)[[:space:]]+", "  FOO   "),
            Some(vec![some("FOO")])
        );
        assert_eq!(matched("[]a-]+", "]-a"), Some(vec![]));
        assert_eq!(matched("[[.tilde.][.NUL.][.DEL.]]+", "~\u{7f}"), Some(vec![]));
        assert_eq!(matched("x{2,3}", "xxxx"), None);
        assert_eq!(matched("x{2,3}", "xxx"), Some(vec![]));
    }

    #[test]
    fn alternatives_are_longest_and_options_are_greedy() {
        assert_eq!(pieces("a|ab|abc", "xabcab"), ["abc", "ab"]);
        assert_eq!(pieces("(ab)?(abcd)?", "abcd"), ["ab", "", "", ""]);
        assert_eq!(pieces("^a", "aa"), ["a"]);
        assert_eq!(pieces("", "ab"), ["", "", ""]);
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        let text = "a".repeat(2000);
        assert_eq!(matched("(a|a|aa)*b", &text), None);
        assert_eq!(matched("(a*)*b", &text[..200]), None);
        assert_eq!(pieces("(a|a)*(a|b)*c", &text[..500]), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "(",
            ")",
            "a**b)",
            "*a",
            "[a",
            "[[:alpha:]",
            "[[:nope:]]",
            "[z-a]",
            "a{2,1}",
            "a{,2}",
            "\\d",
            "a|*",
        ] {
            assert_eq!(compile(pattern).err(), Some(Problem::Invalid), "{pattern}");
        }
        assert_eq!(compile("((a{1000}){1000})").err(), Some(Problem::TooLarge));
    }
}
