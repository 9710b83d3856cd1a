//! What a person's shell needs that is to be like the build of a derivation: its inputs, and its environment.

use std::collections::BTreeSet;

use picnix_store_core::StorePath;

use crate::build::{Builder, Built};
use crate::environment::{Environment, Sources};
use crate::error::{Error, StepError};
use crate::options::Options;
use crate::plan::{Outputs, Recipes, Target};

impl Builder<'_> {
    /// Makes the inputs of a derivation valid, not its outputs, and says what a shell is to find. The files of the
    /// environment belong into `build_dir`, a directory of this machine.
    ///
    /// # Errors
    /// An input cannot be built, or the derivation makes no sense.
    pub fn shell(
        &self,
        drv_path: &StorePath,
        build_dir: &str,
    ) -> Result<Environment, Error> {
        let derivation = Recipes::derivation(self.store, drv_path)?;
        let inputs = derivation.input_drvs.iter();
        let targets: Vec<Target> = inputs
            .map(|(input, wanted)| Target {
                drv_path: input.clone(),
                outputs: Outputs::Some(wanted.outputs.clone()),
            })
            .collect();
        let built = self.build(&targets)?;
        let explain = |source: StepError| {
            let drv_path = drv_path.clone();
            Error::Shell { drv_path, source: Box::new(source) }
        };
        let options = Options::of(&derivation).map_err(explain)?;
        let direct: BTreeSet<StorePath> =
            derivation.input_srcs.iter().cloned().chain(paths_of(&built)).collect();
        let outputs = self.store.derivation_outputs(drv_path)?;
        let outputs = outputs.into_iter().filter_map(|(name, path)| Some((name, path?)));
        let sources = Sources {
            store: self.store,
            derivation: &derivation,
            options: &options,
            outputs: &outputs.collect(),
            inputs: &self.store.closure(&direct)?,
            cores: self.config.cores,
            caller: &self.config.caller_env,
        };
        Environment::for_shell(&sources, build_dir).map_err(explain)
    }
}

fn paths_of(built: &Built) -> impl Iterator<Item = StorePath> + '_ {
    built.values().flat_map(|outputs| outputs.values().cloned())
}
