//! The crash harness: processes that work on a store are killed, run out of space, or cannot write.
//!
//! After each round the store must be sound to its last byte, and the next command must work. The child
//! is this test program itself, started with the name of the child's "test" and the store in the
//! environment; what it does follows from a seed. `PICNIX_CRASH_ROUNDS` sets how many rounds there are, and
//! `PICNIX_CRASH_SERIES`, a number, makes them others than those of another series.
//! System calls are made to fail by `strace`, which needs no privilege.
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
use picnix_store::{AddRequest, Contents, Error, GcOptions, Store, TextObject};
use picnix_store_core::StorePath;
use picnix_store_core::nar::Fso;

const ROOT: &str = "PICNIX_TEST_CRASH_ROOT";
const SEED: &str = "PICNIX_TEST_CRASH_SEED";
const STEPS: &str = "PICNIX_TEST_CRASH_STEPS";
/// Whether the child waits for the disk, as a store does that is not a test's.
const SYNCED: &str = "PICNIX_TEST_CRASH_SYNCED";
const ROUNDS: &str = "PICNIX_CRASH_ROUNDS";
const SERIES: &str = "PICNIX_CRASH_SERIES";
/// How many rounds an ordinary run of the tests has.
const USUAL_ROUNDS: u64 = 24;

/// What a child does, by its number.
const KINDS: [&str; 6] =
    ["add texts", "add a tree", "build", "substitute", "gc", "optimise"];
/// From so many rounds on, every kind must have been interrupted.
const MANY_ROUNDS: u64 = 200;

fn rounds() -> u64 {
    std::env::var(ROUNDS).map_or(USUAL_ROUNDS, |text| text.parse().unwrap())
}

/// The numbers that a test's rounds follow from.
fn random(seed: u64) -> Random {
    let series: u64 = std::env::var(SERIES).map_or(0, |text| text.parse().unwrap());
    Random(seed.wrapping_add(series << 32))
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
    let report = common::open_store(root).verify(Contents::Hashed).unwrap();
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
        let kind = random.next() % KINDS.len() as u64;
        // Nothing here is part of the store: it may be half written, or fail.
        let _ = fs::write(doing(root, std::process::id()), kind.to_string());
        match one_step(root, kind, &id) {
            Ok(()) => {}
            // Errors are for the rounds with faults; the others must not have any.
            Err(error) if steps < u64::MAX => eprintln!("{id}: {error}"),
            Err(error) => panic!("{id}: {error}"),
        }
    }
}

