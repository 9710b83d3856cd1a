//! What has to be done for some outputs to be valid, and in which order.
//!
//! As in Nix, a derivation whose wanted outputs are valid is not looked into: what it was built
//! from need not exist. Everything else becomes a step, with its place in a graph. The work is
//! linear in the number of derivations and edges.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt::Write;
use std::sync::Arc;

use picnix_store_core::{Derivation, DerivationKind, OutputName, StoreDir, StorePath};

use crate::error::{Error, Unsupported};
use crate::observer::StepKind;

/// Something to make valid.
#[derive(Debug, Clone)]
pub struct Target {
    /// The derivation path, which must be valid.
    pub drv_path: StorePath,
    /// Which of its outputs.
    pub outputs: Outputs,
}

/// A choice of outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outputs {
    /// All of them.
    All,
    /// These.
    Some(BTreeSet<OutputName>),
}

/// Where plans learn what there is.
pub trait Recipes {
    /// Reads a derivation.
    ///
    /// # Errors
    /// Where it is not valid or cannot be read.
    fn derivation(&self, drv_path: &StorePath) -> Result<Arc<Derivation>, Error>;

    /// Which of some paths are valid.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn valid_among(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, Error>;
}

/// Whether valid outputs are taken as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Make the targets valid.
    Realise,
    /// Build the targets once more, though they are valid, to compare.
    Check,
}

/// One derivation to be built.
#[derive(Debug, Clone)]
pub struct Step {
    /// The derivation path.
    pub drv_path: StorePath,
    /// The derivation.
    pub derivation: Arc<Derivation>,
    /// Its outputs' paths.
    pub outputs: BTreeMap<OutputName, StorePath>,
    /// What the step does.
    pub kind: StepKind,
    /// Whether it is built although its outputs may be valid.
    pub is_check: bool,
    /// The steps that must be done before, by index.
    pub(crate) needs: BTreeSet<usize>,
}

/// What has to be done. Steps come after the steps they need.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// The outputs asked for, by derivation, whether they must be built or not.
    pub wanted: BTreeMap<StorePath, BTreeMap<OutputName, StorePath>>,
}

impl Plan {
    /// Plans for some targets.
    ///
    /// # Errors
    /// Where a derivation is missing, malformed or of a kind that cannot be built.
    pub fn make(
        recipes: &dyn Recipes,
        store_dir: &StoreDir,
        targets: &[Target],
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let mut search =
            Search { recipes, store_dir, found: BTreeMap::new(), todo: Vec::new() };
        let mut wanted: BTreeMap<StorePath, BTreeMap<OutputName, StorePath>> =
            BTreeMap::new();
        for target in targets {
            let is_check = purpose == Purpose::Check;
            let outputs = search.want(&target.drv_path, &target.outputs, is_check)?;
            wanted.entry(target.drv_path.clone()).or_default().extend(outputs);
        }
        search.look_into_all()?;
        Ok(Self { steps: search.into_steps()?, wanted })
    }

    /// How many steps fetch a file, and how many build.
    #[must_use]
    pub fn counts(&self) -> PlanCounts {
        let fetches =
            self.steps.iter().filter(|step| step.kind == StepKind::Fetch).count();
        PlanCounts { fetches, builds: self.steps.len() - fetches }
    }

    /// What would be done, in the words of Nix; empty if nothing.
    #[must_use]
    pub fn describe(&self, store_dir: &StoreDir) -> String {
        let mut text = String::new();
        let mut list = |one: &str, many: &str, paths: Vec<&StorePath>| {
            let title = match paths.len() {
                0 => return,
                1 => one.to_owned(),
                count => many.replace("{}", &count.to_string()),
            };
            writeln!(text, "{title}:").expect("writing to a string cannot fail");
            for path in paths {
                let path = store_dir.print(path);
                writeln!(text, "  {path}").expect("writing to a string cannot fail");
            }
        };
        let of = |is_fetch: bool| -> Vec<&StorePath> {
            let steps = self.steps.iter();
            let chosen = steps.filter(|step| (step.kind == StepKind::Fetch) == is_fetch);
            chosen.map(|step| &step.drv_path).collect()
        };
        let built = of(false);
        list(
            "this derivation will be built",
            "these {} derivations will be built",
            built,
        );
        list("this file will be fetched", "these {} files will be fetched", of(true));
        text
    }
}

