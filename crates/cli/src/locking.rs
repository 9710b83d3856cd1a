//! The flags about the lock files of flakes, for the engine.

use picnix_engine::Config;
use picnix_engine::flakes::FlakeTarget;
use picnix_engine::locking::{LockOptions, LockWriting, input_path};

use crate::args::LockArgs;
use crate::error::CommandError;

/// Notes what the flags say: overrides of references in the configuration, the rest as the result.
pub(crate) fn apply(
    args: &LockArgs,
    config: &mut Config,
) -> Result<LockOptions, CommandError> {
    let mut options = LockOptions {
        recreate: args.recreate_lock_file,
        reference_file: args.reference_lock_file.clone(),
        output_file: args.output_lock_file.clone(),
        ..LockOptions::default()
    };
    for pair in args.override_input.chunks_exact(2) {
        let path = input_path(&pair[0]);
        if path.is_empty() {
            return Err(CommandError::usage(
                "--override-input was passed a zero-length input path, which would refer to the flake \
                 itself, not an input",
            ));
        }
        let reference = FlakeTarget::parse_input(&pair[1], &config.current_dir)?;
        options.overrides.insert(path, reference);
    }
    options.updates.extend(args.update_input.iter().map(|text| input_path(text)));
    for pair in args.override_flake.chunks_exact(2) {
        override_flake(config, &pair[0], &pair[1])?;
    }
    if args.no_write_lock_file || !args.override_input.is_empty() {
        options.writing = LockWriting::Never;
    }
    if args.no_update_lock_file {
        options.writing = LockWriting::Refused;
    }
    Ok(options)
}

/// Lets a reference lead to another one, before any registry is asked.
pub(crate) fn override_flake(
    config: &mut Config,
    from: &str,
    to: &str,
) -> Result<(), CommandError> {
    let from = FlakeTarget::parse_input(from, &config.current_dir)?;
    let to = FlakeTarget::parse_input(to, &config.current_dir)?;
    config.flake_overrides.push((from, to));
    Ok(())
}
