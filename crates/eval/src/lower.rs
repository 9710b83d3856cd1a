//! From syntax to the resolved form.
//!
//! One pass over the tree: every variable becomes a slot of a scope, a constant of the base scope, or a look-up
//! in the `with`s around it; `-`, `*`, `/` and `<` become operators unless their functions (`__sub`, ...) are
//! bound in the program itself, where they are calls, as in Nix. The tree lives in an arena of its own and is
//! freed after the pass.

use std::cell::Cell;

use bumpalo::Bump;
use picnix_syntax::{self as ast, Span};

use crate::bail;
use crate::error::{Error, Kind, Result};
use crate::evaluator::Evaluator;
use crate::expr::{
    AssertExpr, AttrName, Binding, Bindings, DynamicBinding, Expr, ExprKind, Formal,
    Formals, IfExpr, Lambda, Operator, Parameter, SelectExpr, WithVariable,
};
use crate::interactive::Entry;
use crate::peek::needed_first;
use crate::pos::Pos;
use crate::source::{Origin, Source};
use crate::symbol::{Symbol, sym};
use crate::value::{Shape, Value};

/// Stack that must be left when lowering goes one level deeper, in bytes.
const RED_ZONE: usize = 64 * 1024;
/// Stack that is added when there is less, in bytes.
const STACK_STEP: usize = 4 * 1024 * 1024;

/// The largest memory of a syntax tree that is kept for the next file, in bytes.
const MAX_REUSED_BYTES: usize = 1024 * 1024;

/// The most variables of functions that directly return each other, as in `a: b: ...`, that share a scope. Whoever
/// calls such a function with one argument more again and again has it copied each time.
const MAX_JOINED: usize = 4;

/// The length of an undefined variable from which on similar ones are offered.
const SUGGESTED_FROM: usize = 3;

/// The variables around an expression, innermost last.
pub(crate) enum Scope<'h> {
    /// Slot `i` holds the `i`-th name; ascending.
    Sorted(&'h [Symbol]),
    /// As `Sorted`, and one more slot for the name of the whole argument.
    Formals(&'h [Symbol], Option<Symbol>),
    /// The variables of functions that directly return each other, outermost first.
    Joined(Vec<Symbol>),
    /// The set of a `with`.
    With,
    /// Slots without names.
    Nameless,
}

impl Scope<'_> {
    fn find(&self, name: Symbol) -> Option<usize> {
        match self {
            Self::Sorted(names) => names.binary_search(&name).ok(),
            Self::Formals(names, binding) => names
                .binary_search(&name)
                .ok()
                .or_else(|| (*binding == Some(name)).then_some(names.len())),
            Self::Joined(names) => names.iter().rposition(|known| *known == name),
            Self::With | Self::Nameless => None,
        }
    }
}

/// Parses a text and resolves it.
///
/// `scopes` are the scopes that evaluation will find around the text, outermost first; `base_dir` is what
/// relative paths are relative to.
///
/// # Errors
/// The text does not parse, or names a variable that is nowhere bound.
pub(crate) fn lower<'h>(
    ev: &Evaluator<'h>,
    source: &'h Source<'h>,
    base_dir: &'h [u8],
    scopes: Vec<Scope<'h>>,
) -> Result<&'h Expr<'h>> {
    let mut arena = ev.syntax_arena.take().unwrap_or_default();
    let result = lower_in(&arena, ev, source, base_dir, scopes);
    if arena.allocated_bytes() <= MAX_REUSED_BYTES {
        arena.reset();
        ev.syntax_arena.set(Some(arena));
    }
    result
}

fn lower_in<'h>(
    arena: &Bump,
    ev: &Evaluator<'h>,
    source: &'h Source<'h>,
    base_dir: &'h [u8],
    scopes: Vec<Scope<'h>>,
) -> Result<&'h Expr<'h>> {
    let parse = ast::parse(arena, source.text, options(ev));
    check(ev, source, &parse)?;
    Lowering::new(ev, source, base_dir, scopes).code(parse.root)
}

