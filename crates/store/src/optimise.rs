//! Equal files share their blocks: hard links.
//!
//! For every content there is one link in a folder of its own, named after the hash of the file's NAR
//! (so that the executable bit counts), and files with that content become links to it. Nothing that can
//! be seen of an object changes. A file is replaced by one rename of a link that was made elsewhere, so
//! that an object is whole at every instant.
//!
//! The hash leads to a candidate only: **bytes are compared before anything is replaced**, so that a
//! link whose file has rotted never spreads. Files of other programs' interest (open, mapped) stay as
//! they are for these: their inode lives on.
//!
//! The collector removes links that nobody else has; whoever finds a link gone makes it anew.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use picnix_store_core::{HashAlgo, HashFormat, StorePath};
use rustix::fs::{AtFlags, CWD, Mode};

use crate::error::{Context, Result};
use crate::pipe::HashPipe;
use crate::session::{names_in, remove_if_there};
use crate::store::Store;
use crate::tree::{STORE_TIMES, dump};

/// How much of two files is compared at a time.
const COMPARE_SIZE: usize = 256 * 1024;

/// What was shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptimiseReport {
    /// Regular files that were looked at.
    pub files: u64,
    /// Files that became links.
    pub linked: u64,
    /// Bytes of disk that became free, by the files' lengths.
    pub freed_bytes: u64,
}

impl Store {
    /// Lets equal files in valid objects share their blocks.
    pub fn optimise(&self) -> Result<OptimiseReport> {
        self.optimise_paths(&self.valid_paths()?)
    }

    /// Lets files in some valid objects share their blocks with equal ones.
    pub(crate) fn optimise_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<OptimiseReport> {
        self.require_writable()?;
        let folder = &self.layout.links;
        std::fs::create_dir_all(folder).context("create the directory", folder)?;
        let mut report = OptimiseReport::default();
        for path in paths {
            // In this order: what is valid and a root is not collected meanwhile.
            self.add_temp_roots([path])?;
            if self.is_valid(path)? {
                self.optimise_tree(&self.real_path(path), &mut report)?;
            }
        }
        Ok(report)
    }

    fn optimise_tree(&self, root: &Path, report: &mut OptimiseReport) -> Result<()> {
        let mut todo = vec![root.to_owned()];
        while let Some(path) = todo.pop() {
            let metadata = match std::fs::symlink_metadata(&path) {
                // Somebody repairs the object just now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other.context("examine", &path)?,
            };
            if metadata.is_dir() {
                todo.extend(names(&path)?);
            } else if metadata.is_file() {
                report.files += 1;
                // An empty file takes no blocks.
                if metadata.len() > 0 {
                    self.optimise_file(&path, &metadata, report)?;
                }
            }
        }
        Ok(())
    }

    fn optimise_file(
        &self,
        path: &Path,
        metadata: &std::fs::Metadata,
        report: &mut OptimiseReport,
    ) -> Result<()> {
        let hash = dump(path, HashPipe::new(HashAlgo::Sha256))?.finish().0;
        let shared = self.layout.links.join(hash.print(HashFormat::Nix32));
        match std::fs::hard_link(path, &shared) {
            // The first of its kind.
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // There are as many links as the file system permits, or it permits none at all.
            Err(error) if is_unsupported(&error) => return Ok(()),
            Err(error) => return Err(error).context("link", path),
        }
        let other = match std::fs::symlink_metadata(&shared) {
            // The collector was faster; the next run will find it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.context("examine", &shared)?,
        };
        if (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()) {
            return Ok(());
        }
        let has_same_shape =
            other.len() == metadata.len() && other.mode() == metadata.mode();
        let is_equal = match has_same_shape.then(|| have_same_bytes(path, &shared)) {
            None => false,
            Some(same) => match same? {
                Some(same) => same,
                None => return Ok(()),
            },
        };
        if !is_equal {
            // Damaged: this file takes its place.
            remove_if_there(&shared)?;
            return match std::fs::hard_link(path, &shared) {
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) if !is_unsupported(&error) => Err(error).context("link", path),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        if self.replace_by_link(path, &shared)? {
            report.linked += 1;
            report.freed_bytes += if metadata.nlink() == 1 { metadata.len() } else { 0 };
        }
        Ok(())
    }

    /// Replaces a file by a link to another; says whether the file system let it.
    fn replace_by_link(&self, path: &Path, shared: &Path) -> Result<bool> {
        let temp = self.temp_path()?;
        match std::fs::hard_link(shared, &temp) {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("link", shared),
        }
        let parent = path.parent().unwrap_or(path);
        // An object that is a file lies in the folder of objects, which has its own mode and time.
        let is_inside = parent != self.layout.objects;
        if is_inside {
            crate::place::set_mode(parent, Mode::from_raw_mode(0o755))?;
        }
        let renamed = std::fs::rename(&temp, path).context("link", path);
        if is_inside {
            crate::place::set_mode(parent, Mode::from_raw_mode(0o555))?;
            rustix::fs::utimensat(CWD, parent, &STORE_TIMES, AtFlags::empty())
                .context("set the time of", parent)?;
        }
        renamed.map(|()| true)
    }

    /// Removes links that no object has any more; returns the bytes that became free.
    pub(crate) fn clear_links(&self) -> Result<u64> {
        let mut freed = 0;
        let names = match names_in(&self.layout.links) {
            Err(_) if !self.layout.links.exists() => return Ok(0),
            other => other?,
        };
        for name in names {
            let path = self.layout.links.join(name);
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.nlink() == 1 => {
                    if remove_if_there(&path)? {
                        freed += metadata.blocks() * 512;
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("examine", &path),
            }
        }
        Ok(freed)
    }
}

fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context("read the directory", folder)?,
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: std::io::Result<Vec<PathBuf>> = paths.collect();
    let mut paths = paths.context("read the directory", folder)?;
    paths.sort_unstable();
    Ok(paths)
}

fn is_unsupported(error: &std::io::Error) -> bool {
    let has =
        |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    has(rustix::io::Errno::MLINK)
        || has(rustix::io::Errno::PERM)
        || has(rustix::io::Errno::OPNOTSUPP)
        || has(rustix::io::Errno::XDEV)
}

/// Whether two files hold the same; none if the other is gone.
fn have_same_bytes(one: &Path, other: &Path) -> Result<Option<bool>> {
    let other = match File::open(other) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.context("open", other)?,
    };
    let one_file = File::open(one).context("open", one)?;
    let mut files = [(one_file, vec![0; COMPARE_SIZE]), (other, vec![0; COMPARE_SIZE])];
    loop {
        let mut counts = [0; 2];
        for ((file, buffer), count) in files.iter_mut().zip(&mut counts) {
            while *count < buffer.len() {
                match file.read(&mut buffer[*count..]).context("read", one)? {
                    0 => break,
                    more => *count += more,
                }
            }
        }
        let [(_, one), (_, other)] = &files;
        if counts[0] != counts[1] || one[..counts[0]] != other[..counts[1]] {
            return Ok(Some(false));
        }
        if counts[0] == 0 {
            return Ok(Some(true));
        }
    }
}
