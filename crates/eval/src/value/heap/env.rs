//! Scopes: the variables of one, and the way to the one around it.
//!
//! A scope is a header of one word and its slots. The header has the address of the scope around it in its lower bits
//! and the number of slots in the upper ones. Where the number does not fit, all of the upper bits are set, and a word
//! before the header has it. Most scopes have one slot, and there are millions of them.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::chunk::Kind;
use super::thunk::ADDRESS;
use super::{Heap, Slot};
use crate::value::Value;

/// Where the number of slots begins in a header.
const LEN_SHIFT: u32 = ADDRESS.count_ones();
/// What stands there if the number is in the word before.
const LONG: usize = usize::MAX >> LEN_SHIFT;

/// A header: never null, as it is always that of a scope.
type Header = *const ();

/// The variables of one scope, and the scope around it.
#[derive(Clone, Copy)]
pub struct Env<'h>(NonNull<Header>, PhantomData<&'h Slot<'h>>);

// SAFETY: a header never changes, and slots are atomic.
unsafe impl Send for Env<'_> {}
// SAFETY: as above.
unsafe impl Sync for Env<'_> {}

impl<'h> Env<'h> {
    #[inline]
    fn header(self) -> Header {
        // SAFETY: `Heap::scope`, which alone makes scopes, has written the header. It stays as long as anything
        // refers to it: see `Heap::release` and `Heap::collect`.
        unsafe { *self.0.as_ptr() }
    }

    /// The enclosing scope; none at the top.
    #[inline]
    #[must_use]
    pub fn parent(self) -> Option<Env<'h>> {
        let parent = self.header().map_addr(|word| word & ADDRESS);
        NonNull::new(parent.cast_mut().cast()).map(|parent| Self(parent, PhantomData))
    }

    /// How many slots there are.
    #[inline]
    fn len(self) -> usize {
        let len = self.header().addr() >> LEN_SHIFT;
        if len == LONG { self.long_len() } else { len }
    }

    #[cold]
    fn long_len(self) -> usize {
        // SAFETY: `Heap::long_scope` has written this word, and nothing else makes a header that says so.
        unsafe { self.0.as_ptr().sub(1).cast::<usize>().read() >> 1 }
    }

    /// One slot a variable, in the order that lowering gave them.
    #[inline]
    #[must_use]
    pub fn slots(self) -> &'h [Slot<'h>] {
        // SAFETY: `Heap::scope` has made room for the slots behind the header.
        let slots = unsafe { self.0.as_ptr().add(1) }.cast::<Slot<'h>>();
        // SAFETY: `Heap::scope` has written as many slots there; they stay as long as the header.
        unsafe { std::slice::from_raw_parts(slots, self.len()) }
    }

    /// The slot of a variable.
    #[inline]
    #[must_use]
    pub fn slot(self, index: u32) -> &'h Slot<'h> {
        &self.slots()[index as usize]
    }

    pub(super) fn pointer(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// The scope at a place.
    ///
    /// # Safety
    /// The place is that of a scope: [`Self::pointer`] gave it.
    pub(super) unsafe fn from_pointer(pointer: *const ()) -> Self {
        let header = pointer.cast_mut().cast();
        // SAFETY: no scope is at the null address.
        Self(unsafe { NonNull::new_unchecked(header) }, PhantomData)
    }

    /// The scope that is the object at a place.
    ///
    /// # Safety
    /// The map says that a scope was made there.
    pub(super) unsafe fn from_object(start: *mut u8) -> Self {
        // SAFETY: a scope begins with its header or the word before that.
        let is_long = unsafe { start.cast::<usize>().read() } & 1 != 0;
        let header = start.cast::<Header>().wrapping_add(usize::from(is_long));
        // SAFETY: as above; nothing else is odd, since scopes are aligned.
        unsafe { Self::from_pointer(header.cast()) }
    }

    pub(crate) fn addr(self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Heap {
    /// Makes a scope of `count` variables, which hold `null` until they are set.
    #[inline]
    pub(crate) fn scope<'h>(&'h self, count: usize, parent: Option<Env<'h>>) -> Env<'h> {
        if count >= LONG {
            return self.long_scope(count, parent);
        }
        let words = count + 1;
        let header = self.reserve::<Header>(words * size_of::<Header>(), Kind::Env);
        // SAFETY: `reserve` gave room for a header and `count` slots, which are as large and aligned as it, that
        // nothing else refers to.
        unsafe { fill(header, count, count, parent) }
    }

    #[cold]
    fn long_scope<'h>(&'h self, count: usize, parent: Option<Env<'h>>) -> Env<'h> {
        let bytes = count.saturating_add(2).saturating_mul(size_of::<Header>());
        let start = self.reserve::<usize>(bytes, Kind::Env);
        // SAFETY: `reserve` gave room for one word more than in `scope`.
        unsafe { start.write(count << 1 | 1) };
        // SAFETY: as in `scope`.
        unsafe { fill(start.add(1).cast(), LONG, count, parent) }
    }

    /// Makes the scope of functions that return each other: the first `joined` variables of `outer`, which is the scope of
    /// the outer ones, and the arguments.
    #[inline]
    pub(crate) fn joined_scope<'h>(
        &'h self,
        arguments: &[Value<'h>],
        joined: u32,
        outer: Env<'h>,
    ) -> Env<'h> {
        // What does not fit in a slot is put on the heap here, before there is the scope.
        let slot = |value| Slot::new(value, self);
        match (joined, arguments) {
            (0, [one]) => self.scope_of([slot(*one)], Some(outer)),
            (0, [one, two]) => self.scope_of([slot(*one), slot(*two)], Some(outer)),
            (1, [two]) => {
                let one = outer.slot(0).get().peek();
                self.scope_of([slot(one), slot(*two)], outer.parent())
            }
            _ => self.long_joined_scope(arguments, joined as usize, outer),
        }
    }

    #[inline(never)]
    fn long_joined_scope<'h>(
        &'h self,
        arguments: &[Value<'h>],
        joined: usize,
        outer: Env<'h>,
    ) -> Env<'h> {
        let parent = if joined == 0 { Some(outer) } else { outer.parent() };
        let env = self.scope(joined + arguments.len(), parent);
        let slots = env.slots();
        for (slot, known) in slots.iter().zip(&outer.slots()[..joined]) {
            slot.set(known.get().peek(), self);
        }
        for (slot, value) in slots[joined..].iter().zip(arguments) {
            slot.set(*value, self);
        }
        env
    }

    /// Makes a scope with one variable.
    #[inline]
    pub(crate) fn scope_of_one<'h>(
        &'h self,
        value: Value<'h>,
        parent: Env<'h>,
    ) -> Env<'h> {
        self.scope_of([Slot::new(value, self)], Some(parent))
    }

    /// Makes a scope of a few variables.
    #[inline(always)]
    fn scope_of<'h, const N: usize>(
        &'h self,
        slots: [Slot<'h>; N],
        parent: Option<Env<'h>>,
    ) -> Env<'h> {
        const { assert!(N < LONG, "the header has room for the number") };
        let header = self.reserve::<Header>((N + 1) * size_of::<Header>(), Kind::Env);
        let parent = parent.map_or(std::ptr::null(), Env::pointer);
        debug_assert!(parent.addr() <= ADDRESS, "user space is below");
        // SAFETY: `reserve` gave room for a header, aligned, that nothing else refers to.
        unsafe { header.write(parent.map_addr(|address| address | N << LEN_SHIFT)) };
        // SAFETY: `reserve` gave room for as many slots, which are as large and aligned as a header, behind it.
        unsafe { header.add(1).cast::<[Slot<'h>; N]>().write(slots) };
        // SAFETY: regions do not begin at the null address.
        Env(unsafe { NonNull::new_unchecked(header) }, PhantomData)
    }
}

