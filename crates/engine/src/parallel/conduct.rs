//! The evaluation's own side of parallel evaluation: going through all places in order, handling those that nobody
//! has handled, taking over what helpers have done, and making helpers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use picnix_sandbox::worker::{self, Incoming, Worker};

use super::explore::{Explorer, Step, Work};
use super::helper::{self, SHARE};
use super::notes::{Effect, Source, read_effects};
use super::territory::{Place, Territory};
use super::wire::Report;
use super::{
    MAX_DEATHS, MEMORY_PER_WORK, MIN_SHARE_BYTES, PATIENCE, Pace, WARM_UP_BYTES,
};
use crate::session::{Session, WorkError};

/// After so many places, or so much memory taken in bytes, helpers are listened to.
const PLACES_PER_VISIT: usize = 16;
const BYTES_PER_VISIT: usize = 1 << 20;

/// A new helper gets the last of so many equal parts.
const HELPERS_PART: u64 = 4;

/// This process, among those that numbered objects.
pub(super) const OURSELVES: u32 = 0;

/// Everything that was done, to be put together.
pub(super) struct Harvest {
    /// Results by place, and which process made them.
    pub(super) done: BTreeMap<Place, (u32, Vec<u8>)>,
    /// What was entered.
    pub(super) splits: BTreeMap<Place, Known>,
    /// For each process: the number of objects that were known when it began.
    pub(super) known_at_start: Vec<u32>,
}

/// A set or list that was entered.
pub(super) struct Known {
    pub(super) count: u32,
    /// As each process that has entered it describes it.
    pub(super) shapes: Vec<(u32, Vec<u8>)>,
}

/// A part of the places and who is at work there; nobody means this process.
struct Province {
    territory: Territory,
    helper: Option<u32>,
    /// The first place is for this process alone.
    needs_us: bool,
    /// All of it is done.
    is_done: bool,
}

impl Province {
    fn new(territory: Territory) -> Self {
        Self { territory, helper: None, needs_us: false, is_done: false }
    }

    /// Whether somebody who is free could work here.
    fn is_free(&self) -> bool {
        self.helper.is_none()
            && !self.needs_us
            && !self.is_done
            && self.territory.len() > 0
    }
}

struct Helper {
    worker: Worker,
    number: u32,
    was_asked: bool,
    /// Whether it has said that it ends.
    is_ending: bool,
}

/// What a helper has reported and whose turn has not come.
struct Reported {
    helper: u32,
    result: Vec<u8>,
    effects: Vec<u8>,
    spoke: bool,
}

/// Handles all places below the top. `None` where the top has none, or there is one core only.
pub(super) fn conduct<'h, W: Work>(
    session: &Session<'_, 'h>,
    explorer: Explorer<W>,
) -> Result<Option<Harvest>, WorkError> {
    if session.cores < 2 {
        return Ok(None);
    }
    let mut conductor = Conductor::new(session, explorer);
    let Ok(step) = conductor.explorer.enter_top() else { return Err(WorkError::Again) };
    let Some(count) = step else { return Ok(None) };
    conductor.learn_own();
    conductor.provinces.push_back(Province::new(Territory::members(&[], count)));
    conductor.run()?;
    Ok(Some(conductor.harvest))
}

/// Everything has to be done once more, on one core.
struct Again;

impl From<Again> for WorkError {
    fn from(_: Again) -> Self {
        Self::Again
    }
}

impl From<picnix_eval::Error> for Again {
    fn from(_: picnix_eval::Error) -> Self {
        Self
    }
}

struct Conductor<'s, 'e, 'h, W: Work> {
    session: &'s Session<'e, 'h>,
    explorer: Explorer<W>,
    /// In the order of their places; this process is at the front.
    provinces: VecDeque<Province>,
    helpers: Vec<Helper>,
    reported: BTreeMap<Place, Reported>,
    /// What helpers have entered and heard a message.
    spoken: BTreeSet<Place>,
    replayed: BTreeSet<Source>,
    harvest: Harvest,
    start_bytes: usize,
    visit_bytes: usize,
    /// Places handled here since the last visit.
    visit_places: usize,
    pace: Pace,
    deaths: usize,
    left_to_us: usize,
    taken_over: usize,
}

