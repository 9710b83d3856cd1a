//! Errors of the language.
//!
//! An [`Error`] is one pointer and owns its texts, so that it can leave the evaluation. It is made by
//! [`bail!`] or [`err!`], is given a position by [`At::at`], and collects a trace on its way out through
//! [`At::trace`]. The wording of messages is Nix's, because people and test suites match on it.

use crate::pos::Pos;

/// What a fallible step of evaluation returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error: it decides what can catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `throw`: `tryEval` catches it.
    Throw,
    /// A failed `assert`: `tryEval` catches it.
    Assertion,
    /// `abort`
    Abort,
    /// A value of a wrong type, or out of a range.
    Type,
    /// A missing attribute, argument or variable.
    Missing,
    /// A value that needs itself.
    InfiniteRecursion,
    /// A limit on depth.
    StackOverflow,
    /// The text could not be parsed.
    Syntax,
    /// The outside said no: a file that is not there, a path that may not be read, a fetch that failed.
    World,
    /// Something of the outside that must not be seen: `builtins.pathExists` says that it is not there.
    Forbidden,
    /// A build that evaluation needs has failed.
    Build,
    /// Somebody wanted the evaluation to stop.
    Interrupted,
    /// A message of its own wording.
    Other,
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where, if it was written in a source text.
    pub pos: Pos,
    /// What was being done: "while evaluating the attribute 'x'".
    pub text: String,
    /// Whether it is shown even where a long trace is cut: the program itself wrote it.
    pub always: bool,
}

/// An error of evaluation.
#[derive(Clone, Debug)]
pub struct Error(Box<Report>);

/// The contents of an [`Error`].
#[derive(Clone, Debug)]
pub struct Report {
    /// The kind.
    pub kind: Kind,
    /// The message, without `error: `.
    pub message: String,
    /// Where the error arose.
    pub pos: Pos,
    /// What could be done about it, most helpful first.
    pub hints: Vec<String>,
    /// Names that were perhaps meant.
    pub suggestions: Vec<String>,
    /// What was being done, innermost first.
    pub trace: Vec<Frame>,
    /// The exit status that Nix's commands have for it: mostly 1.
    pub nix_status: u8,
    /// Of an infinite recursion: what needs itself.
    pub recursion: Option<Recursion>,
}

/// The value that an infinite recursion came back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recursion {
    /// Where the thunk lies.
    thunk: usize,
    /// How many frames of the trace, from the innermost, lie between the value and itself; none as long as
    /// the error has not come back to where the value was first needed.
    pub frames: Option<usize>,
}

/// The most frames that a trace keeps: enough for the deepest chain of calls, with several frames a call.
const MAX_FRAMES: usize = 100_000;

/// The most frames that are kept with an error that may come again.
const KEPT_FRAMES: usize = 16;

impl Error {
    /// Makes an error without a position.
    #[cold]
    #[must_use]
    pub fn new(kind: Kind, message: String) -> Self {
        Self(Box::new(Report {
            kind,
            message,
            pos: Pos::NONE,
            hints: Vec::new(),
            suggestions: Vec::new(),
            trace: Vec::new(),
            nix_status: 1,
            recursion: None,
        }))
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Everything there is to show.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }

    /// Whether `builtins.tryEval` turns the error into a value.
    #[must_use]
    pub fn is_catchable(&self) -> bool {
        matches!(self.0.kind, Kind::Throw | Kind::Assertion)
    }

    /// A copy to be kept. A long trace is left out: each of the thunks on the way of an error keeps one.
    pub(crate) fn without_long_trace(&self) -> Self {
        let report = &*self.0;
        let trace = if report.trace.len() > KEPT_FRAMES { &[] } else { &*report.trace };
        Self(Box::new(Report {
            kind: report.kind,
            message: report.message.clone(),
            pos: report.pos,
            hints: report.hints.clone(),
            suggestions: report.suggestions.clone(),
            trace: trace.to_vec(),
            nix_status: report.nix_status,
            recursion: None,
        }))
    }

