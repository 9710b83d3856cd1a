//! Errors, messages, strictness, and `genericClosure`.

use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;

use super::{Builtin, Scope};
use crate::coerce::Coercion;
use crate::error::{At, Error, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::print::PrintOptions;
use crate::value::{Heap, Items, List, Value};
use crate::{bail, err, sym};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "abort",
        parameters: &["s"],
        scope: Scope::Plain,
        doc: "Ends the evaluation with the message *s*. `tryEval` does not catch it.",
        function: abort,
    },
    Builtin {
        name: "throw",
        parameters: &["s"],
        scope: Scope::Plain,
        doc: "Fails with the message *s*. `tryEval` catches it.",
        function: throw,
    },
    Builtin {
        name: "tryEval",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "Evaluates *e* shallowly and returns `{ success = true; value = e; }`, or \
              `{ success = false; value = false; }` where that meets a `throw` or a failed \
              `assert`. Other errors are not caught.",
        function: try_eval,
    },
    Builtin {
        name: "addErrorContext",
        parameters: &["message", "e"],
        scope: Scope::Prefixed,
        doc: "Evaluates *e*; if that fails, *message* becomes a line of the trace.",
        function: add_error_context,
    },
    Builtin {
        name: "trace",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "Shows *e1*, evaluated shallowly, as a message, and returns *e2*.",
        function: trace,
    },
    Builtin {
        name: "traceVerbose",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "As `trace` where verbose traces are wanted; else just *e2*.",
        function: trace_verbose,
    },
    Builtin {
        name: "warn",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "Shows the string *e1* as a warning, and returns *e2*.",
        function: warn,
    },
    Builtin {
        name: "break",
        parameters: &["v"],
        scope: Scope::Plain,
        doc: "Returns *v*. A debugger would stop here.",
        function: breakpoint,
    },
    Builtin {
        name: "seq",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "Evaluates *e1* shallowly, then returns *e2*.",
        function: seq,
    },
    Builtin {
        name: "deepSeq",
        parameters: &["e1", "e2"],
        scope: Scope::Prefixed,
        doc: "Evaluates *e1* with all elements and attributes in it, then returns *e2*.",
        function: deep_seq,
    },
    Builtin {
        name: "genericClosure",
        parameters: &["attrset"],
        scope: Scope::Prefixed,
        doc: "The closure of the list `startSet` under `operator`: every element is a set \
              with a `key`, `operator` maps an element to a list of further ones, and of \
              several elements with one key the first is kept. Keys are numbers, strings, \
              paths or lists.",
        function: generic_closure,
    },
];

fn abort<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the error message passed to builtins.abort";
    let text = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    Err(err!(
        Abort,
        "evaluation aborted with the following error message: '{}'",
        text.to_string_lossy()
    ))
}

fn throw<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the error message passed to builtin.throw";
    let text = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    Err(err!(Throw, "{}", text.to_string_lossy()))
}

fn try_eval<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], _: Pos) -> Result<Value<'h>> {
    let (success, value) = match ev.attempt(|| ev.force(args[0])) {
        Ok(value) => (true, value),
        Err(error) if error.is_catchable() => (false, Value::Bool(false)),
        Err(error) => return Err(error),
    };
    Ok(ev.attrs(&[(sym::VALUE, value), (sym::SUCCESS, Value::Bool(success))]))
}

fn add_error_context<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    ev.force(args[1]).or_else(|error| {
        let doing =
            "while evaluating the error message passed to builtins.addErrorContext";
        let text = ev.coerce_to_string(args[0], pos, Coercion::STRING, doing)?;
        Err(error.trace_always(Pos::NONE, text.to_string_lossy()))
    })
}

fn trace<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], _: Pos) -> Result<Value<'h>> {
    let text = match ev.force(args[0])? {
        Value::String(string) => string.to_string_lossy().into_owned(),
        other => {
            ev.needs_no_help(other)?;
            let printed = ev.print_value(other, &PrintOptions::EVAL)?;
            String::from_utf8_lossy(&printed).into_owned()
        }
    };
    ev.world.message(&format!("trace: {text}"));
    ev.force(args[1])
}

fn trace_verbose<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    if ev.settings.trace_verbose { trace(ev, args, pos) } else { ev.force(args[1]) }
}

fn warn<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing =
        "while evaluating the first argument; the message passed to builtins.warn";
    let text = ev.expect_string(args[0], pos, doing)?;
    ev.world.message(&format!("evaluation warning: {}", text.to_string_lossy()));
    if ev.settings.abort_on_warn {
        bail!(
            Abort,
            "aborting to reveal stack trace of warning, as abort-on-warn is set"
        );
    }
    ev.force(args[1])
}

fn breakpoint<'h>(_: &Evaluator<'h>, args: &[Value<'h>], _: Pos) -> Result<Value<'h>> {
    Ok(args[0])
}

fn seq<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], _: Pos) -> Result<Value<'h>> {
    ev.force(args[0])?;
    ev.force(args[1])
}

fn deep_seq<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    ev.force_deep(args[0], pos)?;
    ev.force(args[1])
}

