//! A machine from its start to its end.
//!
//! It starts paused: by the time that QEMU answers on its control socket its ports are bound, so
//! the caller can tell them before the guest says its first word. A lost race for a port shows
//! at this point and is answered by starting again with others.

use crate::invocation::{Boot, ConsoleDevice, Invocation};
use crate::kvm::Accel;
use crate::ports::{self, Choice};
use crate::process::Process;
use crate::qmp::{ControlSocket, Qmp};
use crate::text::Cleaner;
use crate::{Console, Forward, VmError, VmSpec};
use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// QEMU connects within a fraction of a second; this long only on a machine that is all but
/// stuck.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often ports may be lost to others before we give up.
const START_ATTEMPTS: usize = 5;
/// What QEMU says when a port is taken.
const PORT_TAKEN: &str = "Could not set up host forwarding rule";
/// How long QEMU may take to obey.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the console of a machine is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// This process's terminal, raw; Ctrl-A X ends the machine.
    Terminal,
    /// Pipes that this process holds.
    Pipes,
}

/// How a machine is started.
#[derive(Debug, Clone, Copy)]
pub struct StartOptions<'a> {
    /// What runs the guest's instructions; nothing where `user_args` say it.
    pub accel: Option<Accel>,
    /// What the console is connected to.
    pub console: Stdio,
    /// Arguments for QEMU after all others.
    pub user_args: &'a [String],
}

/// How a machine ended without QEMU failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered itself off.
    PoweredOff,
    /// The guest rebooted or panicked; machines here do not start twice.
    Reset,
    /// Something else, in QEMU's words: its user, a signal.
    Other(String),
}

/// A running or paused machine; dropping it ends it.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    qmp: Qmp,
    forwards: Vec<Forward>,
    terminal: Option<TerminalState>,
}

impl Machine {
    /// Starts a machine, paused.
    pub fn start(spec: &VmSpec, options: &StartOptions<'_>) -> Result<Self, VmError> {
        spec.check_files()?;
        let mut choice = Choice::Wanted;
        for attempt in 1.. {
            match Self::try_start(spec, options, choice) {
                Err(VmError::Qemu { said, .. })
                    if said.contains(PORT_TAKEN) && attempt < START_ATTEMPTS =>
                {
                    choice = Choice::Any;
                }
                result => return result,
            }
        }
        unreachable!("the last attempt returns")
    }

    fn try_start(
        spec: &VmSpec,
        options: &StartOptions<'_>,
        choice: Choice,
    ) -> Result<Self, VmError> {
        let forwards = ports::choose(&spec.forward_ports, choice)?;
        let socket = ControlSocket::listen()?;
        let (console, signal) = match options.console {
            // QEMU then gives the terminal back before it ends.
            Stdio::Terminal => (ConsoleDevice::Terminal, Signal::TERM),
            Stdio::Pipes => (ConsoleDevice::Pipes, Signal::KILL),
        };
        let invocation = Invocation {
            spec,
            accel: options.accel,
            boot: Boot::Image,
            console,
            forwards: &forwards,
            control_socket: Some(socket.path()),
            user_args: options.user_args,
        };
        let terminal = match options.console {
            Stdio::Terminal => Some(TerminalState::save()?),
            Stdio::Pipes => None,
        };
        let mut process = spawn(&invocation, signal)?;
        let Some(stream) = socket.accept(&mut process, Instant::now() + START_TIMEOUT)?
        else {
            return Err(qemu_failure(&mut process));
        };
        // QEMU may end right after it has connected: its own words say more than the socket's.
        let qmp = Qmp::connect(stream).map_err(|error| {
            let ended = process.wait_until(Instant::now() + Duration::from_millis(200));
            match ended {
                Ok(Some(_)) => qemu_failure(&mut process),
                _ => error,
            }
        })?;
        Ok(Self { process, qmp, forwards, terminal })
    }

    /// The ports of the host that lead to the guest.
    pub fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// Lets the guest run.
    pub fn resume(&mut self) -> Result<(), VmError> {
        self.qmp.execute("cont")
    }

    /// Runs a machine started on a terminal to its end.
    pub fn run_on_terminal(mut self) -> Result<Ending, VmError> {
        self.resume()?;
        let status = self.process.wait();
        status.map_err(|source| VmError::Io { action: "wait for QEMU", source })?;
        drop(self.terminal.take());
        self.ending()
    }

    /// Runs a machine started on pipes to its end, copying between its console and these.
    ///
    /// What comes in is held back until the guest shows a prompt: a guest that is still booting
    /// would lose it. The end of the input does not end the machine.
    pub fn run_on_pipes(
        mut self,
        input: impl Read + Send + 'static,
        output: &mut dyn Write,
    ) -> Result<Ending, VmError> {
        let (to_guest, from_guest) = self.take_pipes();
        let (send_prompt, prompt) = mpsc::channel();
        // Not joined: it may sit in a read of our input for ever.
        thread::spawn(move || {
            if prompt.recv().is_ok() {
                let _ = copy_input(input, to_guest);
            } else {
                drop(to_guest);
            }
        });
        self.resume()?;
        copy_output(from_guest, output, move || {
            // Fails only if the other thread is gone, and then nobody types.
            let _ = send_prompt.send(());
        })
        .map_err(|source| VmError::Io { action: "show the console", source })?;
        let status = self.process.wait();
        status.map_err(|source| VmError::Io { action: "wait for QEMU", source })?;
        self.ending()
    }

