//! The values of the worker protocol: path infos, derivations, what is to be built and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use super::wire::{WireReader, WireWriter};
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::derivation::{Derivation, DerivationOutput, Environment, JSON_KEY};
use crate::error::{Error, Result, show};
use crate::hash::{Hash, HashAlgo, HashFormat};
use crate::path_info::PathInfo;
use crate::signature::Signature;
use crate::store_path::{OutputName, StorePath};

/// Whether a server does what its client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustLevel {
    /// It does not say.
    Unknown,
    /// It does.
    Trusted,
    /// It checks what it is given.
    NotTrusted,
}

/// How something is to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildMode {
    /// Unless it is valid.
    Normal = 0,
    /// Also where files are damaged.
    Repair = 1,
    /// Once more, to compare.
    Check = 2,
}

/// What came of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStatus {
    /// It was built.
    Built = 0,
    /// It was copied from a cache.
    Substituted = 1,
    /// It was valid.
    AlreadyValid = 2,
    /// The builder failed, and would fail again.
    PermanentFailure = 3,
    /// An input is wrong.
    InputRejected = 4,
    /// An output is wrong.
    OutputRejected = 5,
    /// It may work another time.
    TransientFailure = 6,
    /// It failed before; no more in use.
    CachedFailure = 7,
    /// It took too long.
    TimedOut = 8,
    /// Something else.
    MiscFailure = 9,
    /// What it needs failed.
    DependencyFailed = 10,
    /// Its log was too long.
    LogLimitExceeded = 11,
    /// It made something else than before.
    NotDeterministic = 12,
    /// What it comes down to was valid.
    ResolvesToAlreadyValid = 13,
    /// No cache has it.
    NoSubstituters = 14,
}

impl BuildStatus {
    fn from_wire(value: u64) -> Result<Self> {
        const ALL: [BuildStatus; 15] = [
            BuildStatus::Built,
            BuildStatus::Substituted,
            BuildStatus::AlreadyValid,
            BuildStatus::PermanentFailure,
            BuildStatus::InputRejected,
            BuildStatus::OutputRejected,
            BuildStatus::TransientFailure,
            BuildStatus::CachedFailure,
            BuildStatus::TimedOut,
            BuildStatus::MiscFailure,
            BuildStatus::DependencyFailed,
            BuildStatus::LogLimitExceeded,
            BuildStatus::NotDeterministic,
            BuildStatus::ResolvesToAlreadyValid,
            BuildStatus::NoSubstituters,
        ];
        let found = usize::try_from(value).ok().and_then(|at| ALL.get(at));
        found.copied().ok_or(Error::WireValue { what: "build status", value })
    }

    /// Are the outputs valid?
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::Built
                | Self::Substituted
                | Self::AlreadyValid
                | Self::ResolvesToAlreadyValid
        )
    }

    /// Would another machine fail in the same way?
    #[must_use]
    pub fn is_final(self) -> bool {
        self.is_success()
            || matches!(
                self,
                Self::PermanentFailure
                    | Self::InputRejected
                    | Self::OutputRejected
                    | Self::TimedOut
                    | Self::LogLimitExceeded
                    | Self::NotDeterministic
            )
    }
}

/// What came of a build, in full. Times are seconds since 1970, and microseconds of processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// In one word.
    pub status: BuildStatus,
    /// Why it failed.
    pub message: String,
    /// How often it was built.
    pub times_built: u64,
    /// Whether it made something else than before.
    pub is_non_deterministic: bool,
    /// When it began; 0 if unknown.
    pub start_time: u64,
    /// When it ended; 0 if unknown.
    pub stop_time: u64,
    /// The time of processors in the builder's programs.
    pub cpu_user: Option<u64>,
    /// The time of processors in the kernel.
    pub cpu_system: Option<u64>,
    /// The outputs.
    pub outputs: Vec<Realisation>,
}

