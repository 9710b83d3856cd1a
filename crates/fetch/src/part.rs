//! The file being fetched: what is there already, and its hash so far.
//!
//! Beside a partial file lies a note of what it is a part of (the URL and the server's validator),
//! by which a later run may continue it. The note is lost with the file and is never trusted
//! further than that: the hash decides.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use picnix_store_core::{Hash, HashAlgo, HashSink};

use crate::error::Error;

/// How much is read and hashed at a time.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// A file being fetched.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    algo: HashAlgo,
    sink: HashSink,
    /// What the server said by which a change of the file can be noticed.
    pub(crate) validator: Option<Validator>,
    /// Whether some of the bytes were there before, so that a wrong hash may be their fault.
    pub(crate) has_old_bytes: bool,
}

/// A server's name for one state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    /// The URL that the server was asked for.
    pub(crate) url: String,
    /// The strong `ETag`, or the `Last-Modified` date.
    pub(crate) text: String,
}

impl Part {
    /// Opens a file, keeping what it holds where `resume` says so.
    pub(crate) fn open(path: &Path, algo: HashAlgo, resume: bool) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(!resume).open(path);
        let file = file.map_err(fail("create", path))?;
        let sink = HashSink::new(algo);
        let path = path.to_owned();
        let mut part = Self {
            path,
            file,
            len: 0,
            algo,
            sink,
            validator: None,
            has_old_bytes: false,
        };
        part.read_what_is_there()?;
        if part.len > 0 {
            part.has_old_bytes = true;
            part.validator = read_note(&part.note_path());
        }
        Ok(part)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(fail("write", &self.path))?;
        self.sink.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets everything that was fetched.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(fail("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(fail("rewind", &self.path))?;
        self.len = 0;
        self.sink = HashSink::new(self.algo);
        self.validator = None;
        self.has_old_bytes = false;
        remove(&self.note_path())
    }

    /// Notes what the file is a part of, for a later run.
    pub(crate) fn note(&mut self, validator: Option<Validator>) -> Result<(), Error> {
        if validator == self.validator {
            return Ok(());
        }
        let path = self.note_path();
        match &validator {
            Some(Validator { url, text }) => {
                fs::write(&path, format!("{url}\n{text}\n"))
                    .map_err(fail("write", &path))?;
            }
            None => remove(&path)?,
        }
        self.validator = validator;
        Ok(())
    }

    /// The hash of what is there; the file stays.
    pub(crate) fn hash(&mut self) -> Hash {
        let sink = std::mem::replace(&mut self.sink, HashSink::new(self.algo));
        sink.finish().0
    }

    /// Ends a successful fetch: only the file remains.
    pub(crate) fn keep(self) -> Result<(), Error> {
        remove(&self.note_path())
    }

    /// Ends a fetch of which nothing shall remain.
    pub(crate) fn discard(self) -> Result<(), Error> {
        remove(&self.note_path())?;
        remove(&self.path)
    }

    fn read_what_is_there(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match self.file.read(&mut buffer).map_err(fail("read", &self.path))? {
                0 => return Ok(()),
                count => {
                    self.sink.update(&buffer[..count]);
                    self.len += count as u64;
                }
            }
        }
    }

    fn note_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".part");
        name.into()
    }
}

fn read_note(path: &Path) -> Option<Validator> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    Some(Validator { url: lines.next()?, text: lines.next()? })
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(fail("remove", path)),
    }
}

pub(crate) fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}
