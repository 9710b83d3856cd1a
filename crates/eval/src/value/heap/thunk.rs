//! Suspended expressions.
//!
//! A thunk is forced at most once: its state goes from suspended over [`State::Blackhole`] to
//! [`State::Done`]. Meeting a blackhole is infinite recursion. When forcing fails with an error that `tryEval` catches,
//! the thunk keeps it ([`State::Failed`]) and fails alike when it is forced again, as in Nix; after any other error the
//! suspension is put back.
//!
//! A thunk is two words. If the first is below [`SMALL`], it is the tag of a [`Value`], whose payload is the
//! second, or one of the numbers that stand for the states without references. Otherwise it is a reference, whose
//! three low bits say which state it is.
//!
//! Several threads may force one thunk. One *claims* it, by putting a blackhole in its place, and the others wait. The
//! first word of a blackhole says whose it is, so one exchange of that word is all that a claim is; the second stays
//! what it was, and means nothing until the thread that has claimed the thunk writes both, the second before the first.
//! Whoever finds something else than a blackhole in the first word reads the second after it. Only where there are
//! several threads does claiming take an instruction that locks memory.
//!
//! What has survived a collection is *old*, and [`Thunk::grow_old`] notes that in a thunk which may still get a value:
//! the next collection may look at what is younger only, so such a thunk has to be remembered when it gets it.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::slot::{Repr, Words};
use super::threads::MAX_OTHERS;
use super::{Env, Heap, Slot};
use crate::expr::Expr;
use crate::symbol::Symbol;
use crate::value::Value;

/// What a thunk is.
#[derive(Clone, Copy)]
pub enum State<'h> {
    /// It has been forced: the value, in weak head normal form.
    Done(Value<'h>),
    /// An expression to be evaluated in a scope.
    Suspended(&'h Expr<'h>, Env<'h>),
    /// A function to be applied to arguments: `application[0]` is the function.
    Application(&'h [Value<'h>]),
    /// It was forced in vain: the number of the error that `tryEval` caught, and that comes again.
    Failed(u32),
    /// A function to be applied to a number, as `genList` does.
    Numbered(&'h Value<'h>, i64),
    /// A function to be applied to what a slot holds, as `map` does.
    Mapped(&'h Value<'h>, &'h Slot<'h>),
    /// A function to be applied to a name and what a slot holds, as `mapAttrs` does.
    Named(&'h Value<'h>, Symbol, &'h Slot<'h>),
    /// It is being forced.
    Blackhole,
}

/// First words below this are no references.
const SMALL: usize = BLACKHOLE + 2 * (MAX_OTHERS + 1);
/// First words from this on are no tags of values.
const EMPTY: usize = 29;
const FAILED: usize = 30;
/// The first word of a blackhole is this, twice the number of its thread, and one if the thunk is old.
const BLACKHOLE: usize = 32;

/// The low bits of a first word that is a reference.
const KIND: usize = 7;
const SUSPENDED: usize = 0;
const APPLICATION: usize = 1;
const NUMBERED: usize = 2;
const MAPPED: usize = 3;
const NAMED: usize = 4;

/// Addresses are below this; above them there is room for half a symbol, and in the first word for [`OLD`].
const ADDRESS_BITS: u32 = 48;
pub(super) const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
/// The bit of a first word that is a reference which says that the thunk is old.
const OLD: usize = 1 << 63;
/// The bits of a symbol's number that lie in the first word, below [`OLD`]; the others are in the second.
const NAME_BITS: u32 = 15;
const NAME_LOW: usize = (1 << NAME_BITS) - 1;

/// A suspended expression, or its value.
pub struct Thunk<'h> {
    first: AtomicUsize,
    second: AtomicPtr<()>,
    state: PhantomData<fn(State<'h>) -> State<'h>>,
}

