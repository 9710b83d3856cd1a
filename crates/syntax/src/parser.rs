//! Tokens to tree: recursive descent, one token of looking ahead, nothing ever taken back.
//!
//! The first syntax error ends the parse, as in Nix; what was open becomes [`ExprKind::Error`]. Mistakes
//! of meaning (duplicate attributes or formals) are collected, and the first diagnostic is always the one
//! that Nix would stop at. The words of a syntax error come from [`crate::expected`].

mod operands;

use bumpalo::Bump;

use crate::ast::{
    AttrName, BinaryOp, Expr, ExprKind, Formal, Lambda, Parameter, StrPart,
};
use crate::bindings::Sets;
use crate::diagnostic::Diagnostic;
use crate::lexer::Lexer;
use crate::span::Span;
use crate::stack::with_room;
use crate::strings::Piece;
use crate::token::Tok;

/// How deep expressions may nest: far beyond what people or programs write, and small enough that the
/// tree can be walked with a bounded amount of stack.
pub const MAX_DEPTH: u32 = 250_000;

/// What the parser accepts beyond Nix's stable language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether `|>` and `<|` are operators (Nix's experimental feature `pipe-operators`).
    pub pipe_operators: bool,
}

/// A parsed source.
#[derive(Clone, Debug)]
pub struct Parse<'a> {
    /// The expression; where there are diagnostics, parts of it may be [`ExprKind::Error`].
    pub root: &'a Expr<'a>,
    /// What is wrong, in the order of finding; the first one is what Nix reports.
    pub diagnostics: Vec<Diagnostic>,
    /// What will mean something else in a later Nix.
    pub warnings: Vec<Diagnostic>,
}

/// Parses a whole source. It always ends, and never panics; the bytes need not be UTF-8.
pub fn parse<'a>(arena: &'a Bump, source: &'a [u8], options: Options) -> Parse<'a> {
    if u32::try_from(source.len()).is_err() {
        return Parse::too_large(arena);
    }
    let mut parser = Parser::new(arena, source, options);
    parser.advance();
    let root = parser.expr();
    if parser.tok != Tok::Eof {
        parser.unexpected();
    }
    parser.finish(root)
}

/// Parses bindings such as `x = 1; inherit y;`, which a person may type at a prompt, to the set of them.
/// There must be one at least. What is wrong is only said in general, since nobody is told.
pub fn parse_bindings<'a>(
    arena: &'a Bump,
    source: &'a [u8],
    options: Options,
) -> Parse<'a> {
    if u32::try_from(source.len()).is_err() {
        return Parse::too_large(arena);
    }
    let mut parser = Parser::new(arena, source, options);
    parser.explains = false;
    parser.advance();
    let set = parser.sets.begin();
    if parser.tok == Tok::Eof {
        parser.unexpected();
    }
    parser.bindings(set, None);
    if parser.tok != Tok::Eof {
        parser.unexpected();
    }
    let root = parser.finish_set(0, set, false);
    parser.finish(root)
}

impl<'a> Parse<'a> {
    fn too_large(arena: &'a Bump) -> Self {
        let message = "source is larger than 4 GiB";
        let root = arena.alloc(Expr { kind: ExprKind::Error, span: Span::default() });
        let diagnostics = vec![Diagnostic::new(Span::default(), message)];
        Self { root, diagnostics, warnings: Vec::new() }
    }

    /// Whether the source ended too early, so that more text could make it right.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.diagnostics
            .first()
            .is_some_and(|first| first.message.contains(UNEXPECTED_END))
    }
}

/// What the message of an error at the end of the source has in it.
const UNEXPECTED_END: &str = "unexpected end of file";

type Ref<'a> = &'a Expr<'a>;

