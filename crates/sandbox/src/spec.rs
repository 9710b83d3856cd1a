//! What a caller says about a box: its inputs, its program, its limits.
//!
//! Pure data. Paths named `physical` are of the host, paths named `logical` are what the builder
//! sees.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// One command and everything it may see.
#[derive(Debug, Clone)]
pub struct BoxSpec {
    /// An existing, empty directory of the host, private to this box and on the file system of
    /// the store (so that outputs are moved by a rename). The box makes `build`, `store`, `tmp`
    /// and `root` in it; the caller removes it with [`crate::remove_tree`].
    pub work_dir: PathBuf,
    /// The logical store directory, normally `/nix/store`: writable for the builder, so that it
    /// makes its outputs there; they appear on the host in [`BoxSpec::outputs_dir`].
    pub store_dir: PathBuf,
    /// What is shown read-only below the store directory.
    pub inputs: Vec<Input>,
    /// A tree of the host whose `usr`, `bin`, `sbin`, `lib*` and `etc/alternatives` are shown
    /// read-only at the root of the box.
    pub root_tree: Option<PathBuf>,
    /// What else is shown of the host, as the user asked for it; writable as its permissions say.
    pub host_paths: Vec<HostPath>,
    /// Files to place into the build directory before the start.
    pub build_files: Vec<BuildFile>,
    /// The program, as the builder sees it.
    pub program: PathBuf,
    /// Its arguments, without the zeroth.
    pub args: Vec<OsString>,
    /// Its zeroth argument; the file name of `program` where absent.
    pub arg0: Option<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the host's network is reachable.
    pub network: Network,
    /// When to stop it.
    pub limits: Limits,
}

impl BoxSpec {
    /// The host directory in which the builder's outputs appear, by their base name.
    #[must_use]
    pub fn outputs_dir(&self) -> PathBuf {
        self.work_dir.join("store")
    }

    /// The host directory that is `/build` in the box.
    #[must_use]
    pub fn build_dir(&self) -> PathBuf {
        self.work_dir.join("build")
    }
}

/// A file system object shown read-only in the box.
#[derive(Debug, Clone)]
pub struct Input {
    /// Where it lies on the host.
    pub physical: PathBuf,
    /// Where it appears: a direct child of the store directory.
    pub logical: PathBuf,
}

/// A file, directory or link of the host that is shown outside the store directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// Where it lies on the host.
    pub physical: PathBuf,
    /// Where it appears.
    pub logical: PathBuf,
    /// Whether a box is made without it where it does not exist.
    pub is_optional: bool,
}

/// A file that the builder finds in `/build`.
#[derive(Debug, Clone)]
pub struct BuildFile {
    /// Its name, without a slash.
    pub name: String,
    /// Its bytes.
    pub contents: Vec<u8>,
}

/// What of the network a box sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its own loopback interface and nothing else.
    Isolated,
    /// The host's network, its resolver configuration and its CA certificates. Only for builds
    /// whose output hash is known beforehand.
    Host,
}

/// When a box is stopped. `None` means no limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// The longest time it may run.
    pub wall: Option<Duration>,
    /// The longest time it may run without writing to its log.
    pub silence: Option<Duration>,
    /// The most bytes it may write to its log.
    pub log_bytes: Option<u64>,
    /// The most bytes of disk that its outputs may take.
    pub output_bytes: Option<u64>,
    /// The memory of all its processes, in bytes, where there is a control group; otherwise the
    /// address space of each of them.
    pub memory_bytes: Option<u64>,
    /// The number of its processes at a time; without a control group, of all that its user has.
    pub processes: Option<u64>,
}
