//! Builtins on the contexts of strings: what a string depends on, as data.
//!
//! The representation is Nix's: a set from store path to `{ path, allOutputs, outputs }`, where `path` stands
//! for the object itself, `allOutputs` for a derivation with everything that it refers to, and `outputs` lists
//! outputs of a derivation.

use std::collections::BTreeMap;

use picnix_store_core::{DRV_SUFFIX, StorePath};

use super::{Builtin, Scope, output_of};
use crate::coerce::Coercion;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::{Symbol, sym};
use crate::value::{Attr, AttrsBuilder, ContextElement, PathId, Value};
use crate::{bail, err};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "hasContext",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Tells whether the string *s* depends on any store object.",
        function: has_context,
    },
    Builtin {
        name: "getContext",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns what the string *s* depends on, as a set from store path to \
              `{ path, allOutputs, outputs }`.",
        function: get_context,
    },
    Builtin {
        name: "appendContext",
        parameters: &["s", "context"],
        scope: Scope::Prefixed,
        doc: "Returns the string *s* with further dependencies, in the form that `getContext` returns.",
        function: append_context,
    },
    Builtin {
        name: "unsafeDiscardStringContext",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns *s* as a string that depends on nothing.",
        function: discard_context,
    },
    Builtin {
        name: "unsafeDiscardOutputDependency",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns the string *s* in which a dependency on a derivation with everything that it \
              refers to has become one on the `.drv` file alone.",
        function: discard_output_dependency,
    },
    Builtin {
        name: "addDrvOutputDependencies",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns the string *s*, whose one dependency on a `.drv` file has become one on the \
              derivation with everything that it refers to.",
        function: add_output_dependencies,
    },
];

fn has_context<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.hasContext";
    Ok(Value::Bool(ev.expect_string(args[0], pos, doing)?.has_context()))
}

fn discard_context<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing =
        "while evaluating the argument passed to builtins.unsafeDiscardStringContext";
    let string = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    Ok(ev.string_of(string.bytes, &[]))
}

fn discard_output_dependency<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing =
        "while evaluating the argument passed to builtins.unsafeDiscardOutputDependency";
    let string = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    let shallow = |element: &ContextElement| match *element {
        ContextElement::DrvDeep(id) => ContextElement::Opaque(id),
        element => element,
    };
    let context = ev.context_from(string.context.iter().map(shallow).collect());
    Ok(ev.string_of(string.bytes, context))
}

fn add_output_dependencies<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing =
        "while evaluating the argument passed to builtins.addDrvOutputDependencies";
    let string = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    let [element] = *string.context else {
        bail!(
            pos => Other,
            "context of string '{}' must have exactly one element, but has {}",
            string.to_string_lossy(),
            string.context.len()
        );
    };
    let id = match element {
        ContextElement::DrvDeep(id) => id,
        ContextElement::Opaque(id) if ev.store_path(id).is_derivation() => id,
        ContextElement::Opaque(id) => {
            let path = String::from_utf8_lossy(ev.print_store_path(id));
            bail!(pos => Other, "path '{path}' is not a derivation");
        }
        ContextElement::Built(_, output) | ContextElement::Dynamic(_, output) => {
            let names = ev.symbols.text(output);
            bail!(
                pos => Other,
                "`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '{}'",
                names.split('!').next().unwrap_or_default()
            )
        }
    };
    let context = ev.heap.slice(&[ContextElement::DrvDeep(id)]);
    Ok(ev.string_of(string.bytes, context))
}

/// How a string depends on one store path.
#[derive(Default)]
struct Dependency {
    path: bool,
    all_outputs: bool,
    outputs: Vec<Symbol>,
}

fn get_context<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.getContext";
    let string = ev.expect_string(args[0], pos, doing)?;
    let mut dependencies: BTreeMap<PathId, Dependency> = BTreeMap::new();
    for element in string.context {
        match *element {
            ContextElement::Opaque(id) => dependencies.entry(id).or_default().path = true,
            ContextElement::DrvDeep(id) => {
                dependencies.entry(id).or_default().all_outputs = true;
            }
            ContextElement::Built(id, output) => {
                dependencies.entry(id).or_default().outputs.push(output);
            }
            ContextElement::Dynamic(id, names) => {
                let (id, output) = output_of::resolve(ev, id, ev.symbols.name(names))?;
                dependencies.entry(id).or_default().outputs.push(ev.symbol(output));
            }
        }
    }
    let mut attrs = AttrsBuilder::with_capacity(dependencies.len());
    for (id, dependency) in dependencies {
        attrs.insert(ev.symbol(ev.print_store_path(id)), dependency.value(ev));
    }
    Ok(Value::Attrs(attrs.finish(ev.heap)))
}

