//! Damaged objects give way to good ones, or are forgotten.
//!
//! What is damaged stays in its place until a good object is at hand; then the two change places in one
//! step, so that there is never no object. Where the good one comes from is the caller's business.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use picnix_store_core::{PathInfo, StorePath};

use crate::error::{Context, Error, Result};
use crate::lock::HeldLock;
use crate::place::{Bin, Placement, rename_object};
use crate::session::lock_roots;
use crate::store::Store;
use crate::tree::remove_tree;

impl Store {
    /// Replaces a valid path by an object from elsewhere, checked against its info as [`Store::add_nar`] does.
    ///
    /// The info may be another than the registered one, and takes its place then; what it refers to must be
    /// valid.
    pub fn replace_by_nar(&self, nar: impl Read, info: &PathInfo) -> Result<()> {
        self.add_temp_roots([&info.path])?;
        let from = self.temp_path()?;
        let replaced = self.restore_checked(nar, &from, info).and_then(|()| {
            self.replace(Placement { from: from.clone(), info: info.clone() })
        });
        if replaced.is_err() {
            // It may be large. What cannot be removed now goes with the session.
            let _ = remove_tree(&from);
        }
        replaced
    }

    /// Lets a complete object take the place of a valid path.
    pub(crate) fn replace(&self, placement: Placement) -> Result<()> {
        self.require_writable()?;
        self.check_placements(std::slice::from_ref(&placement))?;
        self.sync()?;
        let Placement { from, mut info } = placement;
        let mut bin = Bin::new(self)?;
        let lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let old = self.path_info(&info.path)?;
        let valid = self.database.valid_among(&info.references)?;
        if let Some(reference) = info.references.difference(&valid).next() {
            let (path, reference) = (info.path, reference.clone());
            return Err(Error::ReferenceNotValid { path, reference });
        }
        exchange(&from, &self.layout.object(&info.path), &mut bin)?;
        self.sync()?;
        if old.nar_hash != info.nar_hash {
            info.registration_time = old.registration_time;
            self.database.register(std::slice::from_ref(&info))?;
        }
        self.forget_derivations([&info.path].into_iter());
        drop(lock);
        if self.config.auto_optimise {
            // It is good, whether it shares its blocks or not.
            let _ = self.optimise_paths([&info.path]);
        }
        bin.empty().map(|_| ())
    }

    /// Forgets valid paths and whatever refers to them, and deletes the files. Returns all that was forgotten.
    pub fn forget(&self, damaged: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        let mut bin = Bin::new(self)?;
        let place_lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let roots_lock = lock_roots(&self.layout)?;
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
        drop(roots_lock);
        drop(place_lock);
        bin.empty()?;
        Ok(doomed)
    }

    /// Those of some paths that nothing but others of them refers to.
    pub fn unreferenced(
        &self,
        mut paths: BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        loop {
            let mut referenced = BTreeSet::new();
            for path in &paths {
                if !self.query_referrers(path)?.is_subset(&paths) {
                    referenced.insert(path.clone());
                }
            }
            if referenced.is_empty() {
                return Ok(paths);
            }
            paths.retain(|path| !referenced.contains(path));
        }
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
