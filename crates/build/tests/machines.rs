//! Building on other machines: our client with our daemon, good machines and bad ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Recipe, World};
use picnix_build::Error;
use picnix_build::daemon::Daemon;
use picnix_build::remote::{Connection, RemoteAddress, RemoteError, parse_machines};
use picnix_store::Contents;
use picnix_store_core::worker::{BuildStatus, WantedOutputs, WantedPath, WorkerVersion};
use picnix_store_core::{ContentAddressMethod, Hash, HashAlgo, StorePath};

/// A machine in this process: a store of its own behind a socket.
struct Far {
    socket: PathBuf,
    dir: PathBuf,
    served: Arc<AtomicUsize>,
}

impl Far {
    /// A machine whose daemon stops answering after so many bytes of requests.
    fn new(dir: &Path, name: &str, patience: u64) -> Self {
        let dir = dir.join(name);
        fs::create_dir(&dir).unwrap();
        let socket = dir.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let (count, root) = (served.clone(), dir.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (root, stream) = (root.clone(), stream.unwrap());
                std::thread::spawn(move || serve(&root, stream, patience));
            }
        });
        Self { socket, dir, served }
    }

    fn line(&self, rest: &str) -> String {
        format!("unix://{} {rest}\n", self.socket.display())
    }

    fn connect(&self, version: u8) -> Connection {
        let address = format!("unix://{}", self.socket.display());
        let address = RemoteAddress::parse(&address).unwrap();
        let version = WorkerVersion::new(version);
        Connection::open_as(&address, &picnix_store_core::StoreDir::default(), version)
            .unwrap()
    }

    fn store(&self) -> picnix_store::Store {
        common::open_store(&self.dir)
    }
}

fn serve(root: &Path, stream: UnixStream, patience: u64) {
    let store = common::open_store(root);
    let mut config = picnix_build::BuildConfig::new("test-system", 1);
    config.features.insert("far".to_owned());
    let (builtins, cancel) = (picnix_build::Builtins::new(), picnix_build::Cancel::new());
    let builder = picnix_build::Builder {
        store: &store,
        config: &config,
        builtins: &builtins,
        observer: &picnix_build::Silent,
        cancel: &cancel,
        substituters: None,
    };
    let to = stream.try_clone().unwrap();
    let from = Impatient { stream, left: patience };
    // That it is broken off is what some of these machines are for.
    let _ = Daemon { builder, nix_version: "2.34.8" }.serve(from, to);
}

/// A stream that breaks after a number of bytes.
struct Impatient {
    stream: UnixStream,
    left: u64,
}

impl Read for Impatient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if self.left == 0 {
            self.stream.shutdown(std::net::Shutdown::Both)?;
        }
        Ok(count)
    }
}

impl std::os::fd::AsFd for Impatient {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A world that builds nothing itself.
fn commander(machines: &str) -> World {
    let mut world = World::new();
    world.config.jobs = 0;
    world.config.machines = parse_machines(machines, &world.config.systems).unwrap();
    world
}

fn set(path: &StorePath) -> BTreeSet<StorePath> {
    BTreeSet::from([path.clone()])
}

#[test]
fn a_graph_is_built_elsewhere_and_its_outputs_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(dir.path(), "far", u64::MAX);
    let world = commander(&far.line("- - 2 1 far"));
    let library = world.derivation(&Recipe {
        name: "library",
        script: "echo compiling; echo code > $out; echo extra > $dev",
        outputs: &["out", "dev"],
        env: &[("requiredSystemFeatures", "far")],
        ..Recipe::default()
    });
    let text = world.print(&world.output(&library, "out"));
    let script = format!("read line < {text}; echo $line {text} > $out");
    let program = world.script("program", &script, &[&library]);
    assert_eq!(world.text(&program), format!("code {text}\n"));
    let built = format!("unix://{}", far.socket.display());
    let events = world.events.all();
    assert!(events.contains(&"log library.drv compiling".to_owned()), "{events:?}");
    assert!(!events.iter().any(|event| event.starts_with("failed")), "{events:?}");
    let info = world.store.path_info(&world.output(&program, "out")).unwrap();
    assert!(!info.ultimate && info.deriver.as_ref() == Some(&program), "{built}");
    assert!(info.references.contains(&world.output(&library, "out")));
    // What nobody asked for stays there.
    assert!(world.store.is_valid(&world.output(&library, "dev")).unwrap());
    let log = picnix_build::find_log(&world.store, &library).unwrap().unwrap();
    assert_eq!(fs::read_to_string(log).unwrap(), "compiling\n");
    let report = world.store.verify(Contents::Hashed).unwrap();
    assert!(report.is_sound());
    assert_eq!(far.served.load(Ordering::SeqCst), 1, "the connection is kept");
    world.assert_clean();
}

