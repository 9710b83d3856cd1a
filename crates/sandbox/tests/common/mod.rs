//! The test binary as its own builder.
//!
//! No compiler, shell or static program can be taken for granted on the machine that runs the
//! tests, but the test binary itself can: its shared libraries are those that this process has
//! mapped. They are copied into a root tree, and the box executes the binary again with the name of
//! a test, which finds in `PICNIX_INSIDE` what to do.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use picnix_sandbox::{BoxSpec, Exit, Input, Limits, Network, start};
use picnix_testkit::interpreter;

/// A place for boxes, with a root tree that can run this binary.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) tree: PathBuf,
    pub(crate) exe: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let exe = dir.path().join("store/00000000000000000000000000000000-exe");
        fs::create_dir_all(exe.parent().unwrap()).unwrap();
        let own = std::env::current_exe().unwrap();
        fs::copy(&own, &exe).unwrap();
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o555)).unwrap();
        fs::create_dir_all(tree.join("lib")).unwrap();
        for library in mapped_libraries() {
            fs::copy(&library, tree.join("lib").join(library.file_name().unwrap()))
                .unwrap();
        }
        if let Some(interpreter) = interpreter(&fs::read(&own).unwrap()) {
            let place = tree.join(interpreter.strip_prefix("/").unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(fs::canonicalize(&interpreter).unwrap(), place).unwrap();
        }
        Self { dir, tree, exe }
    }

    /// A box that runs the test `inside` with `PICNIX_INSIDE` set to `what`.
    pub(crate) fn spec(&self, name: &str, what: &str) -> BoxSpec {
        let work_dir = self.dir.path().join(name);
        fs::create_dir(&work_dir).unwrap();
        let logical = Path::new("/nix/store").join(self.exe.file_name().unwrap());
        BoxSpec {
            work_dir,
            store_dir: "/nix/store".into(),
            inputs: vec![Input { physical: self.exe.clone(), logical: logical.clone() }],
            root_tree: Some(self.tree.clone()),
            host_paths: Vec::new(),
            build_files: Vec::new(),
            program: logical,
            args: ["inside", "--exact", "--nocapture", "--test-threads=1"]
                .map(Into::into)
                .to_vec(),
            arg0: None,
            env: vec![
                ("PICNIX_INSIDE".into(), what.into()),
                ("LD_LIBRARY_PATH".into(), "/lib".into()),
            ],
            network: Network::Isolated,
            limits: Limits::default(),
        }
    }
}

/// Runs a box to its end and returns that with its log.
pub(crate) fn run(spec: &BoxSpec) -> (Exit, String) {
    let mut log = String::new();
    let exit = start(spec)
        .unwrap_or_else(|error| panic!("{}", explain(&error)))
        .wait(&mut |line| {
            log.push_str(&String::from_utf8_lossy(line));
            log.push('\n');
        })
        .unwrap();
    (exit, log)
}

/// An error with its causes.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The shared libraries that this process runs with.
fn mapped_libraries() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut libraries: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.starts_with('/') && path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    libraries.sort();
    libraries.dedup();
    libraries
}
