//! What kept what: for each root, how much it keeps alive, and how much nobody else does.

use std::collections::BTreeMap;

use crate::database::Node;
use crate::gc::{GcOptions, mark};
use crate::roots::Root;

/// How many keepers are looked at one by one; each costs a walk through what it keeps.
const MAX_KEEPERS: usize = 4096;

/// Something that keeps objects alive: a link, or a running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The path of the link, or the process.
    pub keeper: String,
    /// How many objects it keeps, directly or not.
    pub objects: usize,
    /// The bytes of their NARs.
    pub nar_bytes: u64,
    /// The bytes of those of them that nobody else keeps: what its removal would free.
    pub own_bytes: u64,
}

/// What each keeper keeps, by name. Beyond some thousands of keepers the rest is left out.
pub(crate) fn keepers(
    nodes: &[Node],
    roots: &[Root],
    options: &GcOptions,
) -> Vec<Keeper> {
    let mut by_keeper: BTreeMap<&str, Vec<&Root>> = BTreeMap::new();
    for root in roots {
        by_keeper.entry(&root.keeper).or_default().push(root);
    }
    let mut kept_by = vec![0_u32; nodes.len()];
    let mut last = vec![0; nodes.len()];
    let mut keepers = Vec::new();
    for (at, (keeper, roots)) in by_keeper.into_iter().enumerate().take(MAX_KEEPERS) {
        let (mut objects, mut nar_bytes) = (0, 0);
        for (index, _) in mark(nodes, roots, options)
            .iter()
            .enumerate()
            .filter(|(_, is_kept)| **is_kept)
        {
            kept_by[index] += 1;
            last[index] = at;
            objects += 1;
            nar_bytes += nodes[index].nar_size;
        }
        let keeper = keeper.to_owned();
        keepers.push(Keeper { keeper, objects, nar_bytes, own_bytes: 0 });
    }
    for (index, node) in nodes.iter().enumerate() {
        if kept_by[index] == 1 {
            keepers[last[index]].own_bytes += node.nar_size;
        }
    }
    keepers
}
