//! The flags. Help, man pages and completions are made from these definitions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Turn a NixOS-style configuration into the smallest system image that does the job.
#[derive(Parser, Debug)]
#[command(name = "picnix", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command can be told.
#[derive(Args, Debug)]
pub(crate) struct GlobalArgs {
    /// Where the store lies: a folder, `local?root=FOLDER`, or `auto` [default: the variable `PICNIX_STORE`, or below
    /// the user's data directory].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// How progress is shown.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "auto")]
    pub(crate) log_format: LogFormat,
    /// Show the whole trace of an error.
    #[arg(long, global = true)]
    pub(crate) show_trace: bool,
    /// Set something that 'picnix.conf' could set.
    #[arg(long = "option", global = true, num_args = 2, value_names = ["NAME", "VALUE"], action = clap::ArgAction::Append)]
    pub(crate) options: Vec<String>,
    /// The binary caches to ask, separated by spaces.
    #[arg(long, global = true, value_name = "URLS")]
    pub(crate) substituters: Option<String>,
    /// Ask no binary cache.
    #[arg(long, global = true, conflicts_with = "substituters")]
    pub(crate) no_substitutes: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    /// Bars.
    Bar,
    /// Plain lines.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing but errors.
    Quiet,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Build a configuration's system and boot it, with its console on this terminal.
    Run(RunArgs),
    /// Build an image of a configuration's system.
    Image(ImageArgs),
    /// Boot a configuration's system without a display and run its tests.
    Test(TestArgs),
    /// Say which definitions of a configuration ask for something.
    Why(WhyArgs),
    /// Print what is in an image of a configuration's system: a bill of materials.
    Sbom(SbomArgs),
    /// Print the licences of what is in an image of a configuration's system.
    Licenses(LicensesArgs),
    /// Evaluate an expression and print its value.
    Eval(EvalArgs),
    /// Evaluate expressions one after the other, as they are typed or piped in.
    Repl(ReplArgs),
    /// Turn expressions into store derivations and print their paths.
    Instantiate(InstantiateArgs),
    /// Build derivations.
    Build(BuildArgs),
    /// Look at a flake's outputs, and lock its inputs.
    #[command(subcommand)]
    Flake(FlakeCommand),
    /// Look at derivations.
    #[command(subcommand)]
    Derivation(DerivationCommand),
    /// Look at and change the store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print a script that completes picnix's commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a directory.
    Man {
        /// The directory; it must exist.
        dir: PathBuf,
    },
}

/// A configuration and the device that it is for.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// A file that holds a module, a directory with a `configuration.nix`, or a configuration of a flake:
    /// `.#router` is `picnixConfigurations.router`.
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// The target hardware: a folder of picnix's `devices`, or a path to a module.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) jobs: JobArgs,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// How things are built.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct JobArgs {
    /// How many derivations are built at a time [default: the number of processors].
    #[arg(short = 'j', long = "max-jobs", value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Keep the build directory of a build that fails.
    #[arg(short = 'K', long)]
    pub(crate) keep_failed: bool,
    /// Build everything that does not depend on what failed.
    #[arg(short = 'k', long)]
    pub(crate) keep_going: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// More arguments for QEMU.
    #[arg(last = true, value_name = "QEMU-ARGS")]
    pub(crate) qemu_args: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The image format [default: the one that the configuration's machine boots].
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Make a link to the result, which protects it from garbage collection.
    #[arg(short = 'o', long = "out-link", value_name = "LINK")]
    pub(crate) out_link: Option<PathBuf>,
    /// Print `{"path", "files": [{"name", "size_bytes"}], "total_bytes"}`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The tests to run [default: all].
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// What is asked for: `kernel:OPTION`, with or without `CONFIG_`.
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// An image that something is said about.
#[derive(Args, Debug)]
pub(crate) struct BillArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The image's format [default: the one that the configuration's machine boots].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) image: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SbomArgs {
    #[command(flatten)]
    pub(crate) bill: BillArgs,
    /// The format of the document.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: SbomFormat,
}

/// A format of bills of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SbomFormat {
    /// SPDX 2.3, as JSON.
    Spdx,
    /// `CycloneDX` 1.5, as JSON.
    Cyclonedx,
}

