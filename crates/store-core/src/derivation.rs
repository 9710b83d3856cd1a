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
mod environment;
mod instantiate;
mod modulo;
mod placeholder;

use std::collections::{BTreeMap, BTreeSet};

pub use environment::Environment;
pub use instantiate::Instantiated;
pub use modulo::{DrvHash, DrvHashKind};
pub use placeholder::{Placeholder, hash_placeholder};

use self::aterm::{Inputs, Mask};
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::error::{Error, Result};
use crate::hash::{HashAlgo, HashFormat, Sha256};
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
    pub env: Environment,
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
    /// The hash algorithm with its method and the hash, as the text of a derivation and the worker protocol have
    /// them; empty where there is none.
    pub(crate) fn print_hash(&self) -> (String, String) {
        match self {
            Self::InputAddressed(_) | Self::Deferred => (String::new(), String::new()),
            Self::CaFixed(ContentAddress { method, hash }) => {
                (method.print_with_algo(hash.algo()), hash.print(HashFormat::Base16))
            }
            Self::CaFloating { method, algo } => {
                (method.print_with_algo(*algo), String::new())
            }
            Self::Impure { method, algo } => {
                (method.print_with_algo(*algo), "impure".to_owned())
            }
        }
    }

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

/// The paths of a derivation's outputs, as far as they are known without building.
pub type OutputPaths = BTreeMap<OutputName, Option<StorePath>>;

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
                DerivationOutput::CaFloating { algo, .. }
                    if *floating_algo.get_or_insert(*algo) != *algo =>
                {
                    return Err(Error::DrvFloatingAlgo);
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
    pub fn output_paths(&self, store_dir: &StoreDir) -> Result<OutputPaths> {
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
        self.to_text_with(store_dir, &self.output_paths(store_dir)?)
    }

    /// As [`Self::to_text`], with the paths that [`Self::output_paths`] gives.
    fn to_text_with(
        &self,
        store_dir: &StoreDir,
        paths: &OutputPaths,
    ) -> Result<DerivationText> {
        let contents =
            aterm::print_with(self, store_dir, Mask::Nothing(paths), Inputs::Paths)?;
        let references = self.references();
        let name = format!("{}{DRV_SUFFIX}", self.name);
        let path = store_dir.make_text_path(&name, Sha256::of(&contents), &references)?;
        Ok(DerivationText { path, contents, references })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hash::Hash;
    use proptest::prelude::*;

    /// `derivation { name = "foo"; system = "x86_64-linux"; builder = "/bin/sh"; }` in a store
    /// without inputs.
    fn deferred(outputs: &[&str]) -> Derivation {
        let outputs: Vec<OutputName> = outputs
            .iter()
            .map(|name| OutputName::parse(name.as_bytes()).unwrap())
            .collect();
        let fixed = [("builder", "/bin/sh"), ("name", "foo"), ("system", "x86_64-linux")];
        let fixed = fixed.map(|(key, value)| (key.to_owned(), value));
        let empty = |name: &OutputName| (name.as_str().to_owned(), "");
        Derivation {
            name: "foo".to_owned(),
            env: fixed.into_iter().chain(outputs.iter().map(empty)).collect(),
            outputs: outputs
                .into_iter()
                .map(|name| (name, DerivationOutput::Deferred))
                .collect(),
            input_srcs: BTreeSet::new(),
            input_drvs: BTreeMap::new(),
            system: b"x86_64-linux".to_vec(),
            builder: b"/bin/sh".to_vec(),
            args: Vec::new(),
            structured_attrs: None,
        }
    }

    fn no_input(_: &StorePath) -> Result<Arc<DrvHash>> {
        unreachable!("the derivation has no input")
    }

    #[test]
    fn a_derivation_without_inputs_has_the_paths_of_nix() {
        let dir = StoreDir::default();
        let mut drv = deferred(&["out"]);
        drv.fill_in_output_paths(&dir, no_input).unwrap();
        let text = drv.to_text(&dir).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&text.contents),
            r#"Derive([("out","/nix/store/xpcvxsx5sw4rbq666blz6sxqlmsqphmr-foo","","")],[],[],"x86_64-linux","/bin/sh",[],[("builder","/bin/sh"),("name","foo"),("out","/nix/store/xpcvxsx5sw4rbq666blz6sxqlmsqphmr-foo"),("system","x86_64-linux")])"#
        );
        assert_eq!(
            dir.print(&text.path),
            "/nix/store/9d794zbx10n43fa6zaqf33pfymdrm4r2-foo.drv"
        );
        let parsed = Derivation::parse(&dir, &text.contents, "foo").unwrap();
        assert_eq!(parsed, drv);
        parsed.check_output_paths(&dir, no_input).unwrap();
    }

    #[test]
    fn wrong_output_paths_are_noticed() {
        let dir = StoreDir::default();
        let mut drv = deferred(&["out", "dev"]);
        drv.fill_in_output_paths(&dir, no_input).unwrap();
        drv.check_output_paths(&dir, no_input).unwrap();
        let mut bad = drv.clone();
        bad.args.push(b"x".to_vec());
        assert!(matches!(
            bad.check_output_paths(&dir, no_input),
            Err(Error::DrvOutputWrong { .. })
        ));
        let mut bad = drv.clone();
        bad.env.insert(b"out", b"/x");
        assert!(matches!(
            bad.check_output_paths(&dir, no_input),
            Err(Error::DrvEnvWrong { .. })
        ));
        drv.env.remove(b"dev");
        assert!(drv.check_output_paths(&dir, no_input).is_err());
    }

    #[test]
    fn deferral_spreads_from_inputs() {
        let dir = StoreDir::default();
        let input = StorePath::from_parts([1; 20], b"in.drv").unwrap();
        let mut drv = deferred(&["out"]);
        drv.input_drvs.insert(input, BTreeSet::from([OutputName::out()]).into());
        let hashes = Box::new([(OutputName::out(), Sha256([0; 32]))]);
        let hash = Arc::new(DrvHash { kind: DrvHashKind::Deferred, hashes });
        drv.fill_in_output_paths(&dir, |_| Ok::<_, Error>(hash.clone())).unwrap();
        assert_eq!(drv.kind().unwrap(), DerivationKind::Deferred);
        let missing =
            Arc::new(DrvHash { kind: DrvHashKind::Regular, hashes: Box::new([]) });
        let error = drv.hash_modulo(&dir, |_| Ok::<_, Error>(missing.clone()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "no hash for output 'out' of derivation 'foo'"
        );
    }

    #[test]
    fn outputs_must_fit_together() {
        let hash = Hash::of(HashAlgo::Sha256, b"");
        let fixed = DerivationOutput::CaFixed(ContentAddress {
            method: ContentAddressMethod::Flat,
            hash,
        });
        let error = |outputs: &[(&str, DerivationOutput)]| {
            let mut drv = deferred(&[]);
            for (name, output) in outputs {
                let name = OutputName::parse(name.as_bytes()).unwrap();
                drv.outputs.insert(name, output.clone());
            }
            drv.kind().unwrap_err().to_string()
        };
        assert_eq!(error(&[]), "must have at least one output");
        assert_eq!(
            error(&[("a", fixed.clone())]),
            "single fixed output must be named \"out\""
        );
        assert_eq!(
            error(&[("out", fixed.clone()), ("x", fixed.clone())]),
            "only one fixed output is allowed for now"
        );
        assert_eq!(
            error(&[("out", fixed), ("x", DerivationOutput::Deferred)]),
            "can't mix derivation output types"
        );
    }

    #[test]
    fn malformed_texts_have_the_words_of_nix() {
        let error = |text: &str| {
            let parsed = Derivation::parse(&StoreDir::default(), text.as_bytes(), "x");
            parsed.unwrap_err().to_string()
        };
        assert_eq!(
            error("x"),
            "derivation does not start with 'Derive' or 'DrvWithVersion'"
        );
        assert_eq!(error("Derive("), "expected string '['");
        assert_eq!(error("Derive([(\"out"), "unterminated string in derivation");
        assert_eq!(
            error("DrvWithVersion(\"x\","),
            "Unknown derivation ATerm format version 'x'"
        );
        assert_eq!(error("Derive([],[(\"a\",[\"out\"])]"), "bad path 'a' in derivation");
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[a-z\"\\\\\n\r\t$]{0,12}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..12)
        ]
    }

    fn path() -> impl Strategy<Value = StorePath> {
        (any::<[u8; 20]>(), "[a-z]{1,9}(\\.drv)?").prop_map(|(digest, name)| {
            StorePath::from_parts(digest, name.as_bytes()).unwrap()
        })
    }

    fn output_names() -> impl Strategy<Value = BTreeSet<OutputName>> {
        proptest::collection::btree_set(
            "[a-z]{1,4}".prop_map(|name| OutputName::parse(name.as_bytes()).unwrap()),
            0..4,
        )
    }

    fn output() -> impl Strategy<Value = DerivationOutput> {
        let hash = Hash::of(HashAlgo::Sha1, b"x");
        let (method, algo) = (ContentAddressMethod::Nar, HashAlgo::Sha512);
        prop_oneof![
            path().prop_map(DerivationOutput::InputAddressed),
            Just(DerivationOutput::Deferred),
            Just(DerivationOutput::CaFixed(ContentAddress { method, hash })),
            Just(DerivationOutput::CaFloating { method, algo }),
            Just(DerivationOutput::Impure { method, algo }),
        ]
    }

    fn input() -> impl Strategy<Value = InputOutputs> {
        let flat = output_names().prop_map(InputOutputs::from);
        flat.prop_recursive(3, 8, 2, |inner| {
            (output_names(), output_names(), inner).prop_map(|(outputs, names, inner)| {
                let dynamic =
                    names.into_iter().map(|name| (name, inner.clone())).collect();
                InputOutputs { outputs, dynamic }
            })
        })
    }

    fn derivation() -> impl Strategy<Value = Derivation> {
        use proptest::collection::{btree_map, btree_set, vec};
        let outputs = vec((output_names(), output()), 0..4);
        let inputs = (btree_set(path(), 0..4), btree_map(path(), input(), 0..4));
        let texts = (bytes(), vec(bytes(), 0..4), btree_map(bytes(), bytes(), 0..6));
        let json = proptest::option::of(Just(b"{\"a\":\"\\n\"}".to_vec()));
        (outputs, inputs, texts, json).prop_map(|(outputs, inputs, texts, json)| {
            Derivation {
                name: "x".to_owned(),
                outputs: outputs
                    .into_iter()
                    .flat_map(|(names, output)| {
                        names.into_iter().map(move |name| (name, output.clone()))
                    })
                    .collect(),
                input_srcs: inputs.0,
                input_drvs: inputs.1,
                system: b"x86_64-linux".to_vec(),
                builder: texts.0,
                args: texts.1,
                env: texts.2.into_iter().collect(),
                structured_attrs: json,
            }
        })
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(drv in derivation()) {
            let dir = StoreDir::default();
            let text = drv.print(&dir).unwrap();
            prop_assert_eq!(Derivation::parse(&dir, &text, "x").unwrap(), drv);
        }

        #[test]
        fn damaged_texts_never_panic(
            drv in derivation(), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let dir = StoreDir::default();
            let mut text = drv.print(&dir).unwrap();
            let at = at % text.len();
            text[at] = byte;
            if let Ok(drv) = Derivation::parse(&dir, &text, "x") {
                let hash = drv.hash_modulo(&dir, |_| Err::<Arc<DrvHash>, _>(Error::DrvStart));
                let _: Result<DrvHash, Error> = hash;
            }
            text.truncate(at);
            prop_assert!(Derivation::parse(&dir, &text, "x").is_err());
        }
    }

    #[test]
    fn lookups_may_fail_in_their_own_way() {
        #[derive(Debug)]
        struct Mine;
        impl From<Error> for Mine {
            fn from(_: Error) -> Self {
                Self
            }
        }
        let mut drv = deferred(&["out"]);
        drv.fill_in_output_paths::<Mine>(&StoreDir::default(), |_| Err(Mine)).unwrap();
    }
}
