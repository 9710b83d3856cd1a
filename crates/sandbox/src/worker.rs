//! Copies of this process that compute something and answer over a socket.
//!
//! A copy starts with everything that the process has in memory, shares the pages until one of both writes to
//! them, and ends without running anything that the process would run at its end. It is no box: it is the same
//! program, doing a part of the same work. Frames go both ways and keep their order.
//!
//! What a copy must not do: use a lock that another thread of the process may have held (that thread is not
//! there any more), or what may be used by one process only, such as an open database.
#![expect(unsafe_code, reason = "fork and signal handlers have no safe wrapper")]

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};

/// How much is read from a socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// The signals that the program handles and its copies do not.
const HANDLED: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// A copy of this process. Dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    pid: Pid,
    /// What it says, and what it is told.
    pub channel: Channel,
}

/// One end of a conversation in frames of bytes. Nothing here waits unless its name says so.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    incoming: Vec<u8>,
    /// What of `incoming` was given out already.
    taken: usize,
    outgoing: Vec<u8>,
}

/// What a channel has.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The next frame.
    Frame(Vec<u8>),
    /// No whole frame yet.
    Nothing,
    /// The other end is gone, and everything that it said was read.
    End,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; nobody else waits for it, so its number is still its own.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty())
        {}
    }
}

/// Makes a copy of this process that runs `work` and ends.
///
/// In the copy standard input, output and error lead to `/dev/null`, and Ctrl-C and its kin end it at once. It
/// dies with the calling thread. A panic of `work` ends the copy and nothing else.
///
/// # Errors
/// The system refuses.
pub fn fork(work: impl FnOnce(Channel)) -> io::Result<Worker> {
    let (ours, theirs) = UnixStream::pair()?;
    let parent = rustix::process::getpid();
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty())?;
    // A handler of the program must not run in the copy: it would speak to the program's own thread.
    let before = block_signals();
    // SAFETY: the copy has one thread, this one. glibc and musl leave a usable allocator behind. What `work`
    // does is the contract of this module: it takes no lock that another thread may have held; the locks of
    // the standard streams are the only ones in sight, and `work` writes to none of them.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(ours);
        let prepared = prepare(parent, &null);
        restore_signals(&before);
        let done = prepared.is_ok()
            && Channel::new(theirs).is_ok_and(|channel| {
                std::panic::catch_unwind(AssertUnwindSafe(|| work(channel))).is_ok()
            });
        end(!done);
    }
    restore_signals(&before);
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(ErrorKind::Other))?;
    drop(theirs);
    let channel = Channel::new(ours);
    match channel {
        Ok(channel) => Ok(Worker { pid, channel }),
        Err(error) => {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            Err(error)
        }
    }
}

/// Ends a copy at once: no destructors, no handlers, no buffers.
pub fn end(failed: bool) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(i32::from(failed)) }
}

fn prepare(parent: Pid, null: &impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    for signal in HANDLED {
        // SAFETY: setting the default action needs nothing of the process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(rustix::io::Errno::SRCH);
    }
    rustix::stdio::dup2_stdin(null)?;
    rustix::stdio::dup2_stdout(null)?;
    rustix::stdio::dup2_stderr(null)
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: all-zero bytes are a valid signal set, which `sigfillset` then fills.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is a signal set that lives long enough.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: both are signal sets that live long enough.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    before
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: `before` is a signal set; the old mask is not asked for.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
    }
}

impl Channel {
    fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, incoming: Vec::new(), taken: 0, outgoing: Vec::new() })
    }

    /// Puts a frame into the queue of those to be sent.
    ///
    /// # Errors
    /// It is 4 GiB long or more.
    pub fn post(&mut self, frame: &[u8]) -> io::Result<()> {
        let length =
            u32::try_from(frame.len()).map_err(|_| io::Error::from(ErrorKind::Other))?;
        self.outgoing.extend_from_slice(&length.to_le_bytes());
        self.outgoing.extend_from_slice(frame);
        Ok(())
    }

    /// How many bytes wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends as much as the other end takes now.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn push(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.outgoing.len() {
                break Ok(());
            }
            match self.socket.write(&self.outgoing[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.outgoing.drain(..sent);
        result
    }

    /// Sends everything, and waits until the other end has taken it.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn push_and_wait(&mut self) -> io::Result<()> {
        loop {
            self.push()?;
            if self.outgoing.is_empty() {
                return Ok(());
            }
            wait_for(&[(&self.socket, PollFlags::OUT)])?;
        }
    }

    /// The next frame, if there is one already.
    pub fn take(&mut self) -> Incoming {
        if let Some(frame) = self.next_frame() {
            return Incoming::Frame(frame);
        }
        self.incoming.drain(..self.taken);
        self.taken = 0;
        let is_end = self.read();
        match self.next_frame() {
            Some(frame) => Incoming::Frame(frame),
            None if is_end => Incoming::End,
            None => Incoming::Nothing,
        }
    }

    /// Waits until there is something to take.
    ///
    /// # Errors
    /// The system refuses.
    pub fn wait(&self) -> io::Result<()> {
        wait_for(&[(&self.socket, PollFlags::IN)])
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let rest = &self.incoming[self.taken..];
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let frame = rest.get(..length)?.to_vec();
        self.taken += 4 + length;
        Some(frame)
    }

    /// Reads what is there; whether it was the last.
    fn read(&mut self) -> bool {
        loop {
            let filled = self.incoming.len();
            self.incoming.resize(filled + READ_BYTES, 0);
            let result = self.socket.read(&mut self.incoming[filled..]);
            self.incoming.truncate(filled + result.as_ref().map_or(0, |count| *count));
            match result {
                Ok(0) => return true,
                Ok(count) if count == READ_BYTES => {}
                Ok(_) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

fn wait_for(sockets: &[(&UnixStream, PollFlags)]) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> =
        sockets.iter().map(|(socket, events)| PollFd::new(*socket, *events)).collect();
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(channel: &mut Channel) -> Option<Vec<u8>> {
        loop {
            match channel.take() {
                Incoming::Frame(frame) => return Some(frame),
                Incoming::End => return None,
                Incoming::Nothing => channel.wait().unwrap(),
            }
        }
    }

    #[test]
    fn a_copy_answers_in_order_and_ends() {
        let base = vec![7_u8; 3];
        let mut worker = fork(|mut channel| {
            while let Some(mut frame) = next(&mut channel) {
                if frame == b"enough" {
                    return;
                }
                frame.extend_from_slice(&base);
                channel.post(&frame).unwrap();
                channel.push_and_wait().unwrap();
            }
        })
        .unwrap();
        let channel = &mut worker.channel;
        // Longer than any socket takes at once, in both directions.
        for length in [0, 1, 3_000_000] {
            channel.post(&vec![1; length]).unwrap();
            channel.push_and_wait().unwrap();
            let wanted = [vec![1; length], base.clone()].concat();
            assert_eq!(next(channel), Some(wanted));
        }
        channel.post(b"enough").unwrap();
        channel.push_and_wait().unwrap();
        assert_eq!(next(channel), None);
    }

    #[test]
    fn a_copy_that_panics_ends_alone_and_one_that_hangs_is_killed() {
        let mut worker = fork(|_| panic!("this is not seen")).unwrap();
        assert_eq!(next(&mut worker.channel), None);
        let worker = fork(|mut channel| while next(&mut channel).is_some() {}).unwrap();
        drop(worker);
    }
}
