//! The metadata of store objects: mode 0444 or 0555, time 1, our owner, nothing else.
//!
//! What a builder left is made canonical in place: setuid bits, extended attributes and access
//! control lists go; sockets, devices, pipes and files of other owners are refused.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use picnix_store_core::nar::MAX_DEPTH;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{MODE_EXECUTABLE, MODE_FILE, STORE_TIMES, Trail, open_dir, sorted_entries};
use crate::error::{Context, Error, Result};

/// The most bytes that Linux lets the names of a file's attributes take.
const MAX_ATTRIBUTE_NAMES: usize = 65_536;

/// Makes the metadata of the tree at `path` canonical.
pub(crate) fn canonicalise(path: &Path) -> Result<()> {
    let mut trail = Trail(path.to_owned());
    let owner = rustix::process::geteuid().as_raw();
    node(CWD, path.as_os_str(), &mut trail, 0, owner)
}

fn node(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    trail: &mut Trail,
    depth: usize,
    owner: u32,
) -> Result<()> {
    if depth >= MAX_DEPTH {
        return Err(Error::Depth { path: trail.0.clone(), max: MAX_DEPTH });
    }
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .context("examine", &trail.0)?;
    if stat.st_uid != owner {
        return Err(Error::Ownership(trail.0.clone()));
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => regular(dir, name, &stat, &trail.0),
        FileType::Directory => directory(dir, name, &stat, trail, depth, owner),
        FileType::Symlink => {
            if stat.st_mtime == 1 && stat.st_mtime_nsec == 0 {
                return Ok(());
            }
            rustix::fs::utimensat(dir, name, &STORE_TIMES, AtFlags::SYMLINK_NOFOLLOW)
                .context("set the time of", &trail.0)
        }
        _ => Err(Error::FileType(trail.0.clone())),
    }
}

fn regular(dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat, path: &Path) -> Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    let wanted = if mode.contains(Mode::XUSR) { MODE_EXECUTABLE } else { MODE_FILE };
    // To be opened at all, a file of ours must be readable.
    if !mode.contains(Mode::RUSR) {
        chmod(dir, name, wanted, path)?;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).context("open", path)?;
    if remove_attributes(&fd, path)? || mode != wanted {
        rustix::fs::fchmod(&fd, wanted).context("set the mode of", path)?;
    }
    if stat.st_mtime != 1 || stat.st_mtime_nsec != 0 {
        rustix::fs::futimens(&fd, &STORE_TIMES).context("set the time of", path)?;
    }
    Ok(())
}

fn directory(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    stat: &Stat,
    trail: &mut Trail,
    depth: usize,
    owner: u32,
) -> Result<()> {
    if !Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU) {
        chmod(dir, name, Mode::RWXU, &trail.0)?;
    }
    let mut dir = open_dir(dir, name, &trail.0)?;
    let entries = sorted_entries(&mut dir, &trail.0)?;
    let fd = dir.fd().context("read the directory", &trail.0)?;
    for (name, _) in entries {
        trail.enter(&name);
        node(fd, OsStr::from_bytes(&name), trail, depth + 1, owner)?;
        trail.leave();
    }
    remove_attributes(fd, &trail.0)?;
    rustix::fs::fchmod(fd, MODE_EXECUTABLE).context("set the mode of", &trail.0)?;
    rustix::fs::futimens(fd, &STORE_TIMES).context("set the time of", &trail.0)
}

fn chmod(dir: BorrowedFd<'_>, name: &OsStr, mode: Mode, path: &Path) -> Result<()> {
    rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
        .context("set the mode of", path)
}

/// Removes extended attributes, among them access control lists; was there any?
fn remove_attributes(fd: impl std::os::fd::AsFd, path: &Path) -> Result<bool> {
    let mut names = [0u8; 256];
    let mut many;
    let names = match rustix::fs::flistxattr(&fd, &mut names) {
        Ok(0) => return Ok(false),
        Ok(len) => &names[..len],
        Err(Errno::NOTSUP | Errno::NODATA) => return Ok(false),
        Err(Errno::RANGE) => {
            many = vec![0u8; MAX_ATTRIBUTE_NAMES];
            let len = rustix::fs::flistxattr(&fd, &mut many)
                .context("list the attributes of", path)?;
            &many[..len]
        }
        Err(error) => return Err(error).context("list the attributes of", path),
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The label of a security module is the host's business and not part of an object.
        if name.starts_with(b"security.selinux") {
            continue;
        }
        rustix::fs::fremovexattr(&fd, name).context("remove an attribute of", path)?;
    }
    Ok(true)
}
