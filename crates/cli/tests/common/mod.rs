//! A place for running `picnix` in, where nothing of the machine and of its user is seen.
//!
//! The environment is cleared, home and store and temporary files lie in a directory of their own,
//! and there is no terminal. Text that differs from run to run is made equal before it is compared:
//! the directory is `$DIR`, the digest of a store path `<digest>`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The length of a store path's digest in letters.
const DIGEST_LETTERS: usize = 32;
/// What picnix never exits with unless it has a bug.
const PANIC_CODE: i32 = 101;
/// Variables without which a machine's network may be out of reach.
const NETWORK_VARIABLES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PICNIX_DEBIAN_MIRRORS",
];

/// The root of the source tree.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/cli lies two below the root").to_owned()
}

/// A directory with a home, a store, and files for one test.
pub(crate) struct TestEnvironment {
    dir: tempfile::TempDir,
    /// Where commands run, and where the test's files are.
    pub(crate) work: PathBuf,
    /// The store's root.
    pub(crate) store: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output, made equal from run to run.
    pub(crate) stdout: String,
    /// Standard error, made equal from run to run.
    pub(crate) stderr: String,
}

impl TestEnvironment {
    /// A new directory.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        Self::with_store(dir, store)
    }

    /// A new directory, but a store that other tests share and that stays between runs.
    pub(crate) fn sharing_store(name: &str) -> Self {
        let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self::with_store(tempfile::tempdir().unwrap(), store)
    }

    fn with_store(dir: tempfile::TempDir, store: PathBuf) -> Self {
        let work = dir.path().join("work");
        for name in ["work", "home", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, work, store }
    }

    /// The directory that holds everything.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the test.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A command that picnix's own is run by, or that is run as picnix is.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PICNIX_STORE", &self.store)
            // Tests that want a cache name one.
            .env("PICNIX_CONFIG", "substituters =")
            .current_dir(&self.work)
            .stdin(Stdio::null());
        command
    }

    /// A picnix command with these arguments.
    pub(crate) fn picnix<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.program(picnix());
        command.args(args);
        command
    }

    /// A picnix command that may use the network as the machine does.
    pub(crate) fn online<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.picnix(args);
        for name in NETWORK_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap_or_else(|error| {
            panic!("cannot run {}: {error}", command.get_program().display())
        });
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: self.equal(&output.stdout),
            stderr: self.equal(&output.stderr),
        };
        assert!(ran.code != PANIC_CODE && !ran.stderr.contains("panicked at"), "{ran:?}");
        ran
    }

    /// Runs picnix, which must succeed, and returns what it printed.
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let ran = self.run(&mut self.picnix(args));
        assert_eq!(ran.code, 0, "picnix {args:?}:\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs picnix, which must fail for what its user gave it, and returns what it said; its store
    /// must be sound after that.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let ran = self.run(&mut self.picnix(args));
        assert_eq!(ran.code, 1, "picnix {args:?}:\n{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "picnix {args:?}");
        self.assert_store_is_sound();
        ran.stderr
    }

    /// Every object is what the database says, and there is none that it does not know.
    pub(crate) fn assert_store_is_sound(&self) {
        let ran = self.run(&mut self.picnix(["store", "verify", "--check-contents"]));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.ends_with("the store is sound\n"), "{}", ran.stdout);
        let count =
            |text: &str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
        assert_eq!(count(&ran.stdout), self.objects().len(), "{:?}", self.objects());
    }

    /// The names of the store's objects, digests left out.
    pub(crate) fn objects(&self) -> Vec<String> {
        let dir = self.store.join("nix/store");
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .map(|name| name[DIGEST_LETTERS + 1..].to_owned())
            .collect();
        names.sort();
        names
    }

    /// Text without what differs from run to run.
    fn equal(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text).into_owned();
        let text = text.replace(self.dir.path().to_str().unwrap(), "$DIR");
        without_digests(&without_workspace(&text))
    }

    /// Adds a shell to the test's files; `sh.nix` makes a derivation that runs a script with it.
    pub(crate) fn add_shell(&self) {
        let dir = self.work.join("shell");
        fs::create_dir(&dir).unwrap();
        let linker = add_program(&dir, "sh") | add_program(&dir, "sleep");
        let (start, builder) = if linker {
            (r#""--library-path" "${shell}" "${shell}/sh""#, "${shell}/ld.so")
        } else {
            ("", "${shell}/sh")
        };
        let sleep = if linker {
            "${shell}/ld.so --library-path ${shell} ${shell}/sleep"
        } else {
            "${shell}/sleep"
        };
        self.write(
            "sh.nix",
            format!(
                r#"{{ name, script, ... }}@args:
let shell = ./shell; in
derivation (
  {{
    inherit name;
    system = builtins.currentSystem;
    builder = "{builder}";
    args = [ {start} "-euc" script ];
    sleep = "{sleep}";
  }}
  // removeAttrs args [ "name" "script" ]
)
"#
            ),
        );
    }
}

