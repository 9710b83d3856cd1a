//! Real machines: a kernel with a static busybox, booted, typed at and powered off.
//!
//! Needs an emulator, a kernel and a static busybox: those that `PICNIX_QEMU_TREE`,
//! `PICNIX_KERNEL` and `PICNIX_BUSYBOX` name, or the system's. Where one is missing the tests say
//! so and pass; the workspace's boot tests of the examples, which build their own, always run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test: what it needs is there or its skip must be seen"
)]

use picnix_image::{
    Compression, DeviceNumber, ImagePath, ImageTree, Metadata, Node, WriteOptions,
    XzFilter, find_format,
};
use picnix_vm::{
    Accel, BootTest, Ending, Machine, RunnerOptions, StartOptions, Stdio, TestFailure,
    TestPlan, VmError, VmSpec, run_test,
};
use std::io::{Cursor, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

const INIT: &str = r"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /www
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
echo '<h1>hello over nothing</h1>' > /www/index.html
echo 'hello from the test guest'
exec setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
";

/// Where Debian keeps libraries.
const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// What a boot needs.
struct Parts {
    qemu: PathBuf,
    kernel: PathBuf,
    busybox: PathBuf,
}

fn find_parts() -> Option<Parts> {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    let there = |path: PathBuf| path.exists().then_some(path);
    let system_kernel = || {
        let mut kernels: Vec<_> = std::fs::read_dir("/boot")
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().contains("/vmlinuz"))
            .collect();
        kernels.sort();
        kernels.pop()
    };
    let program = "usr/bin/qemu-system-x86_64";
    let qemu = named("PICNIX_QEMU_TREE").unwrap_or_else(|| "/".into());
    let parts = (
        there(qemu.join(program)).map(|_| qemu),
        named("PICNIX_KERNEL").or_else(system_kernel).and_then(there),
        there(named("PICNIX_BUSYBOX").unwrap_or_else(|| "/bin/busybox".into())),
    );
    if let (Some(qemu), Some(kernel), Some(busybox)) = parts {
        return Some(Parts { qemu, kernel, busybox });
    }
    eprintln!(
        "SKIPPED: no boot without emulator, kernel and static busybox; set \
         PICNIX_QEMU_TREE, PICNIX_KERNEL and PICNIX_BUSYBOX"
    );
    None
}

/// Writes an image with this init into a directory and describes the machine.
fn make_spec(dir: &Path, parts: &Parts, init: &str) -> VmSpec {
    let mut tree = ImageTree::new();
    let mut add = |at: &str, node, mode| {
        let path = ImagePath::parse(at).unwrap();
        tree.insert(path, node, Metadata::new(mode), "the boot test").unwrap();
    };
    let console = DeviceNumber { major: 5, minor: 1 };
    add("/dev/console", Node::CharacterDevice(console), 0o600);
    let serial = DeviceNumber { major: 4, minor: 64 };
    add("/dev/ttyS0", Node::CharacterDevice(serial), 0o600);
    add("/dev/null", Node::CharacterDevice(DeviceNumber { major: 1, minor: 3 }), 0o666);
    add("/bin/busybox", Node::bytes(std::fs::read(&parts.busybox).unwrap()), 0o755);
    add("/init", Node::bytes(init), 0o755);
    let mut image = Vec::new();
    let options = WriteOptions::new(Compression::Xz(XzFilter::None));
    let format = find_format("initramfs", 1).unwrap();
    format.write(&tree, &options, &mut image).unwrap();
    std::fs::write(dir.join("initramfs.cpio.xz"), image).unwrap();
    std::fs::copy(&parts.kernel, dir.join("bzImage")).unwrap();
    let json = format!(
        r#"{{"format": "initramfs", "qemu": {:?}, "memoryMiB": 128, "image": {:?},
            "loader": "{LIB}/ld-linux-x86-64.so.2", "libraryPath": ["{LIB}"],
            "moduleDir": "{LIB}/qemu",
            "dataDirs": ["usr/share/qemu", "usr/share/seabios"],
            "kernel": "bzImage", "initramfs": "initramfs.cpio.xz",
            "kernelParams": ["console=ttyS0", "panic=-1", "quiet"],
            "forwardPorts": [{{"guestPort": 80}}]}}"#,
        parts.qemu, dir
    );
    VmSpec::parse(&json).unwrap()
}

fn run(spec: &VmSpec, dir: &Path, plan: &str) -> Option<TestFailure> {
    let plan = TestPlan::parse(plan).unwrap();
    let options =
        RunnerOptions { accel: Some(Accel::Tcg), user_args: &[], transcript_dir: dir };
    let (name, test): (&String, &BootTest) = plan.tests.first_key_value().unwrap();
    run_test(spec, name, test, &options).failure
}

