//! `picnix store`: what goes in comes out, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::TestEnvironment;

/// A tree with every kind of file.
fn make_tree(env: &TestEnvironment) {
    env.write("tree/a.txt", "hello\n");
    let tool = env.write("tree/bin/tool", "#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(env.work.join("tree/a.txt"), fs::Permissions::from_mode(0o644))
        .unwrap();
    fs::create_dir(env.work.join("tree/empty")).unwrap();
    symlink("../a.txt", env.work.join("tree/bin/link")).unwrap();
}

/// Standard output, bytes as they are.
fn stdout(env: &TestEnvironment, args: &[&str]) -> Vec<u8> {
    let output = env.picnix(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn added(env: &TestEnvironment, name: &str) -> String {
    String::from_utf8(stdout(env, &["store", "add", name])).unwrap().trim_end().to_owned()
}

#[test]
fn an_added_tree_can_be_listed_read_dumped_and_restored() {
    let env = TestEnvironment::new();
    make_tree(&env);
    let path = added(&env, "tree");
    // What Nix calls the same tree; its name follows from its contents alone.
    assert_eq!(path, "/nix/store/dcxw205jv3d9ql8xj7s8l0m8ly6zv0ki-tree");
    assert_eq!(added(&env, "tree"), path);
    insta::assert_snapshot!(env.succeeds(&["store", "ls", "-lR", &path]), @r"
    -r--r--r--                    6 ./a.txt
    dr-xr-xr-x                    0 ./bin
    lrwxrwxrwx                    0 ./bin/link -> ../a.txt
    -r-xr-xr-x                   10 ./bin/tool
    dr-xr-xr-x                    0 ./empty
    ");
    assert_eq!(env.succeeds(&["store", "cat", &format!("{path}/a.txt")]), "hello\n");
    let nar = stdout(&env, &["store", "dump", &path]);
    assert_eq!(stdout(&env, &["store", "dump", "tree"]), nar);
    let file = env.write("tree.nar", &nar);
    let input = fs::File::open(file).unwrap();
    let ran = env.run(env.picnix(["store", "restore", "copy"]).stdin(input));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stdout(&env, &["store", "dump", "copy"]), nar);
    assert_eq!(
        fs::read_link(env.work.join("copy/bin/link")).unwrap(),
        Path::new("../a.txt")
    );
    env.assert_store_is_sound();
}

#[test]
fn info_knows_size_and_hash() {
    let env = TestEnvironment::new();
    env.write("file", "hello\n");
    let path = added(&env, "file");
    insta::assert_snapshot!(env.succeeds(&["store", "info", &path]), @r"
    /nix/store/<digest>-file
      lies at       $DIR/store/nix/store/<digest>-file
      NAR hash      sha256:04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw
      NAR size      120 bytes
      closure size  120 bytes
    ");
    let json: serde_json::Value =
        serde_json::from_slice(&stdout(&env, &["store", "info", "--json", &path]))
            .unwrap();
    assert_eq!(json[&path]["narSize"], 120);
    assert_eq!(json[&path]["references"], serde_json::json!([]));
    let json: serde_json::Value =
        serde_json::from_slice(&stdout(&env, &["store", "info", "--json"])).unwrap();
    assert_eq!(json["objects"], 1);
    assert_eq!(json["storeDir"], "/nix/store");
}

#[test]
fn a_flat_file_loses_its_executable_bit() {
    let env = TestEnvironment::new();
    let file = env.write("tool", "#!/bin/sh\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let out = stdout(&env, &["store", "add", "--flat", "--name", "other", "tool"]);
    let path = String::from_utf8(out).unwrap();
    assert!(path.ends_with("-other\n"), "{path}");
    let listed = env.succeeds(&["store", "ls", "-l", path.trim_end()]);
    assert!(listed.starts_with("-r--r--r-- "), "{listed}");
}

#[test]
fn what_a_link_protects_is_kept_and_the_rest_is_collected() {
    let env = TestEnvironment::new();
    env.add_shell();
    let kept = "import ./sh.nix { name = \"kept\"; script = \"echo hi >$out\"; }";
    env.succeeds(&["build", "-E", kept, "-o", "keeper"]);
    env.write("file", "x");
    let path = added(&env, "file");
    let roots = env.succeeds(&["store", "roots"]);
    assert!(roots.contains("$DIR/work/keeper -> /nix/store/<digest>-kept\n"), "{roots}");
    let dry = env.succeeds(&["store", "gc", "--dry-run"]);
    assert!(dry.contains("-file\n") && dry.contains("would be deleted"), "{dry}");
    assert!(env.objects().contains(&"file".to_owned()));
    env.succeeds(&["store", "gc"]);
    assert!(!env.objects().contains(&"file".to_owned()), "{:?}", env.objects());
    assert!(env.objects().contains(&"kept".to_owned()), "{:?}", env.objects());
    assert_eq!(env.succeeds(&["store", "cat", "keeper"]), "hi\n");
    let said = env.fails(&["store", "info", &path]);
    assert!(said.contains("is not valid"), "{said}");
    fs::remove_file(env.work.join("keeper")).unwrap();
    env.succeeds(&["store", "gc"]);
    assert_eq!(env.objects(), Vec::<String>::new());
    env.assert_store_is_sound();
}

#[test]
fn delete_removes_what_nothing_needs_and_refuses_the_rest() {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = "import ./sh.nix { name = \"x\"; script = \"echo hi >$out\"; }";
    env.succeeds(&["build", "-E", expr]);
    let said = env.fails(&["store", "delete", "result"]);
    assert!(said.contains("-x' since it is still alive: $DIR/work/result"), "{said}");
    env.write("file", "x");
    let path = added(&env, "file");
    assert!(env.succeeds(&["store", "delete", &path]).ends_with(" bytes freed\n"));
    assert!(!env.objects().contains(&"file".to_owned()));
}

/// Writes something else into a file of the store.
fn damage(env: &TestEnvironment, path: &str) {
    let physical = env.store.join(path.strip_prefix("/").unwrap());
    fs::set_permissions(&physical, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&physical, "HELLO\n").unwrap();
}

#[test]
fn verify_finds_what_was_changed_and_repair_makes_it_anew_or_names_it() {
    let env = TestEnvironment::new();
    env.write("file", "hello\n");
    let path = added(&env, "file");
    damage(&env, &path);
    let verify = ["store", "verify", "--check-contents"];
    let ran = env.run(&mut env.picnix(verify));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("modified: /nix/store/<digest>-file: "), "{ran:?}");
    assert!(
        ran.stderr.contains("hint: 'picnix store verify --check-contents --repair'"),
        "{ran:?}"
    );
    // Nobody has it, and nothing made it: it stays, until somebody wants it gone.
    let repair = ["store", "verify", "--check-contents", "--repair"];
    let ran = env.run(&mut env.picnix(repair));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("error: cannot repair path '/nix/store/<digest>-file': "),
        "{ran:?}"
    );
    assert_eq!(env.succeeds(&["store", "cat", &path]), "HELLO\n");
    let ran = env.run(env.picnix(repair).arg("--forget"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("forgotten: /nix/store/<digest>-file\n"), "{ran:?}");
    assert_eq!(env.run(&mut env.picnix(verify)).code, 0);
    assert_eq!(added(&env, "file"), path);
    assert_eq!(env.succeeds(&["store", "cat", &path]), "hello\n");
}

#[test]
fn a_build_that_was_damaged_is_built_again_when_asked_for() {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = "import ./sh.nix { name = \"x\"; script = \"echo hi >$out\"; }";
    let out = env.picnix(["build", "-E", expr]).output().unwrap().stdout;
    let path = String::from_utf8(out).unwrap().trim_end().to_owned();
    damage(&env, &path);
    env.succeeds(&["build", "-E", expr]);
    assert_eq!(env.succeeds(&["store", "cat", &path]), "HELLO\n");
    env.succeeds(&["build", "--repair", "-E", expr]);
    assert_eq!(env.succeeds(&["store", "cat", &path]), "hi\n");
    damage(&env, &path);
    let said = env.succeeds(&["store", "verify", "--check-contents", "--repair"]);
    assert!(said.contains("repaired: /nix/store/<digest>-x\n"), "{said}");
    env.assert_store_is_sound();
}

#[test]
fn gc_deletes_no_more_than_asked_for_and_says_what_kept_the_rest() {
    let env = TestEnvironment::new();
    env.add_shell();
    let build = |name: &str, link: &str| {
        let expr = format!(
            "import ./sh.nix {{ name = \"{name}\"; script = \"echo {name} >$out\"; }}"
        );
        env.succeeds(&["build", "-E", &expr, "-o", link]);
    };
    build("kept", "keeper");
    build("other", "gone");
    fs::remove_file(env.work.join("gone")).unwrap();
    for name in ["one", "two", "three"] {
        env.write(name, name.repeat(100_000));
        added(&env, name);
    }
    let dry = env.succeeds(&["store", "gc", "--dry-run", "--max", "1"]);
    assert!(dry.contains("kept by $DIR/work/keeper: "), "{dry}");
    assert!(dry.contains("\n1 objects of "), "{dry}");
    let count = env.objects().len();
    let said = env.succeeds(&["store", "gc", "--max", "1"]);
    assert!(said.contains("\n1 objects deleted, "), "{said}");
    assert_eq!(env.objects().len(), count - 1);
    env.assert_store_is_sound();
    // The two largest at least are needed for so much.
    env.succeeds(&["store", "gc", "--max", "500001"]);
    assert!(env.objects().len() < count - 1);
    env.assert_store_is_sound();
    let freed = env.succeeds(&["store", "gc"]);
    assert!(freed.contains(" bytes freed\n"), "{freed}");
    let objects = env.objects();
    assert!(objects.contains(&"kept".to_owned()), "{objects:?}");
    assert!(!objects.contains(&"one".to_owned()), "{objects:?}");
    assert_eq!(env.succeeds(&["store", "cat", "keeper"]), "kept\n");
}

#[test]
fn stores_of_others_are_refused_with_what_to_do() {
    let env = TestEnvironment::new();
    for place in ["daemon", "ssh-ng://host", "unix:///run/socket", "https://cache"] {
        let said = env.fails(&["store", "info", "--store", place]);
        assert!(said.contains(&format!("'{place}' cannot be the store: ")), "{said}");
        assert!(!env.work.join(place).exists());
    }
    let mut command = env.picnix(["store", "info"]);
    let ran = env.run(command.env("PICNIX_STORE", "daemon"));
    assert!(ran.code == 1 && ran.stderr.contains("'daemon' cannot be"), "{ran:?}");
    let ran = env.run(command.env("PICNIX_STORE", ""));
    assert!(ran.stdout.contains("$DIR/home/.local/share/picnix\n"), "{ran:?}");
    let root = format!("local?root={}/other", env.dir().display());
    env.write("file", "hello\n");
    env.succeeds(&["--store", &root, "store", "add", "file"]);
    assert!(env.dir().join("other/nix/store").is_dir());
    assert_eq!(env.objects(), Vec::<String>::new());
}

#[test]
fn paths_that_are_none_are_refused_by_name() {
    let env = TestEnvironment::new();
    let said = env.fails(&["store", "cat", "/nix/store/nope"]);
    assert!(said.contains("nope"), "{said}");
    let said = env.fails(&["store", "add", "nowhere"]);
    assert!(
        said.contains("$DIR/work/nowhere") && said.contains("No such file"),
        "{said}"
    );
    let said = env.fails(&["store", "info", "/tmp"]);
    assert!(said.contains("/tmp"), "{said}");
}

#[test]
fn garbage_is_no_nar() {
    let env = TestEnvironment::new();
    let file = env.write("garbage", [0xff; 100]);
    let input = fs::File::open(file).unwrap();
    let ran = env.run(env.picnix(["store", "restore", "copy"]).stdin(input));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert!(!env.work.join("copy").exists());
}

#[test]
fn many_processes_share_one_store() {
    let env = TestEnvironment::new();
    env.add_shell();
    let children: Vec<_> = (0..6)
        .map(|index| {
            let name = if index % 2 == 0 { "even" } else { "odd" };
            let expr = format!(
                "import ./sh.nix {{ name = \"{name}\"; script = ''echo {name} >$out''; }}"
            );
            let args = ["build", "--no-link", "-E", &expr];
            let mut command = env.picnix(args);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut paths = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        paths.push(String::from_utf8(output.stdout).unwrap());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 2, "{paths:?}");
    env.assert_store_is_sound();
}
