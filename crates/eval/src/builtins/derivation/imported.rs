//! `import` of a `.drv` file: the derivation as a value, with its outputs and without the attributes it was made of.

use picnix_store_core::StorePath;

use super::outputs_of;
use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{AttrsBuilder, State, Thunk, Value};

/// Makes the value of the store derivation at `path`.
///
/// Every output has an attribute; the value is that of the first, as with `derivation`.
pub(crate) fn imported<'h>(
    ev: &Evaluator<'h>,
    path: &StorePath,
    pos: Pos,
) -> Result<Value<'h>> {
    let drv =
        ev.world.read_derivation(path).map_err(|error| ev.world_error(error, pos))?;
    let name = drv.env.get(b"name").unwrap_or_default();
    let name = ev.string(name);
    let paths = drv.output_paths(ev.world.store_dir())?;
    let (drv_path, outputs) = outputs_of(ev, path, &paths)?;
    // All is at hand (no evaluation).
    let values: Vec<&Thunk<'h>> =
        outputs.iter().map(|_| ev.heap.thunk(Thunk::application(&[]))).collect();
    let all: Vec<_> = values.iter().map(|value| Value::Thunk(value)).collect();
    for ((output, out_path), value) in outputs.iter().zip(&values) {
        // Of attributes with one name the first wins: an output may not hide what precedes it here.
        let mut attrs = AttrsBuilder::with_capacity(outputs.len() + 6);
        attrs.insert(sym::OUT_PATH, *out_path);
        attrs.insert(sym::OUTPUT_NAME, ev.string_of(ev.symbols.name(*output), &[]));
        attrs.insert(sym::ALL, ev.list(&all));
        attrs.insert(sym::DRV_PATH, drv_path);
        attrs.insert(sym::NAME, name);
        attrs.insert(sym::TYPE, ev.string(b"derivation"));
        for ((output, _), value) in outputs.iter().zip(&all) {
            attrs.insert(*output, *value);
        }
        value.leave(State::Done(Value::Attrs(attrs.finish(ev.heap))), ev.heap);
    }
    match all.first() {
        Some(first) => Ok(first.peek()),
        None => bail!(pos => Other, "derivation '{path}' has no outputs"),
    }
}
