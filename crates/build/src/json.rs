//! JSON as Nix prints it into `.attrs.json`: compact, keys sorted, floats in the style of the library
//! that Nix uses (nlohmann's): the shortest digits, an exponent with a sign and two digits.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

/// Prints a value.
pub(crate) fn print(value: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, NixStyle);
    value.serialize(&mut serializer).expect("writing to memory cannot fail");
    String::from_utf8(text).expect("JSON is UTF-8")
}

struct NixStyle;

impl Formatter for NixStyle {
    fn write_f64<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        value: f64,
    ) -> io::Result<()> {
        writer.write_all(float(value).as_bytes())
    }
}

/// The number of decimal digits up to which nlohmann writes no exponent.
const MAX_PLAIN: i32 = 15;
/// The position of the decimal point below which it writes one.
const MIN_PLAIN: i32 = -4;

fn float(value: f64) -> String {
    // Rust prints the shortest digits too, always with one before the point.
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').expect("this form has an exponent");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    // Where the decimal point stands, counted from the first digit.
    let point = exponent + 1;
    let count = i32::try_from(digits.len()).expect("there are at most 17 digits");
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let plain = if value == 0.0 {
        "0.0".to_owned()
    } else if count <= point && point <= MAX_PLAIN {
        format!("{digits}{}.0", zeros(point - count))
    } else if 0 < point && point <= MAX_PLAIN {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{rest}")
    } else if MIN_PLAIN < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    };
    if value.is_sign_negative() { format!("-{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_nix() {
        let text = r#"{"b":[1.0,-2.5,1e30,1e-10,0.001,0.00001,123456789012345.0],"a":1e15,"c":1e16,"d":"é\n","e":0.1,"f":-0.0}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            print(&value),
            "{\"a\":1e+15,\"b\":[1.0,-2.5,1e+30,1e-10,0.001,1e-05,123456789012345.0],\
             \"c\":1e+16,\"d\":\"é\\n\",\"e\":0.1,\"f\":-0.0}"
        );
    }
}
