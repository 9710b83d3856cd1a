//! What a daemon is asked: which paths it has, to take some, to build, to give some back.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use picnix_store::Store;
use picnix_store_core::worker::{
    BuildMode, BuildResult, FramedWriter, Message, Operation, WantedPath, WireReader,
    WireWriter,
};
use picnix_store_core::{Derivation, PathInfo, StorePath};

use crate::cancel::{Cancel, OnCancel};
use crate::remote::connection::Connection;
use crate::remote::error::RemoteError;

type Wire<T> = picnix_store_core::Result<T>;
type Reader = WireReader<io::BufReader<Box<dyn io::Read + Send>>>;
type Writer = WireWriter<io::BufWriter<Box<dyn Write + Send>>>;

/// What was copied between two stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Objects that were copied.
    pub sent: usize,
    /// Objects that were there already.
    pub present: usize,
    /// The bytes of the NARs that were copied.
    pub nar_bytes: u64,
}

impl Connection {
    /// Ends the connection when the caller asks to stop, until the result is dropped.
    #[must_use]
    pub fn end_on(&self, cancel: &Cancel) -> OnCancel {
        let breaker = self.breaker();
        cancel.on_cancel(move || breaker.break_off())
    }

    /// Asks something, hears what is said meanwhile, and reads the answer.
    fn ask<T>(
        &mut self,
        operation: Operation,
        question: impl FnOnce(&mut Writer) -> Wire<()>,
        hear: &mut dyn FnMut(&Message),
        answer: impl FnOnce(&mut Reader) -> Wire<T>,
    ) -> Result<T, RemoteError> {
        let asked = self
            .writer
            .number(operation as u64)
            .and_then(|()| question(&mut self.writer));
        if let Err(error) = asked {
            return Err(self.lost(error));
        }
        self.await_end(hear)?;
        answer(&mut self.reader).map_err(|error| self.lost(error))
    }

    /// Which of some paths are valid there. With `substitute`, caches that it knows may be used to
    /// make them so.
    ///
    /// # Errors
    /// The connection breaks or the daemon refuses.
    pub fn valid_paths(
        &mut self,
        paths: &BTreeSet<StorePath>,
        substitute: bool,
    ) -> Result<BTreeSet<StorePath>, RemoteError> {
        let has_flag = self.version().has(27);
        let question = |writer: &mut Writer| {
            writer.paths(paths)?;
            if has_flag { writer.flag(substitute) } else { Ok(()) }
        };
        self.ask(Operation::QueryValidPaths, question, &mut |_| {}, Reader::paths)
    }

    /// What is known there of a path; nothing if it is not valid.
    ///
    /// # Errors
    /// The connection breaks or the daemon refuses.
    pub fn path_info(
        &mut self,
        path: &StorePath,
    ) -> Result<Option<PathInfo>, RemoteError> {
        let answer = |reader: &mut Reader| {
            let is_valid = reader.flag()?;
            is_valid.then(|| reader.path_info_of(path.clone())).transpose()
        };
        let operation = Operation::QueryPathInfo;
        self.ask(operation, |writer| writer.path(path), &mut |_| {}, answer)
    }

    /// Builds a derivation whose inputs are store objects that are valid there.
    ///
    /// # Errors
    /// The connection breaks or the daemon refuses; a build that fails is no error.
    pub fn build_derivation(
        &mut self,
        drv_path: &StorePath,
        derivation: &Derivation,
        hear: &mut dyn FnMut(&Message),
    ) -> Result<BuildResult, RemoteError> {
        let question = |writer: &mut Writer| {
            writer.path(drv_path)?;
            writer.derivation(derivation)?;
            writer.build_mode(BuildMode::Normal)
        };
        self.ask(Operation::BuildDerivation, question, hear, Reader::build_result)
    }

    /// Makes paths valid there; what is to be built must be valid there with its closure.
    ///
    /// # Errors
    /// The connection breaks, the daemon refuses, or a build fails.
    pub fn build_paths(
        &mut self,
        wanted: &[WantedPath],
        hear: &mut dyn FnMut(&Message),
    ) -> Result<(), RemoteError> {
        let question = |writer: &mut Writer| {
            writer.count(wanted.len())?;
            wanted.iter().try_for_each(|path| writer.wanted_path(path))?;
            writer.build_mode(BuildMode::Normal)
        };
        let answer = |reader: &mut Reader| reader.number().map(|_| ());
        self.ask(Operation::BuildPaths, question, hear, answer)
    }

