//! A helper's life: it handles the places of its territory in order, reports, and ends.

use picnix_sandbox::worker::{Channel, Incoming};

use super::MAX_GROWTH_BYTES;
use super::explore::{Explorer, Step, Work};
use super::notes::Notes;
use super::territory::{Place, Territory};
use super::wire::Report;
use crate::session::Session;

/// What it takes to look whether somebody asks for something: places, or memory taken in bytes.
const PLACES_PER_LOOK: usize = 16;
const BYTES_PER_LOOK: usize = 256 << 10;
/// Reports are sent in larger pieces.
const BYTES_PER_PUSH: usize = 32 << 10;

/// The one thing that a helper is asked: to give back half of what it has left.
pub(super) const SHARE: &[u8] = b"share";

/// Why a helper ends early: nobody listens, or it has said all that is to be said.
struct Stop;

/// Runs a helper until its end.
pub(super) fn run<W: Work>(
    session: &Session<'_, '_>,
    explorer: &mut Explorer<W>,
    territory: Territory,
    channel: Channel,
) {
    session.world.take_notes(Notes::new(channel));
    let mut helper =
        Helper { session, explorer, territory, looked_at: 0, places: 0, start: 0 };
    helper.start = helper.taken();
    helper.looked_at = helper.start;
    let _ = helper.work();
    if let Some(notes) = session.world.notes() {
        let _ = notes.channel().push_and_wait();
    }
}

struct Helper<'s, 'e, 'h, W: Work> {
    session: &'s Session<'e, 'h>,
    explorer: &'s mut Explorer<W>,
    territory: Territory,
    /// Memory taken at the start, and when it last looked for questions.
    start: usize,
    looked_at: usize,
    places: usize,
}

impl<W: Work> Helper<'_, '_, '_, W> {
    /// Memory taken so far.
    fn taken(&self) -> usize {
        let texts = self.session.world.notes().map_or(0, Notes::text_bytes);
        self.session.ev.heap.allocated_bytes() + texts
    }

    fn work(&mut self) -> Result<(), Stop> {
        while let Some(place) = self.territory.first() {
            self.look()?;
            if self.territory.first().as_ref() != Some(&place) {
                continue;
            }
            if self.taken().saturating_sub(self.start) > MAX_GROWTH_BYTES {
                break;
            }
            self.territory.pop();
            let step = self.explorer.step(&place);
            self.report(place, step)?;
        }
        self.say(&Report::Ended)
    }

    fn report(
        &mut self,
        place: Place,
        step: picnix_eval::Result<Step>,
    ) -> Result<(), Stop> {
        let notes = self.session.world.notes().ok_or(Stop)?;
        let (effects, spoke) = notes.take();
        for split in self.explorer.take_entered() {
            self.say(&Report::Split {
                spoke: spoke && split.place == place,
                place: split.place,
                count: split.count,
                shape: split.shape,
            })?;
        }
        match step {
            Ok(Step::Split { count }) => {
                self.territory.enter(&place, count);
                // Whatever was noted on the way belongs to the first member.
                if !effects.is_empty() {
                    notes.put_back(effects);
                }
                Ok(())
            }
            Ok(Step::Done(result)) => {
                self.say(&Report::Done { place, result, effects, spoke })
            }
            Err(_) => {
                self.say(&Report::Failed)?;
                Err(Stop)
            }
        }
    }

    fn say(&self, report: &Report) -> Result<(), Stop> {
        let mut channel = self.session.world.notes().ok_or(Stop)?.channel();
        channel.post(&report.encode()).map_err(|_| Stop)?;
        if channel.waiting() >= BYTES_PER_PUSH {
            channel.push().map_err(|_| Stop)?;
        }
        Ok(())
    }

    /// Looks whether half of the rest is wanted back.
    fn look(&mut self) -> Result<(), Stop> {
        self.places += 1;
        let taken = self.taken();
        let grown = taken.saturating_sub(self.looked_at);
        if self.places < PLACES_PER_LOOK && grown < BYTES_PER_LOOK {
            return Ok(());
        }
        (self.places, self.looked_at) = (0, taken);
        let incoming = self.session.world.notes().ok_or(Stop)?.channel().take();
        match incoming {
            Incoming::Nothing => return Ok(()),
            Incoming::End => return Err(Stop),
            Incoming::Frame(_) => {}
        }
        match self.territory.middle() {
            Some(place) => {
                self.territory = self.territory.split_off(&place, |_| 0);
                self.say(&Report::GaveBack { place })?;
            }
            None => {
                self.say(&Report::Ended)?;
                return Err(Stop);
            }
        }
        let mut channel = self.session.world.notes().ok_or(Stop)?.channel();
        channel.push_and_wait().map_err(|_| Stop)
    }
}
