//! Evaluation on more than one core: a value whose parts are all wanted is handled by several processes.
//!
//! Decision: helpers are copies of this process (`fork`), which share what was evaluated before they began. The
//! evaluator needs no atomics and no locks for that, and one core runs as fast as ever. The process itself does
//! what it would do alone, in the same order; helpers work on what comes later, from the last part on, so that it
//! arrives at their territories late. There it takes over what is done and waits for the rest, as the helper
//! has evaluated already what comes next needs; the later half of that rest goes to another helper, if it is much. So
//! there is nothing to guess beforehand about how much work is where.
//!
//! **Everything that can be seen is what one core would do**: output, messages and their order, errors, what is
//! written to the store. Why that holds:
//!
//! - Every process handles its places in ascending order and begins with a state that this process had further
//!   left. So what it has evaluated before a place is a part of what one core would have evaluated before it. If a
//!   place showed no message in a helper, it would show none on one core. If it did, this process handles the place
//!   once more, in its turn: it shows exactly the messages that no earlier place has shown.
//! - A helper writes nothing. What it would add to the store is noted, and done in the turn of the place. Where it
//!   would need to build, to fetch or to ask the store, it ends, and this process handles the place ([`notes`]).
//! - A helper that dies has not done what it has not reported.
//! - What pure and restricted evaluation may see is what it has made itself. A helper, and who is helped, know of a part of
//!   that: where they must not see something that another part may have made, the same two rules hold.
//! - If anything fails, and wherever something is met for which the above does not hold, everything is done once
//!   more on one core, without showing the messages that were shown: [`WorkError::Again`].
//!
//! [`territory`] counts places, [`wire`] is what processes say to each other, [`explore`] finds and handles places
//! in one process, [`helper`] is a helper's life and [`conduct`] the other side. What is done at places is a
//! [`explore::Work`]: [`plain`], [`json`], [`found`].

mod conduct;
mod explore;
mod found;
mod helper;
mod json;
mod notes;
mod plain;
mod territory;
mod wire;

use picnix_eval::Value;

pub(crate) use self::notes::{Notes, Source};
use crate::derivations::Found;
use crate::session::{Session, WorkError};

/// Memory that evaluation takes before it is worth while to look for help, in bytes: a measure of work that does not
/// depend on the machine or its load.
const WARM_UP_BYTES: usize = 24 << 20;
/// The least work that is given to a new helper, in bytes of memory that it will take.
const MIN_SHARE_BYTES: usize = 8 << 20;
/// Copying a process costs as much as work that takes this part of its memory.
const MEMORY_PER_WORK: usize = 16;
/// A helper that has taken this much memory ends, and a new one goes on from what this process has by then.
const MAX_GROWTH_BYTES: usize = 384 << 20;
/// Below this many members a set or list is handled as a whole, unless it stands near the top.
const MIN_MEMBERS: usize = 32;
/// Above this many members a set or list is handled as a whole: keeping its parts would take too much memory.
const MAX_MEMBERS: usize = 1 << 20;
/// How deep small sets and lists are entered.
const MAX_ENTERED_DEPTH: usize = 3;
/// How many of the last places tell how much work the next ones are.
const REMEMBERED_PLACES: usize = 16;
/// How often helpers may die before no new ones are made.
const MAX_DEATHS: usize = 3;
/// How many places helpers may leave to this process before it is asked whether help is of any use.
const PATIENCE: usize = 32;

/// How much work places are, in bytes that the heap gave out, judged by the last ones.
#[derive(Clone, Copy)]
struct Pace {
    given_bytes: usize,
    recent_bytes: usize,
}

impl Pace {
    fn new(given_bytes: usize) -> Self {
        Self { given_bytes, recent_bytes: 0 }
    }

    /// A place was handled.
    fn note(&mut self, given_bytes: usize) {
        let taken = given_bytes.saturating_sub(self.given_bytes);
        self.given_bytes = given_bytes;
        self.recent_bytes = self.recent_bytes - self.recent_bytes / REMEMBERED_PLACES
            + taken / REMEMBERED_PLACES;
    }

    /// What so many more places will take.
    fn work(self, places: u64) -> usize {
        usize::try_from(places).unwrap_or(usize::MAX).saturating_mul(self.recent_bytes)
    }
}

impl<'h> Session<'_, 'h> {
    /// Forces a value deeply, and prints it as [`picnix_eval::Evaluator::print_ambiguous`] does.
    ///
    /// # Errors
    /// A part cannot be evaluated.
    pub fn print_deep(&self, value: Value<'h>) -> Result<Vec<u8>, WorkError> {
        if let Some(printed) = plain::print(self, value)? {
            return Ok(printed);
        }
        self.ev.force_deep(value, picnix_eval::pos::Pos::NONE)?;
        Ok(self.ev.print_ambiguous(value)?)
    }

    /// A value as JSON, if more than one core can make it; `None` says that it is to be made as always.
    ///
    /// # Errors
    /// A part cannot be evaluated.
    pub fn json_in_parallel(
        &self,
        value: Value<'h>,
    ) -> Result<Option<Vec<u8>>, WorkError> {
        json::print(self, value)
    }

    /// The derivations at some attribute paths of a value, one after the other: see [`Session::derivations`].
    ///
    /// # Errors
    /// What is at a path cannot be evaluated, or is no derivation, set or list.
    pub fn derivations_at(
        &self,
        root: Value<'h>,
        attrs: &[String],
    ) -> Result<Vec<Found>, WorkError> {
        if let Some(found) = found::find(self, root, attrs)? {
            return Ok(found);
        }
        let mut found = Vec::new();
        for attr in attrs {
            found.extend(self.derivations(self.select(root, attr)?)?);
        }
        Ok(found)
    }
}
