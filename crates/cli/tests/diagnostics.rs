//! What picnix says where a program or a configuration is wrong: whole reports, compared with `diagnostics.cases`.
//!
//! A case there is a name (`#: NAME`), files (`#> FILE`, then its lines), a command line without `picnix` (`#$ ...`)
//! and what it writes to standard error (`#! LINE`, `#!` for an empty one). `PICNIX_UPDATE=1` writes what it does
//! say now; a change there is to be read as a user would read it.

use std::fmt::Write;
use std::fs;

use crate::common::{TestEnvironment, workspace};

#[derive(Default)]
struct Case {
    name: String,
    files: Vec<(String, String)>,
    command: Vec<String>,
    expected: String,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("#: ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        // What comes before the first case is a comment.
        let Some(case) = cases.last_mut() else { continue };
        if let Some(file) = line.strip_prefix("#> ") {
            case.files.push((file.to_owned(), String::new()));
        } else if let Some(words) = line.strip_prefix("#$ ") {
            case.command = words.split(' ').map(str::to_owned).collect();
        } else if let Some(said) = line.strip_prefix("#!") {
            let _ = writeln!(case.expected, "{}", said.strip_prefix(' ').unwrap_or(said));
        } else if let (Some((_, contents)), true) =
            (case.files.last_mut(), case.command.is_empty())
        {
            let _ = writeln!(contents, "{line}");
        }
    }
    cases
}

fn print(case: &Case) -> String {
    let mut text = format!("#: {}\n", case.name);
    for (file, contents) in &case.files {
        let _ = write!(text, "#> {file}\n{contents}");
    }
    let _ = writeln!(text, "#$ {}", case.command.join(" "));
    for line in case.expected.lines() {
        let _ = writeln!(text, "{}", format!("#! {line}").trim_end());
    }
    text
}

/// Runs a case and says what came of it.
fn run(case: &Case) -> String {
    let env = TestEnvironment::new();
    for (file, contents) in &case.files {
        env.write(file, contents);
    }
    let ran = env.run(&mut env.picnix(&case.command));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}: {ran:?}", case.name);
    without_tree(&ran.stderr)
}

/// Text without the place of the copy of the tree, whose name is its hash.
fn without_tree(text: &str) -> String {
    let marker = "$DIR/home/.cache/picnix/tree/";
    let mut parts = text.split(marker);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "<picnix>";
        out += part.split_once('/').map_or("", |(hash, _)| &part[hash.len()..]);
    }
    out
}

#[test]
fn reports_are_as_expected() {
    let path = workspace().join("crates/cli/tests/diagnostics.cases");
    let text = fs::read_to_string(&path).unwrap();
    let mut cases = parse(&text);
    assert!(cases.len() >= 7, "there are only {} cases", cases.len());
    let mut differing = String::new();
    for case in &mut cases {
        let said = run(case);
        if said != case.expected {
            let _ = write!(
                differing,
                "\n---- {}\n{said}---- instead of\n{}",
                case.name, case.expected
            );
        }
        case.expected = said;
    }
    if std::env::var_os("PICNIX_UPDATE").is_some() {
        let head = text.split("#: ").next().unwrap();
        let cases: Vec<String> = cases.iter().map(print).collect();
        fs::write(&path, format!("{head}{}", cases.join("\n"))).unwrap();
    } else {
        assert!(differing.is_empty(), "{differing}");
    }
}