impl<'s, 'e, 'h, W: Work> Conductor<'s, 'e, 'h, W> {
    fn new(session: &'s Session<'e, 'h>, explorer: Explorer<W>) -> Self {
        let bytes = session.ev.heap.given_bytes();
        Self {
            session,
            explorer,
            provinces: VecDeque::new(),
            helpers: Vec::new(),
            reported: BTreeMap::new(),
            spoken: BTreeSet::new(),
            replayed: BTreeSet::new(),
            harvest: Harvest {
                done: BTreeMap::new(),
                splits: BTreeMap::new(),
                known_at_start: vec![0],
            },
            start_bytes: bytes,
            visit_bytes: bytes,
            visit_places: 0,
            pace: Pace::new(bytes),
            deaths: 0,
            left_to_us: 0,
            taken_over: 0,
        }
    }

    fn run(&mut self) -> Result<(), WorkError> {
        while let Some(province) = self.provinces.front_mut() {
            let helper = province.helper;
            let Some(place) = province.territory.first() else {
                if helper.is_none() {
                    self.provinces.pop_front();
                } else {
                    self.wait_for_helper()?;
                }
                continue;
            };
            if let Some(reported) = self.reported.remove(&place) {
                province.territory.pop();
                self.settle(&place)?;
                self.take_over(place, reported)?;
            } else if let Some(known) = self.harvest.splits.get(&place) {
                province.territory.pop();
                province.territory.enter(&place, known.count);
            } else if helper.is_some() {
                self.wait_for_helper()?;
            } else {
                province.territory.pop();
                province.needs_us = false;
                self.settle(&place)?;
                self.handle(place)?;
                self.visit()?;
            }
        }
        Ok(())
    }

    /// Handles a place here.
    fn handle(&mut self, place: Place) -> Result<(), WorkError> {
        let step = match self.explorer.step(&place) {
            Ok(step) => step,
            // As long as there was no help, this is what one core does.
            Err(error) if self.harvest.known_at_start.len() == 1 => {
                let told = self.explorer.error(&place, error);
                return Err(told.map_or(WorkError::Again, WorkError::Language));
            }
            Err(_) => return Err(WorkError::Again),
        };
        if self.session.world.needs_all() {
            return Err(WorkError::Again);
        }
        self.learn_own();
        self.pace.note(self.session.ev.heap.given_bytes());
        match step {
            Step::Split { count } => {
                if let Some(province) = self.provinces.front_mut() {
                    province.territory.enter(&place, count);
                }
            }
            Step::Done(result) => {
                self.harvest.done.insert(place, (OURSELVES, result));
            }
        }
        Ok(())
    }

    /// Enters the sets and lists around a place where helpers have heard messages when they entered them.
    fn settle(&mut self, place: &[u32]) -> Result<(), Again> {
        for depth in 0..place.len() {
            if !self.spoken.is_empty() && self.spoken.remove(&place[..depth]) {
                self.explorer.enter(&place[..depth])?;
                self.learn_own();
            }
        }
        Ok(())
    }

    /// Notes what was entered here.
    fn learn_own(&mut self) {
        for split in self.explorer.take_entered() {
            self.learn(OURSELVES, split.place, split.count, split.shape);
        }
    }

    fn learn(&mut self, process: u32, place: Place, count: u32, shape: Vec<u8>) {
        let new = Known { count, shapes: Vec::new() };
        let known = self.harvest.splits.entry(place).or_insert(new);
        known.shapes.push((process, shape));
    }

