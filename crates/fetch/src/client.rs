//! A client that speaks to few places often: small files, streams, uploads.
//!
//! It keeps one [`ureq::Agent`] for each proxy, and an agent keeps its connections, so that hundreds
//! of small questions to one server cost one handshake. `file` URLs are served like any other, which
//! makes a folder and a server the same to callers. Nothing is checked here: whoever asks knows what
//! the answer has to be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::Agent;

use crate::config::Config;
use crate::error::Error;
use crate::fetch::{file_path, open_file};
use crate::http::{self, Answer, Refusal};
use crate::part::{Validator, fail};
use crate::s3::resolve;
use crate::s3_keys::Profiles;
use crate::stream::Stream;

/// How often a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Once: for finding out whether anybody is there.
    Once,
    /// Again after a while, as often as the configuration says.
    Retry,
}

/// What is uploaded.
#[derive(Debug, Clone, Copy)]
pub enum Upload<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// A file, which may be moved away.
    File(&'a Path),
}

/// A client with its connections. Threads may share it.
pub struct Client {
    config: Config,
    agents: Mutex<BTreeMap<Option<String>, Agent>>,
    s3_profiles: OnceLock<Result<Profiles, String>>,
    /// Numbers the temporary files of uploads to folders.
    next_temp: AtomicU64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.config).finish()
    }
}

