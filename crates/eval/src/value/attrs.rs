//! Attribute sets.
//!
//! Decision: the names of a set (its [`Shape`]) are apart from its values. A set literal's shape is made once,
//! when the literal is lowered, and every set that the literal yields shares it; so does what `mapAttrs` makes
//! of it. The values are slots in the order of the shape, which is the order of the symbols' numbers.
//!
//! `a // b` makes a layer: a set whose names hide those of its `base`. A chain of layers is at most
//! [`MAX_LAYERS`] long; [`Attrs::flatten`] merges it in place, and everything that walks a set flattens it first.
//! Where other threads may be looking at the set, what is merged becomes its base instead, its *whole*: whoever does not
//! find a name in the layer finds it there. The next collection brings it into the set.
//! Where `b` is much larger than `a`, what it does not hide of `a` is the layer, and `b` the base.

use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use super::heap::{Base, Layer, LayerCell};
use super::{Heap, Slot, Value};
use crate::pos::Pos;
use crate::symbol::Symbol;

/// The most layers that a set may have: a look-up walks them all.
const MAX_LAYERS: u8 = 8;

/// The most attributes of a right operand of `//` that become a layer: each is looked for in the left one.
const MAX_LAYER_LEN: usize = 512;

/// A left operand of `//` this many times smaller than the right one goes on top of it, without what is hidden.
const SMALL_BASE_FACTOR: usize = 4;

/// Shapes up to this length are searched one by one, which is faster than halving.
const LINEAR_SEARCH_LEN: usize = 8;

/// The names of a set, ascending and distinct, and where each was defined.
pub struct Shape<'h> {
    /// The names.
    pub names: &'h [Symbol],
    /// The position of each name's definition.
    pub positions: &'h [Pos],
    /// One bit for each name, by its number: most names that a small set does not have are told without a search.
    bits: u64,
}

impl<'h> Shape<'h> {
    /// Makes a shape of names, ascending and distinct, and as many positions.
    #[must_use]
    pub fn new(names: &'h [Symbol], positions: &'h [Pos]) -> Self {
        debug_assert_eq!(names.len(), positions.len(), "a position for every name");
        Self {
            names,
            positions,
            bits: names.iter().fold(0, |bits, name| bits | name.bit()),
        }
    }

    /// All bits, in fewer: those of [`Symbol::one_of_few_bits`].
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper bits are in the lower"
    )]
    fn few_bits(&self) -> u16 {
        let bits = self.bits | self.bits >> 32;
        (bits | bits >> 16) as u16
    }

    /// The index of a name.
    #[inline]
    #[must_use]
    pub fn find(&self, name: Symbol) -> Option<usize> {
        if self.bits & name.bit() == 0 {
            return None;
        }
        if self.names.len() <= LINEAR_SEARCH_LEN {
            self.names.iter().position(|candidate| *candidate == name)
        } else {
            self.names.binary_search(&name).ok()
        }
    }
}

/// An attribute set.
pub struct Attrs<'h> {
    layer: LayerCell<'h>,
    base: Base<'h>,
    len: u32,
    /// A bit for each name of the first layer, so that most others need no look at its shape.
    bits: AtomicU16,
    /// How many layers there are; [`WHOLE`] in what is only ever the base of the set that it is the whole of.
    layers: AtomicU8,
}

/// The number of layers that a whole says it has.
const WHOLE: u8 = 0;

const _: () = assert!(size_of::<Attrs<'_>>() == 32);

/// One attribute, as a walk over a set sees it.
#[derive(Clone, Copy)]
pub struct Attr<'h> {
    /// The name.
    pub name: Symbol,
    /// Where it was defined.
    pub pos: Pos,
    /// Its value.
    pub slot: &'h Slot<'h>,
}

