//! One command in the guest over SSH, through a forwarded port.
//!
//! The client is a program of the store, dropbear's `dbclient`, so that nothing of the host takes
//! part. It runs once, after the server has greeted (RFC 4253, 4.2): QEMU accepts connections before
//! anybody in the guest listens, and a client cannot tell that from a refusal. Which machine
//! answers is not in doubt, so the host's key is not asked about.

use crate::VmError;
use crate::process::Process;
use rustix::process::Signal;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What a server says first begins like this.
const GREETING: &[u8] = b"SSH-2.0-";
/// How long to rest between attempts to be greeted.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long the first attempt may take; each may take twice as long as the one before.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that one attempt may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(16);
/// Zero would mean no timeout at all.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// How often the end of the client, the machine and the time are looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longer output of a command is an error.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;

/// Who logs in, and what runs there.
#[derive(Debug)]
pub(crate) struct Login<'a> {
    /// The program `dbclient`.
    pub(crate) client: &'a Path,
    /// The secret key, in dropbear's format.
    pub(crate) identity: &'a Path,
    pub(crate) user: &'a str,
    pub(crate) command: &'a str,
    /// The port of the host that leads to the server.
    pub(crate) port: u16,
}

/// What the command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Login<'_> {
    /// Waits for the server and runs the command.
    pub(crate) fn run(
        &self,
        deadline: Instant,
        is_gone: impl Fn() -> bool,
    ) -> Result<Output, VmError> {
        self.wait_for_greeting(deadline, &is_gone)?;
        let mut process =
            Process::spawn(self.command(), Signal::KILL).map_err(|source| {
                VmError::Spawn { program: PathBuf::from(self.client), source }
            })?;
        let (stdin, stdout) = process.take_pipes().expect("both are piped");
        drop(stdin);
        let (send, received) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes);
            // Fails only if nobody waits any more.
            let _ = send.send(read.map(|_| bytes));
        });
        let stdout = loop {
            match received.recv_timeout(POLL_INTERVAL) {
                Ok(result) => break result.map_err(|e| self.failure(e.to_string()))?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(self.failure("its output cannot be read".to_owned()));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if is_gone() || Instant::now() >= deadline {
                return Err(self.failure("the command does not end".to_owned()));
            }
        };
        if stdout.len() as u64 > MAX_OUTPUT_BYTES {
            return Err(self.failure("the command prints more than 16 MiB".to_owned()));
        }
        let ended = process.wait_until(deadline);
        let Some(status) = ended.map_err(|e| self.failure(e.to_string()))? else {
            return Err(self.failure("the client does not end".to_owned()));
        };
        let Some(status) = status.code() else {
            return Err(self.failure(format!("the client died: {status}")));
        };
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        Ok(Output { status, stdout, stderr: process.said() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.client);
        command
            // Twice: no question about the host's key, and no note of it.
            .args(["-y", "-y", "-i"])
            .arg(self.identity)
            .args(["-p", &self.port.to_string(), "-l", self.user, "127.0.0.1"])
            .arg(self.command)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    fn wait_for_greeting(
        &self,
        deadline: Instant,
        is_gone: impl Fn() -> bool,
    ) -> Result<(), VmError> {
        let mut timeout = FIRST_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = match greeting(self.port, timeout.min(left).max(MIN_TIMEOUT)) {
                Ok(said) if said == GREETING => return Ok(()),
                Ok(said) => {
                    format!("the server begins with {:?}", String::from_utf8_lossy(&said))
                }
                Err(e) if is_timeout(&e) => "nobody greets".to_owned(),
                Err(e) => e.to_string(),
            };
            timeout = (timeout * 2).min(MAX_TIMEOUT);
            if is_gone() || Instant::now() + RETRY_INTERVAL >= deadline {
                return Err(self.failure(reason));
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    fn failure(&self, reason: String) -> VmError {
        VmError::Ssh { user: self.user.to_owned(), port: self.port, reason }
    }
}

/// The first bytes that a server sends.
fn greeting(port: u16, timeout: Duration) -> io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut said = vec![0; GREETING.len()];
    stream.read_exact(&mut said)?;
    Ok(said)
}

/// Whether a read took too long; some systems say that it would block.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    /// A server that greets with each of these in turn, and a client that is a shell script.
    fn login(
        greetings: &'static [&'static str],
        script: &str,
    ) -> Result<Output, VmError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for greeting in greetings {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(greeting.as_bytes()).unwrap();
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let client = dir.path().join("client");
        std::fs::write(&client, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755))
            .unwrap();
        let login = Login {
            client: &client,
            identity: Path::new("/key"),
            user: "root",
            command: "uname -s",
            port,
        };
        login.run(Instant::now() + Duration::from_secs(60), || greetings.is_empty())
    }

    #[test]
    fn the_client_runs_once_the_server_has_greeted() {
        let script =
            "echo \"$1 $2 $3 $4 $5 $7 $8 $9\"; shift 9; echo \"$@\"; echo no >&2; exit 3";
        let output = login(&["", "HTTP/1.0 200", "SSH-2.0-x\r\n"], script).unwrap();
        assert_eq!(output.stdout, "-y -y -i /key -p -l root 127.0.0.1\nuname -s\n");
        assert_eq!((output.status, output.stderr.as_str()), (3, "no"));
    }

    #[test]
    fn a_machine_that_is_gone_is_not_waited_for() {
        let error = login(&[], "exit 0").unwrap_err();
        assert!(
            error.to_string().starts_with("logging in as \"root\" over SSH"),
            "{error}"
        );
    }

    #[test]
    fn silence_is_named() {
        // QEMU accepts for a guest in which nobody listens.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let login = Login {
            client: Path::new("/client"),
            identity: Path::new("/key"),
            user: "root",
            command: "true",
            port,
        };
        let error = login.run(Instant::now() + MIN_TIMEOUT, || false).unwrap_err();
        assert!(error.to_string().ends_with("failed: nobody greets"), "{error}");
    }

    #[test]
    fn a_client_that_is_killed_is_an_error() {
        let error = login(&["SSH-2.0-x\r\n"], "kill -9 $$").unwrap_err();
        assert!(error.to_string().contains("the client died: signal: 9"), "{error}");
    }
}
