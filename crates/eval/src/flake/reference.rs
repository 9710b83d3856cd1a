//! Flake references: an input and a directory in it, with the short forms that people write.
//!
//! What needs the file system (looking upwards for `flake.nix`, finding the Git repository around a path) is not
//! here: it is the engine's, which hands over a URL.

use super::input::{Input, InputAttrs, InputValue, is_flake_id};
use super::url::{Authority, Strictness, Url, percent_decode};
use super::{RefError, RefResult, bad_url, wrong};

/// A reference to a flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlakeRef {
    /// Where the tree comes from.
    pub input: Input,
    /// The directory in the tree that has the `flake.nix`; empty for its root.
    pub dir: String,
}

/// How a reference is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefForm {
    /// Whether it must be a directory: a flake, rather than any file.
    pub is_flake: bool,
    /// Whether a relative path stays as it is, to be resolved against the flake that names it.
    pub keep_relative: bool,
}

impl RefForm {
    /// A reference that stands on its own.
    pub const ABSOLUTE: Self = Self { is_flake: true, keep_relative: false };
}

impl FlakeRef {
    /// Parses a reference.
    ///
    /// # Errors
    /// It is no reference, or has a fragment.
    pub fn parse(text: &str, form: RefForm) -> RefResult<Self> {
        let (reference, fragment) = Self::parse_with_fragment(text, form)?;
        if fragment.is_empty() {
            return Ok(reference);
        }
        wrong(format!("unexpected fragment '{fragment}' in flake reference '{text}'"))
    }

    /// Parses a reference and the fragment after it.
    ///
    /// # Errors
    /// It is no reference.
    pub fn parse_with_fragment(text: &str, form: RefForm) -> RefResult<(Self, String)> {
        if let Some(found) = Self::parse_id(text, form)? {
            return Ok(found);
        }
        match Url::parse(text, Strictness::Lenient)
            .and_then(|url| Self::from_url(url, form))
        {
            Err(RefError::BadUrl(_)) => Self::parse_path(text, form),
            found => found,
        }
    }

    /// `nixpkgs`, `nixpkgs/branch`, `nixpkgs/branch/rev`.
    ///
    /// # Errors
    /// It has that form, and something in it is wrong.
    pub fn parse_id(text: &str, form: RefForm) -> RefResult<Option<(Self, String)>> {
        let (name, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (id, rest) = match name.split_once('/') {
            Some((id, rest)) => (id, Some(rest)),
            None => (name, None),
        };
        let is_ref = |rest: &str| {
            rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@')
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_./@+-".contains(&b))
        };
        if !is_flake_id(id) || !rest.is_none_or(is_ref) {
            return Ok(None);
        }
        let path = name.split('/').map(str::to_owned).collect();
        let url = Url { scheme: "flake".to_owned(), path, ..Url::default() };
        let input = Input::from_url(&url, form.is_flake)?;
        Ok(Some((Self { input, dir: String::new() }, percent_decode(fragment)?)))
    }

    /// Takes the directory and the fragment off a URL.
    ///
    /// # Errors
    /// No scheme takes the URL.
    pub fn from_url(mut url: Url, form: RefForm) -> RefResult<(Self, String)> {
        let dir = url.query.remove("dir").unwrap_or_default();
        let fragment = std::mem::take(&mut url.fragment);
        let input = Input::from_url(&url, form.is_flake)?;
        Ok((Self { input, dir }, fragment))
    }

    fn parse_path(text: &str, form: RefForm) -> RefResult<(Self, String)> {
        let (path, query, fragment) = split_path(text);
        if !form.keep_relative && !path.starts_with('/') {
            return bad_url(format!("flake reference '{text}' is not an absolute path"));
        }
        // Only the query needs the eyes of the URL parser.
        let mut url = Url::parse(&format!("path:?{query}"), Strictness::Lenient)?;
        url.authority = path.starts_with('/').then(Authority::default);
        url.set_file_path(path);
        url.fragment = percent_decode(fragment)?;
        Self::from_url(url, form)
    }

    /// Makes a reference of attributes: an input's, and perhaps `dir`.
    ///
    /// # Errors
    /// See [`Input::from_attrs`].
    pub fn from_attrs(mut attrs: InputAttrs) -> RefResult<Self> {
        let dir = match attrs.remove("dir") {
            Some(InputValue::Text(dir)) => dir,
            None => String::new(),
            Some(_) => return wrong("input attribute 'dir' is not a string"),
        };
        Ok(Self { input: Input::from_attrs(attrs)?, dir })
    }

    /// The attributes of the input, and `dir`.
    #[must_use]
    pub fn to_attrs(&self) -> InputAttrs {
        let mut attrs = self.input.attrs.clone();
        if !self.dir.is_empty() {
            attrs.insert("dir".to_owned(), InputValue::Text(self.dir.clone()));
        }
        attrs
    }

    /// The URL form.
    ///
    /// # Errors
    /// See [`Input::to_url`].
    pub fn to_url(&self) -> RefResult<Url> {
        let mut url = self.input.to_url()?;
        if !self.dir.is_empty() {
            url.query.entry("dir".to_owned()).or_insert_with(|| self.dir.clone());
        }
        Ok(url)
    }

    /// The URL form as text, or what there is for a message.
    #[must_use]
    pub fn show(&self) -> String {
        self.to_url().map_or_else(|_| self.input.show(), |url| url.to_string())
    }

    /// The reference without a `dir` that an old lock file left in the URL.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut canonical = self.clone();
        if let Some(url) = self.input.text("url")
            && let Ok(mut url) = Url::parse(url, Strictness::Lenient)
        {
            if !self.dir.is_empty() && url.query.get("dir") == Some(&self.dir) {
                url.query.remove("dir");
            }
            canonical.input.set_text("url", url.to_string());
        }
        canonical
    }
}

/// Splits `path?query#fragment`.
#[must_use]
pub fn split_path(text: &str) -> (&str, &str, &str) {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (path, query, fragment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RefResult<String> {
        FlakeRef::parse(text, RefForm::ABSOLUTE)
            .and_then(|found| Ok(found.to_url()?.to_string()))
    }

    #[test]
    fn short_forms_are_urls() {
        let cases = [
            ("nixpkgs", "flake:nixpkgs"),
            ("nixpkgs/nixos-20.03", "flake:nixpkgs/nixos-20.03"),
            ("/a/b?dir=c", "path:/a/b?dir=c"),
            ("github:a/b?dir=c", "github:a/b?dir=c"),
            ("git+file:///a?dir=x&ref=y", "git+file:///a?dir=x&ref=y"),
        ];
        for (text, url) in cases {
            assert_eq!(parse(text).unwrap(), url);
        }
    }

    #[test]
    fn wrong_references_say_what_is_wrong() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("./x"), "flake reference './x' is not an absolute path");
        assert_eq!(
            error("nixpkgs#x"),
            "unexpected fragment 'x' in flake reference 'nixpkgs#x'"
        );
        assert_eq!(error("ftp://x/y"), "input 'ftp://x/y' is unsupported");
    }

    #[test]
    fn relative_paths_are_kept_where_they_may_be() {
        let form = RefForm { is_flake: true, keep_relative: true };
        let found = FlakeRef::parse("./x", form).unwrap();
        assert_eq!(found.input.relative_path(), Some("./x"));
        let found = FlakeRef::parse("path:./x", RefForm::ABSOLUTE).unwrap();
        assert_eq!(found.input.relative_path(), Some("./x"));
    }
}
