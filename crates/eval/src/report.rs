//! Rendering errors and positions for people.
//!
//! The layout is Nix's: an `error:` line with the message, and under every frame its place and the lines around
//! it. Frames come outermost first and the error itself last, where a terminal shows it.

mod definition;
mod story;

use std::collections::HashSet;
use std::fmt::Write;

use picnix_store_core::StorePath;

use crate::error::{Error, Frame};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::source::{Origin, Place, Source};

/// The weight of frames after which no more are shown unless all are asked for.
const WEIGHT_SHOWN: usize = 3;
/// The most frames shown before that are shown once more.
const DUPLICATES_SHOWN: usize = 5;
/// The most bytes of a line that an excerpt shows.
const LINE_SHOWN_BYTES: usize = 500;
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

/// The place in a file where this evaluation made a derivation, with an excerpt; the first line begins with "at".
pub fn derivation_place(ev: &Evaluator<'_>, path: &StorePath) -> Option<String> {
    let pos = crate::builtins::derivation_place(ev, path);
    let place = ev.sources.place(pos)?;
    let mut text = String::new();
    let is_file = matches!(place.origin, Origin::File(_));
    (is_file && excerpt(ev, pos, "", &mut text)).then(|| text.trim_start().to_owned())
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

/// How an error is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Options, packages and the user's own files first; what read them only on request.
    #[default]
    Picnix,
    /// As Nix does, to the letter.
    Nix,
}

/// How much of an error is shown, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'a> {
    /// Every frame of the trace.
    pub show_trace: bool,
    /// Files, and directories with all files below them, whose places say nothing to the user: the
    /// modules that read a configuration. They are left out unless the whole trace is shown.
    pub internal: &'a [Vec<u8>],
    /// Whose layout.
    pub layout: Layout,
}

/// What is said where frames were left out.
const TRUNCATED: &str =
    "(stack trace truncated; use '--show-trace' to show the full, detailed trace)";

/// Renders an error with its trace, places, excerpts and hints. Ends without a newline.
pub fn render(ev: &Evaluator<'_>, error: &Error, detail: Detail<'_>) -> String {
    if detail.layout == Layout::Picnix {
        return story::render(ev, error.report(), detail);
    }
    let report = error.report();
    let mut text = String::new();
    if !report.trace.is_empty() {
        let trace: Vec<&Frame> = report.trace.iter().collect();
        write_trace(ev, &trace, detail.show_trace, &mut text);
        text.push_str("\nerror: ");
    }
    text.push_str(&report.message);
    excerpt(ev, report.pos, "", &mut text);
    if let Some(names) = alternatives(&report.suggestions) {
        let _ = write!(text, "\nDid you mean {names}?");
    }
    for hint in &report.hints {
        let _ = write!(text, "\nhint: {hint}");
    }
    indented("error: ", &text)
}

/// Renders an error that is only warned of.
pub(crate) fn render_warning(ev: &Evaluator<'_>, error: &Error) -> String {
    let mut text = error.report().message.clone();
    excerpt(ev, error.report().pos, "", &mut text);
    indented("warning: ", &text)
}

/// Puts `prefix` before the first line and as many spaces before the others; ends of lines are trimmed.
fn indented(prefix: &str, text: &str) -> String {
    let mut out = String::from(prefix);
    let indent = " ".repeat(prefix.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.truncate(out.trim_end_matches([' ', '\t', '\r']).len());
            out.push('\n');
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    // Where the text itself ends with a line end, Nix leaves the indentation of a line that is not there.
    if !text.ends_with('\n') {
        out.truncate(out.trim_end().len());
    }
    out
}

/// Writes frames as Nix does, outermost first: a frame that was shown already is counted, not shown again,
/// where that saves more than [`DUPLICATES_SHOWN`] frames.
fn write_trace(ev: &Evaluator<'_>, trace: &[&Frame], show_trace: bool, out: &mut String) {
    let mut seen = HashSet::new();
    let mut skipped: Vec<&Frame> = Vec::new();
    // A frame with a place counts twice.
    let mut weight = 0;
    let mut truncated = false;
    for frame in trace.iter().rev().filter(|frame| !frame.text.is_empty()) {
        truncated |= !show_trace && weight > WEIGHT_SHOWN;
        if truncated && !frame.always {
            continue;
        }
        if !seen.insert((frame.pos, frame.text.as_str())) {
            skipped.push(frame);
            continue;
        }
        weight += write_skipped(ev, &mut skipped, out);
        weight += 1 + write_frame(ev, frame, out);
    }
    write_skipped(ev, &mut skipped, out);
    if truncated {
        let _ = write!(out, "\n{TRUNCATED}\n");
    }
}

/// Writes a frame; gives 1 if it has a place.
fn write_frame(ev: &Evaluator<'_>, frame: &Frame, out: &mut String) -> usize {
    let _ = write!(out, "\n… {}", frame.text);
    let has_place = excerpt(ev, frame.pos, "  ", out);
    out.push('\n');
    usize::from(has_place)
}

fn write_skipped(
    ev: &Evaluator<'_>,
    skipped: &mut Vec<&Frame>,
    out: &mut String,
) -> usize {
    let mut weight = 0;
    if skipped.len() > DUPLICATES_SHOWN {
        let _ = write!(out, "\n({} duplicate frames omitted)\n", skipped.len());
    } else {
        for frame in skipped.iter() {
            weight += write_frame(ev, frame, out);
        }
    }
    skipped.clear();
    weight
}

/// Writes a place and the lines around it, if it is known.
fn excerpt(ev: &Evaluator<'_>, pos: Pos, indent: &str, out: &mut String) -> bool {
    let (Some(place), Some(source)) = (ev.sources.place(pos), ev.sources.source(pos))
    else {
        return false;
    };
    excerpt_of(ev, source, place, indent, out);
    true
}

fn excerpt_of<'h>(
    ev: &Evaluator<'h>,
    source: &Source<'h>,
    place: Place<'_>,
    indent: &str,
    out: &mut String,
) {
    let lines = ev.sources.line_index(source);
    let column = place.column as usize;
    // Of a line that no terminal can show, the part around the place.
    let left_out =
        if column > LINE_SHOWN_BYTES { column - LINE_SHOWN_BYTES / 2 } else { 0 };
    let _ = write!(out, "\n{indent}at {}:", show_place(place));
    for line in place.line.saturating_sub(1).max(1)..=place.line + 1 {
        let Some(text) = lines.line(source.text, line) else { continue };
        let text = text.get(left_out..).unwrap_or_default();
        let text = &text[..text.len().min(LINE_SHOWN_BYTES)];
        let text = String::from_utf8_lossy(text);
        let _ = write!(out, "\n {line:>5}| {text}");
        if line == place.line {
            let space = " ".repeat(column - left_out);
            let _ = write!(out, "\n      |{space}^");
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
