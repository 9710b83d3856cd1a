//! `picnix instantiate` and `picnix build`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_build::{Purpose, Target};
use picnix_engine::session::{
    EvalOptions, Program, Session, WorkError, evaluate_in_parallel,
};
use picnix_engine::world::Writes;
use picnix_engine::{Engine, Found, target, with_place};

use super::eval::{attr_paths, prepare};
use super::{Context, Outcome};
use crate::args::{BuildArgs, InstantiateArgs, JobArgs, ProgramArgs};
use crate::error::CommandError;
use crate::output;

/// `picnix instantiate`: the derivations of expressions, written to the store.
pub(crate) fn instantiate(context: Context, args: &InstantiateArgs) -> Outcome {
    let jobs = JobArgs::default();
    let Evaluated { engine, found, .. } =
        Evaluated::new(context, &args.program, &jobs, Purpose::Realise)?;
    for Found { drv_path, output } in found {
        let path = engine.config.store_dir.print(&drv_path);
        let suffix =
            if output.as_str() == "out" { String::new() } else { format!("!{output}") };
        output::line(&format!("{path}{suffix}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `picnix build`: the outputs of derivations.
pub(crate) fn build(context: Context, args: &BuildArgs) -> Outcome {
    let purpose = match (args.check, args.repair) {
        (true, _) => Purpose::Check,
        (_, true) => Purpose::Repair,
        _ => Purpose::Realise,
    };
    let evaluated = Evaluated::new(context, &args.program, &args.jobs, purpose)?;
    let Evaluated { engine, found, .. } = &evaluated;
    let targets: Vec<Target> = found
        .iter()
        .map(|found| target(found.drv_path.clone(), [found.output.clone()]))
        .collect();
    if args.dry_run {
        let plan = engine.plan(&targets)?;
        output::write(plan.describe(&engine.config.store_dir).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let built = engine.build(&targets).map_err(|error| evaluated.with_place(error))?;
    let store = engine.store()?;
    for (index, found) in found.iter().enumerate() {
        let outputs = built.get(&found.drv_path);
        let Some(path) = outputs.and_then(|outputs| outputs.get(&found.output)) else {
            continue;
        };
        if !args.no_link {
            let link = numbered(&engine.config.current_dir.join(&args.out_link), index);
            let link = with_output(&link, found.output.as_str());
            store.add_root(&link, path).map_err(|error| CommandError::store(&error))?;
        }
        output::line(&store.store_dir().print(path))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The derivations that the user has named, and how they were found.
pub(super) struct Evaluated {
    engine: Engine,
    pub(super) found: Vec<Found>,
    program: Program,
    attrs: Vec<String>,
    options: EvalOptions,
}

impl Evaluated {
    pub(super) fn new(
        mut context: Context,
        program: &ProgramArgs,
        jobs: &JobArgs,
        purpose: Purpose,
    ) -> Result<Self, CommandError> {
        let (program_text, options) = prepare(&mut context, program)?;
        let attrs = attr_paths(program);
        let engine = context.engine_for(jobs, purpose);
        let (writes, show) = (Writes::Always, output::error);
        let found = evaluate_in_parallel(&engine, writes, &options, show, |session| {
            find(session, &program_text, &attrs)
        })?;
        Ok(Self { engine, found, program: program_text, attrs, options })
    }

    /// The error of a build, with the place of what could not be built.
    fn with_place(&self, error: picnix_engine::Error) -> picnix_engine::Error {
        with_place(error, &self.engine, &self.options, |session| {
            find(session, &self.program, &self.attrs)
        })
    }
}

fn find(
    session: &Session<'_, '_>,
    program: &Program,
    attrs: &[String],
) -> Result<Vec<Found>, WorkError> {
    let value = session.load(program, &session.config().current_dir)?;
    let found = session.derivations_at(value, attrs)?;
    session.world.flush()?;
    Ok(found)
}

/// `result`, `result-2`, ...
fn numbered(link: &Path, index: usize) -> PathBuf {
    suffixed(link, &if index == 0 { String::new() } else { format!("-{}", index + 1) })
}

/// `result`, `result-dev`, ...
fn with_output(link: &Path, output: &str) -> PathBuf {
    suffixed(link, &if output == "out" { String::new() } else { format!("-{output}") })
}

fn suffixed(link: &Path, suffix: &str) -> PathBuf {
    let mut name = link.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
