//! Builtins that hash, and that print hashes in other notations.

use picnix_store_core::{Hash, HashAlgo, HashFormat};

use super::{Builtin, Scope};
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::features::Feature;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "hashString",
        parameters: &["type", "s"],
        scope: Scope::Prefixed,
        doc: "Returns the hash of the string *s* in base 16. *type* is `md5`, `sha1`, `sha256` or `sha512`.",
        function: hash_string,
    },
    Builtin {
        name: "hashFile",
        parameters: &["type", "p"],
        scope: Scope::Prefixed,
        doc: "Returns the hash of the file at *p* in base 16. *type* is as of `hashString`.",
        function: hash_file,
    },
    Builtin {
        name: "convertHash",
        parameters: &["args"],
        scope: Scope::Prefixed,
        doc: "Prints `args.hash` anew: `toHashFormat` is `base16`, `nix32`, `base64` or `sri`. \
              `hashAlgo` is needed where the hash does not name its algorithm.",
        function: convert_hash,
    },
];

fn hash_string<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.hashString";
    let algo = algo(ev, args[0], pos, doing)?;
    let doing = "while evaluating the second argument passed to builtins.hashString";
    let string = ev.expect_string(args[1], pos, doing)?;
    let hash = Hash::of(algo, string.bytes);
    Ok(ev.string(hash.print(HashFormat::Base16).as_bytes()))
}

fn hash_file<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.hashFile";
    let algo = algo(ev, args[0], pos, doing)?;
    let path = ev.readable_path(args[1], pos, "while realising the context of a path")?;
    let contents =
        ev.world.read_file(path).map_err(|error| ev.world_error(error, pos))?;
    let hash = Hash::of(algo, &contents);
    Ok(ev.string(hash.print(HashFormat::Base16).as_bytes()))
}

fn convert_hash<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.convertHash";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let doing = "while locating the attribute 'hash'";
    let hash = ev.required_attr(attrs, sym::HASH, pos, doing)?;
    let doing = "while evaluating the attribute 'hash'";
    let hash = String::from_utf8_lossy(ev.expect_plain_string(hash.get(), pos, doing)?);
    let algo = match attrs.get(sym::HASH_ALGO) {
        Some(slot) => {
            let doing = "while evaluating the attribute 'hashAlgo'";
            Some(algo(ev, slot.get(), pos, doing)?)
        }
        None => None,
    };
    let doing = "while locating the attribute 'toHashFormat'";
    let format = ev.required_attr(attrs, sym::TO_HASH_FORMAT, pos, doing)?;
    let doing = "while evaluating the attribute 'toHashFormat'";
    let format = ev.expect_plain_string(format.get(), pos, doing)?;
    if format == b"base32" {
        ev.warn("\"base32\" is a deprecated alias for hash format \"nix32\".");
    }
    let format = HashFormat::parse(&String::from_utf8_lossy(format))?;
    let hash = Hash::parse_any(&hash, algo)?;
    if hash.algo() == HashAlgo::Blake3 {
        ev.require_feature(Feature::Blake3Hashes, "")?;
    }
    Ok(ev.string(hash.print(format).as_bytes()))
}

fn algo<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    doing: &str,
) -> Result<HashAlgo> {
    let name = ev.expect_plain_string(value, pos, doing)?;
    let algo = HashAlgo::parse(&String::from_utf8_lossy(name))?;
    if algo == HashAlgo::Blake3 {
        ev.require_feature(Feature::Blake3Hashes, "").at(pos)?;
    }
    Ok(algo)
}
