//! The one place that writes to the terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Writes bytes to standard output.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Writes a line to standard error. That it cannot be written cannot be reported anywhere.
///
/// Messages of programs may have escape sequences in them; they go to terminals only, as in Nix.
pub(crate) fn error(text: &str) {
    let mut err = io::stderr().lock();
    let text =
        if err.is_terminal() { Cow::Borrowed(text) } else { without_escapes(text) };
    let _ = writeln!(err, "{text}");
}

/// A text without the sequences that begin with an escape and `[` and end in a letter.
fn without_escapes(text: &str) -> Cow<'_, str> {
    const START: &str = "\u{1b}[";
    if !text.contains(START) {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split(START);
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| ('@'..='~').contains(&c));
        plain.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_left_out() {
        assert_eq!(without_escapes("a \u{1b}[1;35mb\u{1b}[0m c"), "a b c");
        assert_eq!(without_escapes("plain ["), "plain [");
        assert_eq!(without_escapes("cut \u{1b}[1"), "cut ");
    }
}
