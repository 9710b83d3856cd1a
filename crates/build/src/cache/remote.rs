//! One binary cache: its files by name, read and written.

use std::path::Path;
use std::sync::Arc;

use picnix_fetch::{Client, Patience, Stream, Upload};
use picnix_store_core::{CacheInfo, NarInfo, StoreDir, StorePath};

use crate::cache::address::CacheAddress;
use crate::cache::error::CacheError;

/// The most bytes of a narinfo: 10,000 references would be a tenth of it.
const NARINFO_LIMIT: u64 = 8 << 20;
/// The most bytes of a `nix-cache-info`.
const CACHE_INFO_LIMIT: u64 = 64 << 10;
/// The name of the file that makes a folder a cache.
const CACHE_INFO: &str = "nix-cache-info";
/// What Nix writes to a cache that it makes.
const PRIORITY: u32 = 30;

/// A binary cache.
#[derive(Debug, Clone)]
pub(crate) struct BinaryCache {
    pub(crate) address: CacheAddress,
    pub(crate) client: Arc<Client>,
    pub(crate) store_dir: StoreDir,
}

impl BinaryCache {
    /// What the cache says of itself; checked against our store directory.
    pub(crate) fn info(&self) -> Result<CacheInfo, CacheError> {
        let url = &self.address.url;
        let text = self.client.get_bytes(
            &self.file_url(CACHE_INFO),
            Patience::Once,
            CACHE_INFO_LIMIT,
        )?;
        let Some(text) = text else { return Err(CacheError::NotACache(url.clone())) };
        self.check_info(&text)
    }

    /// Understands a `nix-cache-info`.
    pub(crate) fn check_info(&self, text: &[u8]) -> Result<CacheInfo, CacheError> {
        let info = CacheInfo::parse(text).map_err(|source| self.format(source))?;
        match &info.store_dir {
            Some(theirs) if *theirs != self.store_dir.as_str() => {
                let (url, theirs) = (self.address.url.clone(), theirs.clone());
                Err(CacheError::StoreDir {
                    url,
                    theirs,
                    ours: self.store_dir.to_string(),
                })
            }
            _ => Ok(info),
        }
    }

    /// Makes the place a cache if it is none.
    pub(crate) fn make(&self) -> Result<(), CacheError> {
        match self.info() {
            Err(CacheError::NotACache(_)) => {}
            other => return other.map(|_| ()),
        }
        let info = CacheInfo {
            store_dir: Some(self.store_dir.to_string()),
            want_mass_query: true,
            priority: Some(PRIORITY),
        };
        self.put_text(CACHE_INFO, "text/x-nix-cache-info", &info.print())
    }

    /// The narinfo of a path as it is in the cache.
    pub(crate) fn narinfo_text(
        &self,
        path: &StorePath,
    ) -> Result<Option<Vec<u8>>, CacheError> {
        let url = self.file_url(&narinfo_name(path));
        Ok(self.client.get_bytes(&url, Patience::Retry, NARINFO_LIMIT)?)
    }

    /// Understands a narinfo, which must describe this path and stay inside the cache.
    pub(crate) fn parse_narinfo(
        &self,
        path: &StorePath,
        text: &[u8],
    ) -> Result<NarInfo, CacheError> {
        let whence = narinfo_name(path);
        let narinfo = NarInfo::parse(&self.store_dir, text, &whence)
            .map_err(|source| self.format(source))?;
        if narinfo.info.path != *path {
            return Err(CacheError::WrongPath {
                url: self.address.url.clone(),
                asked: path.clone(),
                got: narinfo.info.path,
            });
        }
        if !self.permits(&narinfo.url) {
            return Err(CacheError::ForbiddenUrl {
                url: self.address.url.clone(),
                path: path.clone(),
                target: narinfo.url,
            });
        }
        Ok(narinfo)
    }

    /// Opens the compressed NAR of a path.
    pub(crate) fn open_nar(&self, narinfo: &NarInfo) -> Result<Stream<'_>, CacheError> {
        let url = match is_absolute(&narinfo.url) {
            true => narinfo.url.clone(),
            false => self.file_url(&narinfo.url),
        };
        let stream = self.client.get(&url, Patience::Retry)?;
        stream.ok_or_else(|| CacheError::NarMissing {
            url: self.address.url.clone(),
            path: narinfo.info.path.clone(),
        })
    }

    pub(crate) fn has_narinfo(&self, path: &StorePath) -> Result<bool, CacheError> {
        Ok(self.client.exists(&self.file_url(&narinfo_name(path)))?)
    }

    pub(crate) fn put_nar(&self, name: &str, file: &Path) -> Result<(), CacheError> {
        let url = self.file_url(name);
        Ok(self.client.put(&url, "application/x-nix-nar", Upload::File(file))?)
    }

    pub(crate) fn put_narinfo(&self, narinfo: &NarInfo) -> Result<(), CacheError> {
        let name = narinfo_name(&narinfo.info.path);
        self.put_text(&name, "text/x-nix-narinfo", &narinfo.print(&self.store_dir))
    }

    fn put_text(&self, name: &str, kind: &str, text: &str) -> Result<(), CacheError> {
        Ok(self.client.put(&self.file_url(name), kind, Upload::Bytes(text.as_bytes()))?)
    }

    fn file_url(&self, name: &str) -> String {
        format!("{}/{name}", self.address.url)
    }

    /// May a narinfo lead there? A folder's own files only; from a server to any server.
    fn permits(&self, target: &str) -> bool {
        if is_absolute(target) {
            return !self.address.url.starts_with("file:");
        }
        // An escaped dot or slash would be one again for whoever opens the file.
        let is_plain = !target.contains("://") && !target.contains(['%', '\\', '\0']);
        is_plain
            && !target.starts_with('/')
            && target.split(['/', '?']).all(|part| !matches!(part, ".." | "."))
    }

    fn format(&self, source: picnix_store_core::Error) -> CacheError {
        CacheError::Format { url: self.address.url.clone(), source }
    }
}

fn is_absolute(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// The name of a path's narinfo.
pub(crate) fn narinfo_name(path: &StorePath) -> String {
    format!("{}.narinfo", String::from_utf8_lossy(&path.digest_text()))
}
