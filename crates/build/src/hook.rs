//! A program of the user's that is run after each build (Nix's `post-build-hook`).
//!
//! It sees the caller's environment, and `DRV_PATH` and `OUT_PATHS` as in Nix; `PICNIX_STORE` names the
//! store. What it writes is shown with the build's own lines. The step ends when it does, and fails if it
//! fails; the outputs are valid by then.

use std::io::{BufRead, BufReader, PipeReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use picnix_store::Store;

use crate::cancel::Cancel;
use crate::error::StepError;
use crate::lock::lock;
use crate::plan::Step;

/// Runs the hook for a step that was done.
pub(crate) fn run_hook(
    hook: &Path,
    store: &Store,
    step: &Step,
    cancel: &Cancel,
    log: &dyn Fn(&[u8]),
) -> Result<(), StepError> {
    let (child, output) = start(hook, store, step).map_err(StepError::io("run", hook))?;
    let child = Arc::new(Mutex::new(child));
    let inner = child.clone();
    let killed = cancel.on_cancel(move || {
        // It may have ended by itself.
        let _ = lock(&inner).kill();
    });
    for line in BufReader::new(output).split(b'\n') {
        log(&line.map_err(StepError::io("read what is written by", hook))?);
    }
    drop(killed);
    let status = lock(&child).wait().map_err(StepError::io("wait for", hook))?;
    if cancel.is_cancelled() {
        return Err(StepError::Interrupted);
    }
    if !status.success() {
        let (hook, status) = (hook.to_owned(), status.to_string());
        return Err(StepError::Hook { hook, status });
    }
    Ok(())
}

fn start(
    hook: &Path,
    store: &Store,
    step: &Step,
) -> std::io::Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    let print = |path| store.store_dir().print(path);
    let outputs: Vec<String> = step.outputs.values().map(print).collect();
    let child = Command::new(hook)
        .env("DRV_PATH", print(&step.drv_path))
        .env("OUT_PATHS", outputs.join(" "))
        .env("PICNIX_STORE", &store.config().root)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    Ok((child, reader))
}
