//! Text to tokens: one byte table, one stack of modes, nothing allocated per token.
//!
//! The rules are those of Nix's lexer: of all tokens that could begin at a byte the longest is taken. What
//! would need looking ahead without bound (does this run of path characters reach a `/`? is there an end
//! to this comment?) is looked up once and remembered, so that lexing is linear for every input.

use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::token::Tok;

const PATH: u8 = 1;
const IDENT: u8 = 2;
const IDENT_START: u8 = 4;
const DIGIT: u8 = 8;
const SCHEME: u8 = 16;
const URI: u8 = 32;
const SPACE: u8 = 64;
const ALPHA: u8 = 128;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b: u8 = 0;
    while b < 128 {
        let alpha = b.is_ascii_alphabetic();
        let digit = b.is_ascii_digit();
        let mut class = 0;
        if alpha {
            class |= ALPHA | IDENT_START | IDENT | PATH | SCHEME | URI;
        }
        if digit {
            class |= DIGIT | IDENT | PATH | SCHEME | URI;
        }
        class |= match b {
            b'_' => IDENT_START | IDENT | PATH | URI,
            b'-' => IDENT | PATH | SCHEME | URI,
            b'\'' => IDENT | URI,
            b'.' | b'+' => PATH | SCHEME | URI,
            b'%' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'$' | b',' | b'!'
            | b'~' | b'*' => URI,
            b' ' | b'\t' | b'\r' | b'\n' => SPACE,
            _ => 0,
        };
        table[b as usize] = class;
        b += 1;
    }
    table
}

/// What the lexer is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Default,
    Str,
    IndStr,
    /// In a path, after something other than `/`.
    Path,
    /// In a path, after a `/`: there must be more.
    PathSlash,
}

