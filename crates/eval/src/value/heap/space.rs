//! Where regions come from, and when there has been enough.
//!
//! A region is a whole chunk, or a run of free lines in a chunk that a collection has swept. Large objects are
//! chunks of their own. Objects that are large for a run of lines go to a second region, so that the present one
//! is not given up for them.
//!
//! Each thread has regions of its own ([`Local`]); chunks, and the lines that are free, are common to all.

use std::ptr;

use super::chunk::{CHUNK_ALIGN, Chunk, Kind, LINE_BYTES, Swept};
use super::{ALIGN, Advice, Advise, MAX_LOG_BYTES, write_log};

/// The size of the first chunk. Each is twice as large as the one before it.
const FIRST_CHUNK_BYTES: usize = 128 * 1024;
/// The largest size of a chunk that is not made for one large object.
const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// Objects of more bytes get chunks of their own.
pub(super) const MAX_SHARED_BYTES: usize = 16 * 1024;
/// Runs of free lines with fewer bytes are not worth a region.
const MIN_LINES_BYTES: usize = 64;
/// The same for the second region.
const MIN_APART_BYTES: usize = 4 * 1024;
/// Objects of more bytes that do not fit in the rest of a run of lines go to the second region.
const MAX_LINES_OBJECT_BYTES: usize = 256;

/// The size that the heap grows to before it is collected for the first time: a short run never is. Later it may
/// always grow to this.
pub(super) const FIRST_BUDGET_BYTES: usize = 368 * 1024 * 1024;
/// A heap of at most so many bytes is small for [`Advice`].
const SMALL_HEAP_BYTES: usize = 96 * 1024 * 1024;
/// The least that is given out between two collections.
const MIN_BUDGET_BYTES: usize = 48 * 1024 * 1024;
/// The size that the heap is let grow to before it is collected, in hundredths of what lives.
const GROWTH_PERCENT: usize = 145;

/// A collection looks at everything again, rather than at what is young, when so much is old, in hundredths of
/// what lived after the last one that did.
const ANEW_PERCENT: usize = 160;
/// A test that collects again and again begins anew every so many times.
const TEST_TURNS: usize = 4;

/// A test that collects again and again asks once more for so many bytes that live.
const MAX_TEST_BYTES_A_TURN: usize = 4096;

/// An address has this many low bits within an entry of the second level of the table.
const PAGE_SHIFT: u32 = CHUNK_ALIGN.trailing_zeros();
/// Bits of the index into a table of the second level.
const TABLE_BITS: u32 = 15;

/// Regions, chunks, and the way from an address to its chunk.
#[derive(Default)]
pub(super) struct Space {
    /// By number; the place of a dead one is used again.
    pub(super) chunks: Vec<Option<Chunk>>,
    unused: Vec<u32>,
    table: Table,
    /// The regions of new chunks that were given up since the last collection.
    used: Vec<Used>,
    /// The place in the chunks from where free lines are looked for.
    next_line: (usize, usize),
    /// The same for the second region.
    next_apart: (usize, usize),
    /// What was given out since the last collection, and before that, without what is in use of the present region.
    given_bytes: usize,
    given_before: usize,
    budget_bytes: Option<usize>,
    next_chunk_bytes: usize,
    allocated_bytes: usize,
    pub(super) collections: usize,
    /// The bytes of lines in which something lived after the last collection, and after the last that began anew.
    live_bytes: usize,
    live_bytes_anew: usize,
    /// For tests: collect every so many times that evaluation asks.
    every: Option<usize>,
    /// What the test said; a large heap is collected less often.
    wanted_every: Option<usize>,
    asked: usize,
    /// Chunks that are never collected.
    immortal: Vec<Chunk>,
    advice: Option<Advice>,
}

/// Where one thread allocates.
#[derive(Default)]
pub(super) struct Local {
    /// The chunk of the present region, and where the region begins and ends.
    region: Option<Region>,
    /// The second region, with where it has got to.
    apart: Option<Used>,
    /// The region that is not in use: that for immortal objects, or while they are made the other.
    other: Present,
    is_immortal: bool,
    next_immortal_bytes: usize,
}

