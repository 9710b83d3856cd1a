//! Pure and restricted evaluation, as `nix-instantiate` and `picnix eval`.
//!
//! Every case says whether it succeeds and what is printed or complained of; where `PICNIX_PEER_NIX` names a real
//! Nix, it must do and say the same.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::{Ran, TestEnvironment};

struct Bench {
    test: TestEnvironment,
    dir: String,
}

impl Bench {
    fn new() -> Self {
        let test = TestEnvironment::new();
        symlink(env!("CARGO_BIN_EXE_picnix"), test.dir().join("nix-instantiate"))
            .unwrap();
        test.write("allowed/file", "text\n");
        test.write("allowed/sub/deep", "deep\n");
        test.write("allowed/default.nix", "{ }: 1 + 2\n");
        test.write("outside/secret", "secret\n");
        test.write("main.nix", "1 + 2\n");
        symlink("../outside", test.work.join("allowed/tunnel")).unwrap();
        symlink("../main.nix", test.work.join("allowed/link.nix")).unwrap();
        let dir = test.work.canonicalize().unwrap().to_str().unwrap().to_owned();
        Self { test, dir }
    }

    fn run(&self, args: &[&str]) -> Ran {
        let program = self.test.dir().join("nix-instantiate");
        self.test.run(self.test.program(program).args(args))
    }

    fn peer(&self, args: &[&str]) -> Option<(i32, String, String)> {
        let prefix = std::env::var("PICNIX_PEER_NIX").ok()?;
        let mut words = prefix.split_whitespace();
        let mut command = Command::new(words.next()?);
        command
            .args(words)
            .arg("nix-instantiate")
            .args(args)
            .current_dir(&self.test.work);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.replace(self.test.dir().to_str().unwrap(), "$DIR")
        };
        let code = output.status.code().unwrap_or(-1);
        Some((code, text(&output.stdout), text(&output.stderr)))
    }

    /// Evaluates with flags, and compares with the real Nix; the value, or the last line that says what is wrong.
    fn eval(&self, flags: &[&str], expr: &str) -> Result<String, String> {
        let expr = expr.replace("$DIR", self.test.dir().to_str().unwrap());
        let mut args = vec!["--eval", "--strict", "--read-write-mode", "-E", &expr];
        args.extend(flags);
        let ran = self.run(&args);
        let found = outcome(ran.code, &ran.stdout, &ran.stderr);
        if let Some((code, stdout, stderr)) = self.peer(&args) {
            assert_eq!(found, outcome(code, &stdout, &stderr), "{args:?}");
        }
        found
    }
}

fn outcome(code: i32, stdout: &str, stderr: &str) -> Result<String, String> {
    if code == 0 {
        return Ok(crate::common::without_digests(stdout).trim_end().to_owned());
    }
    let mut errors =
        stderr.lines().filter(|line| line.trim_start().starts_with("error: "));
    let last = errors.next_back().unwrap_or_default().trim();
    // The place of a call that Nix does not know.
    let last = &last.replace(", at «none»:0", "");
    Err(crate::common::without_digests(last))
}

#[test]
fn restricted_evaluation_sees_the_search_path() {
    let bench = Bench::new();
    let allowed = format!("x={}/allowed", bench.dir);
    let flags = ["--restrict-eval", "-I", allowed.as_str()];
    let eval = |expr: &str| bench.eval(&flags, expr);
    assert_eq!(eval("1 + 2").unwrap(), "3");
    assert_eq!(eval("builtins.readFile <x/file>").unwrap(), "\"text\\n\"");
    assert_eq!(
        eval("builtins.readFile $DIR/work/allowed/sub/deep").unwrap(),
        "\"deep\\n\""
    );
    assert_eq!(eval("import <x> { }").unwrap(), "3");
    let forbidden = eval("builtins.readFile $DIR/work/outside/secret").unwrap_err();
    assert!(forbidden.contains("is forbidden in restricted mode"), "{forbidden}");
    for expr in [
        "builtins.readFile <x/tunnel/secret>",
        "import <x/link.nix>",
        "builtins.readDir $DIR/work/outside",
        "builtins.readFileType $DIR/work/outside/secret",
        "\"${$DIR/work/outside}\"",
        "builtins.path { path = $DIR/work/outside; }",
        "builtins.fetchurl \"file://$DIR/work/outside/secret\"",
        "builtins.fetchurl \"https://example.invalid/x\"",
        "builtins.fetchTarball \"https://example.invalid/x.tar.gz\"",
        "fetchGit \"https://example.invalid/x.git\"",
        "import $DIR/work/main.nix",
    ] {
        assert!(eval(expr).is_err(), "{expr}");
    }
    assert_eq!(eval("builtins.pathExists $DIR/work/outside").unwrap(), "false");
    assert_eq!(eval("builtins.pathExists <x/tunnel/secret>").unwrap(), "false");
    assert_eq!(eval("builtins.pathExists $DIR/work/allowed/file").unwrap(), "true");
    assert_eq!(
        eval("builtins.readDir $DIR/work").unwrap(),
        "{ allowed = \"directory\"; }"
    );
    assert_eq!(eval("builtins.getEnv \"HOME\"").unwrap(), "\"\"");
    let text = "builtins.readFile (builtins.toFile \"t\" \"own\")";
    assert_eq!(eval(text).unwrap(), "\"own\"");
    let copied = "builtins.readFile \"${$DIR/work/allowed}/file\"";
    assert_eq!(eval(copied).unwrap(), "\"text\\n\"");
}

