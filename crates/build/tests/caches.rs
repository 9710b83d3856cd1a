//! Binary caches that are honest, broken and hostile; ours and the real Nix's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says that it was skipped")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Recipe, World};
use picnix_build::Cancel;
use picnix_build::cache::{
    CacheAddress, CachePolicy, Scope, Server, Substituters, UploadOptions, UploadReport,
    upload,
};
use picnix_store::{Contents, Store};
use picnix_store_core::nar::Fso;
use picnix_store_core::{NarInfo, PublicKeys, SecretKey, Sha256, StoreDir, StorePath};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[5; 32])
}

fn policy(addresses: &[&str]) -> CachePolicy {
    let addresses = addresses.iter().map(|text| CacheAddress::parse(text).unwrap());
    CachePolicy {
        addresses: addresses.collect(),
        keys: PublicKeys::new([key().public_key()]),
        fetch: patient(),
        ..CachePolicy::default()
    }
}

fn patient() -> picnix_fetch::Config {
    let backoff = Duration::from_millis(1);
    picnix_fetch::Config { backoff, ..picnix_fetch::Config::default() }
}

fn copy_to(store: &Store, address: &str, paths: &[&StorePath]) -> UploadReport {
    let roots: BTreeSet<StorePath> = paths.iter().map(|path| (*path).clone()).collect();
    let (key, cancel) = (key(), Cancel::new());
    let options = UploadOptions {
        address: CacheAddress::parse(address).unwrap(),
        fetch: patient(),
        jobs: 4,
        sign_with: Some(&key),
        cancel: &cancel,
        progress: &|_| {},
    };
    upload(store, &roots, &options).unwrap()
}

/// A library and a program that refers to it.
struct Pair {
    library: StorePath,
    program: StorePath,
    library_out: StorePath,
    program_out: StorePath,
}

impl Pair {
    fn new(world: &World) -> Self {
        let library = world.script("library", "echo code > $out", &[]);
        let library_out = world.output(&library, "out");
        let text = world.print(&library_out);
        let script = format!("read line < {text}; echo $line {text} $out > $out");
        let program = world.script("program", &script, &[&library]);
        let program_out = world.output(&program, "out");
        Self { library, program, library_out, program_out }
    }
}

/// A folder cache with the pair in it.
struct Cache {
    dir: tempfile::TempDir,
    pair: Pair,
}

impl Cache {
    fn new() -> Self {
        Self::with_compression("zstd")
    }

    fn with_compression(compression: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new();
        let pair = Pair::new(&world);
        world.build(&pair.program).unwrap();
        let cache = Self { dir, pair };
        let address = format!("{}?compression={compression}", cache.url());
        let report = copy_to(&world.store, &address, &[&cache.pair.program_out]);
        assert_eq!((report.sent, report.present), (2, 0));
        let report = copy_to(&world.store, &address, &[&cache.pair.program_out]);
        assert_eq!((report.sent, report.present), (0, 2));
        cache
    }

    fn url(&self) -> String {
        format!("file://{}", self.dir.path().display())
    }

    fn narinfo_path(&self, path: &StorePath) -> PathBuf {
        let digest = String::from_utf8(path.digest_text().to_vec()).unwrap();
        self.dir.path().join(format!("{digest}.narinfo"))
    }

    fn narinfo(&self, path: &StorePath) -> NarInfo {
        let text = fs::read(self.narinfo_path(path)).unwrap();
        NarInfo::parse(&StoreDir::default(), &text, "x").unwrap()
    }

    /// Changes a narinfo, and signs it anew if that is wanted.
    fn change(&self, path: &StorePath, resign: bool, change: impl FnOnce(&mut NarInfo)) {
        let mut narinfo = self.narinfo(path);
        change(&mut narinfo);
        if resign {
            narinfo.info.signatures.clear();
            narinfo.info.sign(&StoreDir::default(), &key()).unwrap();
        }
        let text = narinfo.print(&StoreDir::default());
        fs::write(self.narinfo_path(path), text).unwrap();
    }

