//! Evaluation on more than one core: helpers force what the evaluation will need later.
//!
//! Decision: threads that share one heap ([`picnix_eval::Ahead`]). The thread whose evaluation it is does all that it would
//! do alone, in the same order; helpers only make values of thunks that it will come to. Their world is a [`Shadow`]: it
//! reads what everybody may read, computes paths, and gives a place up where anything else would have to be done.
//!
//! **Everything that can be seen is what one core would show**: output, messages and their order, errors, what is
//! written to the store. Where help could make a difference, everything is done once more on one core
//! ([`WorkError::Again`]), without showing the messages that were shown:
//!
//! - where the evaluation fails: what a message says of values that were not needed yet, and how deep the stack was, depends
//!   on what was forced before;
//! - where a path of the store is looked at that only a helper has made: alone, the evaluation may not have made it
//!   yet;
//! - where lists are printed of which two may be one and the same: that depends on the order of forcing.
//!
//! [`Shadow`]: crate::shadow::Shadow

use std::sync::Arc;

use picnix_eval::builtins::Forcing;
use picnix_eval::builtins::json::{self, PathMode};
use picnix_eval::pos::Pos;
use picnix_eval::{Ahead, Coercion, Evaluator, Handled, Value, sym};

use crate::derivations::{Found, is_searched};
use crate::session::{Session, WorkError};

/// Memory that evaluation takes before it is worth while to look for help, in bytes: a measure of work that does not
/// depend on the machine or its load.
const WARM_UP_BYTES: usize = 24 << 20;
/// Below this many members a set or list is forced as a whole.
const MIN_MEMBERS: usize = 32;
/// The stack that a helper begins with; deep recursion goes on in further pieces.
const STACK_BYTES: usize = 8 << 20;

/// What is wanted of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Everything,
    /// What its JSON shows.
    Json,
    /// The derivations in it.
    Derivations,
}

/// Ends help also where the work unwinds.
struct End<'s, 'h>(&'s Evaluator<'h>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.end_help();
    }
}

impl<'h> Session<'_, 'h> {
    /// Does some work that will want many parts of a value one after the other, and lets other threads help.
    ///
    /// # Errors
    /// Those of the work.
    pub fn helped<T, E>(
        &self,
        wanted: Wanted,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, WorkError>
    where
        WorkError: From<E>,
    {
        if self.shadows.is_empty() {
            return Ok(work()?);
        }
        let stops = self.shadows.iter().map(|shadow| shadow.stop().clone());
        let ahead = Arc::new(Ahead::new(stops.collect()));
        let result = std::thread::scope(|scope| {
            let end = End(self.ev);
            for (number, shadow) in self.shadows.iter().enumerate() {
                let (ahead, spawned) = (Arc::clone(&ahead), &ahead);
                let life = move || {
                    ahead.serve(number, shadow, &|ev, value| handle(ev, value, wanted));
                };
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                // Without it there is less help.
                if thread.spawn_scoped(scope, life).is_ok() {
                    spawned.hire();
                }
            }
            let warm_up = self.config().help_after.unwrap_or(WARM_UP_BYTES);
            self.ev.expect_help(&ahead, warm_up);
            let result = work();
            drop(end);
            result
        });
        let result = result?;
        if self.ev.was_helped() && self.world.needs_all() {
            return Err(WorkError::Again);
        }
        self.world.settle()?;
        Ok(result)
    }

    /// Forces a value deeply, and prints it as [`picnix_eval::Evaluator::print_ambiguous`] does.
    ///
    /// # Errors
    /// A part cannot be evaluated.
    pub fn print_deep(&self, value: Value<'h>) -> Result<Vec<u8>, WorkError> {
        self.helped(Wanted::Everything, || self.ev.force_deep(value, Pos::NONE))?;
        let printed = self.ev.print_ambiguous(value)?;
        if self.ev.is_ambiguous() { Err(WorkError::Again) } else { Ok(printed) }
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
        self.helped(Wanted::Derivations, || {
            let mut found = Vec::new();
            for attr in attrs {
                found.extend(self.derivations(self.select(root, attr)?)?);
            }
            picnix_eval::Result::Ok(found)
        })
    }
}

/// Forces what will be wanted of a value, in a helper.
fn handle<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    wanted: Wanted,
) -> picnix_eval::Result<Handled<'h>> {
    let value = ev.force(value)?;
    match wanted {
        Wanted::Everything => {
            if let Some(members) = members(ev, value) {
                return Ok(Handled::Members(members));
            }
            ev.force_deep(value, Pos::NONE)?;
        }
        Wanted::Json => {
            let stands_for_itself = match value {
                Value::Attrs(attrs) => {
                    attrs.get(sym::TO_STRING).is_none()
                        && attrs.get(sym::OUT_PATH).is_none()
                }
                _ => true,
            };
            if stands_for_itself && let Some(members) = members(ev, value) {
                return Ok(Handled::Members(members));
            }
            let style = (PathMode::CopyToStore, Forcing::Deep);
            json::write(ev, value, Pos::NONE, style, &mut Vec::new())?;
        }
        Wanted::Derivations => return find(ev, value),
    }
    Ok(Handled::Done)
}

/// The members of a set or list that is worth to be taken apart (no evaluation).
fn members<'h>(ev: &Evaluator<'h>, value: Value<'h>) -> Option<Vec<Value<'h>>> {
    match value {
        Value::Attrs(attrs) if attrs.len() >= MIN_MEMBERS => {
            let sorted = ev.sorted_by_name(attrs);
            Some(sorted.iter().map(|attr| attr.slot.get()).collect())
        }
        Value::List(list) if list.len() >= MIN_MEMBERS => Some(list.iter().collect()),
        _ => None,
    }
}

/// As [`Session::derivations`], of a member.
fn find<'h>(ev: &Evaluator<'h>, value: Value<'h>) -> picnix_eval::Result<Handled<'h>> {
    let Value::Attrs(attrs) = value else { return Ok(Handled::Done) };
    if ev.is_derivation(attrs)? {
        if let Some(slot) = attrs.get(sym::DRV_PATH) {
            let path = ev.force_slot(slot)?;
            ev.coerce_to_string(path, Pos::NONE, Coercion::STRING, "")?;
        }
        return Ok(Handled::Done);
    }
    let recurses = match attrs.get(ev.symbol(b"recurseForDerivations")) {
        Some(slot) => matches!(ev.force_slot(slot)?, Value::Bool(true)),
        None => false,
    };
    if !recurses {
        return Ok(Handled::Done);
    }
    let sorted = ev.sorted_by_name(attrs);
    let searched = sorted.iter().filter(|attr| is_searched(ev.symbols.name(attr.name)));
    Ok(Handled::Members(searched.map(|attr| attr.slot.get()).collect()))
}
