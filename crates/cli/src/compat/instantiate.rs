//! `nix-instantiate`: values and derivations of programs.

use std::path::PathBuf;
use std::process::ExitCode;

use picnix_engine::session::{Program, Session, WorkError, evaluate_in_parallel};
use picnix_engine::world::Writes;
use picnix_engine::{Found, Wanted};
use picnix_eval::builtins::Forcing;
use picnix_eval::builtins::json::{self, PathMode};
use picnix_eval::builtins::xml::{self, Locations};
use picnix_eval::pos::Pos;
use picnix_eval::{Coercion, Value};

use super::eval::{Programs, find_file, print_parsed, value_at};
use super::flags::{self, Arguments, Flag};
use super::settings::{self, Common};
use super::{Stop, usage};
use crate::error::CommandError;
use crate::output;

#[derive(Default)]
struct Instantiate {
    common: Common,
    programs: Programs,
    evaluate: bool,
    parse: bool,
    find_file: bool,
    read_write: bool,
    dry_run: bool,
    style: Style,
    no_location: bool,
    strict: bool,
    add_root: Option<PathBuf>,
}

/// How values are printed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    Raw,
    Json,
    Xml,
}

macro_rules! switch {
    ($names:expr, $help:expr, $field:ident = $value:expr) => {
        Flag {
            names: $names,
            operands: &[],
            help: $help,
            apply: |flags, _| {
                flags.$field = $value;
                Ok(())
            },
        }
    };
}

impl Arguments for Instantiate {
    const FLAGS: &'static [Flag<Self>] = &[
        switch!(&["--eval", "--eval-only"], "print the value", evaluate = true),
        switch!(
            &["--read-write-mode"],
            "let the evaluation write to the store",
            read_write = true
        ),
        Flag {
            names: &["--parse", "--parse-only"],
            operands: &[],
            help: "print the program as it was read",
            apply: |flags, _| {
                flags.parse = true;
                flags.evaluate = true;
                Ok(())
            },
        },
        switch!(
            &["--find-file"],
            "look the arguments up in the search path",
            find_file = true
        ),
        Flag {
            names: &["--add-root"],
            operands: &["LINK"],
            help: "make a link that protects the derivation from collection",
            apply: |flags, operands| {
                flags.add_root = Some(PathBuf::from(&operands[0]));
                Ok(())
            },
        },
        Flag { names: &["--indirect"], operands: &[], help: "", apply: |_, _| Ok(()) },
        switch!(&["--raw"], "print a string as it is", style = Style::Raw),
        switch!(&["--xml"], "print XML", style = Style::Xml),
        switch!(&["--json"], "print JSON", style = Style::Json),
        switch!(&["--no-location"], "leave places out of XML", no_location = true),
        switch!(
            &["--strict"],
            "evaluate the members of sets and lists too",
            strict = true
        ),
        switch!(&["--dry-run"], "write nothing", dry_run = true),
    ];

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn programs(&mut self) -> Option<&mut Programs> {
        Some(&mut self.programs)
    }

    fn positional(&mut self, arg: String) {
        self.programs.push(arg);
    }
}

pub(super) fn help() -> String {
    format!(
        "Usage: nix-instantiate [--eval|--parse|--find-file] [FILE|-E EXPR]... [-A ATTR]...\n\n{}{}{}",
        flags::describe(super::eval::FLAGS),
        flags::describe(Instantiate::FLAGS),
        flags::describe(settings::FLAGS),
    )
}

