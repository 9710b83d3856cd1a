//! How a box runs and ends: exit codes, logs, limits, kills.

#![expect(unsafe_code, reason = "`pre_exec` has no safe form")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Place, explain, run};
use picnix_sandbox::{
    BuildFile, Error, HostPath, Input, Network, Status, remove_tree, start,
};
use picnix_testkit::again_as_user;

/// Set for tests that others start in namespaces of their own.
const CONTAINED: &str = "PICNIX_TEST_CONTAINED";

/// What the box does; runs inside. As a test of its own it does nothing.
#[test]
fn inside() {
    let Ok(what) = std::env::var("PICNIX_INSIDE") else { return };
    match what.as_str() {
        "exit 7" => std::process::exit(7),
        "abort" => {
            // The first process of a namespace ignores signals it does not handle.
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::USR1,
            )
            .unwrap();
            std::process::exit(9);
        }
        "output" => {
            assert_eq!(fs::read_to_string("/build/given").unwrap(), "some text");
            fs::create_dir("/nix/store/out").unwrap();
            fs::write("/nix/store/out/file", "made in a box").unwrap();
            println!("cwd {:?}", std::env::current_dir().unwrap());
            let mut stdin = String::new();
            std::io::stdin().read_to_string(&mut stdin).unwrap();
            println!("stdin {stdin:?}");
            let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            names.sort();
            println!("env {}", names.join(" "));
        }
        "chatter" => loop {
            println!("another line of the log");
        },
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(1000));
        },
        "hold" | "orphan" => hold(&what),
        "network" => {
            println!("resolv {}", fs::exists("/etc/resolv.conf").unwrap());
            let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            println!("heard {text}");
        }
        "list processes" => {
            for entry in fs::read_dir("/proc").unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.bytes().all(|b| b.is_ascii_digit()) {
                    println!("process {name}");
                }
            }
            println!("mode {:o}", fs::metadata("/tmp").unwrap().permissions().mode());
        }
        other => limited(other),
    }
}

/// Tasks that meet limits, or what was given.
fn limited(what: &str) {
    match what {
        "fill" => {
            let block = vec![1; 1 << 20];
            fs::create_dir("/nix/store/out").unwrap();
            for number in 0..64 {
                fs::write(format!("/nix/store/out/{number}"), &block).unwrap();
            }
            if std::env::var_os("STAYS").is_some() {
                loop {
                    std::thread::sleep(Duration::from_secs(1000));
                }
            }
        }
        "touch memory" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            for _ in 0..512 {
                all.push(vec![1; 1 << 20]);
            }
            println!("has {} MiB", all.len());
        }
        "many processes" => {
            let mut children = Vec::new();
            for _ in 0..50 {
                let mut command = Command::new("/proc/self/exe");
                command.args(["inside", "--exact"]).env("PICNIX_INSIDE", "sleep");
                children.push(command.spawn().unwrap());
            }
        }
        "host paths" => {
            println!("given {}", fs::read_to_string("/given/file").unwrap());
            println!("link {:?}", fs::read_link("/opt/link").unwrap());
            println!("absent {}", fs::exists("/absent").unwrap());
            fs::write("/shared/file", "from the box").unwrap();
        }
        other => panic!("unknown task {other}"),
    }
}

/// Holds a lock for ever (nobody waits for an orphan: that is the point); as an orphan: in a process that its parent leaves behind.
#[expect(clippy::zombie_processes, reason = "the orphan is to be left behind")]
fn hold(what: &str) {
    if what == "orphan" {
        let mut child = Command::new("/proc/self/exe")
            .args(["inside", "--exact", "--nocapture"])
            .env("PICNIX_INSIDE", "hold")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("locked")));
        return;
    }
    let file = fs::File::create("/build/lock").unwrap();
    file.lock().unwrap();
    println!("locked");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let place = Place::new();
    let (exit, _) = run(&place.spec("a", "exit 7"));
    assert_eq!(exit.status, Status::Code(7));
    let (exit, _) = run(&place.spec("b", "abort"));
    assert_eq!(exit.status, Status::Code(9), "pid 1 survives a signal it sends itself");
}

