//! Operators: arithmetic, comparison, equality, `+`, `++`, `//`.

use crate::bail;
use crate::coerce::Coercion;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::expr::{Expr, ExprKind, Operator};
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{Attrs, Env, Items, List, Value};

/// The most operands of a chain of `++` that are kept on the stack.
const MAX_CHAIN: usize = 8;

/// An iterator of which is known how many items it has left.
struct Counted<I> {
    items: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

/// What is still to be done for operands that are joined at once.
enum Join<'h> {
    /// An operand is to be evaluated.
    Operand(&'h Expr<'h>),
    /// The left operand is there: the right one is next.
    Right { left: &'h Expr<'h>, right: &'h Expr<'h>, pos: Pos },
    /// Both are there and must be lists. What was joined is one: the left operand is a value of its own, with this
    /// index, or was joined; the right one likewise is the last value, or was joined.
    Check { left: Option<usize>, right: &'h Expr<'h>, pos: Pos },
}

fn is_concat(expr: &Expr<'_>) -> bool {
    matches!(expr.kind, ExprKind::Binary(Operator::Concat, _))
}

impl<'h> Evaluator<'h> {
    pub(crate) fn binary(
        &self,
        operator: Operator,
        left: &'h Expr<'h>,
        right: &'h Expr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let in_left = |name| format!("in the left operand of the {name} operator");
        let in_right = |name| format!("in the right operand of the {name} operator");
        let both = |name: &'static str, decided_by: bool, negate: bool| -> Result<bool> {
            let first =
                self.eval_bool(left, env, pos, "").trace(pos, || in_left(name))?
                    != negate;
            if first == decided_by {
                return Ok(first);
            }
            self.eval_bool(right, env, pos, "").trace(pos, || in_right(name))
        };
        match operator {
            Operator::And => both("AND (&&)", false, false).map(Value::Bool),
            Operator::Or => both("OR (||)", true, false).map(Value::Bool),
            Operator::Implies => both("IMPL (->)", true, true).map(Value::Bool),
            Operator::Update => {
                // As in Nix, the right operand comes first.
                let doing = "in the right operand of the update (//) operator";
                let over = self.eval_attrs(right, env, doing)?;
                let doing = "in the left operand of the update (//) operator";
                let base = self.eval_attrs(left, env, doing)?;
                Ok(Value::Attrs(base.update(over, self.heap)))
            }
            Operator::Concat => {
                if is_concat(left) || is_concat(right) {
                    return self.concat_many(left, right, env, pos);
                }
                let first = self.eval(left, env)?;
                let second = self.eval(right, env)?;
                self.concat_lists(first, second, pos)
            }
            Operator::Add => {
                let first = self.eval(left, env)?;
                let second = self.eval(right, env)?;
                if let (Value::Int(a), Value::Int(b)) = (first, second)
                    && let Some(sum) = a.checked_add(b)
                {
                    return Ok(Value::Int(sum));
                }
                self.add(first, second, (left.pos, right.pos), pos)
            }
            Operator::Equal | Operator::NotEqual => {
                let equal = self.operands_equal(left, right, env, pos)?;
                Ok(Value::Bool(equal == (operator == Operator::Equal)))
            }
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => self
                .order(operator, left, right, env)
                .map(Value::Bool)
                .trace(pos, || "while calling the 'lessThan' builtin"),
            Operator::Subtract | Operator::Multiply | Operator::Divide => {
                let work = || {
                    let first = self.eval(left, env)?;
                    let second = self.eval(right, env)?;
                    self.arithmetic(operator, first, second, Pos::NONE)
                };
                work().trace(pos, || {
                    let name = match operator {
                        Operator::Subtract => "sub",
                        Operator::Multiply => "mul",
                        _ => "div",
                    };
                    format!("while calling the '{name}' builtin")
                })
            }
        }
    }

    #[inline]
    fn operands_equal(
        &self,
        left: &'h Expr<'h>,
        right: &'h Expr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<bool> {
        match (self.eval(left, env)?, self.eval(right, env)?) {
            (Value::Int(a), Value::Int(b)) => Ok(a == b),
            (Value::String(a), Value::String(b)) => Ok(a.bytes == b.bytes),
            (Value::Null, other) | (other, Value::Null) => {
                Ok(matches!(other, Value::Null))
            }
            (first, second) => {
                let doing = "while testing two values for equality";
                self.equal(first, second, pos, doing)
            }
        }
    }

    /// An operand that must be a set.
    fn eval_attrs(
        &self,
        operand: &'h Expr<'h>,
        env: Env<'h>,
        doing: &str,
    ) -> Result<&'h Attrs<'h>> {
        match self.eval(operand, env) {
            Ok(Value::Attrs(attrs)) => Ok(attrs),
            Ok(other) => self.expect_attrs(other, operand.pos, doing),
            Err(error) => Err(error.trace(operand.pos, doing)),
        }
    }

    /// `a > b` is `b < a`, `a <= b` is `!(b < a)`, `a >= b` is `!(a < b)`: so also in the order of evaluation.
    fn order(
        &self,
        operator: Operator,
        left: &'h Expr<'h>,
        right: &'h Expr<'h>,
        env: Env<'h>,
    ) -> Result<bool> {
        let swaps = matches!(operator, Operator::Greater | Operator::LessOrEqual);
        let (first, second) = if swaps { (right, left) } else { (left, right) };
        let first = self.eval(first, env)?;
        let second = self.eval(second, env)?;
        let negates =
            matches!(operator, Operator::LessOrEqual | Operator::GreaterOrEqual);
        if let (Value::Int(a), Value::Int(b)) = (first, second) {
            return Ok((a < b) != negates);
        }
        Ok(self.less_than(first, second, Pos::NONE, "")? != negates)
    }

    fn concat_lists(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let doing = "while evaluating one of the elements to concatenate";
        let first = self.expect_list(left, pos, doing)?;
        let second = self.expect_list(right, pos, doing)?;
        Ok(self.concat_all([first, second].into_iter()))
    }

    /// One list out of several. Where at most one has elements, nothing is copied.
    pub(crate) fn concat_all(
        &self,
        lists: impl Iterator<Item = &'h List<'h>> + Clone,
    ) -> Value<'h> {
        let mut filled = lists.clone().filter(|list| !list.is_empty());
        match (filled.next(), filled.next()) {
            (None, _) => self.list(&[]),
            (Some(only), None) => Value::List(only),
            (Some(_), Some(_)) => {
                let left = lists.clone().map(List::len).sum();
                let items = lists.flat_map(List::iter);
                self.list_of(self.heap.slots(Counted { items, left }))
            }
        }
    }

    /// `a ++ (b ++ (c ++ ...))` with a few operands, as nearly every chain is.
    #[inline(never)]
    fn concat_chain(
        &self,
        chain: &[&'h Expr<'h>],
        positions: &[Pos],
        env: Env<'h>,
    ) -> Result<Value<'h>> {
        let doing = "while evaluating one of the elements to concatenate";
        // On the stack, where the collector sees them.
        let mut values = [Value::Null; MAX_CHAIN];
        for (value, operand) in values.iter_mut().zip(chain) {
            *value = self.eval(operand, env)?;
        }
        let values = &values[..chain.len()];
        let list = |value: &Value<'h>| match value {
            Value::List(list) => Some(*list),
            _ => None,
        };
        if values.iter().all(|value| list(value).is_some()) {
            return Ok(self.concat_all(values.iter().filter_map(list)));
        }
        // From the innermost operator outward, the left operand first.
        for (index, pos) in positions.iter().enumerate().rev() {
            self.expect_list(values[index], *pos, doing)?;
            if index + 2 == values.len() {
                self.expect_list(values[index + 1], *pos, doing)?;
            }
        }
        Ok(self.list(&[]))
    }

    /// `++` of which an operand is written with `++` itself.
    fn concat_many(
        &self,
        left: &'h Expr<'h>,
        right: &'h Expr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let (mut chain, mut positions) = ([left; MAX_CHAIN], [pos; MAX_CHAIN]);
        let mut rest = right;
        for operators in 1..MAX_CHAIN {
            if is_concat(chain[operators - 1]) {
                break;
            }
            let ExprKind::Binary(Operator::Concat, (left, right)) = &rest.kind else {
                chain[operators] = rest;
                let (chain, positions) = (&chain[..=operators], &positions[..operators]);
                return self.concat_chain(chain, positions, env);
            };
            (chain[operators], positions[operators]) = (left, rest.pos);
            rest = right;
        }
        self.concat_tree(left, right, env, pos)
    }

    /// `++` of any form, joined at once: one by one, a long chain would copy the
    /// same elements for every list before or after them. Operands are evaluated and checked in the order in which
    /// they would be one by one.
    #[inline(never)]
    fn concat_tree(
        &self,
        left: &'h Expr<'h>,
        right: &'h Expr<'h>,
        env: Env<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let doing = "while evaluating one of the elements to concatenate";
        let mut operands = Items::new(self.heap);
        let check = |operands: &mut Items<'h, Value<'h>>, index: usize, pos: Pos| {
            let list = self.expect_list(operands[index], pos, doing)?;
            operands.set(index, Value::List(list));
            Result::Ok(())
        };
        let mut tasks = vec![Join::Right { left, right, pos }, Join::Operand(left)];
        while let Some(task) = tasks.pop() {
            match task {
                Join::Operand(expr) => match expr.kind {
                    ExprKind::Binary(Operator::Concat, (left, right)) => {
                        tasks.push(Join::Right { left, right, pos: expr.pos });
                        tasks.push(Join::Operand(left));
                    }
                    _ => operands.push(self.eval(expr, env)?),
                },
                Join::Right { left, right, pos } => {
                    let index = (!is_concat(left)).then(|| operands.len() - 1);
                    tasks.push(Join::Check { left: index, right, pos });
                    tasks.push(Join::Operand(right));
                }
                Join::Check { left, right, pos } => {
                    if let Some(index) = left {
                        check(&mut operands, index, pos)?;
                    }
                    if !is_concat(right) {
                        let last = operands.len() - 1;
                        check(&mut operands, last, pos)?;
                    }
                }
            }
        }
        Ok(self.concat_all(operands.iter().filter_map(|operand| match operand {
            Value::List(list) => Some(*list),
            _ => None,
        })))
    }

    /// `-`, `*` and `/` (and `builtins.add`) of two numbers.
    ///
    /// # Errors
    /// An operand is no number, an integer overflows, or the divisor is zero.
    pub fn arithmetic(
        &self,
        operator: Operator,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let (left, right) = (self.force(left)?, self.force(right)?);
        if let (Value::Int(a), Value::Int(b)) = (left, right) {
            return int_arithmetic(operator, a, b).at(pos);
        }
        let noun = match operator {
            Operator::Subtract => "argument of the subtraction",
            Operator::Multiply => "argument of the multiplication",
            Operator::Divide => "operand of the division",
            _ => "argument of the addition",
        };
        let first = format!("while evaluating the first {noun}");
        let second = format!("while evaluating the second {noun}");
        let is_float =
            matches!(left, Value::Float(_)) || matches!(right, Value::Float(_));
        if operator == Operator::Divide {
            if self.expect_float(right, pos, &second)? == 0.0 {
                bail!(pos => Other, "division by zero");
            }
        } else if !is_float {
            self.expect_int(left, pos, &first)?;
            self.expect_int(right, pos, &second)?;
        }
        if !is_float {
            self.expect_int(left, pos, &first)?;
        }
        let a = self.expect_float(left, pos, &first)?;
        let b = self.expect_float(right, pos, &second)?;
        Ok(Value::Float(match operator {
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
            _ => a + b,
        }))
    }

    /// `left + right`: numbers are added, a path is extended, all else is coerced to strings.
    #[expect(clippy::cast_precision_loss, reason = "Nix converts in the same way")]
    fn add(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        (left_pos, right_pos): (Pos, Pos),
        pos: Pos,
    ) -> Result<Value<'h>> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => match a.checked_add(b) {
                Some(sum) => Ok(Value::Int(sum)),
                None => bail!(right_pos => Other, "integer overflow in adding {a} + {b}"),
            },
            (Value::Int(a), Value::Float(b)) => Ok(Value::Float(a as f64 + b)),
            (Value::Float(a), Value::Float(b)) => Ok(Value::Float(a + b)),
            (Value::Float(a), Value::Int(b)) => Ok(Value::Float(a + b as f64)),
            (Value::Int(_), other) => {
                bail!(right_pos => Other, "cannot add {} to an integer", other.type_phrase())
            }
            (Value::Float(_), other) => {
                bail!(right_pos => Other, "cannot add {} to a float", other.type_phrase())
            }
            (Value::Path(path), other) => {
                self.extend_path(path.bytes, other, right_pos, pos)
            }
            _ => {
                let copy_to_store = matches!(left, Value::String(_));
                let coercion = Coercion { more: false, copy_to_store };
                let doing = "while evaluating a path segment";
                let first = self.coerce_to_string(left, left_pos, coercion, doing)?;
                let second = self.coerce_to_string(right, right_pos, coercion, doing)?;
                let bytes = self.heap.concat(&[first.bytes, second.bytes]);
                let context = self.context_union(first.context, second.context);
                Ok(self.string_of(bytes, context))
            }
        }
    }

    fn extend_path(
        &self,
        path: &'h [u8],
        tail: Value<'h>,
        tail_pos: Pos,
        pos: Pos,
    ) -> Result<Value<'h>> {
        let doing = "while evaluating a path segment";
        let tail = self.coerce_to_string(tail, tail_pos, Coercion::STRING, doing)?;
        if tail.has_context() {
            bail!(
                pos => Other,
                "a string that refers to a store path cannot be appended to a path"
            );
        }
        let joined = [path, tail.bytes].concat();
        Ok(self.path(self.heap.bytes(&crate::coerce::canonical_path(&joined))))
    }

    /// `left < right`, as `builtins.lessThan`.
    ///
    /// # Errors
    /// The values are of types that have no order, or of different types.
    #[expect(clippy::cast_precision_loss, reason = "Nix converts in the same way")]
    pub fn less_than(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        let (left, right) = (self.force(left)?, self.force(right)?);
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => Ok(a < b),
            (Value::Float(a), Value::Float(b)) => Ok(a < b),
            (Value::Float(a), Value::Int(b)) => Ok(a < b as f64),
            (Value::Int(a), Value::Float(b)) => Ok((a as f64) < b),
            (Value::String(a), Value::String(b)) => Ok(a.bytes < b.bytes),
            (Value::Path(a), Value::Path(b)) => Ok(a.bytes < b.bytes),
            (Value::List(a), Value::List(b)) => {
                for (a, b) in a.items.iter().zip(b.items) {
                    if !self.equal(a.get(), b.get(), pos, doing)? {
                        let doing = "while comparing two list elements";
                        return self.less_than(a.get(), b.get(), pos, doing);
                    }
                }
                Ok(a.len() < b.len())
            }
            _ => self.incomparable(left, right).at(pos).trace(Pos::NONE, || doing),
        }
    }

    #[cold]
    fn incomparable(&self, left: Value<'h>, right: Value<'h>) -> Result<bool> {
        let (a, b) = (left.type_phrase(), right.type_phrase());
        let (left_text, right_text) =
            (self.print_for_error(left), self.print_for_error(right));
        if left.type_name() != right.type_name() {
            bail!(
                Other,
                "cannot compare {a} with {b}; values are {left_text} and {right_text}"
            );
        }
        bail!(
            Other,
            "cannot compare {a} with {b}; values of that type are incomparable \
             (values are {left_text} and {right_text})"
        );
    }

    /// `left == right`
    ///
    /// # Errors
    /// A part of a value cannot be evaluated.
    pub fn equal(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        let (left, right) = (self.force(left)?, self.force(right)?);
        self.equal_forced(left, right, pos, doing)
    }

    #[expect(clippy::cast_precision_loss, reason = "Nix converts in the same way")]
    #[expect(clippy::float_cmp, reason = "the language compares floats exactly")]
    fn equal_forced(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => Ok(a == b),
            (Value::Float(a), Value::Float(b)) => Ok(a == b),
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => {
                Ok(a as f64 == b)
            }
            (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
            (Value::Null, Value::Null) => Ok(true),
            (Value::String(a), Value::String(b)) => Ok(a.bytes == b.bytes),
            (Value::Path(a), Value::Path(b)) => Ok(a.bytes == b.bytes),
            (Value::List(a), Value::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                let _call = self.enter_call(pos)?;
                for (a, b) in a.items.iter().zip(b.items) {
                    if !self.equal_member(a.get(), b.get(), pos, doing)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Attrs(a), Value::Attrs(b)) => {
                let _call = self.enter_call(pos)?;
                self.equal_attrs(a, b, pos, doing)
            }
            _ => Ok(false),
        }
    }

    /// Members are equal also where they are one and the same value, even a function: Nix compares pointers
    /// first, and programs rely on it.
    fn equal_member(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        if let (Value::Thunk(a), Value::Thunk(b)) = (left, right)
            && std::ptr::eq(a, b)
        {
            self.force(left)?;
            return Ok(true);
        }
        self.with_stack(|| match (self.force(left)?, self.force(right)?) {
            (Value::Lambda(a), Value::Lambda(b)) => Ok(std::ptr::eq(a, b)),
            (Value::Builtin(a), Value::Builtin(b)) => Ok(std::ptr::eq(a, b)),
            (Value::Partial(a), Value::Partial(b)) => Ok(std::ptr::eq(a, b)),
            (Value::List(a), Value::List(b)) if std::ptr::eq(a, b) => Ok(true),
            (Value::Attrs(a), Value::Attrs(b)) if std::ptr::eq(a, b) => Ok(true),
            (left, right) => self.equal_forced(left, right, pos, doing),
        })
    }

    fn equal_attrs(
        &self,
        left: &'h Attrs<'h>,
        right: &'h Attrs<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<bool> {
        if self.is_derivation(left)?
            && self.is_derivation(right)?
            && let (Some(a), Some(b)) =
                (left.get(sym::OUT_PATH), right.get(sym::OUT_PATH))
        {
            return self.equal(a.get(), b.get(), pos, doing);
        }
        if left.len() != right.len() {
            return Ok(false);
        }
        for (a, b) in left.iter(self.heap).zip(right.iter(self.heap)) {
            if a.name != b.name
                || !self.equal_member(a.slot.get(), b.slot.get(), pos, doing)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a set says of itself that it is a derivation.
    ///
    /// # Errors
    /// Its `type` cannot be evaluated.
    pub fn is_derivation(&self, attrs: &'h Attrs<'h>) -> Result<bool> {
        let Some(slot) = attrs.get(sym::TYPE) else { return Ok(false) };
        Ok(matches!(
            self.force_slot(slot)?,
            Value::String(string) if string.bytes == b"derivation"
        ))
    }

    /// Fails with the first difference of two values that an assertion found unequal.
    pub(crate) fn assert_equal(
        &self,
        left: Value<'h>,
        right: Value<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<()> {
        let (left, right) = (self.force(left)?, self.force(right)?);
        let (a, b) = (self.print_for_error(left), self.print_for_error(right));
        let (kind_a, kind_b) = (left.type_phrase(), right.type_phrase());
        let number = |value| matches!(value, Value::Int(_) | Value::Float(_));
        let same = self.equal_forced(left, right, pos, doing)?;
        if same {
            return Ok(());
        }
        match (left, right) {
            _ if number(left) && number(right) => bail!(
                Assertion,
                "{kind_a} with value '{a}' is not equal to {kind_b} with value '{b}'"
            ),
            _ if left.type_name() != right.type_name() => bail!(
                Assertion,
                "{kind_a} of value '{a}' is not equal to {kind_b} of value '{b}'"
            ),
            (Value::Bool(_), _) => {
                bail!(Assertion, "boolean '{a}' is not equal to boolean '{b}'")
            }
            (Value::String(_), _) => {
                bail!(Assertion, "string '{a}' is not equal to string '{b}'")
            }
            (Value::Path(_), _) => {
                bail!(Assertion, "path '{a}' is not equal to path '{b}'")
            }
            (Value::List(x), Value::List(y)) => {
                if x.len() != y.len() {
                    bail!(
                        Assertion,
                        "list of size '{}' is not equal to list of size '{}', left hand side \
                         is '{a}', right hand side is '{b}'",
                        x.len(),
                        y.len()
                    );
                }
                for (index, (x, y)) in x.items.iter().zip(y.items).enumerate() {
                    self.assert_equal(x.get(), y.get(), pos, doing)
                        .trace(pos, || format!("while comparing list element {index}"))?;
                }
                Ok(())
            }
            (Value::Attrs(x), Value::Attrs(y)) => {
                self.assert_equal_attrs(x, y, pos, doing)
            }
            _ => bail!(
                Assertion,
                "distinct functions and immediate comparisons of identical functions \
                 compare as unequal"
            ),
        }
    }

    fn assert_equal_attrs(
        &self,
        left: &'h Attrs<'h>,
        right: &'h Attrs<'h>,
        pos: Pos,
        doing: &str,
    ) -> Result<()> {
        if self.is_derivation(left)?
            && self.is_derivation(right)?
            && let (Some(a), Some(b)) =
                (left.get(sym::OUT_PATH), right.get(sym::OUT_PATH))
        {
            return self.assert_equal(a.get(), b.get(), pos, doing).trace(
                pos,
                || "while comparing a derivation by its 'outPath' attribute",
            );
        }
        let print = |attrs| self.print_for_error(Value::Attrs(attrs));
        if left.len() != right.len() {
            bail!(
                Assertion,
                "attribute names of attribute set '{}' differs from attribute set '{}'",
                print(left),
                print(right)
            );
        }
        let (names_a, names_b) = (self.sorted_by_name(left), self.sorted_by_name(right));
        if let Some(only) = names_a.iter().find(|attr| right.get(attr.name).is_none()) {
            bail!(
                Assertion,
                "attribute name '{}' is contained in '{}', but not in '{}'",
                self.symbols.shown(only.name),
                print(left),
                print(right)
            );
        }
        for (x, y) in names_a.iter().zip(&names_b) {
            self.assert_equal(x.slot.get(), y.slot.get(), pos, doing).map_err(
                |error| {
                    error
                        .trace(y.pos, "where right hand side is")
                        .trace(x.pos, "where left hand side is")
                        .trace(
                            pos,
                            format!(
                                "while comparing attribute '{}'",
                                self.symbols.shown(x.name)
                            ),
                        )
                },
            )?;
        }
        Ok(())
    }
}

#[inline]
fn int_arithmetic<'h>(operator: Operator, a: i64, b: i64) -> Result<Value<'h>> {
    let (result, verb, sign) = match operator {
        Operator::Divide if b == 0 => bail!(Other, "division by zero"),
        Operator::Divide => (a.checked_div(b), "dividing", '/'),
        Operator::Subtract => (a.checked_sub(b), "subtracting", '-'),
        Operator::Multiply => (a.checked_mul(b), "multiplying", '*'),
        _ => (a.checked_add(b), "adding", '+'),
    };
    match result {
        Some(result) => Ok(Value::Int(result)),
        None => bail!(Other, "integer overflow in {verb} {a} {sign} {b}"),
    }
}
