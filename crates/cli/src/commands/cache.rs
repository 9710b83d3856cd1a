//! `picnix store copy | sign | generate-key | serve | daemon`: sharing the store.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picnix_build::cache::{CacheAddress, Compression, Served};
use picnix_build::remote::RemoteAddress;
use picnix_engine::caches::{Signatures, generate_key, read_secret_key};
use picnix_store_core::{SecretKey, StorePath};

use super::Outcome;
use super::store::{Shell, store_error};
use crate::args::CopyArgs;
use crate::error::CommandError;
use crate::output;

impl Shell<'_> {
    pub(super) fn copy(&self, args: &CopyArgs) -> Outcome {
        match (&args.place.to, &args.place.from) {
            (Some(to), _) => self.copy_to(to, args),
            (None, Some(from)) => {
                let signatures = match args.no_check_sigs {
                    true => Signatures::Ignored,
                    false => Signatures::AsConfigured,
                };
                let paths = self.store_paths(&args.paths)?;
                if RemoteAddress::is_remote(from) {
                    self.engine.fetch_from(from, &paths, signatures)?;
                } else {
                    self.engine.copy_from(from, &paths, signatures)?;
                }
                for path in &paths {
                    output::line(&self.print(path))?;
                }
                Ok(ExitCode::SUCCESS)
            }
            (None, None) => {
                Err(CommandError::usage("neither '--to' nor '--from' is given"))
            }
        }
    }

    fn copy_to(&self, to: &str, args: &CopyArgs) -> Outcome {
        if RemoteAddress::is_remote(to) {
            return self.send_to(to, args);
        }
        let engine_error = |error| CommandError::from(picnix_engine::Error::Cache(error));
        let mut address = CacheAddress::parse(to).map_err(engine_error)?;
        if let Some(name) = &args.compression {
            address.compression = Compression::parse(name).map_err(engine_error)?;
        }
        address.compression_level = args.level.or(address.compression_level);
        let key = self.key(args.key_file.as_deref())?;
        let paths = self.store_paths(&args.paths)?;
        let report = self.engine.copy_to(address, &paths, key.as_ref(), &|path| {
            output::error(&format!("copying {}", path.name()));
        })?;
        output::line(&format!(
            "{} objects copied, {} bytes compressed; {} were there",
            report.sent, report.sent_bytes, report.present
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    fn send_to(&self, to: &str, args: &CopyArgs) -> Outcome {
        let paths = self.store_paths(&args.paths)?;
        let report = self.engine.send_to(to, &paths, &|path| {
            output::error(&format!("copying {}", path.name()));
        })?;
        output::line(&format!(
            "{} objects copied, {} bytes; {} were there",
            report.sent, report.nar_bytes, report.present
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn sign(
        &self,
        key_file: &Path,
        recursive: bool,
        paths: &[PathBuf],
    ) -> Outcome {
        let key = self.engine.config.current_dir.join(key_file);
        let key = read_secret_key(&key)?;
        let mut paths = self.store_paths(paths)?;
        if recursive {
            paths = self.store.closure(&paths).map_err(store_error)?;
        }
        let mut added = 0;
        for path in &paths {
            let mut info = self.store.path_info(path).map_err(store_error)?;
            let before = info.signatures.len();
            info.sign(self.store.store_dir(), &key)
                .map_err(|error| CommandError::user(error.to_string()))?;
            if info.signatures.len() > before {
                self.store.set_signatures(path, &info.signatures).map_err(store_error)?;
                added += 1;
            }
        }
        output::line(&format!("{added} signatures added"))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn generate_key(&self, name: &str, file: &Path) -> Outcome {
        let file = self.engine.config.current_dir.join(file);
        let key = generate_key(name, &file)?;
        output::line(&key.public_key().to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn serve(&self, listen: &str, key_file: Option<&Path>) -> Outcome {
        let key = self.key(key_file)?;
        let listener = TcpListener::bind(listen).map_err(|error| {
            CommandError::user(format!("cannot listen at '{listen}': {error}"))
        })?;
        output::line(&format!("serving the store at http://{}", listener.local_addr()?))?;
        let log = |served: &Served| {
            let Served { peer, request, status, sent_bytes } = served;
            output::error(&format!("{peer} {status} {sent_bytes} {request}"));
        };
        self.engine.serve(listener, key.as_ref(), &log)?;
        Ok(ExitCode::SUCCESS)
    }

    fn key(&self, file: Option<&Path>) -> Result<Option<SecretKey>, CommandError> {
        let Some(file) = file else { return Ok(None) };
        Ok(Some(read_secret_key(&self.engine.config.current_dir.join(file))?))
    }

    pub(super) fn store_paths(
        &self,
        paths: &[PathBuf],
    ) -> Result<BTreeSet<StorePath>, CommandError> {
        paths.iter().map(|path| self.store_path(path)).collect()
    }
}
