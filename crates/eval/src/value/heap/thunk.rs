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
//! What has survived a collection is *old*, and [`Thunk::grow_old`] notes that in a thunk which may still get a value:
//! the next collection may look at what is younger only, so such a thunk has to be remembered when it gets it.

use std::cell::Cell;

use super::slot::Repr;
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
const SMALL: usize = 32;
/// First words from this on are no tags of values.
const EMPTY: usize = 29;
const FAILED: usize = 30;
const BLACKHOLE: usize = 31;

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
    repr: Cell<Repr<'h>>,
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
        Self { repr: Cell::new(encode(state)) }
    }

    /// The present state.
    #[inline]
    pub fn state(&self) -> State<'h> {
        decode(self.repr.get())
    }

    /// Marks the thunk as being forced and returns what is to be done.
    #[inline]
    pub(crate) fn enter(&self) -> State<'h> {
        let repr = self.repr.get();
        let number = usize::from(is_old(repr));
        let second = std::ptr::without_provenance(number);
        self.repr.set(Repr { words: (BLACKHOLE, second) });
        decode(repr)
    }

    /// Stores the value, or puts back the suspension after an error.
    #[inline]
    pub(crate) fn leave(&self, state: State<'h>, heap: &Heap) {
        if is_old(self.repr.get()) {
            heap.remember(std::ptr::from_ref(self).addr());
            self.repr.set(encode(state));
            self.grow_old();
        } else {
            self.repr.set(encode(state));
        }
    }

    /// The thunk has survived a collection.
    #[inline]
    pub(super) fn grow_old(&self) {
        let mut repr = self.repr.get();
        // SAFETY: the first word is always one.
        let first = unsafe { repr.words.0 };
        if first >= SMALL {
            repr.words.0 = first | OLD;
        } else if first == EMPTY || first == BLACKHOLE {
            repr.words.1 = std::ptr::without_provenance(1);
        }
        // Values and failures stay what they are.
        self.repr.set(repr);
    }
}

/// Whether a thunk is old that may still get a value.
#[inline]
fn is_old(repr: Repr<'_>) -> bool {
    // SAFETY: the first word is always one.
    let first = unsafe { repr.words.0 };
    if first >= SMALL {
        return first & OLD != 0;
    }
    // SAFETY: there is no value, so two words were written.
    (first == EMPTY || first == BLACKHOLE) && unsafe { repr.words.1 }.addr() != 0
}

#[inline]
fn encode(state: State<'_>) -> Repr<'_> {
    let number = std::ptr::without_provenance::<()>;
    // The first word is an address that a reference to it is made of later.
    let tagged = |pointer: *const (), kind: usize| {
        debug_assert!(pointer.addr() & KIND == 0, "objects are aligned");
        pointer.expose_provenance() | kind
    };
    let words = match state {
        State::Done(value) => return Repr { value },
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
    };
    Repr { words }
}

#[inline]
fn decode(repr: Repr<'_>) -> State<'_> {
    // SAFETY: the first word is always one, and the second is read as what it was written as.
    let first = unsafe { repr.words.0 };
    if first < EMPTY {
        // SAFETY: the first word is the tag of a value, so that a value was written.
        return State::Done(unsafe { repr.value });
    }
    // SAFETY: no value was written, so two words were.
    let second = unsafe { repr.words.1 };
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
            // SAFETY: as for `function`, with an expression.
            let expr = unsafe { &*std::ptr::with_exposed_provenance(first & !OLD) };
            // SAFETY: `encode` was given a scope with this address.
            State::Suspended(expr, unsafe { Env::from_pointer(second) })
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
        assert!(matches!(empty.enter(), State::Application([])));
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
