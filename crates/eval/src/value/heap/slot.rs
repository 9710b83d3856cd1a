//! Slots: a value in one word.
//!
//! Objects are aligned to eight bytes, so the three low bits of a reference are free to say what it refers to.
//! What is no reference lies in the upper bits: `null`, Booleans, most integers, builtins. Floats, and integers
//! of more than [`INT_BITS`] bits, do not fit; in their place is a forced thunk, which means the same.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{Heap, State, Thunk};
use crate::builtins::Builtin;
use crate::value::Value;

/// The bits of a word that say what it is.
const TAG: usize = 7;
/// The tag of what is no reference; the others are those of [`Value`]s that are.
const IMMEDIATE: usize = 7;
/// Below what is no reference: the tag, and two bits for what it is.
const SHIFT: u32 = 5;
/// Integers of so many bits fit.
const INT_BITS: u32 = i64::BITS - SHIFT;
const NULL: usize = IMMEDIATE;
const BOOL: usize = IMMEDIATE | 1 << 3;
const INT: usize = IMMEDIATE | 2 << 3;
const BUILTIN: usize = IMMEDIATE | 3 << 3;

const _: () = assert!(usize::BITS == 64, "a slot is a word of 64 bits");

/// A place that holds a member of a list, set or environment.
///
/// It is filled once, and after that only ever overwritten with the forced form of the value that it holds. Any thread
/// may do that.
#[repr(transparent)]
pub struct Slot<'h>(AtomicPtr<()>, PhantomData<fn(Value<'h>) -> Value<'h>>);

const _: () = assert!(size_of::<Slot<'_>>() == 8);

/// The tag of a value and its payload, or the two words of a thunk.
pub(super) type Words = (usize, *const ());

/// A value, as its tag and its payload.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Repr<'h> {
    pub(super) value: Value<'h>,
    pub(super) words: Words,
}

/// The words of a value, all of whose bytes are something.
#[inline]
pub(super) fn words(value: Value<'_>) -> Words {
    let number = std::ptr::without_provenance::<()>;
    let tag = |value: Value<'_>| {
        // SAFETY: the tag of a value is a word.
        unsafe { Repr { value }.words.0 }
    };
    match value {
        Value::Null => (tag(value), number(0)),
        Value::Bool(bool) => (tag(value), number(usize::from(bool))),
        // SAFETY: the payload of all other values is a word, too.
        other => unsafe { Repr { value: other }.words },
    }
}

impl<'h> Slot<'h> {
    /// Makes a slot that holds `null`.
    #[inline]
    pub(super) fn null() -> Self {
        Self(AtomicPtr::new(std::ptr::without_provenance_mut(NULL)), PhantomData)
    }

    /// Makes a slot that holds `value`.
    #[inline]
    pub(super) fn new(value: Value<'h>, heap: &'h Heap) -> Self {
        Self(AtomicPtr::new(encode_on(value, heap).cast_mut()), PhantomData)
    }

    /// What the slot holds.
    #[inline]
    pub fn get(&self) -> Value<'h> {
        let word = self.0.load(Ordering::Acquire).cast_const();
        let bits = word.addr();
        let tag = bits & TAG;
        if tag != IMMEDIATE {
            let repr = Repr { words: (tag, word.map_addr(|bits| bits & !TAG)) };
            // SAFETY: `encode` has made the word from a value with this tag and this reference.
            return unsafe { repr.value };
        }
        match bits & ((1 << SHIFT) - 1) {
            NULL => Value::Null,
            BOOL => Value::Bool(bits >> SHIFT != 0),
            INT => Value::Int(bits.cast_signed() as i64 >> SHIFT),
            _ => {
                let builtin = word.map_addr(|bits| bits >> SHIFT).cast::<Builtin>();
                // SAFETY: `encode` has made the word from a static reference to a builtin.
                Value::Builtin(unsafe { &*builtin })
            }
        }
    }

    /// Fills the slot.
    #[inline]
    pub fn set(&self, value: Value<'h>, heap: &'h Heap) {
        self.0.store(encode_on(value, heap).cast_mut(), Ordering::Release);
    }

    /// Replaces a thunk by its value, if that fits.
    #[inline]
    pub fn settle(&self, value: Value<'h>) {
        if let Some(word) = encode(value) {
            self.0.store(word.cast_mut(), Ordering::Release);
        }
    }
}

