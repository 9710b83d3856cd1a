//! The store as its users see it.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use picnix_store::{
    Access, AddRequest, Contents, Durability, EntryKind, Error, GcOptions, HashesFrom,
    OutputToRegister, Registration, Store, StoreConfig, TextObject,
};
use picnix_store_core::nar::Fso;
use picnix_store_core::{
    ContentAddressMethod, Hash, HashAlgo, PathInfo, Sha256, StoreDir, StorePath,
};
use tempfile::TempDir;

fn config(dir: &TempDir) -> StoreConfig {
    StoreConfig {
        durability: Durability::Unsynced,
        ..StoreConfig::new(dir.path().join("store"))
    }
}

fn open(dir: &TempDir) -> Store {
    Store::open(config(dir)).unwrap()
}

fn none() -> BTreeSet<StorePath> {
    BTreeSet::new()
}

fn everything(_: &Path, _: EntryKind) -> Result<bool, picnix_store::FilterStopped> {
    Ok(true)
}

fn sample_tree() -> Fso {
    Fso::directory([
        ("bin", Fso::directory([("sh", Fso::program("#!"))])),
        ("empty", Fso::directory::<&str>([])),
        ("file", Fso::file("contents")),
        ("link", Fso::Symlink(b"bin/sh".to_vec())),
    ])
}

/// Writes a tree the way a user would: writable, with present times.
fn write_tree(path: &Path, tree: &Fso) {
    use std::os::unix::ffi::OsStrExt as _;
    match tree {
        Fso::File { executable, contents } => {
            fs::write(path, contents).unwrap();
            let mode = if *executable { 0o750 } else { 0o640 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Fso::Symlink(target) => {
            symlink(std::ffi::OsStr::from_bytes(target), path).unwrap()
        }
        Fso::Directory(entries) => {
            fs::create_dir(path).unwrap();
            for (name, entry) in entries {
                write_tree(&path.join(std::ffi::OsStr::from_bytes(name)), entry);
            }
        }
    }
}

fn read_back(store: &Store, path: &StorePath) -> Fso {
    let mut nar = Vec::new();
    store.dump(path, &mut nar).unwrap();
    let info = store.path_info(path).unwrap();
    assert_eq!(Sha256::of(&nar), info.nar_hash);
    assert_eq!(nar.len() as u64, info.nar_size);
    Fso::from_nar(nar.as_slice()).unwrap()
}

fn assert_canonical(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    assert_eq!(metadata.mtime(), 1, "{}", path.display());
    if metadata.is_symlink() {
        return;
    }
    let mode = metadata.mode() & 0o7777;
    assert!(mode == 0o444 || mode == 0o555, "{}: {mode:o}", path.display());
    if metadata.is_dir() {
        assert_eq!(mode, 0o555);
        for entry in fs::read_dir(path).unwrap() {
            assert_canonical(&entry.unwrap().path());
        }
    }
}

#[test]
fn many_may_open_a_new_store_at_once() {
    for _ in 0..10 {
        let dir = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let dir = &dir;
                scope.spawn(move || {
                    open(dir).add_text(&format!("t{number}"), b"x", &none()).unwrap();
                });
            }
        });
    }
}

#[test]
fn a_text_is_added_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let path = store.add_text("foo", b"bar", &none()).unwrap();
    assert_eq!(
        store.store_dir().print(&path),
        "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"
    );
    let real = store.real_path(&path);
    assert_eq!(fs::read(&real).unwrap(), b"bar");
    assert_canonical(&real);
    let inode = fs::metadata(&real).unwrap().ino();
    assert_eq!(store.add_text("foo", b"bar", &none()).unwrap(), path);
    assert_eq!(fs::metadata(&real).unwrap().ino(), inode);
    assert!(store.path_info(&path).unwrap().is_content_addressed(store.store_dir()));
    let digest = path.digest_text();
    assert_eq!(store.path_from_digest(&digest).unwrap(), Some(path));
    assert_eq!(store.path_from_digest(&[b'0'; 32]).unwrap(), None);
}

#[test]
fn a_batch_of_texts_may_refer_to_itself() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let first =
        StoreDir::default().make_text_path("a", Sha256::of(b"a"), &none()).unwrap();
    let references = BTreeSet::from([first.clone()]);
    let texts = [
        TextObject { name: "b", contents: b"b", references: &references },
        TextObject { name: "a", contents: b"a", references: &none() },
        TextObject { name: "a", contents: b"a", references: &none() },
    ];
    let paths = store.add_texts(&texts).unwrap();
    assert_eq!(paths[1], first);
    assert_eq!(paths[1], paths[2]);
    assert_eq!(store.query_references(&paths[0]).unwrap(), references);
    assert_eq!(
        store.query_referrers(&first).unwrap(),
        BTreeSet::from([paths[0].clone()])
    );
    assert_eq!(store.closure([&paths[0]]).unwrap().len(), 2);
    let graph = store.graph([&paths[0]]).unwrap();
    assert_eq!(graph.topological_order().unwrap(), [first, paths[0].clone()]);
}

