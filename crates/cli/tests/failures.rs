//! Builds, downloads, disks, databases and kernels that fail: the message names cause and next step,
//! and the store is sound afterwards.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::process::Command;

use crate::common::{Ran, TestEnvironment, picnix, skip};

/// The hash of nothing that these tests fetch.
const WRONG: &str = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn script(name: &str, script: &str) -> String {
    format!("import ./sh.nix {{ name = \"{name}\"; script = ''{script}''; }}")
}

fn fetch(urls: &str, hash: &str) -> String {
    format!(
        "derivation {{ name = \"thing\"; builder = \"builtin:fetchurl\"; system = \"builtin\"; \
         outputHashMode = \"flat\"; outputHash = \"{hash}\"; urls = \"{urls}\"; }}"
    )
}

#[test]
fn a_builder_that_fails_shows_the_end_of_its_log_and_how_to_see_the_rest() {
    let env = TestEnvironment::new();
    env.add_shell();
    let loop_ = "i=0; while [ $i -lt 40 ]; do i=$((i + 1)); echo line $i; done; exit 3";
    let said = env.fails(&["build", "-E", &script("bad", loop_)]);
    assert!(
        said.contains("error: Cannot build '/nix/store/<digest>-bad.drv'.\n"),
        "{said}"
    );
    assert!(said.contains("Reason: builder failed with exit code 3.\n"), "{said}");
    assert!(said.contains("> line 16\n") && said.contains("> line 40\n"), "{said}");
    assert!(!said.contains("> line 15\n"), "{said}");
    assert!(
        said.ends_with(
            "For full logs, run:\n  picnix store log /nix/store/<digest>-bad.drv\n"
        ),
        "{said}"
    );
    assert!(!env.work.join("result").exists());
    // The command that was shown does what it says.
    let drv = env.run(&mut env.picnix(["instantiate", "-E", &script("bad", loop_)]));
    assert_eq!(drv.code, 0);
    let drv = raw(&mut env.picnix(["instantiate", "-E", &script("bad", loop_)]));
    let log = env.succeeds(&["store", "log", drv.trim()]);
    assert_eq!(log.lines().count(), 40, "{log}");
    assert!(log.starts_with("line 1\n"), "{log}");
}

#[test]
fn a_builder_that_wants_a_tool_of_the_host_does_not_find_it_and_is_told_the_remedy() {
    let tool = ["git", "perl", "python3", "cc", "vi"].into_iter().find(|tool| {
        std::env::split_paths("/usr/bin:/bin").any(|dir| dir.join(tool).exists())
    });
    let Some(tool) = tool else {
        panic!("this machine has no tool that a build could want")
    };
    let env = TestEnvironment::new();
    env.add_shell();
    let wants = format!("PATH=/usr/bin:/bin:$PATH; {tool} --version; echo >$out");
    let said = env.fails(&["build", "-E", &script("wants-tool", &wants)]);
    assert!(said.contains(&format!("{tool}: not found\n")), "{said}");
    assert!(
        said.contains(&format!(
            "\nhint: a build sees no program of this machine: add the package that has '{tool}' \
             to nativeBuildInputs\n"
        )),
        "{said}"
    );
    assert!(said.contains("Reason: builder failed with exit code 127.\n"), "{said}");
}

