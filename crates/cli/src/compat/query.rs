//! `nix-store --query`: what the store knows of its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use picnix_store_core::{Derivation, Hash, HashFormat, StorePath};

use super::graph::{self, Language};
use super::store::{Call, Shell, store_error};
use super::{Stop, usage};
use crate::error::CommandError;
use crate::output;

/// A question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Outputs,
    Requisites,
    References,
    Referrers,
    ReferrersClosure,
    Deriver,
    Binding,
    Hash,
    Size,
    Tree,
    Graph,
    GraphMl,
    ValidDerivers,
    Resolve,
    Roots,
}

/// How questions are asked.
const KINDS: &[(&[&str], Kind, &str)] = &[
    (&["--outputs"], Kind::Outputs, "the outputs of derivations (the default)"),
    (&["--requisites", "-R"], Kind::Requisites, "the closure"),
    (&["--references"], Kind::References, "what paths refer to"),
    (&["--referrers", "--referers"], Kind::Referrers, "what refers to paths"),
    (
        &["--referrers-closure", "--referers-closure"],
        Kind::ReferrersClosure,
        "what refers to paths, directly or not",
    ),
    (&["--deriver", "-d"], Kind::Deriver, "the derivations that made paths"),
    (&["--binding", "-b"], Kind::Binding, "NAME: a variable of derivations"),
    (&["--hash"], Kind::Hash, "hashes of NARs"),
    (&["--size"], Kind::Size, "sizes of NARs in bytes"),
    (&["--tree"], Kind::Tree, "the closure as a tree"),
    (&["--graph"], Kind::Graph, "the closure as a graph for Graphviz"),
    (&["--graphml"], Kind::GraphMl, "the closure as GraphML"),
    (&["--valid-derivers"], Kind::ValidDerivers, "the valid derivations of paths"),
    (&["--resolve"], Kind::Resolve, "store paths that arguments stand for"),
    (&["--roots"], Kind::Roots, "what protects paths"),
];

/// Every flag of a query.
pub(super) const FLAGS: &[&str] = &[
    "--outputs",
    "--requisites",
    "-R",
    "--references",
    "--referrers",
    "--referers",
    "--referrers-closure",
    "--referers-closure",
    "--deriver",
    "-d",
    "--binding",
    "-b",
    "--hash",
    "--size",
    "--tree",
    "--graph",
    "--graphml",
    "--valid-derivers",
    "--resolve",
    "--roots",
    "--use-output",
    "-u",
    "--force-realise",
    "--force-realize",
    "-f",
    "--include-outputs",
];

pub(super) fn help() -> String {
    let mut out = String::new();
    for (names, _, help) in KINDS {
        let _ = writeln!(out, "  {:<34} {help}", names.join(", "));
    }
    out
}

/// Runs the operation.
pub(super) fn run(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let mut kind = None;
    for flag in &call.flags {
        let found = KINDS.iter().find(|(names, _, _)| names.contains(&flag.as_str()));
        let Some((_, found, _)) = found else { continue };
        if kind.is_some_and(|kind| kind != *found) {
            return usage(format!("query type '{flag}' conflicts with earlier flag"));
        }
        kind = Some(*found);
    }
    let kind = kind.unwrap_or(Kind::Outputs);
    let mut args = call.args.as_slice();
    let mut binding = "";
    if kind == Kind::Binding {
        let Some((name, rest)) = args.split_first() else {
            return usage("expected binding name");
        };
        (binding, args) = (name, rest);
    }
    let has = |names: &[&str]| names.iter().any(|name| call.has(name));
    let query = Query {
        shell,
        use_output: has(&["--use-output", "-u"]),
        force: has(&["--force-realise", "--force-realize", "-f"]),
        include_outputs: has(&["--include-outputs"]),
    };
    query.answer(kind, args, binding)?;
    Ok(ExitCode::SUCCESS)
}

