//! What a box looks like from inside.
//!
//! The root is a small tmpfs that ends with the box. `/build`, `/tmp` and the store directory are
//! directories of the host (they may grow large, and outputs are taken over by a rename); inputs
//! are bind mounts in the store directory, as in Nix.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::ids::{BUILDER_GID, BUILDER_UID, IdMap};
use crate::script::{HARMLESS, Op, READ_ONLY, Script, Subtree, c_path};
use crate::spec::{BoxSpec, HostPath, Network};

/// Where the builder finds its build directory.
pub(crate) const BUILD_DIR: &str = "build";
/// An empty file beside the box, on whose links files are mounted.
const MOUNT_POINT: &str = "mount-point";
/// The device nodes of a box.
const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];
/// Top-level names that a root tree may provide.
const ROOT_TREE: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Where distributions keep the CA certificates, and where a networked box finds them.
const CA_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Room for the scaffolding of the root, which holds a few small files only.
const ROOT_OPTIONS: &str = "mode=0755,size=4m";

/// Makes the directories of the host and the script that assembles the box from them.
pub(crate) fn prepare(spec: &BoxSpec, ids: &IdMap) -> Result<Script, Error> {
    let mut script = Script::default();
    for (name, mode) in [("build", 0o700), ("store", 0o755), ("tmp", 0o1777)] {
        make_dir(&spec.work_dir.join(name), mode, ids)?;
    }
    // Only ever mounted on, so that neither its owner nor its mode matters.
    let root = spec.work_dir.join("root");
    let fail = |source| Error::Prepare { path: root.clone(), source };
    fs::DirBuilder::new().mode(0o700).create(&root).map_err(fail)?;
    let data = c_path(Path::new(ROOT_OPTIONS))?;
    script.ops.push(Op::Tmpfs { target: c_path(&root)?, data });
    script.ops.push(Op::Enter { path: c_path(&root)? });
    for dir in ["build", "dev", "dev/pts", "dev/shm", "etc", "proc", "tmp"] {
        script.dir(dir)?;
    }
    write_build_files(spec, ids)?;
    add_etc(&mut script, spec.network)?;
    add_devices(&mut script)?;
    add_writable(&mut script, &spec.work_dir.join("build"), BUILD_DIR)?;
    add_writable(&mut script, &spec.work_dir.join("tmp"), "tmp")?;
    add_store(&mut script, spec)?;
    if let Some(tree) = &spec.root_tree {
        add_root_tree(&mut script, tree)?;
    }
    for path in &spec.host_paths {
        add_host_path(&mut script, spec, path)?;
    }
    add_proc(&mut script)?;
    script.protect(".", READ_ONLY | HARMLESS)?;
    Ok(script)
}

fn make_dir(path: &Path, mode: u32, ids: &IdMap) -> Result<(), Error> {
    let fail = |source| Error::Prepare { path: path.to_owned(), source };
    fs::DirBuilder::new().mode(mode).create(path).map_err(fail)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(fail)?;
    give(path, ids).map_err(fail)
}

