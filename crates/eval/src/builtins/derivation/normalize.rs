//! JSON text parsed and printed anew: what Nix does with the attribute `__json`.
//!
//! Compact, with keys in the order of their bytes, and numbers as `toJSON` prints them.

use serde_json::Value as Json;

use crate::builtins::json::{print_float, print_string};
use crate::err;
use crate::error::{Error, Result};

/// Normalizes the text of an object.
pub(super) fn object(text: &[u8]) -> Result<Vec<u8>> {
    let json: Json = serde_json::from_slice(text).map_err(|reason| error(&reason))?;
    if !json.is_object() {
        return Err(error(&"[json.exception.type_error.302] type must be object"));
    }
    let mut out = Vec::with_capacity(text.len());
    print(&json, &mut out);
    Ok(out)
}

fn error(reason: &dyn std::fmt::Display) -> Error {
    err!(Other, "cannot process __json attribute: {reason}")
}

/// Prints a value; the parser has limited how deep it is.
fn print(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => print_float(float, out),
            None => out.extend_from_slice(number.to_string().as_bytes()),
        },
        Json::String(string) => print_string(string.as_bytes(), out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                print(item, out);
            }
            out.push(b']');
        }
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                print_string(key.as_bytes(), out);
                out.push(b':');
                print(value, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_normalized() {
        let text = br#" { "b" : [ 1, 2.50, "\u00e9\u0001\/" ], "a": { } } "#;
        let expected = "{\"a\":{},\"b\":[1,2.5,\"é\\u0001/\"]}";
        assert_eq!(object(text).unwrap(), expected.as_bytes());
        assert!(object(b"[]").is_err());
        assert!(object(b"{").is_err());
    }
}
