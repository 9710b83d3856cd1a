//! What one thread at a time may use, at no cost where there is one thread only.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a thread looks again before it lets others run.
const SPINS: usize = 64;

/// Something that is held for moments only.
pub(super) struct Lock<T> {
    is_held: AtomicBool,
    inner: UnsafeCell<T>,
}

// SAFETY: whoever has a guard is the only one. What is inside belongs to no thread.
unsafe impl<T> Sync for Lock<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Lock<T> {}

impl<T> Lock<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { is_held: AtomicBool::new(false), inner: UnsafeCell::new(inner) }
    }

    /// Waits until nobody holds it. `has_company` says whether there are other threads that may.
    ///
    /// # Panics
    /// There is no other thread, and it is held.
    #[inline]
    pub(super) fn hold(&self, has_company: bool) -> Guard<'_, T> {
        if has_company {
            self.wait();
        } else {
            assert!(!self.is_held.load(Ordering::Relaxed), "it is held already");
            self.is_held.store(true, Ordering::Relaxed);
        }
        Guard(self)
    }

    /// What is inside, for several threads.
    ///
    /// # Safety
    /// Nobody changes it in the meantime, but for what is atomic in it.
    pub(super) unsafe fn peek(&self) -> &T {
        // SAFETY: see above.
        unsafe { &*self.inner.get() }
    }

    #[inline(never)]
    fn wait(&self) {
        let mut spins = 0;
        while self.is_held.swap(true, Ordering::Acquire) {
            while self.is_held.load(Ordering::Relaxed) {
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }
}

/// The right to use what a lock holds.
pub(super) struct Guard<'l, T>(&'l Lock<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time.
        unsafe { &*self.0.inner.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.inner.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}
