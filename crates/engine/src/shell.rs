//! A person's shell that is like the build of a derivation, as `nix-shell` makes one.
//!
//! It runs on the machine as it is, with the user's home and programs; the store is at its logical place, the
//! derivation's inputs are there, its variables are set, and what its `$stdenv/setup` defines is defined. Where Nix
//! has the shell itself remove its temporary directory, the caller does so by dropping the [`Shell`].

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};

use picnix_build::{Environment, shell_quote};
use picnix_store_core::StorePath;
use tempfile::TempDir;

use crate::{Engine, Error};

/// The file that the shell reads first.
const RC_FILE: &str = "rc";

/// A shell that can be started.
pub struct Shell {
    command: Command,
    program: String,
    /// Its temporary files, and the directory on which its root is made: gone with this.
    _directories: [TempDir; 2],
}

impl Engine {
    /// Makes the inputs of a derivation valid and prepares a shell. `program` is a bash: its name, or its path as the
    /// shell will see it.
    ///
    /// # Errors
    /// An input cannot be built, or a file cannot be written.
    pub fn shell(&self, drv_path: &StorePath, program: &str) -> Result<Shell, Error> {
        let temporary = |prefix: &str| {
            let made = tempfile::Builder::new().prefix(prefix).tempdir();
            made.map_err(|source| Error::File {
                action: "make a directory in",
                path: std::env::temp_dir(),
                source,
            })
        };
        let (dir, scaffold) = (temporary("nix-shell-")?, temporary("picnix-root-")?);
        let shown = dir.path().to_string_lossy();
        let environment = self.builder()?.shell(drv_path, &shown)?;
        for file in &environment.files {
            write(&dir.path().join(&file.name), &file.contents)?;
        }
        let rc_file = dir.path().join(RC_FILE);
        let timezone = self.config.var("TZ");
        let rc = script(&environment, program, timezone.as_deref());
        write(&rc_file, rc.as_bytes())?;
        let mut command = Command::new(program);
        command.arg("--rcfile").arg(&rc_file).current_dir(&self.config.current_dir);
        command.env_clear().envs(self.config.env.iter().cloned());
        command.envs(environment.for_box());
        let store = self.store()?;
        let logical = Path::new(store.store_dir().as_str());
        if store.objects_dir() != logical {
            let (objects, scaffold) = (store.objects_dir(), scaffold.path());
            picnix_sandbox::view::show_at(&mut command, objects, logical, scaffold)?;
        }
        let (program, directories) = (program.to_owned(), [dir, scaffold]);
        Ok(Shell { command, program, _directories: directories })
    }
}

impl Shell {
    /// Runs it on this process's terminal until it ends.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&mut self) -> Result<ExitStatus, Error> {
        let program = self.program.clone();
        self.command.status().map_err(|source| Error::NoShell { program, source })
    }
}

fn write(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::File { action: "write", path: path.to_owned(), source };
    fs::write(path, contents).map_err(fail)
}

/// What the shell runs before its first prompt. The steps and their order are those of `nix-shell`, so that a
/// `setup` that was written for it finds what it relies on: the user's own settings come first, `PATH` is empty while
/// `setup` runs and keeps the user's folders behind its own, and a failing command does not end the shell.
fn script(environment: &Environment, program: &str, timezone: Option<&OsStr>) -> String {
    let folder = program.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (folder, program) = (shell_quote(folder), shell_quote(program));
    let timezone = timezone.map_or(String::new(), |zone| {
        format!("export TZ={}\n", shell_quote(&zone.to_string_lossy()))
    });
    let color = if rustix::process::geteuid().is_root() { "31" } else { "32" };
    format!(
        r#"if [ -n "$PS1" ] && [ -e ~/.bashrc ]; then source ~/.bashrc; fi
p=$PATH
unset PATH
dontAddDisableDepTrack=1
{declarations}
if [ -e $stdenv/setup ]; then source $stdenv/setup; fi
PATH=$PATH:$p
unset p
PATH={folder}:"$PATH"
SHELL={program}
BASH={program}
set +e
if [ -n "$PS1" -a -z "$NIX_SHELL_PRESERVE_PROMPT" ]; then
  PS1='\n\[\033[1;{color}m\][nix-shell:\w]\$\[\033[0m\] '
fi
if [ "$(type -t runHook)" = function ]; then runHook shellHook; fi
unset NIX_ENFORCE_PURITY
shopt -u nullglob
unset TZ
{timezone}shopt -s execfail
"#,
        declarations = environment.declarations,
    )
}
