//! The collector: marks what is reachable, and frees lines in which nothing is.
//!
//! Roots are the words of the stack, as far as they are addresses in the heap (in the middle of an object, too),
//! what [`super::rooted`] has registered, and the tables of the evaluator, which it hands in. From there on
//! everything is exact: the map of a chunk tells what an address is. An object is marked by its address alone,
//! so that a word that only looks like a reference keeps something alive and does no other harm.
//!
//! What a collection has marked stays marked, and is *old*. Most collections look at what is young only: from the
//! roots, and from those old objects that were changed since, which are *remembered*. Only two kinds of objects
//! change after they were made: thunks get their values ([`Thunk::leave`]), and sets are flattened. A slot is overwritten
//! with the value of its thunk, which is as old as the slot, so that it needs nothing of its own. When much is old, a
//! collection takes all marks off and begins anew.
//!
//! Slots that hold a forced thunk are made to hold its value on the way, so that the thunk can go.
//!
//! Why it is sound to look at the stack only: see `docs/evaluator.md`, "Collection".

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chunk::{Kind, Markers};
use super::space::Space;
use super::{Env, Heap, Slot, State, Thunk, stack, thunk};
use crate::value::{Attrs, Value, attrs};

/// Hands addresses to its argument.
pub(super) type Roots<'r> = dyn Fn(&mut dyn FnMut(usize)) + 'r;

impl Heap {
    /// Whether it is time to collect. Evaluation asks at every thunk that it forces and at every call.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// Runs `work`, during which the heap may be collected: what `work` and all that it calls hold is found on
    /// the stack. Nothing outside of it may hold values that `roots` of [`Self::collect`] does not know.
    pub fn collected<T>(&self, work: impl FnOnce() -> T) -> T {
        self.stack.begin(work)
    }

    /// Runs `work`, which goes on in another piece of stack and says so there with [`Self::on_stack`].
    pub(crate) fn leaving_stack<T>(&self, work: impl FnOnce() -> T) -> T {
        self.stack.leave(work)
    }

    /// Runs `work` in a new piece of stack.
    pub(crate) fn on_stack<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.stack.is_known() { self.stack.begin(work) } else { work() }
    }

    /// Has the heap collected every `count` times that evaluation asks, which it does at every call and every
    /// thunk; less often if much lives. For tests.
    pub fn collect_every(&self, count: usize) {
        self.space().collect_every(count.max(1));
        self.set_due(true);
    }

    /// How many times the heap was collected.
    #[must_use]
    pub fn collections(&self) -> usize {
        self.space().collections
    }

    /// Notes that an object was changed that may be old.
    #[cold]
    #[inline(never)]
    pub(crate) fn remember(&self, addr: usize) {
        // Nothing is old before.
        if self.has_collected.get() {
            self.remembered.borrow_mut().push(addr);
        }
    }

    /// Frees what is neither reachable from the stack, nor registered, nor from the addresses that `roots` hands
    /// to its argument. Where there are other threads this waits until all have come here, each with its own.
    ///
    /// No object may be half made: evaluation asks only where nothing is being built.
    #[cold]
    #[inline(never)]
    pub(crate) fn collect(&self, roots: &Roots<'_>) {
        if self.has_company() {
            self.collect_together(roots);
            return;
        }
        if !stack::IS_SUPPORTED
            || !self.stack.is_known()
            || self.local.borrow().is_immortal()
        {
            self.set_due(false);
            return;
        }
        if !self.space().is_turn() {
            return;
        }
        let mut found = Found::default();
        self.contribute(roots, &mut found);
        let mut space = self.space();
        found.collect(&mut space);
        self.begin_anew(space.is_over_budget());
    }

    /// Adds what this thread refers to, and leaves its regions.
    pub(super) fn contribute(&self, roots: &Roots<'_>, found: &mut Found) {
        attrs::open::assert_none();
        found.remembered.append(&mut self.remembered.borrow_mut());
        roots(&mut |addr| found.addresses.push(addr));
        self.roots.addresses(&mut |addr| found.addresses.push(addr));
        if self.stack.is_known() {
            self.stack.words(&mut |word| found.words.push(word));
        }
        self.leave_regions();
    }

    /// Leaves the present regions.
    pub(super) fn leave_regions(&self) {
        let (at, log) = (self.at.get(), self.log.get());
        self.space().retire_all(&mut self.local.borrow_mut(), at, log);
        self.at.set(std::ptr::null_mut());
        self.log.set(std::ptr::null_mut());
        self.kept.set(std::ptr::null_mut());
        self.serial.set(self.serial.get() + 1);
    }

    /// The heap was collected.
    pub(super) fn begin_anew(&self, is_due: bool) {
        self.has_collected.set(true);
        self.set_due(is_due);
    }
}

