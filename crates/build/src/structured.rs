//! Structured attributes as a builder finds them: `.attrs.json` and `.attrs.sh`.
//!
//! The rules are Nix's (`libstore/parsed-derivations.cc`), oddities included: numbers reach the
//! shell only where they are whole, as 32-bit integers, and `true` is `1`, `false` is empty.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The text of `.attrs.sh`: what of the attributes a shell can declare.
pub(crate) fn shell_text(attrs: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in attrs {
        if !is_variable_name(name) {
            continue;
        }
        if let Some(declaration) = declaration(name, value) {
            writeln!(text, "{declaration}").expect("writing to a string cannot fail");
        }
    }
    text
}

fn declaration(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => {
            let mut list = String::new();
            for item in items {
                write!(list, "{} ", simple(item)?)
                    .expect("writing to a string cannot fail");
            }
            Some(format!("declare -a {name}=({list})"))
        }
        Value::Object(fields) => {
            let mut list = String::new();
            for (key, field) in fields {
                let (key, field) = (shell_quote(key), simple(field)?);
                write!(list, "[{key}]={field} ")
                    .expect("writing to a string cannot fail");
            }
            Some(format!("declare -A {name}=({list})"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Some(format!("declare {name}={}", simple(value)?))
        }
    }
}

fn simple(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(shell_quote(text)),
        Value::Number(number) => whole(number).map(|number| number.to_string()),
        Value::Null => Some("''".to_owned()),
        Value::Bool(true) => Some("1".to_owned()),
        Value::Bool(false) => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number as the 32-bit integer that Nix makes of it, if it is whole.
fn whole(number: &serde_json::Number) -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "Nix truncates here")]
    if let Some(number) = number.as_i64() {
        Some(number as i32)
    } else if let Some(number) = number.as_u64() {
        Some(number as i32)
    } else {
        let number = number.as_f64()?;
        // Nix looks at the number in single precision.
        let single = number as f32;
        let is_small = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
        // The processor's answer to a conversion that cannot be done.
        let truncated = if is_small { number as i32 } else { i32::MIN };
        (single.ceil() == single).then_some(truncated)
    }
}

/// A text as one word of a shell.
#[must_use]
pub fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_gets_what_it_can_hold() {
        let text = r#"{
            "array": ["a", 1, true, null], "deep": [["x"]], "false": false, "float": 1.5, "huge": 1e30,
            "it's": 1, "map": {"k'": "v", "n": 2}, "mixed": {"a": {}}, "null": null,
            "number": 42, "round": 2.0, "string": "it's", "true": true
        }"#;
        let attrs = serde_json::from_str(text).unwrap();
        assert_eq!(
            shell_text(&attrs),
            "declare -a array=('a' 1 1 '' )\n\
             declare false=\n\
             declare huge=-2147483648\n\
             declare -A map=(['k'\\''']='v' ['n']=2 )\n\
             declare null=''\n\
             declare number=42\n\
             declare round=2\n\
             declare string='it'\\''s'\n\
             declare true=1\n"
        );
    }
}
