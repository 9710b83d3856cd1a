//! The examples, for real: fetched, built, booted, and compared with what the real Nix says.
//!
//! These tests share a store below the target directory, which stays between runs: the seed is fetched
//! once. They run in parallel all the same, as processes that share one store may.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Ran, TestEnvironment, picnix, skip, workspace};

/// The first line of an example that compiles for minutes.
const SLOW: &str = "# slow: builds from source";
/// What no fetch gets past.
const NO_PROXY: &str = "http://127.0.0.1:1";

fn shared() -> TestEnvironment {
    TestEnvironment::sharing_store("examples-store")
}

fn examples() -> Vec<PathBuf> {
    let dir = workspace().join("examples");
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "nix"));
    files.sort();
    files
}

/// Whether an example takes minutes that nobody asked to spend (`PICNIX_SLOW=1` does).
fn is_too_slow(example: &Path) -> bool {
    let text = fs::read_to_string(example).unwrap();
    let is_asked = std::env::var("PICNIX_SLOW").is_ok_and(|value| value == "1");
    text.lines().next() == Some(SLOW) && !is_asked
}

fn hello() -> PathBuf {
    workspace().join("examples/hello.nix")
}

/// Runs picnix with the network; where that is what fails, says so.
fn run_online(env: &TestEnvironment, args: &[&str], config: &Path) -> Ran {
    let mut command = env.online(args.iter().copied());
    let ran = env.run(command.arg(config));
    assert!(
        !ran.stderr.contains("unable to download "),
        "the seed cannot be fetched, and this test needs it: connect this machine to the network, \
         or name a Debian mirror in PICNIX_DEBIAN_MIRRORS\n{}",
        ran.stderr
    );
    ran
}

/// What `picnix image --json` of an example says.
fn image(env: &TestEnvironment) -> serde_json::Value {
    let ran = run_online(env, &["image", "--format", "initramfs", "--json"], &hello());
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn every_example_declares_tests() {
    let env = TestEnvironment::new();
    for example in examples() {
        let expr = format!(
            "builtins.attrNames (import <picnix> {{ configuration = /. + {:?}; }}).config.tests",
            example.to_str().unwrap()
        );
        let names = env.succeeds(&["eval", "--json", "-E", &expr]);
        let names: Vec<String> = serde_json::from_str(&names).unwrap();
        assert!(!names.is_empty(), "{} declares no tests", example.display());
    }
}

/// Boots an example and runs its tests.
fn boots(env: &TestEnvironment, args: &[&str], example: &Path) {
    let args: Vec<&str> = ["test"].iter().chain(args).copied().collect();
    let ran = run_online(env, &args, example);
    assert_eq!(ran.code, 0, "{}: {ran:?}", example.display());
    let verdict = ran.stdout.lines().last().unwrap_or_default();
    let tests = ran.stdout.matches(" ... ok (").count();
    assert!(tests > 0, "{ran:?}");
    assert_eq!(verdict, format!("{tests} passed, 0 failed"));
}

#[test]
fn every_example_boots_and_passes_its_tests() {
    let env = shared();
    for example in examples() {
        if is_too_slow(&example) {
            let why = format!("{} builds from source: PICNIX_SLOW=1", example.display());
            skip("every_example_boots_and_passes_its_tests", &why);
            continue;
        }
        boots(&env, &[], &example);
    }
}

#[test]
fn examples_boot_on_every_device_that_they_are_recorded_for() {
    let env = shared();
    for line in Recorded::all().iter().filter(|line| line.device.is_some()) {
        if is_too_slow(&line.example) {
            let why = format!("{} builds from source: PICNIX_SLOW=1", line.name());
            skip("examples_boot_on_every_device_that_they_are_recorded_for", &why);
            continue;
        }
        boots(&env, &line.device_args(), &line.example);
    }
}

/// The devices whose boards U-Boot starts on.
const UBOOT_DEVICES: [&str; 5] =
    ["qemu-aarch64", "qemu-armv7l", "qemu-mips", "qemu-mipsel", "qemu-riscv64"];

#[test]
fn u_boot_starts_the_smallest_example_on_every_board() {
    let env = shared();
    let example = workspace().join("examples/tiny.nix");
    if is_too_slow(&example) {
        let why = format!("{} builds from source: PICNIX_SLOW=1", example.display());
        skip("u_boot_starts_the_smallest_example_on_every_board", &why);
        return;
    }
    let text = format!(
        "{{ imports = [ {} ]; virtualisation.format = \"uboot\"; }}",
        example.display()
    );
    let config = env.write("uboot.nix", text);
    for device in UBOOT_DEVICES {
        boots(&env, &["--device", device], &config);
    }
}

#[test]
fn run_boots_with_the_console_on_its_pipes_and_ends_with_the_guest() {
    let env = shared();
    let mut command = env.online(["run"]);
    let mut child = command
        .arg(hello())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("http://127.0.0.1:") && !said.contains("127.0.0.1:") {
        if stderr.read_line(&mut said).unwrap() == 0 {
            break;
        }
    }
    assert!(said.contains("127.0.0.1:"), "no forwarded port is printed: {said}");
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).map(|_| rest)
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut console = Vec::new();
    let mut input = child.stdin.take().unwrap();
    while !String::from_utf8_lossy(&console).contains("hello from picnix") {
        let read = stdout.read_until(b'\n', &mut console).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&console));
    }
    input.write_all(b"poweroff\n").unwrap();
    stdout.read_to_end(&mut console).unwrap();
    let status = child.wait().unwrap();
    let console = String::from_utf8_lossy(&console);
    assert!(status.success(), "{status}: {console}\n{}", rest.join().unwrap().unwrap());
}

