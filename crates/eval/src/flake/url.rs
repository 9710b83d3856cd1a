//! URLs as Nix reads and writes them.
//!
//! The grammar is RFC 3986's, with Nix's exceptions: in lenient mode a query may contain blanks and quotes, and a
//! fragment also `^`. A path is its decoded segments: `file:///a/b` has `["", "a", "b"]`, `github:a/b` has
//! `["a", "b"]`. Printing escapes what is not unreserved, so that print and parse agree.

use std::collections::BTreeMap;
use std::fmt;

use super::{RefResult, bad_url};

/// The part between `//` and the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// The user, decoded.
    pub user: Option<String>,
    /// The password, decoded.
    pub password: Option<String>,
    /// The host, decoded, without the brackets of an IPv6 address.
    pub host: String,
    /// Whether the host stands in brackets.
    pub is_bracketed: bool,
    /// The port.
    pub port: Option<u16>,
}

/// A URL in its parts, which are decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// The scheme, such as `git+https`.
    pub scheme: String,
    /// The authority, if there is a `//`.
    pub authority: Option<Authority>,
    /// The path, split at slashes.
    pub path: Vec<String>,
    /// The parameters by name.
    pub query: BTreeMap<String, String>,
    /// What follows the `#`; empty if there is none.
    pub fragment: String,
}

/// Whether blanks and quotes may stand unescaped in query and fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// As the RFC says.
    Strict,
    /// As people write flake references.
    Lenient,
}

const SUB_DELIMITERS: &[u8] = b"!$&'()*+,;=";

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// It has no scheme, or a character that its place does not allow.
    pub fn parse(text: &str, strictness: Strictness) -> RefResult<Self> {
        let not_valid =
            |why: &str| bad_url(format!("'{text}' is not a valid URL: {why}"));
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, fragment),
            None => (text, ""),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, query),
            None => (rest, ""),
        };
        let Some((scheme, rest)) = rest.split_once(':') else {
            return bad_url(format!("'{text}' doesn't have a scheme"));
        };
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !scheme_is_valid {
            return bad_url(format!("'{text}' doesn't have a scheme"));
        }
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            None => (None, rest),
        };
        let lenient = strictness == Strictness::Lenient;
        let extra = |more: &'static [u8]| if lenient { more } else { b"" };
        if !is_made_of(path, b":@/", b"")
            || !is_made_of(query, b":@/?", extra(b" \""))
            || !is_made_of(fragment, b":@/?", extra(b" \"^"))
        {
            return not_valid("leftover");
        }
        let authority = authority.map(Authority::parse).transpose()?;
        let is_file = transport(scheme) == "file";
        if let Some(authority) =
            authority.as_ref().filter(|a| is_file && !a.host.is_empty())
        {
            return bad_url(format!(
                "file:// URL '{text}' has unexpected authority '{authority}'"
            ));
        }
        let path = if is_file && path.is_empty() { "/" } else { path };
        Ok(Self {
            scheme: scheme.to_owned(),
            authority,
            path: path.split('/').map(percent_decode).collect::<RefResult<_>>()?,
            query: decode_query(query)?,
            fragment: percent_decode(fragment)?,
        })
    }

    /// The path as text, nothing escaped.
    #[must_use]
    pub fn path_text(&self) -> String {
        self.path.join("/")
    }

    /// The path as one of a file system.
    ///
    /// # Errors
    /// A segment has a slash or a NUL in it.
    pub fn file_path(&self) -> RefResult<String> {
        match self.path.iter().find(|part| part.contains(['/', '\0'])) {
            Some(part) => bad_url(format!(
                "URL path component '{}' contains an escaped '/' or NUL",
                part.escape_default()
            )),
            None => Ok(self.path_text()),
        }
    }

    /// Replaces the path by one of a file system.
    pub fn set_file_path(&mut self, path: &str) {
        self.path = path.split('/').map(str::to_owned).collect();
    }

    /// The segments of the path that are not empty.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        self.path.iter().filter(|part| !part.is_empty()).cloned().collect()
    }

    /// `git` of `git+https`.
    #[must_use]
    pub fn application(&self) -> Option<&str> {
        self.scheme.split_once('+').map(|(application, _)| application)
    }

    /// `https` of `git+https`.
    #[must_use]
    pub fn transport(&self) -> &str {
        transport(&self.scheme)
    }
}

fn transport(scheme: &str) -> &str {
    scheme.split_once('+').map_or(scheme, |(_, transport)| transport)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}")?;
        }
        let path: Vec<String> =
            self.path.iter().map(|part| percent_encode(part, ":@")).collect();
        f.write_str(&path.join("/"))?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let (name, value) =
                (percent_encode(name, ":@/?"), percent_encode(value, ":@/?"));
            write!(f, "{separator}{name}={value}")?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", percent_encode(&self.fragment, ""))?;
        }
        Ok(())
    }
}

