//! `nix-hash`: hashes of files, and other spellings of a hash.

use std::path::Path;
use std::process::ExitCode;

use picnix_store::hash_tree;
use picnix_store_core::encoding::{base16_encode, base64_encode, nix32_encode};
use picnix_store_core::{Hash, HashAlgo, HashFormat, HashSink};

use super::flags::{self, Arguments, Flag};
use super::settings::{self, Common};
use super::store::store_error;
use super::{Stop, usage};
use crate::commands::store::file_error;
use crate::error::CommandError;
use crate::output;

/// What `--truncate` leaves of a digest.
const TRUNCATED_LEN: usize = 20;

/// The command line.
struct Call {
    common: Common,
    args: Vec<String>,
    algo: HashAlgo,
    format: HashFormat,
    flat: bool,
    truncate: bool,
    /// Print the arguments, which are hashes, in the format.
    converts: bool,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            common: Common::default(),
            args: Vec::new(),
            algo: HashAlgo::Md5,
            format: HashFormat::Base16,
            flat: false,
            truncate: false,
            converts: false,
        }
    }
}

impl Call {
    fn format(&mut self, format: HashFormat, converts: bool) -> Result<(), Stop> {
        self.format = format;
        self.converts |= converts;
        Ok(())
    }
}

/// A flag without operands.
const fn simple(
    names: &'static [&'static str],
    help: &'static str,
    apply: fn(&mut Call, &[String]) -> Result<(), Stop>,
) -> Flag<Call> {
    Flag { names, operands: &[], help, apply }
}

impl Arguments for Call {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag {
            names: &["--type"],
            operands: &["ALGORITHM"],
            help: "md5 (the default), sha1, sha256, sha512 or blake3",
            apply: |call, operands| {
                call.algo = HashAlgo::parse(&operands[0])
                    .map_err(|error| CommandError::user(error.to_string()))?;
                Ok(())
            },
        },
        simple(&["--flat"], "hash the bytes of files, not their NARs", |call, _| {
            call.flat = true;
            Ok(())
        }),
        simple(&["--truncate"], "fold longer hashes to 20 bytes", |call, _| {
            call.truncate = true;
            Ok(())
        }),
        simple(&["--base16"], "print hexadecimal digits", |call, _| {
            call.format(HashFormat::Base16, false)
        }),
        simple(&["--base32"], "print Nix's base 32", |call, _| {
            call.format(HashFormat::Nix32, false)
        }),
        simple(&["--base64"], "print base 64", |call, _| {
            call.format(HashFormat::Base64, false)
        }),
        simple(&["--sri"], "print the algorithm, a dash and base 64", |call, _| {
            call.format(HashFormat::Sri, false)
        }),
        simple(&["--to-base16"], "convert hashes to hexadecimal digits", |call, _| {
            call.format(HashFormat::Base16, true)
        }),
        simple(&["--to-base32"], "convert hashes to Nix's base 32", |call, _| {
            call.format(HashFormat::Nix32, true)
        }),
        simple(&["--to-base64"], "convert hashes to base 64", |call, _| {
            call.format(HashFormat::Base64, true)
        }),
        simple(&["--to-sri"], "convert hashes to the form with a dash", |call, _| {
            call.format(HashFormat::Sri, true)
        }),
    ];

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn positional(&mut self, arg: String) {
        self.args.push(arg);
    }
}

pub(super) fn help() -> String {
    format!(
        "Usage: nix-hash [FLAG]... PATH...\n       nix-hash --to-FORMAT [--type ALGORITHM] HASH...\n\n\
         {}{}",
        flags::describe(Call::FLAGS),
        flags::describe(settings::FLAGS),
    )
}

/// Runs the command.
pub(super) fn run(args: Vec<String>) -> Result<ExitCode, Stop> {
    let mut call = Call::default();
    flags::parse(&mut call, args)?;
    if call.args.is_empty() && call.converts {
        return usage("a hash is expected");
    }
    for arg in &call.args {
        let hash = if call.converts {
            Hash::parse_any(arg, Some(call.algo))
                .map_err(|error| CommandError::user(error.to_string()))?
        } else if call.flat {
            hash_bytes(Path::new(arg), call.algo)?
        } else {
            hash_tree(Path::new(arg), call.algo).map_err(store_error)?.0
        };
        output::line(&call.print(&hash))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The hash of what can be read at a path: links are followed, and pipes are read to their end.
fn hash_bytes(path: &Path, algo: HashAlgo) -> Result<Hash, Stop> {
    let failed = |error| file_error("read", path, &error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut sink = HashSink::new(algo);
    std::io::copy(&mut file, &mut sink).map_err(failed)?;
    Ok(sink.finish().0)
}

impl Call {
    fn print(&self, hash: &Hash) -> String {
        if !self.truncate || hash.digest().len() <= TRUNCATED_LEN {
            return hash.print(self.format);
        }
        // A folded hash has a length that is no algorithm's.
        let mut folded = [0; TRUNCATED_LEN];
        for (at, byte) in hash.digest().iter().enumerate() {
            folded[at % TRUNCATED_LEN] ^= byte;
        }
        match self.format {
            HashFormat::Base16 => base16_encode(&folded),
            HashFormat::Nix32 => nix32_encode(&folded),
            HashFormat::Base64 => base64_encode(&folded),
            HashFormat::Sri => format!("{}-{}", hash.algo(), base64_encode(&folded)),
        }
    }
}
