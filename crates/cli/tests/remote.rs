//! Building on other machines and for them: picnix with picnix, and with the real Nix, both ways.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{TestEnvironment, picnix, skip};

/// A machine: a store of its own behind a program that speaks the protocol.
struct Far {
    store: PathBuf,
    program: PathBuf,
}

impl Far {
    /// picnix as `nix-daemon`, in a place that the real Nix can see too.
    fn new(env: &TestEnvironment) -> Self {
        let (store, bin) = (env.dir().join("far"), env.dir().join("bin"));
        fs::create_dir(&bin).unwrap();
        fs::copy(picnix(), bin.join("nix-daemon")).unwrap();
        let script = format!(
            "#!/bin/sh\nexec env PICNIX_STORE='{}' HOME='{}' PICNIX_CONFIG='substituters =' \
             '{}' \"$@\"\n",
            store.display(),
            env.dir().display(),
            bin.join("nix-daemon").display()
        );
        let program = bin.join("far-daemon");
        write_program(&program, &script);
        Self { store, program }
    }

    fn local_address(&self) -> String {
        format!("ssh-ng://localhost?remote-program={}", self.program.display())
    }

    fn ask(&self, env: &TestEnvironment, args: &[&str]) -> String {
        let mut command = env.picnix(args);
        let ran = env.run(command.env("PICNIX_STORE", &self.store));
        assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }
}

fn write_program(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn script(name: &str, text: &str) -> String {
    format!("import ./sh.nix {{ name = \"{name}\"; script = \"{text}\"; }}")
}

fn read_result(env: &TestEnvironment) -> String {
    env.succeeds(&["store", "cat", "result"])
}

/// A command in the real Nix, if there is one.
fn peer(test: &str, args: &[&str]) -> Option<Command> {
    let Ok(text) = std::env::var("PICNIX_PEER_NIX") else {
        skip(test, "PICNIX_PEER_NIX is not set");
        return None;
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(args);
    Some(command)
}

#[test]
fn a_machine_is_reached_by_ssh_and_builds() {
    let env = TestEnvironment::new();
    env.add_shell();
    let far = Far::new(&env);
    // As in Nix's own tests, ssh is a program that runs the command here.
    let fake = env.dir().join("bin/ssh");
    let log = env.dir().join("ssh.log");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n\
         exec sh -c \"$*\"\n",
        log.display()
    );
    write_program(&fake, &text);
    let builders = format!(
        "ssh-ng://me@far?remote-program={} - /key 2 1 big",
        far.program.display()
    );
    let expr = script("made", "echo working; echo made > $out");
    let mut command =
        env.picnix(["--option", "builders", &builders, "build", "-j0", "-E"]);
    let path = format!("{}:/usr/bin:/bin", env.dir().join("bin").display());
    command.arg(&expr).env("PATH", path).env("NIX_SSHOPTS", "-v -o X=y");
    let ran = env.run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("building made on 'ssh-ng://me@far"), "{}", ran.stderr);
    assert_eq!(read_result(&env), "made\n");
    let said = fs::read_to_string(log).unwrap();
    assert!(said.starts_with("me@far -x -v -o X=y -i /key -- "), "{said}");
    assert!(said.trim_end().ends_with("far-daemon --stdio"), "{said}");
    assert!(far.ask(&env, &["store", "verify", "--check-contents"]).contains("sound"));
    env.assert_store_is_sound();
}

