//! The merging of bindings, as Nix's parser does it while it reads.
//!
//! `a.b = 1; a.c = 2;` is one nested set; `a = { b = 1; }; a.c = 2;` and `a = { ... }; a = { ... };` merge
//! as well, as long as both sides are written as sets. What is odd in Nix is odd here: the second set's
//! `rec` is lost, the first one's then applies to both (NixOS/nix issue 9020), and `inherit` merges with
//! nothing.
//!
//! Sets under construction lie in a pool that works like a stack: a set's nested sets come after it, so
//! that finishing them last to first needs no recursion, however long an attribute path is.

use bumpalo::Bump;
use rustc_hash::FxHashMap;

use crate::ast::{
    Attr, AttrName, AttrNameKind, AttrSet, AttrValue, DynamicAttr, Expr, ExprKind,
};
use crate::diagnostic::Diagnostic;
use crate::print::{attr_path_text, identifier_text};
use crate::span::Span;

/// Sets up to this size are searched one by one; an index is made beyond it.
const INDEX_FROM: usize = 12;

/// A set in the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetId(usize);

#[derive(Clone, Copy)]
enum Value<'a> {
    Plain(&'a Expr<'a>),
    Nested(SetId),
    Inherited,
    InheritedFrom(u32),
}

#[derive(Default)]
struct Set<'a> {
    recursive: bool,
    span: Span,
    attrs: Vec<(&'a str, Span, Value<'a>)>,
    dynamic: Vec<(&'a Expr<'a>, Span, Value<'a>)>,
    inherit_from: Vec<&'a Expr<'a>>,
    index: FxHashMap<&'a str, usize>,
}

impl<'a> Set<'a> {
    fn find(&mut self, name: &str) -> Option<usize> {
        if self.attrs.len() < INDEX_FROM {
            return self.attrs.iter().position(|(other, ..)| *other == name);
        }
        for at in self.index.len()..self.attrs.len() {
            self.index.insert(self.attrs[at].0, at);
        }
        self.index.get(name).copied()
    }
}

/// The sets under construction, and what was wrong with them.
#[derive(Default)]
pub(crate) struct Sets<'a> {
    pool: Vec<Set<'a>>,
    open: usize,
    done: Vec<&'a Expr<'a>>,
}

impl<'a> Sets<'a> {
    /// Begins a set.
    pub(crate) fn begin(&mut self) -> SetId {
        if self.open == self.pool.len() {
            self.pool.push(Set::default());
        }
        let set = &mut self.pool[self.open];
        set.recursive = false;
        set.attrs.clear();
        set.dynamic.clear();
        set.inherit_from.clear();
        set.index.clear();
        self.open += 1;
        SetId(self.open - 1)
    }

