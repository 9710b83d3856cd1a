//! The worker protocol: how Nix's programs talk to a daemon, over a socket or `ssh-ng`.
//!
//! Both sides of the bytes are here: numbers and strings ([`WireReader`], [`WireWriter`]), the values
//! made of them (path infos, derivations, results of builds), and the messages that come while an
//! operation runs ([`Message`]). Everything is little-endian and padded to eight bytes. Which
//! operations follow each other, and what they do, is the business of whoever holds the connection.
//!
//! A version is agreed upon first: the smaller of what both sides speak. Between 1.18 and 1.38, which
//! Nix 2.34 accepts, fields were added; each is written and read only where the version has it. The
//! format is Nix's own (`libstore/worker-protocol.cc`); there is no other specification.

mod framed;
mod messages;
mod values;
mod wire;

pub use framed::{FramedReader, FramedWriter};
pub use messages::{Field, Message, RemoteFailure, activity, level, result};
pub use values::{
    BuildMode, BuildResult, BuildStatus, Realisation, TrustLevel, WantedOutputs,
    WantedPath,
};
pub use wire::{WireReader, WireWriter};

/// What a client says first.
pub const CLIENT_MAGIC: u64 = 0x6e69_7863;
/// What a server answers.
pub const SERVER_MAGIC: u64 = 0x6478_696f;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerVersion {
    /// The first part, 1 for ever.
    pub major: u8,
    /// The second part.
    pub minor: u8,
}

impl WorkerVersion {
    /// The newest version, which Nix 2.34 speaks.
    pub const LATEST: Self = Self::new(38);
    /// The oldest version that is spoken, as in Nix 2.34.
    pub const OLDEST: Self = Self::new(18);

    /// Version 1 and a minor number.
    #[must_use]
    pub const fn new(minor: u8) -> Self {
        Self { major: 1, minor }
    }

    /// Reads it as it is sent; what lies above the two bytes is ignored, as in Nix.
    #[must_use]
    pub fn from_wire(number: u64) -> Self {
        let [minor, major, ..] = number.to_le_bytes();
        Self { major, minor }
    }

    /// The number that is sent.
    #[must_use]
    pub fn to_wire(self) -> u64 {
        u64::from(self.major) << 8 | u64::from(self.minor)
    }

    /// Does this version have what came with a minor version?
    #[must_use]
    pub const fn has(self, minor: u8) -> bool {
        self.minor >= minor
    }
}

impl std::fmt::Display for WorkerVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a client may ask for. Operations that Nix 2.34 has removed are not here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $name = $number,)*
        }

        impl Operation {
            /// The operation with a number.
            #[must_use]
            pub fn from_wire(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

operations! {
    /// Is a path valid?
    IsValidPath = 1,
    /// What refers to a path?
    QueryReferrers = 6,
    /// Add something by its contents.
    AddToStore = 7,
    /// Add a text; before version 1.25.
    AddTextToStore = 8,
    /// Make paths valid.
    BuildPaths = 9,
    /// Make one path valid by copying it.
    EnsurePath = 10,
    /// Keep a path as long as the connection lasts.
    AddTempRoot = 11,
    /// Note that a link elsewhere is a root.
    AddIndirectRoot = 12,
    /// Nothing any more.
    SyncWithGc = 13,
    /// All roots.
    FindRoots = 14,
    /// The derivation that produced a path.
    QueryDeriver = 18,
    /// Settings of the client.
    SetOptions = 19,
    /// Delete what is not needed.
    CollectGarbage = 20,
    /// What caches know of a path.
    QuerySubstitutablePathInfo = 21,
    /// The outputs of a derivation.
    QueryDerivationOutputs = 22,
    /// Every valid path.
    QueryAllValidPaths = 23,
    /// What is known of a path.
    QueryPathInfo = 26,
    /// The names of a derivation's outputs.
    QueryDerivationOutputNames = 28,
    /// The path with a digest.
    QueryPathFromHashPart = 29,
    /// What caches know of some paths.
    QuerySubstitutablePathInfos = 30,
    /// Which paths are valid?
    QueryValidPaths = 31,
    /// Which paths do caches have?
    QuerySubstitutablePaths = 32,
    /// The derivations that have a path as output.
    QueryValidDerivers = 33,
    /// Share equal files.
    OptimiseStore = 34,
    /// Check the store.
    VerifyStore = 35,
    /// Build a derivation that comes with the question.
    BuildDerivation = 36,
    /// Add signatures to a path.
    AddSignatures = 37,
    /// The NAR of a path.
    NarFromPath = 38,
    /// Add a path by its NAR.
    AddToStoreNar = 39,
    /// What would have to be done?
    QueryMissing = 40,
    /// The outputs of a derivation, with their names.
    QueryDerivationOutputMap = 41,
    /// Note what a content-addressed output became.
    RegisterDrvOutput = 42,
    /// What did a content-addressed output become?
    QueryRealisation = 43,
    /// Add many paths by their NARs.
    AddMultipleToStore = 44,
    /// Add a build's log.
    AddBuildLog = 45,
    /// Make paths valid and tell what became of each.
    BuildPathsWithResults = 46,
    /// Make a root on the server.
    AddPermRoot = 47,
}

#[cfg(test)]
mod tests;
