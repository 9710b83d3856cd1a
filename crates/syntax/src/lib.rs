//! Lexer, parser, syntax tree, spans and diagnostics of the Nix language.

mod span;

mod ast;

pub use ast::{
    Attr, AttrName, AttrNameKind, AttrSet, AttrValue, BinaryOp, DynamicAttr, Expr,
    ExprKind, Formal, Lambda, Parameter, PathAnchor, PathLiteral, StrPart, StrPartKind,
};
pub use span::{LineColumn, LineIndex, Span};
