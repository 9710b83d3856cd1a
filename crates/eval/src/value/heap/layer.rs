//! The names of a set and its values, in two words.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{Heap, Slot};
use crate::value::{Attrs, Shape};

/// A shape, and as many slots as it has names.
#[derive(Clone, Copy)]
pub(in crate::value) struct Layer<'h> {
    shape: &'h Shape<'h>,
    first: NonNull<Slot<'h>>,
    slots: PhantomData<&'h [Slot<'h>]>,
}

// SAFETY: it is two references, and slots are atomic.
unsafe impl Send for Layer<'_> {}
// SAFETY: as above.
unsafe impl Sync for Layer<'_> {}

const _: () = assert!(size_of::<Layer<'_>>() == 16);

impl<'h> Layer<'h> {
    /// Joins both.
    ///
    /// # Panics
    /// There are not as many slots as names.
    #[inline]
    pub(in crate::value) fn new(shape: &'h Shape<'h>, slots: &'h [Slot<'h>]) -> Self {
        assert_eq!(shape.names.len(), slots.len(), "a slot for every name");
        Self { shape, first: NonNull::from(slots).cast(), slots: PhantomData }
    }

    /// The names.
    #[inline]
    pub(in crate::value) fn shape(self) -> &'h Shape<'h> {
        self.shape
    }

    /// The slots, in the order of the names.
    #[inline]
    pub(in crate::value) fn slots(self) -> &'h [Slot<'h>] {
        // SAFETY: `new` has checked that there were as many, and a shape never changes.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.shape.names.len()) }
    }

    /// The address of the first slot.
    pub(in crate::value) fn addr(self) -> usize {
        self.first.addr().get()
    }
}

/// A layer that other threads may see, and that is exchanged only where there are none.
pub(in crate::value) struct LayerCell<'h>(Cell<Layer<'h>>);

// SAFETY: it changes only where no other thread runs.
unsafe impl Sync for LayerCell<'_> {}

impl<'h> LayerCell<'h> {
    #[inline]
    pub(in crate::value) fn new(layer: Layer<'h>) -> Self {
        Self(Cell::new(layer))
    }

    #[inline]
    pub(in crate::value) fn get(&self) -> Layer<'h> {
        self.0.get()
    }

    /// Exchanges the layer, in an evaluation of one thread.
    pub(in crate::value) fn set(&self, layer: Layer<'h>, heap: &Heap) {
        assert!(!heap.has_company(), "other threads may be looking at it");
        self.set_alone(layer);
    }

    /// Exchanges the layer while all other threads are stopped.
    pub(in crate::value) fn set_alone(&self, layer: Layer<'h>) {
        self.0.set(layer);
    }
}

/// The set that another one hides parts of; perhaps none. Any thread may exchange it.
pub(in crate::value) struct Base<'h>(AtomicPtr<Attrs<'h>>, PhantomData<&'h Attrs<'h>>);

impl<'h> Base<'h> {
    #[inline]
    pub(in crate::value) fn new(base: Option<&'h Attrs<'h>>) -> Self {
        Self(AtomicPtr::new(pointer(base)), PhantomData)
    }

    #[inline]
    pub(in crate::value) fn get(&self) -> Option<&'h Attrs<'h>> {
        let base = self.0.load(Ordering::Acquire).cast_const();
        // SAFETY: `new` and `set` were given a reference, or nothing.
        unsafe { base.as_ref() }
    }

    #[inline]
    pub(in crate::value) fn set(&self, base: Option<&'h Attrs<'h>>) {
        self.0.store(pointer(base), Ordering::Release);
    }
}

fn pointer<'h>(base: Option<&'h Attrs<'h>>) -> *mut Attrs<'h> {
    base.map_or(std::ptr::null_mut(), |base| std::ptr::from_ref(base).cast_mut())
}
