//! The function `derivation`, which is lazy where `derivationStrict` is not.
//!
//! Nix writes it in its own language; here its result is built directly, since a package set calls it
//! thousands of times. Calling it forces the argument and the names of the outputs. `outPath`, `drvPath` and
//! with them everything else wait until they are asked for.

use super::DERIVATION_STRICT;
use crate::builtins::{Builtin, Scope};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::{Symbol, sym};
use crate::value::{Attrs, AttrsBuilder, Held, Items, State, Thunk, Value};
use crate::{bail, err};

static STRICT: Builtin = DERIVATION_STRICT;

/// `getAttr` on the result of `derivationStrict`.
static SELECT: Builtin = Builtin {
    name: "getAttr",
    parameters: &["name", "attrs"],
    scope: Scope::Prefixed,
    doc: "Returns an output of a derivation.",
    function: select,
};

fn select<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.getAttr";
    let name = ev.expect_plain_string(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.getAttr";
    let attrs = ev.expect_attrs(args[1], pos, doing)?;
    let symbol = ev.symbol(name);
    match attrs.get(symbol) {
        Some(slot) => ev.force_slot(slot),
        None => Err(err!(Missing, "attribute '{}' missing", ev.show_name(symbol))
            .at(pos)
            .trace(pos, "in the attribute set under consideration")),
    }
}

/// One output, as the result shows it.
#[derive(Clone, Copy)]
struct Output<'h> {
    symbol: Symbol,
    name: Value<'h>,
    /// The derivation's set with this output as the chosen one: set when it has been made.
    value: &'h Thunk<'h>,
}

impl Held for Output<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        (self.name, self.value).visit(visit);
    }
}

/// `derivation attrs`
pub(super) fn derivation<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the value passed for the lambda argument";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let outputs = outputs(ev, attrs, pos)?;
    if outputs.is_empty() {
        bail!(pos => Type, "'builtins.head' called on an empty list");
    }
    let strict = ev.lazy_call(Value::Builtin(&STRICT), &[Value::Attrs(attrs)]);
    let first = overlay(ev, attrs, strict, &outputs);
    let (shape, slots) = first.parts(ev.heap);
    for (index, output) in outputs.iter().enumerate() {
        let over = if index == 0 {
            first
        } else {
            // Only what tells the outputs apart differs from the first one's attributes.
            let values = shape.names.iter().zip(slots).map(|(name, slot)| match *name {
                sym::OUT_PATH => out_path(ev, output, strict),
                sym::OUTPUT_NAME => output.name,
                _ => slot.get(),
            });
            let values: Vec<_> = values.collect();
            ev.heap.attrs(Attrs::new(shape, ev.heap.slots_from(&values)))
        };
        let value = Value::Attrs(attrs.update(over, ev.heap));
        output.value.leave(State::Done(value), ev.heap);
    }
    Ok(Value::Thunk(outputs[0].value).peek())
}

fn outputs<'h>(
    ev: &Evaluator<'h>,
    attrs: &'h Attrs<'h>,
    pos: Pos,
) -> Result<Items<'h, Output<'h>>> {
    let output = |name: Value<'h>| -> Result<Output<'h>> {
        let doing = "while evaluating the `name` attribute of an element of the list passed to builtins.listToAttrs";
        let symbol = ev.symbol(ev.expect_plain_string(name, pos, doing)?);
        let value = ev.heap.thunk(Thunk::application(&[]));
        Ok(Output { symbol, name: name.peek(), value })
    };
    let mut outputs = Items::new(ev.heap);
    match attrs.get(sym::OUTPUTS) {
        None => outputs.push(output(ev.string(b"out"))?),
        Some(slot) => {
            let doing = "while evaluating the second argument passed to builtins.map";
            for name in ev.expect_list(slot.get(), pos, doing)?.iter() {
                outputs.push(output(name)?);
            }
        }
    }
    Ok(outputs)
}

/// The attributes that the first output's set has beyond those of the argument.
fn overlay<'h>(
    ev: &Evaluator<'h>,
    attrs: &'h Attrs<'h>,
    strict: Value<'h>,
    outputs: &[Output<'h>],
) -> &'h Attrs<'h> {
    let all: Vec<_> = outputs.iter().map(|output| Value::Thunk(output.value)).collect();
    let drv_path = [ev.string(b"drvPath"), strict];
    // Of attributes with one name the first wins: an output may not hide what follows here.
    let mut over = AttrsBuilder::with_capacity(outputs.len() + 6);
    over.insert(sym::OUT_PATH, out_path(ev, &outputs[0], strict));
    over.insert(sym::DRV_PATH, ev.lazy_call(Value::Builtin(&SELECT), &drv_path));
    over.insert(sym::TYPE, ev.string(b"derivation"));
    over.insert(sym::OUTPUT_NAME, outputs[0].name);
    over.insert(sym::ALL, all_outputs(ev, &all));
    over.insert(ev.symbol(b"drvAttrs"), Value::Attrs(attrs));
    for output in outputs {
        over.insert(output.symbol, Value::Thunk(output.value));
    }
    over.finish(ev.heap)
}

/// The list of all outputs; as C++ Nix's is the result of a call, it is a thunk where that shows.
fn all_outputs<'h>(ev: &Evaluator<'h>, outputs: &[Value<'h>]) -> Value<'h> {
    let list = ev.list(outputs);
    if !ev.settings.unforced_shown {
        return list;
    }
    let mut holder = AttrsBuilder::with_capacity(1);
    holder.insert(sym::ALL, list);
    let holder = Value::Attrs(holder.finish(ev.heap));
    ev.lazy_call(Value::Builtin(&SELECT), &[ev.string(b"all"), holder])
}

fn out_path<'h>(ev: &Evaluator<'h>, output: &Output<'h>, strict: Value<'h>) -> Value<'h> {
    ev.lazy_call(Value::Builtin(&SELECT), &[output.name, strict])
}
