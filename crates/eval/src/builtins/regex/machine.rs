//! Running a program on a text.
//!
//! The machine searches depth first, in libstdc++'s order: of alternatives it tries all, and keeps the longest
//! match (the first of equal ones); a repetition is left only where one more round leads to no match; a
//! repetition that takes nothing may go round twice at one place. Without alternatives the first match is
//! the result, and so it is where the whole text must match.
//!
//! What follows from an instruction at a place in the text does not depend on how one came there, but for the
//! rounds of empty repetitions. So each choice is made once for each place (and state of these rounds): met
//! again it leads to nothing new, which bounds the time by the product of program and text.

use std::ops::Range;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::program::{Instruction, Pc, Program};

/// What a group matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    start: usize,
    end: usize,
}

/// The end of a group that took no part.
const UNMATCHED: usize = usize::MAX;

impl Capture {
    const NONE: Self = Self { start: 0, end: UNMATCHED };

    /// The part of the text, if the group took part in the match.
    pub(super) fn range(self) -> Option<Range<usize>> {
        (self.end != UNMATCHED).then_some(self.start..self.end)
    }
}

/// A match.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) captures: Vec<Capture>,
}

/// What a search must heed.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// `^` does not match where the search begins.
    pub(super) not_at_start: bool,
    /// An empty match is none.
    pub(super) not_empty: bool,
}

/// Memory that is used again and again.
#[derive(Default)]
pub(super) struct Scratch {
    stack: Vec<Frame>,
    captures: Vec<Capture>,
    rounds: Vec<Rounds>,
    memory: Memory,
}

/// How often an empty repetition was entered at a place.
#[derive(Clone, Copy, Default)]
struct Rounds {
    place: usize,
    count: u8,
}

/// What is to be done when a way has been followed to its end.
#[derive(Clone, Copy)]
enum Frame {
    /// Try the other alternative.
    Other { pc: Pc, at: usize },
    /// Leave the repetition, unless a match was found since.
    Exit { pc: Pc, at: usize, found: usize },
    /// Take one byte less, unless a match was found since.
    Shorter { pc: Pc, low: usize, at: usize, found: usize },
    /// Put back what a group had captured.
    Capture { group: usize, old: Capture },
    /// Put back the rounds of a repetition.
    Rounds { index: usize, old: Rounds },
    /// Note whether a choice led to a match.
    Leave { slot: Slot, found: usize },
}

/// The machine.
pub(super) struct Machine<'p, 't> {
    program: &'p Program,
    text: &'t [u8],
    scratch: &'p mut Scratch,
    /// Where the present attempt begins.
    begin: usize,
    flags: Flags,
    /// Only a match of the whole text counts.
    whole: bool,
    /// How often the end of the program was reached.
    found: usize,
    best: Option<Match>,
}

impl<'p, 't> Machine<'p, 't> {
    pub(super) fn new(
        program: &'p Program,
        text: &'t [u8],
        scratch: &'p mut Scratch,
    ) -> Self {
        scratch.memory.start(program, text.len());
        let flags = Flags::default();
        Self {
            program,
            text,
            scratch,
            begin: 0,
            flags,
            whole: false,
            found: 0,
            best: None,
        }
    }

