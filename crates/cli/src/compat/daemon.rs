//! `nix-daemon --stdio`: what `ssh-ng` starts at the other end.

use std::process::ExitCode;

use super::flags::{self, Arguments, Flag};
use super::settings::{self, Common};
use super::{Stop, usage};
use crate::commands::store::answer_client;

#[derive(Default)]
struct Daemon {
    common: Common,
    stdio: bool,
    others: Vec<String>,
}

impl Arguments for Daemon {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag {
            names: &["--stdio"],
            operands: &[],
            help: "answer one client on standard input and output",
            apply: |flags, _| {
                flags.stdio = true;
                Ok(())
            },
        },
        Flag {
            names: &["--daemon"],
            operands: &[],
            help: "",
            apply: |_, _| usage("only '--stdio' is supported"),
        },
    ];

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn positional(&mut self, arg: String) {
        self.others.push(arg);
    }
}

pub(super) fn help() -> String {
    format!(
        "Usage: nix-daemon --stdio\n\n{}{}",
        flags::describe(Daemon::FLAGS),
        flags::describe(settings::FLAGS),
    )
}

/// Runs the command.
pub(super) fn run(args: Vec<String>) -> Result<ExitCode, Stop> {
    let mut flags = Daemon::default();
    flags::parse(&mut flags, args)?;
    if let Some(other) = flags.others.first() {
        return usage(format!("'{other}' is not a flag of nix-daemon"));
    }
    if !flags.stdio {
        return usage("only '--stdio' is supported");
    }
    let context = flags.common.context()?;
    let engine = context.engine(&flags.common.jobs);
    Ok(answer_client(&engine)?)
}
