//! Where `<picnix>` is: the checkout around the current directory, or the copy inside the binary.
//!
//! The copy is unpacked once per version, below the cache directory, under a name that is its hash: two picnix
//! binaries never mix their trees, and a copy that was interrupted is never used.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use picnix_store_core::Sha256;

use crate::{Config, Error};

/// The Nix tree (`default.nix`, `lib`, `modules`, ...) as a tar archive.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tree.tar"));

/// The directory that `<picnix>` stands for.
///
/// # Errors
/// The copy cannot be unpacked.
pub fn find(config: &Config) -> Result<PathBuf, Error> {
    match config.current_dir.ancestors().find(|dir| is_checkout(dir)) {
        Some(dir) => Ok(dir.to_path_buf()),
        None => unpack(&config.cache_dir),
    }
}

/// What of the tree reads configurations, as opposed to being one: places in there say nothing to a user.
#[must_use]
pub fn internal(tree: &Path) -> Vec<Vec<u8>> {
    ["default.nix", "devices", "lib", "modules", "pkgs"]
        .iter()
        .map(|name| tree.join(name).into_os_string().into_vec())
        .collect()
}

/// Whether a directory is the root of picnix's own source tree.
fn is_checkout(dir: &Path) -> bool {
    ["default.nix", "lib/default.nix", "modules", "pkgs", "crates/cli/Cargo.toml"]
        .iter()
        .all(|name| dir.join(name).exists())
}

fn unpack(cache_dir: &Path) -> Result<PathBuf, Error> {
    let target = cache_dir.join("tree").join(Sha256::of(EMBEDDED).nix32());
    if target.exists() {
        return Ok(target);
    }
    let fail = |path: &Path, source| Error::File {
        action: "unpack picnix's modules to",
        path: path.to_path_buf(),
        source,
    };
    let staging = target.with_extension(format!("{}.tmp", std::process::id()));
    fs::create_dir_all(&staging).map_err(|source| fail(&staging, source))?;
    let unpacked = tar::Archive::new(EMBEDDED)
        .unpack(&staging)
        .and_then(|()| fs::rename(&staging, &target));
    if let Err(source) = unpacked {
        // What is left of the copy is of no use; that it cannot be removed is not the error to report.
        let _ = fs::remove_dir_all(&staging);
        if !target.exists() {
            return Err(fail(&target, source));
        }
    }
    Ok(target)
}