    /// Ends a set that is the last begun, with everything nested in it.
    pub(crate) fn finish(
        &mut self,
        arena: &'a Bump,
        root: SetId,
        recursive: bool,
    ) -> AttrSet<'a> {
        self.pool[root.0].recursive = recursive;
        self.done.clear();
        for id in (root.0 + 1..self.open).rev() {
            let set = self.set(arena, id);
            let kind = ExprKind::AttrSet(arena.alloc(set));
            self.done.push(arena.alloc(Expr { kind, span: self.pool[id].span }));
        }
        let set = self.set(arena, root.0);
        self.open = root.0;
        set
    }

    fn set(&self, arena: &'a Bump, id: usize) -> AttrSet<'a> {
        let set = &self.pool[id];
        // The nested sets are finished last to first.
        let nested = |id: SetId| self.done[self.open - 1 - id.0];
        let attrs = set.attrs.iter().map(|&(name, span, value)| {
            let value = match value {
                Value::Plain(expr) => AttrValue::Plain(expr),
                Value::Nested(id) => AttrValue::Plain(nested(id)),
                Value::Inherited => AttrValue::Inherited,
                Value::InheritedFrom(index) => AttrValue::InheritedFrom(index),
            };
            Attr { name, span, value }
        });
        let dynamic = set.dynamic.iter().filter_map(|&(name, span, value)| {
            let value = match value {
                Value::Plain(expr) => expr,
                Value::Nested(id) => nested(id),
                Value::Inherited | Value::InheritedFrom(_) => return None,
            };
            Some(DynamicAttr { name, value, span })
        });
        let dynamic: &[DynamicAttr<'a>] = if set.dynamic.is_empty() {
            &[]
        } else {
            arena.alloc_slice_fill_iter(dynamic.collect::<Vec<_>>())
        };
        AttrSet {
            recursive: set.recursive,
            attrs: arena.alloc_slice_fill_iter(attrs),
            dynamic,
            inherit_from: arena.alloc_slice_copy(&set.inherit_from),
        }
    }

    /// Adds `path = value;`.
    pub(crate) fn add(
        &mut self,
        root: SetId,
        path: &[AttrName<'a>],
        value: &'a Expr<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Some((last, parents)) = path.split_last() else { return };
        let span = path[0].span.to(last.span);
        let mut set = root;
        for (depth, name) in parents.iter().enumerate() {
            let nested = match name.kind {
                AttrNameKind::Static(name) => self.enter(set, name, span),
                AttrNameKind::Dynamic(name) => {
                    let nested = self.begin_nested(span);
                    self.pool[set.0].dynamic.push((name, span, Value::Nested(nested)));
                    Ok(nested)
                }
            };
            match nested {
                Ok(nested) => set = nested,
                Err(previous) => {
                    let name = attr_path_text(&path[..=depth]);
                    return diagnostics.push(duplicate(&name, span, previous));
                }
            }
        }
        match last.kind {
            AttrNameKind::Static(name) => {
                let mut names = Names { path, more: Vec::new() };
                let attr = (name, span, Value::Plain(value));
                self.define(set, attr, &mut names, diagnostics);
            }
            AttrNameKind::Dynamic(name) => {
                self.pool[set.0].dynamic.push((name, span, Value::Plain(value)));
            }
        }
    }

    /// Adds `inherit name;`, or `inherit (from) name;` where `from` is an index.
    pub(crate) fn inherit(
        &mut self,
        set: SetId,
        (name, span): (&'a str, Span),
        from: Option<u32>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let set = &mut self.pool[set.0];
        if let Some(at) = set.find(name) {
            diagnostics.push(duplicate(&identifier_text(name), span, set.attrs[at].1));
            return;
        }
        set.attrs.push((name, span, from.map_or(Value::Inherited, Value::InheritedFrom)));
    }

    /// Adds the expression of `inherit (from)` and returns its index.
    pub(crate) fn inherit_from(&mut self, set: SetId, from: &'a Expr<'a>) -> u32 {
        let expressions = &mut self.pool[set.0].inherit_from;
        expressions.push(from);
        u32::try_from(expressions.len() - 1).unwrap_or(u32::MAX)
    }

    fn begin_nested(&mut self, span: Span) -> SetId {
        let nested = self.begin();
        self.pool[nested.0].span = span;
        nested
    }

    /// The nested set of that name, which begins here if there is none; the place of what is in the way.
    fn enter(&mut self, set: SetId, name: &'a str, span: Span) -> Result<SetId, Span> {
        match self.pool[set.0].find(name) {
            Some(at) => self.reopen(set, at).ok_or(self.pool[set.0].attrs[at].1),
            None => {
                let nested = self.begin_nested(span);
                self.pool[set.0].attrs.push((name, span, Value::Nested(nested)));
                Ok(nested)
            }
        }
    }

    /// The attribute as a set that can be added to, if it is written as a set.
    fn reopen(&mut self, set: SetId, at: usize) -> Option<SetId> {
        let expr = match self.pool[set.0].attrs[at].2 {
            Value::Nested(nested) => return Some(nested),
            Value::Plain(expr) => expr,
            Value::Inherited | Value::InheritedFrom(_) => return None,
        };
        let ExprKind::AttrSet(written) = expr.kind else { return None };
        let nested = self.begin_nested(expr.span);
        let target = &mut self.pool[nested.0];
        target.recursive = written.recursive;
        target.attrs.extend(
            written.attrs.iter().map(|attr| (attr.name, attr.span, value(attr, 0))),
        );
        target.dynamic.extend(written.dynamic.iter().map(dynamic));
        target.inherit_from.extend_from_slice(written.inherit_from);
        self.pool[set.0].attrs[at].2 = Value::Nested(nested);
        Some(nested)
    }

    /// Adds one attribute, merging two that are both written as sets.
    fn define(
        &mut self,
        set: SetId,
        (name, span, value): (&'a str, Span, Value<'a>),
        names: &mut Names<'_, 'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Some(at) = self.pool[set.0].find(name) else {
            self.pool[set.0].attrs.push((name, span, value));
            return;
        };
        let written = match value {
            Value::Plain(Expr { kind: ExprKind::AttrSet(written), .. }) => Some(*written),
            _ => None,
        };
        let previous = self.pool[set.0].attrs[at].1;
        let merged = written.and_then(|written| Some((written, self.reopen(set, at)?)));
        let Some((written, target)) = merged else {
            diagnostics.push(duplicate(&names.text(), span, previous));
            return;
        };
        crate::stack::with_room(|| self.merge(target, written, names, diagnostics));
    }

    fn merge(
        &mut self,
        target: SetId,
        written: &AttrSet<'a>,
        names: &mut Names<'_, 'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let shift = self.pool[target.0].inherit_from.len();
        for attr in written.attrs {
            names.more.push(attr.name);
            let attr = (attr.name, attr.span, value(attr, shift));
            self.define(target, attr, names, diagnostics);
            names.more.pop();
        }
        let target = &mut self.pool[target.0];
        target.dynamic.extend(written.dynamic.iter().map(dynamic));
        target.inherit_from.extend_from_slice(written.inherit_from);
    }
}

/// The path to an attribute, for messages.
struct Names<'p, 'a> {
    path: &'p [AttrName<'a>],
    more: Vec<&'a str>,
}

impl Names<'_, '_> {
    fn text(&self) -> String {
        let mut out = attr_path_text(self.path);
        for name in &self.more {
            out.push('.');
            out.push_str(&identifier_text(name));
        }
        out
    }
}

fn value<'a>(attr: &Attr<'a>, shift: usize) -> Value<'a> {
    match attr.value {
        AttrValue::Plain(expr) => Value::Plain(expr),
        AttrValue::Inherited => Value::Inherited,
        AttrValue::InheritedFrom(index) => {
            Value::InheritedFrom(index + u32::try_from(shift).unwrap_or(u32::MAX))
        }
    }
}

fn dynamic<'a>(attr: &DynamicAttr<'a>) -> (&'a Expr<'a>, Span, Value<'a>) {
    (attr.name, attr.span, Value::Plain(attr.value))
}

fn duplicate(name: &str, span: Span, previous: Span) -> Diagnostic {
    Diagnostic::new(span, format!("attribute '{name}' already defined"))
        .with_previous(previous)
}
