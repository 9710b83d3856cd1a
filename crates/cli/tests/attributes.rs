//! What attributes of derivations do to a build, beside the real Nix.
//!
//! Where `PICNIX_PEER_NIX` names a real Nix, it builds the same derivations in a store of its own: what succeeds must
//! give the same bytes, and what fails must fail for the same reason, in words that ours say, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{TestEnvironment, skip};

/// The derivations.
const PROGRAM: &str = include_str!("attributes.nix");

/// Those that can be built.
const GOOD: &[&str] = &[
    "pass-as-file",
    "graph",
    "structured",
    "environment",
    "local",
    "several",
    "good-references",
    "checks-that-hold",
];

/// Those that cannot, with the flags that they are built with, and a part of the reason.
const BAD: &[(&str, &[&str], &str)] = &[
    ("graph-in-another-folder", &[], "invalid file name '../graph'"),
    ("allowed-references", &[], "is not allowed to refer to the following paths"),
    (
        "allowed-references-without-itself",
        &[],
        "is not allowed to refer to the following paths",
    ),
    ("disallowed-references", &[], "is not allowed to refer to the following paths"),
    ("allowed-requisites", &[], "is not allowed to refer to the following paths"),
    ("disallowed-requisites", &[], "is not allowed to refer to the following paths"),
    ("unknown-output", &[], "contains output name 'lib'"),
    ("max-size", &[], "is too large at "),
    ("max-closure-size", &[], "is too large at "),
    ("checked-references", &[], "is not allowed to refer to the following paths"),
    ("checked-requisites", &[], "is not allowed to refer to the following paths"),
    ("required-feature", &[], "Required features: {moon}"),
    ("flat", &[], "hash mismatch in fixed-output derivation"),
    ("recursive", &[], "hash mismatch in fixed-output derivation"),
    ("no-output", &[], "failed to produce output path for output 'out' at "),
    (
        "endless",
        &["--option", "max-build-log-size", "1000"],
        "killed after writing more than 1000 bytes of log output",
    ),
    ("silent", &["--timeout", "1"], "timed out after 1 seconds"),
    ("silent", &["--max-silent-time", "1"], "timed out after 1 seconds"),
];

struct Both {
    env: TestEnvironment,
    peer: Option<Vec<String>>,
}

impl Both {
    fn new() -> Self {
        let env = TestEnvironment::new();
        env.add_shell();
        // How the shell is run is known from there.
        let made = std::fs::read_to_string(env.work.join("sh.nix")).unwrap();
        let uses_linker = made.contains("/ld.so");
        let (start, builder) = match uses_linker {
            true => ("[ \"--library-path\" \"${shell}\" \"${shell}/sh\" ]", "ld.so"),
            false => ("[ ]", "sh"),
        };
        env.write("start.nix", format!("shell: {start}\n"));
        env.write("builder.nix", format!("shell: \"${{shell}}/{builder}\"\n"));
        env.write("attributes.nix", PROGRAM);
        std::os::unix::fs::symlink(crate::common::picnix(), env.dir().join("nix-build"))
            .unwrap();
        let peer = std::env::var("PICNIX_PEER_NIX").ok();
        let peer = peer.map(|text| text.split_whitespace().map(str::to_owned).collect());
        Self { env, peer }
    }

    fn finish(&self, command: &mut Command, attr: &str, flags: &[&str]) -> Output {
        command.args(["attributes.nix", "--no-out-link", "-A", attr]).args(flags);
        command.current_dir(&self.env.work).output().unwrap()
    }

    fn ours(&self, attr: &str, flags: &[&str]) -> Output {
        let mut command = self.env.program(self.env.dir().join("nix-build"));
        self.finish(&mut command, attr, flags)
    }

    fn theirs(&self, attr: &str, flags: &[&str]) -> Option<Output> {
        let words = self.peer.as_ref()?;
        let store = format!("local?root={}", self.peer_root().display());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["nix-build", "--store", &store]);
        command.args(["--option", "sandbox", "true"]);
        Some(self.finish(&mut command, attr, flags))
    }

    fn peer_root(&self) -> PathBuf {
        self.env.dir().join("peer")
    }
}

/// The file that a build says it made, in the store of that root.
fn contents(root: &Path, output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = String::from_utf8(output.stdout.clone()).unwrap();
    let path = root.join(path.trim_end().trim_start_matches('/'));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn what_attributes_give_to_a_builder_is_what_nix_gives() {
    let both = Both::new();
    if both.peer.is_none() {
        skip("attributes", "PICNIX_PEER_NIX does not name a real Nix");
    }
    for attr in GOOD {
        let ours = contents(&both.env.store, &both.ours(attr, &[]));
        if let Some(theirs) = both.theirs(attr, &[]) {
            assert_eq!(ours, contents(&both.peer_root(), &theirs), "{attr}");
        }
    }
    both.env.assert_store_is_sound();
}

/// What of Nix's words must be in ours: the reason to the end of its line, and every path and hash behind it. Where it
/// names a file below Nix's own store, only the reason.
fn essence<'e>(errors: &'e str, part: &'e str, root: &Path) -> Vec<&'e str> {
    let root = root.to_str().unwrap();
    let lines = errors.lines().map(str::trim).skip_while(|line| !line.contains(part));
    let lines = lines.take_while(|line| !line.starts_with("Output paths:"));
    let is_said = |line: &&str| {
        let marks = [part, "sha256-"];
        line.starts_with("/nix/store/") || marks.iter().any(|mark| line.contains(mark))
    };
    let cut = |line: &'e str| match line.find(part) {
        Some(_) if line.contains(root) => part,
        Some(at) => &line[at..],
        None => line,
    };
    lines.filter(is_said).map(cut).collect()
}

#[test]
fn what_attributes_forbid_is_refused_in_the_words_of_nix() {
    let both = Both::new();
    for (attr, flags, part) in BAD {
        let ours = both.ours(attr, flags);
        let errors = String::from_utf8_lossy(&ours.stderr);
        assert!(!ours.status.success(), "{attr}: {errors}");
        assert!(errors.contains(part), "{attr}: {errors}");
        let Some(theirs) = both.theirs(attr, flags) else { continue };
        let expected = String::from_utf8_lossy(&theirs.stderr);
        assert_eq!(ours.status.code(), theirs.status.code(), "{attr}: {expected}");
        let essence = essence(&expected, part, &both.peer_root());
        assert!(!essence.is_empty(), "{attr}: {expected}");
        for line in essence {
            assert!(errors.contains(line), "{attr}: {line:?} is not in\n{errors}");
        }
    }
    both.env.assert_store_is_sound();
}
