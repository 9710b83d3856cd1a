//! The child of a box, from `clone` to `execve`.
//!
//! It runs in its parent's memory and on a stack of its own, with every signal blocked. Hence the
//! rules of this file: no allocation, no lock, no panic; system calls through rustix, which keeps
//! no state. The few calls that go through libc may overwrite `errno` of the parent's thread, which
//! at that time is only waiting in [`crate::spawn`], in calls that do not look at `errno`.
#![expect(
    unsafe_code,
    reason = "system calls that have no safe wrapper, on borrowed descriptors"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use crate::ids::{BUILDER_GID, BUILDER_UID};
use crate::script::{Op, READ_ONLY, Subtree};
use crate::seccomp::NO_RANDOMIZE;

/// Everything the child needs, owned by the parent until the child has executed the builder.
pub(crate) struct Plan<'a> {
    pub(crate) ops: &'a [Op],
    pub(crate) program: CString,
    /// Ends with a null pointer, as does `envp`.
    pub(crate) argv: Vec<*const c_char>,
    pub(crate) envp: Vec<*const c_char>,
    /// The child's end of the conversation with the parent.
    pub(crate) talk: RawFd,
    pub(crate) log: RawFd,
    pub(crate) null: RawFd,
    /// Whether the set-up phase runs as root and must become the builder's user.
    pub(crate) change_ids: bool,
    pub(crate) isolated: bool,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) processes: Option<u64>,
    pub(crate) filter: &'a [libc::sock_filter],
}

/// Where the child's end of the conversation lies after the descriptors were ordered.
const TALK: RawFd = 3;
/// The exit code of a child that did not get to its builder.
const NOT_STARTED: c_int = 127;

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stage {
    Op = 0,
    Descriptors,
    Private,
    Pivot,
    Loopback,
    Names,
    Ids,
    Privileges,
    Limits,
    Filter,
    Directory,
    Execute,
}

/// All stages, to read a report.
const STAGES: [Stage; 12] = [
    Stage::Op,
    Stage::Descriptors,
    Stage::Private,
    Stage::Pivot,
    Stage::Loopback,
    Stage::Names,
    Stage::Ids,
    Stage::Privileges,
    Stage::Limits,
    Stage::Filter,
    Stage::Directory,
    Stage::Execute,
];

/// How a child says that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) stage: Stage,
    /// Of [`Stage::Op`]: the operation's index.
    pub(crate) op: u32,
    pub(crate) errno: i32,
}

impl Report {
    pub(crate) const SIZE: usize = 12;

    fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.stage as u32, self.op, self.errno.cast_unsigned()];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut words = bytes.chunks_exact(4).map(|chunk| {
            let mut word = [0; 4];
            word.copy_from_slice(chunk);
            u32::from_ne_bytes(word)
        });
        let stage = *STAGES.get(words.next()? as usize)?;
        Some(Self { stage, op: words.next()?, errno: words.next()?.cast_signed() })
    }
}

/// A failure on the way to the builder.
struct Failure {
    stage: Stage,
    op: u32,
    errno: Errno,
}

trait At<T> {
    fn at(self, stage: Stage) -> std::result::Result<T, Failure>;
}

impl<T> At<T> for Result<T> {
    fn at(self, stage: Stage) -> std::result::Result<T, Failure> {
        self.map_err(|errno| Failure { stage, op: 0, errno })
    }
}

