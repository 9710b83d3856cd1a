//! The memory of one evaluation: where every value, environment and lowered expression comes from.
//!
//! Decision: values are `Copy` words that borrow from the heap for its whole life `'h`; nothing in it is
//! dropped one by one, so nothing that owns other memory may be put in. Objects never move. Memory comes back
//! in three ways:
//!
//! - *Scratch* at once. Environments and suspended expressions are scratch: only other scratch, closures, sets
//!   and lists refer to them. Where a step of evaluation has allocated scratch and nothing else since a
//!   [`Mark`], nothing that outlives the step can refer to that scratch, because older slots and thunks are only
//!   ever overwritten with forced values; so [`Heap::release`] takes it back. A loop that calls a function five
//!   million times for a number needs the memory of one call.
//! - *Garbage* by a collector ([`collect`]), which a short run never meets: it begins when the first
//!   [`space::FIRST_BUDGET_BYTES`] have been given out. It looks for references on the stack, so it can run at
//!   any [`Heap::is_due`] of evaluation; what is kept elsewhere across evaluation must be [`rooted`].
//! - All of it at the end.
//!
//! Allocation is a bump within a *region*. Objects have no headers. For the collector, which has to know where
//! the object begins that a word on the stack points into, every object leaves one byte (kind and size) in the
//! *log* of its region, which grows downward from the region's end toward the objects.
//!
//! Several threads may share the memory ([`threads`]). Each has a [`Heap`] of its own, with regions of its own and
//! scratch that no other thread can know of: what other threads see is reachable from older objects, so it was kept.
//!
//! What lives as long as the evaluation in any case (names, texts, lowered code) goes to regions of its own
//! that are never collected: see [`Heap::immortal`].
//!
//! This module and those below it are the evaluator's only `unsafe` code.

#![expect(
    unsafe_code,
    reason = "a bump arena with a collector: benches/eval, misc and every"
)]

mod chunk;
mod collect;
mod env;
mod layer;
mod lock;
mod rooted;
mod slot;
mod space;
mod stack;
mod threads;
mod thunk;

use std::cell::{Cell, OnceCell, RefCell};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::chunk::Kind;
pub use self::env::Env;
pub(super) use self::layer::{Base, Layer, LayerCell};
pub(crate) use self::rooted::still_needed;
pub use self::rooted::{Held, Items};
pub use self::slot::Slot;
use self::space::{Local, MAX_SHARED_BYTES};
use self::threads::Common;
pub(crate) use self::threads::Seat;
pub(crate) use self::thunk::Claim;
pub use self::thunk::{State, Thunk};
use super::{Attrs, Shape, Value};
use crate::expr::Expr;
use crate::pos::Pos;
use crate::symbol::Symbol;

/// What every object is aligned to, and its size a multiple of.
const ALIGN: usize = 8;
/// The most bytes that one object adds to the log.
const MAX_LOG_BYTES: usize = 3;
/// Sizes of this many words and more do not fit in the log's first byte.
const LOG_SIZE_LIMIT: usize = 32;

/// What memory that was taken back is filled with where debug assertions are on.
const POISON: u8 = 0xEE;

/// Tells the system how a piece of memory will be used: where it begins, and its bytes. Nothing is in it yet.
pub type Advise = fn(*mut u8, usize);

/// What to tell the system of memory.
#[derive(Clone, Copy, Debug)]
pub struct Advice {
    /// Of large pieces, while the heap is small.
    pub small: Advise,
    /// Of large pieces, when it no longer is.
    pub large: Advise,
}

/// The memory of one evaluation.
pub struct Heap {
    /// Where the next object goes; never above `log`.
    at: Cell<*mut u8>,
    /// The youngest entry of the region's log.
    log: Cell<*mut u8>,
    /// The end of the youngest object of this region that is not scratch.
    kept: Cell<*mut u8>,
    /// Which region this is: a [`Mark`] of another one releases nothing.
    serial: Cell<u64>,
    /// Whether the collector should run. Other threads may say so.
    due: AtomicBool,
    local: RefCell<Local>,
    /// What all threads have in common.
    common: Arc<Common>,
    /// The heaps of other threads, in that of the first.
    others: OnceCell<Box<[Heap]>>,
    has_collected: Cell<bool>,
    /// The addresses of objects that were changed since the last collection, if they may be old.
    remembered: RefCell<Vec<usize>>,
    roots: rooted::Registry,
    stack: stack::Stack,
    /// The number of the thread that this heap is for.
    thread: usize,
    /// Whether other threads use the same memory.
    has_company: Cell<bool>,
}

