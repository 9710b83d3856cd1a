//! What can be known without evaluating anything.
//!
//! An argument or binding that is never needed must not be evaluated, as that might fail or take long. But tests of
//! what is evaluated already can do neither: `x == null`, `x ? y`, `!x`. A thunk for one takes 16 bytes and more time
//! than the test. Of `if`, the branch that such a test decides for takes the thunk's place. And of a function is known
//! which of its arguments it will evaluate before anything else.

use crate::eval::outward;
use crate::evaluator::Evaluator;
use crate::expr::{AttrName, Expr, ExprKind, Operator};
use crate::value::{Env, Value};

/// Whether all slots of a scope have their values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slots {
    /// Yes.
    Filled,
    /// No: what is not there yet is `null`.
    Unfinished,
}

/// How many operators one above the other are looked through.
const MAX_STEPS: u32 = 8;

/// How many expressions one in the other are looked through for what is needed first.
const MAX_NEEDED_STEPS: usize = 16;

impl<'h> Evaluator<'h> {
    /// The value of a test or an `if` that may never be needed.
    #[inline(never)]
    pub(crate) fn delay_test(
        &self,
        mut expr: &'h Expr<'h>,
        env: Env<'h>,
        slots: Slots,
    ) -> Value<'h> {
        while let ExprKind::If(branches) = &expr.kind {
            let Some(yes) = self.known(&branches.condition, env, slots, 0) else {
                return self.heap.suspend(expr, env);
            };
            expr = if yes { &branches.consequence } else { &branches.alternative };
        }
        if let Some(value) = self.at_hand(expr, env, slots) {
            return self.copy_of(value);
        }
        match (self.constant(expr), self.known(expr, env, slots, 0)) {
            (Some(value), _) => value,
            (None, Some(bool)) => Value::Bool(bool),
            (None, None) => self.heap.suspend(expr, env),
        }
    }

    /// The value of an expression that is the same wherever it stands.
    pub(crate) fn constant(&self, expr: &'h Expr<'h>) -> Option<Value<'h>> {
        match expr.kind {
            ExprKind::Const(value) if value.is_forced() => Some(value.peek()),
            ExprKind::List([]) => Some(self.list(&[])),
            ExprKind::Attrs(bindings)
                if bindings.values.is_empty() && bindings.dynamic.is_empty() =>
            {
                Some(Value::Attrs(self.empty_attrs()))
            }
            _ => None,
        }
    }

    /// The value of a variable or selection, if it is evaluated.
    fn at_hand(
        &self,
        expr: &'h Expr<'h>,
        env: Env<'h>,
        slots: Slots,
    ) -> Option<Value<'h>> {
        let value = match expr.kind {
            ExprKind::Const(value) => value.peek(),
            ExprKind::Local(index) => match env.slot(index).get().peek() {
                Value::Null if slots == Slots::Unfinished => return None,
                value => value,
            },
            ExprKind::Up { depth, index } => outward(env, depth).slot(index).get().peek(),
            ExprKind::Select(select) => self.peek_select(select, env)?,
            ExprKind::With(variable) => self.peek_with(variable, env)?,
            _ => return None,
        };
        (!matches!(value, Value::Thunk(_))).then_some(value)
    }

    /// The value of a test, if all that it looks at is evaluated.
    fn known(
        &self,
        expr: &'h Expr<'h>,
        env: Env<'h>,
        slots: Slots,
        steps: u32,
    ) -> Option<bool> {
        if steps == MAX_STEPS {
            return None;
        }
        let known = |expr: &'h Expr<'h>| self.known(expr, env, slots, steps + 1);
        match expr.kind {
            ExprKind::Not(operand) => known(operand).map(|value| !value),
            ExprKind::HasAttr(base, path) => self.known_attr(base, path, env, slots),
            ExprKind::Binary(operator, (left, right)) => match operator {
                Operator::And if !known(left)? => Some(false),
                Operator::Or if known(left)? => Some(true),
                Operator::Implies if !known(left)? => Some(true),
                Operator::And | Operator::Or | Operator::Implies => known(right),
                Operator::Equal | Operator::NotEqual => {
                    let left = self.at_hand(left, env, slots)?;
                    let equal = known_equal(left, self.at_hand(right, env, slots)?)?;
                    Some(equal == (operator == Operator::Equal))
                }
                _ => None,
            },
            _ => match self.at_hand(expr, env, slots)? {
                Value::Bool(bool) => Some(bool),
                _ => None,
            },
        }
    }

    fn known_attr(
        &self,
        base: &'h Expr<'h>,
        path: &'h [AttrName<'h>],
        env: Env<'h>,
        slots: Slots,
    ) -> Option<bool> {
        let mut value = self.at_hand(base, env, slots)?;
        for name in path {
            let AttrName::Static(name) = name else { return None };
            match value {
                Value::Thunk(_) => return None,
                Value::Attrs(attrs) => match attrs.get(*name) {
                    Some(slot) => value = slot.get().peek(),
                    None => return Some(false),
                },
                _ => return Some(false),
            }
        }
        Some(true)
    }
}

/// Whether two values are equal, if there is nothing in them to evaluate.
fn known_equal<'h>(left: Value<'h>, right: Value<'h>) -> Option<bool> {
    match (left, right) {
        (Value::Null, other) | (other, Value::Null) => Some(matches!(other, Value::Null)),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::Int(a), Value::Int(b)) => Some(a == b),
        (Value::String(a), Value::String(b)) => Some(a.bytes == b.bytes),
        _ => None,
    }
}

/// The slot of the innermost scope that evaluating an expression looks at before it does anything else that can fail
/// or be noticed.
pub(crate) fn needed_first(mut expr: &Expr<'_>) -> Option<u32> {
    let mut depth = 0;
    for _ in 0..MAX_NEEDED_STEPS {
        expr = match &expr.kind {
            ExprKind::Local(index) => return (depth == 0).then_some(*index),
            ExprKind::Up { depth: up, index } => return (*up == depth).then_some(*index),
            ExprKind::If(branches) => &branches.condition,
            ExprKind::Assert(assert) => &assert.condition,
            ExprKind::Select(select) => &select.base,
            ExprKind::HasAttr(operand, _)
            | ExprKind::Not(operand)
            | ExprKind::Call(operand, _) => operand,
            ExprKind::Let(_, body) | ExprKind::WithScope(_, body) => {
                depth += 1;
                body
            }
            ExprKind::Binary(operator, (left, right)) => match operator {
                Operator::Update | Operator::Greater | Operator::LessOrEqual => right,
                _ => left,
            },
            ExprKind::Interpolated(parts) => {
                parts.iter().find(|part| !matches!(part.kind, ExprKind::Const(_)))?
            }
            _ => return None,
        };
    }
    None
}
