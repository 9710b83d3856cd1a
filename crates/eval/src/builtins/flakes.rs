//! Builtins about flakes and references to them.

use super::{Builtin, Scope};
use crate::bail;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::flake::{FlakeRef, Input, InputAttrs, InputValue, LockFlags, RefForm};
use crate::pos::Pos;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "getFlake",
        parameters: &["args"],
        scope: Scope::Prefixed,
        doc: "Fetches a flake by its reference and returns its outputs and what is known of it. In pure \
              mode the reference must be locked.",
        function: get_flake,
    },
    Builtin {
        name: "parseFlakeRef",
        parameters: &["flake-ref"],
        scope: Scope::Prefixed,
        doc: "Takes a flake reference apart: `github:a/b` is `{ type = \"github\"; owner = \"a\"; repo = \
              \"b\"; }`.",
        function: parse_flake_ref,
    },
    Builtin {
        name: "flakeRefToString",
        parameters: &["attrs"],
        scope: Scope::Prefixed,
        doc: "Puts a flake reference together from its attributes, the reverse of `parseFlakeRef`.",
        function: flake_ref_to_string,
    },
];

/// Fetches what a lock file names; no part of the set `builtins`.
pub(crate) static FETCH_FINAL_TREE: Builtin = Builtin {
    name: "fetchFinalTree",
    parameters: &["input"],
    scope: Scope::Prefixed,
    doc: "Fetches the tree of an entry of a lock file.",
    function: fetch_final_tree,
};

fn get_flake<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.getFlake";
    let text = String::from_utf8_lossy(ev.expect_plain_string(args[0], pos, doing)?);
    let reference = FlakeRef::parse(&text, RefForm::ABSOLUTE)?;
    let pure = ev.settings.pure;
    if pure && !reference.input.is_locked() {
        bail!(
            pos => World,
            "cannot call 'getFlake' on unlocked flake reference '{text}' (use --impure to override)"
        );
    }
    ev.check_uri(&reference.show(), pos)?;
    let flags = LockFlags { only_locked: pure, ..LockFlags::default() };
    let mut locked = ev.lock_flake(&reference, &flags).at(pos)?;
    if locked.needs_writing() {
        ev.warn(&format!(
            "not writing modified lock file of flake '{}':\n{}",
            reference.show(),
            locked.file.changes_since(&locked.old).trim_end()
        ));
        locked.is_changed = true;
    }
    ev.call_flake(&locked)
}

fn parse_flake_ref<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.parseFlakeRef";
    let text = String::from_utf8_lossy(ev.expect_plain_string(args[0], pos, doing)?);
    let reference = FlakeRef::parse(&text, RefForm::ABSOLUTE)?;
    Ok(ev.input_value(&reference.to_attrs()))
}

fn flake_ref_to_string<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.flakeRefToString";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let mut found = InputAttrs::new();
    for attr in ev.sorted_by_name(attrs) {
        let name = ev.symbols.text(attr.name);
        let value = match ev.force_slot(attr.slot)? {
            Value::String(string) => {
                InputValue::Text(string.to_string_lossy().into_owned())
            }
            Value::Bool(bool) => InputValue::Bool(bool),
            Value::Int(int) => match u64::try_from(int) {
                Ok(number) => InputValue::Number(number),
                Err(_) => {
                    bail!(pos => Other, "negative value given for flake ref attr {name}: {int}")
                }
            },
            other => bail!(
                pos => Other,
                "flake reference attribute sets may only contain integers, Booleans, and strings, \
                 but attribute '{name}' is {}",
                other.type_phrase()
            ),
        };
        found.insert(name, value);
    }
    let url = FlakeRef::from_attrs(found)?.to_url()?;
    Ok(ev.string(url.to_string().as_bytes()))
}

fn fetch_final_tree<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let attrs = super::fetch::input_attrs(ev, args[0], pos, "fetchTree")?;
    let mut input = Input::from_attrs(attrs)?;
    ev.check_uri(&input.show(), pos)?;
    input.set_final();
    let fetched = ev.fetch_tree(&input, pos)?;
    ev.tree_value(&fetched.path, &fetched.locked, crate::flake::TreeShape::default())
}