#[test]
fn a_system_boots_answers_and_powers_off() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    let spec = make_spec(dir.path(), &parts, INIT);
    let plan = r#"{"boots": {"timeoutSeconds": 300, "steps": [
        {"type": "waitFor", "line": "hello from the test guest"},
        {"type": "run", "command": "echo $((6 * 7)); uname -m", "expect": "42\nx86_64"},
        {"type": "run", "command": "cat /www/index.html", "expect": "<h1>hello over nothing</h1>\n"},
        {"type": "run", "command": "for i in 1 2 3; do\n  echo \"it's $i\" >&2\ndone", "expect": "it's 1\nit's 2\nit's 3"}
    ]}}"#;
    let failure = run(&spec, dir.path(), plan);
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert!(!dir.path().join("boots.log").exists());
}

#[test]
fn failing_steps_are_reported_with_their_transcript() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    let spec = make_spec(dir.path(), &parts, INIT);
    let plan = r#"{"t": {"steps": [
        {"type": "waitFor", "line": "hello"},
        {"type": "run", "command": "echo -n a; echo b", "expect": "c"}]}}"#;
    let failure = run(&spec, dir.path(), plan).unwrap();
    assert_eq!(failure.step.as_ref().unwrap().0, 2);
    assert!(matches!(&failure.error, VmError::Unexpected { expected, actual }
        if expected == "c" && actual == "ab"));
    let transcript = std::fs::read_to_string(failure.transcript.unwrap()).unwrap();
    assert!(transcript.contains("hello from the test guest"));
}

#[test]
fn a_guest_that_dies_is_not_waited_for() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    // An init that ends makes the kernel panic.
    let spec = make_spec(dir.path(), &parts, "#!/bin/busybox true\n");
    for steps in
        [r#"{"type": "waitFor", "line": "never"}"#, r#"{"type": "fetch", "port": 80}"#]
    {
        let plan = format!(r#"{{"t": {{"timeoutSeconds": 600, "steps": [{steps}]}}}}"#);
        let failure = run(&spec, dir.path(), &plan).unwrap();
        assert!(matches!(failure.error, VmError::Ended { .. }), "{failure}");
        assert!(failure.to_string().contains("Attempted to kill init"), "{failure}");
    }
}

#[test]
fn a_guest_that_never_boots_is_an_error_with_its_last_lines() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    let init = INIT.replace("exec setsid", "sleep 100000; exec setsid");
    let spec = make_spec(dir.path(), &parts, &init);
    let plan = r#"{"t": {"timeoutSeconds": 8, "steps": [
        {"type": "run", "command": "true"}]}}"#;
    let failure = run(&spec, dir.path(), plan).unwrap();
    assert!(matches!(failure.error, VmError::Timeout { .. }), "{failure}");
    assert!(failure.transcript.unwrap().exists());
}

#[test]
fn a_machine_on_pipes_runs_what_is_piped_in() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut spec = make_spec(dir.path(), &parts, INIT);
    // A wanted port that is taken gives way to another.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    spec.forward_ports[0].host_port = Some(taken.local_addr().unwrap().port());
    let options =
        StartOptions { accel: Some(Accel::Tcg), console: Stdio::Pipes, user_args: &[] };
    let machine = Machine::start(&spec, &options).unwrap();
    assert_ne!(machine.forwards()[0].host_port, taken.local_addr().unwrap().port());
    let mut output = Vec::new();
    let input = Cursor::new(b"echo to''gether; sync; poweroff -f\n".to_vec());
    let ending = machine.run_on_pipes(input, &mut output).unwrap();
    output.flush().unwrap();
    let output = String::from_utf8_lossy(&output);
    assert_eq!(ending, Ending::PoweredOff, "{output}");
    assert!(output.contains("together"), "{output}");
}

#[test]
fn arguments_that_qemu_refuses_are_its_words() {
    let Some(parts) = find_parts() else { return };
    let dir = tempfile::tempdir().unwrap();
    let spec = make_spec(dir.path(), &parts, INIT);
    let options = StartOptions {
        accel: Some(Accel::Tcg),
        console: Stdio::Pipes,
        user_args: &["-no-such-option".to_owned()],
    };
    let Err(VmError::Qemu { said, .. }) = Machine::start(&spec, &options) else {
        panic!("it started");
    };
    assert!(said.contains("-no-such-option"), "{said}");
}
