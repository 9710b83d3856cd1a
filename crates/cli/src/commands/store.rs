//! `picnix store`: looking at the store and changing it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_engine::Engine;
use picnix_store::{AddRequest, Store};
use picnix_store_core::{ContentAddressMethod, DIGEST_CHARS, PathInfo, StorePath};
use serde_json::json;

use super::{Context, Outcome, derivation};
use crate::args::{DerivationCommand, JobArgs, StoreCommand};
use crate::error::CommandError;
use crate::output;

/// Runs a `picnix store` command.
pub(crate) fn run(context: Context, command: StoreCommand) -> Outcome {
    let engine = context.clone().engine(&JobArgs::default());
    let shell = Shell { store: engine.store()?, engine: &engine };
    match command {
        StoreCommand::Add { paths, name, flat, text } => {
            let method = match (flat, text) {
                (true, _) => ContentAddressMethod::Flat,
                (_, true) => ContentAddressMethod::Text,
                _ => ContentAddressMethod::Nar,
            };
            shell.add(&paths, name.as_deref(), method)
        }
        StoreCommand::Find { hash } => shell.find(&hash),
        StoreCommand::Dump { path } => shell.dump(&path),
        StoreCommand::Restore { path } => shell.restore(&path),
        StoreCommand::Ls { path, long, recursive } => {
            let physical = shell.physical(&path)?;
            list(&physical, ".", long, recursive)
        }
        StoreCommand::Cat { path } => shell.cat(&path),
        StoreCommand::Info { paths, json } => shell.info(&paths, json),
        StoreCommand::Log { path } => shell.log(&path),
        StoreCommand::Roots => shell.roots(),
        StoreCommand::Delete { paths } => shell.delete(&paths),
        StoreCommand::Gc { dry_run, max, older_than } => {
            shell.gc(dry_run, max, older_than)
        }
        StoreCommand::Optimise => shell.optimise(),
        StoreCommand::Profile(command) => shell.profile(&command),
        StoreCommand::Verify(args) => shell.verify(&args),
        StoreCommand::Copy(args) => shell.copy(&args),
        StoreCommand::Sign { key_file, recursive, paths } => {
            shell.sign(&key_file, recursive, &paths)
        }
        StoreCommand::GenerateKey { name, file } => shell.generate_key(&name, &file),
        StoreCommand::Serve { listen, key_file } => {
            shell.serve(&listen, key_file.as_deref())
        }
        StoreCommand::Daemon { stdio: _ } => answer_client(&engine),
        StoreCommand::Tree { path } => shell.tree(&path),
        StoreCommand::Requisites { paths } => shell.requisites(&paths),
        StoreCommand::Referrers { paths, recursive } => {
            shell.referrers(&paths, recursive)
        }
        StoreCommand::Dot { paths } => shell.dot(&paths),
        StoreCommand::Why { path, needed, all } => shell.why(&path, &needed, all),
        StoreCommand::Diff { before, after } => shell.diff(&before, &after),
        StoreCommand::Derivation(DerivationCommand::Show(args)) => {
            derivation::show(&context, &args)
        }
    }
}

/// What the commands work on.
pub(crate) struct Shell<'e> {
    pub(crate) store: &'e Store,
    pub(crate) engine: &'e Engine,
}

pub(super) fn store_error(error: picnix_store::Error) -> CommandError {
    CommandError::store(&error)
}

pub(crate) fn file_error(action: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::user(format!("cannot {action} '{}': {error}", path.display()))
}