    pub(super) fn text(&self) -> &'t [u8] {
        self.text
    }

    /// Matches the whole text.
    pub(super) fn whole(mut self) -> Option<Match> {
        self.whole = true;
        self.at(0, Flags::default())
    }

    /// Finds the first match that begins at `from` or later.
    pub(super) fn find(&mut self, from: usize, mut flags: Flags) -> Option<Match> {
        let mut start = from;
        while start <= self.text.len() {
            start += self.skip(start)?;
            flags.not_at_start |= start > from;
            if let Some(found) = self.at(start, flags) {
                return Some(found);
            }
            start += 1;
        }
        None
    }

    /// How many bytes no match can begin with come next; none if there is no place for one.
    fn skip(&self, start: usize) -> Option<usize> {
        let Some(first) = &self.program.first else { return Some(0) };
        let rest = &self.text[start..];
        match first.single() {
            Some(byte) => memchr::memchr(byte, rest),
            None => rest.iter().position(|byte| first.has(*byte)),
        }
    }

    /// Finds the match that begins at a certain place.
    pub(super) fn at(&mut self, start: usize, flags: Flags) -> Option<Match> {
        self.begin = start;
        self.flags = flags;
        self.found = 0;
        let scratch = &mut *self.scratch;
        scratch.stack.clear();
        scratch.captures.clear();
        scratch.captures.resize(self.program.groups, Capture::NONE);
        scratch.rounds.clear();
        scratch.rounds.resize(self.program.empties, Rounds::default());
        let mut way = Some((self.program.start, start));
        while let Some((pc, at)) = way {
            self.follow(pc, at);
            if self.is_done() {
                break;
            }
            way = self.back();
        }
        if self.best.is_some() {
            // What led to this match may be a part of the next one.
            self.scratch.memory.forget();
        }
        self.best.take()
    }

    /// Whether no better match can be found any more.
    fn is_done(&self) -> bool {
        let Some(best) = &self.best else { return false };
        self.whole || !self.program.has_alternatives || best.end == self.text.len()
    }

    /// Follows one way until it ends.
    fn follow(&mut self, mut pc: Pc, mut at: usize) {
        loop {
            #[cfg(fuzzing)]
            crate::fuel::burn(1);
            match self.program.instructions[pc] {
                Instruction::Byte { byte, next } => {
                    if self.text.get(at) != Some(&byte) {
                        return;
                    }
                    (pc, at) = (next, at + 1);
                }
                Instruction::Set { set, next } => {
                    match self.text.get(at) {
                        Some(byte) if self.program.sets[set].has(*byte) => {}
                        _ => return,
                    }
                    (pc, at) = (next, at + 1);
                }
                Instruction::Begin { next } => {
                    if at != self.begin || self.flags.not_at_start {
                        return;
                    }
                    pc = next;
                }
                Instruction::End { next } => {
                    if at != self.text.len() {
                        return;
                    }
                    pc = next;
                }
                Instruction::Open { group, next } => {
                    let old = self.scratch.captures[group];
                    self.scratch.captures[group].start = at;
                    self.scratch.stack.push(Frame::Capture { group, old });
                    pc = next;
                }
                Instruction::Close { group, next } => {
                    let old = self.scratch.captures[group];
                    self.scratch.captures[group].end = at;
                    self.scratch.stack.push(Frame::Capture { group, old });
                    pc = next;
                }
                Instruction::Alternate { first, second, choice } => {
                    if !self.enter(choice, at) {
                        return;
                    }
                    self.scratch.stack.push(Frame::Other { pc: second, at });
                    pc = first;
                }
                Instruction::Repeat { body, exit, choice, empty } => {
                    if !self.enter(choice, at) {
                        return;
                    }
                    pc = self.repeat(body, exit, empty, at);
                }
                Instruction::Run { set, .. } => {
                    let set = &self.program.sets[set];
                    let rest = &self.text[at..];
                    let length = rest.iter().position(|byte| !set.has(*byte));
                    let high = at + length.unwrap_or(rest.len());
                    match self.leave_run(pc, at, high) {
                        Some(way) => (pc, at) = way,
                        None => return,
                    }
                }
                Instruction::Accept => return self.accept(at),
            }
        }
    }

    /// Goes round a repetition once more, or leaves it where it went round twice without taking a byte.
    fn repeat(&mut self, body: Pc, exit: Pc, empty: Option<usize>, at: usize) -> Pc {
        let leave = Frame::Exit { pc: exit, at, found: self.found };
        let Some(index) = empty else {
            self.scratch.stack.push(leave);
            return body;
        };
        let old = self.scratch.rounds[index];
        let count = if old.place == at { old.count } else { 0 };
        if count == 2 {
            return exit;
        }
        self.scratch.stack.push(leave);
        self.scratch.stack.push(Frame::Rounds { index, old });
        self.scratch.rounds[index] = Rounds { place: at, count: count + 1 };
        body
    }

    /// Goes on after a run that began at `low` and may end at `high` or before.
    fn leave_run(&mut self, pc: Pc, low: usize, mut high: usize) -> Option<(Pc, usize)> {
        let Instruction::Run { next, choice, .. } = self.program.instructions[pc] else {
            return None;
        };
        loop {
            let found = self.found;
            let slot = self.slot(choice, high);
            match self.scratch.memory.enter(slot) {
                Seen::New => {
                    if high > low {
                        self.scratch.stack.push(Frame::Shorter {
                            pc,
                            low,
                            at: high,
                            found,
                        });
                    }
                    self.note_leaving(slot);
                    return Some((next, high));
                }
                Seen::Failed if high > low => high -= 1,
                Seen::Failed => return None,
                Seen::Found => {
                    self.found += 1;
                    return None;
                }
            }
        }
    }

    /// Makes a choice, unless it was made before at this place.
    fn enter(&mut self, choice: usize, at: usize) -> bool {
        let slot = self.slot(choice, at);
        match self.scratch.memory.enter(slot) {
            Seen::New => {
                self.note_leaving(slot);
                true
            }
            Seen::Failed => false,
            Seen::Found => {
                self.found += 1;
                false
            }
        }
    }

    fn note_leaving(&mut self, slot: Slot) {
        if self.program.has_alternatives && !self.whole {
            self.scratch.stack.push(Frame::Leave { slot, found: self.found });
        }
    }

    fn slot(&self, choice: usize, at: usize) -> Slot {
        let mut rounds = 0;
        for (index, entered) in self.scratch.rounds.iter().take(MAX_ROUNDS).enumerate() {
            if entered.place == at {
                rounds |= u64::from(entered.count) << (index * 2);
            }
        }
        Slot { place: choice * (self.text.len() + 1) + at, rounds }
    }

    fn accept(&mut self, at: usize) {
        if self.whole && at != self.text.len() || self.flags.not_empty && at == self.begin
        {
            return;
        }
        self.found += 1;
        if self.best.as_ref().is_none_or(|best| best.end < at) {
            let captures = self.scratch.captures.clone();
            self.best = Some(Match { start: self.begin, end: at, captures });
        }
    }

    /// Goes back to the last place where there is another way.
    fn back(&mut self) -> Option<(Pc, usize)> {
        while let Some(frame) = self.scratch.stack.pop() {
            match frame {
                Frame::Other { pc, at } => return Some((pc, at)),
                Frame::Exit { pc, at, found } if found == self.found => {
                    return Some((pc, at));
                }
                Frame::Shorter { pc, low, at, found } if found == self.found => {
                    let way = self.leave_run(pc, low, at - 1);
                    if way.is_some() {
                        return way;
                    }
                }
                Frame::Exit { .. } | Frame::Shorter { .. } => {}
                Frame::Capture { group, old } => self.scratch.captures[group] = old,
                Frame::Rounds { index, old } => self.scratch.rounds[index] = old,
                Frame::Leave { slot, found } => {
                    if found != self.found {
                        self.scratch.memory.succeed(slot);
                    }
                }
            }
        }
        None
    }
}

