//! picnix's own language suite: `tests/lang/*.nix` at the root of the repository; its README says how a case is
//! written.
//!
//! Every case runs on the evaluator with a world in memory. With `PICNIX_PEER_NIX` set to the command prefix of a
//! real Nix (it may be empty, or say `chroot DIR`), that is the judge of the expectations as well. With
//! `PICNIX_UPDATE` set, the expectations are rewritten: from the real Nix where there is one, else from picnix.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that reads a folder and asks another program"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use picnix_eval::pos::Pos;
use picnix_eval::source::{Origin, Place};
use picnix_eval::value::Heap;
use picnix_eval::{Error, Evaluator, Settings};
use picnix_testkit::MemoryWorld;

/// Marks a case whose result is deliberately not Nix's.
const OURS: &str = " (ours)";
/// The folder that relative paths in cases are relative to, as expectations spell it.
const BASE_DIR: &str = "/case";

/// What comes of a case, line by line as it is annotated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// `#~`: what `trace` and `warn` show.
    messages: Vec<String>,
    /// `#=`: the value.
    value: Vec<String>,
    /// `#!`: the error's message.
    error: Vec<String>,
    /// `#@`: the error's line and column.
    place: Vec<String>,
    /// `#?`: what was perhaps meant.
    suggestions: Vec<String>,
}

impl Outcome {
    fn parts(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("#~", &self.messages),
            ("#=", &self.value),
            ("#!", &self.error),
            ("#@", &self.place),
            ("#?", &self.suggestions),
        ]
    }

    fn part(&mut self, mark: &str) -> Option<&mut Vec<String>> {
        match mark {
            "#~" => Some(&mut self.messages),
            "#=" => Some(&mut self.value),
            "#!" => Some(&mut self.error),
            "#@" => Some(&mut self.place),
            "#?" => Some(&mut self.suggestions),
            _ => None,
        }
    }

    fn print(&self) -> String {
        let mut out = String::new();
        for (mark, lines) in self.parts() {
            for line in lines {
                let line = format!("{mark} {line}");
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }
}

struct Case {
    name: String,
    is_ours: bool,
    program: String,
    expected: Outcome,
}

/// A file of cases: what stands before the first, and the cases.
struct Suite {
    path: PathBuf,
    preamble: String,
    cases: Vec<Case>,
}

impl Suite {
    fn parse(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut suite = Self { path, preamble: String::new(), cases: Vec::new() };
        for line in text.lines() {
            let line = line.trim_end();
            let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
            if mark == "#:" {
                let name = rest.trim();
                let plain = name.strip_suffix(OURS);
                suite.cases.push(Case {
                    name: plain.unwrap_or(name).to_owned(),
                    is_ours: plain.is_some(),
                    program: String::new(),
                    expected: Outcome::default(),
                });
                continue;
            }
            let Some(case) = suite.cases.last_mut() else {
                let _ = writeln!(suite.preamble, "{line}");
                continue;
            };
            if let Some(part) = case.expected.part(mark) {
                part.push(rest.strip_prefix(' ').unwrap_or(rest).to_owned());
            } else {
                let is_over = case.expected != Outcome::default();
                let place = suite.path.display();
                assert!(
                    !is_over || line.is_empty(),
                    "{place}: {}: text after the expectations: {line}",
                    case.name
                );
                if !is_over {
                    let _ = writeln!(case.program, "{line}");
                }
            }
        }
        for case in &mut suite.cases {
            case.program.truncate(case.program.trim_end().len());
        }
        suite
    }

    fn print(&self) -> String {
        let mut out = self.preamble.clone();
        for (index, case) in self.cases.iter().enumerate() {
            let ours = if case.is_ours { OURS } else { "" };
            let gap = if index == 0 { "" } else { "\n" };
            let _ = write!(
                out,
                "{gap}#: {}{ours}\n{}\n{}",
                case.name,
                case.program,
                case.expected.print()
            );
        }
        out
    }
}

/// All files of the suite. Every file below the folder is one.
fn suites() -> Vec<Suite> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lang");
    let entries = fs::read_dir(&folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut suites = Vec::new();
    for path in paths {
        let is_suite = path.extension().is_some_and(|extension| extension == "nix");
        assert!(is_suite, "{} is run by nobody: it is no .nix file", path.display());
        let suite = Suite::parse(path);
        let place = suite.path.display();
        assert!(!suite.cases.is_empty(), "{place} has no case");
        let mut names = BTreeSet::new();
        for case in &suite.cases {
            assert!(names.insert(&case.name), "{place} has two cases '{}'", case.name);
        }
        suites.push(suite);
    }
    assert!(!suites.is_empty(), "there are no files in {}", folder.display());
    suites
}

fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(str::to_owned).collect()
}

