//! What has to be done for some outputs to be valid, and in which order.
//!
//! As in Nix, a derivation whose wanted outputs are valid is not looked into: what it was built
//! from need not exist. One whose wanted outputs binary caches have is not looked into either: its
//! outputs and their closures become copies. Everything else becomes a step, with its place in a
//! graph. The work is linear in the number of derivations and edges; caches are asked once for each
//! layer of the graph, for everything in it at a time.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt::Write;
use std::sync::Arc;

use picnix_store_core::{Derivation, DerivationKind, OutputName, StoreDir, StorePath};

use crate::cache::{Offer, Offers, Wanted, order_of};
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

    /// What binary caches have of some outputs, closures included. By default nothing.
    ///
    /// # Errors
    /// Where the store cannot be asked. A cache that fails offers nothing.
    fn offers(&self, _wanted: &[Wanted<'_>]) -> Result<Offers, Error> {
        Ok(Offers::new())
    }
}

/// Whether valid outputs are taken as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Make the targets valid.
    #[default]
    Realise,
    /// Build the targets once more, though they are valid, to compare.
    Check,
    /// Build the targets once more, and put what is made into the places of outputs that are damaged.
    Repair,
}

/// One derivation to be built.
#[derive(Debug, Clone)]
pub struct Step {
    /// The derivation path.
    pub drv_path: StorePath,
    /// The derivation.
    pub derivation: Arc<Derivation>,
    /// Its outputs' paths.
    pub outputs: Arc<BTreeMap<OutputName, StorePath>>,
    /// What the step does.
    pub kind: StepKind,
    /// Why it is built, though its outputs may be valid.
    pub purpose: Purpose,
    /// The steps that must be done before, by index.
    pub(crate) needs: BTreeSet<usize>,
    /// The copies that must be done before, by index.
    pub(crate) needs_copies: BTreeSet<usize>,
}

/// One store object to be copied from a cache.
#[derive(Debug, Clone)]
pub struct CopyStep {
    /// The object and where it is.
    pub offer: Arc<Offer>,
    /// The copies that must be done before, by index.
    pub(crate) needs: BTreeSet<usize>,
    /// Whether it takes the place of what is valid.
    pub(crate) replaces: bool,
}

/// What has to be done. Steps come after the steps they need, and copies after the copies.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The objects to copy from caches.
    pub copies: Vec<CopyStep>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The outputs asked for, by derivation, whether they must be built or not.
    pub wanted: BTreeMap<StorePath, Arc<BTreeMap<OutputName, StorePath>>>,
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
        let mut search = Search {
            recipes,
            store_dir,
            found: BTreeMap::new(),
            todo: Vec::new(),
            offers: Offers::new(),
        };
        let mut wanted: BTreeMap<StorePath, Arc<BTreeMap<OutputName, StorePath>>> =
            BTreeMap::new();
        for target in targets {
            let outputs = search.want(&target.drv_path, &target.outputs, purpose)?;
            match wanted.entry(target.drv_path.clone()) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(outputs);
                }
                btree_map::Entry::Occupied(mut entry) => {
                    let more = outputs.iter();
                    let more = more.map(|(name, path)| (name.clone(), path.clone()));
                    Arc::make_mut(entry.get_mut()).extend(more);
                }
            }
        }
        search.look_into_all()?;
        let copies = search.copies()?;
        Ok(Self { steps: search.into_steps(&copies)?, copies, wanted })
    }

    /// Plans to build one derivation that need not be valid and whose inputs are store objects.
    ///
    /// # Errors
    /// Where it is malformed or of a kind that cannot be built.
    pub(crate) fn of_derivation(
        store_dir: &StoreDir,
        drv_path: &StorePath,
        derivation: Derivation,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let derivation = Arc::new(derivation);
        let outputs = Arc::new(outputs_of(store_dir, drv_path, &derivation)?);
        let step = Step {
            drv_path: drv_path.clone(),
            kind: kind_of(&derivation),
            derivation,
            outputs: outputs.clone(),
            purpose,
            needs: BTreeSet::new(),
            needs_copies: BTreeSet::new(),
        };
        let wanted = BTreeMap::from([(drv_path.clone(), outputs)]);
        Ok(Self { copies: Vec::new(), steps: vec![step], wanted })
    }

    /// How many steps fetch a file, how many build, and how many objects are copied.
    #[must_use]
    pub fn counts(&self) -> PlanCounts {
        let fetches =
            self.steps.iter().filter(|step| step.kind == StepKind::Fetch).count();
        let builds = self.steps.len() - fetches;
        PlanCounts { fetches, builds, copies: self.copies.len() }
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
        let offers = self.copies.iter().map(|copy| &copy.offer);
        let unpacked: u64 = offers.clone().map(|offer| offer.info.nar_size).sum();
        let download: u64 = offers.clone().filter_map(|offer| offer.download_bytes).sum();
        let sizes = format!("({download} bytes download, {unpacked} bytes unpacked)");
        list(
            &format!("this path will be copied from a cache {sizes}"),
            &format!("these {{}} paths will be copied from caches {sizes}"),
            offers.map(|offer| &offer.info.path).collect(),
        );
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
    /// Objects that are copied from caches.
    pub copies: usize,
}