    fn nar_file(&self, path: &StorePath) -> PathBuf {
        self.dir.path().join(self.narinfo(path).url)
    }

    /// Builds the program in a new store that knows this cache, whatever the cache is like.
    fn build(&self) -> World {
        build_with(policy(&[&self.url()]))
    }

    /// Asserts that the program is built all the same, and that somebody said why.
    fn assert_built_because(&self, reason: &str) {
        let world = self.build();
        assert_eq!(world.events.count("started program.drv Box"), 1, "{reason}");
        let warnings = warnings(&world);
        assert!(warnings.iter().any(|line| line.contains(reason)), "{warnings:?}");
    }
}

fn build_with(policy: CachePolicy) -> World {
    let mut world = World::new();
    world.substituters = Some(Substituters::new(policy, &world.store));
    let pair = Pair::new(&world);
    let text = world.text(&pair.program);
    assert!(text.starts_with("code /nix/store/"), "{text}");
    world.assert_clean();
    let report = world.store.verify(Contents::Hashed).unwrap();
    assert!(report.is_sound(), "{report:?}");
    world
}

fn warnings(world: &World) -> Vec<String> {
    world.events.all().into_iter().filter(|e| e.starts_with("warning")).collect()
}

fn assert_copied(world: &World) {
    assert_eq!(world.events.count("started library Copy"), 1, "{:?}", world.events.all());
    assert_eq!(world.events.count("started program Copy"), 1);
    assert_eq!(world.events.count("started"), 2);
    assert_eq!(warnings(world), Vec::<String>::new());
}

#[test]
fn outputs_that_a_folder_cache_has_are_copied_with_their_closure() {
    for compression in ["zstd", "xz", "bzip2", "gzip", "none"] {
        let cache = Cache::with_compression(compression);
        assert!(cache.dir.path().join("nix-cache-info").exists());
        let world = cache.build();
        assert_copied(&world);
        assert!(world.events.all().contains(&"planned 0 0 2".to_owned()));
        let info = world.store.path_info(&cache.pair.program_out).unwrap();
        assert_eq!(info.deriver.as_ref(), Some(&cache.pair.program));
        assert!(!info.ultimate && info.signatures.len() == 1);
        assert!(info.references.contains(&cache.pair.library_out));
    }
}

#[test]
fn only_what_is_missing_is_copied_or_built() {
    let cache = Cache::new();
    fs::remove_file(cache.narinfo_path(&cache.pair.program_out)).unwrap();
    let world = cache.build();
    assert_eq!(world.events.count("started library Copy"), 1);
    assert_eq!(world.events.count("started program.drv Box"), 1);
    let plan = world.builder().plan(&[common::target(&cache.pair.program)]).unwrap();
    assert!(
        plan.steps.is_empty() && plan.copies.is_empty(),
        "nothing is asked for twice"
    );
}

#[test]
fn a_path_whose_closure_is_incomplete_is_built() {
    let cache = Cache::new();
    fs::remove_file(cache.narinfo_path(&cache.pair.library_out)).unwrap();
    let world = cache.build();
    assert_eq!(world.events.count("started library.drv Box"), 1);
    // When the library was built, the program had been planned already.
    assert_eq!(world.events.count("started program.drv Box"), 1);
}

#[test]
fn what_forbids_substitutes_is_built() {
    let cache = Cache::new();
    let mut world = World::new();
    let recipe = Recipe {
        name: "here",
        script: "echo x > $out",
        env: &[("allowSubstitutes", "")],
        ..Recipe::default()
    };
    let drv_path = world.derivation(&recipe);
    world.build(&drv_path).unwrap();
    copy_to(&world.store, &cache.url(), &[&world.output(&drv_path, "out")]);
    world = World::new();
    world.substituters = Some(Substituters::new(policy(&[&cache.url()]), &world.store));
    let drv_path = world.derivation(&recipe);
    world.build(&drv_path).unwrap();
    assert_eq!(world.events.count("started here.drv Box"), 1);
}

