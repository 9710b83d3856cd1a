//! The settings that users know from Nix, in the syntax of `nix.conf`.
//!
//! They come from `picnix/picnix.conf` in the user's configuration directory, from the variable
//! `PICNIX_CONFIG`, and from `--option`; later ones win, and `extra-NAME` adds to what there is. Nix's
//! own `nix.conf` is not read: what a machine's Nix trusts is not what its picnix trusts.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use picnix_build::Space;
use picnix_build::cache::{CacheAddress, CachePolicy};
use picnix_build::remote::{Machine, parse_machines};
use picnix_sandbox::{HostPath, Limits};
use picnix_store_core::{PublicKey, PublicKeys, SecretKey};

use crate::Error;

/// More processes than this do not evaluate one thing.
const MAX_EVAL_CORES: usize = 64;
/// How deep files may include files.
const MAX_INCLUDES: usize = 16;

/// The settings that mean something here, and their defaults.
const KNOWN: &[(&str, &str)] = &[
    ("auto-optimise-store", "false"),
    ("builders", ""),
    ("builders-use-substitutes", "false"),
    ("connect-timeout", "5"),
    ("cores", "0"),
    ("download-attempts", "4"),
    ("eval-cores", "0"),
    ("experimental-features", ""),
    ("flake-registry", "https://channels.nixos.org/flake-registry.json"),
    ("forge-mirror", ""),
    ("http-connections", "16"),
    ("keep-derivations", "true"),
    ("max-build-log-size", "0"),
    ("max-build-memory", "0"),
    ("max-build-processes", "0"),
    ("max-free", "9223372036854775807"),
    ("max-output-size", "0"),
    ("max-silent-time", "0"),
    ("min-free", "0"),
    ("narinfo-cache-negative-ttl", "3600"),
    ("narinfo-cache-positive-ttl", "2592000"),
    ("post-build-hook", ""),
    ("require-sigs", "true"),
    ("sandbox-paths", ""),
    ("secret-key-files", ""),
    ("stalled-download-timeout", "30"),
    ("substitute", "true"),
    ("substituters", "https://cache.nixos.org"),
    (
        "trusted-public-keys",
        "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
    ),
    ("timeout", "0"),
];
/// Other names of some, which Nix accepts too.
const ALIASES: &[(&str, &str)] = &[
    ("binary-cache-public-keys", "trusted-public-keys"),
    ("binary-caches", "substituters"),
    ("build-cores", "cores"),
    ("build-max-log-size", "max-build-log-size"),
    ("build-max-silent-time", "max-silent-time"),
    ("build-sandbox-paths", "sandbox-paths"),
    ("build-timeout", "timeout"),
    ("gc-keep-derivations", "keep-derivations"),
    ("use-binary-caches", "substitute"),
];

/// Settings by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSettings {
    values: BTreeMap<String, String>,
    /// Names that were set and mean nothing here.
    unknown: Vec<String>,
}

impl Default for UserSettings {
    fn default() -> Self {
        let values = KNOWN.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Self { values: values.collect(), unknown: Vec::new() }
    }
}

impl UserSettings {
    /// Sets what a file says; a file that does not exist says nothing.
    ///
    /// # Errors
    /// The file cannot be read or breaks the syntax.
    pub fn read(&mut self, path: &Path) -> Result<(), Error> {
        self.read_file(path, true, 0)
    }

    /// Sets what a text in the syntax of `nix.conf` says.
    ///
    /// # Errors
    /// It breaks the syntax; `whence` names it.
    pub fn apply(&mut self, text: &str, whence: &str) -> Result<(), Error> {
        self.apply_text(text, whence, None, 0)
    }

    /// Sets one value.
    pub fn set(&mut self, name: &str, value: &str) {
        let alias = |name: &str| {
            let found = ALIASES.iter().find(|(alias, _)| *alias == name);
            found.map_or(name, |(_, name)| name).to_owned()
        };
        let (name, is_extra) = match name.strip_prefix("extra-") {
            Some(base) => (alias(base), true),
            None => (alias(name), false),
        };
        match self.values.get_mut(&name) {
            Some(old) if is_extra => {
                old.push(' ');
                old.push_str(value);
            }
            Some(old) => value.clone_into(old),
            None => self.unknown.push(name),
        }
    }

