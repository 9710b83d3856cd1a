//! What must hold for every input. The fuzzer calls these functions with inputs that it makes up, and
//! `crates/eval/tests/fuzz_corpus.rs` with those that are kept in `fuzz/corpus`.

use bumpalo::Bump;
use picnix_eval::pos::Pos;
use picnix_eval::report::{Detail, render};
use picnix_eval::source::Origin;
use picnix_eval::value::Heap;
use picnix_eval::{Evaluator, Settings};
use picnix_syntax::{Options, PathContext, Source, parse, print};
use picnix_testkit::MemoryWorld;

/// Parsing ends, and says what is wrong in a report that can be shown; what is right can be printed, and
/// parsing what was printed ends as well. (It is not always the same: Nix prints `"${a}"` as `(a)`.)
///
/// # Panics
/// It does not hold for `text`.
pub fn parses(text: &[u8]) {
    let arena = Bump::new();
    let options = Options { pipe_operators: true };
    let parsed = parse(&arena, text, options);
    if parsed.diagnostics.is_empty() {
        let paths = PathContext { folder: "/dir", home: "/home" };
        let printed = print(parsed.root, &paths);
        let again = parse(&arena, arena.alloc_slice_copy(&printed), options);
        if again.diagnostics.is_empty() {
            print(again.root, &paths);
        }
        return;
    }
    let source = Source::new("input", text);
    for diagnostic in parsed.diagnostics {
        assert!(diagnostic.span.start as usize <= text.len(), "a place outside the text");
        assert!(source.render(&diagnostic).starts_with("error: "));
    }
}

/// Evaluation to the depths, and printing, give a value or an error that can be shown.
///
/// # Panics
/// It does not hold for `text`.
pub fn evaluates(text: &[u8]) {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let settings = Settings { pipe_operators: true, ..Settings::default() };
    let ev = Evaluator::new(&heap, &world, settings);
    let result = ev
        .eval_text(text, b"/", Origin::Text)
        .and_then(|value| ev.force_deep(value, Pos::NONE).map(|()| value))
        .and_then(|value| ev.print_ambiguous(value));
    if let Err(error) = result {
        for show_trace in [false, true] {
            let detail = Detail { show_trace, ..Detail::default() };
            assert!(render(&ev, &error, detail).starts_with("error:"));
        }
    }
}
