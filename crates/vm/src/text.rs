//! Console bytes made readable: what a terminal would show, less what it would do.
//!
//! Control sequences follow ECMA-48 sections 5.3 to 5.6. Carriage returns are dropped, which
//! makes lines of CRLF; cursor movement is not played back, since only shells' line editors move
//! it, and only within what we typed ourselves.

/// Removes control sequences from a stream that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, as in the choice of a character set.
    Intermediate,
    /// In a control sequence, which ends with a byte from `@` to `~`.
    Sequence,
    /// In a control string, which ends with BEL or ESC `\`.
    String,
    /// After an ESC in a control string.
    StringEscape,
}

impl Cleaner {
    /// Appends what is text in these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) => State::Escape,
                (State::Text, 0x08) => {
                    pop_character(text);
                    State::Text
                }
                (State::Text, b'\n' | b'\t' | 0x20..=0x7e | 0x80..) => {
                    text.push(byte);
                    State::Text
                }
                (State::Text, _) => State::Text,
                (State::Escape, b'[') => State::Sequence,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
                (State::Escape, 0x20..=0x2f) => State::Intermediate,
                (State::Escape | State::Intermediate, _) => State::Text,
                (State::Sequence, 0x40..=0x7e) => State::Text,
                // A newline inside a sequence means that the sequence was none.
                (State::Sequence, b'\n') => {
                    text.push(byte);
                    State::Text
                }
                (State::Sequence, _) => State::Sequence,
                (State::String, 0x07) => State::Text,
                (State::String, 0x1b) => State::StringEscape,
                (State::String, _) => State::String,
                (State::StringEscape, b'\\') => State::Text,
                (State::StringEscape, _) => State::String,
            };
        }
    }
}

/// Removes the last character of a line, however many bytes it has in UTF-8.
fn pop_character(text: &mut Vec<u8>) {
    if text.last().is_none_or(|&last| last == b'\n') {
        return;
    }
    while text.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// Removes the kernel's messages, which may begin anywhere in a line and end with it.
///
/// What a program printed before and after such a message then stands together again.
pub(crate) fn without_kernel_messages(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, from_bracket) = rest.split_at(at);
        kept.push_str(before);
        if is_kernel_timestamp(from_bracket) {
            rest = from_bracket.split_once('\n').map_or("", |(_, after)| after);
        } else {
            kept.push('[');
            rest = &from_bracket[1..];
        }
    }
    kept.push_str(rest);
    kept
}

/// Whether text begins as in `[    1.234567] `.
fn is_kernel_timestamp(text: &str) -> bool {
    let Some((inside, after)) = text[1..].split_once(']') else { return false };
    let Some((seconds, fraction)) = inside.trim_start_matches(' ').split_once('.') else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !seconds.is_empty()
        && digits(seconds)
        && fraction.len() == 6
        && digits(fraction)
        && (after.is_empty() || after.starts_with([' ', '[']))
}

/// What a dying kernel says before it prints its registers.
pub(crate) const KERNEL_PANIC: &str = "Kernel panic - not syncing";

/// The last lines of a text, indented for a message, with the kernel's last words before them if
/// it died: what it prints after those would hide them.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "  (nothing)".to_owned();
    }
    let (hidden, shown) = lines.split_at(lines.len().saturating_sub(count));
    let panic = hidden.iter().rfind(|line| line.contains(KERNEL_PANIC));
    let panic = panic.into_iter().flat_map(|line| [*line, "..."]);
    let lines = panic.chain(shown.iter().copied());
    lines.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(pieces: &[&[u8]]) -> String {
        let (mut cleaner, mut text) = (Cleaner::default(), Vec::new());
        for piece in pieces {
            cleaner.push(piece, &mut text);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn control_sequences_disappear_wherever_they_are_cut() {
        let raw = b"\x1bc\x1b[2J\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07a\x1bP1\x1b\\b\x1b(Bc\x1b[6n~ # ";
        let expected = "red\nabc~ # ";
        assert_eq!(clean(&[raw]), expected);
        for at in 0..raw.len() {
            assert_eq!(clean(&[&raw[..at], &raw[at..]]), expected, "{at}");
        }
        assert_eq!(clean(&["aä\u{8}x\0\x07\n\u{8}".as_bytes()]), "ax\n");
    }

    #[test]
    fn kernel_messages_disappear_from_within_lines() {
        let text = "hel[    5.123456] random: crng init done\nlo [1] a[0.1] b\n\
                    [   12.000001][   T1] EXT4\nend[ 1.12345";
        let expected = "hello [1] a[0.1] b\nend[ 1.12345";
        assert_eq!(without_kernel_messages(text), expected);
    }

    #[test]
    fn last_lines_are_the_last() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "  b\n  c");
        assert_eq!(last_lines("\n", 2), "  (nothing)");
        let died = format!("x\n{KERNEL_PANIC}: y\na\nb\n");
        assert_eq!(last_lines(&died, 1), format!("  {KERNEL_PANIC}: y\n  ...\n  b"));
    }
}
