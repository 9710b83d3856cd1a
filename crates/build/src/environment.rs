//! What a builder finds: its environment and the files in its build directory.
//!
//! Byte for byte what Nix gives it in a sandbox (`libstore/build/derivation-env-desugar.cc` and
//! `initEnv` of `derivation-builder.cc`): in that order, so that a derivation can override the first
//! few variables and none of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use picnix_sandbox::BuildFile;
use picnix_store::Store;
use picnix_store_core::{
    Derivation, DerivationKind, Hash, HashAlgo, HashFormat, JSON_KEY, OutputName,
    StorePath, hash_placeholder,
};
use serde_json::{Map, Value};

use crate::error::StepError;
use crate::json;
use crate::options::{self, Options};
use crate::structured::shell_text;

/// The build directory as builders see it.
const BUILD_DIR: &str = "/build";

/// Everything that the environment is made of.
pub(crate) struct Sources<'a> {
    pub(crate) store: &'a Store,
    pub(crate) derivation: &'a Derivation,
    pub(crate) options: &'a Options,
    pub(crate) outputs: &'a BTreeMap<OutputName, StorePath>,
    /// The closure of the inputs.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
    pub(crate) cores: usize,
    /// The caller's environment, of which fixed-output builds may see what they name.
    pub(crate) caller: &'a BTreeMap<String, String>,
}

/// What a builder finds.
#[derive(Debug)]
pub struct Environment {
    /// Its variables.
    pub variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The files in its build directory.
    pub files: Vec<BuildFile>,
    /// Structured attributes as a shell declares them; nothing where there are none.
    pub declarations: String,
    /// The build directory as the builder sees it.
    build_dir: String,
    rewrites: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Environment {
    pub(crate) fn make(from: &Sources<'_>) -> Result<Self, StepError> {
        let mut env = Self::empty(BUILD_DIR, rewrites(from));
        let store_dir = from.store.store_dir();
        env.set("PATH", "/path-not-set");
        env.set("HOME", "/homeless-shelter");
        env.set("NIX_STORE", store_dir.as_str());
        env.set("NIX_BUILD_CORES", &from.cores.to_string());
        match options::structured(from.derivation)? {
            Some(attrs) => env.add_structured(from, attrs)?,
            None => env.add_plain(from)?,
        }
        for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"] {
            env.set(name, BUILD_DIR);
        }
        if from.derivation.kind().is_ok_and(|kind| kind == DerivationKind::Fixed) {
            env.set("NIX_OUTPUT_CHECKED", "1");
            for name in &from.options.impure_variables {
                env.set(name, from.caller.get(name).map_or("", String::as_str));
            }
        }
        env.set("NIX_LOG_FD", "2");
        env.set("TERM", "xterm-256color");
        Ok(env)
    }

    /// What a person's shell finds that is to be like a build: what the derivation says, and `build_dir` in the
    /// place of the build directory. As in `nix-shell`, outputs are named as the derivation names them.
    pub(crate) fn for_shell(
        from: &Sources<'_>,
        build_dir: &str,
    ) -> Result<Self, StepError> {
        let mut env = Self::empty(build_dir, Vec::new());
        for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP"] {
            env.set(name, build_dir);
        }
        env.set("NIX_STORE", from.store.store_dir().as_str());
        env.set("NIX_BUILD_CORES", &from.cores.to_string());
        let mut number = 0;
        for (name, value) in from.derivation.env.iter() {
            let in_file = from.options.pass_as_file.iter().any(|n| n.as_bytes() == name);
            if in_file {
                let file = format!(".attr-{number}");
                number += 1;
                env.add_file(&file, value);
                env.variables.insert(
                    [name, b"Path".as_slice()].concat(),
                    format!("{build_dir}/{file}").into(),
                );
            } else if name != JSON_KEY {
                env.variables.insert(name.to_vec(), value.to_vec());
            }
        }
        if let Some(attrs) = options::structured(from.derivation)? {
            env.add_structured(from, attrs)?;
        }
        Ok(env)
    }

    fn empty(build_dir: &str, rewrites: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self {
            variables: BTreeMap::new(),
            files: Vec::new(),
            declarations: String::new(),
            build_dir: build_dir.to_owned(),
            rewrites,
        }
    }

    /// The variables as the system takes them, placeholders replaced; a person's shell has none.
    #[must_use]
    pub fn for_box(&self) -> Vec<(OsString, OsString)> {
        let os = |bytes: &[u8]| OsString::from_vec(self.rewrite(bytes));
        self.variables.iter().map(|(name, value)| (os(name), os(value))).collect()
    }

    /// Replaces the placeholders of the derivation's own outputs.
    pub(crate) fn rewrite(&self, text: &[u8]) -> Vec<u8> {
        let mut result = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, tail)) = rest.split_first() {
            let found = (*first == b'/')
                .then(|| self.rewrites.iter().find(|(from, _)| rest.starts_with(from)))
                .flatten();
            match found {
                Some((from, to)) => {
                    result.extend_from_slice(to);
                    rest = &rest[from.len()..];
                }
                None => {
                    result.push(*first);
                    rest = tail;
                }
            }
        }
        result
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    fn add_file(&mut self, name: &str, contents: &[u8]) {
        let contents = self.rewrite(contents);
        self.files.push(BuildFile { name: name.to_owned(), contents });
    }

    fn add_plain(&mut self, from: &Sources<'_>) -> Result<(), StepError> {
        let as_file: BTreeSet<&[u8]> =
            from.options.pass_as_file.iter().map(String::as_bytes).collect();
        for (name, value) in from.derivation.env.iter() {
            if as_file.contains(name) {
                let hash = Hash::of(HashAlgo::Sha256, name).print(HashFormat::Nix32);
                let file = format!(".attr-{hash}");
                self.add_file(&file, value);
                let variable = [name, b"Path".as_slice()].concat();
                self.variables.insert(variable, format!("{BUILD_DIR}/{file}").into());
            } else {
                self.variables.insert(name.to_vec(), value.to_vec());
            }
        }
        for (name, paths) in &from.options.export_references {
            let text = registration(from.store, &exported(from, paths)?)?;
            self.add_file(name, text.as_bytes());
        }
        Ok(())
    }

    fn add_structured(
        &mut self,
        from: &Sources<'_>,
        mut attrs: Map<String, Value>,
    ) -> Result<(), StepError> {
        let outputs = from.outputs.keys().map(|name| {
            (
                name.as_str().to_owned(),
                Value::String(hash_placeholder(name.as_str().as_bytes())),
            )
        });
        attrs.insert("outputs".to_owned(), Value::Object(outputs.collect()));
        for (name, paths) in &from.options.export_references {
            let described = describe(from.store, &exported(from, paths)?)?;
            attrs.insert(name.clone(), described);
        }
        self.declarations = shell_text(&attrs);
        let shell = self.declarations.clone();
        self.add_file(".attrs.sh", shell.as_bytes());
        self.add_file(".attrs.json", json::print(&Value::Object(attrs)).as_bytes());
        let dir = self.build_dir.clone();
        self.set("NIX_ATTRS_SH_FILE", &format!("{dir}/.attrs.sh"));
        self.set("NIX_ATTRS_JSON_FILE", &format!("{dir}/.attrs.json"));
        Ok(())
    }
}