struct Parser<'a> {
    arena: &'a Bump,
    source: &'a [u8],
    /// The source once more where all of it is UTF-8: slices of it need no check.
    text: Option<&'a str>,
    options: Options,
    lexer: Lexer<'a>,
    tok: Tok,
    span: Span,
    previous_end: u32,
    /// After a syntax error the rest of the source reads as its end.
    failed: bool,
    /// Whether a syntax error says what was expected.
    explains: bool,
    depth: u32,
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Where the last operand is `x or`, which takes `or` as an argument: all of it.
    or_argument: Option<Span>,
    sets: Sets<'a>,
    // Lists under construction, each on top of those around it.
    exprs: Vec<Ref<'a>>,
    names: Vec<AttrName<'a>>,
    parts: Vec<StrPart<'a>>,
    pieces: Vec<(Piece<'a>, Span)>,
    formals: Vec<Formal<'a>>,
}

/// Ranks of precedence, from loosest; as in Nix's manual.
mod rank {
    pub(super) const LOOSEST: u8 = 1;
    pub(super) const NOT: u8 = 7;
    pub(super) const HAS_ATTR: u8 = 11;
    pub(super) const NEGATE: u8 = 12;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assoc {
    Left,
    Right,
    None,
}

fn binary_operator(tok: Tok) -> Option<(BinaryOp, u8, Assoc)> {
    Some(match tok {
        Tok::Implies => (BinaryOp::Implies, 1, Assoc::Right),
        Tok::Or => (BinaryOp::Or, 2, Assoc::Left),
        Tok::And => (BinaryOp::And, 3, Assoc::Left),
        Tok::Equal => (BinaryOp::Equal, 4, Assoc::None),
        Tok::NotEqual => (BinaryOp::NotEqual, 4, Assoc::None),
        Tok::Less => (BinaryOp::Less, 5, Assoc::None),
        Tok::LessOrEqual => (BinaryOp::LessOrEqual, 5, Assoc::None),
        Tok::Greater => (BinaryOp::Greater, 5, Assoc::None),
        Tok::GreaterOrEqual => (BinaryOp::GreaterOrEqual, 5, Assoc::None),
        Tok::Update => (BinaryOp::Update, 6, Assoc::Right),
        Tok::Plus => (BinaryOp::Add, 8, Assoc::Left),
        Tok::Minus => (BinaryOp::Subtract, 8, Assoc::Left),
        Tok::Star => (BinaryOp::Multiply, 9, Assoc::Left),
        Tok::Slash => (BinaryOp::Divide, 9, Assoc::Left),
        Tok::Concat => (BinaryOp::Concat, 10, Assoc::Right),
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    fn new(arena: &'a Bump, source: &'a [u8], options: Options) -> Self {
        Self {
            arena,
            source,
            text: std::str::from_utf8(source).ok(),
            options,
            lexer: Lexer::new(source, options.pipe_operators),
            tok: Tok::Eof,
            span: Span::default(),
            previous_end: 0,
            failed: false,
            explains: true,
            depth: 0,
            diagnostics: Vec::new(),
            warnings: Vec::new(),
            or_argument: None,
            sets: Sets::default(),
            exprs: Vec::new(),
            names: Vec::new(),
            parts: Vec::new(),
            pieces: Vec::new(),
            formals: Vec::new(),
        }
    }

    fn finish(self, root: Ref<'a>) -> Parse<'a> {
        Parse { root, diagnostics: self.diagnostics, warnings: self.warnings }
    }

    // ---- tokens -------------------------------------------------------------------------------

    fn advance(&mut self) {
        if self.failed {
            return;
        }
        self.previous_end = self.span.end;
        self.tok = self.lexer.next();
        self.span = self.lexer.span;
    }

    fn eat(&mut self, tok: Tok) -> bool {
        let found = self.tok == tok;
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, tok: Tok) {
        if !self.eat(tok) {
            self.unexpected();
        }
    }

    /// Reports the syntax error at the current token and ends the parse.
    #[cold]
    fn unexpected(&mut self) -> Ref<'a> {
        if !self.failed {
            let diagnostic = match self.lexer.error.take() {
                Some(error) => error,
                None if self.explains => {
                    crate::expected::explain(self.source, self.options, self.span)
                }
                None if self.tok == Tok::Eof => {
                    Diagnostic::new(self.span, format!("syntax error, {UNEXPECTED_END}"))
                }
                None => Diagnostic::new(self.span, "syntax error"),
            };
            self.fail(diagnostic);
        }
        self.alloc(ExprKind::Error, Span::at(self.span.start))
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
        self.failed = true;
        self.tok = Tok::Eof;
    }

    // ---- nodes --------------------------------------------------------------------------------

    fn alloc(&self, kind: ExprKind<'a>, span: Span) -> Ref<'a> {
        self.arena.alloc(Expr { kind, span })
    }

    /// A node from `start` to the end of the last token.
    fn node(&self, start: u32, kind: ExprKind<'a>) -> Ref<'a> {
        self.alloc(kind, Span::new(start, self.previous_end.max(start)))
    }

    fn str_at(&self, span: Span) -> &'a str {
        let (start, end) = (span.start as usize, span.end as usize);
        match self.text {
            Some(text) => text.get(start..end).unwrap_or_default(),
            None => std::str::from_utf8(span.slice_of(self.source)).unwrap_or_default(),
        }
    }

    /// Takes the list that was begun when it was `base` long.
    fn take_exprs(&mut self, base: usize) -> &'a [Ref<'a>] {
        let list = self.arena.alloc_slice_copy(&self.exprs[base..]);
        self.exprs.truncate(base);
        list
    }

    fn take_names(&mut self, base: usize) -> &'a [AttrName<'a>] {
        let list = self.arena.alloc_slice_copy(&self.names[base..]);
        self.names.truncate(base);
        list
    }

    // ---- expressions --------------------------------------------------------------------------

    /// Runs a recursive step one level deeper, with room on the stack.
    fn deeper(&mut self, step: impl FnOnce(&mut Self) -> Ref<'a>) -> Ref<'a> {
        if self.depth >= MAX_DEPTH {
            if !self.failed {
                let message =
                    format!("expression nests more than {MAX_DEPTH} levels deep");
                self.fail(Diagnostic::new(self.span, message));
            }
            return self.unexpected();
        }
        self.depth += 1;
        let expr = with_room(|| step(self));
        self.depth -= 1;
        expr
    }

    fn expr(&mut self) -> Ref<'a> {
        self.deeper(Self::function)
    }

    /// An expression of the loosest kind: function, `assert`, `with`, `let`, `if`, or operators.
    fn function(&mut self) -> Ref<'a> {
        let start = self.span.start;
        match self.tok {
            Tok::Ident => {
                let name = self.span;
                self.advance();
                match self.tok {
                    Tok::Colon => self.simple_lambda(name),
                    Tok::At => {
                        self.advance();
                        self.named_formals(name)
                    }
                    _ => {
                        let ident = self.ident(name);
                        self.pipes(start, Some(ident))
                    }
                }
            }
            Tok::LBrace => self.function_or_set(),
            Tok::Let => {
                self.advance();
                if self.tok == Tok::LBrace {
                    let set = self.ancient_let(start);
                    self.pipes(start, Some(set))
                } else {
                    self.let_in(start)
                }
            }
            Tok::Assert | Tok::With => self.assert_or_with(start),
            Tok::If => self.if_then_else(start),
            _ => self.pipes(start, None),
        }
    }

    fn simple_lambda(&mut self, name: Span) -> Ref<'a> {
        self.advance();
        let body = self.expr();
        let parameter = Parameter::Ident(self.str_at(name));
        self.lambda(name.start, parameter, body)
    }

