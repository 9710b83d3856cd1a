//! The texts of an evaluation, and what a [`Pos`] means in them.

use std::cell::RefCell;
use std::rc::Rc;

use picnix_syntax::{LineIndex, Span};

use crate::pos::Pos;
use crate::shared::{Common, Shared};
use crate::value::Heap;

/// Where a text came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'h> {
    /// A file: its absolute path.
    File(&'h [u8]),
    /// An argument such as `-E`.
    Text,
    /// Standard input.
    Stdin,
    /// A text inside the evaluator.
    Internal(&'static str),
}

/// One text.
pub struct Source<'h> {
    /// Where it came from.
    pub origin: Origin<'h>,
    /// Its bytes.
    pub text: &'h [u8],
    start: u32,
}

/// A position that a person can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'h> {
    /// Which text.
    pub origin: Origin<'h>,
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1.
    pub column: u32,
}

/// All texts of an evaluation.
pub struct Sources<'h> {
    heap: &'h Heap,
    list: RefCell<Vec<&'h Source<'h>>>,
    /// The texts of all threads. Those of this thread are the first of them.
    common: Shared<Vec<&'h Source<'h>>>,
    /// By the start of the text; made only for texts whose places are asked for.
    lines: RefCell<crate::evaluator::Map<u32, Rc<LineIndex>>>,
}

/// The most bytes of source text in one evaluation: a [`Pos`] has 32 bits.
pub const MAX_SOURCE_BYTES: u32 = u32::MAX - 1;

impl<'h> Sources<'h> {
    /// Makes an empty collection.
    #[must_use]
    pub fn new(heap: &'h Heap) -> Self {
        Self {
            heap,
            list: RefCell::default(),
            common: Shared::default(),
            lines: RefCell::default(),
        }
    }

    /// The texts, for other threads.
    pub(crate) fn share(&self) -> Common<Vec<&'h Source<'h>>> {
        self.common.share(|| self.list.borrow().clone())
    }

    /// The texts of an evaluation, for one more thread.
    pub(crate) fn of(common: Common<Vec<&'h Source<'h>>>, heap: &'h Heap) -> Self {
        Self { common: Shared::of(common), ..Self::new(heap) }
    }

    /// Adds the texts that other threads have read.
    fn learn(&self) {
        if let Some(common) = self.common.lock() {
            let mut list = self.list.borrow_mut();
            let known = list.len();
            list.extend_from_slice(&common[known..]);
        }
    }

    /// Adds a text; none if the texts together would exceed [`MAX_SOURCE_BYTES`].
    pub fn add(&self, origin: Origin<'h>, text: &'h [u8]) -> Option<&'h Source<'h>> {
        let mut common = self.common.lock();
        let mut list = self.list.borrow_mut();
        if let Some(common) = &common {
            let known = list.len();
            list.extend_from_slice(&common[known..]);
        }
        let start = list.last().map_or(Some(1), |last| {
            last.start.checked_add(u32::try_from(last.text.len()).ok()?)?.checked_add(1)
        })?;
        let length = u32::try_from(text.len()).ok()?;
        start.checked_add(length).filter(|end| *end <= MAX_SOURCE_BYTES)?;
        let source: &'h Source<'h> =
            self.heap.immortal(|| self.heap.alloc(Source { origin, text, start }));
        list.push(source);
        if let Some(common) = &mut common {
            common.push(source);
        }
        Some(source)
    }

    /// The text of a file that was read.
    pub fn file(&self, path: &[u8]) -> Option<&'h Source<'h>> {
        self.learn();
        let list = self.list.borrow();
        list.iter().copied().find(|source| source.origin == Origin::File(path))
    }

    /// The text that a position lies in.
    pub fn source(&self, pos: Pos) -> Option<&'h Source<'h>> {
        let lies_in =
            |last: &&Source<'h>| pos.0 as usize <= last.start as usize + last.text.len();
        if !self.list.borrow().last().is_some_and(lies_in) {
            self.learn();
        }
        let list = self.list.borrow();
        let index = list.partition_point(|source| source.start <= pos.0);
        index.checked_sub(1).map(|index| list[index])
    }

    /// The text, line and column of a position.
    pub fn place(&self, pos: Pos) -> Option<Place<'h>> {
        let source = self.source(pos).filter(|_| pos.is_some())?;
        let at = self.line_index(source).line_column(pos.0 - source.start);
        Some(Place { origin: source.origin, line: at.line, column: at.column })
    }
}

impl<'h> Sources<'h> {
    /// The lines of a text.
    pub fn line_index(&self, source: &Source<'h>) -> Rc<LineIndex> {
        let mut lines = self.lines.borrow_mut();
        lines
            .entry(source.start)
            .or_insert_with(|| Rc::new(LineIndex::new(source.text)))
            .clone()
    }
}

impl<'h> Source<'h> {
    /// The position of a byte offset.
    #[must_use]
    pub fn pos(&self, offset: u32) -> Pos {
        Pos(self.start + offset)
    }

    /// The position at which a span begins.
    #[must_use]
    pub fn start_of(&self, span: Span) -> Pos {
        self.pos(span.start)
    }

    /// The byte offset of a position in this text.
    pub(crate) fn offset(&self, pos: Pos) -> u32 {
        pos.0 - self.start
    }

    /// The directory of a file.
    #[must_use]
    pub fn directory(&self) -> Option<&'h [u8]> {
        let Origin::File(path) = self.origin else { return None };
        Self::directory_of(path)
    }

    /// The directory of a path.
    pub(crate) fn directory_of(path: &[u8]) -> Option<&[u8]> {
        let end = memchr::memrchr(b'/', path)?;
        Some(if end == 0 { b"/" } else { &path[..end] })
    }
}
