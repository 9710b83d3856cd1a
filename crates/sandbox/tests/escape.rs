//! What must fail from inside a box. Each attempt is a small function that runs inside and says
//! how it succeeded; silence is the wanted outcome.
#![expect(unsafe_code, reason = "the attempts are raw system calls")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::ffi::CString;
use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use common::{Place, run};
use picnix_sandbox::{Input, Status};
use picnix_testkit::again_as_user;

/// An attempt: `Err` is what it achieved.
type Outcome = Result<(), String>;
/// What is attempted, and the attempt.
type Attempt = (&'static str, fn() -> Outcome);

/// A raw system call whose arguments are integers or pointers to live C strings.
macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {{
        // SAFETY: every pointer passed points to memory that outlives the call.
        let returned = unsafe { libc::syscall($number $(, $argument)*) };
        if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
    }};
}

/// Asserts that something failed.
fn refused<T, E>(what: &str, result: Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Err(what.to_owned()),
        Err(_) => Ok(()),
    }
}

/// Asserts that a system call failed with a particular error.
fn fails(what: &str, errno: i32, result: io::Result<libc::c_long>) -> Outcome {
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    }
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

const INPUT: &str = "/nix/store/11111111111111111111111111111111-input";

/// Every attempt, by name.
const ATTEMPTS: &[Attempt] = &[
    ("read the host's password file", || {
        let text = fs::read_to_string("/etc/passwd").unwrap();
        let ours = text.lines().count() == 3 && text.contains("nixbld:x:1000:100:");
        if ours { Ok(()) } else { Err(text) }
    }),
    ("read a host file by its path", || refused("read", fs::read(variable("SECRET")))),
    ("read a host file through /proc/self/root", || {
        refused("read", fs::read(format!("/proc/self/root{}", variable("SECRET"))))
    }),
    ("read a host file through /proc/1/root", || {
        refused("read", fs::read(format!("/proc/1/root{}", variable("SECRET"))))
    }),
    ("climb above the root", || {
        refused(
            "read",
            fs::read(format!("/build/{}{}", "../".repeat(64), variable("SECRET"))),
        )
    }),
    ("climb out of an input", || {
        refused("read", fs::read(format!("{INPUT}/../../../..{}", variable("SECRET"))))
    }),
    ("follow a link to a host file", || {
        symlink(variable("SECRET"), "/build/link").unwrap();
        refused("read", fs::read("/build/link"))
    }),
    ("hard-link a host file", || {
        refused("link", fs::hard_link(variable("SECRET"), "/build/hard"))
    }),
    ("see the host's mounts", || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let roots = mounts.lines().filter(|l| l.split(' ').nth(4) == Some("/")).count();
        if roots == 1 { Ok(()) } else { Err(mounts) }
    }),
    ("find an open descriptor of the host", || {
        let open: Vec<String> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|e| {
                fs::read_link(e.unwrap().path()).unwrap_or_default().display().to_string()
            })
            .filter(|t| {
                t.starts_with('/') && t != "/dev/null" && !t.starts_with("/proc/")
            })
            .collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    }),
    ("find the host's other files in the root", || {
        names_in(
            "/",
            &[
                "bin", "build", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix",
                "proc", "sbin", "tmp", "usr",
            ],
        )
    }),
    ("find other devices", || {
        names_in(
            "/dev",
            &[
                "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                "stdout", "tty", "urandom", "zero",
            ],
        )
    }),
    ("find files in the private /tmp", || names_in("/tmp", &[])),
    ("see another store path", || {
        refused(
            "saw",
            fs::symlink_metadata("/nix/store/22222222222222222222222222222222-other"),
        )
    }),
    ("list other store paths", || {
        let count = fs::read_dir("/nix/store").unwrap().count();
        if count == 2 { Ok(()) } else { Err(format!("{count} entries")) }
    }),
    ("write into an input", || refused("wrote", fs::write(format!("{INPUT}/file"), "x"))),
    ("add to an input", || refused("wrote", fs::write(format!("{INPUT}/new"), "x"))),
    ("delete from an input", || {
        refused("deleted", fs::remove_file(format!("{INPUT}/file")))
    }),
    ("delete an input", || refused("deleted", fs::remove_dir_all(INPUT))),
    ("rename an input", || refused("renamed", fs::rename(INPUT, "/nix/store/stolen"))),
    ("change an input's mode", || {
        let mode = fs::Permissions::from_mode(0o777);
        refused("changed", fs::set_permissions(format!("{INPUT}/file"), mode))
    }),
    ("truncate an input", || {
        let path = c(&format!("{INPUT}/file"));
        refused("truncate", call!(libc::SYS_truncate, path.as_ptr(), 0))
    }),
    ("hard-link an input into an output", || {
        refused("linked", fs::hard_link(format!("{INPUT}/file"), "/nix/store/out"))
    }),
    ("write an input through /proc/self/root", || {
        refused("wrote", fs::write(format!("/proc/self/root{INPUT}/file"), "x"))
    }),
    ("write into the seed tree", || refused("wrote", fs::write("/lib/new", "x"))),
    ("write into the root", || refused("wrote", fs::write("/new", "x"))),
    ("write into /etc", || refused("wrote", fs::write("/etc/passwd", "x"))),
    ("mount something", || {
        let (what, at) = (c("tmpfs"), c("/tmp"));
        let none = std::ptr::null::<u8>();
        fails(
            "mount",
            libc::EPERM,
            call!(libc::SYS_mount, what.as_ptr(), at.as_ptr(), what.as_ptr(), 0, none),
        )
    }),
    ("make an input writable by a remount", || {
        let at = c(INPUT);
        let flags = libc::MS_REMOUNT | libc::MS_BIND;
        let none = std::ptr::null::<u8>();
        fails(
            "remount",
            libc::EPERM,
            call!(libc::SYS_mount, none, at.as_ptr(), none, flags, none),
        )
    }),
    ("uncover what is below a mount", || {
        let at = c("/nix/store");
        fails(
            "umount",
            libc::EPERM,
            call!(libc::SYS_umount2, at.as_ptr(), libc::MNT_DETACH),
        )
    }),
    ("open a mount tree", || {
        let at = c("/");
        fails("open_tree", libc::EPERM, call!(libc::SYS_open_tree, -100, at.as_ptr(), 1))
    }),
    ("open a new file system", || {
        let what = c("tmpfs");
        fails("fsopen", libc::EPERM, call!(libc::SYS_fsopen, what.as_ptr(), 0))
    }),
    ("change the root", || {
        let at = c("/build");
        fails("chroot", libc::EPERM, call!(libc::SYS_chroot, at.as_ptr()))
    }),
    ("make a user namespace by unshare", || {
        fails("unshare", libc::EPERM, call!(libc::SYS_unshare, libc::CLONE_NEWUSER))
    }),
    ("make a user namespace by clone", || {
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        fails("clone", libc::EPERM, call!(libc::SYS_clone, flags, 0, 0, 0, 0))
    }),
    ("make a user namespace by clone3", || {
        let args = [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0, 0, 0];
        fails("clone3", libc::ENOSYS, call!(libc::SYS_clone3, args.as_ptr(), 64))
    }),
    ("make a mount namespace", || {
        fails("unshare", libc::EPERM, call!(libc::SYS_unshare, libc::CLONE_NEWNS))
    }),
    ("enter a namespace", || {
        let file = fs::File::open("/proc/1/ns/mnt").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        fails("setns", libc::EPERM, call!(libc::SYS_setns, fd, 0))
    }),
    ("make a device node", || {
        let path = c("/build/node");
        let mode = libc::S_IFCHR | 0o666;
        fails(
            "mknod",
            libc::EPERM,
            call!(libc::SYS_mknodat, -100, path.as_ptr(), mode, 0x501),
        )
    }),
    ("read the kernel's memory", || refused("opened", fs::File::open("/proc/kcore"))),
    ("set the set-user-id bit", || mode_is_refused(0o4755)),
    ("set the set-group-id bit", || mode_is_refused(0o2755)),
    ("set a set-id bit by fchmod", || {
        let file = fs::File::create("/nix/store/out").unwrap();
        let mode = fs::Permissions::from_mode(0o6755);
        refused("changed", file.set_permissions(mode))
    }),
    ("set a set-id bit by fchmodat2", || {
        fs::write("/nix/store/out", "").unwrap();
        let path = c("/nix/store/out");
        fails("fchmodat2", libc::EPERM, call!(452, -100, path.as_ptr(), 0o4755, 0))
    }),
    ("create a file with a set-id bit", || {
        let path = c("/nix/store/out");
        let flags = libc::O_CREAT | libc::O_WRONLY;
        fails(
            "openat",
            libc::EPERM,
            call!(libc::SYS_openat, -100, path.as_ptr(), flags, 0o4755),
        )
    }),
    ("create a node with a set-id bit", || {
        let path = c("/nix/store/out");
        fails(
            "mknodat",
            libc::EPERM,
            call!(libc::SYS_mknodat, -100, path.as_ptr(), libc::S_IFREG | 0o4755, 0),
        )
    }),
    ("open a file by openat2", || {
        fails("openat2", libc::ENOSYS, call!(libc::SYS_openat2, 0, 0))
    }),
    #[cfg(target_arch = "x86_64")]
    ("use the x32 system calls", || {
        fs::write("/nix/store/out", "").unwrap();
        let path = c("/nix/store/out");
        fails(
            "chmod",
            libc::ENOSYS,
            call!(libc::SYS_chmod | 0x4000_0000, path.as_ptr(), 0o4755),
        )
    }),
    ("set an extended attribute", || xattr("user.note", libc::ENOTSUP)),
    ("set a file capability", || xattr("security.capability", libc::ENOTSUP)),
    ("set an access control list", || xattr("system.posix_acl_access", libc::ENOTSUP)),
    ("use a key ring", || {
        let (kind, name) = (c("user"), c("note"));
        fails(
            "add_key",
            libc::EPERM,
            call!(libc::SYS_add_key, kind.as_ptr(), name.as_ptr(), name.as_ptr(), 4, -4),
        )?;
        fails("keyctl", libc::EPERM, call!(libc::SYS_keyctl, 0, -4, 0))
    }),
    ("see another process", || {
        let pids: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            .collect();
        if pids == ["1"] { Ok(()) } else { Err(format!("{pids:?}")) }
    }),
    ("signal a process of the host", || {
        let pid: i32 = variable("HOST_PID").parse().unwrap();
        fails("kill", libc::ESRCH, call!(libc::SYS_kill, pid, 0))
    }),
    ("trace a process of the host", || {
        let pid: i32 = variable("HOST_PID").parse().unwrap();
        refused("traced", call!(libc::SYS_ptrace, libc::PTRACE_ATTACH, pid, 0, 0))
    }),
    ("read a host process's memory", || {
        refused("read", fs::File::open(format!("/proc/{}/mem", variable("HOST_PID"))))
    }),
    ("connect to the host's loopback", || {
        let port: u16 = variable("PORT").parse().unwrap();
        refused("connected", TcpStream::connect(("127.0.0.1", port)))
    }),
    ("connect to the host's abstract socket", || {
        let address = SocketAddr::from_abstract_name(variable("ABSTRACT")).unwrap();
        refused("connected", UnixStream::connect_addr(&address))
    }),
    ("connect to the world", || {
        refused("connected", TcpStream::connect("192.0.2.1:80"))?;
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        refused("sent", socket.send_to(b"x", "192.0.2.1:53"))
    }),
    ("resolve a name", || refused("resolved", ("example.org", 80).to_socket_addrs())),
    ("open a raw socket", || {
        fails(
            "raw",
            libc::EPERM,
            call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_RAW, 1),
        )
    }),
    ("open a packet socket", || socket_family(libc::AF_PACKET)),
    ("open a socket to the hypervisor", || socket_family(libc::AF_VSOCK)),
    ("open a kernel crypto socket", || socket_family(libc::AF_ALG)),
    ("add a network interface", || {
        let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
        let names: Vec<&str> =
            interfaces.lines().skip(2).filter_map(|l| l.split(':').next()).collect();
        let foreign = names.iter().any(|n| n.trim().starts_with("eth"));
        if foreign { Err(interfaces) } else { Ok(()) }
    }),
    ("change a kernel setting", || {
        refused("core_pattern", fs::write("/proc/sys/kernel/core_pattern", "x"))?;
        refused("ip_forward", fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
        refused("namespaces", fs::write("/proc/sys/user/max_user_namespaces", "1"))?;
        refused("sysrq", fs::write("/proc/sysrq-trigger", "h"))
    }),
    ("change the host's name", || {
        let name = c("x");
        fails("sethostname", libc::EPERM, call!(libc::SYS_sethostname, name.as_ptr(), 1))
    }),
    ("change the clock", || {
        let time = [0_i64, 0];
        fails(
            "clock_settime",
            libc::EPERM,
            call!(libc::SYS_clock_settime, 0, time.as_ptr()),
        )
    }),
    ("become root", || {
        refused("setuid", call!(libc::SYS_setuid, 0))?;
        refused("setgid", call!(libc::SYS_setgid, 0))?;
        refused("setgroups", call!(libc::SYS_setgroups, 1, [0_u32].as_ptr()))
    }),
    ("keep a capability", || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let line = format!("{name}:\t0000000000000000");
            if !status.lines().any(|l| l == line) {
                return Err(status);
            }
        }
        let locked = status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2");
        if locked { Ok(()) } else { Err(status) }
    }),
    ("be another user", || {
        let (uid, gid) =
            (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        if (uid, gid) == (1000, 100) { Ok(()) } else { Err(format!("{uid} {gid}")) }
    }),
    ("own /proc as the host's root", || {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let mine = map.lines().find_map(|line| {
            let words: Vec<u32> =
                line.split_whitespace().map(|w| w.parse().unwrap()).collect();
            (words[0] == 1000).then_some(words[1])
        });
        if mine == Some(0) { Err(map) } else { Ok(()) }
    }),
    ("read the kernel's log", || {
        fails("syslog", libc::EPERM, call!(libc::SYS_syslog, 3, 0, 0))
    }),
    ("load a program into the kernel", || {
        fails("bpf", libc::EPERM, call!(libc::SYS_bpf, 0, 0, 0))
    }),
    ("count events of the kernel", || {
        fails("perf", libc::EPERM, call!(libc::SYS_perf_event_open, 0, 0, 0, 0, 0))
    }),
    ("submit calls around the filter", || {
        fails("io_uring", libc::ENOSYS, call!(libc::SYS_io_uring_setup, 0, 0))
    }),
    ("handle page faults", || {
        fails("userfaultfd", libc::EPERM, call!(libc::SYS_userfaultfd, 0))
    }),
    ("load a module", || {
        fails("init_module", libc::EPERM, call!(libc::SYS_init_module, 0, 0, 0))
    }),
    ("change the execution domain", || {
        fails(
            "personality",
            libc::EPERM,
            call!(libc::SYS_personality, 0x0040_0000 | 0x20_0000),
        )
    }),
    ("type into a terminal", || {
        let byte = [b'x'];
        fails(
            "TIOCSTI",
            libc::EPERM,
            call!(libc::SYS_ioctl, 0, libc::TIOCSTI, byte.as_ptr()),
        )
    }),
    ("open the controlling terminal", || refused("opened", fs::File::open("/dev/tty"))),
    ("see the host's shared memory", || {
        let key = i32::from_str_radix(&variable("SHM_KEY"), 16).unwrap();
        fails("shmget", libc::ENOENT, call!(libc::SYS_shmget, key, 0, 0))
    }),
    ("open a file by its handle", || {
        fails("handle", libc::EPERM, call!(libc::SYS_open_by_handle_at, 0, 0, 0))
    }),
    ("see the caller's environment", || {
        if std::env::var_os("HOST_MARKER").is_some() {
            Err("seen".into())
        } else {
            Ok(())
        }
    }),
];

