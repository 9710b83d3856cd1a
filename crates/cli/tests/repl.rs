//! `picnix repl`, driven through a pipe.
//!
//! Transcripts are checked against what is written here; where `PICNIX_PEER_NIX` names a real Nix, its `nix repl`
//! gets the same lines and must print the same; and where `PICNIX_NIX_SOURCE` names a source tree of Nix, so do the
//! transcripts of its own suite.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::common::{TestEnvironment, skip};

/// Lines of the kind that people type, with everything that values can be in them.
const LINES: &str = r#"
1 + 2
x = 1
x + 1
y = x
x = 2
[ x y ]
{ a = { b = 2; }; l = [ 1 2 3 ]; s = "a\n${toString 1}$"; n = 1.5; f = x: x; p = /a/b; z = null; t = true; }
[ 42 1 "thingy" ({ a = 1; }) ([ 1 2 3 ]) ]
let x = { y = { a = 1; }; inherit x; }; in x
:p { a = { b = 2; }; s = "string"; x = rec { y = { z = { inherit y; }; }; }; }
:p [ 42 1 "thingy" (rec { a = 1; b = { inherit a; inherit b; }; }) ([ 1 2 3 ]) ]
:p "printed as\nit is"
{ a = throw "inside"; b = 1; }
{ a = throw "alone"; }
:p { a.b = throw "deep inside"; c = [ (throw "in a list") ]; }
{ one = { two = 1; }; }
[ [ ] { } ]
[ { } ]
{ }
[ ]
"$" + "{hi}"
map
builtins.map (x: x)
x: y: x
{ a, b ? 1, ... }@c: a
a = { b = 1; c = 2; }
inherit (a) b
b
inherit (a) b c;
b + c
k.l.m = 1;
k.l
p = 1; q = 2;
p + q
"quoted name" = 3
w = ''
  several
    lines
''
w
{ u = 1;
  v = [
    2
  ];
}
let
  i = 1;
in
i
:a { d = 1; e = 2; longerName = 3; "with spaces" = 4; }
d + e
:t 1
:t "a"
:t ./.
:t [ ]
:t { }
:t x: x
:t map
:t (builtins.add 1)
:t null
:t 1.0
:ll
throw "x"
:foo
1 +* 2
abort "y"
undefinedVariable
builtins.tryEval (throw "caught")
builtins.seq (throw "z") 1
:te
:te false
:te maybe
1
derivation { name = "n"; builder = "b"; system = "s"; }
{ d = derivation { name = "n"; builder = "b"; system = "s"; }; }
:p [ (derivation { name = "n"; builder = "b"; system = "s"; }) ]
builtins.genList (x: x) 3
rec { type = "other"; }
:doc 1
:l
:i 1
__curPos
"#;

/// Words that are ours, or that differ between versions: left out of comparisons.
const OWN_WORDS: &[&str] = &[":l\n", ":i 1\n"];

struct Ran {
    stdout: String,
    stderr: String,
}

