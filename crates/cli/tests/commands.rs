//! The commands that say what picnix is, and those that evaluate.

use std::fs;

use crate::common::{TestEnvironment, picnix};

/// Every command with its subcommands.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["image"],
    &["test"],
    &["eval"],
    &["instantiate"],
    &["build"],
    &["store"],
    &["store", "add"],
    &["store", "dump"],
    &["store", "restore"],
    &["store", "ls"],
    &["store", "cat"],
    &["store", "info"],
    &["store", "log"],
    &["store", "roots"],
    &["store", "delete"],
    &["store", "gc"],
    &["store", "verify"],
    &["why"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_explains_itself() {
    let env = TestEnvironment::new();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let ran = env.run(&mut env.picnix(command.iter().chain(&[flag])));
            assert_eq!(ran.code, 0, "{command:?} {flag}");
            assert_eq!(ran.stderr, "", "{command:?} {flag}");
            let name =
                command.iter().fold("picnix".to_owned(), |name, word| name + " " + word);
            assert!(ran.stdout.contains(&format!("Usage: {name}")), "{}", ran.stdout);
        }
    }
    let top = env.succeeds(&["--help"]);
    for command in COMMANDS.iter().filter(|command| command.len() == 1) {
        let line = format!("\n  {} ", command[0]);
        assert!(top.contains(&line), "'picnix --help' does not list '{}'", command[0]);
    }
    assert!(!env.store.exists(), "asking for help made a store");
}

#[test]
fn the_version_is_the_workspaces() {
    let env = TestEnvironment::new();
    let version = concat!("picnix ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(env.succeeds(&["--version"]), version);
}

#[test]
fn completions_know_the_commands() {
    let env = TestEnvironment::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = env.succeeds(&["completions", shell]);
        assert!(script.contains("instantiate"), "{shell}");
        assert!(script.contains("check-contents"), "{shell}");
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let env = TestEnvironment::new();
    fs::create_dir(env.work.join("man")).unwrap();
    env.succeeds(&["man", "man"]);
    for command in COMMANDS {
        let name =
            command.iter().fold("picnix".to_owned(), |name, word| name + "-" + word);
        let page = env.work.join("man").join(format!("{name}.1"));
        let text =
            fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(".TH"), "{name}");
    }
    let said = env.fails(&["man", "nowhere"]);
    assert!(said.contains("cannot write to 'nowhere'"), "{said}");
}

#[test]
fn exit_codes_tell_whose_fault_it_is() {
    let env = TestEnvironment::new();
    let code = |args: &[&str]| env.run(&mut env.picnix(args)).code;
    assert_eq!(code(&["eval", "-E", "1"]), 0);
    assert_eq!(code(&["eval", "-E", "throw \"x\""]), 1);
    assert_eq!(code(&["eval", "-E", "{"]), 1);
    assert_eq!(code(&[]), 2);
    assert_eq!(code(&["frobnicate"]), 2);
    assert_eq!(code(&["image"]), 2);
    assert_eq!(code(&["eval", "-E", "1", "--json", "--raw"]), 2);
    assert_eq!(code(&["eval", "-E", "1", "--extra-experimental-features", "x"]), 2);
}

