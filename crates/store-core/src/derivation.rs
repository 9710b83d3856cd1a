//! Store derivations: one build step as data.
//!
//! [`Derivation`] is what a `.drv` file holds. `aterm` reads and writes the file's text byte for
//! byte as Nix; `modulo` computes the hash of a derivation *modulo* the provenance of its fixed
//! outputs, and from it the output paths; `placeholder` makes the texts that stand for paths not
//! yet known.
//!
//! Structured attributes are kept as the JSON text that stands in the file (the environment
//! variable `__json`): Nix writes it compact with sorted keys, and whoever makes a derivation does
//! so too.

mod aterm;
mod modulo;
mod placeholder;

use std::collections::{BTreeMap, BTreeSet};

pub use modulo::{DrvHash, DrvHashKind};
pub use placeholder::{Placeholder, hash_placeholder};

use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::error::{Error, Result};
use crate::hash::{HashAlgo, Sha256};
use crate::store_path::{DRV_SUFFIX, OutputName, References, StoreDir, StorePath};

/// The environment variable that holds structured attributes in a `.drv` file.
pub const JSON_KEY: &[u8] = b"__json";

/// One build step: a builder, its arguments and environment, what it needs and what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The name, without `.drv`; in a file it is the file's name.
    pub name: String,
    /// The outputs.
    pub outputs: BTreeMap<OutputName, DerivationOutput>,
    /// Store objects that are inputs as they are.
    pub input_srcs: BTreeSet<StorePath>,
    /// Derivations whose outputs are inputs.
    pub input_drvs: BTreeMap<StorePath, InputOutputs>,
    /// The system that can run the builder, such as `x86_64-linux`.
    pub system: Vec<u8>,
    /// The program, or `builtin:` and the name of a builtin builder.
    pub builder: Vec<u8>,
    /// The program's arguments.
    pub args: Vec<Vec<u8>>,
    /// The environment, without structured attributes.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Structured attributes as JSON text, compact and with sorted keys.
    pub structured_attrs: Option<Vec<u8>>,
}

/// What kind of path an output has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DerivationOutput {
    /// The path follows from the derivation.
    InputAddressed(StorePath),
    /// The contents are known beforehand, and the path follows from them.
    CaFixed(ContentAddress),
    /// The path follows from the contents, which the build will show.
    CaFloating {
        /// How the contents are hashed.
        method: ContentAddressMethod,
        /// The algorithm.
        algo: HashAlgo,
    },
    /// Input-addressed, but an input's path is not known yet; also an output not yet computed.
    Deferred,
    /// Content-addressed anew at each build, with the network.
    Impure {
        /// How the contents are hashed.
        method: ContentAddressMethod,
        /// The algorithm.
        algo: HashAlgo,
    },
}

impl DerivationOutput {
    /// The path, if it is known without building.
    pub fn path(
        &self,
        store_dir: &StoreDir,
        drv_name: &str,
        output: &OutputName,
    ) -> Result<Option<StorePath>> {
        match self {
            Self::InputAddressed(path) => Ok(Some(path.clone())),
            Self::CaFixed(address) => {
                let name = output.object_name(drv_name);
                store_dir.make_content_path(&name, address, &References::none()).map(Some)
            }
            Self::CaFloating { .. } | Self::Deferred | Self::Impure { .. } => Ok(None),
        }
    }
}

/// Which outputs of an input derivation are inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputOutputs {
    /// Outputs of the derivation itself.
    pub outputs: BTreeSet<OutputName>,
    /// Outputs that are themselves derivations, and which outputs of those (Nix's experimental
    /// dynamic derivations).
    pub dynamic: BTreeMap<OutputName, InputOutputs>,
}

impl From<BTreeSet<OutputName>> for InputOutputs {
    fn from(outputs: BTreeSet<OutputName>) -> Self {
        Self { outputs, dynamic: BTreeMap::new() }
    }
}

/// The kind of a whole derivation, which all its outputs share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivationKind {
    /// Every output's path is known and follows from the derivation.
    InputAddressed,
    /// Input-addressed, with paths that are not known yet.
    Deferred,
    /// One output with a hash known beforehand; its build may use the network.
    Fixed,
    /// Content-addressed by what the build makes.
    Floating,
    /// Impure: never cached.
    Impure,
}

/// A derivation as a store object to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivationText {
    /// The derivation path.
    pub path: StorePath,
    /// The file's contents.
    pub contents: Vec<u8>,
    /// The inputs, which are its references.
    pub references: BTreeSet<StorePath>,
}

impl Derivation {
    /// Decides the derivation's kind and checks that its outputs fit together.
    pub fn kind(&self) -> Result<DerivationKind> {
        let mut kind = None;
        let mut floating_algo = None;
        for (name, output) in &self.outputs {
            let this = match output {
                DerivationOutput::InputAddressed(_) => DerivationKind::InputAddressed,
                DerivationOutput::CaFixed(_) => DerivationKind::Fixed,
                DerivationOutput::CaFloating { .. } => DerivationKind::Floating,
                DerivationOutput::Deferred => DerivationKind::Deferred,
                DerivationOutput::Impure { .. } => DerivationKind::Impure,
            };
            match kind {
                None => kind = Some(this),
                Some(kind) if kind != this => return Err(Error::DrvMixedOutputs),
                Some(DerivationKind::Fixed) => return Err(Error::DrvFixedOutputs),
                Some(_) => {}
            }
            match output {
                DerivationOutput::CaFixed(_) if name.as_str() != "out" => {
                    return Err(Error::DrvFixedName);
                }
                DerivationOutput::CaFloating { algo, .. } => {
                    if *floating_algo.get_or_insert(*algo) != *algo {
                        return Err(Error::DrvFloatingAlgo);
                    }
                }
                _ => {}
            }
        }
        kind.ok_or(Error::DrvNoOutput)
    }

    /// Is the builder one inside the program, such as `builtin:fetchurl`?
    pub fn is_builtin(&self) -> bool {
        self.builder.starts_with(b"builtin:")
    }

    /// The outputs' paths as far as they are known without building.
    pub fn output_paths(
        &self,
        store_dir: &StoreDir,
    ) -> Result<BTreeMap<OutputName, Option<StorePath>>> {
        let path = |(name, output): (&OutputName, &DerivationOutput)| {
            Ok((name.clone(), output.path(store_dir, &self.name, name)?))
        };
        self.outputs.iter().map(path).collect()
    }

    /// The path of the output `name`, if there is one and it is known without building.
    pub fn output_path(
        &self,
        store_dir: &StoreDir,
        name: &str,
    ) -> Result<Option<StorePath>> {
        match self.outputs.get_key_value(name) {
            Some((name, output)) => output.path(store_dir, &self.name, name),
            None => Ok(None),
        }
    }

    /// Everything the `.drv` file refers to: its inputs, not its outputs.
    pub fn references(&self) -> BTreeSet<StorePath> {
        self.input_srcs.iter().chain(self.input_drvs.keys()).cloned().collect()
    }

    /// Prints the derivation and computes its path.
    pub fn to_text(&self, store_dir: &StoreDir) -> Result<DerivationText> {
        let contents = self.print(store_dir)?;
        let references = self.references();
        let name = format!("{}{DRV_SUFFIX}", self.name);
        let path = store_dir.make_text_path(&name, Sha256::of(&contents), &references)?;
        Ok(DerivationText { path, contents, references })
    }
}
