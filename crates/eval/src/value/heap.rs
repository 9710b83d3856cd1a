//! The memory of one evaluation: a bump arena from which every value, environment and lowered expression
//! comes, and which is freed as a whole.
//!
//! Decision: values are `Copy` words that borrow from the heap for its whole life `'h`; nothing in it is
//! dropped one by one, so nothing that owns other memory may be put in. Cycles (an environment whose thunk
//! holds the environment) need no collector.
//!
//! One thing is reclaimed on the way: *scratch*. Environments and suspended expressions are scratch: only other
//! scratch, closures, sets and lists refer to them. Where a step of evaluation has allocated scratch and
//! nothing else since a [`Mark`], nothing that outlives the step can refer to that scratch, because older
//! slots and thunks are only ever overwritten with forced values; so [`Heap::release`] takes it back. A loop
//! that calls a function five million times for a number needs the memory of one call.
//!
//! This is the evaluator's one module with `unsafe`: a bump arena of others cannot be rewound in part.

#![expect(unsafe_code, reason = "a bump arena that can be rewound: benches/eval, misc")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::{Slot, Thunk, Value};
use crate::expr::Expr;

/// What every object is aligned to, and its size a multiple of.
const ALIGN: usize = 8;
/// The size of the first chunk. Each is twice as large as the one before it.
const FIRST_CHUNK_BYTES: usize = 128 * 1024;
/// The largest size of a chunk that is not made for one large object.
const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// What memory that was taken back is filled with where debug assertions are on.
const POISON: u8 = 0xEE;

/// The arena of one evaluation.
pub struct Heap {
    /// Where the next object goes; never above `end`.
    at: Cell<*mut u8>,
    end: Cell<*mut u8>,
    /// The end of the youngest object of this chunk that is not scratch.
    kept: Cell<*mut u8>,
    chunks: RefCell<Vec<Chunk>>,
    allocated_bytes: Cell<usize>,
    next_chunk_bytes: Cell<usize>,
}

struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

/// The variables of one scope, and the scope around it.
#[derive(Clone, Copy)]
pub struct Env<'h>(NonNull<Header<'h>>, PhantomData<&'h Slot<'h>>);

/// What stands before the slots of a scope.
struct Header<'h> {
    parent: Option<Env<'h>>,
    len: usize,
}

impl<'h> Env<'h> {
    /// The enclosing scope; none at the top.
    #[inline]
    #[must_use]
    pub fn parent(self) -> Option<Env<'h>> {
        // SAFETY: `Heap::scope`, which alone makes scopes, has written the header. It stays until the heap is
        // dropped, or until `release`, whose contract says that nothing refers to it by then.
        unsafe { (*self.0.as_ptr()).parent }
    }

    /// One slot a variable, in the order that lowering gave them.
    #[inline]
    #[must_use]
    pub fn slots(self) -> &'h [Slot<'h>] {
        // SAFETY: as in `parent`.
        let len = unsafe { (*self.0.as_ptr()).len };
        // SAFETY: `Heap::scope` has made room for the slots behind the header.
        let slots = unsafe { self.0.as_ptr().add(1) }.cast::<Slot<'h>>();
        // SAFETY: `Heap::scope` has written `len` slots there; they stay as long as the header.
        unsafe { std::slice::from_raw_parts(slots, len) }
    }

    /// The slot of a variable.
    #[inline]
    #[must_use]
    pub fn slot(self, index: u32) -> &'h Slot<'h> {
        &self.slots()[index as usize]
    }
}

/// A place in the heap to which scratch can be taken back.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    at: *mut u8,
    end: *mut u8,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heap")
            .field("allocated_bytes", &self.allocated_bytes.get())
            .finish()
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for chunk in self.chunks.get_mut() {
            // SAFETY: the chunk was allocated with this layout, and is freed only here; references into it
            // borrow from `self` and have ended.
            unsafe { dealloc(chunk.start.as_ptr(), chunk.layout) };
        }
    }
}

impl Heap {
    /// Makes an empty heap.
    #[must_use]
    pub fn new() -> Self {
        Self {
            at: Cell::new(ptr::null_mut()),
            end: Cell::new(ptr::null_mut()),
            kept: Cell::new(ptr::null_mut()),
            chunks: RefCell::default(),
            allocated_bytes: Cell::new(0),
            next_chunk_bytes: Cell::new(FIRST_CHUNK_BYTES),
        }
    }

    /// Moves `value` onto the heap. Its destructor never runs.
    #[inline]
    pub fn alloc<T>(&self, value: T) -> &T {
        let place = self.scratch(value);
        self.keep();
        place
    }

