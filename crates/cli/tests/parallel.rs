//! Evaluation with several processes: everything that can be seen is what one shows.
//!
//! Every case runs with one core and with four. The cases do enough work for helpers to be made: what `heavy` takes in
//! memory is what counts, not time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::{TestEnvironment, picnix, skip, workspace};

/// What every case begins with. A call of `heavy` takes about a third of a megabyte.
const PRELUDE: &str = r#"
let
  heavy = n: builtins.foldl' (sum: x: sum + x) n (builtins.genList (x: x + n) 10000);
  many = count: f: builtins.genList (n: builtins.seq (heavy n) (f n)) count;
  names = count: builtins.genList (n: "n${toString n}") count;
  set = count: f:
    builtins.listToAttrs (map (n: { name = "n${toString n}"; value = builtins.seq (heavy n) (f n); }) (builtins.genList (n: n) count));
  drv = name: more: derivation ({ inherit name; system = "x"; builder = "y"; } // more);
in
"#;

/// How a command ended, and what it has left in the store.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    objects: BTreeSet<String>,
}

/// Runs a command with a number of cores and a store of its own.
fn run(env: &TestEnvironment, cores: usize, program: &str, args: &[&str]) -> Seen {
    let store = env.dir().join(format!("store-{cores}"));
    let mut command = env.program(picnix());
    if program != "picnix" {
        let link = env.work.join(program);
        if !link.exists() {
            std::os::unix::fs::symlink(picnix(), &link).unwrap();
        }
        command = env.program(link);
    }
    command
        .args(args)
        .env("PICNIX_STORE", &store)
        .env("PICNIX_CONFIG", format!("substituters =\neval-cores = {cores}"));
    let output = command.output().unwrap();
    let objects = match fs::read_dir(store.join("nix/store")) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect(),
        Err(_) => BTreeSet::new(),
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Seen { code: output.status.code(), stdout, stderr, objects }
}

/// One core and four must show the same; what they show.
fn same(env: &TestEnvironment, program: &str, args: &[&str]) -> Seen {
    let one = run(env, 1, program, args);
    let four = run(env, 4, program, args);
    assert!(one == four, "one core:\n{one:#?}\nfour cores:\n{four:#?}");
    one
}

/// Prints an expression deeply.
fn strict(body: &str) -> Seen {
    let env = TestEnvironment::new();
    env.write("x.nix", format!("{PRELUDE}{body}"));
    same(&env, "picnix", &["eval", "--strict", "x.nix"])
}

