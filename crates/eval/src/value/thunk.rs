//! Suspended expressions.
//!
//! A thunk is forced at most once: its state goes from suspended over [`State::Blackhole`] to
//! [`State::Done`]. Meeting a blackhole is infinite recursion. When forcing fails with an error that `tryEval` catches,
//! the thunk keeps it ([`State::Failed`]) and fails alike when it is forced again, as in Nix; after any other error the
//! suspension is put back.

use std::cell::Cell;

use super::{Env, Slot, Value};
use crate::expr::Expr;
use crate::symbol::Symbol;

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

/// A suspended expression, or its value.
pub struct Thunk<'h> {
    state: Cell<State<'h>>,
}

const _: () = assert!(size_of::<Thunk<'_>>() == 24);

impl<'h> Thunk<'h> {
    /// Suspends an expression.
    #[inline]
    #[must_use]
    pub fn suspended(expr: &'h Expr<'h>, env: Env<'h>) -> Self {
        Self { state: Cell::new(State::Suspended(expr, env)) }
    }

    /// Suspends the application of `application[0]` to the rest.
    #[inline]
    #[must_use]
    pub fn application(application: &'h [Value<'h>]) -> Self {
        Self { state: Cell::new(State::Application(application)) }
    }

    /// Suspends the application of a function to a number.
    #[inline]
    #[must_use]
    pub fn numbered(function: &'h Value<'h>, number: i64) -> Self {
        Self { state: Cell::new(State::Numbered(function, number)) }
    }

    /// Suspends the application of a function to what a slot holds.
    #[inline]
    #[must_use]
    pub fn mapped(function: &'h Value<'h>, slot: &'h Slot<'h>) -> Self {
        Self { state: Cell::new(State::Mapped(function, slot)) }
    }

    /// Suspends the application of a function to a name and what a slot holds.
    #[inline]
    #[must_use]
    pub fn named(function: &'h Value<'h>, name: Symbol, slot: &'h Slot<'h>) -> Self {
        Self { state: Cell::new(State::Named(function, name, slot)) }
    }

    /// The present state.
    #[inline]
    pub fn state(&self) -> State<'h> {
        self.state.get()
    }

    /// Marks the thunk as being forced and returns what is to be done.
    #[inline]
    pub(crate) fn enter(&self) -> State<'h> {
        self.state.replace(State::Blackhole)
    }

    /// Stores the value, or puts back the suspension after an error.
    #[inline]
    pub(crate) fn leave(&self, state: State<'h>) {
        self.state.set(state);
    }
}