/// How much a plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanCounts {
    /// Steps that fetch a file.
    pub fetches: usize,
    /// All other steps.
    pub builds: usize,
}

/// A derivation that was looked at.
struct Found {
    derivation: Arc<Derivation>,
    outputs: BTreeMap<OutputName, StorePath>,
    valid: BTreeSet<OutputName>,
    is_step: bool,
    is_check: bool,
}

struct Search<'a> {
    recipes: &'a dyn Recipes,
    store_dir: &'a StoreDir,
    found: BTreeMap<StorePath, Found>,
    /// Steps whose inputs were not looked at yet.
    todo: Vec<StorePath>,
}

impl Search<'_> {
    /// Notes that outputs of a derivation are needed; returns their paths.
    fn want(
        &mut self,
        drv_path: &StorePath,
        outputs: &Outputs,
        is_check: bool,
    ) -> Result<BTreeMap<OutputName, StorePath>, Error> {
        let found = match self.found.entry(drv_path.clone()) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(entry) => {
                entry.insert(look_at(self.recipes, self.store_dir, drv_path)?)
            }
        };
        let names: BTreeSet<OutputName> = match outputs {
            Outputs::All => found.outputs.keys().cloned().collect(),
            Outputs::Some(names) => names.clone(),
        };
        let mut paths = BTreeMap::new();
        for name in &names {
            let Some(path) = found.outputs.get(name) else {
                let (drv_path, output) = (drv_path.clone(), name.clone());
                return Err(Error::NoSuchOutput { drv_path, output });
            };
            paths.insert(name.clone(), path.clone());
        }
        found.is_check |= is_check;
        let is_needed = is_check || !names.is_subset(&found.valid);
        if is_needed && !found.is_step {
            found.is_step = true;
            self.todo.push(drv_path.clone());
        }
        Ok(paths)
    }

    fn look_into_all(&mut self) -> Result<(), Error> {
        while let Some(drv_path) = self.todo.pop() {
            let derivation = self.found[&drv_path].derivation.clone();
            for (input, outputs) in &derivation.input_drvs {
                self.want(input, &Outputs::Some(outputs.outputs.clone()), false)?;
            }
        }
        Ok(())
    }

    /// Orders the steps so that each comes after those it needs.
    fn into_steps(self) -> Result<Vec<Step>, Error> {
        let mut steps: Vec<Step> = Vec::new();
        let mut index: BTreeMap<&StorePath, usize> = BTreeMap::new();
        let mut entered: BTreeSet<&StorePath> = BTreeSet::new();
        // Depth first without recursion: a path is pushed, and pushed again below its inputs.
        let roots = self.found.iter().filter(|(_, found)| found.is_step);
        let mut stack: Vec<(&StorePath, bool)> =
            roots.map(|(path, _)| (path, false)).collect();
        stack.reverse();
        while let Some((path, inputs_are_done)) = stack.pop() {
            let found = &self.found[path];
            if !found.is_step || index.contains_key(path) {
                continue;
            }
            let inputs = found.derivation.input_drvs.keys();
            if !inputs_are_done {
                if !entered.insert(path) {
                    return Err(Error::Cycle { drv_path: path.clone() });
                }
                stack.push((path, true));
                stack.extend(
                    inputs.rev().filter(|p| !index.contains_key(p)).map(|p| (p, false)),
                );
                continue;
            }
            let needs = inputs.filter_map(|input| index.get(input).copied()).collect();
            index.insert(path, steps.len());
            steps.push(Step {
                drv_path: path.clone(),
                derivation: found.derivation.clone(),
                outputs: found.outputs.clone(),
                kind: kind_of(&found.derivation),
                is_check: found.is_check,
                needs,
            });
        }
        Ok(steps)
    }
}