#[test]
fn unsigned_objects_are_not_believed() {
    let cache = Cache::new();
    let path = &cache.pair.library_out;
    cache.change(path, false, |narinfo| narinfo.info.signatures.clear());
    cache.assert_built_because("lacks a signature by a trusted key");
    let trusted = format!("{}?trusted=true", cache.url());
    assert_copied(&build_with(policy(&[&trusted])));
    let careless = CachePolicy { require_signatures: false, ..policy(&[&cache.url()]) };
    assert_copied(&build_with(careless));
    let stranger = SecretKey::from_seed("test-1", &[6; 32]).public_key();
    let keys = PublicKeys::new([stranger]);
    let world = build_with(CachePolicy { keys, ..policy(&[&cache.url()]) });
    assert_eq!(world.events.count("started program.drv Box"), 1);
}

#[test]
fn changed_narinfos_are_not_believed() {
    let cache = Cache::new();
    let path = &cache.pair.library_out;
    cache.change(path, false, |narinfo| narinfo.info.nar_hash = Sha256([1; 32]));
    cache.assert_built_because("lacks a signature");
    let cache = Cache::new();
    let path = &cache.pair.program_out;
    cache.change(path, false, |narinfo| narinfo.info.references.clear());
    cache.assert_built_because("lacks a signature");
}

#[test]
fn contents_with_another_hash_or_size_are_refused() {
    type Change = dyn Fn(&mut NarInfo);
    let wrong: [(&Change, &str); 4] = [
        (&|narinfo| narinfo.info.nar_hash = Sha256([1; 32]), "hash mismatch"),
        (&|narinfo| narinfo.info.nar_size += 8, "size mismatch"),
        (&|narinfo| narinfo.info.nar_size -= 8, "cannot copy"),
        (&|narinfo| narinfo.info.nar_size = 1, "cannot copy"),
    ];
    for (change, reason) in wrong {
        let cache = Cache::new();
        cache.change(&cache.pair.library_out, true, change);
        cache.assert_built_because(reason);
    }
}

#[test]
fn broken_nars_are_refused() {
    let truncate = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    };
    let garbage = |file: &Path| fs::write(file, b"no compressed file at all").unwrap();
    let empty = |file: &Path| fs::write(file, b"").unwrap();
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    let breaks: [&dyn Fn(&Path); 4] = [&truncate, &garbage, &empty, &remove];
    for compression in ["zstd", "xz", "none"] {
        for (number, damage) in breaks.iter().enumerate() {
            let cache = Cache::with_compression(compression);
            damage(&cache.nar_file(&cache.pair.library_out));
            let reason = if number == 3 { "has lost the NAR" } else { "cannot copy" };
            cache.assert_built_because(reason);
        }
    }
}

