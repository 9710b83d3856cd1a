//! A temporary store with a shell in it.
//!
//! Nothing but a shell of the machine is needed: `/bin/sh` and what it is linked with are copied
//! into one store object, and derivations run it through its own dynamic linker, so that no path
//! outside the store is used.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use picnix_build::cache::Substituters;
use picnix_build::{
    BuildConfig, Builder, Built, Builtins, Cancel, Error, Event, Observer, Outputs,
    Target,
};
use picnix_store::{AddRequest, Durability, Store, StoreConfig};
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Derivation, DerivationOutput, DrvHash,
    Environment, Hash, InputOutputs, OutputName, StorePath,
};
use picnix_testkit::interpreter;

/// A store, a shell, and what happened.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) config: BuildConfig,
    pub(crate) builtins: Builtins,
    pub(crate) events: Events,
    pub(crate) cancel: Cancel,
    pub(crate) shell: Shell,
    pub(crate) substituters: Option<Substituters>,
    pub(crate) hashes: Mutex<BTreeMap<StorePath, Arc<DrvHash>>>,
}

/// How a derivation runs the shell.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) object: StorePath,
    /// The builder and its first arguments.
    pub(crate) command: Vec<String>,
}

/// What happened, as lines of text.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<String>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.all().iter().filter(|event| event.starts_with(prefix)).count()
    }
}

impl Observer for Events {
    fn event(&self, event: &Event<'_>) {
        let text = match event {
            Event::Planned { builds, fetches, copies } => {
                let copies =
                    if *copies == 0 { String::new() } else { format!(" {copies}") };
                format!("planned {builds} {fetches}{copies}")
            }
            Event::Warning { message } => format!("warning {message}"),
            Event::Started { drv_path, kind } => {
                format!("started {} {kind:?}", drv_path.name())
            }
            Event::Log { drv_path, line } => {
                format!("log {} {}", drv_path.name(), String::from_utf8_lossy(line))
            }
            Event::Progress { drv_path, .. } => format!("progress {}", drv_path.name()),
            Event::Finished { drv_path, .. } => format!("finished {}", drv_path.name()),
            Event::Failed { drv_path, message } => {
                format!("failed {} {message}", drv_path.name())
            }
            Event::Waiting { drv_path } => format!("waiting {}", drv_path.name()),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

/// A derivation to be made.
#[derive(Default)]
pub(crate) struct Recipe<'a> {
    pub(crate) name: &'a str,
    pub(crate) script: &'a str,
    pub(crate) outputs: &'a [&'a str],
    pub(crate) inputs: &'a [&'a StorePath],
    pub(crate) sources: &'a [&'a StorePath],
    pub(crate) env: &'a [(&'a str, &'a str)],
    pub(crate) structured: Option<&'a str>,
    pub(crate) builder: Option<&'a str>,
    pub(crate) fixed: Option<(ContentAddressMethod, Hash)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(dir: tempfile::TempDir) -> Self {
        Self::with(open_store(dir.path()), dir)
    }

    /// A world whose store lies elsewhere.
    pub(crate) fn with(store: Store, dir: tempfile::TempDir) -> Self {
        let shell = add_shell(&store, dir.path());
        let mut config = BuildConfig::new("test-system", 2);
        config.mirrors.public = false;
        config.fetch.backoff = std::time::Duration::from_millis(1);
        Self {
            dir,
            store,
            config,
            builtins: Builtins::new(),
            events: Events::default(),
            cancel: Cancel::new(),
            shell,
            substituters: None,
            hashes: Mutex::default(),
        }
    }

    /// Adds a derivation to the store. Without a builder of its own it runs a shell script.
    pub(crate) fn derivation(&self, recipe: &Recipe<'_>) -> StorePath {
        let dir = self.store.store_dir();
        let names: Vec<&str> =
            if recipe.outputs.is_empty() { vec!["out"] } else { recipe.outputs.to_vec() };
        let mut env: Environment = recipe.env.iter().copied().collect();
        let mut outputs = BTreeMap::new();
        for name in names {
            let output = match &recipe.fixed {
                Some((method, hash)) => DerivationOutput::CaFixed(ContentAddress {
                    method: *method,
                    hash: *hash,
                }),
                None => DerivationOutput::Deferred,
            };
            env.insert(name.as_bytes(), b"");
            outputs.insert(OutputName::parse(name.as_bytes()).unwrap(), output);
        }
        let mut input_srcs: BTreeSet<StorePath> =
            recipe.sources.iter().map(|path| (*path).clone()).collect();
        let (builder, args) = match recipe.builder {
            Some(builder) => (builder.to_owned(), Vec::new()),
            None => {
                input_srcs.insert(self.shell.object.clone());
                let mut command = self.shell.command.clone();
                command.extend(["-euc".to_owned(), recipe.script.to_owned()]);
                (command.remove(0), command)
            }
        };
        let out = InputOutputs::from(BTreeSet::from([OutputName::out()]));
        let mut derivation = Derivation {
            name: recipe.name.to_owned(),
            outputs,
            input_srcs,
            input_drvs: recipe
                .inputs
                .iter()
                .map(|p| ((*p).clone(), out.clone()))
                .collect(),
            system: b"test-system".to_vec(),
            builder: builder.into_bytes(),
            args: args.into_iter().map(String::into_bytes).collect(),
            env,
            structured_attrs: recipe.structured.map(|text| text.as_bytes().to_vec()),
        };
        let hashes = self.hashes.lock().unwrap().clone();
        let lookup = |path: &StorePath| -> picnix_store_core::Result<_> {
            Ok(hashes[path].clone())
        };
        derivation.fill_in_output_paths(dir, lookup).unwrap();
        let hash = Arc::new(derivation.hash_modulo(dir, lookup).unwrap());
        let text = derivation.to_text(dir).unwrap();
        let name = text.path.name().to_owned();
        self.store.add_text(&name, &text.contents, &text.references).unwrap();
        self.hashes.lock().unwrap().insert(text.path.clone(), hash);
        text.path
    }

    /// A shell script with one output.
    pub(crate) fn script(
        &self,
        name: &str,
        script: &str,
        inputs: &[&StorePath],
    ) -> StorePath {
        self.derivation(&Recipe { name, script, inputs, ..Recipe::default() })
    }

    pub(crate) fn builder(&self) -> Builder<'_> {
        Builder {
            store: &self.store,
            config: &self.config,
            builtins: &self.builtins,
            observer: &self.events,
            cancel: &self.cancel,
            substituters: self.substituters.as_ref(),
        }
    }

    pub(crate) fn build(&self, drv_path: &StorePath) -> Result<Built, Error> {
        self.builder().build(&[target(drv_path)])
    }

    /// Builds and returns where the output `out` lies.
    pub(crate) fn built(&self, drv_path: &StorePath) -> PathBuf {
        let built = self.build(drv_path).unwrap_or_else(|error| panic!("{error}"));
        self.store.real_path(&built[drv_path][&OutputName::out()])
    }

    /// The text of the output `out`, which is a file.
    pub(crate) fn text(&self, drv_path: &StorePath) -> String {
        fs::read_to_string(self.built(drv_path)).unwrap()
    }

    pub(crate) fn output(&self, drv_path: &StorePath, name: &str) -> StorePath {
        let outputs = self.store.derivation_outputs(drv_path).unwrap();
        outputs[&OutputName::parse(name.as_bytes()).unwrap()].clone().unwrap()
    }

    pub(crate) fn print(&self, path: &StorePath) -> String {
        self.store.store_dir().print(path)
    }

    /// Nothing half-made is left.
    pub(crate) fn assert_clean(&self) {
        let var = self.dir.path().join("store/nix/var/picnix");
        for session in fs::read_dir(var.join("tmp")).unwrap() {
            let session = session.unwrap().path();
            let left: Vec<_> = fs::read_dir(&session).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        for object in fs::read_dir(self.store.objects_dir()).unwrap() {
            let name = object.unwrap().file_name();
            let path = StorePath::parse(name.as_encoded_bytes()).unwrap();
            assert!(self.store.is_valid(&path).unwrap(), "{path} is not valid");
        }
    }
}

