//! The one error type of this crate.
//!
//! Every message that a Nix user may meet has Nix's own words, because scripts and tests of the
//! ecosystem match on them. Values that are bytes in Nix are printed lossily.

/// Anything that can be wrong with a text or a stream in one of the store's formats.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A digest whose length fits no encoding of its algorithm.
    #[error("hash '{text}' has wrong length for hash algorithm '{algo}'")]
    HashLength {
        /// The text without its algorithm.
        text: String,
        /// The name of the algorithm.
        algo: &'static str,
    },
    /// A digest that decodes to another number of bytes than its algorithm has.
    #[error(
        "invalid {encoding} hash '{text}', length {actual} != expected length {expected}"
    )]
    HashDecodedLength {
        /// `base16`, `nix32`, `Base64` or `SRI`.
        encoding: &'static str,
        /// The text without its algorithm.
        text: String,
        /// Bytes decoded.
        actual: usize,
        /// Bytes that the algorithm yields.
        expected: usize,
    },
    /// A hash without algorithm where nothing else tells it.
    #[error(
        "hash '{0}' does not include a type, nor is the type otherwise known from context"
    )]
    HashUntyped(String),
    /// A hash without algorithm where one is demanded.
    #[error("hash '{0}' does not include a type")]
    HashUnprefixed(String),
    /// A hash of another algorithm than the context asked for.
    #[error("hash '{text}' should have type '{expected}'")]
    HashType {
        /// The whole text.
        text: String,
        /// The name of the algorithm that was expected.
        expected: &'static str,
    },
    /// A text that should be an SRI hash and has no dash.
    #[error("hash '{0}' is not SRI")]
    HashNotSri(String),
    /// An algorithm that Nix does not know.
    #[error(
        "unknown hash algorithm '{0}', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'"
    )]
    HashAlgo(String),
    /// A name of an encoding that Nix does not know.
    #[error("unknown hash format '{0}', expect 'base16', 'base32', 'base64', or 'sri'")]
    HashFormat(String),
    /// An empty hash with no algorithm beside it.
    #[error("empty hash requires explicit hash algorithm")]
    HashEmpty,
    /// A character outside the alphabet of an encoding.
    #[error("invalid character in {encoding} string: '{character}'")]
    Character {
        /// `Base16`, `Nix32 (Nix's Base32 variation)` or `Base64`.
        encoding: &'static str,
        /// The character; a byte that is no ASCII is shown as `\xNN`.
        character: String,
    },

    /// A store directory that is not an absolute, clean path.
    #[error(
        "store directory '{0}' is not an absolute path without '.', '..' or a trailing '/'"
    )]
    StoreDir(String),
    /// An empty name of a store object or output.
    #[error("name must not be empty")]
    NameEmpty,
    /// A name that is longer than a store path may hold.
    #[error("name '{name}' must be no longer than {max} characters")]
    NameLength {
        /// The name.
        name: String,
        /// The limit.
        max: usize,
    },
    /// `.` or `..` as a name.
    #[error("name '{0}' is not valid")]
    NameDots(String),
    /// A name that starts with `.-` or `..-`.
    #[error(
        "name '{name}' is not valid: first dash-separated component must not be '{component}'"
    )]
    NameComponent {
        /// The name.
        name: String,
        /// `.` or `..`.
        component: &'static str,
    },
    /// A character that no store object's name may hold.
    #[error("name '{name}' contains illegal character '{character}'")]
    NameCharacter {
        /// The name.
        name: String,
        /// The character.
        character: String,
    },
    /// A base name whose name part is not valid.
    #[error("path '{path}' is not a valid store path: {reason}")]
    StorePathName {
        /// The base name.
        path: String,
        /// What is wrong with the name.
        reason: Box<Error>,
    },
    /// A base name with no room for a digest and a name.
    #[error("'{0}' is too short to be a valid store path")]
    StorePathShort(String),
    /// A digest part with a character outside Nix's base 32.
    #[error("store path '{path}' contains illegal base-32 character '{character}'")]
    StorePathCharacter {
        /// The base name.
        path: String,
        /// The character.
        character: String,
    },
    /// A digest part that is not followed by a dash.
    #[error("store path '{0}' has no '-' after its digest")]
    StorePathDash(String),
    /// A path outside the store directory.
    #[error("path \"{0}\" is not in the Nix store")]
    NotInStore(String),
    /// A store path that ought to end in `.drv`.
    #[error("store path '{0}' is not a valid derivation path")]
    NotDerivation(String),
    /// A fixed output that would refer to other store paths.
    #[error(
        "fixed output derivation '{0}' is not allowed to refer to other store paths.\nYou may need to use the 'unsafeDiscardReferences' derivation attribute, see the manual for more details."
    )]
    FixedOutputReferences(String),
    /// A text object that would refer to itself.
    #[error("self-reference not allowed with text hashing")]
    TextSelfReference,
    /// A text object hashed with something other than SHA-256.
    #[error("text objects must be hashed with 'sha256', not '{0}'")]
    TextHashAlgo(&'static str),
    /// Git ingestion, which needs an experimental feature of Nix that picnix does not have.
    #[error(
        "experimental Nix feature 'git-hashing' is disabled; picnix does not support it"
    )]
    GitIngestion,
    /// A content address without a colon.
    #[error("not a content address because it is not in the form '<prefix>:<rest>': {0}")]
    ContentAddress(String),
    /// A content address whose hash has no algorithm.
    #[error("content address hash must be in form '<algo>:<hash>', but found: {0}")]
    ContentAddressHash(String),
    /// A content address of an unknown kind.
    #[error(
        "content address prefix '{0}' is unrecognized. Recogonized prefixes are 'text' or 'fixed'"
    )]
    ContentAddressPrefix(String),
    /// An unknown name of an ingestion method.
    #[error("unknown file ingestion method '{0}', expect 'flat', 'nar', or 'git'")]
    IngestionMethod(String),

    /// A derivation file that lacks a token.
    #[error("expected string '{0}'")]
    DrvExpected(String),
    /// A string without closing quote.
    #[error("unterminated string in derivation")]
    DrvString,
    /// A path in a derivation file that is not absolute.
    #[error("bad path '{0}' in derivation")]
    DrvPath(String),
    /// A file that is no derivation.
    #[error("derivation does not start with 'Derive' or 'DrvWithVersion'")]
    DrvStart,
    /// A derivation file of a later format.
    #[error("Unknown derivation ATerm format version '{0}'")]
    DrvVersion(String),
    /// An input that is neither a list nor a dynamic entry.
    #[error("invalid inputDrvs entry in derivation")]
    DrvInput,
    /// Dynamic inputs nested deeper than anybody needs.
    #[error("dynamic inputs of a derivation are nested deeper than {0} levels")]
    DrvInputDepth(usize),
    /// Bytes after the end of a derivation.
    #[error("garbage after the end of a derivation")]
    DrvTrailing,
    /// An output of a kind that has no path, with a path.
    #[error("{0} derivation output should not specify output path")]
    DrvOutputPath(&'static str),
    /// Outputs of several kinds in one derivation.
    #[error("can't mix derivation output types")]
    DrvMixedOutputs,
    /// Several fixed outputs.
    #[error("only one fixed output is allowed for now")]
    DrvFixedOutputs,
    /// A fixed output with a name of its own.
    #[error("single fixed output must be named \"out\"")]
    DrvFixedName,
    /// Floating outputs with different algorithms.
    #[error("all floating outputs must use the same hash algorithm")]
    DrvFloatingAlgo,
    /// No output at all.
    #[error("must have at least one output")]
    DrvNoOutput,
    /// An input derivation without the output that is wanted.
    #[error("no hash for output '{output}' of derivation '{drv}'")]
    DrvHashMissing {
        /// The output.
        output: String,
        /// The name of the derivation that wants it.
        drv: String,
    },
    /// An environment variable that must name an output's path and does not exist.
    #[error(
        "derivation has missing environment variable '{name}', should be '{expected}' but is not present"
    )]
    DrvEnvMissing {
        /// The variable, which is the output's name.
        name: String,
        /// The output's path.
        expected: String,
    },
    /// An environment variable that names another path than its output's.
    #[error(
        "derivation has incorrect environment variable '{name}', should be '{expected}' but is actually '{actual}'"
    )]
    DrvEnvWrong {
        /// The variable, which is the output's name.
        name: String,
        /// The output's path.
        expected: String,
        /// What the variable holds.
        actual: String,
    },
    /// An output path that does not follow from the derivation.
    #[error("derivation has incorrect output '{actual}', should be '{expected}'")]
    DrvOutputWrong {
        /// The path in the derivation.
        actual: String,
        /// The right path, or `deferred`.
        expected: String,
    },
    /// `__json` beside structured attributes.
    #[error(
        "Cannot have an environment variable named '__json'. This key is reserved for encoding structured attrs"
    )]
    DrvJsonKey,

    /// Something that is not a NAR.
    #[error("input doesn't look like a Nix archive")]
    NarMagic,
    /// A NAR that breaks a rule of the format.
    #[error("bad archive: {0}")]
    Nar(String),
    /// A tree that is too deep to be written as a NAR.
    #[error("path '{path}' exceeds maximum NAR directory depth of {max}")]
    NarDepth {
        /// The path in the tree.
        path: String,
        /// The limit.
        max: usize,
    },
    /// A caller that gave the writer names out of order, a bad name or a wrong size.
    #[error("cannot write archive: {0}")]
    NarWrite(String),
    /// A stream that failed or ended early.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A narinfo that breaks a rule of the format.
    #[error("NAR info file '{whence}' is corrupt: {reason}")]
    NarInfo {
        /// Where it was read.
        whence: String,
        /// What is wrong, with a line where there is one.
        reason: String,
    },
    /// A `nix-cache-info` that breaks a rule of the format.
    #[error("binary cache info is corrupt: {0}")]
    CacheInfo(String),
    /// A key or signature that is not `name:base64`.
    #[error("{0} is corrupt")]
    KeyFormat(&'static str),
    /// A key of a wrong length.
    #[error("{0} key is not valid")]
    KeyLength(&'static str),
    /// A signature of a wrong length.
    #[error("signature is not valid")]
    SignatureLength,
    /// A string or list of the worker protocol that is longer than anything sensible.
    #[error("worker protocol: a {what} of length {len} is longer than {max}")]
    WireLength {
        /// `string` or `list`.
        what: &'static str,
        /// Its length.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A string of the worker protocol that is not followed by zeros.
    #[error("worker protocol: non-zero padding")]
    WirePadding,
    /// A string of the worker protocol that must be text and is not.
    #[error("worker protocol: '{0}' is not UTF-8")]
    WireText(String),
    /// A number of the worker protocol that stands for nothing.
    #[error("worker protocol: {value:#x} is no {what}")]
    WireValue {
        /// What it should be.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// A path info without a size, which cannot be signed.
    #[error("cannot calculate fingerprint of path '{0}' because its size is not known")]
    FingerprintSize(String),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Shows bytes in a message: lossily, since messages are text.
pub(crate) fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Shows one byte in a message.
pub(crate) fn show_byte(byte: u8) -> String {
    if byte.is_ascii() && !byte.is_ascii_control() {
        char::from(byte).to_string()
    } else {
        format!("\\x{byte:02x}")
    }
}
