//! The binary `picnix`: arguments, progress, messages, exit codes.
//!
//! Nothing here knows how anything is done: a command reads its flags, asks the engine, and shows the answer.
//! This crate alone touches the terminal.

mod args;
mod commands;
mod error;
mod interrupt;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}
