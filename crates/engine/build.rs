//! Packs the Nix tree of the repository into an archive that the binary carries.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What `<picnix>` consists of.
const PARTS: &[&str] = &["default.nix", "lib", "modules", "pkgs", "devices"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("../..");
    let target = PathBuf::from(var("OUT_DIR")?).join("tree.tar");
    let mut archive = tar::Builder::new(fs::File::create(target)?);
    for part in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        append(&mut archive, &root, Path::new(part))?;
    }
    archive.finish()
}

fn var(name: &str) -> io::Result<std::ffi::OsString> {
    std::env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo sets {name}")))
}

fn append(
    archive: &mut tar::Builder<fs::File>,
    root: &Path,
    path: &Path,
) -> io::Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        let entries: io::Result<Vec<_>> = fs::read_dir(&full)?.collect();
        let mut names: Vec<_> = entries?.iter().map(fs::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            append(archive, root, &path.join(name))?;
        }
        return Ok(());
    }
    let contents = fs::read(&full)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    let executable = fs::metadata(&full)?.permissions().mode() & 0o100 != 0;
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_mtime(1);
    archive.append_data(&mut header, path, contents.as_slice())
}
