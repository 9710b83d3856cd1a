//! The language suite of NixOS/nix, `tests/functional/lang`, run through the binary as its `lang.sh` runs it.
//!
//! Runs where `PICNIX_NIX_SOURCE` names a source tree of Nix (tag 2.34.8 is the one that counts), and says
//! loudly that it does not run elsewhere. What a case prints is compared byte by byte; of a case that must fail,
//! the exit status and the last `error:` line with what follows it are compared, and whole reports are counted.
//! `nix_lang_suite.pending` lists the cases that do not pass yet: one that starts to pass must leave the list.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The cases that do not pass yet, one `name` a line; `#` begins a comment.
const PENDING: &str = include_str!("nix_lang_suite.pending");

/// The suite and a place for a store of our own.
struct Suite {
    /// The folder that holds `lang`, with its links resolved.
    folder: PathBuf,
    temp: tempfile::TempDir,
    program: PathBuf,
}

/// What came of a case.
struct Verdict {
    name: String,
    /// Nothing where it passes.
    problem: Option<String>,
    /// Whether the whole report of a case that must fail is Nix's.
    report_is_equal: bool,
}

impl Suite {
    fn find() -> Option<Self> {
        let Some(root) = std::env::var_os("PICNIX_NIX_SOURCE") else {
            println!("SKIPPED: PICNIX_NIX_SOURCE does not name a source tree of Nix");
            return None;
        };
        let source = Path::new(&root).join("tests/functional/lang");
        assert!(source.is_dir(), "there is no {}", source.display());
        let temp = tempfile::tempdir().unwrap();
        // The suite's folder must be writable for nobody, and its path short: a copy serves both.
        let folder = temp.path().canonicalize().unwrap().join("suite");
        copy(&source, &folder.join("lang"));
        let program = temp.path().join("nix-instantiate");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_picnix"), &program).unwrap();
        Some(Self { folder, temp, program })
    }

    /// The names of the cases that begin with a prefix.
    fn cases(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join("lang")).unwrap();
        let names =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with(prefix))
            .filter_map(|name| Some(name.strip_suffix(".nix")?.to_owned()))
            .collect();
        names.sort();
        names
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join("lang").join(format!("{name}.{extension}"))
    }

    /// The contents of a file beside a case, if there is one.
    fn read(&self, name: &str, extension: &str) -> Option<Vec<u8>> {
        fs::read(self.file(name, extension)).ok()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .current_dir(&self.folder)
            .env("HOME", self.temp.path().join("home"))
            .env("PICNIX_STORE", self.temp.path().join("store"))
            .env("NIX_STORE_DIR", "/nix/store")
            .env("TEST_VAR", "foo")
            .stdin(Stdio::null());
        command
    }

    /// The words of a file of flags; `#` begins a comment.
    fn flags(&self, name: &str) -> Option<Vec<String>> {
        let text = String::from_utf8(self.read(name, "flags")?).unwrap();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        Some(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
    }

    /// Output with the place of the suite made neutral.
    fn neutral(&self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        text.replace(self.folder.to_str().unwrap(), "/pwd").into_bytes()
    }

    // ---- the four kinds of cases ----------------------------------------------------------------

    fn parse(&self, name: &str) -> Output {
        let mut command = self.command();
        let source = File::open(self.file(name, "nix")).unwrap();
        command.args(["--parse", "-"]).stdin(source).output().unwrap()
    }

    fn parse_okay(&self, name: &str) -> Verdict {
        let output = self.parse(name);
        let problem = succeeded(&output)
            .or_else(|| differs(&output.stdout, self.read(name, "exp")))
            .or_else(|| differs(&output.stderr, self.read(name, "err.exp")));
        Verdict { name: name.into(), problem, report_is_equal: false }
    }

    fn parse_fail(&self, name: &str) -> Verdict {
        self.failure(name, &self.parse(name))
    }

    fn eval_fail(&self, name: &str) -> Verdict {
        let mut command = self.command();
        match self.flags(name) {
            Some(flags) => command.args(flags),
            None => command.args(["--eval", "--strict", "--show-trace"]),
        };
        // The suite's own init sets this one for every command.
        command.env("NIX_CONFIG", "show-trace = true");
        let output = command.arg(format!("lang/{name}.nix")).output().unwrap();
        self.failure(name, &output)
    }

    /// Judges a case that must fail.
    fn failure(&self, name: &str, output: &Output) -> Verdict {
        let mut found = self.neutral(&output.stderr);
        let expected = self.read(name, "err.exp").unwrap_or_default();
        if self.file(name, "postprocess").exists() {
            found = self.postprocess(name, &found);
        }
        let code = output.status.code();
        let problem = if code == Some(1) {
            differs(final_error(&found), Some(final_error(&expected).to_vec()))
        } else {
            Some(format!("ended with {:?}, not with exit status 1", output.status))
        };
        Verdict { name: name.into(), problem, report_is_equal: found == expected }
    }

    /// Runs a case's own script over its report.
    fn postprocess(&self, name: &str, report: &[u8]) -> Vec<u8> {
        let base = self.folder.join("lang").join(name);
        let file = self.file(name, "err");
        fs::write(&file, report).unwrap();
        let script = self.file(name, "postprocess");
        let ended = Command::new("bash").arg(script).arg(base).status().unwrap();
        assert!(ended.success(), "{name}: postprocessing ended with {ended}");
        fs::read(file).unwrap()
    }

    fn eval_okay(&self, name: &str) -> Verdict {
        let mut command = self.command();
        let file = format!("lang/{name}.nix");
        let (found, problem);
        if let Some(expected) = self.read(name, "exp.xml") {
            command.args(["--eval", "--xml", "--no-location", "--strict", &file]);
            found = command.output().unwrap();
            problem =
                succeeded(&found).or_else(|| differs(&found.stdout, Some(expected)));
        } else {
            command
                .env("NIX_PATH", "lang/dir3:lang/dir4")
                .env("HOME", "/fake-home")
                .args(self.flags(name).unwrap_or_default())
                .args(["--eval", "--strict", &file]);
            found = command.output().unwrap();
            let stderr = self.neutral(&found.stderr);
            problem = succeeded(&found)
                .or_else(|| differs(&self.neutral(&found.stdout), self.read(name, "exp")))
                .or_else(|| differs(&stderr, self.read(name, "err.exp")));
        }
        Verdict { name: name.into(), problem, report_is_equal: false }
    }

    /// Runs all cases of a kind on a few threads, and compares what fails with the list of what may.
    fn run(&self, prefix: &str, case: impl Fn(&str) -> Verdict + Sync) {
        let mut cases = self.cases(prefix);
        cases.retain(|name| !self.file(name, "exp-disabled").exists());
        assert!(!cases.is_empty(), "there are no cases {prefix}*");
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(name) = cases.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let verdict = case(name);
                        verdicts
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(verdict);
                    }
                });
            }
        });
        let mut verdicts = verdicts.into_inner().unwrap();
        verdicts.sort_by(|a, b| a.name.cmp(&b.name));
        judge(prefix, &verdicts);
    }
}

