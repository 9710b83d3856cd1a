//! The test suite of nix-community/nixpkgs.lib: `lib/tests`, `lib/path/tests` and `lib/fileset/tests.sh`.
//!
//! Runs where `PICNIX_NIXPKGS_LIB` names a checkout, and says loudly that it does not run elsewhere. The shell
//! scripts there call `nix-instantiate`, which is a link to picnix here. Some of them enter what they have added to
//! the store: picnix runs for them in a user namespace whose root has a `/nix/store` of its own, with
//! `PICNIX_STORE=/`, as for a user who owns that folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{picnix, skip};

/// Lays out a root in a folder, with the machine's own folders and a `/nix/store` that is empty, and runs a
/// command there.
const IN_A_ROOT: &str = r#"
set -eu
root=$1
shift
for entry in /*; do
  name=${entry#/}
  if [ "$name" = nix ]; then
    continue
  elif [ -L "$entry" ]; then
    cp -P "$entry" "$root/$name"
  elif [ -d "$entry" ]; then
    mkdir "$root/$name"
    mount --rbind "$entry" "$root/$name"
  fi
done
mkdir -p "$root/nix/store"
exec chroot "$root" "$@"
"#;

/// Where the store of a script is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreAt {
    Home,
    ItsLogicalPlace,
}

fn suite() -> Option<PathBuf> {
    let found = std::env::var_os("PICNIX_NIXPKGS_LIB").map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED: PICNIX_NIXPKGS_LIB does not name a checkout of nixpkgs.lib");
    }
    found
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

/// Evaluates a file of the suite whose value says that no test has failed.
fn no_test_of_file_fails(file: &str, wanted: &str) {
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
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{wanted}\n"), "{file}");
}

/// Whether a process may make namespaces here.
fn may_unshare() -> bool {
    let probe = ["--user", "--map-root-user", "--mount", "true"];
    Command::new("unshare").args(probe).status().is_ok_and(|status| status.success())
}

/// Runs a script of the suite, with picnix where it calls `nix-instantiate`.
fn script_passes(file: &str, place: StoreAt) -> String {
    let Some(root) = suite() else { return String::new() };
    if place == StoreAt::ItsLogicalPlace && !may_unshare() {
        skip(file, "user namespaces cannot be made here");
        return String::new();
    }
    let home = tempfile::tempdir().unwrap();
    let (bin, store) = (home.path().join("bin"), home.path().join("root"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&store).unwrap();
    std::os::unix::fs::symlink(picnix(), bin.join("nix-instantiate")).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut nix_path = OsString::from("nixpkgs=");
    nix_path.push(&root);
    let mut running = match place {
        StoreAt::Home => command("bash", home.path()),
        StoreAt::ItsLogicalPlace => {
            let mut running = command("unshare", home.path());
            let words = ["--user", "--map-root-user", "--mount", "sh", "-c"];
            running.args(words).args([IN_A_ROOT, "sh"]).arg(&store).arg("bash");
            running.env("PICNIX_STORE", "/");
            running
        }
    };
    let output = running
        .arg(root.join(file))
        .env("PATH", path)
        .env("NIX_PATH", nix_path)
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
    no_test_of_file_fails("lib/tests/misc.nix", "[ ]");
}

#[test]
fn systems_has_no_failures() {
    no_test_of_file_fails("lib/tests/systems.nix", "[ ]");
}

#[test]
fn fetchers_has_no_failures() {
    no_test_of_file_fails("lib/tests/fetchers.nix", "[ ]");
}

#[test]
fn path_units_have_no_failures() {
    no_test_of_file_fails("lib/path/tests/unit.nix", "null");
}

#[test]
fn modules_pass() {
    if suite().is_some() {
        let shown = script_passes("lib/tests/modules.sh", StoreAt::Home);
        assert!(shown.contains("407 Pass") && shown.contains("0 Fail"), "{shown}");
    }
}

#[test]
fn filesystem_passes() {
    script_passes("lib/tests/filesystem.sh", StoreAt::Home);
}

#[test]
fn debug_passes() {
    script_passes("lib/tests/debug.sh", StoreAt::Home);
}

#[test]
fn network_passes() {
    script_passes("lib/tests/network.sh", StoreAt::Home);
}

#[test]
fn sources_pass() {
    script_passes("lib/tests/sources.sh", StoreAt::ItsLogicalPlace);
}

#[test]
fn filesets_pass() {
    script_passes("lib/fileset/tests.sh", StoreAt::ItsLogicalPlace);
}

#[test]
fn properties_of_paths_hold() {
    script_passes("lib/path/tests/prop.sh", StoreAt::Home);
}