impl<'h> Attrs<'h> {
    /// Makes a set of one layer. `values` has as many slots as the shape has names.
    #[inline]
    #[must_use]
    pub fn new(shape: &'h Shape<'h>, values: &'h [Slot<'h>]) -> Self {
        let len = u32::try_from(values.len()).unwrap_or(u32::MAX);
        Self::layered(Layer::new(shape, values), None, len, 1)
    }

    #[inline]
    fn layered(
        layer: Layer<'h>,
        base: Option<&'h Attrs<'h>>,
        len: u32,
        layers: u8,
    ) -> Self {
        Self {
            bits: AtomicU16::new(layer.shape().few_bits()),
            layer: LayerCell::new(layer),
            base: Base::new(base),
            len,
            layers: AtomicU8::new(layers),
        }
    }

    #[inline]
    fn bits(&self) -> u16 {
        self.bits.load(Ordering::Relaxed)
    }

    /// How many layers a look-up walks.
    #[inline]
    fn layers(&self) -> u8 {
        match self.base.get() {
            Some(base) if base.is_whole() => 1,
            _ => self.layers.load(Ordering::Relaxed),
        }
    }

    /// Whether this is the whole of the set whose base it is.
    #[inline]
    fn is_whole(&self) -> bool {
        self.layers.load(Ordering::Relaxed) == WHOLE
    }

    /// The one layer of a set that was flattened.
    #[inline]
    fn flat_layer(&self) -> Layer<'h> {
        self.base.get().unwrap_or(self).layer.get()
    }

    /// Makes the whole of the set, if it is known, the set itself, while other threads are stopped.
    pub(super) fn settle(&self) {
        if let Some(whole) = self.base.get()
            && whole.is_whole()
        {
            let layer = whole.layer.get();
            self.layer.set_alone(layer);
            self.bits.store(whole.bits(), Ordering::Relaxed);
            self.base.set(None);
            self.layers.store(1, Ordering::Relaxed);
        }
    }

    /// Hands the address of everything that the set consists of to `visit`.
    pub(crate) fn references(&self, visit: &mut dyn FnMut(usize)) {
        let layer = self.layer.get();
        visit(std::ptr::from_ref(layer.shape()).addr());
        visit(layer.addr());
        if let Some(below) = self.base.get() {
            visit(std::ptr::from_ref(below).addr());
        }
    }

    /// The number of attributes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no attributes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of an attribute.
    #[inline]
    #[must_use]
    pub fn get(&self, name: Symbol) -> Option<&'h Slot<'h>> {
        let bit = name.one_of_few_bits();
        let mut attrs = self;
        loop {
            let layer = attrs.layer.get();
            if attrs.bits() & bit != 0
                && let Some(index) = layer.shape().find(name)
            {
                return Some(&layer.slots()[index]);
            }
            attrs = attrs.base.get()?;
        }
    }

    /// The attribute with its position.
    #[must_use]
    pub fn get_attr(&self, name: Symbol) -> Option<Attr<'h>> {
        let layer = self.layer.get();
        if let Some(index) = layer.shape().find(name) {
            let (pos, slot) = (layer.shape().positions[index], &layer.slots()[index]);
            return Some(Attr { name, pos, slot });
        }
        self.base.get().and_then(|below| below.get_attr(name))
    }

    /// Merges the layers of the set into one.
    pub fn flatten(&'h self, heap: &'h Heap) {
        if let Some(base) = self.base.get()
            && !base.is_whole()
        {
            self.merge_layers(heap);
        }
    }

    #[inline(never)]
    fn merge_layers(&'h self, heap: &'h Heap) {
        let (shape, values) = self.to_builder().finish_parts(heap);
        let layer = Layer::new(shape, values);
        if heap.has_company() {
            let whole = heap.attrs(Self::layered(layer, None, self.len, WHOLE));
            self.base.set(Some(whole));
        } else {
            self.layer.set(layer, heap);
            self.bits.store(shape.few_bits(), Ordering::Relaxed);
            self.base.set(None);
            self.layers.store(1, Ordering::Relaxed);
        }
        heap.remember(std::ptr::from_ref(self).addr());
    }

    /// A builder that holds all attributes, for a set that differs a little.
    #[must_use]
    pub fn to_builder(&'h self) -> AttrsBuilder<'h> {
        merge(self, None)
    }

    /// The attributes in the order of their symbols, which is no order that a user may see.
    pub fn iter(&'h self, heap: &'h Heap) -> impl ExactSizeIterator<Item = Attr<'h>> {
        let (shape, values) = self.parts(heap);
        values.iter().enumerate().map(|(index, slot)| Attr {
            name: shape.names[index],
            pos: shape.positions[index],
            slot,
        })
    }

    /// The shape and the slots of the set with one layer.
    pub fn parts(&'h self, heap: &'h Heap) -> (&'h Shape<'h>, &'h [Slot<'h>]) {
        self.flatten(heap);
        let layer = self.flat_layer();
        (layer.shape(), layer.slots())
    }

    /// `self // over`
    pub fn update(&'h self, over: &'h Attrs<'h>, heap: &'h Heap) -> &'h Attrs<'h> {
        if over.is_empty() {
            return self;
        }
        if self.is_empty() {
            return over;
        }
        let is_small = self.len() * SMALL_BASE_FACTOR < over.len();
        if is_small && over.layers() < MAX_LAYERS {
            self.flatten(heap);
            return self.below(over, heap);
        }
        over.flatten(heap);
        let layered =
            over.len() <= MAX_LAYER_LEN && self.layers() < MAX_LAYERS && !is_small;
        if !layered {
            return merge(self, Some(over)).finish_sorted(heap);
        }
        let layer = over.flat_layer();
        let names = layer.shape().names.iter();
        let added = names.filter(|name| self.get(**name).is_none());
        let added = u32::try_from(added.count()).unwrap_or(u32::MAX);
        let (len, layers) = (self.len + added, self.layers() + 1);
        heap.attrs(Attrs::layered(layer, Some(self), len, layers))
    }

    /// `self // over` of a small flat set and a large one: those of its attributes that `over` does not hide
    /// become a layer above `over`.
    fn below(&'h self, over: &'h Attrs<'h>, heap: &'h Heap) -> &'h Attrs<'h> {
        let layer = self.flat_layer();
        let (own, slots) = (layer.shape(), layer.slots());
        let names = own.names;
        let kept = |index: &usize| over.get(names[*index]).is_none();
        let kept: Vec<usize> = (0..names.len()).filter(kept).collect();
        if kept.is_empty() {
            return over;
        }
        let (shape, values) = if kept.len() == names.len() {
            (own, slots)
        } else {
            let shape = kept.iter().map(|index| (names[*index], own.positions[*index]));
            let values = kept.iter().map(|index| slots[*index].get().peek());
            (heap.shape(shape), heap.slots(values))
        };
        let len = over.len + u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let layer = Layer::new(shape, values);
        heap.attrs(Attrs::layered(layer, Some(over), len, over.layers() + 1))
    }
}