/// A lexer over one source; its fields describe the token last returned by [`Lexer::next`].
pub(crate) struct Lexer<'a> {
    source: &'a [u8],
    pos: usize,
    mode: Mode,
    outer: Vec<Mode>,
    pipe_operators: bool,
    /// Where the token begins and ends.
    pub(crate) span: Span,
    /// The value of an `Int`.
    pub(crate) int: i64,
    /// The value of a `Float`.
    pub(crate) float: f64,
    /// Whether an `IndStr` is plain text, whose indentation counts.
    pub(crate) plain: bool,
    /// Why the token is a `LexError`.
    pub(crate) error: Option<Diagnostic>,
    path_run_end: usize,
    scheme_run_end: usize,
    no_comment_end: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(source: &'a [u8], pipe_operators: bool) -> Lexer<'a> {
        Lexer {
            source,
            pos: 0,
            mode: Mode::Default,
            outer: Vec::new(),
            pipe_operators,
            span: Span::default(),
            int: 0,
            float: 0.0,
            plain: false,
            error: None,
            path_run_end: 0,
            scheme_run_end: 0,
            no_comment_end: false,
        }
    }

    /// Reads the next token. After the end, and after an error, it keeps answering the same.
    pub(crate) fn next(&mut self) -> Tok {
        if self.error.is_some() {
            return Tok::LexError;
        }
        match self.mode {
            Mode::Default => self.default_token(),
            Mode::Str => self.string_token(),
            Mode::IndStr => self.indented_token(),
            Mode::Path | Mode::PathSlash => self.path_token(),
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.source.get(at).copied().unwrap_or(0)
    }

    fn has(&self, at: usize, class: u8) -> bool {
        CLASS[self.byte(at) as usize] & class != 0
    }

    /// Ends the token that begins at `start` at `end`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "parse refuses sources over 4 GiB"
    )]
    fn token(&mut self, tok: Tok, start: usize, end: usize) -> Tok {
        self.span = Span::new(start as u32, end as u32);
        self.pos = end;
        tok
    }

    fn fail(&mut self, start: usize, end: usize, message: String) -> Tok {
        self.token(Tok::LexError, start, end);
        self.error = Some(Diagnostic::new(self.span, message));
        Tok::LexError
    }

    fn push(&mut self, mode: Mode) {
        self.outer.push(self.mode);
        self.mode = mode;
    }

    fn pop(&mut self) {
        if let Some(mode) = self.outer.pop() {
            self.mode = mode;
        }
    }

    fn run_end(&self, mut at: usize, class: u8) -> usize {
        while let Some(&byte) = self.source.get(at) {
            if CLASS[byte as usize] & class == 0 {
                break;
            }
            at += 1;
        }
        at
    }

    /// The end of the path characters from `at`; remembered, so that each run is walked once.
    fn path_run(&mut self, at: usize) -> usize {
        if self.path_run_end <= at {
            self.path_run_end = self.run_end(at, PATH);
        }
        self.path_run_end
    }

    fn scheme_run(&mut self, at: usize) -> usize {
        if self.scheme_run_end <= at {
            self.scheme_run_end = self.run_end(at, SCHEME);
        }
        self.scheme_run_end
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) {
        loop {
            self.pos = self.run_end(self.pos, SPACE);
            let rest = &self.source[self.pos..];
            if rest.first() == Some(&b'#') {
                self.pos += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") && !self.no_comment_end {
                match memchr::memmem::find(&rest[2..], b"*/") {
                    Some(length) => self.pos += length + 4,
                    None => {
                        self.no_comment_end = true;
                        return;
                    }
                }
            } else {
                return;
            }
        }
    }

    fn default_token(&mut self) -> Tok {
        self.skip_blank();
        let start = self.pos;
        let Some(&byte) = self.source.get(start) else {
            return self.token(Tok::Eof, start, start);
        };
        let class = CLASS[byte as usize];
        if class & IDENT_START != 0 {
            return self.word(start);
        }
        if class & PATH != 0 || byte == b'/' {
            if let Some(end) = self.path_at(start) {
                return self.begin_path(Tok::Path, start, end);
            }
            if class & DIGIT != 0 || (byte == b'.' && self.has(start + 1, DIGIT)) {
                return self.number(start);
            }
        }
        self.symbol(start, byte)
    }

    /// An identifier, keyword, path or URI that begins with a letter or `_`.
    fn word(&mut self, start: usize) -> Tok {
        let end = self.run_end(start + 1, IDENT);
        let next = self.byte(end);
        if matches!(next, b'/' | b'.' | b'+')
            && let Some(end) = self.path_at(start)
        {
            return self.begin_path(Tok::Path, start, end);
        }
        if matches!(next, b':' | b'.' | b'+')
            && let Some(end) = self.uri_at(start)
        {
            return self.token(Tok::Uri, start, end);
        }
        let text = &self.source[start..end];
        let keyword = if text.len() <= 7 { Tok::keyword(text) } else { None };
        self.token(keyword.unwrap_or(Tok::Ident), start, end)
    }

    /// The end of the path literal that begins at `start`, up to its first interpolation.
    fn path_at(&mut self, start: usize) -> Option<usize> {
        let run = self.path_run(start);
        let run = if self.byte(start) == b'/' { start } else { run };
        if self.byte(run) != b'/' {
            return None;
        }
        if self.has(run + 1, PATH) {
            return Some(self.path_segments(run));
        }
        self.source[run + 1..].starts_with(b"${").then_some(run + 1)
    }

    /// The end of `(/x)+/?` from a `/` at `at` that path characters follow.
    fn path_segments(&self, mut at: usize) -> usize {
        while self.byte(at) == b'/' {
            let end = self.run_end(at + 1, PATH);
            if end == at + 1 {
                return end;
            }
            at = end;
        }
        at
    }

    fn begin_path(&mut self, tok: Tok, start: usize, end: usize) -> Tok {
        self.push(if self.byte(end - 1) == b'/' { Mode::PathSlash } else { Mode::Path });
        self.token(tok, start, end)
    }

    fn uri_at(&mut self, start: usize) -> Option<usize> {
        // The characters of schemes are characters of paths, and `:` is not.
        let run = self.path_run(start);
        if !self.has(start, ALPHA) || self.byte(run) != b':' {
            return None;
        }
        let colon = self.scheme_run(start);
        (self.byte(colon) == b':' && self.has(colon + 1, URI))
            .then(|| self.run_end(colon + 1, URI))
    }

    fn number(&mut self, start: usize) -> Tok {
        let digits = self.run_end(start, DIGIT);
        let whole = &self.source[start..digits];
        let dot = self.byte(digits) == b'.';
        let fraction = self.run_end(digits + 1, DIGIT);
        let is_float = dot
            && match whole {
                [b'1'..=b'9', ..] => true,
                [] | [b'0'] => fraction > digits + 1,
                _ => false,
            };
        if !is_float {
            let text = String::from_utf8_lossy(whole);
            return match text.parse() {
                Ok(value) => {
                    self.int = value;
                    self.token(Tok::Int, start, digits)
                }
                Err(_) => {
                    let message = format!("invalid integer '{text}'");
                    self.fail(start, digits, message)
                }
            };
        }
        let mut end = fraction;
        if matches!(self.byte(end), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            let exponent = self.run_end(end + 1 + sign, DIGIT);
            if exponent > end + 1 + sign {
                end = exponent;
            }
        }
        self.float_token(start, end)
    }

    /// Nix refuses what `strtod` reports as out of range: infinite, or too small to be normal.
    fn float_token(&mut self, start: usize, end: usize) -> Tok {
        let text = String::from_utf8_lossy(&self.source[start..end]);
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let is_zero = !mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
        if value.is_normal() || (value == 0.0 && is_zero) {
            self.float = value;
            self.token(Tok::Float, start, end)
        } else {
            let message = format!("invalid float '{text}'");
            self.fail(start, end, message)
        }
    }

    fn symbol(&mut self, start: usize, byte: u8) -> Tok {
        let next = self.byte(start + 1);
        let (tok, length) = match (byte, next) {
            (b'{', _) => {
                self.push(Mode::Default);
                (Tok::LBrace, 1)
            }
            (b'$', b'{') => {
                self.push(Mode::Default);
                (Tok::DollarCurly, 2)
            }
            (b'}', _) => {
                self.pop();
                (Tok::RBrace, 1)
            }
            (b'"', _) => {
                self.push(Mode::Str);
                (Tok::Quote, 1)
            }
            (b'\'', b'\'') => return self.indented_open(start),
            (b'~', b'/') => return self.home_path(start),
            (b'<', _) => return self.less(start, next),
            (b'.', b'.') if self.byte(start + 2) == b'.' => (Tok::Ellipsis, 3),
            (b'|', b'>') => return self.pipe(Tok::PipeInto, start),
            (0, _) => return self.token(Tok::Eof, start, start + 1),
            _ => plain_symbol(byte, next),
        };
        self.token(tok, start, start + length)
    }

    fn pipe(&mut self, tok: Tok, start: usize) -> Tok {
        if self.pipe_operators {
            return self.token(tok, start, start + 2);
        }
        let message = "experimental Nix feature 'pipe-operators' is disabled; add \
                       '--extra-experimental-features pipe-operators' to enable it";
        self.fail(start, start + 2, message.to_owned())
    }

    fn indented_open(&mut self, start: usize) -> Tok {
        let mut end = start + 2;
        while self.byte(end) == b' ' {
            end += 1;
        }
        let end = if self.byte(end) == b'\n' { end + 1 } else { start + 2 };
        self.push(Mode::IndStr);
        self.token(Tok::IndOpen, start, end)
    }

    fn home_path(&mut self, start: usize) -> Tok {
        if self.has(start + 2, PATH) {
            let end = self.path_segments(start + 1);
            return self.begin_path(Tok::HomePath, start, end);
        }
        if self.source[start + 2..].starts_with(b"${") {
            return self.begin_path(Tok::HomePath, start, start + 2);
        }
        self.token(Tok::Invalid, start, start + 1)
    }

    fn less(&mut self, start: usize, next: u8) -> Tok {
        if self.has(start + 1, PATH) {
            let mut end = self.path_run(start + 1);
            while self.byte(end) == b'/' && self.has(end + 1, PATH) {
                end = self.run_end(end + 1, PATH);
            }
            if self.byte(end) == b'>' {
                return self.token(Tok::SearchPath, start, end + 1);
            }
        }
        match next {
            b'=' => self.token(Tok::LessOrEqual, start, start + 2),
            b'|' => self.pipe(Tok::PipeFrom, start),
            _ => self.token(Tok::Less, start, start + 1),
        }
    }

    fn string_token(&mut self) -> Tok {
        let start = self.pos;
        let end = self.string_text_end(start);
        if end > start {
            return self.text(Tok::Str, start, end);
        }
        match (self.source.get(start), self.byte(start + 1)) {
            (Some(b'"'), _) => {
                self.pop();
                self.token(Tok::Quote, start, start + 1)
            }
            (Some(b'$'), b'{') => {
                self.push(Mode::Default);
                self.token(Tok::DollarCurly, start, start + 2)
            }
            // A `\` or `$` that the text ends with.
            _ => self.token(Tok::Eof, start, self.source.len()),
        }
    }

    /// The end of the text in a string from `at`: a quote, an interpolation, or the end of the source.
    fn string_text_end(&self, mut at: usize) -> usize {
        let source = self.source;
        while let Some(length) = memchr::memchr3(b'"', b'\\', b'$', &source[at..]) {
            at += length;
            let step = match (source[at], source.get(at + 1)) {
                (b'\\', Some(_)) => 2,
                (b'$', Some(b'"')) => 1,
                (b'$', Some(b'\\')) if at + 2 < source.len() => 3,
                (b'$', Some(b'{' | b'\\')) => 0,
                (b'$', Some(_)) => 2,
                _ => 0,
            };
            if step == 0 {
                return at;
            }
            at += step;
        }
        source.len()
    }

    fn indented_token(&mut self) -> Tok {
        let start = self.pos;
        let end = self.indented_text_end(start);
        self.plain = end > start;
        if self.plain {
            return self.text(Tok::IndStr, start, end);
        }
        let rest = &self.source[start..];
        match rest {
            [b'$', b'{', ..] => {
                self.push(Mode::Default);
                self.token(Tok::DollarCurly, start, start + 2)
            }
            [b'\'', b'\'', b'$' | b'\'', ..] => self.token(Tok::IndStr, start, start + 3),
            [b'\'', b'\'', b'\\', _, ..] => self.text(Tok::IndStr, start, start + 4),
            [b'\'', b'\'', ..] => {
                self.pop();
                self.token(Tok::IndClose, start, start + 2)
            }
            [_, ..] => self.token(Tok::IndStr, start, start + 1),
            [] => self.token(Tok::Eof, start, start),
        }
    }

    /// The end of the plain text in an indented string from `at`.
    fn indented_text_end(&self, mut at: usize) -> usize {
        let source = self.source;
        while let Some(length) = memchr::memchr2(b'\'', b'$', &source[at..]) {
            at += length;
            match (source[at], source.get(at + 1)) {
                (_, None) | (b'$', Some(b'{' | b'\'')) | (b'\'', Some(b'\'' | b'$')) => {
                    return at;
                }
                _ => at += 2,
            }
        }
        source.len()
    }

    /// A token of text, which must not hold a null byte.
    fn text(&mut self, tok: Tok, start: usize, end: usize) -> Tok {
        let text = &self.source[start..end];
        if memchr::memchr(0, text).is_none() {
            return self.token(tok, start, end);
        }
        let shown = String::from_utf8_lossy(text).replace('\0', "␀");
        let message = format!(
            "input string '{shown}' cannot be represented as Nix string because it contains null bytes"
        );
        self.fail(start, end, message)
    }

    fn path_token(&mut self) -> Tok {
        let start = self.pos;
        if self.source[start..].starts_with(b"${") {
            self.mode = Mode::Path;
            self.push(Mode::Default);
            return self.token(Tok::DollarCurly, start, start + 2);
        }
        let run = self.run_end(start, PATH);
        let end = match (self.byte(run), self.has(run + 1, PATH)) {
            (b'/', true) => self.path_segments(run),
            (b'/', false) => run + 1,
            _ => run,
        };
        if end > start {
            let slash = self.byte(end - 1) == b'/';
            self.mode = if slash { Mode::PathSlash } else { Mode::Path };
            return self.token(Tok::Str, start, end);
        }
        if self.mode == Mode::PathSlash {
            // At the end of the file Nix blames the path, elsewhere what follows it.
            let at =
                if start < self.source.len() { start } else { self.span.start as usize };
            return self.fail(at, start, "path has a trailing slash".to_owned());
        }
        self.pop();
        self.token(Tok::PathEnd, start, start)
    }
}