fn names_in(dir: &str, allowed: &[&str]) -> Outcome {
    let names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !allowed.contains(&&**name))
        .collect();
    if names.is_empty() { Ok(()) } else { Err(format!("{names:?}")) }
}

fn mode_is_refused(mode: u32) -> Outcome {
    fs::write("/nix/store/out", "").unwrap();
    refused(
        "changed",
        fs::set_permissions("/nix/store/out", fs::Permissions::from_mode(mode)),
    )
}

fn xattr(name: &str, errno: i32) -> Outcome {
    fs::write("/nix/store/out", "").unwrap();
    let (path, name) = (c("/nix/store/out"), c(name));
    let (path, name) = (path.as_ptr(), name.as_ptr());
    fails("setxattr", errno, call!(libc::SYS_setxattr, path, name, name, 1, 0))
}

fn socket_family(family: i32) -> Outcome {
    let result = call!(libc::SYS_socket, family, libc::SOCK_STREAM, 0);
    fails("socket", libc::EAFNOSUPPORT, result)
}

/// Runs one attempt, inside. As a test of its own it does nothing.
#[test]
fn inside() {
    let Ok(name) = std::env::var("PICNIX_INSIDE") else { return };
    let (_, attempt) = ATTEMPTS.iter().find(|(n, _)| *n == name).unwrap();
    match attempt() {
        Ok(()) => println!("refused"),
        Err(how) => println!("achieved: {how}"),
    }
}

