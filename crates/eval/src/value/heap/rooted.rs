//! References that are not on the stack.
//!
//! The collector finds references on the stack and in what is reachable from there. A `Vec` or a map keeps its
//! items in memory that the collector does not know. So what holds values **while something is evaluated** must
//! be [`Items`]; a plain collection is right only where nothing is evaluated before it is gone.

use std::cell::RefCell;
use std::ops::Deref;

use super::{Env, Heap};
use crate::symbol::Symbol;
use crate::value::{Attr, Attrs, List, Slot, Str, Thunk, Value};

/// What can be in [`Items`]: it tells the addresses that it refers to.
pub trait Held: Copy {
    /// Hands every address to `visit`.
    fn visit(&self, visit: &mut dyn FnMut(usize));
}

impl Held for Value<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        if let Some(addr) = self.address() {
            visit(addr);
        }
    }
}

impl Held for Attr<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        self.slot.visit(visit);
    }
}

impl Held for Symbol {
    fn visit(&self, _: &mut dyn FnMut(usize)) {}
}

impl Held for usize {
    fn visit(&self, _: &mut dyn FnMut(usize)) {}
}

impl Held for &[u8] {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        visit(self.as_ptr().addr());
    }
}

impl Held for Env<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        visit(self.addr());
    }
}

impl<A: Held, B: Held> Held for (A, B) {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        self.0.visit(visit);
        self.1.visit(visit);
    }
}

impl<T: Held> Held for Option<T> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        if let Some(held) = self {
            held.visit(visit);
        }
    }
}

macro_rules! held_by_address {
    ($($object:ident)*) => {
        $(
            impl Held for &$object<'_> {
                fn visit(&self, visit: &mut dyn FnMut(usize)) {
                    visit(std::ptr::from_ref(*self).addr());
                }
            }
        )*
    };
}

held_by_address! { Attrs List Slot Str Thunk }

/// A growing list of things that stay alive while it lives.
pub struct Items<'h, T: Held> {
    heap: &'h Heap,
    /// The number of the entry in the registry.
    number: usize,
    items: Vec<T>,
}

impl<'h, T: Held> Items<'h, T> {
    /// Makes an empty list.
    #[must_use]
    pub fn new(heap: &'h Heap) -> Self {
        Self::with_capacity(heap, 0)
    }

    /// Makes an empty list with room.
    #[must_use]
    pub fn with_capacity(heap: &'h Heap, capacity: usize) -> Self {
        let number = heap.roots.add(Entry {
            start: std::ptr::null(),
            len: 0,
            visit: visit_slice::<T>,
        });
        Self { heap, number, items: Vec::with_capacity(capacity) }
    }

    /// A list of what an iterator gives; nothing is evaluated by it.
    #[must_use]
    pub fn from_iter(heap: &'h Heap, items: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self::new(heap);
        list.extend(items);
        list
    }

    /// Adds an item at the end.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push(item);
        self.note();
    }

    /// Adds items at the end; the iterator evaluates nothing.
    pub fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
        self.note();
    }

    /// Puts an item before another one.
    pub fn insert(&mut self, index: usize, item: T) {
        self.items.insert(index, item);
        self.note();
    }

    /// Sets an item.
    pub fn set(&mut self, index: usize, item: T) {
        self.items[index] = item;
    }

    /// Changes the list with something that evaluates nothing.
    pub fn with<R>(&mut self, change: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let result = change(&mut self.items);
        self.note();
        result
    }

    #[inline]
    fn note(&self) {
        self.heap.roots.set(self.number, self.items.as_ptr().cast(), self.items.len());
    }
}

impl<T: Held> Deref for Items<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: Held> Drop for Items<'_, T> {
    fn drop(&mut self) {
        self.heap.roots.remove(self.number);
    }
}

impl<'h, T: Held> IntoIterator for Items<'h, T> {
    type Item = T;
    type IntoIter = IntoIter<'h, T>;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter { items: self, next: 0 }
    }
}

impl<'i, T: Held> IntoIterator for &'i Items<'_, T> {
    type Item = &'i T;
    type IntoIter = std::slice::Iter<'i, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// The items of a list one by one; all of them stay alive until the end.
pub struct IntoIter<'h, T: Held> {
    items: Items<'h, T>,
    next: usize,
}

impl<T: Held> Iterator for IntoIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let item = self.items.get(self.next).copied();
        self.next += 1;
        item
    }
}

/// Where the items of every living list are.
#[derive(Default)]
pub(super) struct Registry {
    entries: RefCell<Vec<Entry>>,
    unused: RefCell<Vec<usize>>,
}

struct Entry {
    start: *const (),
    len: usize,
    visit: unsafe fn(*const (), usize, &mut dyn FnMut(usize)),
}

/// Visits items whose type the registry has forgotten.
///
/// # Safety
/// `start` and `len` are those of a `Vec<T>` that lives, or `len` is zero.
unsafe fn visit_slice<T: Held>(
    start: *const (),
    len: usize,
    visit: &mut dyn FnMut(usize),
) {
    for index in 0..len {
        // SAFETY: `index` is below the length; see above.
        unsafe { (*start.cast::<T>().add(index)).visit(visit) };
    }
}

impl Registry {
    fn add(&self, entry: Entry) -> usize {
        let mut entries = self.entries.borrow_mut();
        if let Some(number) = self.unused.borrow_mut().pop() {
            entries[number] = entry;
            return number;
        }
        entries.push(entry);
        entries.len() - 1
    }

    #[inline]
    fn set(&self, number: usize, start: *const (), len: usize) {
        let entry = &mut self.entries.borrow_mut()[number];
        (entry.start, entry.len) = (start, len);
    }

    fn remove(&self, number: usize) {
        self.entries.borrow_mut()[number].len = 0;
        self.unused.borrow_mut().push(number);
    }

    /// Hands every address that a list holds to `visit`.
    pub(super) fn addresses(&self, visit: &mut dyn FnMut(usize)) {
        for entry in &*self.entries.borrow() {
            // SAFETY: `Items` has told where its vector is after every change that may have moved it, and set
            // the length to zero when it was dropped.
            unsafe { (entry.visit)(entry.start, entry.len, visit) };
        }
    }
}

/// Keeps what `held` refers to alive up to here.
#[inline(always)]
pub(crate) fn still_needed<T>(held: &T) {
    std::hint::black_box(held);
}
