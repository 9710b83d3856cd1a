//! Fetching for evaluation: files, tarballs, Git repositories, trees of forges, paths.
//!
//! Everything ends in the store. What a URL gave is believed for an hour ([`TTL_SECS`]); what is locked (a commit,
//! a hash) is believed for ever, as long as its store path is valid.

mod cache;
mod forge;
mod git;
mod unpack;
mod zip;

pub(crate) use unpack::decompress;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use picnix_eval::flake::{Input, Scheme};
use picnix_eval::world::{FetchedTree, UrlFetch};
use picnix_fetch::{Proxies, Request};
use picnix_store::{AddRequest, Store};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashFormat, HashSink, References,
    StorePath,
};
use serde_json::{Value as Json, json};

use crate::Error;
use crate::engine::Engine;
use cache::Cache;
use forge::Forge;
use zip::Attributes;

/// Unpacks an archive of tar, compressed or not, or of zip, for the fuzzer.
#[cfg(fuzzing)]
pub fn unpack_archive(archive: &Path, to: &Path) -> std::io::Result<()> {
    unpack::unpack_archive(archive, to, Attributes::Known).map(|_| ())
}

/// How long an answer of the network is believed: Nix's `tarball-ttl`.
const TTL_SECS: i64 = 3600;
/// The most bytes of one download.
const MAX_DOWNLOAD_BYTES: u64 = 16 << 30;

/// How long answers of the network are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// For an hour.
    #[default]
    Cached,
    /// Not at all.
    Refresh,
}

/// What fetches.
pub(crate) struct Fetchers<'e> {
    engine: &'e Engine,
    cache: Cache,
    freshness: Freshness,
    show_message: &'e dyn Fn(&str),
}

/// A tree in the store under the name `source`.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    path: StorePath,
    nar_hash: Hash,
}

impl<'e> Fetchers<'e> {
    /// Makes fetchers; `now` is the time of the evaluation in seconds since 1970.
    pub(crate) fn new(
        engine: &'e Engine,
        now: i64,
        freshness: Freshness,
        show_message: &'e dyn Fn(&str),
    ) -> Self {
        let cache = Cache::new(&engine.config.cache_dir, now);
        Self { engine, cache, freshness, show_message }
    }

