//! Forges, tarballs, files and registries over HTTP, from a server that the test is: which URLs are asked, what comes
//! of the answers, and what is said where there is none.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use picnix_build::{Cancel, Silent};
use picnix_engine::flakes::{FlakeTarget, LockWriting};
use picnix_engine::session::{EvalOptions, Program, evaluate};
use picnix_engine::world::Writes;
use picnix_engine::{BuildOptions, Config, Engine, Error};
use picnix_eval::flake::LockFlags;
use picnix_eval::pos::Pos;

const REV: &str = "0123456789012345678901234567890123456789";

/// A server of fixed answers by path; it remembers what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answers: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &answers, &log);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn answer(
    mut stream: TcpStream,
    answers: &BTreeMap<String, Vec<u8>>,
    log: &Mutex<Vec<String>>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    for line in lines {
        if line.is_ok_and(|line| line.is_empty()) {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(path.clone());
    let (status, body) = match answers.get(&path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", b"nothing".as_slice()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A client that has seen enough may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

struct Bench {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Bench {
    fn new(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let env: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), root.join("home").into()),
            ("PICNIX_STORE".into(), root.join("store").into()),
            ("NIX_CONF_DIR".into(), root.join("etc").into()),
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
        ];
        let mut config = Config::new(env, root).unwrap();
        config.settings.set("flake-registry", "");
        for (name, value) in settings {
            config.settings.set(name, value);
        }
        let options = BuildOptions::default();
        let engine = Engine::new(config, &options, Arc::new(Silent), Cancel::new());
        Self { dir, engine }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn eval(&self, text: &str) -> Result<String, Error> {
        let program = Program::Text(text.to_owned());
        let options = EvalOptions::default();
        evaluate(
            &self.engine,
            Writes::Always,
            &options,
            |_| {},
            |session| {
                let value = session.load(&program, Path::new("/"))?;
                let text = session.ev.expect_string(value, Pos::NONE, "")?;
                Ok(text.to_string_lossy().into_owned())
            },
        )
    }

    fn fails(&self, text: &str) -> String {
        self.eval(text).unwrap_err().to_string()
    }

    /// The value at an attribute path of a flake, which is locked first.
    fn flake(&self, reference: &str) -> Result<String, Error> {
        let target = FlakeTarget::parse(reference, &self.path(""))?;
        let options = EvalOptions::default();
        evaluate(
            &self.engine,
            Writes::Always,
            &options,
            |_| {},
            |session| {
                let flags = LockFlags::default();
                session.lock_flake(&target.reference, &flags, LockWriting::IfPossible)?;
                let value = session.load_target(&target, &[])?;
                let text = session.ev.expect_string(value, Pos::NONE, "")?;
                Ok(text.to_string_lossy().into_owned())
            },
        )
    }

    /// The names of the store's objects.
    fn objects(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("store/nix/store")) else {
            return Vec::new();
        };
        let names =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

/// A tarball with one directory, in it files of the given names and contents.
fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = dir.path().join("top").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    let output = Command::new("tar")
        .args(["--mtime=@1700000000", "--sort=name", "-czf", "-", "top"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn forges_are_asked_for_commits_and_tarballs() {
    let tree = tarball(&[("file", "from a forge\n")]);
    let commit = format!("{{\"sha\":\"{REV}\"}}").into_bytes();
    let commits = format!("[{{\"id\":\"{REV}\"}}]").into_bytes();
    let refs = format!("{REV}\trefs/heads/main\n").into_bytes();
    let answers = [
        ("/api.github.com/repos/o/r/commits/HEAD".to_owned(), commit.clone()),
        (format!("/github.com/o/r/archive/{REV}.tar.gz"), tree.clone()),
        ("/own.example/api/v3/repos/o/r/commits/b".to_owned(), commit),
        (format!("/own.example/api/v3/repos/o/r/tarball/{REV}"), tree.clone()),
        (
            "/gitlab.com/api/v4/projects/o%2Fr/repository/commits?ref_name=b".to_owned(),
            commits,
        ),
        (
            format!(
                "/gitlab.com/api/v4/projects/o%2Fr/repository/archive.tar.gz?sha={REV}"
            ),
            tree.clone(),
        ),
        ("/git.sr.ht/~o/r/HEAD".to_owned(), b"ref: refs/heads/main\n".to_vec()),
        ("/git.sr.ht/~o/r/info/refs".to_owned(), refs),
        (format!("/git.sr.ht/~o/r/archive/{REV}.tar.gz"), tree),
    ];
    let server = Server::new(answers.clone().into());
    let bench = Bench::new(&[("forge-mirror", &server.address)]);
    let mut asked = Vec::new();
    for reference in [
        "type = \"github\"; owner = \"o\"; repo = \"r\";",
        "type = \"github\"; owner = \"o\"; repo = \"r\"; ref = \"b\"; host = \"own.example\";",
        "type = \"gitlab\"; owner = \"o\"; repo = \"r\"; ref = \"b\";",
        "type = \"sourcehut\"; owner = \"~o\"; repo = \"r\";",
    ] {
        let text = format!(
            "let t = builtins.fetchTree {{ {reference} }}; in \
             \"${{t.rev}} ${{t.shortRev}} ${{toString t.lastModified}} ${{builtins.readFile (t + \
             \"/file\")}}\""
        );
        let expected = format!("{REV} 0123456 1700000000 from a forge\n");
        assert_eq!(bench.eval(&text).unwrap(), expected);
        asked.extend(server.asked());
    }
    let expected: Vec<String> = answers.into_iter().map(|(path, _)| path).collect();
    assert_eq!(asked, expected);
    // What a commit has is believed for ever.
    let text = format!("(builtins.fetchTree \"github:o/r/{REV}\").outPath");
    assert!(bench.eval(&text).unwrap().ends_with("-source"));
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn failures_of_the_network_name_url_and_cause() {
    let server = Server::new(BTreeMap::new());
    let bench = Bench::new(&[("download-attempts", "1")]);
    let address = &server.address;
    for (text, url) in [
        (format!("builtins.fetchurl \"{address}/x\""), format!("{address}/x")),
        (
            format!("builtins.fetchTarball \"{address}/x.tar.gz\""),
            format!("{address}/x.tar.gz"),
        ),
        (
            format!("(fetchTree \"{address}/y.tar.gz\").outPath"),
            format!("{address}/y.tar.gz"),
        ),
    ] {
        let error = bench.fails(&text);
        assert!(error.contains(&url) && error.contains("404"), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = bench.fails(&format!("builtins.fetchurl \"http://{closed}/x\""));
    assert!(error.contains(&format!("http://{closed}/x")), "{error}");
    assert!(error.to_lowercase().contains("refused"), "{error}");
    let bench = Bench::new(&[("forge-mirror", address), ("download-attempts", "1")]);
    let error = bench.fails("(builtins.fetchTree \"github:o/r\").outPath");
    assert!(error.contains("/api.github.com/repos/o/r/commits/HEAD"), "{error}");
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[test]
fn wrong_hashes_give_both_and_keep_nothing() {
    let zero = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let tree = tarball(&[("file", "x\n")]);
    let answers = [
        ("/t.tar.gz".to_owned(), tree.clone()),
        ("/f".to_owned(), b"contents".to_vec()),
        (format!("/github.com/o/r/archive/{REV}.tar.gz"), tree),
    ];
    let server = Server::new(answers.into());
    let address = &server.address;
    let bench = Bench::new(&[("forge-mirror", address)]);
    let got = |error: &str| {
        let hash = error.rsplit(['\'', ' ']).find(|word| word.len() > 40);
        hash.unwrap_or_default().trim().to_owned()
    };
    for text in [
        format!("builtins.fetchurl {{ url = \"{address}/f\"; sha256 = \"{zero}\"; }}"),
        format!("fetchTarball {{ url = \"{address}/t.tar.gz\"; sha256 = \"{zero}\"; }}"),
    ] {
        let error = bench.fails(&text);
        assert!(error.contains("specified: sha256:0000000000"), "{error}");
        assert!(error.contains("got:       sha256:"), "{error}");
        assert!(!got(&error).contains("00000000000000000000"), "{error}");
    }
    for input in [
        format!("type = \"tarball\"; url = \"{address}/t.tar.gz\";"),
        format!("type = \"github\"; owner = \"o\"; repo = \"r\"; rev = \"{REV}\";"),
    ] {
        let text = format!("(fetchTree {{ {input} narHash = \"{zero}\"; }}).outPath");
        let error = bench.fails(&text);
        let words = format!("expected '{zero}' but got 'sha256-");
        assert!(error.contains("NAR hash mismatch in input"), "{error}");
        assert!(error.contains(&words), "{error}");
    }
    assert_eq!(bench.objects(), Vec::<String>::new());
    let right = bench.eval(&format!("fetchTarball \"{address}/t.tar.gz\"")).unwrap();
    assert!(right.ends_with("-source"));
}

#[test]
fn names_are_looked_up_in_registries() {
    let tree = tarball(&[("flake.nix", "{ outputs = _: { who = \"global\"; }; }")]);
    let server = Server::new([("/g.tar.gz".to_owned(), tree)].into());
    let registry = |from: &str, to: &str| {
        format!(
            "{{\"version\": 2, \"flakes\": [{{\"from\": {{\"type\": \"indirect\", \"id\": \
             \"{from}\"}}, \"to\": {to}}}]}}"
        )
    };
    let bench = Bench::new(&[]);
    let path = |name: &str| {
        format!("{{\"type\": \"path\", \"path\": \"{}\"}}", bench.path(name).display())
    };
    for who in ["user", "system"] {
        let text = format!("{{ outputs = _: {{ who = \"{who}\"; }}; }}");
        bench.write(&format!("{who}/flake.nix"), &text);
    }
    bench.write("home/.config/nix/registry.json", &registry("mine", &path("user")));
    bench.write("etc/registry.json", &registry("shared", &path("system")));
    assert_eq!(bench.flake("mine#who").unwrap(), "user");
    assert_eq!(bench.flake("flake:shared#who").unwrap(), "system");
    let error = bench.flake("nobody#who").unwrap_err().to_string();
    assert!(
        error.contains("cannot find flake 'flake:nobody' in the flake registries"),
        "{error}"
    );
    // What a flake says must mean the same for everybody.
    bench.write(
        "dependent/flake.nix",
        "{ inputs.mine.url = \"flake:mine\"; outputs = { self, mine }: { inherit (mine) who; }; }",
    );
    let error = bench.flake("./dependent#who").unwrap_err().to_string();
    assert!(error.contains("cannot find flake 'flake:mine'"), "{error}");
    let global = bench.path("global.json");
    let to =
        format!("{{\"type\": \"tarball\", \"url\": \"{}/g.tar.gz\"}}", server.address);
    fs::write(&global, registry("mine", &to)).unwrap();
    let other = Bench::new(&[("flake-registry", global.to_str().unwrap())]);
    fs::create_dir_all(other.path("d")).unwrap();
    fs::copy(bench.path("dependent/flake.nix"), other.path("d/flake.nix")).unwrap();
    assert_eq!(other.flake("./d#who").unwrap(), "global");
    let lock = fs::read_to_string(other.path("d/flake.lock")).unwrap();
    assert!(lock.contains("\"id\": \"mine\"") && lock.contains("/g.tar.gz"), "{lock}");
    // A registry that cannot be had is named, with the reason.
    let gone = format!("{}/registry.json", server.address);
    let other = Bench::new(&[("flake-registry", &gone), ("download-attempts", "1")]);
    let error = other.flake("mine#who").unwrap_err().to_string();
    assert!(error.contains(&gone) && error.contains("404"), "{error}");
}

#[test]
fn search_paths_may_name_tarballs() {
    let tree = tarball(&[("default.nix", "\"from the search path\"")]);
    let server = Server::new([("/p.tar.gz".to_owned(), tree)].into());
    let mut bench = Bench::new(&[]);
    let entry = format!("p={}/p.tar.gz", server.address);
    bench.engine.config.prepend_search_path(&[entry, "q=flake:mine".to_owned()]);
    assert_eq!(bench.eval("import <p>").unwrap(), "from the search path");
    bench.write("f/default.nix", "\"from a flake\"");
    let registry = format!(
        "{{\"version\": 2, \"flakes\": [{{\"from\": {{\"type\": \"indirect\", \"id\": \
         \"mine\"}}, \"to\": {{\"type\": \"path\", \"path\": \"{}\"}}}}]}}",
        bench.path("f").display()
    );
    bench.write("home/.config/picnix/registry.json", &registry);
    assert_eq!(bench.eval("import <q>").unwrap(), "from a flake");
}

#[test]
fn a_flake_is_a_set_that_is_written_out() {
    let bench = Bench::new(&[]);
    let error = |text: &str| {
        bench.write("x/flake.nix", text);
        bench.flake("./x#a").unwrap_err().to_string()
    };
    let must_be_set = "must be an attribute set";
    assert!(error("let a = 1; in { outputs = _: { }; }").contains(must_be_set));
    assert!(error("{ } // { outputs = _: { }; }").contains(must_be_set));
    assert!(error("1").contains(must_be_set));
    assert!(error("{ }").contains("lacks attribute 'outputs'"));
    assert!(
        error("{ outputs = 1; }").contains("expected a function but got an integer at")
    );
    let thunk = "expected a string but got a thunk at";
    assert!(error("{ description = \"a\" + \"b\"; outputs = _: { }; }").contains(thunk));
    let thunk = "expected a set but got a thunk at";
    assert!(error("{ inputs = { } // { }; outputs = _: { }; }").contains(thunk));
    let unsupported = "has an unsupported attribute 'other', at ";
    assert!(error("{ other = 1; outputs = _: { }; }").contains(unsupported));
    let setting = "flake configuration setting 'a' is a thunk";
    assert!(error("{ nixConfig.a = 1 + 1; outputs = _: { }; }").contains(setting));
    bench.write(
        "x/flake.nix",
        "{ nixConfig.a = [ \"x\" ]; outputs = _: { a = \"fine\"; }; }",
    );
    assert_eq!(bench.flake("./x#a").unwrap(), "fine");
}

#[test]
fn the_run_that_writes_the_lock_file_goes_on_with_the_tree_that_it_read() {
    let bench = Bench::new(&[]);
    bench.write("dep/flake.nix", "{ outputs = _: { }; }");
    bench.write(
        "top/flake.nix",
        &format!(
            "{{ inputs.dep.url = \"path:{}\"; outputs = {{ self, dep }}: {{ a = \"${{self}}\"; \
             locked = if builtins.pathExists (self + \"/flake.lock\") then \"yes\" else \"no\"; \
             }}; }}",
            bench.path("dep").display()
        ),
    );
    let again = || fs::remove_file(bench.path("top/flake.lock")).unwrap();
    assert_eq!(bench.flake("./top#locked").unwrap(), "no");
    assert_eq!(bench.flake("./top#locked").unwrap(), "yes");
    again();
    let first = bench.flake("./top#a").unwrap();
    let second = bench.flake("./top#a").unwrap();
    assert_ne!(first, second);
    again();
    // The real Nix, on the same files.
    if let Ok(prefix) = std::env::var("PICNIX_PEER_NIX") {
        for expected in [first, second] {
            let mut words = prefix.split_whitespace();
            let output = Command::new(words.next().unwrap())
                .args(words)
                .args(["nix", "eval", "--raw"])
                .arg(format!("path:{}#a", bench.path("top").display()))
                .current_dir(bench.path(""))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    }
}
