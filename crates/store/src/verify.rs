//! Is the store what the database says it is?

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use picnix_store_core::{HashAlgo, HashFormat, PathInfo, Sha256, StorePath};

use crate::add::checked_restore;
use crate::error::{Context, Result};
use crate::lock::HeldLock;
use crate::pipe::HashPipe;
use crate::place::{Bin, rename_object};
use crate::session::{lock_roots, names_in};
use crate::store::Store;
use crate::tree::dump;

/// How closely objects are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Are they there?
    Exist,
    /// Do they have the hashes that the database knows?
    Hashed,
}

/// What is done about damaged objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Report,
    /// They are forgotten and deleted, with everything that refers to them, so that they are built
    /// or fetched anew.
    Forget,
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
    /// Paths that were forgotten.
    pub forgotten: Vec<StorePath>,
}

impl VerifyReport {
    /// Is everything as it should be, or has been made so?
    pub fn is_sound(&self) -> bool {
        let damaged =
            self.missing.iter().chain(self.modified.iter().map(|(path, _)| path));
        let forgotten: BTreeSet<&StorePath> = self.forgotten.iter().collect();
        self.database.is_empty()
            && damaged.into_iter().all(|path| forgotten.contains(path))
    }
}

impl Store {
    /// Compares the objects with the database.
    pub fn verify(&self, contents: Contents, repair: Repair) -> Result<VerifyReport> {
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
        if repair == Repair::Forget {
            let damaged: BTreeSet<StorePath> = report
                .missing
                .iter()
                .chain(report.modified.iter().map(|(path, _)| path))
                .cloned()
                .collect();
            report.forgotten = self.forget_damaged(damaged)?;
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

    /// Forgets paths and whatever refers to them, and deletes the files.
    fn forget_damaged(&self, damaged: BTreeSet<StorePath>) -> Result<Vec<StorePath>> {
        let mut bin = Bin::new(self)?;
        let _place_lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let _roots_lock = lock_roots(&self.layout)?;
        let mut doomed = damaged.clone();
        let mut queue: Vec<StorePath> = damaged.into_iter().collect();
        while let Some(path) = queue.pop() {
            for referrer in self.query_referrers(&path)? {
                if doomed.insert(referrer.clone()) {
                    queue.push(referrer);
                }
            }
        }
        self.database.forget(&doomed)?;
        for path in &doomed {
            bin.throw(&self.layout.object(path))?;
        }
        bin.empty()?;
        Ok(doomed.into_iter().collect())
    }

    /// Replaces the files of a valid path by those of a NAR with the registered hash.
    ///
    /// For repairing from another store. The exchange is one step: there is never no object.
    pub fn repair_path(&self, path: &StorePath, nar: impl Read) -> Result<()> {
        self.require_writable()?;
        self.add_temp_roots([path])?;
        let info: PathInfo = self.path_info(path)?;
        let from = self.temp_path()?;
        checked_restore(nar, &from, &info)?;
        self.sync()?;
        let mut bin = Bin::new(self)?;
        let _place_lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let place = self.layout.object(path);
        exchange(&from, &place, &mut bin)?;
        self.sync()?;
        bin.empty().map(|_| ())
    }
}

/// Puts `from` into the place of `to`, and what is there into the bin.
fn exchange(from: &Path, to: &Path, bin: &mut Bin) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if std::fs::symlink_metadata(to).is_err() {
        return rename_object(from, to);
    }
    // Both must be writable if they are directories; links have no mode.
    for path in [from, to] {
        let metadata = std::fs::symlink_metadata(path).context("examine", path)?;
        if metadata.is_dir() {
            crate::place::set_mode(path, rustix::fs::Mode::from_raw_mode(0o755))?;
        }
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => bin.throw(from)?,
        // Not every file system can exchange; then there is a moment without the object.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            bin.throw(to)?;
            return rename_object(from, to);
        }
        Err(error) => return Err(error).context("exchange", to),
    }
    let metadata = std::fs::symlink_metadata(to).context("examine", to)?;
    if metadata.is_dir() {
        crate::place::set_mode(to, rustix::fs::Mode::from_raw_mode(0o555))?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