impl Local {
    /// Whether what is allocated is never collected.
    pub(super) fn is_immortal(&self) -> bool {
        self.is_immortal
    }

    /// Keeps one region's state and returns the other's.
    pub(super) fn swap(&mut self, present: Present) -> Present {
        self.is_immortal = !self.is_immortal;
        std::mem::replace(&mut self.other, present)
    }
}

/// Memory to allocate from.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) start: *mut u8,
    /// Its end, where the log begins.
    pub(super) top: *mut u8,
    is_lines: bool,
}

/// A region with objects in it.
#[derive(Clone, Copy)]
struct Used {
    region: Region,
    at: *mut u8,
    log: *mut u8,
}

/// The state of allocation in a region.
#[derive(Clone, Copy)]
pub(super) struct Present {
    pub(super) at: *mut u8,
    pub(super) log: *mut u8,
    pub(super) kept: *mut u8,
    pub(super) serial: u64,
}

impl Default for Present {
    fn default() -> Self {
        let null = ptr::null_mut();
        Self { at: null, log: null, kept: null, serial: 0 }
    }
}

impl Space {
    pub(super) fn new(advice: Option<Advice>) -> Self {
        Self { advice, ..Self::default() }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.allocated_bytes
    }

    fn advise(&self) -> Option<Advise> {
        let is_small = self.allocated_bytes <= SMALL_HEAP_BYTES;
        self.advice.map(|advice| if is_small { advice.small } else { advice.large })
    }

    /// All that was given out, as far as is known: of the caller's region what is in use up to `at`.
    pub(super) fn given_bytes(&self, local: &Local, at: *mut u8) -> usize {
        let present = match local.region {
            Some(region) if !local.is_immortal => at.addr() - region.start.addr(),
            _ => 0,
        };
        self.given_before + self.given_bytes + present
    }

    /// Has the heap collected every `count` times that evaluation asks.
    pub(super) fn collect_every(&mut self, count: usize) {
        self.every = Some(count);
        self.wanted_every = Some(count);
    }

    /// Whether to collect now that evaluation asks.
    pub(super) fn is_turn(&mut self) -> bool {
        let Some(every) = self.every else { return true };
        self.asked += 1;
        let is_turn = self.asked >= every;
        if is_turn {
            self.asked = 0;
        }
        is_turn
    }

    /// Whether it is time for a collection.
    pub(super) fn is_over_budget(&self) -> bool {
        self.every.is_some()
            || self.given_bytes >= self.budget_bytes.unwrap_or(FIRST_BUDGET_BYTES)
    }

    // ---- giving out ------------------------------------------------------------------------------

    /// Room for an object that the present region is not given up for.
    pub(super) fn reserve_apart(
        &mut self,
        local: &mut Local,
        bytes: usize,
        kind: Kind,
    ) -> Option<*mut u8> {
        if bytes > MAX_SHARED_BYTES {
            return Some(self.reserve_large(local, bytes, kind));
        }
        let is_lines = local.region.is_some_and(|region| region.is_lines);
        if bytes <= MAX_LINES_OBJECT_BYTES || !is_lines || local.is_immortal {
            return None;
        }
        let fits =
            |used: &Used| bytes + MAX_LOG_BYTES <= used.log.addr() - used.at.addr();
        let mut apart = match local.apart.filter(fits) {
            Some(apart) => apart,
            None => {
                if let Some(apart) = local.apart.take() {
                    self.leave(apart);
                }
                let least = MIN_APART_BYTES.max(bytes + MAX_LOG_BYTES);
                let mut from = self.next_apart;
                let region = self.free_lines(&mut from, least);
                self.next_apart = from;
                let region = region.unwrap_or_else(|| self.new_chunk());
                Used { region, at: region.start, log: region.top }
            }
        };
        let place = apart.at;
        // SAFETY: it fits.
        apart.at = unsafe { place.add(bytes) };
        // SAFETY: it fits with the longest entry.
        apart.log = unsafe { write_log(apart.log, bytes / ALIGN, kind) };
        local.apart = Some(apart);
        self.given_bytes += bytes;
        Some(place)
    }

