//! Reading `flake.nix`: what it says of itself and of its inputs, without evaluating anything.
//!
//! Inputs must be literals, because locking must not depend on evaluation. Of what is written there only sets,
//! lists, functions and constants are looked at; anything else is "a thunk", as in Nix.

use std::collections::BTreeMap;

use super::super::lockfile::InputPath;
use super::super::reference::RefForm;
use super::super::{FlakeRef, InputAttrs, InputValue, RefError};
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::expr::{ExprKind, Parameter};
use crate::pos::Pos;
use crate::source::Origin;
use crate::value::{Attr, Attrs, Value};
use crate::{bail, err};

/// The inputs of a flake by name.
pub(super) type FlakeInputs = BTreeMap<String, FlakeInput>;

/// An input as a flake writes it.
#[derive(Clone, Debug)]
pub(super) struct FlakeInput {
    /// Where it comes from; none if only parts of it are overridden, or it is named like its registry entry.
    pub(super) reference: Option<FlakeRef>,
    /// Whether it is a flake, rather than any tree.
    pub(super) is_flake: bool,
    /// The input that it is the same as.
    pub(super) follows: Option<InputPath>,
    /// What its own inputs shall be.
    pub(super) overrides: FlakeInputs,
}

impl Default for FlakeInput {
    fn default() -> Self {
        Self {
            reference: None,
            is_flake: true,
            follows: None,
            overrides: FlakeInputs::new(),
        }
    }
}

/// A flake that was read.
pub(super) struct Flake {
    pub(super) resolved: FlakeRef,
    pub(super) locked: FlakeRef,
    /// Its directory in the store.
    pub(super) dir: String,
    pub(super) description: Option<String>,
    pub(super) inputs: FlakeInputs,
    /// `inputs.self`: how the flake itself is to be fetched.
    pub(super) self_attrs: InputAttrs,
}

/// An input that is only a name.
pub(super) fn indirect(name: &str) -> std::result::Result<FlakeRef, RefError> {
    FlakeRef::from_attrs(InputAttrs::from([
        ("type".to_owned(), InputValue::Text("indirect".to_owned())),
        ("id".to_owned(), InputValue::Text(name.to_owned())),
    ]))
}

impl<'h> Evaluator<'h> {
    /// Reads the `flake.nix` in a directory of the store. Paths that it follows begin with `lock_root`.
    pub(super) fn read_flake(
        &self,
        dir: &str,
        reference: &FlakeRef,
        lock_root: &InputPath,
    ) -> Result<Flake> {
        let path = format!("{dir}/flake.nix");
        let Some(attrs) = self.import_literal_set(self.heap.bytes(path.as_bytes()))?
        else {
            bail!(Type, "file '{path}' must be an attribute set");
        };
        let mut flake = Flake {
            resolved: reference.clone(),
            locked: reference.clone(),
            dir: dir.to_owned(),
            description: None,
            inputs: FlakeInputs::new(),
            self_attrs: InputAttrs::new(),
        };
        let shown = reference.show();
        let reader = Reader { ev: self, lock_root, dir };
        let attr = |name: &str| attrs.get_attr(self.symbol(name.as_bytes()));
        if let Some(description) = attr("description") {
            flake.description = Some(reader.text(description)?);
        }
        if let Some(inputs) = attr("inputs") {
            (flake.inputs, flake.self_attrs) =
                reader.inputs(reader.attrs(inputs)?, SelfInput::Allowed)?;
        }
        let Some(outputs) = attr("outputs") else {
            bail!(Other, "flake '{shown}' lacks attribute 'outputs'");
        };
        reader.add_formals(outputs, &mut flake.inputs)?;
        if let Some(settings) = attr("nixConfig") {
            reader.check_settings(reader.attrs(settings)?)?;
        }
        for attr in self.sorted_by_name(attrs) {
            let name = self.symbols.text(attr.name);
            if !["description", "inputs", "outputs", "nixConfig"].contains(&&*name) {
                let place = reader.place(attr.pos);
                bail!(
                    Other,
                    "flake '{shown}' has an unsupported attribute '{name}', at {place}"
                );
            }
        }
        Ok(flake)
    }
}

/// Whether `inputs` may have `self`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SelfInput {
    Allowed,
    Forbidden,
}

struct Reader<'r, 'h> {
    ev: &'r Evaluator<'h>,
    lock_root: &'r InputPath,
    dir: &'r str,
}