fn generic_closure<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    _: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.genericClosure";
    let attrs = ev.expect_attrs(args[0], Pos::NONE, doing)?;
    let missing = "in the attrset passed as argument to builtins.genericClosure";
    let start = ev.required_attr(attrs, sym::START_SET, Pos::NONE, missing)?;
    let doing = "while evaluating the 'startSet' attribute passed as argument to \
                 builtins.genericClosure";
    let start = ev.expect_list(start.get(), Pos::NONE, doing)?;
    if start.is_empty() {
        return Ok(Value::List(start));
    }
    let operator = ev.required_attr(attrs, sym::OPERATOR, Pos::NONE, missing)?;
    let doing = "while evaluating the 'operator' attribute passed as argument to \
                 builtins.genericClosure";
    let operator = ev.expect_function(operator.get(), Pos::NONE, doing)?;

    // The list grows at its end while the loop walks it: first come, first served.
    let mut work = Items::from_iter(ev.heap, start.iter());
    let mut result = Items::new(ev.heap);
    let mut keys = Keys::new(ev.heap);
    let mut next = 0;
    while let Some(element) = work.get(next).copied() {
        next += 1;
        let key = closure_key(ev, element)?;
        if !keys.insert(ev, key, element)? {
            continue;
        }
        result.push(element);
        let added = expand(ev, operator, element).map_err(|error| {
            let element = ev.print_for_error(element);
            let text =
                format!("while calling operator on genericClosure element {element}");
            error.trace(Pos::NONE, text)
        })?;
        work.extend(added.iter());
    }
    Ok(ev.list(&result))
}

/// The key of an element, forced.
fn closure_key<'h>(ev: &Evaluator<'h>, element: Value<'h>) -> Result<Value<'h>> {
    let key = ev
        .expect_attrs(element, Pos::NONE, "")
        .and_then(|attrs| ev.required_attr(attrs, sym::KEY, Pos::NONE, ""))
        .trace(Pos::NONE, || {
            format!("in genericClosure element {}", ev.print_for_error(element))
        })?;
    ev.force_slot(key)
}

/// The elements that the operator adds for one element.
fn expand<'h>(
    ev: &Evaluator<'h>,
    operator: Value<'h>,
    element: Value<'h>,
) -> Result<&'h List<'h>> {
    let added = ev.call(operator, &[element], Pos::NONE)?;
    let doing = "while evaluating the return value of the `operator` passed to \
                 builtins.genericClosure";
    let added = ev.expect_list(added, Pos::NONE, doing)?;
    for slot in added.items {
        ev.force_slot(slot)?;
    }
    Ok(added)
}

/// The keys seen so far. Strings, paths and integers are hashed as long as all keys are of one of these
/// types; from the first other one on, keys are in a vector that the language's own order keeps sorted.
struct Keys<'h> {
    /// The bytes of strings and paths in `all`.
    bytes: HashSet<&'h [u8], FxBuildHasher>,
    ints: HashSet<i64, FxBuildHasher>,
    /// Keys with their elements: in order of arrival while hashing, in order of keys after that.
    all: Items<'h, (Value<'h>, Value<'h>)>,
    sorted: bool,
}

impl<'h> Keys<'h> {
    fn new(heap: &'h Heap) -> Self {
        let (bytes, ints) = (HashSet::default(), HashSet::default());
        Self { bytes, ints, all: Items::new(heap), sorted: false }
    }

    /// Adds a key, and tells whether it is new.
    fn insert(
        &mut self,
        ev: &Evaluator<'h>,
        key: Value<'h>,
        element: Value<'h>,
    ) -> Result<bool> {
        if !self.sorted {
            let first = self.all.first().map_or(key, |(key, _)| *key);
            let new = match (first, key) {
                (Value::String(_), Value::String(key)) => self.bytes.insert(key.bytes),
                (Value::Path(_), Value::Path(key)) => self.bytes.insert(key.bytes),
                (Value::Int(_), Value::Int(key)) => self.ints.insert(key),
                _ => return self.insert_first_unhashable(ev, key, element),
            };
            if new {
                self.all.push((key, element));
            }
            return Ok(new);
        }
        self.insert_sorted(ev, key, element)
    }

    fn insert_first_unhashable(
        &mut self,
        ev: &Evaluator<'h>,
        key: Value<'h>,
        element: Value<'h>,
    ) -> Result<bool> {
        let seen = std::mem::replace(&mut self.all, Items::new(ev.heap));
        self.sorted = true;
        if let Some((other, other_element)) = seen.first() {
            // Keys that cannot be compared fail here, before any sorting.
            self.less(ev, (key, element), (*other, *other_element))?;
        }
        for (key, element) in seen {
            self.insert_sorted(ev, key, element)?;
        }
        self.insert_sorted(ev, key, element)
    }

    fn insert_sorted(
        &mut self,
        ev: &Evaluator<'h>,
        key: Value<'h>,
        element: Value<'h>,
    ) -> Result<bool> {
        let (mut low, mut high) = (0, self.all.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let other = self.all[middle];
            if self.less(ev, (key, element), other)? {
                high = middle;
            } else if self.less(ev, other, (key, element))? {
                low = middle + 1;
            } else {
                return Ok(false);
            }
        }
        self.all.insert(low, (key, element));
        Ok(true)
    }

    fn less(
        &self,
        ev: &Evaluator<'h>,
        (a, element): (Value<'h>, Value<'h>),
        (b, other): (Value<'h>, Value<'h>),
    ) -> Result<bool> {
        ev.less_than(a, b, Pos::NONE, "").map_err(|error: Error| {
            let (element, other) =
                (ev.print_for_error(element), ev.print_for_error(other));
            error
                .trace(Pos::NONE, format!("with element {other}"))
                .trace(Pos::NONE, format!("while comparing element {element}"))
        })
    }
}
