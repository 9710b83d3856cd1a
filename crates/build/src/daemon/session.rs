//! A conversation: greeting, then operations until the client has had enough.

use std::io::{BufReader, BufWriter, Read, Write};

use picnix_store::Store;
use picnix_store_core::worker::{
    CLIENT_MAGIC, Operation, SERVER_MAGIC, TrustLevel, WireReader, WireWriter,
    WorkerVersion,
};

use super::tunnel::Tunnel;
use super::{Daemon, DaemonError};
use crate::build::{BuildConfig, Builder};
use crate::cache::Substituters;
use crate::cancel::Cancel;
use crate::error::chain;

/// How much is read and written at a time.
const BUFFER_SIZE: usize = 256 * 1024;

/// A result where only the connection can fail.
pub(super) type Wire<T> = picnix_store_core::Result<T>;

/// Why an operation was not done, in words for the client.
pub(super) struct Refusal(pub(super) String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

/// A conversation with a client.
pub(super) struct Session<'a, R: Read, W: Write> {
    pub(super) reader: WireReader<BufReader<R>>,
    pub(super) ctx: Context<'a, W>,
}

/// What operations work with.
pub(super) struct Context<'a, W: Write> {
    daemon: &'a Daemon<'a>,
    pub(super) store: &'a Store,
    pub(super) tunnel: Tunnel<W>,
    pub(super) cancel: &'a Cancel,
    /// How things are built for this client.
    pub(super) config: BuildConfig,
    /// Whether caches are asked for this client.
    pub(super) uses_caches: bool,
    /// Whether what is valid but damaged is repaired.
    pub(super) repairs: bool,
}

/// Answers a client until it ends the conversation.
pub(super) fn run<'a, R: Read, W: Write + Send>(
    daemon: &'a Daemon<'a>,
    from: R,
    to: W,
    cancel: &'a Cancel,
) -> Result<(), DaemonError> {
    let store = daemon.builder.store;
    let store_dir = store.store_dir();
    let from = BufReader::with_capacity(BUFFER_SIZE, from);
    let to = BufWriter::with_capacity(BUFFER_SIZE, to);
    let mut reader = WireReader::new(from, store_dir.clone());
    let mut writer = WireWriter::new(to, store_dir.clone());
    greet(&mut reader, &mut writer, daemon.nix_version)?;
    let tunnel = Tunnel::new(writer, store_dir.clone(), cancel.clone());
    let config = daemon.builder.config.clone();
    let (uses_caches, repairs) = (true, false);
    let ctx = Context { daemon, store, tunnel, cancel, config, uses_caches, repairs };
    // Nothing went wrong at the start.
    ctx.tunnel.close(None)?;
    ctx.tunnel.write(WireWriter::flush)?;
    Session { reader, ctx }.answer_all()
}

fn greet<R: Read, W: Write>(
    reader: &mut WireReader<R>,
    writer: &mut WireWriter<W>,
    nix_version: &str,
) -> Result<(), DaemonError> {
    if reader.number()? != CLIENT_MAGIC {
        return Err(DaemonError::NoClient);
    }
    writer.number(SERVER_MAGIC)?;
    writer.number(WorkerVersion::LATEST.to_wire())?;
    writer.flush()?;
    let theirs = WorkerVersion::from_wire(reader.number()?);
    let version = theirs.min(WorkerVersion::LATEST);
    if version < WorkerVersion::OLDEST {
        return Err(DaemonError::Version(theirs.to_string()));
    }
    reader.set_version(version);
    writer.set_version(version);
    if version.has(38) {
        // Features; there are none that both sides could have.
        reader.strings()?;
        writer.count(0)?;
        writer.flush()?;
    }
    if reader.flag()? {
        // The processor that the client would like us to use.
        reader.number()?;
    }
    // Whether space should be reserved.
    reader.number()?;
    if version.has(33) {
        writer.text(nix_version)?;
    }
    if version.has(35) {
        writer.trust_level(TrustLevel::Trusted)?;
    }
    Ok(())
}

