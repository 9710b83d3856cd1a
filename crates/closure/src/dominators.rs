//! Added sizes: what would vanish if one path vanished.
//!
//! A path *dominates* another if every way from the roots to the other leads through it. What it
//! dominates would go with it; the sum of those sizes is its *added size*. Computed with the
//! algorithm of Cooper, Harvey and Kennedy ("A Simple, Fast Dominance Algorithm"), from one root
//! made up above all roots.

use picnix_store_core::StorePath;

use crate::graph::{Error, Graph, Index};

/// What a path of a closure weighs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The path.
    pub path: StorePath,
    /// The length of its NAR in bytes.
    pub nar_size: u64,
    /// The bytes that would vanish with it: its own and those of all it dominates.
    pub added_size: u64,
    /// The nearest path that dominates it; `None` directly below the roots.
    pub dominator: Option<StorePath>,
}

impl Graph {
    /// The weights of everything that the roots reach, largest added size first.
    pub fn weights<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<Vec<Weight>, Error> {
        let roots = self.indices(roots)?;
        let order = self.reverse_postorder(&roots);
        let dominators = self.dominators(&roots, &order);
        let mut added = self.sizes.clone();
        // A dominator comes before what it dominates.
        for &index in order.iter().rev() {
            if let Some(dominator) = dominators[index] {
                added[dominator] += added[index];
            }
        }
        let weight = |index: Index| Weight {
            path: self.paths[index].clone(),
            nar_size: self.sizes[index],
            added_size: added[index],
            dominator: dominators[index].map(|index| self.paths[index].clone()),
        };
        let mut weights: Vec<Weight> = order.into_iter().map(weight).collect();
        weights.sort_by(|a, b| {
            b.added_size.cmp(&a.added_size).then_with(|| a.path.cmp(&b.path))
        });
        Ok(weights)
    }

    /// What the roots reach, each before what it refers to where there is no cycle.
    fn reverse_postorder(&self, roots: &[Index]) -> Vec<Index> {
        let mut seen = vec![false; self.len()];
        let mut order = Vec::new();
        for &root in roots {
            if std::mem::replace(&mut seen[root], true) {
                continue;
            }
            let mut stack = vec![(root, 0)];
            while let Some((index, next)) = stack.last_mut() {
                match self.references[*index].get(*next) {
                    Some(&to) => {
                        *next += 1;
                        if !std::mem::replace(&mut seen[to], true) {
                            stack.push((to, 0));
                        }
                    }
                    None => {
                        order.push(*index);
                        stack.pop();
                    }
                }
            }
        }
        order.reverse();
        order
    }

    /// The immediate dominator of each node; `None` stands for the root above all roots.
    fn dominators(&self, roots: &[Index], order: &[Index]) -> Vec<Option<Index>> {
        // In the numbers of the order, with the made-up root as 0.
        let mut number = vec![usize::MAX; self.len()];
        for (at, &index) in order.iter().enumerate() {
            number[index] = at + 1;
        }
        let mut dominator = vec![usize::MAX; order.len() + 1];
        dominator[0] = 0;
        for &root in roots {
            dominator[number[root]] = 0;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (at, &index) in order.iter().enumerate() {
                let known = |from: &usize| dominator[*from] != usize::MAX;
                let is_root = roots.binary_search(&index).is_ok();
                let froms = self.referrers[index].iter().map(|from| number[*from]);
                let froms = froms.filter(|from| *from != usize::MAX).filter(known);
                let new = froms
                    .chain(is_root.then_some(0))
                    .reduce(|a, b| meet(&dominator, a, b))
                    .expect("the order reaches a node over one before it");
                if dominator[at + 1] != new {
                    dominator[at + 1] = new;
                    changed = true;
                }
            }
        }
        let mut result = vec![None; self.len()];
        for (at, &index) in order.iter().enumerate() {
            result[index] = dominator[at + 1].checked_sub(1).map(|at| order[at]);
        }
        result
    }
}

/// The nearest common dominator.
fn meet(dominator: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        if a > b {
            a = dominator[a];
        } else {
            b = dominator[b];
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use crate::graph::tests::{acyclic, graph, path};
    use proptest::prelude::*;

    #[test]
    fn what_two_share_belongs_to_neither() {
        // 0 needs 1 and 2, which both need 3; 2 alone needs 4.
        let graph = graph(5, &[(0, 1), (0, 2), (1, 3), (2, 3), (2, 4)]);
        let weights = graph.weights([&path(0)]).unwrap();
        let added = |number: usize| {
            let weight =
                weights.iter().find(|weight| weight.path == path(number)).unwrap();
            (weight.added_size, weight.dominator.clone())
        };
        assert_eq!(added(0), (0b11111, None));
        assert_eq!(added(1), (0b10, Some(path(0))));
        assert_eq!(added(2), (0b10100, Some(path(0))));
        assert_eq!(added(3), (0b1000, Some(path(0))));
        assert_eq!(weights[0].path, path(0));
    }

    #[test]
    fn a_root_below_another_is_its_own_reason() {
        let graph = graph(2, &[(0, 1)]);
        let weights = graph.weights([&path(0), &path(1)]).unwrap();
        assert!(weights.iter().all(|weight| weight.dominator.is_none()));
        assert_eq!(weights[1].added_size, 1);
    }

    proptest! {
        #[test]
        fn the_added_size_is_what_vanishes(
            (graph, edges) in acyclic(), root in 0usize..12, other in 0usize..12,
            back in proptest::collection::vec((0usize..12, 0usize..12), 0..4),
        ) {
            // Cycles do not occur in stores, but must not confuse anybody.
            let edges: Vec<_> = edges.into_iter().chain(back).collect();
            let graph = if edges.is_empty() { graph } else { self::graph(12, &edges) };
            let roots = [path(root), path(other)];
            let whole = graph.closure_size(&roots).unwrap();
            for weight in graph.weights(&roots).unwrap() {
                let without: Vec<_> = edges.iter().copied()
                    .filter(|(from, to)| path(*from) != weight.path && path(*to) != weight.path)
                    .collect();
                let left: Vec<_> = roots.iter().filter(|root| **root != weight.path).collect();
                let rest = self::graph(12, &without).closure_size(left).unwrap();
                prop_assert_eq!(weight.added_size, whole - rest);
            }
        }
    }
}