#[test]
fn outputs_appear_on_the_host_and_the_environment_is_exact() {
    let place = Place::new();
    let mut spec = place.spec("a", "output");
    spec.build_files =
        vec![BuildFile { name: "given".into(), contents: b"some text".to_vec() }];
    let (exit, log) = run(&spec);
    assert_eq!(exit.status, Status::Code(0), "{log}");
    let made = fs::read_to_string(spec.outputs_dir().join("out/file")).unwrap();
    assert_eq!(made, "made in a box");
    assert!(log.contains("cwd \"/build\"\n"), "{log}");
    assert!(log.contains("stdin \"\"\n"), "{log}");
    assert!(log.contains("env LD_LIBRARY_PATH PICNIX_INSIDE\n"), "{log}");
    picnix_sandbox::take_ownership(&spec.outputs_dir().join("out")).unwrap();
    remove_tree(&spec.work_dir).unwrap();
    assert!(!spec.work_dir.exists());
}

#[test]
fn limits_end_a_box() {
    let place = Place::new();
    let mut spec = place.spec("wall", "sleep");
    spec.limits.wall = Some(Duration::from_millis(50));
    assert_eq!(run(&spec).0.status, Status::WallTimeout);

    let mut spec = place.spec("silence", "sleep");
    spec.limits.silence = Some(Duration::from_millis(50));
    assert_eq!(run(&spec).0.status, Status::SilenceTimeout);

    let mut spec = place.spec("log", "chatter");
    spec.limits.log_bytes = Some(100_000);
    let (exit, _) = run(&spec);
    assert_eq!(exit.status, Status::LogTooLarge);
    assert_eq!(exit.tail.len(), 25);
}

#[test]
fn outputs_may_be_limited() {
    let place = Place::new();
    for (name, stays) in [("stays", true), ("ends", false)] {
        let mut spec = place.spec(name, "fill");
        spec.limits.output_bytes = Some(16 << 20);
        if stays {
            spec.env.push(("STAYS".into(), "1".into()));
        }
        let (exit, log) = run(&spec);
        assert_eq!(exit.status, Status::OutputTooLarge, "{name}: {log}");
    }
    let mut spec = place.spec("fits", "fill");
    spec.limits.output_bytes = Some(128 << 20);
    let (exit, log) = run(&spec);
    assert_eq!(exit.status, Status::Code(0), "{log}");
}

#[test]
fn memory_and_processes_of_a_whole_box_are_limited_where_there_are_control_groups() {
    let place = Place::new();
    // Both limits at once: a process is in one group only where the hierarchy is one.
    for (name, processes) in [("memory", None), ("both", Some(20))] {
        let mut spec = place.spec(name, "touch memory");
        spec.limits.memory_bytes = Some(256 << 20);
        spec.limits.processes = processes;
        let (exit, log) = run(&spec);
        match exit.status {
            Status::OutOfMemory => {}
            // Without a group the address space is limited, and the allocation fails.
            Status::Signal(_) | Status::Code(101) => {
                println!("SKIPPED: no control group is to be had here: {log}");
            }
            other => panic!("{name}: {other:?}: {log}"),
        }
    }
    let mut spec = place.spec("enough", "touch memory");
    spec.limits.memory_bytes = Some(4 << 30);
    let (exit, log) = run(&spec);
    assert!(log.contains("has 512 MiB"), "{:?}: {log}", exit.status);
    for (name, memory_bytes) in [("processes", None), ("with memory", Some(4 << 30))] {
        let mut spec = place.spec(name, "many processes");
        spec.limits.processes = Some(20);
        spec.limits.memory_bytes = memory_bytes;
        let (exit, log) = run(&spec);
        assert_ne!(exit.status, Status::Code(0), "{name}: {log}");
    }
    let left = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let groups = left.lines().filter(|line| line.contains(" - cgroup"));
    for group in groups.filter_map(|line| line.split(' ').nth(4)) {
        let ours = format!("picnix-{}-", std::process::id());
        let names = fs::read_dir(group).into_iter().flatten().flatten();
        let mut names = names.map(|entry| entry.file_name().into_string().unwrap());
        assert!(!names.any(|name| name.starts_with(&ours)), "{group} was not cleared");
    }
}

