//! Turning values into strings.

use super::{Builtin, Scope};
use crate::coerce::Coercion;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    name: "toString",
    parameters: &["e"],
    scope: Scope::Plain,
    doc: "*e* as a string: a string as it is, a path without copying it to the store, a set \
          by its `__toString` or `outPath`, a number in decimal, `true` as `\"1\"`, `false` \
          and `null` as `\"\"`, and a list as its elements with spaces between them.",
    function: to_string,
}];

fn to_string<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.toString";
    Ok(Value::String(ev.coerce_to_string(args[0], pos, Coercion::TO_STRING, doing)?))
}
