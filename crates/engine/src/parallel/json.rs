//! JSON, made by several processes: each part is a text.

use picnix_eval::builtins::Forcing;
use picnix_eval::builtins::json::{self, PathMode};
use picnix_eval::pos::Pos;
use picnix_eval::{Result, Value, sym};

use super::conduct::{Harvest, conduct};
use super::explore::{Entered, Explorer, Kept, Part, Wanted, Work};
use super::territory::Place;
use super::wire::{Reader, Writer};
use crate::session::{Session, WorkError};

struct Json<'s, 'e, 'h> {
    session: &'s Session<'e, 'h>,
    kept: Kept<'h>,
}

/// A value as JSON; none if it is not a thing for several processes.
pub(super) fn print<'h>(
    session: &Session<'_, 'h>,
    value: Value<'h>,
) -> std::result::Result<Option<Vec<u8>>, WorkError> {
    let top = Part { value, pos: Pos::NONE, depth: 0 };
    let explorer = Explorer::new(Json { session, kept: Kept::new(session.ev) }, top);
    let Some(harvest) = conduct(session, explorer)? else { return Ok(None) };
    let mut out = Vec::new();
    join(&harvest, &mut Vec::new(), &mut out).ok_or(WorkError::Again)?;
    Ok(Some(out))
}

impl<'h> Json<'_, '_, 'h> {
    fn write(&self, part: Part<'h>) -> Result<Vec<u8>> {
        let style = (PathMode::CopyToStore, Forcing::Deep);
        let Part { value, pos, depth } = part;
        let ev = self.session.ev;
        ev.deeper(depth, || json::write(ev, value, pos, style, &mut Vec::new()))
    }
}

impl<'h> Work for Json<'_, '_, 'h> {
    type Part = Part<'h>;

    fn enter(
        &mut self,
        part: &Part<'h>,
        wanted: Wanted,
    ) -> Result<Option<Entered<Part<'h>>>> {
        let ev = self.session.ev;
        let (pos, depth) = (part.pos, part.depth + 1);
        let mut shape = Vec::new();
        let mut writer = Writer(&mut shape);
        let members: Vec<Part<'h>> = match ev
            .deeper(part.depth, || ev.force(part.value))?
        {
            Value::List(list) if wanted.includes(list.len()) => {
                writer.byte(b'[');
                list.iter().map(|value| Part { value, pos, depth }).collect()
            }
            Value::Attrs(attrs)
                if wanted.includes(attrs.len())
                    && attrs.get(sym::TO_STRING).is_none()
                    && attrs.get(sym::OUT_PATH).is_none() =>
            {
                writer.byte(b'{');
                let mut members = Vec::with_capacity(attrs.len());
                for attr in ev.sorted_by_name(attrs) {
                    let name = ev.string(ev.symbols.name(attr.name));
                    let name = Part { value: name, pos, depth: 0 };
                    writer.bytes(&self.write(name)?);
                    members.push(Part { value: attr.slot.get(), pos: attr.pos, depth });
                }
                members
            }
            _ => return Ok(None),
        };
        self.kept.keep(members.iter().map(|part| part.value));
        Ok(Some(Entered { shape, members }))
    }

    fn handle(&mut self, part: &Part<'h>, out: &mut Vec<u8>) -> Result<()> {
        out.extend(self.write(*part)?);
        Ok(())
    }

    fn repeat(&mut self, part: &Part<'h>) -> Result<()> {
        self.write(*part)?;
        Ok(())
    }
}

/// Puts together what is at a place; none if something is missing.
fn join(harvest: &Harvest, place: &mut Place, out: &mut Vec<u8>) -> Option<()> {
    let Some(known) = harvest.splits.get(place.as_slice()) else {
        let (_, text) = harvest.done.get(place.as_slice())?;
        out.extend_from_slice(text);
        return Some(());
    };
    let (_, shape) = known.shapes.first()?;
    let mut reader = Reader(shape);
    let open = reader.byte()?;
    out.push(open);
    for number in 0..known.count {
        if number > 0 {
            out.push(b',');
        }
        if open == b'{' {
            out.extend_from_slice(reader.bytes()?);
            out.push(b':');
        }
        place.push(number);
        join(harvest, place, out)?;
        place.pop();
    }
    out.push(if open == b'{' { b'}' } else { b']' });
    Some(())
}
