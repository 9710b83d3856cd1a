//! Suspended expressions.
//!
//! A thunk is forced at most once: its state goes from suspended over [`State::Blackhole`] to
//! [`State::Done`]. Meeting a blackhole is infinite recursion. When forcing fails with an error that `tryEval` catches,
//! the thunk keeps it ([`State::Failed`]) and fails alike when it is forced again, as in Nix; after any other error the
//! suspension is put back.

use std::cell::Cell;

use super::{Env, Value};
use crate::expr::Expr;

/// What a thunk is.
#[derive(Clone, Copy)]
pub enum State<'h> {
    /// It has been forced: the value, in weak head normal form.
    Done(Value<'h>),
    /// An expression to be evaluated in a scope.
    Suspended(&'h Expr<'h>, &'h Env<'h>),
    /// A function to be applied to arguments: `application[0]` is the function.
    Application(&'h [Value<'h>]),
    /// It was forced in vain: the number of the error that `tryEval` caught, and that comes again.
    Failed(u32),
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
    pub fn suspended(expr: &'h Expr<'h>, env: &'h Env<'h>) -> Self {
        Self { state: Cell::new(State::Suspended(expr, env)) }
    }

    /// Suspends the application of `application[0]` to the rest.
    #[inline]
    #[must_use]
    pub fn application(application: &'h [Value<'h>]) -> Self {
        Self { state: Cell::new(State::Application(application)) }
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
