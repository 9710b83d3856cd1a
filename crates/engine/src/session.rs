//! Expressions that a user named, evaluated: files, `-E`, `-A`, `--arg`.
//!
//! An evaluation borrows from its heap, so it runs inside [`evaluate`], which makes heap, world and evaluator,
//! hands them to the caller's work, and turns errors of the language into text with places and excerpts.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use picnix_eval::source::Origin;
use picnix_eval::value::{Advice, Attrs, AttrsBuilder};
use picnix_eval::{Evaluator, Features, Heap, Interrupt, Lints, Settings, Value, report};

use crate::engine::Engine;
use crate::fetchers::Freshness;
use crate::flakes::FlakeTarget;
use crate::locking::LockOptions;
use crate::shadow::Shadow;
use crate::world::{RealWorld, Remains, Writes};
use crate::{Config, Error, Visibility};

/// What evaluation is told from outside, beside the [`Config`].
#[derive(Clone, Debug, Default)]
pub struct EvalOptions {
    /// Take back memory on the way. The work then keeps values on the stack only, or in
    /// [`picnix_eval::value::Items`], while it evaluates others.
    pub collect: bool,
    /// Show every frame of a trace.
    pub show_trace: bool,
    /// Let the program see nothing of the machine.
    pub pure: bool,
    /// `|>` and `<|` are operators.
    pub pipe_operators: bool,
    /// What is printed tells forced values from others, exactly as C++ Nix would.
    pub unforced_shown: bool,
    /// Show what `builtins.traceVerbose` says.
    pub trace_verbose: bool,
    /// `builtins.warn` ends the evaluation.
    pub abort_on_warn: bool,
    /// How long answers of the network are believed.
    pub freshness: Freshness,
    /// The deepest chain of calls; none means the usual.
    pub max_call_depth: Option<usize>,
    /// Evaluation may build nothing.
    pub no_import_from_derivation: bool,
    /// Experimental features of Nix to allow.
    pub features: Features,
    /// What happens at literals that are better written otherwise.
    pub lints: Lints,
    /// A request to stop evaluating.
    pub interrupt: Interrupt,
    /// Let the program see only the search path, and what it puts into the store itself.
    pub restricted: bool,
    /// What may be fetched begins with one of these; none means that everything may, unless `restricted`.
    pub allowed_uris: Option<Vec<String>>,
    /// `--arg NAME EXPR`
    pub arguments: Vec<(String, String)>,
    /// `--argstr NAME STRING`
    pub string_arguments: Vec<(String, String)>,
    /// Files and directories that a trace leaves out, unless all of it is shown.
    pub internal: Vec<Vec<u8>>,
    /// How errors are laid out.
    pub layout: report::Layout,
    /// How flakes are locked.
    pub locking: LockOptions,
}

/// A program that a user named.
#[derive(Clone, Debug)]
pub enum Program {
    /// A file, or a directory with a `default.nix`; absolute.
    File(PathBuf),
    /// `-E`
    Text(String),
    /// `-`
    Stdin(Vec<u8>),
    /// `.#name`
    Flake(FlakeTarget),
}

/// One evaluation: what its work may use.
pub struct Session<'s, 'h> {
    /// The evaluator.
    pub ev: &'s Evaluator<'h>,
    pub(crate) engine: &'s Engine,
    /// The outside.
    pub world: &'s RealWorld<'s>,
    /// The arguments for functions at the top.
    pub arguments: &'h Attrs<'h>,
    /// The outside of each helper that there may be.
    pub(crate) shadows: &'h [Shadow<'h>],
    /// How flakes are locked.
    pub(crate) locking: &'s LockOptions,
}

/// Runs `work` in a new evaluation, on one core.
///
/// # Errors
/// Whatever the work fails with; an error of the language as rendered text.
pub fn evaluate<T>(
    engine: &Engine,
    writes: Writes,
    options: &EvalOptions,
    show_message: impl Fn(&str),
    work: impl FnOnce(&Session<'_, '_>) -> Result<T, WorkError>,
) -> Result<T, Error> {
    let (result, _) =
        attempt(engine, (writes, options), &show_message, (1, Remains::default()), work);
    result.unwrap_or_else(|| unreachable!("one core is enough for one core"))
}