#[test]
fn a_reference_must_be_valid() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let missing = BTreeSet::from([StorePath::from_parts([1; 20], b"x").unwrap()]);
    let error = store.add_text("t", b"t", &missing).unwrap_err();
    assert!(matches!(error, Error::ReferenceNotValid { .. }), "{error}");
    assert!(store.valid_paths().unwrap().is_empty());
}

#[test]
fn a_source_becomes_an_object() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let source = dir.path().join("source");
    write_tree(&source, &sample_tree());
    let request = AddRequest::source("src");
    let path = store.add_source(&source, &request, &mut everything).unwrap();
    assert_eq!(store.source_path(&source, &request, &mut everything).unwrap(), path);
    assert_eq!(read_back(&store, &path), sample_tree());
    assert_canonical(&store.real_path(&path));
    assert_eq!(store.add_tree(&sample_tree(), &request).unwrap(), path);
    assert_eq!(store.add_source(&source, &request, &mut everything).unwrap(), path);
}

#[test]
fn a_filter_decides_what_is_in_a_source() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let source = dir.path().join("source");
    write_tree(&source, &sample_tree());
    // What cannot be in a store is no harm if the filter leaves it out.
    let fifo = source.join("zfifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let mut seen = Vec::new();
    let mut filter = |path: &Path, kind: EntryKind| {
        seen.push((path.strip_prefix(&source).unwrap().to_owned(), kind.name()));
        Ok(!path.ends_with("bin") && kind != EntryKind::Unknown)
    };
    let request = AddRequest::source("src");
    let path = store.add_source(&source, &request, &mut filter).unwrap();
    let expected = [
        ("bin", "directory"),
        ("empty", "directory"),
        ("file", "regular"),
        ("link", "symlink"),
        ("zfifo", "unknown"),
    ];
    assert_eq!(seen, expected.map(|(path, kind)| (PathBuf::from(path), kind)));
    let Fso::Directory(entries) = read_back(&store, &path) else { panic!() };
    assert_eq!(
        entries.keys().collect::<Vec<_>>(),
        [b"empty".as_slice(), b"file", b"link"]
    );
    let error = store.add_source(&source, &request, &mut everything).unwrap_err();
    assert!(matches!(error, Error::FileType(path) if path == fifo));
}

#[test]
fn a_long_source_is_streamed() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let long: Vec<u8> = (0..40_000_000u32).map(|at| (at / 7) as u8).collect();
    fs::write(source.join("long"), &long).unwrap();
    fs::write(source.join("left out"), "x").unwrap();
    let mut filter = |path: &Path, _| Ok(!path.ends_with("left out"));
    let path = store.add_source(&source, &AddRequest::source("s"), &mut filter).unwrap();
    let tree = Fso::directory([("long", Fso::file(long))]);
    assert_eq!(read_back(&store, &path), tree);
    // Another algorithm: the path is another, the NAR hash the same.
    let request = AddRequest { algo: HashAlgo::Sha512, ..AddRequest::source("s") };
    let other = store.add_source(&source, &request, &mut filter).unwrap();
    assert_ne!(other, path);
    assert_eq!(
        store.path_info(&other).unwrap().nar_hash,
        store.path_info(&path).unwrap().nar_hash
    );
}

#[test]
fn a_long_source_that_may_be_known_is_hashed_first() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&dir);
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    for number in 0..10_u8 {
        let contents = vec![number; 1 << 20];
        fs::write(source.join(format!("file-{number}")), contents).unwrap();
    }
    symlink("file-1", source.join("link")).unwrap();
    let request = AddRequest::source("source");
    let mut asked = 0;
    let mut filter = |path: &Path, _: EntryKind| {
        asked += 1;
        Ok(!path.ends_with("file-3"))
    };
    let first = store.add_source(&source, &request, &mut filter).unwrap();
    let tree = read_back(&store, &first);
    let Fso::Directory(entries) = &tree else { unreachable!("it is a directory") };
    assert_eq!(entries.len(), 10);
    assert_canonical(&store.real_path(&first));
    // Now there is one of this name.
    let again = store.add_source(&source, &request, &mut filter).unwrap();
    assert_eq!(again, first);
    fs::write(source.join("file-1"), "changed").unwrap();
    let changed = store.add_source(&source, &request, &mut filter).unwrap();
    assert_ne!(changed, first);
    assert_eq!(asked, 3 * 11, "every path is asked for once each time");
    read_back(&store, &changed);
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
    assert_eq!(fs::read_dir(store.objects_dir()).unwrap().count(), 2);
}

