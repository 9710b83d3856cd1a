//! Ctrl-C during a build: every child ends, and nothing half-made stays.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::TestEnvironment;

/// Runs a build that never ends, sends it a signal, and returns its exit code and what it said.
fn interrupted(signal: Signal, nap: &str) -> (TestEnvironment, Option<i32>, String) {
    let env = TestEnvironment::new();
    env.add_shell();
    let expr = format!(
        "import ./sh.nix {{ name = \"slow\"; script = ''echo half >$out; echo sleeping; $sleep \
         {nap}''; }}"
    );
    let mut child = env
        .picnix(["build", "--no-link", "--log-format", "json", "-E", &expr])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("sleeping") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the build did not start");
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    (env, status.code(), said)
}

/// Whether any process was started with an argument.
fn is_running(argument: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0).any(|a| a == argument.as_bytes())
        })
    })
}

fn assert_nothing_is_left(env: &TestEnvironment, nap: &str) {
    assert!(!is_running(nap), "the builder lives on");
    env.assert_store_is_sound();
    assert!(!env.objects().contains(&"slow".to_owned()), "{:?}", env.objects());
}

#[test]
fn control_c_ends_the_builder_and_leaves_nothing_half_made() {
    // A duration that no other process sleeps for.
    let nap = format!("7{:07}", std::process::id());
    let (env, code, said) = interrupted(Signal::INT, &nap);
    assert!(code.is_some_and(|code| code != 0 && code != 101), "{code:?}: {said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_nothing_is_left(&env, &nap);
    // What was stopped can be done again.
    let ran = env.run(&mut env.picnix(["store", "gc"]));
    assert_eq!(ran.code, 0);
}

#[test]
fn a_request_to_terminate_does_the_same() {
    let nap = format!("8{:07}", std::process::id());
    let (env, code, _) = interrupted(Signal::TERM, &nap);
    assert!(code.is_some_and(|code| code != 0 && code != 101), "{code:?}");
    assert_nothing_is_left(&env, &nap);
}

#[test]
fn a_killed_picnix_takes_its_builders_with_it() {
    let nap = format!("9{:07}", std::process::id());
    let (env, code, _) = interrupted(Signal::KILL, &nap);
    assert_eq!(code, None);
    // The box dies with its parent; the kernel may take a moment for that.
    while is_running(&nap) {
        std::thread::yield_now();
    }
    // What the dead one left is cleared by the next, and was never valid.
    env.succeeds(&["store", "gc"]);
    assert_nothing_is_left(&env, &nap);
}