/// Where a collection begins: what the threads refer to.
#[derive(Default)]
pub(super) struct Found {
    /// Objects that are old and were changed.
    pub(super) remembered: Vec<usize>,
    addresses: Vec<usize>,
    /// What lies on the stacks.
    words: Vec<usize>,
}

impl Found {
    /// Marks what is reachable, and frees the rest. All threads have left their regions.
    pub(super) fn collect(self, space: &mut Space) {
        let is_anew = space.begins_anew();
        let work = self.begin(space, is_anew);
        work.mark(space, Markers::One);
        space.sweep(is_anew);
    }

    /// Prepares marking.
    pub(super) fn begin(mut self, space: &mut Space, is_anew: bool) -> Work {
        space.enter_used();
        for word in self.words {
            self.addresses.push(word);
            // The compiler may keep the packed words of a thunk, and unpack them later.
            if word > thunk::ADDRESS {
                self.addresses.push(word & thunk::ADDRESS);
            }
            // A loop may keep nothing but the address behind the last item.
            self.addresses.push(word.wrapping_sub(1));
        }
        let mut shared = Vec::new();
        if !is_anew {
            // By one thread: the same object may be met more than once.
            let mut marker = Marker { space, markers: Markers::One, pending: Vec::new() };
            self.remembered.iter().for_each(|addr| marker.look_again(*addr));
            shared.push(marker.pending.iter().map(Pending::place).collect());
        }
        Work {
            roots: self.addresses,
            next: AtomicUsize::new(0),
            shared: Mutex::new(shared),
            busy: AtomicUsize::new(0),
            hungry: AtomicUsize::new(0),
        }
    }
}
/// How many objects are on their way from memory at a time.
const AHEAD: usize = 16;
/// How many roots a thread takes at a time.
const ROOTS_AT_A_TIME: usize = 256;
/// Who has less to do gives nothing of it to others.
const MIN_SHARED: usize = 64;

/// A reference to something that may not be marked yet.
#[derive(Clone, Copy)]
struct Pending<'a> {
    /// The number of a chunk.
    number: u32,
    /// A word of it.
    word: u32,
    /// The slot that says that there is a thunk; the thunk's value is to take its place there.
    slot: Option<&'a Slot<'a>>,
}

impl Pending<'_> {
    const NONE: Self = Self { number: u32::MAX, word: 0, slot: None };

    /// The same without the slot, which is looked at when it is met again.
    fn place(&self) -> Place {
        (self.number, self.word)
    }
}

/// A chunk and a word of it.
type Place = (u32, u32);

/// What is to be marked, for one thread or several.
pub(super) struct Work {
    /// Addresses, of which some are those of objects.
    roots: Vec<usize>,
    /// The first root that nobody has taken.
    next: AtomicUsize,
    /// What threads have left to others.
    shared: Mutex<Vec<Vec<Place>>>,
    /// How many threads have something to do; changed under the lock of `shared`.
    busy: AtomicUsize,
    /// How many threads look for something to do.
    hungry: AtomicUsize,
}

impl Work {
    fn shared(&self) -> MutexGuard<'_, Vec<Vec<Place>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks, with all threads that do the same, what is reachable. When the first thread returns, all is marked that
    /// no other thread is still busy with; when all have returned, everything is.
    pub(super) fn mark(&self, space: &Space, markers: Markers) {
        let mut marker = Marker { space, markers, pending: Vec::new() };
        self.busy.fetch_add(1, Ordering::SeqCst);
        loop {
            marker.trace(self);
            let start = self.next.fetch_add(ROOTS_AT_A_TIME, Ordering::Relaxed);
            if start < self.roots.len() {
                let end = self.roots.len().min(start + ROOTS_AT_A_TIME);
                self.roots[start..end].iter().for_each(|addr| marker.visit(*addr));
            } else if !self.take(&mut marker) {
                return;
            }
        }
    }

