//! What must not be in the tree, each with what to do instead.
//!
//! The checks are functions of a path and a text, so that each has a test that it finds what it is for.
//! What is forbidden is put together here from pieces, or read from the machine, so that this file and
//! the tree need not contain it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::workspace;

/// A file that is longer needs a stated reason, which is to be given in [`LONG`].
const MAX_LINES: usize = 1200;
/// Files that are longer, each with the reason.
const LONG: &[(&str, &str)] = &[
    ("Cargo.lock", "cargo writes it"),
    ("fuzz/Cargo.lock", "cargo writes it"),
    ("pkgs/seed/", "pins: data"),
];
/// The folders of `tests`, and what runs them.
const SUITES: &[(&str, &str)] = &[
    ("functional", "crates/cli/tests/nix_functional.rs"),
    ("lang", "crates/eval/tests/lang_suite.rs"),
    ("lib", "crates/cli/tests/nix_suites.rs"),
    ("tree", "crates/cli/tests/nix_suites.rs"),
];
/// Hosts that the design names, whatever the machine's sources are.
const PUBLIC_HOSTS: &[&str] = &["mirrors.kernel.org", "snapshot.debian.org"];

/// A check: what is wrong with a file of the tree.
type Check = fn(&Path, &str) -> Vec<String>;
/// The checks that need nothing but the file.
const CHECKS: &[Check] = &[header, left_over, length, white_space, hidden_values];

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

/// Every source file says first what it is.
fn header(path: &Path, text: &str) -> Vec<String> {
    let is_bad = extension(path) == "rs" && !text.starts_with("//!");
    is_bad
        .then(|| "does not begin with '//!': say what the file is".to_owned())
        .into_iter()
        .collect()
}

/// What is written for a moment does not stay.
fn left_over(path: &Path, text: &str) -> Vec<String> {
    const BANNED: &[(&str, &str)] = &[
        (concat!("FIX", "ME"), "do it, or open an issue"),
        (concat!("dbg", "!("), "remove it"),
        (concat!("XX", "X:"), "do it, or open an issue"),
    ];
    if !["rs", "nix", "sh"].contains(&extension(path)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (banned, remedy) in BANNED.iter().filter(|(banned, _)| line.contains(banned))
        {
            found.push(format!("line {}: '{banned}': {remedy}", index + 1));
        }
    }
    found
}

/// Values in a collection that the evaluator's collector does not see, without a word on why it need not.
fn hidden_values(path: &Path, text: &str) -> Vec<String> {
    const PLACES: [&str; 3] = ["crates/eval/src", "crates/engine/src", "crates/cli/src"];
    const COLLECTIONS: [&str; 5] = ["Vec<", "VecDeque<", "Map<", "Set<", "Box<"];
    const HELD: [&str; 7] =
        ["Value<'", "Attr<'h", "Attrs<'h", "Slot<'h", "Thunk<'h", "List<'h", "Env<'h"];
    /// What the comment on the line above has to say.
    const EXCUSE: &str = "(no evaluation)";
    let own = Path::new("crates/eval/src/value");
    if !PLACES.iter().any(|place| path.starts_with(place)) || path.starts_with(own) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        let collection = COLLECTIONS.iter().filter_map(|name| line.find(name)).min();
        let inner = collection.map_or("", |start| &line[start..]);
        let inner = inner.split("Items<").next().unwrap_or_default();
        if HELD.iter().any(|held| inner.contains(held)) && !before.contains(EXCUSE) {
            found.push(format!(
                "line {}: the collector sees no values in here: use Items, or say '{EXCUSE}' above",
                index + 1
            ));
        }
        before = line;
    }
    found
}

/// A file is read in one sitting.
fn length(path: &Path, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let is_excused = LONG.iter().any(|(prefix, _)| path.starts_with(prefix));
    let is_long = lines > MAX_LINES && !is_excused;
    is_long
        .then(|| format!("has {lines} lines, more than {MAX_LINES}: split it by topic"))
        .into_iter()
        .collect()
}

/// Nothing invisible.
fn white_space(path: &Path, text: &str) -> Vec<String> {
    if !["rs", "nix", "sh", "toml", "md"].contains(&extension(path)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if text.contains('\r') {
        found.push("has carriage returns: end lines with a line feed".to_owned());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push("does not end with a line feed".to_owned());
    }
    found
}

/// No place of the machine that the file was written on.
fn machine_paths(text: &str, places: &BTreeSet<String>) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut found = Vec::new();
    for place in places {
        let is_there = text.match_indices(place.as_str()).any(|(at, _)| {
            !text[at + place.len()..].starts_with(is_name)
                && !text[..at].ends_with(is_name)
        });
        if is_there {
            found.push(format!(
                "names '{place}', a place of this machine: make it relative"
            ));
        }
    }
    found
}

