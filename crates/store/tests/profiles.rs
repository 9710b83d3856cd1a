//! Profiles, what keeps what, and shared files.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use picnix_store::{
    AddRequest, Contents, Durability, Error, GcOptions, OldGenerations, Store,
    StoreConfig, SwitchTo,
};
use picnix_store_core::StorePath;
use picnix_store_core::nar::Fso;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Store {
    let root = dir.path().join("store");
    let config =
        StoreConfig { durability: Durability::Unsynced, ..StoreConfig::new(root) };
    Store::open(config).unwrap()
}

fn text(store: &Store, contents: &str) -> StorePath {
    store.add_text("text", contents.as_bytes(), &BTreeSet::new()).unwrap()
}

fn numbers(store: &Store, profile: &Path) -> Vec<(u64, bool)> {
    let generations = store.generations(profile).unwrap();
    generations.iter().map(|g| (g.number, g.is_current)).collect()
}

#[test]
fn a_profile_remembers_and_goes_back() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let profile = dir.path().join("profiles/system");
    assert!(store.generations(&profile).unwrap().is_empty());
    let error = store.switch_profile(&profile, SwitchTo::Previous).unwrap_err();
    assert!(matches!(error, Error::NoProfile(_)), "{error}");
    let paths = ["one", "two", "three"].map(|contents| text(&store, contents));
    for path in &paths {
        store.set_profile(&profile, path).unwrap();
    }
    // Setting what is set changes nothing.
    assert_eq!(store.set_profile(&profile, &paths[2]).unwrap().number, 3);
    assert_eq!(numbers(&store, &profile), [(1, false), (2, false), (3, true)]);
    assert_eq!(fs::read_to_string(&profile).unwrap(), "three");
    assert_eq!(fs::read_link(&profile).unwrap(), Path::new("system-3-link"));
    let back = store.switch_profile(&profile, SwitchTo::Previous).unwrap();
    assert_eq!((back.number, back.path), (2, paths[1].clone()));
    assert_eq!(fs::read_to_string(&profile).unwrap(), "two");
    store.switch_profile(&profile, SwitchTo::Number(1)).unwrap();
    let error = store.switch_profile(&profile, SwitchTo::Previous).unwrap_err();
    assert!(error.to_string().contains("before the current one"), "{error}");
    let error = store.switch_profile(&profile, SwitchTo::Number(9)).unwrap_err();
    assert!(error.to_string().contains("has no generation 9"), "{error}");
    // A new generation after going back gets a new number.
    assert_eq!(store.set_profile(&profile, &paths[1]).unwrap().number, 4);
    assert_eq!(store.profiles().unwrap(), BTreeSet::from([profile]));
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(store.set_profile(&file, &paths[0]), Err(Error::RootOccupied(_))));
}

#[test]
fn generations_are_deleted_but_never_the_current_one() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let profile = dir.path().join("p");
    for number in 1..=6 {
        store.set_profile(&profile, &text(&store, &number.to_string())).unwrap();
    }
    store.switch_profile(&profile, SwitchTo::Number(2)).unwrap();
    let delete = |which: OldGenerations, dry_run| -> Vec<u64> {
        let deleted = store.delete_generations(&profile, &which, dry_run).unwrap();
        deleted.iter().map(|generation| generation.number).collect()
    };
    assert_eq!(delete(OldGenerations::Keep(2), true), [1, 3, 4]);
    assert_eq!(numbers(&store, &profile).len(), 6);
    assert_eq!(delete(OldGenerations::Numbers([2, 3].into()), false), [3]);
    assert_eq!(delete(OldGenerations::Keep(2), false), [1, 4]);
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    assert_eq!(delete(OldGenerations::OlderThan(hour, now), false), [0; 0]);
    // In an hour from now only the newest of all has been current within the last minute.
    let later = OldGenerations::OlderThan(Duration::from_secs(60), now + hour);
    assert_eq!(delete(later, false), [5]);
    assert_eq!(numbers(&store, &profile), [(2, true), (6, false)]);
    assert_eq!(delete(OldGenerations::All, false), [6]);
    drop(store);
    let store = open(&dir);
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!(report.deleted.len(), 5);
    assert_eq!(fs::read_to_string(&profile).unwrap(), "2");
}

