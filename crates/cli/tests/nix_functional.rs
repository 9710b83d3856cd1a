//! Scripts of NixOS/nix, `tests/functional`, run with links to the binary under the names of Nix's commands.
//!
//! Runs where `PICNIX_NIX_SOURCE` names a source tree of Nix (tag 2.34.8 is the one that counts), and says loudly
//! that it does not run elsewhere. The scripts are run as they are; `tests/functional` has what stands in for the
//! files that Nix's build system makes for them. `nix_functional.scripts` lists those that use `nix-build`,
//! `nix-store`, `nix-instantiate` and `nix-hash` on a store, and says of some why they do not pass: one that starts
//! to pass must lose that.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{picnix, workspace};

/// `NAME`, or `NAME: why it does not pass`, a line; `#` begins a comment.
const SCRIPTS: &str = include_str!("nix_functional.scripts");
/// The names that the scripts call the binary by.
const NAMES: &[&str] = &["nix-build", "nix-hash", "nix-instantiate", "nix-store"];
/// Those whose filters need jq 1.7, which not every machine has yet.
const NEEDS_NEW_JQ: &[&str] = &["fixed"];
/// What a script ends with that cannot run here.
const SKIPPED: i32 = 77;
/// How long a script may take.
const SECONDS: &str = "120";
/// The user that root runs them as.
const NOBODY: u32 = 65_534;

/// The suite with our own files in it.
struct Suite {
    folder: PathBuf,
    bin: PathBuf,
    temp: tempfile::TempDir,
}

impl Suite {
    fn find() -> Option<Self> {
        let Some(root) = std::env::var_os("PICNIX_NIX_SOURCE") else {
            println!("SKIPPED: PICNIX_NIX_SOURCE does not name a source tree of Nix");
            return None;
        };
        let temp = tempfile::tempdir().unwrap();
        let here = temp_path(&temp);
        let (folder, bin) = (here.join("functional"), here.join("bin"));
        copy(&Path::new(&root).join("tests/functional"), &folder);
        let own = workspace().join("tests/functional");
        for name in ["common.sh", "config.nix"] {
            fs::copy(own.join(name), folder.join(name)).unwrap();
        }
        fs::create_dir(&bin).unwrap();
        fs::copy(own.join("nix"), bin.join("nix")).unwrap();
        // A copy, since an ordinary user may not reach the original.
        fs::copy(picnix(), bin.join("picnix")).unwrap();
        for name in NAMES {
            symlink("picnix", bin.join(name)).unwrap();
        }
        let places = "bash=/bin/bash bindir=$BIN coreutils=/usr/bin dot= busybox= version=2.34.8\n\
                      system=$(uname -m)-linux\n";
        fs::write(folder.join("common/subst-vars.sh"), places).unwrap();
        let suite = Self { folder, bin, temp };
        Self::give_to_user(&here);
        Some(suite)
    }

    /// Where this is root: makes the user that runs the scripts the owner of a folder.
    fn give_to_user(folder: &Path) {
        if is_root() {
            let mut command = Command::new("chown");
            command.args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(folder);
            assert!(command.status().unwrap().success());
        }
    }

    /// Runs a script; what is wrong, if it does not pass.
    fn problem(&self, name: &str) -> Option<String> {
        let root = temp_path(&self.temp).join(name);
        fs::create_dir(&root).unwrap();
        Self::give_to_user(&root);
        let mut command = Command::new("timeout");
        command
            .env_clear()
            .args([SECONDS, "bash"])
            .arg(format!("{name}.sh"))
            .current_dir(&self.folder)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TEST_ROOT", &root)
            .env("TMPDIR", &root)
            .env("HOME", root.join("home"))
            .env("BIN", &self.bin)
            .env("FUNCTIONAL", &self.folder)
            .env("_NIX_TEST_BUILD_DIR", &self.folder)
            .env("_NIX_TEST_SOURCE_DIR", &self.folder)
            .stdin(Stdio::null());
        if is_root() {
            // The scripts expect that what is read-only cannot be written.
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        let code = output.status.code();
        if code == Some(0) {
            return None;
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if let Some(dir) = std::env::var_os("PICNIX_KEEP_LOGS") {
            fs::write(Path::new(&dir).join(name), &text).unwrap();
        }
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n  ");
        let what = if code == Some(SKIPPED) { "was skipped" } else { "failed" };
        Some(format!("{what}:\n  {last}"))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether the machine's jq is at least 1.7.
fn has_new_jq() -> bool {
    let version = Command::new("jq").arg("--version").output();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let numbers = text.trim().strip_prefix("jq-").and_then(|text| text.split_once('.'));
    numbers.is_some_and(|(major, minor)| {
        let minor = minor.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        (major.parse::<u32>().ok(), minor.parse::<u32>().ok()) >= (Some(1), Some(7))
    })
}

fn temp_path(temp: &tempfile::TempDir) -> PathBuf {
    temp.path().canonicalize().unwrap()
}

/// Copies a folder with what is in it, writable.
fn copy(from: &Path, to: &Path) {
    let output =
        Command::new("cp").args(["-r", "--no-preserve=mode"]).arg(from).arg(to).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    // Some of the scripts are builders.
    let mode = Command::new("chmod").args(["-R", "a+rx"]).arg(to).status().unwrap();
    assert!(mode.success());
}

/// The scripts with why they do not pass, if they do not.
fn scripts() -> Vec<(&'static str, Option<&'static str>)> {
    let lines =
        SCRIPTS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let named = lines.filter(|line| !line.is_empty());
    named
        .map(|line| match line.split_once(':') {
            Some((name, why)) => (name, Some(why.trim())),
            None => (line, None),
        })
        .collect()
}

#[test]
fn scripts_of_nix_pass() {
    let Some(suite) = Suite::find() else { return };
    let mut scripts = scripts();
    if !has_new_jq() {
        println!("SKIPPED: {NEEDS_NEW_JQ:?}, which need jq 1.7");
        scripts.retain(|(name, _)| !NEEDS_NEW_JQ.contains(name));
    }
    let only = std::env::var("PICNIX_SCRIPTS").ok();
    let wanted = |name: &str| {
        only.as_ref().is_none_or(|names| names.split(' ').any(|other| other == name))
    };
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, pending)) =
                    scripts.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if wanted(name) {
                        let problem = suite.problem(name);
                        found.lock().unwrap().push((*name, *pending, problem));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    let passed = found.iter().filter(|(_, _, problem)| problem.is_none()).count();
    println!("{passed} of {} scripts pass", found.len());
    let complaints: Vec<String> = found
        .into_iter()
        .filter_map(|(name, pending, problem)| match (pending, problem) {
            (None, None) => None,
            (Some(why), Some(_)) => {
                println!("pending: {name}: {why}");
                None
            }
            (Some(_), None) => Some(format!("{name} passes now: say so in the list")),
            (None, Some(problem)) => Some(format!("{name} {problem}")),
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