/// A NAR by its strings.
fn nar(strings: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend((string.len() as u64).to_le_bytes());
        bytes.extend(*string);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

fn nar_with_entry(name: &[u8]) -> Vec<u8> {
    nar(&[
        b"nix-archive-1",
        b"(",
        b"type",
        b"directory",
        b"entry",
        b"(",
        b"name",
        name,
        b"node",
        b"(",
        b"type",
        b"regular",
        b"contents",
        b"evil",
        b")",
        b")",
        b")",
    ])
}

#[test]
fn hostile_nars_are_refused_though_signed() {
    let mut long = nar_with_entry(b"a");
    // A file that claims to be as long as the address space.
    let at = long.windows(8).rposition(|w| w == 4_u64.to_le_bytes()).unwrap();
    long[at..at + 8].copy_from_slice(&(u64::MAX - 7).to_le_bytes());
    let nars = [
        nar_with_entry(b".."),
        nar_with_entry(b"../../escaped"),
        nar_with_entry(b"/tmp/escaped"),
        nar_with_entry(b"."),
        nar_with_entry(b""),
        nar_with_entry(b"a\0b"),
        nar_with_entry(&[b'n'; 300]),
        long,
        b"nix-archive-1".to_vec(),
    ];
    for bytes in nars {
        let cache = Cache::with_compression("none");
        let path = &cache.pair.library_out;
        fs::write(cache.nar_file(path), &bytes).unwrap();
        cache.change(path, true, |narinfo| {
            narinfo.info.nar_hash = Sha256::of(&bytes);
            narinfo.info.nar_size = bytes.len() as u64;
        });
        cache.assert_built_because("cannot copy");
        let escaped = cache.dir.path().parent().unwrap().join("escaped");
        assert!(!escaped.exists());
    }
}

#[test]
fn a_bomb_takes_no_more_room_than_announced() {
    let cache = Cache::new();
    let path = &cache.pair.library_out;
    // 256 MiB of zeros in a few kilobytes, announced as 1,000 bytes.
    let nar = Fso::file(vec![0; 256 << 20]).to_nar().unwrap();
    let mut packed = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::new(&mut packed, 1).unwrap();
    encoder.write_all(&nar).unwrap();
    encoder.finish().unwrap();
    fs::write(cache.nar_file(path), &packed).unwrap();
    cache.change(path, true, |narinfo| narinfo.info.nar_size = 1000);
    cache.assert_built_because("cannot copy");
}

#[test]
fn hostile_narinfos_are_refused() {
    let forbidden = "forbidden URL";
    for url in
        ["../secret", "nar/../../secret", "/etc/passwd", "file:///etc/passwd", "%2e%2e/x"]
    {
        let cache = Cache::new();
        let path = &cache.pair.library_out;
        cache.change(path, true, |narinfo| url.clone_into(&mut narinfo.url));
        cache.assert_built_because(forbidden);
    }
    let cache = Cache::new();
    let path = &cache.pair.library_out;
    fs::copy(cache.narinfo_path(&cache.pair.program_out), cache.narinfo_path(path))
        .unwrap();
    cache.assert_built_because("describes");
    for text in ["", "StorePath", "StorePath: /etc/passwd\n", "NarSize: -1\n"] {
        let cache = Cache::new();
        fs::write(cache.narinfo_path(&cache.pair.library_out), text).unwrap();
        cache.assert_built_because("is corrupt");
    }
    let cache = Cache::new();
    cache.change(path, true, |narinfo| "rar".clone_into(&mut narinfo.compression));
    cache.assert_built_because("unknown compression method 'rar'");
    let cache = Cache::new();
    let program = cache.pair.program_out.clone();
    cache.change(path, true, |narinfo| {
        narinfo.info.references.insert(program);
    });
    cache.assert_built_because("cycle detected");
}

#[test]
fn a_cache_for_another_store_is_not_used() {
    let cache = Cache::new();
    let info = "StoreDir: /other/store\nPriority: 1\n";
    fs::write(cache.dir.path().join("nix-cache-info"), info).unwrap();
    cache.assert_built_because("is for Nix stores with prefix '/other/store'");
    fs::remove_file(cache.dir.path().join("nix-cache-info")).unwrap();
    cache.assert_built_because("does not appear to be a binary cache");
}

#[test]
fn the_cache_of_least_priority_number_is_asked_first_and_others_help_out() {
    let (first, second) = (Cache::new(), Cache::new());
    let with =
        |cache: &Cache, priority: u32| format!("{}?priority={priority}", cache.url());
    let path = &first.pair.library_out;
    fs::remove_file(first.nar_file(path)).unwrap();
    let order = [with(&second, 9), with(&first, 2)];
    let world = build_with(policy(&[&order[0], &order[1]]));
    assert_eq!(world.events.count("started library Copy"), 1);
    assert_eq!(world.events.count("started"), 2, "{:?}", world.events.all());
    assert_eq!(warnings(&world).len(), 1);
    assert!(warnings(&world)[0].contains("has lost the NAR"));
    let order = [with(&second, 2), with(&first, 9)];
    assert_copied(&build_with(policy(&[&order[0], &order[1]])));
}

#[test]
fn an_unreachable_cache_costs_one_warning() {
    // Nobody listens at a port that was given back.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = build_with(policy(&[&url]));
    assert_eq!(world.events.count("started program.drv Box"), 1);
    assert_eq!(warnings(&world).len(), 1, "{:?}", warnings(&world));
    // A later process is told by the memory, and does not try.
    let again = Substituters::new(policy(&[&url]), &world.store);
    let world = World { substituters: Some(again), ..world };
    let drv_path = world.script("other", "echo x > $out", &[]);
    world.build(&drv_path).unwrap();
    assert!(warnings(&world)[1].contains("a moment ago"));
}

/// Runs `work` with a server of a store; returns what was asked for.
fn with_server(world: &World, work: impl FnOnce(&str, SocketAddr)) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (cancel, key) = (Cancel::new(), key());
    std::thread::scope(|scope| {
        let (stop, log, key, store) = (cancel.clone(), log.clone(), &key, &world.store);
        let server = scope.spawn(move || {
            let note = |served: &picnix_build::cache::Served| {
                log.lock().unwrap().push(format!("{} {}", served.status, served.request));
            };
            let sign_with = Some(key);
            let server = Server {
                store,
                listener,
                sign_with,
                priority: 7,
                cancel: &stop,
                log: &note,
            };
            server.run().unwrap();
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work(&format!("http://{address}"), address);
        }));
        cancel.cancel();
        server.join().unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    Arc::try_unwrap(log).unwrap().into_inner().unwrap()
}

fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_store_is_a_cache_for_others() {
    let server = World::new();
    let pair = Pair::new(&server);
    server.build(&pair.program).unwrap();
    let log = with_server(&server, |url, _| {
        let world = build_with(policy(&[url]));
        assert_copied(&world);
    });
    assert_eq!(log.iter().filter(|line| line.ends_with("nix-cache-info")).count(), 1);
    assert_eq!(log.iter().filter(|line| line.contains(".narinfo")).count(), 2);
    assert_eq!(
        log.iter().filter(|line| line.contains(".nar") && !line.contains("info")).count(),
        2
    );
    assert!(log.iter().all(|line| line.starts_with("200 GET ")), "{log:?}");
}

#[test]
fn the_server_serves_ranges_and_refuses_nonsense() {
    let server = World::new();
    let pair = Pair::new(&server);
    server.build(&pair.library).unwrap();
    let info = server.store.path_info(&pair.library_out).unwrap();
    let mut nar = Vec::new();
    server.store.dump(&pair.library_out, &mut nar).unwrap();
    let digest = String::from_utf8(pair.library_out.digest_text().to_vec()).unwrap();
    let name = format!("/nar/{digest}-{}.nar", info.nar_hash.nix32());
    with_server(&server, |_, address| {
        let ask =
            |head: &str| raw(address, &format!("{head}\r\nConnection: close\r\n\r\n"));
        let part = ask(&format!("GET {name} HTTP/1.1\r\nRange: bytes=8-20"));
        assert!(part.starts_with("HTTP/1.1 206 "), "{part}");
        assert!(part.contains(&format!("Content-Range: bytes 8-20/{}\r\n", nar.len())));
        assert!(part.ends_with("\r\n\r\nnix-archive-1"), "{part}");
        let whole =
            ask(&format!("GET {name} HTTP/1.1\r\nRange: bytes=8-\r\nIf-Range: \"x\""));
        assert!(whole.starts_with("HTTP/1.1 200 "), "{whole}");
        let past = ask(&format!("GET {name} HTTP/1.1\r\nRange: bytes=999999-"));
        assert!(past.starts_with("HTTP/1.1 416 "), "{past}");
        let head = ask(&format!("HEAD {name} HTTP/1.1"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", nar.len())), "{head}");
        assert!(head.ends_with("\r\n\r\n"));
        let info = ask("GET /nix-cache-info HTTP/1.1");
        assert!(info.ends_with("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 7\n"));
        for path in
            ["/", "/../etc/passwd", "/nar/x", "/x.narinfo", "/log/../../etc/passwd"]
        {
            let answer = ask(&format!("GET {path} HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        let put = ask("PUT /x.narinfo HTTP/1.1");
        assert!(put.starts_with("HTTP/1.1 405 "), "{put}");
        assert!(raw(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    });
}

#[test]
fn what_a_server_lacks_is_remembered() {
    let server = World::new();
    let log = with_server(&server, |url, _| {
        let mut world = World::new();
        let pair = Pair::new(&world);
        for asks_again in [false, false, true] {
            let policy = CachePolicy { asks_again, ..policy(&[url]) };
            world.substituters = Some(Substituters::new(policy, &world.store));
            let plan = world.builder().plan(&[common::target(&pair.program)]).unwrap();
            assert_eq!((plan.copies.len(), plan.steps.len()), (0, 2));
        }
    });
    // Twice two questions: at first, and when the answers are not to count.
    assert_eq!(log.iter().filter(|line| line.starts_with("404")).count(), 4, "{log:?}");
}

#[test]
fn a_cache_of_nix_is_not_asked_for_what_only_picnix_builds() {
    let server = World::new();
    let log = with_server(&server, |url, _| {
        let mut world = World::new();
        let mut policy = policy(&[url]);
        policy.addresses[0].scope = Scope::Nix;
        world.substituters = Some(Substituters::new(policy, &world.store));
        let boxed = world.derivation(&Recipe {
            name: "boxed",
            script: "echo x > $out",
            env: &[("boxRoot", "")],
            ..Recipe::default()
        });
        let user = world.script("user", "echo y > $out", &[&boxed]);
        world.build(&user).unwrap();
        let outside = world.derivation(&Recipe {
            name: "outside",
            builder: Some("/bin/no-such-program"),
            ..Recipe::default()
        });
        world.build(&outside).unwrap_err();
        assert_eq!(warnings(&world), Vec::<String>::new());
    });
    assert_eq!(log, Vec::<String>::new());
    let log = with_server(&server, |url, _| {
        let mut policy = policy(&[url]);
        policy.addresses[0].scope = Scope::Nix;
        build_with(policy);
    });
    assert_eq!(log.iter().filter(|line| line.starts_with("404")).count(), 2, "{log:?}");
}

#[test]
fn paths_are_copied_by_themselves() {
    let cache = Cache::new();
    let mut world = World::new();
    world.substituters = Some(Substituters::new(policy(&[&cache.url()]), &world.store));
    let wanted = BTreeSet::from([cache.pair.program_out.clone()]);
    world.builder().copy(&wanted).unwrap();
    assert!(world.store.is_valid(&cache.pair.library_out).unwrap());
    world.builder().copy(&wanted).unwrap();
    let absent = BTreeSet::from([world.shell.object.clone(), cache.pair.program.clone()]);
    let error = world.builder().copy(&absent).unwrap_err().to_string();
    assert!(error.contains("is not in any of the binary caches"), "{error}");
}

/// The command that runs the real Nix, where there is one.
fn peer() -> Option<Vec<String>> {
    let Ok(text) = std::env::var("PICNIX_PEER_NIX") else {
        eprintln!("skipped: PICNIX_PEER_NIX is not set");
        return None;
    };
    Some(text.split_whitespace().map(str::to_owned).collect())
}

fn nix(peer: &[String], args: &[&str]) -> String {
    let mut command = Command::new(&peer[0]);
    command.args(&peer[1..]).args(args).current_dir("/tmp");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Lets the real Nix copy a path with its closure from a cache, checking our key.
fn assert_nix_copies(peer: &[String], url: &str, path: &str, name: &str) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let store = format!("local?root={}/{name}", dir.path().display());
    let key = key().public_key().to_string();
    let options =
        ["--option", "trusted-public-keys", &key, "--option", "require-sigs", "true"];
    let copy = ["nix", "copy", "--refresh", "--from", url, "--to", &store, path];
    nix(peer, &[&copy[..], &options[..]].concat());
    let verify = ["nix", "store", "verify", "--store", &store, "--recursive", path];
    nix(peer, &[&verify[..], &options[..]].concat());
    let physical = format!("{}/{name}{path}", dir.path().display());
    assert!(fs::read_to_string(&physical).unwrap().starts_with("code /nix/store/"));
    let realised = tempfile::tempdir_in("/tmp").unwrap();
    let store = format!("local?root={}", realised.path().display());
    let realise =
        ["nix-store", "--store", &store, "-r", path, "--option", "substituters", url];
    nix(peer, &[&realise[..], &options[..]].concat());
}

#[test]
fn the_real_nix_copies_from_our_caches() {
    let Some(peer) = peer() else { return };
    for compression in ["zstd", "xz", "bzip2", "gzip", "none"] {
        let world = World::new();
        let pair = Pair::new(&world);
        world.build(&pair.program).unwrap();
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let url = format!("file://{}", dir.path().display());
        let address = format!("{url}?compression={compression}");
        copy_to(&world.store, &address, &[&pair.program_out]);
        let path = world.print(&pair.program_out);
        assert_nix_copies(&peer, &url, &path, "folder");
        if compression == "none" {
            with_server(&world, |url, _| assert_nix_copies(&peer, url, &path, "server"));
        }
    }
}

#[test]
fn we_copy_from_caches_of_the_real_nix() {
    let Some(peer) = peer() else { return };
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let at = dir.path().display().to_string();
    let store = format!("local?root={at}/store");
    let expression =
        "let d = args: derivation ({ system = \"x\"; builder = \"/b\"; } // args);
        in d { name = \"top\"; input = d { name = \"input\"; }; }";
    let printed = nix(&peer, &["nix-instantiate", "--store", &store, "-E", expression]);
    let top = printed.trim().to_owned();
    let key_file = format!("{at}/key");
    fs::write(&key_file, key().print()).unwrap();
    for compression in ["xz", "zstd", "bzip2", "gzip", "br", "lz4", "none"] {
        let folder = format!("file://{at}/{compression}");
        let cache = format!("{folder}?compression={compression}&secret-key={key_file}");
        nix(
            &peer,
            &["nix", "copy", "--from", &store, "--to", &cache, "--derivation", &top],
        );
        let mut world = World::new();
        world.substituters = Some(Substituters::new(policy(&[&folder]), &world.store));
        let path = StoreDir::default().parse_path(top.as_bytes()).unwrap();
        world.builder().copy(&BTreeSet::from([path.clone()])).unwrap();
        let info = world.store.path_info(&path).unwrap();
        assert_eq!(info.references.len(), 1, "{compression}");
        assert!(!info.signatures.is_empty(), "{compression}");
        assert!(world.store.read_derivation(&path).is_ok());
    }
}

/// HMAC (RFC 2104) with SHA-256, of keys that are no longer than its block.
fn keyed_hash(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = key.to_vec();
    block.resize(64, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::of(&[pad(0x36), text.to_vec()].concat());
    Sha256::of(&[pad(0x5c), inner.0.to_vec()].concat()).0
}

/// Whether a request has the signature that follows from it and from the key `KEY` with its secret, in the
/// region `eu-test-1`. (AWS signature version 4, worked out as the server has to.)
fn is_signed(method: &str, path: &str, query: &str, host: &str) -> bool {
    let Some((signed, signature)) = query.rsplit_once("&X-Amz-Signature=") else {
        return false;
    };
    let values: BTreeMap<&str, &str> =
        signed.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    let time = values["X-Amz-Date"];
    let scope = format!("{}/eu-test-1/s3/aws4_request", &time[..8]);
    let names: Vec<&str> =
        signed.split('&').map(|pair| pair.split_once('=').unwrap().0).collect();
    let request =
        format!("{method}\n{path}\n{signed}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let digest = Sha256::of(request.as_bytes()).base16();
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
    let mut key = b"AWS4of the bucket".to_vec();
    for part in scope.split('/') {
        key = keyed_hash(&key, part.as_bytes()).to_vec();
    }
    names.is_sorted()
        && values["X-Amz-SignedHeaders"] == "host"
        && values["X-Amz-Credential"] == format!("KEY/{scope}").replace('/', "%2F")
        && signature == Sha256(keyed_hash(&key, text.as_bytes())).base16()
}

/// A bucket in memory that serves only what is signed with the right key and for the right method.
fn bucket(listener: TcpListener, objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length, mut host) = (String::new(), 0, String::new());
        reader.read_line(&mut line).unwrap();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("host:") {
                value.trim().clone_into(&mut host);
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "STOP" {
            return;
        }
        let (path, query) = words[1].split_once('?').unwrap_or((words[1], ""));
        let is_signed = is_signed(words[0], path, query, &host);
        let mut objects = objects.lock().unwrap();
        let (status, body) = match (is_signed, words[0], objects.get(path)) {
            (false, _, _) => ("403 Forbidden", Vec::new()),
            (true, "PUT", _) => {
                objects.insert(path.to_owned(), body);
                ("200 OK", Vec::new())
            }
            (true, _, Some(body)) => ("200 OK", body.clone()),
            (true, _, None) => ("404 Not Found", Vec::new()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        if words[0] != "HEAD" {
            stream.write_all(&body).unwrap();
        }
    }
}

#[test]
fn a_bucket_of_s3_is_a_cache_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let objects = Arc::new(Mutex::new(BTreeMap::new()));
    let kept = objects.clone();
    let server = std::thread::spawn(move || bucket(listener, kept));
    let url = format!(
        "s3://store/sub?endpoint={address}&scheme=http&region=eu-test-1&trusted=1&profile=upload"
    );
    let files = tempfile::tempdir().unwrap();
    let with_secret = |secret: &str| {
        let file = files.path().join(secret.replace(' ', "-"));
        let text = format!(
            "[default]\naws_access_key_id = OTHER\naws_secret_access_key = other\n\
             [upload]\naws_access_key_id = KEY\naws_secret_access_key = {secret}\n"
        );
        fs::write(&file, text).unwrap();
        let s3 = picnix_fetch::S3Access {
            credentials_file: Some(file),
            ..picnix_fetch::S3Access::default()
        };
        picnix_fetch::Config { s3, ..patient() }
    };
    let fetch = with_secret("of the bucket");
    let world = World::new();
    let path = world.store.add_text("text", b"in a bucket", &BTreeSet::new()).unwrap();
    let cancel = Cancel::new();
    let send = |fetch| {
        let options = UploadOptions {
            address: CacheAddress::parse(&url).unwrap(),
            fetch,
            jobs: 1,
            sign_with: None,
            cancel: &cancel,
            progress: &|_| {},
        };
        upload(&world.store, &BTreeSet::from([path.clone()]), &options)
    };
    let text = send(patient()).unwrap_err().to_string();
    assert!(text.contains("the profile 'upload' has no keys"), "{text}");
    let text = send(with_secret("of somebody else")).unwrap_err().to_string();
    assert!(text.contains("403"), "{text}");
    assert_eq!(send(fetch.clone()).unwrap().sent, 1);
    assert_eq!(send(fetch.clone()).unwrap().present, 1);
    assert!(objects.lock().unwrap().contains_key("/store/sub/nix-cache-info"));
    let other = World::new();
    let policy = CachePolicy { fetch, ..policy(&[&url]) };
    let substituters = Substituters::new(policy, &other.store);
    let other = World { substituters: Some(substituters), ..other };
    other.builder().copy(&BTreeSet::from([path.clone()])).unwrap();
    assert!(other.store.is_valid(&path).unwrap());
    TcpStream::connect(address).unwrap().write_all(b"STOP / HTTP/1.1\r\n\r\n").unwrap();
    server.join().unwrap();
}
