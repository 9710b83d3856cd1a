//! A process that works on a store is killed at random moments; the store stays sound.
//!
//! The child is this test program itself, started with the name of the child's "test" and with the
//! store in the environment. (The harness with a thousand rounds is a larger sibling of this one.)

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use picnix_store::{
    AddRequest, Contents, Durability, GcOptions, Store, StoreConfig, TextObject,
};
use picnix_store_core::nar::Fso;
use tempfile::TempDir;

const STORE_VARIABLE: &str = "PICNIX_TEST_KILL_STORE";
const ROUNDS: u64 = 24;

fn open(root: &Path) -> Store {
    let config =
        StoreConfig { durability: Durability::Unsynced, ..StoreConfig::new(root) };
    Store::open(config).unwrap()
}

/// Adds and collects for ever. As a test of its own it does nothing.
#[test]
fn child() {
    let Some(root) = std::env::var_os(STORE_VARIABLE) else { return };
    let none = BTreeSet::new();
    for round in 0u64.. {
        let store = open(Path::new(&root));
        let text = format!("{}-{round}", std::process::id());
        let dep = store.add_text("dep", text.as_bytes(), &none).unwrap();
        let references = BTreeSet::from([dep]);
        let contents = [text.as_bytes(), b"a"].concat();
        let names = ["a", "b", "c"];
        let texts = names.map(|name| TextObject {
            name,
            contents: &contents,
            references: &references,
        });
        store.add_texts(&texts).unwrap();
        let file = |at: u64| (format!("f{at}"), Fso::file(text.repeat(1 + at as usize)));
        let inner = Fso::directory((0..20).map(file));
        let tree = Fso::directory([("x", inner.clone()), ("y", inner)]);
        let path = store.add_tree(&tree, &AddRequest::source("tree")).unwrap();
        store
            .add_root(&Path::new(&root).join(format!("root-{}", round % 3)), &path)
            .unwrap();
        drop(store);
        if round % 2 == 1 {
            open(Path::new(&root)).gc(&GcOptions::default()).unwrap();
        }
    }
}

fn start(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(STORE_VARIABLE, root)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_a_sound_store() {
    let dir = TempDir::new().unwrap();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..ROUNDS {
        // Alone, and two at a time.
        let mut children: Vec<Child> =
            (0..1 + round % 2).map(|_| start(dir.path())).collect();
        for child in &mut children {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(Duration::from_micros(2_000 + random % 120_000));
            assert!(child.try_wait().unwrap().is_none(), "the child fails by itself");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let store = open(dir.path());
        let report = store.verify(Contents::Hashed).unwrap();
        assert!(report.is_sound(), "round {round}: {report:?}");
    }
    let store = open(dir.path());
    drop(store);
    let store = open(dir.path());
    store.gc(&GcOptions::default()).unwrap();
    let report = store.verify(Contents::Hashed).unwrap();
    assert!(report.unregistered.is_empty(), "{report:?}");
    let temp = dir.path().join("nix/var/picnix/tmp");
    assert!(std::fs::read_dir(temp).unwrap().count() <= 1);
}
