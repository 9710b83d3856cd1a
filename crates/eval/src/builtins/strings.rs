//! Strings: lengths, parts, joining and replacing. Patterns are in `regex`.

use super::lists::int;
use super::{Builtin, Scope};
use crate::bail;
use crate::coerce::Coercion;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{Items, Str, Value};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "stringLength",
        parameters: &["e"],
        scope: Scope::Prefixed,
        doc: "The number of bytes of a string.",
        function: string_length,
    },
    Builtin {
        name: "substring",
        parameters: &["start", "len", "s"],
        scope: Scope::Prefixed,
        doc: "At most *len* bytes of *s* from byte *start* on, counted from 0; all that there \
              are if *len* is negative. *start* must not be negative.",
        function: substring,
    },
    Builtin {
        name: "concatStringsSep",
        parameters: &["separator", "list"],
        scope: Scope::Prefixed,
        doc: "The strings of *list*, with *separator* between them.",
        function: concat_strings_sep,
    },
    Builtin {
        name: "replaceStrings",
        parameters: &["from", "to", "s"],
        scope: Scope::Prefixed,
        doc: "*s* with every occurrence of a string of *from* replaced by the string at the \
              same place of *to*, which is evaluated only if it is needed. Where several \
              match, the first in *from* counts; an empty one matches everywhere.",
        function: replace_strings,
    },
];

fn string_length<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.stringLength";
    let text = ev.coerce_to_string(args[0], pos, Coercion::INTERPOLATION, doing)?;
    Ok(Value::Int(int(text.bytes.len())))
}

fn substring<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument (the start offset) passed to builtins.substring";
    let start = ev.expect_int(args[0], pos, doing)?;
    let Ok(start) = usize::try_from(start) else {
        bail!(pos => Other, "negative start position in 'substring'");
    };
    let doing = "while evaluating the second argument (the substring length) passed to \
                 builtins.substring";
    let length = ev.expect_int(args[1], pos, doing)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let doing =
        "while evaluating the third argument (the string) passed to builtins.substring";
    let text = ev.coerce_to_string(args[2], pos, Coercion::INTERPOLATION, doing)?;
    let start = start.min(text.bytes.len());
    let end = start.saturating_add(length).min(text.bytes.len());
    if end - start == text.bytes.len() {
        return Ok(Value::String(text));
    }
    Ok(ev.string_of(&text.bytes[start..end], text.context))
}

fn concat_strings_sep<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument (the separator string) passed to \
                 builtins.concatStringsSep";
    let separator = ev.expect_string(args[0], pos, doing)?;
    let doing = "while evaluating the second argument (the list of strings to concat) passed \
                 to builtins.concatStringsSep";
    let list = ev.expect_list(args[1], pos, doing)?;
    let doing = "while evaluating one element of the list of strings to concat passed to \
                 builtins.concatStringsSep";
    let mut parts = Items::with_capacity(ev.heap, list.len() * 2);
    let mut context = separator.context.to_vec();
    for slot in list.items {
        let value = slot.get();
        let text = ev.coerce_to_string(value, pos, Coercion::INTERPOLATION, doing)?;
        if !parts.is_empty() {
            parts.push(separator.bytes);
        }
        parts.push(text.bytes);
        context.extend_from_slice(text.context);
    }
    Ok(ev.string_of(ev.heap.concat(&parts), ev.context_from(context)))
}

fn replace_strings<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.replaceStrings";
    let from = ev.expect_list(args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.replaceStrings";
    let to = ev.expect_list(args[1], pos, doing)?;
    if from.len() != to.len() {
        bail!(
            pos => Other,
            "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths"
        );
    }
    let doing = "while evaluating one of the strings to replace passed to builtins.replaceStrings";
    let mut needles = Items::with_capacity(ev.heap, from.len());
    for slot in from.items {
        needles.push(ev.expect_string(slot.get(), pos, doing)?.bytes);
    }
    let doing = "while evaluating the third argument passed to builtins.replaceStrings";
    let text = ev.expect_string(args[2], pos, doing)?;

    let doing = "while evaluating one of the replacement strings passed to builtins.replaceStrings";
    let unknown: Option<&'h Str<'h>> = None;
    let mut replacements = Items::from_iter(ev.heap, needles.iter().map(|_| unknown));
    let mut replacer = Replacer::new(&needles, text.bytes);
    let mut context = text.context.to_vec();
    let mut parts: Items<'h, &'h [u8]> = Items::new(ev.heap);
    while let Some((copied, needle)) = replacer.next_match() {
        parts.push(copied);
        let replacement = match replacements[needle] {
            Some(replacement) => replacement,
            None => {
                let forced = ev.expect_string(to.items[needle].get(), pos, doing)?;
                context.extend_from_slice(forced.context);
                replacements.set(needle, Some(forced));
                forced
            }
        };
        parts.push(replacement.bytes);
    }
    if parts.is_empty() {
        return Ok(Value::String(text));
    }
    parts.push(replacer.rest());
    Ok(ev.string_of(ev.heap.concat(&parts), ev.context_from(context)))
}

