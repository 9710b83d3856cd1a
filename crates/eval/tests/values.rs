//! Builtins that need no outside, judged by the real Nix.
//!
//! `values.txt` holds cases: a line `> EXPRESSION`, then what `nix-instantiate --eval --strict` prints of it, or
//! `! ` and the message of its error, line by line without indentation.
//!
//! With `PICNIX_PEER_NIX` set to the command prefix of a real Nix (it may be empty, or say `chroot DIR`), the
//! expectations are checked against that; with `PICNIX_UPDATE` set too, they are rewritten from it.

#![expect(clippy::disallowed_methods, reason = "the judge is another program")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Command;

use picnix_eval::pos::Pos;
use picnix_eval::source::Origin;
use picnix_eval::value::Heap;
use picnix_eval::{Evaluator, Feature, Settings};
use picnix_testkit::MemoryWorld;

const CASES: &str = include_str!("values.txt");

/// The expressions with the results that they must have.
fn cases() -> Vec<(&'static str, &'static str)> {
    let blocks = CASES.strip_prefix("> ").expect("the file begins with a case");
    let cases =
        blocks.split("\n> ").map(|block| block.split_once('\n').unwrap_or((block, "")));
    cases.map(|(expr, result)| (expr, result.trim_end())).collect()
}

fn evaluate(expr: &str) -> String {
    evaluate_in(expr, &Heap::new())
}

fn evaluate_in(expr: &str, heap: &Heap) -> String {
    let world = MemoryWorld::new();
    let ev = Evaluator::new(heap, &world, Settings::default());
    let value = ev
        .eval_text(format!("\n{expr}").as_bytes(), b"/", Origin::Text)
        .and_then(|value| ev.force_deep(value, Pos::NONE).map(|()| value))
        .and_then(|value| ev.print_ambiguous(value));
    match value {
        Ok(text) => String::from_utf8_lossy(&text).trim_end().to_owned(),
        Err(error) => format!("! {}", plain_lines(&error.to_string())),
    }
}

