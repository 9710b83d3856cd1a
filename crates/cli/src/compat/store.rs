//! `nix-store`: one operation a call.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_build::{Outputs, Purpose, Target};
use picnix_engine::Engine;
use picnix_store::{AddRequest, Contents, GcOptions, Store};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, OutputName, References,
    StorePath,
};

use super::flags::{self, Arguments, Flag};
use super::query;
use super::settings::{self, Common};
use super::{Stop, transfer, usage};
use crate::commands::store::base_name;
use crate::error::CommandError;
use crate::output;

/// The command line: one operation, flags that only it understands, and arguments.
#[derive(Default)]
pub(super) struct Call {
    common: Common,
    operation: Option<&'static Operation>,
    conflict: bool,
    pub(super) flags: Vec<String>,
    pub(super) args: Vec<String>,
    add_root: Option<PathBuf>,
    no_output: bool,
}

/// An operation.
struct Operation {
    names: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    /// The flags that it understands.
    flags: &'static [&'static str],
    run: fn(&Shell<'_>, &Call) -> Result<ExitCode, Stop>,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        names: &["--realise", "--realize", "-r"],
        usage: "[--dry-run] [--check] [--repair] [--ignore-unknown] PATH...",
        help: "build derivations and print their outputs",
        flags: &["--dry-run", "--check", "--ignore-unknown"],
        run: realise,
    },
    Operation {
        names: &["--add", "-A"],
        usage: "PATH...",
        help: "add files and directories, and print their store paths",
        flags: &[],
        run: add,
    },
    Operation {
        names: &["--add-fixed"],
        usage: "[--recursive] ALGORITHM PATH...",
        help: "add files as fixed outputs, and print their store paths",
        flags: &["--recursive"],
        run: add_fixed,
    },
    Operation {
        names: &["--print-fixed-path"],
        usage: "[--recursive] ALGORITHM HASH NAME",
        help: "print the store path that such a fixed output has",
        flags: &["--recursive"],
        run: print_fixed_path,
    },
    Operation {
        names: &["--query", "-q"],
        usage: "[KIND] [--use-output] [--force-realise] PATH...",
        help: "print what the store knows of paths",
        flags: query::FLAGS,
        run: query::run,
    },
    Operation {
        names: &["--print-env"],
        usage: "DERIVATION",
        help: "print a derivation's environment for a shell to read",
        flags: &[],
        run: query::print_env,
    },
    Operation {
        names: &["--read-log", "-l"],
        usage: "PATH...",
        help: "print the log of a build",
        flags: &[],
        run: query::read_log,
    },
    Operation {
        names: &["--check-validity"],
        usage: "[--print-invalid] PATH...",
        help: "fail unless paths are valid",
        flags: &["--print-invalid"],
        run: check_validity,
    },
    Operation {
        names: &["--gc"],
        usage: "[--print-roots|--print-dead|--print-live|--max-freed BYTES]",
        help: "delete what nothing protects",
        flags: &["--print-roots", "--print-dead", "--print-live", "--max-freed"],
        run: collect,
    },
    Operation {
        names: &["--delete"],
        usage: "[--ignore-liveness] PATH...",
        help: "delete paths that nothing protects",
        flags: &["--ignore-liveness"],
        run: delete,
    },
    Operation {
        names: &["--dump"],
        usage: "PATH",
        help: "write a file or directory to standard output as a NAR",
        flags: &[],
        run: dump,
    },
    Operation {
        names: &["--restore"],
        usage: "PATH",
        help: "unpack a NAR from standard input",
        flags: &[],
        run: restore,
    },
    Operation {
        names: &["--verify"],
        usage: "[--check-contents] [--repair]",
        help: "check that the store is what its database says",
        flags: &["--check-contents"],
        run: verify,
    },
    Operation {
        names: &["--verify-path"],
        usage: "PATH...",
        help: "check that paths are unchanged",
        flags: &[],
        run: verify_path,
    },
    Operation {
        names: &["--repair-path"],
        usage: "PATH...",
        help: "replace paths that are damaged",
        flags: &[],
        run: repair_paths,
    },
    Operation {
        names: &["--export"],
        usage: "PATH...",
        help: "write store objects to standard output for '--import'",
        flags: &[],
        run: transfer::export,
    },
    Operation {
        names: &["--import"],
        usage: "",
        help: "add what '--export' wrote, and print the paths",
        flags: &[],
        run: transfer::import,
    },
    Operation {
        names: &["--dump-db"],
        usage: "[PATH...]",
        help: "print what the database knows of paths, of all by default",
        flags: &[],
        run: transfer::dump_database,
    },
    Operation {
        names: &["--load-db"],
        usage: "",
        help: "make what '--dump-db' printed valid; the objects must be there",
        flags: &[],
        run: transfer::load_database,
    },
    Operation {
        names: &["--register-validity"],
        usage: "[--reregister] [--hash-given]",
        help: "make objects valid that are there, as standard input says",
        flags: &["--reregister", "--hash-given"],
        run: transfer::register,
    },
    Operation {
        names: &["--optimise", "--optimize"],
        usage: "",
        help: "let equal files share their space on the disk",
        flags: &[],
        run: transfer::optimise,
    },
    Operation {
        names: &["--generate-binary-cache-key"],
        usage: "NAME SECRET-FILE PUBLIC-FILE",
        help: "make a pair of keys for signing",
        flags: &[],
        run: transfer::generate_key_pair,
    },
    Operation {
        names: &["--init"],
        usage: "",
        help: "make the store",
        flags: &[],
        run: |_, _| Ok(ExitCode::SUCCESS),
    },
];

