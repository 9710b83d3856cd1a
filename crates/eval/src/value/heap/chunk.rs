//! A piece of memory that was asked of the system, and the map that says which objects lie in it.
//!
//! The map has four bits for every word of the chunk. Zero means that the word belongs to the object or gap
//! that began before it. An object's first word has its [`Kind`], and [`MARK`] once a collection has reached it;
//! a gap's first word has [`FREE`]. So every object ends where the next code is. Maps are made by the first
//! collection: a short run has none.
//!
//! After a collection, memory is given out again in *lines*: a line without a living object is free.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{ALIGN, Advise, POISON};

/// What free memory is counted in.
pub(super) const LINE_BYTES: usize = 32;
/// Chunks begin at multiples of this, so that an address tells its chunk.
pub(super) const CHUNK_ALIGN: usize = 32 * 1024;
/// Chunks that are at least as large begin at multiples of this: the size of a large page on most machines.
pub(super) const LARGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

const LINE_WORDS: usize = LINE_BYTES / ALIGN;
const CODE_BITS: usize = 4;
/// How many codes a word of the map has.
const CODES: usize = 64 / CODE_BITS;
/// The code at the first word of a gap.
const FREE: u8 = 7;
/// The bit of a code that says: reached by this collection, or by one since the last that began anew.
const MARK: u8 = 8;
/// How many lines a word of the map is about.
const CODE_LINES: usize = CODES / LINE_WORDS;
/// The lowest bits of all codes of a word of the map.
const LOWEST: u64 = 0x1111_1111_1111_1111;
/// All codes of a word of the map without their marks.
const KINDS: u64 = 0x7777_7777_7777_7777;

/// How the collector looks into an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// It holds no references.
    Leaf = 1,
    /// Slots.
    Slots = 2,
    /// A scope.
    Env = 3,
    /// One thunk.
    Thunk = 4,
    /// An attribute set.
    Attrs = 5,
    /// Words, of which any may be a reference.
    Words = 6,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code & !MARK {
            1 => Self::Leaf,
            2 => Self::Slots,
            3 => Self::Env,
            4 => Self::Thunk,
            5 => Self::Attrs,
            6 => Self::Words,
            _ => return None,
        })
    }
}

/// A piece of memory.
pub(super) struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
    /// Atomic, since several threads may mark.
    map: Vec<AtomicU64>,
    /// By line, whether something lives in it.
    live: Vec<u64>,
    /// The size of the one object that the chunk was made for, if it is that.
    large: Option<(usize, Kind)>,
    is_marked: AtomicBool,
}

// SAFETY: what the memory holds is the business of those who have references into it.
unsafe impl Sync for Chunk {}

/// How many threads mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markers {
    One,
    Several,
}

/// What a collection left of a chunk.
pub(super) enum Swept {
    /// So many bytes of lines that something lives in.
    Lives(usize),
    /// Nothing; the chunk was one large object.
    Dead,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated with this layout, and is freed only here. References into it borrow
        // from the heap and have ended, or a collection found none.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Chunk {
    /// Asks the system for memory. `advise` learns of memory that large pages fit in.
    pub(super) fn new(bytes: usize, large: Option<Kind>, advise: Option<Advise>) -> Self {
        #[cfg(fuzzing)]
        crate::fuel::burn(bytes as u64 / 64);
        let has_large_pages = bytes >= LARGE_PAGE_BYTES;
        let align = if has_large_pages { LARGE_PAGE_BYTES } else { CHUNK_ALIGN };
        let layout = Layout::from_size_align(bytes, align).expect("memory is finite");
        // SAFETY: no caller asks for zero bytes.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        if let Some(advise) = advise.filter(|_| has_large_pages) {
            advise(start.as_ptr(), bytes);
        }
        let large = large.map(|kind| (bytes, kind));
        Self {
            start,
            layout,
            map: Vec::new(),
            live: Vec::new(),
            large,
            is_marked: AtomicBool::new(false),
        }
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(super) fn bytes(&self) -> usize {
        self.layout.size()
    }

    pub(super) fn is_large(&self) -> bool {
        self.large.is_some()
    }

    // ---- the map ---------------------------------------------------------------------------------

    /// Makes the map, if there is none.
    pub(super) fn prepare(&mut self) {
        if self.map.is_empty() && self.large.is_none() {
            let words = (self.bytes() / ALIGN).div_ceil(CODES);
            self.map = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        }
    }

    /// A word of the map.
    #[inline]
    fn codes(&self, index: usize) -> u64 {
        self.map[index].load(Ordering::Relaxed)
    }

    fn code(&self, word: usize) -> u8 {
        let code = self.codes(word / CODES) >> (word % CODES * CODE_BITS);
        u8::try_from(code & 15).expect("four bits are a byte")
    }

    fn set_code(&mut self, word: usize, code: u8) {
        let shift = word % CODES * CODE_BITS;
        let place = self.map[word / CODES].get_mut();
        *place = *place & !(15 << shift) | u64::from(code) << shift;
    }