/// A derivation that was looked at.
struct Found {
    derivation: Arc<Derivation>,
    outputs: Arc<BTreeMap<OutputName, StorePath>>,
    valid: BTreeSet<OutputName>,
    /// The outputs that somebody needs.
    wanted: BTreeSet<OutputName>,
    /// Those of them that caches have.
    offered: BTreeSet<OutputName>,
    is_queued: bool,
    is_step: bool,
    purpose: Purpose,
}

impl Found {
    /// Must it be built, for all that is known by now?
    fn is_needed(&self) -> bool {
        let is_there = |name| self.valid.contains(name) || self.offered.contains(name);
        self.purpose != Purpose::Realise || !self.wanted.iter().all(is_there)
    }
}

struct Search<'a> {
    recipes: &'a dyn Recipes,
    store_dir: &'a StoreDir,
    found: BTreeMap<StorePath, Found>,
    /// Derivations that were not looked into yet.
    todo: Vec<StorePath>,
    /// What caches have of all that they were asked for.
    offers: Offers,
}

impl Search<'_> {
    /// Notes that outputs of a derivation are needed; returns their paths.
    fn want(
        &mut self,
        drv_path: &StorePath,
        outputs: &Outputs,
        purpose: Purpose,
    ) -> Result<Arc<BTreeMap<OutputName, StorePath>>, Error> {
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
        // Nearly always all are wanted; there may be many derivations.
        let paths = match paths.len() == found.outputs.len() {
            true => Arc::clone(&found.outputs),
            false => Arc::new(paths),
        };
        if purpose != Purpose::Realise {
            found.purpose = purpose;
        }
        found.wanted.extend(names);
        if found.is_needed() && !found.is_step && !found.is_queued {
            found.is_queued = true;
            self.todo.push(drv_path.clone());
        }
        Ok(paths)
    }

    /// Layer by layer: what caches have is left at that, everything else is a step.
    fn look_into_all(&mut self) -> Result<(), Error> {
        while !self.todo.is_empty() {
            let layer = std::mem::take(&mut self.todo);
            self.look_for(&layer)?;
            for drv_path in layer {
                let Some(found) = self.found.get_mut(&drv_path) else { continue };
                found.is_queued = false;
                if !found.is_needed() {
                    continue;
                }
                found.is_step = true;
                let derivation = found.derivation.clone();
                for (input, outputs) in &derivation.input_drvs {
                    let outputs = Outputs::Some(outputs.outputs.clone());
                    self.want(input, &outputs, Purpose::Realise)?;
                }
            }
        }
        Ok(())
    }

    /// Asks caches for the missing outputs of some derivations.
    fn look_for(&mut self, drv_paths: &[StorePath]) -> Result<(), Error> {
        let wanted = drv_paths.iter().filter_map(|drv_path| {
            let found = &self.found[drv_path];
            let missing = found.wanted.difference(&found.valid);
            let paths = missing.map(|name| found.outputs[name].clone()).collect();
            let derivation = &*found.derivation;
            let is_realised = found.purpose == Purpose::Realise;
            is_realised.then_some(Wanted { drv_path, derivation, paths })
        });
        let wanted: Vec<Wanted<'_>> = wanted.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let offers = self.recipes.offers(&wanted)?;
        for drv_path in drv_paths {
            let Some(found) = self.found.get_mut(drv_path) else { continue };
            let outputs = found.outputs.iter();
            let offered = outputs.filter(|(_, path)| offers.contains_key(*path));
            found.offered = offered.map(|(name, _)| name.clone()).collect();
        }
        self.offers.extend(offers);
        Ok(())
    }

    /// What has to be copied for the derivations that are no steps, references first.
    fn copies(&self) -> Result<Vec<CopyStep>, Error> {
        let mut chosen = Offers::new();
        let copied = self.found.values().filter(|found| !found.is_step);
        let mut todo: Vec<&StorePath> = copied
            .flat_map(|found| {
                let missing = found.wanted.difference(&found.valid);
                missing.map(|name| &found.outputs[name])
            })
            .collect();
        while let Some(path) = todo.pop() {
            // A reference that is not offered is valid.
            if let Some(offer) = self.offers.get(path)
                && chosen.insert(path.clone(), offer.clone()).is_none()
            {
                todo.extend(&offer.info.references);
            }
        }
        copy_steps(&chosen)
    }

    /// Orders the steps so that each comes after those it needs.
    fn into_steps(self, copies: &[CopyStep]) -> Result<Vec<Step>, Error> {
        let copied: BTreeMap<&StorePath, usize> = copies
            .iter()
            .enumerate()
            .map(|(index, copy)| (&copy.offer.info.path, index))
            .collect();
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
                purpose: found.purpose,
                needs,
                needs_copies: self.inputs_among(&found.derivation, &copied),
            });
        }
        Ok(steps)
    }

    /// The copies that are inputs of a derivation.
    fn inputs_among(
        &self,
        derivation: &Derivation,
        copied: &BTreeMap<&StorePath, usize>,
    ) -> BTreeSet<usize> {
        let mut needs = BTreeSet::new();
        for (input, wanted) in &derivation.input_drvs {
            let outputs = &self.found[input].outputs;
            let paths = wanted.outputs.iter().filter_map(|name| outputs.get(name));
            needs.extend(paths.filter_map(|path| copied.get(path).copied()));
        }
        needs
    }
}