/// Standard output as it is.
fn raw(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn what_needs_a_failed_derivation_is_counted_and_not_built() {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = format!(
        "import ./sh.nix {{ name = \"top\"; script = \"echo $low\"; low = {}; }}",
        script("low", "echo no; exit 1")
    );
    let said = env.fails(&["build", "-E", &expr]);
    insta::assert_snapshot!(said, @r"
    picnix: 0 files to fetch, 2 derivations to build
    building low
    error: Cannot build '/nix/store/<digest>-low.drv'.
    at $DIR/work/sh.nix:5:13:
         4|   {
         5|     inherit name;
          |             ^
         6|     system = builtins.currentSystem;
    Reason: builder failed with exit code 1.
    Last 1 log lines:
    > no
    For full logs, run:
      picnix store log /nix/store/<digest>-low.drv
    1 derivation that needs it was not built
    ");
}

#[test]
fn a_builder_that_makes_no_output_is_told_which() {
    let env = TestEnvironment::new();
    env.add_shell();
    let said = env.fails(&["build", "-E", &script("empty", ":")]);
    assert!(said.contains("failed to produce output path for output 'out' at '/nix/store/<digest>-empty'"), "{said}");
}

#[test]
fn a_hash_mismatch_shows_both_hashes_and_the_url_and_registers_nothing() {
    let env = TestEnvironment::new();
    let file = env.write("file.txt", "hello\n");
    let url = format!("file://{}", file.display());
    let said = env.fails(&["build", "-E", &fetch(&url, WRONG)]);
    insta::assert_snapshot!(said, @r#"
    picnix: 1 file to fetch, 0 derivations to build
    fetching thing
    error: Cannot build '/nix/store/<digest>-thing.drv'.
    Reason: hash mismatch in fixed-output derivation '/nix/store/<digest>-thing.drv':
      specified: sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
         got:    sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=
         from:   file://$DIR/work/file.txt
    hint: if what came is what you want, write the hash "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="
    "#);
    assert_eq!(env.objects(), ["thing.drv"]);
    // The hash that was shown is the one to write.
    let got = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=";
    env.succeeds(&["build", "--no-link", "-E", &fetch(&url, got)]);
}

#[test]
fn without_a_network_every_url_is_named_with_the_reason() {
    let env = TestEnvironment::new();
    let urls = "http://127.0.0.1:1/a http://127.0.0.1:2/b file:///nowhere/at/all";
    let said = env.fails(&["build", "-E", &fetch(urls, WRONG)]);
    insta::assert_snapshot!(said, @r#"
    picnix: 1 file to fetch, 0 derivations to build
    fetching thing
    error: Cannot build '/nix/store/<digest>-thing.drv'.
    Reason: unable to download 'http://127.0.0.1:1/a'; tried
      http://127.0.0.1:1/a: Connection refused (os error 111)
      http://127.0.0.1:2/b: Connection refused (os error 111)
      file:///nowhere/at/all: No such file or directory (os error 2)
    "#);
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let env = TestEnvironment::new();
    let expr = fetch("http://example.invalid/a", WRONG);
    let mut command = env.picnix(["build", "-E", &expr]);
    let ran = env.run(command.env("http_proxy", "http://127.0.0.1:1"));
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("'http://example.invalid/a': Connection refused"),
        "{ran:?}"
    );
}

#[test]
fn a_truncated_download_says_how_much_came() {
    let env = TestEnvironment::new();
    let port = serve_truncated();
    let url = format!("http://127.0.0.1:{port}/a");
    let said = env.fails(&["build", "-E", &fetch(&url, WRONG)]);
    assert!(said.contains(&format!("'{url}': download ended early: ")), "{said}");
    assert_eq!(env.objects(), ["thing.drv"]);
}

/// A server that promises 1000 bytes, sends 500 and hangs up, whatever it is asked. It ends with the
/// process.
fn serve_truncated() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            let _ = stream.write_all(&[b'x'; 500]);
        }
    });
    port
}

#[test]
fn a_store_of_a_newer_picnix_is_left_alone() {
    /// Where SQLite keeps `user_version` in its file.
    const VERSION_OFFSET: u64 = 60;
    let env = TestEnvironment::new();
    env.succeeds(&["store", "info"]);
    let database = find_database(&env);
    let mut file = fs::OpenOptions::new().read(true).write(true).open(&database).unwrap();
    let mut version = [0; 4];
    file.seek(SeekFrom::Start(VERSION_OFFSET)).unwrap();
    file.read_exact(&mut version).unwrap();
    let mut set = |value: [u8; 4]| {
        file.seek(SeekFrom::Start(VERSION_OFFSET)).unwrap();
        file.write_all(&value).unwrap();
    };
    set(9999_u32.to_be_bytes());
    for args in [&["store", "info"][..], &["store", "verify"], &["store", "gc"]] {
        let ran = env.run(&mut env.picnix(args));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.stderr.contains(
                "has schema version 9999, but this picnix knows only versions up to"
            ),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("\nhint: "), "{ran:?}");
    }
    set(version);
    env.assert_store_is_sound();
}

#[test]
fn objects_whose_database_is_gone_are_counted() {
    let env = TestEnvironment::new();
    env.write("file", "hello\n");
    env.succeeds(&["store", "add", "file"]);
    let folder = find_database(&env).parent().unwrap().to_owned();
    fs::remove_dir_all(folder).unwrap();
    let said = env.succeeds(&["store", "verify"]);
    assert!(
        said.starts_with("1 files that the database does not know; 'picnix store gc'"),
        "{said}"
    );
    env.succeeds(&["store", "gc"]);
    assert!(!env.succeeds(&["store", "verify"]).contains("does not know"));
}

/// What runs picnix with its store on a file system that cannot be written, and says how it ended.
const READ_ONLY: &str = r#"
mount --bind "$PICNIX_STORE" "$PICNIX_STORE"
mount -o remount,bind,ro "$PICNIX_STORE" || { echo 'cannot be mounted read-only'; exit 77; }
exec "$@"
"#;

#[test]
fn what_cannot_be_written_can_be_read() {
    let test = "what_cannot_be_written_can_be_read";
    let env = TestEnvironment::new();
    env.add_shell();
    env.write("file", "hello\n");
    env.write("other", "other\n");
    let expr = script("thing", "echo thing >$out");
    env.succeeds(&["build", "-E", &expr]);
    env.succeeds(&["store", "add", "file"]);
    let run = |args: &[&str]| in_namespace(&env, test, "-Urm", READ_ONLY, args);
    let read: [&[&str]; 6] = [
        &["store", "cat", "result"],
        &["store", "tree", "result"],
        &["store", "verify", "--check-contents"],
        &["store", "roots"],
        &["store", "info", "--json"],
        &["build", "--no-link", "-E", &expr],
    ];
    for args in read {
        let Some(ran) = run(args) else { return };
        if ran.code == 77 {
            return skip(test, &ran.stdout);
        }
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }
    let new = script("new", "echo new >$out");
    let write: [&[&str]; 4] = [
        &["store", "add", "other"],
        &["store", "gc"],
        &["store", "optimise"],
        &["build", "--no-link", "-E", &new],
    ];
    for args in write {
        let Some(ran) = run(args) else { return };
        assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("is open for reading only"), "{args:?}: {ran:?}");
    }
    env.assert_store_is_sound();
}

