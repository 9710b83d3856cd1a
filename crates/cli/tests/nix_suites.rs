//! The suites that are written in Nix, run by picnix itself.
//!
//! `tests/tree/*.nix` and `tests/lib/*.nix` evaluate to the list of their failures. `tests/lib/run.sh`
//! runs the latter, the messages and the examples of `lib`'s comments with anything that can be called as
//! `nix-instantiate`, as picnix can.

use std::fs;

use crate::common::{TestEnvironment, picnix, workspace};

#[test]
fn the_suites_of_the_tree_pass() {
    let env = TestEnvironment::new();
    let mut count = 0;
    for entry in fs::read_dir(workspace().join("tests/tree")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "nix") {
            continue;
        }
        let ran = env.run(&mut env.picnix([
            "eval".as_ref(),
            "--strict".as_ref(),
            path.as_os_str(),
        ]));
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "[ ]\n"),
            "{}: {ran:?}",
            path.display()
        );
        count += 1;
    }
    assert!(count >= 2, "only {count} suites were found");
}

#[test]
fn the_suites_of_the_library_pass() {
    let env = TestEnvironment::new();
    let evaluator = env.work.join("nix-instantiate");
    std::os::unix::fs::symlink(picnix(), &evaluator).unwrap();
    let mut command = env.program("sh");
    command.arg(workspace().join("tests/lib/run.sh")).env("NIX_INSTANTIATE", &evaluator);
    let ran = env.run(&mut command);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for suite in ["modules.nix", "library.nix", "messages/conflict.nix", "doc comments"] {
        assert!(ran.stdout.contains(&format!("ok    {suite}")), "{}", ran.stdout);
    }
}
