//! Walking the resolved form.
//!
//! `eval` turns an expression into weak head normal form. What stands in tail position (branches, bodies, the
//! last call) is not a recursion but the next turn of the loop in `eval_tail`; calls are counted all the same,
//! so that an endless chain of them is reported as in Nix.

use crate::bail;
use crate::error::{At, Error, Result};
use crate::evaluator::Evaluator;
use crate::expr::{
    AssertExpr, AttrName, Binding, Bindings, DynamicBinding, Expr, ExprKind, Lambda,
    Operator, Parameter, SelectExpr, WithVariable,
};
use crate::peek::Slots;
use crate::pos::Pos;
use crate::report::similar_names;
use crate::symbol::Symbol;
use crate::value::{Attrs, AttrsBuilder, Closure, Env, Items, Shape, Slot, Value};

/// The most arguments of a call that are kept on the stack.
const MAX_ON_STACK: usize = 6;

/// What a step of evaluation comes to.
pub(crate) enum Tail<'h> {
    /// The value itself.
    Value(Value<'h>),
    /// The value of another expression.
    Body(&'h Expr<'h>, Env<'h>),
}

impl<'h> Evaluator<'h> {
    /// Evaluates an expression in a scope to weak head normal form.
    ///
    /// Decision: what is at hand is returned from here without a frame on the stack; every other kind has a
    /// function of its own, so that none pays for the registers and the frame of another.
    ///
    /// # Errors
    /// Whatever the evaluation fails with.
    pub(crate) fn eval(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Result<Value<'h>> {
        match expr.kind {
            ExprKind::Const(value) => match value {
                Value::Thunk(_) => self.force(value),
                _ => Ok(value),
            },
            ExprKind::Local(index) => self.variable(env.slot(index), expr.pos),
            ExprKind::Up { depth, index } => {
                self.variable(outward(env, depth).slot(index), expr.pos)
            }
            ExprKind::Select(select) => self.eval_select(select, env, expr.pos),
            ExprKind::Binary(operator, operands) => {
                self.eval_binary(operator, operands, env, expr.pos)
            }
            ExprKind::Lambda(_)
            | ExprKind::With(_)
            | ExprKind::Interpolated(_)
            | ExprKind::HasAttr(..)
            | ExprKind::Not(_) => self.eval_simple(expr, env),
            _ => self.eval_steps(expr, env),
        }
    }

    #[inline]
    fn variable(&self, slot: &'h Slot<'h>, pos: Pos) -> Result<Value<'h>> {
        match slot.get() {
            Value::Thunk(_) => self.force_variable(slot, pos),
            value => Ok(value),
        }
    }

    #[inline(never)]
    fn force_variable(&self, slot: &'h Slot<'h>, pos: Pos) -> Result<Value<'h>> {
        self.force_slot(slot).at_recursion(pos)
    }

    #[inline(never)]
    fn closure(&self, lambda: &'h Lambda<'h>, env: Env<'h>) -> Value<'h> {
        Value::Lambda(self.heap.alloc(Closure { lambda, env }))
    }

    /// Kinds of which nothing stands in tail position, and which leave no scratch.
    #[inline(never)]
    fn eval_simple(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Result<Value<'h>> {
        self.with_stack(|| match expr.kind {
            ExprKind::Lambda(lambda) => Ok(self.closure(lambda, env)),
            ExprKind::With(variable) => {
                let slot = self.with_lookup(variable, env, expr.pos)?;
                self.force_slot(slot).at_recursion(expr.pos)
            }
            ExprKind::Interpolated(parts) => self.interpolate(parts, env),
            ExprKind::HasAttr(base, path) => {
                self.has_attr(base, path, env, expr.pos).map(Value::Bool)
            }
            ExprKind::Not(operand) => {
                let doing = "in the argument of the not operator";
                let value = self.eval_bool(operand, env, operand.pos, doing)?;
                Ok(Value::Bool(!value))
            }
            _ => self.eval_steps(expr, env),
        })
    }

    #[inline(never)]
    fn eval_select(
        &self,
        select: &'h SelectExpr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        self.with_stack(|| match self.select(select, env, pos)? {
            Tail::Value(value) => Ok(value),
            Tail::Body(default, env) => self.eval(default, env),
        })
    }

    #[inline(never)]
    fn eval_binary(
        &self,
        operator: Operator,
        operands: &'h (Expr<'h>, Expr<'h>),
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        self.with_stack(|| self.binary(operator, &operands.0, &operands.1, env, pos))
    }

    #[inline(never)]
    fn eval_steps(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Result<Value<'h>> {
        self.with_stack(|| {
            let depth = self.call_depth.get();
            let mark = self.heap.mark();
            let result = self.eval_tail(expr, env);
            self.call_depth.set(depth);
            if result.is_ok() {
                self.heap.release(mark);
            }
            result
        })
    }

    fn eval_tail(&self, mut expr: &'h Expr<'h>, mut env: Env<'h>) -> Result<Value<'h>> {
        loop {
            match self.step(expr, env)? {
                Tail::Value(value) => return Ok(value),
                Tail::Body(next, scope) => (expr, env) = (next, scope),
            }
        }
    }

    #[inline(always)]
    fn step(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Result<Tail<'h>> {
        let value = match expr.kind {
            ExprKind::Const(_)
            | ExprKind::Local(_)
            | ExprKind::Up { .. }
            | ExprKind::Binary(..)
            | ExprKind::With(_)
            | ExprKind::Interpolated(_)
            | ExprKind::HasAttr(..)
            | ExprKind::Not(_)
            | ExprKind::Lambda(_) => self.eval(expr, env)?,
            ExprKind::InterpolatedPath(parts) => {
                self.interpolate_path(parts, env, expr.pos)?
            }
            ExprKind::List(items) => {
                let slots =
                    self.heap.slots(items.iter().map(|item| self.delay(item, env)));
                self.list_of(slots)
            }
            ExprKind::Attrs(bindings) => Value::Attrs(self.attrs_literal(bindings, env)?),
            ExprKind::Let(bindings, body) => {
                return Ok(Tail::Body(body, self.recursive_scope(bindings, env)));
            }
            ExprKind::WithScope(scope, body) => {
                let env = self.heap.scope_of_one(self.delay(scope, env), env);
                return Ok(Tail::Body(body, env));
            }
            ExprKind::Assert(assert) => {
                self.check_assertion(assert, env, expr.pos)?;
                return Ok(Tail::Body(&assert.body, env));
            }
            ExprKind::If(branches) => {
                let doing = "while evaluating a branch condition";
                let yes = self.eval_bool(&branches.condition, env, expr.pos, doing)?;
                let branch =
                    if yes { &branches.consequence } else { &branches.alternative };
                return Ok(Tail::Body(branch, env));
            }
            ExprKind::Call(function, arguments) => {
                return self.call_expr(function, arguments, env, expr.pos);
            }
            ExprKind::Select(select) => return self.select(select, env, expr.pos),
        };
        Ok(Tail::Value(value))
    }

    /// The value of an expression that may never be needed: a thunk, unless it is at hand already.
    #[inline]
    pub(crate) fn delay(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        match expr.kind {
            ExprKind::Local(index) => env.slot(index).get().peek(),
            _ => self.delay_in(expr, env, Slots::Filled),
        }
    }

    /// As [`Self::delay`], in a scope whose own slots are not filled yet.
    #[inline]
    pub(crate) fn delay_unfinished(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        self.delay_in(expr, env, Slots::Unfinished)
    }

    fn delay_in(&self, expr: &'h Expr<'h>, env: Env<'h>, slots: Slots) -> Value<'h> {
        match expr.kind {
            ExprKind::Const(value) => value,
            ExprKind::Up { depth, index } => outward(env, depth).slot(index).get().peek(),
            ExprKind::List([]) => self.list(&[]),
            _ if self.settings.unforced_shown => self.heap.suspend(expr, env),
            ExprKind::Lambda(lambda) => self.closure(lambda, env),
            ExprKind::Attrs(bindings)
                if bindings.values.is_empty() && bindings.dynamic.is_empty() =>
            {
                Value::Attrs(self.empty_attrs())
            }
            ExprKind::Select(_) | ExprKind::With(_) => self.delay_selection(expr, env),
            ExprKind::If(_)
            | ExprKind::Not(_)
            | ExprKind::HasAttr(..)
            | ExprKind::Binary(
                Operator::And
                | Operator::Or
                | Operator::Implies
                | Operator::Equal
                | Operator::NotEqual,
                _,
            ) => self.delay_test(expr, env, slots),
            _ => self.heap.suspend(expr, env),
        }
    }

    #[inline(never)]
    fn delay_selection(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        let at_hand = match expr.kind {
            ExprKind::Select(select) => self.peek_select(select, env),
            ExprKind::With(variable) => self.peek_with(variable, env),
            _ => None,
        };
        match at_hand {
            Some(value) => self.copy_of(value),
            None => self.heap.suspend(expr, env),
        }
    }

    /// The value of a selection that is at hand: no set on its way has to be forced, and nothing is missing.
    ///
    /// Sharing what the set holds, perhaps a thunk, spares a thunk here; `inherit (lib) ...` costs nothing.
    #[inline]
    pub(crate) fn peek_select(
        &self,
        select: &'h SelectExpr<'h>,
        env: Env<'h>,
    ) -> Option<Value<'h>> {
        let mut value = match select.base.kind {
            ExprKind::Const(value) => value,
            ExprKind::Local(index) => env.slot(index).get().peek(),
            ExprKind::Up { depth, index } => outward(env, depth).slot(index).get().peek(),
            _ => return None,
        };
        for name in select.path {
            let (Value::Attrs(attrs), AttrName::Static(name)) = (value, name) else {
                return None;
            };
            let Some(slot) = attrs.get(*name) else {
                return select.default.and_then(|default| self.constant(default));
            };
            value = slot.get().peek();
        }
        Some(value)
    }

    /// As [`Self::peek_select`], for a variable that a `with` supplies.
    #[inline]
    pub(crate) fn peek_with(
        &self,
        variable: &'h WithVariable<'h>,
        env: Env<'h>,
    ) -> Option<Value<'h>> {
        for depth in variable.depths {
            let scope = outward(env, *depth).slot(0).get().peek();
            let Value::Attrs(attrs) = scope else { return None };
            if let Some(slot) = attrs.get(variable.name) {
                return Some(slot.get().peek());
            }
        }
        None
    }

    /// Evaluates an expression that must be a Boolean.
    pub(crate) fn eval_bool(
        &self,
        expr: &'h Expr<'h>,
        env: Env<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        match self.eval(expr, env).trace(pos, || doing)? {
            Value::Bool(bool) => Ok(bool),
            other => self.expect_bool(other, pos, doing),
        }
    }

    // ---- scopes ---------------------------------------------------------------------------------

    fn recursive_scope(&self, bindings: &'h Bindings<'h>, outer: Env<'h>) -> Env<'h> {
        let env = self.heap.scope(bindings.values.len(), Some(outer));
        let from = self.inherit_scope(bindings, env);
        let slots = env.slots();
        for (index, (slot, binding)) in slots.iter().zip(bindings.values).enumerate() {
            let value = match binding {
                // Another name for a variable that is bound already.
                Binding::Own(Expr { kind: ExprKind::Local(other), .. })
                    if (*other as usize) < index && bindings.overrides.is_none() =>
                {
                    slots[*other as usize].get()
                }
                Binding::Own(expr) => self.delay_unfinished(expr, env),
                Binding::Outer(expr) => self.delay(expr, outer),
                Binding::From(expr) => self.delay(expr, from),
            };
            slot.set(value, self.heap);
        }
        env
    }

    /// The scope whose slots are the sources of `inherit (source) ...`; `env` itself if there are none.
    fn inherit_scope(&self, bindings: &'h Bindings<'h>, env: Env<'h>) -> Env<'h> {
        if bindings.inherit_from.is_empty() {
            return env;
        }
        let from = self.heap.scope(bindings.inherit_from.len(), Some(env));
        for (slot, expr) in from.slots().iter().zip(bindings.inherit_from) {
            let value = if bindings.recursive {
                self.delay_unfinished(expr, env)
            } else {
                self.delay(expr, env)
            };
            slot.set(value, self.heap);
        }
        from
    }

    #[inline(never)]
    fn attrs_literal(
        &self,
        bindings: &'h Bindings<'h>,
        env: Env<'h>,
    ) -> Result<&'h Attrs<'h>> {
        let (scope, values) = if bindings.recursive {
            let scope = self.recursive_scope(bindings, env);
            (scope, scope.slots())
        } else {
            let from = self.inherit_scope(bindings, env);
            let values = bindings.values.iter().map(|binding| match binding {
                Binding::Own(expr) | Binding::Outer(expr) => self.delay(expr, env),
                Binding::From(expr) => self.delay(expr, from),
            });
            (env, self.heap.slots(values))
        };
        let (mut shape, mut values) = (bindings.shape, values);
        if let Some(index) = bindings.overrides {
            let attrs = self.heap.attrs(Attrs::new(shape, values));
            let attrs = self.apply_overrides(attrs, scope, index)?;
            (shape, values) = attrs.parts(self.heap);
        }
        if !bindings.dynamic.is_empty() {
            return self.add_dynamic(bindings.dynamic, (shape, values), scope);
        }
        if values.is_empty() {
            return Ok(self.empty_attrs());
        }
        Ok(self.heap.attrs(Attrs::new(shape, values)))
    }

    /// `rec { __overrides = { x = 1; }; x = 2; }`: the overrides win, also for the variables of the set.
    fn apply_overrides(
        &self,
        attrs: &'h Attrs<'h>,
        scope: Env<'h>,
        index: u32,
    ) -> Result<&'h Attrs<'h>> {
        let doing = "while evaluating the `__overrides` attribute";
        let value = scope.slot(index).get();
        let overrides = self.expect_attrs(value, Pos::NONE, doing)?;
        let (shape, _) = attrs.parts(self.heap);
        for attr in overrides.iter(self.heap) {
            if let Some(index) = shape.find(attr.name) {
                scope.slots()[index].set(attr.slot.get(), self.heap);
            }
        }
        self.heap.remember(scope.addr());
        Ok(attrs.update(overrides, self.heap))
    }

    fn add_dynamic(
        &self,
        dynamic: &'h [DynamicBinding<'h>],
        (shape, values): (&'h Shape<'h>, &'h [Slot<'h>]),
        scope: Env<'h>,
    ) -> Result<&'h Attrs<'h>> {
        let mut added: Vec<(Symbol, &'h DynamicBinding<'h>)> = Vec::new();
        for binding in dynamic {
            let name = self.eval(binding.name, scope)?;
            if matches!(name, Value::Null) {
                continue;
            }
            let doing = "while evaluating the name of a dynamic attribute";
            let name = self.symbol(self.expect_plain_string(name, binding.pos, doing)?);
            let known = shape.find(name).map(|index| shape.positions[index]);
            let known = known.or_else(|| {
                added.iter().find(|(other, _)| *other == name).map(|(_, other)| other.pos)
            });
            if let Some(before) = known {
                bail!(
                    binding.pos => Other,
                    "dynamic attribute '{}' already defined at {}",
                    self.symbols.shown(name), crate::report::show_pos(self, before)
                );
            }
            added.push((name, binding));
        }
        // `{ ${name} = value; }` in a function that is called again and again makes the same few shapes.
        if let ([(name, binding)], []) = (&*added, values) {
            let shape = self.shape_of_one(*name, binding.pos);
            let values = self.heap.slots_from(&[self.delay(binding.value, scope)]);
            return Ok(self.heap.attrs(Attrs::new(shape, values)));
        }
        // Nothing is evaluated while a set is being built.
        let mut all = AttrsBuilder::with_capacity(values.len() + added.len());
        for (index, slot) in values.iter().enumerate() {
            all.push(shape.names[index], shape.positions[index], slot.get());
        }
        for (name, binding) in added {
            all.push(name, binding.pos, self.delay(binding.value, scope));
        }
        Ok(all.finish(self.heap))
    }

    fn shape_of_one(&self, name: Symbol, pos: Pos) -> &'h Shape<'h> {
        self.single_shapes.borrow_mut().entry((name, pos)).or_insert_with(|| {
            self.heap.immortal(|| {
                let (names, positions) =
                    (self.heap.slice(&[name]), self.heap.slice(&[pos]));
                self.heap.alloc(Shape::new(names, positions))
            })
        })
    }

    #[inline(never)]
    fn with_lookup(
        &self,
        variable: &'h WithVariable<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<&'h Slot<'h>> {
        let doing = "while evaluating the first subexpression of a with expression";
        for depth in variable.depths {
            let scope =
                self.force_slot(outward(env, *depth).slot(0)).at_recursion(pos)?;
            let attrs = self.expect_attrs(scope, pos, doing)?;
            if let Some(slot) = attrs.get(variable.name) {
                return Ok(slot);
            }
        }
        let name = self.symbols.shown(variable.name);
        Err(crate::err!(Missing, "undefined variable '{name}'").at(pos))
    }

    #[inline(never)]
    fn check_assertion(
        &self,
        assert: &'h AssertExpr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<()> {
        let doing = "in the condition of the assert statement";
        if self.eval_bool(&assert.condition, env, pos, doing)? {
            return Ok(());
        }
        let text = self.condition_text(assert.text, pos);
        if let ExprKind::Binary(Operator::Equal, operands) = assert.condition.kind {
            let left = self.eval(&operands.0, env)?;
            let right = self.eval(&operands.1, env)?;
            let (at, doing) = (Pos::NONE, "in an equality assertion");
            self.assert_equal(left, right, at, doing).trace(pos, || {
                format!("while evaluating the condition of the assertion '{text}'")
            })?;
        }
        bail!(pos => Assertion, "assertion '{text}' failed")
    }

    /// A condition as Nix prints it: with every operator in parentheses.
    fn condition_text(&self, text: &[u8], pos: Pos) -> String {
        let file = self.sources.source(pos);
        let folder = file.and_then(crate::source::Source::directory);
        let folder = folder.unwrap_or(&self.settings.base_dir);
        String::from_utf8_lossy(&self.print_syntax(text, folder)).into_owned()
    }

    // ---- calls and selections --------------------------------------------------------------------

    fn call_expr(
        &self,
        function: &'h Expr<'h>,
        arguments: &'h [&'h Expr<'h>],
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Tail<'h>> {
        let function = self.eval(function, env)?;
        match arguments {
            [one] => {
                // The most frequent call by far: one argument, no pattern.
                if let Value::Lambda(closure) = function
                    && let Parameter::Ident(_) = closure.lambda.parameter
                    && !self.show_trace.get()
                {
                    self.count_call(pos)?;
                    let (lambda, joined) = (closure.lambda, closure.lambda.joined);
                    let argument = if lambda.needed == Some(joined) {
                        self.needed_argument(one, env)
                    } else {
                        self.delay(one, env)
                    };
                    let env = self.heap.joined_scope(&[argument], joined, closure.env);
                    return Ok(Tail::Body(&lambda.body, env));
                }
                self.apply(function, &[self.delay(one, env)], pos)
            }
            [one, two] => {
                if let Value::Lambda(closure) = function
                    && let Some(inner) = curried(closure.lambda)
                    && !self.show_trace.get()
                {
                    self.count_call(pos)?;
                    let joined = closure.lambda.joined;
                    let arguments = if inner.needed == Some(joined) {
                        [self.needed_argument(one, env), self.delay(two, env)]
                    } else if inner.needed == Some(joined + 1) {
                        let second = self.needed_argument(two, env);
                        [self.delay(one, env), second]
                    } else {
                        [self.delay(one, env), self.delay(two, env)]
                    };
                    let env = self.heap.joined_scope(&arguments, joined, closure.env);
                    return Ok(Tail::Body(&inner.body, env));
                }
                self.apply(function, &[self.delay(one, env), self.delay(two, env)], pos)
            }
            few if few.len() <= MAX_ON_STACK => {
                // On the stack, where the collector sees them.
                let mut arguments = [Value::Null; MAX_ON_STACK];
                for (argument, expr) in arguments.iter_mut().zip(few) {
                    *argument = self.delay(expr, env);
                }
                self.apply(function, &arguments[..few.len()], pos)
            }
            many => {
                let many = many.iter().map(|one| self.delay(one, env));
                let many = Items::from_iter(self.heap, many);
                self.apply(function, &many, pos)
            }
        }
    }

    /// An argument that the function needs before anything else: a thunk would be forced at once. Where it fails, the
    /// function finds a thunk that does, so that the error is the same and says the same of its way.
    #[inline(never)]
    fn needed_argument(&self, expr: &'h Expr<'h>, env: Env<'h>) -> Value<'h> {
        match expr.kind {
            ExprKind::Call(..)
            | ExprKind::Binary(..)
            | ExprKind::If(_)
            | ExprKind::Interpolated(_)
            | ExprKind::Attrs(_)
            | ExprKind::Let(..)
            | ExprKind::Not(_)
            | ExprKind::HasAttr(..) => match self.eval(expr, env) {
                Ok(value) => self.own(value),
                Err(error) => self.failing(error),
            },
            _ => self.delay(expr, env),
        }
    }

    fn name_of(&self, name: &AttrName<'h>, env: Env<'h>) -> Result<Symbol> {
        match name {
            AttrName::Static(symbol) => Ok(*symbol),
            AttrName::Dynamic(expr) => {
                let value = self.eval(expr, env)?;
                let doing = "while evaluating an attribute name";
                Ok(self.symbol(self.expect_plain_string(value, expr.pos, doing)?))
            }
        }
    }

    fn select(
        &self,
        select: &'h SelectExpr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Tail<'h>> {
        let mut value = self.eval(&select.base, env)?;
        // The attribute that was selected last: its place is looked up only for errors.
        let mut last: Option<(&'h Attrs<'h>, Symbol)> = None;
        for (index, name) in select.path.iter().enumerate() {
            let trace = |error| self.trace_selection(error, last, select, env);
            let name = self.name_of(name, env).map_err(trace)?;
            let attrs = match (value, select.default) {
                (Value::Attrs(attrs), _) => attrs,
                (_, Some(default)) => return Ok(Tail::Body(default, env)),
                (other, None) => self
                    .expect_attrs(other, pos, "while selecting an attribute")
                    .map_err(trace)?,
            };
            let Some(slot) = attrs.get(name) else {
                if let Some(default) = select.default {
                    return Ok(Tail::Body(default, env));
                }
                return self.missing_attribute(attrs, name, pos).map_err(trace);
            };
            last = Some((attrs, name));
            value = slot.get();
            if let Value::Thunk(_) = value {
                value = self.force_slot(slot).map_err(|error| {
                    let is_last = index + 1 == select.path.len();
                    let error = if is_last || select.default.is_some() {
                        let defined_at = attrs.get_attr(name).map(|attr| attr.pos);
                        error.at_recursion(defined_at.unwrap_or(pos)).at_recursion(pos)
                    } else {
                        error.at_recursion(pos).trace(pos, "while selecting an attribute")
                    };
                    self.trace_selection(error, last, select, env)
                })?;
            }
        }
        Ok(Tail::Value(value))
    }

    /// Adds "while evaluating the attribute ..." where the attribute selected last was defined.
    #[cold]
    fn trace_selection(
        &self,
        error: Error,
        last: Option<(&'h Attrs<'h>, Symbol)>,
        select: &'h SelectExpr<'h>,
        env: Env<'h>,
    ) -> Error {
        let attr = last.and_then(|(attrs, name)| attrs.get_attr(name));
        let pos = attr.map_or(Pos::NONE, |attr| attr.pos);
        if !pos.is_some() {
            return error;
        }
        let names: Vec<String> = select
            .path
            .iter()
            .map(|name| match self.name_of(name, env) {
                Ok(name) => self.symbols.shown(name),
                Err(_) => "\"${...}\"".into(),
            })
            .collect();
        let path = names.join(".");
        error.trace(pos, format!("while evaluating the attribute '{path}'"))
    }

    #[cold]
    fn missing_attribute<T>(
        &self,
        attrs: &'h Attrs<'h>,
        name: Symbol,
        pos: Pos,
    ) -> Result<T> {
        let text = self.symbols.text(name);
        let names = attrs.iter(self.heap).map(|attr| self.symbols.text(attr.name));
        let suggestions = similar_names(&text, names);
        let name = self.symbols.shown(name);
        Err(crate::err!(Missing, "attribute '{name}' missing")
            .suggest(suggestions)
            .at(pos))
    }

    #[inline(never)]
    fn has_attr(
        &self,
        base: &'h Expr<'h>,
        path: &'h [AttrName<'h>],
        env: Env<'h>,
        pos: Pos,
    ) -> Result<bool> {
        let mut value = self.eval(base, env)?;
        for (index, name) in path.iter().enumerate() {
            let name = self.name_of(name, env)?;
            let Value::Attrs(attrs) = value else { return Ok(false) };
            let Some(slot) = attrs.get(name) else { return Ok(false) };
            if index + 1 < path.len() {
                value = self.force_slot(slot).at_recursion(pos)?;
            }
        }
        Ok(true)
    }

    // ---- strings --------------------------------------------------------------------------------

    #[inline(never)]
    fn interpolate(&self, parts: &'h [&'h Expr<'h>], env: Env<'h>) -> Result<Value<'h>> {
        let mut bytes = self.buffer();
        let mut context: crate::value::Context<'h> = &[];
        let doing = "while evaluating a path segment";
        for part in parts {
            let string = match self.eval(part, env)? {
                Value::String(string) => string,
                other => self.coerce_to_string(
                    other,
                    part.pos,
                    crate::coerce::Coercion::INTERPOLATION,
                    doing,
                )?,
            };
            if parts.len() == 1 {
                return Ok(Value::String(string));
            }
            bytes.extend_from_slice(string.bytes);
            context = self.context_union(context, string.context);
        }
        let string = self.string_of(self.heap.bytes(&bytes), context);
        self.reuse_buffer(bytes);
        Ok(string)
    }

    #[inline(never)]
    fn interpolate_path(
        &self,
        parts: &'h [&'h Expr<'h>],
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let mut bytes: Vec<u8> = Vec::new();
        let doing = "while evaluating a path segment";
        for part in parts {
            let value = self.eval(part, env)?;
            let coercion = crate::coerce::Coercion::STRING;
            let string = self.coerce_to_string(value, part.pos, coercion, doing)?;
            if string.has_context() {
                bail!(
                    pos => Other,
                    "a string that refers to a store path cannot be appended to a path"
                );
            }
            bytes.extend_from_slice(string.bytes);
        }
        let canonical = crate::coerce::canonical_path(&bytes);
        Ok(self.path(self.heap.bytes(&canonical)))
    }
}

/// The second function of `a: b: ...`, if both share a scope.
#[inline]
pub(crate) fn curried<'h>(lambda: &'h Lambda<'h>) -> Option<&'h Lambda<'h>> {
    match lambda.body.kind {
        ExprKind::Lambda(inner) => (inner.joined > lambda.joined).then_some(inner),
        _ => None,
    }
}

/// The scope `depth` steps outward.
#[inline]
pub(crate) fn outward<'h>(mut env: Env<'h>, depth: u32) -> Env<'h> {
    for _ in 0..depth {
        env = env.parent().expect("lowering counts only scopes that evaluation makes");
    }
    env
}
