//! What can be typed after a colon.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use picnix_build::{Outputs, Target};
use picnix_engine::flakes::FlakeTarget;
use picnix_engine::session::{Program, WorkError};
use picnix_eval::pos::Pos;
use picnix_eval::source::{Origin, Place};
use picnix_eval::{Value, canonical_path, sym};
use picnix_store_core::{OutputName, StorePath};

use super::{Failure, Repl, Step};
use crate::output;

/// A command: its names, and what `:?` says of it.
pub(super) struct Command {
    pub(super) names: &'static [&'static str],
    what: What,
    argument: &'static str,
    help: &'static str,
}

/// What a command does.
#[derive(Clone, Copy)]
enum What {
    Help,
    Add,
    Build,
    BuildLinked,
    Edit,
    Environment,
    Install,
    Load,
    LoadFlake,
    LastLoaded,
    Print,
    Quit,
    Reload,
    Shell,
    Type,
    UseShell,
    Doc,
    Log,
    TraceEnable,
}

const fn command(
    names: &'static [&'static str],
    what: What,
    argument: &'static str,
    help: &'static str,
) -> Command {
    Command { names, what, argument, help }
}

/// All commands, in the order of `:?`.
pub(super) const COMMANDS: &[Command] = &[
    command(
        &[":a", ":add"],
        What::Add,
        "<expr>",
        "Add attributes from resulting set to scope",
    ),
    command(&[":b"], What::Build, "<expr>", "Build a derivation"),
    command(
        &[":bl"],
        What::BuildLinked,
        "<expr>",
        "Build a derivation, creating GC roots in the working directory",
    ),
    command(
        &[":e", ":edit"],
        What::Edit,
        "<expr>",
        "Open package or function in $EDITOR",
    ),
    command(
        &[":env"],
        What::Environment,
        "",
        "List the variables that were added to scope",
    ),
    command(
        &[":i"],
        What::Install,
        "<expr>",
        "Build a derivation, and let the user's profile lead to it",
    ),
    command(
        &[":l", ":load"],
        What::Load,
        "<path>",
        "Load Nix expression and add it to scope",
    ),
    command(
        &[":lf", ":load-flake"],
        What::LoadFlake,
        "<ref>",
        "Load Nix flake and add it to scope",
    ),
    command(
        &[":ll", ":last-loaded"],
        What::LastLoaded,
        "",
        "Show most recently loaded variables added to scope",
    ),
    command(
        &[":p", ":print"],
        What::Print,
        "<expr>",
        "Evaluate and print expression recursively; a string is printed as it is",
    ),
    command(&[":q", ":quit"], What::Quit, "", "Exit the repl"),
    command(&[":r", ":reload"], What::Reload, "", "Reload all files"),
    command(
        &[":sh"],
        What::Shell,
        "<expr>",
        "Build dependencies of derivation, then start nix-shell",
    ),
    command(&[":t"], What::Type, "<expr>", "Describe result of evaluation"),
    command(&[":u"], What::UseShell, "<expr>", "Build derivation, then start nix-shell"),
    command(
        &[":doc"],
        What::Doc,
        "<expr>",
        "Show documentation of a function or an attribute",
    ),
    command(&[":log"], What::Log, "<expr>", "Show logs for a derivation"),
    command(
        &[":te", ":trace-enable"],
        What::TraceEnable,
        "[bool]",
        "Enable, disable or toggle showing traces for errors",
    ),
    command(&[":?", ":help"], What::Help, "", "Brings up this help menu"),
];

