//! `picnix repl`: expressions and bindings, evaluated one after the other.
//!
//! Commands, words and the shape of the output are those of `nix repl`, so that habits and scripts work on. It is
//! a loop over lines, from a terminal with line editing or from a pipe; what a line starts and does not finish is
//! continued on the next. Errors and Ctrl-C end what is being done, never the loop.

mod commands;
mod complete;
mod docs;
mod input;
mod shell;

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use picnix_build::{Cancel, Purpose};
use picnix_engine::flakes::FlakeTarget;
use picnix_engine::session::{Program, Session, WorkError, evaluate};
use picnix_engine::world::Writes;
use picnix_eval::{Entry, Errors, Interactive, Interrupt, PrintOptions, Value};

use crate::args::{JobArgs, ReplArgs};
use crate::commands::eval::{attr_paths, is_flake, prepare};
use crate::commands::{Context, Outcome};
use crate::error::CommandError;
use crate::{interrupt, output};
use input::{Input, Line};

/// What a step of the loop gives, or why it failed.
pub(super) type Step<T> = Result<T, Failure>;

/// Why a line failed. The loop goes on.
pub(super) enum Failure {
    /// The program is wrong, or the engine failed.
    Work(WorkError),
    /// The command is wrong.
    Message(String),
    /// The line needs another.
    Incomplete,
}

impl<E: Into<WorkError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Work(error.into())
    }
}

/// What the loop knows.
pub(super) struct Repl<'r, 'h> {
    pub(super) session: &'r Session<'r, 'h>,
    pub(super) scope: RefCell<Interactive<'h>>,
    /// What the command line named, loaded again by `:r`.
    start: &'r [Start],
    /// Files that `:l` loaded, oldest first.
    files: RefCell<Vec<String>>,
    /// Flakes that `:lf` loaded, oldest first.
    flakes: RefCell<Vec<String>>,
    /// The names that the last loading added, as Nix orders them.
    last_loaded: RefCell<Option<Vec<String>>>,
    colors: bool,
    is_over: Cell<bool>,
}

/// Something that the command line names.
pub(super) struct Start {
    program: Program,
    attr: String,
    shown: String,
}

