//! The lexical part of TOML 1.0: keys, strings, numbers, dates and times.

use std::borrow::Cow;

use crate::value::Heap;

/// A value that has no parts.
pub(super) enum Scalar<'h> {
    Bool(bool),
    Int(i64),
    Float(f64),
    String(&'h [u8]),
    /// A date, a time or both, in the one form that Nix gives them.
    Time(String),
}

/// Why a text is no TOML, and where.
pub(super) struct Problem {
    message: String,
    at: usize,
    /// What stands at the place.
    label: &'static str,
    /// Lines after the excerpt.
    hints: &'static str,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, at: usize) -> Self {
        Self { message: message.into(), at, label: "here", hints: "" }
    }

    fn label(self, label: &'static str) -> Self {
        Self { label, ..self }
    }

    fn hints(self, hints: &'static str) -> Self {
        Self { hints, ..self }
    }

    /// The message with the line that it is about.
    pub(super) fn report(&self, text: &[u8]) -> String {
        let at = self.at.min(text.len());
        let number = 1 + text[..at].iter().filter(|byte| **byte == b'\n').count();
        let start =
            text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let length = text[start..].iter().position(|byte| *byte == b'\n');
        let line = &text[start..start + length.unwrap_or(text.len() - start)];
        let line = shown(line.strip_suffix(b"\r").unwrap_or(line));
        let (margin, indent) =
            (" ".repeat(number.to_string().len()), " ".repeat(at - start));
        format!(
            "[error] {}\n --> fromTOML\n {margin} |\n {number} | {}\n {margin} | {indent}^-- {}\n{}",
            self.message, line, self.label, self.hints
        )
    }
}

/// What integers look like.
const INTEGER_HINTS: &str = "Hint: valid  : -42, 1_000, 1_2_3_4_5, 0xC0FFEE, 0b0010, 0o755\n\
                             Hint: invalid: _42, 1__000, 0123\n";

/// A line of a text as Nix's library shows it: what is not ASCII by its bytes' numbers.
fn shown(line: &[u8]) -> String {
    let mut shown = String::new();
    for byte in line {
        match byte {
            b'\t' | b' '..=b'~' => shown.push(char::from(*byte)),
            _ => shown.push_str(&format!("0x{byte:02x}")),
        }
    }
    shown
}

type Parsed<T> = Result<T, Problem>;

/// Walks over a text.
pub(super) struct Scanner<'h> {
    text: &'h [u8],
    pub(super) at: usize,
}

impl<'h> Scanner<'h> {
    pub(super) fn new(text: &'h [u8]) -> Self {
        let mark: &[u8] = &[0xef, 0xbb, 0xbf];
        Self { text, at: if text.starts_with(mark) { mark.len() } else { 0 } }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'h [u8] {
        &self.text[self.at..]
    }

    pub(super) fn take(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(message, self.at)
    }

    fn skip(&mut self, condition: impl Fn(u8) -> bool) -> &'h [u8] {
        let start = self.at;
        while self.peek().is_some_and(&condition) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Skips spaces and tabs.
    pub(super) fn blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn newline(&mut self) -> bool {
        self.take(b"\n") || self.take(b"\r\n")
    }

