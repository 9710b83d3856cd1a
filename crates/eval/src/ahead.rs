//! Evaluating ahead: other threads force what will be needed later.
//!
//! Decision: the thread whose evaluation it is does everything that one thread would do, in the same order, and it
//! alone shows, writes and reports anything. Others (*helpers*) only force thunks that it will force later: when it comes
//! there, it finds values. So nothing is handed over, and the order of everything that can be seen is the one of one
//! thread. That holds as long as a helper does nothing that can be seen. Where it would (a message, a build, a
//! download), its world requests its [`Interrupt`]: the place is given up, and every thunk on the way is
//! what it was before.
//!
//! Where both need a thunk, one forces it and the other waits. A helper that would wait for itself gives up its place; so
//! only the first thread finds that a recursion has no end.
//!
//! What an error says may depend on what was forced before it (a thunk is shown as such), and on how deep the stack was.
//! So whoever uses helpers has to evaluate again, without any, what has failed: [`Evaluator::was_helped`].
//!
//! Helpers take places from the last one on: what the first thread needs next it has to evaluate anyhow, and it meets
//! helpers late.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::builtins::{Caches, DerivationCache, DerivationTable};
use crate::err;
use crate::error::{Error, Result};
use crate::evaluator::{BaseScope, Empty, Evaluator, Map, StorePathTable, Tables};
use crate::interrupt::Interrupt;
use crate::shared::{Common, Shared};
use crate::source::{Source, Sources};
use crate::symbol::{Name, Symbol, Symbols};
use crate::value::{Claim, Held, List, Seat, Thunk, Value};
use crate::world::{Settings, World};
use picnix_store_core::StorePath;

/// What a helper makes of a place.
pub enum Handled<'h> {
    /// All of it is forced.
    Done,
    /// Its members are places; they go to the heap at once (no evaluation).
    Members(Vec<Value<'h>>),
}

/// What helpers and who is helped have in common.
pub struct Ahead<'h> {
    recruits: Mutex<Vec<Recruit<'h>>>,
    changed: Condvar,
    places: Mutex<Vec<Places<'h>>>,
    is_over: AtomicBool,
    is_broken: AtomicBool,
    /// How many threads wait for work.
    hands: AtomicUsize,
    /// For each helper: how it is told to give up what it is doing.
    stops: Vec<Interrupt>,
}

/// Members of a set or list, of which the last are taken first.
struct Places<'h> {
    members: &'h List<'h>,
    /// How many were not taken.
    left: usize,
    /// How many of the first are no work for helpers.
    floor: Arc<AtomicUsize>,
}

/// What a thread needs to become a helper.
struct Recruit<'h> {
    seat: Seat<'h>,
    names: Common<Vec<Name<'h>>>,
    sources: Common<Vec<&'h Source<'h>>>,
    store_paths: Common<Vec<StorePath>>,
    /// Roots of who is helped (no evaluation), as are the variables and `builtins`.
    imports: Common<Map<&'h [u8], Value<'h>>>,
    derivations: Common<DerivationTable>,
    /// See above (no evaluation).
    variables: Map<Symbol, Value<'h>>,
    builtins: Value<'h>,
    empty: Empty<'h>,
    settings: Settings,
}

/// How a thread is helped.
#[derive(Default)]
pub(crate) struct Help<'h> {
    expected: RefCell<Option<Expected<'h>>>,
    was_given: Cell<bool>,
    /// Whether a helper has left thunks that nobody will ever force.
    was_broken: Cell<bool>,
    is_ambiguous: Cell<bool>,
    /// How many calls of `tryEval` are on the stack: what is gone through there may not be needed to the end.
    attempts: Cell<usize>,
}

/// Help that comes when there has been work enough.
struct Expected<'h> {
    ahead: Arc<Ahead<'h>>,
    /// The sets and lists that are being gone through, from the outermost on.
    open: Vec<Open<'h>>,
    /// It comes when the heap has given out so many bytes.
    from_bytes: usize,
    has_begun: bool,
}

