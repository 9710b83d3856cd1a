//! `:sh` and `:u`: a shell that is like the build of a derivation, or that has a derivation as a package.

use picnix_engine::session::{Program, WorkError};
use picnix_eval::Value;
use picnix_eval::pos::Pos;
use picnix_store_core::{OutputName, StorePath};

use super::{Failure, Repl, Step};
use crate::output;

/// The variable that names the bash to use.
const SHELL_VARIABLE: &str = "NIX_BUILD_SHELL";
/// The bash that is used without it, as `nix-shell` finds it.
const BASH: &str = "(import <nixpkgs> {}).bashInteractive";
/// What has a derivation as a package, for `:u`.
const USING: &str =
    r#"drv: (import <nixpkgs> {}).runCommand "shell" { buildInputs = [ drv ]; } """#;

impl<'h> Repl<'_, 'h> {
    /// Runs a shell in which everything is as for the builder of a derivation.
    pub(super) fn shell(&self, drv_path: &StorePath) -> Step<()> {
        let engine = self.session.engine();
        let program = self.bash()?;
        let mut shell = engine.shell(drv_path, &program).map_err(WorkError::from)?;
        let ended = shell.run().map_err(WorkError::from)?;
        if ended.success() {
            return Ok(());
        }
        let how = match ended.code() {
            Some(code) => format!("with exit code {code}"),
            None => format!("due to {ended}"),
        };
        Err(Failure::Message(format!("program \"{program}\" failed {how}")))
    }

    /// A derivation that does nothing but to have another as an input.
    pub(super) fn using(&self, text: &str) -> Step<Value<'h>> {
        let derivation = self.evaluate(text)?;
        let function = self.text(USING)?;
        Ok(self.session.ev.call(function, &[derivation], Pos::NONE)?)
    }

    fn text(&self, text: &str) -> Step<Value<'h>> {
        let program = Program::Text(text.to_owned());
        Ok(self.session.load(&program, &self.session.config().current_dir)?)
    }

    /// The bash to run: what the user names, that of nixpkgs, or whatever `PATH` has.
    fn bash(&self) -> Step<String> {
        let config = self.session.config();
        if let Some(named) = config.var(SHELL_VARIABLE) {
            return Ok(named.to_string_lossy().into_owned());
        }
        match self.built_bash() {
            Ok(program) => Ok(program),
            Err(Failure::Work(WorkError::Language(error))) => {
                let error = self.session.render(WorkError::Language(error));
                output::error(&error.to_string());
                output::error("uses bash from your environment");
                Ok("bash".to_owned())
            }
            Err(failure) => Err(failure),
        }
    }

    fn built_bash(&self) -> Step<String> {
        let drv_path = self.derivation_of(self.text(BASH)?)?;
        let engine = self.session.engine();
        let out = OutputName::out();
        let target = picnix_engine::target(drv_path.clone(), [out.clone()]);
        let built = engine.build(&[target]).map_err(WorkError::from)?;
        let path = built.get(&drv_path).and_then(|outputs| outputs.get(&out));
        let path = path.ok_or_else(|| {
            Failure::Message("the bash of nixpkgs has no output 'out'".to_owned())
        })?;
        let store = engine.store().map_err(WorkError::from)?;
        Ok(format!("{}/bin/bash", store.store_dir().print(path)))
    }
}
