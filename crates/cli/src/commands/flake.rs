//! `picnix flake`: outputs and lock files.

use std::process::ExitCode;

use picnix_engine::Freshness;
use picnix_engine::flakes::FlakeTarget;
use picnix_engine::locking::{LockOptions, LockWriting, input_path};
use picnix_engine::session::{EvalOptions, evaluate};
use picnix_engine::world::Writes;

use super::{Context, Outcome};
use crate::args::{FlakeArgs, FlakeCommand, JobArgs};
use crate::error::CommandError;
use crate::{locking, output};

/// `picnix flake`
pub(crate) fn run(context: Context, command: &FlakeCommand) -> Outcome {
    match command {
        FlakeCommand::Show(args) => show(context, args),
        FlakeCommand::Lock(args) => {
            let mut context = context;
            let locking = locking::apply(&args.lock, &mut context.config)?;
            lock(context, &args.flake, locking, Freshness::Cached)
        }
        FlakeCommand::Update { inputs, flake, lock: args } => {
            let mut context = context;
            let mut locking = locking::apply(args, &mut context.config)?;
            locking.updates.extend(inputs.iter().map(|path| input_path(path)));
            locking.recreate |= locking.updates.is_empty();
            lock(context, flake, locking, Freshness::Refresh)
        }
    }
}

fn show(mut context: Context, args: &FlakeArgs) -> Outcome {
    let locking = locking::apply(&args.lock, &mut context.config)?;
    let target = target(&context, &args.flake)?;
    let options = EvalOptions { pure: true, locking, ..context.eval_options() };
    let engine = context.engine(&JOBS);
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
    mut locking: LockOptions,
    freshness: Freshness,
) -> Outcome {
    let target = target(&context, flake)?;
    // To write the lock file is what these commands are for.
    if locking.writing != LockWriting::Refused {
        locking.writing = LockWriting::Required;
    }
    let options = EvalOptions { freshness, ..context.eval_options() };
    let engine = context.engine(&JOBS);
    let writes = Writes::WhenBuilding;
    evaluate(&engine, writes, &options, output::error, |session| {
        session.lock_flake(&target.reference, &locking)
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