fn judge(prefix: &str, verdicts: &[Verdict]) {
    let pending: BTreeSet<&str> = PENDING
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| name.starts_with(prefix))
        .collect();
    let total = verdicts.len();
    let passed = verdicts.iter().filter(|verdict| verdict.problem.is_none()).count();
    print!("{prefix}*: {passed} of {total} pass");
    if prefix.contains("-fail-") {
        let reports = verdicts.iter().filter(|verdict| verdict.report_is_equal).count();
        print!(", {reports} with the whole report equal");
    }
    println!();
    let mut complaints = Vec::new();
    for Verdict { name, problem, report_is_equal } in verdicts {
        match problem {
            None if pending.contains(name.as_str()) => complaints
                .push(format!("{name} passes now: take it off nix_lang_suite.pending")),
            Some(problem) if pending.contains(name.as_str()) => {
                println!(
                    "pending: {name}: {}",
                    problem.lines().next().unwrap_or_default()
                );
            }
            Some(problem) => complaints.push(format!("{name}: {problem}")),
            None if prefix.contains("-fail-") && !report_is_equal => {
                println!("other trace: {name}");
            }
            None => {}
        }
    }
    for name in &pending {
        if !verdicts.iter().any(|verdict| verdict.name == *name) {
            complaints
                .push(format!("nix_lang_suite.pending names {name}, which is no case"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn succeeded(output: &Output) -> Option<String> {
    if output.status.success() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Some(format!("ended with {:?}: {stderr}", output.status))
}

/// What is different; a file of expectations that is not there expects nothing.
fn differs(found: &[u8], expected: Option<Vec<u8>>) -> Option<String> {
    let expected = expected.unwrap_or_default();
    if found == expected {
        return None;
    }
    let (found, expected) =
        (String::from_utf8_lossy(found), String::from_utf8_lossy(&expected));
    Some(format!("expected {expected:?}\n  but found {found:?}"))
}

/// From the last line that begins with `error:` on, without the place that may follow the message.
fn final_error(report: &[u8]) -> &[u8] {
    let mut start = 0;
    let mut from = 0;
    for line in report.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_start();
        let is_bare = text.trim_ascii_end() == b"error:";
        if text.starts_with(b"error:") && !is_bare {
            start = from + (line.len() - text.len());
        }
        from += line.len();
    }
    let message = &report[start..];
    let place = message.windows(10).position(|window| window == b"\n       at");
    message[..place.unwrap_or(message.len())].trim_ascii_end()
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            let link = fs::read_link(entry.path()).unwrap();
            std::os::unix::fs::symlink(link, target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn parse_okay() {
    let Some(suite) = Suite::find() else { return };
    suite.run("parse-okay-", |name| suite.parse_okay(name));
}

#[test]
fn parse_fail() {
    let Some(suite) = Suite::find() else { return };
    suite.run("parse-fail-", |name| suite.parse_fail(name));
}

#[test]
fn eval_okay() {
    let Some(suite) = Suite::find() else { return };
    suite.run("eval-okay-", |name| suite.eval_okay(name));
}

#[test]
fn eval_fail() {
    let Some(suite) = Suite::find() else { return };
    suite.run("eval-fail-", |name| suite.eval_fail(name));
}
