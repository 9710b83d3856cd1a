//! Binary caches as commands use them: copying to and from one, serving, keys.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use picnix_build::Event;
use picnix_build::cache::{
    CacheAddress, CachePolicy, Served, Server, Substituters, UploadOptions, UploadReport,
    readdress, upload,
};
use picnix_store_core::{SecretKey, StorePath};

use crate::{Engine, Error};

/// What a server of ours says of its priority: between a cache nearby and the public one.
const SERVER_PRIORITY: u32 = 30;
/// How many objects are copied to a cache at a time: compression needs processors, sending does not.
const UPLOAD_JOBS_MIN: usize = 4;

/// Whether objects from a cache must be signed by a trusted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// As the settings say.
    AsConfigured,
    /// No.
    Ignored,
}

impl Engine {
    /// The caches that the settings name; none if there are none.
    pub(crate) fn substituters(&self) -> Result<Option<&Substituters>, Error> {
        if let Some(substituters) = self.substituters.get() {
            return Ok(substituters.as_ref());
        }
        for name in self.config.settings.unknown() {
            let message = format!("unknown setting '{name}'");
            self.observer.event(&Event::Warning { message: &message });
        }
        let policy = self.cache_policy()?;
        let made = match policy.addresses.is_empty() {
            true => None,
            false => Some(Substituters::new(policy, self.store()?)),
        };
        Ok(self.substituters.get_or_init(|| made).as_ref())
    }

    fn cache_policy(&self) -> Result<CachePolicy, Error> {
        let mut policy = self.config.settings.cache_policy()?;
        let var =
            |name: &str| self.config.var(name).and_then(|value| value.into_string().ok());
        policy.fetch.s3 = picnix_fetch::S3Access::from_lookup(&var);
        policy.fetch.proxies = picnix_fetch::Proxies::from_lookup(&var);
        Ok(policy)
    }

    /// Copies paths with their closures from a cache.
    ///
    /// # Errors
    /// The cache does not have them, or is not believed.
    pub fn copy_from(
        &self,
        address: &str,
        paths: &BTreeSet<StorePath>,
        signatures: Signatures,
    ) -> Result<(), Error> {
        let mut policy = self.cache_policy()?;
        policy.addresses = vec![CacheAddress::parse(address)?];
        // The user names it, and expects that it is asked.
        policy.asks_again = true;
        if signatures == Signatures::Ignored {
            policy.require_signatures = false;
        }
        let substituters = Substituters::new(policy, self.store()?);
        let builder = self.builder_with(Some(&substituters))?;
        Ok(builder.copy(paths)?)
    }

    /// Makes a content-addressed copy of a path that the store or a cache has, with its closure, and returns the
    /// path of the copy. Nobody has to have signed anything: the caller knows what must come out.
    ///
    /// # Errors
    /// The cache does not have it, or has something wrong.
    pub fn readdress_from(
        &self,
        address: &str,
        path: &StorePath,
    ) -> Result<StorePath, Error> {
        let mut policy = self.cache_policy()?;
        policy.addresses = vec![CacheAddress::parse(address)?];
        policy.require_signatures = false;
        let store = self.store()?;
        let substituters = Substituters::new(policy, store);
        let observer = &*self.observer;
        let warn = |message: &str| observer.event(&Event::Warning { message });
        Ok(readdress(store, &substituters, path, &self.cancel, &warn)?)
    }

    /// Copies the closure of valid paths to a cache, which is made if it is a folder.
    ///
    /// # Errors
    /// A path is not valid, or the cache cannot be written.
    pub fn copy_to(
        &self,
        address: CacheAddress,
        paths: &BTreeSet<StorePath>,
        sign_with: Option<&SecretKey>,
        progress: &(dyn Fn(&StorePath) + Sync),
    ) -> Result<UploadReport, Error> {
        let options = UploadOptions {
            address,
            fetch: self.cache_policy()?.fetch,
            jobs: self.jobs().max(UPLOAD_JOBS_MIN),
            sign_with,
            cancel: &self.cancel,
            progress,
        };
        Ok(upload(self.store()?, paths, &options)?)
    }

    /// Serves the store as a cache until the user asks to stop.
    ///
    /// # Errors
    /// The listener fails.
    pub fn serve(
        &self,
        listener: TcpListener,
        sign_with: Option<&SecretKey>,
        log: &(dyn Fn(&Served) + Sync),
    ) -> Result<(), Error> {
        let store = self.store()?;
        let (priority, cancel) = (SERVER_PRIORITY, &self.cancel);
        let server = Server { store, listener, sign_with, priority, cancel, log };
        server.run().map_err(Error::Serve)
    }
}

/// Reads a secret key from its file.
///
/// # Errors
/// The file cannot be read or holds no key.
pub fn read_secret_key(path: &Path) -> Result<SecretKey, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    SecretKey::parse(text.trim_end())
        .map_err(|source| Error::Key { path: path.to_owned(), source })
}

/// Makes a secret key and writes it to a new file that only its owner can read.
///
/// # Errors
/// The file exists or cannot be written; the name is not one of a key.
pub fn generate_key(name: &str, path: &Path) -> Result<SecretKey, Error> {
    if name.is_empty() || name.contains([':', '\n', ' ']) {
        return Err(Error::KeyName(name.to_owned()));
    }
    let random = Path::new("/dev/urandom");
    let mut seed = [0; 32];
    let read = File::open(random).and_then(|mut file| file.read_exact(&mut seed));
    read.map_err(|source| Error::File { action: "read", path: random.into(), source })?;
    let key = SecretKey::from_seed(name, &seed);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(key.print().as_bytes())?;
        file.sync_all()
    });
    let path = path.to_owned();
    written.map_err(|source| Error::File { action: "create", path, source })?;
    Ok(key)
}
