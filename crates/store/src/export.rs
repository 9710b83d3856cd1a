//! Objects as one stream: what `nix-store --export` writes and `--import` reads.
//!
//! For each object a number 1, its NAR, a magic number, its path, references and deriver, and a
//! number 0 (once the place of a signature); after the last one a number 0. All numbers have eight
//! bytes, little-endian. The info comes after the NAR, so an object lies in a temporary place until
//! its name is read; references must be valid or come before.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;

use picnix_store_core::worker::{WireReader, WireWriter};
use picnix_store_core::{HashAlgo, HashFormat, PathInfo, Sha256, StorePath};

use crate::add::HashingReader;
use crate::error::{Error, Result};
use crate::pipe::{HashPipe, Tee, Written};
use crate::place::Placement;
use crate::store::Store;
use crate::tree::{canonicalise, dump, hash_tree, remove_tree, restore};

/// Stands before the info of an object.
const MAGIC: u64 = 0x4558_494e;
/// Another object follows.
const OBJECT: u64 = 1;
/// No object follows.
const END: u64 = 0;

/// What a text that registers objects holds, and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Where hashes and sizes come from.
    pub hashes: HashesFrom,
    /// Whether what is known of valid paths is replaced.
    pub replaces: bool,
}

/// Where the hashes and sizes of registered objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashesFrom {
    /// The text has them.
    Text,
    /// They are computed; the objects' metadata become canonical.
    Objects,
}

