//! Showing how a build goes: bars on a terminal, lines elsewhere, JSON for machines.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use picnix_build::{Event, Observer, StepKind};
use picnix_store_core::StorePath;
use serde_json::json;

use crate::args::LogFormat;
use crate::output;

/// The most bytes of a log line that are shown beside a bar.
const SHOWN_LINE_BYTES: usize = 80;

/// Whether a build has been planned and is, as far as we know, under way.
pub(crate) static BUILDING: AtomicBool = AtomicBool::new(false);

/// Shows what happens.
pub(crate) struct Progress {
    style: Style,
    state: Mutex<State>,
}

enum Style {
    Bars(MultiProgress),
    Lines,
    Json,
    Quiet,
}

#[derive(Default)]
struct State {
    total: usize,
    done: usize,
    summary: Option<ProgressBar>,
    steps: BTreeMap<StorePath, Step>,
}

#[derive(Default)]
struct Step {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Makes a display of the kind that was asked for.
    pub(crate) fn new(format: LogFormat) -> Self {
        let style = match format {
            LogFormat::Auto if std::io::stderr().is_terminal() => {
                Style::Bars(MultiProgress::new())
            }
            LogFormat::Auto | LogFormat::Plain => Style::Lines,
            LogFormat::Bar => Style::Bars(MultiProgress::new()),
            LogFormat::Json => Style::Json,
            LogFormat::Quiet => Style::Quiet,
        };
        Self { style, state: Mutex::default() }
    }

    fn planned(&self, state: &mut State, builds: usize, fetches: usize, copies: usize) {
        BUILDING.store(true, Ordering::SeqCst);
        state.total = builds + fetches + copies;
        state.done = 0;
        if state.total == 0 {
            return;
        }
        match &self.style {
            Style::Bars(bars) => {
                let bar = bars.add(ProgressBar::new(state.total as u64));
                bar.set_style(style("{pos}/{len} done {wide_bar} {elapsed}"));
                state.summary = Some(bar);
            }
            Style::Lines => output::error(&format!(
                "picnix: {}{} to fetch, {} to build",
                if copies == 0 {
                    String::new()
                } else {
                    format!("{} to copy from caches, ", count(copies, "path"))
                },
                count(fetches, "file"),
                count(builds, "derivation")
            )),
            Style::Json => emit(&json!({
                "event": "planned", "builds": builds, "fetches": fetches,
                "copies": copies
            })),
            Style::Quiet => {}
        }
    }

    fn warned(&self, message: &str) {
        match &self.style {
            Style::Bars(bars) => {
                // That a terminal cannot be written cannot be reported anywhere.
                let _ = bars.println(format!("warning: {message}"));
            }
            Style::Lines => output::error(&format!("warning: {message}")),
            Style::Json => emit(&json!({ "event": "warning", "message": message })),
            Style::Quiet => {}
        }
    }

    fn started(&self, state: &mut State, path: &StorePath, kind: StepKind) {
        let verb = match kind {
            StepKind::Copy => "copying",
            StepKind::Fetch => "fetching",
            StepKind::Builtin | StepKind::Box => "building",
        };
        let name = short_name(path);
        let mut step = Step::default();
        match &self.style {
            Style::Bars(bars) => {
                let bar = bars.add(ProgressBar::no_length());
                bar.set_style(style("{prefix} {wide_msg}"));
                bar.set_prefix(format!("{verb} {name}"));
                step.bar = Some(bar);
            }
            Style::Lines => output::error(&format!("{verb} {name}")),
            Style::Json => emit(&json!({
                "event": "started", "drv": path.to_string(), "action": verb
            })),
            Style::Quiet => {}
        }
        state.steps.insert(path.clone(), step);
    }

    fn dispatched(&self, state: &State, path: &StorePath, machine: &str) {
        match &self.style {
            Style::Lines => {
                let name = short_name(path);
                output::error(&format!("building {name} on '{machine}'"));
            }
            Style::Json => emit(&json!({
                "event": "dispatched", "drv": path.to_string(), "machine": machine
            })),
            Style::Bars(_) => {
                if let Some(bar) =
                    state.steps.get(path).and_then(|step| step.bar.as_ref())
                {
                    bar.set_message(format!("on '{machine}'"));
                }
            }
            Style::Quiet => {}
        }
    }

    fn logged(&self, state: &State, path: &StorePath, line: &[u8]) {
        let line = String::from_utf8_lossy(line).into_owned();
        if let Style::Json = self.style {
            emit(&json!({ "event": "log", "drv": path.to_string(), "line": line }));
        }
        let Some(step) = state.steps.get(path) else { return };
        if let Some(bar) = &step.bar {
            bar.set_message(shortened(&line));
        }
    }

    fn progressed(&self, state: &State, path: &StorePath, done: u64, total: Option<u64>) {
        if let Style::Json = self.style {
            emit(&json!({
                "event": "progress", "drv": path.to_string(), "done_bytes": done,
                "total_bytes": total
            }));
        }
        let Some(bar) = state.steps.get(path).and_then(|step| step.bar.as_ref()) else {
            return;
        };
        let megabytes =
            |bytes: u64| format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10);
        bar.set_message(match total {
            Some(total) => format!("{} of {} MB", megabytes(done), megabytes(total)),
            None => format!("{} MB", megabytes(done)),
        });
    }

    fn ended(&self, state: &mut State, path: &StorePath, is_success: bool) {
        state.done += 1;
        if let Some(step) = state.steps.remove(path)
            && let (Some(bar), Style::Bars(bars)) = (step.bar, &self.style)
        {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
        if let Some(summary) = &state.summary {
            summary.set_position(state.done as u64);
            if state.done >= state.total {
                summary.finish_and_clear();
            }
        }
        if let Style::Json = self.style {
            let event = if is_success { "finished" } else { "failed" };
            emit(&json!({ "event": event, "drv": path.to_string() }));
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { builds, fetches, copies } => {
                self.planned(&mut state, *builds, *fetches, *copies);
            }
            Event::Warning { message } => self.warned(message),
            Event::Started { drv_path, kind } => {
                self.started(&mut state, drv_path, *kind)
            }
            Event::Log { drv_path, line } => self.logged(&state, drv_path, line),
            Event::Progress { drv_path, done_bytes, total_bytes } => {
                self.progressed(&state, drv_path, *done_bytes, *total_bytes);
            }
            Event::Waiting { drv_path } => {
                let name = short_name(drv_path);
                match &self.style {
                    Style::Lines => output::error(&format!(
                        "waiting for another process that builds {name}"
                    )),
                    Style::Json => emit(&json!({
                        "event": "waiting", "drv": drv_path.to_string()
                    })),
                    Style::Bars(_) | Style::Quiet => {}
                }
            }
            Event::Dispatched { drv_path, machine } => {
                self.dispatched(&state, drv_path, machine);
            }
            Event::Finished { drv_path, .. } => self.ended(&mut state, drv_path, true),
            Event::Failed { drv_path, .. } => self.ended(&mut state, drv_path, false),
            _ => {}
        }
    }
}

fn emit(value: &serde_json::Value) {
    output::error(&value.to_string());
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn short_name(path: &StorePath) -> String {
    path.derivation_name().unwrap_or(path.name()).to_owned()
}

fn shortened(line: &str) -> String {
    line.chars()
        .filter(|character| !character.is_control())
        .take(SHOWN_LINE_BYTES)
        .collect()
}