    /// Copies those of some valid paths and of their closures that are not there.
    ///
    /// # Errors
    /// The connection breaks or the daemon refuses; a path is not valid here.
    pub fn send(
        &mut self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        substitute: bool,
        progress: &dyn Fn(&StorePath),
    ) -> Result<CopyReport, RemoteError> {
        store.add_temp_roots(paths)?;
        let graph = store.graph(paths)?;
        let order = graph.topological_order().map_err(picnix_store::Error::from)?;
        let closure = order.iter().cloned().collect();
        let present = self.valid_paths(&closure, substitute)?;
        let missing: Vec<&StorePath> =
            order.iter().filter(|path| !present.contains(*path)).collect();
        let mut infos = Vec::with_capacity(missing.len());
        for path in missing {
            infos.push(store.path_info(path)?);
        }
        if self.version().has(32) && !infos.is_empty() {
            self.send_many(store, &infos, progress)?;
        } else {
            for info in &infos {
                progress(&info.path);
                self.send_one(store, info)?;
            }
        }
        let nar_bytes = infos.iter().map(|info| info.nar_size).sum();
        Ok(CopyReport { sent: infos.len(), present: present.len(), nar_bytes })
    }

    fn send_many(
        &mut self,
        store: &Store,
        infos: &[PathInfo],
        progress: &dyn Fn(&StorePath),
    ) -> Result<(), RemoteError> {
        let mut failed = None;
        let question = |writer: &mut Writer| {
            // Do not repair; do not ask for signatures.
            writer.flag(false)?;
            writer.flag(true)?;
            let frames = FramedWriter::new(writer.sink());
            let mut inner = WireWriter::new(frames, store.store_dir().clone());
            inner.count(infos.len())?;
            for info in infos {
                progress(&info.path);
                inner.path_info(info)?;
                if let Err(error) = store.dump(&info.path, inner.sink()) {
                    failed = Some(error);
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
            }
            Ok(inner.into_sink().finish()?)
        };
        let sent =
            self.ask(Operation::AddMultipleToStore, question, &mut |_| {}, |_| Ok(()));
        // If the pipe broke while an object was read, it is the pipe that matters.
        match failed {
            Some(error) if !is_broken_pipe(&error) => Err(error.into()),
            _ => sent,
        }
    }

    fn send_one(&mut self, store: &Store, info: &PathInfo) -> Result<(), RemoteError> {
        let version = self.version();
        let asked = (|| {
            self.writer.number(Operation::AddToStoreNar as u64)?;
            self.writer.path_info(info)?;
            self.writer.flag(false)?;
            self.writer.flag(true)
        })();
        asked.map_err(|error| self.lost(error))?;
        if version.has(23) {
            let mut frames = FramedWriter::new(self.writer.sink());
            let dumped = store.dump(&info.path, &mut frames);
            let finished = frames.finish();
            // If the pipe broke while the object was read, it is the pipe that matters.
            finished.map_err(|error| self.lost(error.into()))?;
            dumped?;
        } else if version.has(21) {
            return self.send_on_demand(store, info);
        } else {
            store.dump(&info.path, self.writer.sink())?;
        }
        self.await_end(&mut |_| {})
    }

    /// Sends a NAR in the pieces that the daemon asks for.
    fn send_on_demand(
        &mut self,
        store: &Store,
        info: &PathInfo,
    ) -> Result<(), RemoteError> {
        self.writer.flush().map_err(|error| self.lost(error))?;
        let mut sink = OnDemand { connection: self, wanted: 0, failed: None };
        let dumped = store.dump(&info.path, &mut sink);
        if let Some(error) = sink.failed {
            return Err(error);
        }
        dumped?;
        self.await_end(&mut |_| {})
    }

    /// Copies those of some paths that are not valid here, and of their closures, as far as they
    /// are accepted; who accepts may correct what is said of them.
    ///
    /// # Errors
    /// The connection breaks; a path is not valid there; what comes is not what was announced.
    pub fn fetch(
        &mut self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        accept: &dyn Fn(&mut PathInfo) -> bool,
    ) -> Result<CopyReport, RemoteError> {
        let mut report = CopyReport::default();
        for mut info in self.missing_here(store, paths, &mut report)? {
            if !accept(&mut info) {
                let (address, path) = (self.address.clone(), info.path);
                return Err(RemoteError::Untrusted { address, path });
            }
            self.fetch_one(store, &info)?;
            report.sent += 1;
            report.nar_bytes += info.nar_size;
        }
        Ok(report)
    }

    /// The infos of what is not valid here, references first.
    fn missing_here(
        &mut self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        report: &mut CopyReport,
    ) -> Result<Vec<PathInfo>, RemoteError> {
        let mut infos = std::collections::BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut layer: BTreeSet<StorePath> = paths.clone();
        while !layer.is_empty() {
            // In this order, so that what is valid stays so.
            store.add_temp_roots(&layer)?;
            let valid = store.valid_among(&layer)?;
            report.present += valid.len();
            let mut next = BTreeSet::new();
            for path in layer.difference(&valid) {
                let Some(info) = self.path_info(path)? else {
                    let (address, path) = (self.address.clone(), path.clone());
                    return Err(RemoteError::Missing { address, path });
                };
                next.extend(info.references.iter().cloned());
                infos.insert(path.clone(), info);
            }
            seen.extend(layer);
            layer = next.difference(&seen).cloned().collect();
        }
        Ok(in_order(infos))
    }

    fn fetch_one(&mut self, store: &Store, info: &PathInfo) -> Result<(), RemoteError> {
        let (operation, path) = (Operation::NarFromPath, &info.path);
        self.ask(operation, |writer| writer.path(path), &mut |_| {}, |_| Ok(()))?;
        let mut nar = io::Read::take(self.reader.source(), info.nar_size);
        let added = store.add_nar(&mut nar, info);
        // If it had become valid, nothing was read.
        let drained = if added.is_ok() { drain(&mut nar) } else { Ok(()) };
        if let Err(picnix_store::Error::Format(error)) = added {
            return Err(self.lost(error));
        }
        added?;
        drained.map_err(|error| self.lost(error.into()))
    }
}

/// A sink that hands on as much as the daemon has asked for.
struct OnDemand<'a> {
    connection: &'a mut Connection,
    wanted: usize,
    failed: Option<RemoteError>,
}

