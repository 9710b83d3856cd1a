//! The text of string literals: escapes, line ends, and the indentation of indented strings.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::ast::{Expr, ExprKind, StrPart, StrPartKind};
use crate::span::Span;

/// Text between quotes to what it means: escapes are replaced, `\r` and `\r\n` become `\n`.
pub(crate) fn unescape<'a>(arena: &'a Bump, text: &'a [u8]) -> &'a [u8] {
    let Some(first) = memchr::memchr2(b'\\', b'\r', text) else {
        return text;
    };
    let mut out = BumpVec::with_capacity_in(text.len(), arena);
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, rest.split_first()) {
            (b'\\', Some((&escaped, tail))) => {
                out.push(escape(escaped));
                rest = tail;
            }
            (b'\r', _) => {
                out.push(b'\n');
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            _ => out.push(byte),
        }
    }
    out.into_bump_slice()
}

/// What a byte after a backslash means.
fn escape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

/// A piece of an indented string, before its indentation is stripped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Text as written.
    Plain(&'a [u8]),
    /// An escape, as written: `''$`, `$`, `'''`, `'`, `''\x`.
    Escape(&'a [u8]),
    /// An interpolation.
    Expr(&'a Expr<'a>),
}

/// What an escape in an indented string means.
fn indented_escape<'a>(arena: &'a Bump, text: &'a [u8]) -> &'a [u8] {
    match text {
        [b'\'', b'\'', b'$'] => &text[2..],
        [b'\'', b'\'', b'\''] => &text[1..],
        [b'\'', b'\'', b'\\', escaped] => &*arena.alloc_slice_copy(&[escape(*escaped)]),
        other => other,
    }
}

/// Removes the common indentation, as Nix does: only spaces count, the last line does not if it is
/// blank, and an escape or interpolation ends a line's indentation.
pub(crate) fn strip_indentation<'a>(
    arena: &'a Bump,
    pieces: &[(Piece<'a>, Span)],
) -> ExprKind<'a> {
    let indent = common_indentation(pieces);
    let mut parts = BumpVec::new_in(arena);
    let mut stripper = Stripper { indent, at_line_start: true, dropped: 0 };
    for (index, &(piece, span)) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len();
        let kind = match piece {
            Piece::Expr(expr) => {
                stripper.at_line_start = false;
                stripper.dropped = 0;
                StrPartKind::Interpolation(expr)
            }
            Piece::Plain(text) => {
                StrPartKind::Literal(stripper.strip(arena, text, is_last))
            }
            Piece::Escape(text) => {
                let text = indented_escape(arena, text);
                StrPartKind::Literal(stripper.strip(arena, text, is_last))
            }
        };
        if !matches!(kind, StrPartKind::Literal([])) {
            parts.push(StrPart { kind, span });
        }
    }
    match parts.as_slice() {
        [] => ExprKind::Str(b""),
        [StrPart { kind: StrPartKind::Literal(text), .. }] => ExprKind::Str(text),
        [StrPart { kind: StrPartKind::Interpolation(expr), .. }]
            if matches!(expr.kind, ExprKind::Str(_)) =>
        {
            expr.kind
        }
        _ => ExprKind::Interpolated(parts.into_bump_slice()),
    }
}

fn common_indentation(pieces: &[(Piece<'_>, Span)]) -> usize {
    let mut at_line_start = true;
    // Nix starts with this number, too.
    let mut smallest = 1_000_000;
    let mut current = 0;
    for (piece, _) in pieces {
        let Piece::Plain(text) = piece else {
            if at_line_start {
                at_line_start = false;
                smallest = smallest.min(current);
            }
            continue;
        };
        let mut rest = *text;
        loop {
            if at_line_start {
                let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
                current += spaces;
                rest = &rest[spaces..];
                match rest.first() {
                    None => break,
                    // An empty line says nothing about the indentation.
                    Some(b'\n') => {
                        current = 0;
                        rest = &rest[1..];
                        continue;
                    }
                    Some(_) => {
                        at_line_start = false;
                        smallest = smallest.min(current);
                    }
                }
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            at_line_start = true;
            current = 0;
            rest = &rest[end + 1..];
        }
    }
    smallest
}

/// Where in a line the stripping is, from piece to piece.
struct Stripper {
    indent: usize,
    at_line_start: bool,
    dropped: usize,
}

impl Stripper {
    fn strip<'a>(&mut self, arena: &'a Bump, text: &'a [u8], is_last: bool) -> &'a [u8] {
        let mut out = BumpVec::with_capacity_in(text.len(), arena);
        let mut rest = text;
        while !rest.is_empty() {
            if self.at_line_start {
                let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
                let drop = spaces.min(self.indent.saturating_sub(self.dropped));
                out.extend_from_slice(&rest[drop..spaces]);
                self.dropped += spaces;
                rest = &rest[spaces..];
                let Some(&byte) = rest.first() else { break };
                self.dropped = 0;
                if byte == b'\n' {
                    out.push(b'\n');
                    rest = &rest[1..];
                    continue;
                }
                self.at_line_start = false;
            }
            match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    out.extend_from_slice(&rest[..=end]);
                    self.at_line_start = true;
                    rest = &rest[end + 1..];
                }
                None => {
                    out.extend_from_slice(rest);
                    break;
                }
            }
        }
        let out = out.into_bump_slice();
        if is_last { without_blank_last_line(out) } else { out }
    }
}

/// The last line goes where it holds nothing but spaces.
fn without_blank_last_line(text: &[u8]) -> &[u8] {
    match memchr::memrchr(b'\n', text) {
        Some(end) if text[end + 1..].iter().all(|&byte| byte == b' ') => &text[..=end],
        _ => text,
    }
}
