//! The derivations of a value, found by several processes.

use picnix_eval::{Error, Result, Value};
use picnix_store_core::{OutputName, StorePath};

use super::conduct::{Harvest, conduct};
use super::explore::{Entered, Explorer, Kept, Wanted, Work};
use super::territory::Place;
use super::wire::{Reader, Writer};
use crate::derivations::{Found, Look, Member};
use crate::session::{Session, WorkError};

struct Search<'s, 'e, 'h> {
    session: &'s Session<'e, 'h>,
    root: Value<'h>,
    attrs: &'s [String],
    /// What the last look saw: looking may call a function.
    seen: Option<Look<'h>>,
    kept: Kept<'h>,
}

#[derive(Clone, Copy)]
enum Part<'h> {
    /// All attribute paths.
    All,
    /// What is at one of them.
    At(usize),
    Member(Member<'h>),
}

/// The derivations at attribute paths; none if that is not a thing for several processes.
pub(super) fn find<'h>(
    session: &Session<'_, 'h>,
    root: Value<'h>,
    attrs: &[String],
) -> std::result::Result<Option<Vec<Found>>, WorkError> {
    let work = Search { session, root, attrs, seen: None, kept: Kept::new(session.ev) };
    let explorer = Explorer::new(work, Part::All);
    let Some(harvest) = conduct(session, explorer)? else { return Ok(None) };
    let mut found = Vec::new();
    join(&harvest, &mut Vec::new(), &mut found).ok_or(WorkError::Again)?;
    Ok(Some(found))
}

impl<'h> Search<'_, '_, 'h> {
    fn look(&self, part: Part<'h>) -> Result<Look<'h>> {
        match part {
            Part::All => Ok(Look::Nothing),
            Part::At(index) => {
                let value = self.session.select(self.root, &self.attrs[index])?;
                self.session.look_at_root(value)
            }
            Part::Member(member) => {
                self.session.look(member).map_err(|error| self.traced(error, &part))
            }
        }
    }

    /// An error of a member, with the name of the member.
    fn traced(&self, error: Error, part: &Part<'h>) -> Error {
        match part {
            Part::Member(member) => self.session.trace_member(error, *member),
            Part::All | Part::At(_) => error,
        }
    }
}

impl<'h> Work for Search<'_, '_, 'h> {
    type Part = Part<'h>;

    fn enter(
        &mut self,
        part: &Part<'h>,
        wanted: Wanted,
    ) -> Result<Option<Entered<Part<'h>>>> {
        let members: Vec<Part<'h>> = match part {
            Part::All => (0..self.attrs.len()).map(Part::At).collect(),
            part => match self.look(*part)? {
                Look::Members(value, members) if wanted.includes(members.len()) => {
                    self.kept.keep([value]);
                    members.into_iter().map(Part::Member).collect()
                }
                other => {
                    self.seen = Some(other);
                    return Ok(None);
                }
            },
        };
        Ok(Some(Entered { shape: Vec::new(), members }))
    }

    fn handle(&mut self, part: &Part<'h>, out: &mut Vec<u8>) -> Result<()> {
        let look = match self.seen.take() {
            Some(look) => look,
            None => self.look(*part)?,
        };
        let mut found = Vec::new();
        let collected = self.session.collect(look, &mut found);
        collected.map_err(|error| self.traced(error, part))?;
        let mut writer = Writer(out);
        for Found { drv_path, output } in found {
            writer.bytes(drv_path.to_string().as_bytes());
            writer.bytes(output.as_str().as_bytes());
        }
        Ok(())
    }

    fn repeat(&mut self, part: &Part<'h>) -> Result<()> {
        let look = self.look(*part)?;
        let collected = self.session.collect(look, &mut Vec::new());
        collected.map_err(|error| self.traced(error, part))
    }

    fn tell(&self, error: Error, _: &[(Part<'h>, u32)]) -> Option<Error> {
        Some(error)
    }
}

/// Puts together what is at a place; none if something is missing.
fn join(harvest: &Harvest, place: &mut Place, out: &mut Vec<Found>) -> Option<()> {
    if let Some(known) = harvest.splits.get(place.as_slice()) {
        for number in 0..known.count {
            place.push(number);
            join(harvest, place, out)?;
            place.pop();
        }
        return Some(());
    }
    let (_, found) = harvest.done.get(place.as_slice())?;
    let mut reader = Reader(found);
    while !reader.0.is_empty() {
        let drv_path = StorePath::parse(reader.bytes()?).ok()?;
        let output = OutputName::parse(reader.bytes()?).ok()?;
        out.push(Found { drv_path, output });
    }
    Some(())
}