fn rewrites(from: &Sources<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let store_dir = from.store.store_dir();
    let pair = |(name, path): (&OutputName, &StorePath)| {
        let placeholder = hash_placeholder(name.as_str().as_bytes());
        (placeholder.into_bytes(), store_dir.print(path).into_bytes())
    };
    from.outputs.iter().map(pair).collect()
}

/// The closure of some paths, all of which must be inputs; of derivations, their outputs' too.
pub(crate) fn exported(
    from: &Sources<'_>,
    paths: &BTreeSet<String>,
) -> Result<BTreeSet<StorePath>, StepError> {
    let store = from.store;
    let mut roots = BTreeSet::new();
    for path in paths {
        let parsed = store.store_dir().parse_path_within(path.as_bytes());
        let (path, _) =
            parsed.map_err(|error| StepError::Attribute(error.to_string()))?;
        if !from.inputs.contains(&path) {
            return Err(StepError::Attribute(format!(
                "cannot export references of path '{}' because it is not in the input closure of the derivation",
                store.store_dir().print(&path)
            )));
        }
        roots.insert(path);
    }
    let mut closure = store.closure(&roots)?;
    let mut outputs = BTreeSet::new();
    for drv_path in closure.iter().filter(|path| path.is_derivation()) {
        outputs.extend(store.derivation_outputs(drv_path)?.into_values().flatten());
    }
    let valid = store.valid_among(&outputs)?;
    closure.extend(store.closure(&valid)?);
    Ok(closure)
}

/// The form in which `nix-store --load-db` takes paths, without hashes.
fn registration(store: &Store, paths: &BTreeSet<StorePath>) -> Result<String, StepError> {
    let mut text = String::new();
    for path in paths {
        let references = store.query_references(path)?;
        text += &format!("{}\n\n{}\n", store.store_dir().print(path), references.len());
        for reference in &references {
            text += &format!("{}\n", store.store_dir().print(reference));
        }
    }
    Ok(text)
}

fn describe(store: &Store, paths: &BTreeSet<StorePath>) -> Result<Value, StepError> {
    let mut list = Vec::new();
    for path in paths {
        let info = store.path_info(path)?;
        let mut closure_size = 0;
        for member in store.closure([path])? {
            closure_size += store.path_info(&member)?.nar_size;
        }
        let print = |path| store.store_dir().print(path);
        let mut described = serde_json::json!({
            "narHash": format!("sha256:{}", info.nar_hash.nix32()),
            "narSize": info.nar_size,
            "references": info.references.iter().map(print).collect::<Vec<_>>(),
            "path": print(path),
            "valid": true,
            "closureSize": closure_size,
        });
        if let Some(address) = &info.content_address {
            described["ca"] = Value::String(address.to_string());
        }
        list.push(described);
    }
    Ok(Value::Array(list))
}