    /// Enters the objects of a region: `top` is where its log began, `log` where it ends, `at` where the objects
    /// end.
    ///
    /// # Safety
    /// The region lies in this chunk, and its log was written by `write_log`.
    pub(super) unsafe fn enter(
        &mut self,
        start: usize,
        at: usize,
        log: usize,
        top: usize,
    ) {
        let memory = self.start.as_ptr();
        let base = memory.addr();
        // SAFETY: the caller says that the log lies in the chunk, and that it was written.
        let read = |at: usize| unsafe { *memory.add(at - base) };
        let mut entry = top;
        let mut word = (start - base) / ALIGN;
        while entry > log {
            entry -= 1;
            let first = read(entry);
            let mut words = usize::from(first >> 3);
            if words == 0 {
                entry -= 2;
                words = usize::from(u16::from_le_bytes([read(entry + 1), read(entry)]));
            }
            self.set_code(word, first & 7);
            word += words;
        }
        debug_assert_eq!(base + word * ALIGN, at, "the log tells of every object");
        if at < top {
            self.set_code(word, FREE);
        }
    }

    /// The first word of the object that a word belongs to.
    pub(super) fn object_at(&self, word: usize) -> Option<usize> {
        if self.is_large() {
            return Some(0);
        }
        let mut index = word / CODES;
        let above = (CODES - 1 - word % CODES) * CODE_BITS;
        let mut codes = (self.codes(index) & KINDS) << above >> above;
        while codes == 0 {
            index = index.checked_sub(1)?;
            codes = self.codes(index) & KINDS;
        }
        let last = (63 - codes.leading_zeros() as usize) / CODE_BITS;
        let word = index * CODES + last;
        (self.code(word) & !MARK != FREE).then_some(word)
    }

    /// Where the object or gap that begins at a word ends.
    fn end_of(&self, word: usize) -> usize {
        let words = self.bytes() / ALIGN;
        let next = word + 1;
        let mut index = next / CODES;
        if index >= self.map.len() {
            return words;
        }
        let below = next % CODES * CODE_BITS;
        let mut codes = (self.codes(index) & KINDS) >> below << below;
        while codes == 0 {
            index += 1;
            if index == self.map.len() {
                return words;
            }
            codes = self.codes(index) & KINDS;
        }
        index * CODES + codes.trailing_zeros() as usize / CODE_BITS
    }

    /// Has the processor fetch what `object_at` and `object` will look at.
    #[inline]
    pub(super) fn ask_for(&self, word: usize) {
        if let Some(codes) = self.map.get(word / CODES) {
            prefetch(std::ptr::from_ref(codes).cast());
            prefetch(self.place(word));
        }
    }

    /// Marks the object that begins at a word, and tells whether it was not marked before.
    #[inline]
    pub(super) fn mark(&self, word: usize, markers: Markers) -> bool {
        if self.is_large() {
            return !self.is_marked.swap(true, Ordering::Relaxed);
        }
        let bit = u64::from(MARK) << (word % CODES * CODE_BITS);
        let place = &self.map[word / CODES];
        let before = place.load(Ordering::Relaxed);
        if before & bit != 0 {
            return false;
        }
        match markers {
            Markers::One => {
                place.store(before | bit, Ordering::Relaxed);
                true
            }
            Markers::Several => place.fetch_or(bit, Ordering::Relaxed) & bit == 0,
        }
    }

    /// The address of a word.
    #[inline]
    pub(super) fn place(&self, word: usize) -> *mut u8 {
        self.start().wrapping_add(word * ALIGN)
    }

    /// The size in bytes of the object that begins at a word.
    pub(super) fn bytes_of(&self, word: usize) -> usize {
        match self.large {
            Some((bytes, _)) => bytes,
            None => (self.end_of(word) - word) * ALIGN,
        }
    }

    /// The kind of the object that begins at a word.
    pub(super) fn kind(&self, word: usize) -> Option<Kind> {
        match self.large {
            Some((_, kind)) => Some(kind),
            None => Kind::from_code(self.code(word)),
        }
    }

    /// Whether the object that begins at a word is marked.
    pub(super) fn is_marked(&self, word: usize) -> bool {
        if self.is_large() {
            self.is_marked.load(Ordering::Relaxed)
        } else {
            self.code(word) & MARK != 0
        }
    }

    /// Takes the marks off all objects.
    pub(super) fn unmark(&mut self) {
        *self.is_marked.get_mut() = false;
        for codes in &mut self.map {
            *codes.get_mut() &= KINDS;
        }
    }

    // ---- after marking ---------------------------------------------------------------------------

