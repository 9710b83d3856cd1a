//! Reading JSON (RFC 8259) straight into values.
//!
//! A string without escapes is a part of the text that it was read from. Nesting is kept in a vector, so that
//! its depth is no matter. Positions and wording of errors are those of Nix's JSON library, which reports
//! where it stood, not where the token began.

use crate::err;
use crate::error::{Error, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::symbol::Symbol;
use crate::value::{AttrsBuilder, Value};

/// Reads a text that is one JSON value.
pub(super) fn value<'h>(
    ev: &Evaluator<'h>,
    text: &'h [u8],
    pos: Pos,
) -> Result<Value<'h>> {
    let mut reader =
        Reader { ev, pos, text, at: 0, line: 1, line_start: 0, token_start: 0 };
    reader.document()
}

/// What a text consists of.
#[derive(Clone, Copy)]
enum Token<'h> {
    Value(Value<'h>),
    String(&'h [u8]),
    Number(Value<'h>),
    BeginArray,
    BeginObject,
    EndArray,
    EndObject,
    Colon,
    Comma,
    End,
}

impl Token<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Value(Value::Null) => "null literal",
            Self::Value(Value::Bool(true)) => "true literal",
            Self::Value(_) => "false literal",
            Self::String(_) => "string literal",
            Self::Number(_) => "number literal",
            Self::BeginArray => "'['",
            Self::BeginObject => "'{'",
            Self::EndArray => "']'",
            Self::EndObject => "'}'",
            Self::Colon => "':'",
            Self::Comma => "','",
            Self::End => "end of input",
        }
    }
}