#[test]
fn a_failure_there_is_a_failure_here_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(dir.path(), "far", u64::MAX);
    let world = commander(&(far.line("-") + &far.line("-")));
    let broken = world.script("broken", "echo before; exit 3", &[]);
    let Err(Error::Failed(failure)) = world.build(&broken) else { panic!("it fails") };
    let text = failure.to_string();
    assert!(text.contains("failed with exit code 3"), "{text}");
    assert!(text.contains("> before") && text.contains("picnix store log"), "{text}");
    assert_eq!(world.events.count("log broken.drv before"), 1, "it is not tried twice");
    // After a failure the connection is in order.
    let fine = world.script("fine", "echo fine > $out", &[]);
    assert_eq!(world.text(&fine), "fine\n");
}

#[test]
fn what_a_machine_cannot_do_is_done_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let gone = "unix:///no/such/socket - - 9 9\n";
    let dies = Far::new(dir.path(), "dies", 2_000);
    let good = Far::new(dir.path(), "good", u64::MAX);
    let world = commander(&(gone.to_owned() + &dies.line("- - 1 5") + &good.line("-")));
    let first = world.script("first", "echo 1 > $out", &[]);
    assert_eq!(world.text(&first), "1\n");
    let warnings: Vec<String> =
        world.events.all().into_iter().filter(|e| e.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("/no/such/socket"), "{warnings:?}");
    assert!(warnings[1].contains("lost the connection"), "{warnings:?}");
    assert!(dies.served.load(Ordering::SeqCst) == 1);
    // Without a good one it cannot be built, and the reasons are told.
    let world = commander(&(gone.to_owned() + &dies.line("- - 1 5")));
    let first = world.script("first", "echo 1 > $out", &[]);
    let text = world.build(&first).unwrap_err().to_string();
    assert!(text.contains("failed to find a machine"), "{text}");
    assert!(text.contains("/no/such/socket") && text.contains("lost the"), "{text}");
    world.assert_clean();
}

#[test]
fn a_machine_that_dies_in_the_middle_of_a_build_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let good = Far::new(dir.path(), "good", u64::MAX);
    let socket = dir.path().join("dying");
    let listener = UnixListener::bind(&socket).unwrap();
    let target = good.socket.clone();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        relay_until_build(client, UnixStream::connect(target).unwrap());
    });
    let line = format!("unix://{} - - 1 9\n", socket.display());
    let world = commander(&(line + &good.line("-")));
    let slow = world.script("slow", "echo working; echo done > $out", &[]);
    assert_eq!(world.text(&slow), "done\n");
    assert_eq!(world.events.count("warning cannot build on"), 1);
    world.assert_clean();
}

/// Hands on what both sides say until the server speaks of a build; then both ends are cut.
fn relay_until_build(mut client: UnixStream, mut server: UnixStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut buffer, mut said) = ([0; 4096], Vec::new());
    loop {
        let count = server.read(&mut buffer).unwrap();
        said.extend_from_slice(&buffer[..count]);
        if count == 0 || said.windows(7).any(|word| word == b"working") {
            break;
        }
        client.write_all(&buffer[..count]).unwrap();
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}

#[test]
fn this_machine_helps_where_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(dir.path(), "far", u64::MAX);
    let mut world = commander(&far.line("-"));
    world.config.jobs = 1;
    let home = world.derivation(&Recipe {
        name: "home",
        script: "echo home > $out",
        env: &[("preferLocalBuild", "1")],
        ..Recipe::default()
    });
    assert_eq!(world.text(&home), "home\n");
    assert_eq!(far.served.load(Ordering::SeqCst), 0);
    let inputs: Vec<StorePath> =
        (0..20).map(|n| world.script(&format!("n{n}"), "echo > $out", &[])).collect();
    let inputs: Vec<&StorePath> = inputs.iter().collect();
    let all = world.script("all", "echo all > $out", &inputs);
    assert_eq!(world.text(&all), "all\n");
    let there = far.store().valid_paths().unwrap().len();
    assert!(there > 1, "both build");
}