/// A place in the heap to which scratch can be taken back.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    at: *mut u8,
    log: *mut u8,
    serial: u64,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heap").field("allocated_bytes", &self.allocated_bytes()).finish()
    }
}

impl Heap {
    /// Makes an empty heap.
    #[must_use]
    pub fn new() -> Self {
        Self::with_advice(None)
    }

    /// Makes an empty heap that says of each large piece of memory that it will be filled from end to end, before it
    /// is.
    #[must_use]
    pub fn with_advice(advice: Option<Advice>) -> Self {
        Self::of_thread(0, Arc::new(Common::new(advice)))
    }

    fn of_thread(thread: usize, common: Arc<Common>) -> Self {
        Self {
            at: Cell::new(ptr::null_mut()),
            log: Cell::new(ptr::null_mut()),
            kept: Cell::new(ptr::null_mut()),
            serial: Cell::new(0),
            due: AtomicBool::new(false),
            local: RefCell::default(),
            common,
            others: OnceCell::new(),
            has_collected: Cell::new(false),
            remembered: RefCell::default(),
            roots: rooted::Registry::default(),
            stack: stack::Stack::default(),
            thread,
            has_company: Cell::new(thread > 0),
        }
    }

    /// The chunks, for a moment.
    fn space(&self) -> lock::Guard<'_, space::Space> {
        self.common.space.hold(self.has_company.get())
    }

    #[inline]
    fn set_due(&self, due: bool) {
        self.due.store(due, Ordering::Relaxed);
    }

    /// The number of the thread that this heap is for.
    #[inline]
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// Whether other threads use the same memory.
    #[inline]
    pub(crate) fn has_company(&self) -> bool {
        self.has_company.get()
    }

    /// Moves `value` onto the heap. Its destructor never runs.
    #[inline]
    pub fn alloc<T>(&self, value: T) -> &T {
        let place = self.scratch(value, Kind::Words);
        self.keep();
        place
    }

    /// Moves a set onto the heap.
    #[inline]
    pub fn attrs<'h>(&'h self, attrs: Attrs<'h>) -> &'h Attrs<'h> {
        let place = self.scratch(attrs, Kind::Attrs);
        self.keep();
        place
    }

    /// Makes a shape and its names and positions, in one object without references to others.
    pub(super) fn shape<'h, I>(&'h self, attrs: I) -> &'h Shape<'h>
    where
        I: ExactSizeIterator<Item = (Symbol, Pos)>,
    {
        let count = attrs.len();
        let bytes = count.saturating_mul(size_of::<(Symbol, Pos)>());
        let bytes = bytes.saturating_add(size_of::<Shape<'_>>());
        let place = self.reserve::<Shape<'h>>(bytes, Kind::Leaf);
        // SAFETY: `reserve` gave room for as many names and positions as there are attributes behind the shape,
        // and the names need less alignment than it.
        let names = unsafe { place.add(1) }.cast::<Symbol>();
        // SAFETY: as above, with what comes behind the names.
        let positions = unsafe { names.add(count) }.cast::<Pos>();
        let mut made = 0;
        for (name, pos) in attrs.take(count) {
            // SAFETY: `made` is below the count that there is room for.
            unsafe { names.add(made).write(name) };
            // SAFETY: as above.
            unsafe { positions.add(made).write(pos) };
            made += 1;
        }
        assert_eq!(made, count, "the iterator knows its length");
        // SAFETY: so many names were written, and stay as long as the shape.
        let names = unsafe { std::slice::from_raw_parts(names, count) };
        // SAFETY: so many positions were written, and stay as long as the shape.
        let positions = unsafe { std::slice::from_raw_parts(positions, count) };
        // SAFETY: `reserve` gave room for a shape, aligned, that nothing else refers to.
        unsafe { place.write(Shape::new(names, positions)) };
        self.keep();
        // SAFETY: the shape was just written; for how long it stays, see `scratch`.
        unsafe { &*place }
    }

    /// Moves a thunk onto the heap.
    #[inline]
    pub fn thunk<'h>(&'h self, thunk: Thunk<'h>) -> &'h Thunk<'h> {
        debug_assert!(
            thunk.value().is_some() || !self.local.borrow().is_immortal(),
            "an immortal thunk that gets its value later would have to be remembered"
        );
        let place = self.scratch(thunk, Kind::Thunk);
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
        let bytes =
            parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if bytes == 0 {
            return &[];
        }
        let start = self.reserve::<u8>(bytes, Kind::Leaf);
        self.keep();
        let mut end = 0;
        for part in parts {
            // SAFETY: `reserve` gave room for the bytes of all parts, which nothing else refers to; `end` of them are
            // those of the parts before this one.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), start.add(end), part.len())
            };
            end += part.len();
        }
        // SAFETY: the bytes were just written, and stay as long as anything refers to them.
        unsafe { std::slice::from_raw_parts(start, bytes) }
    }

    /// Copies a slice onto the heap.
    #[inline]
    pub fn slice<T: Copy>(&self, items: &[T]) -> &[T] {
        if items.is_empty() {
            return &[];
        }
        let start = self.reserve::<T>(size_of_val(items), kind_of::<T>());
        self.keep();
        // SAFETY: `reserve` gave room for `items.len()` items, aligned, that nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), start, items.len()) };
        // SAFETY: the items were just written, and stay as long as anything refers to them.
        unsafe { std::slice::from_raw_parts(start, items.len()) }
    }

    /// Moves as many items as the iterator announces onto the heap. The iterator may allocate, but evaluate
    /// nothing.
    ///
    /// # Panics
    /// The iterator ends before it said that it would.
    pub fn slice_from<T, I>(&self, items: I) -> &[T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        self.fill(items, kind_of::<T>())
    }

    /// As [`Self::slice_from`], for slots.
    ///
    /// # Panics
    /// The iterator ends before it said that it would.
    #[inline]
    pub fn slots<'h, I>(&'h self, values: I) -> &'h [Slot<'h>]
    where
        I: IntoIterator<Item = Value<'h>>,
        I::IntoIter: ExactSizeIterator,
    {
        self.fill(values.into_iter().map(|value| Slot::new(value, self)), Kind::Slots)
    }

    /// Makes slots out of values.
    #[inline]
    pub fn slots_from<'h>(&'h self, values: &[Value<'h>]) -> &'h [Slot<'h>] {
        self.slots(values.iter().copied())
    }

    /// The bytes that the heap has asked of the system and not given back.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.space().allocated_bytes()
    }

    /// The bytes that were given out so far, collected or not: a measure of work that depends on nothing else.
    /// What was taken back as scratch does not count.
    #[must_use]
    pub fn given_bytes(&self) -> usize {
        self.space().given_bytes(&self.local.borrow(), self.at.get())
    }

    // ---- scratch ---------------------------------------------------------------------------------

    /// Suspends an expression.
    #[inline]
    pub(crate) fn suspend<'h>(&'h self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        debug_assert!(!self.local.borrow().is_immortal(), "as in `thunk`");
        Value::Thunk(self.scratch(Thunk::suspended(expr, env), Kind::Thunk))
    }

    /// The present place.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.at.get(), log: self.log.get(), serial: self.serial.get() }
    }

    /// Takes back what was allocated since the mark, if all of it is scratch.
    ///
    /// The caller is the step of evaluation that began at the mark and has its result, which is forced: so
    /// the result is older than the mark, or not on the heap, or it was kept.
    #[inline]
    pub(crate) fn release(&self, mark: Mark) {
        if self.serial.get() == mark.serial && self.kept.get() <= mark.at {
            if cfg!(debug_assertions) && self.at.get() > mark.at {
                let bytes = self.at.get().addr() - mark.at.addr();
                // SAFETY: these bytes of the region were given out and nothing refers to them any more. Who
                // still does breaks the contract, and finds it out in the tests.
                unsafe { mark.at.write_bytes(POISON, bytes) };
            }
            self.at.set(mark.at);
            self.log.set(mark.log);
        }
    }

    // ---- places -----------------------------------------------------------------------------------

    #[inline]
    fn keep(&self) {
        self.kept.set(self.at.get());
    }

    #[inline]
    fn scratch<T>(&self, value: T, kind: Kind) -> &T {
        const { assert!(!std::mem::needs_drop::<T>(), "the heap drops nothing") };
        let place = self.reserve::<T>(size_of::<T>(), kind);
        // SAFETY: `reserve` gave room for a `T`, aligned, that nothing else refers to.
        unsafe { place.write(value) };
        // SAFETY: the value was just written. It stays as long as anything refers to it, as far as `release`
        // and `collect` are used as their contracts say.
        unsafe { &*place }
    }

    #[inline]
    fn fill<T, I>(&self, items: I, kind: Kind) -> &[T]
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
        let start = self.reserve::<T>(size_of::<T>().saturating_mul(count), kind);
        for index in 0..count {
            let item = items.next().expect("the iterator knows its length");
            // SAFETY: `index` is below the count that there is room for.
            unsafe { start.add(index).write(item) };
        }
        self.keep();
        // SAFETY: all items were written; for how long they stay, see `scratch`.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// Room for `bytes` bytes, at least one of them, that begin with a `T`.
    #[inline]
    fn reserve<T>(&self, bytes: usize, kind: Kind) -> *mut T {
        const { assert!(align_of::<T>() <= ALIGN, "the heap aligns to eight bytes") };
        const { assert!(size_of::<T>() > 0, "the heap gives every object a place") };
        let place = self.at.get();
        let log = self.log.get();
        let left = log.addr() - place.addr();
        let rounded = bytes.saturating_add(ALIGN - 1) & !(ALIGN - 1);
        let words = rounded / ALIGN;
        let is_large = words >= LOG_SIZE_LIMIT && rounded > MAX_SHARED_BYTES;
        if rounded.saturating_add(MAX_LOG_BYTES) > left || is_large {
            return self.reserve_elsewhere(rounded, kind).cast();
        }
        // SAFETY: `rounded` is at most what is left of the region.
        self.at.set(unsafe { place.add(rounded) });
        // SAFETY: there is room for the longest entry between the objects and the log.
        self.log.set(unsafe { write_log(log, words, kind) });
        place.cast()
    }

    /// Room in another region.
    #[cold]
    #[inline(never)]
    fn reserve_elsewhere(&self, bytes: usize, kind: Kind) -> *mut u8 {
        // All marks before this object are void: it may refer to scratch that is younger than they are.
        self.serial.set(self.serial.get() + 1);
        let (mut space, mut local) = (self.space(), self.local.borrow_mut());
        if let Some(place) = space.reserve_apart(&mut local, bytes, kind) {
            if space.is_over_budget() {
                self.set_due(true);
            }
            return place;
        }
        space.retire(&mut local, self.at.get(), self.log.get());
        let region = space.next_region(&mut local, bytes + MAX_LOG_BYTES);
        if space.is_over_budget() {
            self.set_due(true);
        }
        self.kept.set(region.start);
        // SAFETY: the region has room for the object and its entry in the log.
        self.at.set(unsafe { region.start.add(bytes) });
        // SAFETY: as above.
        self.log.set(unsafe { write_log(region.top, bytes / ALIGN, kind) });
        region.start
    }

    /// Runs `work`, whose allocations live until the heap is dropped.
    ///
    /// They may refer to each other and to what stays reachable anyhow; the collector does not look into them.
    pub(crate) fn immortal<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.local.borrow().is_immortal() {
            return work();
        }
        self.swap_regions();
        let result = work();
        self.swap_regions();
        result
    }

    /// Exchanges the region for mortal objects with that for immortal ones.
    fn swap_regions(&self) {
        let present = space::Present {
            at: self.at.get(),
            log: self.log.get(),
            kept: self.kept.get(),
            serial: self.serial.get(),
        };
        let other = self.local.borrow_mut().swap(present);
        self.at.set(other.at);
        self.log.set(other.log);
        self.kept.set(other.kept);
        self.serial.set(other.serial);
    }
}