/// Writes a header and empty slots.
///
/// # Safety
/// There is room for both at `header`, which is aligned, and nothing else refers to it.
#[inline]
unsafe fn fill<'h>(
    header: *mut Header,
    len: usize,
    count: usize,
    parent: Option<Env<'h>>,
) -> Env<'h> {
    let parent = parent.map_or(std::ptr::null(), Env::pointer);
    debug_assert!(parent.addr() <= ADDRESS, "user space is below");
    // SAFETY: see above.
    unsafe { header.write(parent.map_addr(|address| address | len << LEN_SHIFT)) };
    // SAFETY: see above.
    let slots = unsafe { header.add(1) }.cast::<Slot<'h>>();
    for index in 0..count {
        // SAFETY: `index` is below the count that there is room for.
        unsafe { slots.add(index).write(Slot::null()) };
    }
    // SAFETY: regions do not begin at the null address.
    Env(unsafe { NonNull::new_unchecked(header) }, PhantomData)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_all_lengths_keep_their_slots() {
        let heap = Heap::new();
        heap.collected(|| {
            let mut env = heap.scope(0, None);
            let lengths = [0, 1, 2, 300, LONG - 1, LONG, LONG + 1, 200_000, 1];
            for len in lengths {
                env = heap.scope(len, Some(env));
                for (slot, number) in env.slots().iter().zip(0..) {
                    assert!(matches!(slot.get(), Value::Null));
                    let bytes = heap.bytes(&[b'x'; 3]);
                    let text = heap.alloc(crate::value::Str { bytes, context: &[] });
                    let is_text = number % 1000 == 7;
                    slot.set(
                        if is_text { Value::String(text) } else { Value::Int(number) },
                        &heap,
                    );
                }
            }
            for _ in 0..3 {
                heap.collect(&|_| {});
                std::hint::black_box(heap.slice_from(vec![0_u64; 1_000_000]));
            }
            for len in lengths.iter().rev() {
                assert_eq!(env.slots().len(), *len);
                for (slot, number) in env.slots().iter().zip(0..) {
                    match slot.get() {
                        Value::Int(found) => assert_eq!(found, number),
                        Value::String(text) => assert_eq!(text.bytes, b"xxx"),
                        _ => panic!("it was set"),
                    }
                }
                env = env.parent().expect("there is one more outside");
            }
            assert!(env.slots().is_empty() && env.parent().is_none());
        });
    }
}
