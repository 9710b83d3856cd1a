//! Programs of the store on this machine: a command that sees the host as it is, and the store at its logical place.
//!
//! For a person's own programs, such as an interactive shell; it is no box and keeps nothing away. The store of an
//! ordinary user lies below the home, and its programs look for each other below `/nix/store`: the command gets a
//! mount namespace in which it is there. Where the host has no such directory, a small tmpfs becomes the root and
//! everything of the host's root is shown in it, save what stands in the way.
#![expect(unsafe_code, reason = "what runs between fork and execve has no safe wrapper")]

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use crate::child::{leave_old_root, perform};
use crate::error::Error;
use crate::script::{Op, Script, Subtree, c_path, c_string};

/// Room for the directories and links of a root.
const ROOT_OPTIONS: &str = "mode=0755,size=4m";

/// What a process does to itself before it executes the command; prepared, as it may not allocate then.
struct Plan {
    /// The empty directory on which another root is made, if one is.
    root: Option<Op>,
    ops: Vec<Op>,
    current_dir: CString,
    uid_map: CString,
    gid_map: CString,
}

/// Lets `command` see the directory `physical` at the place `logical`. `scaffold` is an empty directory that the
/// caller removes after the command has ended.
///
/// # Errors
/// A directory of the host cannot be read. What the kernel refuses is an error of starting the command.
pub fn show_at(
    command: &mut Command,
    physical: &Path,
    logical: &Path,
    scaffold: &Path,
) -> Result<(), Error> {
    let current_dir = command.get_current_dir().map(Path::to_owned);
    let current_dir = current_dir.map_or_else(std::env::current_dir, Ok);
    let fail = |source| Error::Prepare { path: ".".into(), source };
    let current_dir = c_path(&current_dir.map_err(fail)?)?;
    let mut script = Script::default();
    let mut root = None;
    if logical.is_dir() {
        script.bind(physical, logical)?;
    } else {
        let data = c_path(Path::new(ROOT_OPTIONS))?;
        root = Some(Op::Tmpfs { target: c_path(scaffold)?, data });
        script.ops.push(Op::Enter { path: c_path(scaffold)? });
        let way: Vec<Component<'_>> = logical
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        show_around(&mut script, Path::new("/"), &way)?;
        script.bind(physical, relative(logical))?;
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let map = |id: u32| c_string("an id map", format!("{id} {id} 1").as_ref());
    let (uid_map, gid_map) = (map(uid.as_raw())?, map(gid.as_raw())?);
    let plan = Plan { root, ops: script.ops, current_dir, uid_map, gid_map };
    // SAFETY: the closure runs in a child of `fork`; it makes system calls with what was prepared, and neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(move || enter(&plan).map_err(io::Error::from)) };
    Ok(())
}

/// Shows everything in a directory of the host but the next step of the way, which becomes a directory.
fn show_around(
    script: &mut Script,
    dir: &Path,
    way: &[Component<'_>],
) -> Result<(), Error> {
    let fail = |path: &Path, source| Error::Prepare { path: path.to_owned(), source };
    let Some((next, rest)) = way.split_first() else { return Ok(()) };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other.map_err(|error| fail(dir, error))?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(|error| fail(dir, error))?;
        if entry.file_name() != next.as_os_str() {
            show_entry(script, &entry.path()).map_err(|error| match error {
                Shown::Refused(error) => error,
                Shown::Unreadable(error) => fail(&entry.path(), error),
            })?;
        }
    }
    let next = dir.join(next);
    script.ops.push(Op::Dir { path: c_path(relative(&next))? });
    show_around(script, &next, rest)
}

/// Why a path could not be shown.
enum Shown {
    Refused(Error),
    Unreadable(io::Error),
}

impl From<Error> for Shown {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

fn show_entry(script: &mut Script, host: &Path) -> Result<(), Shown> {
    let kind = fs::symlink_metadata(host).map_err(Shown::Unreadable)?.file_type();
    let place = relative(host);
    let target = c_path(place)?;
    if kind.is_symlink() {
        let to = c_path(&fs::read_link(host).map_err(Shown::Unreadable)?)?;
        script.ops.push(Op::Symlink { target: to, path: target });
        return Ok(());
    }
    if kind.is_dir() {
        script.ops.push(Op::Dir { path: target.clone() });
    } else {
        script.ops.push(Op::File { path: target.clone(), contents: Vec::new() });
    }
    let source = c_path(host)?;
    script.ops.push(Op::Bind { source, target, tree: Subtree::Yes });
    Ok(())
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Makes the namespaces and mounts; runs between `fork` and `execve`.
fn enter(plan: &Plan) -> Result<(), Errno> {
    // SAFETY: the process has one thread and shares neither memory nor descriptors with another.
    let unshare = |flags| unsafe { rustix::thread::unshare_unsafe(flags) };
    match unshare(UnshareFlags::NEWNS) {
        Err(Errno::PERM) => {
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            // Asked of everybody who maps a group without the privilege to do so.
            write(c"/proc/self/setgroups", c"deny")?;
            write(c"/proc/self/uid_map", &plan.uid_map)?;
            write(c"/proc/self/gid_map", &plan.gid_map)?;
        }
        other => other?,
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    if let Some(root) = &plan.root {
        perform(root)?;
        if let Op::Tmpfs { target, .. } = root {
            // What is shown of the host is to hold neither this nor what is shown in it.
            rustix::mount::mount_change(
                target.as_c_str(),
                MountPropagationFlags::UNBINDABLE,
            )?;
        }
    }
    plan.ops.iter().try_for_each(perform)?;
    if plan.root.is_some() {
        leave_old_root()?;
    }
    rustix::process::chdir(plan.current_dir.as_c_str())
}

fn write(path: &CStr, text: &CStr) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(drop)
}