#[test]
fn every_attempt_is_refused() {
    let place = Place::new();
    let secret = place.dir.path().join("secret");
    fs::write(&secret, "of the host").unwrap();
    let input = place.dir.path().join("store/11111111111111111111111111111111-input");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("file"), "precious").unwrap();
    let other = place.dir.path().join("store/22222222222222222222222222222222-other");
    fs::create_dir(&other).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let abstract_name = format!("picnix-escape-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
    let _socket = UnixListener::bind_addr(&address).unwrap();
    let key = std::process::id().cast_signed() | 0x0700_0000;
    let segment = call!(libc::SYS_shmget, key, 4096, libc::IPC_CREAT | 0o666).unwrap();

    let mut failures = Vec::new();
    for (number, (name, _)) in ATTEMPTS.iter().enumerate() {
        let mut spec = place.spec(&format!("box-{number}"), name);
        let logical = INPUT.into();
        spec.inputs.push(Input { physical: input.clone(), logical });
        let variables = [
            ("SECRET", secret.display().to_string()),
            ("HOST_PID", std::process::id().to_string()),
            ("PORT", port.to_string()),
            ("ABSTRACT", abstract_name.clone()),
            ("SHM_KEY", format!("{key:x}")),
        ];
        spec.env.extend(variables.map(|(name, value)| (name.into(), value.into())));
        let (exit, log) = run(&spec);
        if exit.status != Status::Code(0) || !log.lines().any(|l| l.ends_with("refused"))
        {
            failures.push(format!("{name}: {:?}\n{log}", exit.status));
        }
    }
    call!(libc::SYS_shmctl, segment, libc::IPC_RMID, 0).unwrap();
    assert_eq!(fs::read_to_string(input.join("file")).unwrap(), "precious");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_attempt_of_a_users_box_is_refused() {
    again_as_user(&["every_attempt_is_refused"]);
}
