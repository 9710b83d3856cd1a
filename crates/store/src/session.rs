//! What a running process holds in a store: its temporary roots and its temporary files.
//!
//! A session is a file in `temproots`, locked as long as the process lives, with the names of the
//! paths that the process needs; and a folder of the same name in `tmp`. Whoever can lock the file
//! knows that its process is dead and clears both away.
//!
//! The collector decides under an exclusive lock on `gc.lock`; a root is added under a shared one.
//! So a root is either seen by the collector, or it is added when the collector is done, and then
//! whoever added it sees that the path is gone. Therefore: *first add the root, then look whether
//! the path is valid*.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use picnix_store_core::StorePath;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::config::Layout;
use crate::error::{Context, Result};
use crate::lock::{HeldLock, lock, open_lock, try_lock};
use crate::tree::remove_tree;

/// One process's hold; the first root or temporary file starts it.
#[derive(Default)]
pub(crate) struct Session {
    started: Option<Started>,
    /// Paths that are in the file already.
    known: BTreeSet<StorePath>,
    next_temp: u64,
}

struct Started {
    gc_lock: File,
    roots: File,
    roots_path: PathBuf,
    temp: PathBuf,
}

impl Session {
    /// Adds temporary roots.
    pub(crate) fn add_roots<'a>(
        &mut self,
        layout: &Layout,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<()> {
        let mut text = Vec::new();
        for path in paths {
            if !self.known.contains(path) {
                path.push_to(&mut text);
                text.push(0);
                self.known.insert(path.clone());
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        let started = self.start(layout)?;
        let lock_path = layout.locks.join("gc.lock");
        lock(&started.gc_lock, FlockOperation::LockShared, &lock_path)?;
        let written =
            started.roots.write_all(&text).context("write", &started.roots_path);
        lock(&started.gc_lock, FlockOperation::Unlock, &lock_path)?;
        if written.is_err() {
            // Then it is not known what the file holds.
            self.known.clear();
        }
        written
    }

    /// A name in the process's temporary folder at which nothing is.
    pub(crate) fn temp_path(&mut self, layout: &Layout) -> Result<PathBuf> {
        let number = self.next_temp;
        self.next_temp += 1;
        Ok(self.start(layout)?.temp.join(number.to_string()))
    }

    fn start(&mut self, layout: &Layout) -> Result<&mut Started> {
        if self.started.is_none() {
            self.started = Some(Started::new(layout)?);
        }
        Ok(self.started.as_mut().expect("it is started just above"))
    }
}

impl Started {
    fn new(layout: &Layout) -> Result<Self> {
        let lock_path = layout.locks.join("gc.lock");
        let gc_lock = open_lock(&lock_path)?;
        lock(&gc_lock, FlockOperation::LockShared, &lock_path)?;
        let started = Self::claim_name(layout, &gc_lock);
        lock(&gc_lock, FlockOperation::Unlock, &lock_path)?;
        started
    }

    /// Finds a free name; the collector is kept out by the caller's lock.
    fn claim_name(layout: &Layout, gc_lock: &File) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let pid = std::process::id();
        for attempt in 0u64.. {
            let name = format!("{pid}-{attempt}");
            let roots_path = layout.temp_roots.join(&name);
            let mut options = File::options();
            let opened =
                options.append(true).create_new(true).mode(0o600).open(&roots_path);
            let roots = match opened {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    continue;
                }
                other => other.context("create", &roots_path)?,
            };
            lock(&roots, FlockOperation::LockExclusive, &roots_path)?;
            let temp = layout.temp.join(&name);
            match std::fs::create_dir(&temp) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    remove_tree(&temp)?;
                    std::fs::create_dir(&temp).context("create the directory", &temp)?;
                }
                other => other.context("create the directory", &temp)?,
            }
            let gc_lock = gc_lock.try_clone().context("open", &layout.locks)?;
            return Ok(Self { gc_lock, roots, roots_path, temp });
        }
        unreachable!("a number is free before they run out")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // What fails here is left to the collector.
        let _ = remove_tree(&self.temp);
        let _ = std::fs::remove_file(&self.roots_path);
    }
}

/// Keeps everybody from adding roots; for the collector's decision.
pub(crate) fn lock_roots(layout: &Layout) -> Result<HeldLock> {
    HeldLock::wait(&layout.locks.join("gc.lock"))
}

/// What the sessions of a store hold.
pub(crate) struct Sessions {
    /// Temporary roots of living processes, and whose they are.
    pub(crate) roots: Vec<(StorePath, String)>,
    /// Temporary folders of dead processes.
    pub(crate) stale: Vec<PathBuf>,
}

/// Reads the temporary roots of all living processes, with the session's name as the reason.
///
/// Sessions of dead processes are removed; their temporary folders are returned, to be deleted when
/// the lock is free again.
pub(crate) fn temp_roots(layout: &Layout, _roots: &HeldLock) -> Result<Sessions> {
    let (mut roots, mut stale) = (Vec::new(), Vec::new());
    let mut alive = BTreeSet::new();
    for name in names_in(&layout.temp_roots)? {
        let path = layout.temp_roots.join(&name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.context("open", &path)?,
        };
        if try_lock(&file, &path)? {
            remove_if_there(&path)?;
            continue;
        }
        let text = std::fs::read(&path).context("read", &path)?;
        let names = text.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        for path in names.filter_map(|name| StorePath::parse(name).ok()) {
            roots.push((path, format!("process {name}")));
        }
        alive.insert(name);
    }
    for name in names_in(&layout.temp)? {
        if !alive.contains(&name) {
            stale.push(layout.temp.join(name));
        }
    }
    Ok(Sessions { roots, stale })
}

/// The names in a folder that are text, sorted; all of ours are.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).context("read the directory", folder)? {
        let entry = entry.context("read the directory", folder)?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a file or link that another process may have removed by now; whether it was still there.
pub(crate) fn remove_if_there(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        other => other.context("remove", path).map(|()| true),
    }
}

/// Moves something out of the way, to be deleted when no lock is held; nothing there is fine.
pub(crate) fn move_away(from: &Path, to: &Path) -> Result<bool> {
    use rustix::fs::{AtFlags, CWD, FileType, Mode};
    let stat = match rustix::fs::statat(CWD, from, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.context("examine", from)?,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        // To move a directory elsewhere, its own `..` must be writable.
        rustix::fs::chmodat(CWD, from, Mode::RWXU, AtFlags::empty())
            .context("set the mode of", from)?;
    }
    std::fs::rename(from, to).context("move", from)?;
    Ok(true)
}
