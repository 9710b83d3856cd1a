//! Values of the Nix language.
//!
//! A [`Value`] is two words and `Copy`: small things lie in it, everything else is a reference into the
//! [`Heap`]. A value may be a [`Thunk`]; [`crate::Evaluator::force`] turns it into weak head normal form.
//! Lists, attribute sets and environments hold their members in [`Slot`]s, so that the result of a thunk can
//! replace the thunk where it is read.

mod attrs;
mod heap;
mod string;

pub use attrs::{Attr, Attrs, AttrsBuilder, Shape};
pub use heap::{Advice, Advise, Env, Heap, Held, Items, Slot, State, Thunk};
pub(crate) use heap::{Claim, Seat, still_needed};
pub use string::{Context, ContextElement, PathId, Str};

use crate::builtins::Builtin;
use crate::expr::Lambda;

/// A value, or a thunk that will become one.
///
/// The tag is a word, so that a value is copied as two words. With a tag of one byte, compilers copy the
/// bytes between tag and payload in pieces, and every read that follows waits for them.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Value<'h> {
    // The numbers of these are the tags of their references in slots.
    /// A suspended expression.
    Thunk(&'h Thunk<'h>) = 0,
    /// An attribute set.
    Attrs(&'h Attrs<'h>) = 1,
    /// A list.
    List(&'h List<'h>) = 2,
    /// A byte string with its context.
    String(&'h Str<'h>) = 3,
    /// A function written in Nix.
    Lambda(&'h Closure<'h>) = 4,
    /// An absolute, canonical path: no `.`, no `..`, no doubled or trailing slash.
    Path(&'h PathValue<'h>) = 5,
    /// A builtin that has some of its arguments.
    Partial(&'h Partial<'h>) = 6,
    /// A builtin that has no arguments yet.
    Builtin(&'static Builtin) = 8,
    /// `null`
    Null = 9,
    /// `true` or `false`
    Bool(bool) = 10,
    /// A 64-bit signed integer.
    Int(i64) = 11,
    /// A double.
    Float(f64) = 12,
}

const _: () = assert!(size_of::<Value<'_>>() == 16);
const _: () = assert!(size_of::<crate::Result<Value<'_>>>() == 16);

impl<'h> Value<'h> {
    /// The value as Nix's messages name its type: "an integer", "a set".
    #[must_use]
    pub fn type_phrase(self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(_) => "a Boolean".into(),
            Self::Int(_) => "an integer".into(),
            Self::Float(_) => "a float".into(),
            Self::String(string) if string.has_context() => {
                "a string with context".into()
            }
            Self::String(_) => "a string".into(),
            Self::Path(_) => "a path".into(),
            Self::List(_) => "a list".into(),
            Self::Attrs(_) => "a set".into(),
            Self::Lambda(_) => "a function".into(),
            Self::Builtin(builtin) => {
                format!("the built-in function '{}'", builtin.name)
            }
            Self::Partial(partial) => {
                format!(
                    "the partially applied built-in function '{}'",
                    partial.builtin.name
                )
            }
            Self::Thunk(_) => "a thunk".into(),
        }
    }

    /// The answer of `builtins.typeOf`; a thunk has none.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Path(_) => "path",
            Self::List(_) => "list",
            Self::Attrs(_) => "set",
            Self::Lambda(_) | Self::Builtin(_) | Self::Partial(_) => "lambda",
            Self::Thunk(_) => "thunk",
        }
    }

    /// Whether the value is in weak head normal form, or a thunk that has been forced already.
    #[must_use]
    pub fn is_forced(self) -> bool {
        match self {
            Self::Thunk(thunk) => thunk.value().is_some(),
            _ => true,
        }
    }

    /// The address of what the value refers to, if that may lie in the heap.
    pub(crate) fn address(self) -> Option<usize> {
        fn of<T>(object: &T) -> Option<usize> {
            Some(std::ptr::from_ref(object).addr())
        }
        match self {
            Self::String(string) => of(string),
            Self::Path(path) => of(path),
            Self::List(list) => of(list),
            Self::Attrs(attrs) => of(attrs),
            Self::Lambda(closure) => of(closure),
            Self::Partial(partial) => of(partial),
            Self::Thunk(thunk) => of(thunk),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Builtin(_) => None,
        }
    }

    /// Follows a forced thunk to its value; anything else is itself.
    #[inline]
    #[must_use]
    pub fn peek(self) -> Self {
        if let Self::Thunk(thunk) = self
            && let Some(value) = thunk.value()
        {
            return value;
        }
        self
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "Bool({value})"),
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Float(value) => write!(f, "Float({value})"),
            Self::String(string) => write!(f, "String({:?})", string.to_string_lossy()),
            other => f.write_str(&other.type_phrase()),
        }
    }
}

/// A list.
pub struct List<'h> {
    /// Its elements in order.
    pub items: &'h [Slot<'h>],
}

impl<'h> List<'h> {
    /// The number of elements.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements, forced or not.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'h>> + 'h {
        self.items.iter().map(Slot::get)
    }
}

/// A path value.
pub struct PathValue<'h> {
    /// The absolute, canonical path.
    pub bytes: &'h [u8],
}

/// A function: its code and the scope that it was made in.
pub struct Closure<'h> {
    /// The code.
    pub lambda: &'h Lambda<'h>,
    /// The scope.
    pub env: Env<'h>,
}

/// A builtin with some, but not all, of its arguments.
pub struct Partial<'h> {
    /// The builtin.
    pub builtin: &'static Builtin,
    /// The arguments so far: fewer than its arity.
    pub arguments: &'h [Value<'h>],
}