    /// Copies bytes onto the heap.
    #[inline]
    pub fn bytes(&self, bytes: &[u8]) -> &[u8] {
        self.slice(bytes)
    }

    /// Copies several byte strings, one after the other, onto the heap.
    #[must_use]
    pub fn concat(&self, parts: &[&[u8]]) -> &[u8] {
        self.bytes(&parts.concat())
    }

    /// Copies a slice onto the heap.
    #[inline]
    pub fn slice<T: Copy>(&self, items: &[T]) -> &[T] {
        if items.is_empty() {
            return &[];
        }
        let start = self.reserve::<T>(size_of_val(items));
        self.keep();
        // SAFETY: `reserve` gave room for `items.len()` items, aligned, that nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), start, items.len()) };
        // SAFETY: the items were just written, and stay until the heap is dropped: they are kept.
        unsafe { std::slice::from_raw_parts(start, items.len()) }
    }

    /// Moves as many items as the iterator announces onto the heap.
    ///
    /// # Panics
    /// The iterator ends before it said that it would.
    pub fn slice_from<T, I>(&self, items: I) -> &[T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        let items = self.scratch_slice(items);
        self.keep();
        items
    }

    /// Makes slots out of values.
    #[inline]
    pub fn slots_from<'h>(&'h self, values: &[Value<'h>]) -> &'h [Slot<'h>] {
        self.slice_from(values.iter().map(|value| Slot::new(*value)))
    }

    /// The bytes that the heap has asked of the system so far.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.allocated_bytes.get()
    }

    // ---- scratch ---------------------------------------------------------------------------------

    /// Makes a scope of `count` variables, which hold `null` until they are set.
    #[inline]
    pub(crate) fn scope<'h>(&'h self, count: usize, parent: Option<Env<'h>>) -> Env<'h> {
        let bytes = size_of::<Slot<'_>>().checked_mul(count).expect("memory is finite");
        let header = self.reserve::<Header<'h>>(size_of::<Header<'h>>() + bytes);
        // SAFETY: `reserve` gave room for a header, aligned, that nothing else refers to.
        unsafe { header.write(Header { parent, len: count }) };
        // SAFETY: behind the header there is room for `count` slots, which need the same alignment.
        let slots = unsafe { header.add(1) }.cast::<Slot<'h>>();
        for index in 0..count {
            // SAFETY: `index` is below the count that there is room for.
            unsafe { slots.add(index).write(Slot::new(Value::Null)) };
        }
        // SAFETY: chunks do not begin at the null address.
        Env(unsafe { NonNull::new_unchecked(header) }, PhantomData)
    }

    /// Makes a scope with one variable.
    #[inline]
    pub(crate) fn scope_of_one<'h>(
        &'h self,
        value: Value<'h>,
        parent: Env<'h>,
    ) -> Env<'h> {
        let env = self.scope(1, Some(parent));
        env.slot(0).set(value);
        env
    }

    /// Suspends an expression.
    #[inline]
    pub(crate) fn suspend<'h>(&'h self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        Value::Thunk(self.scratch(Thunk::suspended(expr, env)))
    }

    /// The present place.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.at.get(), end: self.end.get() }
    }

    /// Takes back what was allocated since the mark, if all of it is scratch.
    ///
    /// The caller is the step of evaluation that began at the mark and has its result, which is forced: so
    /// the result is older than the mark, or not on the heap, or it was kept.
    #[inline]
    pub(crate) fn release(&self, mark: Mark) {
        if self.end.get() == mark.end && self.kept.get() <= mark.at {
            if cfg!(debug_assertions) && self.at.get() > mark.at {
                let bytes = self.at.get().addr() - mark.at.addr();
                // SAFETY: these bytes of the chunk were given out and nothing refers to them any more. Who
                // still does breaks the contract, and finds it out in the tests.
                unsafe { mark.at.write_bytes(POISON, bytes) };
            }
            self.at.set(mark.at);
        }
    }

    // ---- places -----------------------------------------------------------------------------------

    #[inline]
    fn keep(&self) {
        self.kept.set(self.at.get());
    }

    #[inline]
    fn scratch<T>(&self, value: T) -> &T {
        const { assert!(!std::mem::needs_drop::<T>(), "the heap drops nothing") };
        let place = self.reserve::<T>(size_of::<T>());
        // SAFETY: `reserve` gave room for a `T`, aligned, that nothing else refers to.
        unsafe { place.write(value) };
        // SAFETY: the value was just written. It stays until the heap is dropped, or until `release`, whose
        // contract says that nothing refers to it by then.
        unsafe { &*place }
    }

    #[inline]
    fn scratch_slice<T, I>(&self, items: I) -> &[T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        const { assert!(!std::mem::needs_drop::<T>(), "the heap drops nothing") };
        let mut items = items.into_iter();
        let count = items.len();
        if count == 0 {
            return &[];
        }
        let bytes = size_of::<T>().checked_mul(count).expect("memory is finite");
        let start = self.reserve::<T>(bytes);
        for index in 0..count {
            let item = items.next().expect("the iterator knows its length");
            // SAFETY: `index` is below the count that there is room for.
            unsafe { start.add(index).write(item) };
        }
        // SAFETY: all items were written; for how long they stay, see `scratch`.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// Room for `bytes` bytes, at least one of them, that begin with a `T`.
    #[inline]
    fn reserve<T>(&self, bytes: usize) -> *mut T {
        const { assert!(align_of::<T>() <= ALIGN, "the heap aligns to eight bytes") };
        const { assert!(size_of::<T>() > 0, "the heap gives every object a place") };
        let place = self.at.get();
        let left = self.end.get().addr() - place.addr();
        // Sizes are rounded up, and chunks are multiples of `ALIGN`: what is left is one, too.
        if bytes > left {
            return self.reserve_chunk(bytes).cast();
        }
        let rounded = (bytes + (ALIGN - 1)) & !(ALIGN - 1);
        // SAFETY: `rounded` is at most what is left of the chunk.
        self.at.set(unsafe { place.add(rounded) });
        place.cast()
    }

    /// Room in a new chunk; a large object gets one of its own, and the present one stays in use.
    #[cold]
    fn reserve_chunk(&self, bytes: usize) -> *mut u8 {
        let wanted = bytes.checked_next_multiple_of(ALIGN).expect("memory is finite");
        let regular = self.next_chunk_bytes.get();
        let size = wanted.max(regular);
        let left = self.end.get().addr() - self.at.get().addr();
        if wanted > regular / 2 && left >= ALIGN {
            // A mark knows its chunk by its end: moving that makes all marks before this object void.
            self.end.set(self.end.get().wrapping_sub(ALIGN));
            return self.chunk(wanted);
        }
        let start = self.chunk(size);
        self.next_chunk_bytes.set((regular * 2).min(MAX_CHUNK_BYTES));
        // SAFETY: the chunk is `size` bytes long, and `wanted` is at most that.
        let (next, end) = unsafe { (start.add(wanted), start.add(size)) };
        self.at.set(next);
        self.end.set(end);
        self.kept.set(start);
        start
    }
}