/// A chain of two texts and a tree that refers to nothing, references first.
fn some_objects(store: &Store) -> Vec<StorePath> {
    let first = store.add_text("first", b"1", &none()).unwrap();
    let references = BTreeSet::from([first.clone()]);
    let second = store.add_text("second", b"2", &references).unwrap();
    let tree = store.add_tree(&sample_tree(), &AddRequest::source("tree")).unwrap();
    vec![first, second, tree]
}

#[test]
fn what_is_exported_can_be_imported() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, target) = (open(&dir), open(&other));
    let paths = some_objects(&store);
    let mut stream = Vec::new();
    store.export(&paths, &mut stream).unwrap();
    assert_eq!(target.import(stream.as_slice()).unwrap(), paths);
    for path in &paths {
        let (ours, theirs) =
            (store.path_info(path).unwrap(), target.path_info(path).unwrap());
        assert_eq!(
            (ours.nar_hash, &ours.references),
            (theirs.nar_hash, &theirs.references)
        );
        assert_eq!(read_back(&store, path), read_back(&target, path));
    }
    // What is there already is no trouble, and leaves nothing behind.
    assert_eq!(target.import(stream.as_slice()).unwrap(), paths);
    assert_eq!(fs::read_dir(target.objects_dir()).unwrap().count(), 3);
}

#[test]
fn an_import_takes_nothing_that_is_broken() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, target) = (open(&dir), open(&other));
    let paths = some_objects(&store);
    let mut stream = Vec::new();
    store.export(&paths, &mut stream).unwrap();
    for len in (0..stream.len()).step_by(7) {
        target.import(&stream[..len]).unwrap_err();
    }
    assert!(target.verify(Contents::Hashed).unwrap().is_sound());
    let mut wrong = stream.clone();
    wrong[0] = 2;
    let error = target.import(wrong.as_slice()).unwrap_err().to_string();
    assert!(error.contains("created by 'nix-store --export'"), "{error}");
    // Without what it refers to.
    let third = tempfile::tempdir().unwrap();
    let mut alone = Vec::new();
    store.export([&paths[1]], &mut alone).unwrap();
    let error = open(&third).import(alone.as_slice()).unwrap_err();
    assert!(matches!(error, Error::ReferenceNotValid { .. }), "{error}");
    // Damage is not spread.
    let file = store.real_path(&paths[0]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "3").unwrap();
    let error = store.export([&paths[0]], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
}

#[test]
fn a_database_can_be_made_anew_from_its_dump() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let paths = some_objects(&store);
    let print = |store: &Store| -> String {
        let paths = store.valid_paths().unwrap();
        paths.iter().map(|path| store.print_registration(path).unwrap()).collect()
    };
    let text = print(&store);
    drop(store);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database(&dir).display()));
    }
    let store = open(&dir);
    assert!(store.valid_paths().unwrap().is_empty());
    let given = Registration { hashes: HashesFrom::Text, replaces: true };
    store.load_database(&text.as_bytes()[..text.len() - 1], given).unwrap();
    assert_eq!(print(&store), text);
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
    for bad in ["x\n", &text[..text.len() / 2], &text.replace("\n0\n", "\nmany\n")] {
        store.load_database(bad.as_bytes(), given).unwrap_err();
    }
    let missing = text.replace(&paths[0].to_string()[..32], &"0".repeat(32));
    store.load_database(missing.as_bytes(), given).unwrap_err();
    assert_eq!(print(&store), text);
}

#[test]
fn a_flat_source_is_a_file() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let source = dir.path().join("f");
    fs::write(&source, "x").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    let path =
        store.add_source(&source, &AddRequest::flat("f"), &mut everything).unwrap();
    assert_eq!(read_back(&store, &path), Fso::file("x"));
    let info = store.path_info(&path).unwrap();
    assert!(info.is_content_addressed(store.store_dir()));
    let error = store.add_source(dir.path(), &AddRequest::flat("f"), &mut everything);
    assert!(matches!(error, Err(Error::NotFlat(_))));
}

fn info_of(tree: &Fso, name: &str) -> (Vec<u8>, PathInfo) {
    let nar = tree.to_nar().unwrap();
    let path = StorePath::from_parts([9; 20], name.as_bytes()).unwrap();
    let info = PathInfo::new(path, Sha256::of(&nar), nar.len() as u64);
    (nar, info)
}