    /// The turn of a place has come that a helper has handled.
    fn take_over(&mut self, place: Place, reported: Reported) -> Result<(), Again> {
        let effects = read_effects(&reported.effects).ok_or(Again)?;
        for effect in effects {
            match effect {
                Effect::Text(path, contents, references) => {
                    self.session.world.replay_text(path, &contents, references);
                }
                Effect::Source(source) => {
                    if self.replayed.insert(source.clone()) {
                        self.session.world.replay_source(&source).map_err(|_| Again)?;
                    }
                }
            }
        }
        self.taken_over += 1;
        if reported.spoke {
            self.left_to_us += 1;
            self.explorer.repeat(&place)?;
            self.learn_own();
            if self.session.world.needs_all() {
                return Err(Again);
            }
        }
        self.harvest.done.insert(place, (reported.helper, reported.result));
        Ok(())
    }

    /// Listens to helpers, and makes new ones, once in a while.
    fn visit(&mut self) -> Result<(), Again> {
        self.visit_places += 1;
        let bytes = self.session.ev.heap.given_bytes();
        if self.visit_places < PLACES_PER_VISIT
            && bytes.saturating_sub(self.visit_bytes) < BYTES_PER_VISIT
        {
            return Ok(());
        }
        (self.visit_places, self.visit_bytes) = (0, bytes);
        for index in (0..self.helpers.len()).rev() {
            self.listen(index)?;
        }
        if bytes.saturating_sub(self.start_bytes) >= WARM_UP_BYTES {
            while self.find_help(self.session.cores - 1) {}
        }
        Ok(())
    }

    /// The front province is a helper's and the next place is not done: asks for a share and waits for news.
    fn wait_for_helper(&mut self) -> Result<(), Again> {
        let number = self.provinces.front().and_then(|province| province.helper);
        let Some(index) =
            self.helpers.iter().position(|helper| Some(helper.number) == number)
        else {
            return Err(Again);
        };
        if self.listen(index)? {
            return Ok(());
        }
        // One part at a time is offered to others.
        let may_have_help = self.helpers.len() < self.session.cores
            && !self.provinces.iter().any(Province::is_free);
        let helper = &mut self.helpers[index];
        let channel = &mut helper.worker.channel;
        if may_have_help && !helper.was_asked {
            helper.was_asked = true;
            // If it is gone, that is found out by listening.
            let _ = channel.post(SHARE).and_then(|()| channel.push_and_wait());
        }
        // Who waits leaves a core to somebody else.
        while self.find_help(self.session.cores) {}
        self.helpers[index].worker.channel.wait().map_err(|_| Again)
    }

    /// Reads what a helper says; whether it said anything.
    fn listen(&mut self, index: usize) -> Result<bool, Again> {
        let mut any = false;
        loop {
            let helper = &mut self.helpers[index];
            let number = helper.number;
            match helper.worker.channel.take() {
                Incoming::Nothing => return Ok(any),
                Incoming::End => {
                    self.deaths += usize::from(!helper.is_ending);
                    self.helpers.remove(index);
                    self.leave(number);
                    return Ok(true);
                }
                Incoming::Frame(frame) => {
                    any = true;
                    let report = Report::decode(&frame).ok_or(Again)?;
                    self.hear(index, number, report)?;
                }
            }
        }
    }

    fn hear(&mut self, index: usize, number: u32, report: Report) -> Result<(), Again> {
        match report {
            Report::Failed => return Err(Again),
            Report::Split { place, count, shape, spoke } => {
                if spoke {
                    self.spoken.insert(place.clone());
                }
                self.learn(number, place, count, shape);
            }
            Report::Done { place, result, effects, spoke } => {
                let reported = Reported { helper: number, result, effects, spoke };
                self.reported.insert(place, reported);
            }
            Report::GaveBack { place } => {
                self.helpers[index].was_asked = false;
                self.give_back(number, &place);
            }
            Report::NeedsUs => {
                self.helpers[index].is_ending = true;
                self.left_to_us += 1;
                if let Some(province) = self.province_of(number) {
                    province.needs_us = true;
                }
            }
            Report::Ended => self.helpers[index].is_ending = true,
        }
        Ok(())
    }