#[test]
fn what_the_user_gives_of_the_host_is_there() {
    let place = Place::new();
    let given = place.dir.path().join("given");
    let shared = place.dir.path().join("shared");
    for dir in [&given, &shared] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    fs::write(given.join("file"), "a gift").unwrap();
    let link = place.dir.path().join("link");
    std::os::unix::fs::symlink("/given", &link).unwrap();
    let path = |physical: std::path::PathBuf, logical: &str, is_optional| HostPath {
        physical,
        logical: logical.into(),
        is_optional,
    };
    let mut spec = place.spec("a", "host paths");
    spec.host_paths = vec![
        path(given.clone(), "/given", false),
        path(shared.clone(), "/shared", false),
        path(link, "/opt/link", false),
        path(given.join("absent"), "/absent", true),
    ];
    let (exit, log) = run(&spec);
    assert_eq!(exit.status, Status::Code(0), "{log}");
    for line in ["given a gift", "link \"/given\"", "absent false"] {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "from the box");
    let mut spec = place.spec("b", "exit 7");
    spec.host_paths = vec![path(given.join("absent"), "/absent", false)];
    assert!(explain(&start(&spec).unwrap_err()).contains("absent"));
    for (number, bad) in ["/", "/nix/store/x", "/proc", "/a/../b"].into_iter().enumerate()
    {
        let mut spec = place.spec(&format!("bad-{number}"), "exit 7");
        spec.host_paths = vec![path(given.clone(), bad, false)];
        assert!(matches!(start(&spec).unwrap_err(), Error::HostPath(_)), "{bad}");
    }
}

#[test]
fn a_killer_ends_a_box_from_another_thread() {
    let place = Place::new();
    let running = start(&place.spec("a", "sleep")).unwrap();
    let killer = running.killer();
    let thread = std::thread::spawn(move || killer.kill());
    assert_eq!(running.wait(&mut |_| {}).unwrap().status, Status::Killed);
    thread.join().unwrap();
}

#[test]
fn processes_left_behind_die_with_the_box() {
    let place = Place::new();
    let spec = place.spec("a", "orphan");
    let (exit, log) = run(&spec);
    assert_eq!(exit.status, Status::Code(0), "{log}");
    let lock = fs::File::open(spec.build_dir().join("lock")).unwrap();
    assert!(lock.try_lock().is_ok(), "the orphan still holds its lock");
}

/// The process that [`a_killed_picnix_takes_its_boxes_along`] kills.
/// As a test of its own it does nothing.
#[test]
fn parent() {
    let Some(work_dir) = std::env::var_os("PICNIX_WORK_DIR") else { return };
    let place = Place::new();
    let mut spec = place.spec("a", "hold");
    spec.work_dir = work_dir.into();
    start(&spec)
        .unwrap()
        .wait(&mut |line| println!("{}", String::from_utf8_lossy(line)))
        .unwrap();
}

#[test]
fn a_killed_picnix_takes_its_boxes_along() {
    let work = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["parent", "--exact", "--nocapture"])
        .env("PICNIX_WORK_DIR", work.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("locked")));
    parent.kill().unwrap();
    parent.wait().unwrap();
    // Blocks until the holder is gone.
    fs::File::open(work.path().join("build/lock")).unwrap().lock().unwrap();
}

#[test]
fn the_network_is_there_when_asked_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
    let place = Place::new();
    let mut spec = place.spec("a", "network");
    spec.network = Network::Host;
    spec.env.push(("PORT".into(), port.to_string().into()));
    let (exit, log) = run(&spec);
    assert_eq!(exit.status, Status::Code(0), "{log}");
    assert!(log.contains("heard hello\n"), "{log}");
    let expected = format!("resolv {}\n", fs::exists("/etc/resolv.conf").unwrap());
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn mistakes_are_named() {
    let place = Place::new();
    let mut spec = place.spec("a", "exit 7");
    spec.program = "/nix/store/absent".into();
    let error = start(&spec).unwrap_err();
    assert!(matches!(error, Error::Execute { .. }));
    assert_eq!(
        explain(&error),
        "cannot execute \"/nix/store/absent\" in the build box: No such file or directory \
         (os error 2)"
    );
    let mut spec = place.spec("b", "exit 7");
    spec.inputs
        .push(Input { physical: place.exe.clone(), logical: "/nix/store/a/b".into() });
    assert!(matches!(start(&spec).unwrap_err(), Error::InputOutsideStore { .. }));
    let mut spec = place.spec("c", "exit 7");
    let logical = "/nix/store/b".into();
    spec.inputs.push(Input { physical: place.dir.path().join("nothing"), logical });
    assert!(explain(&start(&spec).unwrap_err()).contains("nothing"));
}