/// What came of claiming a thunk.
#[derive(Clone, Copy)]
pub(crate) enum Claim<'h> {
    /// It is forced already.
    Done(Value<'h>),
    /// It is the caller's now.
    Ours(State<'h>),
    /// The thread of this number is forcing it.
    Taken(usize),
}

const _: () = assert!(size_of::<Thunk<'_>>() == 16);

fn pointer<T>(object: &T) -> *const () {
    std::ptr::from_ref(object).cast()
}

impl<'h> Thunk<'h> {
    /// Suspends an expression.
    #[inline]
    #[must_use]
    pub fn suspended(expr: &'h Expr<'h>, env: Env<'h>) -> Self {
        Self::from_state(State::Suspended(expr, env))
    }

    /// Suspends the application of `application[0]` to the rest.
    #[inline]
    #[must_use]
    pub fn application(application: &'h [Value<'h>]) -> Self {
        Self::from_state(State::Application(application))
    }

    /// Suspends the application of a function to a number.
    #[inline]
    #[must_use]
    pub fn numbered(function: &'h Value<'h>, number: i64) -> Self {
        Self::from_state(State::Numbered(function, number))
    }

    /// Suspends the application of a function to what a slot holds.
    #[inline]
    #[must_use]
    pub fn mapped(function: &'h Value<'h>, slot: &'h Slot<'h>) -> Self {
        Self::from_state(State::Mapped(function, slot))
    }

    /// Suspends the application of a function to a name and what a slot holds.
    #[inline]
    #[must_use]
    pub fn named(function: &'h Value<'h>, name: Symbol, slot: &'h Slot<'h>) -> Self {
        Self::from_state(State::Named(function, name, slot))
    }

    /// Makes a thunk that was forced in vain.
    #[must_use]
    pub(crate) fn failed(number: u32) -> Self {
        Self::from_state(State::Failed(number))
    }

    /// Makes a thunk in some state.
    #[inline]
    #[must_use]
    pub(super) fn from_state(state: State<'h>) -> Self {
        let (first, second) = encode(state);
        Self {
            first: AtomicUsize::new(first),
            second: AtomicPtr::new(second.cast_mut()),
            state: PhantomData,
        }
    }

    #[inline]
    fn second(&self) -> *const () {
        self.second.load(Ordering::Relaxed).cast_const()
    }

    /// Its value, if it has been forced.
    #[inline]
    pub fn value(&self) -> Option<Value<'h>> {
        let first = self.first.load(Ordering::Acquire);
        // What has a value keeps it, so both words belong together.
        (first < EMPTY).then(|| value((first, self.second())))
    }

    /// The expression that it suspends, if it does.
    #[must_use]
    pub fn suspends(&self) -> Option<&'h Expr<'h>> {
        let first = self.first.load(Ordering::Acquire);
        (first >= SMALL && first & KIND == SUSPENDED).then(|| expression(first))
    }

    /// The present state, where no other thread is changing it.
    #[inline]
    pub(super) fn state(&self) -> State<'h> {
        decode((self.first.load(Ordering::Acquire), self.second()))
    }

    /// Whether the thunk is being forced.
    #[inline]
    pub fn is_blackhole(&self) -> bool {
        owner(self.first.load(Ordering::Acquire)).is_some()
    }

    /// Marks the thunk as being forced and tells what is to be done. What is forced already stays what it is; so does what
    /// another thread is forcing.
    #[inline]
    pub(crate) fn enter(&self, heap: &Heap) -> State<'h> {
        if heap.has_company() {
            return match self.claim(heap) {
                Claim::Done(value) => State::Done(value),
                Claim::Ours(state) => state,
                Claim::Taken(_) => State::Blackhole,
            };
        }
        let words = (self.first.load(Ordering::Relaxed), self.second());
        if words.0 >= EMPTY {
            self.first.store(blackhole(words, 0), Ordering::Relaxed);
        }
        decode(words)
    }

    /// As [`Self::enter`], among several threads.
    #[inline(never)]
    pub(crate) fn claim(&self, heap: &Heap) -> Claim<'h> {
        let mut first = self.first.load(Ordering::Acquire);
        loop {
            let words = (first, self.second());
            if first < EMPTY {
                return Claim::Done(value(words));
            }
            if let Some(owner) = owner(first) {
                return Claim::Taken(owner);
            }
            // Of what is empty the second word tells whether it is old; nothing but a claim changes it.
            let new = blackhole(words, heap.thread());
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.first.compare_exchange(first, new, success, failure) {
                // Whoever had claimed it before has written the second word before the first, and nobody has since.
                Ok(_) => return Claim::Ours(decode((first, self.second()))),
                Err(found) => first = found,
            }
        }
    }

    /// Stores the value, or puts back the suspension after an error. The thunk is the caller's, or no other thread
    /// knows of it.
    #[inline]
    pub(crate) fn leave(&self, state: State<'h>, heap: &Heap) {
        let words = (self.first.load(Ordering::Relaxed), self.second());
        let (first, second) = encode(state);
        if is_old(words) {
            heap.remember(std::ptr::from_ref(self).addr());
            self.write(old((first, second)));
        } else {
            self.write((first, second));
        }
    }

    #[inline]
    fn write(&self, (first, second): Words) {
        self.second.store(second.cast_mut(), Ordering::Relaxed);
        self.first.store(first, Ordering::Release);
    }

    /// The thunk has survived a collection, during which no other thread runs.
    #[inline]
    pub(super) fn grow_old(&self) {
        self.write(old((self.first.load(Ordering::Relaxed), self.second())));
    }
}