/// As [`lower`], but a text that ends too early is no error: more of it may come.
pub(crate) fn lower_prompt<'h>(
    ev: &Evaluator<'h>,
    source: &'h Source<'h>,
    base_dir: &'h [u8],
    scopes: Vec<Scope<'h>>,
) -> Result<Entry<'h>> {
    let arena = Bump::new();
    let parse = ast::parse(&arena, source.text, options(ev));
    if parse.is_incomplete() {
        return Ok(Entry::Incomplete);
    }
    check(ev, source, &parse)?;
    Ok(Entry::Expr(Lowering::new(ev, source, base_dir, scopes).code(parse.root)?))
}

/// Reads bindings; none if the text is something else. The last semicolon may be missing.
pub(crate) fn lower_bindings<'h>(
    ev: &Evaluator<'h>,
    text: &str,
    base_dir: &'h [u8],
    scopes: Vec<Scope<'h>>,
) -> Result<Option<Entry<'h>>> {
    let arena = Bump::new();
    let closed = format!("{text};");
    let mut parse = ast::parse_bindings(&arena, text.as_bytes(), options(ev));
    if !parse.diagnostics.is_empty() {
        parse = ast::parse_bindings(&arena, closed.as_bytes(), options(ev));
    }
    if parse.is_incomplete() {
        return Ok(Some(Entry::Incomplete));
    }
    if !parse.diagnostics.is_empty() {
        return Ok(None);
    }
    // Messages show the text as it was typed.
    let Some(source) = ev.sources.add(Origin::Text, ev.heap.bytes(text.as_bytes()))
    else {
        bail!(Other, "the source texts of this evaluation exceed 4 GiB");
    };
    let set = Lowering::new(ev, source, base_dir, scopes).code(parse.root)?;
    Ok(Some(Entry::Bindings(set)))
}

fn options(ev: &Evaluator<'_>) -> ast::Options {
    ast::Options { pipe_operators: ev.settings.pipe_operators }
}

/// Reports the first mistake of a text, and shows its warnings if there is none.
fn check<'h>(
    ev: &Evaluator<'h>,
    source: &'h Source<'h>,
    parse: &ast::Parse<'_>,
) -> Result<()> {
    if let Some(diagnostic) = parse.diagnostics.first() {
        let pos = source.start_of(diagnostic.span);
        let message = match diagnostic.previous {
            Some(previous) => {
                let place = crate::report::show_pos(ev, source.start_of(previous));
                format!("{} at {place}", diagnostic.message)
            }
            None => diagnostic.message.clone(),
        };
        let mut error = Error::new(Kind::Syntax, message).at(pos);
        for hint in &diagnostic.hints {
            error = error.hint(hint.clone());
        }
        return Err(error);
    }
    for warning in &parse.warnings {
        let place = crate::report::show_pos(ev, source.start_of(warning.span));
        ev.world.message(&format!("warning: at {place}: {}", warning.message));
    }
    Ok(())
}

struct Lowering<'e, 'h> {
    ev: &'e Evaluator<'h>,
    source: &'h Source<'h>,
    base_dir: &'h [u8],
    scopes: Vec<Scope<'h>>,
    // Lists under construction, each on top of those around it.
    exprs: Vec<&'h Expr<'h>>,
    names: Vec<AttrName<'h>>,
    withs: Cell<Vec<u32>>,
    // The parameters of the functions whose body is lowered next, and is a function.
    joined: Vec<Symbol>,
}

impl<'e, 'h> Lowering<'e, 'h> {
    fn new(
        ev: &'e Evaluator<'h>,
        source: &'h Source<'h>,
        base_dir: &'h [u8],
        scopes: Vec<Scope<'h>>,
    ) -> Self {
        let (exprs, names, withs) = (Vec::new(), Vec::new(), Cell::default());
        let joined = Vec::new();
        Self { ev, source, base_dir, scopes, exprs, names, withs, joined }
    }
}

