//! Every way into the store refuses a derivation whose outputs are not the paths that follow from it.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;

use picnix_store::{
    AddRequest, Durability, HashesFrom, OutputToRegister, Registration, Store,
    StoreConfig, TextObject,
};
use picnix_store_core::nar::Fso;
use picnix_store_core::{
    ContentAddressMethod, Derivation, DerivationOutput, DerivationText, Environment,
    HashAlgo, InputOutputs, OutputName, PathInfo, Sha256, StoreDir, StorePath,
};
use tempfile::TempDir;

/// A derivation, the one that it needs, and a forgery of it.
struct Texts {
    dep: DerivationText,
    good: DerivationText,
    /// It claims the output of another.
    forged: DerivationText,
}

impl Texts {
    fn new() -> Self {
        let dir = StoreDir::default();
        let dep = derivation("dep", "echo > $out", None);
        let good = derivation("step", "echo good > $out", Some(&dep));
        let bad = derivation("step", "echo bad > $out", Some(&dep));
        let out = |text: &DerivationText| {
            let name = text.path.derivation_name().unwrap();
            let parsed = Derivation::parse(&dir, &text.contents, name).unwrap();
            dir.print(
                parsed.output_paths(&dir).unwrap()[&OutputName::out()].as_ref().unwrap(),
            )
        };
        let contents = String::from_utf8(bad.contents.clone()).unwrap();
        let contents = contents.replace(&out(&bad), &out(&good)).into_bytes();
        let path = dir
            .make_text_path("step.drv", Sha256::of(&contents), &bad.references)
            .unwrap();
        let forged = DerivationText { path, contents, references: bad.references };
        Self { dep, good, forged }
    }
}

fn derivation(
    name: &str,
    script: &str,
    input: Option<&DerivationText>,
) -> DerivationText {
    let dir = StoreDir::default();
    let outputs = InputOutputs::from(BTreeSet::from([OutputName::out()]));
    let mut derivation = Derivation {
        name: name.to_owned(),
        outputs: BTreeMap::from([(OutputName::out(), DerivationOutput::Deferred)]),
        input_srcs: BTreeSet::new(),
        input_drvs: input
            .iter()
            .map(|text| (text.path.clone(), outputs.clone()))
            .collect(),
        system: b"test".to_vec(),
        builder: b"/bin/sh".to_vec(),
        args: vec![b"-c".to_vec(), script.as_bytes().to_vec()],
        env: Environment::new(),
        structured_attrs: None,
    };
    derivation.env.insert(b"out", b"");
    let lookup = |path: &StorePath| -> picnix_store_core::Result<_> {
        let text = &input.unwrap().contents;
        let input = Derivation::parse(&dir, text, path.derivation_name()?)?;
        let hash = input.hash_modulo(&dir, |_| -> picnix_store_core::Result<_> {
            unreachable!("it has no inputs")
        });
        hash.map(Into::into)
    };
    let instantiated = derivation.instantiate::<picnix_store_core::Error>(&dir, lookup);
    instantiated.unwrap().text
}

fn open(dir: &TempDir) -> Store {
    let root = dir.path().join("store");
    let config =
        StoreConfig { durability: Durability::Unsynced, ..StoreConfig::new(root) };
    Store::open(config).unwrap()
}

fn info_of(text: &DerivationText) -> (Vec<u8>, PathInfo) {
    let nar = Fso::file(text.contents.clone()).to_nar().unwrap();
    let mut info = PathInfo::new(text.path.clone(), Sha256::of(&nar), nar.len() as u64);
    info.references.clone_from(&text.references);
    (nar, info)
}

fn add_text(store: &Store, text: &DerivationText) -> picnix_store::Result<StorePath> {
    store.add_text(text.path.name(), &text.contents, &text.references)
}

/// What `nix-store --export` writes of an object.
fn export(text: &DerivationText) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let texts = Texts::new();
    add_text(&store, &texts.dep).unwrap();
    let object = TextObject {
        name: text.path.name(),
        contents: &text.contents,
        references: &text.references,
    };
    store.add_texts(&[object]).unwrap();
    let mut stream = Vec::new();
    store.export([&text.path], &mut stream).unwrap();
    stream
}

type Way = fn(&Store, &DerivationText) -> picnix_store::Result<()>;

