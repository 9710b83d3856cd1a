//! Deep programs: nesting of 100,000 either works or is refused in Nix's words, and never ends the process.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use picnix_eval::pos::Pos;
use picnix_eval::source::Origin;
use picnix_eval::value::Heap;
use picnix_eval::{Evaluator, Settings};
use picnix_testkit::MemoryWorld;

/// How deep the programs nest.
const DEPTH: usize = 100_000;
/// What Nix says of values nested deeper than its limit on calls.
const OVERFLOW: &str = "stack overflow; max-call-depth exceeded";

/// The value of a program, or the message of its error.
fn evaluate(program: &str) -> Result<String, String> {
    evaluate_in(program, &Heap::new())
}

fn evaluate_in(program: &str, heap: &Heap) -> Result<String, String> {
    let world = MemoryWorld::new();
    let ev = Evaluator::new(heap, &world, Settings::default());
    ev.eval_text(program.as_bytes(), b"/", Origin::Text)
        .and_then(|value| ev.force_deep(value, Pos::NONE).map(|()| value))
        .and_then(|value| ev.print_ambiguous(value))
        .map(|text| String::from_utf8(text).unwrap())
        .map_err(|error| error.to_string())
}

/// `prefix` and `suffix` around `core`, 100,000 times.
fn nested(prefix: &str, core: &str, suffix: &str) -> String {
    [&prefix.repeat(DEPTH), core, &suffix.repeat(DEPTH)].concat()
}

fn works(program: &str, expected: &str) {
    assert_eq!(evaluate(program).as_deref(), Ok(expected));
}

fn overflows(program: &str) {
    assert_eq!(evaluate(program), Err(OVERFLOW.to_owned()));
}

#[test]
fn nested_lists_overflow_as_in_nix() {
    overflows(&nested("[", "", "]"));
}

#[test]
fn nested_lets_work() {
    works(&nested("let a = 1; in ", "a", ""), "1");
}

#[test]
fn chains_of_variables_work() {
    let bindings: String =
        (0..DEPTH).map(|index| format!("x{} = x{index} + 1; ", index + 1)).collect();
    works(&format!("let x0 = 0; {bindings} in x{DEPTH}"), &DEPTH.to_string());
}

#[test]
fn chains_of_updates_work() {
    works(&nested("{} // ", "{}", ""), "{ }");
}

#[test]
fn nested_updates_work() {
    works(&nested("(", "{}", " // {})"), "{ }");
}

#[test]
fn nested_calls_overflow_as_in_nix() {
    overflows(&nested("(x: x) (", "1", ")"));
}

#[test]
fn nested_sets_overflow_as_in_nix() {
    overflows(&nested("{ a = ", "1", "; }"));
}

#[test]
fn nested_parentheses_branches_and_scopes_work() {
    works(&nested("(", "1", ")"), "1");
    works(&nested("if true then ", "1", " else 0"), "1");
    works(&nested("with { }; ", "1", ""), "1");
    works(&nested("assert true; ", "1", ""), "1");
}

#[test]
fn chains_of_operators_work() {
    works(&nested("1 + ", "1", ""), &(DEPTH + 1).to_string());
    works(&nested("[ ] ++ ", "[ ]", ""), "[ ]");
    let chain = nested("[ 1 ] ++ ", "[ 1 ]", "");
    works(&format!("builtins.length ({chain})"), &(DEPTH + 1).to_string());
    let chain = nested("(", "[ 1 ]", " ++ [ 1 ])");
    works(&format!("builtins.length ({chain})"), &(DEPTH + 1).to_string());
    let chain = nested("[ 1 ] ++ (", "[ 1 ]", " ++ [ 1 ])");
    works(&format!("builtins.length ({chain})"), &(2 * DEPTH + 1).to_string());
    works(&nested("true && ", "true", ""), "true");
    works(&nested("!", "true", ""), "true");
}

#[test]
fn joined_lists_are_copied_once() {
    // What takes 8 bytes for each element of each list on the way takes 40 GB.
    const MAX_BYTES: usize = 128 << 20;
    for (prefix, suffix) in [("(", " ++ [ 1 ])"), ("[ 1 ] ++ (", " ++ [ 1 ])")] {
        let heap = Heap::new();
        let chain = nested(prefix, "[ 1 ]", suffix);
        evaluate_in(&format!("builtins.length ({chain})"), &heap).unwrap();
        let bytes = heap.allocated_bytes();
        assert!(bytes < MAX_BYTES, "{bytes} bytes for {prefix}..{suffix}");
    }
}

#[test]
fn many_arguments_work() {
    works(&nested("(x: x) ", "1", ""), "1");
}

#[test]
fn recursion_overflows_as_in_nix() {
    overflows("let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 100000");
}

#[test]
fn deep_values_overflow_where_they_are_walked() {
    let deep = "(builtins.foldl' (a: b: [ a ]) [ ] (builtins.genList (x: x) 100000))";
    for walk in ["", "toString ", "builtins.toJSON ", "builtins.toXML "] {
        overflows(&format!("{walk}{deep}"));
    }
    overflows(&format!("{deep} == {deep}"));
}
