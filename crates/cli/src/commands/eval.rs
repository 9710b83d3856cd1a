//! `picnix eval`: an expression and its value.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use picnix_engine::flakes::FlakeTarget;
use picnix_engine::session::{
    EvalOptions, Program, Session, WorkError, evaluate_in_parallel,
};
use picnix_engine::world::Writes;
use picnix_engine::{Config, Wanted, tree};
use picnix_eval::pos::Pos;
use picnix_eval::{Coercion, Feature, Value};

use super::{Context, Outcome};
use crate::args::{EvalArgs, JobArgs, ProgramArgs};
use crate::error::CommandError;
use crate::{features, locking, output};

/// `picnix eval`
pub(crate) fn run(mut context: Context, args: &EvalArgs) -> Outcome {
    let (program, options) = prepare(&mut context, &args.program)?;
    let attrs = attr_paths(&args.program);
    let jobs = JobArgs::default();
    let engine = context.engine(&jobs);
    let writes = Writes::WhenBuilding;
    let show = output::error;
    let printed = evaluate_in_parallel(&engine, writes, &options, show, |session| {
        let value = session.load(&program, &session.config().current_dir)?;
        let mut out = Vec::new();
        for attr in &attrs {
            let value = session.select(value, attr)?;
            let value = session.ev.auto_call(value, session.arguments)?;
            out.extend(print(session, value, args)?);
        }
        Ok(out)
    })?;
    output::write(&printed)?;
    Ok(ExitCode::SUCCESS)
}

fn print<'h>(
    session: &Session<'_, 'h>,
    value: Value<'h>,
    args: &EvalArgs,
) -> Result<Vec<u8>, WorkError> {
    let ev = session.ev;
    if args.raw {
        let doing = "while generating the output";
        let string = ev.coerce_to_string(value, Pos::NONE, Coercion::STRING, doing)?;
        return Ok(string.bytes.to_vec());
    }
    if args.xml {
        return Ok(converted(session, "toXML", value)?);
    }
    let mut out = if args.json {
        session.helped(Wanted::Json, || converted(session, "toJSON", value))?
    } else if args.strict {
        session.print_deep(value)?
    } else {
        ev.print_ambiguous(value)?
    };
    out.push(b'\n');
    Ok(out)
}

/// What a builtin that makes strings makes of a value.
fn converted<'h>(
    session: &Session<'_, 'h>,
    builtin: &str,
    value: Value<'h>,
) -> picnix_eval::Result<Vec<u8>> {
    let ev = session.ev;
    let builtin = picnix_eval::builtins::find(builtin).expect("the builtin exists");
    let string = ev.call(Value::Builtin(builtin), &[value], Pos::NONE)?;
    Ok(ev.expect_string(string, Pos::NONE, "")?.bytes.to_vec())
}

/// The attribute paths that were asked for; the value itself if none was.
pub(crate) fn attr_paths(args: &ProgramArgs) -> Vec<String> {
    if args.attrs.is_empty() { vec![String::new()] } else { args.attrs.clone() }
}

/// Reads what is to be evaluated and how from the flags.
pub(crate) fn prepare(
    context: &mut Context,
    args: &ProgramArgs,
) -> Result<(Program, EvalOptions), CommandError> {
    let config = &mut context.config;
    config.prepend_search_path(&args.include);
    add_picnix(config)?;
    let program = match (&args.expr, &args.file) {
        (Some(text), _) => Program::Text(text.clone()),
        (None, Some(file)) if file.as_os_str() == "-" => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map_err(|error| {
                CommandError::user(format!("cannot read standard input: {error}"))
            })?;
            Program::Stdin(text)
        }
        (None, Some(file)) if is_flake(file) => {
            let text = file.to_string_lossy();
            Program::Flake(FlakeTarget::parse(&text, &config.current_dir)?)
        }
        (None, Some(file)) => Program::File(config.current_dir.join(file)),
        (None, None) => Program::File(config.current_dir.join("default.nix")),
    };
    let locking = locking::apply(&args.lock, config)?;
    let mut options = EvalOptions {
        collect: true,
        locking,
        pure: args.pure_eval || (matches!(program, Program::Flake(_)) && !args.impure),
        restricted: args.restrict_eval,
        allowed_uris: args
            .allowed_uris
            .as_ref()
            .map(|uris| uris.split_whitespace().map(str::to_owned).collect()),
        trace_verbose: args.trace_verbose,
        abort_on_warn: args.abort_on_warn,
        max_call_depth: args.max_call_depth,
        arguments: pairs(&args.args),
        string_arguments: pairs(&args.argstrs),
        ..context.eval_options()
    };
    let names = args.features.iter().flat_map(|list| list.split_whitespace());
    for feature in names {
        if !features::enable(&mut options, feature) {
            let known = Feature::ALL.map(Feature::name).join("', '");
            let hint = format!("picnix knows 'pipe-operators', '{known}'");
            let message = format!("unknown experimental feature '{feature}'");
            return Err(CommandError::usage(message).hint(hint));
        }
    }
    Ok((program, options))
}

/// Whether an argument names an attribute of a flake, rather than a file.
pub(crate) fn is_flake(file: &Path) -> bool {
    file.to_str().is_some_and(|text| text.contains('#')) && !file.exists()
}

/// Lets `<picnix>` be found, unless the user says where it is.
fn add_picnix(config: &mut Config) -> Result<(), CommandError> {
    if config.search_path.iter().any(|(prefix, _)| prefix == b"picnix") {
        return Ok(());
    }
    let tree = tree::find(config)?;
    config.search_path.push((b"picnix".to_vec(), tree.as_os_str().as_bytes().to_vec()));
    Ok(())
}

fn pairs(flat: &[String]) -> Vec<(String, String)> {
    flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}
