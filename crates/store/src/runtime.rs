//! What running processes use, so that a program is not collected while it runs.
//!
//! As in Nix: the programs, working directories, open and mapped files, and the environments of those processes
//! that may be looked at. Nothing of it is a promise (an address in a process's memory is not seen), but it keeps
//! what nobody would expect to vanish.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use picnix_store_core::StorePath;

use crate::roots::Root;
use crate::store::Store;

/// The longest base name of an object: digest, dash and name.
const MAX_BASE_NAME: usize = 32 + 1 + 211;

/// The objects that processes other than this one use.
pub(crate) fn runtime_roots(store: &Store, proc: &Path) -> Vec<Root> {
    let mut roots = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        // A process may end or belong to somebody else: then it says nothing.
        let process = entry.path();
        for link in ["exe", "cwd"] {
            note_link(store, &process.join(link), &mut roots);
        }
        for fd in std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            note_link(store, &fd.path(), &mut roots);
        }
        for text in ["maps", "environ"] {
            let path = process.join(text);
            let bytes = std::fs::read(&path).unwrap_or_default();
            let keeper = path.display().to_string();
            for object in mentioned(store, &bytes) {
                roots.insert(Root { path: object, keeper: keeper.clone() });
            }
        }
    }
    roots.into_iter().collect()
}

fn note_link(store: &Store, link: &Path, roots: &mut BTreeSet<Root>) {
    let target = std::fs::read_link(link).ok();
    if let Some(path) = target.and_then(|target| store.object_of(&target)) {
        let keeper = match link.parent().filter(|dir| dir.ends_with("fd")) {
            Some(dir) => dir.display().to_string(),
            None => link.display().to_string(),
        };
        roots.insert(Root { path, keeper });
    }
}

/// The objects whose paths, logical or real, stand in a text.
fn mentioned(store: &Store, text: &[u8]) -> BTreeSet<StorePath> {
    let mut found = BTreeSet::new();
    let real = store.objects_dir().as_os_str().as_bytes();
    for prefix in [real, store.store_dir().as_str().as_bytes()] {
        let mut rest = text;
        while let Some(at) = find(rest, prefix) {
            rest = &rest[at + prefix.len()..];
            let Some(name) = rest.strip_prefix(b"/") else { continue };
            let is_of_name =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(byte);
            let len =
                name.iter().take(MAX_BASE_NAME).take_while(|b| is_of_name(b)).count();
            found.extend(StorePath::parse(&name[..len]).ok());
        }
    }
    found
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if text[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
