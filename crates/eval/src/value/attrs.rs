//! Attribute sets.
//!
//! Decision: the names of a set (its [`Shape`]) are apart from its values. A set literal's shape is made once,
//! when the literal is lowered, and every set that the literal yields shares it; so does what `mapAttrs` makes
//! of it. The values are slots in the order of the shape, which is the order of the symbols' numbers.
//!
//! `a // b` makes a layer: a set whose names hide those of its `base`. A chain of layers is at most
//! [`MAX_LAYERS`] long; [`Attrs::flatten`] merges it, and everything that walks a set flattens it first. Only
//! where `b` is much larger than `a` are they merged at once.

use std::cell::Cell;

use super::{Heap, Slot, Value};
use crate::pos::Pos;
use crate::symbol::Symbol;

/// The most layers that a set may have: a look-up walks them all.
const MAX_LAYERS: u8 = 8;

/// The most attributes of a right operand of `//` that become a layer: each is looked for in the left one.
const MAX_LAYER_LEN: usize = 512;

/// Shapes up to this length are searched one by one, which is faster than halving.
const LINEAR_SEARCH_LEN: usize = 8;

/// The names of a set, ascending and distinct, and where each was defined.
pub struct Shape<'h> {
    /// The names.
    pub names: &'h [Symbol],
    /// The position of each name's definition.
    pub positions: &'h [Pos],
}

impl Shape<'_> {
    /// The index of a name.
    #[inline]
    #[must_use]
    pub fn find(&self, name: Symbol) -> Option<usize> {
        if self.names.len() <= LINEAR_SEARCH_LEN {
            self.names.iter().position(|candidate| *candidate == name)
        } else {
            self.names.binary_search(&name).ok()
        }
    }
}

/// An attribute set.
pub struct Attrs<'h> {
    shape: &'h Shape<'h>,
    values: &'h [Slot<'h>],
    base: Option<&'h Attrs<'h>>,
    flat: Cell<Option<&'h Attrs<'h>>>,
    len: u32,
    layers: u8,
}

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
        debug_assert_eq!(shape.names.len(), values.len(), "a slot for every name");
        Self {
            shape,
            values,
            base: None,
            flat: Cell::new(None),
            len: u32::try_from(values.len()).unwrap_or(u32::MAX),
            layers: 1,
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
        if let Some(index) = self.shape.find(name) {
            return Some(&self.values[index]);
        }
        let mut layer = self.base;
        while let Some(attrs) = layer {
            if let Some(index) = attrs.shape.find(name) {
                return Some(&attrs.values[index]);
            }
            layer = attrs.base;
        }
        None
    }

    /// The attribute with its position.
    #[must_use]
    pub fn get_attr(&self, name: Symbol) -> Option<Attr<'h>> {
        if let Some(index) = self.shape.find(name) {
            let (pos, slot) = (self.shape.positions[index], &self.values[index]);
            return Some(Attr { name, pos, slot });
        }
        self.base.and_then(|base| base.get_attr(name))
    }

    /// The same set with one layer.
    pub fn flatten(&'h self, heap: &'h Heap) -> &'h Attrs<'h> {
        if self.base.is_none() {
            return self;
        }
        if let Some(flat) = self.flat.get() {
            return flat;
        }
        let merged = self.to_builder().finish_sorted(heap);
        self.flat.set(Some(merged));
        merged
    }

    /// A builder that holds all attributes, for a set that differs a little.
    #[must_use]
    pub fn to_builder(&'h self) -> AttrsBuilder<'h> {
        merge(self, None)
    }

    /// The attributes in the order of their symbols, which is no order that a user may see.
    pub fn iter(&'h self, heap: &'h Heap) -> impl ExactSizeIterator<Item = Attr<'h>> {
        let flat = self.flatten(heap);
        flat.values.iter().enumerate().map(|(index, slot)| Attr {
            name: flat.shape.names[index],
            pos: flat.shape.positions[index],
            slot,
        })
    }

    /// The shape and the slots of the set with one layer.
    pub fn parts(&'h self, heap: &'h Heap) -> (&'h Shape<'h>, &'h [Slot<'h>]) {
        let flat = self.flatten(heap);
        (flat.shape, flat.values)
    }

    /// `self // over`
    pub fn update(&'h self, over: &'h Attrs<'h>, heap: &'h Heap) -> &'h Attrs<'h> {
        if over.is_empty() {
            return self;
        }
        if self.is_empty() {
            return over;
        }
        let over = over.flatten(heap);
        let layered = over.len() <= MAX_LAYER_LEN
            && self.layers < MAX_LAYERS
            && self.len() * 4 >= over.len();
        if !layered {
            return merge(self, Some(over)).finish_sorted(heap);
        }
        let added = over.shape.names.iter().filter(|name| self.get(**name).is_none());
        let added = u32::try_from(added.count()).unwrap_or(u32::MAX);
        heap.alloc(Attrs {
            shape: over.shape,
            values: over.values,
            base: Some(self),
            flat: Cell::new(None),
            len: self.len + added,
            layers: self.layers + 1,
        })
    }
}

/// The attributes of all layers of `base` and, above them, of a flat set `over`, in the order of symbols.
///
/// All layers go in at once: what lies between the first and the last is in no set of its own.
fn merge<'h>(base: &'h Attrs<'h>, over: Option<&'h Attrs<'h>>) -> AttrsBuilder<'h> {
    let mut layers: Vec<&'h Attrs<'h>> = over.into_iter().collect();
    let mut bottom = base;
    while let (None, Some(below)) = (bottom.flat.get(), bottom.base) {
        layers.push(bottom);
        bottom = below;
    }
    let bottom = bottom.flat.get().unwrap_or(bottom);
    let attr = |attrs: &'h Attrs<'h>, index: usize| {
        let shape = attrs.shape;
        (shape.names[index], shape.positions[index], attrs.values[index].get().peek())
    };
    let above = layers.iter().map(|layer| layer.values.len()).sum::<usize>();
    let mut all = AttrsBuilder::with_capacity(bottom.values.len() + above);
    all.items.extend((0..bottom.values.len()).map(|index| attr(bottom, index)));
    // The names that the bottom has are replaced in place, the others come behind it.
    let mut added: Vec<(Symbol, Pos, Value<'h>)> = Vec::with_capacity(above);
    for layer in layers.iter().rev() {
        for index in 0..layer.values.len() {
            let item = attr(layer, index);
            match all.items.binary_search_by_key(&item.0, |known| known.0) {
                Ok(place) => all.items[place] = item,
                Err(_) => added.push(item),
            }
        }
    }
    if !added.is_empty() {
        // Of equal names the uppermost layer's comes first, and stays. Two ascending runs sort in one pass.
        added.reverse();
        added.sort_by_key(|item| item.0);
        added.dedup_by_key(|item| item.0);
        all.items.append(&mut added);
        all.items.sort_by_key(|item| item.0);
    }
    all
}

/// Collects attributes for a new set.
#[derive(Default)]
pub struct AttrsBuilder<'h> {
    items: Vec<(Symbol, Pos, Value<'h>)>,
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
        Self { items: Vec::with_capacity(capacity) }
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
        let names = heap.slice_from(self.items.iter().map(|item| item.0));
        let positions = heap.slice_from(self.items.iter().map(|item| item.1));
        let values = heap.slice_from(self.items.iter().map(|item| Slot::new(item.2)));
        heap.alloc(Attrs::new(heap.alloc(Shape { names, positions }), values))
    }
}
