//! Positions in source texts.
//!
//! A [`Pos`] is one number over all texts of an evaluation: each text is given a range of numbers when it is
//! read, as a linker lays out sections. Line and column are computed only when a position is shown.

/// A position in one of the texts of an evaluation; see [`crate::source::Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos(pub(crate) u32);

impl Pos {
    /// No position: the thing was not written in a source text.
    pub const NONE: Self = Self(0);

    /// Whether this names a place.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}