/// Copies of all that is offered, references first.
pub(crate) fn copy_steps(offers: &Offers) -> Result<Vec<CopyStep>, Error> {
    let order = order_of(offers).map_err(picnix_store::Error::from)?;
    let index: BTreeMap<&StorePath, usize> =
        order.iter().enumerate().map(|(index, path)| (path, index)).collect();
    let copy = |path: &StorePath| {
        let offer = offers[path].clone();
        let references = offer.info.references.iter().filter(|other| *other != path);
        let needs = references.filter_map(|other| index.get(other).copied());
        CopyStep { needs: needs.collect(), offer, replaces: false }
    };
    Ok(order.iter().map(copy).collect())
}

fn look_at(
    recipes: &dyn Recipes,
    store_dir: &StoreDir,
    drv_path: &StorePath,
) -> Result<Found, Error> {
    let derivation = recipes.derivation(drv_path)?;
    let outputs = Arc::new(outputs_of(store_dir, drv_path, &derivation)?);
    let valid_paths = recipes.valid_among(&outputs.values().cloned().collect())?;
    let valid = outputs.iter().filter(|(_, path)| valid_paths.contains(path));
    let valid = valid.map(|(name, _)| name.clone()).collect();
    Ok(Found {
        derivation,
        outputs,
        valid,
        wanted: BTreeSet::new(),
        offered: BTreeSet::new(),
        is_queued: false,
        is_step: false,
        purpose: Purpose::Realise,
    })
}

/// The outputs of a derivation of a kind that can be built.
fn outputs_of(
    store_dir: &StoreDir,
    drv_path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeMap<OutputName, StorePath>, Error> {
    let malformed = |source| Error::Malformed { drv_path: drv_path.clone(), source };
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
    Ok(paths.into_iter().filter_map(|(name, path)| Some((name, path?))).collect())
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
        assert_eq!(plan.counts(), PlanCounts { fetches: 1, builds: 4, copies: 0 });
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
        let purposes: Vec<Purpose> = plan.steps.iter().map(|step| step.purpose).collect();
        assert_eq!(purposes, [Purpose::Realise, Purpose::Realise, Purpose::Check]);
    }

    #[test]
    fn what_caches_have_is_copied_and_not_looked_into() {
        let mut recipes = TestRecipes::default();
        let source = recipes.add("source", "builtin:fetchurl", &[]);
        let library = recipes.add("library", "/bin/sh", &[&source]);
        let tool = recipes.add("tool", "/bin/sh", &[&library]);
        let program = recipes.add("program", "/bin/sh", &[&library, &tool]);
        recipes.offer(&library, &[]);
        recipes.offer(&tool, &[&library]);
        let plan = make(&recipes, &program, Purpose::Realise);
        assert_eq!(names(&plan), ["program"]);
        let copied: Vec<&str> =
            plan.copies.iter().map(|copy| copy.offer.info.path.name()).collect();
        assert_eq!(copied, ["library", "tool"], "references come first");
        assert_eq!(plan.copies[1].needs, BTreeSet::from([0]));
        assert_eq!(plan.steps[0].needs_copies, BTreeSet::from([0, 1]));
        assert_eq!(plan.counts(), PlanCounts { fetches: 0, builds: 1, copies: 2 });
        let text = plan.describe(&StoreDir::default());
        let line = "these 2 paths will be copied from caches (100 bytes download, \
                    240 bytes unpacked):\n  /nix/store/";
        assert!(text.contains(line), "{text}");
        let check = make(&recipes, &tool, Purpose::Check);
        assert_eq!(names(&check), ["tool"], "what is compared is built");
        recipes.offer(&program, &[&tool]);
        let plan = make(&recipes, &program, Purpose::Realise);
        assert!(plan.steps.is_empty() && plan.copies.len() == 3);
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
