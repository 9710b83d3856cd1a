//! Pure formats of the Nix store: hashes, encodings, NAR, store paths, derivations, narinfo,
//! signatures.
//!
//! Everything here is a function of its arguments: bytes in, values out, and back. Where Nix
//! defines the bytes, they are Nix's (2.34), and so are the words of the errors. Nothing here knows
//! where a store lies, runs a builder or opens a file; the store on disk, the evaluator and the
//! builders are built upon it.
//!
//! The one decision worth knowing: values are parsed once into types that cannot be wrong
//! ([`StorePath`], [`OutputName`], [`Hash`]), and streams (NARs, hashes, reference scans) are
//! pushed and pulled in pieces, so that memory never grows with an object.

mod content_address;
mod derivation;
pub mod encoding;
mod error;
mod hash;
pub mod nar;
mod narinfo;
mod path_info;
pub mod refscan;
mod signature;
mod store_path;
pub mod worker;

pub use content_address::{ContentAddress, ContentAddressMethod};
pub use derivation::{
    Derivation, DerivationKind, DerivationOutput, DerivationText, DrvHash, DrvHashKind,
    Environment, InputOutputs, Instantiated, JSON_KEY, OutputPaths, Placeholder,
    hash_placeholder,
};
pub use error::{Error, Result};
pub use hash::{Hash, HashAlgo, HashFormat, HashSink, Sha256};
pub use narinfo::{CacheInfo, NarInfo};
pub use path_info::PathInfo;
pub use signature::{PublicKey, PublicKeys, SecretKey, Signature};
pub use store_path::{
    DIGEST_CHARS, DRV_SUFFIX, MAX_NAME_LEN, OutputName, References, StoreDir, StorePath,
    check_name, parse_digest,
};