    /// Sets the exit status that Nix's commands have for it.
    #[must_use]
    pub fn with_status(mut self, nix_status: u8) -> Self {
        self.0.nix_status = nix_status;
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds names that were perhaps meant.
    #[must_use]
    pub fn suggest(mut self, names: Vec<String>) -> Self {
        self.0.suggestions = names;
        self
    }

    /// Gives the error a position, unless it has one.
    #[must_use]
    pub fn at(mut self, pos: Pos) -> Self {
        if !self.0.pos.is_some() {
            self.0.pos = pos;
        }
        self
    }

    /// Gives an infinite recursion the position at which it was found, unless it has one.
    #[must_use]
    pub(crate) fn at_recursion(self, pos: Pos) -> Self {
        if self.0.kind == Kind::InfiniteRecursion { self.at(pos) } else { self }
    }

    /// Says which thunk an infinite recursion came back to.
    #[cold]
    pub(crate) fn came_back_to(mut self, thunk: usize) -> Self {
        self.0.recursion = Some(Recursion { thunk, frames: None });
        self
    }

    /// Notes that the error leaves a thunk: what needs itself begins there if it is the one come back to.
    pub(crate) fn leaving(mut self, thunk: usize) -> Self {
        let frames = self.0.trace.len();
        if let Some(recursion) = &mut self.0.recursion
            && recursion.thunk == thunk
        {
            recursion.frames.get_or_insert(frames);
        }
        self
    }

    /// Adds a line to the trace.
    #[cold]
    #[must_use]
    pub fn trace(mut self, pos: Pos, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() && self.0.trace.len() < MAX_FRAMES {
            self.0.trace.push(Frame { pos, text, always: false });
        }
        self
    }

    /// Adds a line to the trace that the program itself wrote; it is shown in short traces too.
    #[cold]
    #[must_use]
    pub fn trace_always(mut self, pos: Pos, text: impl Into<String>) -> Self {
        if self.0.trace.len() < MAX_FRAMES {
            self.0.trace.push(Frame { pos, text: text.into(), always: true });
        }
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

/// Adds where and why to the error of a result.
pub trait At<T> {
    /// Gives the error a position, unless it has one.
    fn at(self, pos: Pos) -> Result<T>;
    /// Gives an infinite recursion the position at which it was found, unless it has one.
    fn at_recursion(self, pos: Pos) -> Result<T>;
    /// Adds a line to the trace.
    fn trace<S: Into<String>>(self, pos: Pos, text: impl FnOnce() -> S) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    #[inline]
    fn at(self, pos: Pos) -> Self {
        self.map_err(|error| error.at(pos))
    }

    #[inline]
    fn at_recursion(self, pos: Pos) -> Self {
        self.map_err(|error| error.at_recursion(pos))
    }

    #[inline]
    fn trace<S: Into<String>>(self, pos: Pos, text: impl FnOnce() -> S) -> Self {
        self.map_err(|error| error.trace(pos, text()))
    }
}

/// Makes an [`Error`]: `err!(Type, "expected a set but found {}", phrase)`, with `; hint: "..."` if wanted.
#[macro_export]
macro_rules! err {
    ($kind:ident, $($message:expr),+ $(; hint: $hint:expr)? $(,)?) => {
        $crate::error::Error::new($crate::error::Kind::$kind, format!($($message),+))
            $(.hint($hint))?
    };
}

/// Returns an [`Error`] made as [`err!`] makes it; `bail!(pos => Kind, "...")` gives it a position.
#[macro_export]
macro_rules! bail {
    ($pos:expr => $kind:ident, $($rest:tt)+) => {
        return Err($crate::err!($kind, $($rest)+).at($pos))
    };
    ($kind:ident, $($rest:tt)+) => {
        return Err($crate::err!($kind, $($rest)+))
    };
}
