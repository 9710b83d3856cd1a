//! Several threads that share one memory.
//!
//! The first thread's [`Heap`] has one for every other thread, which gets it with a [`Seat`] and gives it back by dropping
//! that. A collection needs all threads: whoever finds that one is due says so to all, every thread comes where evaluation
//! asks anyhow, hands in what it refers to, and waits; the last to come begins, and all of them mark. So every thread looks at its own stack
//! and its own tables, and nobody at another's.
//!
//! A thread that meets a thunk which another one is forcing waits for it ([`Heap::wait_for`]). Who waits for whom is
//! written down, so that threads which wait for each other are found.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chunk::Markers;
use super::collect::{Found, Roots, Work};
use super::lock::Lock;
use super::space::Space;
use super::{Advice, Heap, Thunk, stack};

/// The most threads beside the first.
pub(crate) const MAX_OTHERS: usize = 63;
/// How often who waits looks again at once, how often after letting others run, and how long it sleeps after that.
const SPINS: usize = 200;
const YIELDS: usize = 50;
const SLEEP: Duration = Duration::from_micros(50);

/// What the heaps of all threads have in common.
pub(super) struct Common {
    pub(super) space: Lock<Space>,
    gate: Mutex<Gate>,
    changed: Condvar,
    /// By number: the thread that a thread waits for, and one; zero if it waits for none.
    waits_for: [AtomicUsize; MAX_OTHERS + 1],
}

/// Where threads meet to collect.
#[derive(Default)]
struct Gate {
    /// The threads that there are: where each can be told that a collection is due.
    threads: Vec<Bell>,
    /// How many of them have come.
    stopped: usize,
    is_wanted: bool,
    /// How many collections there were.
    turn: usize,
    found: Found,
    /// What all that have come are marking, and how many of them are.
    work: Option<Arc<Work>>,
    marking: usize,
}

/// The address of a heap's `due`.
#[derive(PartialEq, Eq)]
struct Bell(NonNull<AtomicBool>);

// SAFETY: it refers to an atomic, which stays where it is as long as the heap is borrowed, as [`Heap::seats`] does.
unsafe impl Send for Bell {}

impl Bell {
    fn of(heap: &Heap) -> Self {
        Self(NonNull::from(&heap.due))
    }

    fn ring(&self) {
        // SAFETY: heaps of threads that are in the gate are borrowed: see above.
        unsafe { self.0.as_ref() }.store(true, Ordering::Relaxed);
    }
}

impl Common {
    pub(super) fn new(advice: Option<Advice>) -> Self {
        Self {
            space: Lock::new(Space::new(advice)),
            gate: Mutex::default(),
            changed: Condvar::new(),
            waits_for: [const { AtomicUsize::new(0) }; MAX_OTHERS + 1],
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, gate: MutexGuard<'g, Gate>) -> MutexGuard<'g, Gate> {
        self.changed.wait(gate).unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects, with the help of all that have come.
    fn collect<'g>(&'g self, mut gate: MutexGuard<'g, Gate>) -> MutexGuard<'g, Gate> {
        let mut space = self.space.hold(true);
        let is_anew = space.begins_anew();
        let work = std::mem::take(&mut gate.found).begin(&mut space, is_anew);
        drop(space);
        let work = Arc::new(work);
        gate.work = Some(Arc::clone(&work));
        self.changed.notify_all();
        gate = self.mark(&work, gate);
        while gate.marking > 0 {
            gate = self.wait(gate);
        }
        self.space.hold(true).sweep(is_anew);
        gate.work = None;
        gate.turn += 1;
        gate.stopped = 0;
        gate.is_wanted = false;
        self.changed.notify_all();
        gate
    }

    /// Takes part in marking.
    fn mark<'g>(
        &'g self,
        work: &Work,
        mut gate: MutexGuard<'g, Gate>,
    ) -> MutexGuard<'g, Gate> {
        gate.marking += 1;
        drop(gate);
        // SAFETY: from when `work` is in the gate until nobody marks any more, no thread changes anything but marks, which are
        // atomic: all threads have come, and those that do not mark wait.
        let space = unsafe { self.space.peek() };
        work.mark(space, Markers::Several);
        let mut gate = self.gate();
        gate.marking -= 1;
        self.changed.notify_all();
        gate
    }
}

/// The right of one more thread to use the memory. Dropping it gives the right back.
pub(crate) struct Seat<'h>(&'h Heap);

// SAFETY: `Heap::seats` makes one for each heap, and none again before all were dropped. So the heap is used by
// the thread that has the seat only; what it shares with others is behind locks or atomic.
unsafe impl Send for Seat<'_> {}

