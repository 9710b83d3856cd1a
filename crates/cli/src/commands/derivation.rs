//! `picnix store derivation show`: derivations as JSON, in Nix's format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_build::Purpose;
use picnix_store_core::{
    Derivation, DerivationOutput, HashFormat, InputOutputs, StorePath,
};
use serde_json::{Map, Value, json};

use super::build::Evaluated;
use super::store::{Shell, store_error};
use super::{Context, Outcome};
use crate::args::{JobArgs, ProgramArgs, ShowArgs};
use crate::error::CommandError;
use crate::output;

/// The version of Nix's JSON format of derivations.
const DERIVATION_JSON_VERSION: u32 = 4;

/// Prints derivations: of store paths, and of expressions.
pub(super) fn show(context: &Context, args: &ShowArgs) -> Outcome {
    let engine = context.clone().engine(&JobArgs::default());
    let shell = Shell { store: engine.store()?, engine: &engine };
    let mut todo = BTreeSet::new();
    let words: Vec<&PathBuf> = args.program.file.iter().chain(&args.more).collect();
    let mut programs = Vec::new();
    for word in &words {
        match shell.named(word)? {
            Some(path) => {
                todo.insert(path);
            }
            None => programs.push(ProgramArgs {
                file: Some((*word).clone()),
                ..args.program.clone()
            }),
        }
    }
    if words.is_empty() {
        programs.push(args.program.clone());
    }
    for program in programs {
        let jobs = JobArgs::default();
        let evaluated =
            Evaluated::new(context.clone(), &program, &jobs, Purpose::Realise)?;
        todo.extend(evaluated.found.into_iter().map(|found| found.drv_path));
    }
    shell.show_derivations(todo.into_iter().collect(), args.recursive)
}

impl Shell<'_> {
    /// The derivation that a word names as a store path, or as a path of what it produced; none if it is
    /// something to evaluate. The outputs behind `^` or `!` say nothing here.
    fn named(&self, word: &Path) -> Result<Option<StorePath>, CommandError> {
        let text = word.to_string_lossy();
        let path = text.split_once(['^', '!']).map_or(&*text, |(path, _)| path);
        match self.store_path(Path::new(path)) {
            Ok(path) => self.derivation_of(path).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn show_derivations(&self, mut todo: Vec<StorePath>, recursive: bool) -> Outcome {
        let mut shown = Map::new();
        while let Some(path) = todo.pop() {
            let derivation = self.store.read_derivation(&path).map_err(store_error)?;
            shown.insert(path.to_string(), derivation_json(&derivation));
            if recursive {
                let inputs = derivation.input_drvs.keys();
                todo.extend(
                    inputs.filter(|p| !shown.contains_key(&p.to_string())).cloned(),
                );
            }
        }
        let value = json!({ "derivations": shown, "version": DERIVATION_JSON_VERSION });
        output::line(&value.to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    /// A derivation path, or the one that produced a path.
    fn derivation_of(&self, path: StorePath) -> Result<StorePath, CommandError> {
        if path.is_derivation() {
            return Ok(path);
        }
        let info = self.store.path_info(&path).map_err(store_error)?;
        info.deriver.ok_or_else(|| {
            let path = self.print(&path);
            CommandError::user(format!(
                "the derivation that produced '{path}' is not known"
            ))
        })
    }
}

/// A derivation in Nix's JSON format.
fn derivation_json(derivation: &Derivation) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let outputs: Map<String, Value> = derivation
        .outputs
        .iter()
        .map(|(name, output)| (name.to_string(), output_json(output)))
        .collect();
    let drvs: Map<String, Value> = derivation
        .input_drvs
        .iter()
        .map(|(path, outputs)| (path.to_string(), input_json(outputs)))
        .collect();
    let env: BTreeMap<String, String> =
        derivation.env.iter().map(|(name, value)| (text(name), text(value))).collect();
    let srcs: Vec<String> =
        derivation.input_srcs.iter().map(ToString::to_string).collect();
    let mut value = json!({
        "args": derivation.args.iter().map(|arg| text(arg)).collect::<Vec<_>>(),
        "builder": text(&derivation.builder),
        "env": env,
        "inputs": { "drvs": drvs, "srcs": srcs },
        "name": derivation.name,
        "outputs": outputs,
        "system": text(&derivation.system),
        "version": DERIVATION_JSON_VERSION,
    });
    if let Some(attrs) = &derivation.structured_attrs
        && let Ok(attrs) = serde_json::from_slice::<Value>(attrs)
    {
        value["structuredAttrs"] = attrs;
    }
    value
}

fn output_json(output: &DerivationOutput) -> Value {
    match output {
        DerivationOutput::InputAddressed(path) => json!({ "path": path.to_string() }),
        DerivationOutput::CaFixed(address) => json!({
            "hash": address.hash.print(HashFormat::Sri),
            "method": address.method.name(),
        }),
        DerivationOutput::CaFloating { method, algo } => json!({
            "hashAlgo": algo.to_string(), "method": method.name(),
        }),
        DerivationOutput::Impure { method, algo } => json!({
            "hashAlgo": algo.to_string(), "impure": true, "method": method.name(),
        }),
        DerivationOutput::Deferred => json!({}),
    }
}

fn input_json(input: &InputOutputs) -> Value {
    let dynamic: Map<String, Value> = input
        .dynamic
        .iter()
        .map(|(name, outputs)| (name.to_string(), input_json(outputs)))
        .collect();
    let outputs: Vec<&str> =
        input.outputs.iter().map(picnix_store_core::OutputName::as_str).collect();
    json!({ "dynamicOutputs": dynamic, "outputs": outputs })
}
