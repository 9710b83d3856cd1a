//! What evaluation may see of the files: everything, or what is on a list.
//!
//! In pure and in restricted mode evaluation sees the store objects that it made itself, in restricted mode also
//! what is in the search path. The directories above those may be looked at, but show nothing else. What may not
//! be seen is not there, and reading it is an error in Nix's words.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use picnix_eval::world::{WorldError, WorldResult};

/// How much of the machine evaluation sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// All of it.
    #[default]
    Everything,
    /// The search path, and what evaluation itself put into the store (`restrict-eval`).
    Restricted,
    /// Only the latter; nor the environment and the clock (`pure-eval`).
    Pure,
}

/// The list of paths that may be seen; nothing where all may.
pub(crate) struct Access {
    visibility: Visibility,
    allowed: Mutex<BTreeSet<Vec<u8>>>,
}

impl Access {
    /// A list without entries.
    pub(crate) fn new(visibility: Visibility) -> Self {
        Self { visibility, allowed: Mutex::default() }
    }

    fn allowed(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is seen.
    pub(crate) fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// Allows a canonical path and everything below it.
    pub(crate) fn allow(&self, path: &[u8]) {
        if self.visibility != Visibility::Everything {
            self.allowed().insert(path.to_vec());
        }
    }

    /// Whether anything is hidden.
    pub(crate) fn is_limited(&self) -> bool {
        self.visibility != Visibility::Everything
    }

    /// Whether a canonical path may be seen: it is allowed, below what is, or above.
    pub(crate) fn is_allowed(&self, path: &[u8]) -> bool {
        if self.covers(path) {
            return true;
        }
        let allowed = self.allowed();
        let is_below = |path: &[u8], dir: &[u8]| match path.strip_prefix(dir) {
            Some(rest) => rest.is_empty() || dir == b"/" || rest.starts_with(b"/"),
            None => false,
        };
        // A slash sorts after some bytes that names begin with: the children of a path need not follow it.
        let start = if path == b"/" { path.to_vec() } else { [path, b"/"].concat() };
        allowed.range(start..).next().is_some_and(|next| is_below(next, path))
    }

    /// Whether a canonical path may be seen with everything below it.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        if self.visibility == Visibility::Everything {
            return true;
        }
        let allowed = self.allowed();
        ancestors(path).any(|above| allowed.contains(above))
    }

    /// Fails unless a path may be seen.
    pub(crate) fn check(&self, path: &[u8]) -> WorldResult<()> {
        if self.is_allowed(path) {
            return Ok(());
        }
        let mode = match self.visibility {
            Visibility::Pure => "in pure evaluation mode (use '--impure' to override)",
            Visibility::Everything | Visibility::Restricted => "in restricted mode",
        };
        let path = String::from_utf8_lossy(path);
        let message = format!("access to absolute path '{path}' is forbidden {mode}");
        Err(WorldError { is_forbidden: true, ..WorldError::new(message) })
    }
}

/// A path and the directories above it.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        match (slash, path.len()) {
            (0, 1) => None,
            (0, _) => Some(&path[..1]),
            _ => Some(&path[..slash]),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_and_below_an_allowed_path_may_be_seen() {
        let access = Access::new(Visibility::Restricted);
        assert!(!access.is_allowed(b"/"));
        access.allow(b"/a/b");
        access.allow(b"/a/b-c");
        for path in ["/", "/a", "/a/b", "/a/b/c/d", "/a/b-c"] {
            assert!(access.is_allowed(path.as_bytes()), "{path}");
        }
        for path in ["/a/c", "/a/bc", "/a/b-", "/b", "/aa"] {
            assert!(!access.is_allowed(path.as_bytes()), "{path}");
        }
        access.allow(b"/");
        assert!(access.is_allowed(b"/b"));
    }

    #[test]
    fn errors_name_path_and_mode() {
        let message = |mode| Access::new(mode).check(b"/etc").unwrap_err().to_string();
        assert_eq!(
            message(Visibility::Restricted),
            "access to absolute path '/etc' is forbidden in restricted mode"
        );
        assert!(message(Visibility::Pure).contains("--impure"));
        assert!(Access::new(Visibility::Everything).check(b"/etc").is_ok());
    }
}