impl<'h> Lowering<'_, 'h> {
    /// The code of a whole text. It stays, and is no place to look for references in.
    fn code(&mut self, root: &ast::Expr<'_>) -> Result<&'h Expr<'h>> {
        self.ev.heap.immortal(|| self.boxed(root))
    }

    fn boxed(&mut self, expr: &ast::Expr<'_>) -> Result<&'h Expr<'h>> {
        Ok(self.ev.heap.alloc(self.expr(expr)?))
    }

    fn expr(&mut self, expr: &ast::Expr<'_>) -> Result<Expr<'h>> {
        self.named(expr, None)
    }

    fn boxed_named(
        &mut self,
        expr: &ast::Expr<'_>,
        name: Symbol,
    ) -> Result<&'h Expr<'h>> {
        Ok(self.ev.heap.alloc(self.named(expr, Some(name))?))
    }

    fn symbol(&self, name: &str) -> Symbol {
        self.ev.symbol(name.as_bytes())
    }

    fn pos(&self, span: Span) -> Pos {
        self.source.start_of(span)
    }

    fn text_of(&self, span: Span) -> &'h [u8] {
        let range = span.start as usize..span.end as usize;
        self.source.text.get(range).unwrap_or_default()
    }

    /// Lowers an expression; a function in it learns the name that it is bound to.
    fn named(&mut self, expr: &ast::Expr<'_>, name: Option<Symbol>) -> Result<Expr<'h>> {
        stacker::maybe_grow(RED_ZONE, STACK_STEP, || {
            let (kind, pos) = self.kind(expr, name)?;
            Ok(Expr { kind, pos })
        })
    }

    fn kind(
        &mut self,
        expr: &ast::Expr<'_>,
        name: Option<Symbol>,
    ) -> Result<(ExprKind<'h>, Pos)> {
        use ast::ExprKind as Ast;
        let heap = self.ev.heap;
        let pos = self.pos(expr.span);
        let kind = match expr.kind {
            Ast::Int(int) => ExprKind::Const(Value::Int(int)),
            Ast::Float(float) => ExprKind::Const(Value::Float(float)),
            Ast::Str(bytes) => {
                self.ev.lint_string(self.text_of(expr.span), pos)?;
                ExprKind::Const(self.ev.string(bytes))
            }
            Ast::Interpolated(parts) => ExprKind::Interpolated(self.parts(parts)?),
            Ast::Path(literal) => self.path(&literal, pos)?,
            Ast::SearchPath(path) => self.search_path(path, pos)?,
            Ast::Ident(ident) => self.variable(self.symbol(ident), pos)?,
            Ast::CurPos => ExprKind::Const(self.ev.pos_value(pos)),
            Ast::List(items) => ExprKind::List(self.list(items)?),
            Ast::AttrSet(set) => ExprKind::Attrs(self.attr_set(set)?),
            Ast::Let { bindings, body } => self.let_in(bindings, body)?,
            Ast::With { scope, body } => {
                let scope = self.boxed(scope)?;
                let body = self.inside(Scope::With, |this| this.boxed(body))?;
                ExprKind::WithScope(scope, body)
            }
            Ast::Assert { condition, body } => ExprKind::Assert(heap.alloc(AssertExpr {
                text: self.text_of(condition.span),
                condition: self.expr(condition)?,
                body: self.expr(body)?,
            })),
            Ast::If { condition, consequence, alternative } => {
                ExprKind::If(heap.alloc(IfExpr {
                    condition: self.expr(condition)?,
                    consequence: self.expr(consequence)?,
                    alternative: self.expr(alternative)?,
                }))
            }
            Ast::Lambda(lambda) => ExprKind::Lambda(self.lambda(lambda, name, pos)?),
            Ast::Apply { function, arguments } => {
                ExprKind::Call(self.boxed(function)?, self.list(arguments)?)
            }
            Ast::Select { base, path, default } => {
                let default = default.map(|default| self.boxed(default)).transpose()?;
                ExprKind::Select(heap.alloc(SelectExpr {
                    base: self.expr(base)?,
                    path: self.attr_path(path)?,
                    default,
                }))
            }
            Ast::HasAttr { base, path } => {
                ExprKind::HasAttr(self.boxed(base)?, self.attr_path(path)?)
            }
            Ast::Not(operand) => ExprKind::Not(self.boxed(operand)?),
            Ast::Negate(operand) => {
                let zero = Expr { kind: ExprKind::Const(Value::Int(0)), pos };
                let operand = self.expr(operand)?;
                self.arithmetic(sym::SUB, Operator::Subtract, zero, operand, pos)?
            }
            Ast::Binary { operator, operator_start, left, right } => {
                let pos = self.source.pos(operator_start);
                return Ok((self.binary(operator, left, right, pos)?, pos));
            }
            Ast::Error => bail!(pos => Syntax, "syntax error"),
        };
        Ok((kind, pos))
    }

    fn list(&mut self, items: &[&ast::Expr<'_>]) -> Result<&'h [&'h Expr<'h>]> {
        let below = self.exprs.len();
        for item in items {
            let item = self.boxed(item)?;
            self.exprs.push(item);
        }
        Ok(self.take_exprs(below))
    }

    fn parts(&mut self, parts: &[ast::StrPart<'_>]) -> Result<&'h [&'h Expr<'h>]> {
        let below = self.exprs.len();
        for part in parts {
            let part = self.part(part)?;
            self.exprs.push(part);
        }
        Ok(self.take_exprs(below))
    }

    fn take_exprs(&mut self, below: usize) -> &'h [&'h Expr<'h>] {
        let taken = self.ev.heap.slice(&self.exprs[below..]);
        self.exprs.truncate(below);
        taken
    }

    fn part(&mut self, part: &ast::StrPart<'_>) -> Result<&'h Expr<'h>> {
        match part.kind {
            ast::StrPartKind::Literal(bytes) => {
                let kind = ExprKind::Const(self.ev.string(bytes));
                Ok(self.ev.heap.alloc(Expr { kind, pos: self.pos(part.span) }))
            }
            ast::StrPartKind::Interpolation(expr) => {
                let inner = self.expr(expr)?;
                Ok(self
                    .ev
                    .heap
                    .alloc(Expr { kind: inner.kind, pos: self.pos(part.span) }))
            }
        }
    }

    fn path(&mut self, literal: &ast::PathLiteral<'_>, pos: Pos) -> Result<ExprKind<'h>> {
        self.ev.lint_path(literal, pos)?;
        let head = literal.head.as_bytes();
        let anchored = match literal.anchor {
            ast::PathAnchor::Root => head.to_vec(),
            ast::PathAnchor::File => [self.base_dir, b"/", head].concat(),
            ast::PathAnchor::Home => match &self.ev.settings.home_dir {
                _ if self.ev.settings.pure => bail!(
                    pos => World,
                    "the path '{}' can not be resolved in pure mode", literal.head
                ),
                Some(home) => [home.as_slice(), &head[1..]].concat(),
                None => bail!(
                    pos => World,
                    "the path '{}' cannot be resolved: there is no home directory", literal.head
                ),
            },
        };
        let mut canonical = crate::coerce::canonical_path(&anchored);
        let heap = self.ev.heap;
        if literal.rest.is_empty() {
            return Ok(ExprKind::Const(self.ev.path(heap.bytes(&canonical))));
        }
        if head.ends_with(b"/") && !canonical.ends_with(b"/") {
            canonical.push(b'/');
        }
        let first = Expr { kind: ExprKind::Const(self.ev.string(&canonical)), pos };
        let first: &Expr<'h> = heap.alloc(first);
        let mut parts = vec![first];
        parts.extend_from_slice(self.parts(literal.rest)?);
        Ok(ExprKind::InterpolatedPath(heap.slice(&parts)))
    }

    /// `<path>` is `__findFile __nixPath "path"`, and a program may bind either.
    fn search_path(&mut self, path: &str, pos: Pos) -> Result<ExprKind<'h>> {
        let heap = self.ev.heap;
        let find_file = self.variable(sym::FIND_FILE, pos)?;
        let nix_path = self.variable(sym::NIX_PATH, pos)?;
        let path = ExprKind::Const(self.ev.string(path.as_bytes()));
        let arguments: [&Expr<'h>; 2] = [
            heap.alloc(Expr { kind: nix_path, pos }),
            heap.alloc(Expr { kind: path, pos }),
        ];
        let function = heap.alloc(Expr { kind: find_file, pos });
        Ok(ExprKind::Call(function, heap.slice(&arguments)))
    }

    fn inside<T>(
        &mut self,
        scope: Scope<'h>,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.scopes.push(scope);
        let result = work(self);
        self.scopes.pop();
        result
    }

    /// Resolves a variable: the nearest scope that binds it, else the base scope, else the `with`s.
    fn variable(&self, name: Symbol, pos: Pos) -> Result<ExprKind<'h>> {
        for (depth, scope) in self.scopes.iter().rev().enumerate() {
            if let Some(index) = scope.find(name) {
                let (depth, index) = (index_u32(depth), index_u32(index));
                return Ok(match depth {
                    0 => ExprKind::Local(index),
                    _ => ExprKind::Up { depth, index },
                });
            }
        }
        if let Some(value) = self.ev.base_scope().variables.get(&name) {
            return Ok(ExprKind::Const(*value));
        }
        let mut withs = self.withs.take();
        withs.clear();
        let outward = self.scopes.iter().rev().enumerate();
        let outward = outward.filter(|(_, scope)| matches!(scope, Scope::With));
        withs.extend(outward.map(|(depth, _)| index_u32(depth)));
        let depths = self.ev.heap.slice(&withs);
        self.withs.set(withs);
        if depths.is_empty() {
            return self.undefined(name, pos);
        }
        Ok(ExprKind::With(self.ev.heap.alloc(WithVariable { name, depths })))
    }

    #[cold]
    fn undefined(&self, name: Symbol, pos: Pos) -> Result<ExprKind<'h>> {
        let mut known: Vec<Symbol> = Vec::new();
        for scope in &self.scopes {
            match scope {
                Scope::Sorted(names) => known.extend_from_slice(names),
                Scope::Formals(names, binding) => {
                    known.extend(names.iter().chain(binding.iter()));
                }
                Scope::Joined(names) => known.extend_from_slice(names),
                Scope::With | Scope::Nameless => {}
            }
        }
        known.extend(self.ev.base_scope().sorted_names(&self.ev.symbols));
        let text = self.ev.symbols.text(name);
        // Any two short names are alike.
        if text.len() < SUGGESTED_FROM {
            known.clear();
        }
        let suggestions = crate::report::similar_names(
            &text,
            known.iter().map(|known| self.ev.symbols.text(*known)),
        );
        Err(crate::err!(Missing, "undefined variable '{text}'")
            .suggest(suggestions)
            .at(pos))
    }

    /// Whether the program itself binds a name, so that an operator must call it.
    fn is_bound(&self, name: Symbol) -> bool {
        self.scopes.iter().any(|scope| scope.find(name).is_some())
    }

    fn attr_path(&mut self, path: &[ast::AttrName<'_>]) -> Result<&'h [AttrName<'h>]> {
        let below = self.names.len();
        for name in path {
            let name = self.attr_name(name)?;
            self.names.push(name);
        }
        let taken = self.ev.heap.slice(&self.names[below..]);
        self.names.truncate(below);
        Ok(taken)
    }

    fn attr_name(&mut self, name: &ast::AttrName<'_>) -> Result<AttrName<'h>> {
        match name.kind {
            ast::AttrNameKind::Static(name) => Ok(AttrName::Static(self.symbol(name))),
            ast::AttrNameKind::Dynamic(expr) => Ok(AttrName::Dynamic(self.boxed(expr)?)),
        }
    }

    fn let_in(
        &mut self,
        set: &ast::AttrSet<'_>,
        body: &ast::Expr<'_>,
    ) -> Result<ExprKind<'h>> {
        let bindings = self.bindings(set, true)?;
        let scope = Scope::Sorted(bindings.shape.names);
        let body = self.inside(scope, |this| this.boxed(body))?;
        Ok(ExprKind::Let(bindings, body))
    }

    fn attr_set(&mut self, set: &ast::AttrSet<'_>) -> Result<&'h Bindings<'h>> {
        self.bindings(set, set.recursive)
    }

    fn bindings(
        &mut self,
        set: &ast::AttrSet<'_>,
        recursive: bool,
    ) -> Result<&'h Bindings<'h>> {
        let heap = self.ev.heap;
        let mut order: Vec<(Symbol, &ast::Attr<'_>)> =
            set.attrs.iter().map(|attr| (self.symbol(attr.name), attr)).collect();
        order.sort_by_key(|(name, _)| *name);
        let names = heap.slice_from(order.iter().map(|(name, _)| *name));
        let positions =
            heap.slice_from(order.iter().map(|(_, attr)| self.pos(attr.span)));
        let outer = self.outer_bindings(&order)?;
        let scoped = |this: &mut Self| this.own_bindings(set, &order, &outer);
        let (values, inherit_from, dynamic) = if recursive {
            self.inside(Scope::Sorted(names), scoped)?
        } else {
            scoped(self)?
        };
        let overrides = names.iter().position(|name| *name == sym::OVERRIDES);
        Ok(heap.alloc(Bindings {
            shape: heap.alloc(Shape::new(names, positions)),
            values,
            inherit_from,
            dynamic,
            recursive,
            overrides: overrides.filter(|_| recursive).map(index_u32),
        }))
    }

    /// Resolves `inherit name` in the scope around the set; the other places stay empty, and so does the list
    /// where there is none.
    fn outer_bindings(
        &mut self,
        order: &[(Symbol, &ast::Attr<'_>)],
    ) -> Result<Vec<Option<Binding<'h>>>> {
        let is_inherited = |(_, attr): &(_, &ast::Attr<'_>)| {
            matches!(attr.value, ast::AttrValue::Inherited)
        };
        if !order.iter().any(is_inherited) {
            return Ok(Vec::new());
        }
        let mut outer = Vec::with_capacity(order.len());
        for (name, attr) in order {
            outer.push(match attr.value {
                ast::AttrValue::Inherited => {
                    let pos = self.pos(attr.span);
                    let kind = self.variable(*name, pos)?;
                    Some(Binding::Outer(self.ev.heap.alloc(Expr { kind, pos })))
                }
                ast::AttrValue::Plain(_) | ast::AttrValue::InheritedFrom(_) => None,
            });
        }
        Ok(outer)
    }

    fn own_bindings(
        &mut self,
        set: &ast::AttrSet<'_>,
        order: &[(Symbol, &ast::Attr<'_>)],
        outer: &[Option<Binding<'h>>],
    ) -> Result<(&'h [Binding<'h>], &'h [&'h Expr<'h>], &'h [DynamicBinding<'h>])> {
        let heap = self.ev.heap;
        let mut values = Vec::with_capacity(order.len());
        for (index, (name, attr)) in order.iter().enumerate() {
            let outer = outer.get(index).copied().flatten();
            values.push(match (outer, attr.value) {
                (Some(outer), _) => outer,
                (None, ast::AttrValue::InheritedFrom(index)) => {
                    Binding::From(self.inherited(*name, index, attr.span))
                }
                (None, ast::AttrValue::Plain(expr)) => {
                    Binding::Own(self.boxed_named(expr, *name)?)
                }
                (None, ast::AttrValue::Inherited) => {
                    unreachable!("`outer_bindings` resolved every inherited name")
                }
            });
        }
        let inherit_from = self.list(set.inherit_from)?;
        let mut dynamic = Vec::with_capacity(set.dynamic.len());
        for attr in set.dynamic {
            dynamic.push(DynamicBinding {
                name: self.boxed(attr.name)?,
                value: self.boxed(attr.value)?,
                pos: self.pos(attr.span),
            });
        }
        Ok((heap.slice(&values), inherit_from, heap.slice_from(dynamic)))
    }

    /// `inherit (expr) name`: a selection out of slot `index` of the scope of `inherit_from`.
    fn inherited(&self, name: Symbol, index: u32, span: Span) -> &'h Expr<'h> {
        let heap = self.ev.heap;
        let pos = self.pos(span);
        let select = SelectExpr {
            base: Expr { kind: ExprKind::Local(index), pos },
            path: heap.slice(&[AttrName::Static(name)]),
            default: None,
        };
        heap.alloc(Expr { kind: ExprKind::Select(heap.alloc(select)), pos })
    }

    fn lambda(
        &mut self,
        lambda: &ast::Lambda<'_>,
        name: Option<Symbol>,
        pos: Pos,
    ) -> Result<&'h Lambda<'h>> {
        let mut variables = std::mem::take(&mut self.joined);
        let joined = index_u32(variables.len());
        let (parameter, body) = match lambda.parameter {
            ast::Parameter::Ident(ident) => {
                let ident = self.symbol(ident);
                variables.push(ident);
                let body = if variables.len() < MAX_JOINED && takes_one(lambda.body) {
                    // Its scope takes the place of this one.
                    self.joined = variables;
                    self.body(lambda.body, name)?
                } else {
                    let scope = Scope::Joined(variables);
                    self.inside(scope, |this| this.body(lambda.body, name))?
                };
                (Parameter::Ident(ident), body)
            }
            ast::Parameter::Formals { formals, ellipsis, binding } => {
                let binding = binding.map(|name| self.symbol(name));
                let mut order: Vec<(Symbol, &ast::Formal<'_>)> = formals
                    .iter()
                    .map(|formal| (self.symbol(formal.name), formal))
                    .collect();
                order.sort_by_key(|(name, _)| *name);
                let names = self.ev.heap.slice_from(order.iter().map(|(name, _)| *name));
                let scope = Scope::Formals(names, binding);
                let (formals, body) = self.inside(scope, |this| {
                    let formals: Result<Vec<_>> = order
                        .iter()
                        .map(|(name, formal)| this.formal(*name, formal))
                        .collect();
                    Ok((this.ev.heap.slice_from(formals?), this.body(lambda.body, name)?))
                })?;
                (Parameter::Formals(Formals { formals, ellipsis, binding }), body)
            }
        };
        let needed = match parameter {
            Parameter::Ident(_) => needed_first(&body),
            Parameter::Formals(_) => None,
        };
        let lambda = Lambda { name, pos, parameter, joined, needed, body, doc: None };
        Ok(self.ev.heap.alloc(lambda))
    }

    /// The body of a function; a function that it returns goes by the same name.
    fn body(&mut self, body: &ast::Expr<'_>, name: Option<Symbol>) -> Result<Expr<'h>> {
        self.named(body, name)
    }

    fn formal(&mut self, name: Symbol, formal: &ast::Formal<'_>) -> Result<Formal<'h>> {
        let default = formal.default.map(|default| self.boxed(default)).transpose()?;
        Ok(Formal { name, pos: self.pos(formal.span), default })
    }

    fn binary(
        &mut self,
        operator: ast::BinaryOp,
        left: &ast::Expr<'_>,
        right: &ast::Expr<'_>,
        pos: Pos,
    ) -> Result<ExprKind<'h>> {
        use ast::BinaryOp as Ast;
        let heap = self.ev.heap;
        if matches!(operator, Ast::PipeInto | Ast::PipeFrom) {
            let (function, argument) =
                if operator == Ast::PipeInto { (right, left) } else { (left, right) };
            return Ok(ExprKind::Call(self.boxed(function)?, self.list(&[argument])?));
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let pair = |operator| Ok(ExprKind::Binary(operator, heap.alloc((left, right))));
        match operator {
            Ast::Implies => pair(Operator::Implies),
            Ast::Or => pair(Operator::Or),
            Ast::And => pair(Operator::And),
            Ast::Equal => pair(Operator::Equal),
            Ast::NotEqual => pair(Operator::NotEqual),
            Ast::Update => pair(Operator::Update),
            Ast::Add => pair(Operator::Add),
            Ast::Concat => pair(Operator::Concat),
            Ast::Less => self.comparison(Operator::Less, left, right, pos),
            Ast::LessOrEqual => self.comparison(Operator::LessOrEqual, left, right, pos),
            Ast::Greater => self.comparison(Operator::Greater, left, right, pos),
            Ast::GreaterOrEqual => {
                self.comparison(Operator::GreaterOrEqual, left, right, pos)
            }
            Ast::Subtract => {
                self.arithmetic(sym::SUB, Operator::Subtract, left, right, pos)
            }
            Ast::Multiply => {
                self.arithmetic(sym::MUL, Operator::Multiply, left, right, pos)
            }
            Ast::Divide => self.arithmetic(sym::DIV, Operator::Divide, left, right, pos),
            Ast::PipeInto | Ast::PipeFrom => unreachable!("handled above"),
        }
    }

    fn arithmetic(
        &self,
        function: Symbol,
        operator: Operator,
        left: Expr<'h>,
        right: Expr<'h>,
        pos: Pos,
    ) -> Result<ExprKind<'h>> {
        let heap = self.ev.heap;
        if self.is_bound(function) {
            return self.call_bound(function, left, right, pos);
        }
        Ok(ExprKind::Binary(operator, heap.alloc((left, right))))
    }

    /// `a > b` is `__lessThan b a`, `a <= b` is `!(__lessThan b a)`, `a >= b` is `!(__lessThan a b)`.
    fn comparison(
        &self,
        operator: Operator,
        left: Expr<'h>,
        right: Expr<'h>,
        pos: Pos,
    ) -> Result<ExprKind<'h>> {
        let heap = self.ev.heap;
        if !self.is_bound(sym::LESS_THAN) {
            return Ok(ExprKind::Binary(operator, heap.alloc((left, right))));
        }
        let swapped = matches!(operator, Operator::Greater | Operator::LessOrEqual);
        let (first, second) = if swapped { (right, left) } else { (left, right) };
        let call = self.call_bound(sym::LESS_THAN, first, second, pos)?;
        let negated =
            matches!(operator, Operator::LessOrEqual | Operator::GreaterOrEqual);
        Ok(if negated {
            ExprKind::Not(heap.alloc(Expr { kind: call, pos }))
        } else {
            call
        })
    }

    fn call_bound(
        &self,
        function: Symbol,
        left: Expr<'h>,
        right: Expr<'h>,
        pos: Pos,
    ) -> Result<ExprKind<'h>> {
        let heap = self.ev.heap;
        let kind = self.variable(function, pos)?;
        let arguments: [&Expr<'h>; 2] = [heap.alloc(left), heap.alloc(right)];
        Ok(ExprKind::Call(heap.alloc(Expr { kind, pos }), heap.slice(&arguments)))
    }
}

/// Whether an expression is a function of one variable.
fn takes_one(expr: &ast::Expr<'_>) -> bool {
    matches!(expr.kind, ast::ExprKind::Lambda(lambda) if matches!(lambda.parameter, ast::Parameter::Ident(_)))
}

fn index_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a source text has fewer than 2^32 names")
}
