//! What is damaged is made good again, or is named; hooks, keys and space around builds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use common::{Recipe, World};
use picnix_build::cache::{
    CacheAddress, CachePolicy, Substituters, UploadOptions, upload,
};
use picnix_build::{Cancel, Repairs, Space};
use picnix_store::{Contents, Durability, Store, StoreConfig};
use picnix_store_core::{PublicKeys, SecretKey, StorePath};

/// Changes the files of an object, as a failing disk would.
fn damage(world: &World, path: &StorePath) {
    let mut file = world.store.real_path(path);
    if file.is_dir() {
        file = fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "damaged\n").unwrap();
    assert!(!world.store.is_intact(path).unwrap());
}

fn lose(world: &World, path: &StorePath) {
    fs::remove_file(world.store.real_path(path)).unwrap();
}

/// Verifies and repairs; whatever happens, nothing is worse than it was.
fn repair(world: &World) -> Repairs {
    let report = world.store.verify(Contents::Hashed).unwrap();
    let repairs = world.builder().repair_found(&report, Contents::Hashed).unwrap();
    let left = world.store.verify(Contents::Hashed).unwrap().damaged();
    let failed: BTreeSet<StorePath> = repairs.failed.keys().cloned().collect();
    assert_eq!(left, failed, "what could not be repaired is named, and nothing else");
    world.assert_clean();
    repairs
}

fn read(world: &World, path: &StorePath) -> String {
    fs::read_to_string(world.store.real_path(path)).unwrap()
}

/// A program that refers to a library, both built; their derivations and outputs.
fn pair(world: &World) -> ([StorePath; 2], [StorePath; 2]) {
    let library = world.script("library", "echo code > $out", &[]);
    let library_out = world.output(&library, "out");
    let text = world.print(&library_out);
    let script = format!("read line < {text}; echo $line {text} > $out");
    let program = world.script("program", &script, &[&library]);
    let program_out = world.output(&program, "out");
    world.build(&program).unwrap();
    ([library, program], [library_out, program_out])
}

#[test]
fn what_a_cache_has_is_copied_again() {
    let mut world = World::new();
    let (_, [library, program]) = pair(&world);
    let cache = tempfile::tempdir().unwrap();
    let url = format!("file://{}", cache.path().display());
    let cancel = Cancel::new();
    let options = UploadOptions {
        address: CacheAddress::parse(&url).unwrap(),
        fetch: picnix_fetch::Config::default(),
        jobs: 1,
        sign_with: None,
        cancel: &cancel,
        progress: &|_| {},
    };
    upload(&world.store, &BTreeSet::from([program.clone()]), &options).unwrap();
    let policy = CachePolicy {
        addresses: vec![CacheAddress::parse(&url).unwrap()],
        require_signatures: false,
        ..CachePolicy::default()
    };
    world.substituters = Some(Substituters::new(policy, &world.store));
    damage(&world, &library);
    lose(&world, &program);
    let before = world.store.path_info(&library).unwrap();
    // A path that only a root leads to is needed, too.
    world.store.add_root(&world.dir.path().join("result"), &program).unwrap();
    let repairs = repair(&world);
    assert_eq!(repairs.repaired.len(), 2, "{repairs:?}");
    assert_eq!(read(&world, &library), "code\n");
    assert!(read(&world, &program).starts_with("code /nix/store/"));
    assert_eq!(world.store.path_info(&library).unwrap(), before);
    assert_eq!(world.events.count("started library Copy"), 1);
    assert_eq!(world.events.count("started library.drv Box"), 1, "only the first time");
}

#[test]
fn what_no_cache_has_is_built_again_and_its_inputs_before() {
    let world = World::new();
    let (_, [library, program]) = pair(&world);
    damage(&world, &library);
    damage(&world, &program);
    let repairs = world.builder().repair(&BTreeSet::from([program.clone()])).unwrap();
    assert_eq!(repairs.repaired.len(), 2, "{repairs:?}");
    assert!(repairs.failed.is_empty(), "{repairs:?}");
    assert!(read(&world, &program).starts_with("code /nix/store/"));
    assert!(world.store.verify(Contents::Hashed).unwrap().is_sound());
    assert_eq!(world.events.count("started library.drv Box"), 2);
    world.assert_clean();
}

