//! What picnix takes from the machine and its user: directories, search path, identity.
//!
//! This is the one place where the environment is read. Everything below gets a [`Config`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use picnix_eval::flake::FlakeRef;
use picnix_store_core::StoreDir;

use crate::Error;
use crate::settings::UserSettings;

/// The settings of one run of picnix.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds the store: `PICNIX_STORE`, or below the user's data directory.
    pub store_root: PathBuf,
    /// The logical store directory.
    pub store_dir: StoreDir,
    /// Where things are kept that can be made again.
    pub cache_dir: PathBuf,
    /// The directory that relative paths are relative to.
    pub current_dir: PathBuf,
    /// The user's home.
    pub home_dir: Option<PathBuf>,
    /// Entries of `NIX_PATH` and `-I`: prefix (may be empty) and path, in the order of search.
    pub search_path: Vec<(Vec<u8>, Vec<u8>)>,
    /// The platform that builds run on: `x86_64-linux`.
    pub system: String,
    /// What references to flakes lead to, before any registry is asked; the first one wins.
    pub flake_overrides: Vec<(FlakeRef, FlakeRef)>,
    /// What the user set in Nix's syntax: caches, keys, timeouts.
    pub settings: UserSettings,
    /// For tests: how often evaluation collects its memory, in calls and thunks; `PICNIX_COLLECT_EVERY`.
    pub collect_every: Option<usize>,
    /// For tests: after how many bytes of evaluation other threads help; `PICNIX_HELP_AFTER`.
    pub help_after: Option<usize>,
    /// The variables that expressions may ask for.
    pub env: Vec<(OsString, OsString)>,
}

impl Config {
    /// Reads the environment of this process, and the user's settings. `NIX_STORE_DIR` names another logical
    /// store directory, as for Nix.
    ///
    /// # Errors
    /// The current directory is gone, there is no place for a store, or a setting makes no sense.
    pub fn from_env() -> Result<Self, Error> {
        let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let current_dir = std::env::current_dir().map_err(Error::CurrentDir)?;
        let mut config = Self::new(env, current_dir)?;
        let get = |name: &str| config.var(name).filter(|value| !value.is_empty());
        let folder = get("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| config.home_dir.as_ref().map(|home| home.join(".config")));
        let inline = get("PICNIX_CONFIG");
        if let Some(dir) = get("NIX_STORE_DIR") {
            config.set_store_dir("NIX_STORE_DIR", &dir)?;
        }
        if let Some(folder) = folder {
            config.settings.read(&folder.join("picnix/picnix.conf"))?;
        }
        if let Some(text) = inline {
            config.settings.apply(&text.to_string_lossy(), "PICNIX_CONFIG")?;
        }
        Ok(config)
    }

    /// Makes the settings out of an environment.
    ///
    /// # Errors
    /// There is no place for a store.
    pub fn new(
        env: Vec<(OsString, OsString)>,
        current_dir: PathBuf,
    ) -> Result<Self, Error> {
        let get = |name: &str| {
            env.iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.clone())
        };
        let home_dir = get("HOME").map(PathBuf::from);
        let number = |name: &str| get(name)?.to_str()?.parse().ok();
        let below_home = |dir: &str| home_dir.as_ref().map(|home| home.join(dir));
        let absolute = |path: PathBuf| current_dir.join(path);
        let data_dir = get("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| below_home(".local/share"))
            .map(|dir| dir.join("picnix"));
        let place = get("PICNIX_STORE").map(PathBuf::from);
        let store_root = absolute(data_dir.or(place.clone()).ok_or(Error::NoStorePlace)?);
        let cache_dir = get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| below_home(".cache"))
            .map_or_else(|| store_root.join("cache"), |dir| dir.join("picnix"));
        let search_path = get("NIX_PATH")
            .map(|value| parse_search_path(value.as_bytes()))
            .unwrap_or_default();
        let mut config = Self {
            store_root,
            store_dir: StoreDir::default(),
            cache_dir: absolute(cache_dir),
            home_dir,
            search_path,
            system: format!("{}-linux", std::env::consts::ARCH),
            current_dir,
            settings: UserSettings::default(),
            flake_overrides: Vec::new(),
            collect_every: number("PICNIX_COLLECT_EVERY"),
            help_after: number("PICNIX_HELP_AFTER"),
            env,
        };
        config.choose_store(&place.unwrap_or_default())?;
        Ok(config)
    }

