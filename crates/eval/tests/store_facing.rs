//! Builtins that face files and store, judged by the real Nix.
//!
//! `store_facing.txt` holds cases: an expression, and the text that `toString` makes of its value, or `! ` and
//! the message of its error. A `.drv` path is the hash of the `.drv` file's bytes, so that comparing paths
//! compares bytes. A case whose name begins with `features: ` is evaluated with experimental features.
//!
//! With `PICNIX_PEER_NIX` set to the command prefix of a real Nix (it may be empty, or say `chroot DIR`), the
//! expectations are checked against that; with `PICNIX_UPDATE` set too, they are rewritten from it.

#![expect(clippy::disallowed_methods, reason = "the judge is another program")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Command;

use picnix_eval::source::Origin;
use picnix_eval::value::Heap;
use picnix_eval::{Coercion, Evaluator, Feature, Settings, pos::Pos};
use picnix_store_core::nar::Fso;
use picnix_testkit::MemoryWorld;

const CASES: &str = include_str!("store_facing.txt");
const FIXTURE: &str = "/fixture";
const FEATURES: [Feature; 4] = [
    Feature::CaDerivations,
    Feature::ImpureDerivations,
    Feature::DynamicDerivations,
    Feature::Blake3Hashes,
];

struct Case {
    name: String,
    expr: String,
    expected: String,
}

impl Case {
    fn features(&self) -> Option<[Feature; 4]> {
        self.name.starts_with("features: ").then_some(FEATURES)
    }
}

/// Reads blocks of `=== name`, expression, `---`, expectation.
fn cases() -> Vec<Case> {
    let blocks = CASES.split("=== ").skip(1);
    let case = |block: &str| {
        let (name, rest) = block.split_once('\n').expect("a case has a name");
        let (expr, expected) = rest.split_once("---\n").expect("a case has a result");
        Case {
            name: name.to_owned(),
            expr: expr.trim().to_owned(),
            expected: expected.trim_end().to_owned(),
        }
    };
    blocks.map(case).collect()
}

/// The files that the cases read, under names relative to the current directory.
fn fixture() -> Vec<(&'static str, Fso)> {
    let source = Fso::directory([
        ("a.txt", Fso::file("a\n")),
        (".git", Fso::directory([("HEAD", Fso::file("ref"))])),
        ("run.sh", Fso::program("#!/bin/sh\n")),
        ("link", Fso::Symlink(b"a.txt".to_vec())),
        ("sub", Fso::directory([("b.txt", Fso::file("b")), ("c.md", Fso::file(""))])),
    ]);
    vec![
        ("src", source),
        ("plain.txt", Fso::file("hello\n")),
        ("nul", Fso::file(b"a\0b".to_vec())),
        ("to-src", Fso::Symlink(b"src".to_vec())),
        ("to-plain", Fso::Symlink(b"./src/../plain.txt".to_vec())),
        ("dangling", Fso::Symlink(b"nothing".to_vec())),
        ("odd@name", Fso::file("odd")),
        ("x.drv", Fso::file("no derivation")),
    ]
}

