//! Hashing on a second thread.
//!
//! SHA-256 is as fast as reading files, so that a tree is dumped twice as fast when both happen at
//! once. Small streams, which are most, never start the thread.

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use picnix_store_core::{Hash, HashAlgo, HashSink};

/// How much is handed over at once.
const CHUNK_SIZE: usize = 256 * 1024;
/// What is read at first of a stream that may be short, and kept of one at least.
const SMALL_SIZE: usize = 4096;
/// From this length on a piece is handed over if the next bytes do not fit.
const FULL_SIZE: usize = CHUNK_SIZE / 4 * 3;
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

/// Where an archive goes. A sink that keeps bytes in memory anyway can have files read into that memory, which saves
/// a copy.
pub trait DumpSink: Write {
    /// Room for the next bytes, of which there will be at most `max`, more than none. `None`: the sink has to be
    /// written to.
    ///
    /// # Errors
    /// What came before cannot be written.
    fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>>;
}

/// Room for the next bytes of an archive.
#[derive(Debug)]
pub struct Room<'a> {
    /// The bytes that came last; the next ones go behind them.
    pub bytes: &'a mut Vec<u8>,
    /// How many may be added, one at least; there is capacity for them, and hardly for more.
    pub most: usize,
}

impl<'a> Room<'a> {
    /// Room behind `bytes`, which never become longer than `limit`. Their memory grows as it is needed, but
    /// not beyond that: what is read at once has no other bound than the memory there is.
    pub fn within(limit: usize, bytes: &'a mut Vec<u8>, max: usize) -> Self {
        let (len, capacity) = (bytes.len(), bytes.capacity());
        let wanted = (len + max).min(limit);
        if wanted > capacity {
            let grown = wanted.max(2 * capacity).max(SMALL_SIZE).min(limit);
            bytes.reserve_exact(grown - len);
        }
        Self { bytes, most: wanted - len }
    }
}

/// A sink that is written to.
pub(crate) struct Written<W>(pub(crate) W);

impl<W: Write> DumpSink for Written<W> {
    fn room(&mut self, _max: usize) -> io::Result<Option<Room<'_>>> {
        Ok(None)
    }
}

impl<W: Write> Write for Written<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: DumpSink> DumpSink for &mut S {
    fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>> {
        (**self).room(max)
    }
}

impl DumpSink for HashPipe {
    fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>> {
        self.next_room(max).map(Some)
    }
}

impl DumpSink for Tee<HashPipe, Maybe<HashPipe>> {
    fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>> {
        if self.1.0.is_some() { Ok(None) } else { self.0.room(max) }
    }
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

    /// Room for the next bytes, or for some of them. Short streams, which are most, have a small piece.
    fn next_room(&mut self, max: usize) -> io::Result<Room<'_>> {
        let len = self.chunk.len();
        if len >= FULL_SIZE && len + max > CHUNK_SIZE {
            self.hand_over()?;
            self.chunk.clear();
            self.chunk.reserve_exact(CHUNK_SIZE);
        }
        Ok(Room::within(CHUNK_SIZE, &mut self.chunk, max))
    }

    /// Gives the piece to the thread; the one that is in its place has any length and contents.
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

/// Hashes what is consumed of a stream that nobody else reads on: the buffers that it fills go to the
/// hasher as they are, without a copy.
pub(crate) struct HashedSource<R> {
    source: R,
    /// Its piece is the buffer; all of it may be written to.
    pipe: HashPipe,
    filled: usize,
    consumed: usize,
}

impl<R: Read> HashedSource<R> {
    pub(crate) fn new(source: R, algo: HashAlgo) -> Self {
        Self { source, pipe: HashPipe::new(algo), filled: 0, consumed: 0 }
    }

    /// The hash and the length of what was consumed.
    pub(crate) fn finish(mut self) -> (Hash, u64) {
        self.pipe.chunk.truncate(self.consumed);
        self.pipe.finish()
    }

    /// Makes room behind what is filled. Short streams, which are most, have a small buffer.
    fn make_room(&mut self) -> io::Result<()> {
        let len = self.pipe.chunk.len();
        if len == CHUNK_SIZE {
            self.pipe.hand_over()?;
        } else if let State::Here(sink) = &mut self.pipe.state {
            sink.update(&self.pipe.chunk);
        }
        let wanted = if len == 0 { SMALL_SIZE } else { (4 * len).min(CHUNK_SIZE) };
        self.pipe.chunk.resize(wanted, 0);
        (self.filled, self.consumed) = (0, 0);
        Ok(())
    }
}

impl<R: Read> Read for HashedSource<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(bytes)?;
        self.consume(len);
        Ok(len)
    }
}

impl<R: Read> BufRead for HashedSource<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.filled {
            if self.filled == self.pipe.chunk.len() {
                self.make_room()?;
            }
            self.filled += self.source.read(&mut self.pipe.chunk[self.filled..])?;
        }
        Ok(&self.pipe.chunk[self.consumed..self.filled])
    }

    fn consume(&mut self, len: usize) {
        self.consumed = self.filled.min(self.consumed + len);
    }
}

fn start(mut sink: HashSink) -> io::Result<Thread> {
    let (full, full_receiver) = sync_channel::<Vec<u8>>(QUEUE_LEN);
    let (empty_sender, empty) = sync_channel::<Vec<u8>>(QUEUE_LEN + 2);
    let work = move || {
        while let Ok(chunk) = full_receiver.recv() {
            sink.update(&chunk);
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
        let Room { bytes: chunk, most } = self.next_room(bytes.len())?;
        chunk.extend_from_slice(&bytes[..most]);
        Ok(most)
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
            for limit in [1, 70_001, usize::MAX] {
                let source = Pieces { bytes: &bytes, limit };
                let mut source = HashedSource::new(source, HashAlgo::Sha256);
                let mut read = Vec::new();
                source.read_to_end(&mut read).unwrap();
                assert!(read == bytes);
                assert_eq!(source.finish(), (wanted, len as u64));
            }
        }
    }

    #[test]
    fn what_is_not_consumed_is_not_hashed() {
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * CHUNK_SIZE).collect();
        let mut source = HashedSource::new(bytes.as_slice(), HashAlgo::Sha256);
        let mut start = vec![0; CHUNK_SIZE + 9];
        source.read_exact(&mut start).unwrap();
        assert!(source.fill_buf().unwrap().len() > 1);
        let wanted = Hash::of(HashAlgo::Sha256, &bytes[..start.len()]);
        assert_eq!(source.finish(), (wanted, start.len() as u64));
    }

    /// Gives at most so many bytes at once.
    struct Pieces<'a> {
        bytes: &'a [u8],
        limit: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.limit);
            self.bytes.read(&mut buffer[..most])
        }
    }
}
