//! Evaluating what a person types: expressions and bindings, one after the other, in a scope that grows.
//!
//! The scope is one environment, made anew when variables are added, so that whoever looks for what is alive finds
//! all of it there. What was evaluated before keeps the variables that it saw: `x = 1`, `y = x`, `x = 2` leaves
//! `y` at 1, as in Nix's own repl.

use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::expr::{AttrName, Expr, ExprKind, SelectExpr};
use crate::lower::{Scope, lower_bindings, lower_prompt};
use crate::pos::Pos;
use crate::source::Origin;
use crate::symbol::Symbol;
use crate::value::{Attrs, Env, Value};

/// The variables that a person has bound, and where relative paths lead.
pub struct Interactive<'h> {
    /// Ascending; the slots of `env` are in this order.
    names: Vec<Symbol>,
    env: Env<'h>,
    base_dir: &'h [u8],
}

/// What a text turned out to be.
#[derive(Clone, Copy)]
pub enum Entry<'h> {
    /// An expression.
    Expr(&'h Expr<'h>),
    /// Bindings such as `x = 1; inherit (y) z`, as the set of them.
    Bindings(&'h Expr<'h>),
    /// The beginning of an expression or a binding: more text is needed.
    Incomplete,
}

impl<'h> Interactive<'h> {
    /// A scope without variables of its own.
    pub fn new(ev: &Evaluator<'h>, base_dir: &[u8]) -> Self {
        let env = ev.heap.scope(0, Some(ev.top_env()));
        Self { names: Vec::new(), env, base_dir: ev.heap.bytes(base_dir) }
    }

    /// The names of the variables, in no particular order.
    #[must_use]
    pub fn names(&self) -> &[Symbol] {
        &self.names
    }

    /// Adds variables; one of the same name is replaced.
    pub fn add(&mut self, ev: &Evaluator<'h>, new: &[(Symbol, Value<'h>)]) {
        let old = self.names.iter().copied().zip(self.env.slots());
        let old = old.map(|(name, slot)| (name, slot.get().peek()));
        // Until they are in the scope (no evaluation).
        let mut all: Vec<(Symbol, Value<'h>)> = new.to_vec();
        // The sort is stable: of equal names the new one comes first and stays.
        all.extend(old);
        all.sort_by_key(|(name, _)| *name);
        all.dedup_by_key(|(name, _)| *name);
        let env = ev.heap.scope(all.len(), Some(ev.top_env()));
        for (slot, (_, value)) in env.slots().iter().zip(&all) {
            slot.set(*value, ev.heap);
        }
        self.names = all.into_iter().map(|(name, _)| name).collect();
        self.env = env;
    }

    /// Adds the attributes of a set.
    pub fn add_attrs(&mut self, ev: &Evaluator<'h>, attrs: &'h Attrs<'h>) {
        let new: Vec<_> =
            attrs.iter(ev.heap).map(|attr| (attr.name, attr.slot.get().peek())).collect();
        self.add(ev, &new);
    }

    /// Reads an entry: bindings if it can be read as such, with or without a last semicolon, else an expression.
    ///
    /// # Errors
    /// It is neither, or names a variable that is nowhere bound.
    pub fn read(&self, ev: &Evaluator<'h>, text: &str) -> Result<Entry<'h>> {
        match lower_bindings(ev, text, self.base_dir, self.scopes(ev))? {
            None => self.read_expr(ev, text),
            Some(entry) => Ok(entry),
        }
    }

    /// Reads an expression.
    ///
    /// # Errors
    /// It is wrong, or names a variable that is nowhere bound.
    pub fn read_expr(&self, ev: &Evaluator<'h>, text: &str) -> Result<Entry<'h>> {
        let Some(source) = ev.sources.add(Origin::Text, ev.heap.bytes(text.as_bytes()))
        else {
            bail!(Other, "the source texts of this evaluation exceed 4 GiB");
        };
        lower_prompt(ev, source, self.base_dir, self.scopes(ev))
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// Its evaluation fails.
    pub fn evaluate(&self, ev: &Evaluator<'h>, expr: &'h Expr<'h>) -> Result<Value<'h>> {
        ev.with_stack(|| ev.force(ev.eval(expr, self.env)?))
    }

    /// Adds the variables of bindings. Their values are evaluated when they are needed, in the scope of now.
    ///
    /// # Errors
    /// A computed name cannot be evaluated.
    pub fn bind(&mut self, ev: &Evaluator<'h>, bindings: &'h Expr<'h>) -> Result<()> {
        if let Value::Attrs(attrs) = self.evaluate(ev, bindings)? {
            self.add_attrs(ev, attrs);
        }
        Ok(())
    }

    /// For `base.path.name`: the value of `base.path`, and the name; none for any other expression.
    ///
    /// # Errors
    /// The value cannot be evaluated.
    pub fn except_last_name(
        &self,
        ev: &Evaluator<'h>,
        expr: &'h Expr<'h>,
    ) -> Result<Option<(Value<'h>, Symbol)>> {
        let ExprKind::Select(select) = expr.kind else { return Ok(None) };
        let Some((AttrName::Static(name), path)) = select.path.split_last() else {
            return Ok(None);
        };
        let base = Expr { kind: select.base.kind, pos: select.base.pos };
        let kind = match path {
            [] => base.kind,
            path => {
                ExprKind::Select(ev.heap.alloc(SelectExpr { base, path, default: None }))
            }
        };
        let set = ev.heap.alloc(Expr { kind, pos: expr.pos });
        Ok(Some((self.evaluate(ev, set)?, *name)))
    }

    fn scopes(&self, ev: &Evaluator<'h>) -> Vec<Scope<'h>> {
        vec![Scope::Nameless, Scope::Sorted(ev.heap.slice(&self.names))]
    }
}

impl<'h> Evaluator<'h> {
    /// Forgets every file that was read, so that what changed since is read anew.
    pub fn forget_files(&self) {
        self.imports.borrow_mut().clear();
        self.resolved_dirs.borrow_mut().clear();
        self.copied_paths.borrow_mut().clear();
        *self.caches.search_path.borrow_mut() = Default::default();
    }

    /// Where an attribute of a set was written.
    pub fn attr_pos(&self, attrs: &'h Attrs<'h>, name: Symbol) -> Pos {
        attrs
            .iter(self.heap)
            .find(|attr| attr.name == name)
            .map_or(Pos::NONE, |attr| attr.pos)
    }
}
