//! How the text of a path literal becomes an absolute path.
//!
//! Purely by its text, as in Nix: `.`, `..` and repeated slashes go, symbolic links are not looked at.

use crate::ast::{PathAnchor, PathLiteral};

/// What path literals are relative to; both are absolute paths without a final `/`.
#[derive(Clone, Copy, Debug)]
pub struct PathContext<'c> {
    /// The folder of the file that holds the literals.
    pub folder: &'c str,
    /// The user's home.
    pub home: &'c str,
}

/// The absolute path of a literal's head.
///
/// A final `/` stays (it occurs only before an interpolation), and what comes after `~` is taken as
/// written; both as in Nix.
pub fn resolve_path(path: &PathLiteral<'_>, context: &PathContext<'_>) -> String {
    let head = path.head;
    let canonical = |path: &str| {
        String::from_utf8_lossy(&canonical_path(path.as_bytes())).into_owned()
    };
    let mut out = match path.anchor {
        PathAnchor::Home => return format!("{}{}", context.home, &head[1..]),
        PathAnchor::Root => canonical(head),
        PathAnchor::File => canonical(&format!("{}/{head}", context.folder)),
    };
    if head.len() > 1 && head.ends_with('/') {
        out.push('/');
    }
    out
}

/// An absolute path without `.`, `..`, repeated and final slashes. `..` of the root is the root.
#[must_use]
pub fn canonical_path(path: &[u8]) -> Vec<u8> {
    let mut canonical: Vec<u8> = Vec::with_capacity(path.len() + 1);
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &canonical).unwrap_or(0);
                canonical.truncate(parent);
            }
            name => {
                canonical.push(b'/');
                canonical.extend_from_slice(name);
            }
        }
    }
    if canonical.is_empty() {
        canonical.push(b'/');
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_canonical_by_their_text() {
        assert_eq!(canonical_path(b"/a/./b/../c//d/"), b"/a/c/d");
        assert_eq!(canonical_path(b"/../.."), b"/");
        let context = PathContext { folder: "/home/a", home: "/root" };
        let resolve = |anchor, head| {
            resolve_path(&PathLiteral { anchor, head, rest: &[] }, &context)
        };
        assert_eq!(resolve(PathAnchor::File, "../b/"), "/home/b/");
        assert_eq!(resolve(PathAnchor::Root, "/"), "/");
        assert_eq!(resolve(PathAnchor::Home, "~/x/../y"), "/root/x/../y");
    }
}
