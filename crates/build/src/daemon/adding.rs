//! Operations that add to the store or keep something in it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use picnix_store::{AddRequest, Store};
use picnix_store_core::nar::Fso;
use picnix_store_core::worker::{FramedReader, Message, WireReader, WireWriter};
use picnix_store_core::{ContentAddressMethod, HashAlgo, PathInfo, StorePath};

use super::drain;
use super::session::{Context, Refusal, Session, Wire};
use super::tunnel::Tunnel;
use crate::logs::log_path;

/// How much is read at a time.
const BUFFER_SIZE: usize = 256 * 1024;
/// The longest build log that is taken.
const MAX_LOG_BYTES: u64 = 256 << 20;

type Frames<'a, 'b, R> = BufReader<&'a mut FramedReader<'b, R>>;

/// Does something with what comes in frames. They are read to their end in any case, so that the
/// conversation can go on.
fn with_frames<R: Read, T>(
    source: &mut R,
    work: impl FnOnce(&mut Frames<'_, '_, R>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut frames = FramedReader::new(source);
    let result = work(&mut BufReader::with_capacity(BUFFER_SIZE, &mut frames));
    frames.finish()?;
    result
}

/// Adds a path by its NAR, which is read also where the path is valid already.
fn take_nar(
    store: &Store,
    source: &mut impl BufRead,
    info: &PathInfo,
) -> Result<(), Refusal> {
    let mut nar = source.take(info.nar_size);
    let added = store.add_nar(&mut nar, info);
    drain(&mut nar)?;
    Ok(added?)
}

/// What arrives was not built here, whoever says so.
fn arriving(info: PathInfo) -> PathInfo {
    PathInfo { ultimate: false, registration_time: 0, ..info }
}

impl<R: Read, W: Write + Send> Session<'_, R, W> {
    pub(super) fn add_to_store(&mut self) -> Wire<()> {
        if !self.reader.version().has(25) {
            return self.add_to_store_by_nar();
        }
        let (name, method) = (self.reader.text()?, self.reader.text()?);
        let references = self.reader.paths()?;
        // Whether to repair.
        self.reader.flag()?;
        let source = self.reader.source();
        let work = |s: &Context<'_, W>| {
            with_frames(source, |frames| {
                // The protocol says `fixed:r:sha256` where derivations say `r:sha256`.
                let method = method.strip_prefix("fixed:").unwrap_or(&method);
                let (method, algo) = ContentAddressMethod::parse_with_algo(method)?;
                let request = AddRequest { name, method, algo, references };
                let path = s.store.add_stream(frames, &request)?;
                Ok(s.store.path_info(&path)?)
            })
        };
        self.ctx.answer(work, |writer, info| writer.path_info(&info))
    }

    /// As before version 1.25: always a NAR, whatever is hashed, and not in frames.
    fn add_to_store_by_nar(&mut self) -> Wire<()> {
        let name = self.reader.text()?;
        let is_fixed = self.reader.flag()?;
        let is_recursive = self.reader.flag()?;
        let algo = self.reader.text()?;
        let tree = Fso::from_nar(self.reader.source())?;
        let work = |s: &Context<'_, W>| {
            let mut request = match is_recursive || !is_fixed {
                true => AddRequest::source(name),
                false => AddRequest::flat(name),
            };
            if is_fixed {
                request.algo = HashAlgo::parse(&algo)?;
            }
            Ok(s.store.add_tree(&tree, &request)?)
        };
        self.ctx.answer(work, |writer, path: StorePath| writer.path(&path))
    }

    pub(super) fn add_text(&mut self) -> Wire<()> {
        let (name, contents) = (self.reader.text()?, self.reader.bytes()?);
        let references = self.reader.paths()?;
        let work =
            |s: &Context<'_, W>| Ok(s.store.add_text(&name, &contents, &references)?);
        self.ctx.answer(work, |writer, path: StorePath| writer.path(&path))
    }

    pub(super) fn add_nar(&mut self) -> Wire<()> {
        let info = arriving(self.reader.path_info()?);
        // Whether to repair, and whether to do without signatures, which we do anyhow.
        self.reader.flag()?;
        self.reader.flag()?;
        let version = self.reader.version();
        let reader = &mut self.reader;
        let work = |s: &Context<'_, W>| {
            if version.has(23) {
                with_frames(reader.source(), |frames| take_nar(s.store, frames, &info))
            } else if version.has(21) {
                let demand =
                    OnDemand { reader, tunnel: &s.tunnel, piece: Vec::new(), at: 0 };
                let mut nar = BufReader::with_capacity(BUFFER_SIZE, demand);
                Ok(s.store.add_nar((&mut nar).take(info.nar_size), &info)?)
            } else {
                take_nar(s.store, reader.source(), &info)
            }
        };
        self.ctx.answer(work, |_, ()| Ok(()))
    }

    pub(super) fn add_many(&mut self) -> Wire<()> {
        // Whether to repair, and whether to do without signatures.
        self.reader.flag()?;
        self.reader.flag()?;
        let source = self.reader.source();
        let work = |s: &Context<'_, W>| {
            with_frames(source, |frames| {
                let mut inner = WireReader::new(frames, s.store.store_dir().clone());
                for _ in 0..inner.count()? {
                    let info = arriving(inner.path_info()?);
                    take_nar(s.store, inner.source(), &info)?;
                }
                Ok(())
            })
        };
        self.ctx.answer(work, |_, ()| Ok(()))
    }

    pub(super) fn add_signatures(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let signatures = self.reader.signatures()?;
        let work = |s: &Context<'_, W>| {
            let mut info = s.store.path_info(&path)?;
            info.signatures.extend(signatures);
            Ok(s.store.set_signatures(&path, &info.signatures)?)
        };
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    pub(super) fn add_build_log(&mut self) -> Wire<()> {
        let name = self.reader.bytes()?;
        let source = self.reader.source();
        let work = |s: &Context<'_, W>| {
            with_frames(source, |frames| {
                let path = StorePath::parse(&name)?;
                let file = log_path(s.store, &path);
                if let Some(dir) = file.parent() {
                    std::fs::create_dir_all(dir)?;
                }
                io::copy(
                    &mut frames.take(MAX_LOG_BYTES),
                    &mut std::fs::File::create(file)?,
                )?;
                Ok(())
            })
        };
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    pub(super) fn add_temp_root(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let work = |s: &Context<'_, W>| Ok(s.store.add_temp_roots([&path])?);
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }

    pub(super) fn add_perm_root(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let link = PathBuf::from(self.reader.text()?);
        let work = |s: &Context<'_, W>| Ok(s.store.add_root(&link, &path)?);
        self.ctx
            .answer(work, |writer, link: PathBuf| writer.text(&link.to_string_lossy()))
    }

    pub(super) fn add_indirect_root(&mut self) -> Wire<()> {
        let link = PathBuf::from(self.reader.text()?);
        let work = |s: &Context<'_, W>| Ok(s.store.add_indirect_root(&link)?);
        self.ctx.answer(work, |writer, ()| writer.number(1))
    }
}

/// A NAR that the client sends in the pieces that it is asked for, in versions 1.21 and 1.22.
struct OnDemand<'a, R: Read, W: Write> {
    reader: &'a mut WireReader<BufReader<R>>,
    tunnel: &'a Tunnel<W>,
    piece: Vec<u8>,
    at: usize,
}

impl<R: Read, W: Write> Read for OnDemand<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let wanted = Message::Read(BUFFER_SIZE as u64);
            let asked = self.tunnel.write(|writer| {
                writer.message(&wanted)?;
                WireWriter::flush(writer)
            });
            self.piece =
                asked.and_then(|()| self.reader.bytes()).map_err(io::Error::other)?;
            self.at = 0;
        }
        let count = (&self.piece[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}
