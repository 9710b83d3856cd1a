//! The attributes of a derivation that mean something to whoever builds it.
//!
//! They come from the environment, or from the structured attributes where there are some; the two
//! forms differ slightly, as in Nix (`libstore/derivation-options.cc`). One is ours: `boxRoot`, a
//! tree in the store whose `usr`, `bin`, `lib` and so on are shown at the root of the box.

use std::collections::{BTreeMap, BTreeSet};

use picnix_store_core::Derivation;
use serde_json::{Map, Value};

use crate::error::StepError;

/// The attribute that names the tree shown at the root of the box.
pub const BOX_ROOT: &str = "boxRoot";

/// What a derivation asks of its build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// What its outputs may hold.
    pub checks: OutputChecks,
    /// Outputs that are not scanned for references.
    pub discard_references: BTreeSet<String>,
    /// Variables passed in files.
    pub pass_as_file: BTreeSet<String>,
    /// Closures that are described in files (or structured attributes) of these names.
    pub export_references: BTreeMap<String, BTreeSet<String>>,
    /// Variables of the caller that a fixed-output build sees.
    pub impure_variables: BTreeSet<String>,
    /// What the machine must be able to do.
    pub required_features: BTreeSet<String>,
    /// The tree shown at the root of the box.
    pub box_root: Option<String>,
}

/// The checks that apply to outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputChecks {
    /// The same for all.
    All(OutputCheck),
    /// By output.
    Each(BTreeMap<String, OutputCheck>),
}

impl Default for OutputChecks {
    fn default() -> Self {
        Self::Each(BTreeMap::new())
    }
}

/// What one output may hold. References are store paths or names of outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OutputCheck {
    /// Whether an output may always refer to itself.
    pub ignores_itself: bool,
    /// The most bytes of its NAR.
    pub max_size: Option<u64>,
    /// The most bytes of its closure.
    pub max_closure_size: Option<u64>,
    /// The only paths it may refer to.
    pub allowed_references: Option<BTreeSet<String>>,
    /// The only paths that may be in its closure.
    pub allowed_requisites: Option<BTreeSet<String>>,
    /// Paths it must not refer to.
    pub disallowed_references: BTreeSet<String>,
    /// Paths that must not be in its closure.
    pub disallowed_requisites: BTreeSet<String>,
}

impl Options {
    /// Reads the options of a derivation.
    ///
    /// # Errors
    /// [`StepError::Attribute`] where an attribute makes no sense.
    pub(crate) fn of(derivation: &Derivation) -> Result<Self, StepError> {
        match structured(derivation)? {
            Some(attrs) => Self::of_structured(&attrs),
            None => Self::of_env(derivation),
        }
    }

    fn of_env(derivation: &Derivation) -> Result<Self, StepError> {
        let text = |name: &str| -> Option<String> {
            let value = derivation.env.get(name.as_bytes())?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let words = |name: &str| -> Option<BTreeSet<String>> {
            Some(text(name)?.split_whitespace().map(str::to_owned).collect())
        };
        let check = OutputCheck {
            ignores_itself: true,
            max_size: None,
            max_closure_size: None,
            allowed_references: words("allowedReferences"),
            allowed_requisites: words("allowedRequisites"),
            disallowed_references: words("disallowedReferences").unwrap_or_default(),
            disallowed_requisites: words("disallowedRequisites").unwrap_or_default(),
        };
        Ok(Self {
            checks: OutputChecks::All(check),
            discard_references: BTreeSet::new(),
            pass_as_file: words("passAsFile").unwrap_or_default(),
            export_references: pairs(&text("exportReferencesGraph").unwrap_or_default())?,
            impure_variables: words("impureEnvVars").unwrap_or_default(),
            required_features: words("requiredSystemFeatures").unwrap_or_default(),
            box_root: text(BOX_ROOT).filter(|path| !path.is_empty()),
        })
    }

    fn of_structured(attrs: &Map<String, Value>) -> Result<Self, StepError> {
        let mut checks = BTreeMap::new();
        for (output, check) in object(attrs, "outputChecks")?.into_iter().flatten() {
            let check =
                check.as_object().ok_or_else(|| wrong("outputChecks", "an object"))?;
            checks.insert(output.clone(), OutputCheck::of_structured(check)?);
        }
        let mut discard_references = BTreeSet::new();
        for (output, value) in
            object(attrs, "unsafeDiscardReferences")?.into_iter().flatten()
        {
            let name = "unsafeDiscardReferences";
            if value.as_bool().ok_or_else(|| wrong(name, "booleans"))? {
                discard_references.insert(output.clone());
            }
        }
        let mut export_references = BTreeMap::new();
        for (name, value) in object(attrs, "exportReferencesGraph")?.into_iter().flatten()
        {
            let mut paths = BTreeSet::new();
            flatten(value, &mut paths)?;
            export_references.insert(name.clone(), paths);
        }
        let box_root = attrs.get(BOX_ROOT).and_then(Value::as_str);
        Ok(Self {
            checks: OutputChecks::Each(checks),
            discard_references,
            pass_as_file: BTreeSet::new(),
            export_references,
            impure_variables: strings(attrs, "impureEnvVars")?.unwrap_or_default(),
            required_features: strings(attrs, "requiredSystemFeatures")?
                .unwrap_or_default(),
            box_root: box_root.filter(|path| !path.is_empty()).map(str::to_owned),
        })
    }
}

impl OutputCheck {
    fn of_structured(check: &Map<String, Value>) -> Result<Self, StepError> {
        let size = |name: &str| match check.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(name, "a size")),
        };
        Ok(Self {
            ignores_itself: false,
            max_size: size("maxSize")?,
            max_closure_size: size("maxClosureSize")?,
            allowed_references: strings(check, "allowedReferences")?,
            allowed_requisites: strings(check, "allowedRequisites")?,
            disallowed_references: strings(check, "disallowedReferences")?
                .unwrap_or_default(),
            disallowed_requisites: strings(check, "disallowedRequisites")?
                .unwrap_or_default(),
        })
    }
}