/// The lines of a message up to an empty one or a place in a source, without what indents them.
fn plain_lines(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let lines = lines.take_while(|line| {
        !line.is_empty() && !line.starts_with("at ") && !line.starts_with("Try 'nix-")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn results_are_those_of_nix() {
    let mut wrong = Vec::new();
    for (expr, expected) in cases() {
        let actual = evaluate(expr);
        if actual != expected {
            wrong.push(format!(
                "> {expr}\n  expected: {expected}\n  but got:  {actual}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_builtin_has_a_case() {
    // Those that read the outside or the store are in `store_facing.txt`.
    let store_facing = include_str!("store_facing.txt");
    let fetching = include_str!("fetching.txt");
    let missing: Vec<_> = picnix_eval::builtins::all()
        .map(|builtin| builtin.name)
        .filter(|name| !CASES.contains(name) && !store_facing.contains(name))
        .filter(|name| !fetching.split_whitespace().any(|known| known == *name))
        .filter(|name| !["import", "scopedImport"].contains(name))
        .collect();
    assert!(missing.is_empty(), "no case mentions {missing:?}");
}

#[test]
fn messages_are_shown_as_nix_shows_them() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let settings = Settings { trace_verbose: true, ..Settings::default() };
    let ev = Evaluator::new(&heap, &world, settings);
    let expr = "builtins.trace \"a\" (builtins.trace { x = 1 + 1; y = [ \"z\" ]; } \
                (builtins.traceVerbose 1 (builtins.warn \"w\" null)))";
    ev.eval_text(expr.as_bytes(), b"/", Origin::Text).unwrap();
    let expected = [
        "trace: a",
        "trace: { x = «thunk»; y = «thunk»; }",
        "trace: 1",
        "evaluation warning: w",
    ];
    assert_eq!(world.messages(), expected);
}

#[test]
fn warnings_abort_where_that_is_wanted() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let settings = Settings { abort_on_warn: true, ..Settings::default() };
    let ev = Evaluator::new(&heap, &world, settings);
    let expr = b"builtins.tryEval (builtins.warn \"w\" null)";
    let error = ev.eval_text(expr, b"/", Origin::Text).unwrap_err();
    let expected = "aborting to reveal stack trace of warning, as abort-on-warn is set";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn dates_of_toml_need_a_feature() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let mut settings = Settings::default();
    settings.features.enable(Feature::ParseTomlTimestamps);
    let ev = Evaluator::new(&heap, &world, settings);
    let cases = [
        ("1979-05-27 07:32:00.5z", "1979-05-27T07:32:00.500Z"),
        ("1979-05-27t07:32:00.1234567+01:30", "1979-05-27T07:32:00.123456700+01:30"),
        ("1979-05-27T07:32:00-00:00", "1979-05-27T07:32:00Z"),
        ("07:32:00.123456789123", "07:32:00.123456789"),
        ("23:59:60", "23:59:60"),
        ("1980-02-29", "1980-02-29"),
    ];
    for (toml, expected) in cases {
        let expr = format!("fromTOML \"d = {toml}\"");
        let value = ev.eval_text(expr.as_bytes(), b"/", Origin::Text).unwrap();
        ev.force_deep(value, Pos::NONE).unwrap();
        let text = String::from_utf8(ev.print_ambiguous(value).unwrap()).unwrap();
        let expected =
            format!("{{ d = {{ _type = \"timestamp\"; value = \"{expected}\"; }}; }}");
        assert_eq!(text, expected);
    }
}

#[test]
fn deep_json_and_toml_need_no_stack() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let ev = Evaluator::new(&heap, &world, Settings::default());
    let json = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let expr = format!("builtins.toJSON (builtins.fromJSON \"{json}\") == \"{json}\"");
    let value = ev.eval_text(expr.as_bytes(), b"/", Origin::Text).unwrap();
    assert!(matches!(value, picnix_eval::Value::Bool(true)));
    let expr = format!("fromTOML \"a = {}\"", "[".repeat(100_000));
    assert!(ev.eval_text(expr.as_bytes(), b"/", Origin::Text).is_err());
}

#[test]
fn expectations_are_those_of_the_installed_nix() {
    let Ok(prefix) = std::env::var("PICNIX_PEER_NIX") else {
        eprintln!("SKIPPED: PICNIX_PEER_NIX is not set, so no real Nix judges");
        return;
    };
    let answers = cases().into_iter().map(|(expr, expected)| {
        let answer = ask_peer(&prefix, expr);
        (expr, expected, answer)
    });
    if std::env::var_os("PICNIX_UPDATE").is_some() {
        let text: String =
            answers.map(|(expr, _, answer)| format!("> {expr}\n{answer}\n")).collect();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values.txt");
        std::fs::write(file, text).unwrap();
        return;
    }
    for (expr, expected, answer) in answers {
        assert_eq!(expected, answer, "{expr}");
    }
}

/// Asks the real Nix for a case's result.
fn ask_peer(prefix: &str, expr: &str) -> String {
    let mut words = prefix.split_whitespace().chain(["nix-instantiate"]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["--eval", "--strict", "--expr", &format!("\n{expr}")])
        .output()
        .unwrap();
    if output.status.success() {
        return String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    }
    let report = String::from_utf8_lossy(&output.stderr);
    format!("! {}", plain_lines(last_error(&report)))
}

/// The report from the last line on that begins with `error:`, without that word.
fn last_error(report: &str) -> &str {
    let starts = report.match_indices("error: ").map(|(start, _)| start);
    let begins_line = |start: &usize| {
        report[..*start].trim_end_matches(' ').ends_with('\n') || *start == 0
    };
    let start = starts.filter(begins_line).last();
    start.map_or(report, |start| &report[start + "error: ".len()..])
}

/// Programs in which what has lived for long gets new parts, little by little, and is read again later.
const CHANGING: &[&str] = &[
    // Thunks of lists, and of each way to suspend a call.
    "let all = builtins.genList (n: { v = toString (n * 7); }) 150; some = map (x: x.v + \"-\") all;
     sum = text: builtins.foldl' (a: x: a + x) \"\" text; in
     [ (sum (builtins.filter (x: builtins.stringLength x > 3) some)) (sum some) (sum (map (x: x.v) all)) ]",
    "let names = builtins.genList (n: \"a${toString n}\") 120;
     set = builtins.listToAttrs (map (name: { inherit name; value = [ name ]; }) names);
     each = builtins.mapAttrs (name: value: name + builtins.head value) set;
     twice = builtins.concatMap (name: [ each.${name} ]); in
     [ (twice (builtins.filter (n: builtins.stringLength n < 3) names)) (twice names) each ]"
    ,
    // Layers, which are merged when their set is walked.
    "let grow = n: set: if n == 0 then set else grow (n - 1) (set // { \"k${toString (n / 2)}\" = [ (toString n) ]; });
     sets = builtins.genList (n: grow n { x = toString n; y.z = toString n; }) 30;
     walk = set: builtins.concatStringsSep \" \" (builtins.attrNames set); in
     [ (map (set: set.y.z) sets) (map walk sets) sets (map (set: set.x) sets) ]",
    // A fixpoint: the same thunks from many places.
    "let fix = f: let x = f x; in x;
     set = fix (self: builtins.listToAttrs (builtins.genList (n: { name = \"f${toString n}\"; value =
       if n < 2 then toString n else builtins.substring 0 40 (self.\"f${toString (n - 1)}\" + self.\"f${toString (n - 2)}\");
     }) 100)); in [ set.f99 set.f50 set ]",
    "let set = rec { __overrides = { b = toString (40 + 2); c = [ (toString 1) ]; }; a = map (n: b + toString n) [ 1 2 3 ];
     b = 1; c = 2; d = [ c a b ]; }; in builtins.genList (n: if n < 50 then toString n else set) 60",
];

#[test]
fn what_is_old_keeps_what_it_gets() {
    for program in CHANGING {
        let wanted = evaluate(program);
        assert!(!wanted.starts_with('!'), "{program}\n{wanted}");
        for every in [1, 3, 10] {
            let heap = Heap::new();
            heap.collect_every(every);
            let found = heap.collected(|| evaluate_in(program, &heap));
            assert_eq!(found, wanted, "{program}");
            assert!(heap.collections() > 3, "{} collections", heap.collections());
        }
    }
}
