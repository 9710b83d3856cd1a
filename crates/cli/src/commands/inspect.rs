//! `picnix store tree | requisites | referrers | dot | why | diff`: what refers to
//! what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_closure::{Graph, Side};
use picnix_store_core::StorePath;
use picnix_store_core::refscan::RefScanner;

use super::Outcome;
use super::store::{Shell, file_error, store_error};
use crate::error::CommandError;
use crate::output;

/// The most ways that `why --all` shows; there may be exponentially many.
const MAX_WAYS: usize = 1000;
/// The most files that are named for one reference.
const MAX_FILES: usize = 3;
/// How much of a file is read at a time.
const CHUNK_SIZE: usize = 256 * 1024;

impl Shell<'_> {
    pub(super) fn requisites(&self, paths: &[PathBuf]) -> Outcome {
        let graph = self.graph(paths)?.1;
        let order = graph.topological_order().map_err(closure_error)?;
        order.iter().try_for_each(|path| output::line(&self.print(path)))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn referrers(&self, paths: &[PathBuf], recursive: bool) -> Outcome {
        let mut todo: Vec<StorePath> = self.store_paths(paths)?.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(path) = todo.pop() {
            for referrer in self.store.query_referrers(&path).map_err(store_error)? {
                if found.insert(referrer.clone()) && recursive {
                    todo.push(referrer);
                }
            }
        }
        found.iter().try_for_each(|path| output::line(&self.print(path)))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn tree(&self, path: &Path) -> Outcome {
        let (roots, graph) = self.graph(&[path.to_owned()])?;
        let mut shown = BTreeSet::new();
        for root in &roots {
            // Depth first without recursion: a path, and what stands before it and its children.
            let mut todo = vec![(root.clone(), String::new(), String::new())];
            while let Some((path, before, below)) = todo.pop() {
                let is_new = shown.insert(path.clone());
                let references: Vec<StorePath> =
                    graph.references(&path).map_err(closure_error)?.cloned().collect();
                let more = if is_new || references.is_empty() { "" } else { " [...]" };
                output::line(&format!("{before}{}{more}", self.print(&path)))?;
                if !is_new {
                    continue;
                }
                let last = references.len().saturating_sub(1);
                for (index, reference) in references.into_iter().enumerate().rev() {
                    let (branch, rest) = if index == last {
                        ("└───", "    ")
                    } else {
                        ("├───", "│   ")
                    };
                    todo.push((
                        reference,
                        format!("{below}{branch}"),
                        format!("{below}{rest}"),
                    ));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn dot(&self, paths: &[PathBuf]) -> Outcome {
        let graph = self.graph(paths)?.1;
        output::line("digraph closure {\n  rankdir=LR;\n  node [shape=box];")?;
        for path in graph.paths() {
            let size = graph.nar_size(path).map_err(closure_error)?;
            let label = format!("{}\\n{size} bytes", path.name());
            output::line(&format!("  \"{path}\" [label=\"{label}\"];"))?;
            for reference in graph.references(path).map_err(closure_error)? {
                output::line(&format!("  \"{path}\" -> \"{reference}\";"))?;
            }
        }
        output::line("}")?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn why(&self, from: &Path, to: &Path, all: bool) -> Outcome {
        let (from, to) = (self.store_path(from)?, self.store_path(to)?);
        let graph = self.store.graph([&from]).map_err(store_error)?;
        if !graph.paths().contains(&to) {
            let (from, to) = (self.print(&from), self.print(&to));
            output::line(&format!("'{from}' does not need '{to}'"))?;
            return Ok(ExitCode::from(1));
        }
        let most = if all { MAX_WAYS } else { 1 };
        let found = graph.why_all(&from, &to, most).map_err(closure_error)?;
        let mut files = BTreeMap::new();
        for (number, way) in found.ways.iter().enumerate() {
            if number > 0 {
                output::line("")?;
            }
            output::line(&self.print(&from))?;
            for (depth, pair) in way.windows(2).enumerate() {
                let edge = (pair[0].clone(), pair[1].clone());
                let held = match files.get(&edge) {
                    Some(held) => held,
                    None => {
                        files.entry(edge).or_insert(self.holders(&pair[0], &pair[1])?)
                    }
                };
                let indent = "    ".repeat(depth);
                let held: &Vec<String> = held;
                output::line(&format!(
                    "{indent}└───{}  (in {})",
                    self.print(&pair[1]),
                    if held.is_empty() { "no file".to_owned() } else { held.join(", ") }
                ))?;
            }
        }
        if found.more {
            let hint = if all { "" } else { "; '--all' shows them" };
            output::line(&format!("there are more ways{hint}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn diff(&self, before: &Path, after: &Path) -> Outcome {
        let (before_roots, before) = self.graph(&[before.to_owned()])?;
        let (after_roots, after) = self.graph(&[after.to_owned()])?;
        let diff = picnix_closure::diff(&before, &before_roots, &after, &after_roots)
            .map_err(closure_error)?;
        let side = |side: &Side| {
            if side.paths.is_empty() {
                return "absent".to_owned();
            }
            let version = |version: &String| {
                if version.is_empty() { "present" } else { version }.to_owned()
            };
            side.versions.iter().map(version).collect::<Vec<_>>().join(", ")
        };
        for change in &diff.changes {
            let (before, after) = (side(&change.before), side(&change.after));
            let growth = change.growth();
            output::line(&format!(
                "{}: {before} -> {after}, {growth:+} bytes",
                change.name
            ))?;
        }
        let (before, after) = (diff.before_size, diff.after_size);
        let growth = i128::from(after) - i128::from(before);
        output::line(&format!("total: {before} -> {after}, {growth:+} bytes"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn graph(
        &self,
        paths: &[PathBuf],
    ) -> Result<(BTreeSet<StorePath>, Graph), CommandError> {
        let roots = self.store_paths(paths)?;
        let graph = self.store.graph(&roots).map_err(store_error)?;
        Ok((roots, graph))
    }

    /// The files of an object that hold a reference, the first few by name.
    fn holders(
        &self,
        from: &StorePath,
        to: &StorePath,
    ) -> Result<Vec<String>, CommandError> {
        let root = self.store.real_path(from);
        let mut found = Vec::new();
        let mut todo = vec![root.clone()];
        while let Some(path) = todo.pop() {
            let metadata = fs::symlink_metadata(&path)
                .map_err(|error| file_error("read", &path, &error))?;
            if metadata.is_dir() {
                let entries = fs::read_dir(&path)
                    .and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
                let mut entries: Vec<PathBuf> =
                    entries.map_err(|error| file_error("list", &path, &error))?;
                entries.sort_by(|a, b| b.cmp(a));
                todo.extend(entries);
                continue;
            }
            let mut scanner = RefScanner::new([to.clone()]);
            if metadata.is_symlink() {
                let target = fs::read_link(&path)
                    .map_err(|error| file_error("read", &path, &error))?;
                scanner.update(target.as_os_str().as_bytes());
            } else {
                scan(&path, &mut scanner)
                    .map_err(|error| file_error("read", &path, &error))?;
            }
            if scanner.finish().contains(to) {
                if found.len() == MAX_FILES {
                    found.push("...".to_owned());
                    break;
                }
                let inside = path.strip_prefix(&root).unwrap_or(&path);
                let name = if inside.as_os_str().is_empty() {
                    "the file itself".to_owned()
                } else {
                    inside.display().to_string()
                };
                found.push(name);
            }
        }
        Ok(found)
    }
}

fn scan(path: &Path, scanner: &mut RefScanner) -> std::io::Result<()> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; CHUNK_SIZE];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => scanner.update(&buffer[..count]),
        }
    }
}

fn closure_error(error: picnix_closure::Error) -> CommandError {
    store_error(picnix_store::Error::from(error))
}
