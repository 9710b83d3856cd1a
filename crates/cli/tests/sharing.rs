//! The commands that share a store and look into it, as a user calls them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Two stores of a user without an environment.
struct Home {
    dir: tempfile::TempDir,
}

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir_in("/tmp").unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn command(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(crate::common::picnix());
        command.env_clear().env("HOME", self.dir.path()).current_dir(self.dir.path());
        command.arg("--store").arg(self.path(store)).args(args);
        command
    }

    fn run(&self, store: &str, args: &[&str]) -> Ran {
        let output = self.command(store, args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ran { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The standard output of a command that must succeed.
    fn out(&self, store: &str, args: &[&str]) -> String {
        let ran = self.run(store, args);
        assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Derivations `top -> middle -> leaf` and `top -> leaf`.
    fn chain(&self, store: &str) -> [String; 3] {
        let text = "let d = name: inputs: derivation {
              inherit name inputs; system = \"x\"; builder = \"/b\"; };
            leaf = d \"leaf-1.0\" [ ]; middle = d \"middle\" [ leaf ];
          in [ (d \"top\" [ middle leaf ]) middle leaf ]";
        let at = |index: usize| {
            let expr = format!("builtins.elemAt ({text}) {index}");
            self.out(store, &["instantiate", "-E", &expr]).trim().to_owned()
        };
        [at(0), at(1), at(2)]
    }
}

#[test]
fn a_closure_travels_through_a_folder_with_its_signatures() {
    let home = Home::new();
    let [top, middle, leaf] = home.chain("one");
    let public = home.out("one", &["store", "generate-key", "test-1", "key"]);
    assert!(public.starts_with("test-1:"), "{public}");
    let again = home.run("one", &["store", "generate-key", "test-1", "key"]);
    assert!(again.code == 1 && again.err.contains("cannot create"), "{}", again.err);
    let sign = ["store", "sign", "-r", "--key-file", "key", &top];
    assert_eq!(home.out("one", &sign), "3 signatures added\n");
    assert_eq!(home.out("one", &sign), "0 signatures added\n");
    let url = home.url("cache");
    let copied =
        home.out("one", &["store", "copy", "--to", &url, "--compression", "xz", &top]);
    assert!(copied.starts_with("3 objects copied, "), "{copied}");
    let from = ["store", "copy", "--from", &url, &top];
    // Texts prove themselves, so that no key is needed.
    assert_eq!(home.out("two", &from).trim(), top);
    let requisites = home.out("two", &["store", "requisites", &top]);
    let position = |path: &str| requisites.lines().position(|line| line == path).unwrap();
    assert!(position(&leaf) < position(&middle) && position(&middle) < position(&top));
    assert!(home.out("two", &["store", "info", "--json", &leaf]).contains("test-1:"));
    let lost = home.run("three", &["store", "copy", "--from", &home.url("none"), &top]);
    assert!(lost.code == 1 && lost.err.contains("binary cache"), "{}", lost.err);
}

#[test]
fn what_refers_to_what_is_shown() {
    let home = Home::new();
    let [top, middle, leaf] = home.chain("one");
    let tree = home.out("one", &["store", "tree", &top]);
    let mut branches = [&middle, &leaf];
    branches.sort();
    let mut expected = format!("{top}\n");
    for (index, path) in branches.iter().enumerate() {
        let (branch, below) = if index == 1 {
            ("└───", "    ")
        } else {
            ("├───", "│   ")
        };
        expected += &format!("{branch}{path}\n");
        if *path == &middle {
            expected += &format!("{below}└───{leaf}\n");
        }
    }
    assert_eq!(tree, expected);
    let referrers = home.out("one", &["store", "referrers", &leaf]);
    assert_eq!(referrers.lines().count(), 2);
    let referrers = home.out("one", &["store", "referrers", &middle]);
    assert_eq!(referrers.trim(), top);
    let dot = home.out("one", &["store", "dot", &top]);
    assert_eq!(dot.matches(" -> ").count(), 3, "{dot}");
    let why = home.out("one", &["store", "why", &top, &leaf]);
    assert!(why.contains(&format!("└───{leaf}  (in the file itself)")), "{why}");
    assert!(why.contains("there are more ways; '--all' shows them"), "{why}");
    let why = home.out("one", &["store", "why", "--all", &top, &leaf]);
    assert_eq!(why.matches("└───").count(), 3, "{why}");
    let not = home.run("one", &["store", "why", &leaf, &top]);
    assert!(not.code == 1 && not.out.contains("does not need"), "{}", not.out);
    let diff = home.out("one", &["store", "diff", &middle, &top]);
    assert!(diff.contains("top.drv: absent -> present, +"), "{diff}");
    assert!(!diff.contains("leaf"), "{diff}");
}

/// Runs the real Nix if there is one.
fn peer(args: &[&str]) -> Option<String> {
    let Ok(text) = std::env::var("PICNIX_PEER_NIX") else {
        eprintln!("skipped: PICNIX_PEER_NIX is not set");
        return None;
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut command = Command::new(words[0]);
    let output =
        command.args(&words[1..]).args(args).current_dir("/tmp").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn derivations_are_shown_as_nix_shows_them() {
    let home = Home::new();
    let [top, middle, _] = home.chain("one");
    home.out("one", &["store", "copy", "--to", &home.url("cache"), &top]);
    let store = format!("local?root={}", home.path("nix").display());
    let cache = home.url("cache");
    if peer(&["nix", "copy", "--derivation", "--from", &cache, "--to", &store, &top])
        .is_none()
    {
        return;
    }
    for more in [&[][..], &["-r"], &["--recursive"]] {
        let middle_out = format!("{middle}^out");
        let show = ["derivation", "show"];
        let words = [&["nix", "--store", &store][..], &show, more, &[&top, &middle_out]];
        let theirs = peer(&words.concat()).unwrap();
        let words = [&show, more, &[&top, &middle]].concat();
        assert_eq!(home.out("one", &words), theirs);
        let words = [&["store"], &show[..], more, &[&middle_out, &top]].concat();
        assert_eq!(home.out("one", &words), theirs);
    }
}

#[test]
fn expressions_and_what_was_built_are_shown_as_derivations() {
    let home = Home::new();
    let text = "{ all = derivation { name = \"all\"; system = \"x\"; builder = \"/b\";
          __structuredAttrs = true; outputs = [ \"out\" \"dev\" ]; list = [ 1 2.5 null \"\\n\" ]; };
        fixed = derivation { name = \"fixed\"; system = \"x\"; builder = \"/b\";
          outputHashMode = \"recursive\"; outputHashAlgo = \"sha256\";
          outputHash = \"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"; };
        flat = derivation { name = \"flat\"; system = \"x\"; builder = \"/b\";
          outputHashAlgo = \"md5\"; outputHash = \"d41d8cd98f00b204e9800998ecf8427e\"; }; }";
    std::fs::write(home.path("all.nix"), text).unwrap();
    let shown =
        |words: &[&str]| home.out("one", &[&["derivation", "show"], words].concat());
    let all = shown(&["./all.nix", "-A", "all", "-A", "fixed", "-A", "flat"]);
    let value: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(value["derivations"].as_object().unwrap().len(), 3);
    assert_eq!(shown(&["-E", "builtins.attrValues (import ./all.nix)"]), all);
    let ran = home.run("one", &["derivation", "show", "/nix/store/nope"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let store = format!("local?root={}", home.path("nix").display());
    let file = home.path("all.nix").display().to_string();
    let words = [
        "nix",
        "--store",
        &store,
        "derivation",
        "show",
        "-f",
        &file,
        "all",
        "fixed",
        "flat",
    ];
    if let Some(theirs) = peer(&words) {
        assert_eq!(all, theirs);
    }
}

#[test]
fn a_store_is_served_to_another() {
    let home = Home::new();
    let [top, ..] = home.chain("one");
    let serve = ["store", "serve", "--listen", "127.0.0.1:0"];
    let mut server = home
        .command("one", &serve)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let copied = home.run("two", &["store", "copy", "--from", &url, &top]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!((copied.code, copied.out.trim()), (0, top.as_str()), "{}", copied.err);
}

#[test]
fn settings_come_from_the_file_the_environment_and_the_flags() {
    let home = Home::new();
    let config = home.path(".config/picnix");
    std::fs::create_dir_all(&config).unwrap();
    let file = config.join("picnix.conf");
    std::fs::write(&file, "substituters = nonsense\n").unwrap();
    let expr = "derivation { name = \"x\"; system = \"x\"; builder = \"/b\"; }";
    let dry = ["build", "--dry-run", "-E", expr];
    let ran = home.run("one", &dry);
    assert!(
        ran.code == 1 && ran.err.contains("invalid setting 'substituters'"),
        "{}",
        ran.err
    );
    let flags = [&["--no-substitutes"], &dry[..]].concat();
    assert!(home.out("one", &flags).contains("this derivation will be built"));
    let gone = home.url("gone");
    let flags = [&["--substituters", &gone], &dry[..]].concat();
    let ran = home.run("one", &flags);
    assert_eq!((ran.code, ran.err.matches("is not used").count()), (0, 1), "{}", ran.err);
    let flags = [&["--option", "substitute", "false"], &dry[..]].concat();
    assert_eq!(home.run("one", &flags).err, "");
    let mut command = home.command("one", &dry);
    command.env("PICNIX_CONFIG", "substituters =");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert!(Path::new(&file).exists());
}
