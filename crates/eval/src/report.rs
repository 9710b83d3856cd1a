//! Rendering errors and positions for people.
//!
//! The layout is Nix's: an `error:` line with the message, and under every frame its place and the lines around
//! it. Frames come outermost first and the error itself last, where a terminal shows it.

use std::fmt::Write;

use crate::error::{Error, Kind};
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

/// How much of an error is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'a> {
    /// Every frame of the trace.
    pub show_trace: bool,
    /// Files, and directories with all files below them, whose places say nothing to the user: the
    /// modules that read a configuration. They are left out unless the whole trace is shown.
    pub internal: &'a [Vec<u8>],
}

/// Renders an error with its trace, places, excerpts and hints. Ends without a newline.
pub fn render(ev: &Evaluator<'_>, error: &Error, detail: Detail<'_>) -> String {
    let report = error.report();
    let mut out = String::from("error:");
    let frames: Vec<_> =
        report.trace.iter().filter(|frame| !frame.text.is_empty()).collect();
    let mut shown: Vec<_> = frames
        .iter()
        .rev()
        .filter(|frame| detail.show_trace || is_shown(ev, frame.pos, detail))
        .collect();
    if !detail.show_trace {
        shown.truncate(FRAMES_SHOWN);
    }
    let hidden = frames.len() - shown.len();
    for frame in &shown {
        let _ = write!(out, "\n       … {}", frame.text);
        excerpt(ev, frame.pos, "\n         ", &mut out);
        out.push('\n');
    }
    if hidden > 0 && !shown.is_empty() {
        let _ = write!(out, "\n       {}\n", hidden_text(hidden, "more "));
    }
    out.push_str(if shown.is_empty() { " " } else { "\n       error: " });
    out.push_str(&report.message.trim_start().replace('\n', "\n       "));
    // What was thrown says by itself what is wrong; where the library throws it is of no interest.
    let is_thrown = matches!(report.kind, Kind::Throw | Kind::Abort);
    if !is_thrown || detail.show_trace || !is_internal(ev, report.pos, detail.internal) {
        excerpt(ev, report.pos, "\n       ", &mut out);
    }
    if let Some(names) = alternatives(&report.suggestions) {
        let _ = write!(out, "\n       Did you mean {names}?");
    }
    for hint in &report.hints {
        let _ = write!(out, "\n       hint: {hint}");
    }
    if hidden > 0 && shown.is_empty() {
        let _ = write!(out, "\n       {}", hidden_text(hidden, ""));
    }
    out
}

fn hidden_text(hidden: usize, more: &str) -> String {
    let (frames, are, them) =
        if hidden == 1 { ("frame", "is", "it") } else { ("frames", "are", "them") };
    format!("({hidden} {more}{frames} {are} hidden; use '--show-trace' to show {them})")
}

/// Whether a frame is worth a reader's time who did not ask for all of them.
fn is_shown(ev: &Evaluator<'_>, pos: Pos, detail: Detail<'_>) -> bool {
    pos.is_some() && !is_internal(ev, pos, detail.internal)
}

fn is_internal(ev: &Evaluator<'_>, pos: Pos, internal: &[Vec<u8>]) -> bool {
    let Some(Place { origin: Origin::File(path), .. }) = ev.sources.place(pos) else {
        return false;
    };
    internal.iter().any(|place| {
        path.strip_prefix(place.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
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
