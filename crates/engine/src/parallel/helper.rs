//! A helper's life: it handles the places of its territory in order, reports, and ends.

use picnix_sandbox::worker::{Channel, Incoming};

use super::explore::{Explorer, Step, Work};
use super::notes::Notes;
use super::territory::{Place, Territory};
use super::wire::Report;
use super::{MAX_GROWTH_BYTES, Pace};
use crate::session::Session;

/// What it takes to look whether somebody asks for something: places, or memory given out in bytes.
const PLACES_PER_LOOK: usize = 16;
const BYTES_PER_LOOK: usize = 256 << 10;
/// The least work that is given back, in bytes that the heap gives out for it: somebody else has to evaluate first what
/// was evaluated here already.
const MIN_GIVEN_BACK_BYTES: usize = 64 << 20;
/// Reports are sent in larger pieces.
const BYTES_PER_PUSH: usize = 32 << 10;

/// The one thing that a helper is asked: to give back the later half of what it has left.
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
    let given = session.ev.heap.given_bytes();
    let mut helper = Helper {
        session,
        explorer,
        territory,
        start: 0,
        pace: Pace::new(given),
        looked_at: given,
        places: 0,
        is_asked: false,
    };
    helper.start = helper.taken();
    let _ = helper.work();
    if let Some(notes) = session.world.notes() {
        let _ = notes.channel().push_and_wait();
    }
}

struct Helper<'s, 'e, 'h, W: Work> {
    session: &'s Session<'e, 'h>,
    explorer: &'s mut Explorer<W>,
    territory: Territory,
    /// Memory taken at the start.
    start: usize,
    pace: Pace,
    /// What was given out when it last looked for questions, and the places handled since.
    looked_at: usize,
    places: usize,
    /// Whether it was asked and has not answered.
    is_asked: bool,
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
            self.pace.note(self.session.ev.heap.given_bytes());
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

    /// Looks whether the later half of the rest is wanted back.
    fn look(&mut self) -> Result<(), Stop> {
        self.places += 1;
        let given = self.session.ev.heap.given_bytes();
        let grown = given.saturating_sub(self.looked_at);
        if self.places < PLACES_PER_LOOK && grown < BYTES_PER_LOOK {
            return Ok(());
        }
        (self.places, self.looked_at) = (0, given);
        let incoming = self.session.world.notes().ok_or(Stop)?.channel().take();
        match incoming {
            Incoming::Nothing => {}
            Incoming::End => return Err(Stop),
            Incoming::Frame(_) => self.is_asked = true,
        }
        if !self.is_asked
            || self.pace.work(self.territory.len() / 2) < MIN_GIVEN_BACK_BYTES
        {
            return Ok(());
        }
        let Some(place) = self.territory.middle() else { return Ok(()) };
        self.is_asked = false;
        self.territory.split_off(&place, |_| 0);
        self.say(&Report::GaveBack { place })?;
        let mut channel = self.session.world.notes().ok_or(Stop)?.channel();
        channel.push_and_wait().map_err(|_| Stop)
    }
}