#[test]
fn a_mistyped_command_is_answered_with_the_one_that_is_alike() {
    let env = TestEnvironment::new();
    let ran = env.run(&mut env.picnix(["imgae"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("'image'"), "{}", ran.stderr);
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
    let env = TestEnvironment::new();
    let mut command = env.program("sh");
    command.args([
        "-c",
        "\"$0\" eval -E 'builtins.genList (i: i) 100000' --strict | exit 0",
    ]);
    let ran = env.run(command.arg(picnix()));
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn eval_prints_values_in_every_form() {
    let env = TestEnvironment::new();
    let value = "{ a = [ 1 2.5 \"x\\n\" null ]; b = { c = true; }; }";
    let eval = |flags: &[&str]| env.succeeds(&[&["eval", "-E", value], flags].concat());
    assert_eq!(
        eval(&["--strict"]),
        "{ a = [ 1 2.5 \"x\\n\" null ]; b = { c = true; }; }\n"
    );
    assert_eq!(eval(&["--json"]), "{\"a\":[1,2.5,\"x\\n\",null],\"b\":{\"c\":true}}\n");
    assert_eq!(eval(&["-A", "b.c"]), "true\n");
    assert_eq!(env.succeeds(&["eval", "-E", "\"a\\nb\"", "--raw"]), "a\nb");
    assert!(eval(&["--xml"]).contains("<bool value=\"true\" />"));
    assert!(eval(&[]).contains("a = «thunk»") || eval(&[]).contains("<CODE>"));
}

#[test]
fn eval_reads_files_directories_and_standard_input() {
    let env = TestEnvironment::new();
    env.write("default.nix", "{ x ? 1, y ? \"none\" }: { inherit x y; }\n");
    env.write("dir/default.nix", "\"from dir\"\n");
    let file = env.write("sum.nix", "1 + 2\n");
    assert_eq!(env.succeeds(&["eval", "dir"]), "\"from dir\"\n");
    assert_eq!(env.succeeds(&["eval", "sum.nix"]), "3\n");
    let input = fs::File::open(file).unwrap();
    assert_eq!(env.run(env.picnix(["eval", "-"]).stdin(input)).stdout, "3\n");
    let x = env.succeeds(&["eval", "-A", "x", "--arg", "x", "{ z = 2 + 3; }.z"]);
    assert_eq!(x, "5\n");
    let y = env.succeeds(&["eval", "-A", "y", "--argstr", "y", "2 + 3"]);
    assert_eq!(y, "\"2 + 3\"\n");
    let found = env.succeeds(&["eval", "-I", "here=.", "-E", "import <here/sum.nix>"]);
    assert_eq!(found, "3\n");
}

#[test]
fn errors_of_expressions_show_place_and_hint() {
    let env = TestEnvironment::new();
    insta::assert_snapshot!(env.fails(&["eval", "-E", "let abc = 1; in abd"]), @r"
    error: undefined variable 'abd'
           at «string»:1:17:
                1| let abc = 1; in abd
                 |                 ^
           Did you mean abc?
    ");
    insta::assert_snapshot!(env.fails(&["eval", "-E", "1 +"]), @r"
    error: syntax error, unexpected end of file
           at «string»:1:4:
                1| 1 +
                 |    ^
    ");
    insta::assert_snapshot!(env.fails(&["eval", "-E", "let x = x; in x"]), @r"
    error: infinite recursion encountered
           at «string»:1:9:
                1| let x = x; in x
                 |         ^
    ");
    insta::assert_snapshot!(env.fails(&["eval", "-E", "{ a = 1; }", "-A", "b"]), @r"
    error: attribute 'b' in selection path 'b' not found
           Did you mean a?
    ");
    let said = env.fails(&["eval", "nowhere.nix"]);
    assert!(said.contains("$DIR/work/nowhere.nix"), "{said}");
}

#[test]
fn endless_recursion_is_an_error_and_no_crash() {
    let env = TestEnvironment::new();
    let said = env.fails(&["eval", "-E", "let f = x: 1 + f x; in f 1"]);
    assert!(said.contains("stack overflow"), "{said}");
    let deep = format!("{}1{}", "(".repeat(200_000), ")".repeat(200_000));
    env.write("deep.nix", deep);
    let ran = env.run(&mut env.picnix(["eval", "deep.nix"]));
    assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
}

#[test]
fn instantiate_prints_the_derivation_and_build_its_output() {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = "import ./sh.nix { name = \"greeting\"; script = \"echo hello >$out\"; }";
    let drv = env.succeeds(&["instantiate", "-E", expr]);
    assert_eq!(drv, "/nix/store/<digest>-greeting.drv\n");
    let plan = env.succeeds(&["build", "--dry-run", "-E", expr]);
    assert!(plan.contains("<digest>-greeting.drv"), "{plan}");
    assert!(!env.objects().contains(&"greeting".to_owned()));
    let out = env.succeeds(&["build", "-E", expr]);
    assert_eq!(out, "/nix/store/<digest>-greeting\n");
    assert_eq!(env.succeeds(&["store", "cat", "result"]), "hello\n");
    let ran = env.run(&mut env.picnix(["build", "--check", "--no-link", "-E", expr]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let again = env.run(&mut env.picnix(["build", "-E", expr, "-o", "other"]));
    assert_eq!(again.stderr, "", "something was built twice");
    assert!(env.work.join("other").is_symlink());
    env.assert_store_is_sound();
}

#[test]
fn evaluation_alone_makes_no_store() {
    let env = TestEnvironment::new();
    env.succeeds(&["eval", "-E", "1"]);
    assert!(!env.store.exists());
}