/// The most empty repetitions whose rounds tell choices apart; of more, only captures can come out otherwise.
const MAX_ROUNDS: usize = 32;

/// A choice at a place of the text, with the rounds of the empty repetitions there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    place: usize,
    rounds: u64,
}

/// What is known of a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    New,
    /// It led to no match, or is being followed.
    Failed,
    /// It led to a match, which cannot become longer.
    Found,
}

/// The choices made so far: two bits each, or a table where there would be too many bits or rounds count.
#[derive(Default)]
struct Memory {
    bits: Vec<u64>,
    touched: Vec<usize>,
    table: HashMap<Slot, Seen, FxBuildHasher>,
    uses_table: bool,
}

/// The most choices that are kept as bits: 32 MiB of them.
const MAX_BITS: usize = 1 << 27;
/// Choices in one word of bits.
const PER_WORD: usize = 32;

impl Memory {
    fn start(&mut self, program: &Program, length: usize) {
        let places = program.choices.saturating_mul(length.saturating_add(1));
        self.uses_table = program.empties > 0 || places > MAX_BITS;
        self.table.clear();
        self.touched.clear();
        self.bits.clear();
        if !self.uses_table {
            self.bits.resize(places.div_ceil(PER_WORD), 0);
        }
    }

    fn enter(&mut self, slot: Slot) -> Seen {
        if self.uses_table {
            let known = self.table.get(&slot).copied();
            return known.unwrap_or_else(|| {
                self.table.insert(slot, Seen::Failed);
                Seen::New
            });
        }
        let (word, shift) = (slot.place / PER_WORD, slot.place % PER_WORD * 2);
        match self.bits[word] >> shift & 3 {
            0 => {
                self.bits[word] |= 1 << shift;
                self.touched.push(word);
                Seen::New
            }
            1 => Seen::Failed,
            _ => Seen::Found,
        }
    }

    fn succeed(&mut self, slot: Slot) {
        if self.uses_table {
            self.table.insert(slot, Seen::Found);
        } else {
            self.bits[slot.place / PER_WORD] |= 2 << (slot.place % PER_WORD * 2);
        }
    }

    /// Forgets all choices.
    fn forget(&mut self) {
        self.table.clear();
        for word in self.touched.drain(..) {
            self.bits[word] = 0;
        }
    }
}