/// Runs `work` in a new evaluation, with as many cores as the settings allow for what the session offers to do in
/// parallel. It may be run a second time, from the beginning, on one core.
///
/// # Errors
/// Whatever the work fails with; an error of the language as rendered text.
pub fn evaluate_in_parallel<T>(
    engine: &Engine,
    writes: Writes,
    options: &EvalOptions,
    show_message: impl Fn(&str),
    mut work: impl FnMut(&Session<'_, '_>) -> Result<T, WorkError>,
) -> Result<T, Error> {
    let mut cores = engine.config.settings.eval_cores()?;
    let mut earlier = Remains::default();
    loop {
        let (result, remains) = attempt(
            engine,
            (writes, options),
            &show_message,
            (cores, earlier),
            &mut work,
        );
        match result {
            Some(result) => return result,
            None => (cores, earlier) = (1, remains),
        }
    }
}

/// One attempt at an evaluation. No result means that it has to be done once more, on one core.
fn attempt<T>(
    engine: &Engine,
    (writes, options): (Writes, &EvalOptions),
    show_message: &dyn Fn(&str),
    (cores, earlier): (usize, Remains),
    work: impl FnOnce(&Session<'_, '_>) -> Result<T, WorkError>,
) -> (Option<Result<T, Error>>, Remains) {
    let heap = Heap::with_advice(Some(Advice {
        small: picnix_sandbox::memory::advise_large_pages,
        large: picnix_sandbox::memory::populate,
    }));
    let visibility = match (options.pure, options.restricted) {
        (true, _) => Visibility::Pure,
        (false, true) => Visibility::Restricted,
        (false, false) => Visibility::Everything,
    };
    let world = RealWorld::new(engine, writes, visibility, Box::new(show_message))
        .with_freshness(options.freshness)
        .after(earlier);
    let config = &engine.config;
    let shadows = world.shadows(cores - 1);
    let ev = Evaluator::new(&heap, &world, settings(config, options));
    let render = |error: &picnix_eval::Error| {
        let detail = report::Detail {
            show_trace: options.show_trace,
            internal: &options.internal,
            layout: options.layout,
        };
        Error::evaluation(error, report::render(&ev, error, detail))
    };
    let arguments = match arguments(&ev, config, options) {
        Ok(arguments) => arguments,
        Err(error) => return (Some(Err(render(&error))), Remains::default()),
    };
    let session = Session {
        ev: &ev,
        engine,
        world: &world,
        arguments,
        shadows: &shadows,
        locking: &options.locking,
    };
    ev.hold(Value::Attrs(arguments));
    if let Some(count) = config.collect_every {
        heap.collect_every(count);
    }
    let result =
        if options.collect { heap.collected(|| work(&session)) } else { work(&session) };
    match result {
        Ok(result) => (Some(Ok(result)), Remains::default()),
        Err(WorkError::Again) => (None, world.remains()),
        Err(WorkError::Language(error))
            if ev.was_helped() && is_other_alone(&error, options) =>
        {
            (None, world.remains())
        }
        Err(WorkError::Language(error)) => {
            (Some(Err(render(&error))), Remains::default())
        }
        Err(WorkError::Engine(error)) => (Some(Err(error)), Remains::default()),
    }
}

/// Whether an error may be another one, or none, where there is no help: what it says may depend on what was forced before
/// it. A build would fail again.
fn is_other_alone(error: &picnix_eval::Error, options: &EvalOptions) -> bool {
    error.kind() != picnix_eval::error::Kind::Build && !options.interrupt.is_requested()
}

/// Why the work of an evaluation failed.
pub enum WorkError {
    /// The program is wrong.
    Language(picnix_eval::Error),
    /// Something else is.
    Engine(Error),
    /// Nothing is wrong, but everything has to be done once more, on one core.
    Again,
}

impl From<picnix_eval::Error> for WorkError {
    fn from(error: picnix_eval::Error) -> Self {
        Self::Language(error)
    }
}