#[test]
fn a_nar_is_checked_against_its_info() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let (nar, info) = info_of(&sample_tree(), "x");
    let bad = PathInfo { nar_hash: Sha256([0; 32]), ..info.clone() };
    let error = store.add_nar(nar.as_slice(), &bad).unwrap_err();
    assert!(error.to_string().starts_with("hash mismatch importing path"), "{error}");
    let bad = PathInfo { nar_size: 8, ..info.clone() };
    let error = store.add_nar(nar.as_slice(), &bad).unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { .. }), "{error}");
    let error = store.add_nar(&nar[..nar.len() - 8], &info).unwrap_err();
    assert!(matches!(error, Error::Format(_)), "{error}");
    assert!(!store.is_valid(&info.path).unwrap());
    store.add_nar(nar.as_slice(), &info).unwrap();
    assert_eq!(read_back(&store, &info.path), sample_tree());
    let known = store.path_info(&info.path).unwrap();
    assert!(known.registration_time > 0);

    let hash = Hash::of(HashAlgo::Sha256, b"other");
    let address =
        picnix_store_core::ContentAddress { method: ContentAddressMethod::Nar, hash };
    let lying = PathInfo {
        path: StorePath::from_parts([8; 20], b"x").unwrap(),
        content_address: Some(address),
        ..info
    };
    let error = store.add_nar(nar.as_slice(), &lying).unwrap_err();
    assert!(matches!(error, Error::ContentAddressMismatch { .. }), "{error}");
}

/// Lets `build` make an output, and registers it under a fixed path.
fn output(
    store: &Store,
    digest: u8,
    candidates: &BTreeSet<StorePath>,
    build: impl FnOnce(&Path),
) -> Result<StorePath, Error> {
    let path = StorePath::from_parts([digest; 20], b"out").unwrap();
    let real_path = store.temp_path().unwrap();
    build(&real_path);
    let contents = store.examine_output(&real_path, candidates)?;
    let output = OutputToRegister {
        real_path,
        path: path.clone(),
        contents,
        deriver: None,
        content_address: None,
    };
    store.register_outputs(vec![output])?;
    Ok(path)
}

#[test]
fn an_output_becomes_canonical_and_its_references_are_found() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let input = store.add_text("input", b"x", &none()).unwrap();
    let other = store.add_text("other", b"y", &none()).unwrap();
    let own = StorePath::from_parts([5; 20], b"out").unwrap();
    let candidates = BTreeSet::from([input.clone(), other, own.clone()]);
    let path = output(&store, 5, &candidates, |real| {
        fs::create_dir(real).unwrap();
        fs::write(real.join("f"), format!("/nix/store/{input}/bin {own}")).unwrap();
        fs::set_permissions(real.join("f"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::hard_link(real.join("f"), real.join("g")).unwrap();
        fs::create_dir(real.join("closed")).unwrap();
        fs::set_permissions(real.join("closed"), fs::Permissions::from_mode(0o0))
            .unwrap();
        fs::write(real.join("unreadable"), "").unwrap();
        fs::set_permissions(real.join("unreadable"), fs::Permissions::from_mode(0o0))
            .unwrap();
        symlink("nowhere", real.join("l")).unwrap();
    })
    .unwrap();
    assert_eq!(store.query_references(&path).unwrap(), BTreeSet::from([input, own]));
    let real = store.real_path(&path);
    assert_canonical(&real);
    assert_eq!(fs::metadata(real.join("f")).unwrap().mode() & 0o7777, 0o555);
    assert_eq!(fs::metadata(real.join("unreadable")).unwrap().mode() & 0o7777, 0o444);
    assert!(store.path_info(&path).unwrap().ultimate);
}

#[test]
fn an_output_may_be_a_single_file_or_link() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let file = output(&store, 1, &none(), |real| fs::write(real, "x").unwrap()).unwrap();
    assert_eq!(read_back(&store, &file), Fso::file("x"));
    let link = output(&store, 2, &none(), |real| symlink("x", real).unwrap()).unwrap();
    assert_eq!(read_back(&store, &link), Fso::Symlink(b"x".to_vec()));
}

#[test]
fn special_files_are_refused() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let error = output(&store, 1, &none(), |real| {
        fs::create_dir(real).unwrap();
        let _ = std::os::unix::net::UnixListener::bind(real.join("socket")).unwrap();
    });
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("socket' has an unsupported type"), "{error}");
}

