//! A place for fetching: a store, a home and a folder for what is fetched, all new.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use picnix_build::{Cancel, Silent};
use picnix_engine::{BuildOptions, Config, Engine};

/// A store, a cache and a place for things to fetch.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) engine: Engine,
}

impl Bench {
    /// A new one, with settings beside an empty flake registry.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let env: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), root.join("home").into()),
            ("PICNIX_STORE".into(), root.join("store").into()),
            ("NIX_CONF_DIR".into(), root.join("etc").into()),
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
        ];
        let mut config = Config::new(env, root).unwrap();
        config.settings.set("flake-registry", "");
        for (name, value) in settings {
            config.settings.set(name, value);
        }
        let options = BuildOptions::default();
        let engine = Engine::new(config, &options, Arc::new(Silent), Cancel::new());
        Self { dir, engine }
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}
