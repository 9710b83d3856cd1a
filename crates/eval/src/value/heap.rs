//! The memory of one evaluation: a bump arena from which every value, environment and lowered expression
//! comes, and which is freed as a whole.
//!
//! Decision: values are `Copy` words that borrow from the heap for its whole life `'h`; nothing in it is
//! dropped one by one, so nothing that owns other memory may be put in. Cycles (an environment whose thunk
//! holds the environment) need no collector. Memory that a long evaluation leaves behind can be reclaimed
//! only at a quiescent point, by copying what the roots reach into a new heap.

use bumpalo::Bump;

use super::{Slot, Value};

/// The arena of one evaluation.
#[derive(Debug, Default)]
pub struct Heap {
    bump: Bump,
}

impl Heap {
    /// Makes an empty heap.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves `value` onto the heap. Its destructor never runs.
    #[inline]
    pub fn alloc<T>(&self, value: T) -> &T {
        const { assert!(!std::mem::needs_drop::<T>(), "the heap drops nothing") };
        self.bump.alloc(value)
    }

    /// Copies bytes onto the heap.
    #[inline]
    pub fn bytes(&self, bytes: &[u8]) -> &[u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    /// Copies several byte strings, one after the other, onto the heap.
    #[must_use]
    pub fn concat(&self, parts: &[&[u8]]) -> &[u8] {
        let length = parts.iter().map(|part| part.len()).sum();
        let target = self.bump.alloc_slice_fill_copy(length, 0_u8);
        let mut at = 0;
        for part in parts {
            target[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        target
    }

    /// Copies a slice onto the heap.
    #[inline]
    pub fn slice<T: Copy>(&self, items: &[T]) -> &[T] {
        self.bump.alloc_slice_copy(items)
    }

    /// Moves as many items as the iterator announces onto the heap.
    pub fn slice_from<T, I>(&self, items: I) -> &[T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        const { assert!(!std::mem::needs_drop::<T>(), "the heap drops nothing") };
        self.bump.alloc_slice_fill_iter(items)
    }

    /// Makes `count` slots that hold `null` until they are set.
    #[inline]
    pub fn slots<'h>(&'h self, count: usize) -> &'h [Slot<'h>] {
        self.bump.alloc_slice_fill_with(count, |_| Slot::new(Value::Null))
    }

    /// Makes slots out of values.
    #[inline]
    pub fn slots_from<'h>(&'h self, values: &[Value<'h>]) -> &'h [Slot<'h>] {
        self.bump.alloc_slice_fill_iter(values.iter().map(|value| Slot::new(*value)))
    }

    /// The bytes that the heap has asked of the system so far.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }
}
