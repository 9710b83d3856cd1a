//! The binary `picnix`: arguments, progress, messages, exit codes.
//!
//! Nothing here knows how anything is done: a command reads its flags, asks the engine, and shows the answer.
//! This crate alone touches the terminal.

mod args;
mod commands;
mod compat;
mod error;
mod interrupt;
mod output;
mod progress;
mod repl;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    if let Some(command) = compat::Command::of_program(&program) {
        return compat::run(command, args.collect());
    }
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}
