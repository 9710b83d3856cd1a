//! The layers of the workspace: who may depend on whom, and who may touch the outside.
//!
//! DESIGN.md's rule, read from the `Cargo.toml` files: a crate depends on lower layers only, tests may
//! use the testkit, and a crate performs effects exactly if it has a `clippy.toml`, which lifts the
//! root's bans on input and output.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{TestEnvironment, workspace};

/// The crates of each layer, lowest first.
const LAYERS: &[&[&str]] = &[
    &["syntax", "store-core"],
    &["closure", "image", "eval"],
    &["store", "fetch", "sandbox", "vm"],
    &["build"],
    &["engine"],
    &["cli"],
];
/// What only tests use.
const TESTKIT: &str = "testkit";
/// The crates that perform effects.
const EFFECTS: &[&str] =
    &["store", "fetch", "sandbox", "build", "vm", "engine", "cli", TESTKIT];
/// Crates that must not know others although their layer would permit it, each with the reason.
const BANS: &[(&str, &str, &str)] = &[
    ("store", "eval", "the store knows no expressions"),
    ("store", "syntax", "the store knows no expressions"),
    ("build", "eval", "building knows no expressions"),
    ("build", "syntax", "building knows no expressions"),
    ("build", "image", "images reach building as a builtin builder"),
    ("vm", "store", "a machine boots files, wherever they lie"),
];
/// Crates of others that only one crate of ours may use, each with the reason.
const OWNED: &[(&str, &str, &str)] = &[
    ("ureq", "fetch", "there is one network client"),
    ("rustls", "fetch", "there is one network client"),
    ("rusqlite", "store", "there is one database"),
    ("indicatif", "cli", "only the command line touches the terminal"),
    ("clap", "cli", "only the command line reads arguments"),
];

/// What a `Cargo.toml` says of interest here.
#[derive(Default)]
struct Manifest {
    name: String,
    dependencies: Vec<String>,
    dev_dependencies: Vec<String>,
    inherits_lints: bool,
}

