//! Why a box could not be made.

use std::io;
use std::path::PathBuf;

use crate::refusal::Refusal;

/// Why a box could not be made or watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses the namespaces that every box needs.
    #[error(
        "cannot make the namespaces of a build box: {refusal}{}",
        unexplained(refusal, answer)
    )]
    NamespacesRefused {
        /// What was found to be the cause.
        refusal: Refusal,
        /// What the kernel answered. It is not shown where the cause was found: for a limit of
        /// zero namespaces the kernel's words are "no space left on device".
        answer: io::Error,
    },
    /// The kernel is too old.
    #[error("a build box needs Linux 5.12 or newer (mount_setattr is missing)")]
    KernelTooOld,
    /// A file or directory of the box could not be prepared on the host.
    #[error("cannot prepare {path:?} for a build box")]
    Prepare {
        /// The path on the host.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An input does not lie directly below the store directory.
    #[error("the input {path:?} is not directly below the store directory {store_dir:?}")]
    InputOutsideStore {
        /// The logical path.
        path: PathBuf,
        /// The logical store directory.
        store_dir: PathBuf,
    },
    /// A path of the host cannot appear where it was asked for.
    #[error(
        "{0:?} cannot be shown in a build box: it is the box's own, or not an absolute path"
    )]
    HostPath(PathBuf),
    /// A path, argument or variable holds a zero byte.
    #[error("{what} holds a zero byte: {text:?}")]
    ZeroByte {
        /// The kind of text.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A step of setting the box up failed.
    #[error("cannot set up the build box: {step}")]
    Setup {
        /// What was being done, with its paths.
        step: String,
        /// The cause.
        source: io::Error,
    },
    /// The program could not be executed.
    #[error("cannot execute {program:?} in the build box")]
    Execute {
        /// The builder, as seen in the box.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A running box could not be watched.
    #[error("cannot {action} a running build box")]
    Watch {
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A tree could not be removed or given to the caller.
    #[error("cannot {action} {path:?}")]
    Tree {
        /// What was being done.
        action: &'static str,
        /// The path on the host.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

fn unexplained(refusal: &Refusal, answer: &io::Error) -> String {
    if *refusal == Refusal::Unknown { format!(" ({answer})") } else { String::new() }
}