impl Arguments for Call {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag {
            names: &["--add-root"],
            operands: &["LINK"],
            help: "make a link that protects the result from collection",
            apply: |call, operands| {
                call.add_root = Some(PathBuf::from(&operands[0]));
                Ok(())
            },
        },
        Flag {
            names: &["--no-output"],
            operands: &[],
            help: "do not print what was realised",
            apply: |call, _| {
                call.no_output = true;
                Ok(())
            },
        },
        Flag { names: &["--indirect"], operands: &[], help: "", apply: |_, _| Ok(()) },
    ];

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn positional(&mut self, arg: String) {
        self.args.push(arg);
    }

    fn other_flag(&mut self, flag: &str) -> bool {
        let operation = OPERATIONS.iter().find(|operation| {
            // `-l`, `-A` and `-r` are operations only where none is named yet.
            operation.names.contains(&flag)
                && (flag.starts_with("--") || self.operation.is_none())
        });
        match operation {
            Some(operation) => {
                self.conflict |= self.operation.is_some();
                self.operation = Some(operation);
            }
            // Which flags there are depends on the operation, which may come later.
            None => self.flags.push(flag.to_owned()),
        }
        true
    }
}

pub(super) fn help() -> String {
    let mut out = String::from(
        "Usage: nix-store OPERATION [FLAG]... [ARGUMENT]...\n\nOperations:\n",
    );
    for operation in OPERATIONS {
        let names = operation.names.join("|");
        let _ = writeln!(out, "  {names} {}\n      {}", operation.usage, operation.help);
    }
    let flags = [flags::describe(Call::FLAGS), flags::describe(settings::FLAGS)].concat();
    let _ = write!(out, "\nKinds of queries:\n{}\nFlags:\n{flags}", query::help());
    out
}

/// What operations work on.
pub(super) struct Shell<'e> {
    pub(super) engine: &'e Engine,
    pub(super) store: &'e Store,
    repairs: bool,
}

