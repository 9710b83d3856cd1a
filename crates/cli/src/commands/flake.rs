//! `picnix flake`: outputs and lock files.

use std::collections::BTreeSet;
use std::process::ExitCode;

use picnix_engine::Freshness;
use picnix_engine::flakes::{FlakeTarget, LockWriting};
use picnix_engine::session::{EvalOptions, evaluate};
use picnix_engine::world::Writes;
use picnix_eval::flake::LockFlags;

use super::{Context, Outcome};
use crate::args::{FlakeArgs, FlakeCommand, JobArgs};
use crate::error::CommandError;
use crate::output;

/// `picnix flake`
pub(crate) fn run(context: Context, command: &FlakeCommand) -> Outcome {
    match command {
        FlakeCommand::Show(args) => show(context, args),
        FlakeCommand::Lock(args) => {
            lock(context, &args.flake, &LockFlags::default(), Freshness::Cached)
        }
        FlakeCommand::Update { inputs, flake } => {
            let paths =
                inputs.iter().map(|path| path.split('/').map(str::to_owned).collect());
            let updates: BTreeSet<Vec<String>> = paths.collect();
            let recreate = updates.is_empty();
            let flags = LockFlags { recreate, updates, ..LockFlags::default() };
            lock(context, flake, &flags, Freshness::Refresh)
        }
    }
}

fn show(context: Context, args: &FlakeArgs) -> Outcome {
    let target = target(&context, &args.flake)?;
    let options = EvalOptions { pure: true, ..context.eval_options() };
    let engine = context.engine(&JOBS, false);
    let writes = Writes::WhenBuilding;
    let text = evaluate(&engine, writes, &options, output::error, |session| {
        session.show_flake(&target.reference)
    })?;
    output::write(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn lock(
    context: Context,
    flake: &str,
    flags: &LockFlags,
    freshness: Freshness,
) -> Outcome {
    let target = target(&context, flake)?;
    let options = EvalOptions { freshness, ..context.eval_options() };
    let engine = context.engine(&JOBS, false);
    let writes = Writes::WhenBuilding;
    evaluate(&engine, writes, &options, output::error, |session| {
        session.lock_flake(&target.reference, flags, LockWriting::Required)
    })?;
    Ok(ExitCode::SUCCESS)
}

const JOBS: JobArgs = JobArgs { jobs: None, keep_failed: false, keep_going: false };

fn target(context: &Context, text: &str) -> Result<FlakeTarget, CommandError> {
    let target = FlakeTarget::parse(text, &context.config.current_dir)?;
    if target.fragment.is_empty() {
        return Ok(target);
    }
    let fragment = target.fragment;
    Err(CommandError::usage(format!("unexpected fragment '{fragment}' in '{text}'")))
}
