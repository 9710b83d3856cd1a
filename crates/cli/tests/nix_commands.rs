//! The binary as `nix-instantiate`, `nix-build` and `nix-store`, as scripts call it.
//!
//! Where `PICNIX_PEER_NIX` names a real Nix, it answers the same command lines, and the answers are compared.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder to work in, a store, and links to the binary.
struct Commands {
    temp: tempfile::TempDir,
}

impl Commands {
    fn new() -> Self {
        let commands = Self { temp: tempfile::tempdir().unwrap() };
        std::fs::create_dir(commands.folder()).unwrap();
        for name in ["nix-instantiate", "nix-build", "nix-store", "nix-hash"] {
            let link = commands.temp.path().join(name);
            symlink(env!("CARGO_BIN_EXE_picnix"), link).unwrap();
        }
        commands
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("work")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(self.temp.path().join(words[0]));
        command
            .env_clear()
            .env("HOME", self.temp.path())
            .env("PICNIX_STORE", self.temp.path().join("store"));
        finish(command.args(&words[1..]).current_dir(self.folder()), input)
    }

    /// What a command prints that must succeed.
    fn prints(&self, words: &[&str]) -> String {
        let output = self.run(words, b"");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that must fail, with the status of Nix.
    fn complains(&self, words: &[&str]) -> String {
        let output = self.run(words, b"");
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// What the real Nix does, which must succeed; nothing where there is none.
    fn peer(&self, words: &[&str], input: &[u8]) -> Option<Output> {
        let prefix = std::env::var("PICNIX_PEER_NIX").ok()?;
        let mut all = prefix.split_whitespace().chain(words.iter().copied());
        let mut command = Command::new(all.next()?);
        let output = finish(command.args(all).current_dir(self.folder()), input);
        assert!(output.status.success(), "{words:?}: {output:?}");
        Some(output)
    }

    /// What it prints.
    fn peer_prints(&self, words: &[&str]) -> Option<String> {
        let output = self.peer(words, b"")?;
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// Checks what a command prints, and that the real Nix prints the same.
    fn agrees(&self, words: &[&str]) -> String {
        let printed = self.prints(words);
        if let Some(expected) = self.peer_prints(words) {
            assert_eq!(printed, expected, "{words:?}");
        }
        printed
    }
}

/// A tree and hashes that `nix-hash` is asked for.
#[test]
fn hashes_are_those_of_nix() {
    let commands = Commands::new();
    commands.write("file", "contents");
    std::fs::create_dir(commands.folder().join("tree")).unwrap();
    commands.write("tree/file", "more");
    for algo in ["md5", "sha1", "sha256", "sha512"] {
        for format in ["--base16", "--base32", "--base64", "--sri"] {
            commands.agrees(&["nix-hash", "--type", algo, format, "file", "tree"]);
        }
        commands.agrees(&["nix-hash", "--flat", "--type", algo, "file"]);
        commands.agrees(&["nix-hash", "--truncate", "--type", algo, "tree"]);
        let hash = commands.prints(&["nix-hash", "--type", algo, "tree"]);
        for format in ["--to-base16", "--to-base32", "--to-base64", "--to-sri"] {
            commands.agrees(&["nix-hash", "--type", algo, format, hash.trim()]);
        }
    }
    assert_eq!(commands.agrees(&["nix-hash", "--flat", "file"]).trim().len(), 32);
    let error = commands.complains(&["nix-hash", "--type", "crc", "file"]);
    assert!(error.contains("'crc'"), "{error}");
}

#[test]
fn stores_are_exported_imported_dumped_and_loaded() {
    let commands = Commands::new();
    commands.write("text", "text");
    let path = commands.prints(&["nix-store", "--add", "text"]);
    let path = path.trim();
    let export = commands.run(&["nix-store", "--export", path], b"");
    assert!(export.status.success(), "{export:?}");
    assert_eq!(commands.prints(&["nix-store", "--dump-db"]).lines().next(), Some(path));
    let dump = commands.prints(&["nix-store", "--dump-db"]);
    commands.prints(&["nix-store", "--delete", path]);
    let imported = commands.run(&["nix-store", "--import"], &export.stdout);
    assert_eq!(String::from_utf8(imported.stdout).unwrap().trim(), path);
    let loaded = commands.run(&["nix-store", "--load-db"], dump.as_bytes());
    assert!(loaded.status.success(), "{loaded:?}");
    let validity = format!("{path}\n\n0\n");
    let registered =
        commands.run(&["nix-store", "--register-validity"], validity.as_bytes());
    assert!(registered.status.success(), "{registered:?}");
    let optimised = commands.run(&["nix-store", "--optimise"], b"");
    let said = String::from_utf8(optimised.stderr).unwrap();
    assert!(said.contains("freed by hard-linking 0 files"), "{said}");
    let broken = commands.run(&["nix-store", "--import"], b"nothing");
    assert_eq!(broken.status.code(), Some(1));
}

#[test]
fn exports_of_nix_are_imported_and_exports_are_those_of_nix() {
    let commands = Commands::new();
    commands.write("text", "text");
    let Some(path) = commands.peer_prints(&["nix-store", "--add", "text"]) else {
        println!("SKIPPED: PICNIX_PEER_NIX does not name a real Nix");
        return;
    };
    let theirs = commands.peer(&["nix-store", "--export", path.trim()], b"").unwrap();
    let imported = commands.run(&["nix-store", "--import"], &theirs.stdout);
    assert_eq!(String::from_utf8(imported.stdout).unwrap(), path);
    let ours = commands.run(&["nix-store", "--export", path.trim()], b"");
    assert_eq!(ours.stdout, theirs.stdout);
    let back = commands.peer(&["nix-store", "--import"], &ours.stdout).unwrap();
    assert_eq!(String::from_utf8(back.stdout).unwrap(), path);
    let dump = commands.prints(&["nix-store", "--dump-db", path.trim()]);
    assert_eq!(
        commands.peer_prints(&["nix-store", "--dump-db", path.trim()]),
        Some(dump)
    );
}

fn finish(command: &mut Command, input: &[u8]) -> Output {
    let piped = Stdio::piped;
    let mut child =
        command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    // A command that reads no input may have ended before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn values_are_printed_as_asked_for() {
    let commands = Commands::new();
    let expr = "{ a = 1; b = [ (1 + 1) \"x\\n\" ]; f = { y, z ? 1, ... }@w: y; }";
    let eval = |flags: &[&str]| {
        commands.agrees(&[&["nix-instantiate", "--eval", "-E", expr], flags].concat())
    };
    assert_eq!(eval(&["-A", "b"]), "[ <CODE> \"x\\n\" ]\n");
    assert_eq!(eval(&["--strict", "-A", "b"]), "[ 2 \"x\\n\" ]\n");
    assert_eq!(eval(&["--strict", "-A", "b.0"]), "2\n");
    assert_eq!(eval(&["--json", "--strict", "-A", "b"]), "[2,\"x\\n\"]\n");
    assert_eq!(eval(&["--raw", "-A", "b.1"]), "x\n");
    assert!(eval(&["--xml", "-A", "b"]).contains("<unevaluated />"));
    assert!(
        eval(&["--xml", "--strict"]).contains("<attrspat ellipsis=\"1\" name=\"w\">")
    );
    eval(&["--parse"]);
}

#[test]
fn unforced_parts_are_those_of_nix() {
    let commands = Commands::new();
    let exprs = [
        (
            "{ a = x: x; b = [ ]; c = { }; d = [ { } ]; }",
            "{ a = <CODE>; b = [ ]; c = <CODE>; d = <CODE>; }\n",
        ),
        ("[ (x: x) 1 { } ]", "[ <CODE> 1 <CODE> ]\n"),
        (
            "let s = { a = 1; }; in builtins.seq s { b = s.a; inherit (s) a; }",
            "{ a = <CODE>; b = <CODE>; }\n",
        ),
        ("with { a = 1; }; { b = a; }", "{ b = <CODE>; }\n"),
        ("builtins.tail [ 1 (x: x) ]", "[ <CODE> ]\n"),
        ("let f = x: x; in builtins.seq f { inherit f; }", "{ f = <LAMBDA>; }\n"),
    ];
    for (expr, printed) in exprs {
        let args = ["nix-instantiate", "--eval", "-E", expr];
        assert_eq!(commands.agrees(&args), printed, "{expr}");
    }
    let derivation = "derivation { name = \"a\"; system = \"x\"; builder = \"b\"; }";
    let said = commands.agrees(&["nix-instantiate", "--eval", "-E", derivation]);
    assert!(said.starts_with("{ all = <CODE>; builder = \"b\";"), "{said}");
    let xml =
        commands.agrees(&["nix-instantiate", "--eval", "--xml", "-E", "{ a = x: x; }"]);
    assert!(xml.contains("<unevaluated />"), "{xml}");
}

#[test]
fn programs_come_from_files_texts_and_standard_input() {
    let commands = Commands::new();
    commands.write("default.nix", "{ x ? 1, y ? 2 }: { sum = x + y; }");
    commands.write("other.nix", "5");
    let instantiate = |flags: &[&str]| {
        commands.agrees(&[&["nix-instantiate", "--eval"], flags].concat())
    };
    assert_eq!(instantiate(&["-A", "sum"]), "3\n");
    assert_eq!(instantiate(&[".", "-A", "sum", "--arg", "x", "10"]), "12\n");
    assert_eq!(
        instantiate(&["-A", "sum", "--argstr", "x", "a", "--arg", "y", "\"b\""]),
        "\"ab\"\n"
    );
    assert_eq!(instantiate(&["other.nix", "./other.nix"]), "5\n5\n");
    assert_eq!(
        instantiate(&["-I", "o=other.nix", "-E", "import <o> + 1", "2"]),
        "6\n2\n"
    );
    let folder = commands.folder().canonicalize().unwrap();
    let found = instantiate(&["--find-file", "-I", ".", "other.nix"]);
    assert_eq!(found.trim_end(), folder.join("other.nix").to_str().unwrap());
    let output = commands.run(&["nix-instantiate", "--eval", "-"], b"1 + 2");
    assert_eq!(output.stdout, b"3\n");
}

#[test]
fn wrong_command_lines_are_refused_in_the_words_of_nix() {
    let commands = Commands::new();
    let complaint = commands.complains(&["nix-instantiate", "--nope"]);
    assert_eq!(
        complaint,
        "error: unrecognised flag '--nope'\nTry 'nix-instantiate --help' for more information.\n"
    );
    assert!(
        commands.complains(&["nix-store"]).starts_with("error: no operation specified\n")
    );
    let complaint = commands.complains(&["nix-store", "-q", "--bad"]);
    assert!(complaint.starts_with("error: unknown flag '--bad'\n"));
    let complaint =
        commands.complains(&["nix-instantiate", "--eval", "-E", "{ a = 1; }", "-A", "b"]);
    assert!(
        complaint.starts_with("error: attribute 'b' in selection path 'b' not found")
    );
    assert!(commands.prints(&["nix-build", "--help"]).contains("--no-out-link"));
}

#[test]
fn settings_come_from_flags_options_and_the_environment() {
    let commands = Commands::new();
    let text = ["nix-instantiate", "--eval", "--expr", "1 |> (x: x + 1)"];
    commands.complains(&text);
    let feature = ["--extra-experimental-features", "pipe-operators"];
    assert_eq!(commands.prints(&[&text[..], &feature[..]].concat()), "2\n");
    let option = ["--option", "extra-experimental-features", "pipe-operators"];
    assert_eq!(commands.prints(&[&text[..], &option[..]].concat()), "2\n");
    let ignored = ["--option", "cores", "4", "--no-substitute", "--builders", "", "-j4"];
    assert_eq!(
        commands
            .prints(&[&["nix-instantiate", "--eval", "-E", "1"][..], &ignored].concat()),
        "1\n"
    );
}

#[test]
fn files_are_added_dumped_and_restored() {
    let commands = Commands::new();
    std::fs::create_dir(commands.folder().join("dir")).unwrap();
    commands.write("dir/file", "contents\n");
    symlink("file", commands.folder().join("dir/link")).unwrap();
    let added = commands.agrees(&["nix-store", "--add", "dir"]);
    assert_eq!(
        commands.agrees(&["nix-store", "--add-fixed", "--recursive", "sha256", "dir"]),
        added
    );
    commands.agrees(&["nix-store", "--add-fixed", "sha256", "dir/file"]);
    commands.agrees(&["nix-store", "--add-fixed", "sha1", "dir/file"]);
    let path = added.trim_end();
    commands.agrees(&["nix-store", "--query", "--hash", path]);
    commands.agrees(&["nix-store", "-q", "--size", path]);
    assert_eq!(
        commands.prints(&["nix-store", "-q", "--deriver", path]),
        "unknown-deriver\n"
    );
    let nar = commands.run(&["nix-store", "--dump", "dir"], b"").stdout;
    assert_eq!(commands.run(&["nix-store", "--dump", path], b"").stdout, nar);
    assert!(commands.run(&["nix-store", "--restore", "again"], &nar).status.success());
    assert_eq!(commands.run(&["nix-store", "--dump", "again"], b"").stdout, nar);
    commands.prints(&["nix-store", "--verify", "--check-contents"]);
    assert!(commands.prints(&["nix-store", "--gc"]).contains("store paths deleted, "));
    let complaint = commands.complains(&["nix-store", "--check-validity", path]);
    assert_eq!(complaint, format!("error: path '{path}' is not valid\n"));
}

#[test]
fn derivations_are_instantiated_and_queried() {
    let commands = Commands::new();
    commands.write("source", "s");
    commands.write(
        "default.nix",
        "let a = derivation { name = \"a\"; builder = \"/bin/sh\"; system = \"x86_64-linux\";
           src = ./source; args = [ \"-c\" \"echo it's\" ]; };
         in derivation { name = \"b\"; builder = \"/bin/sh\"; system = \"x86_64-linux\"; dep = a;
           outputs = [ \"out\" \"dev\" ]; }",
    );
    let drv = commands.agrees(&["nix-instantiate"]);
    let drv = drv.trim_end();
    assert_eq!(
        commands.agrees(&["nix-instantiate", "-A", "dev"]),
        format!("{drv}!dev\n")
    );
    for query in
        ["--references", "--outputs", "-R", "--tree", "--hash", "--size", "--resolve"]
    {
        commands.agrees(&["nix-store", "--query", query, drv]);
    }
    let references = commands.prints(&["nix-store", "-q", "--references", drv]);
    let reference = references.lines().next().unwrap();
    assert_eq!(
        commands.prints(&["nix-store", "-q", "--referrers", reference]),
        format!("{drv}\n")
    );
    commands.agrees(&["nix-store", "-q", "--binding", "dep", drv]);
    commands.agrees(&["nix-store", "--print-env", drv]);
    let plan = commands.run(&["nix-build", "--dry-run", drv], b"");
    assert!(plan.status.success(), "{plan:?}");
    let root = commands.prints(&["nix-instantiate", "--add-root", "root", "--indirect"]);
    assert!(root.trim_end().ends_with("/root"));
    assert!(commands.prints(&["nix-store", "--gc", "--print-dead"]).is_empty());
}

#[test]
fn derivations_are_searched_under_plain_names_only() {
    let commands = Commands::new();
    let program =
        "let d = name: derivation { inherit name; builder = \"b\"; system = \"s\"; };
         in { \"a.b\" = d \"x\"; \"1\" = d \"y\"; \"c+-_1\" = d \"z\"; }";
    let found = commands.agrees(&["nix-instantiate", "-E", program]);
    assert!(found.ends_with("-z.drv\n") && found.lines().count() == 1, "{found}");
    let program = "{ a = 1; b = throw \"no\"; }";
    let said = commands.complains(&["nix-instantiate", "-E", program]);
    assert!(said.contains("… while evaluating the attribute 'b'\n"), "{said}");
}

#[test]
fn a_wrong_hash_has_a_status_of_its_own() {
    let commands = Commands::new();
    commands.write("file", "contents");
    let url = format!("file://{}", commands.folder().join("file").display());
    let wrong = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for fetch in [
        format!("builtins.fetchurl {{ url = \"{url}\"; sha256 = \"{wrong}\"; }}"),
        format!(
            "builtins.fetchTree {{ type = \"file\"; url = \"{url}\"; narHash = \"{wrong}\"; }}"
        ),
    ] {
        let words = ["--eval", "--option", "extra-experimental-features", "fetch-tree"];
        let words = [&["nix-instantiate"], words.as_slice(), &["-E", &fetch]].concat();
        let output = commands.run(&words, b"");
        assert_eq!(output.status.code(), Some(102), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(wrong) || said.contains(&"0".repeat(52)), "{said}");
    }
}

#[test]
fn flags_that_other_commands_share_are_taken_or_refused_by_name() {
    let commands = Commands::new();
    commands.write("a.nix", "1");
    commands.write("b.nix", "2");
    let find = |flags: &[&str]| {
        commands.agrees(&[&["nix-instantiate", "--find-file", "x"], flags].concat())
    };
    assert!(find(&["--nix-path", "x=./a.nix"]).ends_with("/a.nix\n"));
    assert!(find(&["--nix-path", "x=./a.nix", "-I", "x=./b.nix"]).ends_with("/b.nix\n"));
    let extra = ["--nix-path", "y=.", "--extra-nix-path", "x=./a.nix"];
    assert!(find(&extra).ends_with("/a.nix\n"));
    let eval = |flags: &[&str]| {
        commands.agrees(
            &[&["nix-instantiate", "--eval", "-E", "{ n ? \"-\" }: n"], flags].concat(),
        )
    };
    assert_eq!(eval(&["--arg-from-file", "n", "a.nix"]), "\"1\"\n");
    assert_eq!(eval(&["--argstr", "n", "b", "--override-flake", "a", "b"]), "\"b\"\n");
    assert_eq!(eval(&["--argstr", "n", "b", "--eval-store", "dummy://"]), "\"b\"\n");
    for (flags, words) in [
        (["--eval-store", "file:///x"], "'--eval-store file:///x' is not supported"),
        (["--log-format", "internal-json"], "'internal-json' is not supported"),
    ] {
        let said = commands.complains(&[&["nix-build"], &flags[..]].concat());
        assert!(said.contains(words), "{said}");
    }
}