// ---- picnix -------------------------------------------------------------------------------------

fn evaluate(program: &str) -> Outcome {
    evaluate_in(program, &Heap::new())
}

/// Evaluates while the collector runs again and again.
fn evaluate_collecting(program: &str, every: usize) -> Outcome {
    let heap = Heap::new();
    heap.collect_every(every);
    heap.collected(|| evaluate_in(program, &heap))
}

fn evaluate_in(program: &str, heap: &Heap) -> Outcome {
    let world = MemoryWorld::new();
    let settings =
        Settings { base_dir: BASE_DIR.as_bytes().to_vec(), ..Settings::default() };
    let ev = Evaluator::new(heap, &world, settings);
    let result = ev
        .eval_text(program.as_bytes(), BASE_DIR.as_bytes(), Origin::Text)
        .and_then(|value| ev.force_deep(value, Pos::NONE).map(|()| value))
        .and_then(|value| ev.print_ambiguous(value));
    let mut outcome = match result {
        Ok(text) => Outcome {
            value: lines(&String::from_utf8_lossy(&text)),
            ..Outcome::default()
        },
        Err(error) => failure(&ev, &error),
    };
    outcome.messages = world.messages().iter().flat_map(|text| lines(text)).collect();
    outcome
}

fn failure(ev: &Evaluator<'_>, error: &Error) -> Outcome {
    let report = error.report();
    let place = match ev.sources.place(report.pos) {
        Some(Place { origin: Origin::Text, line, column }) => {
            vec![format!("{line}:{column}")]
        }
        _ => Vec::new(),
    };
    let suggestions = match report.suggestions.as_slice() {
        [] => Vec::new(),
        [one] => vec![one.clone()],
        [many @ .., last] => vec![format!("one of {} or {last}", many.join(", "))],
    };
    Outcome { error: lines(&report.message), place, suggestions, ..Outcome::default() }
}

// ---- the real Nix -------------------------------------------------------------------------------

/// The command prefix of the real Nix, if there is one.
fn peer() -> Option<Vec<String>> {
    let prefix = std::env::var("PICNIX_PEER_NIX").ok()?;
    Some(prefix.split_whitespace().map(str::to_owned).collect())
}

fn ask_peer(prefix: &[String], program: &str) -> Outcome {
    let mut words = prefix.iter().map(String::as_str).chain(["nix-instantiate"]);
    let mut command = Command::new(words.next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    command.args(words).args(["--eval", "--strict", "-E", program]).current_dir(&folder);
    let output = command.output().unwrap();
    let neutral = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).replace(folder.to_str().unwrap(), BASE_DIR)
    };
    let stderr = neutral(&output.stderr);
    let mut outcome = Outcome::default();
    if output.status.success() {
        outcome.value = lines(&neutral(&output.stdout));
        outcome.messages = lines(&stderr);
        return outcome;
    }
    read_report(&stderr, &mut outcome);
    outcome
}