impl<R: Read, W: Write + Send> Session<'_, R, W> {
    fn answer_all(&mut self) -> Result<(), DaemonError> {
        while let Some(number) = self.reader.number_or_end()? {
            let result = match Operation::from_wire(number) {
                Some(operation) => self.perform(operation),
                None => {
                    // What would follow cannot be known.
                    self.ctx.fail(format!("invalid operation {number}"))?;
                    return Ok(());
                }
            };
            if let Err(error) = result {
                // The client may still be there to hear what it did wrong.
                let _ = self.ctx.fail(error.to_string());
                return Err(error.into());
            }
            self.ctx.tunnel.write(WireWriter::flush)?;
            if self.ctx.cancel.is_cancelled() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn perform(&mut self, operation: Operation) -> Wire<()> {
        use Operation as O;
        match operation {
            O::IsValidPath
            | O::QueryReferrers
            | O::QueryValidDerivers
            | O::QueryDeriver
            | O::QueryDerivationOutputs
            | O::QueryDerivationOutputNames
            | O::QueryDerivationOutputMap
            | O::QueryPathInfo => self.query_path(operation),
            O::QueryPathFromHashPart => self.query_digest(),
            O::QueryAllValidPaths => self.query_all(),
            O::QueryValidPaths => self.query_valid_paths(),
            O::QuerySubstitutablePaths => self.query_substitutable(),
            O::QuerySubstitutablePathInfo => self.query_substitutable_info(),
            O::QuerySubstitutablePathInfos => self.query_substitutable_infos(),
            O::QueryMissing => self.query_missing(),
            O::QueryRealisation | O::RegisterDrvOutput => self.realisation(operation),
            O::FindRoots => self.find_roots(),
            O::NarFromPath => self.nar_from_path(),
            O::AddToStore => self.add_to_store(),
            O::AddTextToStore => self.add_text(),
            O::AddToStoreNar => self.add_nar(),
            O::AddMultipleToStore => self.add_many(),
            O::AddSignatures => self.add_signatures(),
            O::AddBuildLog => self.add_build_log(),
            O::AddTempRoot => self.add_temp_root(),
            O::AddPermRoot => self.add_perm_root(),
            O::AddIndirectRoot => self.add_indirect_root(),
            O::BuildPaths => self.build_paths(),
            O::BuildPathsWithResults => self.build_paths_with_results(),
            O::BuildDerivation => self.build_derivation(),
            O::EnsurePath => self.ensure_path(),
            O::SetOptions => self.set_options(),
            O::SyncWithGc => self.ctx.answer(|_| Ok(()), |writer, ()| writer.number(1)),
            O::CollectGarbage => self.collect_garbage(),
            O::OptimiseStore => self.optimise(),
            O::VerifyStore => self.verify(),
        }
    }
}

impl<W: Write + Send> Context<'_, W> {
    fn fail(&self, message: String) -> Wire<()> {
        self.tunnel.close(Some(message))?;
        self.tunnel.write(WireWriter::flush)
    }

    /// Does something for the client, who hears meanwhile what happens, and writes the answer or
    /// why there is none.
    pub(super) fn answer<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Refusal>,
        write: impl FnOnce(&mut WireWriter<BufWriter<W>>, T) -> Wire<()>,
    ) -> Wire<()> {
        self.tunnel.open();
        match work(self) {
            Ok(value) => {
                self.tunnel.close(None)?;
                self.tunnel.write(|writer| write(writer, value))
            }
            Err(Refusal(message)) => self.tunnel.close(Some(message)),
        }
    }

    /// What builds for this client.
    pub(super) fn builder(&self) -> Builder<'_> {
        Builder {
            store: self.store,
            config: &self.config,
            builtins: self.daemon.builder.builtins,
            observer: &self.tunnel,
            cancel: self.cancel,
            substituters: self.substituters(),
        }
    }

    pub(super) fn substituters(&self) -> Option<&Substituters> {
        self.daemon.builder.substituters.filter(|_| self.uses_caches)
    }
}
