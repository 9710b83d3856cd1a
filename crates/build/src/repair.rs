//! Damaged objects are made good again.
//!
//! As in Nix: by a copy from a binary cache, else by building once more what made them, whose inputs are
//! repaired first. What is damaged stays in its place until a good object is at hand; what cannot be made
//! good stays as it is, and is named.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store::{Contents, VerifyReport};
use picnix_store_core::StorePath;

use crate::build::{BuildConfig, Builder, Built};
use crate::cache::CacheError;
use crate::error::{Error, chain};
use crate::observer::Event;
use crate::plan::{Outputs, Purpose, Target};
use crate::step::direct_inputs;

/// What became of damaged objects.
#[derive(Debug, Default)]
pub struct Repairs {
    /// Those that are good again.
    pub repaired: Vec<StorePath>,
    /// Those without files that nothing needs; they are valid no more.
    pub forgotten: Vec<StorePath>,
    /// Those that are damaged still, and why.
    pub failed: BTreeMap<StorePath, Error>,
}

impl Builder<'_> {
    /// Repairs what a verification found.
    ///
    /// Paths without files to which neither an object nor a root leads are forgotten, as in Nix.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or the store cannot be asked. What was repaired before stays so.
    pub fn repair_found(
        &self,
        report: &VerifyReport,
        contents: Contents,
    ) -> Result<Repairs, Error> {
        let mut damaged = report.damaged();
        let roots = self.store.roots()?;
        let mut lost: BTreeSet<StorePath> = report.missing.iter().cloned().collect();
        lost.retain(|path| !roots.iter().any(|root| root.path == *path));
        let lost = self.store.unreferenced(lost)?;
        damaged.retain(|path| !lost.contains(path));
        let mut intact = BTreeSet::new();
        if contents == Contents::Hashed {
            intact = self.store.valid_paths()?;
            intact.retain(|path| !damaged.contains(path) && !lost.contains(path));
        }
        let mut repairs = self.repair_with(&damaged, intact)?;
        repairs.forgotten = self.store.forget(lost)?.into_iter().collect();
        Ok(repairs)
    }

    /// Makes outputs valid, as [`Builder::build`] does, and good, with everything that they refer to.
    ///
    /// # Errors
    /// As [`Builder::build`], or something cannot be repaired.
    pub fn build_repaired(&self, targets: &[Target]) -> Result<Built, Error> {
        let built = self.build(targets)?;
        let outputs = built.values().flat_map(|outputs| outputs.values());
        let repairs = self.repair(&self.store.closure(outputs)?)?;
        repairs.failed.into_values().next().map_or(Ok(built), Err)
    }

    /// Repairs those of some valid paths that are damaged.
    ///
    /// # Errors
    /// As [`Builder::repair_found`].
    pub fn repair(&self, paths: &BTreeSet<StorePath>) -> Result<Repairs, Error> {
        self.repair_with(paths, BTreeSet::new())
    }

    fn repair_with(
        &self,
        paths: &BTreeSet<StorePath>,
        intact: BTreeSet<StorePath>,
    ) -> Result<Repairs, Error> {
        self.store.add_temp_roots(paths)?;
        let mut repairer = Repairer { builder: self, intact, begun: BTreeMap::new() };
        let mut repairs = Repairs::default();
        for path in paths {
            if let Err(error) = repairer.mend(path) {
                if matches!(error, Error::Interrupted) {
                    return Err(error);
                }
                repairs.failed.insert(path.clone(), error);
            }
        }
        let begun = repairer.begun.into_iter();
        let mended = begun.filter(|(_, wrong)| wrong.is_none()).map(|(path, _)| path);
        repairs.repaired = mended.collect();
        Ok(repairs)
    }
}

struct Repairer<'a> {
    builder: &'a Builder<'a>,
    /// What is known to be good.
    intact: BTreeSet<StorePath>,
    /// What was found to be damaged, and why it is still, if it is.
    begun: BTreeMap<StorePath, Option<String>>,
}