/// The ways in, by name. Each but the first two leaves the path to the contents.
const WAYS: &[(&str, Way)] = &[
    ("text", |store, text| add_text(store, text).map(drop)),
    ("stream", |store, text| {
        let request = AddRequest {
            name: text.path.name().to_owned(),
            method: ContentAddressMethod::Text,
            algo: HashAlgo::Sha256,
            references: text.references.clone(),
        };
        store.add_stream(Cursor::new(&text.contents), &request).map(drop)
    }),
    ("bytes", |store, text| {
        store.add_bytes(&text.contents, &AddRequest::flat("step.drv")).map(drop)
    }),
    ("source", |store, text| {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, &text.contents).unwrap();
        let request = AddRequest::source("step.drv");
        store.add_source(&file, &request, &mut |_, _| Ok(true)).map(drop)
    }),
    ("tree", |store, text| {
        let tree = Fso::file(text.contents.clone());
        store.add_tree(&tree, &AddRequest::source("step.drv")).map(drop)
    }),
    ("nar", |store, text| {
        let (nar, info) = info_of(text);
        store.add_nar(nar.as_slice(), &info)
    }),
    ("import", |store, text| store.import(export(text).as_slice()).map(drop)),
    ("output", |store, text| {
        let real_path = store.temp_path()?;
        fs::write(&real_path, &text.contents).unwrap();
        let contents = store.examine_output(&real_path, &text.references)?;
        let path = text.path.clone();
        let (deriver, content_address) = (None, None);
        let output =
            OutputToRegister { real_path, path, contents, deriver, content_address };
        store.register_outputs(vec![output]).map(drop)
    }),
    ("registration", |store, text| {
        let place = store.real_path(&text.path);
        fs::write(&place, &text.contents).unwrap();
        register(store, &[text])
    }),
];

fn register(store: &Store, texts: &[&DerivationText]) -> picnix_store::Result<()> {
    let mut lines = String::new();
    for text in texts {
        let references: String = text
            .references
            .iter()
            .map(|path| format!("{}\n", store.store_dir().print(path)))
            .collect();
        let path = store.store_dir().print(&text.path);
        lines += &format!("{path}\n\n{}\n{references}", text.references.len());
    }
    let given = Registration { hashes: HashesFrom::Objects, replaces: false };
    store.load_database(lines.as_bytes(), given)
}

#[test]
fn a_forged_derivation_is_refused_whichever_way_it_comes() {
    let texts = Texts::new();
    for (name, way) in WAYS {
        let dir = TempDir::new().unwrap();
        let store = open(&dir);
        add_text(&store, &texts.dep).unwrap();
        way(&store, &texts.good).unwrap_or_else(|error| panic!("{name}: {error}"));
        let before = store.valid_paths().unwrap();
        assert_eq!(before.len(), 2, "{name}");
        let error = way(&store, &texts.forged).unwrap_err().to_string();
        assert!(error.contains("incorrect output"), "{name}: {error}");
        assert_eq!(store.valid_paths().unwrap(), before, "{name}");
    }
}

#[test]
fn a_derivation_that_cannot_be_checked_is_refused() {
    let texts = Texts::new();
    for (name, way) in WAYS {
        let dir = TempDir::new().unwrap();
        let store = open(&dir);
        // What it is built from is not there.
        way(&store, &texts.good).unwrap_err();
        let nonsense =
            DerivationText { contents: b"nonsense".to_vec(), ..texts.dep.clone() };
        let nonsense = DerivationText {
            path: store
                .store_dir()
                .make_text_path(
                    "dep.drv",
                    Sha256::of(&nonsense.contents),
                    &BTreeSet::new(),
                )
                .unwrap(),
            ..nonsense
        };
        way(&store, &nonsense).unwrap_err();
        assert!(store.valid_paths().unwrap().is_empty(), "{name}");
    }
    let dir = TempDir::new().unwrap();
    let tree = Fso::directory([("a", Fso::file("b"))]);
    open(&dir).add_tree(&tree, &AddRequest::source("x.drv")).unwrap_err();
}

#[test]
fn derivations_may_arrive_together() {
    let texts = Texts::new();
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for text in [&texts.dep, &texts.good, &texts.forged] {
        fs::write(store.real_path(&text.path), &text.contents).unwrap();
    }
    register(&store, &[&texts.forged, &texts.dep]).unwrap_err();
    assert!(store.valid_paths().unwrap().is_empty());
    register(&store, &[&texts.good, &texts.dep]).unwrap();
    assert_eq!(store.valid_paths().unwrap().len(), 2);
}

#[test]
fn what_was_read_before_it_was_valid_is_not_believed() {
    let texts = Texts::new();
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    // Left behind by a process that was killed, or put there by somebody.
    let other = derivation("dep", "echo other > $out", None);
    fs::write(store.real_path(&texts.dep.path), &other.contents).unwrap();
    store.read_derivation(&texts.dep.path).unwrap();
    store.derivation_hash(&texts.dep.path).unwrap_err();
    add_text(&store, &texts.dep).unwrap();
    add_text(&store, &texts.good).unwrap();
    add_text(&store, &texts.forged).unwrap_err();
}
