//! The graph, closures and topological order.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store_core::StorePath;

/// A store path as a node: what it weighs and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The path.
    pub path: StorePath,
    /// The length of its NAR in bytes.
    pub nar_size: u64,
    /// What it refers to; references to itself are ignored.
    pub references: BTreeSet<StorePath>,
}

/// What can be wrong with a graph or a question about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A path that is referred to and not in the graph.
    #[error("path '{path}' refers to '{reference}', which is not in the graph")]
    Dangling {
        /// The path.
        path: StorePath,
        /// What it refers to.
        reference: StorePath,
    },
    /// A path that is asked about and not in the graph.
    #[error("path '{0}' is not in the graph")]
    Unknown(StorePath),
    /// Paths that refer to each other.
    #[error("cycle detected in the references of '{0}' from '{1}'")]
    Cycle(StorePath, StorePath),
}

/// An index into the graph's nodes.
pub(crate) type Index = usize;

/// A set of store paths with their sizes and references, closed under the latter.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Sorted.
    pub(crate) paths: Vec<StorePath>,
    pub(crate) sizes: Vec<u64>,
    /// For each node the nodes that it refers to, sorted, itself excluded.
    pub(crate) references: Vec<Vec<Index>>,
    /// For each node the nodes that refer to it, sorted, itself excluded.
    pub(crate) referrers: Vec<Vec<Index>>,
}

impl Graph {
    /// Builds a graph. Of two nodes with one path the last counts.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Result<Self, Error> {
        let nodes: BTreeMap<StorePath, Node> =
            nodes.into_iter().map(|node| (node.path.clone(), node)).collect();
        let paths: Vec<StorePath> = nodes.keys().cloned().collect();
        let sizes = nodes.values().map(|node| node.nar_size).collect();
        let mut references = Vec::with_capacity(paths.len());
        let mut referrers = vec![Vec::new(); paths.len()];
        for (index, node) in nodes.values().enumerate() {
            let mut own = Vec::with_capacity(node.references.len());
            for reference in node.references.iter().filter(|path| **path != node.path) {
                let to = paths.binary_search(reference).map_err(|_| Error::Dangling {
                    path: node.path.clone(),
                    reference: reference.clone(),
                })?;
                own.push(to);
                referrers[to].push(index);
            }
            references.push(own);
        }
        Ok(Self { paths, sizes, references, referrers })
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Is there no path at all?
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Every path, sorted.
    pub fn paths(&self) -> &[StorePath] {
        &self.paths
    }

    /// The length of a path's NAR in bytes.
    pub fn nar_size(&self, path: &StorePath) -> Result<u64, Error> {
        Ok(self.sizes[self.index(path)?])
    }

    /// What a path refers to, itself excluded.
    pub fn references(
        &self,
        path: &StorePath,
    ) -> Result<impl Iterator<Item = &StorePath>, Error> {
        let index = self.index(path)?;
        Ok(self.references[index].iter().map(|to| &self.paths[*to]))
    }

    /// What refers to a path, itself excluded.
    pub fn referrers(
        &self,
        path: &StorePath,
    ) -> Result<impl Iterator<Item = &StorePath>, Error> {
        let index = self.index(path)?;
        Ok(self.referrers[index].iter().map(|from| &self.paths[*from]))
    }

    /// Everything that some paths reach, themselves included.
    pub fn closure<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error> {
        let reached = self.reach(&self.indices(roots)?, &self.references);
        Ok(self.selected(&reached))
    }

    /// The sum of the NAR sizes of everything that some paths reach.
    pub fn closure_size<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<u64, Error> {
        let reached = self.reach(&self.indices(roots)?, &self.references);
        Ok((0..self.len()).filter(|index| reached[*index]).map(|at| self.sizes[at]).sum())
    }

    /// Everything that reaches some paths, themselves included.
    pub fn all_referrers<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error> {
        let reached = self.reach(&self.indices(paths)?, &self.referrers);
        Ok(self.selected(&reached))
    }

