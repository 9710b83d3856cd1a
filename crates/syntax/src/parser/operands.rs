//! Operands: literals, strings, paths, lists, sets with their bindings and attribute paths.

use super::{Parser, Ref};
use crate::ast::{
    AttrName, AttrNameKind, ExprKind, PathAnchor, PathLiteral, StrPart, StrPartKind,
};
use crate::bindings::SetId;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::strings::{Piece, strip_indentation, unescape};
use crate::token::Tok;

impl<'a> Parser<'a> {
    // ---- operands -----------------------------------------------------------------------------

    pub(super) fn ident(&self, span: Span) -> Ref<'a> {
        let kind = match self.str_at(span) {
            "__curPos" => ExprKind::CurPos,
            name => ExprKind::Ident(name),
        };
        self.alloc(kind, span)
    }

    pub(super) fn simple(&mut self, start: u32) -> Ref<'a> {
        let span = self.span;
        match self.tok {
            Tok::Ident => {
                self.advance();
                self.ident(span)
            }
            Tok::Int => {
                let value = self.lexer.int;
                self.advance();
                self.alloc(ExprKind::Int(value), span)
            }
            Tok::Float => {
                let value = self.lexer.float;
                self.advance();
                self.alloc(ExprKind::Float(value), span)
            }
            Tok::Uri => {
                self.advance();
                self.alloc(ExprKind::Str(span.slice_of(self.source)), span)
            }
            Tok::SearchPath => {
                self.advance();
                let inner = Span::new(span.start + 1, span.end - 1);
                self.alloc(ExprKind::SearchPath(self.str_at(inner)), span)
            }
            Tok::Quote => {
                let kind = self.string();
                self.node(start, kind)
            }
            Tok::IndOpen => self.indented(start),
            Tok::Path | Tok::HomePath => self.path(start),
            Tok::LParen => {
                self.advance();
                let inner = self.expr();
                self.expect(Tok::RParen);
                inner
            }
            Tok::LBracket => self.deeper(|parser| parser.list(start)),
            Tok::LBrace => {
                self.advance();
                self.set_rest(start, None, false)
            }
            Tok::Rec => {
                self.advance();
                self.expect(Tok::LBrace);
                self.set_rest(start, None, true)
            }
            Tok::Let => {
                self.advance();
                self.ancient_let(start)
            }
            _ => self.unexpected(),
        }
    }

    fn list(&mut self, start: u32) -> Ref<'a> {
        self.advance();
        let base = self.exprs.len();
        while self.tok.begins_operand() {
            let element = self.selection(self.span.start, None);
            self.warn_of_or();
            self.exprs.push(element);
        }
        self.expect(Tok::RBracket);
        let list = self.take_exprs(base);
        self.node(start, ExprKind::List(list))
    }

    /// `let { ... }`, from the brace: the attribute `body` of a recursive set.
    pub(super) fn ancient_let(&mut self, start: u32) -> Ref<'a> {
        self.expect(Tok::LBrace);
        let base = self.set_rest(start, None, true);
        let kind = AttrNameKind::Static("body");
        let path = self.arena.alloc_slice_copy(&[AttrName { kind, span: base.span }]);
        self.node(start, ExprKind::Select { base, path, default: None })
    }

    fn path(&mut self, start: u32) -> Ref<'a> {
        let head = self.str_at(self.span);
        let anchor = match (self.tok, head.as_bytes().first()) {
            (Tok::HomePath, _) => PathAnchor::Home,
            (_, Some(b'/')) => PathAnchor::Root,
            _ => PathAnchor::File,
        };
        self.advance();
        let base = self.parts.len();
        while matches!(self.tok, Tok::Str | Tok::DollarCurly) {
            let span = self.span;
            if self.tok == Tok::Str {
                let kind = StrPartKind::Literal(span.slice_of(self.source));
                self.advance();
                // Text right after text means an empty segment: only an interpolation may follow.
                if self.parts.len() == base && self.tok != Tok::DollarCurly {
                    return self.unexpected();
                }
                self.parts.push(StrPart { kind, span });
            } else {
                self.interpolation_part();
            }
        }
        self.expect(Tok::PathEnd);
        let rest = self.take_parts(base);
        self.node(start, ExprKind::Path(PathLiteral { anchor, head, rest }))
    }

    // ---- strings ------------------------------------------------------------------------------

    fn take_parts(&mut self, base: usize) -> &'a [StrPart<'a>] {
        let list = self.arena.alloc_slice_copy(&self.parts[base..]);
        self.parts.truncate(base);
        list
    }

    /// `${ expr }`
    fn interpolation(&mut self) -> Ref<'a> {
        self.advance();
        let expr = self.expr();
        self.expect(Tok::RBrace);
        expr
    }

    fn interpolation_part(&mut self) {
        let start = self.span.start;
        let kind = StrPartKind::Interpolation(self.interpolation());
        self.parts.push(StrPart { kind, span: Span::new(start, self.previous_end) });
    }

    /// A string in quotes.
    fn string(&mut self) -> ExprKind<'a> {
        self.advance();
        let base = self.parts.len();
        while matches!(self.tok, Tok::Str | Tok::DollarCurly) {
            if self.tok == Tok::DollarCurly {
                self.interpolation_part();
                continue;
            }
            let span = self.span;
            let text = unescape(self.arena, span.slice_of(self.source));
            self.advance();
            if self.parts.len() == base && self.eat(Tok::Quote) {
                return ExprKind::Str(text);
            }
            self.parts.push(StrPart { kind: StrPartKind::Literal(text), span });
        }
        self.expect(Tok::Quote);
        if self.parts.len() == base {
            return ExprKind::Str(b"");
        }
        ExprKind::Interpolated(self.take_parts(base))
    }

    fn indented(&mut self, start: u32) -> Ref<'a> {
        self.advance();
        let base = self.pieces.len();
        loop {
            let span = self.span;
            let piece = match self.tok {
                Tok::IndStr => {
                    let text = span.slice_of(self.source);
                    let plain = self.lexer.plain;
                    self.advance();
                    if plain { Piece::Plain(text) } else { Piece::Escape(text) }
                }
                Tok::DollarCurly => Piece::Expr(self.interpolation()),
                _ => break,
            };
            self.pieces.push((piece, Span::new(span.start, self.previous_end)));
        }
        self.expect(Tok::IndClose);
        let kind = strip_indentation(self.arena, &self.pieces[base..]);
        self.pieces.truncate(base);
        self.node(start, kind)
    }

    // ---- bindings -----------------------------------------------------------------------------

    /// The rest of a set after its `{` and perhaps its first name.
    pub(super) fn set_rest(
        &mut self,
        start: u32,
        first: Option<Span>,
        recursive: bool,
    ) -> Ref<'a> {
        let set = self.sets.begin();
        self.bindings(set, first);
        self.expect(Tok::RBrace);
        self.finish_set(start, set, recursive)
    }

    pub(super) fn finish_set(
        &mut self,
        start: u32,
        set: SetId,
        recursive: bool,
    ) -> Ref<'a> {
        let set = self.arena.alloc(self.sets.finish(self.arena, set, recursive));
        self.node(start, ExprKind::AttrSet(set))
    }

    pub(super) fn bindings(&mut self, set: SetId, first: Option<Span>) {
        if first.is_some() {
            self.binding(set, first);
        }
        loop {
            match self.tok {
                Tok::Inherit => self.inherit(set),
                Tok::Ident | Tok::OrKeyword | Tok::Quote | Tok::DollarCurly => {
                    self.binding(set, None);
                }
                _ => return,
            }
        }
    }

    fn binding(&mut self, set: SetId, first: Option<Span>) {
        let base = self.names.len();
        self.attr_path(first);
        self.expect(Tok::Assign);
        let value = self.expr();
        // Not `expect`: the mistake of a duplicate comes before any in the token after the `;`.
        if self.tok == Tok::Semicolon {
            self.sets.add(set, &self.names[base..], value, &mut self.diagnostics);
            self.advance();
        } else {
            self.unexpected();
        }
        self.names.truncate(base);
    }

    fn inherit(&mut self, set: SetId) {
        self.advance();
        let from = if self.eat(Tok::LParen) {
            let from = self.expr();
            self.expect(Tok::RParen);
            Some(from)
        } else {
            None
        };
        let base = self.names.len();
        while matches!(
            self.tok,
            Tok::Ident | Tok::OrKeyword | Tok::Quote | Tok::DollarCurly
        ) {
            let name = self.attr_name();
            if matches!(name.kind, AttrNameKind::Dynamic(_)) && !self.failed {
                let message = "dynamic attributes not allowed in inherit";
                self.diagnostics.push(Diagnostic::new(name.span, message));
            }
            self.names.push(name);
        }
        if self.tok != Tok::Semicolon {
            self.unexpected();
            self.names.truncate(base);
            return;
        }
        let from = from.map(|from| self.sets.inherit_from(set, from));
        for name in self.names.drain(base..) {
            if let AttrNameKind::Static(text) = name.kind {
                self.sets.inherit(set, (text, name.span), from, &mut self.diagnostics);
            }
        }
        self.advance();
    }

    /// An attribute path onto `names`; its first name may be an identifier already read.
    pub(super) fn attr_path(&mut self, first: Option<Span>) {
        let name = match first {
            Some(span) => {
                AttrName { kind: AttrNameKind::Static(self.str_at(span)), span }
            }
            None => self.attr_name(),
        };
        self.names.push(name);
        while self.eat(Tok::Dot) {
            let name = self.attr_name();
            self.names.push(name);
        }
    }

    fn attr_name(&mut self) -> AttrName<'a> {
        let span = self.span;
        match self.tok {
            Tok::Ident | Tok::OrKeyword => {
                self.advance();
                AttrName { kind: AttrNameKind::Static(self.str_at(span)), span }
            }
            Tok::Quote => {
                let kind = self.string();
                let span = Span::new(span.start, self.previous_end);
                let kind = match kind {
                    ExprKind::Str(text) => self.static_name(text, span),
                    _ => AttrNameKind::Dynamic(self.alloc(kind, span)),
                };
                AttrName { kind, span }
            }
            Tok::DollarCurly => {
                let expr = self.interpolation();
                let span = Span::new(span.start, self.previous_end);
                let kind = match expr.kind {
                    ExprKind::Str(text) => self.static_name(text, span),
                    _ => AttrNameKind::Dynamic(expr),
                };
                AttrName { kind, span }
            }
            _ => AttrName { kind: AttrNameKind::Dynamic(self.unexpected()), span },
        }
    }

    /// Names are `&str`: a name that is not UTF-8 is refused (Nix takes it, and can then hardly use it).
    fn static_name(&mut self, text: &'a [u8], span: Span) -> AttrNameKind<'a> {
        match std::str::from_utf8(text) {
            Ok(name) => AttrNameKind::Static(name),
            Err(_) => {
                let shown = String::from_utf8_lossy(text);
                let message = format!("attribute name '{shown}' is not valid UTF-8");
                self.diagnostics.push(Diagnostic::new(span, message));
                AttrNameKind::Static("")
            }
        }
    }
}
