//! How a Debian program of the store runs on any host: through the loader of its own tree.
//!
//! The program's interpreter is an absolute path of the host, so it is not executed itself. Its
//! tree's loader is, with that tree's libraries and no cache. Inside the tree the loader is found
//! under `usr/lib`, since `lib64/ld-linux-*` is an absolute link in Debian.

use std::path::{Path, PathBuf};

/// Where Debian keeps an architecture's libraries.
struct Multiarch {
    /// As in [`std::env::consts::ARCH`].
    arch: &'static str,
    triple: &'static str,
    loader: &'static str,
}

const MULTIARCH: &[Multiarch] = &[
    Multiarch {
        arch: "x86_64",
        triple: "x86_64-linux-gnu",
        loader: "ld-linux-x86-64.so.2",
    },
    Multiarch {
        arch: "aarch64",
        triple: "aarch64-linux-gnu",
        loader: "ld-linux-aarch64.so.1",
    },
    Multiarch {
        arch: "riscv64",
        triple: "riscv64-linux-gnu",
        loader: "ld-linux-riscv64-lp64d.so.1",
    },
];

/// The loader and libraries of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loader {
    /// The dynamic loader.
    pub(crate) program: PathBuf,
    /// The directory of the libraries.
    pub(crate) libraries: PathBuf,
}

impl Loader {
    /// Finds the loader of a tree for the host's architecture; a tree without one holds programs
    /// that need none.
    pub(crate) fn find(tree: &Path) -> Option<Self> {
        let here = MULTIARCH.iter().find(|one| one.arch == std::env::consts::ARCH)?;
        let libraries = tree.join("usr/lib").join(here.triple);
        let program = libraries.join(here.loader);
        program.exists().then_some(Self { program, libraries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_a_loader_needs_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Loader::find(dir.path()), None);
    }
}