/// Where a child says what it does.
fn doing(root: &Path, pid: u32) -> std::path::PathBuf {
    root.join(format!("doing-{pid}"))
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn one_step(root: &Path, kind: u64, id: &str) -> Outcome {
    let mut config = picnix_store::StoreConfig::new(root.join("store"));
    if std::env::var_os(SYNCED).is_none() {
        config.durability = picnix_store::Durability::Unsynced;
    }
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
    // Enough of them to be interrupted now and then.
    let names: Vec<String> = (0..100).map(|number| format!("text-{number}")).collect();
    let text = |name| TextObject { name, contents: &contents, references: &references };
    let texts: Vec<_> = names.iter().map(|name| text(name)).collect();
    store.add_texts(&texts)?;
    Ok(())
}

fn add_tree(store: &Store, root: &Path, id: &str) -> Outcome {
    let file = |at: usize| (format!("f{at:03}"), Fso::file("same ".repeat(1 + at)));
    let inner = Fso::directory((0..150).map(file));
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

/// Lets go of what children have kept, so that the store does not grow with the rounds.
fn forget_profile(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("/profile") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Kills after some milliseconds; the number of what the child was doing, if it had begun.
fn kill_later(
    root: &Path,
    child: &mut Child,
    random: &mut Random,
    what: &str,
) -> Option<usize> {
    std::thread::sleep(Duration::from_micros(2_000 + random.next() % 150_000));
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none(), "{what}: the child fails by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    let said = doing(root, child.id());
    let kind = fs::read_to_string(&said).ok()?.parse().ok();
    fs::remove_file(said).unwrap();
    kind
}

#[test]
fn killed_processes_leave_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = random(0x9e37_79b9_7f4a_7c15);
    let mut interrupted = [0; KINDS.len()];
    for round in 0..rounds() {
        // Alone, and two at a time.
        let what = format!("round {round}");
        let mut children: Vec<Child> = (0..1 + round % 2)
            .map(|_| command(root, random.next()).spawn().unwrap())
            .collect();
        for child in &mut children {
            if let Some(kind) = kill_later(root, child, &mut random, &what) {
                interrupted[kind] += 1;
            }
        }
        is_sound(root, &what);
        next_command_works(root, round);
        let _ = fs::remove_dir_all(root.join("scratch"));
        if round % 20 == 0 {
            forget_profile(root);
        }
    }
    eprintln!("interrupted: {:?}", KINDS.iter().zip(interrupted).collect::<Vec<_>>());
    if rounds() >= MANY_ROUNDS {
        assert!(interrupted.iter().all(|count| *count > 0), "{interrupted:?}");
    }
    let store = common::open_store(root);
    let report = store.gc(&GcOptions::default()).unwrap();
    assert!(!report.deleted.is_empty());
    drop(store);
    is_sound(root, "at the end");
    let report = common::open_store(root).verify(Contents::Exist).unwrap();
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
    no_panic(before, &errors);
}

/// Errors are fine, but nothing of ours may panic. (The program that runs tests does, if it cannot write.)
fn no_panic(what: &str, errors: &str) {
    let is_ours = |line: &str| line.contains("panicked at") && line.contains("/src/");
    let is_test = |line: &str| line.contains("/library/");
    let panicked = errors.lines().any(|line| is_ours(line) && !is_test(line));
    assert!(!panicked, "{what}: {errors}");
}

/// The calls of which one fails, and how.
const FAULTS: [(&str, &str); 10] = [
    ("write,pwrite64,writev", "EIO"),
    ("write,pwrite64,writev", "ENOSPC"),
    ("fsync,fdatasync,syncfs", "EIO"),
    ("?rename,renameat,renameat2", "EIO"),
    ("?link,linkat,?symlink,symlinkat", "ENOSPC"),
    ("?mkdir,mkdirat", "ENOSPC"),
    ("?chmod,fchmod,fchmodat,utimensat", "EIO"),
    ("?unlink,unlinkat,?rmdir", "EIO"),
    ("read,pread64,readv", "EIO"),
    ("ftruncate,fallocate,copy_file_range,?getdents64", "EIO"),
];

/// Runs a child whose calls fail now and then: in each thread the one with a number, and perhaps more. What
/// was tried, and how many calls failed.
fn run_faulty(root: &Path, random: &mut Random, round: u64) -> (String, usize) {
    let (calls, error) = FAULTS[usize::try_from(round).unwrap() % FAULTS.len()];
    let first =
        1 + random.next() % [8, 60, 400][usize::try_from(random.next() % 3).unwrap()];
    let when = match random.next() % 3 {
        0 => first.to_string(),
        1 => format!("{first}+{}", 1 + random.next() % 50),
        _ => format!("{first}+"),
    };
    let child = command(root, random.next());
    let fault = format!("inject={calls}:error={error}:when={when}");
    let trace = root.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-qqq", "--seccomp-bpf", "-o"])
        .arg(&trace)
        .args(["-e", &format!("trace={calls}"), "-e", &fault])
        .arg(child.get_program())
        .args(child.get_args())
        .envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env(STEPS, "12")
        .env(SYNCED, "1")
        .output()
        .unwrap();
    let what = format!("round {round} with {fault}");
    no_panic(&what, &String::from_utf8_lossy(&output.stderr));
    let traced = fs::read(&trace).unwrap();
    let failed = String::from_utf8_lossy(&traced).matches("(INJECTED)").count();
    (what, failed)
}

#[test]
fn calls_that_fail_leave_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let can = Command::new("strace")
        .args(["-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync"])
        .args(["-e", "inject=fsync:error=EIO", "true"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no strace can make system calls fail here");
        return;
    }
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = random(31);
    let (mut failed, mut hit) = (0, 0);
    for round in 0..rounds() {
        let (what, calls) = run_faulty(root, &mut random, round);
        failed += calls;
        hit += u64::from(calls > 0);
        is_sound(root, &what);
        next_command_works(root, round);
        let _ = fs::remove_dir_all(root.join("scratch"));
        if round % 20 == 0 {
            forget_profile(root);
        }
    }
    eprintln!("{failed} calls failed, in {hit} of {} rounds", rounds());
    assert!(hit >= rounds() / 3);
}

#[test]
fn processes_that_cannot_write_leave_a_sound_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make_cache(root);
    next_command_works(root, u64::MAX);
    let mut random = random(77);
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
    let mut random = random(99);
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
    let report = store.verify(Contents::Hashed)?;
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
