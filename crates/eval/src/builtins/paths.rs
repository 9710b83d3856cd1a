//! Builtins that take paths apart by their text alone.

use super::{Builtin, Scope};
use crate::coerce::Coercion;
use crate::error::{At, Result};
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "baseNameOf",
        parameters: &["x"],
        scope: Scope::Plain,
        doc: "Returns what follows the last slash of a path or string; one slash at the end of a \
              string is left out of account.",
        function: base_name_of,
    },
    Builtin {
        name: "dirOf",
        parameters: &["s"],
        scope: Scope::Plain,
        doc: "Returns what precedes the last slash: a path of a path, a string of a string.",
        function: dir_of,
    },
    Builtin {
        name: "toPath",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns an absolute path as a string, cleaned up. Outdated: use `/. + s`.",
        function: to_path,
    },
];

fn base_name_of<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.baseNameOf";
    let string = ev.coerce_to_string(args[0], pos, Coercion::STRING, doing)?;
    Ok(ev.string_of(base_name(string.bytes), string.context))
}

/// What follows the last slash. Of several slashes at the end only one is ignored: derivations depend on it.
fn base_name(path: &[u8]) -> &[u8] {
    let path = match path {
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        _ => path,
    };
    match memchr::memrchr(b'/', path) {
        Some(slash) => &path[slash + 1..],
        None => path,
    }
}

fn dir_of<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to 'builtins.dirOf'";
    let value = ev.force(args[0]).at(pos)?;
    if let Value::Path(path) = value {
        return Ok(ev.path(parent(path.bytes)));
    }
    let string = ev.coerce_to_string(value, pos, Coercion::STRING, doing)?;
    let dir = match memchr::memrchr(b'/', string.bytes) {
        None => b".".as_slice(),
        Some(0) => b"/".as_slice(),
        Some(slash) => &string.bytes[..slash],
    };
    Ok(ev.string_of(dir, string.context))
}

/// The directory of a canonical path; the root is its own.
fn parent(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        Some(slash) if slash > 0 => &path[..slash],
        _ => b"/",
    }
}

/// The last component of a canonical path; none of the root.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

fn to_path<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.toPath";
    let (path, context) = ev.coerce_to_path(args[0], pos, doing)?;
    Ok(ev.string_of(path, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names_ignore_one_slash_at_the_end() {
        for (path, expected) in [
            ("", ""),
            ("/", ""),
            ("a", "a"),
            ("a/b", "b"),
            ("a/b/", "b"),
            ("a/b//", ""),
            ("//", ""),
            ("/a", "a"),
        ] {
            assert_eq!(base_name(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn the_root_is_its_own_parent() {
        assert_eq!(parent(b"/"), b"/");
        assert_eq!(parent(b"/a"), b"/");
        assert_eq!(parent(b"/a/b"), b"/a");
        assert_eq!(file_name(b"/"), b"");
        assert_eq!(file_name(b"/a/b"), b"b");
    }
}
