//! Tests of a process of root, run once more by one of an ordinary user.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// The user and group that root becomes.
const NOBODY: u32 = 65_534;

/// Where this is root: runs tests of this binary as an ordinary user and asserts that they pass.
///
/// # Panics
/// They do not, or cannot be run.
pub fn again_as_user(tests: &[&str]) {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let output = run_as_user(dir.path(), tests).expect("tests can be run as a user");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "as an ordinary user:\n{text}\n{errors}");
    assert!(text.contains(&format!("{} passed", tests.len())), "{text}");
}

/// The binary is copied to where any user can read it.
fn run_as_user(dir: &Path, tests: &[&str]) -> io::Result<Output> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    let exe = dir.join("test");
    fs::copy(std::env::current_exe()?, &exe)?;
    fs::set_permissions(&exe, Permissions::from_mode(0o755))?;
    let temp = dir.join("tmp");
    fs::create_dir(&temp)?;
    fs::set_permissions(&temp, Permissions::from_mode(0o777))?;
    let mut command = Command::new(&exe);
    command.args(tests).args(["--exact", "--nocapture"]).env("TMPDIR", &temp);
    command.current_dir("/").uid(NOBODY).gid(NOBODY).output()
}
