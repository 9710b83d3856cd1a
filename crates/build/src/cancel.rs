//! Asking everything that runs to stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::lock;

type Action = Box<dyn Fn() + Send>;

/// A request to stop, shared by everybody who may make it or must obey it.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_cancelled: AtomicBool,
    next: AtomicU64,
    actions: Mutex<BTreeMap<u64, Action>>,
}

impl Cancel {
    /// A request that nobody has made yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request: boxes are killed, fetches end, nothing new is started. May be called from
    /// any thread, also repeatedly; not from a signal handler.
    pub fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::SeqCst);
        for action in self.actions().values() {
            action();
        }
    }

    /// Takes the request back, for what is begun from now on: a person at a prompt goes on.
    pub fn clear(&self) {
        self.shared.is_cancelled.store(false, Ordering::SeqCst);
    }

    /// Whether the request was made.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled.load(Ordering::SeqCst)
    }

    /// Calls `action` when the request is made, or at once if it was, until the result is dropped.
    /// The action must not use this object.
    #[must_use]
    pub fn on_cancel(&self, action: impl Fn() + Send + 'static) -> OnCancel {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut actions = self.actions();
        if self.is_cancelled() {
            action();
        }
        actions.insert(id, Box::new(action));
        drop(actions);
        OnCancel { cancel: self.clone(), id }
    }

    fn actions(&self) -> MutexGuard<'_, BTreeMap<u64, Action>> {
        lock(&self.shared.actions)
    }
}

/// An action registered with [`Cancel::on_cancel`].
pub struct OnCancel {
    cancel: Cancel,
    id: u64,
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        self.cancel.actions().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_called_while_they_are_registered() {
        let count = Arc::new(AtomicU64::new(0));
        let add = |n: u64| {
            let count = count.clone();
            move || {
                count.fetch_add(n, Ordering::SeqCst);
            }
        };
        let cancel = Cancel::new();
        let kept = cancel.on_cancel(add(1));
        drop(cancel.on_cancel(add(10)));
        assert!(!cancel.is_cancelled());
        cancel.clone().cancel();
        assert!(cancel.is_cancelled());
        let late = cancel.on_cancel(add(100));
        assert_eq!(count.load(Ordering::SeqCst), 101);
        drop((kept, late));
    }
}
