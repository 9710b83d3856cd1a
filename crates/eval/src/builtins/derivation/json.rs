//! Structured attributes as JSON: the text that stands in the `.drv` file, byte for byte as Nix writes it.
//!
//! Compact, keys in the order of their bytes, strings as they are but for `"`, `\` and control characters,
//! numbers as the JSON library of C++ Nix prints them.

use crate::coerce::Coercion;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{Attrs, ContextElement, List, Value};
use crate::{bail, err};

/// The most digits that a number with an integral part is printed with before it gets an exponent.
const MAX_DIGITS: i32 = 15;
/// The position of the decimal point below which a small number gets an exponent.
const MIN_POINT: i32 = -4;

/// Writes a value, evaluated to its depths, and notes what its strings depend on. Paths are copied to the store.
pub(super) fn write_value<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    context: &mut Vec<ContextElement>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let _call = ev.enter_call(Pos::NONE)?;
    ev.with_stack(|| match ev.force(value)? {
        Value::Null => write(out, "null"),
        Value::Bool(bool) => write(out, if bool { "true" } else { "false" }),
        Value::Int(int) => write(out, &int.to_string()),
        Value::Float(float) => write(out, &float_text(float)),
        value @ (Value::String(_) | Value::Path(_)) => {
            write_text(ev, value, context, out)
        }
        Value::List(list) => write_list(ev, list, context, out),
        Value::Attrs(attrs) => write_attrs(ev, attrs, context, out),
        other => bail!(Type, "cannot convert {} to JSON", other.type_phrase()),
    })
}

fn write(out: &mut Vec<u8>, text: &str) -> Result<()> {
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_text<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    context: &mut Vec<ContextElement>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let text = ev.coerce_to_string(value, Pos::NONE, Coercion::INTERPOLATION, "")?;
    context.extend_from_slice(text.context);
    write_string(text.bytes, out)
}

fn write_list<'h>(
    ev: &Evaluator<'h>,
    list: &'h List<'h>,
    context: &mut Vec<ContextElement>,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'[');
    for (index, element) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_value(ev, element, context, out).trace(Pos::NONE, || {
            format!("while evaluating list element at index {index}")
        })?;
    }
    out.push(b']');
    Ok(())
}

/// A set that says how it becomes a string is that string; one with `outPath` is what that is.
fn write_attrs<'h>(
    ev: &Evaluator<'h>,
    attrs: &'h Attrs<'h>,
    context: &mut Vec<ContextElement>,
    out: &mut Vec<u8>,
) -> Result<()> {
    if attrs.get(sym::TO_STRING).is_some() {
        let (value, how) = (Value::Attrs(attrs), Coercion::STRING);
        let text = ev.coerce_to_string(value, Pos::NONE, how, "")?;
        context.extend_from_slice(text.context);
        return write_string(text.bytes, out);
    }
    if let Some(out_path) = attrs.get(sym::OUT_PATH) {
        return write_value(ev, out_path.get(), context, out);
    }
    out.push(b'{');
    for (index, attr) in ev.sorted_by_name(attrs).into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(ev.symbols.name(attr.name), out)?;
        out.push(b':');
        write_value(ev, attr.slot.get(), context, out).trace(attr.pos, || {
            format!("while evaluating attribute '{}'", ev.show_name(attr.name))
        })?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes a string in quotes, which must be UTF-8.
pub(super) fn write_string(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        err!(
            Other,
            "[json.exception.type_error.316] invalid UTF-8 byte at index {at}: 0x{:02X}",
            bytes[at]
        )
    })?;
    serde_json::to_writer(out, text)
        .map_err(|error| err!(Other, "JSON serialization error: {error}"))
}

/// A number with the fewest digits that read back as the same double; no number at all is `null`.
fn float_text(float: f64) -> String {
    if !float.is_finite() {
        return "null".to_owned();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Where the decimal point stands, counted from the first digit.
    let point = exponent + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if length <= point && point <= MAX_DIGITS {
        return format!("{sign}{digits}{}.0", zeros(point - length));
    }
    if 0 < point && point <= MAX_DIGITS {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        return format!("{sign}{whole}.{rest}");
    }
    if MIN_POINT < point && point <= 0 {
        return format!("{sign}0.{}{digits}", zeros(-point));
    }
    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{rest}e{exponent_sign}{:02}", exponent.unsigned_abs())
}

/// Parses an object and prints it anew, as Nix does with the attribute `__json`.
pub(super) fn normalize_object(text: &[u8]) -> Result<Vec<u8>> {
    use serde_json::Value as Json;
    fn print(value: &Json, out: &mut Vec<u8>) -> Result<()> {
        match value {
            Json::Null => write(out, "null"),
            Json::Bool(bool) => write(out, if *bool { "true" } else { "false" }),
            Json::Number(number) if number.is_f64() => {
                write(out, &float_text(number.as_f64().unwrap_or(f64::NAN)))
            }
            Json::Number(number) => write(out, &number.to_string()),
            Json::String(string) => write_string(string.as_bytes(), out),
            Json::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    print(item, out)?;
                }
                out.push(b']');
                Ok(())
            }
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| key.as_bytes());
                out.push(b'{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(key.as_bytes(), out)?;
                    out.push(b':');
                    print(value, out)?;
                }
                out.push(b'}');
                Ok(())
            }
        }
    }
    let error = |reason: &dyn std::fmt::Display| {
        err!(Other, "cannot process __json attribute: {reason}")
    };
    let json: Json = serde_json::from_slice(text).map_err(|reason| error(&reason))?;
    if !json.is_object() {
        return Err(error(&"it is no object"));
    }
    let mut out = Vec::with_capacity(text.len());
    print(&json, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_nix_does() {
        for (float, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345.0"),
            (1e15, "1e+15"),
            (1.25e22, "1.25e+22"),
            (1e100, "1e+100"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(float_text(float), expected);
        }
    }

    #[test]
    fn objects_are_normalized() {
        let text = br#" { "b" : [ 1, 2.50, "\u00e9\u0001\/" ], "a": { } } "#;
        let expected = "{\"a\":{},\"b\":[1,2.5,\"é\\u0001/\"]}";
        assert_eq!(normalize_object(text).unwrap(), expected.as_bytes());
        assert!(normalize_object(b"[]").is_err());
        assert!(normalize_object(b"{").is_err());
    }
}