/// The attributes of all layers of `base` and, above them, of a flat set `over`, in the order of symbols.
///
/// All layers go in at once: what lies between the first and the last is in no set of its own.
fn merge<'h>(base: &'h Attrs<'h>, over: Option<&'h Attrs<'h>>) -> AttrsBuilder<'h> {
    let whole = |over: &'h Attrs<'h>| over.base.get().unwrap_or(over);
    let mut layers: Vec<&'h Attrs<'h>> = over.into_iter().map(whole).collect();
    let mut bottom = base;
    while let Some(below) = bottom.base.get() {
        // A whole has what is above it.
        if !below.is_whole() {
            layers.push(bottom);
        }
        bottom = below;
    }
    let attr = |attrs: &'h Attrs<'h>, index: usize| {
        let layer = attrs.layer.get();
        let shape = layer.shape();
        (shape.names[index], shape.positions[index], layer.slots()[index].get().peek())
    };
    let layer_len = |layer: &Attrs<'h>| layer.layer.get().slots().len();
    let above = layers.iter().map(|layer| layer_len(layer)).sum::<usize>();
    let mut items = Vec::with_capacity(layer_len(bottom) + above);
    items.extend((0..layer_len(bottom)).map(|index| attr(bottom, index)));
    // The names that the bottom has are replaced in place, the others come behind it.
    let known = items.len();
    for layer in layers.iter().rev() {
        for index in 0..layer_len(layer) {
            let item = attr(layer, index);
            match items[..known].binary_search_by_key(&item.0, |known| known.0) {
                Ok(place) => items[place] = item,
                Err(_) => items.push(item),
            }
        }
    }
    if items.len() > known {
        // Of equal names the uppermost layer's comes first, and stays. Two ascending runs sort in one pass.
        items[known..].reverse();
        items[known..].sort_by_key(|item| item.0);
        let mut end = known + 1;
        for index in known + 1..items.len() {
            if items[index].0 != items[end - 1].0 {
                items[end] = items[index];
                end += 1;
            }
        }
        items.truncate(end);
        items.sort_by_key(|item| item.0);
    }
    AttrsBuilder { items, ..AttrsBuilder::default() }
}

/// Collects attributes for a new set.
///
/// The collector does not see what is in it, so nothing may be evaluated before it is finished or dropped. Debug
/// builds check that.
#[derive(Default)]
pub struct AttrsBuilder<'h> {
    items: Vec<(Symbol, Pos, Value<'h>)>,
    _open: open::Open,
}

