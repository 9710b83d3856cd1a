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

/// Unlinks what is not a directory in the first [`MAX_DEPTH`] levels of a tree, as far as that works.
pub(super) fn unlink_files(top: OwnedFd) {
    let (send, received) = sync_channel(THREADS);
    let received = Mutex::new(received);
    thread::scope(|scope| {
        let mut threads = 0;
        while threads < THREADS {
            let work = || take_batches(&received);
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
            threads += 1;
        }
        if threads > 0 {
            let _ = list(Arc::new(top), 0, &send);
        }
        drop(send);
    });
}

fn take_batches(received: &Mutex<Receiver<Batch>>) {
    loop {
        let batch = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        batch.unlink();
    }
}

fn list(
    dir: Arc<OwnedFd>,
    depth: usize,
    send: &SyncSender<Batch>,
) -> rustix::io::Result<()> {
    let mut names = Vec::new();
    // A receiver lives as long as the sender does.
    let hand_over = |names| {
        let _ = send.send(Batch { dir: Arc::clone(&dir), names });
    };
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            FileType::Directory if name == c"." || name == c".." => {}
            FileType::Directory if depth < MAX_DEPTH => {
                let child = open_child(dir.as_fd(), name)?;
                list(Arc::new(child), depth + 1, send)?;
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
            hand_over(std::mem::take(&mut names));
        }
    }
    if !names.is_empty() {
        hand_over(names);
    }
    Ok(())
}