    /// What fetches for.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine
    }

    /// The file of a flake registry at a URL, which is kept in the store for a while.
    pub(crate) fn registry_file(&self, url: &str) -> Result<PathBuf, Error> {
        let path = self.file(url, "flake-registry.json", None)?;
        Ok(self.engine.store()?.real_path(&path))
    }

    // ---- what evaluation asks for ---------------------------------------------------------------

    /// Fetches a file, or what is in a tarball.
    pub(crate) fn fetch_url(&self, request: &UrlFetch<'_>) -> Result<StorePath, Error> {
        let UrlFetch { url, name, unpack, expected } = request;
        let method =
            if *unpack { ContentAddressMethod::Nar } else { ContentAddressMethod::Flat };
        let store = self.engine.store()?;
        if let Some(expected) = expected {
            let path = self.content_path(name, method, *expected)?;
            if self.is_valid(&path)? {
                return Ok(path);
            }
        }
        if *unpack {
            let (tree, _) = self.tarball(url, expected.as_ref())?;
            return self.renamed(&tree, name);
        }
        let path = self.file(url, name, expected.as_ref())?;
        if let Some(expected) = expected {
            let contents = store.real_path(&path);
            let bytes = read(&contents)?;
            let got = Hash::of(expected.algo(), &bytes);
            if got != *expected {
                return Err(mismatch(url, expected, &got));
            }
        }
        Ok(path)
    }

    /// Fetches a tree; what comes back knows its hash.
    pub(crate) fn fetch_tree(&self, input: &Input) -> Result<FetchedTree, Error> {
        self.fetch_any_tree(input).map_err(|error| match error {
            Error::HashMismatch { wanted, got, .. } => {
                Error::TreeMismatch { input: input.show(), wanted, got }
            }
            other => other,
        })
    }

    fn fetch_any_tree(&self, input: &Input) -> Result<FetchedTree, Error> {
        if input.is_final()
            && let Some(path) = input.store_path(&self.engine.config.store_dir)?
            && self.is_valid(&path)?
        {
            return Ok(FetchedTree { path, locked: input.clone() });
        }
        let (tree, mut locked) = match input.scheme {
            Some(Scheme::Path) => self.path(input)?,
            Some(Scheme::File) => self.plain_file(input)?,
            Some(Scheme::Tarball) => {
                let wanted = input.nar_hash()?;
                let (tree, last_modified) =
                    self.tarball(&input.required("url")?, wanted.as_ref())?;
                let mut locked = input.clone();
                if last_modified > 0 && locked.number("lastModified").is_none() {
                    locked.set_number("lastModified", last_modified);
                }
                (tree, locked)
            }
            Some(Scheme::Git) => git::fetch(self, input)?,
            Some(Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut) => {
                self.forge(input)?
            }
            Some(Scheme::Mercurial | Scheme::Indirect) | None => {
                let reason = "picnix cannot fetch this kind of input".to_owned();
                return Err(Error::CannotFetch { what: input.show(), reason });
            }
        };
        let path = self.renamed(&tree, input.object_name())?;
        locked.set_text("narHash", tree.nar_hash.print(HashFormat::Sri));
        Ok(FetchedTree { path, locked })
    }

    /// Lets Git know a file of a working tree, unless it is to ignore it.
    pub(crate) fn show_to_git(&self, dir: &Path, file: &str) -> Result<(), Error> {
        git::add_intent(self, dir, file)
    }

    // ---- kinds ----------------------------------------------------------------------------------

    fn path(&self, input: &Input) -> Result<(Tree, Input), Error> {
        let text = input.required("path")?;
        if !text.starts_with('/') {
            let reason = "it uses a relative path".to_owned();
            return Err(Error::CannotFetch { what: input.show(), reason });
        }
        let path = picnix_eval::canonical_path(text.as_bytes());
        let mut locked = input.clone();
        let known = self.engine.config.store_dir.parse_path(&path).ok();
        let known = known.filter(|path| path.name() == "source");
        if let Some(path) = known
            && self.is_valid(&path)?
        {
            if locked.number("lastModified").is_none() {
                locked.set_number("lastModified", 0);
            }
            return Ok((self.tree_at(path)?, locked));
        }
        let real = self.engine.physical(&path);
        let last_modified = latest_change(&real)?;
        let tree = self.add_tree(&real)?;
        if locked.number("lastModified").is_none() {
            locked.set_number("lastModified", last_modified);
        }
        Ok((tree, locked))
    }

    fn plain_file(&self, input: &Input) -> Result<(Tree, Input), Error> {
        let file = self.file(&input.required("url")?, input.object_name(), None)?;
        let tree = self.add_tree(&self.engine.store()?.real_path(&file))?;
        Ok((tree, input.clone()))
    }

    fn forge(&self, input: &Input) -> Result<(Tree, Input), Error> {
        let Some(forge) = Forge::of(input)? else {
            let reason = "it is on no forge".to_owned();
            return Err(Error::CannotFetch { what: input.show(), reason });
        };
        let rev = match input.rev()? {
            Some(rev) => rev,
            None => self.forge_rev(&forge, input.git_ref().unwrap_or("HEAD"))?,
        };
        let mut locked = input.clone();
        locked.attrs.remove("ref");
        locked.set_text("rev", rev.as_str());
        let url = self.mirrored(forge.tarball_url(&rev));
        let key = json!({ "url": url });
        let cached = self.cache.get("forge", &key);
        let (tree, last_modified) =
            match cached.and_then(|entry| self.tree_of(&entry.value)) {
                Some(found) => found,
                None => {
                    let (tree, last_modified) =
                        self.download_tarball(&url, input.nar_hash()?.as_ref())?;
                    self.cache_tree("forge", &key, &tree, Some(last_modified));
                    (tree, last_modified)
                }
            };
        locked.set_number("lastModified", last_modified);
        Ok((tree, locked))
    }

    fn forge_rev(&self, forge: &Forge, branch: &str) -> Result<String, Error> {
        let mut branch = branch.to_owned();
        if let Some(url) = forge.head_url().filter(|_| branch == "HEAD") {
            let answer = self.contents(&self.mirrored(url))?;
            branch = forge::head_target(&answer).unwrap_or(branch);
        }
        let answer = self.contents(&self.mirrored(forge.rev_url(&branch)))?;
        forge.find_rev(&answer, &branch)
    }

    /// A forge's URL, on the mirror if the settings name one.
    fn mirrored(&self, url: String) -> String {
        match (self.engine.config.settings.forge_mirror(), url.strip_prefix("https://")) {
            (Some(mirror), Some(rest)) => {
                format!("{}/{rest}", mirror.trim_end_matches('/'))
            }
            _ => url,
        }
    }

    /// The bytes at a URL, which are kept in the store for a while.
    fn contents(&self, url: &str) -> Result<Vec<u8>, Error> {
        let path = self.file(url, "source", None)?;
        read(&self.engine.store()?.real_path(&path))
    }

    // ---- downloads ------------------------------------------------------------------------------

    /// A file as a store object.
    fn file(
        &self,
        url: &str,
        name: &str,
        expected: Option<&Hash>,
    ) -> Result<StorePath, Error> {
        let key = json!({ "url": url, "name": name });
        let cached = self.cache.get("file", &key);
        let fresh = cached.as_ref().is_some_and(|entry| self.is_fresh(entry.age));
        let known = cached.and_then(|entry| self.path_of(&entry.value));
        if let Some(path) = known.clone().filter(|_| fresh && expected.is_none()) {
            return Ok(path);
        }
        let store = self.engine.store()?;
        let to = store.temp_path()?;
        if let Err(error) = self.download(url, &to, expected) {
            return match known.filter(|_| expected.is_none()) {
                Some(path) => {
                    let error = crate::chain(&error);
                    self.warn(&format!("{error}; using cached version"));
                    Ok(path)
                }
                None => Err(error),
            };
        }
        let path =
            store.add_source(&to, &AddRequest::flat(name), &mut |_, _| Ok(true))?;
        self.remove(&to);
        let shown = store.store_dir().print(&path);
        self.cache.put("file", &key, &json!({ "path": shown }));
        Ok(path)
    }

    /// What is in a tarball, and the time of its latest change. A tree of another hash than the one wanted gets
    /// nowhere.
    fn tarball(&self, url: &str, wanted: Option<&Hash>) -> Result<(Tree, u64), Error> {
        let key = json!({ "url": url });
        let cached = self.cache.get("tarball", &key);
        if let Some(entry) = cached
            && self.is_fresh(entry.age)
            && let Some(found) = self.tree_of(&entry.value)
            && wanted.is_none_or(|wanted| *wanted == found.0.nar_hash)
        {
            return Ok(found);
        }
        let (tree, last_modified) = self.download_tarball(url, wanted)?;
        self.cache_tree("tarball", &key, &tree, Some(last_modified));
        Ok((tree, last_modified))
    }

    fn download_tarball(
        &self,
        url: &str,
        wanted: Option<&Hash>,
    ) -> Result<(Tree, u64), Error> {
        if let Some(path) = url.strip_prefix("file://") {
            let path = Path::new(path);
            let why = match (path.is_dir(), path.join(".git").exists()) {
                (true, true) => {
                    "it is a git repository, not a tarball; use 'git+file' as the scheme"
                }
                (true, false) => "it is a directory, not a file",
                _ => "",
            };
            if !why.is_empty() {
                let what = format!("tarball '{}'", path.display());
                return Err(Error::CannotFetch { what, reason: why.to_owned() });
            }
        }
        let store = self.engine.store()?;
        let (archive, to) = (store.temp_path()?, store.temp_path()?);
        self.download(url, &archive, None)?;
        let unpacked = unpack::unpack_archive(&archive, &to, Attributes::of_url(url))
            .map_err(|source| Error::Archive { url: url.to_owned(), source });
        self.remove(&archive);
        let result = unpacked.and_then(|unpacked| {
            if let Some(wanted) = wanted {
                let mut sink = HashSink::new(wanted.algo());
                store.dump_tree(&unpacked.tree, &mut sink)?;
                let (got, _) = sink.finish();
                if got != *wanted {
                    return Err(mismatch(url, wanted, &got));
                }
            }
            Ok((self.add_tree(&unpacked.tree)?, unpacked.last_modified))
        });
        self.remove(&to);
        result
    }

    fn download(
        &self,
        url: &str,
        to: &Path,
        expected: Option<&Hash>,
    ) -> Result<(), Error> {
        let var = |name: &str| self.engine.config.var(name)?.into_string().ok();
        let (mirrors, config, cancel) = self.engine.network();
        let request = Request {
            urls: vec![url.to_owned()],
            mirrors: mirrors.clone(),
            expected: expected.copied(),
            dest: to.to_owned(),
            max_bytes: Some(MAX_DOWNLOAD_BYTES),
            config: picnix_fetch::Config {
                proxies: Proxies::from_lookup(&var),
                ..config.clone()
            },
        };
        match picnix_fetch::fetch(&request, &mut |_| !cancel.is_cancelled()) {
            Ok(_) => Ok(()),
            Err(picnix_fetch::Error::HashMismatch { url, wanted, got, .. }) => {
                Err(mismatch(&url, &wanted, &got))
            }
            Err(error) => Err(error.into()),
        }
    }

    // ---- the store ------------------------------------------------------------------------------

    fn is_valid(&self, path: &StorePath) -> Result<bool, Error> {
        let store = self.engine.store()?;
        store.add_temp_roots([path])?;
        Ok(store.is_valid(path)?)
    }

    fn content_path(
        &self,
        name: &str,
        method: ContentAddressMethod,
        hash: Hash,
    ) -> Result<StorePath, Error> {
        let address = ContentAddress { method, hash };
        let store_dir = &self.engine.config.store_dir;
        store_dir
            .make_content_path(name, &address, &References::none())
            .map_err(|error| Error::Store(error.into()))
    }

    fn temp_path(&self) -> Result<PathBuf, Error> {
        Ok(self.engine.store()?.temp_path()?)
    }

    /// Removes what is needed no more; what stays is removed with the store's session.
    fn remove(&self, path: &Path) {
        drop(if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        });
    }

    fn add_tree(&self, from: &Path) -> Result<Tree, Error> {
        let store = self.engine.store()?;
        let request = AddRequest::source("source");
        self.tree_at(store.add_source(from, &request, &mut |_, _| Ok(true))?)
    }

    /// Adds those files of a directory that are in a set, which has all directories around them too.
    fn add_filtered(&self, from: &Path, keep: &BTreeSet<PathBuf>) -> Result<Tree, Error> {
        let store = self.engine.store()?;
        let request = AddRequest::source("source");
        let mut filter = |path: &Path, _| Ok(keep.contains(path));
        self.tree_at(store.add_source(from, &request, &mut filter)?)
    }

    fn tree_at(&self, path: StorePath) -> Result<Tree, Error> {
        let store: &Store = self.engine.store()?;
        let nar_hash = store.path_info(&path)?.nar_hash.into();
        Ok(Tree { path, nar_hash })
    }

    /// The same tree under another name.
    fn renamed(&self, tree: &Tree, name: &str) -> Result<StorePath, Error> {
        let path = self.content_path(name, ContentAddressMethod::Nar, tree.nar_hash)?;
        if path == tree.path || self.is_valid(&path)? {
            return Ok(path);
        }
        let store = self.engine.store()?;
        let from = store.real_path(&tree.path);
        Ok(store.add_source(&from, &AddRequest::source(name), &mut |_, _| Ok(true))?)
    }

    // ---- the cache ------------------------------------------------------------------------------

    fn is_fresh(&self, age: i64) -> bool {
        self.freshness == Freshness::Cached && (0..TTL_SECS).contains(&age)
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.show_message)(&format!("warning: {text}"));
    }

    fn path_of(&self, value: &Json) -> Option<StorePath> {
        let path = value.get("path")?.as_str()?;
        let path = self.engine.config.store_dir.parse_path(path.as_bytes()).ok()?;
        self.is_valid(&path).ok()?.then_some(path)
    }

    fn tree_of(&self, value: &Json) -> Option<(Tree, u64)> {
        let tree = self.tree_at(self.path_of(value)?).ok()?;
        Some((tree, value.get("lastModified").and_then(Json::as_u64).unwrap_or(0)))
    }

    fn cached_tree(&self, kind: &str, key: &Json) -> Result<Option<Tree>, Error> {
        let entry = self.cache.get(kind, key);
        Ok(entry.and_then(|entry| self.tree_of(&entry.value)).map(|(tree, _)| tree))
    }

    fn cache_tree(
        &self,
        kind: &str,
        key: &Json,
        tree: &Tree,
        last_modified: Option<u64>,
    ) {
        let path = self.engine.config.store_dir.print(&tree.path);
        self.cache.put(
            kind,
            key,
            &json!({ "path": path, "lastModified": last_modified }),
        );
    }
}

