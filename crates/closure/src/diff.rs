//! What changed between two closures, by package.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store_core::StorePath;

use crate::graph::{Error, Graph};

/// One package on one side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// The versions of the package that are there; an empty text where the name has none.
    pub versions: BTreeSet<String>,
    /// The sum of the NAR sizes of its paths.
    pub nar_size: u64,
    /// Its paths.
    pub paths: BTreeSet<StorePath>,
}

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The package's name.
    pub name: String,
    /// The old side; no path if it is new.
    pub before: Side,
    /// The new side; no path if it is gone.
    pub after: Side,
}

impl Change {
    /// How many bytes it grew by; negative if it shrank.
    pub fn growth(&self) -> i128 {
        i128::from(self.after.nar_size) - i128::from(self.before.nar_size)
    }
}

/// What changed between two closures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The packages that differ, largest change of size first.
    pub changes: Vec<Change>,
    /// The size of the old closure.
    pub before_size: u64,
    /// The size of the new closure.
    pub after_size: u64,
}

/// Compares the closures of roots in two graphs, which may be the same graph.
pub fn diff<'a, 'b>(
    before: &Graph,
    before_roots: impl IntoIterator<Item = &'a StorePath>,
    after: &Graph,
    after_roots: impl IntoIterator<Item = &'b StorePath>,
) -> Result<Diff, Error> {
    let before = sides(before, &before.closure(before_roots)?)?;
    let after = sides(after, &after.closure(after_roots)?)?;
    let size = |sides: &BTreeMap<String, Side>| sides.values().map(|s| s.nar_size).sum();
    let (before_size, after_size) = (size(&before), size(&after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let side = |sides: &BTreeMap<String, Side>, name| -> Side {
        sides.get(name).cloned().unwrap_or_default()
    };
    let mut changes: Vec<Change> = names
        .into_iter()
        .map(|name| Change {
            name: name.clone(),
            before: side(&before, name),
            after: side(&after, name),
        })
        .filter(|change| change.before.paths != change.after.paths)
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.growth().unsigned_abs()));
    Ok(Diff { changes, before_size, after_size })
}

fn sides(
    graph: &Graph,
    closure: &BTreeSet<StorePath>,
) -> Result<BTreeMap<String, Side>, Error> {
    let mut sides: BTreeMap<String, Side> = BTreeMap::new();
    for path in closure {
        let (name, version) = split_name(path.name());
        let side = sides.entry(name.to_owned()).or_default();
        side.versions.insert(version.to_owned());
        side.nar_size += graph.nar_size(path)?;
        side.paths.insert(path.clone());
    }
    Ok(sides)
}

/// Splits a name before its version: at the first dash that no letter follows, as in Nix.
#[must_use]
pub fn split_name(name: &str) -> (&str, &str) {
    let bytes = name.as_bytes();
    let is_start = |at: &usize| {
        bytes[*at] == b'-'
            && bytes.get(at + 1).is_some_and(|next| !next.is_ascii_alphabetic())
    };
    match (0..bytes.len()).find(is_start) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Node;

    fn node(digest: u8, name: &str, nar_size: u64) -> Node {
        let path = StorePath::from_parts([digest; 20], name.as_bytes()).unwrap();
        Node { path, nar_size, references: BTreeSet::new() }
    }

    #[test]
    fn names_split_as_in_nix() {
        assert_eq!(split_name("apache-httpd-2.0.48"), ("apache-httpd", "2.0.48"));
        assert_eq!(split_name("hello"), ("hello", ""));
        assert_eq!(split_name("curl-7.82.0-bin"), ("curl", "7.82.0-bin"));
        assert_eq!(split_name("a-"), ("a-", ""));
    }

    #[test]
    fn packages_are_compared() {
        let nodes = [
            node(1, "musl-1.2.4", 10),
            node(2, "musl-1.2.5", 30),
            node(3, "same", 5),
            node(4, "gone-1", 7),
        ];
        let paths = nodes.clone().map(|node| node.path);
        let graph = Graph::new(nodes).unwrap();
        let [old, new, same, gone] = &paths;
        let diff = diff(&graph, [old, same, gone], &graph, [new, same]).unwrap();
        assert_eq!((diff.before_size, diff.after_size), (22, 35));
        let names: Vec<_> = diff.changes.iter().map(|c| (&*c.name, c.growth())).collect();
        assert_eq!(names, [("musl", 20), ("gone", -7)]);
        let versions: Vec<_> = diff.changes[0].after.versions.iter().collect();
        assert_eq!(versions, ["1.2.5"]);
    }
}
