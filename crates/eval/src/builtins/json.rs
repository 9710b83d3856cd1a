//! JSON: `toJSON` and `fromJSON`.
//!
//! The writer goes straight to bytes and the reader straight to values. Both have the wording of Nix's JSON
//! library in their errors, and its layout of floats.

mod float;
mod read;

pub(super) use self::float::print as print_float;
pub(super) use self::read::nul_error;

use super::{Builtin, Forcing, Scope};
use crate::coerce::Coercion;
use crate::error::{At, Error, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{Attrs, ContextElement, Value};
use crate::{bail, err, sym};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "toJSON",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "*e* as JSON. A derivation becomes its output path, a path is copied to the \
              store, and what has `__toString` becomes that string.",
        function: to_json,
    },
    Builtin {
        name: "fromJSON",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "The value that a JSON text stands for.",
        function: from_json,
    },
];

fn from_json<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.fromJSON";
    read::value(ev, ev.expect_plain_string(args[0], pos, doing)?, pos)
}

fn to_json<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let style = (PathMode::CopyToStore, Forcing::Deep);
    super::written(ev, |context| write(ev, args[0], pos, style, context))
}

/// What becomes of paths in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PathMode {
    /// They are copied to the store, and written as store paths.
    CopyToStore,
    /// They are written as they are.
    Plain,
}

/// Writes a value as JSON. What its strings depend on is added to `context`.
///
/// # Errors
/// The value cannot be evaluated, or has a function in it, or a string that is not UTF-8.
pub fn write<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    (paths, forcing): (PathMode, Forcing),
    context: &mut Vec<ContextElement>,
) -> Result<Vec<u8>> {
    let mut writer =
        Writer { ev, paths, forcing, context, out: Vec::new(), bad_string: None };
    writer.value(value, pos)?;
    // Nix prints only what it has evaluated as a whole, so an error of evaluation comes first.
    match writer.bad_string {
        Some(error) => Err(error),
        None => Ok(writer.out),
    }
}

struct Writer<'e, 'h> {
    ev: &'e Evaluator<'h>,
    paths: PathMode,
    forcing: Forcing,
    context: &'e mut Vec<ContextElement>,
    out: Vec<u8>,
    /// The error of the first string that is not UTF-8.
    bad_string: Option<Error>,
}

impl<'h> Writer<'_, 'h> {
    fn value(&mut self, value: Value<'h>, pos: Pos) -> Result<()> {
        let value = match self.forcing {
            Forcing::Deep => self.ev.force(value)?,
            Forcing::Nothing => value.peek(),
        };
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Int(int) => self.out.extend_from_slice(int.to_string().as_bytes()),
            Value::Float(float) => float::print(float, &mut self.out),
            Value::String(string) => {
                self.context.extend_from_slice(string.context);
                self.string(string.bytes);
            }
            Value::Path(path) if self.paths == PathMode::CopyToStore => {
                let id = self.ev.copy_path_to_store(path.bytes, pos)?;
                self.context.push(ContextElement::Opaque(id));
                self.string(self.ev.print_store_path(id));
            }
            Value::Path(path) => self.string(path.bytes),
            Value::Attrs(attrs) => {
                let (ev, _call) = (self.ev, self.ev.enter_call(pos)?);
                ev.with_stack(|| self.attrs(attrs, pos))?;
            }
            Value::List(list) => {
                let (ev, _call) = (self.ev, self.ev.enter_call(pos)?);
                ev.with_stack(|| {
                    self.out.push(b'[');
                    let visit = ev.visiting(|| list.iter());
                    for (index, slot) in list.items.iter().enumerate() {
                        visit.at(index);
                        if index > 0 {
                            self.out.push(b',');
                        }
                        self.value(slot.get(), pos).trace(pos, || {
                            format!("while evaluating list element at index {index}")
                        })?;
                    }
                    self.out.push(b']');
                    Ok(())
                })?;
            }
            other @ (Value::Lambda(_)
            | Value::Builtin(_)
            | Value::Partial(_)
            | Value::Thunk(_)) => {
                let pos = match other {
                    Value::Lambda(closure) => closure.lambda.pos,
                    _ => pos,
                };
                bail!(pos => Type, "cannot convert {} to JSON", other.type_phrase())
            }
        }
        Ok(())
    }

    fn attrs(&mut self, attrs: &'h Attrs<'h>, pos: Pos) -> Result<()> {
        if let Some(to_string) = attrs.get(sym::TO_STRING) {
            let called = self.ev.call(to_string.get(), &[Value::Attrs(attrs)], pos)?;
            let doing = "while evaluating the result of the `__toString` attribute";
            let string =
                self.ev.coerce_to_string(called, pos, Coercion::STRING, doing)?;
            self.context.extend_from_slice(string.context);
            self.string(string.bytes);
            return Ok(());
        }
        if let Some(out_path) = attrs.get_attr(sym::OUT_PATH) {
            return self.value(out_path.slot.get(), out_path.pos);
        }
        self.out.push(b'{');
        let sorted = self.ev.sorted_by_name(attrs);
        let visit = self.ev.visiting(|| sorted.iter().map(|attr| attr.slot.get()));
        for (index, attr) in sorted.into_iter().enumerate() {
            visit.at(index);
            if index > 0 {
                self.out.push(b',');
            }
            self.string(self.ev.symbols.name(attr.name));
            self.out.push(b':');
            self.value(attr.slot.get(), attr.pos).trace(attr.pos, || {
                format!(
                    "while evaluating attribute '{}'",
                    self.ev.symbols.shown(attr.name)
                )
            })?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        if self.bad_string.is_none()
            && let Err(error) = check_utf8(bytes)
        {
            self.bad_string = Some(error);
        }
        print_string(bytes, &mut self.out);
    }
}

/// Prints a string in quotes.
pub(super) fn print_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\t' => "\\t",
            b'\r' => "\\r",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..0x20 => &format!("\\u{byte:04x}"),
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..index]);
        out.extend_from_slice(escape.as_bytes());
        plain = index + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Fails as Nix's JSON library does where a string is not UTF-8.
pub(super) fn check_utf8(bytes: &[u8]) -> Result<()> {
    let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
    let start = error.valid_up_to();
    let Some(length) = error.error_len() else {
        let last = bytes[bytes.len() - 1];
        bail!(
            Other,
            "JSON serialization error: [json.exception.type_error.316] incomplete UTF-8 string; \
             last byte: 0x{last:02X}"
        );
    };
    // The library names the byte that cannot follow, not the one that began the character.
    let is_lead = (0xc2..0xf5).contains(&bytes[start]);
    let index = if is_lead { start + length } else { start };
    Err(err!(
        Other,
        "JSON serialization error: [json.exception.type_error.316] invalid UTF-8 byte at index \
         {index}: 0x{:02X}",
        bytes[index]
    ))
}