/// Runs in a user namespace that permits no further ones. As a test of its own it does nothing.
#[test]
fn without_namespaces() {
    if std::env::var_os(CONTAINED).is_none() {
        return;
    }
    let place = Place::new();
    let error = start(&place.spec("a", "exit 7")).unwrap_err();
    println!("said: {}", explain(&error));
}

#[test]
fn refused_namespaces_name_the_setting() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["without_namespaces", "--exact", "--nocapture"]).env(CONTAINED, "1");
    let restrict = || {
        // SAFETY: a new user namespace changes no descriptor and no memory.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER)? };
        let file = rustix::fs::open(
            c"/proc/sys/user/max_user_namespaces",
            rustix::fs::OFlags::WRONLY,
            rustix::fs::Mode::empty(),
        )?;
        rustix::io::write(file, b"0")?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    let output = unsafe { command.pre_exec(restrict) }.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("the kernel setting user.max_user_namespaces is 0")
            && text.contains("sysctl -w user.max_user_namespaces=15000"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs as root of a small user namespace, whose `/proc` is partly hidden. As a test of its own it
/// does nothing.
#[test]
fn with_hidden_proc() {
    if std::env::var_os(CONTAINED).is_none() {
        return;
    }
    let place = Place::new();
    let (exit, log) = run(&place.spec("a", "list processes"));
    println!("ended {:?}\n{log}", exit.status);
}

#[test]
fn a_container_that_hides_parts_of_proc_is_enough() {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {uid} 1")),
        (c"/proc/self/gid_map", format!("0 {gid} 1")),
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["with_hidden_proc", "--exact", "--nocapture"]).env(CONTAINED, "1");
    let contain = move || {
        let flags =
            rustix::thread::UnshareFlags::NEWUSER | rustix::thread::UnshareFlags::NEWNS;
        // SAFETY: new namespaces change no descriptor and no memory.
        unsafe { rustix::thread::unshare_unsafe(flags)? };
        for (path, text) in &maps {
            let flags = rustix::fs::OFlags::WRONLY;
            let file = rustix::fs::open(*path, flags, rustix::fs::Mode::empty())?;
            rustix::io::write(file, text.as_bytes())?;
        }
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount(c"tmpfs", c"/proc/fs", c"tmpfs", flags, None)?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    let output = unsafe { command.pre_exec(contain) }.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("ended Code(0)"), "{text}{errors}");
    assert!(text.contains("mode 41777"), "{text}");
    let others =
        text.lines().filter(|l| l.contains("process ") && !l.ends_with("process 1"));
    assert_eq!(others.count(), 0, "{text}");
}

#[test]
fn many_boxes_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..4 {
                    let spec = place.spec(&format!("{thread}-{round}"), "exit 7");
                    assert_eq!(run(&spec).0.status, Status::Code(7));
                }
            });
        }
    });
}

#[test]
fn all_of_this_holds_for_a_user() {
    again_as_user(&[
        "exit_codes_and_signals_are_told_apart",
        "outputs_appear_on_the_host_and_the_environment_is_exact",
        "limits_end_a_box",
        "a_killer_ends_a_box_from_another_thread",
        "processes_left_behind_die_with_the_box",
        "a_killed_picnix_takes_its_boxes_along",
        "the_network_is_there_when_asked_for",
        "refused_namespaces_name_the_setting",
        "a_container_that_hides_parts_of_proc_is_enough",
        "many_boxes_at_once",
        "outputs_may_be_limited",
        "memory_and_processes_of_a_whole_box_are_limited_where_there_are_control_groups",
        "what_the_user_gives_of_the_host_is_there",
    ]);
}
