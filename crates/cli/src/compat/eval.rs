//! Which programs a command line names, and evaluating them.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use picnix_engine::Config;
use picnix_engine::session::{Program, Session, WorkError};
use picnix_eval::pos::Pos;
use picnix_eval::source::Origin;
use picnix_eval::{Value, bail};

use super::flags::Flag;
use crate::error::CommandError;

/// The programs that a command line names.
#[derive(Default)]
pub(super) struct Programs {
    /// The arguments: files, or texts after `-E`.
    pub(super) named: Vec<String>,
    /// `-E`: the arguments are texts.
    pub(super) are_texts: bool,
    /// `-`: the program is on standard input.
    pub(super) stdin: bool,
    /// `-A`
    pub(super) attrs: Vec<String>,
}

/// The flags that say which programs, for every command that takes some.
pub(super) const FLAGS: &[Flag<Programs>] = &[
    Flag {
        names: &["--expr", "-E"],
        operands: &[],
        help: "the arguments are expressions",
        apply: |programs, _| {
            programs.are_texts = true;
            Ok(())
        },
    },
    Flag {
        names: &["--attr", "-A"],
        operands: &["ATTR"],
        help: "select an attribute of the value",
        apply: |programs, operands| {
            programs.attrs.push(operands[0].clone());
            Ok(())
        },
    },
];

impl Programs {
    /// Notes an argument.
    pub(super) fn push(&mut self, arg: String) {
        if arg == "-" {
            self.stdin = true;
        } else {
            self.named.push(arg);
        }
    }

    /// What to evaluate; `default` where nothing was named.
    pub(super) fn load(
        &self,
        config: &Config,
        default: &str,
    ) -> Result<Vec<Program>, CommandError> {
        let mut programs = Vec::new();
        if self.stdin {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map_err(|error| {
                CommandError::user(format!("cannot read standard input: {error}"))
            })?;
            programs.push(Program::Stdin(text));
        } else if self.named.is_empty() && !self.are_texts {
            programs.push(file(config, default));
        }
        for named in &self.named {
            programs.push(if self.are_texts {
                Program::Text(named.clone())
            } else {
                file(config, named)
            });
        }
        Ok(programs)
    }

    /// The attribute paths to select; the value itself if none was named.
    pub(super) fn attr_paths(&self) -> Vec<String> {
        if self.attrs.is_empty() { vec![String::new()] } else { self.attrs.clone() }
    }
}

/// A file, or `<...>` for one that is looked up in the search path.
fn file(config: &Config, named: &str) -> Program {
    if named.starts_with('<') && named.ends_with('>') {
        return Program::Text(format!("import {named}"));
    }
    Program::File(config.current_dir.join(named))
}

/// The value at an attribute path of a program.
pub(super) fn value_at<'h>(
    session: &Session<'_, 'h>,
    program: &Program,
    attrs: &[String],
    mut work: impl FnMut(Value<'h>) -> Result<(), WorkError>,
) -> Result<(), WorkError> {
    let root = session.load(program, &session.config().current_dir)?;
    for attr in attrs {
        work(session.select(root, attr)?)?;
    }
    Ok(())
}

/// A program as it was read.
pub(super) fn print_parsed(
    session: &Session<'_, '_>,
    program: &Program,
) -> picnix_eval::Result<Vec<u8>> {
    let ev = session.ev;
    let base_dir = session.config().current_dir.as_os_str().as_bytes();
    match program {
        Program::File(path) => {
            let path = picnix_eval::canonical_path(path.as_os_str().as_bytes());
            ev.print_parsed_file(ev.heap.bytes(&path))
        }
        Program::Text(text) => ev.print_parsed(text.as_bytes(), base_dir, Origin::Text),
        Program::Stdin(text) => ev.print_parsed(text, base_dir, Origin::Stdin),
        Program::Flake(target) => picnix_eval::bail!(
            Other,
            "flake '{}' is no text that could be parsed",
            target.reference.show()
        ),
    }
}

/// Where a name is found in the search path.
pub(super) fn find_file(
    session: &Session<'_, '_>,
    name: &str,
) -> picnix_eval::Result<Vec<u8>> {
    let ev = session.ev;
    let Value::Attrs(builtins) = ev.builtins() else { unreachable!("it is a set") };
    let nix_path = builtins.get(ev.symbol(b"nixPath")).expect("it is among them").get();
    let arguments = [nix_path, ev.string(name.as_bytes())];
    let find = picnix_eval::builtins::find("findFile").expect("the builtin exists");
    // As in Nix, no trace tells of the builtin, which nobody has called by name.
    match (find.function)(ev, &arguments, Pos::NONE)? {
        Value::Path(path) => Ok(path.bytes.to_vec()),
        other => bail!(Type, "findFile gave {}", other.type_phrase()),
    }
}