#[test]
fn several_outputs_are_registered_together_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let [a, b, missing] =
        [1, 2, 3].map(|digest| StorePath::from_parts([digest; 20], b"out").unwrap());
    let make = |path: &StorePath, reference: &StorePath| {
        let real_path = store.temp_path().unwrap();
        fs::write(&real_path, reference.to_string()).unwrap();
        let candidates = BTreeSet::from([reference.clone()]);
        OutputToRegister {
            contents: store.examine_output(&real_path, &candidates).unwrap(),
            real_path,
            path: path.clone(),
            deriver: Some(StorePath::from_parts([7; 20], b"x.drv").unwrap()),
            content_address: None,
        }
    };
    let error =
        store.register_outputs(vec![make(&a, &b), make(&b, &missing)]).unwrap_err();
    assert!(matches!(error, Error::ReferenceNotValid { .. }));
    assert!(store.valid_paths().unwrap().is_empty());
    // The remains of the failed attempt are replaced; the two refer to each other.
    store.register_outputs(vec![make(&a, &b), make(&b, &a)]).unwrap();
    assert_eq!(store.closure([&a]).unwrap().len(), 2);
    let deriver = StorePath::from_parts([7; 20], b"x.drv").unwrap();
    assert_eq!(store.query_outputs(&deriver).unwrap(), BTreeSet::from([a, b]));
}

#[test]
fn gc_keeps_what_roots_reach() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("result");
    let (dead, kept, dep);
    {
        let store = open(&dir);
        dep = store.add_text("dep", b"dep", &none()).unwrap();
        kept = store.add_text("kept", b"kept", &BTreeSet::from([dep.clone()])).unwrap();
        dead = store.add_text("dead", b"dead", &BTreeSet::from([dep.clone()])).unwrap();
        store.add_root(&link, &kept).unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"kept");
        // Everything is a temporary root of this process.
        assert!(store.gc(&GcOptions::default()).unwrap().deleted.is_empty());
    }
    let store = open(&dir);
    let options = GcOptions { dry_run: true, ..GcOptions::default() };
    let report = store.gc(&options).unwrap();
    assert_eq!(report.deleted.len(), 1);
    assert!(store.is_valid(&dead).unwrap());
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!(report.deleted[0].0, dead);
    assert!(report.freed_bytes > 0);
    assert!(!store.real_path(&dead).exists());
    assert!(store.is_valid(&dep).unwrap() && store.is_valid(&kept).unwrap());
    fs::remove_file(&link).unwrap();
    let report = store.gc(&GcOptions::default()).unwrap();
    let deleted: Vec<_> = report.deleted.into_iter().map(|(path, _)| path).collect();
    assert_eq!(deleted, [kept, dep]);
    assert_eq!(store.roots().unwrap(), []);
    assert_eq!(fs::read_dir(store.objects_dir()).unwrap().count(), 0);
}

#[test]
fn gc_stops_when_enough_is_deleted() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let (dep, top) = {
        let store = open(&dir);
        let dep = store.add_text("dep", &[b'x'; 1000], &none()).unwrap();
        let top = store.add_text("top", b"", &BTreeSet::from([dep.clone()])).unwrap();
        (dep, top)
    };
    let report =
        store.gc(&GcOptions { max_bytes: Some(1), ..GcOptions::default() }).unwrap();
    assert_eq!(report.deleted.len(), 1);
    assert_eq!(report.deleted[0].0, top);
    assert!(store.is_valid(&dep).unwrap());
}

#[test]
fn temporary_roots_of_others_are_honoured() {
    let dir = TempDir::new().unwrap();
    let (collector, user) = (open(&dir), open(&dir));
    let path = {
        let gone = open(&dir);
        gone.add_text("x", b"x", &none()).unwrap()
    };
    user.add_temp_roots([&path]).unwrap();
    let report = collector.gc(&GcOptions::default()).unwrap();
    assert!(report.deleted.is_empty());
    assert!(report.roots[0].keeper.starts_with("process "));
    drop(user);
    assert_eq!(collector.gc(&GcOptions::default()).unwrap().deleted.len(), 1);
}

#[test]
fn objects_under_construction_survive_a_concurrent_gc() {
    let dir = TempDir::new().unwrap();
    let (collector, builder) = (open(&dir), open(&dir));
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            for round in 0..200 {
                let text = format!("text {round}");
                let inner = builder.add_text("inner", text.as_bytes(), &none()).unwrap();
                let references = BTreeSet::from([inner.clone()]);
                let outer =
                    builder.add_text("outer", text.as_bytes(), &references).unwrap();
                assert!(builder.real_path(&inner).exists());
                assert!(builder.is_valid(&outer).unwrap());
            }
        });
        while !adding.is_finished() {
            let report = collector.gc(&GcOptions::default()).unwrap();
            assert!(report.deleted.is_empty());
        }
        adding.join().unwrap();
    });
    drop(builder);
    let report = collector.verify(Contents::Hashed).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.checked, 400);
}