impl BuildResult {
    /// A result with nothing but a status and a message.
    pub fn new(status: BuildStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            times_built: 0,
            is_non_deterministic: false,
            start_time: 0,
            stop_time: 0,
            cpu_user: None,
            cpu_system: None,
            outputs: Vec::new(),
        }
    }
}

/// What an output became, as Nix's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realisation {
    /// The derivation's hash and the output's name, `sha256:...!out`.
    pub id: String,
    /// The object in Nix's JSON.
    pub json: String,
}

impl Realisation {
    /// An output of a derivation with this hash modulo.
    #[must_use]
    pub fn of_output(hash: &Hash, output: &OutputName, path: &StorePath) -> Self {
        let id = format!("{}!{output}", hash.print_prefixed(HashFormat::Base16));
        // Neither holds a character that JSON would escape.
        let json = format!(
            r#"{{"dependentRealisations":{{}},"id":"{id}","outPath":"{path}","signatures":[]}}"#
        );
        Self { id, json }
    }
}

/// Which outputs of a derivation are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedOutputs {
    /// All.
    All,
    /// These.
    Some(BTreeSet<OutputName>),
}

/// Something to be made valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedPath {
    /// A path.
    Path(StorePath),
    /// Outputs of a derivation.
    Built(StorePath, WantedOutputs),
}

impl<R: Read> WireReader<R> {
    /// Reads whether the server trusts.
    pub fn trust_level(&mut self) -> Result<TrustLevel> {
        match self.number()? {
            0 => Ok(TrustLevel::Unknown),
            1 => Ok(TrustLevel::Trusted),
            2 => Ok(TrustLevel::NotTrusted),
            value => Err(Error::WireValue { what: "trusted status", value }),
        }
    }

    /// Reads how to build.
    pub fn build_mode(&mut self) -> Result<BuildMode> {
        match self.number()? {
            0 => Ok(BuildMode::Normal),
            1 => Ok(BuildMode::Repair),
            2 => Ok(BuildMode::Check),
            value => Err(Error::WireValue { what: "build mode", value }),
        }
    }

    /// Reads what is known of a path that both sides know.
    pub fn path_info_of(&mut self, path: StorePath) -> Result<PathInfo> {
        let deriver = self.optional_path()?;
        let text = self.text()?;
        let hash = Hash::parse_any(&text, Some(HashAlgo::Sha256))?;
        let nar_hash =
            hash.sha256().ok_or(Error::HashType { text, expected: "sha256" })?;
        let references = self.paths()?;
        let registration_time = self.number()?;
        let mut info = PathInfo::new(path, nar_hash, self.number()?);
        (info.deriver, info.references) = (deriver, references);
        info.registration_time = registration_time;
        info.ultimate = self.flag()?;
        info.signatures = self.signatures()?;
        let address = self.text()?;
        if !address.is_empty() {
            info.content_address = Some(ContentAddress::parse(&address)?);
        }
        Ok(info)
    }

    /// Reads a path with what is known of it.
    pub fn path_info(&mut self) -> Result<PathInfo> {
        let path = self.path()?;
        self.path_info_of(path)
    }

    /// Reads a set of signatures.
    pub fn signatures(&mut self) -> Result<BTreeSet<Signature>> {
        let mut signatures = BTreeSet::new();
        for _ in 0..self.count()? {
            signatures.insert(Signature::parse(&self.text()?)?);
        }
        Ok(signatures)
    }

    /// Reads a derivation, whose inputs are store objects only.
    pub fn derivation(&mut self, name: &str) -> Result<Derivation> {
        let mut outputs = BTreeMap::new();
        for _ in 0..self.count()? {
            let output = OutputName::parse(&self.bytes()?)?;
            outputs.insert(output, self.derivation_output()?);
        }
        let input_srcs = self.paths()?;
        let (system, builder, args) = (self.bytes()?, self.bytes()?, self.strings()?);
        let mut env = Environment::new();
        for _ in 0..self.count()? {
            let key = self.bytes()?;
            env.insert(&key, &self.bytes()?);
        }
        let structured_attrs = env.remove(JSON_KEY);
        let input_drvs = BTreeMap::new();
        let name = name.to_owned();
        Ok(Derivation {
            name,
            outputs,
            input_srcs,
            input_drvs,
            system,
            builder,
            args,
            env,
            structured_attrs,
        })
    }

