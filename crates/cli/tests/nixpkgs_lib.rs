//! The test suite of nix-community/nixpkgs.lib: `lib/tests` and `lib/path/tests`.
//!
//! Runs where `PICNIX_NIXPKGS_LIB` names a checkout, and says loudly that it does not run elsewhere. The shell
//! scripts there call `nix-instantiate`: a script of that name is laid in front of `PATH`, which passes the
//! flags that they use on to `picnix eval`. `sources.sh` and `lib/fileset/tests.sh` are not among them: they look
//! into the store at `/nix/store`, where a test must not write.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that runs programs and tells what it found"
)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Stands for `nix-instantiate` in the suite's scripts. Their time limit of a second is for builds.
const NIX_INSTANTIATE: &str = r#"#!/bin/sh
count=$#
skip=
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $skip$argument in
    --eval | --eval-only | --read-write-mode) ;;
    --timeout | --option) skip=value- ;;
    value-abort-on-warn) set -- "$@" --abort-on-warn; skip=setting- ;;
    value-* | setting-*) skip= ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "$PICNIX_UNDER_TEST" eval "$@"
"#;

fn suite() -> Option<PathBuf> {
    let found = std::env::var_os("PICNIX_NIXPKGS_LIB").map(PathBuf::from);
    if found.is_none() {
        println!("SKIPPED: PICNIX_NIXPKGS_LIB does not name a checkout of nixpkgs.lib");
    }
    found
}

fn picnix() -> &'static str {
    env!("CARGO_BIN_EXE_picnix")
}

/// A command with an environment of its own, whose store lies in `home`.
fn command(program: impl Into<OsString>, home: &Path) -> Command {
    let mut command = Command::new(program.into());
    command.env_clear().env("HOME", home).env("PICNIX_STORE", home.join("store"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Evaluates a file of the suite whose value lists the failed tests.
fn no_test_of_file_fails(file: &str) {
    let Some(root) = suite() else { return };
    let libpath = root.join("lib").display().to_string();
    let home = tempfile::tempdir().unwrap();
    let output = command(picnix(), home.path())
        .args(["eval", "--strict"])
        .arg(root.join(file))
        .args(["--arg", "libpath", &libpath])
        .output()
        .unwrap();
    assert!(output.status.success(), "{file}: {}", show(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[ ]\n", "{file}");
}

/// Runs a script of the suite, with picnix where it calls `nix-instantiate`.
fn script_passes(file: &str) -> String {
    let Some(root) = suite() else { return String::new() };
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let tool = bin.join("nix-instantiate");
    fs::write(&tool, NIX_INSTANTIATE).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut nix_path = OsString::from("nixpkgs=");
    nix_path.push(&root);
    let output = command("bash", home.path())
        .arg(root.join(file))
        .env("PATH", path)
        .env("NIX_PATH", nix_path)
        .env("PICNIX_UNDER_TEST", picnix())
        .env("TEST_LIB", root.join("lib"))
        .current_dir(home.path())
        .output()
        .unwrap();
    let shown = show(&output);
    assert!(output.status.success(), "{file} fails:\n{shown}");
    shown
}

#[test]
fn misc_has_no_failures() {
    no_test_of_file_fails("lib/tests/misc.nix");
}

#[test]
fn systems_has_no_failures() {
    no_test_of_file_fails("lib/tests/systems.nix");
}

#[test]
fn fetchers_has_no_failures() {
    no_test_of_file_fails("lib/tests/fetchers.nix");
}

#[test]
fn path_units_have_no_failures() {
    no_test_of_file_fails("lib/path/tests/unit.nix");
}

#[test]
fn modules_pass() {
    if suite().is_some() {
        let shown = script_passes("lib/tests/modules.sh");
        assert!(shown.contains("407 Pass") && shown.contains("0 Fail"), "{shown}");
    }
}

#[test]
fn filesystem_passes() {
    script_passes("lib/tests/filesystem.sh");
}

#[test]
fn debug_passes() {
    script_passes("lib/tests/debug.sh");
}

#[test]
fn network_passes() {
    script_passes("lib/tests/network.sh");
}