/// An array or object whose end was not read yet.
enum Open<'h> {
    // Reading makes values (no evaluation).
    Array(Vec<Value<'h>>),
    // As above (no evaluation).
    Object(Vec<(Symbol, Value<'h>)>, Symbol),
}

struct Reader<'e, 'h> {
    ev: &'e Evaluator<'h>,
    pos: Pos,
    text: &'h [u8],
    /// The next byte; one past the end once the end was read.
    at: usize,
    line: usize,
    line_start: usize,
    /// Where the last string or number began: the library's messages show the text from there on.
    token_start: usize,
}

impl<'h> Reader<'_, 'h> {
    fn document(&mut self) -> Result<Value<'h>> {
        self.byte_order_mark()?;
        let mut open: Vec<Open<'h>> = Vec::new();
        let mut token = self.token("value", "")?;
        loop {
            let mut value = match token {
                Token::BeginArray => {
                    token = self.token("value", "")?;
                    if !matches!(token, Token::EndArray) {
                        open.push(Open::Array(Vec::new()));
                        continue;
                    }
                    self.ev.list(&[])
                }
                Token::BeginObject => {
                    token = self.token("object key", "string literal")?;
                    if !matches!(token, Token::EndObject) {
                        let key = self.key(token)?;
                        open.push(Open::Object(Vec::new(), key));
                        token = self.token("value", "")?;
                        continue;
                    }
                    Value::Attrs(self.ev.empty_attrs())
                }
                Token::Value(value) | Token::Number(value) => value,
                Token::String(bytes) => self.ev.string_of(bytes, &[]),
                other => return self.no_value(other),
            };
            // The value may end arrays and objects, which are values again.
            loop {
                let Some(innermost) = open.last_mut() else { return self.end(value) };
                let ended = match innermost {
                    Open::Array(items) => {
                        items.push(value);
                        self.after_element()?
                    }
                    Open::Object(members, key) => {
                        members.push((*key, value));
                        match self.after_member()? {
                            Some(next_key) => {
                                *key = next_key;
                                false
                            }
                            None => true,
                        }
                    }
                };
                if !ended {
                    token = self.token("value", "")?;
                    break;
                }
                value = self.close(open.pop().expect("there is an innermost one"));
            }
        }
    }

    /// Reads past an element of an array; whether the array ends there.
    fn after_element(&mut self) -> Result<bool> {
        match self.token("array", "']'")? {
            Token::Comma => Ok(false),
            Token::EndArray => Ok(true),
            other => self.unexpected(other, "array", "']'"),
        }
    }

    /// Reads past a member of an object, and the next key if there is one.
    fn after_member(&mut self) -> Result<Option<Symbol>> {
        match self.token("object", "'}'")? {
            Token::Comma => {
                let token = self.token("object key", "string literal")?;
                self.key(token).map(Some)
            }
            Token::EndObject => Ok(None),
            other => self.unexpected(other, "object", "'}'"),
        }
    }

    fn key(&mut self, token: Token<'h>) -> Result<Symbol> {
        let Token::String(name) = token else {
            return self.unexpected(token, "object key", "string literal");
        };
        match self.token("object separator", "':'")? {
            Token::Colon => Ok(self.ev.symbol(name)),
            other => self.unexpected(other, "object separator", "':'"),
        }
    }

    fn close(&self, open: Open<'h>) -> Value<'h> {
        match open {
            Open::Array(items) => self.ev.list(&items),
            Open::Object(members, _) => {
                let mut builder = AttrsBuilder::with_capacity(members.len());
                // Of several members with one name the last counts; of a builder's, the first.
                for (name, value) in members.into_iter().rev() {
                    builder.insert(name, value);
                }
                Value::Attrs(builder.finish(self.ev.heap))
            }
        }
    }

    fn end(&mut self, value: Value<'h>) -> Result<Value<'h>> {
        match self.token("value", "end of input")? {
            Token::End => Ok(value),
            other => self.unexpected(other, "value", "end of input"),
        }
    }

    // ---- tokens ---------------------------------------------------------------------------------

    /// The next byte; none at the end.
    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        if byte == Some(b'\n') {
            self.line += 1;
            self.line_start = self.at;
        }
        byte
    }

    fn byte_order_mark(&mut self) -> Result<()> {
        const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
        if self.text.first() != Some(&MARK[0]) {
            return Ok(());
        }
        for expected in MARK {
            if self.next() != Some(*expected) {
                let message = "invalid BOM; must be 0xEF 0xBB 0xBF if given";
                return self.malformed(message, "value", "");
            }
        }
        Ok(())
    }

    /// Reads a token. What is being parsed and what is expected are for messages.
    fn token(&mut self, context: &str, expected: &str) -> Result<Token<'h>> {
        let byte = loop {
            match self.next() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => {}
                Some(byte) => break byte,
                None => return Ok(Token::End),
            }
        };
        let scanned = match byte {
            b'[' => Ok(Token::BeginArray),
            b']' => Ok(Token::EndArray),
            b'{' => Ok(Token::BeginObject),
            b'}' => Ok(Token::EndObject),
            b':' => Ok(Token::Colon),
            b',' => Ok(Token::Comma),
            b't' => self.literal(b"rue", Value::Bool(true)),
            b'f' => self.literal(b"alse", Value::Bool(false)),
            b'n' => self.literal(b"ull", Value::Null),
            b'"' => {
                self.token_start = self.at - 1;
                let string = self.string();
                match string {
                    Ok(bytes) if bytes.contains(&0) => return Err(nul_error(bytes)),
                    other => other.map(Token::String),
                }
            }
            b'-' | b'0'..=b'9' => {
                self.token_start = self.at - 1;
                match self.number(byte) {
                    Ok(()) => return self.number_value(),
                    Err(message) => Err(message),
                }
            }
            _ => Err("invalid literal"),
        };
        scanned.or_else(|message| self.malformed(message, context, expected))
    }

    fn literal(
        &mut self,
        rest: &[u8],
        value: Value<'h>,
    ) -> std::result::Result<Token<'h>, &'static str> {
        for expected in rest {
            if self.next() != Some(*expected) {
                return Err("invalid literal");
            }
        }
        Ok(Token::Value(value))
    }

    /// Reads a number whose first byte was read.
    fn number(&mut self, first: u8) -> std::result::Result<(), &'static str> {
        let mut first = Some(first);
        if first == Some(b'-') {
            first = self.next();
        }
        match first {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err("invalid number; expected digit after '-'"),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !matches!(self.next(), Some(b'0'..=b'9')) {
                return Err("invalid number; expected digit after '.'");
            }
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            match self.next() {
                Some(b'0'..=b'9') => {}
                Some(b'+' | b'-') => {
                    if !matches!(self.next(), Some(b'0'..=b'9')) {
                        return Err("invalid number; expected digit after exponent sign");
                    }
                }
                _ => {
                    return Err(
                        "invalid number; expected '+', '-', or digit after exponent",
                    );
                }
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    /// The value of the number that was just read.
    fn number_value(&self) -> Result<Token<'h>> {
        let text = std::str::from_utf8(&self.text[self.token_start..self.at])
            .expect("a number is ASCII");
        if !text.contains(['.', 'e', 'E']) {
            if let Ok(int) = text.parse::<i64>() {
                return Ok(Token::Number(Value::Int(int)));
            }
            if text.parse::<u64>().is_ok() {
                return Err(err!(
                    Other,
                    "unsigned json number {text} outside of Nix integer range"
                ));
            }
        }
        let float: f64 =
            text.parse().expect("the grammar of JSON numbers is a part of Rust's");
        if float.is_infinite() {
            let message = format!(
                "[json.exception.out_of_range.406] number overflow parsing '{text}'"
            );
            return Err(self.decoding(message));
        }
        Ok(Token::Number(Value::Float(float)))
    }

    // ---- strings --------------------------------------------------------------------------------

    /// Reads a string whose opening quote was read.
    fn string(&mut self) -> std::result::Result<&'h [u8], &'static str> {
        let start = self.at;
        loop {
            self.plain_bytes();
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => break,
                _ => self.character()?,
            }
        }
        let mut unescaped = self.text[start..self.at].to_vec();
        loop {
            let from = self.at;
            self.plain_bytes();
            unescaped.extend_from_slice(&self.text[from..self.at]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.ev.heap.bytes(&unescaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut unescaped)?;
                }
                _ => {
                    let from = self.at;
                    self.character()?;
                    unescaped.extend_from_slice(&self.text[from..self.at]);
                }
            }
        }
    }

    /// Skips ASCII that stands for itself.
    fn plain_bytes(&mut self) {
        let is_plain =
            |byte: &u8| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\');
        while self.text.get(self.at).is_some_and(is_plain) {
            self.at += 1;
        }
    }

    /// Reads a character beyond ASCII, or fails at what may not be in a string.
    fn character(&mut self) -> std::result::Result<(), &'static str> {
        let Some(lead) = self.next() else {
            return Err("invalid string: missing closing quote");
        };
        let (second, others) = match lead {
            0x00..0x20 => return Err(CONTROL_MESSAGES[usize::from(lead)]),
            0xc2..=0xdf => (0x80..=0xbf, 0),
            0xe0 => (0xa0..=0xbf, 1),
            0xed => (0x80..=0x9f, 1),
            0xe1..=0xef => (0x80..=0xbf, 1),
            0xf0 => (0x90..=0xbf, 2),
            0xf1..=0xf3 => (0x80..=0xbf, 2),
            0xf4 => (0x80..=0x8f, 2),
            _ => return Err(ILL_FORMED),
        };
        if !self.next().is_some_and(|byte| second.contains(&byte)) {
            return Err(ILL_FORMED);
        }
        for _ in 0..others {
            if !self.next().is_some_and(|byte| (0x80..=0xbf).contains(&byte)) {
                return Err(ILL_FORMED);
            }
        }
        Ok(())
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        out.push(match self.next() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let character = self.escaped_character()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("invalid string: forbidden character after backslash"),
        });
        Ok(())
    }

    /// Reads the digits of `\u`, and those of the low surrogate that must follow a high one.
    fn escaped_character(&mut self) -> std::result::Result<char, &'static str> {
        const LONELY_HIGH: &str = "invalid string: surrogate U+D800..U+DBFF must be followed \
                                   by U+DC00..U+DFFF";
        let mut code = self.four_digits()?;
        if (0xd800..0xdc00).contains(&code) {
            if self.next() != Some(b'\\') || self.next() != Some(b'u') {
                return Err(LONELY_HIGH);
            }
            let low = self.four_digits()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(LONELY_HIGH);
            }
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code)
            .ok_or("invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF")
    }

    fn four_digits(&mut self) -> std::result::Result<u32, &'static str> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16
                + digit
                    .ok_or("invalid string: '\\u' must be followed by 4 hex digits")?;
        }
        Ok(code)
    }

    // ---- errors ---------------------------------------------------------------------------------

    fn decoding(&self, message: String) -> Error {
        err!(Other, "{message}").trace(self.pos, "while decoding a JSON string")
    }

    fn syntax_error<T>(&self, problem: &str) -> Result<T> {
        let column = self.at - self.line_start;
        Err(self.decoding(format!(
            "[json.exception.parse_error.101] parse error at line {}, column {column}: {problem}",
            self.line
        )))
    }

    /// Fails at a token that is none.
    fn malformed<T>(&self, message: &str, context: &str, expected: &str) -> Result<T> {
        let end = self.at.min(self.text.len());
        let read = show_raw(&self.text[self.token_start.min(end)..end]);
        let expected = match expected {
            "" => String::new(),
            expected => format!("; expected {expected}"),
        };
        self.syntax_error(&format!(
            "syntax error while parsing {context} - {message}; last read: '{read}'{expected}"
        ))
    }

    /// Fails at a token in a wrong place.
    fn unexpected<T>(
        &self,
        token: Token<'h>,
        context: &str,
        expected: &str,
    ) -> Result<T> {
        self.syntax_error(&format!(
            "syntax error while parsing {context} - unexpected {}; expected {expected}",
            token.name()
        ))
    }

    fn no_value<T>(&self, token: Token<'h>) -> Result<T> {
        if matches!(token, Token::End) && self.at == 1 {
            return self.syntax_error(
                "attempting to parse an empty input; check that your input string or stream \
                 contains the expected JSON",
            );
        }
        self.unexpected(token, "value", "'[', '{', or a literal")
    }
}

