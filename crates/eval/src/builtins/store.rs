//! Builtins that name or make store objects without building anything.

use std::collections::BTreeSet;

use picnix_store_core::{StorePath, hash_placeholder};

use super::{Builtin, Scope};
use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{ContextElement, Value};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "toFile",
        parameters: &["name", "s"],
        scope: Scope::Prefixed,
        doc: "Puts the string *s* as a file into the store and returns its path, which ends in *name*.",
        function: to_file,
    },
    Builtin {
        name: "storePath",
        parameters: &["path"],
        scope: Scope::Prefixed,
        doc: "Returns *path*, which lies in the store already, as a string that depends on the \
              store object, instead of copying it there again.",
        function: store_path,
    },
    Builtin {
        name: "placeholder",
        parameters: &["output"],
        scope: Scope::Plain,
        doc: "Returns the text that stands for the path of the output *output* in attributes of \
              the derivation itself.",
        function: placeholder,
    },
];

fn to_file<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.toFile";
    let name = ev.expect_plain_string(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.toFile";
    let contents = ev.expect_string(args[1], pos, doing)?;
    let mut references = BTreeSet::new();
    for element in contents.context {
        let ContextElement::Opaque(id) = *element else {
            bail!(
                pos => Other,
                "files created by builtins.toFile may not reference derivations, but {} references {}",
                String::from_utf8_lossy(name),
                element_text(ev, *element)
            );
        };
        references.insert((*ev.store_path(id)).clone());
    }
    let name = String::from_utf8_lossy(name);
    let references: Vec<StorePath> = references.into_iter().collect();
    let path = ev
        .world
        .add_text(&name, contents.bytes, &references)
        .map_err(|error| ev.world_error(error, pos))?;
    Ok(store_path_string(ev, &path))
}

/// A dependency as Nix encodes it: `path`, `=path` or `!output!path`.
fn element_text(ev: &Evaluator<'_>, element: ContextElement) -> String {
    match element {
        ContextElement::Opaque(id) => ev.store_path(id).to_string(),
        ContextElement::DrvDeep(id) => format!("={}", ev.store_path(id)),
        ContextElement::Built(id, output) | ContextElement::Dynamic(id, output) => {
            format!("!{}!{}", ev.symbols.text(output), ev.store_path(id))
        }
    }
}

/// The path of a store object as a string that depends on it.
pub(super) fn store_path_string<'h>(ev: &Evaluator<'h>, path: &StorePath) -> Value<'h> {
    let id = ev.path_id(path);
    let context = ev.heap.slice(&[ContextElement::Opaque(id)]);
    ev.string_of(ev.print_store_path(id), context)
}

fn store_path<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    if ev.settings.pure {
        bail!(pos => World, "'builtins.storePath' is not allowed in pure evaluation mode");
    }
    let doing = "while evaluating the first argument passed to 'builtins.storePath'";
    let (mut path, context) = ev.coerce_to_path(args[0], pos, doing)?;
    let store_dir = ev.world.store_dir();
    // A link that lies directly in the store is a store object itself; any other is followed.
    if !matches!(store_dir.parse_path_within(path), Ok((_, b""))) {
        path = ev.resolve_path(path, pos)?;
    }
    if !path.starts_with(format!("{store_dir}/").as_bytes()) {
        let path = String::from_utf8_lossy(path);
        bail!(pos => World, "path '{path}' is not in the Nix store");
    }
    let (object, _) = store_dir.parse_path_within(path)?;
    ev.world.ensure_path(&object).map_err(|error| ev.world_error(error, pos))?;
    let mut context = context.to_vec();
    context.push(ContextElement::Opaque(ev.path_id(&object)));
    Ok(ev.string_of(path, ev.context_from(context)))
}

fn placeholder<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.placeholder";
    let output = ev.expect_plain_string(args[0], pos, doing)?;
    Ok(ev.string(hash_placeholder(output).as_bytes()))
}