impl OnDemand<'_> {
    fn await_demand(&mut self) -> Result<(), RemoteError> {
        let connection = &mut *self.connection;
        while self.wanted == 0 {
            match connection.reader.message().map_err(|error| connection.lost(error))? {
                Message::Read(most) => {
                    self.wanted = usize::try_from(most).unwrap_or(usize::MAX);
                }
                Message::Error(picnix_store_core::worker::RemoteFailure {
                    message,
                    ..
                }) => {
                    let address = connection.address.clone();
                    return Err(RemoteError::Refused { address, message });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Write for OnDemand<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.await_demand() {
            self.failed = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(self.wanted);
        let writer = &mut self.connection.writer;
        let sent = writer.bytes(&bytes[..count]).and_then(|()| writer.flush());
        if let Err(error) = sent {
            self.failed = Some(self.connection.lost(error));
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.wanted = 0;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn drain(source: &mut impl BufRead) -> io::Result<()> {
    io::copy(source, &mut io::sink()).map(|_| ())
}

fn is_broken_pipe(error: &picnix_store::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::BrokenPipe;
        }
        cause = error.source();
    }
    false
}

/// Infos with each after those that it refers to, as far as these are among them.
fn in_order(mut infos: std::collections::BTreeMap<StorePath, PathInfo>) -> Vec<PathInfo> {
    let mut order = Vec::with_capacity(infos.len());
    let mut stack: Vec<(StorePath, bool)> =
        infos.keys().rev().map(|path| (path.clone(), false)).collect();
    let mut entered = BTreeSet::new();
    while let Some((path, references_are_done)) = stack.pop() {
        if references_are_done {
            order.extend(infos.remove(&path));
        } else if entered.insert(path.clone())
            && let Some(info) = infos.get(&path)
        {
            stack.push((path, true));
            let references = info.references.iter().rev();
            stack.extend(references.map(|reference| (reference.clone(), false)));
        }
    }
    order
}
