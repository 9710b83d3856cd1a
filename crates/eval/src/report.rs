//! Rendering errors and positions for people.
//!
//! The layout is Nix's: an `error:` line with the message, and under every frame its place and the lines around
//! it. Frames come outermost first and the error itself last, where a terminal shows it.

use std::fmt::Write;

use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::source::{Origin, Place};

/// The most frames that are shown unless all are asked for.
const FRAMES_SHOWN: usize = 5;
/// The most names that "did you mean" offers.
const MAX_SUGGESTIONS: usize = 5;
/// The largest edit distance of a name that is offered.
const MAX_DISTANCE: usize = 2;

/// A position as `file:line:column`.
pub fn show_pos(ev: &Evaluator<'_>, pos: Pos) -> String {
    match ev.sources.place(pos) {
        Some(place) => show_place(place),
        None => "«none»".into(),
    }
}

fn show_place(place: Place<'_>) -> String {
    format!("{}:{}:{}", origin_text(place.origin), place.line, place.column)
}

fn origin_text(origin: Origin<'_>) -> String {
    match origin {
        Origin::File(path) => String::from_utf8_lossy(path).into_owned(),
        Origin::Text => "«string»".into(),
        Origin::Stdin => "«stdin»".into(),
        Origin::Internal(name) => format!("«{name}»"),
    }
}

/// Renders an error with its trace, places, excerpts and hints. Ends without a newline.
pub fn render(ev: &Evaluator<'_>, error: &Error, show_trace: bool) -> String {
    let report = error.report();
    let mut out = String::from("error:");
    let shown = if show_trace { usize::MAX } else { FRAMES_SHOWN };
    let frames: Vec<_> = report
        .trace
        .iter()
        .filter(|frame| !frame.text.is_empty())
        .filter(|frame| show_trace || frame.pos.is_some())
        .collect();
    let hidden = frames.len().saturating_sub(shown);
    for frame in frames.iter().rev().take(shown) {
        let _ = write!(out, "\n       … {}", frame.text);
        excerpt(ev, frame.pos, "\n         ", &mut out);
        out.push('\n');
    }
    if hidden > 0 {
        let _ = write!(
            out,
            "\n       ({hidden} more frames are hidden; use '--show-trace' to show them)\n"
        );
    }
    if frames.is_empty() {
        out.push(' ');
    } else {
        out.push_str("\n       error: ");
    }
    out.push_str(&report.message.replace('\n', "\n       "));
    excerpt(ev, report.pos, "\n       ", &mut out);
    if let Some(names) = alternatives(&report.suggestions) {
        let _ = write!(out, "\n       Did you mean {names}?");
    }
    for hint in &report.hints {
        let _ = write!(out, "\n       hint: {hint}");
    }
    out
}

fn excerpt(ev: &Evaluator<'_>, pos: Pos, indent: &str, out: &mut String) {
    let (Some(place), Some(source)) = (ev.sources.place(pos), ev.sources.source(pos))
    else {
        return;
    };
    let lines = ev.sources.line_index(source);
    let _ = write!(out, "{indent}at {}:", show_place(place));
    for line in place.line.saturating_sub(1).max(1)..=place.line + 1 {
        let Some(text) = lines.line(source.text, line) else { continue };
        if line > place.line && text.is_empty() {
            continue;
        }
        let text = String::from_utf8_lossy(text);
        let _ = write!(out, "{indent}{line:>5}| {text}");
        if line == place.line {
            let space = " ".repeat(place.column.saturating_sub(1) as usize);
            let _ = write!(out, "{indent}     | {space}^");
        }
    }
}

fn alternatives(names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(one.clone()),
        [many @ .., last] => Some(format!("one of {} or {last}", many.join(", "))),
    }
}

/// The names that are most like `name`, best first.
pub fn similar_names(name: &str, known: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found: Vec<(usize, String)> = known
        .into_iter()
        .map(|candidate| (edit_distance(name, &candidate), candidate))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(MAX_SUGGESTIONS).map(|(_, candidate)| candidate).collect()
}

/// Levenshtein's distance in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > MAX_DISTANCE {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