#[test]
fn several_processes_work_where_several_may() {
    let env = TestEnvironment::new();
    let body = "many 800 (n: builtins.head (builtins.split \" \" (builtins.readFile \"/proc/self/stat\")))";
    env.write("x.nix", format!("{PRELUDE}{body}"));
    let processes = |cores: usize| {
        let seen = run(&env, cores, "picnix", &["eval", "--strict", "x.nix"]);
        assert_eq!(seen.code, Some(0), "{}", seen.stderr);
        let is_process = |word: &&str| word.starts_with('"');
        seen.stdout.split_whitespace().filter(is_process).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(processes(1), 1);
    assert!(processes(2) >= 2);
    assert!(processes(4) >= 3);
}

#[test]
fn little_work_is_done_alone() {
    let env = TestEnvironment::new();
    let body = "builtins.genList (n: builtins.readFile \"/proc/self/stat\") 300";
    env.write("x.nix", format!("{PRELUDE}map (builtins.substring 0 6) ({body})"));
    let seen = run(&env, 4, "picnix", &["eval", "--strict", "x.nix"]);
    let pids: BTreeSet<&str> = seen.stdout.split_whitespace().collect();
    assert!(pids.len() <= 5, "{pids:?}");
}

#[test]
fn values_of_all_kinds_are_printed_alike() {
    let seen = strict(
        r#"{
  plain = many 60 (n: n);
  big = set 90 (n: { inherit n; text = "a\n${toString n}"; float = n / 7.0; f = x: x; b = map; });
  empty = set 40 (n: if n == 20 then { } else null);
  "odd name" = { "a.b" = set 50 (n: builtins.add n); };
}"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stdout.contains("<LAMBDA>") && seen.stdout.contains("<PRIMOP-APP>"));
}

#[test]
fn what_is_one_object_is_repeated_and_what_looks_alike_is_not() {
    let seen = strict(
        r#"let
  shared = { value = heavy 5; deep = { inherit (shared) value; x = 1; }; };
  twin = n: { value = heavy 5; deep = { x = n - n; }; };
in {
  a = set 50 (n: shared);
  b = set 50 (n: shared.deep);
  c = set 50 twin;
  d = set 50 (n: if n == 3 || n == 45 then { inherit shared; } else (twin n).deep);
}"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert_eq!(seen.stdout.matches("«repeated»").count(), 50 - 1 + 50 + 2);
}

#[test]
fn sets_that_lead_back_to_themselves_are_printed_alike() {
    let seen = strict(
        r#"let
  ring = { next = { back = ring; }; size = heavy 3; };
  top = { ring = set 60 (n: ring.next); self = top; list = set 60 (n: if n == 50 then top else ring); };
in top"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
}

#[test]
fn lists_that_look_alike_are_printed_alike() {
    let seen =
        strict("let l = [ 1 2 ]; in many 100 (n: if n > 50 then l else [ n [ ] ])");
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(strict("many 100 (n: [ 1 ])").stdout.contains("[ 1 ] [ 1 ]"));
}

#[test]
fn messages_come_once_and_in_order() {
    let seen = strict(
        r#"let
  say = text: builtins.trace text;
  first = say "first" (heavy 1);
  second = say "second" (first + heavy 2);
in many 150 (n:
  if n == 20 || n == 130 then second
  else if n == 60 || n == 100 then say "own ${toString n}" first
  else if n == 110 then builtins.warn "careful" n
  else n)"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let lines: Vec<&str> =
        seen.stderr.lines().filter(|line| line.contains(':')).collect();
    assert_eq!(lines.len(), 5, "{}", seen.stderr);
    let order = ["second", "first", "own 60", "own 100", "careful"];
    assert!(lines.iter().zip(order).all(|(line, word)| line.contains(word)));
}

#[test]
fn many_messages_make_help_useless_but_stay_in_order() {
    let seen = strict("many 200 (n: builtins.trace n { inherit n; })");
    let numbers: Vec<String> = (0..200).map(|n| format!("trace: {n}")).collect();
    assert_eq!(seen.stderr.lines().collect::<Vec<_>>(), numbers);
}

#[test]
fn errors_are_those_of_the_first_place_that_fails() {
    for (at, failure) in [
        (2, "throw \"early\""),
        (90, "throw \"late\""),
        (90, "let x = x; in x"),
        (90, "{ }.missing"),
        (112, "abort \"last\""),
        (70, "builtins.trace \"said\" (throw \"after words\")"),
        (70, "builtins.seq (builtins.tryEval shared) shared"),
    ] {
        let body = format!(
            "let shared = builtins.trace \"once\" (throw \"shared\"); in {{ deep = many 120 (n: \
             if n == {at} then {failure} else if n == 60 || n == 110 then (builtins.tryEval shared).success \
             else if n == 115 then throw \"too late\" else n); }}"
        );
        let seen = strict(&body);
        assert_eq!(seen.code, Some(1), "{failure}: {}", seen.stdout);
        assert!(!seen.stderr.contains("error: too late"), "{}", seen.stderr);
        let frame = format!("while evaluating list element at index {at}");
        assert!(seen.stderr.contains("error:"), "{}", seen.stderr);
        let env = TestEnvironment::new();
        env.write("x.nix", format!("{PRELUDE}{body}"));
        let args = ["eval", "--strict", "--show-trace", "x.nix"];
        assert!(same(&env, "picnix", &args).stderr.contains(&frame), "{}", seen.stderr);
    }
}

#[test]
fn places_that_lean_on_those_before_them_are_not_too_deep() {
    // Each leans on the one before it: from the start, the last is a chain of 40,000 calls.
    let seen = strict(
        "let xs = builtins.genList (n: if n == 0 then 0 else builtins.seq (builtins.genList (x: x) 100) \
         (1 + builtins.elemAt xs (n - 1))) 40000; in xs",
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stdout.ends_with(" 39999 ]\n"));
}

#[test]
fn json_is_the_same() {
    let env = TestEnvironment::new();
    env.write("src/a", "a");
    env.write(
        "x.nix",
        format!(
            "{PRELUDE}{{ \"q\\\"\" = set 90 (n: {{ inherit n; p = ./src; t = {{ __toString = _: \"s\"; }}; }}); \
             l = many 60 (n: [ n {{ outPath = \"o\"; }} ]); d = set 40 (n: drv \"d${{toString n}}\" {{ }}); }}"
        ),
    );
    let seen = same(&env, "picnix", &["eval", "--json", "x.nix"]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let json: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(json["l"].as_array().unwrap().len(), 60);
    let args = ["--eval", "--json", "--strict", "x.nix"];
    assert_eq!(same(&env, "nix-instantiate", &args).stdout, seen.stdout);
    env.write("bad.nix", format!("{PRELUDE}many 100 (n: if n == 80 then (x: x) else n)"));
    assert_eq!(same(&env, "picnix", &["eval", "--json", "bad.nix"]).code, Some(1));
}

#[test]
fn the_same_derivations_and_sources_are_written() {
    let env = TestEnvironment::new();
    env.write("src/a", "a");
    env.write("src/b", "b");
    env.write(
        "x.nix",
        format!(
            "{PRELUDE}let
  common = drv \"common\" {{ src = ./src; }};
  some = builtins.path {{ name = \"some\"; path = ./src; filter = p: _: baseNameOf p == \"a\"; }};
  note = n: builtins.toFile \"note-${{toString n}}\" \"note ${{some}}\";
  read = n: import (builtins.toFile \"n.nix\" (toString n));
in set 60 (n: drv \"a${{toString n}}\" {{ inherit common; }}) // {{
  inner = set 60 (n: drv \"b${{toString n}}\" {{ inherit some; file = note n; n = read n; }})
    // {{ recurseForDerivations = true; }};
  unseen = set 60 (n: drv \"c${{toString n}}\" {{ }});
  z = drv \"z\" {{ outputs = [ \"out\" \"dev\" ]; }};
}}"
        ),
    );
    let seen = same(&env, "picnix", &["instantiate", "x.nix"]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert_eq!(seen.stdout.lines().count(), 60 + 60 + 1);
    assert!(seen.objects.iter().filter(|name| name.ends_with(".drv")).count() >= 122);
    assert!(seen.objects.iter().any(|name| name.ends_with("-some")));
    let args = ["x.nix", "-A", "inner", "-A", "z.dev", "-A", "n3", "-A", "missing"];
    assert_eq!(same(&env, "nix-instantiate", &args).code, Some(1));
    assert_eq!(same(&env, "nix-instantiate", &args[..7]).stdout.lines().count(), 62);
    let args = [
        "eval",
        "--strict",
        "-E",
        "builtins.mapAttrs (_: d: d.drvPath or null) (import ./x.nix)",
    ];
    assert_eq!(same(&env, "picnix", &args).code, Some(0));
}

#[test]
fn what_has_to_be_built_on_the_way_is_built_once() {
    let env = TestEnvironment::new();
    env.add_shell();
    env.write(
        "x.nix",
        format!(
            "{PRELUDE}let
  built = import ./sh.nix {{ name = \"built\"; script = \"echo 7 > $out\"; }};
in set 100 (n: drv \"d${{toString n}}\" {{ text = if n == 10 || n > 80 then builtins.readFile built else n; }})"
        ),
    );
    let seen = same(&env, "picnix", &["instantiate", "x.nix"]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert_eq!(seen.stdout.lines().count(), 100);
    let args = [
        "eval",
        "--strict",
        "-E",
        "map (d: d.text) (builtins.attrValues (import ./x.nix))",
    ];
    assert_eq!(same(&env, "picnix", &args).code, Some(0));
}

/// The first helper of a running evaluation.
fn a_helper(child: &mut Child) -> Option<i32> {
    let file = format!("/proc/{0}/task/{0}/children", child.id());
    loop {
        let children = fs::read_to_string(&file).unwrap_or_default();
        if let Some(first) = children.split_whitespace().next() {
            return first.parse().ok();
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_helper_that_is_killed_changes_nothing() {
    if !Path::new("/proc/self/task").exists() {
        skip("a_helper_that_is_killed_changes_nothing", "there is no /proc");
        return;
    }
    let env = TestEnvironment::new();
    env.write("x.nix", format!("{PRELUDE}set 400 (n: {{ n = heavy (heavy n); }})"));
    let wanted = run(&env, 1, "picnix", &["eval", "--strict", "x.nix"]);
    let mut child = env
        .picnix(["eval", "--strict", "x.nix", "--option", "eval-cores", "3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let helper = a_helper(&mut child).expect("there is a helper");
    let killed =
        std::process::Command::new("kill").args(["-9", &helper.to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted.stdout);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn a_number_of_cores_that_makes_no_sense_is_refused() {
    let env = TestEnvironment::new();
    let said = env.fails(&["eval", "-E", "1", "--option", "eval-cores", "few"]);
    assert!(said.contains("invalid setting 'eval-cores'"), "{said}");
}

#[test]
fn our_own_tree_is_the_same() {
    let env = TestEnvironment::new();
    let tree = workspace();
    let pkgs = format!(
        "let pkgs = import {}/pkgs {{ }}; in builtins.mapAttrs (_: p: (builtins.tryEval (p.drvPath or null)).value) \
         (builtins.removeAttrs pkgs [ ])",
        tree.display()
    );
    let seen = same(&env, "picnix", &["eval", "--strict", "-E", &pkgs]);
    assert!(seen.code.is_some());
}

#[test]
fn corepkgs_is_the_same() {
    let Some(corepkgs) = std::env::var_os("PICNIX_COREPKGS") else {
        return skip("corepkgs_is_the_same", "PICNIX_COREPKGS is not set");
    };
    let env = TestEnvironment::new();
    let corepkgs = Path::new(&corepkgs).display();
    let every = workspace().join("benches/every-drv.nix");
    // Everything that begins with one of some letters: ffmpeg traces.
    let expr = format!(
        "let p = import {corepkgs} {{ }}; keep = n: builtins.match \"[acfgp].*\" n != null; in import {} \
         (builtins.removeAttrs p (builtins.filter (n: !keep n) (builtins.attrNames p)))",
        every.display()
    );
    let seen = same(&env, "picnix", &["eval", "--strict", "-E", &expr]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stderr.contains("trace: Package ffmpeg"), "{}", seen.stderr);
    let seen = same(
        &env,
        "nix-instantiate",
        &["-E", &format!("(import {corepkgs} {{ }}).python313Packages")],
    );
    assert!(seen.code.is_some());
}