/// The operators and punctuation that need no more than one byte of looking ahead.
fn plain_symbol(byte: u8, next: u8) -> (Tok, usize) {
    match (byte, next) {
        (b'=', b'=') => (Tok::Equal, 2),
        (b'!', b'=') => (Tok::NotEqual, 2),
        (b'>', b'=') => (Tok::GreaterOrEqual, 2),
        (b'&', b'&') => (Tok::And, 2),
        (b'|', b'|') => (Tok::Or, 2),
        (b'-', b'>') => (Tok::Implies, 2),
        (b'/', b'/') => (Tok::Update, 2),
        (b'+', b'+') => (Tok::Concat, 2),
        (b'>', _) => (Tok::Greater, 1),
        (b'+', _) => (Tok::Plus, 1),
        (b'-', _) => (Tok::Minus, 1),
        (b'*', _) => (Tok::Star, 1),
        (b'/', _) => (Tok::Slash, 1),
        (b'?', _) => (Tok::Question, 1),
        (b':', _) => (Tok::Colon, 1),
        (b'@', _) => (Tok::At, 1),
        (b';', _) => (Tok::Semicolon, 1),
        (b'!', _) => (Tok::Bang, 1),
        (b'.', _) => (Tok::Dot, 1),
        (b'(', _) => (Tok::LParen, 1),
        (b')', _) => (Tok::RParen, 1),
        (b'[', _) => (Tok::LBracket, 1),
        (b']', _) => (Tok::RBracket, 1),
        (b'=', _) => (Tok::Assign, 1),
        (b',', _) => (Tok::Comma, 1),
        _ => (Tok::Invalid, 1),
    }
}