impl Store {
    /// Writes valid paths to a stream, in this order: each should come after what it refers to.
    ///
    /// # Errors
    /// A path is not valid, or its contents have changed: damage must not spread.
    pub fn export<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
        mut sink: impl Write,
    ) -> Result<()> {
        for path in paths {
            let info = self.path_info(path)?;
            WireWriter::new(&mut sink, self.store_dir().clone()).number(OBJECT)?;
            let tee = Tee(HashPipe::new(HashAlgo::Sha256), &mut sink);
            let Written(Tee(pipe, _)) = dump(&self.real_path(path), Written(tee))?;
            let (found, _) = pipe.finish();
            if found != info.nar_hash.into() {
                let (expected, actual) =
                    (info.nar_hash.nix32(), found.print(HashFormat::Nix32));
                return Err(Error::HashMismatch { path: path.clone(), expected, actual });
            }
            let mut wire = WireWriter::new(&mut sink, self.store_dir().clone());
            wire.number(MAGIC)?;
            wire.path(path)?;
            wire.paths(&info.references)?;
            wire.optional_path(info.deriver.as_ref())?;
            wire.number(0)?;
        }
        WireWriter::new(&mut sink, self.store_dir().clone()).number(END)?;
        Ok(())
    }

    /// Adds the objects of a stream, and returns their paths. What came before an error stays.
    ///
    /// Whether the stream may be believed is the caller's question.
    ///
    /// # Errors
    /// The stream is malformed, or an object refers to what is not valid.
    pub fn import(&self, mut source: impl BufRead) -> Result<Vec<StorePath>> {
        let mut paths = Vec::new();
        loop {
            match WireReader::new(&mut source, self.store_dir().clone()).number()? {
                END => return Ok(paths),
                OBJECT => paths.push(self.import_object(&mut source)?),
                _ => return Err(Error::NotAnExport),
            }
        }
    }

    fn import_object(&self, source: &mut dyn BufRead) -> Result<StorePath> {
        let from = self.temp_path()?;
        let placed = self.receive(source, &from).and_then(|info| {
            let path = info.path.clone();
            self.add_temp_roots([&path])?;
            self.place(vec![Placement { from: from.clone(), info }])?;
            Ok(path)
        });
        if placed.is_err() {
            // It may be large. What cannot be removed now goes with the session.
            let _ = remove_tree(&from);
        }
        placed
    }

    /// Restores one object, and reads what is said of it.
    fn receive(&self, source: &mut dyn BufRead, to: &Path) -> Result<PathInfo> {
        let pipe = HashPipe::new(HashAlgo::Sha256);
        let mut hashing = HashingReader { source: &mut *source, pipe };
        restore(&mut hashing, to)?;
        let (hash, nar_size) = hashing.pipe.finish();
        let nar_hash = hash.sha256().expect("the pipe hashes with SHA-256");
        let mut wire = WireReader::new(source, self.store_dir().clone());
        if wire.number()? != MAGIC {
            return Err(Error::NotAnExport);
        }
        let mut info = PathInfo::new(wire.path()?, nar_hash, nar_size);
        info.references = wire.paths()?;
        info.deriver = wire.optional_path()?;
        if wire.number()? == 1 {
            // A signature of a kind that is no more.
            wire.bytes()?;
        }
        Ok(info)
    }

    /// What the database knows of a valid path, as text: its name, hash, size, deriver, and its
    /// references with their count, a line each.
    ///
    /// # Errors
    /// The path is not valid, or the database cannot be read.
    pub fn print_registration(&self, path: &StorePath) -> Result<String> {
        use std::fmt::Write as _;
        let info = self.path_info(path)?;
        let print = |path: &StorePath| self.store_dir().print(path);
        let deriver = info.deriver.as_ref().map(print).unwrap_or_default();
        let (name, hash) = (print(path), info.nar_hash.base16());
        let (size, count) = (info.nar_size, info.references.len());
        let mut text = format!("{name}\n{hash}\n{size}\n{deriver}\n{count}\n");
        for reference in &info.references {
            let _ = writeln!(text, "{}", print(reference));
        }
        Ok(text)
    }

    /// Makes objects that lie in the store valid, as such a text says, all or none.
    ///
    /// # Errors
    /// The text is malformed, an object is not there, or a reference is not valid.
    pub fn load_database(&self, text: impl BufRead, given: Registration) -> Result<()> {
        self.require_writable()?;
        let mut lines = text.lines();
        let mut infos = Vec::new();
        while let Some(name) = lines.next() {
            let mut next = || -> Result<String> {
                let line =
                    lines.next().transpose().map_err(picnix_store_core::Error::Io)?;
                line.ok_or_else(|| Error::Registration("it ends too early".to_owned()))
            };
            let name = name.map_err(picnix_store_core::Error::Io)?;
            let path = self.store_dir().parse_path(name.as_bytes())?;
            let (hash, size) = match given.hashes {
                HashesFrom::Text => (parse_hash(&next()?)?, parse_number(&next()?)?),
                HashesFrom::Objects => self.adopt(&path)?,
            };
            let mut info = PathInfo::new(path, hash, size);
            let deriver = next()?;
            if !deriver.is_empty() {
                info.deriver = Some(self.store_dir().parse_path(deriver.as_bytes())?);
            }
            let count = parse_number(&next()?)?;
            let mut references = BTreeSet::new();
            for _ in 0..count {
                references.insert(self.store_dir().parse_path(next()?.as_bytes())?);
            }
            info.references = references;
            if given.replaces || !self.is_valid(&info.path)? {
                infos.push(info);
            }
        }
        self.register_present(infos)
    }

    /// Makes the metadata of what lies at an object's place that of an object, and hashes it.
    fn adopt(&self, path: &StorePath) -> Result<(Sha256, u64)> {
        let place = self.real_path(path);
        canonicalise(&place)?;
        let (hash, size) = hash_tree(&place, HashAlgo::Sha256)?;
        Ok((hash.sha256().expect("it was hashed with SHA-256"), size))
    }
}

fn parse_hash(text: &str) -> Result<Sha256> {
    let hash = picnix_store_core::Hash::parse_any(text, Some(HashAlgo::Sha256))?;
    hash.sha256().ok_or_else(|| Error::Registration(format!("'{text}' is no SHA-256")))
}

fn parse_number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::Registration(format!("'{text}' is not a number")))
}
