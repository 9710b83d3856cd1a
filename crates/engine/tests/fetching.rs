//! Fetching and flakes, on repositories, tarballs and directories that the tests make; where `PICNIX_PEER_NIX` names
//! a command prefix that runs the real Nix, its answers are compared.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Command;

mod common;

use common::Bench;
use picnix_engine::Error;
use picnix_engine::flakes::FlakeTarget;
use picnix_engine::locking::{LockOptions, LockWriting};
use picnix_engine::session::{EvalOptions, Program, evaluate};
use picnix_engine::world::Writes;
use picnix_eval::pos::Pos;

impl Bench {
    fn git(&self, dir: &str, arguments: &[&str]) {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@y",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(self.path(dir))
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
            .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn repository(&self) {
        self.write("repo/a", "hello\n");
        self.write("repo/dir/b", "b\n");
        self.write("repo/.gitattributes", "dir/b export-ignore\n");
        std::os::unix::fs::symlink("a", self.path("repo/link")).unwrap();
        self.git("repo", &["init", "--quiet"]);
        self.git("repo", &["add", "."]);
        self.git("repo", &["commit", "--quiet", "-m", "first"]);
    }

    /// The value of an expression as JSON; `@` stands for the directory of the bench.
    fn eval(&self, text: &str) -> Result<String, Error> {
        self.eval_with(text, &EvalOptions::default())
    }

    fn eval_with(&self, text: &str, options: &EvalOptions) -> Result<String, Error> {
        let root = self.path("");
        let root = root.to_str().unwrap().trim_end_matches('/');
        let text = format!("builtins.toJSON ({})", text.replace('@', root));
        let program = Program::Text(text);
        evaluate(
            &self.engine,
            Writes::WhenBuilding,
            options,
            |_| (),
            |session| {
                let value = session.load(&program, Path::new(root))?;
                let string = session.ev.expect_string(value, Pos::NONE, "")?;
                Ok(string.to_string_lossy().into_owned())
            },
        )
    }

    fn same_as_nix(&self, text: &str) -> String {
        let found = self.eval(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let root = self.path("");
        let root = root.to_str().unwrap().trim_end_matches('/');
        let text = text.replace('@', root);
        if let Some(expected) = peer(&["eval", "--impure", "--json", "--expr", &text]) {
            assert_eq!(found, expected.trim_end(), "{text}");
        }
        found
    }

    fn lock(&self, flake: &str, recreate: bool) -> Result<(), Error> {
        let writing = LockWriting::Required;
        let locking = LockOptions { recreate, writing, ..LockOptions::default() };
        let target = FlakeTarget::parse(&format!("./{flake}"), &self.path("")).unwrap();
        let options = EvalOptions::default();
        evaluate(
            &self.engine,
            Writes::WhenBuilding,
            &options,
            |_| (),
            |session| session.lock_flake(&target.reference, &locking).map(drop),
        )
    }

    /// Locks a flake, and compares the file with the one that the real Nix writes.
    fn lock_as_nix(&self, flake: &str) -> String {
        self.lock(flake, false).unwrap();
        let file = self.path(flake).join("flake.lock");
        let found = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let path = self.path(flake);
        if peer(&["flake", "lock", path.to_str().unwrap()]).is_some() {
            assert_eq!(found, fs::read_to_string(&file).unwrap());
        }
        fs::write(&file, &found).unwrap();
        found
    }
}

/// What the real Nix prints; nothing if there is none.
fn peer(arguments: &[&str]) -> Option<String> {
    let prefix =
        std::env::var("PICNIX_PEER_NIX").ok().filter(|prefix| !prefix.is_empty())?;
    let mut words = prefix.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["nix", "--extra-experimental-features", "nix-command flakes fetch-tree"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const ALL: &str = "(t: removeAttrs t [ \"outPath\" ] // { path = t.outPath; })";

#[test]
fn git_repositories_are_those_of_nix() {
    let bench = Bench::new(&[]);
    bench.repository();
    for text in [
        "builtins.fetchGit @/repo",
        "builtins.fetchGit { url = @/repo; ref = \"main\"; name = \"x\"; }",
        "builtins.fetchTree { type = \"git\"; url = \"file://@/repo\"; }",
        "builtins.fetchTree { type = \"git\"; url = \"file://@/repo\"; ref = \"main\"; }",
    ] {
        let found = bench.same_as_nix(&format!("{ALL} ({text})"));
        assert!(found.contains("1700000000"), "{found}");
    }
    bench.write("repo/a", "changed\n");
    bench.write("repo/untracked", "x");
    let dirty = bench.same_as_nix(&format!("{ALL} (builtins.fetchGit @/repo)"));
    assert!(dirty.contains("-dirty"), "{dirty}");
    bench.git(".", &["clone", "--quiet", "--bare", "repo", "bare.git"]);
    bench.same_as_nix(&format!("{ALL} (builtins.fetchGit \"file://@/bare.git\")"));
    bench.same_as_nix(&format!(
        "{ALL} (builtins.fetchGit {{ url = \"file://@/bare.git\"; ref = \"refs/heads/main\"; }})"
    ));
    let error = bench.eval(
        "builtins.fetchGit { url = \"file://@/bare.git\"; rev = \"1111111111111111111111111111111111111111\"; }",
    );
    assert!(error.is_err());
}

#[test]
fn paths_files_and_tarballs_are_those_of_nix() {
    let bench = Bench::new(&[]);
    bench.write("dir/a", "1");
    bench.write("dir/sub/b", "2");
    bench.same_as_nix(&format!("{ALL} (builtins.fetchTree \"path:@/dir\")"));
    let file = fs::File::create(bench.path("x.tar")).unwrap();
    let mut builder = tar::Builder::new(file);
    builder.append_dir_all("top", bench.path("dir")).unwrap();
    builder.finish().unwrap();
    bench.same_as_nix("builtins.fetchTarball \"file://@/x.tar\"");
    bench
        .same_as_nix("builtins.fetchTarball { url = \"file://@/x.tar\"; name = \"n\"; }");
    bench.same_as_nix(&format!("{ALL} (builtins.fetchTree \"file://@/x.tar\")"));
    bench.same_as_nix("builtins.fetchurl \"file://@/dir/a\"");
    bench.same_as_nix(&format!(
        "{ALL} (builtins.fetchTree {{ type = \"file\"; url = \"file://@/dir/a\"; }})"
    ));
}

#[test]
fn references_are_read_as_nix_reads_them() {
    let bench = Bench::new(&[]);
    let references = "[ \"nixpkgs\" \"nixpkgs/a-b\" \"github:a/b/c/d?dir=x%20y&host=h.org\" \"path:./x\" \
        \"git+https://u@h.org:1/x?ref=y&shallow=1\" \"https://h.org/x.tar.gz?a=b&rev=c\" \"/a/b?dir=c\" \
        \"gitlab:a/b/0123456789012345678901234567890123456789\" \"file+https://h.org/x\" \"sourcehut:~a/b\" ]";
    bench.same_as_nix(&format!("map builtins.parseFlakeRef {references}"));
    let printed = format!(
        "map (r: builtins.flakeRefToString (builtins.parseFlakeRef r)) {references}"
    );
    assert!(bench.same_as_nix(&printed).starts_with("[\"flake:nixpkgs\""));
    for (text, message) in [
        (
            "builtins.parseFlakeRef \"./x\"",
            "flake reference './x' is not an absolute path",
        ),
        ("builtins.parseFlakeRef \"ftp://x\"", "input 'ftp://x' is unsupported"),
        (
            "builtins.flakeRefToString { type = \"path\"; path = [ ]; }",
            "'path' is a list",
        ),
        ("builtins.getFlake \"nixpkgs\"", "cannot find flake 'flake:nixpkgs'"),
    ] {
        let error = bench.eval(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn what_is_not_there_is_said_in_the_words_of_nix() {
    let bench = Bench::new(&[]);
    let root = bench.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    for (text, words) in [
        ("getFlake \"path:@/none\"", "error: path '@/none' does not exist"),
        ("getFlake \"@/none\"", "error: path '@/none' does not exist"),
        ("fetchGit @/none", "error: Git repository \"@/none\" does not exist."),
        (
            "fetchurl \"http://127.0.0.1:1/x\"",
            "error: unable to download 'http://127.0.0.1:1/x': Connection refused",
        ),
    ] {
        let said = bench.eval(&format!("builtins.{text}")).unwrap_err().to_string();
        assert!(said.contains(&words.replace('@', root)), "{text}: {said}");
    }
}

#[test]
fn hashes_are_checked() {
    let bench = Bench::new(&[]);
    bench.write("a", "1");
    let zero = "0000000000000000000000000000000000000000000000000000";
    let text =
        format!("builtins.fetchurl {{ url = \"file://@/a\"; sha256 = \"{zero}\"; }}");
    let error = bench.eval(&text).unwrap_err().to_string();
    assert!(error.contains("hash mismatch in file downloaded from"), "{error}");
    assert!(error.contains(&format!("specified: sha256:{zero}")), "{error}");
    let error = bench.eval("builtins.fetchMercurial \"https://example.invalid/x\"");
    assert!(error.unwrap_err().to_string().contains("Mercurial"));
}

#[test]
fn pure_evaluation_fetches_only_what_is_locked() {
    let bench = Bench::new(&[]);
    bench.write("dir/a", "1");
    let pure = EvalOptions { pure: true, ..EvalOptions::default() };
    for (text, message) in [
        (
            "builtins.fetchurl \"file://@/dir/a\"",
            "'fetchurl' requires a 'sha256' argument",
        ),
        (
            "builtins.fetchTarball \"file://@/x\"",
            "'fetchTarball' requires a 'sha256' argument",
        ),
        ("builtins.fetchTree \"path:@/dir\"", "'fetchTree' doesn't fetch unlocked input"),
        ("builtins.fetchGit @/dir", "'fetchGit' doesn't fetch unlocked input"),
        ("builtins.getFlake \"path:@/dir\"", "on unlocked flake reference"),
    ] {
        let error = bench.eval_with(text, &pure).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn flakes_are_locked_and_called_as_by_nix() {
    let bench = Bench::new(&[]);
    bench.write("dep/flake.nix", "{ outputs = { self }: { x = 1; n = self.narHash; }; }");
    bench.write("dep/data", "d");
    bench.write(
        "mid/flake.nix",
        &"{ inputs.dep.url = \"path:@/dep\"; outputs = { self, dep }: { y = dep.x + 1; }; }"
            .replace('@', bench.path("").to_str().unwrap().trim_end_matches('/')),
    );
    bench.write("top/sub/flake.nix", "{ outputs = { self }: { z = 3; }; }");
    bench.write(
        "top/flake.nix",
        &"{ description = \"top\";
            inputs.dep.url = \"path:@/dep\";
            inputs.mid = { url = \"path:@/mid\"; inputs.dep.follows = \"dep\"; };
            inputs.data = { url = \"path:@/dep\"; flake = false; };
            inputs.sub.url = \"path:./sub\";
            outputs = { self, dep, mid, data, sub }:
              { v = [ dep.x mid.y sub.z (builtins.readFile (data + \"/data\")) dep.n ]; }; }"
            .replace('@', bench.path("").to_str().unwrap().trim_end_matches('/')),
    );
    let lock = bench.lock_as_nix("top");
    assert!(lock.contains("\"version\": 7"), "{lock}");
    // What is locked is not touched again.
    bench.lock("top", false).unwrap();
    assert_eq!(fs::read_to_string(bench.path("top/flake.lock")).unwrap(), lock);
    let found = bench.same_as_nix("(builtins.getFlake \"path:@/top\").v");
    assert!(found.starts_with("[1,2,3,\"d\",\"sha256-"), "{found}");
    // An input that changed is a mismatch until it is updated.
    bench.write("dep/data", "e");
    let fresh = Bench::new(&[]);
    let text = format!("(builtins.getFlake \"path:{}\").v", bench.path("top").display());
    let error = fresh.eval(&text).unwrap_err().to_string();
    assert!(error.contains("mismatch"), "{error}");
    bench.lock("top", true).unwrap();
    assert_ne!(fs::read_to_string(bench.path("top/flake.lock")).unwrap(), lock);
    assert!(
        bench.eval("(builtins.getFlake \"path:@/top\").v").unwrap().contains("\"e\"")
    );
}

#[test]
fn flakes_in_git_know_only_what_git_knows() {
    let bench = Bench::new(&[]);
    bench.repository();
    bench.write("repo/flake.nix", "{ outputs = { self }: { r = self ? rev; }; }");
    bench.write(
        "user/flake.nix",
        &"{ inputs.repo.url = \"git+file://@/repo\"; outputs = { self, repo }: { r = repo.r; }; }"
            .replace('@', bench.path("").to_str().unwrap().trim_end_matches('/')),
    );
    assert!(bench.lock("user", false).is_err());
    bench.git("repo", &["add", "flake.nix"]);
    bench.git("repo", &["commit", "--quiet", "-m", "flake"]);
    let lock = bench.lock_as_nix("user");
    assert!(lock.contains("\"revCount\": 2"), "{lock}");
    assert_eq!(bench.same_as_nix("(builtins.getFlake \"path:@/user\").r"), "true");
}
