//! What was fetched before: small JSON files in the cache directory, one a key, with the time of writing.
//!
//! A cache may lose anything at any time, so nothing here fails: what cannot be read is not there, what cannot be
//! written is forgotten. What an entry says is checked by whoever uses it (is the store path still valid?).

use std::fs;
use std::path::{Path, PathBuf};

use picnix_store_core::Sha256;
use serde_json::{Value as Json, json};

/// A directory of entries.
pub(super) struct Cache {
    dir: PathBuf,
    now: i64,
}

/// Something that was kept.
pub(super) struct Entry {
    /// The value.
    pub(super) value: Json,
    /// How long ago it was kept, in seconds.
    pub(super) age: i64,
}

impl Cache {
    /// The cache below a cache directory, at a time.
    pub(super) fn new(cache_dir: &Path, now: i64) -> Self {
        Self { dir: cache_dir.join("fetch"), now }
    }

    /// A directory of the cache for things that are no JSON.
    pub(super) fn dir(&self, kind: &str) -> PathBuf {
        self.dir.join(kind)
    }

    /// What is kept under a key.
    pub(super) fn get(&self, kind: &str, key: &Json) -> Option<Entry> {
        let text = fs::read(self.file(kind, key)).ok()?;
        let mut json: Json = serde_json::from_slice(&text).ok()?;
        if json.get("key") != Some(key) {
            return None;
        }
        let age = self.now.saturating_sub(json.get("time")?.as_i64()?);
        Some(Entry { value: json.get_mut("value")?.take(), age })
    }

    /// Keeps something under a key.
    pub(super) fn put(&self, kind: &str, key: &Json, value: &Json) {
        let file = self.file(kind, key);
        let text = json!({ "key": key, "time": self.now, "value": value }).to_string();
        let unfinished = file.with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::create_dir_all(self.dir.join(kind))
            .and_then(|()| fs::write(&unfinished, text))
            .and_then(|()| fs::rename(&unfinished, &file));
        if written.is_err() {
            // Nothing is lost but time; the half-written file must not stay.
            drop(fs::remove_file(&unfinished));
        }
    }

    fn file(&self, kind: &str, key: &Json) -> PathBuf {
        let name = Sha256::of(key.to_string().as_bytes()).nix32();
        self.dir.join(kind).join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_an_age() {
        let dir = tempfile::tempdir().unwrap();
        let key = json!({ "url": "x" });
        assert!(Cache::new(dir.path(), 5).get("a", &key).is_none());
        Cache::new(dir.path(), 10).put("a", &key, &json!(1));
        let entry = Cache::new(dir.path(), 25).get("a", &key).unwrap();
        assert_eq!((entry.value, entry.age), (json!(1), 15));
        assert!(Cache::new(dir.path(), 25).get("b", &key).is_none());
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, key) = (Cache::new(dir.path(), 0), json!("k"));
        cache.put("a", &key, &json!(1));
        fs::write(cache.file("a", &key), "{").unwrap();
        assert!(cache.get("a", &key).is_none());
    }
}
