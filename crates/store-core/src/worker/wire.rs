//! Numbers, strings and lists of the worker protocol.
//!
//! A number has eight bytes, little-endian. A string is its length, its bytes, and zeros up to a
//! multiple of eight. A list is its length and its members. Lengths are not believed: memory grows with
//! what really comes.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use super::WorkerVersion;
use crate::error::{Error, Result, show};
use crate::store_path::{StoreDir, StorePath};

/// The longest string that is read: the text of a large derivation has some megabytes.
const MAX_STRING_BYTES: u64 = 256 << 20;
/// The most members of a list: several times the paths of a large store.
const MAX_LIST_LEN: u64 = 16 << 20;
/// Everything is padded to this.
const ALIGNMENT: u64 = size_of::<u64>() as u64;

/// Reads values from a connection.
#[derive(Debug)]
pub struct WireReader<R> {
    source: R,
    pub(super) store_dir: StoreDir,
    pub(super) version: WorkerVersion,
}

/// Writes values to a connection.
#[derive(Debug)]
pub struct WireWriter<W> {
    sink: W,
    pub(super) store_dir: StoreDir,
    pub(super) version: WorkerVersion,
}

impl<R: Read> WireReader<R> {
    /// A reader that speaks the newest version until another one is set.
    pub fn new(source: R, store_dir: StoreDir) -> Self {
        Self { source, store_dir, version: WorkerVersion::LATEST }
    }

    /// The version that is spoken.
    pub fn version(&self) -> WorkerVersion {
        self.version
    }

    /// Sets the version that both sides agreed upon.
    pub fn set_version(&mut self, version: WorkerVersion) {
        self.version = version;
    }

    /// The bytes behind the values, for NARs and frames.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Reads a number.
    pub fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.source.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a number, or nothing where the stream ends before it.
    pub fn number_or_end(&mut self) -> Result<Option<u64>> {
        let mut bytes = [0; 8];
        let mut have = 0;
        while have < bytes.len() {
            match self.source.read(&mut bytes[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    /// Reads a truth value: every number but 0 is true.
    pub fn flag(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }

    /// Reads a string of bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let len = self.number()?;
        if len > MAX_STRING_BYTES {
            return Err(Error::WireLength { what: "string", len, max: MAX_STRING_BYTES });
        }
        let mut bytes = Vec::new();
        let read = self.source.by_ref().take(len).read_to_end(&mut bytes)?;
        if (read as u64) < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut padding = [0; size_of::<u64>()];
        let count = usize::try_from(padding_of(len)).unwrap_or(0);
        self.source.read_exact(&mut padding[..count])?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Error::WirePadding);
        }
        Ok(bytes)
    }

    /// Reads a string that must be text.
    pub fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes).map_err(|error| Error::WireText(show(error.as_bytes())))
    }

    /// Reads the length of a list.
    pub fn count(&mut self) -> Result<u64> {
        let len = self.number()?;
        if len > MAX_LIST_LEN {
            return Err(Error::WireLength { what: "list", len, max: MAX_LIST_LEN });
        }
        Ok(len)
    }

    /// Reads a list of strings.
    pub fn strings(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut strings = Vec::new();
        for _ in 0..self.count()? {
            strings.push(self.bytes()?);
        }
        Ok(strings)
    }

    /// Reads a store path.
    pub fn path(&mut self) -> Result<StorePath> {
        let text = self.bytes()?;
        self.store_dir.parse_path(&text)
    }

    /// Reads a store path or an empty string.
    pub fn optional_path(&mut self) -> Result<Option<StorePath>> {
        let text = self.bytes()?;
        if text.is_empty() {
            return Ok(None);
        }
        self.store_dir.parse_path(&text).map(Some)
    }

    /// Reads a set of store paths.
    pub fn paths(&mut self) -> Result<BTreeSet<StorePath>> {
        let mut paths = BTreeSet::new();
        for _ in 0..self.count()? {
            paths.insert(self.path()?);
        }
        Ok(paths)
    }
}

impl<W: Write> WireWriter<W> {
    /// A writer that speaks the newest version until another one is set.
    pub fn new(sink: W, store_dir: StoreDir) -> Self {
        Self { sink, store_dir, version: WorkerVersion::LATEST }
    }

    /// The version that is spoken.
    pub fn version(&self) -> WorkerVersion {
        self.version
    }

    /// Sets the version that both sides agreed upon.
    pub fn set_version(&mut self, version: WorkerVersion) {
        self.version = version;
    }

    /// The bytes behind the values, for NARs and frames.
    pub fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Takes the writer apart.
    pub fn into_sink(self) -> W {
        self.sink
    }

    /// Hands on what is buffered.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.sink.flush()?)
    }

    /// Writes a number.
    pub fn number(&mut self, number: u64) -> Result<()> {
        Ok(self.sink.write_all(&number.to_le_bytes())?)
    }

    /// Writes a truth value.
    pub fn flag(&mut self, flag: bool) -> Result<()> {
        self.number(u64::from(flag))
    }

    /// Writes a string of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        self.number(len)?;
        self.sink.write_all(bytes)?;
        let padding = usize::try_from(padding_of(len)).unwrap_or(0);
        Ok(self.sink.write_all(&[0; size_of::<u64>()][..padding])?)
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes the length of a list.
    pub fn count(&mut self, len: usize) -> Result<()> {
        self.number(len as u64)
    }

    /// Writes a list of strings.
    pub fn strings<S: AsRef<[u8]>>(
        &mut self,
        strings: impl IntoIterator<Item = S, IntoIter: ExactSizeIterator>,
    ) -> Result<()> {
        let strings = strings.into_iter();
        self.count(strings.len())?;
        for string in strings {
            self.bytes(string.as_ref())?;
        }
        Ok(())
    }

    /// Writes a store path.
    pub fn path(&mut self, path: &StorePath) -> Result<()> {
        let text = self.store_dir.print(path);
        self.text(&text)
    }

    /// Writes a store path or an empty string.
    pub fn optional_path(&mut self, path: Option<&StorePath>) -> Result<()> {
        match path {
            Some(path) => self.path(path),
            None => self.bytes(b""),
        }
    }

    /// Writes a set of store paths.
    pub fn paths<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a StorePath, IntoIter: ExactSizeIterator>,
    ) -> Result<()> {
        let paths = paths.into_iter();
        self.count(paths.len())?;
        for path in paths {
            self.path(path)?;
        }
        Ok(())
    }
}

/// How many zeros follow so many bytes.
const fn padding_of(len: u64) -> u64 {
    (ALIGNMENT - len % ALIGNMENT) % ALIGNMENT
}