/// Runs the command.
pub(super) fn run(args: Vec<String>) -> Result<ExitCode, Stop> {
    let mut call = Call::default();
    flags::parse(&mut call, args)?;
    let Some(operation) = call.operation else { return usage("no operation specified") };
    if call.conflict {
        return usage("only one operation may be specified");
    }
    let unknown =
        call.flags.iter().find(|flag| !operation.flags.contains(&flag.as_str()));
    if let Some(flag) = unknown {
        return usage(format!("unknown flag '{flag}'"));
    }
    let purpose = if call.has("--check") { Purpose::Check } else { call.common.purpose };
    let engine = call.common.context()?.engine_for(&call.common.jobs, purpose);
    let repairs = purpose == Purpose::Repair;
    let shell = Shell { store: engine.store()?, engine: &engine, repairs };
    (operation.run)(&shell, &call)
}

impl Call {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    /// The only argument.
    pub(super) fn only(&self) -> Result<&str, Stop> {
        match self.args.as_slice() {
            [only] => Ok(only),
            _ => usage("only one argument allowed"),
        }
    }

    pub(super) fn nothing(&self) -> Result<(), Stop> {
        if self.args.is_empty() { Ok(()) } else { usage("no arguments expected") }
    }
}

/// An error of the store.
pub(super) fn store_error(error: picnix_store::Error) -> CommandError {
    CommandError::store(&error)
}

impl Shell<'_> {
    /// The store path that an argument names, directly or through links such as `result`.
    pub(super) fn store_path(&self, arg: &str) -> Result<StorePath, Stop> {
        Ok(self.shell().store_path(Path::new(arg))?)
    }

    fn shell(&self) -> crate::commands::store::Shell<'_> {
        crate::commands::store::Shell { store: self.store, engine: self.engine }
    }

    pub(super) fn print(&self, path: &StorePath) -> String {
        self.store.store_dir().print(path)
    }

    /// Builds all outputs of a derivation, or checks that any other path is valid.
    pub(super) fn realise(&self, path: &StorePath) -> Result<(), Stop> {
        if path.is_derivation() {
            let target = Target { drv_path: path.clone(), outputs: Outputs::All };
            self.engine.build(&[target])?;
        } else if self.repairs && self.store.is_valid(path).map_err(store_error)? {
            self.engine.repair(&BTreeSet::from([path.clone()]))?;
        } else if !self.store.is_valid(path).map_err(store_error)? {
            let path = self.print(path);
            let message = format!("path '{path}' does not exist and cannot be created");
            return Err(CommandError::user(message).into());
        }
        Ok(())
    }
}

/// A path with the outputs that `!` or `^` names.
fn with_outputs(
    shell: &Shell<'_>,
    arg: &str,
) -> Result<(StorePath, Option<BTreeSet<OutputName>>), Stop> {
    let Some((path, names)) = arg.split_once(['!', '^']) else {
        return Ok((shell.store_path(arg)?, None));
    };
    let path = shell.store_path(path)?;
    if names == "*" {
        return Ok((path, None));
    }
    let mut outputs = BTreeSet::new();
    for name in names.split(',') {
        let name = OutputName::parse(name.as_bytes())
            .map_err(|error| CommandError::user(error.to_string()))?;
        outputs.insert(name);
    }
    Ok((path, Some(outputs)))
}