impl Client {
    /// A client without connections yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            agents: Mutex::default(),
            s3_profiles: OnceLock::new(),
            next_temp: AtomicU64::new(0),
        }
    }

    /// Opens a URL for reading; `None` if the server has no such thing.
    ///
    /// # Errors
    /// [`Error::Get`] where the server cannot be reached or does not behave.
    pub fn get(
        &self,
        url: &str,
        patience: Patience,
    ) -> Result<Option<Stream<'_>>, Error> {
        let asked = self.persist(patience, || self.ask(url, 0, None));
        match asked? {
            Ok(Answer::Bytes { total_bytes, validator, body, .. }) => {
                Ok(Some(Stream::new(self, url, body, total_bytes, validator)))
            }
            Ok(Answer::Complete | Answer::Restart) => {
                let reason = "the server answered another question".to_owned();
                Err(Error::Get { url: url.to_owned(), reason })
            }
            Err(refusal) if refusal.is_absent => Ok(None),
            Err(refusal) => {
                Err(Error::Get { url: url.to_owned(), reason: refusal.reason })
            }
        }
    }

    /// Reads a small file whole.
    ///
    /// # Errors
    /// As [`Client::get`], and [`Error::TooLarge`].
    pub fn get_bytes(
        &self,
        url: &str,
        patience: Patience,
        limit_bytes: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(stream) = self.get(url, patience)? else { return Ok(None) };
        let mut bytes = Vec::new();
        stream.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(|error| {
            Error::Get { url: url.to_owned(), reason: error.to_string() }
        })?;
        if bytes.len() as u64 > limit_bytes {
            return Err(Error::TooLarge { url: url.to_owned(), limit_bytes });
        }
        Ok(Some(bytes))
    }

    /// Is there anything at a URL?
    ///
    /// # Errors
    /// [`Error::Get`] where the server cannot be reached or does not behave.
    pub fn exists(&self, url: &str) -> Result<bool, Error> {
        let looked = self.persist(Patience::Retry, || match url.split_once("://") {
            Some(("file", path)) => match file_path(path).try_exists() {
                Ok(true) => Ok(Ok(())),
                Ok(false) => Ok(Err(Refusal::absent("no such file"))),
                Err(error) => Ok(Err(Refusal::lasting(error.to_string()))),
            },
            _ => match self.resolve(url, "HEAD") {
                Ok(url) => Ok(http::look(&self.agent(&url)?, &url)),
                Err(refusal) => Ok(Err(refusal)),
            },
        });
        match looked? {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.is_absent => Ok(false),
            Err(refusal) => {
                Err(Error::Get { url: url.to_owned(), reason: refusal.reason })
            }
        }
    }

    /// Stores something at a URL, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Put`], and [`Error::Io`] where the file to upload cannot be read or a folder cannot
    /// be written.
    pub fn put(
        &self,
        url: &str,
        content_type: &str,
        upload: Upload<'_>,
    ) -> Result<(), Error> {
        if let Some(("file", path)) = url.split_once("://") {
            return self.put_file(&file_path(path), upload);
        }
        let put = self.persist(Patience::Retry, || {
            let url = match self.resolve(url, "PUT") {
                Ok(url) => url,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let url = &*url;
            let agent = self.agent(url)?;
            Ok(match upload {
                Upload::Bytes(bytes) => {
                    let size = bytes.len() as u64;
                    http::put(&agent, url, content_type, &mut &*bytes, size)
                }
                Upload::File(path) => {
                    let opened = File::open(path).and_then(|f| Ok((f.metadata()?, f)));
                    let (found, mut file) = opened.map_err(fail("read", path))?;
                    http::put(&agent, url, content_type, &mut file, found.len())
                }
            })
        });
        put?.map_err(|refusal| Error::Put { url: url.to_owned(), reason: refusal.reason })
    }

    /// Asks for the bytes of a URL from a position on.
    pub(crate) fn ask(
        &self,
        url: &str,
        start: u64,
        validator: Option<&Validator>,
    ) -> Result<Result<Answer, Refusal>, Error> {
        let url = match self.resolve(url, "GET") {
            Ok(url) => url,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let url = &*url;
        Ok(match url.split_once("://") {
            Some(("file", path)) => open_file(path, start),
            Some(("http" | "https", _)) => {
                http::ask_with(&self.agent(url)?, url, start, validator)
            }
            _ => Err(Refusal::lasting("unsupported kind of URL")),
        })
    }

    fn resolve<'u>(&self, url: &'u str, method: &str) -> Result<Cow<'u, str>, Refusal> {
        let keys_of =
            |profile: Option<&str>| self.config.s3.keys_of(profile, &self.s3_profiles);
        resolve(url, method, keys_of).map_err(Refusal::lasting)
    }

    /// How often a stream that broke off is continued without getting anywhere.
    pub(crate) fn retries(&self) -> u32 {
        self.config.retries
    }

    /// Waits before another try.
    pub(crate) fn back_off(&self, tries: u32) {
        std::thread::sleep(self.wait_before(tries));
    }

    fn wait_before(&self, tries: u32) -> Duration {
        self.config.backoff * 2_u32.saturating_pow(tries.saturating_sub(1))
    }

    fn persist<T>(
        &self,
        patience: Patience,
        ask: impl Fn() -> Result<Result<T, Refusal>, Error>,
    ) -> Result<Result<T, Refusal>, Error> {
        let retries = match patience {
            Patience::Once => 0,
            Patience::Retry => self.config.retries,
        };
        let mut tries = 0;
        loop {
            match ask()? {
                Err(refusal) if refusal.is_passing && tries < retries => {
                    tries += 1;
                    self.back_off(tries);
                }
                other => return Ok(other),
            }
        }
    }

    fn agent(&self, url: &str) -> Result<Agent, Error> {
        let proxy = self.config.proxies.of(url).map(str::to_owned);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&proxy) {
            return Ok(agent.clone());
        }
        let agent = http::agent(&self.config, url)?;
        agents.insert(proxy, agent.clone());
        Ok(agent)
    }

    /// Stores something in a folder: under a temporary name first.
    fn put_file(&self, path: &Path, upload: Upload<'_>) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail("create", folder))?;
        }
        let temp = self.temp_beside(path);
        let written = match upload {
            Upload::Bytes(bytes) => write_synced(&temp, &mut &*bytes),
            Upload::File(from) => match fs::rename(from, &temp) {
                Ok(()) => Ok(()),
                Err(_) => File::open(from)
                    .map_err(fail("read", from))
                    .and_then(|mut file| write_synced(&temp, &mut file)),
            },
        };
        let placed =
            written.and_then(|()| fs::rename(&temp, path).map_err(fail("write", path)));
        if placed.is_err() {
            // What is left of it is in nobody's way.
            let _ = fs::remove_file(&temp);
        }
        placed
    }

    fn temp_beside(&self, path: &Path) -> PathBuf {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{number}.tmp", std::process::id()));
        PathBuf::from(name)
    }
}

fn write_synced(path: &Path, source: &mut dyn Read) -> Result<(), Error> {
    let written = File::create(path).and_then(|mut file| {
        io::copy(source, &mut file)?;
        file.flush()?;
        file.sync_data()
    });
    written.map_err(fail("write", path))
}