/// May the outputs be had from caches? Nix's `allowSubstitutes`, which trivial builders set to false.
pub(crate) fn allows_substitutes(derivation: &Derivation) -> bool {
    match structured(derivation) {
        Ok(Some(attrs)) => {
            attrs.get("allowSubstitutes").is_none_or(|v| v.as_bool() != Some(false))
        }
        Ok(None) | Err(_) => {
            let value = derivation.env.get(b"allowSubstitutes".as_slice());
            value.is_none_or(|value| value == b"1")
        }
    }
}

/// Is it better built here than on another machine? Nix's `preferLocalBuild`.
pub(crate) fn prefers_local_build(derivation: &Derivation) -> bool {
    match structured(derivation) {
        Ok(Some(attrs)) => {
            attrs.get("preferLocalBuild").is_some_and(|v| v.as_bool() == Some(true))
        }
        Ok(None) | Err(_) => {
            let value = derivation.env.get(b"preferLocalBuild".as_slice());
            value.is_some_and(|value| value == b"1")
        }
    }
}

/// Does the derivation ask for what Nix does not have: `boxRoot`, or a builtin builder of ours?
pub(crate) fn is_only_ours(derivation: &Derivation) -> bool {
    let nix_has: [&[u8]; 3] =
        [b"builtin:fetchurl", b"builtin:buildenv", b"builtin:unpack-channel"];
    if derivation.is_builtin() {
        return !nix_has.contains(&derivation.builder.as_slice());
    }
    match structured(derivation) {
        Ok(Some(attrs)) => attrs.contains_key(BOX_ROOT),
        Ok(None) | Err(_) => derivation.env.contains_key(BOX_ROOT.as_bytes()),
    }
}

/// The structured attributes, if the derivation has some.
pub(crate) fn structured(
    derivation: &Derivation,
) -> Result<Option<Map<String, Value>>, StepError> {
    let Some(text) = &derivation.structured_attrs else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(text);
    parsed.map(Some).map_err(|error| {
        StepError::Attribute(format!("cannot process __json attribute: {error}"))
    })
}

fn wrong(name: &str, expected: &str) -> StepError {
    StepError::Attribute(format!("attribute '{name}' must be {expected}"))
}

fn object<'a>(
    attrs: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, StepError> {
    match attrs.get(name) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        // Nix warns and goes on; only this one has had another form.
        Some(_) if name == "exportReferencesGraph" => Ok(None),
        Some(_) => Err(wrong(name, "an object")),
    }
}

fn strings(
    attrs: &Map<String, Value>,
    name: &str,
) -> Result<Option<BTreeSet<String>>, StepError> {
    let Some(value) = attrs.get(name) else {
        return Ok(None);
    };
    let items = value.as_array().ok_or_else(|| wrong(name, "a list of strings"))?;
    let text = |item: &Value| {
        item.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a list of strings"))
    };
    items.iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// `name path name path ...`
fn pairs(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>, StepError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if !words.len().is_multiple_of(2) {
        let message =
            format!("odd number of tokens in 'exportReferencesGraph': '{text}'");
        return Err(StepError::Attribute(message));
    }
    let mut pairs = BTreeMap::new();
    for pair in words.chunks_exact(2) {
        if !is_file_name(pair[0]) {
            let message =
                format!("invalid file name '{}' in 'exportReferencesGraph'", pair[0]);
            return Err(StepError::Attribute(message));
        }
        pairs.insert(pair[0].to_owned(), BTreeSet::from([pair[1].to_owned()]));
    }
    Ok(pairs)
}

/// `[A-Za-z_][A-Za-z0-9_.-]*`
fn is_file_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn flatten(value: &Value, paths: &mut BTreeSet<String>) -> Result<(), StepError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, paths)),
        Value::String(path) => {
            paths.insert(path.clone());
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            let message = "'exportReferencesGraph' value is not an array or a string";
            Err(StepError::Attribute(message.to_owned()))
        }
    }
}
