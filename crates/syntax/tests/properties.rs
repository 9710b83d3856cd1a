//! What holds for every input: parsing ends without a panic, and what prints parses and prints the same.

use bumpalo::Bump;
use picnix_syntax::{Options, PathContext, Source, parse, print};
use proptest::prelude::*;

/// Pieces that make trouble next to each other.
const PIECES: [&str; 76] = [
    "a",
    "b",
    "or",
    "x1",
    "__curPos",
    "1",
    "1.5",
    "0.",
    "\"",
    "''",
    "${",
    "}",
    "{",
    "$",
    "\\",
    "'",
    "(",
    ")",
    "[",
    "]",
    ";",
    ":",
    ",",
    ".",
    "...",
    "=",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "&&",
    "||",
    "->",
    "//",
    "++",
    "+",
    "-",
    "*",
    "/",
    "?",
    "@",
    "!",
    "|>",
    "<|",
    "if",
    "then",
    "else",
    "assert",
    "with",
    "let",
    "in",
    "rec",
    "inherit",
    "./a",
    "/b",
    "~/c",
    "a/",
    "<n>",
    "http://x",
    "#",
    "\n",
    "\r\n",
    "/*",
    "*/",
    " ",
    "\t",
    "\0",
    "é",
    "{ a }:",
    "a.b = 1;",
    "inherit (a) b;",
    "''\n  a\n ''",
    "''${",
    "$$",
];

fn context() -> PathContext<'static> {
    PathContext { folder: "/dir", home: "/home" }
}

/// Parses and renders everything that can be rendered.
fn exercise(source: &[u8]) {
    let arena = Bump::new();
    let parse =
        parse(&arena, source, Options { pipe_operators: source.len().is_multiple_of(2) });
    let shown = Source::new("f.nix", source);
    for diagnostic in &parse.diagnostics {
        assert!(shown.render(diagnostic).starts_with("error: "));
        assert!(diagnostic.span.start <= diagnostic.span.end);
        assert!(diagnostic.span.end as usize <= source.len());
    }
    print(parse.root, &context());
}

/// Expressions in a form that prints as it parses.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-d]{1,2}".prop_map(String::from),
        "[1-9][0-9]{0,3}".prop_map(String::from),
        "[a-z $.\n]{0,6}".prop_map(|text| format!("{text:?}")),
        Just("./p/q".to_owned()),
        Just("<n/p>".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|a| format!("[ ({a}) {{ x = {a}; y.z = 1; }} ]")),
            two.clone().prop_map(|(a, b)| format!("(({a}) ({b}))")),
            two.clone().prop_map(|(a, b)| format!("({a} + {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} // {b} < 3)")),
            two.clone().prop_map(|(a, b)| format!("({{ p, q ? {a}, ... }}@r: {b})")),
            two.clone()
                .prop_map(|(a, b)| format!("(let m = {a}; inherit ({b}) n; in m)")),
            two.prop_map(|(a, b)| format!("(if {a} then {b} else ({b}).s.t or ({a}))")),
            inner.prop_map(|a| format!("\"u${{{a}}}\"")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_parse_without_a_panic(source in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&source);
    }

    #[test]
    fn any_tokens_parse_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        spaced in any::<bool>(),
    ) {
        exercise(pieces.join(if spaced { " " } else { "" }).as_bytes());
    }

    #[test]
    fn what_prints_parses_and_prints_the_same(source in expression()) {
        let arena = Bump::new();
        let first = parse(&arena, source.as_bytes(), Options::default());
        prop_assert!(first.diagnostics.is_empty(), "{source}: {:?}", first.diagnostics);
        let once = print(first.root, &context());
        let again = parse(&arena, arena.alloc_slice_copy(&once), Options::default());
        prop_assert!(again.diagnostics.is_empty(), "{:?}", String::from_utf8_lossy(&once));
        prop_assert_eq!(once, print(again.root, &context()));
    }
}