struct Open<'h> {
    members: &'h List<'h>,
    floor: Arc<AtomicUsize>,
}

impl<'h> Ahead<'h> {
    /// Makes room for a helper for each interrupt, which its world requests where it would have to do something that
    /// can be seen.
    #[must_use]
    pub fn new(stops: Vec<Interrupt>) -> Self {
        Self {
            recruits: Mutex::default(),
            changed: Condvar::new(),
            places: Mutex::default(),
            is_over: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            hands: AtomicUsize::new(0),
            stops,
        }
    }

    /// Says that there is a thread that will [`Self::serve`].
    pub fn hire(&self) {
        self.hands.fetch_add(1, Ordering::SeqCst);
    }

    /// The life of a helper: waits until there is work, and does it. `handle` forces a place.
    pub fn serve(
        &self,
        helper: usize,
        world: &'h dyn World,
        handle: &dyn Fn(&Evaluator<'h>, Value<'h>) -> Result<Handled<'h>>,
    ) {
        let Some(recruit) = self.wait_for_work() else { return };
        let stop = self.stops[helper].clone();
        stop.clear();
        let work =
            || recruit.work(world, stop.clone(), |ev| self.work(ev, &stop, handle));
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            // Its thunks will never be values.
            self.is_broken.store(true, Ordering::SeqCst);
        }
    }

    fn wait_for_work(&self) -> Option<Recruit<'h>> {
        let mut recruits = lock(&self.recruits);
        loop {
            if self.is_over.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(recruit) = recruits.pop() {
                return Some(recruit);
            }
            recruits =
                self.changed.wait(recruits).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(
        &self,
        ev: &Evaluator<'h>,
        stop: &Interrupt,
        handle: &dyn Fn(&Evaluator<'h>, Value<'h>) -> Result<Handled<'h>>,
    ) {
        while !self.is_over.load(Ordering::SeqCst)
            && let Some(place) = self.take()
        {
            if let Ok(Handled::Members(members)) = handle(ev, place)
                && !stop.is_requested()
            {
                let members = ev.heap.alloc(List { items: ev.heap.slots_from(&members) });
                self.add(members, Arc::default());
            }
            stop.clear();
        }
    }

    fn add(&self, members: &'h List<'h>, floor: Arc<AtomicUsize>) {
        lock(&self.places).push(Places { members, left: members.len(), floor });
    }

    fn take(&self) -> Option<Value<'h>> {
        let mut places = lock(&self.places);
        loop {
            let last = places.last_mut()?;
            if last.left > last.floor.load(Ordering::Relaxed) {
                last.left -= 1;
                return Some(last.members.items[last.left].get());
            }
            places.pop();
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.stops.iter().for_each(Interrupt::request);
        // Whoever is not at work yet need not begin.
        let recruits = std::mem::take(&mut *lock(&self.recruits));
        self.changed.notify_all();
        drop(recruits);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'h> Recruit<'h> {
    fn work(
        self,
        world: &'h dyn World,
        interrupt: Interrupt,
        work: impl FnOnce(&Evaluator<'h>),
    ) {
        // The last to go.
        let seat = self.seat;
        let heap = seat.heap();
        let caches = Caches {
            derivations: RefCell::new(DerivationCache::of(self.derivations)),
            ..Caches::default()
        };
        let tables = Tables {
            symbols: Symbols::of(self.names, heap),
            sources: Sources::of(self.sources, heap),
            store_paths: StorePathTable::of(self.store_paths),
            imports: Shared::of(self.imports),
            caches,
        };
        let settings = Settings { interrupt, show_trace: false, ..self.settings };
        let ev = Evaluator::with_tables(heap, world, settings, tables, self.empty);
        let base = BaseScope {
            variables: self.variables,
            builtins: self.builtins,
            names: std::cell::OnceCell::new(),
        };
        if ev.base.set(base).is_ok() {
            heap.collected(|| work(&ev));
        }
        drop(ev);
        drop(seat);
    }
}

impl Help<'_> {
    /// Hands the address of what is kept for helpers to `visit`.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(usize)) {
        let expected = self.expected.borrow();
        let Some(expected) = &*expected else { return };
        expected.open.iter().for_each(|open| open.members.visit(visit));
        lock(&expected.ahead.places)
            .iter()
            .for_each(|places| places.members.visit(visit));
    }
}

/// A set or list that is being gone through.
pub struct Visit<'e, 'h>(Option<&'e Evaluator<'h>>);

impl Visit<'_, '_> {
    /// A member is next.
    #[inline]
    pub fn at(&self, index: usize) {
        if let Some(ev) = self.0 {
            ev.arrive(index);
        }
    }
}

impl Drop for Visit<'_, '_> {
    fn drop(&mut self) {
        if let Some(ev) = self.0
            && let Some(expected) = &mut *ev.help.expected.borrow_mut()
            && let Some(open) = expected.open.pop()
        {
            // All of it was gone through.
            open.floor.store(usize::MAX, Ordering::Relaxed);
        }
    }
}

impl<'h> Evaluator<'h> {
    /// Lets helpers begin when the heap has given out so many more bytes.
    pub fn expect_help(&self, ahead: &Arc<Ahead<'h>>, after_bytes: usize) {
        *self.help.expected.borrow_mut() = Some(Expected {
            ahead: Arc::clone(ahead),
            open: Vec::new(),
            from_bytes: self.heap.given_bytes().saturating_add(after_bytes),
            has_begun: false,
        });
    }

    /// Ends all help, and waits until it has ended.
    pub fn end_help(&self) {
        let ahead = match &*self.help.expected.borrow() {
            Some(expected) => Arc::clone(&expected.ahead),
            None => return,
        };
        ahead.end();
        self.heap.dismiss(&|visit| self.roots(visit));
        let is_broken = self.is_help_broken();
        self.help.was_broken.set(is_broken);
        *self.help.expected.borrow_mut() = None;
    }

    /// Whether helpers have forced anything for this evaluation.
    #[must_use]
    pub fn was_helped(&self) -> bool {
        self.help.was_given.get()
    }

    /// Says that some values will be needed one after the other: the members of a set or list.
    #[inline]
    pub fn visiting<I>(&self, members: impl FnOnce() -> I) -> Visit<'_, 'h>
    where
        I: ExactSizeIterator<Item = Value<'h>>,
    {
        let mut expected = self.help.expected.borrow_mut();
        let is_sure = self.help.attempts.get() == 0;
        let wants_places = |expected: &&mut Expected<'h>| is_sure && !expected.has_begun;
        let Some(expected) = expected.as_mut().filter(wants_places) else {
            return Visit(None);
        };
        let members = self.heap.alloc(List { items: self.heap.slots(members()) });
        expected.open.push(Open { members, floor: Arc::default() });
        Visit(Some(self))
    }

    #[cold]
    fn arrive(&self, index: usize) {
        let mut expected = self.help.expected.borrow_mut();
        let Some(expected) = &mut *expected else { return };
        if let Some(open) = expected.open.last() {
            open.floor.store(index + 1, Ordering::Relaxed);
        }
        if !expected.has_begun && self.heap.given_bytes() >= expected.from_bytes {
            expected.has_begun = true;
            self.begin_help(expected);
        }
    }

    /// Hands out what helpers need.
    fn begin_help(&self, expected: &Expected<'h>) {
        let base = self.base_scope();
        let ahead = &expected.ahead;
        let hands = ahead.hands.load(Ordering::SeqCst);
        if hands == 0 {
            return;
        }
        // The places of the outermost set or list come last, and are taken first.
        for open in expected.open.iter().rev() {
            ahead.add(open.members, Arc::clone(&open.floor));
        }
        let seats = self.heap.seats(hands);
        let recruits = seats.into_iter().map(|seat| Recruit {
            seat,
            names: self.symbols.share(),
            sources: self.sources.share(),
            store_paths: self.store_paths.borrow().share(),
            imports: self.common_imports.share(|| self.imports.borrow().clone()),
            derivations: self.caches.derivations.borrow().share(),
            variables: base.variables.clone(),
            builtins: base.builtins,
            empty: self.empty,
            settings: self.settings.clone(),
        });
        let recruits: Vec<_> = recruits.collect();
        self.help.was_given.set(self.was_helped() || !recruits.is_empty());
        *lock(&ahead.recruits) = recruits;
        ahead.changed.notify_all();
    }

    /// Runs `work`, whose errors may be caught.
    pub(crate) fn attempt<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = self.help.attempts.get();
        self.help.attempts.set(before + 1);
        let result = work();
        self.help.attempts.set(before);
        result
    }

    /// Notes that a list is printed. Which of the lists that share their items are one and the same depends on what was
    /// forced when, so where there are several, whoever prints them has to do it without help.
    pub(crate) fn note_list(&self, list: &List<'h>, seen: &mut HashSet<usize>) {
        // Both are aligned, and no list has this address.
        if self.was_helped() && !seen.insert(list.items.as_ptr().addr() | 1) {
            self.help.is_ambiguous.set(true);
        }
    }

    /// Fails where a message is to show a value whose members helpers may have forced: what is not forced is shown as such.
    pub(crate) fn needs_no_help(&self, value: Value<'h>) -> Result<()> {
        let has_members = match value {
            Value::Attrs(attrs) => !attrs.is_empty(),
            Value::List(list) => !list.is_empty(),
            _ => false,
        };
        if has_members && self.was_helped() { Err(given_up()) } else { Ok(()) }
    }

    /// Whether something was printed that without help may have been printed otherwise.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.help.is_ambiguous.get()
    }

    // ---- among threads --------------------------------------------------------------------------

    /// Whether this helper is to give up what it is doing.
    #[inline]
    pub(crate) fn has_doubts(&self) -> bool {
        self.is_helper && self.settings.interrupt.is_requested()
    }

    /// Fails where this helper is to give up what it is doing.
    pub(crate) fn check_doubts(&self) -> Result<()> {
        if self.has_doubts() { Err(given_up()) } else { Ok(()) }
    }

    /// Claims a thunk that is being forced: waits for it if another thread does that.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim_later(&self, thunk: &Thunk<'h>) -> Result<Claim<'h>> {
        let mut rounds = 0;
        if !self.heap.has_company() && !self.help.was_broken.get() {
            return Ok(Claim::Taken(self.heap.thread()));
        }
        let claim = loop {
            match thunk.claim(self.heap) {
                Claim::Taken(owner) if owner != self.heap.thread() => {
                    self.heap.wait_for(thunk, owner, rounds);
                    rounds += 1;
                    self.collect_if_due();
                    let is_over = if self.is_helper {
                        self.has_doubts() || self.heap.waits_for_itself()
                    } else {
                        self.settings.interrupt.is_requested() || self.is_help_broken()
                    };
                    if is_over {
                        break Err(given_up());
                    }
                }
                claim => break Ok(claim),
            }
        };
        self.heap.go_on();
        claim
    }

    fn is_help_broken(&self) -> bool {
        let expected = self.help.expected.borrow();
        let ahead = expected.as_ref().map(|expected| &expected.ahead);
        self.help.was_broken.get()
            || ahead.is_some_and(|ahead| ahead.is_broken.load(Ordering::SeqCst))
    }
}

/// The error of what a helper has given up.
#[cold]
pub(crate) fn given_up() -> Error {
    err!(Interrupted, "interrupted by the user")
}
