//! From what a step made to valid outputs: examined, compared, checked, registered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use picnix_store::{OutputContents, OutputToRegister, Store};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, DerivationOutput, HashAlgo, HashFormat,
    OutputName, References, StorePath,
};

use crate::checks::{NewOutputs, check_circles, check_outputs};
use crate::error::StepError;
use crate::options::Options;
use crate::plan::{Purpose, Step};

/// What a step made.
pub(crate) struct Made<'a> {
    pub(crate) store: &'a Store,
    pub(crate) step: &'a Step,
    pub(crate) options: &'a Options,
    /// The closure of the inputs.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
    /// The directory in which the outputs lie, by their base names.
    pub(crate) outputs_dir: PathBuf,
}

impl Made<'_> {
    /// Makes all outputs valid at once.
    pub(crate) fn register(&self) -> Result<(), StepError> {
        self.store.register_outputs(self.outputs()?)?;
        Ok(())
    }

    /// Puts outputs into the places of those that are damaged, and makes those valid that are not.
    pub(crate) fn replace_damaged(&self) -> Result<(), StepError> {
        let outputs = self.outputs()?;
        let valid = self.store.valid_among(outputs.iter().map(|output| &output.path))?;
        let (old, new): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| valid.contains(&output.path));
        self.store.register_outputs(new)?;
        for output in old {
            if !self.store.is_intact(&output.path)? {
                self.store.replace_by_output(output)?;
            }
        }
        Ok(())
    }

    /// What was made, fit to be registered.
    fn outputs(&self) -> Result<Vec<OutputToRegister>, StepError> {
        let register =
            |(name, (path, contents)): (OutputName, (StorePath, OutputContents))| {
                OutputToRegister {
                    real_path: self.physical(&path),
                    content_address: self.fixed(&name),
                    path,
                    contents,
                    deriver: Some(self.step.drv_path.clone()),
                }
            };
        Ok(self.examine()?.into_iter().map(register).collect())
    }

    /// Compares the outputs with the valid ones.
    ///
    /// With `keep_in`, one that differs is moved there.
    pub(crate) fn compare(&self, keep_in: Option<&Path>) -> Result<(), StepError> {
        for (path, contents) in self.examine()?.into_values() {
            let there = self.store.query_path_info(&path)?;
            if there.is_none_or(|info| info.nar_hash == contents.nar_hash) {
                continue;
            }
            let mut kept_at = None;
            if let Some(dir) = keep_in {
                let to = dir.join(format!("{path}.check"));
                picnix_sandbox::remove_tree(&to).map_err(StepError::Box)?;
                move_tree(&self.physical(&path), &to)?;
                kept_at = Some(to.display().to_string());
            }
            let path = self.store.store_dir().print(&path);
            return Err(StepError::NotDeterministic { path, kept_at });
        }
        Ok(())
    }

    fn examine(&self) -> Result<NewOutputs, StepError> {
        let mut candidates = self.inputs.clone();
        candidates.extend(self.step.outputs.values().cloned());
        let mut examined = NewOutputs::new();
        for (name, path) in self.step.outputs.iter() {
            let physical = self.physical(path);
            if physical.symlink_metadata().is_err() {
                let path = self.store.store_dir().print(path);
                return Err(StepError::OutputMissing { output: name.clone(), path });
            }
            picnix_sandbox::take_ownership(&physical).map_err(StepError::Box)?;
            let mut contents = self.store.examine_output(&physical, &candidates)?;
            if self.options.discard_references.contains(name.as_str()) {
                contents.references.clear();
            }
            if let Some(address) = self.fixed(name) {
                self.check_fixed(&address, path, &physical, &contents)?;
            }
            examined.insert(name.clone(), (path.clone(), contents));
        }
        check_circles(&examined)?;
        let Step { drv_path, .. } = self.step;
        check_outputs(self.store, drv_path, &self.options.checks, &examined)?;
        Ok(examined)
    }

    fn physical(&self, path: &StorePath) -> PathBuf {
        self.outputs_dir.join(path.to_string())
    }

    /// The content address of an output whose contents are known beforehand.
    fn fixed(&self, name: &OutputName) -> Option<ContentAddress> {
        match self.step.derivation.outputs.get(name)? {
            DerivationOutput::CaFixed(address) => Some(*address),
            DerivationOutput::InputAddressed(_)
            | DerivationOutput::CaFloating { .. }
            | DerivationOutput::Deferred
            | DerivationOutput::Impure { .. } => None,
        }
    }

    /// Makes an output of a wrong hash valid at the path that is right for it, so that it need not be
    /// fetched again when the derivation is mended. If that fails, what is wrong is still the hash.
    fn keep_what_came(
        &self,
        address: ContentAddress,
        path: &StorePath,
        physical: &Path,
        contents: &OutputContents,
    ) {
        if self.step.purpose == Purpose::Check || !contents.references.is_empty() {
            return;
        }
        let store_dir = self.store.store_dir();
        let made =
            store_dir.make_content_path(path.name(), &address, &References::none());
        let Ok(path) = made else { return };
        let output = OutputToRegister {
            real_path: physical.to_owned(),
            path,
            contents: contents.clone(),
            deriver: None,
            content_address: Some(address),
        };
        let _ = self.store.register_outputs(vec![output]);
    }

    fn check_fixed(
        &self,
        address: &ContentAddress,
        path: &StorePath,
        physical: &Path,
        contents: &OutputContents,
    ) -> Result<(), StepError> {
        let store_dir = self.store.store_dir();
        if address.method != ContentAddressMethod::Nar && !is_flat(physical)? {
            return Err(StepError::NotFlat { path: store_dir.print(path) });
        }
        let can_refer = match address.method {
            ContentAddressMethod::Nar => address.hash.algo() == HashAlgo::Sha256,
            ContentAddressMethod::Flat => false,
            ContentAddressMethod::Text => true,
        };
        if !can_refer && !contents.references.is_empty() {
            // No store path could be made of it, whatever its hash.
            return Err(StepError::Check(format!(
                "fixed output derivation '{}' is not allowed to refer to other store paths.\n\
                 You may need to use the 'unsafeDiscardReferences' derivation attribute, see the manual for more details.",
                path.name()
            )));
        }
        let got = self.store.hash_tree(physical, address.method, address.hash.algo())?;
        let drv = store_dir.print(&self.step.drv_path);
        if got != address.hash {
            self.keep_what_came(
                ContentAddress { hash: got, ..*address },
                path,
                physical,
                contents,
            );
            return Err(StepError::HashMismatch {
                drv,
                specified: address.hash.print(HashFormat::Sri),
                got: got.print(HashFormat::Sri),
                whence: String::new(),
            });
        }
        if let Some(first) = contents.references.first() {
            return Err(StepError::Check(format!(
                "fixed-output derivations must not reference store paths: '{drv}' references {} distinct paths, e.g. '{}'",
                contents.references.len(),
                store_dir.print(first)
            )));
        }
        Ok(())
    }
}

fn is_flat(physical: &Path) -> Result<bool, StepError> {
    use std::os::unix::fs::PermissionsExt;
    let found =
        physical.symlink_metadata().map_err(StepError::io("examine", physical))?;
    Ok(found.is_file() && found.permissions().mode() & 0o111 == 0)
}

/// Moves a tree whose root may be read-only.
fn move_tree(from: &Path, to: &Path) -> Result<(), StepError> {
    use std::os::unix::fs::PermissionsExt;
    let found = from.symlink_metadata().map_err(StepError::io("examine", from))?;
    if found.is_dir() {
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(from, open).map_err(StepError::io("open", from))?;
    }
    std::fs::rename(from, to).map_err(StepError::io("move an output to", to))
}