    /// Opens the console of a machine started on pipes; once.
    pub fn open_console(&mut self, transcript: &Path) -> Result<Console, VmError> {
        let (to_guest, from_guest) = self.take_pipes();
        Console::open(from_guest, to_guest, transcript)
    }

    fn take_pipes(&mut self) -> (ChildStdin, ChildStdout) {
        self.process.take_pipes().expect("started on pipes, which are taken once")
    }

    /// Waits for the machine's end; nothing if it still runs at the deadline.
    pub fn wait_until(&mut self, deadline: Instant) -> Result<Option<Ending>, VmError> {
        let ended = self
            .process
            .wait_until(deadline)
            .map_err(|source| VmError::Io { action: "wait for QEMU", source })?;
        if ended.is_none() {
            return Ok(None);
        }
        self.ending().map(Some)
    }

    /// Ends the machine as if its power were cut.
    pub fn quit(mut self) {
        // Where QEMU does not obey, dropping it kills it.
        if self.qmp.execute("quit").is_ok() {
            let _ = self.process.wait_until(Instant::now() + QUIT_TIMEOUT);
        }
    }

    fn ending(&mut self) -> Result<Ending, VmError> {
        let status = self
            .process
            .wait()
            .map_err(|source| VmError::Io { action: "wait for QEMU", source })?;
        if !status.success() {
            return Err(qemu_failure(&mut self.process));
        }
        Ok(match self.qmp.shutdown_reason().as_deref() {
            Some("guest-shutdown") => Ending::PoweredOff,
            Some("guest-reset" | "guest-panic") => Ending::Reset,
            Some(other) => Ending::Other(other.to_owned()),
            // The power switch of the board virt for RISC-V ends QEMU at once (before QEMU 9), with the status
            // that the guest wrote to it.
            None => Ending::PoweredOff,
        })
    }
}

/// Starts QEMU with the streams that its console asks for.
pub(crate) fn spawn(
    invocation: &Invocation<'_>,
    signal: Signal,
) -> Result<Process, VmError> {
    let mut command = invocation.command();
    if invocation.console == ConsoleDevice::Pipes {
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    }
    Process::spawn(command, signal)
        .map_err(|source| VmError::Spawn { program: invocation.program(), source })
}

fn qemu_failure(process: &mut Process) -> VmError {
    let status = match process.wait() {
        Ok(status) => status.to_string(),
        Err(e) => e.to_string(),
    };
    let said = match process.said() {
        said if said.is_empty() => "it said nothing".to_owned(),
        said => said,
    };
    VmError::Qemu { status, said }
}

fn copy_input(mut input: impl Read, mut to_guest: ChildStdin) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to_guest.write_all(&buffer[..count])?;
        to_guest.flush()?;
    }
    Ok(())
}

/// Copies the console, and calls `on_prompt` when its output rests at what looks like a prompt.
fn copy_output(
    mut from_guest: ChildStdout,
    output: &mut dyn Write,
    on_prompt: impl FnOnce(),
) -> io::Result<()> {
    let (send, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = from_guest.read(&mut buffer) {
            if count == 0 || send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut on_prompt = Some(on_prompt);
    let mut cleaner = Cleaner::default();
    let mut line = Vec::new();
    loop {
        // A prompt is the end of a line that stays unfinished for a moment.
        match chunks.recv_timeout(Duration::from_millis(300)) {
            Ok(chunk) => {
                output.write_all(&chunk)?;
                output.flush()?;
                cleaner.push(&chunk, &mut line);
                if let Some(end) = line.iter().rposition(|&byte| byte == b'\n') {
                    line.drain(..=end);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if is_prompt(&line)
                    && let Some(on_prompt) = on_prompt.take()
                {
                    on_prompt();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Shells end their prompts with `# ` or `$ `, and getty ends its own with `: `.
fn is_prompt(line: &[u8]) -> bool {
    [&b"# "[..], b"$ ", b": "].iter().any(|end| line.ends_with(end))
}

/// A terminal as it was before QEMU made it raw.
#[derive(Debug)]
struct TerminalState {
    attributes: Termios,
    flags: OFlags,
}

impl TerminalState {
    fn save() -> Result<Self, VmError> {
        let failed = |e: rustix::io::Errno| VmError::Io {
            action: "read the terminal's state",
            source: e.into(),
        };
        let stdin = io::stdin();
        let attributes = rustix::termios::tcgetattr(stdin.as_fd()).map_err(failed)?;
        let flags = rustix::fs::fcntl_getfl(stdin.as_fd()).map_err(failed)?;
        Ok(Self { attributes, flags })
    }
}

impl Drop for TerminalState {
    fn drop(&mut self) {
        let stdin = io::stdin();
        // The terminal may be gone; then there is nothing to restore.
        let _ = rustix::termios::tcsetattr(
            stdin.as_fd(),
            OptionalActions::Drain,
            &self.attributes,
        );
        let _ = rustix::fs::fcntl_setfl(stdin.as_fd(), self.flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_recognised() {
        for prompt in ["~ # ", "/ $ ", "hello login: "] {
            assert!(is_prompt(prompt.as_bytes()), "{prompt:?}");
        }
        for other in ["", "[    0.1] x", "#", "done"] {
            assert!(!is_prompt(other.as_bytes()), "{other:?}");
        }
    }
}