impl Shell<'_> {
    fn add(
        &self,
        paths: &[PathBuf],
        name: Option<&str>,
        method: ContentAddressMethod,
    ) -> Outcome {
        for path in paths {
            let path = self.engine.config.current_dir.join(path);
            let name = match name {
                Some(name) => name.to_owned(),
                None => base_name(&path)?,
            };
            let request = AddRequest { method, ..AddRequest::source(name) };
            let added = self
                .store
                .add_source(&path, &request, &mut |_, _| Ok(true))
                .map_err(store_error)?;
            output::line(&self.store.store_dir().print(&added))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn find(&self, hash: &str) -> Outcome {
        let digest = hash.as_bytes().try_into().ok();
        let digest = digest.filter(|digest: &[u8; DIGEST_CHARS]| {
            picnix_store_core::parse_digest(digest).is_some()
        });
        let Some(digest) = digest else {
            let message = format!("'{hash}' is not the hash of a store path");
            return Err(CommandError::user(message));
        };
        let found = self.store.path_from_digest(&digest).map_err(store_error)?;
        let Some(path) = found else {
            let message = format!("there is no store path with hash '{hash}'");
            return Err(CommandError::user(message));
        };
        output::line(&self.store.store_dir().print(&path))?;
        Ok(ExitCode::SUCCESS)
    }

    fn dump(&self, path: &Path) -> Outcome {
        let physical = self.physical(path)?;
        let mut out = BufWriter::new(io::stdout().lock());
        self.store.dump_tree(&physical, &mut out).map_err(store_error)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn restore(&self, path: &Path) -> Outcome {
        let path = self.engine.config.current_dir.join(path);
        picnix_store::restore_nar(BufReader::new(io::stdin().lock()), &path)
            .map_err(store_error)?;
        Ok(ExitCode::SUCCESS)
    }

    fn cat(&self, path: &Path) -> Outcome {
        let physical = self.physical(path)?;
        let mut file = fs::File::open(&physical)
            .map_err(|error| file_error("read", path, &error))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(CommandError::user(format!(
                "'{}' is a directory",
                path.display()
            ))
            .hint("'picnix store ls' lists it"));
        }
        let mut out = io::stdout().lock();
        io::copy(&mut file, &mut out)
            .map_err(|error| file_error("read", path, &error))?;
        Ok(ExitCode::SUCCESS)
    }

    fn info(&self, paths: &[PathBuf], as_json: bool) -> Outcome {
        if paths.is_empty() {
            return self.info_of_all(as_json);
        }
        let mut values = serde_json::Map::new();
        for path in paths {
            let path = self.store_path(path)?;
            let info = self.store.path_info(&path).map_err(store_error)?;
            let closure = self.store.closure([&path]).map_err(store_error)?;
            let mut closure_size = 0;
            for member in &closure {
                closure_size +=
                    self.store.path_info(member).map_err(store_error)?.nar_size;
            }
            if as_json {
                values.insert(self.print(&path), self.info_json(&info, closure_size));
            } else {
                self.show_info(&info, closure_size)?;
            }
        }
        if as_json {
            output::line(&serde_json::Value::Object(values).to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn info_of_all(&self, as_json: bool) -> Outcome {
        let paths = self.store.valid_paths().map_err(store_error)?;
        let mut total: u64 = 0;
        for path in &paths {
            let info = self.store.query_path_info(path).map_err(store_error)?;
            total += info.map_or(0, |info| info.nar_size);
        }
        let root = self.store.config().root.display().to_string();
        let store_dir = self.store.store_dir().to_string();
        if as_json {
            let value = json!({
                "root": root, "storeDir": store_dir, "objects": paths.len(),
                "narSize": total
            });
            output::line(&value.to_string())?;
        } else {
            output::line(&format!("root      {root}"))?;
            output::line(&format!("store dir {store_dir}"))?;
            output::line(&format!("objects   {}", paths.len()))?;
            output::line(&format!("NAR size  {total} bytes"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn info_json(&self, info: &PathInfo, closure_size: u64) -> serde_json::Value {
        let references: Vec<String> =
            info.references.iter().map(|path| self.print(path)).collect();
        json!({
            "narHash": picnix_store_core::Hash::from(info.nar_hash)
                .print(picnix_store_core::HashFormat::Sri),
            "narSize": info.nar_size,
            "closureSize": closure_size,
            "references": references,
            "deriver": info.deriver.as_ref().map(|path| self.print(path)),
            "ca": info.content_address.as_ref().map(ToString::to_string),
            "signatures": info.signatures.iter().map(ToString::to_string)
                .collect::<Vec<_>>(),
            "registrationTime": info.registration_time,
            "ultimate": info.ultimate,
            "physicalPath": self.store.real_path(&info.path).display().to_string(),
        })
    }

    fn show_info(&self, info: &PathInfo, closure_size: u64) -> Result<(), CommandError> {
        output::line(&self.print(&info.path))?;
        let physical = self.store.real_path(&info.path);
        output::line(&format!("  lies at       {}", physical.display()))?;
        output::line(&format!("  NAR hash      sha256:{}", info.nar_hash.nix32()))?;
        output::line(&format!("  NAR size      {} bytes", info.nar_size))?;
        output::line(&format!("  closure size  {closure_size} bytes"))?;
        if let Some(deriver) = &info.deriver {
            output::line(&format!("  deriver       {}", self.print(deriver)))?;
        }
        for reference in &info.references {
            output::line(&format!("  refers to     {}", self.print(reference)))?;
        }
        Ok(())
    }

    fn log(&self, path: &Path) -> Outcome {
        let store_path = self.store_path(path)?;
        let log = picnix_build::find_log(self.store, &store_path).map_err(store_error)?;
        let Some(log) = log else {
            let path = self.print(&store_path);
            return Err(CommandError::user(format!("there is no build log of '{path}'")));
        };
        let mut file =
            fs::File::open(&log).map_err(|error| file_error("read", &log, &error))?;
        let mut out = io::stdout().lock();
        io::copy(&mut file, &mut out)
            .map_err(|error| file_error("read", &log, &error))?;
        Ok(ExitCode::SUCCESS)
    }

    fn roots(&self) -> Outcome {
        for root in self.store.roots().map_err(store_error)? {
            output::line(&format!("{} -> {}", root.keeper, self.print(&root.path)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn delete(&self, paths: &[PathBuf]) -> Outcome {
        let paths: Result<BTreeSet<StorePath>, CommandError> =
            paths.iter().map(|path| self.store_path(path)).collect();
        let freed = self.store.delete(&paths?).map_err(store_error)?;
        output::line(&format!("{freed} bytes freed"))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn print(&self, path: &StorePath) -> String {
        self.store.store_dir().print(path)
    }

    /// The path as a logical one: links such as `result` are followed into the store.
    fn logical(&self, path: &Path) -> Vec<u8> {
        let absolute = self.engine.config.current_dir.join(path);
        let bytes = picnix_eval::canonical_path(absolute.as_os_str().as_bytes());
        if self.store.store_dir().parse_path_within(&bytes).is_ok() {
            return bytes;
        }
        let Ok(resolved) = fs::canonicalize(&absolute) else { return bytes };
        match resolved.strip_prefix(self.store.objects_dir()) {
            Ok(inside) => {
                let store_dir = self.store.store_dir().as_str().as_bytes();
                [store_dir, b"/", inside.as_os_str().as_bytes()].concat()
            }
            Err(_) => bytes,
        }
    }

    /// Where a path in the store, or any other path, really lies.
    pub(crate) fn physical(&self, path: &Path) -> Result<PathBuf, CommandError> {
        let logical = self.logical(path);
        match self.store.store_dir().parse_path_within(&logical) {
            Ok(_) => self.store.real_path_within(&logical).map_err(store_error),
            Err(_) => Ok(self.engine.config.current_dir.join(path)),
        }
    }

    pub(crate) fn store_path(&self, path: &Path) -> Result<StorePath, CommandError> {
        let logical = self.logical(path);
        let parsed = self.store.store_dir().parse_path_within(&logical);
        let (path, _) = parsed.map_err(|error| CommandError::user(error.to_string()))?;
        Ok(path)
    }
}

/// Answers a client of the worker protocol on standard input and output.
pub(crate) fn answer_client(engine: &Engine) -> Outcome {
    // Locks on the streams cannot go to other threads; their descriptors can.
    let from = fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let to = fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    engine.answer_client(from, to)?;
    Ok(ExitCode::SUCCESS)
}

/// The name that a file has as a store object.
pub(crate) fn base_name(path: &Path) -> Result<String, CommandError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        CommandError::usage(format!("'{}' has no usable name", path.display()))
            .hint("give one with '--name'")
    })
}

/// Lists a file, or a directory's entries by name.
fn list(path: &Path, shown: &str, long: bool, recursive: bool) -> Outcome {
    let metadata =
        fs::symlink_metadata(path).map_err(|error| file_error("read", path, &error))?;
    if !metadata.is_dir() {
        list_entry(path, shown, long)?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in sorted_names(path)? {
        let child = path.join(&name);
        let shown = format!("{shown}/{}", name.to_string_lossy());
        list_entry(&child, &shown, long)?;
        let is_dir = fs::symlink_metadata(&child).is_ok_and(|metadata| metadata.is_dir());
        if recursive && is_dir {
            list(&child, &shown, long, recursive)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sorted_names(path: &Path) -> Result<Vec<std::ffi::OsString>, CommandError> {
    let fail = |error: io::Error| file_error("list", path, &error);
    let entries: io::Result<Vec<_>> = fs::read_dir(path).map_err(fail)?.collect();
    let mut names: Vec<_> =
        entries.map_err(fail)?.iter().map(fs::DirEntry::file_name).collect();
    names.sort();
    Ok(names)
}

fn list_entry(path: &Path, shown: &str, long: bool) -> Result<(), CommandError> {
    if !long {
        output::line(shown)?;
        return Ok(());
    }
    let metadata =
        fs::symlink_metadata(path).map_err(|error| file_error("read", path, &error))?;
    let is_executable = metadata.permissions().mode() & 0o100 != 0;
    let (mode, size, target) = if metadata.is_dir() {
        ("dr-xr-xr-x", 0, String::new())
    } else if metadata.is_symlink() {
        let target =
            fs::read_link(path).map_err(|error| file_error("read", path, &error))?;
        ("lrwxrwxrwx", 0, format!(" -> {}", target.display()))
    } else if is_executable {
        ("-r-xr-xr-x", metadata.len(), String::new())
    } else {
        ("-r--r--r--", metadata.len(), String::new())
    };
    output::line(&format!("{mode} {size:>20} {shown}{target}"))?;
    Ok(())
}