#[test]
fn delete_refuses_what_is_alive() {
    let dir = TempDir::new().unwrap();
    let (dep, top) = {
        let store = open(&dir);
        let dep = store.add_text("dep", b"", &none()).unwrap();
        (dep.clone(), store.add_text("top", b"", &BTreeSet::from([dep])).unwrap())
    };
    let store = open(&dir);
    let error = store.delete(&BTreeSet::from([dep.clone()])).unwrap_err();
    assert!(error.to_string().contains("refers to it"), "{error}");
    store.delete(&BTreeSet::from([dep.clone(), top.clone()])).unwrap();
    assert!(!store.is_valid(&dep).unwrap());
    assert!(!store.real_path(&top).exists());
}

#[test]
fn links_alone_may_be_overruled() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let leaf = store.add_text("leaf", b"leaf", &none()).unwrap();
    let top = store.add_text("top", b"top", &BTreeSet::from([leaf.clone()])).unwrap();
    store.add_root(&dir.path().join("root"), &top).unwrap();
    drop(store);
    let store = open(&dir);
    let only = |path: &StorePath| BTreeSet::from([path.clone()]);
    store.delete(&only(&top)).unwrap_err();
    // Something refers to it.
    store.delete_linked(&only(&leaf)).unwrap_err();
    store.delete_linked(&only(&top)).unwrap();
    assert!(!store.is_valid(&top).unwrap() && store.is_valid(&leaf).unwrap());
    assert!(!store.real_path(&top).exists());
}

#[test]
fn new_objects_share_their_blocks_if_wished() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = TempDir::new().unwrap();
    let store = Store::open(StoreConfig { auto_optimise: true, ..config(&dir) }).unwrap();
    let tree = |name: &str| Fso::directory([(name, Fso::file("the same bytes"))]);
    let add = |name: &str| {
        let path = store.add_tree(&tree(name), &AddRequest::source(name)).unwrap();
        fs::metadata(store.real_path(&path).join(name)).unwrap()
    };
    let (one, two) = (add("one"), add("two"));
    assert_eq!((one.ino(), two.nlink()), (two.ino(), 3));
    let report = store.verify(Contents::Hashed).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn derivers_live_as_long_as_their_outputs() {
    let dir = TempDir::new().unwrap();
    let (drv, path) = {
        let store = open(&dir);
        let text = TextObject { name: "x.drv", contents: b"x", references: &none() };
        let drv = store.add_texts(&[text]).unwrap().remove(0);
        let real_path = store.temp_path().unwrap();
        fs::write(&real_path, "").unwrap();
        let path = StorePath::from_parts([1; 20], b"x").unwrap();
        let contents = store.examine_output(&real_path, &none()).unwrap();
        let deriver = Some(drv.clone());
        let output = OutputToRegister {
            real_path,
            path: path.clone(),
            contents,
            deriver,
            content_address: None,
        };
        store.register_outputs(vec![output]).unwrap();
        store.add_root(&dir.path().join("r"), &path).unwrap();
        (drv, path)
    };
    let store = open(&dir);
    assert!(store.gc(&GcOptions::default()).unwrap().deleted.is_empty());
    let options = GcOptions { delete_derivations: true, ..GcOptions::default() };
    assert_eq!(store.gc(&options).unwrap().deleted[0].0, drv);
    assert!(store.is_valid(&path).unwrap());
}

#[test]
fn what_a_process_uses_is_kept_while_it_runs() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&dir);
    let program = scratch.path().join("program");
    let sleep = ["/bin/sleep", "/usr/bin/sleep"].map(PathBuf::from);
    let sleep = sleep.iter().find(|path| path.exists()).unwrap();
    fs::copy(fs::canonicalize(sleep).unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let add = |name: &str, path: &Path| {
        store.add_source(path, &AddRequest::source(name), &mut everything).unwrap()
    };
    let object = add("sleep", &program);
    let [in_environment, opened, unused] =
        ["environment", "opened", "unused"].map(|name| {
            fs::write(scratch.path().join(name), name).unwrap();
            add(name, &scratch.path().join(name))
        });
    let input = fs::File::open(store.real_path(&opened)).unwrap();
    let mut child = std::process::Command::new(store.real_path(&object))
        .arg("1000")
        .env("X", format!("a:{}:b", store.store_dir().print(&in_environment)))
        .stdin(input)
        .spawn()
        .unwrap();
    // Another process: this one keeps all that it added.
    drop(store);
    let store = open(&dir);
    let report = store.gc(&GcOptions::default()).unwrap();
    let deleted: Vec<_> = report.deleted.into_iter().map(|(path, _)| path).collect();
    assert_eq!(deleted, [unused]);
    let keepers = report.keepers.iter().map(|keeper| keeper.keeper.as_str());
    let own = format!("/proc/{}/", child.id());
    assert!(keepers.filter(|keeper| keeper.starts_with(&own)).count() >= 3);
    child.kill().unwrap();
    child.wait().unwrap();
    store.gc(&GcOptions::default()).unwrap();
    assert!(store.valid_paths().unwrap().is_empty());
}

