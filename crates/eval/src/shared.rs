//! Tables of an evaluation that has several threads.
//!
//! Decision: each thread has tables of its own and looks there first, without a lock. What is not there is looked for in
//! the table that is common to all, and copied. An evaluation of one thread has no common tables.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A table that threads have in common.
pub(crate) type Common<T> = Arc<Mutex<T>>;

/// Where a thread finds the common table, as soon as there is one.
pub(crate) struct Shared<T>(OnceCell<Common<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T> Shared<T> {
    /// The common table; made if there is none.
    pub(crate) fn share(&self, make: impl FnOnce() -> T) -> Common<T> {
        Arc::clone(self.0.get_or_init(|| Arc::new(Mutex::new(make()))))
    }

    /// A way to a common table that another thread has made.
    pub(crate) fn of(common: Common<T>) -> Self {
        Self(OnceCell::from(common))
    }

    /// The common table, for a moment; none in an evaluation of one thread.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        let common = self.0.get()?;
        Some(common.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
