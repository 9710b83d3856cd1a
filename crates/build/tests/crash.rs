//! The crash harness: processes that work on a store are killed, run out of space, or cannot write.
//!
//! After each round the store must be sound to its last byte, and the next command must work. The child
//! is this test program itself, started with the name of the child's "test" and the store in the
//! environment; what it does follows from a seed. `PICNIX_CRASH_ROUNDS` sets how many rounds there are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says that it was skipped")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::World;
use picnix_build::Cancel;
use picnix_build::cache::{
    CacheAddress, CachePolicy, Substituters, UploadOptions, upload,
};
use picnix_store::{AddRequest, Contents, Error, GcOptions, Repair, Store, TextObject};
use picnix_store_core::StorePath;
use picnix_store_core::nar::Fso;

const ROOT: &str = "PICNIX_TEST_CRASH_ROOT";
const SEED: &str = "PICNIX_TEST_CRASH_SEED";
const STEPS: &str = "PICNIX_TEST_CRASH_STEPS";
const ROUNDS: &str = "PICNIX_CRASH_ROUNDS";
/// How many rounds an ordinary run of the tests has.
const USUAL_ROUNDS: u64 = 24;

fn rounds() -> u64 {
    std::env::var(ROUNDS).map_or(USUAL_ROUNDS, |text| text.parse().unwrap())
}

/// A small generator of numbers; the same seed gives the same ones.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) ^ (self.0 >> 47)
    }
}

fn scratch(root: &Path) -> tempfile::TempDir {
    let folder = root.join("scratch");
    fs::create_dir_all(&folder).unwrap();
    tempfile::tempdir_in(folder).unwrap()
}

fn is_sound(root: &Path, what: &str) {
    let report =
        common::open_store(root).verify(Contents::Hashed, Repair::Report).unwrap();
    assert!(report.is_sound(), "{what}: {report:?}");
}

/// Builds something new: the next command works.
fn next_command_works(root: &Path, round: u64) {
    let world = World::with(common::open_store(root), scratch(root));
    let script = format!("echo {round} > $out");
    let drv = world.script(&format!("next-{round}"), &script, &[]);
    assert_eq!(world.text(&drv), format!("{round}\n"));
}

/// A cache with a chain of objects, which children delete and copy again.
fn make_cache(root: &Path) {
    let world = World::at(scratch(root));
    let (mut paths, mut references) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..12 {
        let text = "text ".repeat(1 << number);
        let path = world.store.add_text("cached", text.as_bytes(), &references).unwrap();
        references = BTreeSet::from([path.clone()]);
        paths.insert(path);
    }
    let cancel = Cancel::new();
    let options = UploadOptions {
        address: CacheAddress::parse(&format!("file://{}/cache", root.display()))
            .unwrap(),
        fetch: picnix_fetch::Config::default(),
        jobs: 2,
        sign_with: None,
        cancel: &cancel,
        progress: &|_| {},
    };
    upload(&world.store, &paths, &options).unwrap();
    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
    fs::write(root.join("cached"), names.join("\n")).unwrap();
}

fn cached(root: &Path) -> BTreeSet<StorePath> {
    let text = fs::read_to_string(root.join("cached")).unwrap();
    text.lines().map(|line| StorePath::parse(line.as_bytes()).unwrap()).collect()
}