/// The number of the thread that a first word says is forcing the thunk, if one is.
#[inline]
fn owner(first: usize) -> Option<usize> {
    (BLACKHOLE..SMALL).contains(&first).then(|| (first - BLACKHOLE) / 2)
}

/// The first word of a blackhole of a thread.
#[inline]
fn blackhole(words: Words, thread: usize) -> usize {
    BLACKHOLE + 2 * thread + usize::from(is_old(words))
}

/// The words of a thunk that has survived a collection.
#[inline]
fn old((first, second): Words) -> Words {
    if first >= SMALL {
        (first | OLD, second)
    } else if first >= BLACKHOLE {
        (first | 1, second)
    } else if first == EMPTY {
        (first, second.map_addr(|number| number | 1))
    } else {
        // Values and failures stay what they are.
        (first, second)
    }
}

/// Whether a thunk is old that may still get a value.
#[inline]
fn is_old((first, second): Words) -> bool {
    if first >= SMALL {
        return first & OLD != 0;
    }
    if first >= BLACKHOLE {
        return first & 1 != 0;
    }
    first == EMPTY && second.addr() & 1 != 0
}

/// The value that two words are.
#[inline]
fn value<'h>(words: Words) -> Value<'h> {
    let repr = Repr { words };
    // SAFETY: the first word is the tag of a value, and `encode` has made the second from that value.
    unsafe { repr.value }
}

#[inline]
fn encode(state: State<'_>) -> Words {
    let number = std::ptr::without_provenance::<()>;
    // The first word is an address that a reference to it is made of later.
    let tagged = |pointer: *const (), kind: usize| {
        debug_assert!(pointer.addr() & KIND == 0, "objects are aligned");
        pointer.expose_provenance() | kind
    };
    match state {
        State::Done(value) => super::slot::words(value),
        State::Suspended(expr, env) => (tagged(pointer(expr), SUSPENDED), env.pointer()),
        // There is no object at the address of a slice without items.
        State::Application([]) => (EMPTY, number(0)),
        State::Application(all) => {
            (tagged(all.as_ptr().cast(), APPLICATION), number(all.len()))
        }
        State::Numbered(function, value) => (
            tagged(pointer(function), NUMBERED),
            number(usize::from_ne_bytes(value.to_ne_bytes())),
        ),
        State::Mapped(function, slot) => {
            (tagged(pointer(function), MAPPED), pointer(slot))
        }
        State::Named(function, name, slot) => {
            let (name, slot) = (name.number() as usize, pointer(slot));
            debug_assert!(slot.addr() <= ADDRESS, "user space is below");
            let high = name >> NAME_BITS << ADDRESS_BITS;
            let low = (name & NAME_LOW) << ADDRESS_BITS;
            (
                tagged(pointer(function), NAMED) | low,
                slot.map_addr(|address| address | high),
            )
        }
        State::Failed(failure) => (FAILED, number(failure as usize)),
        State::Blackhole => (BLACKHOLE, number(0)),
    }
}

