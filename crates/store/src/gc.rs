//! Collection: what no root reaches is deleted.
//!
//! Under both locks the collector reads the graph and the roots, forgets what is dead, and moves it
//! away; that takes milliseconds. The deletion itself holds no lock. Killed in between, it leaves
//! unregistered files, which the next collection removes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use picnix_store_core::StorePath;

use crate::database::Node;
use crate::error::{Error, Result};
use crate::keepers::{Keeper, keepers};
use crate::lock::HeldLock;
use crate::place::Bin;
use crate::reserve::{make_reserve, release_reserve};
use crate::roots::Root;
use crate::runtime::runtime_roots;
use crate::session::{lock_roots, names_in, temp_roots};
use crate::store::Store;

/// How much is collected.
#[derive(Clone, Debug, Default)]
pub struct GcOptions {
    /// Only tell what would be deleted.
    pub dry_run: bool,
    /// Stop when objects of this many NAR bytes are deleted.
    pub max_bytes: Option<u64>,
    /// Delete derivations of living outputs too, which are kept otherwise.
    pub delete_derivations: bool,
}

/// What was collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// The paths that are valid no more, with the sizes of their NARs.
    pub deleted: Vec<(StorePath, u64)>,
    /// Files in the store that were never registered, such as remains of killed processes.
    pub unregistered: Vec<String>,
    /// Bytes of disk that became free; 0 in a dry run.
    pub freed_bytes: u64,
    /// Every root that was honoured.
    pub roots: Vec<Root>,
    /// What each of them kept.
    pub keepers: Vec<Keeper>,
}

impl Store {
    /// Deletes what no root reaches.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        // On a full disk this is what there is to work with.
        if self.require_writable().is_ok() && !options.dry_run {
            release_reserve(&self.layout.reserve);
        }
        let collected = self.collect(options);
        if self.require_writable().is_ok() {
            make_reserve(&self.layout.reserve);
        }
        collected
    }

    fn collect(&self, options: &GcOptions) -> Result<GcReport> {
        let mut bin = Bin::new(self)?;
        let place_lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let roots_lock = lock_roots(&self.layout)?;
        let (roots, stale) = self.all_roots(&roots_lock)?;
        let nodes = self.database.graph()?;
        let alive = mark(&nodes, &roots, options);
        let dead = select(&nodes, &alive, options.max_bytes);
        let mut report = GcReport {
            deleted: dead.iter().map(|node| (node.path.clone(), node.nar_size)).collect(),
            unregistered: self.unregistered(&nodes, &roots)?,
            freed_bytes: 0,
            keepers: keepers(&nodes, &roots, options),
            roots,
        };
        if options.dry_run {
            return Ok(report);
        }
        self.clear_stale_roots()?;
        self.database.forget(dead.iter().map(|node| &node.path))?;
        let dead_names = dead.iter().map(|node| node.path.to_string());
        for name in dead_names.chain(report.unregistered.iter().cloned()) {
            bin.throw(&self.layout.objects.join(name))?;
        }
        // Under the lock, since another collector would find them too.
        for folder in stale {
            bin.throw(&folder)?;
        }
        drop(roots_lock);
        drop(place_lock);
        report.freed_bytes = bin.empty()? + self.clear_links()?;
        Ok(report)
    }

    /// Deletes some paths, which must be dead once all of them are gone.
    ///
    /// Paths that are not valid are ignored. Returns the bytes of disk that became free.
    pub fn delete(&self, paths: &BTreeSet<StorePath>) -> Result<u64> {
        self.delete_unless(paths, |_| true)
    }

    /// As [`Store::delete`], but links do not protect the paths; only what refers to them and running processes
    /// do.
    pub fn delete_linked(&self, paths: &BTreeSet<StorePath>) -> Result<u64> {
        let links: BTreeSet<Root> = self.roots()?.into_iter().collect();
        self.delete_unless(paths, |root| !links.contains(root))
    }

    fn delete_unless(
        &self,
        paths: &BTreeSet<StorePath>,
        protects: impl Fn(&Root) -> bool,
    ) -> Result<u64> {
        let mut bin = Bin::new(self)?;
        let place_lock = HeldLock::wait(&self.layout.locks.join("place.lock"))?;
        let roots_lock = lock_roots(&self.layout)?;
        let (mut roots, _) = self.all_roots(&roots_lock)?;
        roots.retain(protects);
        let valid = self.database.valid_among(paths)?;
        for path in &valid {
            let alive = |keeper: String| Error::Alive { path: path.clone(), keeper };
            if let Some(root) = roots.iter().find(|root| root.path == *path) {
                return Err(alive(root.keeper.clone()));
            }
            let referrers = self.database.referrers(path)?;
            if let Some(referrer) = referrers.difference(&valid).next() {
                return Err(alive(format!("'{referrer}' refers to it")));
            }
        }
        self.database.forget(&valid)?;
        for path in &valid {
            bin.throw(&self.layout.object(path))?;
        }
        drop(roots_lock);
        drop(place_lock);
        Ok(bin.empty()? + self.clear_links()?)
    }

    /// All roots, those of running processes included, and what dead processes left.
    fn all_roots(&self, lock: &HeldLock) -> Result<(Vec<Root>, Vec<PathBuf>)> {
        let mut roots = self.roots()?;
        let sessions = temp_roots(&self.layout, lock)?;
        let temporary = sessions.roots.into_iter();
        roots.extend(temporary.map(|(path, keeper)| Root { path, keeper }));
        let mut in_use = runtime_roots(self, Path::new("/proc"));
        // Processes that use another store name objects that are not here.
        let valid = self.valid_among(in_use.iter().map(|root| &root.path))?;
        in_use.retain(|root| valid.contains(&root.path));
        roots.extend(in_use);
        roots.sort_unstable();
        roots.dedup();
        Ok((roots, sessions.stale))
    }

    /// Names in the folder of objects that nobody registered or is about to.
    fn unregistered(&self, nodes: &[Node], roots: &[Root]) -> Result<Vec<String>> {
        let mut names = names_in(&self.layout.objects)?;
        let known: BTreeSet<String> = nodes
            .iter()
            .map(|node| node.path.to_string())
            .chain(roots.iter().map(|root| root.path.to_string()))
            .collect();
        names.retain(|name| !known.contains(name));
        Ok(names)
    }
}