fn realise(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let mut wanted = Vec::new();
    for arg in &call.args {
        wanted.push(with_outputs(shell, arg)?);
    }
    if call.has("--ignore-unknown") {
        let mut known = Vec::new();
        for (path, outputs) in wanted {
            if shell.store.is_valid(&path).map_err(store_error)? {
                known.push((path, outputs));
            }
        }
        wanted = known;
    }
    let derivations = wanted.iter().filter(|(path, _)| path.is_derivation());
    let targets: Vec<Target> = derivations
        .map(|(path, outputs)| Target {
            drv_path: path.clone(),
            outputs: outputs.clone().map_or(Outputs::All, Outputs::Some),
        })
        .collect();
    if call.has("--dry-run") {
        let plan = shell.engine.plan(&targets)?;
        output::error(plan.describe(shell.store.store_dir()).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let built = shell.engine.build(&targets)?;
    let mut number = 0;
    for (path, _) in &wanted {
        number += 1;
        if !path.is_derivation() {
            shell.realise(path)?;
            show_realised(shell, call, path, number, &OutputName::out())?;
            continue;
        }
        for (name, output) in
            built.get(path).into_iter().flat_map(|outputs| outputs.iter())
        {
            show_realised(shell, call, output, number, name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a path that was realised, or the link that protects it.
fn show_realised(
    shell: &Shell<'_>,
    call: &Call,
    path: &StorePath,
    number: usize,
    name: &OutputName,
) -> Result<(), Stop> {
    let printed = match &call.add_root {
        None => shell.print(path),
        Some(link) => {
            let mut link = link.display().to_string();
            if number > 1 {
                let _ = write!(link, "-{number}");
            }
            if name.as_str() != "out" {
                let _ = write!(link, "-{name}");
            }
            let link = shell.engine.config.current_dir.join(link);
            let link = shell.store.add_root(&link, path).map_err(store_error)?;
            link.display().to_string()
        }
    };
    if !call.no_output {
        output::line(&printed)?;
    }
    Ok(())
}

fn add_request(
    shell: &Shell<'_>,
    arg: &str,
    method: ContentAddressMethod,
    algo: HashAlgo,
) -> Result<(), Stop> {
    let path = shell.engine.config.current_dir.join(arg);
    let request = AddRequest { method, algo, ..AddRequest::source(base_name(&path)?) };
    let added = shell.store.add_source(&path, &request, &mut |_, _| Ok(true));
    output::line(&shell.print(&added.map_err(store_error)?))?;
    Ok(())
}

fn add(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    for arg in &call.args {
        add_request(shell, arg, ContentAddressMethod::Nar, HashAlgo::Sha256)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn method(call: &Call) -> ContentAddressMethod {
    if call.has("--recursive") {
        ContentAddressMethod::Nar
    } else {
        ContentAddressMethod::Flat
    }
}

fn parse_algo(name: &str) -> Result<HashAlgo, Stop> {
    Ok(HashAlgo::parse(name).map_err(|error| CommandError::user(error.to_string()))?)
}

fn add_fixed(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let Some((algo, paths)) = call.args.split_first() else {
        return usage("first argument must be hash algorithm");
    };
    let algo = parse_algo(algo)?;
    for arg in paths {
        add_request(shell, arg, method(call), algo)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_fixed_path(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let [algo, hash, name] = call.args.as_slice() else {
        return usage("'--print-fixed-path' requires three arguments");
    };
    let algo = parse_algo(algo)?;
    let user = |error: picnix_store_core::Error| CommandError::user(error.to_string());
    let hash = Hash::parse_any(hash, Some(algo)).map_err(user)?;
    let address = ContentAddress { method: method(call), hash };
    let store_dir = shell.store.store_dir();
    let path =
        store_dir.make_content_path(name, &address, &References::none()).map_err(user)?;
    output::line(&store_dir.print(&path))?;
    Ok(ExitCode::SUCCESS)
}

fn check_validity(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    for arg in &call.args {
        let path = shell.store_path(arg)?;
        if shell.store.is_valid(&path).map_err(store_error)? {
            continue;
        }
        let printed = shell.print(&path);
        if !call.has("--print-invalid") {
            return Err(
                CommandError::user(format!("path '{printed}' is not valid")).into()
            );
        }
        output::line(&printed)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn collect(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let max_bytes = if call.has("--max-freed") {
        let number = call.only()?;
        let Ok(bytes) = number.parse() else {
            return usage(format!("'--max-freed' requires a number, not '{number}'"));
        };
        Some(bytes)
    } else {
        call.nothing()?;
        None
    };
    if call.has("--print-roots") {
        for root in shell.store.roots().map_err(store_error)? {
            output::line(&format!("{} -> {}", root.keeper, shell.print(&root.path)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dry_run = call.has("--print-dead") || call.has("--print-live");
    let delete_derivations = !shell.engine.config.settings.keep_derivations()?;
    let options = GcOptions { dry_run, max_bytes, delete_derivations };
    let report = shell.store.gc(&options).map_err(store_error)?;
    let dead: BTreeSet<&StorePath> =
        report.deleted.iter().map(|(path, _)| path).collect();
    if call.has("--print-live") {
        for path in shell.store.valid_paths().map_err(store_error)? {
            if !dead.contains(&path) {
                output::line(&shell.print(&path))?;
            }
        }
    } else if call.has("--print-dead") {
        for path in dead {
            output::line(&shell.print(path))?;
        }
    } else {
        print_freed(dead.len(), report.freed_bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_freed(objects: usize, bytes: u64) -> io::Result<()> {
    output::line(&format!("{objects} store paths deleted, {} freed", size_text(bytes)))
}

/// A size in the unit that makes its number readable, at least KiB.
pub(super) fn size_text(bytes: u64) -> String {
    const UNITS: &[u8] = b"KMGTPE";
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}iB", char::from(UNITS[unit]))
}

fn delete(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let mut paths = BTreeSet::new();
    for arg in &call.args {
        paths.insert(shell.store_path(arg)?);
    }
    let freed = match call.has("--ignore-liveness") {
        true => shell.store.delete_linked(&paths),
        false => shell.store.delete(&paths),
    };
    let freed = freed.map_err(store_error)?;
    print_freed(paths.len(), freed)?;
    Ok(ExitCode::SUCCESS)
}

fn dump(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let physical = shell.shell().physical(Path::new(call.only()?))?;
    let mut out = BufWriter::new(io::stdout().lock());
    shell.store.dump_tree(&physical, &mut out).map_err(store_error)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn restore(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let path = shell.engine.config.current_dir.join(call.only()?);
    picnix_store::restore_nar(BufReader::new(io::stdin().lock()), &path)
        .map_err(store_error)?;
    Ok(ExitCode::SUCCESS)
}

fn verify(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    call.nothing()?;
    let contents =
        if call.has("--check-contents") { Contents::Hashed } else { Contents::Exist };
    let report = shell.store.verify(contents).map_err(store_error)?;
    for line in &report.database {
        output::error(&format!("error: {line}"));
    }
    for path in &report.missing {
        let path = shell.print(path);
        output::error(&format!(
            "error: path '{path}' disappeared, but it is still valid"
        ));
    }
    for (path, found) in &report.modified {
        output::error(&format!(
            "error: path '{}' was modified! {found}",
            shell.print(path)
        ));
    }
    if report.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    if shell.repairs {
        let repairs = shell.engine.repair_found(&report, contents)?;
        for error in repairs.failed.values() {
            output::error(&format!("error: {}", picnix_engine::chain(error)));
        }
        if repairs.failed.is_empty() && report.database.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    output::error("warning: not all store errors were fixed");
    Ok(ExitCode::from(1))
}

fn repair_paths(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    for arg in &call.args {
        shell.engine.repair(&BTreeSet::from([shell.store_path(arg)?]))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_path(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let mut code = ExitCode::SUCCESS;
    for arg in &call.args {
        let path = shell.store_path(arg)?;
        let info = shell.store.path_info(&path).map_err(store_error)?;
        let mut sink = HashWriter(picnix_store_core::HashSink::new(HashAlgo::Sha256));
        shell.store.dump(&path, &mut sink).map_err(store_error)?;
        let (found, _) = sink.0.finish();
        let expected = Hash::from(info.nar_hash);
        if found != expected {
            let text =
                |hash: Hash| hash.print_prefixed(picnix_store_core::HashFormat::Nix32);
            output::error(&format!(
                "error: path '{}' was modified! expected hash '{}', got '{}'",
                shell.print(&path),
                text(expected),
                text(found)
            ));
            code = ExitCode::from(1);
        }
    }
    Ok(code)
}

struct HashWriter(picnix_store_core::HashSink);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_kib_or_more() {
        assert_eq!(size_text(0), "0.0 KiB");
        assert_eq!(size_text(1536), "1.5 KiB");
        assert_eq!(size_text(3 << 20), "3.0 MiB");
    }
}
