//! Finding places in a value and handling them, in one process.

use std::collections::BTreeMap;
use std::rc::Rc;

use picnix_eval::pos::Pos;
use picnix_eval::value::Items;
use picnix_eval::{Error, Evaluator, Result, Value};

use super::territory::Place;
use super::{MAX_ENTERED_DEPTH, MAX_MEMBERS, MIN_MEMBERS};

/// What is done at every place of a value.
pub(super) trait Work {
    /// What stands at a place.
    type Part: Clone;

    /// Evaluates a part to its outermost layer. If it has members that are places of their own, and their number
    /// is among `wanted`: what the one who puts results together needs to know of it, and the members.
    ///
    /// # Errors
    /// The evaluation fails.
    fn enter(
        &mut self,
        part: &Self::Part,
        wanted: Wanted,
    ) -> Result<Option<Entered<Self::Part>>>;

    /// Handles a part as a whole, and writes what comes of it.
    ///
    /// # Errors
    /// The evaluation fails.
    fn handle(&mut self, part: &Self::Part, out: &mut Vec<u8>) -> Result<()>;

    /// Evaluates what [`Self::handle`] evaluates.
    ///
    /// # Errors
    /// The evaluation fails.
    fn repeat(&mut self, part: &Self::Part) -> Result<()>;

    /// The error of a part as the evaluation of everything shows it, if that can be told: `ancestors` are the
    /// sets and lists around the part, beginning with the top, each with the number of its member.
    fn tell(&self, _error: Error, _ancestors: &[(Self::Part, u32)]) -> Option<Error> {
        None
    }

    /// How many objects were numbered so far.
    fn numbered(&self) -> u32 {
        0
    }
}

/// A value to be printed: who refers to it from where, and how deep it lies.
#[derive(Clone, Copy)]
pub(super) struct Part<'h> {
    pub(super) value: Value<'h>,
    pub(super) pos: Pos,
    pub(super) depth: usize,
}

/// Values that stay reachable although nothing else in the evaluation may refer to them any more.
pub(super) struct Kept<'h>(Items<'h, Value<'h>>);

impl<'h> Kept<'h> {
    pub(super) fn new(ev: &Evaluator<'h>) -> Self {
        Self(Items::new(ev.heap))
    }

    pub(super) fn keep(&mut self, values: impl IntoIterator<Item = Value<'h>>) {
        self.0.extend(values);
    }
}

/// Which sets and lists are to be entered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// With at least as many members, and not too many.
    AtLeast(usize),
    /// All: another process has entered it.
    All,
}

impl Wanted {
    pub(super) fn includes(self, count: usize) -> bool {
        match self {
            Self::AtLeast(least) => (least..=MAX_MEMBERS).contains(&count),
            Self::All => true,
        }
    }
}

/// A set or list that was entered.
pub(super) struct Entered<P> {
    pub(super) shape: Vec<u8>,
    pub(super) members: Vec<P>,
}

/// What became of a place.
pub(super) enum Step {
    Split { count: u32 },
    Done(Vec<u8>),
}

/// A set or list that this process has entered.
pub(super) struct Split {
    pub(super) place: Place,
    pub(super) count: u32,
    pub(super) shape: Vec<u8>,
}

/// What one process knows of the places.
pub(super) struct Explorer<W: Work> {
    pub(super) work: W,
    top: W::Part,
    members: BTreeMap<Place, Rc<[W::Part]>>,
    /// What was entered since somebody asked.
    entered: Vec<Split>,
}

impl<W: Work> Explorer<W> {
    pub(super) fn new(work: W, top: W::Part) -> Self {
        Self { work, top, members: BTreeMap::new(), entered: Vec::new() }
    }

    /// Takes what was entered since the last time.
    pub(super) fn take_entered(&mut self) -> Vec<Split> {
        std::mem::take(&mut self.entered)
    }

    /// Enters the top; the number of its members, if these are to be handled one by one.
    pub(super) fn enter_top(&mut self) -> Result<Option<u32>> {
        let Some(entered) = self.work.enter(&self.top, Wanted::AtLeast(1))? else {
            return Ok(None);
        };
        let Ok(count) = u32::try_from(entered.members.len()) else { return Ok(None) };
        self.note(&[], entered, count);
        Ok(Some(count))
    }

    /// The error of a place, as the evaluation of everything shows it.
    pub(super) fn error(&mut self, place: &[u32], error: Error) -> Option<Error> {
        let mut ancestors = Vec::new();
        for (depth, number) in place.iter().enumerate() {
            ancestors.push((self.part(&place[..depth]).ok()?, *number));
        }
        self.work.tell(error, &ancestors)
    }

    /// Handles a place, or enters what stands there.
    pub(super) fn step(&mut self, place: &[u32]) -> Result<Step> {
        let part = self.part(place)?;
        let is_alone =
            place.len() <= MAX_ENTERED_DEPTH && self.siblings(place) < MIN_MEMBERS;
        let wanted = Wanted::AtLeast(if is_alone { 1 } else { MIN_MEMBERS });
        if let Some(entered) = self.work.enter(&part, wanted)?
            && let Ok(count) = u32::try_from(entered.members.len())
        {
            self.note(place, entered, count);
            return Ok(Step::Split { count });
        }
        let mut out = Vec::new();
        self.work.handle(&part, &mut out)?;
        Ok(Step::Done(out))
    }

    /// Evaluates what a helper has handled.
    pub(super) fn repeat(&mut self, place: &[u32]) -> Result<()> {
        let part = self.part(place)?;
        self.work.repeat(&part)
    }

    /// Enters what a helper has entered.
    pub(super) fn enter(&mut self, place: &[u32]) -> Result<Rc<[W::Part]>> {
        if let Some(members) = self.members.get(place) {
            return Ok(members.clone());
        }
        let part = self.part(place)?;
        let Some(entered) = self.work.enter(&part, Wanted::All)? else {
            picnix_eval::bail!(Other, "a value is not what it was in another process");
        };
        let count = u32::try_from(entered.members.len()).unwrap_or(u32::MAX);
        Ok(self.note(place, entered, count))
    }

    fn part(&mut self, place: &[u32]) -> Result<W::Part> {
        let Some((last, parent)) = place.split_last() else {
            return Ok(self.top.clone());
        };
        let members = self.enter(parent)?;
        let Some(member) = members.get(*last as usize) else {
            picnix_eval::bail!(Other, "a value is not what it was in another process");
        };
        Ok(member.clone())
    }

    fn siblings(&self, place: &[u32]) -> usize {
        let parent = place.split_last().map_or(place, |(_, parent)| parent);
        self.members.get(parent).map_or(0, |members| members.len())
    }

    fn note(
        &mut self,
        place: &[u32],
        entered: Entered<W::Part>,
        count: u32,
    ) -> Rc<[W::Part]> {
        let members: Rc<[W::Part]> = entered.members.into();
        self.members.insert(place.to_vec(), members.clone());
        self.entered.push(Split { place: place.to_vec(), count, shape: entered.shape });
        members
    }
}
