//! `derivationStrict` and `derivation`.
//!
//! `derivationStrict` turns a set into a store derivation: `attributes` reads the set, `inputs` turns the string
//! contexts met on the way into inputs and knows the hashes of input derivations, and this file puts both
//! together, computes the outputs and makes the result. `wrapper` is the lazy function that people call.
//!
//! Decision: of a derivation that was made, the evaluation keeps its hash modulo and the numbers of its
//! references, and not its text: twelve thousand texts are 100 MB that nobody reads again. The world writes
//! the `.drv` file when it likes to.

mod attributes;
mod imported;
mod inputs;
mod normalize;
mod place;
mod wrapper;

use picnix_store_core::{
    ContentAddress, ContentAddressMethod, DRV_SUFFIX, Derivation, DerivationOutput, Hash,
    HashAlgo, HashFormat, Instantiated, OutputName, OutputPaths, Placeholder, StorePath,
    check_name, hash_placeholder,
};

use self::attributes::Recipe;
pub(crate) use self::imported::imported;
use self::inputs::Known;
pub(crate) use self::inputs::place_of as derivation_place;
pub(crate) use self::inputs::{Cache, Table};
use super::{Builtin, Scope};
use crate::error::{At, Error, Result};
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::report::show_pos;
use crate::symbol::{Symbol, sym};
use crate::value::{Attrs, AttrsBuilder, ContextElement, Value};
use crate::{bail, err};

const DERIVATION_STRICT: Builtin = Builtin {
    name: "derivationStrict",
    parameters: &["attrs"],
    scope: Scope::Plain,
    doc: "Makes a store derivation out of *attrs* and returns a set of its path (`drvPath`) \
          and the paths of its outputs, each under the output's name.\n\n\
          This is what `derivation` is made of; use that.",
    function: derivation_strict,
};

pub(super) const BUILTINS: &[Builtin] = &[
    DERIVATION_STRICT,
    Builtin {
        name: "derivation",
        parameters: &["attrs"],
        scope: Scope::Plain,
        doc: "Describes a build: *attrs* must have `name`, `system` and `builder`, and may have \
              `args` and `outputs`; every other attribute becomes a variable of the builder's \
              environment.\n\nReturns *attrs* with `outPath`, `drvPath`, `type = \"derivation\"`, \
              `outputName`, `all`, `drvAttrs`, and an attribute for each output.",
        function: wrapper::derivation,
    },
];

fn derivation_strict<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to builtins.derivationStrict";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let doing = "in the attrset passed as argument to builtins.derivationStrict";
    let name = ev.required_attr(attrs, sym::NAME, pos, doing)?;
    let name_pos = attrs.get_attr(sym::NAME).map_or(Pos::NONE, |attr| attr.pos);
    let doing =
        "while evaluating the `name` attribute passed to builtins.derivationStrict";
    let name = ev
        .expect_plain_string(name.get(), pos, doing)
        .trace(name_pos, || "while evaluating the derivation attribute 'name'")?;
    instantiate(ev, name, attrs).trace(Pos::NONE, || {
        format!(
            "while evaluating derivation '{}'\n  whose name attribute is located at {}",
            String::from_utf8_lossy(name),
            show_pos(ev, name_pos)
        )
    })
}

fn instantiate<'h>(
    ev: &Evaluator<'h>,
    name: &[u8],
    attrs: &'h Attrs<'h>,
) -> Result<Value<'h>> {
    let recipe = Recipe::read(ev, checked_name(name)?, attrs)?;
    let inputs = inputs::of_context(ev, &recipe.context)?;
    check(&recipe)?;
    let plan = OutputPlan::of(&recipe);
    let mut drv = Derivation {
        name: recipe.name,
        outputs: std::collections::BTreeMap::new(),
        input_srcs: inputs.sources,
        input_drvs: inputs.drvs,
        system: recipe.system,
        builder: recipe.builder,
        args: recipe.args,
        env: recipe.env,
        structured_attrs: recipe.structured_attrs,
    };
    plan.apply(ev, &mut drv)?;
    let store_dir = ev.world.store_dir();
    let Instantiated { text, hash, outputs } =
        drv.instantiate(store_dir, |path| inputs::hash_of(ev, path))?;
    let id = ev.path_id(&text.path);
    let place = place::of(ev, attrs);
    inputs::remember(ev, id, Known::new(&drv, hash, inputs.references).at(place));
    let result = result(ev, &text.path, &outputs)?;
    ev.world
        .add_derivation(drv, text)
        .map_err(|error| ev.world_error(error, Pos::NONE))?;
    Ok(result)
}

