//! Frames: a stream of unknown length within the worker protocol.
//!
//! Each piece is its length and its bytes, without padding; a length of 0 ends the stream.

use std::io::{self, Read, Write};

/// The most that is written as one frame.
const FRAME_BYTES: usize = 64 << 10;

/// Reads what is in frames. Ends where they end.
#[derive(Debug)]
pub struct FramedReader<'a, R: Read> {
    source: &'a mut R,
    left: u64,
    has_ended: bool,
}

impl<'a, R: Read> FramedReader<'a, R> {
    /// Reads frames from a stream.
    pub fn new(source: &'a mut R) -> Self {
        Self { source, left: 0, has_ended: false }
    }

    /// Reads what is left of the frames, so that the stream goes on after them.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(|_| ())
    }
}

impl<R: Read> Read for FramedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.has_ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut len = [0; 8];
            self.source.read_exact(&mut len)?;
            self.left = u64::from_le_bytes(len);
            if self.left == 0 {
                self.has_ended = true;
                return Ok(0);
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes frames. They must be finished.
#[derive(Debug)]
pub struct FramedWriter<'a, W: Write> {
    sink: &'a mut W,
    buffer: Vec<u8>,
}

impl<'a, W: Write> FramedWriter<'a, W> {
    /// Writes frames to a stream.
    pub fn new(sink: &'a mut W) -> Self {
        Self { sink, buffer: Vec::with_capacity(FRAME_BYTES) }
    }

    /// Writes the end of the stream.
    pub fn finish(mut self) -> io::Result<()> {
        self.frame()?;
        self.sink.write_all(&0u64.to_le_bytes())
    }

    fn frame(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.sink.write_all(&(self.buffer.len() as u64).to_le_bytes())?;
            self.sink.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for FramedWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(FRAME_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == FRAME_BYTES {
            self.frame()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.frame()?;
        self.sink.flush()
    }
}