#[test]
fn allowed_uris_may_be_fetched_in_restricted_mode() {
    let bench = Bench::new();
    let folder = format!("file://{}/outside", bench.dir);
    let file = format!("{folder}/secret");
    let expr = format!("baseNameOf (builtins.fetchurl \"{file}\")");
    let eval = |uris: &str| {
        bench.eval(&["--restrict-eval", "--option", "allowed-uris", uris], &expr)
    };
    assert!(eval(&folder).unwrap().ends_with("-secret\""));
    assert!(eval(&file).is_ok());
    assert!(eval("file:").is_ok());
    assert!(eval(&format!("{file}/")).is_err());
    assert!(eval(&folder[..folder.len() - 1]).is_err());
    assert!(eval("").is_err());
}

#[test]
fn programs_outside_the_search_path_are_not_read_in_restricted_mode() {
    let bench = Bench::new();
    let fails = |args: &[&str]| {
        let ran = bench.run(args);
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.stdout);
        if let Some((code, ..)) = bench.peer(args) {
            assert_eq!(code, 1, "{args:?}");
        }
        ran.stderr
    };
    let said = fails(&["--eval", "--restrict-eval", "main.nix"]);
    assert!(said.contains("main.nix' is forbidden in restricted mode"), "{said}");
    fails(&["--eval", "--restrict-eval", "main.nix", "-I", "allowed"]);
    fails(&["--eval", "--restrict-eval", "allowed/link.nix", "-I", "allowed"]);
    let args = ["--eval", "--restrict-eval", "main.nix", "-I", "."];
    assert_eq!(bench.run(&args).stdout, "3\n");
    if let Some((_, stdout, _)) = bench.peer(&args) {
        assert_eq!(stdout, "3\n");
    }
}

#[test]
fn pure_evaluation_sees_only_what_it_made() {
    let bench = Bench::new();
    let eval = |expr: &str| bench.eval(&["--pure-eval"], expr);
    let forbidden = eval("builtins.readFile $DIR/work/main.nix").unwrap_err();
    assert!(forbidden.contains("--impure"), "{forbidden}");
    for expr in [
        "import $DIR/work/main.nix",
        "builtins.readDir $DIR/work",
        "builtins.readDir /",
        "builtins.currentTime",
        "builtins.currentSystem",
        "<nixpkgs>",
        "~/foo",
        "\"${$DIR/work/main.nix}\"",
        "builtins.fetchurl \"file://$DIR/work/main.nix\"",
        "builtins.fetchTarball \"file://$DIR/work/x.tar.gz\"",
        "fetchTree { type = \"path\"; path = \"$DIR/work/allowed\"; }",
        "fetchGit \"https://example.invalid/x.git\"",
        "builtins.getFlake \"path:$DIR/work/allowed\"",
        "builtins.storePath \"/nix/store/00000000000000000000000000000000-x\"",
        "builtins.readFile \"/nix/store/00000000000000000000000000000000-x\"",
    ] {
        assert!(eval(expr).is_err(), "{expr}");
    }
    assert_eq!(eval("builtins.pathExists $DIR/work/main.nix").unwrap(), "false");
    assert_eq!(eval("builtins.pathExists /.").unwrap(), "false");
    assert_eq!(eval("builtins.getEnv \"HOME\"").unwrap(), "\"\"");
    assert_eq!(eval("builtins.nixPath").unwrap(), "[ ]");
    assert_eq!(eval("toString /some/absolute/path").unwrap(), "\"/some/absolute/path\"");
    let own = "builtins.readFile (builtins.toFile \"t\" \"own\")";
    assert_eq!(eval(own).unwrap(), "\"own\"");
    assert_eq!(eval("builtins ? currentTime").unwrap(), "false");
    let hash = "1d8vqmxvmb6jaj3qx3nfd88wk9cq3a3g4dmp3pijjr3dqdqnqkcl";
    assert_eq!(eval("<nix/fetchurl.nix>").unwrap(), "<nix/fetchurl.nix>");
    let fetched = format!(
        "builtins.fetchurl {{ url = \"file://$DIR/work/main.nix\"; sha256 = \"{hash}\"; }}"
    );
    let mismatch = eval(&fetched).unwrap_err();
    assert!(mismatch.contains("hash mismatch"), "{mismatch}");
    let ran = bench.run(&["--eval", "--pure-eval", "main.nix"]);
    assert!(
        ran.stderr.contains("is forbidden in pure evaluation mode"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_fetched_by_its_hash_may_be_read_in_pure_mode() {
    let bench = Bench::new();
    let store = bench
        .test
        .picnix(["eval", "--raw", "-E"])
        .arg("builtins.hashFile \"sha256\" ./main.nix")
        .output()
        .unwrap();
    let hash = String::from_utf8(store.stdout).unwrap();
    let expr = format!(
        "import (builtins.fetchurl {{ url = \"file://{}/main.nix\"; sha256 = \"{hash}\"; }})",
        bench.dir
    );
    assert_eq!(bench.eval(&["--pure-eval"], &expr).unwrap(), "3");
}

#[test]
fn copies_of_store_objects_keep_their_references() {
    let bench = Bench::new();
    let expr = "let a = builtins.toFile \"a\" \"x\"; b = builtins.toFile \"b\" \"see ${a}\"; \
                in builtins.path { path = b; name = \"c\"; recursive = true; }";
    let args = ["--eval", "--read-write-mode", "-E", expr];
    let ran = bench.run(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let plain = Command::new(bench.test.dir().join("nix-instantiate"))
        .args(args)
        .env("PICNIX_STORE", &bench.test.store)
        .output()
        .unwrap();
    let path = String::from_utf8(plain.stdout).unwrap();
    if let Some((_, expected, _)) = bench.peer(&args) {
        assert_eq!(path, expected);
    }
    let path = path.trim().trim_matches('"');
    let refs = bench.test.succeeds(&["store", "requisites", path]);
    assert!(refs.contains("-a\n") && refs.contains("-c\n"), "{refs}");
}
