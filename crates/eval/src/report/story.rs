//! An error as picnix lays it out: what a user knows comes first.
//!
//! Nix shows the outermost frames of a trace and cuts it where it gets long; these are what every evaluation of
//! that kind begins with. Here frames are told apart. *Named* ones say which option or package was being
//! evaluated, *own* ones lie in the user's files, and all others are machinery, which is shown only where there
//! is nothing better, or with the whole trace. The message itself is Nix's.

use std::fmt::Write;

use super::{
    Detail, TRUNCATED, alternatives, edit_distance, excerpt, excerpt_of, indented,
    similar_names, write_trace,
};
use crate::error::{Frame, Kind, Report};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::source::{Origin, Place};

/// The most named frames shown, the innermost ones.
const NAMED_SHOWN: usize = 6;
/// The most frames of the user's own files shown, the innermost ones.
const OWN_SHOWN: usize = 5;
/// The frames of machinery shown where there are no others.
const MACHINERY_SHOWN: usize = 2;
/// The most places of definitions in a message that are shown.
const DEFINITIONS_SHOWN: usize = 3;
/// The most names that are offered.
const NAMES_SHOWN: usize = 3;
/// A name is near if at most one of so many letters is wrong.
const LETTERS_PER_MISTAKE: usize = 3;

/// How frames about options begin, as the module system words them.
const OPTION: &str = "while evaluating the option `";
/// How frames about attributes begin.
const ATTRIBUTE: &str = "while evaluating the attribute '";
/// How frames about the file of a definition begin.
const DEFINITIONS: &str = "while evaluating definitions from `";
/// How frames about packages begin.
const PACKAGE: &str = "while evaluating derivation '";
/// What the frames about parts of packages have in them.
const OF_PACKAGE: &str = "' of derivation '";
/// What stands in a package's frame before the place of its name.
const LOCATED: &str = "\n  whose name attribute is located at ";
/// How a message begins the place of a definition.
const DEFINED_IN: &str = "- In `";

/// Renders an error.
pub(super) fn render(ev: &Evaluator<'_>, report: &Report, detail: Detail<'_>) -> String {
    let story = Story { ev, report, detail };
    let mut text = String::new();
    let shown = story.write_frames(&mut text);
    if shown > 0 {
        text.push_str("\nerror: ");
    }
    text.push_str(&report.message);
    let ways = story.cycle();
    // What was thrown says by itself what is wrong; where the library throws it is of no interest.
    let is_told = story.is_thrown() || !ways.is_empty();
    if !is_told || !story.is_hidden(report.pos) {
        excerpt(ev, report.pos, "", &mut text);
    }
    story.write_definitions(&mut text);
    if let [first, others @ ..] = &*ways {
        let _ = write!(text, "\nwhat needs itself:\n  {first}");
        for next in others {
            let _ = write!(text, "\n  needs {next}");
        }
        let _ = write!(text, "\n  needs {first}");
    }
    if let Some(names) = alternatives(&story.near_names()) {
        let _ = write!(text, "\nDid you mean {names}?");
    }
    for hint in &report.hints {
        let _ = write!(text, "\nhint: {hint}");
    }
    if !detail.show_trace && shown < report.trace.len() {
        let _ = write!(text, "\n{TRUNCATED}");
    }
    indented("error: ", &text)
}

struct Story<'e, 'h> {
    ev: &'e Evaluator<'h>,
    report: &'e Report,
    detail: Detail<'e>,
}

impl Story<'_, '_> {
    fn is_thrown(&self) -> bool {
        matches!(self.report.kind, Kind::Throw | Kind::Abort)
    }

    fn is_hidden(&self, pos: Pos) -> bool {
        !self.detail.show_trace && self.is_internal(pos)
    }

    fn is_internal(&self, pos: Pos) -> bool {
        match self.ev.sources.place(pos) {
            Some(Place { origin: Origin::File(path), .. }) => self.is_internal_file(path),
            _ => false,
        }
    }