    fn reserve_large(&mut self, local: &Local, bytes: usize, kind: Kind) -> *mut u8 {
        self.allocated_bytes += bytes;
        let chunk = Chunk::new(bytes, Some(kind), self.advise());
        let place = chunk.start();
        if local.is_immortal {
            self.immortal.push(chunk);
        } else {
            self.given_bytes += bytes;
            self.add(chunk);
        }
        place
    }

    /// Notes how much of the present region was used.
    pub(super) fn retire(&mut self, local: &mut Local, at: *mut u8, log: *mut u8) {
        if local.is_immortal {
            return;
        }
        let Some(region) = local.region.take() else { return };
        self.given_bytes += at.addr() - region.start.addr();
        if at > region.start {
            self.leave(Used { region, at, log });
        }
    }

    /// A region is given up. A chunk that was swept has a map, which learns of it at once; there are too many of
    /// such regions to remember them all.
    fn leave(&mut self, used: Used) {
        if used.region.is_lines {
            self.enter(used);
        } else {
            self.used.push(used);
        }
    }

    /// Enters the objects of a region in the map of its chunk.
    fn enter(&mut self, used: Used) {
        let start = used.region.start.addr();
        let Some(number) = self.table.get(start) else { return };
        if let Some(chunk) = &mut self.chunks[number as usize] {
            let (at, log) = (used.at.addr(), used.log.addr());
            // SAFETY: the region was made in this chunk, and only `write_log` has written its log.
            unsafe { chunk.enter(start, at, log, used.region.top.addr()) };
        }
    }

    /// The region to allocate from next; it has room for at least `bytes`.
    pub(super) fn next_region(&mut self, local: &mut Local, bytes: usize) -> Region {
        if local.is_immortal {
            let size = local.next_immortal_bytes.max(FIRST_CHUNK_BYTES);
            local.next_immortal_bytes = (size * 2).min(MAX_CHUNK_BYTES);
            self.allocated_bytes += size;
            let chunk = Chunk::new(size, None, self.advise());
            let start = chunk.start();
            self.immortal.push(chunk);
            return Region { start, top: start.wrapping_add(size), is_lines: false };
        }
        let least = MIN_LINES_BYTES.max(bytes);
        let mut from = self.next_line;
        let region = self.free_lines(&mut from, least);
        self.next_line = from;
        let region = region.unwrap_or_else(|| self.new_chunk());
        local.region = Some(region);
        region
    }

    fn new_chunk(&mut self) -> Region {
        let size = self.next_chunk_bytes.max(FIRST_CHUNK_BYTES);
        self.next_chunk_bytes = (size * 2).min(MAX_CHUNK_BYTES);
        self.allocated_bytes += size;
        let chunk = Chunk::new(size, None, self.advise());
        let start = chunk.start();
        self.add(chunk);
        Region { start, top: start.wrapping_add(size), is_lines: false }
    }

    /// The next run of at least so many bytes of free lines in the chunks that were swept.
    fn free_lines(&mut self, from: &mut (usize, usize), least: usize) -> Option<Region> {
        let (mut index, mut line) = *from;
        while let Some(slot) = self.chunks.get_mut(index) {
            let found = slot.as_mut().and_then(|chunk| {
                let (first, end) = chunk.free_lines(line)?;
                Some((chunk, first, end))
            });
            let Some((chunk, first, end)) = found else {
                (index, line) = (index + 1, 0);
                continue;
            };
            line = end;
            if (end - first) * LINE_BYTES >= least {
                let (start, top) = chunk.take_lines(first, end);
                *from = (index, line);
                return Some(Region { start, top, is_lines: true });
            }
        }
        *from = (index, line);
        None
    }

    fn add(&mut self, chunk: Chunk) {
        let number = match self.unused.pop() {
            Some(number) => number,
            None => {
                self.chunks.push(None);
                u32::try_from(self.chunks.len() - 1).expect("memory ends before")
            }
        };
        self.table.set(&chunk, number + 1);
        // What is made between two collections has no free lines.
        self.chunks[number as usize] = Some(chunk);
    }

    // ---- collecting ------------------------------------------------------------------------------

