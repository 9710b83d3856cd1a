//! The names of a set and its values, in two words.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Slot;
use crate::value::Shape;

/// A shape, and as many slots as it has names.
#[derive(Clone, Copy)]
pub(in crate::value) struct Layer<'h> {
    shape: &'h Shape<'h>,
    first: NonNull<Slot<'h>>,
    slots: PhantomData<&'h [Slot<'h>]>,
}

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