    /// The names that were set and mean nothing here.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// The caches to ask, and who is believed.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn cache_policy(&self) -> Result<CachePolicy, Error> {
        let mut policy =
            CachePolicy { keys: self.trusted_keys()?, ..self.base_policy()? };
        if self.flag("substitute")? {
            for address in self.words("substituters") {
                let parsed = CacheAddress::parse(address)
                    .map_err(|error| self.invalid("substituters", &error.to_string()))?;
                policy.addresses.push(parsed);
            }
        }
        Ok(policy)
    }

    /// The other machines that build, and whether they may use the caches that they know.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn machines(
        &self,
        systems: &[String],
        ssh_options: &str,
    ) -> Result<(Vec<Machine>, bool), Error> {
        let machines = parse_machines(self.value("builders"), systems);
        let mut machines =
            machines.map_err(|error| self.invalid("builders", &error.to_string()))?;
        for machine in &mut machines {
            machine.address = machine.address.clone().with_ssh_options(ssh_options);
        }
        Ok((machines, self.flag("builders-use-substitutes")?))
    }

    /// The experimental features that are on, by their names.
    pub fn experimental_features(&self) -> impl Iterator<Item = &str> {
        self.words("experimental-features")
    }

    /// When a builder is stopped; 0 is no limit.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn limits(&self) -> Result<Limits, Error> {
        let limit = |name| -> Result<Option<u64>, Error> {
            Ok(Some(self.number(name)?).filter(|number| *number > 0))
        };
        let time = |name| limit(name).map(|limit| limit.map(Duration::from_secs));
        Ok(Limits {
            wall: time("timeout")?,
            silence: time("max-silent-time")?,
            log_bytes: limit("max-build-log-size")?,
            output_bytes: limit("max-output-size")?,
            memory_bytes: limit("max-build-memory")?,
            processes: limit("max-build-processes")?,
        })
    }

    /// Whether the files of new objects share their blocks with equal ones.
    ///
    /// # Errors
    /// The value makes no sense.
    pub fn auto_optimise(&self) -> Result<bool, Error> {
        self.flag("auto-optimise-store")
    }

    /// The program that is run after each build.
    #[must_use]
    pub fn post_build_hook(&self) -> Option<PathBuf> {
        Some(self.value("post-build-hook"))
            .filter(|hook| !hook.is_empty())
            .map(PathBuf::from)
    }

    /// When garbage is collected before something is built.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn space(&self) -> Result<Space, Error> {
        Ok(Space {
            min_free: self.bytes("min-free")?,
            max_free: self.bytes("max-free")?,
            delete_derivations: !self.keep_derivations()?,
            ..Space::default()
        })
    }

    /// The files with the keys that what is built here is signed with.
    #[must_use]
    pub fn secret_key_files(&self) -> Vec<PathBuf> {
        self.words("secret-key-files").map(PathBuf::from).collect()
    }

    /// Whether the collector keeps the derivations of outputs that it keeps.
    ///
    /// # Errors
    /// The value makes no sense.
    pub fn keep_derivations(&self) -> Result<bool, Error> {
        self.flag("keep-derivations")
    }

    /// How many processors a build may use, if that is said.
    ///
    /// # Errors
    /// The value makes no sense.
    pub fn cores(&self) -> Result<Option<usize>, Error> {
        let cores = usize::try_from(self.number("cores")?).unwrap_or(usize::MAX);
        Ok(Some(cores).filter(|cores| *cores > 0))
    }

    /// What builders see of the host: `PATH`, or `PLACE=PATH`, with a question mark behind what may
    /// be missing.
    ///
    /// # Errors
    /// A path is not absolute.
    pub fn sandbox_paths(&self) -> Result<Vec<HostPath>, Error> {
        let name = "sandbox-paths";
        let parse = |word: &str| {
            let (word, is_optional) = match word.strip_suffix('?') {
                Some(word) => (word, true),
                None => (word, false),
            };
            let (logical, physical) = word.split_once('=').unwrap_or((word, word));
            let (logical, physical) = (PathBuf::from(logical), PathBuf::from(physical));
            if !logical.is_absolute() || !physical.is_absolute() {
                return Err(self.invalid(name, "its paths must be absolute"));
            }
            Ok(HostPath { physical, logical, is_optional })
        };
        self.words(name).map(parse).collect()
    }

    /// The global flake registry: an absolute path, a URL, or nothing.
    #[must_use]
    pub fn flake_registry(&self) -> &str {
        self.value("flake-registry")
    }

    /// Where the forges' URLs are asked for instead: `https://HOST/...` as `MIRROR/HOST/...`.
    #[must_use]
    pub fn forge_mirror(&self) -> Option<&str> {
        Some(self.value("forge-mirror")).filter(|mirror| !mirror.is_empty())
    }

    fn base_policy(&self) -> Result<CachePolicy, Error> {
        let seconds = |name| self.number(name).map(Duration::from_secs);
        let connections = self.number("http-connections")?;
        let attempts = self.number("download-attempts")?;
        Ok(CachePolicy {
            require_signatures: self.flag("require-sigs")?,
            negative_lifetime: seconds("narinfo-cache-negative-ttl")?,
            positive_lifetime: seconds("narinfo-cache-positive-ttl")?,
            connections: usize::try_from(connections).unwrap_or(1).clamp(1, 256),
            fetch: picnix_fetch::Config {
                retries: u32::try_from(attempts).unwrap_or(1).saturating_sub(1),
                connect_timeout: seconds("connect-timeout")?.max(Duration::from_secs(1)),
                stall_timeout: seconds("stalled-download-timeout")?
                    .max(Duration::from_secs(1)),
                ..picnix_fetch::Config::default()
            },
            ..CachePolicy::default()
        })
    }

    /// How many processes evaluate at a time, at least one.
    ///
    /// # Errors
    /// The value makes no sense.
    pub fn eval_cores(&self) -> Result<usize, Error> {
        match usize::try_from(self.number("eval-cores")?).unwrap_or(0) {
            0 => Ok(std::thread::available_parallelism().map_or(1, NonZero::get)),
            cores => Ok(cores.min(MAX_EVAL_CORES)),
        }
    }

    fn trusted_keys(&self) -> Result<PublicKeys, Error> {
        let name = "trusted-public-keys";
        let parse = |key| {
            PublicKey::parse(key).map_err(|error| self.invalid(name, &error.to_string()))
        };
        let keys: Result<Vec<PublicKey>, Error> = self.words(name).map(parse).collect();
        // What is signed here is believed here. Keys that this user cannot read sign nothing.
        let own = self.secret_key_files().into_iter().filter_map(|path| {
            let key = SecretKey::parse(fs::read_to_string(path).ok()?.trim_end());
            Some(key.ok()?.public_key())
        });
        Ok(PublicKeys::new(keys?.into_iter().chain(own)))
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.value(name).split_whitespace()
    }

    fn number(&self, name: &str) -> Result<u64, Error> {
        let number = self.value(name).parse();
        number.map_err(|_| self.invalid(name, "it is not a number"))
    }

    /// A number, with a unit behind it if there is one: `10G`.
    fn bytes(&self, name: &str) -> Result<u64, Error> {
        const UNITS: &[(char, u32)] = &[('K', 10), ('M', 20), ('G', 30), ('T', 40)];
        let text = self.value(name).to_uppercase();
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit));
        let (digits, shift) = match unit {
            Some((unit, shift)) => (text.trim_end_matches(*unit), *shift),
            None => (&*text, 0),
        };
        let number: Option<u64> = digits.parse().ok();
        let bytes = number.and_then(|number| number.checked_mul(1 << shift));
        bytes.ok_or_else(|| self.invalid(name, "it is not a number of bytes"))
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.value(name) {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err(self.invalid(name, "it is not 'true' or 'false'")),
        }
    }

    fn invalid(&self, name: &str, reason: &str) -> Error {
        let value = self.value(name).to_owned();
        Error::Setting { name: name.to_owned(), value, reason: reason.to_owned() }
    }

    fn read_file(
        &mut self,
        path: &Path,
        optional: bool,
        depth: usize,
    ) -> Result<(), Error> {
        let text = match fs::read_to_string(path) {
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(());
            }
            other => other.map_err(|source| Error::File {
                action: "read",
                path: path.to_owned(),
                source,
            })?,
        };
        self.apply_text(&text, &path.display().to_string(), path.parent(), depth)
    }

    fn apply_text(
        &mut self,
        text: &str,
        whence: &str,
        folder: Option<&Path>,
        depth: usize,
    ) -> Result<(), Error> {
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [include @ ("include" | "!include"), file] => {
                    let place = folder.unwrap_or(Path::new("/"));
                    let file: PathBuf = place.join(file);
                    if depth == MAX_INCLUDES {
                        let reason = "files include each other".to_owned();
                        return Err(Error::SettingsLine {
                            whence: whence.to_owned(),
                            line: number + 1,
                            reason,
                        });
                    }
                    self.read_file(&file, *include == "!include", depth + 1)?;
                }
                [name, "=", value @ ..] => self.set(name, &value.join(" ")),
                _ => {
                    let reason =
                        format!("expected 'NAME = VALUE' but found '{}'", line.trim());
                    let (whence, line) = (whence.to_owned(), number + 1);
                    return Err(Error::SettingsLine { whence, line, reason });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(settings: &UserSettings) -> Vec<String> {
        let policy = settings.cache_policy().unwrap();
        policy.addresses.into_iter().map(|address| address.url).collect()
    }

    #[test]
    fn the_public_cache_is_known_from_the_start() {
        let settings = UserSettings::default();
        assert_eq!(urls(&settings), ["https://cache.nixos.org"]);
        assert!(settings.cache_policy().unwrap().require_signatures);
    }

    #[test]
    fn the_syntax_is_that_of_nix() {
        let mut settings = UserSettings::default();
        let text = "# caches\nsubstituters = file:///a  http://b # two\n\n\
                    extra-substituters = https://c\nrequire-sigs = false\nno-such = 1\n";
        settings.apply(text, "test").unwrap();
        assert_eq!(urls(&settings), ["file:///a", "http://b", "https://c"]);
        assert!(!settings.cache_policy().unwrap().require_signatures);
        assert_eq!(settings.unknown(), ["no-such"]);
        settings.set("binary-caches", "http://d");
        assert_eq!(urls(&settings), ["http://d"]);
        settings.set("substitute", "false");
        assert_eq!(urls(&settings), Vec::<String>::new());
    }

    #[test]
    fn sizes_may_have_units() {
        let mut settings = UserSettings::default();
        let space = settings.space().unwrap();
        assert_eq!((space.min_free, space.max_free), (0, i64::MAX.unsigned_abs()));
        settings.apply("min-free = 10k\nmax-free = 3G", "test").unwrap();
        let space = settings.space().unwrap();
        assert_eq!((space.min_free, space.max_free), (10 << 10, 3 << 30));
        for wrong in ["", "G", "1.5G", "99999999999T"] {
            settings.set("min-free", wrong);
            assert!(settings.space().is_err(), "{wrong}");
        }
    }

    #[test]
    fn machines_are_a_setting() {
        let mut settings = UserSettings::default();
        let systems = ["here".to_owned()];
        assert_eq!(settings.machines(&systems, "").unwrap(), (Vec::new(), false));
        settings
            .apply("builders = ssh-ng://a - - 2 ; b there\n", "test")
            .and_then(|()| settings.apply("builders-use-substitutes = true", "test"))
            .unwrap();
        let (machines, substitute) = settings.machines(&systems, "-p 22").unwrap();
        assert_eq!((machines.len(), machines[0].jobs, substitute), (2, 2, true));
        assert!(machines[0].systems.contains("here"));
        settings.set("builders", "ftp://a");
        let error = settings.machines(&systems, "").unwrap_err().to_string();
        assert!(error.contains("invalid setting 'builders'"), "{error}");
    }

    #[test]
    fn limits_and_paths_of_boxes_are_settings() {
        let mut settings = UserSettings::default();
        assert_eq!(settings.limits().unwrap().wall, None);
        assert_eq!(settings.cores().unwrap(), None);
        let text = "timeout = 5\nmax-silent-time = 2\nmax-build-log-size = 100\ncores = 3\n\
                    max-output-size = 7\nmax-build-memory = 8\nmax-build-processes = 9\n\
                    sandbox-paths = /bin/sh=/opt/sh\nextra-sandbox-paths = /dev/kvm?\n";
        settings.apply(text, "test").unwrap();
        let Limits { wall, silence, log_bytes, output_bytes, memory_bytes, processes } =
            settings.limits().unwrap();
        assert_eq!(
            (wall, silence),
            (Some(Duration::from_secs(5)), Some(Duration::from_secs(2)))
        );
        assert_eq!((log_bytes, output_bytes), (Some(100), Some(7)));
        assert_eq!((memory_bytes, processes), (Some(8), Some(9)));
        assert_eq!(settings.cores().unwrap(), Some(3));
        let path = |logical: &str, physical: &str, is_optional| HostPath {
            physical: physical.into(),
            logical: logical.into(),
            is_optional,
        };
        let expected =
            [path("/bin/sh", "/opt/sh", false), path("/dev/kvm", "/dev/kvm", true)];
        assert_eq!(settings.sandbox_paths().unwrap(), expected);
        settings.set("sandbox-paths", "etc");
        assert!(settings.sandbox_paths().unwrap_err().to_string().contains("absolute"));
    }

    #[test]
    fn nonsense_is_named() {
        let error = |text: &str| {
            let mut settings = UserSettings::default();
            let applied = settings.apply(text, "x.conf");
            applied
                .and_then(|()| settings.cache_policy().map(|_| ()))
                .unwrap_err()
                .to_string()
        };
        assert!(error("substitute\n").contains("x.conf:1: expected 'NAME = VALUE'"));
        assert!(
            error("\nsubstituters = nowhere").contains("invalid setting 'substituters'")
        );
        assert!(error("require-sigs = maybe").contains("'maybe'"));
        assert!(error("trusted-public-keys = a:b").contains("trusted-public-keys"));
        assert!(error("include /no/such/file").contains("/no/such/file"));
    }

    #[test]
    fn files_include_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picnix.conf");
        fs::write(&path, "include more.conf\n!include no-such\n").unwrap();
        fs::write(dir.path().join("more.conf"), "substituters = http://more\n").unwrap();
        let mut settings = UserSettings::default();
        settings.read(&path).unwrap();
        assert_eq!(urls(&settings), ["http://more"]);
        settings.read(Path::new("/no/such/file")).unwrap();
        fs::write(&path, "include picnix.conf\n").unwrap();
        assert!(settings.read(&path).unwrap_err().to_string().contains("each other"));
    }
}