    /// Notes what a thread has allocated, which has no present region after this.
    pub(super) fn retire_all(&mut self, local: &mut Local, at: *mut u8, log: *mut u8) {
        self.retire(local, at, log);
        if let Some(apart) = local.apart.take() {
            self.leave(apart);
        }
    }

    /// Brings the maps up to date. No thread has a present region.
    pub(super) fn enter_used(&mut self) {
        for chunk in self.chunks.iter_mut().flatten() {
            chunk.prepare();
        }
        for used in std::mem::take(&mut self.used) {
            self.enter(used);
        }
    }

    /// The chunk that an address lies in, and its word there.
    #[inline]
    pub(super) fn find(&self, addr: usize) -> Option<(u32, usize)> {
        let number = self.table.get(addr)?;
        let chunk = self.chunks[number as usize].as_ref()?;
        let offset = addr.checked_sub(chunk.start().addr())?;
        (offset < chunk.bytes()).then_some((number, offset / ALIGN))
    }

    /// Whether the next collection begins anew; it looks at what is young only if not. Takes all marks off if so.
    pub(super) fn begins_anew(&mut self) -> bool {
        let is_test_turn =
            self.every.is_some() && self.collections.is_multiple_of(TEST_TURNS);
        let much = self.live_bytes_anew / 100 * ANEW_PERCENT;
        if self.collections > 0 && !is_test_turn && self.live_bytes <= much {
            return false;
        }
        for chunk in self.chunks.iter_mut().flatten() {
            chunk.unmark();
        }
        true
    }

    /// Frees what was not marked, and sets the budget until the next collection.
    pub(super) fn sweep(&mut self, is_anew: bool) {
        let mut live = 0;
        for number in 0..self.chunks.len() {
            let Some(chunk) = &mut self.chunks[number] else { continue };
            match chunk.sweep() {
                Swept::Lives(bytes) => live += bytes,
                Swept::Dead => {
                    self.table.set(chunk, 0);
                    self.allocated_bytes -= chunk.bytes();
                    self.chunks[number] = None;
                    self.unused.extend(u32::try_from(number).ok());
                }
            }
        }
        self.next_line = (0, 0);
        self.next_apart = (0, 0);
        self.given_before += std::mem::take(&mut self.given_bytes);
        self.collections += 1;
        self.live_bytes = live;
        if is_anew {
            self.live_bytes_anew = live;
        }
        // A test of a large heap ends, too.
        self.every = self.wanted_every.map(|every| every + live / MAX_TEST_BYTES_A_TURN);
        let size = (live / 100 * GROWTH_PERCENT).max(FIRST_BUDGET_BYTES);
        self.budget_bytes = Some(size.saturating_sub(live).max(MIN_BUDGET_BYTES));
    }
}

/// From addresses to chunks: the upper bits choose a table, the ones below an entry.
#[derive(Default)]
struct Table {
    tables: Vec<(usize, Box<[u32]>)>,
}

impl Table {
    fn split(addr: usize) -> (usize, usize) {
        let page = addr >> PAGE_SHIFT;
        (page >> TABLE_BITS, page & ((1 << TABLE_BITS) - 1))
    }

    /// The number of the chunk whose pages an address lies in.
    #[inline]
    fn get(&self, addr: usize) -> Option<u32> {
        let (upper, lower) = Self::split(addr);
        let (_, table) = self.tables.iter().find(|(known, _)| *known == upper)?;
        table[lower].checked_sub(1)
    }

    /// Sets the entries of a chunk's pages; zero takes them away.
    fn set(&mut self, chunk: &Chunk, entry: u32) {
        let start = chunk.start().addr();
        for page in (start..start + chunk.bytes()).step_by(CHUNK_ALIGN) {
            let (upper, lower) = Self::split(page);
            let known = self.tables.iter().position(|(known, _)| *known == upper);
            let index = known.unwrap_or_else(|| {
                self.tables.push((upper, vec![0; 1 << TABLE_BITS].into_boxed_slice()));
                self.tables.len() - 1
            });
            self.tables[index].1[lower] = entry;
        }
    }
}