fn repl(test: &TestEnvironment, args: &[&str], input: &str, echo: bool) -> Ran {
    let mut all = vec!["repl"];
    all.extend(args);
    let mut command = test.picnix(all);
    if echo {
        command.env("_NIX_TEST_REPL_ECHO", "1");
    }
    let output = feed(&mut command, input);
    assert!(output.status.success(), "{output:?}");
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn feed(command: &mut Command, input: &str) -> Output {
    let piped = Stdio::piped;
    let mut child =
        command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn without_colors(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        plain.push_str(&piece[end + 1..]);
    }
    plain
}

#[test]
fn values_bindings_and_commands_are_answered_as_by_nix() {
    let test = TestEnvironment::new();
    let mut lines = LINES.trim_start().to_owned();
    for own in OWN_WORDS {
        lines = lines.replace(own, "");
    }
    let ran = repl(&test, &[], &lines, true);
    assert!(!ran.stdout.contains('\u{1b}'), "colours are for terminals");
    for expected in [
        "nix-repl> [ x y ]\n[\n  2\n  1\n]\n\n",
        "        >   several\n",
        "\"several\\n  lines\\n\"",
        "{ ... }",
        "«lambda @ «string»:1:1»",
        "  a = «error: inside»;",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\nin\n{}", ran.stdout);
    }
    let Ok(prefix) = std::env::var("PICNIX_PEER_NIX") else {
        skip("repl", "PICNIX_PEER_NIX names no real Nix");
        return;
    };
    let mut words = prefix.split_whitespace();
    let mut peer = Command::new(words.next().unwrap());
    let output =
        feed(peer.args(words).args(["nix", "repl"]).current_dir(&test.work), &lines);
    let expected = without_colors(&String::from_utf8(output.stdout).unwrap());
    // A line that is too long for it scrolls in Nix's echo.
    let answers = |text: &str| {
        let lines = text.lines().filter(|line| {
            !line.starts_with("nix-repl> ") && !line.starts_with("        > ")
        });
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    };
    assert_eq!(answers(&ran.stdout), answers(&expected));
    // The first line names the program. How traces are worded is the business of other tests.
    let errors = |text: &str| {
        let text = without_colors(text);
        let lines = text.lines().filter(|line| line.trim_start().starts_with("error: "));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(errors(&ran.stderr), errors(&String::from_utf8(output.stderr).unwrap()));
}

#[test]
fn the_transcripts_of_nixs_own_suite_are_ours() {
    let Some(source) = std::env::var_os("PICNIX_NIX_SOURCE") else {
        skip("repl", "PICNIX_NIX_SOURCE names no source tree of Nix");
        return;
    };
    let suite = Path::new(&source).join("tests/functional/repl");
    let mut names: Vec<String> = std::fs::read_dir(&suite)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".in")?.to_owned())
        })
        .collect();
    names.sort();
    assert!(names.len() > 5, "{names:?}");
    let flags = |name: &str| {
        let file = std::fs::read_to_string(suite.join(format!("{name}.flags")));
        file.unwrap_or_default().trim().to_owned()
    };
    let mut wrong = Vec::new();
    for name in names {
        let test = TestEnvironment::new();
        let input = std::fs::read_to_string(suite.join(format!("{name}.in"))).unwrap();
        // Both outputs are one in the suite, which shows whole traces.
        let mut command = test.program("sh");
        let run = format!("exec \"$0\" repl --show-trace {} 2>&1", flags(&name));
        command.args(["-c", &run]);
        command.arg(crate::common::picnix());
        command.current_dir(&suite).env("_NIX_TEST_REPL_ECHO", "1");
        let output = feed(&mut command, &input);
        let found = String::from_utf8(output.stdout).unwrap();
        let expected =
            std::fs::read_to_string(suite.join(format!("{name}.expected"))).unwrap();
        let place = suite.canonicalize().unwrap();
        let found =
            found.replace(place.to_str().unwrap(), "/path/to/tests/functional/repl");
        if answers(&found) != answers(&expected) {
            wrong.push(format!(
                "{name}:\n{}\n--- expected\n{}",
                answers(&found),
                answers(&expected)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn files_and_flakes_are_loaded_and_loaded_again() {
    let test = TestEnvironment::new();
    test.write("set.nix", "{ a = 1; \"with spaces\" = 4; }");
    test.write("flake/flake.nix", "{ outputs = { self }: { foo = 1; bar.baz = 2; }; }");
    let lines = ":ll\n:l ./set.nix\na\n:ll\n:lf ./flake\nfoo + bar.baz\n:env\n";
    let ran = repl(&test, &[], lines, false);
    assert!(ran.stdout.starts_with("\n\n1\n\na\nwith spaces\n\n\n3\n"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("error: nothing has been loaded yet\n"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("Added 2 variables.\na, \"with spaces\"\n"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("\"with spaces\" "), "{}", ran.stdout);
    let ran = repl(&test, &["./flake", "./flake#bar"], "foo + baz\n", false);
    assert_eq!(ran.stdout, "3\n\n\n");
    let ran = repl(&test, &["--file", "set.nix"], "a\n", false);
    assert_eq!(ran.stdout, "1\n\n\n");
    let ran = repl(&test, &["-E", "{ e = 7; }"], "e\n", false);
    assert_eq!(ran.stdout, "7\n\n\n");
}

#[test]
fn what_changed_is_seen_after_reloading() {
    let test = TestEnvironment::new();
    let file = test.write("value.nix", "{ v = \"before\"; }");
    let mut child = test
        .picnix(["repl", "--file", "value.nix"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    input.write_all(b"v\n").unwrap();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "\"before\"\n");
    std::fs::write(file, "{ v = \"after\"; }").unwrap();
    input.write_all(b":r\nv\n:q\n").unwrap();
    drop(input);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert!(rest.contains("\"after\"\n"), "{rest}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_interrupt_ends_the_evaluation_and_not_the_prompt() {
    let test = TestEnvironment::new();
    let mut child = test
        .picnix(["repl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let endless = "let l = builtins.genList (x: x) 100000; in builtins.foldl' (a: b: \
                   builtins.foldl' (c: d: c + d) 0 l) 0 l\n";
    input.write_all(format!("\"ready\"\n{endless}").as_bytes()).unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "\"ready\"\n");
    // The second line is read at once; a signal that came before it is worked on would end the process.
    let pid = rustix::process::Pid::from_child(&child);
    while processor_ticks(child.id()) < TICKS_OF_WORK {
        std::thread::sleep(Duration::from_millis(10));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    input.write_all(b"\"still here\"\n:q\n").unwrap();
    drop(input);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert!(rest.contains("\"still here\"\n"), "{rest}");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert!(errors.contains("error: interrupted by the user"), "{errors}");
}

/// More than starting takes, in hundredths of a second.
const TICKS_OF_WORK: u64 = 50;

/// How long a process has used the processor, in hundredths of a second.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name in parentheses: the 12th and 13th field are user and system time.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn derivations_are_built_linked_and_logged() {
    let test = TestEnvironment::new();
    test.add_shell();
    let lines = "d = import ./sh.nix { name = \"built\"; script = \"echo hello log; echo x > \
                 $out\"; }\n:b d\n:bl d\n:log d\n:b 1\n:sh d\n:i d\n";
    let ran = repl(&test, &[], lines, false);
    assert!(
        ran.stdout
            .contains("This derivation produced the following outputs:\n  out -> /nix"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("  ./repl-result-out -> /nix/store/"), "{}", ran.stdout);
    assert!(ran.stdout.contains("hello log\n"), "{}", ran.stdout);
    assert!(test.work.join("repl-result-out").is_symlink());
    let generation = "generation 1 of $DIR/home/.local/state/picnix/profile leads to ";
    let shown = ran.stdout.replace(test.dir().to_str().unwrap(), "$DIR");
    assert!(shown.contains(generation), "{shown}");
    let profile = test.dir().join("home/.local/state/picnix/profile");
    assert!(profile.is_symlink() && profile.exists());
    for expected in [
        "error: expression does not evaluate to a derivation, so I can't build it",
        "picnix has no shell for derivations",
    ] {
        assert!(ran.stderr.contains(expected), "{expected} in {}", ran.stderr);
    }
}

#[test]
fn documentation_is_that_of_builtins_functions_and_attributes() {
    let test = TestEnvironment::new();
    let docs = "{\n  /**\n    Doubles.\n  */\n  double = x: x * 2;\n  /** A number. */\n  \
                number = 1;\n  bare = y: y;\n}\n";
    test.write("docs.nix", docs);
    let lines = ":l docs.nix\n:doc double\n:doc (import ./docs.nix).number\n:doc bare\n\
                 :doc builtins.map\n:doc 1\n";
    let ran = repl(&test, &[], lines, false);
    for expected in [
        "Function `double`\\\n  … defined at ",
        "\n\n\nDoubles.\n",
        "Attribute `number`\n\n  … defined at ",
        "\n\nA number.\n",
        "Function `bare`\\\n",
        "**Synopsis:** `builtins.map` *f* *list*",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\nin\n{}", ran.stdout);
    }
    assert!(ran.stderr.contains("error: value does not have documentation"));
}

#[test]
fn pure_evaluation_hides_the_machine() {
    let test = TestEnvironment::new();
    let ran = repl(&test, &["--pure-eval"], "builtins.currentSystem\n1\n", false);
    assert!(ran.stderr.contains("attribute 'currentSystem' missing"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "\n1\n\n\n");
}

/// A transcript without the words of greeting, the names of what was loaded, and what picnix offers beyond Nix.
fn answers(transcript: &str) -> String {
    let mut lines = Vec::new();
    let mut after_loading = false;
    for line in transcript.lines().map(str::trim_end) {
        let is_ours = ["Nix <nix version>", "picnix ", "Type :?", "Added "]
            .iter()
            .any(|start| line.starts_with(start))
            || line.trim_start().starts_with("Did you mean ");
        if !is_ours && !after_loading && !line.is_empty() {
            lines.push(line);
        }
        after_loading = line.starts_with("Added ") && !line.contains("omitted");
    }
    lines.join("\n")
}

/// What a terminal shows of a prompt that somebody types at. `script` makes the terminal.
fn at_a_terminal(test: &TestEnvironment, typed: &[&str]) -> Option<String> {
    let command = format!("{} repl", crate::common::picnix().display());
    let mut script = test.program("script");
    script.env("TERM", "xterm").env("PICNIX_STORE", &test.store);
    script.args(["-q", "-e", "-c", &command, "/dev/null"]);
    let piped = Stdio::piped;
    let mut child = script.stdin(piped()).stdout(piped()).stderr(piped()).spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut shown = String::new();
    // What is typed before it is listened to would be shown twice: wait for each prompt.
    let mut typed = typed.iter();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = std::io::Read::read(&mut output, &mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        // The end of what draws a prompt and puts the cursor behind it.
        let is_drawn = shown.ends_with("\u{1b}[?2026l");
        let plain = if is_drawn { without_colors(&shown) } else { String::new() };
        if plain.ends_with("nix-repl> \r") || plain.ends_with("        > \r") {
            let Some(keys) = typed.next() else { break };
            input.write_all(keys.as_bytes()).unwrap();
        }
    }
    drop(input);
    child.kill().ok();
    child.wait().unwrap();
    Some(shown)
}

#[test]
fn a_terminal_has_completion_and_history() {
    let test = TestEnvironment::new();
    test.write("some-set.nix", "{ fromFile = 40; }");
    let typed = [
        "x = { abcdef = 41; }\r",
        "x.abc\t + 1\r",
        ":l some-s\t\r",
        "fromF\t + 3\r",
        "let\r",
        "i = 44;\r",
        "in i\r",
        ":q\r",
    ];
    let Some(shown) = at_a_terminal(&test, &typed) else {
        return skip("repl", "there is no program 'script' to make a terminal");
    };
    let shown = without_colors(&shown);
    for expected in ["\n42\r", "Added 1 variables", "\n43\r", "\n44\r"] {
        assert!(shown.contains(expected), "{expected:?} in {shown}");
    }
    // The next session remembers: the line before the last one is two up.
    let again = at_a_terminal(&test, &["\u{1b}[A\u{1b}[A\r", ":q\r"]).unwrap();
    assert!(without_colors(&again).contains("\n44\r"), "{again}");
}
