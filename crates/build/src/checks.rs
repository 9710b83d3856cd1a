//! What a derivation says about its outputs: which references, how large.
//!
//! As Nix does it (`libstore/build/derivation-check.cc`), in its words.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store::{OutputContents, Store};
use picnix_store_core::{OutputName, StorePath};

use crate::error::StepError;
use crate::options::{OutputCheck, OutputChecks};

/// Outputs about to become valid.
pub(crate) type NewOutputs = BTreeMap<OutputName, (StorePath, OutputContents)>;

/// Checks all outputs of a derivation.
pub(crate) fn check_outputs(
    store: &Store,
    drv_path: &StorePath,
    checks: &OutputChecks,
    outputs: &NewOutputs,
) -> Result<(), StepError> {
    for name in outputs.keys() {
        let check = match checks {
            OutputChecks::All(check) => Some(check),
            OutputChecks::Each(checks) => checks.get(name.as_str()),
        };
        if let Some(check) = check {
            Checker { store, drv_path, outputs, name, check }.run()?;
        }
    }
    Ok(())
}

/// Refuses outputs that refer to each other in a circle; one may refer to itself.
pub(crate) fn check_circles(outputs: &NewOutputs) -> Result<(), StepError> {
    let mut left: BTreeMap<&StorePath, &BTreeSet<StorePath>> =
        outputs.values().map(|(path, contents)| (path, &contents.references)).collect();
    loop {
        let paths: BTreeSet<StorePath> =
            left.keys().map(|path| (*path).clone()).collect();
        left.retain(|path, references| {
            references.intersection(&paths).any(|reference| reference != *path)
        });
        match left.keys().next() {
            None => return Ok(()),
            Some(path) if left.len() == paths.len() => {
                let name = path.name();
                return Err(StepError::Check(format!(
                    "cycle detected in the references of output '{name}' from other outputs"
                )));
            }
            Some(_) => {}
        }
    }
}

struct Checker<'a> {
    store: &'a Store,
    drv_path: &'a StorePath,
    outputs: &'a NewOutputs,
    name: &'a OutputName,
    check: &'a OutputCheck,
}

impl Checker<'_> {
    fn run(&self) -> Result<(), StepError> {
        let (path, contents) = &self.outputs[self.name];
        let printed = self.store.store_dir().print(path);
        if let Some(limit) = self.check.max_size
            && contents.nar_size > limit
        {
            return Err(StepError::Check(format!(
                "path '{printed}' is too large at {} bytes; limit is {limit} bytes",
                contents.nar_size
            )));
        }
        if let Some(limit) = self.check.max_closure_size {
            let size = self.closure()?.1;
            if size > limit {
                return Err(StepError::Check(format!(
                    "closure of path '{printed}' is too large at {size} bytes; limit is {limit} bytes"
                )));
            }
        }
        if let Some(allowed) = &self.check.allowed_references {
            self.references(allowed, Rule::Only, &contents.references)?;
        }
        if let Some(allowed) = &self.check.allowed_requisites {
            self.references(allowed, Rule::Only, &self.requisites()?)?;
        }
        if !self.check.disallowed_references.is_empty() {
            let wrong = &self.check.disallowed_references;
            self.references(wrong, Rule::None, &contents.references)?;
        }
        if !self.check.disallowed_requisites.is_empty() {
            let wrong = &self.check.disallowed_requisites;
            self.references(wrong, Rule::None, &self.requisites()?)?;
        }
        Ok(())
    }

    fn requisites(&self) -> Result<BTreeSet<StorePath>, StepError> {
        let mut closure = self.closure()?.0;
        if self.check.ignores_itself {
            closure.remove(&self.outputs[self.name].0);
        }
        Ok(closure)
    }

    /// The closure of the output and its size; other outputs are not valid yet.
    fn closure(&self) -> Result<(BTreeSet<StorePath>, u64), StepError> {
        let new: BTreeMap<&StorePath, &OutputContents> =
            self.outputs.values().map(|(path, contents)| (path, contents)).collect();
        let (mut closure, mut size) = (BTreeSet::new(), 0);
        let mut todo = vec![self.outputs[self.name].0.clone()];
        while let Some(path) = todo.pop() {
            if !closure.insert(path.clone()) {
                continue;
            }
            if let Some(contents) = new.get(&path) {
                size += contents.nar_size;
                todo.extend(contents.references.iter().cloned());
            } else {
                let info = self.store.path_info(&path)?;
                size += info.nar_size;
                todo.extend(info.references);
            }
        }
        Ok((closure, size))
    }

    fn references(
        &self,
        listed: &BTreeSet<String>,
        rule: Rule,
        used: &BTreeSet<StorePath>,
    ) -> Result<(), StepError> {
        let listed = listed
            .iter()
            .map(|item| self.resolve(item))
            .collect::<Result<BTreeSet<_>, _>>()?;
        let is_bad = |path: &&StorePath| listed.contains(path) == (rule == Rule::None);
        let bad: Vec<&StorePath> = used.iter().filter(is_bad).collect();
        if bad.is_empty() {
            return Ok(());
        }
        let store_dir = self.store.store_dir();
        let list: String =
            bad.iter().map(|path| format!("\n  {}", store_dir.print(path))).collect();
        Err(StepError::Check(format!(
            "output '{}' is not allowed to refer to the following paths:{list}",
            store_dir.print(&self.outputs[self.name].0)
        )))
    }

    /// A store path, or the path of an output of this derivation by its name.
    fn resolve(&self, item: &str) -> Result<StorePath, StepError> {
        let store_dir = self.store.store_dir();
        if let Ok((path, _)) = store_dir.parse_path_within(item.as_bytes()) {
            return Ok(path);
        }
        let named = self.outputs.iter().find(|(name, _)| name.as_str() == item);
        if let Some((_, (path, _))) = named {
            return Ok(path.clone());
        }
        let names: Vec<&str> = self.outputs.keys().map(OutputName::as_str).collect();
        Err(StepError::Check(format!(
            "derivation '{}' output check for '{}' contains output name '{item}', but this is not a valid output of this derivation. (Valid outputs are [{}].)",
            store_dir.print(self.drv_path),
            self.name,
            names.join(", ")
        )))
    }
}

/// How a list of references is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// These and no others.
    Only,
    /// None of these.
    None,
}
