//! Paths inside an image, parsed once.
//!
//! A path is bytes, as the kernel sees it; it is absolute in the image, written without the
//! leading slash, and never holds `.`, `..`, an empty component or a zero byte.

use crate::ImageError;
use std::fmt;

/// The kernel's `PATH_MAX`, less its zero byte and our leading slash.
const MAX_PATH_BYTES: usize = 4094;
/// The kernel's `NAME_MAX`.
const MAX_COMPONENT_BYTES: usize = 255;

/// A normalised path inside an image; the root is the empty path.
///
/// The order is that of the bytes, so a directory comes before what lies in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ImagePath(Vec<u8>);

impl ImagePath {
    /// Parses a path, absolute or relative to the image's root.
    ///
    /// Repeated slashes and `.` are dropped. `..`, zero bytes and names longer than the kernel
    /// takes are errors; the image would not mean what its description says.
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, ImageError> {
        let path = path.as_ref();
        let invalid = |reason| ImageError::Path {
            path: String::from_utf8_lossy(path).into_owned(),
            reason,
        };
        if path.is_empty() {
            return Err(invalid("it is empty"));
        }
        if path.contains(&0) {
            return Err(invalid("it holds a zero byte"));
        }
        let mut normal = Vec::with_capacity(path.len());
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(invalid("\"..\" is not allowed")),
                _ if component.len() > MAX_COMPONENT_BYTES => {
                    return Err(invalid("a name is longer than 255 bytes"));
                }
                _ => {}
            }
            if !normal.is_empty() {
                normal.push(b'/');
            }
            normal.extend_from_slice(component);
        }
        if normal.len() > MAX_PATH_BYTES {
            return Err(invalid("it is longer than 4094 bytes"));
        }
        Ok(Self(normal))
    }

    /// Appends a path, as if `self` were the root of the image.
    pub fn join(&self, path: impl AsRef<[u8]>) -> Result<Self, ImageError> {
        let mut whole = self.0.clone();
        whole.push(b'/');
        whole.extend_from_slice(path.as_ref());
        Self::parse(whole)
    }

    /// The directory that holds this path, or nothing for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// Whether this is the root of the image.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (given, normal) in [
            ("/etc/motd", "/etc/motd"),
            ("etc//./motd/", "/etc/motd"),
            ("/", "/"),
            (".", "/"),
            ("a b/..c", "/a b/..c"),
        ] {
            assert_eq!(ImagePath::parse(given).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn paths_that_leave_the_image_are_refused() {
        for bad in ["", "..", "/a/../b", "a/..", "a\0b"] {
            assert!(ImagePath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ImagePath::parse("x".repeat(256)).is_err());
        assert!(ImagePath::parse("x/".repeat(2100)).is_err());
    }

    #[test]
    fn parents_end_at_the_root() {
        let path = ImagePath::parse("/a/b").unwrap();
        let a = path.parent().unwrap();
        assert_eq!(a.to_string(), "/a");
        assert!(a.parent().unwrap().is_root());
        assert_eq!(a.parent().unwrap().parent(), None);
    }

    #[test]
    fn joining_stays_below() {
        let path = ImagePath::parse("/nix/store").unwrap();
        assert_eq!(path.join("/x").unwrap().to_string(), "/nix/store/x");
        assert!(path.join("../x").is_err());
    }
}