/// Takes Nix's report of an error to pieces.
fn read_report(stderr: &str, outcome: &mut Outcome) {
    let all: Vec<&str> = stderr.lines().collect();
    let first = all.iter().position(|line| line.starts_with("error:")).unwrap();
    outcome.messages = all[..first].iter().map(|line| (*line).to_owned()).collect();
    let last = all
        .iter()
        .rposition(|line| line.trim_start().starts_with("error: "))
        .unwrap_or(first);
    let indent =
        if last == first { 7 } else { all[last].len() - all[last].trim_start().len() };
    let mut is_message = true;
    for (index, line) in all[last..].iter().enumerate() {
        let line = if index == 0 {
            line.trim_start().trim_start_matches("error: ")
        } else {
            line.get(indent..).unwrap_or("")
        };
        if let Some(place) = line.strip_prefix("at «string»:") {
            outcome.place.push(place.trim_end_matches(':').to_owned());
            is_message = false;
        } else if let Some(names) = line.strip_prefix("Did you mean ") {
            outcome.suggestions.push(names.trim_end_matches('?').to_owned());
            is_message = false;
        } else if line.starts_with("at ") || line.contains("--help' for more") {
            is_message = false;
        } else if is_message {
            outcome.error.push(line.to_owned());
        }
    }
    while outcome.error.last().is_some_and(|line| line.trim().is_empty()) {
        outcome.error.pop();
    }
}

// ---- tests --------------------------------------------------------------------------------------

/// Runs all cases on a few threads and gives the outcomes in order.
fn run(cases: &[&Case], judge: impl Fn(&Case) -> Outcome + Sync) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![Outcome::default(); cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let outcome = judge(case);
                    outcomes.lock().unwrap()[index] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Compares outcomes with expectations, or makes them the expectations.
fn check(
    judge: impl Fn(&Case) -> Outcome + Sync,
    includes: impl Fn(&Case) -> bool,
) -> usize {
    let updates = std::env::var_os("PICNIX_UPDATE").is_some();
    let mut problems = String::new();
    let mut count = 0;
    for mut suite in suites() {
        let cases: Vec<&Case> =
            suite.cases.iter().filter(|case| includes(case)).collect();
        count += cases.len();
        let outcomes = run(&cases, &judge);
        let mut outcomes = outcomes.into_iter();
        for case in suite.cases.iter_mut().filter(|case| includes(case)) {
            let outcome = outcomes.next().unwrap();
            if updates {
                case.expected = outcome;
            } else if outcome != case.expected {
                let _ = write!(
                    problems,
                    "{}: {}\n{}\nexpected:\n{}but got:\n{}\n",
                    suite.path.file_name().unwrap().display(),
                    case.name,
                    case.program,
                    case.expected.print(),
                    outcome.print()
                );
            }
        }
        if updates {
            fs::write(&suite.path, suite.print()).unwrap();
        }
    }
    assert!(problems.is_empty(), "{problems}");
    count
}

#[test]
fn cases_give_what_they_say() {
    if std::env::var_os("PICNIX_UPDATE").is_some() && peer().is_some() {
        println!("SKIPPED: the expectations are being rewritten from the real Nix");
        return;
    }
    let count = check(|case| evaluate(&case.program), |_| true);
    println!("{count} cases of tests/lang pass");
}

/// How often the collector runs, in calls and thunks: at every one, and now and then.
const COLLECT_EVERY: [usize; 2] = [1, 13];

#[test]
fn cases_give_the_same_while_memory_is_collected() {
    if std::env::var_os("PICNIX_UPDATE").is_some() {
        println!("SKIPPED: the expectations are being rewritten");
        return;
    }
    for every in COLLECT_EVERY {
        let count = check(|case| evaluate_collecting(&case.program, every), |_| true);
        println!("{count} cases of tests/lang pass, collecting every {every}");
    }
}

#[test]
fn cases_say_what_nix_gives() {
    let Some(prefix) = peer() else {
        println!("SKIPPED: PICNIX_PEER_NIX names no real Nix to judge tests/lang");
        return;
    };
    let count = check(|case| ask_peer(&prefix, &case.program), |case| !case.is_ours);
    println!("{count} cases of tests/lang are as Nix has them");
}