/// A value as a word.
#[inline]
fn encode_on<'h>(value: Value<'h>, heap: &'h Heap) -> *const () {
    encode(value).unwrap_or_else(|| encode_large(value, heap))
}

#[cold]
fn encode_large<'h>(value: Value<'h>, heap: &'h Heap) -> *const () {
    let thunk = heap.thunk(Thunk::from_state(State::Done(value)));
    std::ptr::from_ref(thunk).cast()
}

/// A value as a word, if it fits.
#[inline]
fn encode(value: Value<'_>) -> Option<*const ()> {
    let immediate = |payload: usize, kind: usize| {
        Some(std::ptr::without_provenance(payload << SHIFT | kind))
    };
    match value {
        Value::Null => immediate(0, NULL),
        Value::Bool(bool) => immediate(usize::from(bool), BOOL),
        Value::Int(int) => {
            let word = usize::from_ne_bytes((int << SHIFT).to_ne_bytes());
            (int << SHIFT >> SHIFT == int)
                .then(|| std::ptr::without_provenance(word | INT))
        }
        Value::Float(_) => None,
        Value::Builtin(builtin) => {
            let word = std::ptr::from_ref(builtin).cast::<()>();
            debug_assert!(word.addr() >> INT_BITS == 0, "user space is below");
            Some(word.map_addr(|bits| bits << SHIFT | BUILTIN))
        }
        reference => {
            let repr = Repr { value: reference };
            // SAFETY: the tag is a word, and the payload of all other values is a reference.
            let (tag, word) = unsafe { repr.words };
            debug_assert!(
                tag < IMMEDIATE && word.addr() & TAG == 0,
                "objects are aligned"
            );
            Some(word.map_addr(|bits| bits | tag))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_out_as_it_went_in() {
        let heap = Heap::new();
        let ints = [0, 1, -1, 1 << 57, -(1 << 57), (1 << 58) - 1, -(1 << 58)];
        let large = [1 << 58, -(1 << 58) - 1, i64::MIN, i64::MAX];
        for int in ints.into_iter().chain(large) {
            let slot = Slot::new(Value::Int(int), &heap);
            assert!(
                matches!(slot.get().peek(), Value::Int(found) if found == int),
                "{int}"
            );
            assert_eq!(matches!(slot.get(), Value::Int(_)), ints.contains(&int), "{int}");
        }
        for float in [0.0, -1.5, f64::INFINITY] {
            let slot = Slot::new(Value::Float(float), &heap);
            assert!(matches!(slot.get().peek(), Value::Float(found) if found == float));
        }
        assert!(matches!(Slot::null().get(), Value::Null));
        for bool in [true, false] {
            let slot = Slot::new(Value::Bool(bool), &heap);
            assert!(matches!(slot.get(), Value::Bool(found) if found == bool));
        }
        for builtin in crate::builtins::all() {
            let slot = Slot::new(Value::Builtin(builtin), &heap);
            assert!(
                matches!(slot.get(), Value::Builtin(found) if found.name == builtin.name)
            );
        }
        let list = heap.alloc(crate::value::List { items: &[] });
        let slot = Slot::new(Value::List(list), &heap);
        assert!(matches!(slot.get(), Value::List(found) if std::ptr::eq(found, list)));
    }

    #[test]
    fn a_value_that_does_not_fit_leaves_the_thunk_that_has_it() {
        let heap = Heap::new();
        let thunk = heap.thunk(Thunk::from_state(State::Done(Value::Float(0.5))));
        let slot = Slot::new(Value::Thunk(thunk), &heap);
        slot.settle(Value::Float(0.5));
        assert!(matches!(slot.get(), Value::Thunk(found) if std::ptr::eq(found, thunk)));
        slot.settle(Value::Int(3));
        assert!(matches!(slot.get(), Value::Int(3)));
    }
}
