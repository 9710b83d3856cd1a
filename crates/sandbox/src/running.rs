//! A box that runs: its log, its limits, its end.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::cgroup::Group;
use crate::error::Error;
use crate::spec::Limits;
use crate::tree::measure_tree;

/// How many of the last lines of the log are kept for a message.
const TAIL_LINES: usize = 25;
/// How often outputs are measured at most, where their size is limited.
const OUTPUT_INTERVAL: Duration = Duration::from_secs(1);
/// How many times as long as measuring took nothing is measured.
const OUTPUT_PAUSE: u32 = 20;
/// A longer line is cut in pieces of this size, so that memory stays bounded.
const LINE_BYTES: usize = 64 * 1024;

/// A running box. Dropping it kills the box.
#[derive(Debug)]
pub struct Running {
    killer: Killer,
    log: OwnedFd,
    limits: Limits,
    /// Where the outputs appear, which may not take too much space.
    outputs_dir: PathBuf,
    group: Group,
    reaped: bool,
    /// The kernel kills the box when the thread that started it ends, so it stays on that thread.
    not_send: PhantomData<*const ()>,
}

/// Kills a box from any thread.
#[derive(Debug, Clone)]
pub struct Killer {
    pidfd: Arc<OwnedFd>,
    killed: Arc<AtomicBool>,
}

impl Killer {
    /// Kills every process of the box. Harmless after its end.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.signal();
    }

    fn signal(&self) {
        // The only failure is that the box has ended already.
        let _ = rustix::process::pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }
}

/// How a box ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The cause.
    pub status: Status,
    /// The last lines of the log.
    pub tail: Vec<String>,
    /// How long it ran.
    pub duration: Duration,
}

/// Why a box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The builder exited with this code.
    Code(i32),
    /// The builder was killed by this signal.
    Signal(i32),
    /// It was killed after the longest time it may run.
    WallTimeout,
    /// It was killed after the longest time it may be silent.
    SilenceTimeout,
    /// It was killed because its log grew too large.
    LogTooLarge,
    /// It was killed, or ended well, with outputs that take too much space.
    OutputTooLarge,
    /// It failed, and a process of it was killed because they had too much memory.
    OutOfMemory,
    /// It failed, and a process of it was refused because there were too many.
    OutOfProcesses,
    /// It was killed by a [`Killer`].
    Killed,
}

impl Running {
    pub(crate) fn new(
        pidfd: OwnedFd,
        log: OwnedFd,
        limits: Limits,
        outputs_dir: PathBuf,
        group: Group,
    ) -> Self {
        let killer = Killer { pidfd: Arc::new(pidfd), killed: Arc::default() };
        let not_send = PhantomData;
        Self { killer, log, limits, outputs_dir, group, reaped: false, not_send }
    }

    /// A handle that kills this box from another thread.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Waits for the end, calling `on_line` with every line of the log, without its line feed.
    ///
    /// When it returns, every process of the box is gone.
    ///
    /// # Errors
    /// Where the box cannot be watched; it is killed then.
    pub fn wait(mut self, on_line: &mut dyn FnMut(&[u8])) -> Result<Exit, Error> {
        let started = Instant::now();
        let mut log = Log::new(on_line);
        let stopped = self.follow(&mut log, started)?;
        let status = self.reap()?;
        if stopped.is_none() {
            // What was written just before the end is still in the pipe.
            while matches!(log.read(&self.log)?, Progress::Read) {}
        }
        log.finish();
        let killed = self.killer.killed.load(Ordering::SeqCst);
        let status = match (stopped, status) {
            (Some(limit), _) => limit,
            (None, Status::Signal(_)) if killed => Status::Killed,
            (None, status) if self.outputs_are_too_large() => {
                debug_assert!(matches!(status, Status::Code(_) | Status::Signal(_)));
                Status::OutputTooLarge
            }
            (None, Status::Code(0)) => Status::Code(0),
            (None, _) if self.group.ran_out_of_memory() => Status::OutOfMemory,
            (None, _) if self.group.ran_out_of_processes() => Status::OutOfProcesses,
            (None, status) => status,
        };
        Ok(Exit { status, tail: log.tail.into(), duration: started.elapsed() })
    }

