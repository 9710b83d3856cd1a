//! `builtin:fetchurl`: a file from the network whose hash is known.
//!
//! The download itself runs on a thread of its own, so that a request to stop is obeyed at once and
//! not when a silent server answers. A partial download stays in the store's directory of downloads
//! and is continued by the next try.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use picnix_fetch::{Fetched, Progress, Request};
use picnix_store_core::{
    ContentAddressMethod, Derivation, DerivationOutput, Hash, HashFormat, StorePath,
};
use serde_json::Value;

use crate::build::BuildConfig;
use crate::cancel::Cancel;
use crate::error::StepError;
use crate::options;

/// How often a request to stop is looked for.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// What to fetch for one derivation.
pub(crate) struct Job<'a> {
    pub(crate) config: &'a BuildConfig,
    pub(crate) derivation: &'a Derivation,
    /// The derivation path, printed.
    pub(crate) drv: String,
    pub(crate) downloads_dir: &'a Path,
    pub(crate) output: &'a StorePath,
    /// Where the output is to be.
    pub(crate) physical: &'a Path,
    pub(crate) cancel: &'a Cancel,
}

enum Message {
    Progress(Progress),
    Done(Result<Fetched, picnix_fetch::Error>),
}

impl Job<'_> {
    pub(crate) fn run(
        &self,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<(), StepError> {
        if self.attribute("unpack")?.as_deref() == Some("1") {
            return Err(wrong("'builtin:fetchurl' does not unpack archives"));
        }
        let expected = self.expected()?;
        fs::create_dir_all(self.downloads_dir)
            .map_err(StepError::io("create", self.downloads_dir))?;
        let request = Request {
            urls: self.urls()?,
            mirrors: self.config.mirrors.clone(),
            expected,
            dest: self.downloads_dir.join(self.output.to_string()),
            max_bytes: None,
            config: self.config.fetch.clone(),
        };
        let dest = request.dest.clone();
        self.fetch(request, progress)?;
        if self.attribute("executable")?.as_deref() == Some("1") {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&dest, mode)
                .map_err(StepError::io("set the mode of", &dest))?;
        }
        move_file(&dest, self.physical)
    }

    /// The hash of the file itself, where the output's is one.
    fn expected(&self) -> Result<Option<Hash>, StepError> {
        let outputs = self.derivation.outputs.values();
        let mut fixed = outputs.filter_map(|output| match output {
            DerivationOutput::CaFixed(address) => Some(address),
            DerivationOutput::InputAddressed(_)
            | DerivationOutput::CaFloating { .. }
            | DerivationOutput::Deferred
            | DerivationOutput::Impure { .. } => None,
        });
        let Some(address) = fixed.next() else {
            return Err(wrong("'builtin:fetchurl' must be a fixed-output derivation"));
        };
        Ok((address.method == ContentAddressMethod::Flat).then_some(address.hash))
    }

    fn urls(&self) -> Result<Vec<String>, StepError> {
        let list = self.attribute("urls")?.or(self.attribute("url")?).unwrap_or_default();
        let urls: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
        if urls.is_empty() {
            Err(wrong("'builtin:fetchurl' requires a 'url'"))
        } else {
            Ok(urls)
        }
    }

    /// An attribute as text; a list's items are joined by spaces.
    fn attribute(&self, name: &str) -> Result<Option<String>, StepError> {
        let Some(attrs) = options::structured(self.derivation)? else {
            let value = self.derivation.env.get(name.as_bytes());
            return Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()));
        };
        Ok(attrs.get(name).map(|value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            }
            Value::Bool(true) => "1".to_owned(),
            Value::Null | Value::Bool(false) | Value::Number(_) | Value::Object(_) => {
                String::new()
            }
        }))
    }

    fn fetch(
        &self,
        request: Request,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<(), StepError> {
        let (sender, receiver) = mpsc::channel();
        let cancel = self.cancel.clone();
        std::thread::spawn(move || {
            let result = picnix_fetch::fetch(&request, &mut |progress| {
                let heard = sender.send(Message::Progress(progress.clone())).is_ok();
                heard && !cancel.is_cancelled()
            });
            // Nobody listens any more where the step was told to stop.
            let _ = sender.send(Message::Done(result));
        });
        loop {
            if self.cancel.is_cancelled() {
                return Err(StepError::Interrupted);
            }
            match receiver.recv_timeout(CANCEL_INTERVAL) {
                Ok(Message::Progress(now)) => progress(now.done_bytes, now.total_bytes),
                Ok(Message::Done(Ok(_))) => return Ok(()),
                Ok(Message::Done(Err(error))) => return Err(self.failed(error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(StepError::Interrupted);
                }
            }
        }
    }

    fn failed(&self, error: picnix_fetch::Error) -> StepError {
        match error {
            picnix_fetch::Error::Cancelled => StepError::Interrupted,
            picnix_fetch::Error::HashMismatch { url, wanted, got, others } => {
                let others = others.iter().map(|other| format!("\n  {other}"));
                StepError::HashMismatch {
                    drv: self.drv.clone(),
                    specified: wanted.print(HashFormat::Sri),
                    got: got.print(HashFormat::Sri),
                    whence: format!("\n     from:   {url}{}", others.collect::<String>()),
                }
            }
            other => StepError::Fetch(Box::new(other)),
        }
    }
}

fn wrong(message: &str) -> StepError {
    StepError::Attribute(message.to_owned())
}

/// Moves a file, copying it where the two places are on different file systems.
fn move_file(from: &Path, to: &Path) -> Result<(), StepError> {
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map_err(StepError::io("copy a download to", to))?;
    fs::remove_file(from).map_err(StepError::io("remove", from))
}