    fn derivation_output(&mut self) -> Result<DerivationOutput> {
        let (path, algo, hash) = (self.optional_path()?, self.text()?, self.text()?);
        if algo.is_empty() {
            let known = path.map(DerivationOutput::InputAddressed);
            return Ok(known.unwrap_or(DerivationOutput::Deferred));
        }
        let (method, algo) = ContentAddressMethod::parse_with_algo(&algo)?;
        Ok(match (hash.as_str(), path) {
            ("impure", None) => DerivationOutput::Impure { method, algo },
            ("", None) => DerivationOutput::CaFloating { method, algo },
            ("impure", Some(_)) => return Err(Error::DrvOutputPath("impure")),
            ("", Some(_)) => return Err(Error::DrvOutputPath("content-addressing")),
            (text, _) => {
                let hash = Hash::parse_unprefixed(text, algo)?;
                DerivationOutput::CaFixed(ContentAddress { method, hash })
            }
        })
    }

    /// Reads what is to be made valid.
    pub fn wanted_path(&mut self) -> Result<WantedPath> {
        let text = self.text()?;
        let Some((drv, outputs)) = text.split_once('!') else {
            let path = self.store_dir.parse_path(text.as_bytes())?;
            // Before 1.30 a derivation's path stood for all its outputs.
            return Ok(if path.is_derivation() && !self.version.has(30) {
                WantedPath::Built(path, WantedOutputs::All)
            } else {
                WantedPath::Path(path)
            });
        };
        let drv = self.store_dir.parse_path(drv.as_bytes())?;
        drv.derivation_name()?;
        if outputs == "*" {
            return Ok(WantedPath::Built(drv, WantedOutputs::All));
        }
        let names = outputs.split(',').map(|name| OutputName::parse(name.as_bytes()));
        Ok(WantedPath::Built(drv, WantedOutputs::Some(names.collect::<Result<_>>()?)))
    }

    /// Reads a list of what is to be made valid.
    pub fn wanted_paths(&mut self) -> Result<Vec<WantedPath>> {
        let mut paths = Vec::new();
        for _ in 0..self.count()? {
            paths.push(self.wanted_path()?);
        }
        Ok(paths)
    }

    /// Reads what came of a build.
    pub fn build_result(&mut self) -> Result<BuildResult> {
        let status = BuildStatus::from_wire(self.number()?)?;
        let mut result = BuildResult::new(status, show(&self.bytes()?));
        if self.version.has(29) {
            result.times_built = self.number()?;
            result.is_non_deterministic = self.flag()?;
            result.start_time = self.number()?;
            result.stop_time = self.number()?;
        }
        if self.version.has(37) {
            result.cpu_user = self.optional_number()?;
            result.cpu_system = self.optional_number()?;
        }
        if self.version.has(28) {
            for _ in 0..self.count()? {
                let (id, json) = (self.text()?, self.text()?);
                result.outputs.push(Realisation { id, json });
            }
        }
        Ok(result)
    }

    fn optional_number(&mut self) -> Result<Option<u64>> {
        match self.number()? {
            0 => Ok(None),
            1 => self.number().map(Some),
            value => Err(Error::WireValue { what: "optional tag", value }),
        }
    }
}

impl<W: Write> WireWriter<W> {
    /// Writes whether the server trusts.
    pub fn trust_level(&mut self, level: TrustLevel) -> Result<()> {
        self.number(match level {
            TrustLevel::Unknown => 0,
            TrustLevel::Trusted => 1,
            TrustLevel::NotTrusted => 2,
        })
    }

