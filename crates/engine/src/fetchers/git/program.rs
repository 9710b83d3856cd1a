//! Running `git`: in a directory, with the user's environment, and without what a repository could make it do.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::super::Fetchers;
use crate::Error;

/// Variables that would make `git` look at another repository.
const HIDDEN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];
/// Settings that win over a repository's own: nothing of it is run, and nothing runs on afterwards.
const SETTINGS: [&str; 6] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.directory=*",
    "protocol.ext.allow=never",
];

/// `git` in a directory.
pub(super) struct Git<'g> {
    fetchers: &'g Fetchers<'g>,
    dir: &'g Path,
}

/// An error of a fetch.
pub(super) fn cannot(what: &str, reason: &str) -> Error {
    Error::CannotFetch { what: what.to_owned(), reason: reason.to_owned() }
}

impl<'g> Git<'g> {
    pub(super) fn new(fetchers: &'g Fetchers<'g>, dir: &'g Path) -> Self {
        Self { fetchers, dir }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        let env = &self.fetchers.engine.config.env;
        let shown =
            env.iter().filter(|(name, _)| !HIDDEN.iter().any(|hidden| name == hidden));
        command.env_clear().envs(shown.map(|(name, value)| (name, value)));
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_OPTIONAL_LOCKS", "0");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(self.dir).args(arguments.iter().map(OsStr::new));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn failed(&self, arguments: &[&str], reason: &str) -> Error {
        let command = arguments.first().copied().unwrap_or_default();
        Error::Git {
            command: command.to_owned(),
            dir: self.dir.to_owned(),
            reason: reason.trim_end().to_owned(),
        }
    }

    fn started<T>(&self, arguments: &[&str], result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| {
            let reason = if error.kind() == io::ErrorKind::NotFound {
                "the program 'git' is not installed".to_owned()
            } else {
                error.to_string()
            };
            self.failed(arguments, &reason)
        })
    }

    fn output(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.started(arguments, self.command(arguments).output())
    }

    /// What a command prints.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, Error> {
        let output = self.output(arguments)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failed(arguments, &String::from_utf8_lossy(&output.stderr)))
    }

    /// The line that a command prints; nothing if it fails.
    pub(super) fn try_run(&self, arguments: &[&str]) -> Result<Option<String>, Error> {
        let output = self.output(arguments)?;
        let line = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Ok((output.status.success() && !line.is_empty()).then_some(line))
    }

    /// The number that a command prints.
    pub(super) fn number(&self, arguments: &[&str]) -> Result<u64, Error> {
        let text = self.run(arguments)?;
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().map_err(|_| self.failed(arguments, "it printed no number"))
    }

    /// The commit that a name stands for.
    pub(super) fn resolve(&self, name: &str) -> Result<String, Error> {
        let name = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--end-of-options", &name];
        let rev = String::from_utf8_lossy(&self.run(&arguments)?).trim_end().to_owned();
        Ok(rev)
    }

    /// Whether a commit is in the repository.
    pub(super) fn has_commit(&self, rev: &str) -> Result<bool, Error> {
        let object = format!("{rev}^{{commit}}");
        Ok(self.output(&["cat-file", "-e", &object])?.status.success())
    }

    /// What a command prints that reads `input`.
    pub(super) fn run_with_input(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let mut printed = Vec::new();
        self.stream(arguments, input, |output| {
            output.read_to_end(&mut printed).map(drop)
        })?;
        Ok(printed)
    }

    /// Runs a command that reads `input`, and reads what it prints meanwhile.
    pub(super) fn stream(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
        read: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = self.started(arguments, command.spawn())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let result = std::thread::scope(|scope| {
            scope.spawn(move || {
                // That the command does not want to read shows in its answer.
                let _ = stdin.map(|mut stdin| stdin.write_all(&input));
            });
            match stdout {
                Some(mut stdout) => read(&mut stdout),
                None => Ok(()),
            }
        });
        if result.is_err() {
            drop(child.kill());
        }
        let status = self.started(arguments, child.wait())?;
        match result {
            Err(error) => Err(self.failed(arguments, &error.to_string())),
            Ok(()) if !status.success() => {
                Err(self.failed(arguments, &status.to_string()))
            }
            Ok(()) => Ok(()),
        }
    }
}