/// Walks over a text and finds needles in it.
struct Replacer<'n, 't> {
    needles: &'n [&'t [u8]],
    text: &'t [u8],
    /// By its first byte, the first needle that begins so; `NONE` if there is none.
    first: [u32; 256],
    /// By needle, the next one with the same first byte.
    next: Vec<u32>,
    /// The first needle that is empty.
    empty: Option<usize>,
    /// What lies before is in a part already.
    copied: usize,
    /// Where to look next; one past the end of the text when all is done.
    at: usize,
}

/// No needle.
const NONE: u32 = u32::MAX;

impl<'n, 't> Replacer<'n, 't> {
    fn new(needles: &'n [&'t [u8]], text: &'t [u8]) -> Self {
        let mut first = [NONE; 256];
        let mut next = vec![NONE; needles.len()];
        for (index, needle) in needles.iter().enumerate().rev() {
            if let Some(byte) = needle.first() {
                let head = &mut first[usize::from(*byte)];
                next[index] = *head;
                *head =
                    u32::try_from(index).expect("fewer than 2^32 values fit in memory");
            }
        }
        let empty = needles.iter().position(|needle| needle.is_empty());
        Self { needles, text, first, next, empty, copied: 0, at: 0 }
    }

    /// The text up to the next match, and the needle that matches.
    fn next_match(&mut self) -> Option<(&'t [u8], usize)> {
        while self.at <= self.text.len() {
            let Some(needle) = self.needle_here() else {
                self.at += 1;
                continue;
            };
            let before = &self.text[self.copied..self.at];
            self.copied = self.at + self.needles[needle].len();
            // An empty needle matches before each byte, which then is copied.
            self.at =
                if self.needles[needle].is_empty() { self.at + 1 } else { self.copied };
            return Some((before, needle));
        }
        None
    }

    /// The first of the needles that matches at the present place.
    fn needle_here(&self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let mut candidate =
            rest.first().map_or(NONE, |byte| self.first[usize::from(*byte)]);
        while candidate != NONE {
            let index = candidate as usize;
            if self.empty.is_some_and(|empty| empty < index) {
                break;
            }
            if rest.starts_with(self.needles[index]) {
                return Some(index);
            }
            candidate = self.next[index];
        }
        self.empty
    }

    /// What is left after the last match.
    fn rest(&self) -> &'t [u8] {
        &self.text[self.copied.min(self.text.len())..]
    }
}

#[cfg(test)]
mod tests {
    use super::Replacer;

    fn replace(needles: &[&str], replacement: &str, text: &str) -> String {
        let needles: Vec<&[u8]> =
            needles.iter().map(|needle| needle.as_bytes()).collect();
        let mut replacer = Replacer::new(&needles, text.as_bytes());
        let mut result = Vec::new();
        while let Some((before, needle)) = replacer.next_match() {
            result.extend_from_slice(before);
            result.extend_from_slice(replacement.as_bytes());
            result.extend_from_slice(needle.to_string().as_bytes());
        }
        result.extend_from_slice(replacer.rest());
        String::from_utf8(result).unwrap()
    }

    #[test]
    fn the_first_needle_in_the_list_counts() {
        assert_eq!(replace(&["ab", "a", "abc"], "#", "abcax"), "#0c#1x");
        assert_eq!(replace(&["a", "ab"], "#", "ab"), "#0b");
    }

    #[test]
    fn an_empty_needle_matches_everywhere() {
        assert_eq!(replace(&[""], "#", "ab"), "#0a#0b#0");
        assert_eq!(replace(&["a", ""], "#", "ab"), "#0#1b#1");
        assert_eq!(replace(&["", "a"], "#", "a"), "#0a#0");
        assert_eq!(replace(&[""], "#", ""), "#0");
    }
}
