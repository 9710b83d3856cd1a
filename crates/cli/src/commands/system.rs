//! `picnix run`, `picnix image` and `picnix test`: whole systems.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use picnix_engine::Engine;
use picnix_engine::session::EvalOptions;
use picnix_engine::system::{BuiltImage, System};
use picnix_vm::{
    AccelChoice, BootTest, Ending, Machine, RunnerOptions, StartOptions, Stdio, VmSpec,
    choose_accel, run_test,
};
use serde_json::json;

use super::{Context, Outcome};
use crate::args::{ConfigArgs, ImageArgs, RunArgs, TestArgs, WhyArgs};
use crate::error::CommandError;
use crate::progress::BUILDING;
use crate::{locking, output};

/// `picnix image`
pub(crate) fn image(mut context: Context, args: &ImageArgs) -> Outcome {
    let options = options(&mut context, &args.config)?;
    let engine = context.engine(&args.config.jobs);
    let system = system(&args.config);
    let format = args.format.as_deref();
    let image = system.build_image(&engine, &options, format, output::error)?;
    if let Some(link) = &args.out_link {
        let link = engine.config.current_dir.join(link);
        engine
            .store()?
            .add_root(&link, &image.store_path)
            .map_err(|error| CommandError::store(&error))?;
    }
    let total_bytes: u64 = image.files.iter().map(|(_, size)| size).sum();
    if args.json {
        let files: Vec<_> = image
            .files
            .iter()
            .map(|(name, size)| json!({ "name": name, "size_bytes": size }))
            .collect();
        let value = json!({
            "path": image.path, "files": files, "total_bytes": total_bytes
        });
        output::line(&value.to_string())?;
    } else {
        show_image(&engine, &image, total_bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How the configuration is evaluated.
pub(super) fn options(
    context: &mut Context,
    config: &ConfigArgs,
) -> Result<EvalOptions, CommandError> {
    let locking = locking::apply(&config.lock, &mut context.config)?;
    Ok(EvalOptions { locking, ..context.eval_options() })
}

fn show_image(
    engine: &Engine,
    image: &BuiltImage,
    total_bytes: u64,
) -> Result<(), CommandError> {
    let dir = engine.store()?.real_path(&image.store_path);
    output::line(&image.path)?;
    output::line(&format!("{:>12}  {}", "bytes", "file"))?;
    for (name, size) in &image.files {
        output::line(&format!("{size:>12}  {}", dir.join(name).display()))?;
    }
    output::line(&format!("{total_bytes:>12}  in total"))?;
    Ok(())
}

/// `picnix run`
pub(crate) fn run(mut context: Context, args: &RunArgs) -> Outcome {
    let options = options(&mut context, &args.config)?;
    let engine = context.engine(&args.config.jobs);
    let (spec, _) =
        system(&args.config).build_machine(&engine, &options, output::error)?;
    BUILDING.store(false, Ordering::SeqCst);
    let accel = accel(&engine, &spec, &args.qemu_args)?;
    let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let start = StartOptions {
        accel: accel.accel,
        console: if on_terminal { Stdio::Terminal } else { Stdio::Pipes },
        user_args: &args.qemu_args,
    };
    let machine = Machine::start(&spec, &start)?;
    for forward in machine.forwards() {
        output::error(&format!("picnix: {forward}"));
    }
    let ending = if on_terminal {
        output::error("picnix: 'poweroff' in the guest ends it; so does Ctrl-A X here");
        machine.run_on_terminal()?
    } else {
        machine.run_on_pipes(std::io::stdin(), &mut std::io::stdout())?
    };
    match ending {
        Ending::PoweredOff => Ok(ExitCode::SUCCESS),
        Ending::Reset => {
            Err(CommandError::user("the guest rebooted or its kernel panicked"))
        }
        Ending::Other(reason) => {
            output::error(&format!("picnix: the machine ended: {reason}"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `picnix why`
pub(crate) fn why(context: Context, args: &WhyArgs) -> Outcome {
    let Some(name) = args.what.strip_prefix("kernel:") else {
        let message = format!("'{}' is not of the form 'kernel:OPTION'", args.what);
        return Err(CommandError::user(message));
    };
    let name = name.strip_prefix("CONFIG_").unwrap_or(name);
    let options = context.eval_options();
    let engine = context.engine(&args.config.jobs);
    let option =
        system(&args.config).kernel_option(&engine, &options, name, output::error)?;
    let value = match &option.value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    output::line(&format!("{name} = {value}"))?;
    for place in option.asked_by.split(", ") {
        output::line(&format!("  asked for by {place}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `picnix test`
pub(crate) fn test(mut context: Context, args: &TestArgs) -> Outcome {
    let options = options(&mut context, &args.config)?;
    let engine = context.engine(&args.config.jobs);
    let (spec, plan) =
        system(&args.config).build_machine(&engine, &options, output::error)?;
    BUILDING.store(false, Ordering::SeqCst);
    let chosen = choose(&plan.tests, &args.names)?;
    // Two configurations may have tests of the same name.
    let config = args.config.config.file_stem().unwrap_or_default();
    let transcript_dir = engine.config.cache_dir.join("transcripts").join(config);
    std::fs::create_dir_all(&transcript_dir).map_err(|error| {
        CommandError::user(format!("cannot make '{}': {error}", transcript_dir.display()))
    })?;
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in chosen {
        let machine = test.machine.as_ref().unwrap_or(&spec);
        let runner = RunnerOptions {
            accel: accel(&engine, machine, &[])?.accel,
            user_args: &[],
            transcript_dir: &transcript_dir,
        };
        let report = run_test(machine, name, test, &runner);
        let seconds = report.duration.as_secs_f64();
        match report.failure {
            None => {
                passed += 1;
                output::line(&format!("test {name} ... ok ({seconds:.1} s)"))?;
            }
            Some(failure) => {
                failed += 1;
                output::line(&format!("test {name} ... FAILED ({seconds:.1} s)"))?;
                output::error(&failure.to_string());
            }
        }
    }
    output::line(&format!("{passed} passed, {failed} failed"))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The tests of the given names, or all.
fn choose<'t>(
    tests: &'t std::collections::BTreeMap<String, BootTest>,
    names: &'t [String],
) -> Result<Vec<(&'t str, &'t BootTest)>, CommandError> {
    let known = || tests.keys().cloned().collect::<Vec<_>>().join(", ");
    if tests.is_empty() {
        return Err(CommandError::user("the configuration declares no tests")
            .hint("declare one: tests.<name>.steps = [ ... ];"));
    }
    if names.is_empty() {
        return Ok(tests.iter().map(|(name, test)| (name.as_str(), test)).collect());
    }
    names
        .iter()
        .map(|name| match tests.get(name) {
            Some(test) => Ok((name.as_str(), test)),
            None => Err(CommandError::user(format!("there is no test '{name}'"))
                .hint(format!("there are: {}", known()))),
        })
        .collect()
}

/// The system of a configuration.
pub(super) fn system(args: &ConfigArgs) -> System {
    System { configuration: args.config.clone(), device: args.device.clone() }
}

/// What runs the guest's instructions; a machine that cannot use KVM is told why once per boot.
fn accel(
    engine: &Engine,
    spec: &VmSpec,
    user_args: &[String],
) -> Result<AccelChoice, CommandError> {
    let cache_dir = &engine.config.cache_dir;
    std::fs::create_dir_all(cache_dir).map_err(|error| {
        CommandError::user(format!("cannot make '{}': {error}", cache_dir.display()))
    })?;
    Ok(choose_accel(spec, user_args, &cache_dir.join("kvm.json"))?)
}
