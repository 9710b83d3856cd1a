//! `nix-build`: derivations of programs, built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_build::{Purpose, Target};
use picnix_engine::session::evaluate_in_parallel;
use picnix_engine::world::Writes;
use picnix_engine::{Engine, Found, target};
use picnix_store_core::{OutputName, StorePath};

use super::Stop;
use super::eval::Programs;
use super::flags::{self, Arguments, Flag};
use super::settings::{self, Common};
use crate::error::CommandError;
use crate::output;

#[derive(Default)]
struct Build {
    common: Common,
    programs: Programs,
    out_link: Option<PathBuf>,
    no_link: bool,
    dry_run: bool,
}

impl Arguments for Build {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag {
            names: &["--out-link", "-o"],
            operands: &["LINK"],
            help: "name of the link to the result [default: result]",
            apply: |flags, operands| {
                flags.out_link = Some(PathBuf::from(&operands[0]));
                Ok(())
            },
        },
        Flag {
            names: &["--no-out-link", "--no-link"],
            operands: &[],
            help: "make no link to the result",
            apply: |flags, _| {
                flags.no_link = true;
                Ok(())
            },
        },
        Flag {
            names: &["--dry-run"],
            operands: &[],
            help: "say what would be done, and do nothing",
            apply: |flags, _| {
                flags.dry_run = true;
                Ok(())
            },
        },
        Flag {
            names: &["--check"],
            operands: &[],
            help: "build what is valid already once more, and compare",
            apply: |flags, _| {
                flags.common.purpose = Purpose::Check;
                Ok(())
            },
        },
        Flag {
            names: &["--add-drv-link", "--indirect"],
            operands: &[],
            help: "",
            apply: |_, _| Ok(()),
        },
        Flag {
            names: &["--drv-link"],
            operands: &["LINK"],
            help: "",
            apply: |_, _| Ok(()),
        },
    ];

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn programs(&mut self) -> Option<&mut Programs> {
        Some(&mut self.programs)
    }

    fn positional(&mut self, arg: String) {
        self.programs.push(arg);
    }
}

pub(super) fn help() -> String {
    format!(
        "Usage: nix-build [FILE|-E EXPR|DERIVATION]... [-A ATTR]... [-o LINK|--no-out-link]\n\n{}{}{}",
        flags::describe(super::eval::FLAGS),
        flags::describe(Build::FLAGS),
        flags::describe(settings::FLAGS),
    )
}

/// Runs the command.
pub(super) fn run(args: Vec<String>) -> Result<ExitCode, Stop> {
    let mut flags = Build::default();
    flags::parse(&mut flags, args)?;
    let context = flags.common.context()?;
    let engine = context.engine_for(&flags.common.jobs, flags.common.purpose);
    let found = found(&engine, &mut flags)?;
    let targets: Vec<Target> = found
        .iter()
        .map(|found| target(found.drv_path.clone(), [found.output.clone()]))
        .collect();
    if flags.dry_run {
        let plan = engine.plan(&targets)?;
        output::error(plan.describe(&engine.config.store_dir).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let built = engine.build(&targets)?;
    let store = engine.store()?;
    // Links are numbered by derivation: its outputs share a number.
    let mut numbers: BTreeMap<&StorePath, usize> = BTreeMap::new();
    let mut paths = Vec::new();
    for found in &found {
        let next = numbers.len();
        let number = *numbers.entry(&found.drv_path).or_insert(next);
        let outputs = built.get(&found.drv_path);
        let Some(path) = outputs.and_then(|outputs| outputs.get(&found.output)) else {
            let drv_path = store.store_dir().print(&found.drv_path);
            return Err(CommandError::user(format!(
                "derivation '{drv_path}' does not have an output named '{}'",
                found.output
            ))
            .into());
        };
        if !flags.no_link {
            let link = flags.out_link.as_deref().unwrap_or_else(|| Path::new("result"));
            let link = link_name(link, number, &found.output);
            let link = engine.config.current_dir.join(link);
            store.add_root(&link, path).map_err(|error| CommandError::store(&error))?;
        }
        paths.push(store.store_dir().print(path));
    }
    for path in paths {
        output::line(&path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `result`, `result-2`, `result-dev`, `result-2-dev`.
fn link_name(link: &Path, number: usize, output: &OutputName) -> PathBuf {
    let mut name = link.as_os_str().to_owned();
    if number > 0 {
        name.push(format!("-{}", number + 1));
    }
    if output.as_str() != "out" {
        name.push(format!("-{output}"));
    }
    PathBuf::from(name)
}

/// The outputs that the command line names: derivation paths as they are, programs by their value.
fn found(engine: &Engine, flags: &mut Build) -> Result<Vec<Found>, Stop> {
    let mut found = Vec::new();
    if !flags.programs.are_texts {
        let mut programs = Vec::new();
        for named in std::mem::take(&mut flags.programs.named) {
            match named_derivation(engine, &named)? {
                Some(outputs) => found.extend(outputs),
                None => programs.push(named),
            }
        }
        flags.programs.named = programs;
    }
    if !found.is_empty() && flags.programs.named.is_empty() && !flags.programs.stdin {
        return Ok(found);
    }
    let programs = flags.programs.load(&engine.config, ".")?;
    let options = &flags.common.options;
    let attrs = flags.programs.attr_paths();
    let (writes, show) = (Writes::Always, output::error);
    found.extend(evaluate_in_parallel(engine, writes, options, show, |session| {
        let mut found = Vec::new();
        for program in &programs {
            let root = session.load(program, &session.config().current_dir)?;
            found.extend(session.derivations_at(root, &attrs)?);
        }
        session.world.flush()?;
        Ok(found)
    })?);
    Ok(found)
}

/// `/nix/store/...drv` or `/nix/store/...drv!out,dev`.
fn named_derivation(engine: &Engine, named: &str) -> Result<Option<Vec<Found>>, Stop> {
    let (path, outputs) = match named.split_once('!') {
        Some((path, outputs)) => (path, Some(outputs)),
        None => (named, None),
    };
    let Ok(drv_path) = engine.config.store_dir.parse_path(path.as_bytes()) else {
        return Ok(None);
    };
    if !drv_path.is_derivation() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for output in outputs.unwrap_or("out").split(',') {
        let output = OutputName::parse(output.as_bytes())
            .map_err(|error| CommandError::user(error.to_string()))?;
        found.push(Found { drv_path: drv_path.clone(), output });
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_named_after_number_and_output() {
        let name = |number, output: &str| {
            let output = OutputName::parse(output.as_bytes()).unwrap();
            link_name(Path::new("result"), number, &output)
        };
        assert_eq!(name(0, "out"), Path::new("result"));
        assert_eq!(name(1, "out"), Path::new("result-2"));
        assert_eq!(name(1, "dev"), Path::new("result-2-dev"));
    }
}
