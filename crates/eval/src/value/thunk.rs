//! Suspended expressions.
//!
//! A thunk is forced at most once: its state goes from suspended over [`State::Blackhole`] to
//! [`State::Done`]. Meeting a blackhole is infinite recursion. When forcing fails, the suspension is put back,
//! so that the same error comes again when the thunk is forced again.

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