const ILL_FORMED: &str = "invalid string: ill-formed UTF-8 byte";

/// Text as the library shows it: control characters by their numbers.
fn show_raw(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        match u32::from(character) {
            code @ 0..0x20 => shown.push_str(&format!("<U+{code:04X}>")),
            _ => shown.push(character),
        }
    }
    shown
}

/// The error for a string that Nix cannot represent.
pub(in crate::builtins) fn nul_error(bytes: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(bytes).replace('\0', "␀");
    err!(
        Other,
        "input string '{shown}' cannot be represented as Nix string because it contains null bytes"
    )
}

/// Defines the messages for control characters: number, name, and the short escape if there is one.
macro_rules! control_messages {
    ($($code:literal $name:literal $(or $short:literal)?),* $(,)?) => {
        [$(concat!(
            "invalid string: control character U+", $code, " (", $name, ") must be escaped to \\u",
            $code $(, " or ", $short)?
        )),*]
    };
}

/// Why a control character may not be in a string.
const CONTROL_MESSAGES: [&str; 32] = control_messages![
    "0000" "NUL", "0001" "SOH", "0002" "STX", "0003" "ETX", "0004" "EOT", "0005" "ENQ",
    "0006" "ACK", "0007" "BEL", "0008" "BS" or "\\b", "0009" "HT" or "\\t",
    "000A" "LF" or "\\n", "000B" "VT", "000C" "FF" or "\\f", "000D" "CR" or "\\r",
    "000E" "SO", "000F" "SI", "0010" "DLE", "0011" "DC1", "0012" "DC2", "0013" "DC3",
    "0014" "DC4", "0015" "NAK", "0016" "SYN", "0017" "ETB", "0018" "CAN", "0019" "EM",
    "001A" "SUB", "001B" "ESC", "001C" "FS", "001D" "GS", "001E" "RS", "001F" "US",
];