impl<'h> Repl<'_, 'h> {
    /// Carries out a command.
    pub(super) fn command(&self, name: &str, argument: &str) -> Step<()> {
        let Some(command) = COMMANDS.iter().find(|command| command.names.contains(&name))
        else {
            return Err(Failure::Message(format!("unknown command '{name}'")));
        };
        match command.what {
            What::Help => self.write(help().as_bytes()),
            What::Add => self.add_attrs(self.evaluate(argument)?),
            What::Build => self.build(argument, false),
            What::BuildLinked => self.build(argument, true),
            What::Edit => self.edit(argument),
            What::Environment => self.environment(),
            What::Install => self.install(argument),
            What::Load => self.load(argument),
            What::LoadFlake => self.load_flake(argument),
            What::LastLoaded => self.last_loaded(),
            What::Print => match self.evaluate(argument)? {
                Value::String(string) => self.write(&[string.bytes, b"\n"].concat()),
                value => self.print(value, usize::MAX),
            },
            What::Quit => {
                self.is_over.set(true);
                Ok(())
            }
            What::Reload => self.reload(),
            What::Shell => {
                let drv_path = self.derivation(argument)?;
                self.shell(&drv_path)
            }
            What::UseShell => {
                let using = self.using(argument)?;
                self.shell(&self.derivation_of(using)?)
            }
            What::Type => {
                let text = self.evaluate(argument)?.type_phrase();
                self.write(format!("{text}\n").as_bytes())
            }
            What::Doc => {
                let text = self.documentation(argument)?;
                self.write(format!("{}\n", text.trim()).as_bytes())
            }
            What::Log => self.log(argument),
            What::TraceEnable => self.trace_enable(name, argument),
        }
    }

    fn environment(&self) -> Step<()> {
        let ev = self.session.ev;
        let scope = self.scope.borrow();
        let mut names: Vec<String> =
            scope.names().iter().map(|name| ev.show_name(*name)).collect();
        names.sort();
        self.write(format!("{}\n", names.join(" ")).as_bytes())
    }

    fn trace_enable(&self, name: &str, argument: &str) -> Step<()> {
        let show_trace = &self.session.ev.show_trace;
        let shows = match argument {
            "" => !show_trace.get(),
            "true" => true,
            "false" => false,
            other => {
                let message = format!("unexpected argument '{other}' to {name}");
                return Err(Failure::Message(message));
            }
        };
        show_trace.set(shows);
        let text =
            if shows { "showing error traces\n" } else { "not showing error traces\n" };
        self.write(text.as_bytes())
    }

    // ---- loading --------------------------------------------------------------------------------

    fn load(&self, path: &str) -> Step<()> {
        self.session.ev.forget_files();
        self.load_file(path)
    }

    fn load_file(&self, path: &str) -> Step<()> {
        if path.is_empty() {
            let message = "cannot use ':load' without a path specified";
            return Err(Failure::Message(message.to_owned()));
        }
        let mut files = self.files.borrow_mut();
        files.retain(|file| file != path);
        files.push(path.to_owned());
        drop(files);
        let config = self.session.config();
        let program = if path.starts_with('<') && path.ends_with('>') {
            Program::Text(format!("import {path}"))
        } else {
            let expanded = match (path.strip_prefix("~/"), &config.home_dir) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(path),
            };
            Program::File(config.current_dir.join(expanded))
        };
        let value = self.session.load(&program, &config.current_dir)?;
        self.add_attrs(self.session.ev.auto_call(value, self.session.arguments)?)
    }

    fn load_flake(&self, reference: &str) -> Step<()> {
        if reference.is_empty() {
            return Err(Failure::Message(
                "cannot use ':load-flake' without a path specified. (Use '.' for the current \
                 working directory.)"
                    .to_owned(),
            ));
        }
        let mut flakes = self.flakes.borrow_mut();
        flakes.retain(|flake| flake != reference);
        flakes.push(reference.to_owned());
        drop(flakes);
        let target = FlakeTarget::parse(reference, &self.session.config().current_dir)
            .map_err(WorkError::from)?;
        if !target.fragment.is_empty() {
            return Err(Failure::Message(format!(
                "unexpected fragment '{}' in flake reference '{reference}'",
                target.fragment
            )));
        }
        if self.session.ev.settings.pure && !target.reference.input.is_locked() {
            return Err(Failure::Message(format!(
                "cannot use ':load-flake' on unlocked flake reference '{reference}' (use --impure \
                 to override)"
            )));
        }
        self.add_attrs(self.session.peek_flake(&target.reference)?)
    }

    fn reload(&self) -> Step<()> {
        let ev = self.session.ev;
        ev.forget_files();
        self.session.world.forget_trees();
        let base_dir = self.session.config().current_dir.as_os_str().as_bytes();
        *self.scope.borrow_mut() = picnix_eval::Interactive::new(ev, base_dir);
        for file in self.files.take() {
            output::error(&format!("Loading '{file}'..."));
            self.load_file(&file)?;
        }
        self.load_start()?;
        for flake in self.flakes.take() {
            output::error(&format!("Loading flake '{flake}'..."));
            self.load_flake(&flake)?;
        }
        Ok(())
    }

    fn last_loaded(&self) -> Step<()> {
        match &*self.last_loaded.borrow() {
            Some(names) => self.write(format!("{}\n", names.join("\n")).as_bytes()),
            None => Err(Failure::Message("nothing has been loaded yet".to_owned())),
        }
    }

    // ---- derivations ----------------------------------------------------------------------------

    /// The derivation that an expression evaluates to, written to the store.
    fn derivation(&self, text: &str) -> Step<StorePath> {
        self.derivation_of(self.evaluate(text)?)
    }

    pub(super) fn derivation_of(&self, value: Value<'h>) -> Step<StorePath> {
        let ev = self.session.ev;
        let attrs = match value {
            Value::Attrs(attrs) if ev.is_derivation(attrs)? => attrs,
            _ => {
                return Err(Failure::Message(
                    "expression does not evaluate to a derivation, so I can't build it"
                        .to_owned(),
                ));
            }
        };
        if attrs.get(sym::DRV_PATH).is_none() {
            return Err(Failure::Message(
                "expression did not evaluate to a valid derivation (no 'drvPath' attribute)"
                    .to_owned(),
            ));
        }
        let found = self.session.found(attrs)?;
        self.session.world.flush()?;
        Ok(found.drv_path)
    }

    /// The outputs of a derivation, built.
    fn built(&self, text: &str) -> Step<BTreeMap<OutputName, StorePath>> {
        let drv_path = self.derivation(text)?;
        let target = Target { drv_path: drv_path.clone(), outputs: Outputs::All };
        let built = self.session.engine().build(&[target]).map_err(WorkError::from)?;
        let outputs = built.get(&drv_path).map(|outputs| (**outputs).clone());
        Ok(outputs.unwrap_or_default())
    }

    /// Lets the user's profile lead to a derivation's first output. A profile leads to one object: what it led to
    /// before is its earlier generation.
    fn install(&self, text: &str) -> Step<()> {
        let outputs = self.built(text)?;
        let found = outputs.get("out").or_else(|| outputs.values().next());
        let Some(path) = found else {
            return Err(Failure::Message("the derivation has no output".to_owned()));
        };
        let engine = self.session.engine();
        let Some(profile) = engine.config.user_profile() else {
            return Err(Failure::Message(
                "there is no home, and so no profile\nhint: 'picnix store profile set' takes any \
                 place for one"
                    .to_owned(),
            ));
        };
        let fail = |error| WorkError::from(picnix_engine::Error::from(error));
        if let Some(folder) = profile.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::Message(format!("cannot make '{}': {error}", folder.display()))
            })?;
        }
        let store = engine.store().map_err(WorkError::from)?;
        let generation = store.set_profile(&profile, path).map_err(fail)?;
        let shown = store.store_dir().print(path);
        let (profile, number) = (profile.display(), generation.number);
        self.write(
            format!("\ngeneration {number} of {profile} leads to {shown}\n").as_bytes(),
        )
    }

    fn build(&self, text: &str, is_linked: bool) -> Step<()> {
        let built = self.built(text)?;
        let engine = self.session.engine();
        let store = engine.store().map_err(WorkError::from)?;
        let mut text = "\nThis derivation produced the following outputs:\n".to_owned();
        for (name, path) in &built {
            let shown = store.store_dir().print(path);
            if is_linked {
                let link = format!("repl-result-{name}");
                store.add_root(&engine.config.current_dir.join(&link), path).map_err(
                    |error| WorkError::from(picnix_engine::Error::from(error)),
                )?;
                text.push_str(&format!("  ./{link} -> {shown}\n"));
            } else {
                text.push_str(&format!("  {name} -> {shown}\n"));
            }
        }
        self.write(text.as_bytes())
    }

    fn log(&self, text: &str) -> Step<()> {
        let drv_path = self.derivation(text)?;
        let store = self.session.engine().store().map_err(WorkError::from)?;
        let shown = store.store_dir().print(&drv_path);
        let missing =
            || Failure::Message(format!("build log of '{shown}' is not available"));
        let log = picnix_build::find_log(store, &drv_path)
            .map_err(|error| WorkError::from(picnix_engine::Error::from(error)))?;
        let bytes = std::fs::read(log.ok_or_else(missing)?).map_err(|_| missing())?;
        self.write(&bytes)
    }

    // ---- the editor -----------------------------------------------------------------------------

    fn edit(&self, text: &str) -> Step<()> {
        let value = self.evaluate(text)?;
        let (file, line) = self.place_of(value)?;
        let config = self.session.config();
        let editor = config.var("EDITOR").filter(|editor| !editor.is_empty());
        let editor = editor.and_then(|editor| editor.into_string().ok());
        let editor = editor.unwrap_or_else(|| "nano".to_owned());
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or("nano");
        let mut process = Process::new(program);
        process.args(words);
        let takes_line = ["emacs", "nano", "vim", "kak"];
        if line > 0 && takes_line.iter().any(|known| editor.contains(known)) {
            process.arg(format!("+{line}"));
        }
        let file = self.session.engine().physical(&file);
        process.arg(&file);
        let ended = process.status().map_err(|error| {
            Failure::Message(format!("cannot run the editor '{program}': {error}"))
        })?;
        if !ended.success() {
            return Err(Failure::Message(format!(
                "the editor '{program}' failed: {ended}"
            )));
        }
        self.reload()
    }

    /// The file and line that a value comes from: a path, a function, a package.
    fn place_of(&self, value: Value<'h>) -> Step<(Vec<u8>, u32)> {
        let ev = self.session.ev;
        let of_pos = |pos: Pos| match ev.sources.place(pos) {
            Some(Place { origin: Origin::File(path), line, .. }) => {
                Some((path.to_vec(), line))
            }
            _ => None,
        };
        let place = match value {
            Value::Path(path) => Some((path.bytes.to_vec(), 0)),
            Value::String(string) => Some((canonical_path(string.bytes), 0)),
            Value::Lambda(closure) => of_pos(closure.lambda.pos),
            Value::Attrs(_) => {
                let position = self.session.select(value, "meta.position")?;
                let doing = "while evaluating the position of a package";
                let text =
                    ev.expect_string(position, Pos::NONE, doing)?.to_string_lossy();
                text.rsplit_once(':').and_then(|(file, line)| {
                    let file = Path::new(file).as_os_str().as_bytes().to_vec();
                    Some((file, line.parse().ok()?))
                })
            }
            _ => None,
        };
        place.ok_or_else(|| {
            Failure::Message(format!(
                "cannot tell in which file {} was written",
                value.type_phrase()
            ))
        })
    }
}

fn help() -> String {
    let mut text = "The following commands are available:\n\n".to_owned();
    let mut line =
        |left: &str, right: &str| text.push_str(&format!("  {left:<28} {right}\n"));
    line("<expr>", "Evaluate and print expression");
    line("<x> = <expr>", "Bind expression to variable");
    for command in COMMANDS {
        let left = format!("{} {}", command.names.join(", "), command.argument);
        line(left.trim_end(), command.help);
    }
    text
}
