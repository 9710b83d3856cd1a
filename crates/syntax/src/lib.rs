//! Lexer, parser, syntax tree, spans and diagnostics of the Nix language (Nix 2.34).
//!
//! [`parse`] turns bytes into a tree in an arena. It always gives a tree, never panics, and says what is
//! wrong in Nix's own words. The tree is merged and unescaped ([`ast`](Expr)), so that an evaluator needs
//! no knowledge of how things were written; it resolves no names. [`print`](fn@print) shows a tree as
//! `nix-instantiate --parse` does.
//!
//! Speed comes from one pass with one token of looking ahead; nothing is read twice and nothing is
//! allocated per token. Depth comes from growing the stack, up to [`MAX_DEPTH`].

mod span;
mod token;

mod lexer;

mod ast;

mod strings;

mod bindings;

mod parser;

mod stack;

mod docs;

mod diagnostic;
mod expected;
mod lalr;

mod path;
mod print;

pub use ast::{
    Attr, AttrName, AttrNameKind, AttrSet, AttrValue, BinaryOp, DynamicAttr, Expr,
    ExprKind, Formal, Lambda, Parameter, PathAnchor, PathLiteral, StrPart, StrPartKind,
};
pub use diagnostic::{Diagnostic, Source};
pub use docs::doc_comment_before;
pub use parser::{MAX_DEPTH, Options, Parse, parse, parse_bindings};
pub use path::{PathContext, canonical_path, resolve_path};
pub use print::{float_text, identifier_text, print};
pub use span::{LineColumn, LineIndex, Span};
