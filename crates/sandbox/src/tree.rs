//! Trees that a builder left behind: removing them, and becoming their owner.
//!
//! A builder leaves directories without write permission and, where root built, files of another
//! owner. Neither function follows links.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use crate::error::Error;

/// Removes a file or a directory with everything in it, whatever its permissions. A path that does
/// not exist is fine.
///
/// # Errors
/// [`Error::Tree`], with the path that could not be removed.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(tree("look at", path, source)),
    };
    if !found.is_dir() {
        return fs::remove_file(path).map_err(|source| tree("remove", path, source));
    }
    if found.permissions().mode() & 0o700 != 0o700 {
        let open = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, open).map_err(|source| tree("open", path, source))?;
    }
    let entries = fs::read_dir(path).map_err(|source| tree("list", path, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| tree("list", path, source))?;
        remove_tree(&entry.path())?;
    }
    fs::remove_dir(path).map_err(|source| tree("remove", path, source))
}

/// Makes the calling user the owner of a tree that a box wrote; does nothing where it is already.
///
/// # Errors
/// [`Error::Tree`], with the path whose owner could not be changed.
pub fn take_ownership(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(|s| tree("look at", path, s))?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if found.uid() != uid.as_raw() || found.gid() != gid.as_raw() {
        lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .map_err(|source| tree("become the owner of", path, source))?;
    }
    if found.is_dir() {
        let entries = fs::read_dir(path).map_err(|source| tree("list", path, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| tree("list", path, source))?;
            take_ownership(&entry.path())?;
        }
    }
    Ok(())
}

fn tree(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Tree { action, path: path.to_owned(), source }
}
