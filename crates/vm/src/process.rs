//! QEMU as a child that never outlives us.
//!
//! Three ways lead to its end: the handle is dropped, this process dies in any way (the kernel
//! then sends the child a signal), or it exits. The kernel's signal is bound to the *thread* that
//! forked (prctl(2), `PR_SET_PDEATHSIG`), so a thread of its own forks and stays.
//!
//! The one unsafe block of this crate is here: setting that signal in the child is only possible
//! between fork and exec.

use rustix::process::Signal;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often an exit is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How much of what QEMU says on standard error is kept.
const STDERR_KEPT_BYTES: usize = 16 << 10;

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    stderr_thread: Option<JoinHandle<()>>,
    /// Dropped to let the forking thread end.
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Process {
    /// Starts a command; its standard error is kept, the other streams are the command's choice.
    pub(crate) fn spawn(mut command: Command, on_our_death: Signal) -> io::Result<Self> {
        command.stderr(Stdio::piped());
        die_with_us(&mut command, on_our_death);
        let (give_child, take_child) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let thread =
            thread::Builder::new().name("qemu-keeper".to_owned()).spawn(move || {
                let sent = give_child.send(command.spawn());
                // The pipes' parent ends must not live as long as this thread.
                drop(command);
                if sent.is_ok() {
                    // Returns with an error as soon as the other end is dropped.
                    let _ = released.recv();
                }
            })?;
        let mut child = take_child.recv().map_err(io::Error::other)??;
        let pipe = child.stderr.take().expect("standard error is piped");
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        let stderr_thread = thread::spawn(move || keep_last(pipe, &kept));
        Ok(Self {
            child,
            stderr,
            stderr_thread: Some(stderr_thread),
            keeper: Some((release, thread)),
        })
    }

    /// Takes the pipes of a command that has them.
    pub(crate) fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Whether it has ended, and how.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Waits for its end, but not beyond the deadline.
    pub(crate) fn wait_until(
        &mut self,
        deadline: Instant,
    ) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What it said on standard error; complete once it has ended.
    pub(crate) fn said(&mut self) -> String {
        if matches!(self.child.try_wait(), Ok(Some(_)))
            && let Some(thread) = self.stderr_thread.take()
        {
            // A thread that only copies does not panic, and if it did the text is what it is.
            let _ = thread.join();
        }
        let bytes = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some((release, thread)) = self.keeper.take() {
            drop(release);
            let _ = thread.join();
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the signal can only be set by the child itself, between fork and exec"
)]
fn die_with_us(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let in_child = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // We may have died before the signal was set.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(rustix::io::Errno::SRCH))
        }
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure makes
    // two system calls through rustix, which neither allocates nor locks, and builds an
    // `io::Error` from a number, which does not allocate.
    unsafe { command.pre_exec(in_child) };
}

fn keep_last(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let surplus = kept.len().saturating_sub(STDERR_KEPT_BYTES);
                kept.drain(..surplus);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_child_is_dead() {
        let mut command = Command::new("sleep");
        command.arg("1000").stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut process = Process::spawn(command, Signal::KILL).unwrap();
        let (_stdin, mut stdout) = process.take_pipes().unwrap();
        assert!(process.try_wait().unwrap().is_none());
        drop(process);
        // The pipe ends when nobody holds its other end.
        assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_a_child_says_is_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
        let mut process = Process::spawn(command, Signal::KILL).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(3));
        assert_eq!(process.said(), "one\ntwo");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Process::spawn(Command::new("/nonexistent"), Signal::KILL);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Set for the helper below.
    const HELPER: &str = "PICNIX_TEST_DIES";

    /// What the next test starts, to have it die. As a test of its own it does nothing.
    #[test]
    fn helper_that_dies_with_a_child() {
        if std::env::var_os(HELPER).is_none() {
            return;
        }
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::spawn(command, Signal::KILL).unwrap();
        std::mem::forget(process);
        std::process::abort();
    }

    #[test]
    fn a_child_dies_with_its_parent() {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::helper_that_dies_with_a_child"])
            .arg("--nocapture")
            .env(HELPER, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = parent.stdout.take().unwrap();
        assert!(!parent.wait().unwrap().success());
        // The grandchild holds the pipe for as long as it lives.
        stdout.read_to_end(&mut Vec::new()).unwrap();
    }
}