fn look_at(
    recipes: &dyn Recipes,
    store_dir: &StoreDir,
    drv_path: &StorePath,
) -> Result<Found, Error> {
    let malformed = |source| Error::Malformed { drv_path: drv_path.clone(), source };
    let derivation = recipes.derivation(drv_path)?;
    let unsupported = |what| Error::Unsupported { drv_path: drv_path.clone(), what };
    match derivation.kind().map_err(malformed)? {
        DerivationKind::InputAddressed | DerivationKind::Fixed => {}
        DerivationKind::Deferred | DerivationKind::Floating => {
            return Err(unsupported(Unsupported::ContentAddressed));
        }
        DerivationKind::Impure => return Err(unsupported(Unsupported::Impure)),
    }
    if derivation.input_drvs.values().any(|outputs| !outputs.dynamic.is_empty()) {
        return Err(unsupported(Unsupported::Dynamic));
    }
    let paths = derivation.output_paths(store_dir).map_err(malformed)?;
    let outputs: BTreeMap<OutputName, StorePath> =
        paths.into_iter().filter_map(|(name, path)| Some((name, path?))).collect();
    let valid_paths = recipes.valid_among(&outputs.values().cloned().collect())?;
    let valid = outputs.iter().filter(|(_, path)| valid_paths.contains(path));
    let valid = valid.map(|(name, _)| name.clone()).collect();
    Ok(Found { derivation, outputs, valid, is_step: false, is_check: false })
}

fn kind_of(derivation: &Derivation) -> StepKind {
    if derivation.builder == b"builtin:fetchurl" {
        StepKind::Fetch
    } else if derivation.is_builtin() {
        StepKind::Builtin
    } else {
        StepKind::Box
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_recipes::TestRecipes;

    fn make(recipes: &TestRecipes, target: &StorePath, purpose: Purpose) -> Plan {
        let target = Target { drv_path: target.clone(), outputs: Outputs::All };
        Plan::make(recipes, &StoreDir::default(), &[target], purpose).unwrap()
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.derivation.name.as_str()).collect()
    }

    #[test]
    fn steps_come_after_what_they_need_and_valid_outputs_are_not_looked_into() {
        let mut recipes = TestRecipes::default();
        let fetch = recipes.add("src", "builtin:fetchurl", &[]);
        let tool = recipes.add("tool", "/bin/sh", &[]);
        let library = recipes.add("library", "/bin/sh", &[&fetch, &tool]);
        let program = recipes.add("program", "/bin/sh", &[&library, &fetch]);
        let image = recipes.add("image", "builtin:image", &[&program]);
        let plan = make(&recipes, &image, Purpose::Realise);
        let order = names(&plan);
        let at = |name: &str| order.iter().position(|n| *n == name).unwrap();
        assert_eq!(order.len(), 5);
        assert!(at("src") < at("library") && at("tool") < at("library"));
        assert!(at("library") < at("program") && at("program") < at("image"));
        assert_eq!(plan.counts(), PlanCounts { fetches: 1, builds: 4 });
        let text = plan.describe(&StoreDir::default());
        assert!(text.starts_with("these 4 derivations will be built:\n  /nix/store/"));
        assert!(text.contains("this file will be fetched:\n  /nix/store/"), "{text}");

        recipes.make_valid(&library);
        let plan = make(&recipes, &image, Purpose::Realise);
        assert_eq!(names(&plan), ["src", "program", "image"]);
        recipes.make_valid(&image);
        assert!(make(&recipes, &image, Purpose::Realise).steps.is_empty());
        let plan = make(&recipes, &image, Purpose::Check);
        assert_eq!(names(&plan), ["src", "program", "image"]);
        assert!(plan.steps[2].is_check && !plan.steps[1].is_check);
    }

    #[test]
    fn ten_thousand_derivations_in_a_chain_are_planned() {
        let mut recipes = TestRecipes::default();
        let mut last = recipes.add("step-0", "/bin/sh", &[]);
        for number in 1..10_000 {
            last = recipes.add(&format!("step-{number}"), "/bin/sh", &[&last]);
        }
        let plan = make(&recipes, &last, Purpose::Realise);
        assert_eq!(plan.steps.len(), 10_000);
        assert!((1..10_000).all(|n| plan.steps[n].needs == BTreeSet::from([n - 1])));
    }

    #[test]
    fn an_output_that_does_not_exist_is_named() {
        let mut recipes = TestRecipes::default();
        let drv_path = recipes.add("x", "/bin/sh", &[]);
        let outputs = Outputs::Some(BTreeSet::from([OutputName::parse(b"dev").unwrap()]));
        let target = Target { drv_path: drv_path.clone(), outputs };
        let error =
            Plan::make(&recipes, &StoreDir::default(), &[target], Purpose::Realise)
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("derivation '{drv_path}' does not have an output named 'dev'")
        );
    }
}