impl<'h> Reader<'_, 'h> {
    /// The arguments that `outputs` takes by name and `inputs` does not mention.
    fn add_formals(&self, outputs: Attr<'h>, inputs: &mut FlakeInputs) -> Result<()> {
        let value = self.literal(outputs)?;
        match value {
            Some(Value::Lambda(closure)) => {
                let Parameter::Formals(formals) = &closure.lambda.parameter else {
                    return Ok(());
                };
                for formal in formals.formals {
                    let name = self.ev.symbols.text(formal.name);
                    if name != "self" && !inputs.contains_key(&name) {
                        let reference = Some(FlakeRef::parse(&name, RefForm::ABSOLUTE)?);
                        inputs.insert(
                            name,
                            FlakeInput { reference, ..FlakeInput::default() },
                        );
                    }
                }
                Ok(())
            }
            Some(Value::Builtin(_) | Value::Partial(_)) => Ok(()),
            other => Err(self.unexpected("a function", other, outputs.pos)),
        }
    }

    /// `nixConfig` has strings, paths, numbers, Booleans and lists of strings, written out. picnix lets no flake
    /// change its settings.
    fn check_settings(&self, attrs: &'h Attrs<'h>) -> Result<()> {
        for attr in self.ev.sorted_by_name(attrs) {
            let name = self.ev.symbols.text(attr.name);
            let value = self.literal(attr)?;
            match value {
                Some(
                    Value::String(_) | Value::Path(_) | Value::Int(_) | Value::Bool(_),
                ) => {}
                Some(Value::List(list)) => {
                    let mut items = list.iter().map(|item| item.peek());
                    if !items.all(|item| matches!(item, Value::String(_))) {
                        bail!(
                            Type,
                            "list element in flake configuration setting '{name}' is {} while a \
                             string is expected",
                            phrase(value)
                        );
                    }
                }
                other => {
                    bail!(
                        Type,
                        "flake configuration setting '{name}' is {}",
                        phrase(other)
                    );
                }
            }
        }
        Ok(())
    }

    fn inputs(
        &self,
        attrs: &'h Attrs<'h>,
        self_input: SelfInput,
    ) -> Result<(FlakeInputs, InputAttrs)> {
        let mut inputs = FlakeInputs::new();
        let mut self_attrs = InputAttrs::new();
        for attr in self.ev.sorted_by_name(attrs) {
            let name = self.ev.symbols.text(attr.name);
            if name != "self" {
                inputs.insert(name, self.input(attr)?);
                continue;
            }
            if self_input == SelfInput::Forbidden {
                bail!(
                    Other,
                    "'self' input attribute not allowed at {}",
                    self.place(attr.pos)
                );
            }
            for attr in self.ev.sorted_by_name(self.attrs(attr)?) {
                let (name, value) = self.attribute(attr)?;
                self_attrs.insert(name, value);
            }
        }
        Ok((inputs, self_attrs))
    }

    fn input(&self, attr: Attr<'h>) -> Result<FlakeInput> {
        let mut input = FlakeInput::default();
        let mut attrs = InputAttrs::new();
        let mut url = None;
        for member in self.ev.sorted_by_name(self.attrs(attr)?) {
            let name = self.ev.symbols.text(member.name);
            let doing = || format!("while evaluating flake attribute '{name}'");
            match &*name {
                "url" => {
                    let text = self.url(member).trace(member.pos, doing)?;
                    attrs.insert(name.clone(), InputValue::Text(text.clone()));
                    url = Some(text);
                }
                "flake" => match self.literal(member)? {
                    Some(Value::Bool(bool)) => input.is_flake = bool,
                    other => {
                        let error = self.unexpected("a Boolean", other, member.pos);
                        return Err(error).trace(member.pos, doing);
                    }
                },
                "inputs" => {
                    let nested = self.attrs(member).trace(member.pos, doing)?;
                    input.overrides = self
                        .inputs(nested, SelfInput::Forbidden)
                        .trace(member.pos, doing)?
                        .0;
                }
                "follows" => {
                    let path = self.text(member).trace(member.pos, doing)?;
                    input.follows = Some(self.follows(&path).trace(member.pos, doing)?);
                }
                _ => {
                    let (name, value) =
                        self.attribute(member).trace(member.pos, doing)?;
                    attrs.insert(name, value);
                }
            }
        }
        if attrs.contains_key("type") {
            let parsed = FlakeRef::from_attrs(attrs).map_err(crate::Error::from);
            input.reference =
                Some(parsed.trace(attr.pos, || "while evaluating flake input")?);
        } else {
            attrs.remove("url");
            if let Some(name) = attrs.keys().next() {
                let place = self.place(attr.pos);
                bail!(Other, "unexpected flake input attribute '{name}', at {place}");
            }
            let form = RefForm { is_flake: input.is_flake, keep_relative: true };
            input.reference = url.map(|url| FlakeRef::parse(&url, form)).transpose()?;
        }
        if input.reference.is_some() && input.follows.is_some() {
            bail!(
                Other,
                "flake input has both a flake reference and a follows attribute, at {}",
                self.place(attr.pos)
            );
        }
        Ok(input)
    }

    fn url(&self, attr: Attr<'h>) -> Result<String> {
        match self.literal(attr)? {
            Some(Value::String(string)) => Ok(string.to_string_lossy().into_owned()),
            Some(Value::Path(path)) => {
                let text = String::from_utf8_lossy(path.bytes);
                match relative_to(&text, self.dir) {
                    Some(relative) => Ok(format!("path:{relative}")),
                    None => bail!(
                        Other,
                        "input attribute path '{text}' at {} must be in the same source tree as {}",
                        self.place(attr.pos),
                        self.dir
                    ),
                }
            }
            other => Err(self.unexpected("a string or a path", other, attr.pos)),
        }
    }

    fn follows(&self, text: &str) -> Result<InputPath> {
        let mut path = self.lock_root.clone();
        for name in text.split('/').filter(|name| !name.is_empty()) {
            if !super::super::input::is_flake_id(name) {
                bail!(Other, "invalid flake input attribute path element '{name}'");
            }
            path.push(name.to_owned());
        }
        Ok(path)
    }

    fn attribute(&self, attr: Attr<'h>) -> Result<(String, InputValue)> {
        let name = self.ev.symbols.text(attr.name);
        let value = match self.literal(attr)? {
            Some(Value::String(string)) => {
                InputValue::Text(string.to_string_lossy().into_owned())
            }
            Some(Value::Bool(bool)) => InputValue::Bool(bool),
            Some(Value::Int(int)) => match u64::try_from(int) {
                Ok(number) => InputValue::Number(number),
                Err(_) => {
                    bail!(
                        Other,
                        "negative value given for flake input attribute {name}: {int}"
                    )
                }
            },
            other => bail!(
                Type,
                "flake input attribute '{name}' is {} while a string, Boolean, or integer is expected",
                phrase(other)
            ),
        };
        Ok((name, value))
    }

    fn text(&self, attr: Attr<'h>) -> Result<String> {
        match self.literal(attr)? {
            Some(Value::String(string)) => Ok(string.to_string_lossy().into_owned()),
            other => Err(self.unexpected("a string", other, attr.pos)),
        }
    }

    fn attrs(&self, attr: Attr<'h>) -> Result<&'h Attrs<'h>> {
        match self.literal(attr)? {
            Some(Value::Attrs(attrs)) => Ok(attrs),
            other => Err(self.unexpected("a set", other, attr.pos)),
        }
    }

    /// The value of what is written out; nothing for what would have to be computed.
    fn literal(&self, attr: Attr<'h>) -> Result<Option<Value<'h>>> {
        let value = attr.slot.get().peek();
        let Value::Thunk(thunk) = value else { return Ok(Some(value)) };
        let is_literal = match thunk.suspends().map(|expr| expr.kind) {
            Some(ExprKind::Attrs(bindings)) => bindings.dynamic.is_empty(),
            Some(ExprKind::List(_) | ExprKind::Lambda(_) | ExprKind::Const(_)) => true,
            _ => false,
        };
        if is_literal { self.ev.force_slot(attr.slot).map(Some) } else { Ok(None) }
    }

    fn unexpected(
        &self,
        expected: &str,
        found: Option<Value<'h>>,
        pos: Pos,
    ) -> crate::Error {
        let place = self.place(pos);
        err!(Type, "expected {expected} but got {} at {place}", phrase(found)).at(pos)
    }

    fn place(&self, pos: Pos) -> String {
        match self.ev.sources.place(pos) {
            Some(place) => {
                let file = match place.origin {
                    Origin::File(path) => String::from_utf8_lossy(path).into_owned(),
                    _ => "«string»".to_owned(),
                };
                format!("{file}:{}:{}", place.line, place.column)
            }
            None => "«none»".to_owned(),
        }
    }
}

fn phrase(value: Option<Value<'_>>) -> String {
    value.map_or_else(|| "a thunk".to_owned(), Value::type_phrase)
}

/// A path as it is seen from a directory: `../x`; nothing if they share only the root.
fn relative_to(path: &str, dir: &str) -> Option<String> {
    let (path, dir): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), dir.split('/').collect());
    let shared = path.iter().zip(&dir).take_while(|(a, b)| a == b).count();
    // The empty part before the root, and the store's directory and object.
    if shared < 4 {
        return None;
    }
    let mut parts = vec![".."; dir.len() - shared];
    parts.extend(&path[shared..]);
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_a_directory() {
        let relative = |path, dir| relative_to(path, dir).unwrap();
        assert_eq!(relative("/nix/store/x/a", "/nix/store/x"), "a");
        assert_eq!(relative("/nix/store/x/a", "/nix/store/x/b/c"), "../../a");
        assert_eq!(relative("/nix/store/x", "/nix/store/x"), ".");
        assert!(relative_to("/etc/x", "/nix/store/x").is_none());
    }
}
