//! The step limit of the fuzz targets: present only where they are built, with `cfg(fuzzing)`.
//!
//! A program that grows without an end is no bug of the evaluator; the fuzzer must only not wait for it. So every
//! step and every piece of memory burns fuel, and where none is left, evaluation is left by unwinding, which
//! costs the evaluator no field, no branch and no error of its own.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// What is thrown where no fuel is left.
struct Exhausted;

/// Runs `work` with so much fuel; none if that did not suffice.
pub fn with_fuel<T>(fuel: u64, work: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(fuel);
    let result = catch_unwind(AssertUnwindSafe(work));
    LEFT.set(u64::MAX);
    match result {
        Ok(value) => Some(value),
        Err(thrown) if thrown.is::<Exhausted>() => None,
        Err(thrown) => resume_unwind(thrown),
    }
}

/// Burns fuel.
pub(crate) fn burn(amount: u64) {
    let left = LEFT.get();
    if left < amount {
        // The destructors that run now may evaluate nothing, but they may free.
        LEFT.set(u64::MAX);
        resume_unwind(Box::new(Exhausted));
    }
    if left != u64::MAX {
        LEFT.set(left - amount);
    }
}