fn find_database(env: &TestEnvironment) -> std::path::PathBuf {
    let mut dirs = vec![env.store.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sqlite") {
                return path;
            }
        }
    }
    panic!("the store has no database");
}

/// Runs a shell script in a new user namespace, as its root; `$1` is picnix. Nothing where the
/// kernel makes none.
fn in_namespace(
    env: &TestEnvironment,
    test: &str,
    flags: &str,
    script: &str,
    args: &[&str],
) -> Option<Ran> {
    let unshare = |script: &str| {
        let mut command = env.program("unshare");
        command.args([flags, "sh", "-euc", script, "sh"]).arg(picnix()).args(args);
        command
    };
    if unshare("exit 0").output().map_or(true, |output| !output.status.success()) {
        skip(test, "'unshare' makes no user namespace here");
        return None;
    }
    Some(env.run(&mut unshare(script)))
}

#[test]
fn a_kernel_that_refuses_boxes_is_told_apart_by_its_setting() {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = script("thing", "echo >$out");
    let test = "a_kernel_that_refuses_boxes_is_told_apart_by_its_setting";
    let shell = "echo 0 >/proc/sys/user/max_user_namespaces\nexec \"$@\"";
    let args = ["build", "--no-link", "-E", &expr];
    let Some(ran) = in_namespace(&env, test, "-Ur", shell, &args) else { return };
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains(
            "cannot make the namespaces of a build box: the kernel setting \
             user.max_user_namespaces is 0; an administrator can permit it with \
             `sysctl -w user.max_user_namespaces="
        ),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains("No space left"), "{ran:?}");
    env.assert_store_is_sound();
    assert!(!env.objects().contains(&"thing".to_owned()));
}

/// What runs picnix with its store on a disk of 8 MB, and looks at the store afterwards.
const FULL_DISK: &str = r#"
mkdir "$PICNIX_STORE"
mount -t tmpfs -o size=8m none "$PICNIX_STORE" || { echo 'no tmpfs here'; exit 77; }
if "$@"; then echo 'it succeeded'; exit 1; else code=$?; fi
"$1" store verify --check-contents
exit "$code"
"#;

fn on_full_disk(test: &str, args: &[&str]) -> Option<(TestEnvironment, Ran)> {
    let env = TestEnvironment::new();
    env.add_shell();
    env.write("big", vec![b'x'; 20_000_000]);
    let ran = in_namespace(&env, test, "-Urm", FULL_DISK, args)?;
    if ran.code == 77 {
        skip(test, &ran.stdout);
        return None;
    }
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.ends_with(": the store is sound\n"), "{ran:?}");
    assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    Some((env, ran))
}

#[test]
fn a_full_disk_ends_an_add() {
    let args = ["store", "add", "big"];
    let Some((_env, ran)) = on_full_disk("a_full_disk_ends_an_add", &args) else {
        return;
    };
    assert!(ran.stderr.contains("error: cannot write '$DIR/store/"), "{ran:?}");
    assert!(ran.stderr.contains("\nhint: free some space"), "{ran:?}");
    assert!(ran.stdout.starts_with("0 objects checked"), "{ran:?}");
}

#[test]
fn a_full_disk_ends_a_build() {
    let endless = "while :; do echo 0123456789012345678901234567890123456789; done >$out";
    let args = ["build", "--no-link", "-E", &script("endless", endless)];
    on_full_disk("a_full_disk_ends_a_build", &args);
}

#[test]
fn a_full_disk_ends_a_download() {
    let Some(big) = std::env::current_exe().ok() else { return };
    // Anything larger than the disk will do.
    let url = format!("file://{}", big.display());
    if fs::metadata(&big).unwrap().len() < 9_000_000 {
        skip("a_full_disk_ends_a_download", "this program is too small");
        return;
    }
    let args = ["build", "--no-link", "-E", &fetch(&url, WRONG)];
    on_full_disk("a_full_disk_ends_a_download", &args);
}

#[test]
fn xml_of_a_set_within_itself_is_refused_before_it_is_written() {
    // In KiB of address space. The text up to the limit on depth has 400 million bytes.
    const LIMIT: usize = 350_000;
    let env = TestEnvironment::new();
    let mut command = env.program("sh");
    let limited = format!("ulimit -v {LIMIT}; exec \"$0\" eval -E \"$1\"");
    let program = "builtins.stringLength (builtins.toXML (let x = { a = x; }; in x))";
    command.args(["-c", &limited]).arg(picnix()).arg(program);
    let ran = env.run(&mut command);
    assert_eq!(ran.code, 1, "{ran:?}");
    let message = "error: stack overflow; max-call-depth exceeded\n";
    assert!(ran.stderr.contains(message), "{ran:?}");
}