    /// Lets the store be where `--store` or `NIX_REMOTE` says: a folder, `local?root=FOLDER`, or `auto` for where
    /// it is anyhow. `local?store=DIR` names another logical store directory.
    ///
    /// # Errors
    /// It is a store that picnix does not work on, such as another machine's.
    pub fn choose_store(&mut self, place: &Path) -> Result<(), Error> {
        let text = place.to_string_lossy().into_owned();
        let fail = |reason: &str| {
            let (place, reason) = (text.clone(), reason.to_owned());
            Err(Error::StorePlace { place, reason })
        };
        if matches!(&*text, "" | "auto") {
            return Ok(());
        }
        let parameters = match text.split_once('?') {
            Some(("local" | "local://", parameters)) => parameters,
            _ if matches!(&*text, "local" | "local://") => "",
            _ if text == "daemon"
                || text.contains("://")
                || text.starts_with("local?") =>
            {
                return fail("picnix works on a store of its own");
            }
            _ => {
                self.store_root = self.current_dir.join(place);
                return Ok(());
            }
        };
        for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = picnix_fetch::percent_decode(value);
            let value = OsString::from_vec(value);
            match name {
                "root" => self.store_root = self.current_dir.join(value),
                "store" => self.set_store_dir("store", &value)?,
                "real" | "state" | "log" | "read-only" => {
                    return fail(&format!(
                        "'{name}' is not supported: everything lies below 'root'"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn set_store_dir(&mut self, name: &str, dir: &OsStr) -> Result<(), Error> {
        let value = dir.to_string_lossy().into_owned();
        self.store_dir = StoreDir::parse(&value).map_err(|error| {
            let (name, reason) = (name.to_owned(), error.to_string());
            Error::Setting { name, value, reason }
        })?;
        Ok(())
    }

    /// The value of a variable of the environment.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<OsString> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// The profile of the user: `PICNIX_PROFILE`, or a link below the user's state directory. None without a home.
    #[must_use]
    pub fn user_profile(&self) -> Option<PathBuf> {
        let get = |name: &str| self.var(name).filter(|value| !value.is_empty());
        if let Some(profile) = get("PICNIX_PROFILE") {
            return Some(self.current_dir.join(profile));
        }
        let state = get("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| self.home_dir.as_ref().map(|home| home.join(".local/state")));
        Some(self.current_dir.join(state?).join("picnix/profile"))
    }

    /// Puts entries in front of the search path, as `-I` does.
    pub fn prepend_search_path(&mut self, entries: &[String]) {
        let parsed: Vec<_> =
            entries.iter().map(|entry| search_entry(entry.as_bytes())).collect();
        self.search_path.splice(0..0, parsed);
    }

    /// Puts entries behind the search path.
    pub fn append_search_path<'e>(&mut self, entries: impl Iterator<Item = &'e str>) {
        self.search_path.extend(entries.map(|entry| search_entry(entry.as_bytes())));
    }
}

/// Splits `NIX_PATH` at colons, except those of URLs.
fn parse_search_path(value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut start = 0;
    for (index, byte) in value.iter().enumerate() {
        let is_url = value[index..].starts_with(b"://");
        if *byte == b':' && !is_url {
            entries.push(&value[start..index]);
            start = index + 1;
        }
    }
    entries.push(&value[start..]);
    entries.into_iter().filter(|entry| !entry.is_empty()).map(search_entry).collect()
}

/// `prefix=path` or `path`; a relative path stays as it is, and is looked up from the current directory.
fn search_entry(entry: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match entry.iter().position(|byte| *byte == b'=') {
        Some(equals) => (entry[..equals].to_vec(), entry[equals + 1..].to_vec()),
        None => (Vec::new(), entry.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(env: &[(&str, &str)]) -> Result<Config, Error> {
        let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        Config::new(env.collect(), PathBuf::from("/work"))
    }

    #[test]
    fn store_lies_where_the_environment_says() {
        let of = |env: &[(&str, &str)]| config(env).unwrap().store_root;
        assert_eq!(of(&[("HOME", "/h")]), Path::new("/h/.local/share/picnix"));
        assert_eq!(
            of(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]),
            Path::new("/d/picnix")
        );
        assert_eq!(of(&[("PICNIX_STORE", "s")]), Path::new("/work/s"));
        assert_eq!(of(&[("HOME", "/h"), ("PICNIX_STORE", "s")]), Path::new("/work/s"));
        let usual = [("HOME", "/h"), ("PICNIX_STORE", "auto")];
        assert_eq!(of(&usual), Path::new("/h/.local/share/picnix"));
        assert!(matches!(config(&[]), Err(Error::NoStorePlace)));
    }

    #[test]
    fn stores_are_named_as_in_nix_where_picnix_has_them() {
        let chosen = |place: &str| {
            let mut config = config(&[("HOME", "/h")]).unwrap();
            config.choose_store(Path::new(place)).map(|()| config)
        };
        let root = |place: &str| chosen(place).unwrap().store_root;
        for usual in ["", "auto", "local", "local://", "local?trusted=true"] {
            assert_eq!(root(usual), Path::new("/h/.local/share/picnix"), "{usual}");
        }
        assert_eq!(root("./s"), Path::new("/work/./s"));
        assert_eq!(root("/s"), Path::new("/s"));
        assert_eq!(root("local?root=/a%20b&store=/foo"), Path::new("/a b"));
        let other = chosen("local?store=/foo").unwrap().store_dir;
        assert_eq!(other.as_str(), "/foo");
        let refused =
            ["daemon", "unix:///run/x", "ssh-ng://host", "https://cache", "dummy://"];
        for place in refused.into_iter().chain(["local?real=/x", "local?store=foo"]) {
            let error = chosen(place).unwrap_err().to_string();
            assert!(error.contains(place.trim_start_matches("local?store=")), "{error}");
        }
    }

    #[test]
    fn search_path_splits_at_colons_but_not_inside_urls() {
        let env = [("HOME", "/h"), ("NIX_PATH", "a=/x:y:b=https://c/d:../z")];
        let found = config(&env).unwrap().search_path;
        let text: Vec<String> = found
            .iter()
            .map(|(prefix, path)| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(prefix),
                    String::from_utf8_lossy(path)
                )
            })
            .collect();
        assert_eq!(text, ["a=/x", "=y", "b=https://c/d", "=../z"]);
    }
}
