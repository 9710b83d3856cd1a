//! `fetchClosure`: a store object with everything that it refers to, from a binary cache.
//!
//! Rewriting an object to a content-addressed one (`toPath` that is not there yet) is not done: the error says so.

use picnix_store_core::StorePath;

use super::store::store_path_string;
use super::{Builtin, Scope};
use crate::bail;
use crate::coerce::Coercion;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    name: "fetchClosure",
    parameters: &["args"],
    scope: Scope::Prefixed,
    doc: "Copies `args.fromPath`, with everything that it refers to, from the binary cache \
          `args.fromStore`. An object that is addressed by its inputs must be asked for with \
          `inputAddressed = true` and be signed by a trusted key.",
    function: fetch_closure,
}];

fn fetch_closure<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.fetchClosure";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let (mut store, mut from, mut to, mut input_addressed) = (None, None, None, false);
    for attr in ev.sorted_by_name(attrs) {
        let name = ev.symbols.text(attr.name);
        let doing = format!(
            "while evaluating the attribute '{name}' passed to builtins.fetchClosure"
        );
        let value = attr.slot.get();
        match &*name {
            "fromPath" => from = Some(store_path(ev, value, attr.pos, &doing)?),
            "toPath" => {
                let is_gap = matches!(ev.force(value)?, Value::String(text) if text.bytes.is_empty());
                to = Some(match is_gap {
                    true => None,
                    false => Some(store_path(ev, value, attr.pos, &doing)?),
                });
            }
            "fromStore" => {
                let text = ev.expect_plain_string(value, attr.pos, &doing)?;
                store = Some(String::from_utf8_lossy(text).into_owned());
            }
            "inputAddressed" => {
                input_addressed = ev.expect_bool(value, attr.pos, &doing)?
            }
            _ => bail!(
                pos => Other,
                "attribute '{name}' isn't supported in call to 'fetchClosure'"
            ),
        }
    }
    let Some(from) = from else {
        bail!(pos => Other, "attribute 'fromPath' is missing in call to 'fetchClosure'");
    };
    if input_addressed && to.is_some() {
        bail!(
            pos => Other,
            "attribute 'inputAddressed' is set to true, but 'toPath' is also set. Please remove one of \
             them"
        );
    }
    let Some(store) = store else {
        bail!(pos => Other, "attribute 'fromStore' is missing in call to 'fetchClosure'");
    };
    if !store.starts_with("http://") && !store.starts_with("https://") {
        bail!(pos => Other, "'fetchClosure' only supports http:// and https:// stores");
    }
    if store.contains('?') {
        bail!(
            pos => Other,
            "'fetchClosure' does not support URL query parameters (in '{store}')"
        );
    }
    match to {
        Some(to) => rewritten(ev, &store, &from, to, pos),
        None => copied(ev, &store, &from, input_addressed, pos),
    }
}

fn store_path<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    doing: &str,
) -> Result<StorePath> {
    let text = ev.coerce_to_string(value, pos, Coercion::STRING, doing)?;
    match ev.world.store_dir().parse_path(text.bytes) {
        Ok(path) => Ok(path),
        Err(error) => Err(crate::err!(Other, "{error}").at(pos).trace(pos, doing)),
    }
}

fn copied<'h>(
    ev: &Evaluator<'h>,
    store: &str,
    from: &StorePath,
    input_addressed: bool,
    pos: Pos,
) -> Result<Value<'h>> {
    let is_content_addressed = ev
        .world
        .fetch_closure(store, from)
        .map_err(|error| ev.world_error(error, pos))?;
    let shown = ev.world.store_dir().print(from);
    match (is_content_addressed, input_addressed) {
        (false, false) => bail!(
            pos => World,
            "The 'fromPath' value '{shown}' is input-addressed, but 'inputAddressed' is set to 'false' \
             (default).\n\nIf you do intend to fetch an input-addressed store path, add\n\n    \
             inputAddressed = true;\n\nto the 'fetchClosure' arguments.\n\nNote that to ensure \
             authenticity input-addressed store paths, users must configure a trusted binary cache \
             public key on their systems. This is not needed for content-addressed paths."
        ),
        (true, true) => bail!(
            pos => World,
            "The store object referred to by 'fromPath' at '{shown}' is not input-addressed, but \
             'inputAddressed' is set to 'true'.\n\nRemove the 'inputAddressed' attribute (it defaults \
             to 'false') to expect 'fromPath' to be content-addressed"
        ),
        _ => Ok(store_path_string(ev, from)),
    }
}

/// The object at `to`, which is said to be the one at `from` with another address.
fn rewritten<'h>(
    ev: &Evaluator<'h>,
    store: &str,
    from: &StorePath,
    to: Option<StorePath>,
    pos: Pos,
) -> Result<Value<'h>> {
    let store_dir = ev.world.store_dir();
    let Some(to) = to.filter(|to| ev.world.ensure_path(to).is_ok()) else {
        bail!(
            pos => World,
            "cannot rewrite '{}' from '{store}' to a content-addressed store path: picnix does not \
             rewrite store objects",
            store_dir.print(from);
            hint: "add the content-addressed path to the store, or fetch it without 'toPath'"
        );
    };
    let is_content_addressed =
        ev.world.fetch_closure(store, &to).map_err(|error| ev.world_error(error, pos))?;
    if !is_content_addressed {
        bail!(
            pos => World,
            "The 'toPath' value '{}' is input-addressed, so it can't possibly be the result of rewriting \
             to a content-addressed path.\n\nSet 'toPath' to an empty string to make Nix report the \
             correct content-addressed path.",
            store_dir.print(&to)
        );
    }
    Ok(store_path_string(ev, &to))
}