    /// Takes what another thread has left; none if no thread has anything to do any more.
    fn take(&self, marker: &mut Marker<'_>) -> bool {
        self.hungry.fetch_add(1, Ordering::Relaxed);
        let mut was_busy = true;
        let found = loop {
            let mut shared = self.shared();
            if let Some(places) = shared.pop() {
                if !was_busy {
                    self.busy.fetch_add(1, Ordering::SeqCst);
                }
                break Some(places);
            }
            if was_busy {
                self.busy.fetch_sub(1, Ordering::SeqCst);
                was_busy = false;
            }
            drop(shared);
            if self.busy.load(Ordering::SeqCst) == 0 {
                break None;
            }
            std::thread::yield_now();
        };
        self.hungry.fetch_sub(1, Ordering::Relaxed);
        let Some(places) = found else { return false };
        let pending = |(number, word)| Pending { number, word, slot: None };
        marker.pending.extend(places.into_iter().map(pending));
        true
    }
}

struct Marker<'s> {
    space: &'s Space,
    markers: Markers,
    pending: Vec<Pending<'s>>,
}

impl<'s> Marker<'s> {
    /// Notes that the object is needed that an address lies in, if it lies in one.
    #[inline]
    fn visit(&mut self, addr: usize) {
        self.visit_from(addr, None);
    }

    /// As [`Self::visit`], for what a slot refers to. Tells whether there is anything that can be marked.
    #[inline(always)]
    fn visit_from(&mut self, addr: usize, slot: Option<&'s Slot<'s>>) -> bool {
        let Some((number, word)) = self.space.find(addr) else { return false };
        // In a large object all words mean the same.
        let word = u32::try_from(word).unwrap_or(0);
        self.pending.push(Pending { number, word, slot });
        true
    }

    fn visit_value(&mut self, value: Value<'_>) {
        if let Some(addr) = value.address() {
            self.visit(addr);
        }
    }

    /// Marks everything that is reachable from what is pending.
    ///
    /// Most of the time would be spent on waiting for memory. So places are asked for when they are taken up,
    /// and looked at when [`AHEAD`] others have been.
    fn trace(&mut self, work: &Work) {
        let mut asked = [Pending::NONE; AHEAD];
        let mut turn = 0;
        let mut idle = 0;
        while idle < AHEAD {
            let next = self.pending.pop().unwrap_or(Pending::NONE);
            idle += 1;
            if let Some(Some(chunk)) = self.space.chunks.get(next.number as usize) {
                chunk.ask_for(next.word as usize);
                idle = 0;
            }
            let pending = std::mem::replace(&mut asked[turn % AHEAD], next);
            if pending.number != Pending::NONE.number {
                self.mark(pending);
                idle = 0;
            }
            turn += 1;
            if turn.is_multiple_of(AHEAD)
                && self.pending.len() >= MIN_SHARED
                && work.hungry.load(Ordering::Relaxed) > 0
            {
                self.leave_to_others(work);
            }
        }
    }

    /// Leaves what was noted first to other threads.
    #[cold]
    fn leave_to_others(&mut self, work: &Work) {
        let half = self.pending.len() / 2;
        let places = self.pending.drain(..half).map(|pending| pending.place()).collect();
        work.shared().push(places);
    }

