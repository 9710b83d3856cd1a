//! From a [`BoxSpec`] to a running box: the parent's side of the start.
//!
//! Order: prepare everything, `clone`, write the child's id maps, let it go, and wait until it has
//! executed the builder or reported why it could not. Only then does the child stop using this
//! process's memory, so nothing it uses is freed before.
#![expect(unsafe_code, reason = "clone and signal masks have no safe wrapper")]

use std::ffi::{CString, OsString, c_char};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::cgroup::Group;
use crate::child::{self, Plan, Report, Stage};
use crate::error::Error;
use crate::ids::IdMap;
use crate::layout;
use crate::refusal::{Refusal, diagnose};
use crate::running::Running;
use crate::script::{Op, c_path, c_string};
use crate::seccomp;
use crate::spec::{BoxSpec, Network};

/// The child's stack until it executes the builder; it needs a few kilobytes.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a box.
///
/// The box dies with the calling *thread*, so the thread that starts it should be the one that
/// waits for it ([`Running`] cannot be sent to another).
///
/// # Errors
/// [`Error::NamespacesRefused`] where the kernel permits no box, [`Error::Execute`] where the
/// builder cannot be executed, and others where the box cannot be assembled.
pub fn start(spec: &BoxSpec) -> Result<Running, Error> {
    let ids = IdMap::of_this_process();
    let script = layout::prepare(spec, &ids)?;
    let strings = Strings::of(spec)?;
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(setup("making a socket pair"))?;
    let (log_read, log_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(setup("making the log's pipe"))?;
    rustix::io::ioctl_fionbio(&log_read, true).map_err(setup("making the log's pipe"))?;
    let null =
        rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(setup("opening /dev/null"))?;
    let group = Group::make(&spec.limits);
    let plan = Plan {
        ops: &script.ops,
        program: strings.program.clone(),
        argv: pointers(&strings.args),
        envp: pointers(&strings.env),
        talk: theirs.as_raw_fd(),
        log: log_write.as_raw_fd(),
        null: null.as_raw_fd(),
        change_ids: ids.owner().is_some(),
        isolated: spec.network == Network::Isolated,
        memory_bytes: spec.limits.memory_bytes.filter(|_| !group.limits_memory()),
        processes: spec.limits.processes.filter(|_| !group.limits_processes()),
        filter: seccomp::program(),
    };
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / size_of::<u128>());
    let process = clone(&plan, &mut stack)?;
    drop((theirs, log_write, null));
    let outcome = converse(&ours, process.pid, &ids, &group);
    // The child has let go of `plan`, `strings`, `script` and `stack` now.
    match outcome {
        Ok(None) => {
            let outputs_dir = spec.outputs_dir();
            let limits = spec.limits.clone();
            Ok(Running::new(process.pidfd, log_read, limits, outputs_dir, group))
        }
        Ok(Some(report)) => {
            reap(&process);
            Err(explain(report, &script.ops, spec))
        }
        Err(error) => {
            reap(&process);
            Err(error)
        }
    }
}

fn setup(step: &'static str) -> impl Fn(rustix::io::Errno) -> Error {
    move |errno| Error::Setup { step: step.to_owned(), source: errno.into() }
}