impl Repairer<'_> {
    /// Makes a valid path good, if it is not.
    fn mend(&mut self, path: &StorePath) -> Result<(), Error> {
        if self.is_intact(path)? {
            return Ok(());
        }
        if let Some(wrong) = self.begun.get(path) {
            let reason =
                wrong.clone().unwrap_or_else(|| "it was damaged again".to_owned());
            return Err(self.unrepairable(path, reason));
        }
        let circular = "it is needed to make itself".to_owned();
        self.begun.insert(path.clone(), Some(circular));
        let mended = self.mend_damaged(path);
        let wrong = match &mended {
            Ok(()) => None,
            Err(Error::Unrepairable { reason, .. }) => Some(reason.clone()),
            Err(error) => Some(chain(error)),
        };
        self.begun.insert(path.clone(), wrong);
        mended
    }

    fn mend_damaged(&mut self, path: &StorePath) -> Result<(), Error> {
        let shown = self.builder.store.store_dir().print(path);
        let message = format!("path '{shown}' is damaged; looking for a good one");
        self.builder.observer.event(&Event::Warning { message: &message });
        match self.builder.copy_again(path) {
            Ok(()) => {}
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(no_copy) => self.make_again(path, &no_copy)?,
        }
        if !self.is_intact(path)? {
            let reason = "what made it does not make it any more".to_owned();
            return Err(self.unrepairable(path, reason));
        }
        Ok(())
    }

    fn is_intact(&mut self, path: &StorePath) -> Result<bool, Error> {
        if self.intact.contains(path) {
            return Ok(true);
        }
        let is_intact = self.builder.store.is_intact(path)?;
        if is_intact {
            self.intact.insert(path.clone());
        }
        Ok(is_intact)
    }

    /// Builds what made a path once more, with inputs that are good.
    fn make_again(&mut self, path: &StorePath, no_copy: &Error) -> Result<(), Error> {
        let store = self.builder.store;
        let reason = match no_copy {
            Error::Copy { reason, .. } if matches!(**reason, CacheError::Missing(_)) => {
                "no binary cache has it".to_owned()
            }
            other => chain(other),
        };
        let Some(deriver) = store.path_info(path)?.deriver else {
            let reason = format!("{reason}, and what made it is not known");
            return Err(self.unrepairable(path, reason));
        };
        store.add_temp_roots([&deriver])?;
        if !store.is_valid(&deriver)? {
            let deriver = store.store_dir().print(&deriver);
            let reason = format!("{reason}, and '{deriver}', which made it, is gone");
            return Err(self.unrepairable(path, reason));
        }
        match self.rebuild(deriver) {
            Ok(()) => Ok(()),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                Err(self.unrepairable(path, format!("{reason}; {}", chain(&error))))
            }
        }
    }

    fn rebuild(&mut self, drv_path: StorePath) -> Result<(), Error> {
        self.mend(&drv_path)?;
        for input in self.inputs(&drv_path)? {
            self.mend(&input)?;
        }
        let config = self.builder.config.clone();
        let config = BuildConfig { purpose: Purpose::Repair, ..config };
        let builder = Builder { config: &config, ..*self.builder };
        builder.build(&[Target { drv_path, outputs: Outputs::All }])?;
        Ok(())
    }

    /// The closure of those inputs of a derivation that are valid.
    fn inputs(&self, drv_path: &StorePath) -> Result<BTreeSet<StorePath>, Error> {
        let store = self.builder.store;
        let derivation = store.read_derivation(drv_path)?;
        let inputs = direct_inputs(store, &derivation)?;
        store.add_temp_roots(&inputs)?;
        Ok(store.closure(&store.valid_among(&inputs)?)?)
    }

    fn unrepairable(&self, path: &StorePath, reason: String) -> Error {
        Error::Unrepairable { path: self.builder.store.store_dir().print(path), reason }
    }
}