    /// Skips a comment, if there is one.
    fn comment(&mut self) -> Parsed<()> {
        if self.peek() != Some(b'#') {
            return Ok(());
        }
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => break,
                b'\r' if self.rest().starts_with(b"\r\n") => break,
                0x00..=0x08 | 0x0a..=0x1f => {
                    return Err(
                        self.problem("a comment must not have control characters")
                    );
                }
                0x80.. => self.character()?,
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    /// Skips blanks, newlines and comments.
    pub(super) fn empty_lines(&mut self) -> Parsed<()> {
        loop {
            self.blanks();
            self.comment()?;
            if !self.newline() {
                return Ok(());
            }
        }
    }

    /// Skips what may stand behind a value on its line.
    pub(super) fn end_of_line(&mut self) -> Parsed<()> {
        self.blanks();
        self.comment()?;
        if self.newline() || self.at == self.text.len() {
            return Ok(());
        }
        Err(self.problem("toml::parse_table: newline (LF / CRLF) or EOF is expected"))
    }

    /// Skips a character beyond ASCII.
    fn character(&mut self) -> Parsed<()> {
        let end = self.text.len().min(self.at + 4);
        let bytes = &self.text[self.at..end];
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or("")
            }
        };
        match valid.chars().next() {
            Some(character) => {
                self.at += character.len_utf8();
                Ok(())
            }
            None => Err(self.problem("invalid utf8 sequence found")),
        }
    }

    /// Reads one name of a key.
    pub(super) fn simple_key(&mut self) -> Parsed<Cow<'h, [u8]>> {
        match self.peek() {
            Some(b'"') => self.basic_string(),
            Some(b'\'') => self.literal_string().map(Cow::Borrowed),
            _ => {
                let name = self.skip(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
                });
                if name.is_empty() {
                    return Err(self.problem(
                        "invalid key: key must be \"quoted\", 'quoted-literal', or bare key.",
                    ));
                }
                Ok(Cow::Borrowed(name))
            }
        }
    }

    /// Reads a value that is no array and no table.
    pub(super) fn scalar(&mut self, heap: &'h Heap) -> Parsed<Scalar<'h>> {
        let string = |text: Cow<'h, [u8]>| match text {
            Cow::Borrowed(bytes) => Scalar::String(bytes),
            Cow::Owned(bytes) => Scalar::String(heap.bytes(&bytes)),
        };
        match self.peek() {
            Some(b'"') if self.rest().starts_with(b"\"\"\"") => {
                self.long_basic_string().map(string)
            }
            Some(b'"') => self.basic_string().map(string),
            Some(b'\'') if self.rest().starts_with(b"'''") => {
                self.long_literal_string().map(Scalar::String)
            }
            Some(b'\'') => self.literal_string().map(Scalar::String),
            Some(b't') if self.take(b"true") => Ok(Scalar::Bool(true)),
            Some(b'f') if self.take(b"false") => Ok(Scalar::Bool(false)),
            Some(b'0'..=b'9') if self.is_time() => self.time().map(Scalar::Time),
            Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'n') => self.number(),
            _ => Err(self.problem("bad format: unknown value appeared")),
        }
    }

    // ---- strings --------------------------------------------------------------------------------

    fn basic_string(&mut self) -> Parsed<Cow<'h, [u8]>> {
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let from = self.at;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let plain = &self.text[start..from];
                    return Ok(unescaped.map_or(Cow::Borrowed(plain), Cow::Owned));
                }
                Some(b'\\') => {
                    let out =
                        unescaped.get_or_insert_with(|| self.text[start..from].to_vec());
                    self.at += 1;
                    self.escape(out)?;
                    continue;
                }
                _ => self.string_byte(false)?,
            }
            if let Some(out) = &mut unescaped {
                out.extend_from_slice(&self.text[from..self.at]);
            }
        }
    }

    /// Skips a byte or a character that stands for itself.
    fn string_byte(&mut self, newlines: bool) -> Parsed<()> {
        match self.peek() {
            Some(b'\n') if newlines => self.at += 1,
            Some(b'\r') if newlines && self.rest().starts_with(b"\r\n") => self.at += 2,
            Some(b'\t' | 0x20..=0x7e) => self.at += 1,
            Some(0x80..) => self.character()?,
            _ => return Err(self.problem("invalid string format")),
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Parsed<()> {
        let Some(byte) = self.peek() else {
            return Err(self.problem("invalid string format"));
        };
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' => byte,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            b'u' | b'U' => {
                let digits = if byte == b'u' { 4 } else { 8 };
                let character = self.code_point(digits)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => {
                self.at -= 1;
                return Err(self.problem("invalid escape sequence"));
            }
        });
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Parsed<char> {
        let mut code = 0_u32;
        for index in 0..digits {
            let digit = self.text.get(self.at + index).copied().map(char::from);
            let Some(digit) = digit.and_then(|digit| digit.to_digit(16)) else {
                return Err(self.problem("invalid escape sequence"));
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
        }
        let Some(character) = char::from_u32(code) else {
            return Err(self.problem("the number is not that of a character"));
        };
        self.at += digits;
        Ok(character)
    }

    fn literal_string(&mut self) -> Parsed<&'h [u8]> {
        self.at += 1;
        let start = self.at;
        while self.peek() != Some(b'\'') {
            self.string_byte(false)?;
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    /// If the end of a string with threefold quotes stands here: how many quotes belong to the string.
    fn long_end(&self, quote: u8) -> Option<usize> {
        const CLOSING: usize = 3;
        const MOST: usize = 5;
        let count =
            self.rest().iter().take(MOST).take_while(|byte| **byte == quote).count();
        count.checked_sub(CLOSING)
    }

    fn long_literal_string(&mut self) -> Parsed<&'h [u8]> {
        self.at += 3;
        self.newline();
        let start = self.at;
        loop {
            if let Some(quotes) = self.long_end(b'\'') {
                self.at += quotes + 3;
                return Ok(&self.text[start..self.at - 3]);
            }
            self.string_byte(true)?;
        }
    }

    fn long_basic_string(&mut self) -> Parsed<Cow<'h, [u8]>> {
        self.at += 3;
        self.newline();
        let mut out = Vec::new();
        loop {
            let from = self.at;
            if let Some(quotes) = self.long_end(b'"') {
                self.at += quotes + 3;
                out.extend_from_slice(&self.text[from..from + quotes]);
                return Ok(Cow::Owned(out));
            }
            if self.peek() != Some(b'\\') {
                self.string_byte(true)?;
                out.extend_from_slice(&self.text[from..self.at]);
                continue;
            }
            self.at += 1;
            if !self.line_continuation() {
                self.escape(&mut out)?;
            }
        }
    }

    /// Skips blanks and newlines after a backslash at the end of a line.
    fn line_continuation(&mut self) -> bool {
        let start = self.at;
        self.blanks();
        if !self.newline() {
            self.at = start;
            return false;
        }
        loop {
            self.blanks();
            if !self.newline() {
                return true;
            }
        }
    }

    // ---- numbers --------------------------------------------------------------------------------

    fn number(&mut self) -> Parsed<Scalar<'h>> {
        let start = self.at;
        for (prefix, radix) in [(b"0x", 16), (b"0o", 8), (b"0b", 2)] {
            if self.take(prefix) {
                return self.radix_integer(radix);
            }
        }
        let negative = self.peek() == Some(b'-');
        self.skip_one(|byte| matches!(byte, b'+' | b'-'));
        if self.take(b"inf") {
            let float = if negative { f64::NEG_INFINITY } else { f64::INFINITY };
            return Ok(Scalar::Float(float));
        }
        if self.take(b"nan") {
            let sign = if negative { -1.0 } else { 1.0 };
            return Ok(Scalar::Float(f64::NAN.copysign(sign)));
        }
        let whole = self.at;
        self.digits(10)?;
        if self.text[whole] == b'0' && self.at - whole > 1 {
            self.at = whole + 1;
            return Err(self
                .problem("bad integer: invalid digit after an integer")
                .label("this digit is not allowed")
                .hints(INTEGER_HINTS));
        }
        let mut is_float = false;
        if self.take(b".") {
            is_float = true;
            self.digits(10)?;
        }
        if self.skip_one(|byte| matches!(byte, b'e' | b'E')) {
            is_float = true;
            self.skip_one(|byte| matches!(byte, b'+' | b'-'));
            self.digits(10)?;
        }
        let text: String = self.text[start..self.at]
            .iter()
            .filter(|byte| **byte != b'_')
            .map(|byte| char::from(*byte))
            .collect();
        if is_float {
            return match text.parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Scalar::Float(float)),
                _ => Err(self.problem("failed to read floating point value from stream")),
            };
        }
        text.parse().map(Scalar::Int).map_err(|_| {
            let message =
                "toml::parse_dec_integer: too large integer: current max digits = 2^63";
            self.problem(message).label("must be < 2^63")
        })
    }

    fn skip_one(&mut self, condition: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(condition);
        self.at += usize::from(found);
        found
    }

    fn radix_integer(&mut self, radix: u32) -> Parsed<Scalar<'h>> {
        let start = self.at;
        self.digits(radix)?;
        let mut int = 0_i64;
        for byte in self.text[start..self.at].iter().filter(|byte| **byte != b'_') {
            let digit = char::from(*byte).to_digit(radix).expect("these are digits");
            int = int
                .checked_mul(i64::from(radix))
                .and_then(|int| int.checked_add(i64::from(digit)))
                .ok_or_else(|| {
                    let name = match radix {
                        16 => "hex",
                        8 => "oct",
                        _ => "bin",
                    };
                    let message = format!("toml::parse_{name}_integer: too large integer: current max value = 2^63");
                    self.problem(message).label("must be < 2^63")
                })?;
        }
        Ok(Scalar::Int(int))
    }

    /// Skips digits with underscores between them, at least one.
    fn digits(&mut self, radix: u32) -> Parsed<()> {
        let is_digit = |byte: u8| char::from(byte).is_digit(radix);
        loop {
            if self.skip(is_digit).is_empty() {
                return Err(self.problem("a number must have a digit here"));
            }
            if !self.take(b"_") {
                return Ok(());
            }
        }
    }

    // ---- dates and times ------------------------------------------------------------------------

    /// Whether the digits here begin a date or a time.
    fn is_time(&self) -> bool {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        matches!((digits, self.rest().get(digits)), (4, Some(b'-')) | (2, Some(b':')))
    }

    fn time(&mut self) -> Parsed<String> {
        if self.rest()[2] == b':' {
            return self.local_time();
        }
        let mut result = self.date()?;
        let is_separator = |byte: u8| matches!(byte, b'T' | b't' | b' ');
        let time_follows = self.peek().is_some_and(is_separator)
            && self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit);
        if !time_follows {
            return Ok(result);
        }
        self.at += 1;
        result.push('T');
        result.push_str(&self.local_time()?);
        result.push_str(&self.offset()?);
        Ok(result)
    }

    /// Reads a number of exactly so many digits.
    fn fixed(&mut self, digits: usize) -> Parsed<u32> {
        let text =
            self.rest().get(..digits).filter(|text| text.iter().all(u8::is_ascii_digit));
        let Some(text) = text else {
            return Err(self.problem("invalid format of a date or time"));
        };
        self.at += digits;
        Ok(text.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn separator(&mut self, byte: u8) -> Parsed<()> {
        if self.take(&[byte]) {
            return Ok(());
        }
        Err(self.problem("invalid format of a date or time"))
    }

    fn date(&mut self) -> Parsed<String> {
        let start = self.at;
        let year = self.fixed(4)?;
        self.separator(b'-')?;
        let month = self.fixed(2)?;
        self.separator(b'-')?;
        let day = self.fixed(2)?;
        let is_leap = year.is_multiple_of(4)
            && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if day == 0 || day > days {
            return Err(Problem::new("invalid date.", start));
        }
        Ok(format!("{year:04}-{month:02}-{day:02}"))
    }

    fn local_time(&mut self) -> Parsed<String> {
        let start = self.at;
        let hour = self.fixed(2)?;
        self.separator(b':')?;
        let minute = self.fixed(2)?;
        self.separator(b':')?;
        let second = self.fixed(2)?;
        // A leap second is the 60th.
        if hour > 23 || minute > 59 || second > 60 {
            return Err(Problem::new("invalid time.", start));
        }
        let mut fraction = String::new();
        if self.take(b".") {
            let digits = self.skip(|byte| byte.is_ascii_digit());
            if digits.is_empty() {
                return Err(self.problem("a fraction of a second must have a digit"));
            }
            fraction = subseconds(digits);
        }
        Ok(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
    }

    /// Reads how far a time is from that of Greenwich, if it says so.
    fn offset(&mut self) -> Parsed<String> {
        if self.skip_one(|byte| matches!(byte, b'Z' | b'z')) {
            return Ok("Z".into());
        }
        let Some(sign @ (b'+' | b'-')) = self.peek() else { return Ok(String::new()) };
        self.at += 1;
        let start = self.at;
        let hour = self.fixed(2)?;
        self.separator(b':')?;
        let minute = self.fixed(2)?;
        if hour > 23 || minute > 59 {
            return Err(Problem::new("invalid offset.", start));
        }
        if hour == 0 && minute == 0 {
            return Ok("Z".into());
        }
        Ok(format!("{}{hour:02}:{minute:02}", char::from(sign)))
    }
}

/// A fraction of a second with its point: milli-, micro- or nanoseconds, as few of these as hold it.
fn subseconds(digits: &[u8]) -> String {
    let mut nanoseconds = [b'0'; 9];
    for (place, digit) in nanoseconds.iter_mut().zip(digits) {
        *place = *digit;
    }
    let significant =
        nanoseconds.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if significant == 0 {
        return String::new();
    }
    let shown = &nanoseconds[..significant.next_multiple_of(3)];
    format!(".{}", String::from_utf8_lossy(shown))
}
