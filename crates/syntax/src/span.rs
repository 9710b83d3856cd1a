//! Byte ranges of a source text, and their lines and columns.
//!
//! A [`Span`] is two byte offsets; which file it belongs to is known by whoever holds the tree. Lines
//! and columns are worked out only when somebody asks, by a [`LineIndex`]. They are counted as Nix
//! counts them: both from 1, columns in bytes, and `\n`, `\r` and `\r\n` each end a line.

/// A half-open range of byte offsets in one source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The offset of the first byte.
    pub start: u32,
    /// The offset just after the last byte.
    pub end: u32,
}

impl Span {
    /// The range from `start` to just before `end`.
    pub const fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// The empty range at `offset`.
    pub const fn at(offset: u32) -> Span {
        Span { start: offset, end: offset }
    }

    /// The smallest range that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The bytes of `source` in this range; empty where the range lies outside.
    pub fn slice_of(self, source: &[u8]) -> &[u8] {
        source.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A place that a person can find: line and column, both counted from 1, the column in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineColumn {
    /// The line, the first is 1.
    pub line: u32,
    /// The column in bytes, the first is 1.
    pub column: u32,
}

/// The offsets at which the lines of one source text begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Finds the line starts of `source`; one pass over the text.
    pub fn new(source: &[u8]) -> LineIndex {
        let mut starts = vec![0];
        for end in memchr::memchr2_iter(b'\n', b'\r', source) {
            let pair = source[end] == b'\r' && source.get(end + 1) == Some(&b'\n');
            if !pair {
                starts.push(u32::try_from(end + 1).unwrap_or(u32::MAX));
            }
        }
        LineIndex { starts }
    }

    /// Line and column of a byte offset. Offsets past the end are on the last line.
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        LineColumn {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: offset - start + 1,
        }
    }

    /// The text of a line (the first is 1) without its end; `None` where there is no such line.
    ///
    /// What follows a final line end is not a line unless `offset`s point there, as in Nix.
    pub fn line<'s>(&self, source: &'s [u8], line: u32) -> Option<&'s [u8]> {
        let index = (line as usize).checked_sub(1)?;
        let start = *self.starts.get(index)? as usize;
        let end = self.starts.get(index + 1).map_or(source.len(), |&end| end as usize);
        let text = source.get(start..end)?;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Some(text.strip_suffix(b"\r").unwrap_or(text))
    }

    /// How many line starts there are; a text that ends in a line end has an empty last line.
    pub fn line_count(&self) -> usize {
        self.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_bytes_and_every_line_end_counts() {
        let source = b"a\r\nb\rc\n\xc3\xa9d";
        let index = LineIndex::new(source);
        let at = |offset| {
            let place = index.line_column(offset);
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (2, 1));
        assert_eq!(at(5), (3, 1));
        assert_eq!(at(9), (4, 3));
        assert_eq!(index.line(source, 1), Some(&b"a"[..]));
        assert_eq!(index.line(source, 4), Some("éd".as_bytes()));
        assert_eq!(index.line(source, 5), None);
    }
}