    /// Reads the log until the box has ended or a limit has ended it.
    fn follow(
        &self,
        log: &mut Log<'_>,
        started: Instant,
    ) -> Result<Option<Status>, Error> {
        let mut heard = started;
        let mut open = true;
        let mut look_at_outputs = started + OUTPUT_INTERVAL;
        loop {
            let mut now = Instant::now();
            if self.limits.output_bytes.is_some() && now >= look_at_outputs {
                if self.outputs_are_too_large() {
                    self.killer.signal();
                    return Ok(Some(Status::OutputTooLarge));
                }
                // Looking takes a small part of the time, however many files there are.
                let took = now.elapsed();
                now = Instant::now();
                look_at_outputs = now + OUTPUT_INTERVAL.max(took * OUTPUT_PAUSE);
            }
            if let Some(limit) = self.limits.exceeded(now, started, heard, log.bytes) {
                self.killer.signal();
                return Ok(Some(limit));
            }
            let looking = self.limits.output_bytes.map(|_| look_at_outputs);
            let timeout = self.limits.next_deadline(now, started, heard, looking);
            let mut fds = [
                PollFd::new(&*self.killer.pidfd, PollFlags::IN),
                PollFd::new(&self.log, PollFlags::IN),
            ];
            let count = if open { 2 } else { 1 };
            match poll(&mut fds[..count], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(watch("watch")(errno)),
            }
            if open && !fds[1].revents().is_empty() {
                match log.read(&self.log)? {
                    Progress::Read => heard = Instant::now(),
                    Progress::Nothing => {}
                    Progress::End => {
                        // As in Nix: a builder without a log is over. One that ends by itself ends as it does.
                        open = false;
                        self.killer.signal();
                    }
                }
            } else if !fds[0].revents().is_empty() {
                return Ok(None);
            }
        }
    }

    fn outputs_are_too_large(&self) -> bool {
        let limit = self.limits.output_bytes;
        // What cannot be measured is judged by those who take it over.
        limit.is_some_and(|limit| {
            measure_tree(&self.outputs_dir, limit).is_ok_and(|bytes| bytes > limit)
        })
    }

    fn reap(&mut self) -> Result<Status, Error> {
        let pidfd = WaitId::PidFd(self.killer.pidfd.as_fd());
        let status = loop {
            match rustix::process::waitid(pidfd.clone(), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                other => break other.map_err(watch("wait for"))?,
            }
        };
        self.reaped = true;
        let code = status.as_ref().and_then(WaitIdStatus::exit_status);
        let signal = status.as_ref().and_then(WaitIdStatus::terminating_signal);
        Ok(match (code, signal) {
            (Some(code), _) => Status::Code(code),
            (None, Some(signal)) => Status::Signal(signal),
            (None, None) => Status::Signal(libc::SIGKILL),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.killer.kill();
            let _ = self.reap();
        }
    }
}

fn watch(action: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Watch { action, source: io::Error::from(errno) }
}

impl Limits {
    fn exceeded(
        &self,
        now: Instant,
        started: Instant,
        heard: Instant,
        bytes: u64,
    ) -> Option<Status> {
        let over = |limit: Option<Duration>, since: Instant| {
            limit.is_some_and(|limit| now.duration_since(since) >= limit)
        };
        if over(self.wall, started) {
            Some(Status::WallTimeout)
        } else if over(self.silence, heard) {
            Some(Status::SilenceTimeout)
        } else if self.log_bytes.is_some_and(|limit| bytes > limit) {
            Some(Status::LogTooLarge)
        } else {
            None
        }
    }

    /// How long to wait for news; `None` is for ever.
    fn next_deadline(
        &self,
        now: Instant,
        started: Instant,
        heard: Instant,
        looking: Option<Instant>,
    ) -> Option<Timespec> {
        let left = |limit: Option<Duration>, since: Instant| {
            limit.map(|limit| limit.saturating_sub(now.duration_since(since)))
        };
        let look = looking.map(|at| at.saturating_duration_since(now));
        let wait = [left(self.wall, started), left(self.silence, heard), look];
        let wait = wait.into_iter().flatten().min()?;
        // Rounded up, so that the deadline has passed when the poll returns.
        Timespec::try_from(wait + Duration::from_millis(1)).ok()
    }
}

/// What one read brought.
enum Progress {
    Read,
    Nothing,
    End,
}

/// The log on its way from the pipe to lines.
struct Log<'a> {
    on_line: &'a mut dyn FnMut(&[u8]),
    /// The line that has not ended yet.
    partial: Vec<u8>,
    buffer: Vec<u8>,
    bytes: u64,
    tail: VecDeque<String>,
}

impl<'a> Log<'a> {
    fn new(on_line: &'a mut dyn FnMut(&[u8])) -> Self {
        let buffer = vec![0; LINE_BYTES];
        Self { on_line, partial: Vec::new(), buffer, bytes: 0, tail: VecDeque::new() }
    }

    fn read(&mut self, pipe: &OwnedFd) -> Result<Progress, Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = rustix::io::read(pipe, &mut buffer[..]);
        if let Ok(count) = read {
            self.take(&buffer[..count]);
        }
        self.buffer = buffer;
        match read {
            Ok(0) => Ok(Progress::End),
            Ok(_) => Ok(Progress::Read),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Progress::Nothing),
            Err(errno) => Err(watch("read the log of")(errno)),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.partial.pop();
                self.emit();
            } else if self.partial.len() >= LINE_BYTES {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let line = std::mem::take(&mut self.partial);
        (self.on_line)(&line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(String::from_utf8_lossy(&line).into_owned());
        self.partial = line;
        self.partial.clear();
    }

    fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.emit();
        }
    }
}