#[test]
fn a_root_never_replaces_a_file_of_the_user() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let path = store.add_text("x", b"", &none()).unwrap();
    let link = dir.path().join("result");
    fs::write(&link, "mine").unwrap();
    let error = store.add_root(&link, &path).unwrap_err();
    assert!(matches!(error, Error::RootOccupied(_)), "{error}");
    fs::remove_file(&link).unwrap();
    symlink("/etc", &link).unwrap();
    assert!(store.add_root(&link, &path).is_err());
    fs::remove_file(&link).unwrap();
    symlink("/nix/store/abc", &link).unwrap();
    store.add_root(&link, &path).unwrap();
    let keeper = link.to_str().unwrap().to_owned();
    assert_eq!(store.roots().unwrap(), [picnix_store::Root { path, keeper }]);
}

#[test]
fn verify_finds_damage_and_forgets_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let gone = store.add_text("gone", b"x", &none()).unwrap();
    let bad = store.add_text("bad", b"x", &none()).unwrap();
    let user = store.add_text("user", b"x", &BTreeSet::from([bad.clone()])).unwrap();
    let good = store.add_text("good", b"x", &none()).unwrap();
    fs::remove_file(store.real_path(&gone)).unwrap();
    let real = store.real_path(&bad);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&real, "changed").unwrap();
    fs::write(store.objects_dir().join("stray"), "").unwrap();
    let report = store.verify(Contents::Exist).unwrap();
    assert_eq!(
        (report.missing.as_slice(), report.modified.len()),
        ([gone.clone()].as_slice(), 0)
    );
    let report = store.verify(Contents::Hashed).unwrap();
    assert_eq!(report.modified[0].0, bad);
    assert_eq!(report.unregistered, ["stray"]);
    assert!(!report.is_sound());

    let mut nar = Vec::new();
    nar.extend(Fso::file("x").to_nar().unwrap());
    let mend = |path: &StorePath| {
        let info = store.path_info(path).unwrap();
        store.replace_by_nar(nar.as_slice(), &info).unwrap();
    };
    assert!(!store.is_intact(&gone).unwrap());
    mend(&gone);
    assert!(store.is_intact(&gone).unwrap());
    assert_eq!(read_back(&store, &gone), Fso::file("x"));
    let damaged = store.verify(Contents::Hashed).unwrap().damaged();
    assert_eq!(damaged, BTreeSet::from([bad.clone()]));
    assert!(store.unreferenced(damaged.clone()).unwrap().is_empty());
    let forgotten = store.forget(damaged).unwrap();
    assert_eq!(forgotten, BTreeSet::from([bad, user.clone()]));
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
    assert!(!store.is_valid(&user).unwrap() && store.is_valid(&good).unwrap());
    mend(&good);
    assert!(store.verify(Contents::Hashed).unwrap().is_sound());
}

#[test]
fn repair_exchanges_directories() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let path = store.add_tree(&sample_tree(), &AddRequest::source("t")).unwrap();
    let file = store.real_path(&path).join("file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "changed").unwrap();
    let nar = sample_tree().to_nar().unwrap();
    let info = store.path_info(&path).unwrap();
    store.replace_by_nar(nar.as_slice(), &info).unwrap();
    assert_eq!(read_back(&store, &path), sample_tree());
    assert_canonical(&store.real_path(&path));
}

