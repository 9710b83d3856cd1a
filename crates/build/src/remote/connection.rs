//! An open connection to a daemon: started, greeted, and ended whatever happens.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picnix_store_core::StoreDir;
use picnix_store_core::worker::{
    CLIENT_MAGIC, Message, SERVER_MAGIC, TrustLevel, WireReader, WireWriter,
    WorkerVersion,
};

use crate::lock::lock;
use crate::remote::address::{RemoteAddress, SshTarget, Transport};
use crate::remote::error::RemoteError;

/// How much is read and written at a time.
const BUFFER_SIZE: usize = 256 * 1024;
/// How many lines of a program's standard error are kept for messages.
const SAID_LINES: usize = 10;
/// How long the last words of a program that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection to a daemon.
pub struct Connection {
    pub(super) address: String,
    pub(super) reader: WireReader<BufReader<Box<dyn Read + Send>>>,
    pub(super) writer: WireWriter<BufWriter<Box<dyn Write + Send>>>,
    breaker: Breaker,
    said: Option<Said>,
    trust: TrustLevel,
}

/// What a program writes to its standard error.
struct Said {
    lines: Arc<Mutex<VecDeque<String>>>,
    ended: Receiver<()>,
}

/// Ends a connection from another thread.
#[derive(Clone)]
pub(crate) enum Breaker {
    Program { child: Arc<Mutex<Child>>, has_group: bool },
    Socket(Arc<UnixStream>),
}

impl Breaker {
    /// Ends it: whoever reads or writes gets an error.
    pub(crate) fn break_off(&self) {
        // What has ended by itself need not be ended.
        match self {
            Self::Program { child, has_group } => {
                let mut child = lock(child);
                if *has_group
                    && matches!(child.try_wait(), Ok(None))
                    && let Some(group) = i32::try_from(child.id())
                        .ok()
                        .and_then(rustix::process::Pid::from_raw)
                {
                    let signal = rustix::process::Signal::KILL;
                    let _ = rustix::process::kill_process_group(group, signal);
                }
                let _ = child.kill();
            }
            Self::Socket(socket) => drop(socket.shutdown(Shutdown::Both)),
        }
    }
}

impl Connection {
    /// Opens a connection to the daemon of a store with this store directory.
    ///
    /// # Errors
    /// It cannot be reached, or speaks something else.
    pub fn open(
        address: &RemoteAddress,
        store_dir: &StoreDir,
    ) -> Result<Self, RemoteError> {
        Self::open_as(address, store_dir, WorkerVersion::LATEST)
    }

