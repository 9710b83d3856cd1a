//! What is wrong with a source, and how it is shown.
//!
//! The layout is Nix's: the message, the place, the line with its neighbours, and a caret. Messages are
//! Nix's own words, because people search for them and tools match on them.

use std::fmt::Write as _;

use crate::span::{LineIndex, Span};

/// One thing that is wrong with a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is wrong; a caret is shown under its first byte.
    pub span: Span,
    /// What is wrong, without the place that [`previous`](Diagnostic::previous) adds.
    pub message: String,
    /// The earlier definition that the message ends with: `... already defined at FILE:LINE:COLUMN`.
    pub previous: Option<Span>,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// A message about a place.
    pub fn new(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { span, message: message.into(), previous: None, hints: Vec::new() }
    }

    /// Adds the place of an earlier definition to the end of the message.
    pub fn with_previous(mut self, previous: Span) -> Diagnostic {
        self.previous = Some(previous);
        self
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hints.push(hint.into());
        self
    }

    /// The whole message: what Nix prints after `error: `.
    pub fn full_message(&self, source: &Source<'_>) -> String {
        match self.previous {
            Some(previous) => {
                format!("{} at {}", self.message, source.place(previous.start))
            }
            None => self.message.clone(),
        }
    }
}

/// A source text with its name and line starts.
#[derive(Clone, Debug)]
pub struct Source<'s> {
    /// What messages call it: a path, `«string»`, `«stdin»`.
    pub name: &'s str,
    /// The text.
    pub text: &'s [u8],
    /// Its line starts.
    pub lines: LineIndex,
}

impl<'s> Source<'s> {
    /// Names a text and finds its lines.
    pub fn new(name: &'s str, text: &'s [u8]) -> Source<'s> {
        Source { name, text, lines: LineIndex::new(text) }
    }

    /// `NAME:LINE:COLUMN` of a byte offset.
    pub fn place(&self, offset: u32) -> String {
        let at = self.lines.line_column(offset);
        format!("{}:{}:{}", self.name, at.line, at.column)
    }

    /// The line of `offset` with the lines before and after it and a caret, as Nix shows it; every line
    /// begins with a line end and `indent`.
    pub fn excerpt(&self, offset: u32, indent: &str) -> String {
        let at = self.lines.line_column(offset);
        let mut out = String::new();
        let show = |number: u32, out: &mut String| {
            if let Some(line) = self.lines.line(self.text, number) {
                let text = String::from_utf8_lossy(line);
                let shown = format!("{indent} {number:>5}| {text}");
                let _ = write!(out, "\n{}", shown.trim_end());
            }
        };
        if at.line > 1 {
            show(at.line - 1, &mut out);
        }
        show(at.line, &mut out);
        let _ =
            write!(out, "\n{indent}      |{:column$}^", "", column = at.column as usize);
        show(at.line + 1, &mut out);
        out
    }

    /// The whole report: `error: `, message, place, excerpt, hints; no final line end.
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let offset = diagnostic.span.start;
        let mut out = format!(
            "error: {}\n       at {}:{}",
            diagnostic.full_message(self),
            self.place(offset),
            self.excerpt(offset, "       "),
        );
        for hint in &diagnostic.hints {
            let _ = write!(out, "\n       hint: {hint}");
        }
        out
    }
}