impl From<Error> for WorkError {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<picnix_eval::world::WorldError> for WorkError {
    fn from(error: picnix_eval::world::WorldError) -> Self {
        Self::Engine(Error::Evaluation(format!("error: {error}")))
    }
}

fn settings(config: &Config, options: &EvalOptions) -> Settings {
    let defaults = Settings::default();
    Settings {
        search_path: if options.pure { Vec::new() } else { config.search_path.clone() },
        base_dir: config.current_dir.as_os_str().as_bytes().to_vec(),
        home_dir: config.home_dir.as_ref().map(|dir| dir.as_os_str().as_bytes().to_vec()),
        pure: options.pure,
        pipe_operators: options.pipe_operators,
        unforced_shown: options.unforced_shown,
        trace_verbose: options.trace_verbose,
        abort_on_warn: options.abort_on_warn,
        show_trace: options.show_trace,
        allow_import_from_derivation: !options.no_import_from_derivation,
        max_call_depth: options.max_call_depth.unwrap_or(defaults.max_call_depth),
        features: options.features,
        lints: options.lints,
        interrupt: options.interrupt.clone(),
        restricted: options.restricted,
        allowed_uris: options.allowed_uris.clone(),
    }
}

fn arguments<'h>(
    ev: &Evaluator<'h>,
    config: &Config,
    options: &EvalOptions,
) -> picnix_eval::Result<&'h Attrs<'h>> {
    let mut arguments = AttrsBuilder::new();
    let base_dir = config.current_dir.as_os_str().as_bytes();
    for (name, text) in &options.arguments {
        let value = ev.delay_text(text.as_bytes(), base_dir, Origin::Text)?;
        arguments.insert(ev.symbol(name.as_bytes()), value);
    }
    for (name, text) in &options.string_arguments {
        arguments.insert(ev.symbol(name.as_bytes()), ev.string(text.as_bytes()));
    }
    Ok(arguments.finish(ev.heap))
}

impl<'h> Session<'_, 'h> {
    /// The settings of this run.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// What builds and fetches for this evaluation.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.engine
    }

    /// An error as text, for work that goes on after it.
    #[must_use]
    pub fn render(&self, error: WorkError) -> Error {
        match error {
            WorkError::Engine(error) => error,
            WorkError::Again => Error::Evaluation(
                "error: the evaluation has to be done again, on one core".to_owned(),
            ),
            WorkError::Language(error) => {
                let show_trace = self.ev.show_trace.get();
                let layout = report::Layout::Nix;
                let detail = report::Detail { show_trace, internal: &[], layout };
                Error::evaluation(&error, report::render(self.ev, &error, detail))
            }
        }
    }

    /// The value of a program.
    ///
    /// # Errors
    /// It cannot be read, parsed or evaluated.
    pub fn load(
        &self,
        program: &Program,
        base_dir: &Path,
    ) -> Result<Value<'h>, WorkError> {
        let base_dir = base_dir.as_os_str().as_bytes();
        let value = match program {
            Program::File(path) => {
                let path = picnix_eval::canonical_path(path.as_os_str().as_bytes());
                self.ev
                    .import_file(self.ev.heap.bytes(&path), picnix_eval::pos::Pos::NONE)?
            }
            Program::Text(text) => {
                self.ev.eval_text(text.as_bytes(), base_dir, Origin::Text)?
            }
            Program::Stdin(text) => self.ev.eval_text(text, base_dir, Origin::Stdin)?,
            Program::Flake(target) => {
                let system = &self.config().system;
                let roots =
                    ["packages", "legacyPackages"].map(|set| format!("{set}.{system}"));
                return self.load_target(target, &roots);
            }
        };
        Ok(value)
    }

    /// The value at an attribute path such as `config.system.build` or `packages."a.b"`.
    ///
    /// # Errors
    /// The path is malformed, or something on it is missing.
    pub fn select(&self, value: Value<'h>, path: &str) -> picnix_eval::Result<Value<'h>> {
        let names = parse_attr_path(path)?;
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        self.ev.select_path(value, &names, self.arguments)
    }
}

/// Splits an attribute path at dots; a name in double quotes may contain dots.
///
/// # Errors
/// A quote is not closed.
pub(crate) fn parse_attr_path(path: &str) -> picnix_eval::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    for character in path.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    if quoted {
        picnix_eval::bail!(Syntax, "missing closing quote in selection path '{path}'");
    }
    // As in Nix, an empty name at the end is none.
    if !name.is_empty() {
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_paths_split_at_dots_outside_quotes() {
        let parse = |path| parse_attr_path(path).unwrap();
        assert_eq!(parse(""), Vec::<String>::new());
        assert_eq!(parse("a.b"), ["a", "b"]);
        assert_eq!(parse("a.\"b.c\".d"), ["a", "b.c", "d"]);
        assert_eq!(parse("\"\""), Vec::<String>::new());
        assert!(parse_attr_path("a.\"b").is_err());
    }
}