/// Checks the name early, for the sake of the message; making store paths checks it again.
fn checked_name(name: &[u8]) -> Result<String> {
    if let Err(error) = check_name(name) {
        bail!(Other, "invalid derivation name: {error}. Please pass a different 'name'.");
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn check(recipe: &Recipe) -> Result<()> {
    if recipe.builder.is_empty() {
        bail!(Missing, "required attribute 'builder' missing");
    }
    if recipe.system.is_empty() {
        bail!(Missing, "required attribute 'system' missing");
    }
    let makes_one_drv =
        recipe.method == Some(ContentAddressMethod::Text) && recipe.has_only_output_out();
    if recipe.name.ends_with(DRV_SUFFIX) && !makes_one_drv {
        bail!(
            Other,
            "derivation names are allowed to end in '{DRV_SUFFIX}' only if they produce a single derivation file"
        );
    }
    Ok(())
}

/// What the attributes say of the outputs.
struct OutputPlan {
    outputs: Vec<Vec<u8>>,
    hash: Option<String>,
    algo: Option<HashAlgo>,
    method: Option<ContentAddressMethod>,
    is_content_addressed: bool,
    is_impure: bool,
    has_only_out: bool,
}

impl OutputPlan {
    fn of(recipe: &Recipe) -> Self {
        Self {
            outputs: recipe.outputs.iter().cloned().collect(),
            hash: recipe.output_hash.clone(),
            algo: recipe.hash_algo,
            method: recipe.method,
            is_content_addressed: recipe.is_content_addressed,
            is_impure: recipe.is_impure,
            has_only_out: recipe.has_only_output_out(),
        }
    }

    /// Gives the derivation its outputs and the environment variables that name them. Paths that follow from
    /// the derivation itself come later.
    ///
    /// A fixed output is content-addressed already, so `__contentAddressed` says nothing beside it.
    fn apply(&self, ev: &Evaluator<'_>, drv: &mut Derivation) -> Result<()> {
        if let Some(hash) = &self.hash {
            self.fix(ev, drv, hash)
        } else if self.is_content_addressed || self.is_impure {
            self.float(drv)
        } else {
            for output in &self.outputs {
                drv.env.insert(output, b"");
                let name = output_name(&drv.name, output)?;
                drv.outputs.insert(name, DerivationOutput::Deferred);
            }
            Ok(())
        }
    }

    fn fix(&self, ev: &Evaluator<'_>, drv: &mut Derivation, hash: &str) -> Result<()> {
        if !self.has_only_out {
            bail!(
                Other,
                "multiple outputs are not supported in fixed-output derivations"
            );
        }
        let hash = parse_hash(ev, hash, self.algo)?;
        let method = self.method.unwrap_or(ContentAddressMethod::Flat);
        let output = DerivationOutput::CaFixed(ContentAddress { method, hash });
        // Its path follows, with those of other kinds of outputs.
        drv.env.insert(b"out", b"");
        drv.outputs.insert(OutputName::out(), output);
        Ok(())
    }

    fn float(&self, drv: &mut Derivation) -> Result<()> {
        if self.is_content_addressed && self.is_impure {
            bail!(Other, "derivation cannot be both content-addressed and impure");
        }
        let algo = self.algo.unwrap_or(HashAlgo::Sha256);
        let method = self.method.unwrap_or(ContentAddressMethod::Nar);
        for output in &self.outputs {
            drv.env.insert(output, hash_placeholder(output).as_bytes());
            let kind = if self.is_impure {
                DerivationOutput::Impure { method, algo }
            } else {
                DerivationOutput::CaFloating { method, algo }
            };
            drv.outputs.insert(output_name(&drv.name, output)?, kind);
        }
        Ok(())
    }
}

/// Parses the hash of something whose contents are known beforehand; an empty one is zeros, with a warning.
pub(super) fn parse_hash(
    ev: &Evaluator<'_>,
    text: &str,
    algo: Option<HashAlgo>,
) -> Result<Hash> {
    let hash = Hash::parse_allow_empty(text, algo)?;
    if hash.algo() == HashAlgo::Blake3 {
        ev.require_feature(Feature::Blake3Hashes, "")?;
    }
    if text.is_empty() {
        let sri = hash.print(HashFormat::Sri);
        ev.warn(&format!("found empty hash, assuming '{sri}'"));
    }
    Ok(hash)
}

/// Checks an output's name. Nix finds a bad one when it makes the output's path, and names that path.
fn output_name(drv_name: &str, output: &[u8]) -> Result<OutputName> {
    OutputName::parse(output).map_err(|error| {
        let object = [drv_name.as_bytes(), b"-", output].concat();
        Error::from(check_name(&object).err().unwrap_or(error))
    })
}

/// The set that `derivationStrict` returns: the derivation's path and its outputs'.
fn result<'h>(
    ev: &Evaluator<'h>,
    path: &StorePath,
    outputs: &OutputPaths,
) -> Result<Value<'h>> {
    let (drv_path, outputs) = outputs_of(ev, path, outputs)?;
    let mut attrs = AttrsBuilder::with_capacity(1 + outputs.len());
    attrs.insert(sym::DRV_PATH, drv_path);
    for (name, output) in outputs {
        attrs.insert(name, output);
    }
    Ok(Value::Attrs(attrs.finish(ev.heap)))
}

/// The strings that stand for a derivation and for each of its outputs.
fn outputs_of<'h>(
    ev: &Evaluator<'h>,
    path: &StorePath,
    paths: &OutputPaths,
    // What follows is made at once (no evaluation).
) -> Result<(Value<'h>, Vec<(Symbol, Value<'h>)>)> {
    let id = ev.path_id(path);
    let deep = ev.heap.slice(&[ContextElement::DrvDeep(id)]);
    let drv_path = ev.string_of(ev.print_store_path(id), deep);
    let store_dir = ev.world.store_dir();
    let mut outputs = Vec::with_capacity(paths.len());
    for (name, output) in paths {
        let text = match output {
            Some(path) => store_dir.print(path),
            None => Placeholder::of_output(path, name)?.to_string(),
        };
        let symbol = ev.symbol(name.as_str().as_bytes());
        let context = ev.heap.slice(&[ContextElement::Built(id, symbol)]);
        let value = ev.string_of(ev.heap.bytes(text.as_bytes()), context);
        outputs.push((symbol, value));
    }
    Ok((drv_path, outputs))
}

impl From<picnix_store_core::Error> for Error {
    /// The formats' messages name what they are about, and are worded as Nix's.
    fn from(error: picnix_store_core::Error) -> Self {
        err!(Other, "{error}")
    }
}
