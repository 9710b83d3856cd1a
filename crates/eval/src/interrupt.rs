//! Asking an evaluation to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to stop, shared by the evaluation that obeys it and whoever makes it: a person at a prompt.
///
/// It is looked at whenever a function is called, and evaluation then fails with an error that nothing in the
/// language catches; no thunk remembers that error. What was being evaluated can be evaluated again.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Makes the request.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Takes the request back. What the caller looks at next it sees as it is after that.
    pub fn clear(&self) {
        self.0.swap(false, Ordering::SeqCst);
    }

    /// Whether the request was made.
    #[inline]
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