/// The child's entry, in the form that `clone` calls.
pub(crate) extern "C" fn main(plan: *mut c_void) -> c_int {
    // SAFETY: the parent passes a pointer to a `Plan` that it keeps alive and does not change until
    // this process has executed another program or ended.
    let plan = unsafe { &*plan.cast::<Plan<'_>>() };
    if let Err(failure) = run(plan) {
        let Failure { stage, op, errno } = failure;
        let report = Report { stage, op, errno: errno.raw_os_error() };
        // Nobody is left to hear it if this fails too.
        let _ = rustix::io::write(talk(), &report.encode());
    }
    // SAFETY: ends this process alone, without running the parent's exit handlers.
    unsafe { libc::_exit(NOT_STARTED) }
}

/// Sets the box up and executes the builder; returns only on failure.
fn run(plan: &Plan<'_>) -> std::result::Result<(), Failure> {
    order_descriptors(plan).at(Stage::Descriptors)?;
    die_with_parent().at(Stage::Privileges)?;
    wait_for_id_maps();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // A failure means that this already leads a session, which is as good.
    let _ = rustix::process::setsid();
    rustix::mount::mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .at(Stage::Private)?;
    for (index, op) in plan.ops.iter().enumerate() {
        perform(op).map_err(|errno| {
            let op = u32::try_from(index).unwrap_or(u32::MAX);
            Failure { stage: Stage::Op, op, errno }
        })?;
    }
    leave_old_root().at(Stage::Pivot)?;
    if plan.isolated {
        raise_loopback().at(Stage::Loopback)?;
    }
    rustix::system::sethostname(b"localhost").at(Stage::Names)?;
    rustix::system::setdomainname(b"(none)").at(Stage::Names)?;
    bound_capabilities().at(Stage::Privileges)?;
    if plan.change_ids {
        become_builder().at(Stage::Ids)?;
    }
    drop_privileges().at(Stage::Privileges)?;
    limit(plan).at(Stage::Limits)?;
    // A change of ids clears the request, so it is made again; a parent that died in between is
    // noticed by its end of the conversation being closed.
    die_with_parent().at(Stage::Privileges)?;
    if parent_is_gone() {
        return Ok(());
    }
    restore_signals();
    rustix::process::chdir(c"/build").at(Stage::Directory)?;
    install(plan.filter).at(Stage::Filter)?;
    // SAFETY: `program` is a C string; `argv` and `envp` end with null and point to C strings that
    // the parent keeps alive.
    unsafe {
        libc::execve(plan.program.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr())
    };
    Err(last_errno()).at(Stage::Execute)
}

fn talk() -> BorrowedFd<'static> {
    // SAFETY: after `order_descriptors` this number is open until the end of the process; before,
    // writing to it can only fail or reach a descriptor of this process's own copy of the table.
    unsafe { BorrowedFd::borrow_raw(TALK) }
}

/// The error of the libc call just made.
fn last_errno() -> Errno {
    // SAFETY: the location of errno of this thread is always readable.
    let raw = unsafe { *libc::__errno_location() };
    Errno::from_raw_os_error(raw)
}

/// What a libc call returned, as a result.
fn check(returned: libc::c_long) -> Result<()> {
    if returned == -1 { Err(last_errno()) } else { Ok(()) }
}

/// Standard input, output, error and the conversation get numbers 0 to 3; all else is closed.
fn order_descriptors(plan: &Plan<'_>) -> Result<()> {
    for (from, to) in [(plan.log, 1), (plan.log, 2), (plan.null, 0), (plan.talk, TALK)] {
        // SAFETY: plain system call; the table is this process's own copy.
        check(libc::c_long::from(unsafe { libc::dup2(from, to) }))?;
    }
    // SAFETY: as above.
    check(libc::c_long::from(unsafe {
        libc::fcntl(TALK, libc::F_SETFD, libc::FD_CLOEXEC)
    }))?;
    // SAFETY: as above; nothing in this process uses the descriptors that are closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, TALK + 1, libc::c_uint::MAX, 0) })
}

fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Waits until the parent has written the id maps; ends where the parent is gone.
fn wait_for_id_maps() {
    let mut byte = [0];
    if !matches!(rustix::io::read(talk(), &mut byte), Ok(1)) {
        // SAFETY: ends this process alone.
        unsafe { libc::_exit(NOT_STARTED) }
    }
}

fn parent_is_gone() -> bool {
    let talk = talk();
    let mut fds = [PollFd::new(&talk, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    matches!(poll(&mut fds, Some(&now)), Ok(1..)) && fds[0].revents().intersects(gone)
}

pub(crate) fn perform(op: &Op) -> Result<()> {
    match op {
        Op::Tmpfs { target, data } => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount(
                c"tmpfs",
                target.as_c_str(),
                c"tmpfs",
                flags,
                Some(&**data),
            )
        }
        Op::Enter { path } => rustix::process::chdir(path.as_c_str()),
        Op::Dir { path } => make_dir(path),
        Op::File { path, contents } => make_file(path, contents),
        Op::Symlink { target, path } => {
            rustix::fs::symlink(target.as_c_str(), path.as_c_str())
        }
        Op::Bind { source, target, tree } => bind(source, target, *tree),
        Op::Attributes { path, set, clear, tree } => {
            attributes(path, *set, *clear, *tree)
        }
        Op::Proc { target } => mount_proc(target),
        Op::DevPts { target } => {
            let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
            let data = c"newinstance,mode=0620,ptmxmode=0666";
            rustix::mount::mount(
                c"devpts",
                target.as_c_str(),
                c"devpts",
                flags,
                Some(data),
            )
        }
    }
}

fn make_dir(path: &CStr) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn make_file(path: &CStr, contents: &[u8]) -> Result<()> {
    if contents.is_empty() {
        // Something to mount on. This makes it without opening it.
        let mode = Mode::from_raw_mode(0o444);
        return rustix::fs::mknodat(CWD, path, FileType::RegularFile, mode, 0);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o444))?;
    let mut rest = contents;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    Ok(())
}

