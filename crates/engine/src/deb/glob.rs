//! Patterns for paths of an unpacked tree.
//!
//! A pattern is written like a path without a leading slash. `?` stands for one character and
//! `*` for any number of them, both within a component; `**` as a whole component stands for any
//! number of components, none included. A pattern that matches a directory matches all below it.
//! Everything else stands for itself.

use super::DebError;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    /// `**`
    AnyNumber,
    One(Vec<u8>),
}

impl Glob {
    /// Parses a pattern; one that could never match is an error.
    pub(super) fn parse(pattern: &str) -> Result<Self, DebError> {
        let invalid = |reason| DebError::Pattern { pattern: pattern.to_owned(), reason };
        if pattern.is_empty() {
            return Err(invalid("it is empty"));
        }
        if pattern.starts_with('/') {
            return Err(invalid("paths of the tree have no leading slash"));
        }
        let mut components = Vec::new();
        for component in pattern.split('/') {
            components.push(match component {
                "" | "." | ".." => {
                    return Err(invalid("a component is empty, \".\" or \"..\""));
                }
                "**" => Component::AnyNumber,
                other => Component::One(other.as_bytes().to_vec()),
            });
        }
        Ok(Self { components })
    }

    /// Whether a path, or a directory above it, matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let count = self.components.len();
        // `reached[i]`: the first `i` components match what of the path has been looked at.
        let mut reached = vec![false; count + 1];
        reached[0] = true;
        self.skip_any_number(&mut reached);
        for name in path.split(|&byte| byte == b'/') {
            let mut next = vec![false; count + 1];
            for (i, component) in self.components.iter().enumerate() {
                match component {
                    Component::AnyNumber => next[i] |= reached[i],
                    Component::One(one) => {
                        next[i + 1] = reached[i] && matches_name(one, name);
                    }
                }
            }
            self.skip_any_number(&mut next);
            reached = next;
            if reached[count] {
                return true;
            }
        }
        false
    }

    /// `**` may stand for nothing.
    fn skip_any_number(&self, reached: &mut [bool]) {
        for (i, component) in self.components.iter().enumerate() {
            if reached[i] && *component == Component::AnyNumber {
                reached[i + 1] = true;
            }
        }
    }
}

/// Matches one component: where a `*` fails to match further, it takes one byte more.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                n += character_bytes(&name[n..]);
            }
            Some(&byte) if byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The bytes of the first character, in UTF-8 where it is that.
fn character_bytes(text: &[u8]) -> usize {
    let length = match text[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    length.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, yes, no) in [
            (
                "usr/bin",
                &["usr/bin", "usr/bin/sh"][..],
                &["usr", "usr/binx", "x/usr/bin"][..],
            ),
            ("usr/bin/*", &["usr/bin/sh", "usr/bin/d/x"], &["usr/bin", "usr/bi"]),
            ("usr/*/x", &["usr/a/x", "usr/a/x/y"], &["usr/x", "usr/a/b/x"]),
            ("usr/share/doc/**", &["usr/share/doc", "usr/share/doc/a/b"], &["usr/share"]),
            ("**/*.la", &["a.la", "x/y/a.la"], &["a.lax", "x/y"]),
            ("usr/**/x", &["usr/x", "usr/a/b/x"], &["usr", "usr/a/b"]),
            ("lib*.so*", &["libc.so", "libc.so.6", "lib.so"], &["lib.s", "xlib.so"]),
            ("a?c", &["abc", "aäc"], &["ac", "abbc"]),
            ("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a"]),
            ("a**b", &["ab", "axxb"], &["a/b"]),
            ("**", &["a", "a/b"], &[]),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            for path in yes {
                assert!(glob.matches(path.as_bytes()), "{pattern} must match {path}");
            }
            for path in no {
                assert!(
                    !glob.matches(path.as_bytes()),
                    "{pattern} must not match {path}"
                );
            }
        }
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for bad in ["", "/usr", "a//b", "a/../b", "./a", "a/"] {
            assert!(Glob::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hostile_patterns_take_little_time() {
        let pattern = format!("{}{}b", "**/".repeat(50), "*a".repeat(50));
        let path = format!("{}/", "a".repeat(200)).repeat(20) + "a";
        assert!(!Glob::parse(&pattern).unwrap().matches(path.as_bytes()));
    }
}