    fn lambda(&self, start: u32, parameter: Parameter<'a>, body: Ref<'a>) -> Ref<'a> {
        let lambda = self.arena.alloc(Lambda { parameter, body });
        self.node(start, ExprKind::Lambda(lambda))
    }

    /// `name @ { ... }: body`, from the brace.
    fn named_formals(&mut self, name: Span) -> Ref<'a> {
        self.expect(Tok::LBrace);
        let base = self.formals.len();
        let ellipsis = self.formals_rest(None);
        self.formals_lambda(name.start, base, ellipsis, Some(name))
    }

    /// What begins with `{` where a function may stand: told apart by at most two more tokens.
    fn function_or_set(&mut self) -> Ref<'a> {
        let start = self.span.start;
        self.advance();
        match self.tok {
            Tok::RBrace => {
                self.advance();
                if matches!(self.tok, Tok::Colon | Tok::At) {
                    let base = self.formals.len();
                    return self.formals_tail(start, base, false);
                }
                let set = self.sets.begin();
                let set = self.finish_set(start, set, false);
                return self.pipes(start, Some(set));
            }
            Tok::Ellipsis => {
                let base = self.formals.len();
                let ellipsis = self.formals_rest(None);
                return self.formals_tail(start, base, ellipsis);
            }
            Tok::Ident => {
                let name = self.span;
                self.advance();
                if matches!(self.tok, Tok::Comma | Tok::Question | Tok::RBrace) {
                    let base = self.formals.len();
                    let ellipsis = self.formals_rest(Some(name));
                    return self.formals_tail(start, base, ellipsis);
                }
                let set = self.set_rest(start, Some(name), false);
                return self.pipes(start, Some(set));
            }
            _ => {}
        }
        let set = self.set_rest(start, None, false);
        self.pipes(start, Some(set))
    }

    /// The formals up to and with `}`, the first name perhaps already read; whether there is an ellipsis.
    fn formals_rest(&mut self, first: Option<Span>) -> bool {
        let mut name = first;
        if name.is_none() && self.eat(Tok::RBrace) {
            return false;
        }
        loop {
            if name.is_none() && self.eat(Tok::Ellipsis) {
                self.expect(Tok::RBrace);
                return true;
            }
            let span = match name.take() {
                Some(span) => span,
                None => {
                    let span = self.span;
                    self.expect(Tok::Ident);
                    span
                }
            };
            let default = if self.eat(Tok::Question) { Some(self.expr()) } else { None };
            let name = self.str_at(span);
            self.formals.push(Formal { name, span, default });
            if self.eat(Tok::Comma) {
                // A comma may be the last thing.
                if self.eat(Tok::RBrace) {
                    return false;
                }
                continue;
            }
            self.expect(Tok::RBrace);
            return false;
        }
    }

    /// What follows `{ ... }` of a function: `:` or `@ name :`.
    fn formals_tail(&mut self, start: u32, base: usize, ellipsis: bool) -> Ref<'a> {
        let mut binding = None;
        if self.eat(Tok::At) {
            binding = Some(self.span);
            self.expect(Tok::Ident);
        }
        self.formals_lambda(start, base, ellipsis, binding)
    }

    fn formals_lambda(
        &mut self,
        start: u32,
        base: usize,
        ellipsis: bool,
        binding: Option<Span>,
    ) -> Ref<'a> {
        let formals = self.arena.alloc_slice_copy(&self.formals[base..]);
        self.formals.truncate(base);
        self.expect(Tok::Colon);
        let body = self.expr();
        let binding = binding.map(|span| self.str_at(span));
        if !self.failed {
            self.check_formals(start, formals, binding);
        }
        self.lambda(start, Parameter::Formals { formals, ellipsis, binding }, body)
    }

    /// Formals are unique, and none has the name of the whole argument.
    fn check_formals(
        &mut self,
        start: u32,
        formals: &[Formal<'a>],
        binding: Option<&str>,
    ) {
        let mut sorted: Vec<&Formal<'_>> = formals.iter().collect();
        sorted.sort_by_key(|formal| (formal.name, formal.span));
        let twice = sorted.windows(2).filter(|pair| pair[0].name == pair[1].name);
        let clash = if let Some(pair) = twice.min_by_key(|pair| pair[0].span) {
            Some((pair[1].name, pair[1].span))
        } else {
            let name =
                binding.filter(|name| formals.iter().any(|formal| formal.name == *name));
            name.map(|name| (name, Span::at(start)))
        };
        if let Some((name, span)) = clash {
            let message = format!("duplicate formal function argument '{name}'");
            self.diagnostics.push(Diagnostic::new(span, message));
        }
    }

    fn let_in(&mut self, start: u32) -> Ref<'a> {
        let set = self.sets.begin();
        self.bindings(set, None);
        self.expect(Tok::In);
        // The set is finished first: its nested sets are the last ones of the pool only until the body.
        let bindings = self.arena.alloc(self.sets.finish(self.arena, set, false));
        let body = self.expr();
        if !bindings.dynamic.is_empty() && !self.failed {
            let message = "dynamic attributes not allowed in let";
            self.diagnostics.push(Diagnostic::new(Span::at(start), message));
        }
        self.node(start, ExprKind::Let { bindings, body })
    }

    fn assert_or_with(&mut self, start: u32) -> Ref<'a> {
        let tok = self.tok;
        self.advance();
        let first = self.expr();
        self.expect(Tok::Semicolon);
        let body = self.expr();
        let kind = match tok {
            Tok::With => ExprKind::With { scope: first, body },
            _ => ExprKind::Assert { condition: first, body },
        };
        self.node(start, kind)
    }

    fn if_then_else(&mut self, start: u32) -> Ref<'a> {
        self.advance();
        let condition = self.expr();
        self.expect(Tok::Then);
        let consequence = self.expr();
        self.expect(Tok::Else);
        let alternative = self.expr();
        self.node(start, ExprKind::If { condition, consequence, alternative })
    }

    /// Operators, then any number of one kind of pipe.
    fn pipes(&mut self, start: u32, first: Option<Ref<'a>>) -> Ref<'a> {
        let mut left = self.operators(start, rank::LOOSEST, first);
        if self.tok == Tok::PipeFrom {
            return self.pipes_from(start, left);
        }
        while self.tok == Tok::PipeInto {
            let operator_start = self.span.start;
            self.advance();
            let right = self.operators(self.span.start, rank::LOOSEST, None);
            let operator = BinaryOp::PipeInto;
            left = self
                .node(start, ExprKind::Binary { operator, operator_start, left, right });
        }
        left
    }

    /// `<|` groups to the right: the operands are collected, then joined from the last.
    fn pipes_from(&mut self, start: u32, first: Ref<'a>) -> Ref<'a> {
        let mut operands = vec![(start, 0, first)];
        while self.tok == Tok::PipeFrom {
            let operator_start = self.span.start;
            self.advance();
            let start = self.span.start;
            operands.push((
                start,
                operator_start,
                self.operators(start, rank::LOOSEST, None),
            ));
        }
        let mut right: Option<(u32, Ref<'a>)> = None;
        for &(start, before, left) in operands.iter().rev() {
            let joined = match right {
                None => left,
                Some((operator_start, right)) => {
                    let operator = BinaryOp::PipeFrom;
                    self.node(
                        start,
                        ExprKind::Binary { operator, operator_start, left, right },
                    )
                }
            };
            right = Some((before, joined));
        }
        right.map_or(first, |(_, joined)| joined)
    }

    /// Operators that bind at least as tightly as `loosest`; `first` is an operand already begun.
    fn operators(&mut self, start: u32, loosest: u8, first: Option<Ref<'a>>) -> Ref<'a> {
        let mut left = match (first, self.tok) {
            (None, Tok::Bang) => {
                self.advance();
                let operand = self.operand(rank::NOT);
                self.node(start, ExprKind::Not(operand))
            }
            (None, Tok::Minus) => {
                self.advance();
                let operand = self.operand(rank::NEGATE);
                self.node(start, ExprKind::Negate(operand))
            }
            _ => self.application(start, first),
        };
        // The rank that may not follow: that of a non-associative operator just read.
        let mut forbidden = 0;
        loop {
            if self.tok == Tok::Question && loosest <= rank::HAS_ATTR {
                self.advance();
                let base = self.names.len();
                self.attr_path(None);
                let path = self.take_names(base);
                left = self.node(start, ExprKind::HasAttr { base: left, path });
                forbidden = 0;
                continue;
            }
            let Some((operator, rank, assoc)) = binary_operator(self.tok) else { break };
            if rank < loosest {
                break;
            }
            if rank == forbidden {
                self.unexpected();
                break;
            }
            let operator_start = self.span.start;
            self.advance();
            let right = self.operand(if assoc == Assoc::Right { rank } else { rank + 1 });
            left = self
                .node(start, ExprKind::Binary { operator, operator_start, left, right });
            forbidden = if assoc == Assoc::None { rank } else { 0 };
        }
        left
    }

    fn operand(&mut self, loosest: u8) -> Ref<'a> {
        self.deeper(|parser| parser.operators(parser.span.start, loosest, None))
    }

    /// A function and its arguments.
    fn application(&mut self, start: u32, first: Option<Ref<'a>>) -> Ref<'a> {
        let function = self.selection(start, first);
        if !self.tok.begins_operand() {
            return function;
        }
        let base = self.exprs.len();
        let function = match function.kind {
            ExprKind::Apply { function, arguments } => {
                self.exprs.extend_from_slice(arguments);
                function
            }
            _ => function,
        };
        while self.tok.begins_operand() {
            let argument = self.selection(self.span.start, None);
            self.warn_of_or();
            self.exprs.push(argument);
        }
        let arguments = self.take_exprs(base);
        self.node(start, ExprKind::Apply { function, arguments })
    }

    /// An operand with what is selected from it.
    fn selection(&mut self, start: u32, first: Option<Ref<'a>>) -> Ref<'a> {
        let base = match first {
            Some(first) => first,
            None => self.simple(start),
        };
        match self.tok {
            Tok::Dot => {
                self.advance();
                let names = self.names.len();
                self.attr_path(None);
                let path = self.take_names(names);
                let default = if self.eat(Tok::OrKeyword) {
                    let default =
                        self.deeper(|parser| parser.selection(parser.span.start, None));
                    self.warn_of_or();
                    Some(default)
                } else {
                    None
                };
                self.or_argument = None;
                self.node(start, ExprKind::Select { base, path, default })
            }
            // `x or` without a selection: `or` is an argument, which nixpkgs once relied on.
            Tok::OrKeyword => {
                let or = self.alloc(ExprKind::Ident("or"), Span::at(start));
                self.advance();
                let (function, before) = match base.kind {
                    ExprKind::Apply { function, arguments } => (function, arguments),
                    _ => (base, &[][..]),
                };
                let list = self.exprs.len();
                self.exprs.extend_from_slice(before);
                self.exprs.push(or);
                let arguments = self.take_exprs(list);
                let call = self.node(start, ExprKind::Apply { function, arguments });
                self.or_argument = Some(call.span);
                call
            }
            _ => {
                self.or_argument = None;
                base
            }
        }
    }

    /// Warns if the operand just read is `x or`: a later Nix will take `or` for an operand of its own.
    fn warn_of_or(&mut self) {
        let Some(span) = self.or_argument.take() else { return };
        let text = String::from_utf8_lossy(span.slice_of(self.source));
        let message = format!(
            "This expression uses `or` as an identifier in a way that will change in a future Nix \
             release.\n\
             Wrap this entire expression in parentheses to preserve its current meaning:\n    \
             ({text})\n\
             Give feedback at https://github.com/NixOS/nix/pull/11121"
        );
        self.warnings.push(Diagnostic::new(span, message));
    }
}
