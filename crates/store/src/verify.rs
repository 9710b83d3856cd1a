//! Is the store what the database says it is?

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use picnix_store_core::{HashAlgo, HashFormat, Sha256, StorePath};

use crate::error::Result;
use crate::pipe::HashPipe;
use crate::session::names_in;
use crate::store::{Store, lock};
use crate::tree::dump;

/// How closely objects are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Are they there?
    Exist,
    /// Do they have the hashes that the database knows?
    Hashed,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many valid paths were looked at.
    pub checked: usize,
    /// Valid paths without files.
    pub missing: Vec<StorePath>,
    /// Valid paths with other contents than registered, and what was found.
    pub modified: Vec<(StorePath, String)>,
    /// Files in the store that were never registered; no damage, the collector removes them.
    pub unregistered: Vec<String>,
    /// What SQLite finds wrong with the database's file.
    pub database: Vec<String>,
}

impl VerifyReport {
    /// Is everything as it should be?
    pub fn is_sound(&self) -> bool {
        self.database.is_empty() && self.missing.is_empty() && self.modified.is_empty()
    }

    /// The valid paths that are not as they should be.
    pub fn damaged(&self) -> BTreeSet<StorePath> {
        let modified = self.modified.iter().map(|(path, _)| path);
        self.missing.iter().chain(modified).cloned().collect()
    }
}

impl Store {
    /// Compares the objects with the database.
    pub fn verify(&self, contents: Contents) -> Result<VerifyReport> {
        let mut report =
            VerifyReport { database: self.database.check()?, ..<_>::default() };
        let valid = self.valid_paths()?;
        self.add_temp_roots(&valid)?;
        // Some may have been collected before they were roots.
        let valid = self.valid_among(&valid)?;
        let present: BTreeSet<String> =
            names_in(&self.layout.objects)?.into_iter().collect();
        let (found, missing): (Vec<_>, Vec<_>) =
            valid.iter().cloned().partition(|path| present.contains(&path.to_string()));
        report.checked = valid.len();
        report.missing = missing;
        let names: BTreeSet<String> = valid.iter().map(ToString::to_string).collect();
        report.unregistered = present.difference(&names).cloned().collect();
        if contents == Contents::Hashed {
            report.modified = self.verify_hashes(&found)?;
        }
        Ok(report)
    }

    /// Hashes objects on all cores; those that differ, with the reason.
    fn verify_hashes(&self, paths: &[StorePath]) -> Result<Vec<(StorePath, String)>> {
        let next = AtomicUsize::new(0);
        let modified = Mutex::new(Vec::new());
        let failure = Mutex::new(None);
        let work = || {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.verify_hash(path) {
                    Ok(None) => {}
                    Ok(Some(reason)) => lock(&modified).push((path.clone(), reason)),
                    Err(error) => {
                        lock(&failure).get_or_insert(error);
                        return;
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let mut modified = std::mem::take(&mut *lock(&modified));
        modified.sort_unstable();
        Ok(modified)
    }

    /// Is a path valid, and what lies there what the database says?
    pub fn is_intact(&self, path: &StorePath) -> Result<bool> {
        Ok(self.is_valid(path)? && self.verify_hash(path)?.is_none())
    }

    fn verify_hash(&self, path: &StorePath) -> Result<Option<String>> {
        let Some(info) = self.query_path_info(path)? else { return Ok(None) };
        let sink = match dump(&self.real_path(path), HashPipe::new(HashAlgo::Sha256)) {
            Ok(sink) => sink,
            // The disk may fail on one object; that is a finding, not the end.
            Err(error) => return Ok(Some(error.to_string())),
        };
        let (hash, _) = sink.finish();
        if hash == info.nar_hash.into() {
            return Ok(None);
        }
        Ok(Some(format!(
            "hash is sha256:{}, expected sha256:{}",
            hash.print(HashFormat::Nix32),
            Sha256::nix32(&info.nar_hash)
        )))
    }
}