impl Dependency {
    fn value<'h>(mut self, ev: &Evaluator<'h>) -> Value<'h> {
        let mut attrs = AttrsBuilder::with_capacity(3);
        if self.path {
            attrs.insert(sym::PATH, Value::Bool(true));
        }
        if self.all_outputs {
            attrs.insert(sym::ALL_OUTPUTS, Value::Bool(true));
        }
        if !self.outputs.is_empty() {
            self.outputs.sort_unstable_by_key(|output| ev.symbols.name(*output));
            let name = |output: &Symbol| ev.string_of(ev.symbols.name(*output), &[]);
            let names: Vec<_> = self.outputs.iter().map(name).collect();
            attrs.insert(sym::OUTPUTS, ev.list(&names));
        }
        Value::Attrs(attrs.finish(ev.heap))
    }
}

fn append_context<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.appendContext";
    let string = ev.expect_string(args[0], Pos::NONE, doing)?;
    let doing = "while evaluating the second argument passed to builtins.appendContext";
    let added = ev.expect_attrs(args[1], pos, doing)?;
    let mut context = string.context.to_vec();
    for attr in ev.sorted_by_name(added) {
        let path = context_key(ev, attr)?;
        ev.world.ensure_path(&path).map_err(|error| ev.world_error(error, attr.pos))?;
        append_dependency(ev, attr, ev.path_id(&path), &mut context)?;
    }
    Ok(ev.string_of(string.bytes, ev.context_from(context)))
}

/// The store path that an attribute of a context names: it must be written as the store prints it.
fn context_key<'h>(ev: &Evaluator<'h>, attr: Attr<'h>) -> Result<StorePath> {
    let name = ev.symbols.name(attr.name);
    let store_dir = ev.world.store_dir();
    match store_dir.parse_path_within(name) {
        Ok((path, b"")) => Ok(path),
        _ => bail!(
            attr.pos => Other,
            "context key '{}' is not a store path",
            ev.show_name(attr.name)
        ),
    }
}

fn append_dependency<'h>(
    ev: &Evaluator<'h>,
    attr: Attr<'h>,
    id: PathId,
    context: &mut Vec<ContextElement>,
) -> Result<()> {
    let doing = "while evaluating the value of a string context";
    let dependency = ev.expect_attrs(attr.slot.get(), attr.pos, doing)?;
    let is_derivation = ev.symbols.name(attr.name).ends_with(DRV_SUFFIX.as_bytes());
    let not_derivation = |what: &str| {
        let name = ev.show_name(attr.name);
        err!(Other, "tried to add {what} context of {name}, which is not a derivation, to a string")
            .at(attr.pos)
    };
    if let Some(path) = dependency.get_attr(sym::PATH) {
        let doing = "while evaluating the `path` attribute of a string context";
        if ev.expect_bool(path.slot.get(), path.pos, doing)? {
            context.push(ContextElement::Opaque(id));
        }
    }
    if let Some(all) = dependency.get_attr(sym::ALL_OUTPUTS) {
        let doing = "while evaluating the `allOutputs` attribute of a string context";
        if ev.expect_bool(all.slot.get(), all.pos, doing)? {
            if !is_derivation {
                return Err(not_derivation("all-outputs"));
            }
            context.push(ContextElement::DrvDeep(id));
        }
    }
    if let Some(outputs) = dependency.get_attr(sym::OUTPUTS) {
        let doing = "while evaluating the `outputs` attribute of a string context";
        let list = ev.expect_list(outputs.slot.get(), outputs.pos, doing)?;
        if !list.is_empty() && !is_derivation {
            return Err(not_derivation("derivation output"));
        }
        for output in list.iter() {
            let doing = "while evaluating an output name within a string context";
            let name = ev.expect_plain_string(output, outputs.pos, doing)?;
            context.push(ContextElement::Built(id, ev.symbol(name)));
        }
    }
    Ok(())
}