    /// Marks an object, and notes what it refers to.
    fn mark(&mut self, Pending { number, word, slot }: Pending<'s>) {
        let Some(chunk) = &self.space.chunks[number as usize] else { return };
        let Some(first) = chunk.object_at(word as usize) else { return };
        let kind = chunk.kind(first);
        // In what lives there is a thunk where a slot says so; an object that only a stray word on the stack keeps may
        // refer to scratch that was taken back.
        if let Some(slot) = slot
            && kind == Some(Kind::Thunk)
            && first == word as usize
            && let Value::Thunk(thunk) = slot.get()
            && let Some(value) = thunk.value()
        {
            slot.settle(value);
            // A value that does not fit stays in its thunk.
            if !matches!(slot.get(), Value::Thunk(_)) {
                self.visit_value(value);
                return;
            }
        }
        if !chunk.mark(first, self.markers) {
            return;
        }
        if kind == Some(Kind::Thunk) {
            // SAFETY: the map says that a thunk was made here.
            unsafe { &*chunk.place(first).cast::<Thunk<'_>>() }.grow_old();
        }
        self.look_into(number, first);
    }

    /// Notes what an old object refers to that was changed.
    fn look_again(&mut self, addr: usize) {
        let Some((number, word)) = self.space.find(addr) else { return };
        let Some(chunk) = &self.space.chunks[number as usize] else { return };
        // What is not old is marked if anything needs it.
        if let Some(first) = chunk.object_at(word)
            && chunk.is_marked(first)
        {
            self.look_into(number, first);
        }
    }

    /// Notes what the object refers to that begins at a word of a chunk.
    #[inline]
    fn look_into(&mut self, number: u32, first: usize) {
        let Some(chunk) = &self.space.chunks[number as usize] else { return };
        let start = chunk.place(first);
        match chunk.kind(first).unwrap_or(Kind::Leaf) {
            Kind::Leaf => {}
            Kind::Slots => {
                let bytes = chunk.bytes_of(first);
                self.slots(start, bytes / size_of::<Slot<'_>>());
            }
            Kind::Env => {
                // SAFETY: the map says that a scope was made here; it was written at once.
                let env = unsafe { Env::from_object(start) };
                if let Some(parent) = env.parent() {
                    self.visit(parent.addr());
                }
                let slots = env.slots();
                self.slots(slots.as_ptr().cast_mut().cast(), slots.len());
            }
            // SAFETY: the map says that a thunk was made here.
            Kind::Thunk => self.thunk(unsafe { &*start.cast::<Thunk<'_>>() }),
            Kind::Attrs => {
                // SAFETY: the map says that a set was made here.
                let attrs = unsafe { &*start.cast::<Attrs<'_>>() };
                attrs.settle();
                attrs.references(&mut |addr| self.visit(addr));
            }
            Kind::Words => {
                for index in 0..chunk.bytes_of(first) / size_of::<usize>() {
                    let place = start.cast::<usize>().wrapping_add(index);
                    // SAFETY: the word lies in an object that was written as a whole; whether it is a number
                    // or a reference or padding is not known, hence the volatile access.
                    self.visit(unsafe { place.read_volatile() });
                }
            }
        }
    }

    fn slots(&mut self, start: *mut u8, count: usize) {
        for index in 0..count {
            // SAFETY: the map says that slots were made here; they were written before anything was evaluated, and
            // stay until the sweep.
            let slot = unsafe { &*start.cast::<Slot<'s>>().wrapping_add(index) };
            match slot.get() {
                // Looked at when it has come from memory.
                Value::Thunk(thunk) => {
                    let addr = std::ptr::from_ref(thunk).addr();
                    if !self.visit_from(addr, Some(slot))
                        && let Some(value) = thunk.value()
                    {
                        // An immortal one.
                        slot.settle(value);
                        self.visit_value(value);
                    }
                }
                value => self.visit_value(value),
            }
        }
    }

    fn thunk(&mut self, thunk: &Thunk<'_>) {
        match thunk.state() {
            State::Done(value) => self.visit_value(value),
            State::Suspended(_, env) => self.visit(env.addr()),
            State::Application(all) => self.visit(all.as_ptr().addr()),
            State::Numbered(function, _) => {
                self.visit(std::ptr::from_ref(function).addr())
            }
            State::Mapped(function, slot) | State::Named(function, _, slot) => {
                self.visit(std::ptr::from_ref(function).addr());
                self.visit(std::ptr::from_ref(slot).addr());
            }
            State::Failed(_) | State::Blackhole => {}
        }
    }
}
