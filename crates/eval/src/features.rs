//! Experimental features of Nix that change what evaluation accepts.
//!
//! Only those are here that picnix can do, or must refuse in Nix's words. They are off unless the settings say
//! otherwise, as in Nix.

use crate::bail;
use crate::error::Result;
use crate::evaluator::Evaluator;

/// An experimental feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `__contentAddressed = true`.
    CaDerivations,
    /// `__impure = true`.
    ImpureDerivations,
    /// Derivations whose output is a derivation (`outputHashMode = "text"`).
    DynamicDerivations,
    /// `outputHashMode = "git"`, which picnix cannot do even where the feature is on.
    GitHashing,
    /// Hashes of the algorithm `blake3`.
    Blake3Hashes,
    /// Dates and times in `fromTOML`.
    ParseTomlTimestamps,
    /// `builtins.fetchClosure`.
    FetchClosure,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 7] = [
        Self::CaDerivations,
        Self::ImpureDerivations,
        Self::DynamicDerivations,
        Self::GitHashing,
        Self::Blake3Hashes,
        Self::ParseTomlTimestamps,
        Self::FetchClosure,
    ];

    /// The name in Nix's option `experimental-features`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaDerivations => "ca-derivations",
            Self::ImpureDerivations => "impure-derivations",
            Self::DynamicDerivations => "dynamic-derivations",
            Self::GitHashing => "git-hashing",
            Self::Blake3Hashes => "blake3-hashes",
            Self::ParseTomlTimestamps => "parse-toml-timestamps",
            Self::FetchClosure => "fetch-closure",
        }
    }

    /// The feature of that name; features that evaluation need not know have none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// A set of features; empty unless filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u8);

impl Features {
    /// Adds a feature.
    pub fn enable(&mut self, feature: Feature) {
        self.0 |= Self::bit(feature);
    }

    /// Is the feature on?
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        self.0 & Self::bit(feature) != 0
    }

    const fn bit(feature: Feature) -> u8 {
        1 << feature as u8
    }
}

impl Evaluator<'_> {
    /// Fails in Nix's words unless a feature is on. `reason` may be empty; it says what needs the feature.
    pub(crate) fn require_feature(&self, feature: Feature, reason: &str) -> Result<()> {
        if self.settings.features.has(feature) {
            return Ok(());
        }
        let name = feature.name();
        let reason =
            if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        bail!(
            Other,
            "experimental Nix feature '{name}' is disabled{reason}; add '--extra-experimental-features {name}' to enable it"
        )
    }

    /// Shows a warning.
    pub(crate) fn warn(&self, text: &str) {
        self.world.message(&format!("warning: {text}"));
    }
}