impl Drop for TestEnvironment {
    fn drop(&mut self) {
        // Objects of a store may not be written to, which keeps others than root from removing them.
        make_writable(self.dir.path());
    }
}

/// The program under test.
pub(crate) fn picnix() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_picnix"))
}

fn make_writable(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Digests of store paths become `<digest>`.
pub(crate) fn without_digests(text: &str) -> String {
    const STORE: &str = "/nix/store/";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(STORE) {
        let (before, after) = rest.split_at(at + STORE.len());
        out.push_str(before);
        let letters = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        rest = after;
        if letters == DIGEST_LETTERS {
            out.push_str("<digest>");
            rest = &after[DIGEST_LETTERS..];
        }
    }
    out + rest
}

/// Copies a program of the machine with its libraries; says whether it needs a dynamic linker.
fn add_program(dir: &Path, name: &str) -> bool {
    let program = fs::canonicalize(Path::new("/bin").join(name)).unwrap();
    copy(&program, &dir.join(name));
    let Some(linker) = interpreter(&fs::read(&program).unwrap()) else { return false };
    copy(&fs::canonicalize(&linker).unwrap(), &dir.join("ld.so"));
    let listed = Command::new(linker).arg("--list").arg(&program).output().unwrap();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        // `name => path (address)`
        if let Some((name, path)) = line.trim().split_once(" => ") {
            copy(Path::new(path.split(" (").next().unwrap()), &dir.join(name));
        }
    }
    true
}

fn copy(from: &Path, to: &Path) {
    if !to.exists() {
        fs::copy(from, to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The dynamic linker that a 64-bit little-endian ELF file names.
fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    const PROGRAM_INTERPRETER: [u8; 4] = [3, 0, 0, 0];
    let word = |at: usize| {
        usize::try_from(u64::from_le_bytes(elf[at..at + 8].try_into().unwrap())).unwrap()
    };
    let half =
        |at: usize| usize::from(u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()));
    let (table, size, count) = (word(32), half(54), half(56));
    let entry = (0..count)
        .map(|index| table + index * size)
        .find(|at| elf[*at..at + 4] == PROGRAM_INTERPRETER)?;
    let (offset, length) = (word(entry + 8), word(entry + 32));
    Some(PathBuf::from(OsStr::from_bytes(&elf[offset..offset + length - 1])))
}

/// Says that a test could not do its work here, where everyone sees it.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED: {test}: {reason}");
}

/// The workspace's path as `$SRC`, but not where it is the end of a longer path by chance.
fn without_workspace(text: &str) -> String {
    let workspace = workspace();
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(workspace.to_str().unwrap()) {
        let rest = part.strip_suffix(workspace.to_str().unwrap());
        let before = rest.unwrap_or(part).chars().next_back();
        match rest {
            Some(rest) if !before.is_some_and(char::is_alphanumeric) => {
                out.push_str(rest);
                out.push_str("$SRC");
            }
            _ => out.push_str(part),
        }
    }
    out
}