impl Authority {
    fn parse(text: &str) -> RefResult<Self> {
        let invalid =
            |why: &str| bad_url(format!("invalid URL authority: '{text}': {why}"));
        let (user_info, place) = match text.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, text),
        };
        let (host, port, is_bracketed) = match place.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, rest)) => {
                    (host, rest.strip_prefix(':').unwrap_or(rest), true)
                }
                None => return invalid("invalid"),
            },
            None => match place.split_once(':') {
                Some((host, port)) => (host, port, false),
                None => (place, "", false),
            },
        };
        let host_is_valid = if is_bracketed {
            is_made_of(host, b":", b"")
        } else {
            is_made_of(host, b"", b"")
        };
        if !host_is_valid || !user_info.is_none_or(|user| is_made_of(user, b":", b"")) {
            return invalid("leftover");
        }
        let port = match port {
            "" => None,
            port if !port.bytes().all(|b| b.is_ascii_digit()) => {
                return invalid("leftover");
            }
            port => match port.parse::<u16>() {
                Ok(number) => Some(number),
                Err(_) => return bad_url(format!("port '{port}' is invalid")),
            },
        };
        let (user, password) =
            match user_info.map(|info| info.split_once(':').ok_or(info)) {
                None => (None, None),
                Some(Ok((user, password))) => (Some(user), Some(password)),
                Some(Err(user)) => (Some(user), None),
            };
        Ok(Self {
            user: user.map(percent_decode).transpose()?,
            password: password.map(percent_decode).transpose()?,
            host: percent_decode(host)?,
            is_bracketed,
            port,
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            f.write_str(&percent_encode(user, ""))?;
            if let Some(password) = &self.password {
                write!(f, ":{}", percent_encode(password, ""))?;
            }
            f.write_str("@")?;
        }
        if self.is_bracketed {
            write!(f, "[{}]", percent_encode(&self.host, ":"))?;
        } else {
            f.write_str(&percent_encode(&self.host, ""))?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Whether a text has only unreserved characters, sub-delimiters, escapes and those given.
fn is_made_of(text: &str, allowed: &[u8], more: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(index, byte)| match byte {
        b'%' => bytes
            .get(index + 1..index + 3)
            .is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)),
        byte => {
            is_unreserved(*byte)
                || SUB_DELIMITERS.contains(byte)
                || allowed.contains(byte)
                || more.contains(byte)
        }
    })
}

/// The parameters of a query; one without `=` is ignored, of several of one name the first counts.
fn decode_query(query: &str) -> RefResult<BTreeMap<String, String>> {
    let mut decoded = BTreeMap::new();
    for parameter in query.split('&') {
        if let Some((name, value)) = parameter.split_once('=') {
            let value = percent_decode(value)?;
            decoded.entry(percent_decode(name)?).or_insert(value);
        }
    }
    Ok(decoded)
}

/// Replaces escapes by what they stand for.
///
/// # Errors
/// An escape is incomplete, or the result is not UTF-8.
pub fn percent_decode(text: &str) -> RefResult<String> {
    let invalid = || bad_url(format!("invalid URI parameter '{text}': bad pct-encoding"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let code = tail.get(..2).filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let Some(Ok(byte)) = code.map(|code| u8::from_str_radix(code, 16)) else {
            return invalid();
        };
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).or_else(|_| invalid())
}

/// Escapes everything that is neither unreserved nor one of `keep`.
#[must_use]
pub fn percent_encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) || keep.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The URL that something that people give to `git` stands for: a path, `user@host:path`, or a URL.
///
/// # Errors
/// It is none of these.
pub fn fix_git_url(text: &str) -> RefResult<Url> {
    let mut text = text.to_owned();
    if !text.starts_with('/')
        && let Some((host, path)) = text.rsplit_once(':')
        && let Some((user, host)) = host.split_once('@')
        && !user.contains('/')
    {
        // The first `@` and the last `:`: `git@host:path`.
        text = format!("ssh://{user}@{host}/{path}");
    }
    let is_file_url = text.starts_with("file:") || text.starts_with("git+file:");
    if !is_file_url && !text.contains("://") {
        let path: Vec<String> = text.split('/').map(str::to_owned).collect();
        if path[0].contains(':') {
            return bad_url(format!(
                "SCP-like URL '{text}' is not supported; use SSH URL syntax instead (ssh://...)"
            ));
        }
        let authority = text.starts_with('/').then(Authority::default);
        return Ok(Url { scheme: "file".to_owned(), authority, path, ..Url::default() });
    }
    let mut url = Url::parse(&text, Strictness::Strict)?;
    if url.application() == Some("git") {
        url.scheme = url.transport().to_owned();
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        Url::parse(text, Strictness::Lenient).unwrap().to_string()
    }

    #[test]
    fn what_is_printed_is_what_was_parsed() {
        for text in [
            "github:NixOS/nixpkgs/23.05?dir=lib",
            "https://u:p@example.org:8080/a%20b/c?x=y#z",
            "file:///a/b",
            "path:./x",
            "ssh://git@[::1]:22/x",
            "git+file:///a?ref=b&rev=c",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(again("x:a?b=c d&novalue"), "x:a?b=c%20d");
        assert_eq!(again("file:"), "file:/");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "./a",
            "a b:c",
            "1x:y",
            "x:a b",
            "x:%g0",
            "file://host/x",
            "x://h:99999/",
        ] {
            assert!(Url::parse(text, Strictness::Lenient).is_err(), "{text}");
        }
        assert!(Url::parse("x:a?b=c d", Strictness::Strict).is_err());
    }

    #[test]
    fn git_takes_paths_and_scp_addresses() {
        let fix = |text| fix_git_url(text).unwrap().to_string();
        assert_eq!(fix("/a/b"), "file:///a/b");
        assert_eq!(fix("a/b"), "file:a/b");
        assert_eq!(fix("git@example.org:x/y.git"), "ssh://git@example.org/x/y.git");
        assert_eq!(fix("git+https://example.org/x"), "https://example.org/x");
        assert!(fix_git_url("example.org:x").is_err());
    }
}