    fn province_of(&mut self, number: u32) -> Option<&mut Province> {
        self.provinces.iter_mut().find(|province| province.helper == Some(number))
    }

    fn give_back(&mut self, number: u32, place: &[u32]) {
        let is_its = |province: &Province| province.helper == Some(number);
        let Some(at) = self.provinces.iter().position(is_its) else { return };
        let splits = &self.harvest.splits;
        let count = |place: &[u32]| splits.get(place).map_or(0, |known| known.count);
        let rest = self.provinces[at].territory.split_off(place, count);
        self.provinces.insert(at + 1, Province::new(rest));
    }

    /// A helper is gone. What is done of its province is no work for another one.
    fn leave(&mut self, number: u32) {
        let is_its = |province: &Province| province.helper == Some(number);
        let Some(at) = self.provinces.iter().position(is_its) else { return };
        let province = &mut self.provinces[at];
        province.helper = None;
        let splits = &self.harvest.splits;
        let rest = province.territory.split_off_undone(
            |place| splits.get(place).map(|known| known.count),
            |place| self.reported.contains_key(place),
        );
        if rest.len() == 0 {
            province.is_done = true;
            return;
        }
        let rest = Province { needs_us: province.needs_us, ..Province::new(rest) };
        if province.territory.len() > 0 {
            (province.is_done, province.needs_us) = (true, false);
            self.provinces.insert(at + 1, rest);
        } else {
            *province = rest;
        }
    }

    // ---- new helpers ----------------------------------------------------------------------------

    /// Makes a helper, if there are less than `most` and there is work for it.
    fn find_help(&mut self, most: usize) -> bool {
        if self.helpers.len() >= most
            || self.deaths >= MAX_DEATHS
            || (self.left_to_us >= PATIENCE && self.left_to_us * 4 > self.taken_over)
        {
            return false;
        }
        // Whether so many places are work enough, judged by those that were handled here last.
        let cost = self.session.ev.heap.allocated_bytes() / MEMORY_PER_WORK;
        let least = MIN_SHARE_BYTES.max(cost);
        let pace = self.pace;
        let is_worth = |places: u64| pace.work(places) >= least;
        // First what a helper has left behind: that is as far away from here as can be.
        let is_worth_it = |index: &usize| {
            let province = &self.provinces[*index];
            province.is_free() && is_worth(province.territory.len())
        };
        let abandoned = (1..self.provinces.len()).rev().find(is_worth_it);
        if let Some(index) = abandoned {
            return self.start_helper(index);
        }
        let Some(front) = self.provinces.front_mut().filter(|front| front.is_free())
        else {
            return false;
        };
        let places = front.territory.len() / HELPERS_PART;
        let begin = front.territory.last_part(HELPERS_PART);
        let Some(begin) = begin.filter(|_| is_worth(places)) else {
            return false;
        };
        let part = Province::new(front.territory.split_off(&begin, |_| 0));
        self.provinces.insert(1, part);
        // If none can be made nothing is lost: the places follow those of the front all the same.
        self.start_helper(1)
    }

    fn start_helper(&mut self, index: usize) -> bool {
        let territory = self.provinces[index].territory.clone();
        let (session, explorer) = (self.session, &mut self.explorer);
        let numbered = explorer.work.numbered();
        let started = worker::fork(|channel| {
            helper::run(session, explorer, territory, channel);
        });
        let Ok(worker) = started else {
            self.deaths = MAX_DEATHS;
            return false;
        };
        session.world.expect_help();
        let Ok(number) = u32::try_from(self.harvest.known_at_start.len()) else {
            return false;
        };
        self.harvest.known_at_start.push(numbered);
        self.provinces[index].helper = Some(number);
        self.helpers.push(Helper { worker, number, was_asked: false, is_ending: false });
        true
    }
}
