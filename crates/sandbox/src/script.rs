//! The operations by which a box's file system is put together.
//!
//! Prepared by the parent as C strings, because the child may not allocate; interpreted by
//! [`crate::child`] in order. Paths without a leading slash are relative to the new root.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Error;

/// One operation of the child.
#[derive(Debug)]
pub(crate) enum Op {
    /// Mount an empty tmpfs; data are its options.
    Tmpfs { target: CString, data: CString },
    /// Make the new root the current directory.
    Enter { path: CString },
    /// Make a directory, mode 0755.
    Dir { path: CString },
    /// Make a file with these contents, mode 0444.
    File { path: CString, contents: Vec<u8> },
    /// Make a symbolic link.
    Symlink { target: CString, path: CString },
    /// Show a path of the host at another place.
    Bind { source: CString, target: CString, tree: Subtree },
    /// Set attributes of a mount.
    Attributes { path: CString, set: u64, clear: u64, tree: Subtree },
    /// Mount a fresh `/proc`, in the strongest of the ways that the kernel permits.
    Proc { target: CString },
    /// Mount a fresh `/dev/pts`.
    DevPts { target: CString },
}

/// Whether an operation concerns the mounts below a mount too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subtree {
    /// This mount alone.
    No,
    /// This mount and those below it.
    Yes,
}

/// The mount is read-only.
pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// Set-id bits and device nodes have no effect in the mount.
pub(crate) const HARMLESS: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

impl Op {
    /// What the operation does, for an error message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Tmpfs { target, .. } => format!("mounting a tmpfs at {}", show(target)),
            Self::Enter { path } => format!("entering {}", show(path)),
            Self::Dir { path } => format!("making the directory {}", show(path)),
            Self::File { path, .. } => format!("writing {}", show(path)),
            Self::Symlink { path, .. } => format!("making the link {}", show(path)),
            Self::Bind { source, target, .. } => {
                format!("binding {} to {}", show(source), show(target))
            }
            Self::Attributes { path, .. } => format!("protecting {}", show(path)),
            Self::Proc { target } => format!("mounting {}", show(target)),
            Self::DevPts { target } => format!("mounting {}", show(target)),
        }
    }
}

fn show(path: &CStr) -> String {
    format!("{:?}", OsStr::from_bytes(path.to_bytes()))
}

/// A list of operations under construction.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The operations so far.
    pub(crate) ops: Vec<Op>,
}

impl Script {
    /// Adds a directory.
    pub(crate) fn dir(&mut self, path: &str) -> Result<(), Error> {
        self.ops.push(Op::Dir { path: c_path(Path::new(path))? });
        Ok(())
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) -> Result<(), Error> {
        let path = c_path(Path::new(path))?;
        self.ops.push(Op::File { path, contents: contents.to_vec() });
        Ok(())
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, target: &Path, path: &str) -> Result<(), Error> {
        let (target, path) = (c_path(target)?, c_path(Path::new(path))?);
        self.ops.push(Op::Symlink { target, path });
        Ok(())
    }

    /// Adds a bind mount of one mount.
    pub(crate) fn bind(&mut self, source: &Path, target: &Path) -> Result<(), Error> {
        let (source, target) = (c_path(source)?, c_path(target)?);
        self.ops.push(Op::Bind { source, target, tree: Subtree::No });
        Ok(())
    }

    /// Adds attributes to one mount.
    pub(crate) fn protect(&mut self, path: &str, set: u64) -> Result<(), Error> {
        let path = c_path(Path::new(path))?;
        self.ops.push(Op::Attributes { path, set, clear: 0, tree: Subtree::No });
        Ok(())
    }
}

/// A path as the kernel takes it.
pub(crate) fn c_path(path: &Path) -> Result<CString, Error> {
    c_string("a path", path.as_os_str())
}

/// Text as the kernel takes it.
pub(crate) fn c_string(what: &'static str, text: &OsStr) -> Result<CString, Error> {
    CString::new(text.as_bytes())
        .map_err(|_| Error::ZeroByte { what, text: text.to_string_lossy().into_owned() })
}
