//! Writing a NAR as a stream.

use std::io::{self, Write};

use super::{MAGIC, MAX_DEPTH, MAX_TARGET_LEN, NarEvent, is_name, padding};
use crate::error::{Error, Result, show};

/// A NAR being written into `sink`, which should be buffered: pieces may be small.
pub struct NarWriter<W> {
    sink: W,
    /// For each open directory the name of the last entry.
    directories: Vec<Vec<u8>>,
    state: State,
    /// Assembles the strings between two files' contents, to write them at once.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but the magic is written.
    Root,
    /// In a directory, between entries.
    Entries,
    /// In a file: bytes still to come, and the zeros after them.
    Contents { left: u64, padding: usize },
    /// The root is complete.
    Done,
}

impl<W: Write> NarWriter<W> {
    /// Starts an archive.
    pub fn new(mut sink: W) -> io::Result<Self> {
        let mut scratch = Vec::with_capacity(512);
        push_string(&mut scratch, MAGIC);
        sink.write_all(&scratch)?;
        Ok(Self { sink, directories: Vec::new(), state: State::Root, scratch })
    }

    /// Writes one event; after [`NarEvent::File`] the contents follow in
    /// [`NarWriter::write_contents`].
    pub fn write_event(&mut self, event: NarEvent<'_>) -> Result<()> {
        self.scratch.clear();
        match event {
            NarEvent::Directory { name } => {
                self.begin_node(name)?;
                push_strings(&mut self.scratch, &[b"(", b"type", b"directory"]);
                self.directories.push(Vec::new());
                self.state = State::Entries;
            }
            NarEvent::EndDirectory => {
                if self.state != State::Entries {
                    return Err(misuse("no directory to end"));
                }
                self.directories.pop();
                self.end_node();
            }
            NarEvent::File { name, executable, size } => {
                self.begin_node(name)?;
                push_strings(&mut self.scratch, &[b"(", b"type", b"regular"]);
                if executable {
                    push_strings(&mut self.scratch, &[b"executable", b""]);
                }
                push_string(&mut self.scratch, b"contents");
                self.scratch.extend_from_slice(&size.to_le_bytes());
                self.state = State::Contents { left: size, padding: padding(size) };
                if size == 0 {
                    self.end_node();
                }
            }
            NarEvent::Symlink { name, target } => {
                let fits = (1..=MAX_TARGET_LEN).contains(&target.len());
                if !fits || target.contains(&0) {
                    let target = show(target);
                    return Err(misuse(&format!("invalid symlink target '{target}'")));
                }
                self.begin_node(name)?;
                push_strings(
                    &mut self.scratch,
                    &[b"(", b"type", b"symlink", b"target", target],
                );
                self.end_node();
            }
        }
        Ok(self.sink.write_all(&self.scratch)?)
    }

    /// Writes a piece of the current file's contents.
    pub fn write_contents(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (left, padding) = self.left_after(bytes.len())?;
        self.sink.write_all(bytes)?;
        self.continue_contents(left, padding)
    }

    /// Goes on after a piece of the current file's contents that the caller has put into
    /// [`NarWriter::sink_mut`] itself.
    pub fn contents_written(&mut self, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let (left, padding) = self.left_after(len)?;
        self.continue_contents(left, padding)
    }

    /// How much of the current file is left after a piece, and the zeros after it.
    fn left_after(&self, len: usize) -> Result<(u64, usize)> {
        let State::Contents { left, padding } = self.state else {
            return Err(misuse("contents outside a file"));
        };
        let left = left.checked_sub(len as u64);
        Ok((left.ok_or_else(|| misuse("a file is longer than announced"))?, padding))
    }

    fn continue_contents(&mut self, left: u64, padding: usize) -> Result<()> {
        self.state = State::Contents { left, padding };
        if left == 0 {
            self.scratch.clear();
            self.scratch.resize(padding, 0);
            self.end_node();
            self.sink.write_all(&self.scratch)?;
        }
        Ok(())
    }

    /// Ends the archive, which must be complete.
    pub fn finish(self) -> Result<W> {
        match self.state {
            State::Done => Ok(self.sink),
            State::Contents { .. } => Err(misuse("a file is shorter than announced")),
            State::Root | State::Entries => Err(misuse("the archive is incomplete")),
        }
    }

    /// The sink, for instance to ask a hasher how far it is.
    pub fn sink(&self) -> &W {
        &self.sink
    }

    /// The sink, to put contents of the current file into it ([`NarWriter::contents_written`]).
    pub fn sink_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    fn begin_node(&mut self, name: &[u8]) -> Result<()> {
        match self.state {
            State::Root if name.is_empty() => return Ok(()),
            State::Root => return Err(misuse("the root has no name")),
            State::Entries => {}
            State::Contents { .. } => {
                return Err(misuse("a file is shorter than announced"));
            }
            State::Done => return Err(misuse("the archive is complete")),
        }
        if self.directories.len() >= MAX_DEPTH {
            return Err(Error::NarDepth { path: show(name), max: MAX_DEPTH });
        }
        if !is_name(name) || name.len() > super::MAX_NAME_LEN {
            return Err(misuse(&format!("invalid file name '{}'", show(name))));
        }
        let last =
            self.directories.last_mut().expect("entries are written in a directory");
        if *name <= **last {
            return Err(misuse("directory is not sorted"));
        }
        last.clear();
        last.extend_from_slice(name);
        push_strings(&mut self.scratch, &[b"entry", b"(", b"name", name, b"node"]);
        Ok(())
    }

    /// Closes the node and, below the root, the entry around it.
    fn end_node(&mut self) {
        push_string(&mut self.scratch, b")");
        if self.directories.is_empty() {
            self.state = State::Done;
        } else {
            push_string(&mut self.scratch, b")");
            self.state = State::Entries;
        }
    }
}

fn push_strings(text: &mut Vec<u8>, strings: &[&[u8]]) {
    for string in strings {
        push_string(text, string);
    }
}

fn push_string(text: &mut Vec<u8>, string: &[u8]) {
    text.extend_from_slice(&(string.len() as u64).to_le_bytes());
    text.extend_from_slice(string);
    text.resize(text.len() + padding(string.len() as u64), 0);
}

fn misuse(message: &str) -> Error {
    Error::NarWrite(message.to_owned())
}