#[test]
fn outputs_that_are_good_are_left_alone() {
    let world = World::new();
    let uuid = "read -r u < /proc/sys/kernel/random/uuid; echo $u > $out; echo $u > $dev";
    let drv = world.derivation(&Recipe {
        name: "both",
        script: uuid,
        outputs: &["out", "dev"],
        ..Recipe::default()
    });
    world.build(&drv).unwrap();
    let [out, dev] = ["out", "dev"].map(|name| world.output(&drv, name));
    let (before, hash) = (read(&world, &dev), world.store.path_info(&out).unwrap());
    damage(&world, &out);
    assert_eq!(repair(&world).repaired, std::slice::from_ref(&out));
    assert_eq!(read(&world, &dev), before);
    // What is made now differs, and so does what is registered.
    let now = world.store.path_info(&out).unwrap();
    assert_ne!(now.nar_hash, hash.nar_hash);
    assert_eq!(now.registration_time, hash.registration_time);
}

#[test]
fn building_repairs_the_closure_of_what_is_valid() {
    let world = World::new();
    let ([_, program_drv], [library, _]) = pair(&world);
    damage(&world, &library);
    world.build(&program_drv).unwrap();
    assert_eq!(read(&world, &library), "damaged\n", "nobody asked for it");
    world.builder().build_repaired(&[common::target(&program_drv)]).unwrap();
    assert_eq!(read(&world, &library), "code\n");
}

#[test]
fn what_cannot_be_repaired_is_named_and_kept() {
    let mut world = World::new();
    let ([library_drv, _], [library, program]) = pair(&world);
    let source = world.store.add_text("source", b"text", &BTreeSet::new()).unwrap();
    damage(&world, &source);
    damage(&world, &library);
    damage(&world, &program);
    // The only way to make the library does not work any more.
    world.config.limits.wall = Some(Duration::ZERO);
    let repairs = repair(&world);
    assert!(repairs.repaired.is_empty() && repairs.forgotten.is_empty(), "{repairs:?}");
    let why = |path: &StorePath| repairs.failed[path].to_string();
    let unknown = "no binary cache has it, and what made it is not known";
    assert!(why(&source).ends_with(unknown), "{}", why(&source));
    assert!(why(&library).contains("timed out"), "{}", why(&library));
    assert!(why(&program).contains("cannot repair path"), "{}", why(&program));
    assert_eq!(read(&world, &library), "damaged\n");
    assert!(world.store.is_valid(&program).unwrap());
    // Without the derivation there is no way at all.
    world.config.limits.wall = None;
    lose(&world, &library_drv);
    let error = repair(&world).failed.remove(&library).unwrap().to_string();
    assert!(error.contains(".drv"), "{error}");
}

#[test]
fn lost_paths_that_nothing_needs_are_forgotten() {
    let world = World::new();
    let lost = world.store.add_text("lost", b"x", &BTreeSet::new()).unwrap();
    let user =
        world.store.add_text("user", b"x", &BTreeSet::from([lost.clone()])).unwrap();
    let alone = world.store.add_text("alone", b"x", &BTreeSet::new()).unwrap();
    lose(&world, &lost);
    lose(&world, &alone);
    let repairs = repair(&world);
    assert_eq!(repairs.forgotten, [alone]);
    assert_eq!(repairs.failed.keys().collect::<Vec<_>>(), [&lost]);
    assert!(world.store.is_valid(&user).unwrap());
    lose(&world, &user);
    assert_eq!(repair(&world).forgotten.len(), 2);
}

#[test]
fn a_shared_file_that_is_damaged_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = StoreConfig::new(dir.path().join("store"));
    config.durability = Durability::Unsynced;
    config.auto_optimise = true;
    let world = World::with(Store::open(config).unwrap(), dir);
    let one = world.script("one", "echo same > $out", &[]);
    let two = world.script("two", "echo same > $out", &[]);
    let [one, two] = [&one, &two].map(|drv| {
        world.build(drv).unwrap();
        world.output(drv, "out")
    });
    damage(&world, &one);
    assert!(!world.store.is_intact(&two).unwrap(), "they share their blocks");
    assert_eq!(repair(&world).repaired.len(), 2);
    assert_eq!(
        (read(&world, &one), read(&world, &two)),
        ("same\n".into(), "same\n".into())
    );
}