    /// Makes gaps of the objects that are not marked. The others stay marked.
    pub(super) fn sweep(&mut self) -> Swept {
        if self.is_large() {
            let lives = *self.is_marked.get_mut();
            return if lives { Swept::Lives(self.bytes()) } else { Swept::Dead };
        }
        self.live.clear();
        self.live.resize((self.bytes() / LINE_BYTES).div_ceil(64), 0);
        let mut reaches = false;
        // For tests: words of the map with the objects that are dead.
        let mut dead = Vec::new();
        for (index, codes) in self.map.iter_mut().enumerate() {
            let codes = codes.get_mut();
            let swept = sweep_codes(*codes, reaches);
            (*codes, reaches) = (swept.codes, swept.reaches);
            let lines = index * CODE_LINES;
            self.live[lines / 64] |= swept.lines << (lines % 64);
            if cfg!(debug_assertions) && swept.dead != 0 {
                dead.push((index, swept.dead));
            }
        }
        self.poison(dead);
        let lines: u32 = self.live.iter().map(|lines| lines.count_ones()).sum();
        Swept::Lives(lines as usize * LINE_BYTES)
    }

    /// Fills the memory of the objects that a sweep has found dead.
    fn poison(&self, found: Vec<(usize, u64)>) {
        for (index, mut dead) in found {
            while dead != 0 {
                let word = index * CODES + dead.trailing_zeros() as usize / CODE_BITS;
                dead &= dead - 1;
                let bytes = (self.end_of(word) - word) * ALIGN;
                // SAFETY: the object lies in this chunk, and nothing refers to it: no collection that is right
                // would have left it without a mark.
                unsafe { self.place(word).write_bytes(POISON, bytes) };
            }
        }
    }

    /// The next run of free lines from a line on: its first line and the line after its last.
    pub(super) fn free_lines(&self, from: usize) -> Option<(usize, usize)> {
        let lines = self.live.len() * 64;
        let lines = lines.min(self.bytes() / LINE_BYTES);
        let first = next_line(&self.live, from, lines, |live| !live);
        let end = next_line(&self.live, first, lines, |live| live);
        (first < end).then_some((first, end))
    }

    /// Makes one gap of free lines, and returns where they begin and end. They are free no more.
    pub(super) fn take_lines(&mut self, first: usize, end: usize) -> (*mut u8, *mut u8) {
        let per_word = CODES / LINE_WORDS;
        let mut line = first;
        while line < end {
            let below = line % per_word;
            let count = (per_word - below).min(end - line);
            let codes = u64::MAX >> (64 - count * LINE_WORDS * CODE_BITS);
            *self.map[line / per_word].get_mut() &=
                !(codes << (below * LINE_WORDS * CODE_BITS));
            line += count;
        }
        for line in first..end {
            self.live[line / 64] |= 1 << (line % 64);
        }
        self.set_code(first * LINE_WORDS, FREE);
        let place = |line: usize| self.start().wrapping_add(line * LINE_BYTES);
        (place(first), place(end))
    }
}

/// What [`sweep_codes`] has found.
struct SweptCodes {
    codes: u64,
    /// A bit for each line in which something lives.
    lines: u64,
    /// Whether what begins last lives.
    reaches: bool,
    /// The lowest bits of the codes of objects that have become gaps.
    dead: u64,
}

/// Makes gaps of the objects without a mark in a word of the map. `reaches` says whether what began before it lives.
#[inline]
fn sweep_codes(codes: u64, reaches: bool) -> SweptCodes {
    if codes == 0 {
        let lines = if reaches { (1 << CODE_LINES) - 1 } else { 0 };
        return SweptCodes { codes, lines, reaches, dead: 0 };
    }
    let kinds = codes & KINDS;
    let starts = (kinds | kinds >> 1 | kinds >> 2) & LOWEST;
    let gaps = kinds & kinds >> 1 & kinds >> 2 & LOWEST;
    let marks = codes >> 3 & LOWEST;
    let dead = starts & !gaps & !marks;
    let mut swept =
        SweptCodes { codes: codes | (dead * u64::from(FREE)), lines: 0, reaches, dead };
    for line in 0..CODE_LINES {
        let shift = line * LINE_WORDS * CODE_BITS;
        let of_line = |bits: u64| (bits >> shift) & ((1 << (LINE_WORDS * CODE_BITS)) - 1);
        let (starts, marks) = (of_line(starts), of_line(marks));
        let lives = marks != 0 || swept.reaches && starts & 1 == 0;
        swept.lines |= u64::from(lives) << line;
        if starts != 0 {
            swept.reaches = marks > starts >> 1;
        }
    }
    swept
}

/// Has the processor fetch a line of memory, where there is a way to say so.
#[inline]
fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: this is a hint, whatever the address is.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
            place.cast(),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// The first line from one on, and before `lines`, whose bit `select` leaves set.
fn next_line(
    live: &[u64],
    from: usize,
    lines: usize,
    select: impl Fn(u64) -> u64,
) -> usize {
    let mut index = from / 64;
    let mut above = from % 64;
    while let Some(word) = live.get(index) {
        let bits = select(*word) >> above;
        if bits != 0 {
            return lines.min(index * 64 + above + bits.trailing_zeros() as usize);
        }
        (index, above) = (index + 1, 0);
    }
    lines
}