#[test]
fn a_machine_that_is_not_there_is_told() {
    let env = TestEnvironment::new();
    env.add_shell();
    let build = |builders: &str, jobs: &str| {
        let expr = script("made", "echo made > $out");
        let args = ["--option", "builders", builders, "build", "-j", jobs, "-E", &expr];
        env.run(&mut env.picnix(args))
    };
    let gone = "exec:///no/such/program";
    let ran = build(gone, "0");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("failed to find a machine"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot open a connection"), "{}", ran.stderr);
    let ran = build(gone, "1");
    assert_eq!(ran.code, 0, "it is built here: {}", ran.stderr);
    let ran = build("http://nowhere", "1");
    assert!(ran.stderr.contains("invalid setting 'builders'"), "{}", ran.stderr);
}

#[test]
fn objects_are_copied_to_machines_and_back() {
    let env = TestEnvironment::new();
    env.write("tree/file", "contents\n");
    let far = Far::new(&env);
    let address = far.local_address();
    let path = env.run(&mut env.picnix(["store", "add", "tree"]));
    assert_eq!(path.code, 0);
    let added = env.picnix(["store", "add", "tree"]).output().unwrap().stdout;
    let path = String::from_utf8(added).unwrap().trim().to_owned();
    let copied = env.succeeds(&["store", "copy", "--to", &address, &path]);
    assert!(copied.starts_with("1 objects copied, "), "{copied}");
    assert_eq!(far.ask(&env, &["store", "cat", &format!("{path}/file")]), "contents\n");
    env.succeeds(&["store", "delete", &path]);
    env.succeeds(&["store", "copy", "--from", &address, &path]);
    assert_eq!(env.succeeds(&["store", "cat", &format!("{path}/file")]), "contents\n");
}

#[test]
fn the_real_daemon_builds_for_picnix() {
    let test = "the_real_daemon_builds_for_picnix";
    let env = TestEnvironment::new();
    env.add_shell();
    let Ok(nix) = std::env::var("PICNIX_PEER_NIX") else {
        return skip(test, "PICNIX_PEER_NIX is not set");
    };
    let program = env.dir().join("daemon");
    let root = env.dir().join("nix");
    let text = format!(
        "#!/bin/sh\ncd '{}'\nexec {nix} nix-daemon --stdio --store 'local?root={}' \
         --option sandbox true\n",
        env.dir().display(),
        root.display()
    );
    write_program(&program, &text);
    let builders = format!("exec://{} - - 2", program.display());
    let build = |expr: &str| {
        let args = ["--option", "builders", &builders, "build", "-j0", "-E", expr];
        env.run(&mut env.picnix(args))
    };
    let low = script("low", "echo compiling; echo low > $out");
    let top = format!(
        "import ./sh.nix {{ name = \"top\"; script = \"read x < $low; echo $x $low > $out\"; \
         low = {low}; }}"
    );
    let ran = build(&top);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(read_result(&env).starts_with("low /nix/store/"));
    env.assert_store_is_sound();
    let ran = build(&script("bad", "echo before; exit 7"));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("exit code 7"), "{}", ran.stderr);
    assert!(ran.stderr.contains("> before"), "{}", ran.stderr);
}

#[test]
fn picnix_builds_for_the_real_nix() {
    let test = "picnix_builds_for_the_real_nix";
    let env = TestEnvironment::new();
    env.add_shell();
    let far = Far::new(&env);
    let address = far.local_address();
    let low = script("low", "echo compiling; echo low > $out");
    let top = format!(
        "import ./sh.nix {{ name = \"top\"; script = \"read x < $low; echo $x > $out\"; \
         low = {low}; }}"
    );
    let root = format!("local?root={}", env.dir().join("nix").display());
    let builders = format!("{address} x86_64-linux - 1 1");
    let work = env.dir().join("work");
    let run = |args: &[&str]| -> Option<String> {
        let mut command = peer(test, args)?;
        let output = command.current_dir(&work).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        assert!(!args[0].contains("build") || errors.contains("compiling"), "{errors}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let there = ["nix-build", "--store", &address, "--no-out-link", "-E", &top];
    let Some(path) = run(&there) else { return };
    assert_eq!(far.ask(&env, &["store", "cat", &path]), "low\n");
    // The same again, with Nix's own store and us as the builder.
    let other = top.replace("\"low\"", "\"lower\"");
    let here = [
        "nix-build",
        "--store",
        &root,
        "--builders",
        &builders,
        "-j0",
        "--no-out-link",
        "-E",
        &other,
    ];
    let path = run(&here).unwrap();
    let real = env.dir().join("nix").join(path.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(real).unwrap(), "low\n");
    // Queries, a root, and an upload, by the commands that people use.
    let info = run(&["nix", "path-info", "--json", "--store", &address, &path]).unwrap();
    assert!(info.contains("narHash"), "{info}");
    let copy = ["nix", "copy", "--no-check-sigs", "--from", &root, "--to", &address];
    run(&[&copy[..], &[&*path]].concat()).unwrap();
    let ping = run(&["nix", "store", "info", "--store", &address]);
    assert!(ping.is_some());
    assert!(far.ask(&env, &["store", "verify", "--check-contents"]).contains("sound"));
}