/// Runs the command.
pub(super) fn run(args: Vec<String>) -> Result<ExitCode, Stop> {
    let mut flags = Instantiate::default();
    flags::parse(&mut flags, args)?;
    flags.common.options.unforced_shown = flags.evaluate && !flags.strict;
    let context = flags.common.context()?;
    let engine = context.engine(&flags.common.jobs);
    let programs = if flags.find_file {
        Vec::new()
    } else {
        flags.programs.load(&engine.config, "./default.nix")?
    };
    let reads_only =
        (flags.evaluate && !flags.read_write) || flags.dry_run || flags.common.read_only;
    let writes = if reads_only { Writes::WhenBuilding } else { Writes::Always };
    // What was printed before an error is shown all the same, as in Nix.
    let mut out = Vec::new();
    let mut found = Vec::new();
    let options = &flags.common.options;
    let result =
        evaluate_in_parallel(&engine, writes, options, output::error, |session| {
            // It may be a second attempt.
            out.clear();
            found.clear();
            if flags.find_file {
                for name in &flags.programs.named {
                    out.extend(find_file(session, name)?);
                    out.push(b'\n');
                }
            }
            for program in &programs {
                if flags.evaluate {
                    print_program(session, program, &flags, &mut out)?;
                } else {
                    found.extend(instantiate(session, program, &flags)?);
                }
            }
            if writes == Writes::Always {
                session.world.flush()?;
            }
            Ok(())
        });
    output::write(&out)?;
    result?;
    for (index, found) in found.iter().enumerate() {
        let line = printed(&engine, found, &flags, index)?;
        output::line(&line)?;
    }
    if !found.is_empty() && flags.add_root.is_none() && flags.common.gc_warning {
        output::error(
            "warning: you did not specify '--add-root'; the result might be removed by the garbage \
             collector",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The line about a derivation: its path, or the link that protects it.
fn printed(
    engine: &picnix_engine::Engine,
    found: &Found,
    flags: &Instantiate,
    index: usize,
) -> Result<String, Stop> {
    let mut line = match &flags.add_root {
        Some(_) if flags.dry_run => {
            return usage("'--add-root' and '--dry-run' contradict each other");
        }
        Some(link) => {
            let number =
                if index == 0 { String::new() } else { format!("-{}", index + 1) };
            let link =
                engine.config.current_dir.join(format!("{}{number}", link.display()));
            let link = engine
                .store()?
                .add_root(&link, &found.drv_path)
                .map_err(|error| CommandError::store(&error))?;
            link.display().to_string()
        }
        None => engine.config.store_dir.print(&found.drv_path),
    };
    if found.output.as_str() != "out" {
        line.push('!');
        line.push_str(found.output.as_str());
    }
    Ok(line)
}

fn instantiate(
    session: &Session<'_, '_>,
    program: &Program,
    flags: &Instantiate,
) -> Result<Vec<Found>, WorkError> {
    let root = session.load(program, &session.config().current_dir)?;
    session.derivations_at(root, &flags.programs.attr_paths())
}

fn print_program(
    session: &Session<'_, '_>,
    program: &Program,
    flags: &Instantiate,
    out: &mut Vec<u8>,
) -> Result<(), WorkError> {
    if flags.parse {
        out.extend(print_parsed(session, program)?);
        out.push(b'\n');
        return Ok(());
    }
    value_at(session, program, &flags.programs.attr_paths(), |value| {
        let value = if session.arguments.is_empty() {
            value
        } else {
            session.ev.auto_call(value, session.arguments)?
        };
        print_value(session, value, flags, out)
    })
}

fn print_value<'h>(
    session: &Session<'_, 'h>,
    value: Value<'h>,
    flags: &Instantiate,
    out: &mut Vec<u8>,
) -> Result<(), WorkError> {
    let ev = session.ev;
    let forcing = if flags.strict { Forcing::Deep } else { Forcing::Nothing };
    let mut string_context = Vec::new();
    match flags.style {
        Style::Raw => {
            let doing = "while generating the nix-instantiate output";
            let string =
                ev.coerce_to_string(value, Pos::NONE, Coercion::STRING, doing)?;
            out.extend_from_slice(string.bytes);
        }
        Style::Xml => {
            let locations =
                if flags.no_location { Locations::Omitted } else { Locations::Written };
            let style = (locations, forcing);
            out.extend(xml::write(ev, value, Pos::NONE, style, &mut string_context)?);
        }
        Style::Json => {
            let style = (PathMode::CopyToStore, forcing);
            let mut write =
                || json::write(ev, value, Pos::NONE, style, &mut string_context);
            out.extend(if flags.strict {
                session.helped(Wanted::Json, write)?
            } else {
                write()?
            });
            out.push(b'\n');
        }
        Style::Plain => {
            out.extend(if flags.strict {
                session.print_deep(value)?
            } else {
                ev.print_ambiguous(value)?
            });
            out.push(b'\n');
        }
    }
    Ok(())
}
