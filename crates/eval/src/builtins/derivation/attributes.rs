//! The attributes of a derivation: which of them mean something, and how the others reach the builder.
//!
//! Attributes are read in the order of their names, since that order decides which of several errors is seen.

use std::collections::BTreeSet;

use picnix_store_core::{ContentAddressMethod, Environment, HashAlgo, JSON_KEY};

use super::normalize;
use crate::bail;
use crate::builtins::Forcing;
use crate::builtins::json::{self, PathMode};
use crate::coerce::Coercion;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{Attr, Attrs, ContextElement, Value};

/// Nix's error context here is empty: the attribute's own trace line says it all.
const NO_TRACE: &str = "";

/// How many variables the environment has room for, and how many bytes of them; it grows where there are more.
const ENV_VARIABLES: usize = 64;
const ENV_BYTES: usize = 4096;

/// Checks of the output that a derivation with structured attributes states per output.
const PER_OUTPUT_CHECKS: [&[u8]; 6] = [
    b"allowedReferences",
    b"allowedRequisites",
    b"disallowedReferences",
    b"disallowedRequisites",
    b"maxSize",
    b"maxClosureSize",
];

/// What the attributes of a derivation say.
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) system: Vec<u8>,
    pub(super) builder: Vec<u8>,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: Environment,
    pub(super) structured_attrs: Option<Vec<u8>>,
    /// Everything that the strings depend on, in any order, some of it several times.
    pub(super) context: Vec<ContextElement>,
    pub(super) outputs: BTreeSet<Vec<u8>>,
    pub(super) output_hash: Option<String>,
    pub(super) hash_algo: Option<HashAlgo>,
    pub(super) method: Option<ContentAddressMethod>,
    pub(super) is_content_addressed: bool,
    pub(super) is_impure: bool,
    is_structured: bool,
    ignores_nulls: bool,
}