/// Which nodes the roots reach.
pub(crate) fn mark<'r>(
    nodes: &[Node],
    roots: impl IntoIterator<Item = &'r Root>,
    options: &GcOptions,
) -> Vec<bool> {
    let mut alive = vec![false; nodes.len()];
    let mut queue = Vec::new();
    for root in roots {
        if let Ok(index) = nodes.binary_search_by(|node| node.path.cmp(&root.path)) {
            queue.push(index);
        }
    }
    while let Some(index) = queue.pop() {
        if !std::mem::replace(&mut alive[index], true) {
            queue.extend(&nodes[index].references);
            queue.extend(nodes[index].deriver.filter(|_| !options.delete_derivations));
        }
    }
    alive
}

/// The dead nodes, referrers before what they refer to, until there are enough.
fn select<'a>(nodes: &'a [Node], alive: &[bool], max: Option<u64>) -> Vec<&'a Node> {
    let mut order = Vec::new();
    let mut seen = alive.to_vec();
    for start in 0..nodes.len() {
        // Depth first without recursion: a chain may be as long as the store is large.
        let mut stack = vec![(start, 0)];
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        while let Some((index, next)) = stack.last_mut() {
            match nodes[*index].references.get(*next) {
                Some(&reference) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[reference], true) {
                        stack.push((reference, 0));
                    }
                }
                None => {
                    order.push(*index);
                    stack.pop();
                }
            }
        }
    }
    let mut left = max.unwrap_or(u64::MAX);
    let take = |index: &usize| {
        let enough = left == 0;
        left = left.saturating_sub(nodes[*index].nar_size);
        !enough
    };
    order.into_iter().rev().take_while(take).map(|index| &nodes[index]).collect()
}