#[test]
fn a_second_image_needs_no_network() {
    let env = shared();
    let first = image(&env);
    let mut command = env.picnix(["image", "--format", "initramfs", "--json"]);
    for variable in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(variable, NO_PROXY);
    }
    let ran = env.run(command.arg(hello()).env("PICNIX_DEBIAN_MIRRORS", NO_PROXY));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap(), first);
    // The shape that other programs read.
    assert!(first["path"].as_str().unwrap().starts_with("/nix/store/"), "{first}");
    let files = first["files"].as_array().unwrap();
    let sizes = files.iter().map(|file| file["size_bytes"].as_u64().unwrap());
    assert_eq!(first["total_bytes"].as_u64().unwrap(), sizes.sum::<u64>());
    assert!(files.iter().all(|file| !file["name"].as_str().unwrap().is_empty()));
}

#[test]
fn a_guest_that_never_says_its_line_fails_with_timeout_and_transcript() {
    let env = shared();
    let config = env.write(
        "never.nix",
        "{\n  tests.never = {\n    timeout = 2;\n    steps = [ { waitFor = \"no such line\"; } ];\n  \
         };\n}\n",
    );
    let ran = run_online(&env, &["test"], &config);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("test never ... FAILED ("), "{ran:?}");
    assert!(ran.stdout.ends_with("\n0 passed, 1 failed\n"), "{ran:?}");
    assert!(
        ran.stderr.contains("step 1 (wait for \"no such line\"): the guest did not "),
        "{ran:?}"
    );
    assert!(ran.stderr.contains(" in time; its last lines were:\n"), "{ran:?}");
    let transcript =
        ran.stderr.lines().find_map(|line| line.strip_prefix("transcript: "));
    let transcript = transcript.expect("the transcript is named");
    let transcript = transcript.replace("$DIR", env.dir().to_str().unwrap());
    let transcript = transcript.replace("$SRC", workspace().to_str().unwrap());
    assert!(Path::new(&transcript).exists(), "{transcript}");
}

#[test]
fn a_test_that_is_not_declared_is_refused_with_those_that_are() {
    let env = shared();
    let mut command = env.online(["test"]);
    let ran = env.run(command.arg(hello()).arg("shel"));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.ends_with(
            "error: there is no test 'shel'\nhint: there are: page, power-off, shell\n"
        ),
        "{ran:?}"
    );
}

#[test]
fn two_stores_get_the_same_image() {
    let first = shared();
    let built = image(&first);
    let second = TestEnvironment::new();
    let port = serve_objects(&first.store);
    let mirror = format!("http://127.0.0.1:{port}");
    let mut command =
        second.picnix(["image", "--format", "initramfs", "--json", "-j", "1"]);
    let ran = second.run(command.arg(hello()).env("PICNIX_DEBIAN_MIRRORS", mirror));
    assert_eq!(ran.code, 0, "{ran:?}");
    let again: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(again["files"], built["files"]);
    let name = built["path"].as_str().unwrap().strip_prefix("/nix/store/").unwrap();
    let object = only_object(&second, name);
    for file in built["files"].as_array().unwrap() {
        let file = Path::new("nix/store").join(name).join(file["name"].as_str().unwrap());
        let bytes = |env: &TestEnvironment| {
            let image = env.store.join("nix/store").join(&object);
            fs::read(image.join(file.file_name().unwrap())).unwrap()
        };
        assert!(bytes(&first) == bytes(&second), "{} differs", file.display());
    }
    second.assert_store_is_sound();
}

/// Whether an image is more than one part in a hundred larger than it was.
fn has_grown(before: u64, now: u64) -> bool {
    now.saturating_mul(100) > before.saturating_mul(101)
}

#[test]
fn one_part_in_a_hundred_is_growth() {
    assert!(!has_grown(1000, 1010));
    assert!(has_grown(1000, 1011));
    assert!(!has_grown(1000, 1));
}

/// A line of examples.sizes: what an image was when somebody last looked.
struct Recorded {
    example: PathBuf,
    /// Nothing where it is the default one.
    device: Option<String>,
    format: String,
    bytes: u64,
}

impl Recorded {
    /// Reads "EXAMPLE FORMAT BYTES" or "EXAMPLE@DEVICE FORMAT BYTES".
    fn parse(line: &str) -> Self {
        let [name, format, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("examples.sizes: {line}")
        };
        let (name, device) = match name.split_once('@') {
            Some((name, device)) => (name, Some(device.to_owned())),
            None => (name, None),
        };
        let example = workspace().join(format!("examples/{name}.nix"));
        Self { example, device, format: format.to_owned(), bytes: bytes.parse().unwrap() }
    }