fn evaluate(case: &Case) -> String {
    let mut world = MemoryWorld::new();
    for (name, object) in fixture() {
        world = world.object(&format!("{FIXTURE}/{name}"), object);
    }
    let heap = Heap::new();
    let mut settings = Settings { base_dir: FIXTURE.into(), ..Settings::default() };
    for feature in case.features().into_iter().flatten() {
        settings.features.enable(feature);
    }
    let ev = Evaluator::new(&heap, &world, settings);
    // A line before the expression, as for the real Nix, gives the same places in messages.
    let text = ev
        .eval_text(
            format!("\n{}", case.expr).as_bytes(),
            FIXTURE.as_bytes(),
            Origin::Text,
        )
        .and_then(|value| ev.coerce_to_string(value, Pos::NONE, Coercion::TO_STRING, ""));
    match text {
        Ok(text) => text.to_string_lossy().trim_end().to_owned(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn results_are_those_of_nix() {
    let mut wrong = Vec::new();
    for case in cases() {
        let actual = evaluate(&case);
        if actual != case.expected {
            let Case { name, expr, expected } = case;
            wrong.push(format!(
                "=== {name}\n{expr}\n  expected: {expected}\n  but got:  {actual}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_trace_names_attribute_and_derivation() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let ev = Evaluator::new(&heap, &world, Settings::default());
    let expr = b"(derivation { name = \"x\"; system = \"s\"; builder = \"b\"; a = { }; }).outPath";
    let error = ev.eval_text(expr, b"/", Origin::Text).unwrap_err();
    let trace = error.report().trace.iter().map(|frame| frame.text.as_str());
    let trace: Vec<_> = trace.filter(|text| text.contains("derivation 'x'")).collect();
    assert_eq!(
        trace,
        [
            "while evaluating attribute 'a' of derivation 'x'",
            "while evaluating derivation 'x'\n  whose name attribute is located at «string»:1:15",
        ]
    );
}

#[test]
fn warnings_are_shown_once() {
    let world = MemoryWorld::new();
    let heap = Heap::new();
    let settings = Settings {
        search_path: vec![(b"a".to_vec(), b"/nowhere".to_vec())],
        ..Settings::default()
    };
    let ev = Evaluator::new(&heap, &world, settings);
    for _ in 0..2 {
        assert!(ev.eval_text(b"<a>", b"/", Origin::Text).is_err());
    }
    let expected = "warning: Nix search path entry '/nowhere' does not exist, ignoring";
    assert_eq!(world.messages(), [expected]);
}

#[test]
fn variables_of_the_environment_are_hidden_in_pure_mode() {
    let world = MemoryWorld::new().env("X", "value");
    let heap = Heap::new();
    for (pure, expected) in [(false, "value"), (true, "")] {
        let settings = Settings { pure, ..Settings::default() };
        let ev = Evaluator::new(&heap, &world, settings);
        let value = ev.eval_text(b"builtins.getEnv \"X\"", b"/", Origin::Text).unwrap();
        let text = ev.coerce_to_string(value, Pos::NONE, Coercion::STRING, "").unwrap();
        assert_eq!(text.bytes, expected.as_bytes());
    }
}

#[test]
fn derivations_of_the_store_are_read_for_their_hashes() {
    let drv = "(derivation { name = \"a\"; system = \"s\"; builder = \"b\"; })";
    let user = |path: &str| {
        format!(
            "(derivation {{ name = \"x\"; system = \"s\"; builder = \"b\"; \
             dep = builtins.appendContext \"\" {{ \"{path}\" = {{ outputs = [ \"out\" ]; }}; }}; }}).drvPath"
        )
    };
    let world = MemoryWorld::new();
    let text = |expr: &str| {
        let heap = Heap::new();
        let ev = Evaluator::new(&heap, &world, Settings::default());
        let value = ev.eval_text(expr.as_bytes(), b"/", Origin::Text).unwrap();
        let text = ev.coerce_to_string(value, Pos::NONE, Coercion::STRING, "").unwrap();
        text.to_string_lossy().into_owned()
    };
    // The second evaluation has not made the derivation, and finds it in the store of the first.
    let path = text(&format!("{drv}.drvPath"));
    let read = text(&user(&path));
    let made = text(&format!("let p = {drv}.drvPath; in builtins.seq p {}", user(&path)));
    assert_eq!(read, made);
}

#[test]
fn expectations_are_those_of_the_installed_nix() {
    let Ok(prefix) = std::env::var("PICNIX_PEER_NIX") else {
        eprintln!("SKIPPED: PICNIX_PEER_NIX is not set, so no real Nix judges");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for (name, object) in fixture() {
        write(&dir.path().join(name), &object);
    }
    let answers: Vec<_> = cases()
        .into_iter()
        .map(|case| {
            let answer = ask_peer(&prefix, dir.path(), &case);
            (case, answer)
        })
        .collect();
    if std::env::var_os("PICNIX_UPDATE").is_some() {
        let blocks = answers.iter().map(|(Case { name, expr, .. }, answer)| {
            format!("=== {name}\n{expr}\n---\n{answer}\n")
        });
        let text = blocks.collect::<Vec<_>>().join("\n");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store_facing.txt");
        std::fs::write(file, text).unwrap();
        return;
    }
    for (case, answer) in answers {
        assert_eq!(case.expected, answer, "{}: {}", case.name, case.expr);
    }
}

/// Asks the real Nix for a case's result, in which the fixture's directory is named as in memory.
fn ask_peer(prefix: &str, dir: &Path, case: &Case) -> String {
    let expr = format!("toString (\n{}\n)", case.expr);
    let mut options = Vec::new();
    if let Some(features) = case.features() {
        // A store of its own: some features change the database.
        let store = dir.join("store").to_str().unwrap().to_owned();
        let names = features.map(Feature::name).join(" ");
        let extra = "--extra-experimental-features".to_owned();
        options.extend([extra, names, "--store".to_owned(), store]);
    }
    let mut words = prefix.split_whitespace().chain(["nix-instantiate"]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(options)
        .args(["--eval", "--read-write-mode", "--raw", "--expr", &expr])
        .current_dir(dir)
        .output()
        .unwrap();
    let text = if output.status.success() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        format!("! {}", last_error(&String::from_utf8_lossy(&output.stderr)))
    };
    text.replace(dir.to_str().unwrap(), FIXTURE).trim_end().to_owned()
}

/// The message after the last `error: ` of a report, without the place that may follow it.
fn last_error(report: &str) -> String {
    let (_, message) = report.rsplit_once("error: ").unwrap_or(("", report));
    let lines = message.lines().map(str::trim);
    let lines = lines.take_while(|line| {
        !line.is_empty() && !line.starts_with("at ") && !line.starts_with("Try 'nix-")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn write(path: &Path, object: &Fso) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    match object {
        Fso::File { executable, contents } => {
            std::fs::write(path, contents).unwrap();
            let mode = if *executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        Fso::Symlink(target) => {
            let target = std::ffi::OsStr::from_bytes(target);
            std::os::unix::fs::symlink(target, path).unwrap();
        }
        Fso::Directory(entries) => {
            std::fs::create_dir(path).unwrap();
            for (name, object) in entries {
                write(&path.join(std::ffi::OsStr::from_bytes(name)), object);
            }
        }
    }
}