/// No host of a package registry: mirrors come from the machine's sources or the configuration.
fn registry_hosts(text: &str, hosts: &BTreeSet<String>) -> Vec<String> {
    hosts
        .iter()
        .filter(|host| text.contains(host.as_str()))
        .map(|host| format!("names the host '{host}': write 'mirror://' instead"))
        .collect()
}

/// The hosts in a configuration of apt, except those that the design names.
fn hosts_of(sources: &str) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for line in sources.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for (at, separator) in line.match_indices("://") {
            let rest = &line[at + separator.len()..];
            let end =
                rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            if host.contains('.') && !PUBLIC_HOSTS.contains(&host) {
                hosts.insert(host.to_owned());
            }
        }
    }
    hosts
}

fn machine_hosts() -> BTreeSet<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.flat_map(|text| hosts_of(&text)).collect()
}

/// Where this machine has the tree, what is built of it, and the user's files.
fn machine_places() -> BTreeSet<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(Path::to_owned);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let places =
        [Some(workspace()), target, home.filter(|home| home != Path::new("/root"))];
    let deep = |path: &PathBuf| path.components().count() > 2;
    places
        .into_iter()
        .flatten()
        .filter(deep)
        .map(|path| path.display().to_string())
        .collect()
}

/// The module that a source file of a crate has to be declared as, and the files that may do so.
fn declared_in(path: &Path) -> Option<(String, Vec<PathBuf>)> {
    let name = path.file_stem()?.to_str()?;
    let dir = path.parent()?;
    if ["lib", "main"].contains(&name) && dir.ends_with("src") {
        return None;
    }
    let (module, parent) = match name {
        "mod" => (dir.file_name()?.to_str()?, dir.parent()?),
        name => (name, dir),
    };
    let parents = if parent.ends_with("src") {
        vec![parent.join("lib.rs"), parent.join("main.rs")]
    } else {
        vec![parent.with_extension("rs"), parent.join("mod.rs")]
    };
    Some((module.to_owned(), parents))
}

/// Whether a file declares a module.
fn declares(text: &str, module: &str) -> bool {
    let wanted = format!("mod {module};");
    text.lines().any(|line| {
        line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ")
            == wanted
    })
}

/// Every text file of the tree, relative to its root.
fn tree() -> Vec<(PathBuf, String)> {
    let root = workspace();
    let mut files = Vec::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_hidden = name.starts_with('.') && ![".ci", ".github"].contains(&name);
            // Links lead to results of builds; directories of builds carry a tag.
            if is_hidden || path.is_symlink() || path.join("CACHEDIR.TAG").exists() {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 200, "the tree is not here");
    files
}

