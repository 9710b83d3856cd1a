//! One file a command.

mod eval;

use std::process::ExitCode;

use picnix_engine::Config;

use crate::args::{Cli, Command};
use crate::error::CommandError;

/// What every command knows.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) show_trace: bool,
}

pub(crate) type Outcome = Result<ExitCode, CommandError>;

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Outcome {
    let mut config = Config::from_env()?;
    if let Some(store) = cli.store {
        config.store_root = config.current_dir.join(store);
    }
    let context = Context { config, show_trace: cli.show_trace };
    match cli.command {
        Command::Eval(args) => eval::run(context, args),
        _ => Err(CommandError::usage("not wired yet")),
    }
}
