//! Nix's lints: literals that evaluate, but that a caller may want to hear of or refuse.
//!
//! Each has a setting of its own, which the messages name, and is off by default. They are judged when a text is
//! lowered, so each literal is reported once, however often it is evaluated.

use picnix_syntax as ast;

use crate::error::{Error, Kind, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;

/// What happens where a lint applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// Nothing.
    #[default]
    Ignore,
    /// A warning is shown.
    Warn,
    /// The text is refused.
    Fatal,
}

impl Severity {
    /// The severity of that name in Nix's settings.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "ignore" => Some(Self::Ignore),
            "warn" => Some(Self::Warn),
            "fatal" => Some(Self::Fatal),
            _ => None,
        }
    }
}

/// How every lint is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// `lint-absolute-path-literals`: `/a` and `~/a`.
    pub absolute_paths: Severity,
    /// `lint-short-path-literals`: `a/b`.
    pub short_paths: Severity,
    /// `lint-url-literals`: `http://a`.
    pub urls: Severity,
}

impl Evaluator<'_> {
    /// Judges a path literal.
    pub(crate) fn lint_path(
        &self,
        literal: &ast::PathLiteral<'_>,
        pos: Pos,
    ) -> Result<()> {
        let lints = self.settings.lints;
        let head = literal.head;
        let absolute = |kind: &str| {
            format!(
                "{kind} path literals are not portable. Consider replacing path literal '{head}' by a \
                 string, relative path, or parameter (lint-absolute-path-literals)"
            )
        };
        match literal.anchor {
            ast::PathAnchor::Root => {
                self.lint(lints.absolute_paths, || absolute("absolute"), pos)
            }
            ast::PathAnchor::Home => {
                self.lint(lints.absolute_paths, || absolute("home"), pos)
            }
            ast::PathAnchor::File if head.starts_with('.') => Ok(()),
            ast::PathAnchor::File => self.lint(
                lints.short_paths,
                || {
                    format!(
                        "relative path literal '{head}' should be prefixed with '.' for clarity: \
                         './{head}' (lint-short-path-literals)"
                    )
                },
                pos,
            ),
        }
    }

    /// Judges a string literal, whose text in the source is `written`: one without quotes is a URL.
    pub(crate) fn lint_string(&self, written: &[u8], pos: Pos) -> Result<()> {
        if written.starts_with(b"\"") || written.starts_with(b"''") {
            return Ok(());
        }
        let severity = self.settings.lints.urls;
        let verdict =
            if severity == Severity::Fatal { "disallowed" } else { "discouraged" };
        let message = || {
            format!(
                "URL literals are {verdict}. Consider using a string literal \"{}\" instead \
                 (lint-url-literals)",
                String::from_utf8_lossy(written)
            )
        };
        self.lint(severity, message, pos)
    }

    fn lint(
        &self,
        severity: Severity,
        message: impl FnOnce() -> String,
        pos: Pos,
    ) -> Result<()> {
        match severity {
            Severity::Ignore => Ok(()),
            Severity::Warn => {
                let error = Error::new(Kind::Syntax, message()).at(pos);
                self.world.message(&crate::report::render_warning(self, &error));
                Ok(())
            }
            Severity::Fatal => Err(Error::new(Kind::Syntax, message()).at(pos)),
        }
    }
}