/// The program, its arguments and environment as C strings.
struct Strings {
    program: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Strings {
    fn of(spec: &BoxSpec) -> Result<Self, Error> {
        let program = c_path(&spec.program)?;
        let name = spec.program.file_name().unwrap_or(spec.program.as_os_str());
        let arg0 = spec.arg0.as_deref().unwrap_or(name);
        let args = std::iter::once(arg0)
            .chain(spec.args.iter().map(OsString::as_os_str))
            .map(|arg| c_string("an argument", arg))
            .collect::<Result<_, _>>()?;
        let env = spec
            .env
            .iter()
            .map(|(name, value)| {
                let mut text = name.clone();
                text.push("=");
                text.push(value);
                c_string("an environment variable", &text)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { program, args, env })
    }
}

/// Pointers to the strings, and a null pointer.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child just made.
struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

/// Makes the child. All signals are blocked meanwhile, since a handler must not run in it.
fn clone(plan: &Plan<'_>, stack: &mut Vec<u128>) -> Result<Process, Error> {
    let mut flags = libc::CLONE_VM
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::SIGCHLD;
    if plan.isolated {
        flags |= libc::CLONE_NEWNET;
    }
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    // SAFETY: all-zero bytes are a valid signal set, which `sigfillset` then fills.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a local variable.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: both sets are local variables.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    // SAFETY: `top` is the aligned end of memory that nothing else uses and that the caller frees
    // only after the child has executed or ended, as is `plan`; the child's function obeys the
    // rules of a process that shares memory (see its file).
    let raw = unsafe {
        libc::clone(
            child::main,
            top.cast(),
            flags,
            std::ptr::from_ref(plan).cast_mut().cast(),
        )
    };
    let source = io::Error::last_os_error();
    // SAFETY: restores the mask saved above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut())
    };
    let Some(pid) = (raw > 0).then(|| Pid::from_raw(raw)).flatten() else {
        return Err(refused(source));
    };
    // The child cannot be reaped by anyone else, so its number is still its own.
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    match pidfd {
        Ok(pidfd) => Ok(Process { pid, pidfd }),
        Err(errno) => {
            // It waits for the id maps; killing it is the only way to get it to end.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            Err(setup("opening a descriptor of the child")(errno))
        }
    }
}

/// Writes the id maps, lets the child go, and hears how it went. Returns when the child no longer
/// uses this process's memory; uses rustix where the child may be running, whose calls do not
/// touch `errno`.
fn converse(
    ours: &OwnedFd,
    pid: Pid,
    ids: &IdMap,
    group: &Group,
) -> Result<Option<Report>, Error> {
    let entered = group.enter(pid).map_err(|source| {
        let step = "entering the control group".to_owned();
        Error::Setup { step, source }
    });
    let mapped = entered.and_then(|()| write_id_maps(pid, ids));
    let mapped = mapped.and_then(|()| {
        let told = rustix::io::retry_on_intr(|| rustix::io::write(ours, b"!"));
        told.map(drop).map_err(setup("waking the child"))
    });
    if mapped.is_err() {
        // The child waits in a read; this end of file lets it end.
        let _ = rustix::net::shutdown(ours, rustix::net::Shutdown::Write);
    }
    let mut bytes = [0; Report::SIZE];
    let mut filled = 0;
    while filled < bytes.len() {
        let read =
            rustix::io::retry_on_intr(|| rustix::io::read(ours, &mut bytes[filled..]));
        match read {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(errno) => return Err(setup("waiting for the child")(errno)),
        }
    }
    mapped?;
    if filled == bytes.len() {
        // The child ends right after its report: wait until it does not use our memory.
        let mut end = [0];
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(ours, &mut end));
    }
    Ok((filled == bytes.len()).then(|| Report::decode(&bytes)).flatten())
}

fn write_id_maps(pid: Pid, ids: &IdMap) -> Result<(), Error> {
    let proc = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    if ids.owner().is_none() {
        // Asked of everybody who maps a group without the privilege to do so.
        write_proc(&proc.join("setgroups"), "deny")?;
    }
    write_proc(&proc.join("uid_map"), &ids.uid_map())?;
    write_proc(&proc.join("gid_map"), &ids.gid_map())
}

fn write_proc(path: &Path, text: &str) -> Result<(), Error> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => refused(source),
        _ => Error::Setup { step: format!("writing {path:?}"), source },
    })
}

fn refused(source: io::Error) -> Error {
    Error::NamespacesRefused { refusal: diagnose(Path::new("/proc")), answer: source }
}

fn reap(process: &Process) {
    use std::os::fd::AsFd;
    let _ =
        rustix::process::pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL);
    let _ = rustix::process::waitid(
        WaitId::PidFd(process.pidfd.as_fd()),
        WaitIdOptions::EXITED,
    );
}

/// The error behind a child's report.
fn explain(report: Report, ops: &[Op], spec: &BoxSpec) -> Error {
    let source = io::Error::from_raw_os_error(report.errno);
    let op = ops.get(report.op as usize).filter(|_| report.stage == Stage::Op);
    if report.errno == libc::ENOSYS && matches!(op, Some(Op::Attributes { .. })) {
        return Error::KernelTooOld;
    }
    // A security module lets the namespaces be made and then refuses the first use of them.
    let first_use =
        report.stage == Stage::Private || matches!(op, Some(Op::Tmpfs { .. }));
    if first_use && matches!(report.errno, libc::EPERM | libc::EACCES) {
        let refusal = diagnose(Path::new("/proc"));
        if refusal != Refusal::Unknown {
            return Error::NamespacesRefused { refusal, answer: source };
        }
    }
    if report.stage == Stage::Execute {
        return Error::Execute { program: spec.program.clone(), source };
    }
    let step = match op {
        Some(op) => op.describe(),
        None => stage_text(report.stage).to_owned(),
    };
    Error::Setup { step, source }
}

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Op => "an unknown operation",
        Stage::Descriptors => "ordering the descriptors",
        Stage::Private => "making the mounts private",
        Stage::Pivot => "changing the root",
        Stage::Loopback => "raising the loopback interface",
        Stage::Names => "setting the host name",
        Stage::Ids => "becoming the build user",
        Stage::Privileges => "dropping privileges",
        Stage::Limits => "setting the limits",
        Stage::Filter => "installing the system call filter",
        Stage::Directory => "entering /build",
        Stage::Execute => "executing the builder",
    }
}