fn mismatch(url: &str, wanted: &Hash, got: &Hash) -> Error {
    let (wanted, got) = (Box::new(*wanted), Box::new(*got));
    Error::HashMismatch { url: url.to_owned(), wanted, got }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// The latest time of change of a file or of anything in a directory, in seconds since 1970.
fn latest_change(path: &Path) -> Result<u64, Error> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NoPath(path.to_owned()),
        _ => Error::File { action: "look at", path: path.to_owned(), source },
    };
    let found = fs::symlink_metadata(path).map_err(fail)?;
    let mut latest = u64::try_from(found.mtime()).unwrap_or(0);
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(fail)? {
            latest = latest.max(latest_change(&entry.map_err(fail)?.path())?);
        }
    }
    Ok(latest)
}

impl Engine {
    /// Where a path of the language really lies: a store path below the root of the store.
    #[must_use]
    pub fn physical(&self, path: &[u8]) -> PathBuf {
        Self::physical_below(&self.config, path)
    }

    /// As [`Self::physical`], with what the settings say.
    pub(crate) fn physical_below(config: &crate::Config, path: &[u8]) -> PathBuf {
        let store_dir = config.store_dir.as_str().as_bytes();
        let is_inside = path
            .strip_prefix(store_dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        if is_inside {
            let relative = path.strip_prefix(b"/").unwrap_or(path);
            return config.store_root.join(std::ffi::OsStr::from_bytes(relative));
        }
        PathBuf::from(std::ffi::OsStr::from_bytes(path))
    }
}