impl Heap {
    fn chunk(&self, bytes: usize) -> *mut u8 {
        #[cfg(fuzzing)]
        crate::fuel::burn(bytes as u64 / 64);
        let layout = Layout::from_size_align(bytes, ALIGN).expect("memory is finite");
        // SAFETY: no caller asks for zero bytes.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        self.chunks.borrow_mut().push(Chunk { start, layout });
        self.allocated_bytes.set(self.allocated_bytes.get() + bytes);
        start.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_all_sizes_stay_what_they_are() {
        let heap = Heap::new();
        let numbers: Vec<&u64> = (0..100_000).map(|number| heap.alloc(number)).collect();
        let large = heap.slice_from(vec![7_u64; 1_000_000]);
        let texts: Vec<&[u8]> =
            (0..1000_usize).map(|length| heap.bytes(&vec![1; length])).collect();
        assert!(numbers.iter().zip(0..).all(|(found, wanted)| **found == wanted));
        assert!(large.iter().all(|number| *number == 7));
        assert!(texts.iter().enumerate().all(|(length, text)| text.len() == length));
        assert!(heap.slice::<u64>(&[]).is_empty());
    }

    #[test]
    fn scratch_is_taken_back_unless_something_was_kept() {
        let heap = Heap::new();
        let top = heap.scope(0, None);
        let mark = heap.mark();
        heap.scope_of_one(Value::Int(1), top);
        assert!(heap.at.get() > mark.at);
        heap.release(mark);
        assert_eq!(heap.at.get(), mark.at);

        let env = heap.scope_of_one(Value::Int(2), top);
        let kept = heap.alloc(crate::value::List { items: env.slots() });
        heap.release(mark);
        assert!(heap.at.get() > mark.at);
        assert!(matches!(kept.items[0].get(), Value::Int(2)));
    }

    #[test]
    fn a_mark_of_another_chunk_releases_nothing() {
        let heap = Heap::new();
        heap.scope(0, None);
        let mark = heap.mark();
        heap.scope(FIRST_CHUNK_BYTES, None);
        let at = heap.at.get();
        heap.release(mark);
        assert_eq!(heap.at.get(), at);
    }
}
