//! Arithmetic, rounding, bits and order.

use picnix_syntax::float_text;

use super::{Builtin, Scope};
use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::expr::Operator;
use crate::pos::Pos;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "add",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The sum of two numbers.",
        function: add,
    },
    Builtin {
        name: "sub",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The difference between two numbers.",
        function: sub,
    },
    Builtin {
        name: "mul",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The product of two numbers.",
        function: mul,
    },
    Builtin {
        name: "div",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The quotient of two numbers; of two integers, rounded towards zero.",
        function: div,
    },
    Builtin {
        name: "lessThan",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "Whether *e1* is less than *e2*. Both are numbers, strings, paths, or lists, \
              which are compared element by element.",
        function: less_than,
    },
    Builtin {
        name: "bitAnd",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The bitwise AND of two integers.",
        function: bit_and,
    },
    Builtin {
        name: "bitOr",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The bitwise OR of two integers.",
        function: bit_or,
    },
    Builtin {
        name: "bitXor",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "The bitwise XOR of two integers.",
        function: bit_xor,
    },
    Builtin {
        name: "ceil",
        parameters: &["number"],
        scope: Scope::Prefixed,
        doc: "The least integer that is not less than *number*. An integer that a float \
              cannot hold is an error, as in Nix.",
        function: ceil,
    },
    Builtin {
        name: "floor",
        parameters: &["number"],
        scope: Scope::Prefixed,
        doc: "The greatest integer that is not greater than *number*. An integer that a \
              float cannot hold is an error, as in Nix.",
        function: floor,
    },
];

fn add<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    ev.arithmetic(Operator::Add, args[0], args[1], pos)
}

fn sub<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    ev.arithmetic(Operator::Subtract, args[0], args[1], pos)
}

fn mul<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    ev.arithmetic(Operator::Multiply, args[0], args[1], pos)
}

fn div<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    ev.arithmetic(Operator::Divide, args[0], args[1], pos)
}

fn less_than<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    Ok(Value::Bool(ev.less_than(args[0], args[1], pos, "")?))
}

fn two_ints<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
    name: &str,
) -> Result<(i64, i64)> {
    if let (Value::Int(a), Value::Int(b)) = (args[0].peek(), args[1].peek()) {
        return Ok((a, b));
    }
    let doing = |which| {
        format!("while evaluating the {which} argument passed to builtins.{name}")
    };
    let a = ev.expect_int(args[0], pos, &doing("first"))?;
    Ok((a, ev.expect_int(args[1], pos, &doing("second"))?))
}

fn bit_and<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    two_ints(ev, args, pos, "bitAnd").map(|(a, b)| Value::Int(a & b))
}

fn bit_or<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    two_ints(ev, args, pos, "bitOr").map(|(a, b)| Value::Int(a | b))
}

fn bit_xor<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    two_ints(ev, args, pos, "bitXor").map(|(a, b)| Value::Int(a ^ b))
}

fn ceil<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.ceil";
    round(ev, args[0], pos, doing, f64::ceil)
}

fn floor<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.floor";
    round(ev, args[0], pos, doing, f64::floor)
}

/// One past the greatest integer, as a float; the least integer is its negation.
const INTEGER_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Rounds a number to an integer. Nix takes the way over a float for integers too, and refuses those that
/// come out changed.
#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
fn round<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    doing: &str,
    rounded: fn(f64) -> f64,
) -> Result<Value<'h>> {
    let float = ev.expect_float(value, pos, doing)?;
    let result = rounded(float);
    let fits = (-INTEGER_LIMIT..INTEGER_LIMIT).contains(&result);
    let Value::Int(int) = ev.force(value)? else {
        if !fits {
            bail!(
                pos => Other,
                "NixFloat argument {} is not in the range of NixInt",
                float_text(float)
            );
        }
        return Ok(Value::Int(result as i64));
    };
    if !fits {
        bail!(
            pos => Other,
            "Due to a bug (see https://github.com/NixOS/nix/issues/12899) the NixInt argument \
             {int} caused undefined behavior in previous Nix versions.\n\tFuture Nix versions \
             might implement the correct behavior."
        );
    }
    let result = result as i64;
    if result != int {
        bail!(
            pos => Other,
            "Due to a bug (see https://github.com/NixOS/nix/issues/12899) a loss of precision \
             occurred in previous Nix versions because the NixInt argument {int} was rounded \
             to {result}.\n\tFuture Nix versions might implement the correct behavior."
        );
    }
    Ok(Value::Int(int))
}