    /// Every path, each after what it refers to; of several such orders the one by path.
    pub fn topological_order(&self) -> Result<Vec<StorePath>, Error> {
        let mut missing: Vec<usize> = self.references.iter().map(Vec::len).collect();
        let mut ready: BTreeSet<Index> =
            (0..self.len()).filter(|index| missing[*index] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(index) = ready.pop_first() {
            order.push(self.paths[index].clone());
            for &referrer in &self.referrers[index] {
                missing[referrer] -= 1;
                if missing[referrer] == 0 {
                    ready.insert(referrer);
                }
            }
        }
        if order.len() == self.len() { Ok(order) } else { Err(self.cycle(&missing)) }
    }

    /// Names two neighbours on a cycle; every path in `missing` leads to one.
    fn cycle(&self, missing: &[usize]) -> Error {
        let next = |index: Index| {
            let stuck = |to: &&Index| missing[**to] > 0;
            *self.references[index]
                .iter()
                .find(stuck)
                .expect("a stuck path waits for one")
        };
        let start = (0..self.len()).find(|index| missing[*index] > 0);
        let mut index = start.expect("some path is stuck");
        // After as many steps as there are paths, one is on the cycle itself.
        for _ in 0..self.len() {
            index = next(index);
        }
        Error::Cycle(self.paths[next(index)].clone(), self.paths[index].clone())
    }

    pub(crate) fn index(&self, path: &StorePath) -> Result<Index, Error> {
        self.paths.binary_search(path).map_err(|_| Error::Unknown(path.clone()))
    }

    pub(crate) fn indices<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Vec<Index>, Error> {
        let mut indices = paths
            .into_iter()
            .map(|path| self.index(path))
            .collect::<Result<Vec<_>, _>>()?;
        indices.sort_unstable();
        indices.dedup();
        Ok(indices)
    }

    /// Which nodes are reached over `edges`.
    pub(crate) fn reach(&self, starts: &[Index], edges: &[Vec<Index>]) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        let mut queue = starts.to_vec();
        while let Some(index) = queue.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                queue.extend(&edges[index]);
            }
        }
        reached
    }

    fn selected(&self, selected: &[bool]) -> BTreeSet<StorePath> {
        let chosen = (0..self.len()).filter(|index| selected[*index]);
        chosen.map(|index| self.paths[index].clone()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The path that stands for a number in tests; their order is that of the numbers.
    pub(crate) fn path(number: usize) -> StorePath {
        let mut digest = [0; 20];
        digest[19] = u8::try_from(number / 8).unwrap();
        digest[18] = u8::try_from(number % 8 * 32).unwrap();
        StorePath::from_parts(digest, format!("p{number}-1.0").as_bytes()).unwrap()
    }

    /// A graph with an edge for each pair; node `n` weighs `2^n`.
    pub(crate) fn graph(len: usize, edges: &[(usize, usize)]) -> Graph {
        let node = |number: usize| Node {
            path: path(number),
            nar_size: 1 << number,
            references: edges
                .iter()
                .filter(|(from, _)| *from == number)
                .map(|(_, to)| path(*to))
                .collect(),
        };
        Graph::new((0..len).map(node)).unwrap()
    }

    /// A graph whose edges lead from smaller to larger numbers, and the edges.
    pub(crate) fn acyclic() -> impl Strategy<Value = (Graph, Vec<(usize, usize)>)> {
        let edges = proptest::collection::vec((0usize..12, 0usize..12), 0..40);
        edges.prop_map(|mut edges| {
            edges.retain(|(from, to)| from < to);
            (graph(12, &edges), edges)
        })
    }

    #[test]
    fn a_closure_has_a_size() {
        let graph = graph(5, &[(0, 1), (0, 2), (1, 3), (2, 3), (3, 3)]);
        assert_eq!(graph.closure_size([&path(0)]).unwrap(), 0b1111);
        assert_eq!(graph.closure_size([&path(1), &path(4)]).unwrap(), 0b11010);
        assert_eq!(
            graph.closure([&path(2)]).unwrap(),
            BTreeSet::from([path(2), path(3)])
        );
        assert_eq!(graph.all_referrers([&path(3)]).unwrap().len(), 4);
        assert_eq!(graph.closure_size([&path(9)]), Err(Error::Unknown(path(9))));
    }

    #[test]
    fn the_order_starts_with_leaves() {
        let graph = graph(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let order = graph.topological_order().unwrap();
        assert_eq!(order, [path(3), path(1), path(2), path(0)]);
    }

    #[test]
    fn a_cycle_is_named() {
        let graph = graph(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]);
        assert_eq!(graph.topological_order(), Err(Error::Cycle(path(1), path(2))));
    }

    #[test]
    fn dangling_references_are_refused() {
        let references = BTreeSet::from([path(1)]);
        let node = Node { path: path(0), nar_size: 1, references };
        let error = Graph::new([node]).unwrap_err();
        assert!(matches!(error, Error::Dangling { .. }));
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let chain: Vec<_> = (0..250).map(|at| (at, at + 1)).collect();
        let mut nodes: Vec<Node> = Vec::new();
        for (from, to) in chain {
            let references = BTreeSet::from([path(to)]);
            nodes.push(Node { path: path(from), nar_size: 1, references });
        }
        nodes.push(Node { path: path(250), nar_size: 1, references: BTreeSet::new() });
        let graph = Graph::new(nodes).unwrap();
        assert_eq!(graph.topological_order().unwrap().len(), 251);
        assert_eq!(graph.closure_size([&path(0)]).unwrap(), 251);
    }

    proptest! {
        #[test]
        fn the_order_respects_every_edge((graph, edges) in acyclic()) {
            let order = graph.topological_order().unwrap();
            let at = |number| order.iter().position(|p| *p == path(number)).unwrap();
            for (from, to) in edges {
                prop_assert!(at(to) < at(from));
            }
        }
    }
}