fn bind(source: &CStr, target: &CStr, tree: Subtree) -> Result<()> {
    match tree {
        Subtree::No => rustix::mount::mount_bind(source, target),
        Subtree::Yes => rustix::mount::mount_bind_recursive(source, target),
    }
}

/// `mount_setattr(2)`, which unlike a remount keeps the attributes that it is not told to change.
fn attributes(path: &CStr, set: u64, clear: u64, tree: Subtree) -> Result<()> {
    let wanted =
        libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let flags = match tree {
        Subtree::No => 0,
        Subtree::Yes => libc::AT_RECURSIVE,
    };
    // SAFETY: `path` is a C string, `wanted` lives until the call returns and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Mounts `/proc`. In a container whose own `/proc` is partly hidden the kernel refuses a full one
/// and, in some versions, grants one with processes only; the last resort is an empty directory,
/// never the host's.
fn mount_proc(target: &CStr) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount = |data| rustix::mount::mount(c"proc", target, c"proc", flags, data);
    match mount(None) {
        Ok(()) => protect_switches(),
        Err(Errno::PERM | Errno::ACCESS) => match mount(Some(c"subset=pid")) {
            Ok(()) | Err(Errno::PERM | Errno::ACCESS) => Ok(()),
            other => other,
        },
        other => other,
    }
}

/// The kernel's switches become read-only, even where the box's user is the one who owns them.
fn protect_switches() -> Result<()> {
    for path in [c"proc/sys", c"proc/sysrq-trigger"] {
        match rustix::mount::mount_bind(path, path) {
            Ok(()) => attributes(path, READ_ONLY, 0, Subtree::No)?,
            Err(Errno::NOENT) => {}
            other => return other,
        }
    }
    Ok(())
}

/// Makes the current directory the root and forgets the host's.
pub(crate) fn leave_old_root() -> Result<()> {
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Brings the loopback interface of the new network namespace up.
fn raise_loopback() -> Result<()> {
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = c_char::from_ne_bytes([*byte]);
    }
    request.ifr_ifru.ifru_flags = LOOPBACK_FLAGS;
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the descriptor is open and the request lives until the call returns.
    let returned = unsafe { libc::ioctl(raw, libc::SIOCSIFFLAGS, &raw mut request) };
    check(libc::c_long::from(returned))
}

/// `IFF_UP | IFF_LOOPBACK | IFF_RUNNING`, in the width that `ifreq` has.
const LOOPBACK_FLAGS: libc::c_short = 0x1 | 0x8 | 0x40;

/// From root of the box to its builder. Rustix changes the calling thread alone, as wanted here.
fn become_builder() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(BUILDER_UID), Gid::from_raw(BUILDER_GID));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Makes every capability impossible to gain; itself needs one, so it comes before the others go.
fn bound_capabilities() -> Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last that this kernel has.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

/// Gives up every capability, and every way to gain one by executing a program.
fn drop_privileges() -> Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::set_no_new_privs(true)
}

fn limit(plan: &Plan<'_>) -> Result<()> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let no_core = Rlimit { current: Some(0), maximum: None };
    // The hard limit may be lower already; then core files are bounded anyway.
    let _ = rustix::process::setrlimit(Resource::Core, no_core);
    if let Some(bytes) = plan.memory_bytes {
        rustix::process::setrlimit(Resource::As, both(bytes))?;
    }
    if let Some(count) = plan.processes {
        rustix::process::setrlimit(Resource::Nproc, both(count))?;
    }
    // SAFETY: plain system call; it asks for the present domain and adds one flag.
    let domain = unsafe { libc::personality(0xffff_ffff) };
    if let Ok(domain) = libc::c_ulong::try_from(domain) {
        // SAFETY: plain system call. A refusal costs determinism of addresses only.
        unsafe { libc::personality(domain | libc::c_ulong::from(NO_RANDOMIZE)) };
    }
    Ok(())
}

/// Every signal gets its default meaning and is let through.
fn restore_signals() {
    for signal in 1..=64 {
        // SAFETY: the table of handlers is this process's own; numbers that cannot be changed are
        // refused without effect.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: all-zero bytes are an empty signal set.
    let empty: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives until the call returns.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut())
    };
}

fn install(filter: &[libc::sock_filter]) -> Result<()> {
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the pointer and the length are those of the slice; the kernel copies the program during
    // the call and does not write to it.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    }))
}