/// The expression that the first word of a suspended one refers to.
#[inline]
fn expression<'h>(first: usize) -> &'h Expr<'h> {
    // SAFETY: `encode` was given a reference to an expression with this address, and expressions stay.
    unsafe { &*std::ptr::with_exposed_provenance(first & !OLD) }
}

#[inline]
fn decode<'h>((first, second): Words) -> State<'h> {
    if first < EMPTY {
        return State::Done(value((first, second)));
    }
    let function = || {
        let address = first & ADDRESS & !KIND;
        // SAFETY: `encode` was given a reference to a value with this address, and the collector keeps it.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    };
    match (first < SMALL, first & KIND) {
        (true, _) if first == FAILED => {
            State::Failed(u32::try_from(second.addr()).unwrap_or(u32::MAX))
        }
        (true, _) if first == EMPTY => State::Application(&[]),
        (true, _) => State::Blackhole,
        (false, SUSPENDED) => {
            // SAFETY: `encode` was given a scope with this address.
            State::Suspended(expression(first), unsafe { Env::from_pointer(second) })
        }
        (false, APPLICATION) => {
            let start = std::ptr::with_exposed_provenance(first & ADDRESS & !KIND);
            // SAFETY: `encode` was given a slice with this start and length.
            State::Application(unsafe {
                std::slice::from_raw_parts(start, second.addr())
            })
        }
        (false, NUMBERED) => {
            State::Numbered(function(), second.addr().cast_signed() as i64)
        }
        // SAFETY: `encode` was given a reference to a slot with this address.
        (false, MAPPED) => State::Mapped(function(), unsafe { &*second.cast() }),
        (false, _) => {
            let high = second.addr() >> ADDRESS_BITS;
            let name = high << NAME_BITS | (first & !OLD) >> ADDRESS_BITS;
            let slot = second.map_addr(|word| word & ADDRESS).cast();
            let name = Symbol::from_number(u32::try_from(name).unwrap_or(u32::MAX));
            // SAFETY: as above.
            State::Named(function(), name, unsafe { &*slot })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Heap;

    #[test]
    fn every_state_comes_out_as_it_went_in() {
        let heap = Heap::new();
        let function = heap.alloc(Value::Int(7));
        let slot = &heap.slots_from(&[Value::Int(1), Value::Int(2)])[1];
        for number in [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x6BCD_1234, u32::MAX >> 1]
        {
            let name = Symbol::from_number(number);
            let State::Named(f, n, s) = Thunk::named(function, name, slot).state() else {
                panic!("it was named");
            };
            assert!(std::ptr::eq(f, function) && n == name && std::ptr::eq(s, slot));
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            let State::Numbered(_, found) = Thunk::numbered(function, number).state()
            else {
                panic!("it was numbered");
            };
            assert_eq!(found, number);
        }
        let State::Mapped(_, s) = Thunk::mapped(function, slot).state() else {
            panic!("it was mapped");
        };
        assert!(std::ptr::eq(s, slot));
        let empty = Thunk::application(&[]);
        assert!(matches!(empty.state(), State::Application([])));
        assert!(matches!(empty.enter(&heap), State::Application([])));
        assert!(matches!(empty.state(), State::Blackhole));
        empty.leave(State::Failed(9), &heap);
        assert!(matches!(empty.state(), State::Failed(9)));
        for value in [Value::Null, Value::Bool(true), Value::Float(0.5)] {
            empty.leave(State::Done(value), &heap);
            let State::Done(found) = empty.state() else { panic!("it is done") };
            assert_eq!(format!("{found:?}"), format!("{value:?}"));
        }
    }
}