/// Makes the builder the owner of a file or directory.
fn give(path: &Path, ids: &IdMap) -> io::Result<()> {
    match ids.owner() {
        Some((uid, gid)) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn write_build_files(spec: &BoxSpec, ids: &IdMap) -> Result<(), Error> {
    for file in &spec.build_files {
        let path = spec.build_dir().join(&file.name);
        let fail = |source| Error::Prepare { path: path.clone(), source };
        let mut handle = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(fail)?;
        io::Write::write_all(&mut handle, &file.contents).map_err(fail)?;
        give(&path, ids).map_err(fail)?;
    }
    Ok(())
}

fn add_etc(script: &mut Script, network: Network) -> Result<(), Error> {
    let passwd = format!(
        "root:x:0:0:Nix build user:/build:/noshell\n\
         nixbld:x:{BUILDER_UID}:{BUILDER_GID}:Nix build user:/build:/noshell\n\
         nobody:x:65534:65534:Nobody:/:/noshell\n"
    );
    script.file("etc/passwd", passwd.as_bytes())?;
    let group = format!("root:x:0:\nnixbld:!:{BUILDER_GID}:\nnogroup:x:65534:\n");
    script.file("etc/group", group.as_bytes())?;
    match network {
        Network::Isolated => {
            script.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
        }
        Network::Host => add_network_files(script),
    }
}

/// Shows the resolver's configuration and the CA certificates, as they are now.
fn add_network_files(script: &mut Script) -> Result<(), Error> {
    script.file("etc/nsswitch.conf", b"hosts: files dns\nservices: files\n")?;
    for name in ["hosts", "resolv.conf", "services"] {
        show_file(script, &Path::new("/etc").join(name), &format!("etc/{name}"))?;
    }
    if let Some(found) = CA_FILES.iter().map(Path::new).find(|path| path.exists()) {
        script.dir("etc/ssl")?;
        script.dir("etc/ssl/certs")?;
        show_file(script, found, "etc/ssl/certs/ca-certificates.crt")?;
    }
    Ok(())
}

/// Shows one file of the host read-only; nothing where there is none.
fn show_file(script: &mut Script, host: &Path, target: &str) -> Result<(), Error> {
    let Ok(physical) = fs::canonicalize(host) else {
        return Ok(());
    };
    script.file(target, b"")?;
    script.bind(&physical, Path::new(target))?;
    script.protect(target, READ_ONLY | HARMLESS)
}

fn add_devices(script: &mut Script) -> Result<(), Error> {
    for name in DEVICES {
        let target = format!("dev/{name}");
        script.file(&target, b"")?;
        script.bind(&Path::new("/dev").join(name), Path::new(&target))?;
        script.protect(&target, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
    }
    let data = c_path(Path::new("mode=1777"))?;
    script.ops.push(Op::Tmpfs { target: c_path(Path::new("dev/shm"))?, data });
    script.ops.push(Op::DevPts { target: c_path(Path::new("dev/pts"))? });
    for (path, target) in [
        ("dev/ptmx", "pts/ptmx"),
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
    ] {
        script.symlink(Path::new(target), path)?;
    }
    Ok(())
}

fn add_writable(script: &mut Script, host: &Path, target: &str) -> Result<(), Error> {
    script.bind(host, Path::new(target))?;
    script.protect(target, HARMLESS)
}

/// The store directory: a private directory with the inputs mounted in it.
fn add_store(script: &mut Script, spec: &BoxSpec) -> Result<(), Error> {
    let relative = spec.store_dir.strip_prefix("/").unwrap_or(&spec.store_dir);
    let mut parents: Vec<&Path> =
        relative.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
    parents.reverse();
    for parent in parents {
        script.ops.push(Op::Dir { path: c_path(parent)? });
    }
    script.bind(&spec.outputs_dir(), relative)?;
    let here = c_path(relative)?;
    for input in &spec.inputs {
        add_input(script, spec, relative, &input.physical, &input.logical)?;
    }
    // One call protects every input; the directory itself is made writable again.
    let set = READ_ONLY | HARMLESS;
    script.ops.push(Op::Attributes {
        path: here.clone(),
        set,
        clear: 0,
        tree: Subtree::Yes,
    });
    let clear = READ_ONLY;
    script.ops.push(Op::Attributes { path: here, set: 0, clear, tree: Subtree::No });
    Ok(())
}

/// Makes the place for one input (a link is copied, since a link cannot be mounted) and mounts it.
fn add_input(
    script: &mut Script,
    spec: &BoxSpec,
    store_dir: &Path,
    physical: &Path,
    logical: &Path,
) -> Result<(), Error> {
    let Some(name) =
        logical.file_name().filter(|_| logical.parent() == Some(&*spec.store_dir))
    else {
        let (path, store_dir) = (logical.to_owned(), spec.store_dir.clone());
        return Err(Error::InputOutsideStore { path, store_dir });
    };
    let place = spec.outputs_dir().join(name);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Prepare { path, source }
    };
    let kind = fs::symlink_metadata(physical).map_err(fail(physical))?.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(physical).map_err(fail(physical))?;
        return std::os::unix::fs::symlink(target, &place).map_err(fail(&place));
    }
    if kind.is_dir() {
        fs::DirBuilder::new().mode(0o755).create(&place).map_err(fail(&place))?;
    } else {
        // One empty file serves all of them: its links cost no inodes, whose allocation is what
        // making a box for many inputs spends its time on.
        let empty = spec.work_dir.join(MOUNT_POINT);
        if fs::hard_link(&empty, &place).is_err() {
            let from = fs::File::create_new(&empty).map(|_| empty);
            let linked = from.and_then(|empty| fs::hard_link(empty, &place));
            linked
                .or_else(|_| fs::File::create_new(&place).map(drop))
                .map_err(fail(&place))?;
        }
    }
    script.bind(physical, &store_dir.join(name))
}

/// Shows the usual top-level directories of a tree; links stay links.
fn add_root_tree(script: &mut Script, tree: &Path) -> Result<(), Error> {
    for name in ROOT_TREE {
        show_directory(script, &tree.join(name), name)?;
    }
    show_directory(script, &tree.join("etc/alternatives"), "etc/alternatives")
}

fn show_directory(
    script: &mut Script,
    host: &PathBuf,
    target: &str,
) -> Result<(), Error> {
    let Ok(found) = fs::symlink_metadata(host) else {
        return Ok(());
    };
    if found.is_symlink() {
        let fail = |source| Error::Prepare { path: host.clone(), source };
        return script.symlink(&fs::read_link(host).map_err(fail)?, target);
    }
    script.dir(target)?;
    script.bind(host, Path::new(target))?;
    script.protect(target, READ_ONLY | HARMLESS)
}

/// Shows what the user wants to be shown; a link as a link. Set-id bits have no effect, nor have
/// device nodes outside `/dev`.
fn add_host_path(
    script: &mut Script,
    spec: &BoxSpec,
    path: &HostPath,
) -> Result<(), Error> {
    let HostPath { physical, logical, is_optional } = path;
    let found = match fs::symlink_metadata(physical) {
        Err(error) if *is_optional && error.kind() == io::ErrorKind::NotFound => {
            return Ok(());
        }
        other => other
            .map_err(|source| Error::Prepare { path: physical.clone(), source })?
            .file_type(),
    };
    let target = logical.strip_prefix("/").unwrap_or(logical);
    let is_plain = target.components().all(|part| matches!(part, Component::Normal(_)));
    let is_taken = [Path::new("proc"), Path::new(BUILD_DIR)].contains(&target);
    if !is_plain
        || is_taken
        || logical.starts_with(&spec.store_dir)
        || logical == Path::new("/")
    {
        return Err(Error::HostPath(logical.clone()));
    }
    let mut parents: Vec<&Path> = target.ancestors().skip(1).collect();
    parents.retain(|parent| !parent.as_os_str().is_empty());
    for parent in parents.into_iter().rev() {
        script.ops.push(Op::Dir { path: c_path(parent)? });
    }
    if found.is_symlink() {
        let fail = |source| Error::Prepare { path: physical.clone(), source };
        let path = c_path(target)?;
        let target = c_path(&fs::read_link(physical).map_err(fail)?)?;
        script.ops.push(Op::Symlink { target, path });
        return Ok(());
    }
    match found.is_dir() {
        true => script.ops.push(Op::Dir { path: c_path(target)? }),
        false => {
            script.ops.push(Op::File { path: c_path(target)?, contents: Vec::new() });
        }
    }
    let (source, path) = (c_path(physical)?, c_path(target)?);
    script.ops.push(Op::Bind { source, target: path.clone(), tree: Subtree::Yes });
    let set = match target.starts_with("dev") {
        true => libc::MOUNT_ATTR_NOSUID,
        false => HARMLESS,
    };
    script.ops.push(Op::Attributes { path, set, clear: 0, tree: Subtree::Yes });
    Ok(())
}

/// A fresh `/proc`, whose switches are read-only even where their owner would run the box.
fn add_proc(script: &mut Script) -> Result<(), Error> {
    script.ops.push(Op::Proc { target: c_path(Path::new("proc"))? });
    Ok(())
}