#[derive(Args, Debug)]
pub(crate) struct LicensesArgs {
    #[command(flatten)]
    pub(crate) bill: BillArgs,
    /// Only name the licences, without their texts.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print `{"packages": [{"name", "version", "license"}], "texts": [{"places", "text"}]}`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is evaluated.
#[derive(Args, Debug, Clone)]
pub(crate) struct ProgramArgs {
    /// A file, a directory with a `default.nix`, `-` for standard input, or a flake with an attribute such as
    /// `.#hello` [default: `./default.nix`].
    #[arg(value_name = "FILE", conflicts_with = "expr")]
    pub(crate) file: Option<PathBuf>,
    /// Evaluate this text instead of a file.
    #[arg(short = 'E', long, value_name = "EXPR")]
    pub(crate) expr: Option<String>,
    /// Select an attribute of the value, such as `config.system.build`.
    #[arg(short = 'A', long = "attr", value_name = "ATTR")]
    pub(crate) attrs: Vec<String>,
    /// Pass the value of an expression to functions that take an argument of this name.
    #[arg(long = "arg", num_args = 2, value_names = ["NAME", "EXPR"], action = clap::ArgAction::Append)]
    pub(crate) args: Vec<String>,
    /// Pass a string to functions that take an argument of this name.
    #[arg(long = "argstr", num_args = 2, value_names = ["NAME", "STRING"], action = clap::ArgAction::Append)]
    pub(crate) argstrs: Vec<String>,
    /// Add a path to those that `<...>` is searched in.
    #[arg(short = 'I', long = "include", value_name = "PATH")]
    pub(crate) include: Vec<String>,
    /// Let expressions see nothing of the machine, as flakes do by default.
    #[arg(long)]
    pub(crate) pure_eval: bool,
    /// Let flakes see the environment, the time and the system.
    #[arg(long, conflicts_with = "pure_eval")]
    pub(crate) impure: bool,
    /// Let expressions see only the search path, and fetch nothing but allowed URIs.
    #[arg(long)]
    pub(crate) restrict_eval: bool,
    /// Let expressions fetch only what begins with one of these URIs, which blanks separate.
    #[arg(long, value_name = "URIS")]
    pub(crate) allowed_uris: Option<String>,
    /// Experimental features of the language to allow, such as `pipe-operators`.
    #[arg(long = "extra-experimental-features", value_name = "FEATURES")]
    pub(crate) features: Vec<String>,
    /// Show what `builtins.traceVerbose` says.
    #[arg(long)]
    pub(crate) trace_verbose: bool,
    /// Let `builtins.warn` end the evaluation.
    #[arg(long)]
    pub(crate) abort_on_warn: bool,
    /// The deepest chain of calls [default: 10000].
    #[arg(long, value_name = "N")]
    pub(crate) max_call_depth: Option<usize>,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// The heading above the flags of [`LockArgs`].
const FLAKES: &str = "Flakes";

/// How flakes are locked.
#[derive(Args, Debug, Clone)]
pub(crate) struct LockArgs {
    /// Let an input of the flake, such as `nixpkgs` or `a/b`, be another one; implies --no-write-lock-file.
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], action = clap::ArgAction::Append, help_heading = FLAKES)]
    pub(crate) override_input: Vec<String>,
    /// Let a reference lead to another one, whatever the registries say.
    #[arg(long, num_args = 2, value_names = ["FLAKE", "OTHER"], action = clap::ArgAction::Append, help_heading = FLAKES)]
    pub(crate) override_flake: Vec<String>,
    /// Lock an input anew.
    #[arg(long, value_name = "INPUT", help_heading = FLAKES)]
    pub(crate) update_input: Vec<String>,
    /// Forget the lock file that there is.
    #[arg(long, help_heading = FLAKES)]
    pub(crate) recreate_lock_file: bool,
    /// Lock what is missing in the lock file for this run only.
    #[arg(long, help_heading = FLAKES)]
    pub(crate) no_write_lock_file: bool,
    /// Fail where the lock file is not as it should be.
    #[arg(long, help_heading = FLAKES)]
    pub(crate) no_update_lock_file: bool,
    /// Start from this lock file instead of the flake's own.
    #[arg(long, value_name = "FILE", help_heading = FLAKES)]
    pub(crate) reference_lock_file: Option<PathBuf>,
    /// Write this lock file instead of the flake's own.
    #[arg(long, value_name = "FILE", help_heading = FLAKES)]
    pub(crate) output_lock_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    /// Print JSON.
    #[arg(long, conflicts_with_all = ["raw", "xml"])]
    pub(crate) json: bool,
    /// Print a string as it is, without quotes and newline.
    #[arg(long, conflicts_with = "xml")]
    pub(crate) raw: bool,
    /// Print XML, as `builtins.toXML` does.
    #[arg(long)]
    pub(crate) xml: bool,
    /// Evaluate the members of sets and lists too.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReplArgs {
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    /// More files or flakes whose attributes become variables.
    #[arg(value_name = "FILE")]
    pub(crate) more: Vec<PathBuf>,
    /// A file whose attributes become variables.
    #[arg(id = "load", short = 'f', long = "file", value_name = "FILE")]
    pub(crate) load: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InstantiateArgs {
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    #[command(flatten)]
    pub(crate) jobs: JobArgs,
    /// Name of the link to the result.
    #[arg(short = 'o', long, value_name = "LINK", default_value = "result")]
    pub(crate) out_link: PathBuf,
    /// Make no link to the result.
    #[arg(long)]
    pub(crate) no_link: bool,
    /// Say what would be fetched and built, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Build what is valid already once more, and compare.
    #[arg(long)]
    pub(crate) check: bool,
    /// Replace what is valid but damaged in the result and in everything that it refers to.
    #[arg(long, conflicts_with_all = ["check", "dry_run"])]
    pub(crate) repair: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum FlakeCommand {
    /// List the outputs of a flake.
    Show(FlakeArgs),
    /// Write the lock file, with what is missing in it.
    Lock(FlakeArgs),
    /// Lock inputs anew, all of them unless some are named.
    Update {
        /// The inputs, such as `nixpkgs` or `a/b`.
        #[arg(value_name = "INPUT")]
        inputs: Vec<String>,
        /// The flake.
        #[arg(long, value_name = "FLAKE", default_value = ".")]
        flake: String,
        #[command(flatten)]
        lock: LockArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct FlakeArgs {
    /// The flake: a directory, or a reference such as `github:owner/repo`.
    #[arg(value_name = "FLAKE", default_value = ".")]
    pub(crate) flake: String,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum StoreCommand {
    /// Add files or directories, and print their store paths.
    Add {
        /// What to add.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The name of the store object [default: that of the file].
        #[arg(long)]
        name: Option<String>,
        /// Add the bytes of a regular file, without its executable bit.
        #[arg(long)]
        flat: bool,
        /// Add the bytes of a regular file as 'builtins.toFile' does.
        #[arg(long, conflicts_with = "flat")]
        text: bool,
    },
    /// Print the object whose path begins with a hash.
    Find {
        /// The hash: the first 32 characters of the object's name.
        hash: String,
    },
    /// Write a store object, or any file, to standard output as a NAR.
    Dump {
        /// The store object or file.
        path: PathBuf,
    },
    /// Unpack a NAR from standard input.
    Restore {
        /// Where to; it must not exist.
        path: PathBuf,
    },
    /// List what is in a store object.
    Ls {
        /// A path in the store.
        path: PathBuf,
        /// Show modes and sizes.
        #[arg(short, long)]
        long: bool,
        /// Descend into directories.
        #[arg(short = 'R', long)]
        recursive: bool,
    },
    /// Print a file of a store object.
    Cat {
        /// A path in the store.
        path: PathBuf,
    },
    /// Show what the store knows of its objects.
    Info {
        /// The objects [default: the store as a whole].
        paths: Vec<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the log of a derivation's last build.
    Log {
        /// The derivation.
        path: PathBuf,
    },
    /// List what protects objects from garbage collection.
    Roots,
    /// Delete objects that nothing protects.
    Delete {
        /// The objects.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Delete everything that nothing protects.
    Gc {
        /// Say what would be deleted, and delete nothing.
        #[arg(long)]
        dry_run: bool,
        /// Stop when this many bytes are freed.
        #[arg(long, value_name = "BYTES")]
        max: Option<u64>,
        /// First delete generations of profiles that have not been current for so many days.
        #[arg(long, value_name = "DAYS")]
        older_than: Option<Days>,
    },
    /// Let equal files share their space on the disk.
    Optimise,
    /// Keep objects under a name, with a way back.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Check that the store is what its database says.
    Verify(VerifyArgs),
    /// Copy objects, with everything that they refer to, to or from a binary cache or a machine.
    Copy(CopyArgs),
    /// Sign objects with a key.
    Sign {
        /// The file with the secret key.
        #[arg(short, long, value_name = "FILE")]
        key_file: PathBuf,
        /// Sign everything that they refer to as well.
        #[arg(short, long)]
        recursive: bool,
        /// The objects.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Make a secret key for signing, and print the public key that belongs to it.
    GenerateKey {
        /// The key's name, such as 'cache.example.org-1'.
        name: String,
        /// The file for the secret key; it must not exist.
        file: PathBuf,
    },
    /// Serve the store as a binary cache over HTTP.
    Serve {
        /// Where to listen.
        #[arg(short, long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
        listen: String,
        /// Sign what is served with the key in this file.
        #[arg(short, long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
    /// Answer a client of Nix's worker protocol, so that Nix or picnix elsewhere can build here.
    Daemon {
        /// Answer on standard input and output, as `nix-daemon --stdio` does.
        #[arg(long, required = true)]
        stdio: bool,
    },
    /// Show what an object refers to, as a tree.
    Tree {
        /// The object.
        path: PathBuf,
    },
    /// List everything that objects refer to, directly or not, and the objects.
    Requisites {
        /// The objects.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// List what refers to objects.
    Referrers {
        /// The objects.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Follow referrers of referrers too.
        #[arg(short, long)]
        recursive: bool,
    },
    /// Print the closure of objects as a graph for Graphviz.
    Dot {
        /// The objects.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Show why an object needs another: the ways, and the files that hold the references.
    Why {
        /// The object that needs.
        path: PathBuf,
        /// The object that is needed.
        needed: PathBuf,
        /// Show every way, not only a shortest one.
        #[arg(long)]
        all: bool,
    },
    /// Compare the closures of two objects, by package.
    Diff {
        /// The old one.
        before: PathBuf,
        /// The new one.
        after: PathBuf,
    },
    /// Look at derivations.
    #[command(subcommand)]
    Derivation(DerivationCommand),
}

/// How the store is checked.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Also read every object and compare its hash.
    #[arg(long)]
    pub(crate) check_contents: bool,
    /// Replace what is damaged, by copies from binary caches or by building it again.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Delete what cannot be repaired, with everything that refers to it.
    #[arg(long, requires = "repair")]
    pub(crate) forget: bool,
}

/// Where objects are copied.
#[derive(Args, Debug)]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    pub(crate) place: CopyPlace,
    /// The objects.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// How to compress: none, zstd, xz, bzip2 or gzip [default: zstd].
    #[arg(long, value_name = "METHOD", conflicts_with = "from")]
    pub(crate) compression: Option<String>,
    /// How hard to compress [default: the method's usual level].
    #[arg(long, value_name = "LEVEL", conflicts_with = "from")]
    pub(crate) level: Option<i32>,
    /// Sign what is copied with the key in this file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) key_file: Option<PathBuf>,
    /// Believe the cache without signatures.
    #[arg(long, conflicts_with = "to")]
    pub(crate) no_check_sigs: bool,
}

/// One of two directions.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct CopyPlace {
    /// Copy to this binary cache (a 'file', 'http', 'https' or 's3' URL) or to this machine's store
    /// (an 'ssh-ng' or 'unix' URL).
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Copy from this binary cache or this machine's store.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
}

/// A time in days: `30` or `30d`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Days(pub(crate) std::time::Duration);

impl std::str::FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days: u32 = text.strip_suffix('d').unwrap_or(text).parse().map_err(|_| {
            format!("'{text}' is not a number of days, such as '30' or '30d'")
        })?;
        Ok(Self(std::time::Duration::from_secs(u64::from(days) * 24 * 3600)))
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum ProfileCommand {
    /// Let a profile lead to an object, by a new generation.
    Set {
        /// The profile: a link, which is made if it does not exist.
        profile: PathBuf,
        /// The object.
        path: PathBuf,
    },
    /// List the generations of a profile, or the profiles of the store.
    List {
        /// The profile.
        profile: Option<PathBuf>,
    },
    /// Go back to the generation before the current one, or to any other.
    Rollback {
        /// The profile.
        profile: PathBuf,
        /// The generation to go to.
        #[arg(long, value_name = "NUMBER")]
        to: Option<u64>,
    },
    /// Delete generations of a profile, except the current one.
    Delete {
        /// The profile.
        profile: PathBuf,
        #[command(flatten)]
        which: OldArgs,
        /// Say what would be deleted, and delete nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which generations.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct OldArgs {
    /// All that are not current.
    #[arg(long)]
    pub(crate) old: bool,
    /// All but the last so many.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep: Option<usize>,
    /// Those that have not been current for so many days.
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than: Option<Days>,
    /// Those with these numbers.
    #[arg(value_name = "NUMBER")]
    pub(crate) numbers: Vec<u64>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DerivationCommand {
    /// Print derivations as JSON, in Nix's format.
    Show(Box<ShowArgs>),
}

/// Derivations: store paths of them or of what they produced, files, flakes with an attribute, and texts.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    /// More derivations.
    #[arg(value_name = "FILE")]
    pub(crate) more: Vec<PathBuf>,
    /// Show what they are built from too.
    #[arg(short, long)]
    pub(crate) recursive: bool,
}
