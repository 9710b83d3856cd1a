//! Being the machine that builds for others: Nix's worker protocol from the server's side.
//!
//! [`Daemon::serve`] answers one client on a pair of streams, such as the standard streams of a program
//! that `ssh` started. A real Nix then copies to this store, builds in it, and copies from it.
//!
//! The decision worth knowing: **the client is trusted.** Whoever can run this program in his account may
//! do anything with the store of that account, so nothing is gained by asking him for signatures; the
//! handshake says so, and clients may build derivations that they do not send. What a client sends is
//! checked against its hash nevertheless.
//!
//! Operations run one after the other, as the protocol has it. While one runs, a thread watches whether
//! the client is gone, and then everything that runs is stopped.
//!
//! Not here: operations of content-addressed derivations, which are not built yet, and repairing.

mod adding;
mod building;
mod queries;
mod session;
mod tunnel;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::build::Builder;
use crate::cancel::Cancel;

/// How often the watcher looks whether it is still needed.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A server of the worker protocol.
pub struct Daemon<'a> {
    /// What builds: its store, its settings, its caches. Its observer is told what the client is not.
    pub builder: Builder<'a>,
    /// The version of Nix that the handshake names.
    pub nix_version: &'a str,
}

/// Why a conversation ended early.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The client does not speak the protocol, or not a version that is spoken here.
    #[error("the client does not speak the worker protocol")]
    NoClient,
    /// The client speaks a version that is too old.
    #[error("the client's version {0} of the worker protocol is too old")]
    Version(String),
    /// The client stopped in the middle, or broke the rules.
    #[error("the conversation with the client broke off: {0}")]
    Broken(#[from] picnix_store_core::Error),
}

impl Daemon<'_> {
    /// Answers a client until it ends the conversation.
    ///
    /// # Errors
    /// [`DaemonError`]; what the client asked for before is done.
    pub fn serve(
        &self,
        from: impl Read + AsFd,
        to: impl Write + Send,
    ) -> Result<(), DaemonError> {
        let cancel = Cancel::new();
        let inner = cancel.clone();
        let forwarded = self.builder.cancel.on_cancel(move || inner.cancel());
        let is_over = AtomicBool::new(false);
        let watched = from.as_fd().try_clone_to_owned();
        let watched = watched.map_err(picnix_store_core::Error::from)?;
        let result = std::thread::scope(|scope| {
            scope.spawn(|| watch(&watched, &is_over, &cancel));
            let result = session::run(self, from, to, &cancel);
            is_over.store(true, Ordering::SeqCst);
            result
        });
        drop(forwarded);
        result
    }
}

/// Asks everything to stop when the other end of a stream is closed.
fn watch(stream: &impl AsFd, is_over: &AtomicBool, cancel: &Cancel) {
    let interval = Timespec::try_from(WATCH_INTERVAL).unwrap_or_default();
    while !is_over.load(Ordering::SeqCst) {
        let mut watched = [PollFd::new(stream, PollFlags::empty())];
        match poll(&mut watched, Some(&interval)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => {
                cancel.cancel();
                return;
            }
        }
    }
}

/// Reads until the end, for what nobody needs any more.
fn drain(mut source: impl Read) -> io::Result<()> {
    io::copy(&mut source, &mut io::sink()).map(|_| ())
}