/// How the collector sees a slice of `T`. What is aligned to less than a word holds no reference.
const fn kind_of<T>() -> Kind {
    if align_of::<T>() < ALIGN { Kind::Leaf } else { Kind::Words }
}

/// Adds an object of some words to a log that begins at `log`, and returns the new beginning.
///
/// # Safety
/// There are `MAX_LOG_BYTES` free bytes below `log`.
#[inline]
unsafe fn write_log(log: *mut u8, words: usize, kind: Kind) -> *mut u8 {
    if words < LOG_SIZE_LIMIT {
        // SAFETY: see above.
        let entry = unsafe { log.sub(1) };
        #[expect(clippy::cast_possible_truncation, reason = "it is below 32")]
        let code = (words as u8) << 3 | kind as u8;
        // SAFETY: see above.
        unsafe { entry.write(code) };
        return entry;
    }
    // SAFETY: see above.
    unsafe { write_long_log(log, words, kind) }
}

/// As [`write_log`], for sizes that take two bytes more.
///
/// # Safety
/// As for [`write_log`].
#[cold]
unsafe fn write_long_log(log: *mut u8, words: usize, kind: Kind) -> *mut u8 {
    let [low, high] =
        u16::try_from(words).expect("larger objects are apart").to_le_bytes();
    // SAFETY: see above.
    let entry = unsafe { log.sub(MAX_LOG_BYTES) };
    // SAFETY: see above.
    unsafe { entry.cast::<[u8; 3]>().write([high, low, kind as u8]) };
    entry
}

#[cfg(test)]
mod tests;