#[test]
fn the_tree_is_tidy() {
    let (hosts, places) = (machine_hosts(), machine_places());
    let mut found = Vec::new();
    for (path, text) in tree() {
        let mut complaints: Vec<String> =
            CHECKS.iter().flat_map(|check| check(&path, &text)).collect();
        complaints.extend(machine_paths(&text, &places));
        complaints.extend(registry_hosts(&text, &hosts));
        let named = complaints.iter().map(|text| format!("{}: {text}", path.display()));
        found.extend(named);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_source_file_is_dead() {
    let root = workspace();
    let mut found = Vec::new();
    for (path, _) in tree() {
        let is_source = path.starts_with("crates")
            && extension(&path) == "rs"
            && path.components().any(|part| part.as_os_str() == "src");
        let Some((module, parents)) = declared_in(&path).filter(|_| is_source) else {
            continue;
        };
        let is_declared = parents.iter().any(|parent| {
            fs::read_to_string(root.join(parent))
                .is_ok_and(|text| declares(&text, &module))
        });
        if !is_declared {
            found.push(format!("{}: no file declares 'mod {module};'", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_suite_and_no_file_of_an_example_is_dead() {
    let files = tree();
    let examples: Vec<_> =
        files.iter().filter(|(path, _)| path.starts_with("examples")).collect();
    for (path, _) in &files {
        let mut parts = path.iter().map(|part| part.to_str().unwrap());
        match (parts.next(), parts.next(), parts.next()) {
            (Some("tests"), Some(folder), Some(_)) => {
                let is_run = SUITES.iter().any(|(name, _)| *name == folder);
                assert!(
                    is_run,
                    "tests/{folder} is run by nobody; say in SUITES what runs it"
                );
            }
            (Some("tests"), Some(file), None) => {
                assert!(file.ends_with(".md"), "tests/{file} is run by nobody");
            }
            (Some("examples"), Some(name), _) if extension(Path::new(name)) != "nix" => {
                let name_in = |text: &str| text.contains(&format!("./{name}"));
                let is_used = examples.iter().any(|(_, text)| name_in(text));
                assert!(is_used, "no example uses examples/{name}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_missing_header_is_found() {
    assert_eq!(header(Path::new("a.rs"), "//! What.\n"), [""; 0]);
    assert_eq!(header(Path::new("a.rs"), "use std::fs;\n").len(), 1);
    assert_eq!(header(Path::new("a.nix"), "{ }\n"), [""; 0]);
}

#[test]
fn what_was_left_over_is_found_with_its_line() {
    let text = format!("a\n// {}ME: later\n", "FIX");
    let found = left_over(Path::new("a.rs"), &text);
    assert_eq!(found, [format!("line 2: '{}ME': do it, or open an issue", "FIX")]);
    let text = format!("{}!(x);\n", "dbg");
    assert_eq!(left_over(Path::new("a.rs"), &text).len(), 1);
    assert_eq!(left_over(Path::new("a.md"), &text), [""; 0]);
}

#[test]
fn a_collection_of_values_is_found_unless_it_is_explained() {
    let path = Path::new("crates/eval/src/some.rs");
    let plain = "    let all: Vec<(Symbol, Value<'h>)> = Vec::new();\n";
    assert_eq!(hidden_values(path, plain).len(), 1);
    let excused = format!("    // Gone at once (no evaluation).\n{plain}");
    assert_eq!(hidden_values(path, &excused), Vec::<String>::new());
    let items = "    let all: Vec<Items<'h, Value<'h>>> = Vec::new();\n";
    assert_eq!(hidden_values(path, items), Vec::<String>::new());
    let elsewhere = Path::new("crates/vm/src/some.rs");
    assert_eq!(hidden_values(elsewhere, plain), Vec::<String>::new());
}

#[test]
fn a_long_file_is_found() {
    let text = "x\n".repeat(MAX_LINES);
    assert_eq!(length(Path::new("a.rs"), &text), [""; 0]);
    assert_eq!(length(Path::new("a.rs"), &(text.clone() + "x\n")).len(), 1);
    assert_eq!(length(Path::new("pkgs/seed/a.json"), &(text + "x\n")), [""; 0]);
}

#[test]
fn odd_ends_of_lines_are_found() {
    assert_eq!(white_space(Path::new("a.rs"), "a\n"), [""; 0]);
    assert_eq!(white_space(Path::new("a.rs"), "a\r\nb").len(), 2);
}

#[test]
fn places_of_the_machine_are_found_as_whole_words() {
    let places = BTreeSet::from(["/srv/me/picnix".to_owned()]);
    assert_eq!(machine_paths("cd /srv/me/picnix/lib", &places).len(), 1);
    assert_eq!(
        machine_paths("cd /srv/me/picnix-two, /a/srv/me/picnix", &places),
        [""; 0]
    );
}

#[test]
fn hosts_of_the_machines_sources_are_found() {
    let hosts = hosts_of(
        "deb http://mirror.example.org/debian stable main\n# deb http://not.example.org/x y\n\
         URIs: https://user:word@apt.example.net:8080/debian https://mirrors.kernel.org/debian\n",
    );
    let expected = ["apt.example.net", "mirror.example.org"].map(str::to_owned);
    assert_eq!(hosts, BTreeSet::from(expected));
    assert_eq!(registry_hosts("see http://mirror.example.org/x", &hosts).len(), 1);
    assert_eq!(registry_hosts("see mirror://debian/x", &hosts), [""; 0]);
}

#[test]
fn a_module_that_nobody_declares_is_found() {
    let of = |path: &str| declared_in(Path::new(path));
    assert_eq!(of("crates/a/src/lib.rs"), None);
    let (module, parents) = of("crates/a/src/b/c.rs").unwrap();
    assert_eq!(module, "c");
    assert_eq!(
        parents,
        [Path::new("crates/a/src/b.rs"), Path::new("crates/a/src/b/mod.rs")]
    );
    let (module, parents) = of("crates/a/src/b/mod.rs").unwrap();
    assert_eq!(module, "b");
    assert_eq!(parents[0], Path::new("crates/a/src/lib.rs"));
    assert!(declares("pub(crate) mod c;\n", "c"));
    assert!(!declares("mod cc;\n", "c"));
}