impl<'h> Seat<'h> {
    /// The heap of the thread.
    pub(crate) fn heap(&self) -> &'h Heap {
        self.0
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let heap = self.0;
        heap.leave_regions();
        let mut gate = heap.common.gate();
        gate.found.remembered.append(&mut heap.remembered.borrow_mut());
        gate.threads.retain(|bell| *bell != Bell::of(heap));
        // Those who wait for all have perhaps waited for this one only.
        heap.common.changed.notify_all();
    }
}

impl Heap {
    /// Lets so many other threads use the memory; none where the collector could not work with them. [`Self::dismiss`]
    /// ends it.
    pub(crate) fn seats<'h>(&'h self, count: usize) -> Vec<Seat<'h>> {
        let is_possible =
            !self.has_company() && self.stack.is_known() && self.thread == 0;
        if !is_possible || !stack::IS_SUPPORTED {
            return Vec::new();
        }
        let make = |number| Self::of_thread(number, Arc::clone(&self.common));
        let others = self.others.get_or_init(|| (1..=MAX_OTHERS).map(make).collect());
        let mut gate = self.common.gate();
        gate.threads.push(Bell::of(self));
        let seats = others.iter().take(count).map(|heap| {
            heap.has_collected.set(self.has_collected.get());
            heap.set_due(self.is_due());
            gate.threads.push(Bell::of(heap));
            Seat(heap)
        });
        let seats = seats.collect();
        self.has_company.set(true);
        seats
    }

    /// Waits until all other threads have left. Collections that they ask for in the meantime are made.
    pub(crate) fn dismiss(&self, roots: &Roots<'_>) {
        if !self.has_company() {
            return;
        }
        loop {
            let mut gate = self.common.gate();
            if gate.threads.len() == 1 {
                gate.threads.clear();
                gate.is_wanted = false;
                self.remembered.borrow_mut().append(&mut gate.found.remembered);
                break;
            }
            if gate.is_wanted {
                drop(gate);
                self.collect_together(roots);
            } else {
                let wait = self.common.changed.wait_timeout(gate, SLEEP);
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            }
        }
        self.has_company.set(false);
    }

    /// Collects with all other threads.
    pub(super) fn collect_together(&self, roots: &Roots<'_>) {
        if self.local.borrow().is_immortal() {
            return;
        }
        let common = &*self.common;
        let mut gate = common.gate();
        if !gate.is_wanted {
            {
                let mut space = self.space();
                if !space.is_over_budget() {
                    // Somebody was faster.
                    self.set_due(false);
                    return;
                }
                if !space.is_turn() {
                    return;
                }
            }
            gate.is_wanted = true;
            gate.threads.iter().for_each(Bell::ring);
        }
        self.contribute(roots, &mut gate.found);
        gate.stopped += 1;
        let turn = gate.turn;
        let mut has_marked = false;
        while gate.turn == turn {
            if let Some(work) = gate.work.clone().filter(|_| !has_marked) {
                has_marked = true;
                gate = common.mark(&work, gate);
            } else if gate.stopped == gate.threads.len() && gate.work.is_none() {
                gate = common.collect(gate);
            } else {
                gate = common.wait(gate);
            }
        }
        // The next collection may be wanted already.
        self.begin_anew(gate.is_wanted || self.space().is_over_budget());
    }

    // ---- waiting for each other -----------------------------------------------------------------

    /// Waits a little for a thunk that another thread is forcing; `rounds` counts how often this was called for it.
    pub(crate) fn wait_for(&self, thunk: &Thunk<'_>, owner: usize, rounds: usize) {
        self.common.waits_for[self.thread].store(owner + 1, Ordering::SeqCst);
        if rounds < SPINS {
            std::hint::spin_loop();
        } else if rounds < SPINS + YIELDS {
            std::thread::yield_now();
        } else if thunk.is_blackhole() {
            std::thread::sleep(SLEEP);
        }
    }

    /// The thread waits no longer.
    pub(crate) fn go_on(&self) {
        self.common.waits_for[self.thread].store(0, Ordering::SeqCst);
    }

    /// Whether the thread that this one waits for waits, perhaps over others, for this one.
    pub(crate) fn waits_for_itself(&self) -> bool {
        let waits_for = |thread: usize| {
            let entry = self.common.waits_for.get(thread)?;
            entry.load(Ordering::SeqCst).checked_sub(1)
        };
        let mut thread = self.thread;
        for _ in 0..=MAX_OTHERS {
            match waits_for(thread) {
                Some(next) if next == self.thread => return true,
                Some(next) => thread = next,
                None => return false,
            }
        }
        false
    }
}
