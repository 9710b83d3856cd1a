//! `outputOf`: an output of a derivation that may be known only once another derivation is built.
//!
//! A string names a derivation if it depends on one thing only and has that thing's own text. For a derivation
//! at hand, the result is what its set has under the output's name: the path, or a placeholder. For the output of
//! another derivation, it is a placeholder for an output of whatever that will be, and depends on it
//! ([`ContextElement::Dynamic`]).

use picnix_store_core::{OutputName, Placeholder, StorePath};

use super::{Builtin, Scope};
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::value::{ContextElement, PathId, Str, Value};
use crate::{bail, err};

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    name: "outputOf",
    parameters: &["derivation-reference", "output-name"],
    scope: Scope::Prefixed,
    doc: "Returns the path of the output *output-name* of a derivation, or a text that stands for it \
          while it is not known.\n\n*derivation-reference* is a string: the path of a `.drv` file, or an \
          output of a derivation that will be one, such as what `outputOf` itself returns.",
    function: output_of,
}];

fn output_of<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument to builtins.outputOf";
    let reference = ev.expect_string(args[0], pos, doing)?;
    let element = derived(ev, reference).at(pos).trace(pos, || doing)?;
    let doing = "while evaluating the second argument to builtins.outputOf";
    let output = ev.expect_plain_string(args[1], pos, doing)?;
    let element = output_of_element(ev, element, output);
    let text = text_of(ev, element)?;
    let context = ev.context_from(vec![element]);
    Ok(ev.string_of(ev.heap.bytes(text.as_bytes()), context))
}

/// The one thing that a string stands for.
fn derived(ev: &Evaluator<'_>, string: &Str<'_>) -> Result<ContextElement> {
    let shown = string.to_string_lossy();
    let [element] = *string.context else {
        bail!(
            Other,
            "string '{shown}' has {} entries in its context. It should only have exactly one entry",
            string.context.len()
        );
    };
    if let ContextElement::DrvDeep(_) = element {
        bail!(
            Other,
            "string '{shown}' has a context which refers to a complete source and binary closure. This is \
             not supported at this time"
        );
    }
    let expected = text_of(ev, element)?;
    if expected.as_bytes() == string.bytes {
        return Ok(element);
    }
    match element {
        ContextElement::Opaque(_) | ContextElement::DrvDeep(_) => bail!(
            Other,
            "path string '{shown}' has context with the different path '{expected}'"
        ),
        ContextElement::Built(..) | ContextElement::Dynamic(..) => {
            let whole = ev.show_context_element(element);
            let (drv, output) = whole.rsplit_once('^').unwrap_or((&whole, ""));
            bail!(
                Other,
                "string '{shown}' has context with the output '{output}' from derivation '{drv}', but the \
                 string is not the right placeholder for this derivation output. It should be '{expected}'"
            )
        }
    }
}

/// The output of what an element stands for.
fn output_of_element(
    ev: &Evaluator<'_>,
    element: ContextElement,
    output: &[u8],
) -> ContextElement {
    let (id, inner) = match element {
        ContextElement::Opaque(id) | ContextElement::DrvDeep(id) => {
            return ContextElement::Built(id, ev.symbol(output));
        }
        ContextElement::Built(id, inner) | ContextElement::Dynamic(id, inner) => {
            (id, inner)
        }
    };
    let names = [output, b"!", ev.symbols.name(inner)].concat();
    ContextElement::Dynamic(id, ev.symbol(&names))
}

/// The text that stands for an element: a path where it is known.
fn text_of(ev: &Evaluator<'_>, element: ContextElement) -> Result<String> {
    match element {
        ContextElement::Opaque(id) | ContextElement::DrvDeep(id) => {
            Ok(String::from_utf8_lossy(ev.print_store_path(id)).into_owned())
        }
        ContextElement::Built(id, output) => {
            let output = ev.symbols.name(output);
            match static_path(ev, &ev.store_path(id), output)? {
                Some(path) => Ok(ev.world.store_dir().print(&path)),
                None => Ok(placeholder(ev, id, output)?.to_string()),
            }
        }
        ContextElement::Dynamic(id, names) => {
            let mut names = ev.symbols.name(names).rsplit(|byte| *byte == b'!');
            let first = names.next().unwrap_or_default();
            let mut stands = placeholder(ev, id, first)?;
            for name in names {
                let what = String::from_utf8_lossy(name);
                let reason =
                    format!("placeholder for unknown derivation output '{what}'");
                ev.require_feature(Feature::DynamicDerivations, &reason)?;
                stands = stands.of_dynamic_output(&OutputName::parse(name)?);
            }
            Ok(stands.to_string())
        }
    }
}

fn placeholder(ev: &Evaluator<'_>, id: PathId, output: &[u8]) -> Result<Placeholder> {
    ev.require_feature(Feature::CaDerivations, "")?;
    Ok(Placeholder::of_output(&ev.store_path(id), &OutputName::parse(output)?)?)
}

/// The path of an output of a derivation of the store, if it follows from the derivation.
fn static_path(
    ev: &Evaluator<'_>,
    drv_path: &StorePath,
    output: &[u8],
) -> Result<Option<StorePath>> {
    if let Err(error) = drv_path.derivation_name() {
        let shown = ev.world.store_dir().print(drv_path);
        bail!(Other, "error parsing derivation '{shown}': {error}");
    }
    let drv = ev
        .world
        .read_derivation(drv_path)
        .map_err(|error| ev.world_error(error, Pos::NONE))?;
    let found = drv.outputs.iter().find(|(name, _)| name.as_str().as_bytes() == output);
    let Some((name, kind)) = found else {
        return Err(err!(
            Missing,
            "derivation '{}' does not have output '{}'",
            ev.world.store_dir().print(drv_path),
            String::from_utf8_lossy(output)
        ));
    };
    Ok(kind.path(ev.world.store_dir(), &drv.name, name)?)
}

/// The derivation that all but the last output of an element lead to, and the last output's name: known only if
/// each path on the way follows from its derivation.
pub(super) fn resolve<'h>(
    ev: &Evaluator<'h>,
    id: PathId,
    names: &'h [u8],
) -> Result<(PathId, &'h [u8])> {
    let mut names: Vec<&[u8]> = names.split(|byte| *byte == b'!').collect();
    let last = names.remove(0);
    let (mut id, mut shown) =
        (id, String::from_utf8_lossy(ev.print_store_path(id)).into_owned());
    for name in names.into_iter().rev() {
        let output = String::from_utf8_lossy(name);
        let Some(path) = static_path(ev, &ev.store_path(id), name)? else {
            bail!(
                World,
                "cannot operate on output '{output}' of the unbuilt derivation '{shown}'"
            );
        };
        shown = format!("{shown}^{output}");
        id = ev.path_id(&path);
    }
    Ok((id, last))
}