#[test]
fn the_collector_tells_what_kept_what() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let base = text(&store, "base");
    let both = BTreeSet::from([base.clone()]);
    let one = store.add_text("one", b"1", &both).unwrap();
    let two = store.add_text("two", b"22222222222", &both).unwrap();
    text(&store, "dead");
    let link = |name: &str, path| store.add_root(&dir.path().join(name), path).unwrap();
    let (a, b, c) = (link("a", &one), link("b", &two), link("c", &two));
    drop(store);
    let store = open(&dir);
    let report = store.gc(&GcOptions { dry_run: true, ..GcOptions::default() }).unwrap();
    assert_eq!(report.deleted.len(), 1);
    let size = |path: &StorePath| store.path_info(path).unwrap().nar_size;
    let found: Vec<_> = report
        .keepers
        .iter()
        .map(|k| (PathBuf::from(&k.keeper), k.objects, k.nar_bytes, k.own_bytes))
        .collect();
    let (first, second) = (size(&base) + size(&one), size(&base) + size(&two));
    let expected = [(a, 2, first, size(&one)), (b, 2, second, 0), (c, 2, second, 0)];
    assert_eq!(found, expected);
}

fn tree(contents: &str) -> Fso {
    Fso::directory([
        ("same", Fso::file(contents.repeat(1000))),
        ("program", Fso::program(contents.repeat(1000))),
        ("empty", Fso::file("")),
        ("sub", Fso::directory([("again", Fso::file(contents.repeat(1000)))])),
    ])
}

#[test]
fn equal_files_are_shared_and_nothing_else_changes() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let add =
        |name: &str, tree: &Fso| store.add_tree(tree, &AddRequest::source(name)).unwrap();
    let (a, b) = (add("a", &tree("x")), add("b", &tree("x")));
    let file = add("file", &Fso::file("x".repeat(1000)));
    let other = add("other", &tree("y"));
    let report = store.optimise().unwrap();
    // Of five equal files, two equal programs and two other equal files one each stays.
    assert_eq!((report.files, report.linked), (13, 6));
    assert_eq!(report.freed_bytes, 6000);
    let inode = |path: &StorePath, name: &str| {
        let path = store.real_path(path);
        let path = if name.is_empty() { path } else { path.join(name) };
        fs::metadata(path).unwrap().ino()
    };
    assert_eq!(inode(&a, "same"), inode(&b, "sub/again"));
    assert_eq!(inode(&a, "same"), inode(&file, ""));
    assert_eq!(inode(&a, "program"), inode(&b, "program"));
    assert_ne!(inode(&a, "same"), inode(&a, "program"), "the executable bit counts");
    assert_ne!(inode(&a, "same"), inode(&other, "same"));
    assert_ne!(inode(&a, "empty"), inode(&b, "empty"));
    for path in [&a, &b] {
        let folder = fs::metadata(store.real_path(path).join("sub")).unwrap();
        assert_eq!((folder.permissions().mode() & 0o777, folder.mtime()), (0o555, 1));
    }
    assert_eq!(store.optimise().unwrap().linked, 0);
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
    drop(store);
    // What nobody needs any more goes with its last object.
    let store = open(&dir);
    store.add_root(&dir.path().join("keep"), &file).unwrap();
    drop(store);
    let store = open(&dir);
    store.gc(&GcOptions::default()).unwrap();
    let links = dir.path().join("store/nix/var/picnix/links");
    assert_eq!(fs::read_dir(links).unwrap().count(), 1);
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
}

#[test]
fn damage_does_not_spread() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let add = |name: &str| store.add_tree(&tree("x"), &AddRequest::source(name)).unwrap();
    let a = add("a");
    store.optimise().unwrap();
    let victim = store.real_path(&a).join("same");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&victim).unwrap();
    bytes[500] = b'!';
    fs::write(&victim, bytes).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o444)).unwrap();
    let b = add("b");
    store.optimise().unwrap();
    let report = store.verify(Contents::Hashed).unwrap();
    let modified: Vec<&StorePath> =
        report.modified.iter().map(|(path, _)| path).collect();
    assert_eq!(modified, [&a]);
    assert_eq!(fs::read(store.real_path(&b).join("same")).unwrap(), [b'x'; 1000]);
}
