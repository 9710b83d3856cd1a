//! One file a command.

mod bill;
mod build;
mod cache;
mod derivation;
mod documentation;
pub(crate) mod eval;
mod flake;
mod garbage;
mod inspect;
pub(crate) mod store;
mod system;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use picnix_build::{Cancel, Purpose};
use picnix_engine::session::EvalOptions;
use picnix_engine::{BuildOptions, Config, Engine};

use crate::args::{Cli, Command, DerivationCommand, GlobalArgs, JobArgs, LogFormat};
use crate::error::CommandError;
use crate::progress::Progress;
use crate::{features, output};

/// What every command knows.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) show_trace: bool,
    pub(crate) log_format: LogFormat,
}

pub(crate) type Outcome = Result<ExitCode, CommandError>;

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Outcome {
    // What reads neither settings nor environment needs no home.
    let Cli { global, command } = cli;
    let context = || Context::of(&global);
    match command {
        Command::Run(args) => system::run(context()?, &args),
        Command::Image(args) => system::image(context()?, &args),
        Command::Test(args) => system::test(context()?, &args),
        Command::Why(args) => system::why(context()?, &args),
        Command::Sbom(args) => bill::sbom(context()?, &args),
        Command::Licenses(args) => bill::licenses(context()?, &args),
        Command::Eval(args) => eval::run(context()?, &args),
        Command::Repl(args) => crate::repl::run(context()?, &args),
        Command::Instantiate(args) => build::instantiate(context()?, &args),
        Command::Build(args) => build::build(context()?, &args),
        Command::Flake(command) => flake::run(context()?, &command),
        Command::Derivation(DerivationCommand::Show(args)) => {
            derivation::show(&context()?, &args)
        }
        Command::Store(command) => store::run(context()?, command),
        Command::Man { dir } => documentation::man(&dir),
        Command::Completions { shell } => documentation::completions(shell),
    }
}

impl Context {
    /// The environment, the user's files, and the flags that every command has.
    fn of(args: &GlobalArgs) -> Result<Self, CommandError> {
        let mut config = Config::from_env()?;
        if let Some(store) = &args.store {
            config.choose_store(store)?;
        }
        for option in args.options.chunks_exact(2) {
            config.settings.set(&option[0], &option[1]);
        }
        if let Some(urls) = &args.substituters {
            config.settings.set("substituters", urls);
        }
        if args.no_substitutes {
            config.settings.set("substitute", "false");
        }
        Ok(Self { config, show_trace: args.show_trace, log_format: args.log_format })
    }

    /// An engine that builds as the flags say, shows progress, and stops on Ctrl-C.
    pub(crate) fn engine(self, jobs: &JobArgs) -> Engine {
        self.engine_for(jobs, Purpose::Realise)
    }

    /// As [`Self::engine`], also for what is valid already.
    pub(crate) fn engine_for(self, jobs: &JobArgs, purpose: Purpose) -> Engine {
        let cancel = Cancel::new();
        crate::interrupt::listen(cancel.clone());
        self.engine_with(jobs, purpose, cancel)
    }

    /// As [`Self::engine`], but somebody else makes the request to stop.
    pub(crate) fn engine_with(
        self,
        jobs: &JobArgs,
        purpose: Purpose,
        cancel: Cancel,
    ) -> Engine {
        let options = BuildOptions {
            jobs: jobs.jobs,
            keep_failed: jobs.keep_failed,
            keep_going: jobs.keep_going,
            purpose,
        };
        let progress = Arc::new(Progress::new(self.log_format));
        Engine::new(self.config, &options, progress, cancel)
    }

    /// How configurations are evaluated.
    pub(crate) fn eval_options(&self) -> EvalOptions {
        let mut options =
            EvalOptions { show_trace: self.show_trace, ..EvalOptions::default() };
        for name in self.config.settings.experimental_features() {
            if !features::enable(&mut options, name) {
                output::error(&format!("warning: unknown experimental feature '{name}'"));
            }
        }
        options
    }
}
