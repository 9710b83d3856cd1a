//! The parse suites of NixOS/nix: `tests/functional/lang/parse-{okay,fail}-*`.
//!
//! Runs where `PICNIX_NIX_SOURCE` names a source tree of Nix (tag 2.34.8 is the one that counts), and says
//! loudly that it does not run elsewhere. Outputs are compared whole, as Nix's own `lang.sh` does.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that reads a source tree and tells what it found"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use picnix_syntax::{Options, PathContext, Source, parse, print};

/// These parse; what is wrong with them is found when names are resolved, which the evaluator does.
const NEEDS_NAMES: [&str; 2] = ["parse-fail-regression-20060610", "parse-fail-undef-var"];

/// What `nix-instantiate --parse -` prints of a file given on standard input.
fn run(source: &[u8], folder: &str) -> Result<Vec<u8>, String> {
    let arena = Bump::new();
    let parse = parse(&arena, source, Options::default());
    if let Some(diagnostic) = parse.diagnostics.first() {
        return Err(Source::new("«stdin»", source).render(diagnostic) + "\n");
    }
    let mut out = print(parse.root, &PathContext { folder, home: "/fake-home" });
    out.push(b'\n');
    Ok(out)
}

/// The suite's files that begin with `prefix`, or nothing where there is no source tree.
fn cases(prefix: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("PICNIX_NIX_SOURCE") else {
        println!(
            "SKIPPED {prefix}*: PICNIX_NIX_SOURCE does not name a source tree of Nix"
        );
        return Vec::new();
    };
    let folder = Path::new(&root).join("tests/functional/lang");
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".nix")
    });
    cases.sort();
    assert!(!cases.is_empty(), "no {prefix}*.nix in {}", folder.display());
    cases
}

fn name(case: &Path) -> String {
    case.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn parse_okay_prints_what_nix_prints() {
    let cases = cases("parse-okay-");
    for case in &cases {
        let source = fs::read(case).unwrap();
        let out =
            run(&source, "/pwd/lang").unwrap_or_else(|e| panic!("{}: {e}", name(case)));
        let expected = fs::read(case.with_extension("exp")).unwrap();
        let (out, expected) =
            (String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        assert_eq!(out, expected, "{}", name(case));
    }
    println!("parse-okay: {} of {0} equal", cases.len());
}

#[test]
fn parse_fail_reports_what_nix_reports() {
    let cases = cases("parse-fail-");
    let mut equal = 0;
    for case in &cases {
        let source = fs::read(case).unwrap();
        let out = run(&source, "/pwd/lang");
        if NEEDS_NAMES.contains(&name(case).as_str()) {
            assert!(out.is_ok(), "{}: {out:?}", name(case));
            continue;
        }
        let expected = fs::read_to_string(case.with_extension("err.exp")).unwrap();
        assert_eq!(out.expect_err(&name(case)), expected, "{}", name(case));
        equal += 1;
    }
    println!(
        "parse-fail: {equal} of {} equal, the rest is for the evaluator",
        cases.len()
    );
}