struct Query<'q> {
    shell: &'q Shell<'q>,
    use_output: bool,
    force: bool,
    include_outputs: bool,
}

impl Query<'_> {
    fn answer(&self, kind: Kind, args: &[String], binding: &str) -> Result<(), Stop> {
        match kind {
            Kind::Outputs => {
                for arg in args {
                    for path in self.subjects(arg, true)? {
                        self.line(&path)?;
                    }
                }
            }
            Kind::Requisites
            | Kind::References
            | Kind::Referrers
            | Kind::ReferrersClosure => self.relatives(kind, args)?,
            Kind::Deriver => {
                for arg in args {
                    let info = self.info(&self.shell.store_path(arg)?)?;
                    match &info.deriver {
                        Some(deriver) => self.line(deriver)?,
                        None => output::line("unknown-deriver")?,
                    }
                }
            }
            Kind::Binding => {
                for arg in args {
                    self.binding(arg, binding)?;
                }
            }
            Kind::Hash | Kind::Size => {
                for arg in args {
                    for path in self.subjects(arg, self.use_output)? {
                        let info = self.info(&path)?;
                        let hash = Hash::from(info.nar_hash);
                        output::line(&match kind {
                            Kind::Hash => hash.print_prefixed(HashFormat::Nix32),
                            _ => info.nar_size.to_string(),
                        })?;
                    }
                }
            }
            Kind::Tree => {
                let mut done = BTreeSet::new();
                for arg in args {
                    self.tree(&self.shell.store_path(arg)?, "", "", &mut done)?;
                }
            }
            Kind::Graph => self.graph(Language::Dot, args)?,
            Kind::GraphMl => self.graph(Language::GraphMl, args)?,
            Kind::ValidDerivers => {
                for arg in args {
                    for deriver in self.valid_derivers(&self.shell.store_path(arg)?)? {
                        self.line(&deriver)?;
                    }
                }
            }
            Kind::Resolve => {
                for arg in args {
                    self.line(&self.shell.store_path(arg)?)?;
                }
            }
            Kind::Roots => self.roots(args)?,
        }
        Ok(())
    }

    fn line(&self, path: &StorePath) -> Result<(), Stop> {
        Ok(output::line(&self.shell.print(path))?)
    }

    fn info(&self, path: &StorePath) -> Result<picnix_store_core::PathInfo, Stop> {
        info(self.shell, path)
    }

    /// The paths that an argument stands for: itself, or the outputs of the derivation that it is.
    fn subjects(&self, arg: &str, outputs: bool) -> Result<Vec<StorePath>, Stop> {
        let path = self.shell.store_path(arg)?;
        if self.force {
            self.shell.realise(&path)?;
        }
        if !outputs || !path.is_derivation() {
            return Ok(vec![path]);
        }
        let known = self.shell.store.derivation_outputs(&path);
        let mut paths = BTreeSet::new();
        for output in known.map_err(store_error)?.into_values() {
            let Some(output) = output else {
                return usage(
                    "Cannot use output path of floating content-addressing derivation until we know \
                     what it is (e.g. by building it)",
                );
            };
            paths.insert(output);
        }
        Ok(paths.into_iter().collect())
    }

    fn derivation(&self, path: &StorePath) -> Result<Arc<Derivation>, Stop> {
        Ok(self.shell.store.read_derivation(path).map_err(store_error)?)
    }

    fn relatives(&self, kind: Kind, args: &[String]) -> Result<(), Stop> {
        let mut paths = BTreeSet::new();
        for arg in args {
            for path in self.subjects(arg, self.use_output)? {
                match kind {
                    Kind::Requisites => paths.extend(self.closure(&path)?),
                    Kind::References => paths.extend(self.info(&path)?.references),
                    Kind::Referrers => paths.extend(self.referrers(&path)?),
                    _ => paths.extend(self.referrers_closure(&path)?),
                }
            }
        }
        // What is referred to comes before what refers to it.
        for path in self.sorted(&paths)? {
            self.line(&path)?;
        }
        Ok(())
    }

    fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, Stop> {
        Ok(self.shell.store.query_referrers(path).map_err(store_error)?)
    }

    fn closure(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, Stop> {
        self.info(path)?;
        let mut closure: BTreeSet<StorePath> =
            self.shell.store.closure([path]).map_err(store_error)?.into_iter().collect();
        if !self.include_outputs {
            return Ok(closure);
        }
        let derivations: Vec<StorePath> =
            closure.iter().filter(|path| path.is_derivation()).cloned().collect();
        for path in derivations {
            let known =
                self.shell.store.derivation_outputs(&path).map_err(store_error)?;
            for output in known.into_values().flatten() {
                if self.shell.store.is_valid(&output).map_err(store_error)? {
                    let more =
                        self.shell.store.closure([&output]).map_err(store_error)?;
                    closure.extend(more);
                }
            }
        }
        Ok(closure)
    }

    /// Every valid derivation that has the path as an output, whichever produced it.
    fn valid_derivers(&self, path: &StorePath) -> Result<Vec<StorePath>, Stop> {
        let mut derivers = Vec::new();
        let store = self.shell.store;
        for candidate in store.valid_paths().map_err(store_error)? {
            // An output has its derivation's name, and possibly that of the output behind it.
            let name = candidate.derivation_name();
            if !name.is_ok_and(|name| path.name().starts_with(name)) {
                continue;
            }
            let outputs = store.derivation_outputs(&candidate).map_err(store_error)?;
            if outputs.into_values().flatten().any(|output| output == *path) {
                derivers.push(candidate);
            }
        }
        Ok(derivers)
    }

    fn referrers_closure(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, Stop> {
        let mut found = BTreeSet::from([path.clone()]);
        let mut work = vec![path.clone()];
        while let Some(path) = work.pop() {
            for referrer in self.referrers(&path)? {
                if found.insert(referrer.clone()) {
                    work.push(referrer);
                }
            }
        }
        Ok(found)
    }

    fn sorted(&self, paths: &BTreeSet<StorePath>) -> Result<Vec<StorePath>, Stop> {
        references_first(self.shell, paths)
    }

    fn binding(&self, arg: &str, name: &str) -> Result<(), Stop> {
        let mut path = self.shell.store_path(arg)?;
        if !path.is_derivation() {
            let Some(deriver) = self.info(&path)?.deriver else {
                let path = self.shell.print(&path);
                let message = format!("deriver of path '{path}' is not known");
                return Err(CommandError::user(message).into());
            };
            path = deriver;
        }
        let derivation = self.derivation(&path)?;
        let Some(value) = derivation.env.get(name.as_bytes()) else {
            let path = self.shell.print(&path);
            let message =
                format!("derivation '{path}' has no environment binding named '{name}'");
            return Err(CommandError::user(message).into());
        };
        output::write(value)?;
        output::write(b"\n")?;
        Ok(())
    }

    fn tree(
        &self,
        path: &StorePath,
        first: &str,
        rest: &str,
        done: &mut BTreeSet<StorePath>,
    ) -> Result<(), Stop> {
        let printed = self.shell.print(path);
        if !done.insert(path.clone()) {
            output::line(&format!("{first}{printed} [...]"))?;
            return Ok(());
        }
        output::line(&format!("{first}{printed}"))?;
        let members: BTreeSet<StorePath> =
            self.info(path)?.references.into_iter().collect();
        // As in Nix, an input of another member comes before it, which keeps the tree flat.
        let sorted = self.sorted(&members)?;
        for (index, member) in sorted.iter().enumerate() {
            let is_last = index + 1 == sorted.len();
            let (connector, line) = if is_last {
                ("└───", "    ")
            } else {
                ("├───", "│   ")
            };
            let (first, rest) = (format!("{rest}{connector}"), format!("{rest}{line}"));
            if member != path {
                self.tree(member, &first, &rest, done)?;
            } else {
                output::line(&format!("{first}{} [...]", self.shell.print(member)))?;
            }
        }
        Ok(())
    }

    fn graph(&self, language: Language, args: &[String]) -> Result<(), Stop> {
        let mut roots = BTreeSet::new();
        for arg in args {
            roots.extend(self.subjects(arg, self.use_output)?);
        }
        let text = graph::draw(language, roots, |path| self.info(path))?;
        Ok(output::write(text.as_bytes())?)
    }

    fn roots(&self, args: &[String]) -> Result<(), Stop> {
        let mut protectors = BTreeSet::new();
        for arg in args {
            for path in self.subjects(arg, self.use_output)? {
                protectors.extend(self.referrers_closure(&path)?);
            }
        }
        for root in self.shell.store.roots().map_err(store_error)? {
            if protectors.contains(&root.path) {
                output::line(&format!(
                    "{} -> {}",
                    root.keeper,
                    self.shell.print(&root.path)
                ))?;
            }
        }
        Ok(())
    }
}

/// Sorted so that references come first; otherwise by path.
pub(super) fn references_first(
    shell: &Shell<'_>,
    paths: &BTreeSet<StorePath>,
) -> Result<Vec<StorePath>, Stop> {
    let mut references = BTreeMap::new();
    for path in paths {
        references.insert(path, info(shell, path)?.references);
    }
    let mut done = BTreeSet::new();
    let mut sorted = Vec::new();
    // Depth first, without recursion: a path is written after all that it refers to.
    for start in paths {
        let mut work = vec![(start, false)];
        while let Some((path, is_finished)) = work.pop() {
            if is_finished {
                sorted.push(path.clone());
            } else if done.insert(path) {
                work.push((path, true));
                let members = references[path].iter().rev();
                let members = members.filter_map(|path| paths.get(path));
                work.extend(
                    members.filter(|path| !done.contains(path)).map(|path| (path, false)),
                );
            }
        }
    }
    Ok(sorted)
}

fn info(
    shell: &Shell<'_>,
    path: &StorePath,
) -> Result<picnix_store_core::PathInfo, Stop> {
    let info = shell.store.query_path_info(path).map_err(store_error)?;
    info.ok_or_else(|| {
        let path = shell.print(path);
        CommandError::user(format!("path '{path}' is not valid")).into()
    })
}

/// `nix-store --print-env`: assignments that a shell can read.
pub(super) fn print_env(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let [only] = call.args.as_slice() else {
        return usage("'--print-env' requires one derivation store path");
    };
    let path = shell.store_path(only)?;
    let derivation = shell.store.read_derivation(&path).map_err(store_error)?;
    let mut out = Vec::new();
    for (name, value) in derivation.env.iter() {
        out.extend_from_slice(b"export ");
        out.extend_from_slice(name);
        out.extend_from_slice(b"; ");
        out.extend_from_slice(name);
        out.push(b'=');
        quote(value, &mut out);
        // Nix ends the line twice.
        out.extend_from_slice(b"\n\n");
    }
    out.extend_from_slice(b"export _args; _args=");
    quote(&derivation.args.join(&b' '), &mut out);
    out.push(b'\n');
    output::write(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Quotes a word for a shell.
fn quote(word: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
}

/// `nix-store --read-log`
pub(super) fn read_log(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    for arg in &call.args {
        let path = shell.store_path(arg)?;
        let Some(log) =
            picnix_build::find_log(shell.store, &path).map_err(store_error)?
        else {
            let path = shell.print(&path);
            let message = format!("build log of derivation '{path}' is not available");
            return Err(CommandError::user(message).into());
        };
        let text = std::fs::read(&log).map_err(|error| {
            CommandError::user(format!("cannot read '{}': {error}", log.display()))
        })?;
        output::write(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