pub(crate) fn target(drv_path: &StorePath) -> Target {
    Target { drv_path: drv_path.clone(), outputs: Outputs::All }
}

pub(crate) fn open_store(dir: &Path) -> Store {
    try_open_store(dir).unwrap()
}

pub(crate) fn try_open_store(dir: &Path) -> Result<Store, picnix_store::Error> {
    let mut config = StoreConfig::new(dir.join("store"));
    config.durability = Durability::Unsynced;
    Store::open(config)
}

/// Adds `/bin/sh` with everything that it needs to run.
fn add_shell(store: &Store, scratch: &Path) -> Shell {
    let tree = scratch.join("shell");
    fs::create_dir(&tree).unwrap();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    copy(&shell, &tree.join("sh"));
    let linker = interpreter(&fs::read(&shell).unwrap());
    if let Some(linker) = &linker {
        copy(&fs::canonicalize(linker).unwrap(), &tree.join("ld.so"));
        let listed = Command::new(linker).arg("--list").arg(&shell).output().unwrap();
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            // `name => path (address)`
            if let Some((name, path)) = line.trim().split_once(" => ") {
                let path = path.split(" (").next().unwrap();
                copy(Path::new(path), &tree.join(name));
            }
        }
    }
    let request = AddRequest::source("shell");
    let object = store.add_source(&tree, &request, &mut |_, _| Ok(true)).unwrap();
    let at = store.store_dir().print(&object);
    let command = match linker {
        Some(_) => vec![
            format!("{at}/ld.so"),
            "--library-path".to_owned(),
            at.clone(),
            format!("{at}/sh"),
        ],
        None => vec![format!("{at}/sh")],
    };
    Shell { object, command }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