#[test]
fn fixed_outputs_are_checked_when_they_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(dir.path(), "far", u64::MAX);
    let world = commander(&far.line("-"));
    let hash = Hash::of(HashAlgo::Sha256, b"right\n");
    let recipe = |script: &'static str| Recipe {
        name: "fixed",
        script,
        fixed: Some((ContentAddressMethod::Flat, hash)),
        ..Recipe::default()
    };
    let wrong = world.derivation(&recipe("echo wrong > $out"));
    let text = world.build(&wrong).unwrap_err().to_string();
    assert!(text.contains("hash mismatch in fixed-output derivation"), "{text}");
    let right = world.derivation(&recipe("echo right > $out"));
    assert_eq!(world.text(&right), "right\n");
    let info = world.store.path_info(&world.output(&right, "out")).unwrap();
    assert!(info.content_address.is_some_and(|address| address.hash == hash));
}

#[test]
fn every_version_of_the_protocol_copies_and_builds() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    // More than one piece and one frame.
    fs::write(tree.join("large"), vec![b'x'; 700_000]).unwrap();
    let request = picnix_store::AddRequest::source("tree");
    let source = world.store.add_source(&tree, &request, &mut |_, _| Ok(true)).unwrap();
    let drv = world.derivation(&Recipe {
        name: "made",
        script: "echo made > $out",
        sources: &[&source],
        ..Recipe::default()
    });
    let out = world.output(&drv, "out");
    for version in WorkerVersion::OLDEST.minor..=WorkerVersion::LATEST.minor {
        let far = Far::new(dir.path(), &format!("v{version}"), u64::MAX);
        let mut connection = far.connect(version);
        assert_eq!(connection.version().minor, version);
        let report = connection.send(&world.store, &set(&drv), false, &|_| {}).unwrap();
        assert_eq!((report.sent, report.present), (3, 0), "{version}");
        let report = connection.send(&world.store, &set(&drv), false, &|_| {}).unwrap();
        assert_eq!((report.sent, report.present), (0, 3), "{version}");
        let wanted = WantedPath::Built(drv.clone(), WantedOutputs::All);
        connection.build_paths(&[wanted], &mut |_| {}).unwrap();
        let derivation = world.store.read_derivation(&drv).unwrap();
        let result = connection.build_derivation(&drv, &derivation, &mut |_| {}).unwrap();
        assert_eq!(result.status, BuildStatus::AlreadyValid, "{version}");
        assert_eq!(result.outputs.len(), usize::from(version >= 28));
        let near = World::new();
        connection.fetch(&near.store, &set(&out), &|_| true).unwrap();
        assert!(near.store.is_valid(&out).unwrap());
        let refused = connection.fetch(&near.store, &set(&source), &|_| false);
        assert!(matches!(refused, Err(RemoteError::Untrusted { .. })));
        let absent = StorePath::from_parts([1; 20], b"absent").unwrap();
        let missing = connection.fetch(&near.store, &set(&absent), &|_| true);
        assert!(matches!(missing, Err(RemoteError::Missing { .. })), "{version}");
        let report = far.store().verify(Contents::Hashed).unwrap();
        assert!(report.is_sound(), "{version}");
    }
}

#[test]
fn programs_that_are_no_daemons_are_told_apart() {
    let open = |address: &str| {
        let address = RemoteAddress::parse(address).unwrap();
        let opened = Connection::open(&address, &picnix_store_core::StoreDir::default());
        opened.err().unwrap().to_string()
    };
    let text = open("exec:///bin/sh?arg=-c&arg=echo%20Welcome%20to%20this%20machine");
    assert!(
        text.contains("does not speak") && text.contains("Welcome to this"),
        "{text}"
    );
    let text = open("exec:///bin/sh?arg=-c&arg=echo%20no%20such%20key%20%3E%262");
    assert!(
        text.contains("ended unexpectedly") && text.contains("no such key"),
        "{text}"
    );
    let text = open("exec:///no/such/program");
    assert!(text.contains("cannot open a connection"), "{text}");
    let text = open("ssh-ng://localhost?remote-program=/no/such/program");
    assert!(text.contains("/no/such/program"), "{text}");
}

#[test]
fn a_client_that_breaks_the_rules_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(dir.path(), "far", u64::MAX);
    let hello = |extra: &[u64]| {
        let mut stream = UnixStream::connect(&far.socket).unwrap();
        let numbers = [0x6e69_7863, 0x125, 0, 0];
        for number in numbers.iter().chain(extra) {
            stream.write_all(&number.to_le_bytes()).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    };
    assert!(hello(&[]).contains("2.34.8"));
    assert!(hello(&[99]).contains("invalid operation 99"));
    // A string of an absurd length, and one that never comes.
    assert!(hello(&[1, 1 << 50]).contains("longer than"));
    assert!(hello(&[1, 10]).len() > 8);
    let mut stream = UnixStream::connect(&far.socket).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty(), "{said:?}");
}
