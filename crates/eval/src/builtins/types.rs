//! Asking for the type of a value, and for what a function takes.

use super::{Builtin, Scope};
use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::expr::Parameter;
use crate::pos::Pos;
use crate::value::{AttrsBuilder, Value};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "typeOf",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "The type of *e* as a string: `\"int\"`, `\"bool\"`, `\"string\"`, `\"path\"`, \
              `\"null\"`, `\"set\"`, `\"list\"`, `\"lambda\"` or `\"float\"`.",
        function: type_of,
    },
    Builtin {
        name: "isNull",
        parameters: &["e"],
        scope: Scope::Plain,
        doc: "Whether *e* is `null`. The same as `e == null`.",
        function: is_null,
    },
    Builtin {
        name: "isFunction",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a function. A set with `__functor` is none.",
        function: is_function,
    },
    Builtin {
        name: "isInt",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is an integer.",
        function: is_int,
    },
    Builtin {
        name: "isFloat",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a float.",
        function: is_float,
    },
    Builtin {
        name: "isString",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a string.",
        function: is_string,
    },
    Builtin {
        name: "isBool",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a Boolean.",
        function: is_bool,
    },
    Builtin {
        name: "isPath",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a path.",
        function: is_path,
    },
    Builtin {
        name: "isList",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a list.",
        function: is_list,
    },
    Builtin {
        name: "isAttrs",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Whether *e* is a set.",
        function: is_attrs,
    },
    Builtin {
        name: "functionArgs",
        parameters: &["f"],
        scope: Scope::Prefixed,
        doc: "The formals of the function *f* as a set: the name of each, and whether it has \
              a default. `functionArgs ({ x, y ? 1 }: x)` is `{ x = false; y = true; }`; a \
              function that takes one plain argument yields `{ }`.",
        function: function_args,
    },
];

fn type_of<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], _: Pos) -> Result<Value<'h>> {
    let name = ev.force(args[0])?.type_name();
    Ok(ev.string_of(name.as_bytes(), &[]))
}

/// Defines a builtin that asks whether its argument is of a kind.
macro_rules! predicate {
    ($name:ident, $pattern:pat) => {
        fn $name<'h>(
            ev: &Evaluator<'h>,
            args: &[Value<'h>],
            _: Pos,
        ) -> Result<Value<'h>> {
            Ok(Value::Bool(matches!(ev.force(args[0])?, $pattern)))
        }
    };
}

predicate!(is_null, Value::Null);
predicate!(is_function, Value::Lambda(_) | Value::Builtin(_) | Value::Partial(_));
predicate!(is_int, Value::Int(_));
predicate!(is_float, Value::Float(_));
predicate!(is_string, Value::String(_));
predicate!(is_bool, Value::Bool(_));
predicate!(is_path, Value::Path(_));
predicate!(is_list, Value::List(_));
predicate!(is_attrs, Value::Attrs(_));

fn function_args<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let closure = match ev.force(args[0])? {
        Value::Lambda(closure) => closure,
        Value::Builtin(_) | Value::Partial(_) => {
            return Ok(Value::Attrs(ev.empty_attrs()));
        }
        _ => bail!(pos => Type, "'functionArgs' requires a function"),
    };
    let Parameter::Formals(formals) = &closure.lambda.parameter else {
        return Ok(Value::Attrs(ev.empty_attrs()));
    };
    let mut builder = AttrsBuilder::with_capacity(formals.formals.len());
    for formal in formals.formals {
        builder.push(formal.name, formal.pos, Value::Bool(formal.default.is_some()));
    }
    Ok(Value::Attrs(builder.finish(ev.heap)))
}
