//! Instantiating: output paths, text, path and hash modulo of a new derivation, all at once.
//!
//! One derivation is printed three times: with its outputs masked, to compute their paths; as the file; and
//! with the hashes of its inputs, as the hash modulo. The three differ in the outputs and the inputs only, so
//! what follows these, most of the text, is printed once with gaps where output paths belong. A package set
//! has ten thousand derivations of several thousand bytes, of which this is most of the work.

use std::sync::Arc;

use super::aterm::{Inputs, Mask, Printer};
use super::{
    Derivation, DerivationKind, DerivationText, DrvHash, DrvHashKind, OutputPaths,
};
use crate::error::{Error, Result};
use crate::hash::{HashAlgo, HashSink, Sha256};
use crate::store_path::{DRV_SUFFIX, StoreDir, StorePath};

/// What instantiating a derivation yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instantiated {
    /// The `.drv` file.
    pub text: DerivationText,
    /// The hash modulo, as an input of other derivations.
    pub hash: DrvHash,
    /// The outputs' paths.
    pub outputs: OutputPaths,
}

impl Derivation {
    /// Computes the output paths, puts them into outputs and environment, and prints and hashes the result.
    ///
    /// It does what [`Derivation::fill_in_output_paths`], [`Derivation::to_text`] and
    /// [`Derivation::hash_modulo`] do one after the other.
    pub fn instantiate<E: From<Error>>(
        &mut self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<Instantiated, E> {
        match self.kind()? {
            DerivationKind::InputAddressed | DerivationKind::Deferred => {
                self.instantiate_input_addressed(store_dir, lookup)
            }
            DerivationKind::Fixed => {
                let outputs = self.output_paths(store_dir)?;
                self.fill_in_paths(store_dir, &outputs)?;
                let text = self.to_text_with(store_dir, &outputs)?;
                let hash = self.fixed_hash(store_dir, &outputs);
                Ok(Instantiated { text, hash, outputs })
            }
            DerivationKind::Floating | DerivationKind::Impure => {
                let outputs = self.output_paths(store_dir)?;
                let text = self.to_text_with(store_dir, &outputs)?;
                let hash = self.hash_modulo(store_dir, lookup)?;
                Ok(Instantiated { text, hash, outputs })
            }
        }
    }

    fn instantiate_input_addressed<E: From<Error>>(
        &mut self,
        store_dir: &StoreDir,
        lookup: impl FnMut(&StorePath) -> Result<Arc<DrvHash>, E>,
    ) -> Result<Instantiated, E> {
        let (inputs, kind) = self.input_hashes(DrvHashKind::Regular, lookup)?;
        let inputs =
            part(store_dir, |printer| printer.inputs(self, Inputs::Hashes(&inputs)));
        let mut rest = Printer::new(store_dir);
        rest.rest(self, Mask::Outputs)?;
        let head = self.head(store_dir, Mask::Outputs);
        let recipe = self.hash_of_all(kind, hash(&[&head, &inputs, &rest.text]));

        self.fill_in_outputs(store_dir, &recipe)?;
        let outputs = self.output_paths(store_dir)?;
        self.fill_in_paths(store_dir, &outputs)?;

        let head = self.head(store_dir, Mask::Nothing(&outputs));
        let rest = self.fill_gaps(store_dir, &rest);
        let hash = self.hash_of_all(kind, hash(&[&head, &inputs, &rest]));
        let paths = part(store_dir, |printer| printer.inputs(self, Inputs::Paths));
        let contents = [head, paths, rest].concat();
        let references = self.references();
        let name = format!("{}{DRV_SUFFIX}", self.name);
        let path = store_dir.make_text_path(&name, Sha256::of(&contents), &references)?;
        let text = DerivationText { path, contents, references };
        Ok(Instantiated { text, hash, outputs })
    }

    /// The text up to the input derivations.
    fn head(&self, store_dir: &StoreDir, mask: Mask<'_>) -> Vec<u8> {
        part(store_dir, |printer| {
            printer.start(self);
            printer.outputs(self, mask);
            printer.raw(b"],[");
        })
    }

    /// Puts the values of the outputs' environment variables where they were left out.
    fn fill_gaps(&self, store_dir: &StoreDir, masked: &Printer<'_>) -> Vec<u8> {
        let mut filled = Printer::new(store_dir);
        let mut from = 0;
        for (at, output) in &masked.gaps {
            filled.raw(&masked.text[from..*at]);
            if let Some(value) = self.env.get(output.as_str().as_bytes()) {
                filled.escaped(value);
            }
            from = *at;
        }
        filled.raw(&masked.text[from..]);
        filled.text
    }
}

fn part(store_dir: &StoreDir, print: impl FnOnce(&mut Printer<'_>)) -> Vec<u8> {
    let mut printer = Printer::new(store_dir);
    print(&mut printer);
    printer.text
}

fn hash(parts: &[&[u8]]) -> Sha256 {
    let mut sink = HashSink::new(HashAlgo::Sha256);
    for part in parts {
        sink.update(part);
    }
    sink.finish().0.sha256().expect("the sink hashes with SHA-256")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::derivation::{DerivationOutput, Environment};
    use crate::store_path::OutputName;

    fn derivation(outputs: &[&str], kind: &DerivationOutput) -> Derivation {
        let mut env = Environment::new();
        for name in ["a", "name", "zz"] {
            env.insert(
                name.as_bytes(),
                b"some \"quoted\"\ttext\nof two lines, long enough \\",
            );
        }
        let names =
            outputs.iter().map(|name| OutputName::parse(name.as_bytes()).unwrap());
        let outputs: BTreeMap<_, _> = names.map(|name| (name, kind.clone())).collect();
        for output in outputs.keys() {
            env.insert(output.as_str().as_bytes(), b"");
        }
        let input =
            StorePath::parse(b"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv").unwrap();
        let out = BTreeSet::from([OutputName::out()]);
        Derivation {
            name: "x".to_owned(),
            outputs,
            input_srcs: BTreeSet::new(),
            input_drvs: BTreeMap::from([(input, out.into())]),
            system: b"s".into(),
            builder: b"b".into(),
            args: vec![b"-e".into()],
            env,
            structured_attrs: Some(b"{}".into()),
        }
    }

    #[test]
    fn all_at_once_is_one_after_the_other() {
        let store_dir = StoreDir::default();
        let floating = DerivationOutput::CaFloating {
            method: crate::ContentAddressMethod::Nar,
            algo: HashAlgo::Sha256,
        };
        let input_kinds = [DrvHashKind::Regular, DrvHashKind::Deferred];
        for (outputs, output) in [
            (&["out"][..], &DerivationOutput::Deferred),
            (&["dev", "out", "z"], &DerivationOutput::Deferred),
            (&["out"], &floating),
        ] {
            for kind in input_kinds {
                let hashes = Box::new([(OutputName::out(), Sha256::of(b"input"))]);
                let input = Arc::new(DrvHash { kind, hashes });
                let lookup = |_: &StorePath| Ok::<_, Error>(Arc::clone(&input));
                let mut expected = derivation(outputs, output);
                let mut actual = expected.clone();
                expected.fill_in_output_paths(&store_dir, lookup).unwrap();
                let made = actual.instantiate(&store_dir, lookup).unwrap();
                assert_eq!(actual, expected);
                assert_eq!(made.text, expected.to_text(&store_dir).unwrap());
                assert_eq!(made.hash, expected.hash_modulo(&store_dir, lookup).unwrap());
            }
        }
    }
}