/// Counts the builders of this thread that are at work.
#[cfg(debug_assertions)]
pub(super) mod open {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) struct Open;

    impl Default for Open {
        fn default() -> Self {
            COUNT.set(COUNT.get() + 1);
            Self
        }
    }

    impl Drop for Open {
        fn drop(&mut self) {
            COUNT.set(COUNT.get() - 1);
        }
    }

    pub(in crate::value) fn assert_none() {
        assert_eq!(COUNT.get(), 0, "nothing is evaluated while a set is being built");
    }
}

/// Counts nothing.
#[cfg(not(debug_assertions))]
pub(super) mod open {
    #[derive(Default)]
    pub(super) struct Open;

    #[inline(always)]
    pub(in crate::value) fn assert_none() {}
}

impl<'h> AttrsBuilder<'h> {
    /// Makes an empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty builder with room.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an attribute.
    #[inline]
    pub fn push(&mut self, name: Symbol, pos: Pos, value: Value<'h>) {
        self.items.push((name, pos, value));
    }

    /// Drops the attributes whose names `keep` refuses; it sees them in order.
    pub fn retain(&mut self, mut keep: impl FnMut(Symbol) -> bool) {
        self.items.retain(|item| keep(item.0));
    }

    /// Adds an attribute that no source text defined.
    #[inline]
    pub fn insert(&mut self, name: Symbol, value: Value<'h>) {
        self.push(name, Pos::NONE, value);
    }

    /// Makes the set; of several attributes with one name the first wins, as in `listToAttrs`.
    pub fn finish(mut self, heap: &'h Heap) -> &'h Attrs<'h> {
        if !self.items.is_sorted_by(|a, b| a.0 < b.0) {
            self.items.sort_by_key(|item| item.0);
            self.items.dedup_by_key(|item| item.0);
        }
        self.finish_sorted(heap)
    }

    fn finish_sorted(self, heap: &'h Heap) -> &'h Attrs<'h> {
        let (shape, values) = self.finish_parts(heap);
        heap.attrs(Attrs::new(shape, values))
    }

    fn finish_parts(self, heap: &'h Heap) -> (&'h Shape<'h>, &'h [Slot<'h>]) {
        let shape = heap.shape(self.items.iter().map(|item| (item.0, item.1)));
        (shape, heap.slots(self.items.iter().map(|item| item.2)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::symbol::Symbols;

    /// Numbers that look random, below a limit.
    fn numbers(limit: u64) -> impl FnMut() -> u64 {
        let mut state = 7_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        }
    }

    #[test]
    fn layers_are_what_they_show() {
        let heap = Heap::new();
        let symbols = Symbols::new(&heap);
        let names: Vec<Symbol> = (0..200)
            .map(|number| symbols.intern(format!("n{number}").as_bytes()))
            .collect();
        let mut next = numbers(1 << 31);
        for _ in 0..300 {
            let (mut set, mut wanted) =
                (AttrsBuilder::new().finish(&heap), BTreeMap::new());
            for _ in 0..next() % 20 {
                // Small and large ones, on either side.
                let len = [0, 1, 3, 40, 150][(next() % 5) as usize];
                let mut chosen: BTreeMap<Symbol, i64> = BTreeMap::new();
                for _ in 0..len {
                    let name = names[(next() % 200) as usize];
                    chosen.insert(name, i64::try_from(next()).unwrap());
                }
                let mut other = AttrsBuilder::new();
                for (name, value) in &chosen {
                    other.insert(*name, Value::Int(*value));
                }
                let other = other.finish(&heap);
                if next().is_multiple_of(3) {
                    set = other.update(set, &heap);
                    chosen.append(&mut wanted);
                    wanted = chosen;
                } else {
                    set = set.update(other, &heap);
                    wanted.append(&mut chosen);
                }
                if next().is_multiple_of(4) {
                    set.flatten(&heap);
                }
            }
            assert_eq!(set.len(), wanted.len());
            let int = |slot: &Slot<'_>| match slot.get() {
                Value::Int(int) => Some(int),
                _ => None,
            };
            for name in &names {
                assert_eq!(set.get(*name).and_then(int), wanted.get(name).copied());
                assert_eq!(set.get_attr(*name).is_some(), wanted.contains_key(name));
            }
            let shown: Vec<_> = set
                .iter(&heap)
                .filter_map(|attr| Some((attr.name, int(attr.slot)?)))
                .collect();
            assert_eq!(shown, wanted.into_iter().collect::<Vec<_>>());
        }
    }
}
