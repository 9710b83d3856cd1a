//! Why does one path need another?

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use picnix_store_core::StorePath;

use crate::graph::{Error, Graph, Index};

/// Ways from one path to another, shortest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanations {
    /// Each way starts with the one path and ends with the other.
    pub ways: Vec<Vec<StorePath>>,
    /// Are there more ways than were asked for?
    pub more: bool,
}

impl Graph {
    /// The shortest way over references; `None` if there is none. Of several the first by path.
    pub fn why(
        &self,
        from: &StorePath,
        to: &StorePath,
    ) -> Result<Option<Vec<StorePath>>, Error> {
        Ok(self.why_all(from, to, 1)?.ways.pop())
    }

    /// Up to `max` ways over references that visit no path twice, shortest first, then by path.
    ///
    /// There may be exponentially many; the time is proportional to those returned.
    pub fn why_all(
        &self,
        from: &StorePath,
        to: &StorePath,
        max: usize,
    ) -> Result<Explanations, Error> {
        let (from, to) = (self.index(from)?, self.index(to)?);
        let distance = self.distances_to(to);
        let mut found = Explanations::default();
        let mut queue = BinaryHeap::new();
        if let Some(rest) = distance[from] {
            queue.push(Reverse((rest, vec![from])));
        }
        // Best first: the distance left is exact, so that each step is one on a shortest way.
        while let Some(Reverse((_, way))) = queue.pop() {
            let end = *way.last().expect("a way has a start");
            if end == to {
                if found.ways.len() == max {
                    found.more = true;
                    break;
                }
                let paths = way.into_iter().map(|index| self.paths[index].clone());
                found.ways.push(paths.collect());
                continue;
            }
            for &next in &self.references[end] {
                if let Some(rest) = distance[next].filter(|_| !way.contains(&next)) {
                    let mut longer = way.clone();
                    longer.push(next);
                    queue.push(Reverse((longer.len() - 1 + rest, longer)));
                }
            }
        }
        Ok(found)
    }

    /// The references that lie on some way from one path to another, as pairs, sorted.
    pub fn edges_between(
        &self,
        from: &StorePath,
        to: &StorePath,
    ) -> Result<Vec<(StorePath, StorePath)>, Error> {
        let below = self.reach(&[self.index(from)?], &self.references);
        let above = self.reach(&[self.index(to)?], &self.referrers);
        let between: Vec<bool> =
            below.iter().zip(&above).map(|(a, b)| *a && *b).collect();
        let mut edges = Vec::new();
        for index in (0..self.len()).filter(|index| between[*index]) {
            for &next in self.references[index].iter().filter(|next| between[**next]) {
                edges.push((self.paths[index].clone(), self.paths[next].clone()));
            }
        }
        Ok(edges)
    }

    /// The least number of references from each node to `to`.
    fn distances_to(&self, to: Index) -> Vec<Option<usize>> {
        let mut distance = vec![None; self.len()];
        distance[to] = Some(0);
        let mut queue = VecDeque::from([(to, 0)]);
        while let Some((index, steps)) = queue.pop_front() {
            for &referrer in &self.referrers[index] {
                if distance[referrer].is_none() {
                    distance[referrer] = Some(steps + 1);
                    queue.push_back((referrer, steps + 1));
                }
            }
        }
        distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::{acyclic, graph, path};
    use proptest::prelude::*;

    #[test]
    fn the_shortest_way_comes_first() {
        let graph = graph(5, &[(0, 1), (1, 2), (2, 4), (0, 3), (3, 4)]);
        let short = vec![path(0), path(3), path(4)];
        assert_eq!(graph.why(&path(0), &path(4)).unwrap(), Some(short.clone()));
        let all = graph.why_all(&path(0), &path(4), 10).unwrap();
        assert_eq!(all.ways, [short, vec![path(0), path(1), path(2), path(4)]]);
        assert!(!all.more);
        assert!(graph.why_all(&path(0), &path(4), 1).unwrap().more);
        assert_eq!(graph.why(&path(4), &path(0)).unwrap(), None);
        assert_eq!(graph.why(&path(4), &path(4)).unwrap(), Some(vec![path(4)]));
        assert_eq!(graph.edges_between(&path(1), &path(4)).unwrap().len(), 2);
    }

    fn naive(
        graph: &Graph,
        way: &mut Vec<usize>,
        to: usize,
        found: &mut Vec<Vec<usize>>,
    ) {
        let end = *way.last().unwrap();
        if end == to {
            found.push(way.clone());
            return;
        }
        for &next in &graph.references[end] {
            if !way.contains(&next) {
                way.push(next);
                naive(graph, way, to, found);
                way.pop();
            }
        }
    }

    proptest! {
        #[test]
        fn all_ways_are_found((graph, _) in acyclic(), from in 0usize..12, to in 0usize..12) {
            let mut wanted = Vec::new();
            naive(&graph, &mut vec![from], to, &mut wanted);
            wanted.sort_by_key(|way| (way.len(), way.clone()));
            let found = graph.why_all(&path(from), &path(to), usize::MAX).unwrap();
            let found: Vec<Vec<usize>> = found.ways.iter()
                .map(|way| way.iter().map(|path| graph.index(path).unwrap()).collect())
                .collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