/// `picnix repl`
pub(crate) fn run(mut context: Context, args: &ReplArgs) -> Outcome {
    let (program, mut options) = prepare(&mut context, &args.program)?;
    // A prompt is for looking around: it sees the machine unless it is told not to.
    options.pure = args.program.pure_eval;
    let start = starts(&context, args, program)?;
    let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let (cancel, interrupt) = (Cancel::new(), Interrupt::default());
    options.interrupt = interrupt.clone();
    let stop = (cancel.clone(), interrupt.clone());
    let jobs = JobArgs::default();
    let engine = context.engine_with(&jobs, Purpose::Realise, cancel.clone());
    let version = env!("CARGO_PKG_VERSION");
    let language = picnix_eval::NIX_VERSION;
    output::error(&format!("picnix {version} (Nix {language})\nType :? for help."));
    let base_dir = engine.config.current_dir.clone();
    let history = engine.config.store_root.join("repl-history");
    evaluate(&engine, Writes::Always, &options, output::error, |session| {
        let base_dir = std::os::unix::ffi::OsStrExt::as_bytes(base_dir.as_os_str());
        let repl = Repl {
            session,
            scope: RefCell::new(Interactive::new(session.ev, base_dir)),
            start: &start,
            files: RefCell::default(),
            flakes: RefCell::default(),
            last_loaded: RefCell::default(),
            colors: on_terminal && engine.config.var("NO_COLOR").is_none(),
            is_over: Cell::new(false),
        };
        // The line editor puts a handler of its own in the place of those before it: ours come after.
        let input = Input::new(&repl, on_terminal, &history);
        interrupt::listen_at_prompt(on_terminal, move || {
            stop.1.request();
            stop.0.cancel();
        });
        let again = || {
            interrupt::set_working(true);
            cancel.clear();
            interrupt.clear();
        };
        again();
        repl.load_start().map_err(|failure| match failure {
            Failure::Work(error) => error,
            Failure::Message(message) => evaluation(message),
            Failure::Incomplete => evaluation("unexpected end of input".to_owned()),
        })?;
        interrupt::set_working(false);
        repl.run_lines(input, again)
            .map_err(|error| evaluation(format!("cannot read or write lines: {error}")))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn evaluation(message: String) -> WorkError {
    picnix_engine::Error::Evaluation(format!("error: {message}")).into()
}

/// What the command line names: an expression or a file with attributes of it, files, flakes.
fn starts(
    context: &Context,
    args: &ReplArgs,
    program: Program,
) -> Result<Vec<Start>, CommandError> {
    let current_dir = &context.config.current_dir;
    let mut starts = Vec::new();
    if let Some(name) = args.program.expr.as_deref() {
        for attr in attr_paths(&args.program) {
            let shown = format!("({name})");
            starts.push(Start { program: program.clone(), attr, shown });
        }
    }
    let named: Vec<&PathBuf> = args.program.file.iter().chain(&args.more).collect();
    for path in named.into_iter().chain(&args.load) {
        let shown = path.display().to_string();
        let is_flake =
            is_flake(path) || current_dir.join(path).join("flake.nix").exists();
        let is_loaded = args.load.contains(path);
        let looks_like_flake = !current_dir.join(path).exists() && !is_loaded;
        let program = if (is_flake && !is_loaded) || looks_like_flake {
            Program::Flake(FlakeTarget::parse(&shown, current_dir)?)
        } else {
            Program::File(current_dir.join(path))
        };
        for attr in attr_paths(&args.program) {
            starts.push(Start { program: program.clone(), attr, shown: shown.clone() });
        }
    }
    Ok(starts)
}

impl<'h> Repl<'_, 'h> {
    fn run_lines(
        &self,
        mut input: Input<'_, '_, 'h>,
        again: impl Fn(),
    ) -> std::io::Result<()> {
        let mut text = String::new();
        while !self.is_over.get() {
            match input.read(!text.is_empty())? {
                Line::End => {
                    output::write(b"\n")?;
                    return Ok(());
                }
                Line::Interrupted => {
                    text.clear();
                    continue;
                }
                Line::Text(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            again();
            let result = self.process(text.trim_matches([' ', '\n', '\r', '\t']));
            interrupt::set_working(false);
            match result {
                Err(Failure::Incomplete) => continue,
                Err(Failure::Message(message)) => {
                    output::error(&format!("error: {message}"))
                }
                Err(Failure::Work(error)) => {
                    CommandError::from(self.session.render(error)).report();
                }
                Ok(()) => {}
            }
            input.remember(text.trim_end());
            text.clear();
            if !self.is_over.get() {
                output::write(b"\n")?;
            }
        }
        Ok(())
    }

    fn process(&self, text: &str) -> Step<()> {
        if text.is_empty() {
            return Ok(());
        }
        if text.starts_with(':') {
            let end = text.find([' ', '\n', '\r', '\t']).unwrap_or(text.len());
            return self.command(&text[..end], text[end..].trim());
        }
        let ev = self.session.ev;
        let entry = self.scope.borrow().read(ev, text)?;
        match entry {
            Entry::Incomplete => Err(Failure::Incomplete),
            Entry::Bindings(bindings) => {
                Ok(self.scope.borrow_mut().bind(ev, bindings)?)
            }
            Entry::Expr(expr) => {
                let value = self.scope.borrow().evaluate(ev, expr)?;
                self.print(value, 1)
            }
        }
    }

    /// The value of an expression in the scope of the prompt.
    pub(super) fn evaluate(&self, text: &str) -> Step<Value<'h>> {
        let ev = self.session.ev;
        let scope = self.scope.borrow();
        match scope.read_expr(ev, text)? {
            Entry::Expr(expr) => Ok(scope.evaluate(ev, expr)?),
            Entry::Bindings(_) | Entry::Incomplete => Err(Failure::Incomplete),
        }
    }

    pub(super) fn print(&self, value: Value<'h>, max_depth: usize) -> Step<()> {
        let options = PrintOptions {
            max_depth,
            colors: self.colors,
            errors: Errors::InlineBelowTop,
            ..PrintOptions::PRETTY
        };
        let mut printed = Vec::new();
        let result = self.session.ev.print_value_to(value, &options, &mut printed);
        if result.is_ok() {
            printed.push(b'\n');
        }
        // What was printed before an error is shown too, as in Nix.
        self.write(&printed)?;
        Ok(result?)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Step<()> {
        output::write(bytes)
            .map_err(|error| Failure::Message(format!("cannot write: {error}")))
    }

    // ---- loading --------------------------------------------------------------------------------

    pub(super) fn load_start(&self) -> Step<()> {
        for Start { program, attr, shown } in self.start {
            output::error(&format!("Loading '{shown}'..."));
            let value = match program {
                Program::Flake(target) if target.fragment.is_empty() => {
                    self.session.load_flake(&target.reference)?
                }
                program => {
                    self.session.load(program, &self.session.config().current_dir)?
                }
            };
            let value = self.session.select(value, attr)?;
            self.add_attrs(self.session.ev.auto_call(value, self.session.arguments)?)?;
        }
        Ok(())
    }

    pub(super) fn add_attrs(&self, value: Value<'h>) -> Step<()> {
        const SHOWN: usize = 20;
        let ev = self.session.ev;
        let doing = "while evaluating an attribute set to be merged in the global scope";
        let attrs = ev.expect_attrs(value, picnix_eval::pos::Pos::NONE, doing)?;
        self.scope.borrow_mut().add_attrs(ev, attrs);
        let sorted = ev.sorted_by_name(attrs);
        let names: Vec<String> =
            sorted.iter().map(|attr| ev.symbols.text(attr.name)).collect();
        let shown: Vec<String> =
            sorted.iter().take(SHOWN).map(|attr| ev.show_name(attr.name)).collect();
        let count = names.len();
        output::error(&format!("Added {count} variables.\n{}", shown.join(", ")));
        if count > SHOWN {
            output::error(&format!("... and {} more; view with :ll", count - SHOWN));
        }
        *self.last_loaded.borrow_mut() = Some(names);
        Ok(())
    }
}