impl Manifest {
    /// Reads a manifest with picnix's own reader of TOML, which saves the tests a dependency.
    fn parse(text: &str) -> Self {
        let env = TestEnvironment::new();
        env.write("Cargo.toml", text);
        let expr = "builtins.fromTOML (builtins.readFile ./Cargo.toml)";
        let json = env.succeeds(&["eval", "--json", "-E", expr]);
        let table: serde_json::Value = serde_json::from_str(&json).unwrap();
        let keys = |name: &str| {
            let table = table[name].as_object();
            table.map_or_else(Vec::new, |table| table.keys().cloned().collect())
        };
        Self {
            name: table["package"]["name"].as_str().unwrap_or_default().to_owned(),
            dependencies: [keys("dependencies"), keys("build-dependencies")].concat(),
            dev_dependencies: keys("dev-dependencies"),
            inherits_lints: table["lints"]["workspace"] == true,
        }
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// What is wrong with a crate of the workspace.
fn complaints(folder: &str, manifest: &Manifest, has_clippy_toml: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |text: String| found.push(format!("crates/{folder}: {text}"));
    if manifest.name != format!("picnix-{folder}") {
        complain(format!("is named '{}', not 'picnix-{folder}'", manifest.name));
    }
    if !manifest.inherits_lints {
        complain("does not inherit the workspace's lints".to_owned());
    }
    if has_clippy_toml != EFFECTS.contains(&folder) {
        complain(if has_clippy_toml {
            "has a clippy.toml, which is for crates that perform effects".to_owned()
        } else {
            "performs effects and has no clippy.toml".to_owned()
        });
    }
    let Some(own) = layer(folder).or((folder == TESTKIT).then_some(LAYERS.len())) else {
        complain("is in no layer; give it a place in LAYERS".to_owned());
        return found;
    };
    for dependency in &manifest.dependencies {
        if let Some((_, owner, reason)) =
            OWNED.iter().find(|(name, owner, _)| name == dependency && *owner != folder)
        {
            complain(format!("uses {dependency}, which is {owner}'s: {reason}"));
        }
        let Some(ours) = dependency.strip_prefix("picnix-") else { continue };
        if layer(ours).is_none_or(|layer| layer >= own) {
            complain(format!("depends on '{ours}', which is in no lower layer"));
        }
        if let Some((_, _, reason)) =
            BANS.iter().find(|(from, to, _)| *from == folder && *to == ours)
        {
            complain(format!("depends on '{ours}', but {reason}"));
        }
    }
    for dependency in &manifest.dev_dependencies {
        let Some(ours) = dependency.strip_prefix("picnix-") else { continue };
        if ours != TESTKIT && layer(ours).is_none_or(|layer| layer >= own) {
            complain(format!("its tests depend on '{ours}', which is in no lower layer"));
        }
    }
    found
}

#[test]
fn crates_depend_on_lower_layers_only() {
    let mut crates = BTreeMap::new();
    for entry in fs::read_dir(workspace().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(path.join("Cargo.toml")) else { continue };
        let folder = path.file_name().unwrap().to_str().unwrap().to_owned();
        crates
            .insert(folder, (Manifest::parse(&text), path.join("clippy.toml").exists()));
    }
    let found: Vec<String> = crates
        .iter()
        .flat_map(|(folder, (manifest, has))| complaints(folder, manifest, *has))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for name in LAYERS.iter().copied().flatten() {
        assert!(crates.contains_key(*name), "LAYERS names '{name}', which is no crate");
    }
}

/// What is wrong with a crate that would be fine without these lines.
fn complaints_of(folder: &str, lines: &str) -> Vec<String> {
    let text = format!(
        "[package]\nname = \"picnix-{folder}\"\n[lints]\nworkspace = true\n{lines}\n"
    );
    complaints(folder, &Manifest::parse(&text), EFFECTS.contains(&folder))
}

#[test]
fn a_dependency_upwards_or_sideways_is_found() {
    assert_eq!(complaints_of("eval", "[dependencies]\npicnix-syntax = {}"), [""; 0]);
    let found = complaints_of("eval", "[dependencies]\npicnix-store = {}");
    assert_eq!(found, ["crates/eval: depends on 'store', which is in no lower layer"]);
    let found = complaints_of("store", "[dependencies]\npicnix-vm = {}");
    assert_eq!(found, ["crates/store: depends on 'vm', which is in no lower layer"]);
    let found = complaints_of("engine", "[build-dependencies]\npicnix-cli = {}");
    assert_eq!(found, ["crates/engine: depends on 'cli', which is in no lower layer"]);
}

#[test]
fn a_banned_dependency_is_found() {
    let found = complaints_of("build", "[dependencies]\npicnix-eval = {}");
    assert_eq!(
        found,
        ["crates/build: depends on 'eval', but building knows no expressions"]
    );
}

#[test]
fn only_tests_use_the_testkit() {
    assert_eq!(complaints_of("eval", "[dev-dependencies]\npicnix-testkit = {}"), [""; 0]);
    let found = complaints_of("eval", "[dependencies]\npicnix-testkit = {}");
    assert_eq!(found, ["crates/eval: depends on 'testkit', which is in no lower layer"]);
    let found = complaints_of("eval", "[dev-dependencies]\npicnix-cli = {}");
    assert_eq!(
        found,
        ["crates/eval: its tests depend on 'cli', which is in no lower layer"]
    );
}

#[test]
fn a_crate_that_is_anothers_is_found() {
    let found = complaints_of("engine", "[dependencies]\nureq = {}");
    assert_eq!(
        found,
        ["crates/engine: uses ureq, which is fetch's: there is one network client"]
    );
}

#[test]
fn effects_are_marked_by_a_clippy_toml() {
    let manifest = Manifest {
        name: "picnix-eval".to_owned(),
        inherits_lints: true,
        ..Manifest::default()
    };
    assert_eq!(complaints("eval", &manifest, false), [""; 0]);
    let found = complaints("eval", &manifest, true);
    assert_eq!(
        found,
        ["crates/eval: has a clippy.toml, which is for crates that perform effects"]
    );
    let manifest = Manifest { name: "picnix-fetch".to_owned(), ..manifest };
    let found = complaints("fetch", &manifest, false);
    assert_eq!(found, ["crates/fetch: performs effects and has no clippy.toml"]);
}

#[test]
fn a_crate_without_a_place_name_or_lints_is_found() {
    let found = complaints("new", &Manifest::default(), false);
    assert_eq!(
        found,
        [
            "crates/new: is named '', not 'picnix-new'",
            "crates/new: does not inherit the workspace's lints",
            "crates/new: is in no layer; give it a place in LAYERS",
        ]
    );
}
