//! Strings and their contexts.
//!
//! A string is bytes (Nix promises no encoding, only that there is no NUL) and the set of store objects that
//! it depends on. The bytes may be a part of another string's.

use std::borrow::Cow;

use crate::symbol::Symbol;

/// A store path that strings depend on, as a number that [`crate::Evaluator::store_path`] resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub(crate) u32);

/// One dependency of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContextElement {
    /// A store object as it is.
    Opaque(PathId),
    /// A derivation and everything that it refers to, with all outputs (`drvPath` of a derivation).
    DrvDeep(PathId),
    /// An output of a derivation.
    Built(PathId, Symbol),
    /// An output of an output of a derivation, and so on: the names of the outputs, the last one first, with `!`
    /// between them, as Nix encodes them.
    Dynamic(PathId, Symbol),
}

/// The dependencies of a string: sorted, without duplicates, possibly none.
pub type Context<'h> = &'h [ContextElement];

/// A string value.
pub struct Str<'h> {
    /// The bytes.
    pub bytes: &'h [u8],
    /// The dependencies.
    pub context: Context<'h>,
}

impl Str<'_> {
    /// Whether the string depends on anything.
    #[must_use]
    pub fn has_context(&self) -> bool {
        !self.context.is_empty()
    }

    /// The text, with a replacement character for what is not UTF-8.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes)
    }
}