impl Recipe {
    /// Reads all attributes.
    pub(super) fn read<'h>(
        ev: &Evaluator<'h>,
        name: String,
        attrs: &'h Attrs<'h>,
    ) -> Result<Self> {
        let flag = |name, doing| match attrs.get(name) {
            Some(slot) => ev.expect_bool(slot.get(), Pos::NONE, doing),
            None => Ok(false),
        };
        let doing = "while evaluating the `__structuredAttrs` attribute passed to builtins.derivationStrict";
        let is_structured = flag(sym::STRUCTURED_ATTRS, doing)?;
        let doing = "while evaluating the `__ignoreNulls` attribute passed to builtins.derivationStrict";
        let ignores_nulls = flag(sym::IGNORE_NULLS, doing)?;
        let mut recipe = Self::new(name, is_structured, ignores_nulls);
        for attr in ev.sorted_by_name(attrs) {
            recipe.attribute(ev, attr).trace(attr.pos, || {
                let key = ev.show_name(attr.name);
                format!(
                    "while evaluating attribute '{key}' of derivation '{}'",
                    recipe.name
                )
            })?;
        }
        if let Some(json) = &mut recipe.structured_attrs
            && is_structured
        {
            json.push(b'}');
        }
        Ok(recipe)
    }

    fn new(name: String, is_structured: bool, ignores_nulls: bool) -> Self {
        Self {
            name,
            system: Vec::new(),
            builder: Vec::new(),
            args: Vec::new(),
            env: Environment::with_capacity(ENV_VARIABLES, ENV_BYTES),
            structured_attrs: is_structured.then(|| b"{".to_vec()),
            context: Vec::new(),
            outputs: BTreeSet::from([b"out".to_vec()]),
            output_hash: None,
            hash_algo: None,
            method: None,
            is_content_addressed: false,
            is_impure: false,
            is_structured,
            ignores_nulls,
        }
    }

    /// Is `out` the one output?
    pub(super) fn has_only_output_out(&self) -> bool {
        self.outputs.len() == 1 && self.outputs.contains(b"out".as_slice())
    }

    fn attribute<'h>(&mut self, ev: &Evaluator<'h>, attr: Attr<'h>) -> Result<()> {
        let value = attr.slot.get();
        if attr.name == sym::IGNORE_NULLS {
            return Ok(());
        }
        if self.ignores_nulls && matches!(ev.force_slot(attr.slot)?, Value::Null) {
            return Ok(());
        }
        match attr.name {
            sym::CONTENT_ADDRESSED => {
                if ev.expect_bool(value, Pos::NONE, NO_TRACE)? {
                    self.is_content_addressed = true;
                    ev.require_feature(Feature::CaDerivations, "")?;
                }
                Ok(())
            }
            sym::IMPURE => {
                if ev.expect_bool(value, Pos::NONE, NO_TRACE)? {
                    self.is_impure = true;
                    ev.require_feature(Feature::ImpureDerivations, "")?;
                }
                Ok(())
            }
            sym::ARGS => self.arguments(ev, value),
            sym::STRUCTURED_ATTRS if self.is_structured => Ok(()),
            _ if self.is_structured => self.structured(ev, attr),
            _ => self.variable(ev, attr),
        }
    }

    fn arguments<'h>(&mut self, ev: &Evaluator<'h>, value: Value<'h>) -> Result<()> {
        let doing = "while evaluating an element of the argument list";
        for element in ev.expect_list(value, Pos::NONE, NO_TRACE)?.iter() {
            let text = ev.coerce_to_string(element, Pos::NONE, Coercion::ENV, doing)?;
            self.context.extend_from_slice(text.context);
            self.args.push(text.bytes.to_vec());
        }
        Ok(())
    }

    /// An attribute that becomes a variable of the environment.
    fn variable<'h>(&mut self, ev: &Evaluator<'h>, attr: Attr<'h>) -> Result<()> {
        let text =
            ev.coerce_to_string(attr.slot.get(), Pos::NONE, Coercion::ENV, NO_TRACE)?;
        self.context.extend_from_slice(text.context);
        let key = ev.symbols.name(attr.name);
        if key == JSON_KEY {
            return self.json_variable(ev, text.bytes);
        }
        match attr.name {
            sym::BUILDER => self.builder = text.bytes.to_vec(),
            sym::SYSTEM => self.system = text.bytes.to_vec(),
            sym::OUTPUT_HASH => self.output_hash = Some(show(text.bytes)),
            sym::OUTPUT_HASH_ALGO => self.hash_algo = hash_algo(ev, text.bytes)?,
            sym::OUTPUT_HASH_MODE => self.method = Some(self.hash_mode(ev, text.bytes)?),
            sym::OUTPUTS => {
                let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
                let words = text.bytes.split(is_space).filter(|word| !word.is_empty());
                self.set_outputs(words)?;
            }
            _ => {}
        }
        self.env.insert(key, text.bytes);
        Ok(())
    }

    /// The old way to structured attributes: JSON text, which Nix parses and prints anew.
    fn json_variable(&mut self, ev: &Evaluator<'_>, text: &[u8]) -> Result<()> {
        ev.warn(&format!(
            "In derivation '{}': setting structured attributes via '__json' is deprecated, and may be disallowed in future versions of Nix. Set '__structuredAttrs = true' instead.",
            self.name
        ));
        self.structured_attrs = Some(normalize::object(text)?);
        Ok(())
    }

    /// An attribute of a derivation with structured attributes: it goes into the JSON object.
    fn structured<'h>(&mut self, ev: &Evaluator<'h>, attr: Attr<'h>) -> Result<()> {
        let key = ev.symbols.name(attr.name);
        let value = attr.slot.get();
        if let Some(object) = &mut self.structured_attrs {
            if object.len() > 1 {
                object.push(b',');
            }
            json::check_utf8(key)?;
            json::print_string(key, object);
            object.push(b':');
            let (paths, context) = (PathMode::CopyToStore, &mut self.context);
            object.extend(json::write(
                ev,
                value,
                Pos::NONE,
                (paths, Forcing::Deep),
                context,
            )?);
        }
        let plain = |value| ev.expect_plain_string(value, Pos::NONE, NO_TRACE);
        match attr.name {
            sym::BUILDER => {
                let text = ev.expect_string(value, Pos::NONE, NO_TRACE)?;
                self.context.extend_from_slice(text.context);
                self.builder = text.bytes.to_vec();
            }
            sym::SYSTEM => self.system = plain(value)?.to_vec(),
            sym::OUTPUT_HASH => self.output_hash = Some(show(plain(value)?)),
            sym::OUTPUT_HASH_ALGO => self.hash_algo = hash_algo(ev, plain(value)?)?,
            sym::OUTPUT_HASH_MODE => {
                self.method = Some(self.hash_mode(ev, plain(value)?)?);
            }
            sym::OUTPUTS => {
                let list = ev.expect_list(value, Pos::NONE, NO_TRACE)?;
                let names = list.iter().map(|name| plain(name).map(<[u8]>::to_vec));
                let names: Vec<Vec<u8>> = names.collect::<Result<_>>()?;
                self.set_outputs(names.iter().map(Vec::as_slice))?;
            }
            _ => self.warn_of_check(ev, key),
        }
        Ok(())
    }

    fn warn_of_check(&self, ev: &Evaluator<'_>, key: &[u8]) {
        if PER_OUTPUT_CHECKS.contains(&key) {
            let (name, key) = (&self.name, show(key));
            ev.warn(&format!(
                "In a derivation named '{name}', 'structuredAttrs' disables the effect of the derivation attribute '{key}'; use 'outputChecks.<output>.{key}' instead"
            ));
        }
    }

    fn set_outputs<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<()> {
        self.outputs.clear();
        for name in names {
            if self.outputs.contains(name) {
                bail!(Other, "duplicate derivation output '{}'", show(name));
            }
            // The result has an attribute of that name already.
            if name == b"drvPath" {
                bail!(Other, "invalid derivation output name 'drvPath'");
            }
            self.outputs.insert(name.to_vec());
        }
        if self.outputs.is_empty() {
            bail!(Other, "derivation cannot have an empty set of outputs");
        }
        Ok(())
    }

    fn hash_mode(&self, ev: &Evaluator<'_>, mode: &[u8]) -> Result<ContentAddressMethod> {
        match mode {
            b"flat" => Ok(ContentAddressMethod::Flat),
            b"nar" | b"recursive" => Ok(ContentAddressMethod::Nar),
            b"text" => {
                let reason = format!(
                    "text-hashed derivation '{}', outputHashMode = \"text\"",
                    self.name
                );
                ev.require_feature(Feature::DynamicDerivations, &reason)?;
                Ok(ContentAddressMethod::Text)
            }
            b"git" => {
                ev.require_feature(Feature::GitHashing, "")?;
                Err(picnix_store_core::Error::GitIngestion.into())
            }
            _ => {
                let mode = show(mode);
                bail!(Other, "invalid value '{mode}' for 'outputHashMode' attribute")
            }
        }
    }
}

/// An algorithm by its name; an unknown one is as good as none, as in Nix.
fn hash_algo(ev: &Evaluator<'_>, name: &[u8]) -> Result<Option<HashAlgo>> {
    let algo = HashAlgo::parse(&show(name)).ok();
    if algo == Some(HashAlgo::Blake3) {
        ev.require_feature(Feature::Blake3Hashes, "")?;
    }
    Ok(algo)
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
