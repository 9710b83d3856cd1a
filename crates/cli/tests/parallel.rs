//! Evaluation with several threads: everything that can be seen is what one shows.
//!
//! Every case runs with one core and with four, and with seven threads that help from the first byte on while the heap is
//! collected again and again. The cases do enough work for helpers to be made: what `heavy` takes in
//! memory is what counts, not time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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

/// How a command is run.
#[derive(Clone, Copy)]
struct Cores {
    count: usize,
    /// Helpers begin at once, and the heap is collected every so many calls and thunks.
    collect_every: Option<usize>,
}

const ONE: Cores = Cores { count: 1, collect_every: None };
const FOUR: Cores = Cores { count: 4, collect_every: None };
/// More threads than processors, which meet wherever they can.
const MANY: Cores = Cores { count: 7, collect_every: Some(1999) };

/// Runs a command with a number of cores and a store of its own.
fn run(env: &TestEnvironment, cores: Cores, program: &str, args: &[&str]) -> Seen {
    let store = env.dir().join(format!("store-{}", cores.count));
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
        .env("PICNIX_CONFIG", format!("substituters =\neval-cores = {}", cores.count));
    if let Some(count) = cores.collect_every {
        command
            .env("PICNIX_COLLECT_EVERY", count.to_string())
            .env("PICNIX_HELP_AFTER", "0");
    }
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

/// One core and more must show the same; what they show.
fn same(env: &TestEnvironment, program: &str, args: &[&str]) -> Seen {
    same_with(env, &[FOUR, MANY], program, args)
}

fn same_with(
    env: &TestEnvironment,
    others: &[Cores],
    program: &str,
    args: &[&str],
) -> Seen {
    let one = run(env, ONE, program, args);
    for cores in others {
        let other = run(env, *cores, program, args);
        let count = cores.count;
        assert!(one == other, "one core:\n{one:#?}\n{count} cores:\n{other:#?}");
    }
    one
}

/// Prints an expression deeply.
fn strict(body: &str) -> Seen {
    let env = TestEnvironment::new();
    env.write("x.nix", format!("{PRELUDE}{body}"));
    same(&env, "picnix", &["eval", "--strict", "x.nix"])
}

#[test]
fn several_threads_work_where_several_may() {
    let env = TestEnvironment::new();
    let body = "many 800 (n: builtins.head (builtins.split \" \" (builtins.readFile \"/proc/thread-self/stat\")))";
    env.write("x.nix", format!("{PRELUDE}{body}"));
    let threads = |count: usize| {
        let cores = Cores { count, ..ONE };
        let seen = run(&env, cores, "picnix", &["eval", "--strict", "x.nix"]);
        assert_eq!(seen.code, Some(0), "{}", seen.stderr);
        let is_thread = |word: &&str| word.starts_with('"');
        seen.stdout.split_whitespace().filter(is_thread).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(threads(1), 1);
    assert_eq!(threads(2), 2);
    assert!((3..=4).contains(&threads(4)));
}

#[test]
fn little_work_is_done_alone() {
    let env = TestEnvironment::new();
    let body = "builtins.genList (n: builtins.readFile \"/proc/thread-self/stat\") 300";
    env.write("x.nix", format!("{PRELUDE}map (builtins.substring 0 6) ({body})"));
    let seen = run(&env, FOUR, "picnix", &["eval", "--strict", "x.nix"]);
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
fn a_message_shows_as_not_forced_what_one_core_has_not_forced() {
    let seen = strict(
        r#"let
  shared = set 100 (n: n);
  all = many 200 (n: if n == 20 || n == 150 then builtins.trace shared n else if n > 170 then builtins.deepSeq shared n else n);
in builtins.trace { inherit all; } all"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let lines: Vec<&str> = seen.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", seen.stderr);
    assert_eq!(lines[0], "trace: { all = «thunk»; }");
    assert!(lines[1..].iter().all(|line| line.contains("n99 = «thunk»; }")));
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

#[test]
fn what_turns_out_not_to_be_needed_is_given_up() {
    // A helper begins with the last place, which takes an hour and no memory to speak of.
    let seen = strict(
        "let long = builtins.genList (x: x) 3000; in many 200 (n: if n == 150 then throw \"before that\" else if n == 199 \
         then builtins.foldl' (a: b: builtins.foldl' (c: d: builtins.seq (heavy d) c) a long) 0 long else n)",
    );
    assert_eq!(seen.code, Some(1));
    assert!(seen.stderr.contains("before that"), "{}", seen.stderr);
}

#[test]
fn what_many_places_share_is_forced_once_and_seen_by_all() {
    let seen = strict(
        r#"let
  shared = set 40 (n: { inherit n; next = shared."n${toString ((n + 1) - (n + 1) / 40 * 40)}"; own = heavy n; });
  layers = n: builtins.foldl' (a: k: a // { "k${toString k}" = shared."n${toString (k - k / 40 * 40)}".own; }) { } (builtins.genList (k: n + k) 20);
  closed = builtins.genericClosure { startSet = [ { key = 0; } ]; operator = x: if x.key < 300 then [ { key = x.key + 1; v = heavy x.key; } ] else [ ]; };
in set 150 (n: {
  a = shared."n${toString (n - n / 40 * 40)}".next.next.own;
  l = builtins.attrNames (layers n // layers (n + 7));
  v = builtins.foldl' (a: k: a + k) 0 (builtins.attrValues (layers (n - n / 7 * 7)));
  c = (builtins.elemAt closed (n + 1)).v;
  s = builtins.toJSON (layers n);
  e = (builtins.tryEval (if n - n / 3 * 3 == 0 then throw "no" else shared.n3.own)).success;
})"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
}

#[test]
fn recursion_without_end_over_several_places_is_found() {
    let seen = strict(
        "let ring = builtins.genList (n: builtins.seq (heavy n) (1 + builtins.elemAt ring (if n == 99 then 50 else n + 1))) 100; \
         in many 60 (n: n) ++ ring",
    );
    assert_eq!(seen.code, Some(1));
    assert!(seen.stderr.contains("infinite recursion encountered"), "{}", seen.stderr);
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
    let seen = same_with(&env, &[FOUR], "picnix", &["eval", "--strict", "-E", &pkgs]);
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
    let seen = same_with(&env, &[FOUR], "picnix", &["eval", "--strict", "-E", &expr]);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stderr.contains("trace: Package ffmpeg"), "{}", seen.stderr);
    let seen = same_with(
        &env,
        &[FOUR],
        "nix-instantiate",
        &["-E", &format!("(import {corepkgs} {{ }}).python313Packages")],
    );
    assert!(seen.code.is_some());
}

/// Prints a value of a flake, which sees nothing of the machine.
fn pure(body: &str) -> Seen {
    let env = TestEnvironment::new();
    env.write("flake/value.nix", format!("{PRELUDE}{body}"));
    env.write("flake/text", "a text");
    let flake = "{ outputs = { self }: { value = import ./value.nix; }; }";
    env.write("flake/flake.nix", flake);
    same(&env, "picnix", &["eval", "--strict", "./flake#value"])
}

#[test]
fn pure_evaluation_sees_the_same_with_helpers() {
    let seen = pure(
        r#"set 200 (n: [
  (builtins.readFile ./text)
  (builtins.readFile (builtins.toFile "t${toString n}" "made ${toString n}"))
  "${./text}"
  (builtins.pathExists /etc/passwd)
  (drv "d${toString n}" { src = ./.; }).drvPath
])"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    assert!(seen.stdout.contains("\"made 199\"") && !seen.stdout.contains("true"));
}

#[test]
fn what_one_place_has_made_another_may_see_in_pure_mode() {
    // The path is known to every place, but only the first makes the object.
    let seen = pure(
        r#"let
  made = builtins.toFile "made" "by the first";
  path = builtins.unsafeDiscardStringContext "${builtins.storeDir}/4zxm3pl20ss6qzlfcwvkfc727n5gqvnw-made";
in set 200 (n: if n == 0 then made else if n > 150 then builtins.pathExists path else n)"#,
    );
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let errors =
        pure("many 200 (n: if n == 170 then builtins.readFile /etc/passwd else n)");
    assert_eq!(errors.code, Some(1));
    assert!(errors.stderr.contains("forbidden in pure evaluation mode"));
}
