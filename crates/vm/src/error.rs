//! Everything that can go wrong between a specification and the end of its machine.

use std::io;
use std::path::PathBuf;

/// A machine that cannot be described, started, spoken to or ended.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The specification is not what this picnix reads.
    #[error("the machine's specification is invalid")]
    Spec(#[source] serde_json::Error),
    /// The tests are not what this picnix reads.
    #[error("the description of the tests is invalid")]
    Plan(#[source] serde_json::Error),
    /// A field of the specification has a value that cannot work.
    #[error(
        "the machine's specification is invalid: \"{field}\" is \"{value}\": {reason}"
    )]
    SpecValue {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why it cannot work.
        reason: &'static str,
    },
    /// A file that the specification names is not there.
    #[error("cannot boot: {what} \"{path}\" is missing")]
    Missing {
        /// What the file is.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// The error of looking.
        source: io::Error,
    },
    /// QEMU could not be executed.
    #[error("cannot start \"{program}\"")]
    Spawn {
        /// The file that was executed.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// QEMU ended before the machine existed, or with a failure.
    #[error("QEMU failed ({status}): {said}")]
    Qemu {
        /// Its exit status.
        status: String,
        /// What it said last.
        said: String,
    },
    /// QEMU does not answer on its control socket.
    #[error("QEMU does not answer on its control socket: {reason}")]
    Qmp {
        /// What it did instead.
        reason: String,
    },
    /// No port of the host can be forwarded.
    #[error("cannot find a free port of 127.0.0.1 for port {guest_port} of the guest")]
    Port {
        /// The port to forward to.
        guest_port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// The filesystem refused something.
    #[error("cannot {action} \"{path}\"")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A pipe, socket, terminal or thread failed.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The guest did not say or do something in time.
    #[error("the guest did not {what} in time; its last lines were:\n{last_lines}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The end of the console's output.
        last_lines: String,
    },
    /// The machine ended while something was expected of it.
    #[error("the machine ended before it did {what}; its last lines were:\n{last_lines}")]
    Ended {
        /// What was waited for.
        what: String,
        /// The end of the console's output.
        last_lines: String,
    },
    /// Something that the guest said differs from what the test expects.
    #[error("expected {expected:?} but found {actual:?}")]
    Unexpected {
        /// What the test wants.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A command in the guest failed.
    #[error("the command exited with status {status}, printing {output:?}")]
    CommandStatus {
        /// Its exit status.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// A test fetches from a port that is not forwarded.
    #[error("port {port} of the guest is not forwarded; forwarded are: {forwarded}")]
    NotForwarded {
        /// The port.
        port: u16,
        /// Those that are, separated by commas.
        forwarded: String,
    },
    /// The server in the guest did not answer, or not well.
    #[error("fetching \"{url}\" from the guest failed: {reason}")]
    Fetch {
        /// What was fetched, as seen from the host.
        url: String,
        /// What happened last.
        reason: String,
    },
    /// A login over SSH did not come about.
    #[error("logging in as \"{user}\" over SSH (127.0.0.1:{port}) failed: {reason}")]
    Ssh {
        /// Who wanted in.
        user: String,
        /// The port of the host that leads to the server.
        port: u16,
        /// What happened last.
        reason: String,
    },
    /// The guest ended, but not by powering off.
    #[error("the guest did not power off: {reason}")]
    NotPoweredOff {
        /// What it did instead.
        reason: String,
    },
}