    fn all() -> Vec<Self> {
        let file = workspace().join("crates/cli/tests/examples.sizes");
        let text = fs::read_to_string(file).unwrap();
        text.lines().filter(|l| !l.starts_with('#')).map(Self::parse).collect()
    }

    /// The arguments that name the device.
    fn device_args(&self) -> Vec<&str> {
        self.device.iter().flat_map(|device| ["--device", device]).collect()
    }

    fn name(&self) -> String {
        let stem = self.example.file_stem().unwrap().to_str().unwrap();
        let device = self.device.as_deref().unwrap_or("the default device");
        format!("{stem} on {device} ({})", self.format)
    }
}

#[test]
fn no_image_has_grown() {
    let env = shared();
    let lines = Recorded::all();
    for example in examples() {
        let is_recorded = lines.iter().any(|line| line.example == example);
        let name = example.display();
        assert!(is_recorded, "crates/cli/tests/examples.sizes lacks {name}");
    }
    for line in lines {
        if is_too_slow(&line.example) {
            let why = format!("{} builds from source: PICNIX_SLOW=1", line.name());
            skip("no_image_has_grown", &why);
            continue;
        }
        let mut args = vec!["image", "--format", &line.format, "--json"];
        args.extend(line.device_args());
        let ran = run_online(&env, &args, &line.example);
        assert_eq!(ran.code, 0, "{ran:?}");
        let now: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let now = now["total_bytes"].as_u64().unwrap();
        let (before, name) = (line.bytes, line.name());
        assert!(!has_grown(before, now), "{name} grew from {before} to {now}");
        // A record that is too high would let the next one grow unseen.
        assert!(
            !has_grown(now, before),
            "{name} shrank from {before} to {now}: write that into crates/cli/tests/examples.sizes"
        );
    }
}

/// The one object of a new store that has this name; in another, it has the same digest.
fn only_object(env: &TestEnvironment, name: &str) -> OsString {
    let plain = name.strip_prefix("<digest>").expect("digests are made equal");
    let entries = fs::read_dir(env.store.join("nix/store")).unwrap();
    let mut names: Vec<OsString> = entries.map(|e| e.unwrap().file_name()).collect();
    names.retain(|found| {
        let found = found.to_str().unwrap();
        found.ends_with(plain) && found.len() == plain.len() + 32
    });
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// Serves the packages that lie in a store to another one, by their file names.
fn serve_objects(store: &Path) -> u16 {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(store.join("nix/store")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name.contains(".deb") && !name.ends_with(".drv") {
            objects.insert(name.split_once('-').unwrap().1.to_owned(), path);
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let objects = std::sync::Arc::new(objects);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let objects = std::sync::Arc::clone(&objects);
            std::thread::spawn(move || serve(&mut stream.unwrap(), &objects));
        }
    });
    port
}

/// Answers one request; a client that hangs up is no matter.
fn serve(stream: &mut TcpStream, objects: &BTreeMap<String, PathBuf>) {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let _ = reader.read_line(&mut line);
    let mut header = String::from("x");
    while !header.trim().is_empty() {
        header.clear();
        if reader.read_line(&mut header).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let name =
        path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    // Names in a store have other letters for some.
    let wanted = name.replace("%2b", "+").replace("%3a", ":");
    let found = objects.iter().find(|(object, _)| {
        let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "");
        plain(object) == plain(&wanted)
    });
    let _ = match found {
        Some((_, path)) => {
            let bytes = fs::read(path).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes))
        }
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    };
}

/// The real Nix's `nix-instantiate`, if there is one.
fn peer() -> Option<Vec<String>> {
    let prefix = std::env::var("PICNIX_PEER_NIX").unwrap_or_default();
    let mut words: Vec<String> = prefix.split_whitespace().map(str::to_owned).collect();
    words.push("nix-instantiate".to_owned());
    let mut probe = Command::new(&words[0]);
    let output = probe.args(&words[1..]).args(["--eval", "-E", "1"]).output();
    output.is_ok_and(|output| output.status.success()).then_some(words)
}

#[test]
fn derivations_of_the_examples_are_those_of_the_real_nix() {
    let Some(peer) = peer() else {
        skip(
            "derivations_of_the_examples_are_those_of_the_real_nix",
            "there is no 'nix-instantiate'; PICNIX_PEER_NIX may name a command to run it with",
        );
        return;
    };
    for example in examples() {
        let example = example.strip_prefix(workspace()).unwrap().to_owned();
        let arguments = |command: &mut Command| {
            let output = command
                .args(["default.nix", "--arg", "configuration"])
                .arg(Path::new(".").join(&example))
                .args(["-A", "config.system.build.images.initramfs"])
                .current_dir(workspace())
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {errors}");
            String::from_utf8(output.stdout).unwrap()
        };
        let theirs = arguments(Command::new(&peer[0]).args(&peer[1..]));
        let env = TestEnvironment::new();
        let ours = arguments(env.program(picnix()).arg("instantiate"));
        assert_eq!(ours, theirs, "{}", example.display());
    }
}