/// Works on the store, for ever or for some steps. As a test of its own it does nothing.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let root = Path::new(&root);
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let steps = std::env::var(STEPS).map_or(u64::MAX, |text| text.parse().unwrap());
    let mut random = Random(seed);
    for step in 0..steps {
        let id = format!("{seed}-{step}");
        match one_step(root, random.next() % 6, &id) {
            Ok(()) => {}
            // Errors are for the rounds with faults; the others must not have any.
            Err(error) if steps < u64::MAX => eprintln!("{id}: {error}"),
            Err(error) => panic!("{id}: {error}"),
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn one_step(root: &Path, kind: u64, id: &str) -> Outcome {
    let mut config = picnix_store::StoreConfig::new(root.join("store"));
    config.durability = picnix_store::Durability::Unsynced;
    let store = Store::open(config)?;
    match kind {
        0 => add_texts(&store, id),
        1 => add_tree(&store, root, id),
        2 => build(store, root, id),
        3 => substitute(store, root),
        4 => Ok(store.gc(&GcOptions::default()).map(|_| ())?),
        _ => Ok(store.optimise().map(|_| ())?),
    }
}

fn add_texts(store: &Store, id: &str) -> Outcome {
    let dep = store.add_text("dep", id.as_bytes(), &BTreeSet::new())?;
    let references = BTreeSet::from([dep]);
    let contents = id.repeat(100).into_bytes();
    let texts = ["a", "b", "c"].map(|name| TextObject {
        name,
        contents: &contents,
        references: &references,
    });
    store.add_texts(&texts)?;
    Ok(())
}

fn add_tree(store: &Store, root: &Path, id: &str) -> Outcome {
    let file = |at: usize| (format!("f{at}"), Fso::file("same ".repeat(1 + at * 30)));
    let inner = Fso::directory((0..20).map(file));
    let tree =
        Fso::directory([("x", inner.clone()), ("y", inner), ("id", Fso::file(id))]);
    let path = store.add_tree(&tree, &AddRequest::source("tree"))?;
    store.add_root(&root.join(format!("root-{}", id.len() % 3)), &path)?;
    store.set_profile(&root.join("profile"), &path)?;
    Ok(())
}

fn build(store: Store, root: &Path, id: &str) -> Outcome {
    let world = World::with(store, scratch(root));
    let first = world.script(&format!("first-{id}"), "echo 1 > $out", &[]);
    let script = "echo one; echo two > $out; echo three";
    let second = world.script(&format!("second-{id}"), script, &[&first]);
    world.build(&second)?;
    Ok(())
}

fn substitute(store: Store, root: &Path) -> Outcome {
    let mut world = World::with(store, scratch(root));
    let paths = cached(root);
    match world.store.delete(&paths) {
        // Another process copies them just now.
        Ok(_) | Err(Error::Alive { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let policy = CachePolicy {
        addresses: vec![CacheAddress::parse(&format!(
            "file://{}/cache",
            root.display()
        ))?],
        ..CachePolicy::default()
    };
    world.substituters = Some(Substituters::new(policy, &world.store));
    world.builder().copy(&paths)?;
    Ok(())
}

fn command(root: &Path, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null());
    command
}

/// Kills after some milliseconds.
fn kill_later(child: &mut Child, random: &mut Random, what: &str) {
    std::thread::sleep(Duration::from_micros(2_000 + random.next() % 150_000));
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none(), "{what}: the child fails by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_processes_leave_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds() {
        // Alone, and two at a time.
        let what = format!("round {round}");
        let mut children: Vec<Child> = (0..1 + round % 2)
            .map(|_| command(root, random.next()).spawn().unwrap())
            .collect();
        children.iter_mut().for_each(|child| kill_later(child, &mut random, &what));
        is_sound(root, &what);
        next_command_works(root, round);
        let _ = fs::remove_dir_all(root.join("scratch"));
    }
    let store = common::open_store(root);
    let report = store.gc(&GcOptions::default()).unwrap();
    assert!(!report.deleted.is_empty());
    drop(store);
    is_sound(root, "at the end");
    let report =
        common::open_store(root).verify(Contents::Exist, Repair::Report).unwrap();
    assert!(report.unregistered.is_empty(), "{report:?}");
}

/// Runs a child through a shell that sets limits first; whatever it meets, it must not crash.
fn run_limited(root: &Path, seed: u64, before: &str) {
    let child = command(root, seed);
    let words = child.get_args().map(|arg| arg.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let program = child.get_program().to_string_lossy().into_owned();
    let script = format!("{before}; exec '{program}' {}", words.join(" "));
    let output = Command::new("/bin/sh")
        .args(["-c", &script])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .env(STEPS, "12")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let panicked = errors.contains("panicked at") && errors.contains("crates/store/src");
    assert!(!panicked, "{before}: {errors}");
}

#[test]
fn processes_that_cannot_write_leave_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = Random(77);
    for round in 0..rounds() {
        // Files end at so many blocks of 512 bytes: the database, its log, objects, logs of builds.
        let blocks = random.next() % 400;
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}");
        run_limited(root, random.next(), &limit);
        is_sound(root, &format!("round {round} at {blocks} blocks"));
        next_command_works(root, round);
        let _ = fs::remove_dir_all(root.join("scratch"));
    }
}

/// On a file system of a few megabytes. As a test of its own it does nothing.
#[test]
fn on_a_small_disk() {
    let Some(root) = std::env::var_os("PICNIX_TEST_SMALL_DISK") else { return };
    let root = Path::new(&root);
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = Random(99);
    collects_on_a_full_disk(root);
    let mut full = 0;
    for round in 0..rounds() {
        // Something else takes what is free, all but a little.
        let filler = root.join("filler");
        let left = random.next() % 400_000;
        fill(&filler, left);
        run_limited(root, random.next(), ":");
        let what = format!("round {round} with {left} bytes");
        if let Err(error) = add_to_full_disk(root, &what) {
            assert!(error.is_disk_full(), "{what}: {error:?}");
            full += 1;
        }
        fs::remove_file(filler).unwrap();
        is_sound(root, &what);
        common::open_store(root).gc(&GcOptions::default()).unwrap();
        next_command_works(root, round);
        let _ = fs::remove_dir_all(root.join("scratch"));
    }
    assert!(full > 0, "the disk was never full");
}

/// Not a byte is left, and still the collector makes room.
fn collects_on_a_full_disk(root: &Path) {
    let store = common::open_store(root);
    let text = "garbage ".repeat(1 << 18);
    store.add_text("garbage", text.as_bytes(), &BTreeSet::new()).unwrap();
    drop(store);
    let filler = root.join("filler");
    fill(&filler, 0);
    fs::write(root.join("nothing"), "fits").unwrap_err();
    let _ = fs::remove_file(root.join("nothing"));
    let report = common::try_open_store(root).unwrap().gc(&GcOptions::default()).unwrap();
    assert!(report.freed_bytes >= text.len() as u64, "{report:?}");
    fs::remove_file(filler).unwrap();
    is_sound(root, "after a collection on a full disk");
    next_command_works(root, u64::MAX - 1);
}

/// Verifies, and adds more than there is room for; not even opening the store need work.
fn add_to_full_disk(root: &Path, what: &str) -> Result<(), picnix_store::Error> {
    let store = common::try_open_store(root)?;
    let report = store.verify(Contents::Hashed, Repair::Report)?;
    assert!(report.is_sound(), "{what}: {report:?}");
    let text = "x".repeat(1 << 20);
    store.add_text("large", text.as_bytes(), &BTreeSet::new()).map(drop)
}

/// Fills the disk with a file, and frees so many bytes again.
fn fill(path: &Path, left: u64) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size.saturating_sub(left)).unwrap();
}

#[test]
fn a_full_disk_leaves_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_string_lossy().into_owned();
    let mount = format!("mount -t tmpfs -o size=24m none '{at}'");
    let can = Command::new("unshare").args(["-Urm", "sh", "-c", &mount]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system can be mounted in a namespace here");
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "{mount}; exec '{}' --exact on_a_small_disk --nocapture --test-threads=1",
        exe.display()
    );
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-ec", &script])
        .env("PICNIX_TEST_SMALL_DISK", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}");
}
