//! Other machines: copying to and from their daemons, building there, and being such a daemon.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use picnix_build::daemon::Daemon;
use picnix_build::remote::{Connection, CopyReport, RemoteAddress};
use picnix_store_core::StorePath;

use crate::caches::Signatures;
use crate::{Engine, Error};

impl Engine {
    /// Opens a connection to a daemon.
    ///
    /// # Errors
    /// The address makes no sense, or nobody answers there.
    pub fn connect(&self, address: &str) -> Result<Connection, Error> {
        let ssh_options = self.config.var("NIX_SSHOPTS").unwrap_or_default();
        let address = RemoteAddress::parse(address)?
            .with_ssh_options(&ssh_options.to_string_lossy());
        Ok(Connection::open(&address, self.store()?.store_dir())?)
    }

    /// Copies the closure of valid paths to a daemon's store.
    ///
    /// # Errors
    /// A path is not valid, or the daemon refuses.
    pub fn send_to(
        &self,
        address: &str,
        paths: &BTreeSet<StorePath>,
        progress: &dyn Fn(&StorePath),
    ) -> Result<CopyReport, Error> {
        let mut connection = self.connect(address)?;
        let _ends = connection.end_on(&self.cancel);
        Ok(connection.send(self.store()?, paths, false, progress)?)
    }

    /// Copies paths with their closures from a daemon's store. What is signed by a trusted key or
    /// proves itself is believed; the rest only with [`Signatures::Ignored`].
    ///
    /// # Errors
    /// The daemon does not have them, or is not believed.
    pub fn fetch_from(
        &self,
        address: &str,
        paths: &BTreeSet<StorePath>,
        signatures: Signatures,
    ) -> Result<CopyReport, Error> {
        let policy = self.config.settings.cache_policy()?;
        let needs_signatures =
            policy.require_signatures && signatures == Signatures::AsConfigured;
        let mut connection = self.connect(address)?;
        let _ends = connection.end_on(&self.cancel);
        let store = self.store()?;
        let trusted = |info: &picnix_store_core::PathInfo| {
            !needs_signatures || info.is_trusted(store.store_dir(), &policy.keys)
        };
        Ok(connection.fetch(store, paths, &|info| {
            info.ultimate = false;
            trusted(info)
        })?)
    }

    /// Answers one client of the worker protocol until it ends the conversation.
    ///
    /// # Errors
    /// The client breaks off or the rules.
    pub fn answer_client(
        &self,
        from: impl Read + AsFd,
        to: impl Write + Send,
    ) -> Result<(), Error> {
        let builder = self.builder_with(self.substituters()?)?;
        let daemon = Daemon { builder, nix_version: picnix_eval::NIX_VERSION };
        Ok(daemon.serve(from, to)?)
    }
}
