//! `nix-store --export | --import | --dump-db | --load-db | --optimise`: a store as a whole, or as a stream; the keys
//! that sign it.

use std::collections::BTreeSet;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::process::ExitCode;

use picnix_engine::caches::generate_key;
use picnix_store::{HashesFrom, Registration};
use picnix_store_core::StorePath;

use super::query::references_first;
use super::store::{Call, Shell, store_error};
use super::{Stop, usage};
use crate::commands::store::file_error;
use crate::output;

/// How much is written and read at once.
const BUFFER_SIZE: usize = 256 * 1024;

fn paths_of(shell: &Shell<'_>, call: &Call) -> Result<BTreeSet<StorePath>, Stop> {
    call.args.iter().map(|arg| shell.store_path(arg)).collect()
}

pub(super) fn export(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let sorted = references_first(shell, &paths_of(shell, call)?)?;
    let mut out = BufWriter::with_capacity(BUFFER_SIZE, io::stdout().lock());
    shell.store.export(&sorted, &mut out).map_err(store_error)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn import(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    call.nothing()?;
    let source = BufReader::with_capacity(BUFFER_SIZE, io::stdin().lock());
    for path in shell.store.import(source).map_err(store_error)? {
        output::line(&shell.print(&path))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn dump_database(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    let paths = match call.args.is_empty() {
        true => shell.store.valid_paths().map_err(store_error)?,
        false => paths_of(shell, call)?,
    };
    for path in &paths {
        let text = shell.store.print_registration(path).map_err(store_error)?;
        output::write(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn load_database(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    call.nothing()?;
    let given = Registration { hashes: HashesFrom::Text, replaces: true };
    shell.store.load_database(io::stdin().lock(), given).map_err(store_error)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn register(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    call.nothing()?;
    let hashes = match call.has("--hash-given") {
        true => HashesFrom::Text,
        false => HashesFrom::Objects,
    };
    let given = Registration { hashes, replaces: call.has("--reregister") };
    shell.store.load_database(io::stdin().lock(), given).map_err(store_error)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn optimise(shell: &Shell<'_>, call: &Call) -> Result<ExitCode, Stop> {
    call.nothing()?;
    let report = shell.store.optimise().map_err(store_error)?;
    let text = super::store::size_text(report.freed_bytes);
    output::error(&format!("{text} freed by hard-linking {} files", report.linked));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn generate_key_pair(
    shell: &Shell<'_>,
    call: &Call,
) -> Result<ExitCode, Stop> {
    let [name, secret, public] = call.args.as_slice() else {
        return usage("three arguments expected");
    };
    let dir = &shell.engine.config.current_dir;
    let key = generate_key(name, &dir.join(secret))?;
    let public = dir.join(public);
    std::fs::write(&public, key.public_key().to_string())
        .map_err(|error| file_error("write", &public, &error))?;
    Ok(ExitCode::SUCCESS)
}