    fn is_internal_file(&self, path: &[u8]) -> bool {
        self.detail.internal.iter().any(|place| {
            path.strip_prefix(place.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }

    /// Writes the frames that are to be shown; says how many they are.
    fn write_frames(&self, out: &mut String) -> usize {
        let trace = &self.report.trace;
        let named = distinct(trace.iter().filter(|frame| self.is_named(frame)));
        if self.detail.show_trace {
            if trace.len() > named.len() {
                named.iter().rev().for_each(|frame| self.write_frame(frame, out));
            }
            let all: Vec<&Frame> = trace.iter().collect();
            write_trace(self.ev, &all, true, out);
            return trace.len();
        }
        let own = distinct(trace.iter().filter(|frame| self.is_own(frame)));
        let named = &named[..named.len().min(NAMED_SHOWN)];
        let mut shown: Vec<&Frame> = named.to_vec();
        shown.reverse();
        shown.extend(own.iter().take(OWN_SHOWN).rev());
        let explains_itself = self.is_thrown()
            || (self.report.pos.is_some() && !self.is_hidden(self.report.pos));
        if shown.is_empty() && !explains_itself {
            let machinery = trace.iter().filter(|frame| !frame.text.is_empty());
            shown.extend(distinct(machinery).into_iter().take(MACHINERY_SHOWN).rev());
        }
        shown.iter().for_each(|frame| self.write_frame(frame, out));
        shown.len()
    }

    /// Whether a frame says which option or package was being evaluated.
    fn is_named(&self, frame: &Frame) -> bool {
        if let Some(file) = frame.text.strip_prefix(DEFINITIONS) {
            let file = file.trim_end_matches(['\'', ':']);
            return !self.is_internal_file(file.as_bytes());
        }
        frame.text.starts_with(OPTION)
            || frame.text.starts_with(PACKAGE)
            || (frame.text.contains(OF_PACKAGE) && self.is_internal(frame.pos))
    }

    /// Whether a frame lies in a file of the user's.
    fn is_own(&self, frame: &Frame) -> bool {
        frame.pos.is_some()
            && !frame.text.is_empty()
            && !self.is_internal(frame.pos)
            && !self.is_named(frame)
    }

    fn write_frame(&self, frame: &Frame, out: &mut String) {
        let (text, place) = match frame.text.split_once(LOCATED) {
            Some((text, place)) => (text, Some(place)),
            None => (frame.text.as_str(), None),
        };
        let _ = write!(out, "\n… {text}");
        if let Some((file, line, column)) = place.and_then(split_place) {
            self.write_excerpt(file, line, Some(column), "  ", out);
        } else if !self.is_hidden(frame.pos) {
            excerpt(self.ev, frame.pos, "  ", out);
        }
        out.push('\n');
    }

    /// Shows a line of a file, unless it is internal or was not read; without a column, from its first letter.
    fn write_excerpt(
        &self,
        file: &str,
        line: u32,
        column: Option<u32>,
        indent: &str,
        out: &mut String,
    ) {
        if !self.detail.show_trace && self.is_internal_file(file.as_bytes()) {
            return;
        }
        let Some(source) = self.ev.sources.file(file.as_bytes()) else { return };
        let lines = self.ev.sources.line_index(source);
        let Some(text) = lines.line(source.text, line) else { return };
        let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let column = column.or_else(|| u32::try_from(blank + 1).ok()).unwrap_or(1);
        let place = Place { origin: source.origin, line, column };
        excerpt_of(self.ev, source, place, indent, out);
    }

    /// Shows the definitions that the module system names in its messages: ``- In `FILE:LINE': VALUE``.
    fn write_definitions(&self, out: &mut String) {
        let mut places = Vec::new();
        for line in self.report.message.lines() {
            let Some(rest) = line.trim_start().strip_prefix(DEFINED_IN) else { continue };
            let Some((place, _)) = rest.split_once('\'') else { continue };
            let Some((file, line)) = place.rsplit_once(':') else { continue };
            let Ok(line) = line.parse() else { continue };
            if !places.contains(&(file, line)) {
                places.push((file, line));
            }
        }
        for (file, line) in places.into_iter().take(DEFINITIONS_SHOWN) {
            self.write_excerpt(file, line, None, "", out);
        }
    }

    /// The way of an infinite recursion from a value to itself: options where there are any, else attributes.
    fn cycle(&self) -> Vec<String> {
        let Some(frames) = self.report.recursion.and_then(|found| found.frames) else {
            return Vec::new();
        };
        let named = |frames: &[Frame], prefix, what: &str, end| -> Vec<String> {
            let mut names: Vec<String> = frames
                .iter()
                .rev()
                .filter_map(|frame| frame.text.strip_prefix(prefix)?.split_once(end))
                .map(|(name, _)| format!("{what} `{name}'"))
                .collect();
            names.dedup();
            if names.len() > 1 && names.first() == names.last() {
                names.pop();
            }
            names
        };
        let trace = &self.report.trace;
        let options = named(&trace[..frames], OPTION, "the option", "':");
        if !options.is_empty() {
            return options;
        }
        // Who asked for an attribute names it: the first one is named outside of itself.
        let with_first = &trace[..trace.len().min(frames + 1)];
        named(with_first, ATTRIBUTE, "the attribute", "'")
    }

    /// The few names that are really near to what was written.
    fn near_names(&self) -> Vec<String> {
        let mut names = self.report.suggestions.clone();
        if names.is_empty() && self.report.kind == Kind::World {
            return self.near_files();
        }
        // The wrong name stands in quotes in the message.
        let written: Vec<&str> =
            self.report.message.split('\'').skip(1).step_by(2).collect();
        let distance = |name: &str| {
            written.iter().map(|wrong| edit_distance(wrong, name)).min().unwrap_or(0)
        };
        let Some(best) = names.iter().map(|name| distance(name)).min() else {
            return names;
        };
        names.retain(|name| {
            let mistakes = (name.len() / LETTERS_PER_MISTAKE).max(1);
            distance(name) == best && best <= mistakes
        });
        names.truncate(NAMES_SHOWN);
        names
    }

    /// The files whose names are like that of one that is not there.
    fn near_files(&self) -> Vec<String> {
        let message = self.report.message.as_str();
        let missing = message
            .split_once("path '")
            .and_then(|(_, rest)| rest.split_once("' does not exist"));
        let Some((path, _)) = missing else { return Vec::new() };
        let Some((folder, name)) = path.rsplit_once('/') else { return Vec::new() };
        let Ok(entries) = self.ev.world.read_dir(format!("{folder}/").as_bytes()) else {
            return Vec::new();
        };
        let known = entries
            .into_iter()
            .filter_map(|(entry, _)| String::from_utf8(entry).ok())
            .filter(|entry| {
                edit_distance(name, entry) <= name.len() / LETTERS_PER_MISTAKE
            });
        let mut names = similar_names(name, known);
        names.truncate(NAMES_SHOWN);
        names.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }
}

/// Frames without those that say the same as one before; the innermost come first.
fn distinct<'e>(frames: impl Iterator<Item = &'e Frame>) -> Vec<&'e Frame> {
    let mut found: Vec<&Frame> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for frame in frames {
        if seen.insert((frame.pos, frame.text.as_str())) {
            found.push(frame);
        }
    }
    found
}

/// `FILE:LINE:COLUMN`
fn split_place(text: &str) -> Option<(&str, u32, u32)> {
    let (rest, column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file, line.parse().ok()?, column.parse().ok()?))
}
