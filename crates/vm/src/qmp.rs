//! The machine's control socket: as much of QMP as starting and ending takes.
//!
//! Specification: QEMU's `docs/interop/qmp-spec.rst`: JSON objects, one a line; a greeting, then
//! `qmp_capabilities`, then commands with one reply each and events between them. We listen and
//! QEMU connects, so nobody waits for a socket to appear.

use crate::VmError;
use crate::process::Process;
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a connection is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(3);
/// QEMU answers at once; this long only on a machine that is all but stuck.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// A socket's address has 108 bytes (unix(7)), of which our own names take some.
const MAX_DIR_BYTES: usize = 70;

/// A socket in a directory that only we can enter.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    dir: PathBuf,
    path: PathBuf,
}

impl ControlSocket {
    pub(crate) fn listen() -> Result<Self, VmError> {
        let failed = |source| VmError::Io { action: "make a control socket", source };
        let dir = make_private_dir().map_err(failed)?;
        let path = dir.join("qmp");
        let bound = UnixListener::bind(&path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        match bound {
            Ok(listener) => Ok(Self { listener, dir, path }),
            Err(source) => {
                // Empty, and nobody else's.
                let _ = std::fs::remove_dir(&dir);
                Err(failed(source))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for QEMU to connect; nothing if it ended instead.
    pub(crate) fn accept(
        &self,
        process: &mut Process,
        deadline: Instant,
    ) -> Result<Option<UnixStream>, VmError> {
        let failed = |source| VmError::Io { action: "accept QEMU's connection", source };
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(failed)?;
                    return Ok(Some(stream));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
            if process.try_wait().map_err(failed)?.is_some() {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                return Err(VmError::Qmp { reason: "it does not connect".to_owned() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // In a temporary directory; what cannot be removed is no worse than that.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.dir);
    }
}

fn make_private_dir() -> io::Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let mut base = std::env::temp_dir();
    if base.as_os_str().len() > MAX_DIR_BYTES {
        base = PathBuf::from("/tmp");
    }
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("picnix-vm-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            // Left behind by a killed process with our number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => {}
            Err(e) => return Err(e),
        }
    }
}

type Reply = Result<(), String>;

/// A connection that has been greeted.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    replies: Receiver<Reply>,
    shutdown_reason: Arc<Mutex<Option<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Qmp {
    /// Takes the greeting and leaves negotiation.
    pub(crate) fn connect(stream: UnixStream) -> Result<Self, VmError> {
        let failed = |source| VmError::Io { action: "speak to QEMU", source };
        let input = stream.try_clone().map_err(failed)?;
        let (send, replies) = mpsc::channel();
        let shutdown_reason = Arc::new(Mutex::new(None));
        let reason = Arc::clone(&shutdown_reason);
        let reader = thread::spawn(move || {
            for line in BufReader::new(input).lines() {
                let Ok(line) = line else { return };
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                if message["event"] == "SHUTDOWN" {
                    let said = message["data"]["reason"].as_str().unwrap_or("unknown");
                    let mut reason =
                        reason.lock().unwrap_or_else(PoisonError::into_inner);
                    *reason = Some(said.to_owned());
                } else if let Some(reply) = parse_reply(&message)
                    && send.send(reply).is_err()
                {
                    return;
                }
            }
        });
        let mut qmp = Self { stream, replies, shutdown_reason, reader: Some(reader) };
        qmp.take_reply()?;
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Runs a command without arguments and waits for its reply.
    pub(crate) fn execute(&mut self, command: &str) -> Result<(), VmError> {
        let line = format!("{}\n", json!({ "execute": command }));
        self.stream
            .write_all(line.as_bytes())
            .map_err(|source| VmError::Io { action: "speak to QEMU", source })?;
        self.take_reply()
    }

    fn take_reply(&mut self) -> Result<(), VmError> {
        match self.replies.recv_timeout(REPLY_TIMEOUT) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(VmError::Qmp { reason }),
            Err(error) => Err(VmError::Qmp { reason: error.to_string() }),
        }
    }

    /// Why the machine ended, in QEMU's words; only once its process has.
    pub(crate) fn shutdown_reason(&mut self) -> Option<String> {
        if let Some(reader) = self.reader.take() {
            // QEMU's end of the socket is closed, so the thread reads to the end.
            let _ = reader.join();
        }
        self.shutdown_reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn parse_reply(message: &Value) -> Option<Reply> {
    if let Some(error) = message.get("error") {
        let description = error["desc"].as_str().unwrap_or("an error without words");
        return Some(Err(description.to_owned()));
    }
    let is_reply = message.get("return").is_some() || message.get("QMP").is_some();
    is_reply.then_some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays QEMU: sends a line for every command that comes.
    fn play(lines: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut out = theirs;
            for line in lines {
                writeln!(out, "{line}").unwrap();
                if line.contains("event") {
                    continue;
                }
                if commands.next().is_none() {
                    return;
                }
            }
        });
        ours
    }

    #[test]
    fn replies_errors_and_events_are_told_apart() {
        let stream = play(&[
            r#"{"QMP": {"version": {}, "capabilities": []}}"#,
            r#"{"event": "RESUME", "timestamp": {}}"#,
            r#"{"return": {}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
        ]);
        let mut qmp = Qmp::connect(stream).unwrap();
        let error = qmp.execute("nonsense").unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        drop(qmp.execute("quit"));
        assert_eq!(qmp.shutdown_reason().as_deref(), Some("guest-shutdown"));
    }

    #[test]
    fn a_closed_connection_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Qmp::connect(ours).is_err());
    }

    #[test]
    fn a_program_that_ends_is_not_waited_for() {
        let socket = ControlSocket::listen().unwrap();
        let command = std::process::Command::new("true");
        let mut process = Process::spawn(command, rustix::process::Signal::KILL).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(socket.accept(&mut process, deadline).unwrap().is_none());
        let dir = socket.dir.clone();
        drop(socket);
        assert!(!dir.exists());
    }
}
