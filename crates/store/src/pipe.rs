//! Hashing on a second thread.
//!
//! SHA-256 is as fast as reading files, so that a tree is dumped twice as fast when both happen at
//! once. Small streams, which are most, never start the thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use picnix_store_core::{Hash, HashAlgo, HashSink};

/// How much is handed over at once.
const CHUNK_SIZE: usize = 256 * 1024;
/// How many pieces may wait; with their size this bounds the memory.
const QUEUE_LEN: usize = 4;

/// A hasher that moves to a thread of its own when the stream is long.
pub(crate) struct HashPipe {
    chunk: Vec<u8>,
    state: State,
}

enum State {
    Here(Box<HashSink>),
    Away(Thread),
}

struct Thread {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<HashSink>,
}

impl HashPipe {
    pub(crate) fn new(algo: HashAlgo) -> Self {
        Self { chunk: Vec::new(), state: State::Here(Box::new(HashSink::new(algo))) }
    }

    /// Ends the stream: its hash and its length.
    pub(crate) fn finish(self) -> (Hash, u64) {
        match self.state {
            State::Here(mut sink) => {
                sink.update(&self.chunk);
                sink.finish()
            }
            State::Away(Thread { full, handle, .. }) => {
                // The thread ends when the channel closes; the last piece goes before that.
                let sent = full.send(self.chunk);
                drop(full);
                let sink = handle.join().expect("hashing does not panic");
                sent.expect("the hasher reads until the channel closes");
                sink.finish()
            }
        }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if let State::Here(sink) = &mut self.state {
            let sink = std::mem::replace(&mut **sink, HashSink::new(HashAlgo::Md5));
            self.state = State::Away(start(sink)?);
        }
        if let State::Away(thread) = &mut self.state {
            thread.full.send(chunk).map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.chunk = thread.empty.try_recv().unwrap_or_default();
        }
        Ok(())
    }
}

fn start(mut sink: HashSink) -> io::Result<Thread> {
    let (full, full_receiver) = sync_channel::<Vec<u8>>(QUEUE_LEN);
    let (empty_sender, empty) = sync_channel::<Vec<u8>>(QUEUE_LEN + 2);
    let work = move || {
        while let Ok(mut chunk) = full_receiver.recv() {
            sink.update(&chunk);
            chunk.clear();
            // Nobody minds if the buffer is not wanted back.
            let _ = empty_sender.try_send(chunk);
        }
        sink
    };
    let handle = std::thread::Builder::new().name("hash".to_owned()).spawn(work)?;
    Ok(Thread { full, empty, handle })
}

impl Write for HashPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve(bytes.len().clamp(4096, CHUNK_SIZE));
        }
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_SIZE {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that may be missing.
pub(crate) struct Maybe<W>(pub(crate) Option<W>);

impl<W: Write> Write for Maybe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(bytes.len()), |sink| sink.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Writes to two sinks at once.
pub(crate) struct Tee<A, B>(pub(crate) A, pub(crate) B);

impl<A: Write, B: Write> Write for Tee<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_changes_no_hash() {
        for len in [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, 5 * CHUNK_SIZE + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let mut pipe = HashPipe::new(HashAlgo::Sha256);
            for piece in bytes.chunks(70_001) {
                pipe.write_all(piece).unwrap();
            }
            let wanted = Hash::of(HashAlgo::Sha256, &bytes);
            assert_eq!(pipe.finish(), (wanted, len as u64));
        }
    }
}
