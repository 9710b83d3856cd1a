//! The files of a tree, unlinked by several threads at a time.
//!
//! A file system that tells its disk at once what became free (ext4 with `discard` and without a
//! journal) waits for the disk at every file: a kernel's source takes minutes one file at a time, and
//! a ninth of that eight at a time. Nothing here fails: what is left, and why, is found by who removes
//! the tree afterwards.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::{MAX_DEPTH, open_child};

/// How many wait for the disk at a time.
const THREADS: usize = 8;
/// Names that a thread takes at once; a tree with fewer needs no thread.
const BATCH: usize = 64;

/// Files of one directory.
struct Batch {
    dir: Arc<OwnedFd>,
    names: Vec<CString>,
}

impl Batch {
    fn unlink(self) {
        for name in self.names {
            let _ = rustix::fs::unlinkat(&self.dir, name, AtFlags::empty());
        }
    }
}

/// Unlinks what is not a directory in the first [`MAX_DEPTH`] levels of a tree, as far as that works. A small
/// tree is left as it is.
pub(super) fn unlink_files(top: OwnedFd) {
    let (send, received) = sync_channel(THREADS);
    let received = Mutex::new(received);
    thread::scope(|scope| {
        let start = || {
            let work = || take_batches(&received);
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, work);
            (0..THREADS).map_while(|number| spawn(number).ok()).count() > 0
        };
        let mut found = Found { held: Vec::new(), names: 0, send, start };
        let _ = found.list(Arc::new(top), 0);
    });
}

/// What is to be unlinked.
struct Found<F> {
    /// Waits until there is enough for threads.
    held: Vec<Batch>,
    names: usize,
    send: SyncSender<Batch>,
    /// Starts the threads, and tells whether there are any.
    start: F,
}

fn take_batches(received: &Mutex<Receiver<Batch>>) {
    loop {
        let batch = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        batch.unlink();
    }
}

impl<F: Fn() -> bool> Found<F> {
    fn list(&mut self, dir: Arc<OwnedFd>, depth: usize) -> rustix::io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if name == c"." || name == c".." => {}
                FileType::Directory if depth < MAX_DEPTH => {
                    let child = open_child(dir.as_fd(), name)?;
                    self.list(Arc::new(child), depth + 1)?;
                }
                FileType::Directory | FileType::Unknown => {}
                FileType::RegularFile
                | FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice => names.push(name.to_owned()),
            }
            if names.len() == BATCH {
                self.hand_over(&dir, std::mem::take(&mut names))?;
            }
        }
        if names.is_empty() { Ok(()) } else { self.hand_over(&dir, names) }
    }

    /// Gives names to the threads, which begin when there are enough of them. An error ends the listing.
    fn hand_over(
        &mut self,
        dir: &Arc<OwnedFd>,
        names: Vec<CString>,
    ) -> rustix::io::Result<()> {
        let had_enough = self.names >= BATCH;
        self.names += names.len();
        self.held.push(Batch { dir: Arc::clone(dir), names });
        if self.names < BATCH {
            return Ok(());
        }
        if !had_enough && !(self.start)() {
            return Err(Errno::AGAIN);
        }
        for batch in self.held.drain(..) {
            // A receiver lives as long as the sender does.
            let _ = self.send.send(batch);
        }
        Ok(())
    }
}
