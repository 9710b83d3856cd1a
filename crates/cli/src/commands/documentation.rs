//! Manual pages and completions, made from the flags.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use super::Outcome;
use crate::args::Cli;
use crate::error::CommandError;
use crate::output;

/// `picnix completions SHELL`
pub(crate) fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "picnix", &mut script);
    output::write(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// `picnix man DIR`
pub(crate) fn man(dir: &Path) -> Outcome {
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| {
        CommandError::user(format!("cannot write to '{}': {error}", dir.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}