    /// Opens a connection and claims to know the protocol up to a version only.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_as(
        address: &RemoteAddress,
        store_dir: &StoreDir,
        version: WorkerVersion,
    ) -> Result<Self, RemoteError> {
        let failed =
            |source| RemoteError::Connect { address: address.text.clone(), source };
        let mut connection = match &address.transport {
            Transport::Socket(path) => {
                let socket = UnixStream::connect(path).map_err(failed)?;
                let halves = [socket.try_clone(), socket.try_clone()];
                let [from, to] = halves.map(|half| half.map_err(failed));
                let breaker = Breaker::Socket(Arc::new(socket));
                let (from, to) = (Box::new(from?), Box::new(to?));
                Self::new(address, store_dir, from, to, breaker)
            }
            Transport::Program(words) => {
                let mut command = Command::new(&words[0]);
                // Its whole family must end with it; it has no business with the terminal.
                command.args(&words[1..]).process_group(0);
                Self::start(address, store_dir, command, true).map_err(failed)?
            }
            Transport::Ssh(target) => {
                // ssh may ask for a password, so it stays in the terminal's group.
                let (command, _host_key) = ssh_command(target).map_err(failed)?;
                let mut connection =
                    Self::start(address, store_dir, command, false).map_err(failed)?;
                connection.greet(version)?;
                return Ok(connection);
            }
        };
        connection.greet(version)?;
        Ok(connection)
    }

    fn start(
        address: &RemoteAddress,
        store_dir: &StoreDir,
        mut command: Command,
        has_group: bool,
    ) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        let breaker = Breaker::Program { child, has_group };
        let (Some(to), Some(from), Some(errors)) = pipes else {
            breaker.break_off();
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (to, from) = (Box::new(to), Box::new(from));
        let mut connection = Self::new(address, store_dir, from, to, breaker);
        connection.said = Some(Said::listen(errors));
        Ok(connection)
    }

    fn new(
        address: &RemoteAddress,
        store_dir: &StoreDir,
        from: Box<dyn Read + Send>,
        to: Box<dyn Write + Send>,
        breaker: Breaker,
    ) -> Self {
        let from = BufReader::with_capacity(BUFFER_SIZE, from);
        let to = BufWriter::with_capacity(BUFFER_SIZE, to);
        Self {
            address: address.text.clone(),
            reader: WireReader::new(from, store_dir.clone()),
            writer: WireWriter::new(to, store_dir.clone()),
            breaker,
            said: None,
            trust: TrustLevel::Unknown,
        }
    }

    /// The version of the protocol that is spoken.
    #[must_use]
    pub fn version(&self) -> WorkerVersion {
        self.reader.version()
    }

    /// Whether the daemon does what we say.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.trust
    }

    /// Something that ends the connection from another thread.
    pub(crate) fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    fn greet(&mut self, version: WorkerVersion) -> Result<(), RemoteError> {
        self.exchange_versions(version)?;
        let has = |minor| self.reader.version().has(minor);
        let (has_features, has_name, has_trust) = (has(38), has(33), has(35));
        let greeted = (|| {
            if has_features {
                // We have none.
                self.writer.count(0)?;
                self.writer.flush()?;
                self.reader.strings()?;
            }
            // Which processor to use, and whether to reserve space: no longer looked at.
            self.writer.number(0)?;
            self.writer.number(0)?;
            self.writer.flush()?;
            if has_name {
                self.reader.bytes()?;
            }
            if has_trust {
                self.trust = self.reader.trust_level()?;
            }
            Ok(())
        })();
        greeted.map_err(|error| self.lost(error))?;
        self.await_end(&mut |_| {})
    }

    fn exchange_versions(&mut self, version: WorkerVersion) -> Result<(), RemoteError> {
        // Whoever is no daemon may have ended by now; what it said still counts.
        let _ = (|| {
            self.writer.number(CLIENT_MAGIC)?;
            self.writer.number(version.to_wire())?;
            self.writer.flush()
        })();
        let magic = self.reader.number().map_err(|error| self.lost(error))?;
        if magic != SERVER_MAGIC {
            // A greeting of a shell, most likely.
            self.breaker.break_off();
            let mut said = magic.to_le_bytes().to_vec();
            let _ = self.reader.source().take(1024).read_to_end(&mut said);
            let said = String::from_utf8_lossy(&said).trim_end().to_owned();
            return Err(RemoteError::NoDaemon { address: self.address.clone(), said });
        }
        let theirs = self.reader.number().map_err(|error| self.lost(error))?;
        let theirs = WorkerVersion::from_wire(theirs);
        let version = theirs.min(version);
        if theirs.major != version.major || version < WorkerVersion::OLDEST {
            let (address, version) = (self.address.clone(), theirs.to_string());
            return Err(RemoteError::Version { address, version });
        }
        self.reader.set_version(version);
        self.writer.set_version(version);
        Ok(())
    }

    /// Reads what the daemon says until it is done with what it was asked for.
    pub(super) fn await_end(
        &mut self,
        hear: &mut dyn FnMut(&Message),
    ) -> Result<(), RemoteError> {
        if let Err(error) = self.writer.flush() {
            return Err(self.lost(error));
        }
        loop {
            match self.reader.message() {
                Ok(Message::Last) => return Ok(()),
                Ok(Message::Error(failure)) => {
                    let address = self.address.clone();
                    return Err(RemoteError::Refused {
                        address,
                        message: failure.message,
                    });
                }
                Ok(message) => hear(&message),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    /// An error with what the program said last.
    pub(super) fn lost(&mut self, source: picnix_store_core::Error) -> RemoteError {
        self.breaker.break_off();
        let said = self.said.as_ref().map(Said::last_words).unwrap_or_default();
        RemoteError::Lost { address: self.address.clone(), source, said }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.breaker.break_off();
        if let Breaker::Program { child, .. } = &self.breaker {
            // It has been killed, so this takes no time.
            let _ = lock(child).wait();
        }
    }
}

impl Said {
    fn listen(errors: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, ended) = channel();
        let heard = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n') {
                let Ok(line) = line else { break };
                let mut heard = lock(&heard);
                if heard.len() == SAID_LINES {
                    heard.pop_front();
                }
                heard.push_back(String::from_utf8_lossy(&line).into_owned());
            }
            // Nobody may be listening any more.
            let _ = sender.send(());
        });
        Self { lines, ended }
    }

    fn last_words(&self) -> String {
        // Somebody else may hold the other end of the pipe, so there is a limit.
        let _ = self.ended.recv_timeout(LAST_WORDS);
        Vec::from(lock(&self.lines).clone()).join("\n")
    }
}

/// The command, and the file with the host's key, which must live until ssh has read it.
fn ssh_command(target: &SshTarget) -> io::Result<(Command, Option<HostKeyFile>)> {
    let mut command = Command::new("ssh");
    command.args([&*target.host, "-x"]).args(&target.options);
    if let Some(key) = &target.key {
        command.args(["-i", key]);
    }
    if target.compress {
        command.arg("-C");
    }
    if let Some(port) = target.port {
        command.arg(format!("-p{port}"));
    }
    let mut file = None;
    if let Some(key) = &target.host_key {
        let host = target.host.rsplit('@').next().unwrap_or(&target.host);
        let made = HostKeyFile::make(host, key)?;
        command.arg(format!("-oUserKnownHostsFile={}", made.0.display()));
        file = Some(made);
    }
    command.args(["--", &*target.command]);
    Ok((command, file))
}

/// A file that tells ssh which key a host has.
struct HostKeyFile(std::path::PathBuf);

impl HostKeyFile {
    fn make(host: &str, base64: &str) -> io::Result<Self> {
        let key = picnix_store_core::encoding::base64_decode(base64.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        for attempt in 0u32.. {
            let name = format!("picnix-host-key-{}-{attempt}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(mut file) => {
                    let made = Self(path);
                    file.write_all(&[host.as_bytes(), b" ", &key, b"\n"].concat())?;
                    return Ok(made);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for HostKeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