#[test]
fn what_is_built_here_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [("one", 1), ("two", 2)].map(|(name, seed)| {
        let key = SecretKey::from_seed(name, &[seed; 32]);
        let file = dir.path().join(name);
        fs::write(&file, key.print() + "\n").unwrap();
        (key, file)
    });
    let mut config = StoreConfig::new(dir.path().join("store"));
    config.durability = Durability::Unsynced;
    config.secret_key_files = keys.iter().map(|(_, file)| file.clone()).collect();
    let world = World::with(Store::open(config).unwrap(), dir);
    let drv = world.script("signed", "echo > $out", &[]);
    world.build(&drv).unwrap();
    let info = world.store.path_info(&world.output(&drv, "out")).unwrap();
    assert_eq!(info.signatures.len(), 2);
    for (key, _) in &keys {
        let known = PublicKeys::new([key.public_key()]);
        assert!(info.is_trusted(world.store.store_dir(), &known));
    }
    fs::write(&keys[0].1, "nonsense").unwrap();
    let drv = world.script("unsigned", "echo > $out", &[]);
    let error = picnix_build::chain(&world.build(&drv).unwrap_err());
    assert!(error.contains(keys[0].1.to_str().unwrap()), "{error}");
    assert!(!world.store.is_valid(&world.output(&drv, "out")).unwrap());
}

#[test]
fn a_hook_runs_after_each_build() {
    let mut world = World::new();
    let seen = world.dir.path().join("seen");
    let hook = world.dir.path().join("hook");
    let script = "#!/bin/sh\nset -eu\necho told $DRV_PATH\necho $OUT_PATHS >> \"${0%/*}/seen\"\n\
                  case $DRV_PATH in *-bad.drv) exit 3 ;; esac\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    world.config.post_build_hook = Some(hook.clone());
    let drv = world.derivation(&Recipe {
        name: "good",
        script: "echo > $out; echo > $dev",
        outputs: &["out", "dev"],
        ..Recipe::default()
    });
    world.build(&drv).unwrap();
    world.build(&drv).unwrap();
    let paths = ["dev", "out"].map(|name| world.print(&world.output(&drv, name)));
    assert_eq!(fs::read_to_string(&seen).unwrap(), format!("{}\n", paths.join(" ")));
    assert_eq!(world.events.count("log good.drv told /nix/store/"), 1);
    let bad = world.script("bad", "echo > $out", &[]);
    let error = picnix_build::chain(&world.build(&bad).unwrap_err());
    assert!(error.contains("hook' failed: exit status: 3"), "{error}");
    assert!(world.store.is_valid(&world.output(&bad, "out")).unwrap());
    world.config.post_build_hook = Some(world.dir.path().join("nowhere"));
    let other = world.script("other", "echo > $out", &[]);
    let error = picnix_build::chain(&world.build(&other).unwrap_err());
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn garbage_is_collected_when_space_gets_short() {
    let mut world = World::new();
    let garbage = world.store.add_text("garbage", b"x", &BTreeSet::new()).unwrap();
    // Temporary roots of this process keep it; another process has none.
    let (_, [library, _]) = pair(&world);
    let dir = std::mem::replace(&mut world.dir, tempfile::tempdir().unwrap());
    drop(world);
    let mut world =
        World::with(common::open_store(dir.path()), tempfile::tempdir().unwrap());
    let drv = world.script("small", "echo > $out", &[]);
    let space =
        |min_free, max_free| Arc::new(Space { min_free, max_free, ..Space::default() });
    world.config.space = space(0, u64::MAX);
    world.build(&drv).unwrap();
    assert!(world.store.is_valid(&garbage).unwrap(), "there is enough");
    world.config.space = space(u64::MAX, 1);
    let drv = world.script("second", "echo > $out", &[]);
    world.build(&drv).unwrap();
    assert!(world.store.is_valid(&garbage).unwrap(), "so much is wanted, and there");
    world.config.space = space(u64::MAX, u64::MAX);
    let drv = world.script("third", "echo > $out", &[]);
    world.build(&drv).unwrap();
    assert!(!world.store.is_valid(&garbage).unwrap());
    assert!(!world.store.is_valid(&library).unwrap());
    assert!(world.store.is_valid(&world.output(&drv, "out")).unwrap());
    assert_eq!(world.events.count("warning only "), 1);
    // Nothing more can be freed, so that it is not tried again.
    let drv = world.script("fourth", "echo > $out", &[]);
    world.build(&drv).unwrap();
    assert_eq!(world.events.count("warning only "), 1);
}
