//! From string contexts to the inputs of a derivation, and what is known of derivations met before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use picnix_store_core::{Derivation, DrvHash, InputOutputs, OutputName, StorePath};
use rustc_hash::{FxBuildHasher, FxHashSet};

use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::shared::{Common, Shared};
use crate::value::{ContextElement, PathId};

/// What is known of derivations that this evaluation made or read, by the number of their path.
#[derive(Default)]
pub(crate) struct Cache {
    known: Table,
    /// What is known to all threads.
    common: Shared<Table>,
}

pub(crate) type Table = HashMap<PathId, Arc<Known>, FxBuildHasher>;

impl Cache {
    /// What is known, for other threads.
    pub(crate) fn share(&self) -> Common<Table> {
        self.common.share(|| self.known.clone())
    }

    /// What is known in an evaluation, for one more thread.
    pub(crate) fn of(common: Common<Table>) -> Self {
        Self { common: Shared::of(common), ..Self::default() }
    }

    /// What is known of a derivation.
    fn get(&mut self, id: PathId) -> Option<&Arc<Known>> {
        let known = match self.known.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(self.common.lock()?.get(&id)?))
            }
        };
        Some(known)
    }

    fn insert(&mut self, id: PathId, known: Arc<Known>) {
        if let Some(mut common) = self.common.lock() {
            common.entry(id).or_insert_with(|| Arc::clone(&known));
        }
        self.known.entry(id).or_insert(known);
    }
}

/// What is remembered of a derivation.
pub(crate) struct Known {
    /// The hash that stands for it in derivations that use it.
    hash: Arc<DrvHash>,
    /// The store paths that the `.drv` file refers to.
    references: Box<[PathId]>,
    outputs: Box<[OutputName]>,
    /// Where it was written, if this evaluation made it.
    place: Pos,
}

/// Stack that must be left before a derivation of the store is read for the sake of another one, and the size
/// of the piece that is added otherwise: a chain of inputs may be long.
const STACK_RED_ZONE: usize = 64 * 1024;
const STACK_PIECE: usize = 1024 * 1024;

/// The inputs of a derivation.
pub(super) struct Inputs {
    pub(super) sources: BTreeSet<StorePath>,
    pub(super) drvs: BTreeMap<StorePath, InputOutputs>,
    /// Both, as numbers.
    pub(super) references: Vec<PathId>,
}

/// Turns what strings depend on into inputs.
pub(super) fn of_context(
    ev: &Evaluator<'_>,
    context: &[ContextElement],
) -> Result<Inputs> {
    let mut context = context.to_vec();
    context.sort_unstable();
    context.dedup();
    let mut inputs = Inputs {
        sources: BTreeSet::new(),
        drvs: BTreeMap::new(),
        references: Vec::with_capacity(context.len()),
    };
    let mut last_built = None;
    for element in context {
        match element {
            ContextElement::Opaque(id) => {
                inputs.references.push(id);
                inputs.sources.insert((*ev.store_path(id)).clone());
            }
            ContextElement::DrvDeep(id) => inputs.add_closure(ev, id)?,
            ContextElement::Built(id, output) => {
                // The outputs of one derivation come one after the other.
                if last_built != Some(id) {
                    last_built = Some(id);
                    inputs.references.push(id);
                }
                let output = OutputName::parse(ev.symbols.name(output))?;
                let drv = (*ev.store_path(id)).clone();
                inputs.drvs.entry(drv).or_default().outputs.insert(output);
            }
            ContextElement::Dynamic(id, names) => {
                inputs.references.push(id);
                let mut input =
                    inputs.drvs.entry((*ev.store_path(id)).clone()).or_default();
                let mut names = ev.symbols.name(names).split(|byte| *byte == b'!');
                let last = OutputName::parse(names.next().unwrap_or_default())?;
                for name in names.rev() {
                    input = input.dynamic.entry(OutputName::parse(name)?).or_default();
                }
                input.outputs.insert(last);
            }
        }
    }
    inputs.references.sort_unstable();
    inputs.references.dedup();
    Ok(inputs)
}

impl Inputs {
    /// Adds a derivation with everything that it refers to, and all outputs of all derivations in there: the
    /// builder may look at any of it.
    fn add_closure(&mut self, ev: &Evaluator<'_>, root: PathId) -> Result<()> {
        let mut seen = FxHashSet::default();
        let mut to_do = vec![root];
        while let Some(id) = to_do.pop() {
            if !seen.insert(id) {
                continue;
            }
            let path = ev.store_path(id);
            self.references.push(id);
            self.sources.insert((*path).clone());
            if path.is_derivation() {
                let known = known(ev, id)?;
                to_do.extend_from_slice(&known.references);
                let outputs: BTreeSet<_> = known.outputs.iter().cloned().collect();
                self.drvs.insert((*path).clone(), outputs.into());
            } else {
                let references = ev
                    .world
                    .references(&path)
                    .map_err(|error| ev.world_error(error, Pos::NONE))?;
                to_do.extend(references.iter().map(|path| ev.path_id(path)));
            }
        }
        Ok(())
    }
}

/// Remembers a derivation that was just made.
pub(super) fn remember(ev: &Evaluator<'_>, id: PathId, known: Known) {
    let mut cache = ev.caches.derivations.borrow_mut();
    if cache.get(id).is_none() {
        cache.insert(id, Arc::new(known));
    }
}

/// Where a derivation was written that this evaluation has made.
pub(crate) fn place_of(ev: &Evaluator<'_>, path: &StorePath) -> Pos {
    let mut cache = ev.caches.derivations.borrow_mut();
    cache.get(ev.path_id(path)).map_or(Pos::NONE, |known| known.place)
}

/// The hash modulo of an input.
pub(super) fn hash_of(ev: &Evaluator<'_>, path: &StorePath) -> Result<Arc<DrvHash>> {
    let id = ev.path_id(path);
    if let Some(known) = ev.caches.derivations.borrow_mut().get(id) {
        return Ok(Arc::clone(&known.hash));
    }
    Ok(Arc::clone(&known(ev, id)?.hash))
}

impl Known {
    pub(super) fn new(drv: &Derivation, hash: DrvHash, references: Vec<PathId>) -> Self {
        Self {
            hash: Arc::new(hash),
            references: references.into_boxed_slice(),
            outputs: drv.outputs.keys().cloned().collect(),
            place: Pos::NONE,
        }
    }

    pub(super) fn at(self, place: Pos) -> Self {
        Self { place, ..self }
    }
}

/// What is known of a derivation, which is read from the store if this evaluation has not made it.
fn known(ev: &Evaluator<'_>, id: PathId) -> Result<Arc<Known>> {
    if let Some(known) = ev.caches.derivations.borrow_mut().get(id) {
        return Ok(Arc::clone(known));
    }
    stacker::maybe_grow(STACK_RED_ZONE, STACK_PIECE, || {
        let drv = ev
            .world
            .read_derivation(&ev.store_path(id))
            .map_err(|error| ev.world_error(error, Pos::NONE))?;
        let references = drv.references().iter().map(|path| ev.path_id(path)).collect();
        let hash = drv.hash_modulo(ev.world.store_dir(), |path| hash_of(ev, path))?;
        let known = Arc::new(Known::new(&drv, hash, references));
        ev.caches.derivations.borrow_mut().insert(id, Arc::clone(&known));
        Ok(known)
    })
}
