//! Reading a NAR as a stream, trusting nothing.

use std::io::{BufRead, ErrorKind, Write};

use super::{
    MAGIC, MAX_DEPTH, MAX_FILE_SIZE, MAX_NAME_LEN, MAX_TARGET_LEN, NarEvent, NarWriter,
    is_name, padding,
};
use crate::error::{Error, Result, show};

/// The longest keyword, with slack for a useful message about short garbage.
const MAX_TAG_LEN: usize = 32;

/// A NAR being read from `source`. Not a byte beyond the archive's end is consumed.
pub struct NarReader<R> {
    source: R,
    position: u64,
    /// For each open directory the name of the last entry.
    directories: Vec<Vec<u8>>,
    state: State,
    /// The name of the current node; the root's is empty.
    name: Vec<u8>,
    contents_offset: u64,
    target: Vec<u8>,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Entries,
    Contents { left: u64, padding: usize },
    Done,
}

impl<R: BufRead> NarReader<R> {
    /// Starts reading; nothing is consumed before the first event.
    pub fn new(source: R) -> Self {
        Self {
            source,
            position: 0,
            directories: Vec::new(),
            state: State::Start,
            name: Vec::new(),
            contents_offset: 0,
            target: Vec::new(),
        }
    }

    /// Reads the next event; `None` after the root's end.
    ///
    /// Contents of a file that were not read are skipped.
    pub fn next_event(&mut self) -> Result<Option<NarEvent<'_>>> {
        match self.state {
            State::Start => {
                let mut magic = Vec::new();
                match self.string(&mut magic, MAGIC.len()) {
                    Ok(()) if magic == MAGIC => {}
                    Ok(()) | Err(Error::Nar(_)) => return Err(Error::NarMagic),
                    Err(error) => return Err(error),
                }
                self.node().map(Some)
            }
            State::Contents { .. } => {
                self.copy_contents(|_| Ok(()))?;
                self.next_event()
            }
            State::Entries => self.entry().map(Some),
            State::Done => Ok(None),
        }
    }

    /// Reads what is left of the current file's contents, in pieces.
    pub fn copy_contents(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        while let State::Contents { left, padding } = self.state {
            let buffer = fill(&mut self.source)?;
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            sink(&buffer[..len])?;
            self.source.consume(len);
            self.position += len as u64;
            let left = left - len as u64;
            self.state = State::Contents { left, padding };
            if left == 0 {
                self.end_contents(padding)?;
            }
        }
        Ok(())
    }

    /// Reads what is left of the current file's contents into `sink`.
    pub fn write_contents_to(&mut self, sink: &mut impl Write) -> Result<()> {
        self.copy_contents(|bytes| Ok(sink.write_all(bytes)?))
    }

    /// The number of bytes consumed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where in the archive the contents of the last file start.
    pub fn contents_offset(&self) -> u64 {
        self.contents_offset
    }

    /// Gives the source back, at the byte after the archive if that was read to its end.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// Reads an entry of the innermost directory, or its end.
    fn entry(&mut self) -> Result<NarEvent<'_>> {
        let mut tag = Vec::new();
        self.string(&mut tag, MAX_TAG_LEN)?;
        if tag == b")" {
            self.directories.pop();
            self.end_entry()?;
            return Ok(NarEvent::EndDirectory);
        }
        if tag != b"entry" {
            return Err(unexpected("'entry' or ')'", &tag));
        }
        self.expect(b"(")?;
        self.expect(b"name")?;
        let mut name = std::mem::take(&mut self.name);
        self.string(&mut name, MAX_NAME_LEN)?;
        if !is_name(&name) {
            return Err(bad(&format!(
                "NAR contains invalid file name '{}'",
                show(&name)
            )));
        }
        let last = self.directories.last_mut().expect("entries are read in a directory");
        if name <= *last {
            return Err(bad("NAR directory is not sorted"));
        }
        last.clone_from(&name);
        self.name = name;
        self.expect(b"node")?;
        self.node()
    }

    fn node(&mut self) -> Result<NarEvent<'_>> {
        if self.directories.len() >= MAX_DEPTH {
            let message =
                format!("NAR directory nesting exceeds maximum depth of {MAX_DEPTH}");
            return Err(bad(&message));
        }
        self.expect(b"(")?;
        self.expect(b"type")?;
        let mut kind = Vec::new();
        self.string(&mut kind, MAX_TAG_LEN)?;
        match kind.as_slice() {
            b"directory" => {
                self.directories.push(Vec::new());
                self.state = State::Entries;
                Ok(NarEvent::Directory { name: &self.name })
            }
            b"regular" => self.file(),
            b"symlink" => self.symlink(),
            _ => Err(bad(&format!("unknown file type '{}'", show(&kind)))),
        }
    }

    fn file(&mut self) -> Result<NarEvent<'_>> {
        let mut tag = Vec::new();
        self.string(&mut tag, MAX_TAG_LEN)?;
        let executable = tag == b"executable";
        if executable {
            let mut marker = Vec::new();
            self.string(&mut marker, 0)
                .map_err(|_| bad("executable marker has non-empty value"))?;
            self.string(&mut tag, MAX_TAG_LEN)?;
        }
        if tag != b"contents" {
            return Err(unexpected("'contents'", &tag));
        }
        let size = self.number()?;
        if size > MAX_FILE_SIZE {
            return Err(bad("file is too large"));
        }
        self.contents_offset = self.position;
        self.state = State::Contents { left: size, padding: padding(size) };
        if size == 0 {
            self.end_contents(0)?;
        }
        Ok(NarEvent::File { name: &self.name, executable, size })
    }

    fn end_contents(&mut self, padding: usize) -> Result<()> {
        self.zeros(padding)?;
        self.expect(b")")?;
        self.end_entry()
    }

    fn symlink(&mut self) -> Result<NarEvent<'_>> {
        self.expect(b"target")?;
        let mut target = std::mem::take(&mut self.target);
        self.string(&mut target, MAX_TARGET_LEN)?;
        if target.is_empty() || target.contains(&0) {
            return Err(bad("NAR contains invalid symlink target"));
        }
        self.target = target;
        self.expect(b")")?;
        self.end_entry()?;
        Ok(NarEvent::Symlink { name: &self.name, target: &self.target })
    }

    /// After a node: closes the entry around it, if there is one.
    fn end_entry(&mut self) -> Result<()> {
        if self.directories.is_empty() {
            self.state = State::Done;
        } else {
            self.expect(b")")?;
            self.state = State::Entries;
        }
        Ok(())
    }

    fn expect(&mut self, tag: &[u8]) -> Result<()> {
        // A fast path, for what nearly always stands in the buffer as a whole.
        let len = 8 + tag.len() + padding(tag.len() as u64);
        let is_whole = match fill(&mut self.source)?.get(..len) {
            Some(string) => {
                let (number, text) = string.split_at(8);
                let (text, zeros) = text.split_at(tag.len());
                *number == (tag.len() as u64).to_le_bytes()
                    && text == tag
                    && zeros.iter().all(|byte| *byte == 0)
            }
            None => false,
        };
        if is_whole {
            self.source.consume(len);
            self.position += len as u64;
            return Ok(());
        }
        let mut actual = Vec::new();
        self.string(&mut actual, MAX_TAG_LEN)?;
        if actual == tag {
            Ok(())
        } else {
            Err(unexpected(&format!("'{}'", show(tag)), &actual))
        }
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self, text: &mut Vec<u8>, max: usize) -> Result<()> {
        let len = self.number()?;
        match usize::try_from(len) {
            Ok(len) if len <= max => {
                text.clear();
                text.resize(len, 0);
            }
            _ => return Err(bad("string is too long")),
        }
        self.exact(text)?;
        self.zeros(padding(len))
    }

    fn zeros(&mut self, len: usize) -> Result<()> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes[..len])?;
        if bytes == [0; 8] { Ok(()) } else { Err(bad("non-zero padding")) }
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => bad("input ends too early"),
            _ => Error::Io(error),
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Copies one archive from `source` to `sink`, checking it on the way.
pub fn copy_nar(source: impl BufRead, sink: impl Write) -> Result<()> {
    let mut reader = NarReader::new(source);
    let mut writer = NarWriter::new(sink)?;
    while let Some(event) = reader.next_event()? {
        writer.write_event(event)?;
        reader.copy_contents(|bytes| writer.write_contents(bytes))?;
    }
    writer.finish()?.flush()?;
    Ok(())
}

/// The bytes at hand; at least one.
fn fill<R: BufRead>(source: &mut R) -> Result<&[u8]> {
    loop {
        match source.fill_buf() {
            Ok([]) => return Err(bad("input ends too early")),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io(error)),
        }
    }
    // Asked anew, since the borrow checker cannot see that the loop's result is final.
    Ok(source.fill_buf()?)
}

fn unexpected(expected: &str, actual: &[u8]) -> Error {
    bad(&format!("expected tag {expected}, got '{}'", show(actual)))
}

fn bad(message: &str) -> Error {
    Error::Nar(message.to_owned())
}