#[test]
fn locks_exclude_each_other() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (open(&dir), open(&dir));
    let [a, b] = [1, 2].map(|digest| StorePath::from_parts([digest; 20], b"x").unwrap());
    let held = one.lock_paths([&a]).unwrap();
    assert!(two.try_lock_paths([&b, &a]).unwrap().is_none());
    assert!(two.try_lock_paths([&b]).unwrap().is_some());
    drop(held);
    assert!(two.try_lock_paths([&a, &b, &a]).unwrap().is_some());
    let locks = dir.path().join("store/nix/var/picnix/locks");
    let left = fs::read_dir(locks).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("-x.lock")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_read_only_store_is_only_read() {
    let dir = TempDir::new().unwrap();
    let path = open(&dir).add_text("x", b"x", &none()).unwrap();
    let config = StoreConfig { access: Access::ReadOnly, ..config(&dir) };
    let store = Store::open(config.clone()).unwrap();
    assert!(store.is_valid(&path).unwrap());
    assert_eq!(read_back(&store, &path), Fso::file("x"));
    store.add_temp_roots([&path]).unwrap();
    let error = store.add_text("y", b"y", &none()).unwrap_err();
    assert!(matches!(error, Error::ReadOnly(_)), "{error}");
    assert!(store.gc(&GcOptions::default()).is_err());
    let missing = StoreConfig { root: dir.path().join("nowhere"), ..config };
    let error = Store::open(missing).unwrap_err();
    assert!(error.to_string().starts_with("there is no store at"), "{error}");
}

#[test]
fn a_store_on_a_folder_that_takes_no_file_can_be_read() {
    let dir = TempDir::new().unwrap();
    let path = open(&dir).add_text("x", b"x", &none()).unwrap();
    let db = dir.path().join("store/nix/var/picnix/db");
    fs::set_permissions(&db, fs::Permissions::from_mode(0o555)).unwrap();
    let config = StoreConfig { access: Access::ReadOnly, ..config(&dir) };
    let valid = Store::open(config).unwrap().is_valid(&path).unwrap();
    fs::set_permissions(&db, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(valid);
}

fn database(dir: &TempDir) -> PathBuf {
    dir.path().join("store/nix/var/picnix/db/store.sqlite")
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    let connection = rusqlite::Connection::open(database(&dir)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Store::open(config(&dir)).unwrap_err();
    assert!(matches!(error, Error::SchemaTooNew { found: 99, .. }), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_corrupt_database_is_named() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    fs::write(database(&dir), "this is no database at all".repeat(100)).unwrap();
    let error = Store::open(config(&dir)).unwrap_err();
    assert!(matches!(error, Error::DatabaseCorrupt { .. }), "{error}");
    assert!(error.to_string().contains("store.sqlite' is corrupt"), "{error}");
}

#[test]
fn a_store_of_nix_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("store/nix/var/nix/db");
    fs::create_dir_all(&db).unwrap();
    fs::write(db.join("db.sqlite"), "").unwrap();
    assert!(Store::open(config(&dir)).is_err());
}

#[test]
fn errors_name_the_path() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("store"), "").unwrap();
    let error = Store::open(config(&dir)).unwrap_err().to_string();
    assert!(error.contains("cannot create the directory '"), "{error}");
    fs::remove_file(dir.path().join("store")).unwrap();
    let store = open(&dir);
    let missing = dir.path().join("missing");
    let error = store.add_source(&missing, &AddRequest::source("x"), &mut everything);
    let error = error.unwrap_err().to_string();
    let wanted = format!("cannot examine '{}': No such file", missing.display());
    assert!(error.starts_with(&wanted), "{error}");
}

#[test]
fn remains_of_dead_processes_are_cleared() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let var = dir.path().join("store/nix/var/picnix");
    let dead = var.join("tmp/999999999-0/3");
    fs::create_dir_all(dead.join("a/b")).unwrap();
    fs::set_permissions(dead.join("a"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::write(var.join("temproots/999999999-0"), "junk\0").unwrap();
    let stray = store.objects_dir().join("00000000000000000000000000000000-x");
    fs::create_dir(&stray).unwrap();
    let report = store.gc(&GcOptions::default()).unwrap();
    assert_eq!(report.unregistered.len(), 1);
    assert!(!stray.exists());
    assert!(!var.join("tmp/999999999-0").exists());
    assert!(!var.join("temproots/999999999-0").exists());
}

#[test]
fn a_very_deep_tree_can_be_removed() {
    let dir = TempDir::new().unwrap();
    let stray = {
        let store = open(&dir);
        store.objects_dir().join("stray")
    };
    // Deeper than any path can be named: made from within.
    let mut fd = rustix::fs::open(
        stray.parent().unwrap(),
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for depth in 0..3000 {
        let name = if depth == 0 { "stray" } else { "deep" };
        rustix::fs::mkdirat(&fd, name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        fd = rustix::fs::openat(&fd, name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let store = open(&dir);
    store.gc(&GcOptions::default()).unwrap();
    assert!(!stray.exists());
}

#[test]
fn two_threads_may_add_the_same() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let path = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let request = AddRequest::source("t");
                    store.add_tree(&sample_tree(), &request).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).next_back().unwrap()
    });
    assert_eq!(read_back(&store, &path), sample_tree());
    assert_eq!(fs::read_dir(store.objects_dir()).unwrap().count(), 1);
}