    /// Writes how to build.
    pub fn build_mode(&mut self, mode: BuildMode) -> Result<()> {
        self.number(mode as u64)
    }

    /// Writes what is known of a path that both sides know.
    pub fn path_info_of(&mut self, info: &PathInfo) -> Result<()> {
        self.optional_path(info.deriver.as_ref())?;
        self.text(&info.nar_hash.base16())?;
        self.paths(&info.references)?;
        self.number(info.registration_time)?;
        self.number(info.nar_size)?;
        self.flag(info.ultimate)?;
        self.signatures(&info.signatures)?;
        match &info.content_address {
            Some(address) => self.text(&address.to_string()),
            None => self.bytes(b""),
        }
    }

    /// Writes a path with what is known of it.
    pub fn path_info(&mut self, info: &PathInfo) -> Result<()> {
        self.path(&info.path)?;
        self.path_info_of(info)
    }

    /// Writes a set of signatures.
    pub fn signatures(&mut self, signatures: &BTreeSet<Signature>) -> Result<()> {
        self.count(signatures.len())?;
        signatures.iter().try_for_each(|signature| self.text(&signature.to_string()))
    }

    /// Writes a derivation; inputs that are derivations are left out.
    pub fn derivation(&mut self, derivation: &Derivation) -> Result<()> {
        self.count(derivation.outputs.len())?;
        for (name, output) in &derivation.outputs {
            let path = output.path(&self.store_dir, &derivation.name, name)?;
            self.text(name.as_str())?;
            self.optional_path(path.as_ref())?;
            let (algo, hash) = output.print_hash();
            self.text(&algo)?;
            self.text(&hash)?;
        }
        self.paths(&derivation.input_srcs)?;
        self.bytes(&derivation.system)?;
        self.bytes(&derivation.builder)?;
        self.strings(&derivation.args)?;
        let mut env: BTreeMap<&[u8], &[u8]> = derivation.env.iter().collect();
        env.extend(
            derivation.structured_attrs.as_ref().map(|text| (JSON_KEY, &text[..])),
        );
        self.count(env.len())?;
        for (key, value) in env {
            self.bytes(key)?;
            self.bytes(value)?;
        }
        Ok(())
    }

    /// Writes what is to be made valid.
    pub fn wanted_path(&mut self, wanted: &WantedPath) -> Result<()> {
        let text = match wanted {
            WantedPath::Path(path) => self.store_dir.print(path),
            WantedPath::Built(drv, outputs) => {
                let drv = self.store_dir.print(drv);
                match outputs {
                    WantedOutputs::All if self.version.has(30) => format!("{drv}!*"),
                    WantedOutputs::All => drv,
                    WantedOutputs::Some(names) => {
                        let names: Vec<&str> =
                            names.iter().map(OutputName::as_str).collect();
                        format!("{drv}!{}", names.join(","))
                    }
                }
            }
        };
        self.text(&text)
    }

    /// Writes what came of a build.
    pub fn build_result(&mut self, result: &BuildResult) -> Result<()> {
        self.number(result.status as u64)?;
        self.text(&result.message)?;
        if self.version.has(29) {
            self.number(result.times_built)?;
            self.flag(result.is_non_deterministic)?;
            self.number(result.start_time)?;
            self.number(result.stop_time)?;
        }
        if self.version.has(37) {
            self.optional_number(result.cpu_user)?;
            self.optional_number(result.cpu_system)?;
        }
        if self.version.has(28) {
            self.count(result.outputs.len())?;
            for Realisation { id, json } in &result.outputs {
                self.text(id)?;
                self.text(json)?;
            }
        }
        Ok(())
    }

    fn optional_number(&mut self, number: Option<u64>) -> Result<()> {
        self.flag(number.is_some())?;
        number.map_or(Ok(()), |number| self.number(number))
    }
}
