//! Where a tree comes from: attributes such as `{ type = "git"; url = ...; rev = ...; }`, and their URL form.
//!
//! An [`Input`] is checked when it is made: a scheme that is known has only attributes that it knows. One of an
//! unknown scheme is kept as it is, because a lock file may name it without anybody fetching it.

use std::collections::BTreeMap;

use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, HashFormat, References,
    StoreDir, StorePath,
};

use super::url::{Strictness, Url, fix_git_url};
use super::{RefError, RefResult, bad_url, wrong};

/// The value of an attribute of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputValue {
    /// A string.
    Text(String),
    /// A number, never negative.
    Number(u64),
    /// A Boolean.
    Bool(bool),
}

/// The attributes of an input.
pub type InputAttrs = BTreeMap<String, InputValue>;

/// The name of the mark of inputs that have everything there is to know of them; lock files omit it.
const FINAL: &str = "__final";

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// `file`: a single file.
    File,
    /// `git`
    Git,
    /// `github`: a tarball of a commit.
    GitHub,
    /// `gitlab`: a tarball of a commit.
    GitLab,
    /// `hg`, which picnix cannot fetch.
    Mercurial,
    /// `indirect`: a name that a registry resolves.
    Indirect,
    /// `path`: a file or directory of this machine.
    Path,
    /// `sourcehut`: a tarball of a commit.
    SourceHut,
    /// `tarball`
    Tarball,
}

impl Scheme {
    /// All schemes, in the order in which they are asked about a URL.
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::Git,
        Self::GitHub,
        Self::GitLab,
        Self::Mercurial,
        Self::Indirect,
        Self::Path,
        Self::SourceHut,
        Self::Tarball,
    ];

    /// The value of the attribute `type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Git => "git",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Mercurial => "hg",
            Self::Indirect => "indirect",
            Self::Path => "path",
            Self::SourceHut => "sourcehut",
            Self::Tarball => "tarball",
        }
    }

    fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::File | Self::Tarball => {
                &["url", "narHash", "name", "unpack", "rev", "revCount", "lastModified"]
            }
            Self::Git => &[
                "url",
                "ref",
                "rev",
                "shallow",
                "submodules",
                "lfs",
                "exportIgnore",
                "lastModified",
                "revCount",
                "narHash",
                "allRefs",
                "name",
                "dirtyRev",
                "dirtyShortRev",
                "verifyCommit",
                "keytype",
                "publicKey",
                "publicKeys",
            ],
            Self::GitHub | Self::GitLab | Self::SourceHut => &[
                "owner",
                "repo",
                "ref",
                "rev",
                "narHash",
                "lastModified",
                "host",
                "treeHash",
            ],
            Self::Mercurial => &["url", "ref", "rev", "revCount", "narHash", "name"],
            Self::Indirect => &["id", "ref", "rev", "narHash"],
            Self::Path => &["path", "rev", "revCount", "lastModified", "narHash"],
        }
    }

    fn is_forge(self) -> bool {
        matches!(self, Self::GitHub | Self::GitLab | Self::SourceHut)
    }
}

/// Where a tree comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// The scheme; none if it is not known.
    pub scheme: Option<Scheme>,
    /// The attributes, `type` among them.
    pub attrs: InputAttrs,
}

impl Input {
    /// Makes an input of attributes.
    ///
    /// # Errors
    /// `type` is missing, or the scheme does not take an attribute.
    pub fn from_attrs(attrs: InputAttrs) -> RefResult<Self> {
        let Some(name) = text_attr(&attrs, "type")? else {
            return wrong(
                "'type' attribute to specify input scheme is required but not provided",
            );
        };
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == name);
        if let Some(scheme) = scheme {
            for name in attrs.keys() {
                let is_known = name == "type"
                    || name == FINAL
                    || scheme.attributes().contains(&name.as_str());
                if !is_known {
                    return wrong(format!(
                        "input attribute '{name}' not supported by scheme '{}'",
                        scheme.name()
                    ));
                }
            }
        }
        let mut input = Self { scheme, attrs };
        match scheme {
            Some(Scheme::Git | Scheme::Mercurial) => input.check_git()?,
            Some(scheme) if scheme.is_forge() => input.check_forge()?,
            Some(Scheme::Path) => drop(input.required("path")?),
            Some(Scheme::Indirect) => {
                let id = input.required("id")?;
                if !is_flake_id(&id) {
                    return bad_url(format!("'{id}' is not a valid flake ID"));
                }
            }
            _ => {}
        }
        input.check_common()?;
        Ok(input)
    }

    fn check_common(&self) -> RefResult<()> {
        text_attr(&self.attrs, "ref")?;
        number_attr(&self.attrs, "revCount")?;
        number_attr(&self.attrs, "lastModified")?;
        Ok(())
    }

    fn check_git(&mut self) -> RefResult<()> {
        for name in ["verifyCommit", "keytype", "publicKey", "publicKeys"] {
            if self.attrs.contains_key(name) {
                return wrong(
                    "experimental Nix feature 'verified-fetches' is disabled; picnix does not \
                     have it",
                );
            }
        }
        if let Some(name) = self.git_ref()
            && !is_legal_ref_name(name)
        {
            return bad_url(format!("invalid Git branch/tag name '{name}'"));
        }
        let url = fix_git_url(&self.required("url")?)?;
        self.set_text("url", url.to_string());
        for name in ["shallow", "submodules", "allRefs"] {
            bool_attr(&self.attrs, name)?;
        }
        Ok(())
    }

    fn check_forge(&self) -> RefResult<()> {
        self.required("owner")?;
        self.required("repo")?;
        let shown = || json(&self.attrs);
        let (branch, rev) =
            (text_attr(&self.attrs, "ref")?, text_attr(&self.attrs, "rev")?);
        if let (Some(branch), Some(rev)) = (branch, rev) {
            return bad_url(format!(
                "input {} contains both a commit hash ('{rev}') and a branch/tag name ('{branch}')",
                shown()
            ));
        }
        if let Some(rev) = rev {
            parse_rev(rev)?;
        }
        if branch.is_some_and(|name| !is_legal_ref_name(name)) {
            return bad_url(format!(
                "input {} contains an invalid branch/tag name",
                shown()
            ));
        }
        let is_host = |host: &str| {
            host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        };
        if text_attr(&self.attrs, "host")?.is_some_and(|host| !is_host(host)) {
            return bad_url(format!(
                "input {} contains an invalid instance host",
                shown()
            ));
        }
        Ok(())
    }

    // ---- attributes -----------------------------------------------------------------------------

    /// A string among the attributes.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name) {
            Some(InputValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// It is missing, or no string.
    pub fn required(&self, name: &str) -> RefResult<String> {
        match text_attr(&self.attrs, name)? {
            Some(text) => Ok(text.to_owned()),
            None => wrong(format!("input attribute '{name}' is missing")),
        }
    }

    /// A number among the attributes.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.attrs.get(name) {
            Some(InputValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A Boolean among the attributes; what is missing is false.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.attrs.get(name), Some(InputValue::Bool(true)))
    }

    /// Sets a string.
    pub fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.attrs.insert(name.to_owned(), InputValue::Text(text.into()));
    }

    /// Sets a number.
    pub fn set_number(&mut self, name: &str, number: u64) {
        self.attrs.insert(name.to_owned(), InputValue::Number(number));
    }

    /// The branch or tag.
    #[must_use]
    pub fn git_ref(&self) -> Option<&str> {
        self.text("ref")
    }

    /// The commit, in small hexadecimal digits.
    ///
    /// # Errors
    /// It is no hash.
    pub fn rev(&self) -> RefResult<Option<String>> {
        self.text("rev").map(parse_rev).transpose()
    }

    /// The hash that the tree's NAR must have.
    ///
    /// # Errors
    /// It is no SHA-256 hash.
    pub fn nar_hash(&self) -> RefResult<Option<Hash>> {
        let Some(text) = text_attr(&self.attrs, "narHash")? else { return Ok(None) };
        let hash = if text.is_empty() {
            Hash::zero(HashAlgo::Sha256)
        } else {
            Hash::parse_sri(text).map_err(|error| RefError::Wrong(error.to_string()))?
        };
        if hash.algo() != HashAlgo::Sha256 {
            return wrong("narHash must use SHA-256");
        }
        Ok(Some(hash))
    }

    /// The name of the store object.
    #[must_use]
    pub fn object_name(&self) -> &str {
        self.text("name").unwrap_or("source")
    }

    /// The store path that the tree has, if its hash is known.
    ///
    /// # Errors
    /// The hash or the name is wrong.
    pub fn store_path(&self, store_dir: &StoreDir) -> RefResult<Option<StorePath>> {
        let Some(hash) = self.nar_hash()? else { return Ok(None) };
        let address = ContentAddress { method: ContentAddressMethod::Nar, hash };
        store_dir
            .make_content_path(self.object_name(), &address, &References::none())
            .map(Some)
            .map_err(|error| RefError::Wrong(error.to_string()))
    }

    /// Whether the input says all there is to know of it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.flag(FINAL)
    }

    /// Marks the input as saying all there is to know of it.
    pub fn set_final(&mut self) {
        self.attrs.insert(FINAL.to_owned(), InputValue::Bool(true));
    }

    /// Whether it always means the same tree.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let has_rev = self.text("rev").is_some();
        match self.scheme {
            Some(Scheme::Path | Scheme::File | Scheme::Tarball) => {
                self.text("narHash").is_some()
            }
            Some(Scheme::Git | Scheme::Mercurial) => {
                self.text("rev").is_some_and(|rev| rev.bytes().any(|digit| digit != b'0'))
            }
            Some(Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut) => has_rev,
            Some(Scheme::Indirect) | None => false,
        }
    }

    /// The path of a `path` input that is relative to the flake that names it.
    #[must_use]
    pub fn relative_path(&self) -> Option<&str> {
        let path = self.text("path").filter(|_| self.scheme == Some(Scheme::Path))?;
        (!path.starts_with('/')).then_some(path)
    }

    // ---- URLs -----------------------------------------------------------------------------------

    /// Makes an input of a URL. `is_tree` says whether a directory is needed, rather than a file.
    ///
    /// # Errors
    /// No scheme takes the URL, or one does and something in it is wrong.
    pub fn from_url(url: &Url, is_tree: bool) -> RefResult<Self> {
        for scheme in Scheme::ALL {
            if let Some(input) = scheme_from_url(scheme, url, is_tree)? {
                return Ok(input);
            }
        }
        if url.application() == Some("file") && url.transport() == "git" {
            return wrong(format!(
                "input '{url}' is unsupported; did you mean 'git+file' instead of 'file+git'?"
            ));
        }
        wrong(format!("input '{url}' is unsupported"))
    }

    /// The URL form.
    ///
    /// # Errors
    /// The scheme is not known, or an attribute is wrong.
    pub fn to_url(&self) -> RefResult<Url> {
        match self.scheme {
            None => {
                wrong(format!("cannot show unsupported input '{}'", json(&self.attrs)))
            }
            Some(Scheme::Path) => Ok(self.path_url()),
            Some(Scheme::File | Scheme::Tarball) => {
                let mut url = Url::parse(&self.required("url")?, Strictness::Strict)?;
                self.add_nar_hash(&mut url)?;
                Ok(url)
            }
            Some(Scheme::Git) => self.git_url("git"),
            Some(Scheme::Mercurial) => self.git_url("hg"),
            Some(Scheme::Indirect) => {
                let mut path = vec![self.required("id")?];
                path.extend(self.git_ref().map(str::to_owned));
                path.extend(self.rev()?);
                Ok(Url { scheme: "flake".to_owned(), path, ..Url::default() })
            }
            Some(scheme) => {
                let mut path = vec![self.required("owner")?, self.required("repo")?];
                path.extend(self.git_ref().map(str::to_owned));
                path.extend(self.rev()?);
                let mut url =
                    Url { scheme: scheme.name().to_owned(), path, ..Url::default() };
                self.add_nar_hash(&mut url)?;
                if let Some(host) = self.text("host") {
                    url.query.insert("host".to_owned(), host.to_owned());
                }
                Ok(url)
            }
        }
    }

    /// The URL form as text, or what there is for a message.
    #[must_use]
    pub fn show(&self) -> String {
        self.to_url().map_or_else(|_| json(&self.attrs), |url| url.to_string())
    }

    fn add_nar_hash(&self, url: &mut Url) -> RefResult<()> {
        if let Some(hash) = self.nar_hash()? {
            url.query.insert("narHash".to_owned(), hash.print(HashFormat::Sri));
        }
        Ok(())
    }

    fn path_url(&self) -> Url {
        let mut url = Url { scheme: "path".to_owned(), ..Url::default() };
        for (name, value) in &self.attrs {
            let text = match value {
                InputValue::Text(text) => text.clone(),
                InputValue::Number(number) => number.to_string(),
                InputValue::Bool(bool) => u8::from(*bool).to_string(),
            };
            match name.as_str() {
                "type" | FINAL => {}
                "path" => url.set_file_path(&text),
                name => drop(url.query.insert(name.to_owned(), text)),
            }
        }
        url
    }

    fn git_url(&self, application: &str) -> RefResult<Url> {
        let mut url = Url::parse(&self.required("url")?, Strictness::Strict)?;
        if url.scheme != application {
            url.scheme = format!("{application}+{}", url.scheme);
        }
        let texts = [("rev", self.rev()?), ("ref", self.git_ref().map(str::to_owned))];
        let flags = ["shallow", "lfs", "submodules", "exportIgnore"]
            .map(|name| (name, self.flag(name).then(|| "1".to_owned())));
        for (name, value) in texts.into_iter().chain(flags) {
            if let Some(value) = value {
                url.query.insert(name.to_owned(), value);
            }
        }
        Ok(url)
    }
}

fn scheme_from_url(scheme: Scheme, url: &Url, is_tree: bool) -> RefResult<Option<Input>> {
    let is_mine = match scheme {
        Scheme::Path | Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut => {
            url.scheme == scheme.name()
        }
        Scheme::Indirect => url.scheme == "flake",
        Scheme::Git => url.scheme == "git" || url.application() == Some("git"),
        Scheme::Mercurial => url.application() == Some("hg"),
        Scheme::File => is_downloadable(url, "file", !is_tree && !has_tarball_name(url)),
        Scheme::Tarball => {
            is_downloadable(url, "tarball", is_tree || has_tarball_name(url))
        }
    };
    if !is_mine {
        return Ok(None);
    }
    let attrs = match scheme {
        Scheme::Path => path_attrs(url)?,
        Scheme::Indirect => indirect_attrs(url)?,
        Scheme::Git | Scheme::Mercurial => git_attrs(url),
        Scheme::File | Scheme::Tarball => download_attrs(scheme, url),
        Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut => forge_attrs(url)?,
    };
    let mut attrs = attrs;
    attrs.insert("type".to_owned(), InputValue::Text(scheme.name().to_owned()));
    Input::from_attrs(attrs).map(Some)
}

fn is_downloadable(url: &Url, application: &str, by_name: bool) -> bool {
    ["file", "http", "https"].contains(&url.transport())
        && url.application().map_or(by_name, |found| found == application)
}

fn has_tarball_name(url: &Url) -> bool {
    const ENDS: [&str; 7] =
        [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
    url.path.last().is_some_and(|name| ENDS.iter().any(|end| name.ends_with(end)))
}

fn text(value: &str) -> InputValue {
    InputValue::Text(value.to_owned())
}

fn path_attrs(url: &Url) -> RefResult<InputAttrs> {
    if let Some(authority) = url.authority.as_ref().filter(|a| !a.host.is_empty()) {
        return wrong(format!(
            "path URL '{url}' should not have an authority ('{authority}')"
        ));
    }
    let mut attrs = InputAttrs::from([("path".to_owned(), text(&url.file_path()?))]);
    for (name, value) in &url.query {
        let value = match name.as_str() {
            "rev" | "narHash" => text(value),
            "revCount" | "lastModified" => match value.parse() {
                Ok(number) => InputValue::Number(number),
                Err(_) => {
                    return wrong(format!(
                        "path URL '{url}' has invalid parameter '{name}'"
                    ));
                }
            },
            name => {
                return wrong(format!(
                    "path URL '{url}' has unsupported parameter '{name}'"
                ));
            }
        };
        attrs.insert(name.clone(), value);
    }
    Ok(attrs)
}

fn indirect_attrs(url: &Url) -> RefResult<InputAttrs> {
    let path = url.segments();
    let mut attrs = InputAttrs::new();
    let mut add = |name: &str, value: &str| attrs.insert(name.to_owned(), text(value));
    match path.as_slice() {
        [id] => drop(add("id", id)),
        [id, second] => {
            add("id", id);
            if is_rev(second) {
                add("rev", &second.to_lowercase());
            } else if is_legal_ref_name(second) {
                add("ref", second);
            } else {
                return bad_url(format!(
                    "in flake URL '{url}', '{second}' is not a commit hash or branch/tag name"
                ));
            }
        }
        [id, branch, rev] => {
            if !is_legal_ref_name(branch) {
                return bad_url(format!(
                    "in flake URL '{url}', '{branch}' is not a branch/tag name"
                ));
            }
            if !is_rev(rev) {
                return bad_url(format!(
                    "in flake URL '{url}', '{rev}' is not a commit hash"
                ));
            }
            add("id", id);
            add("ref", branch);
            add("rev", &rev.to_lowercase());
        }
        _ => return bad_url(format!("GitHub URL '{url}' is invalid")),
    }
    Ok(attrs)
}

fn git_attrs(url: &Url) -> InputAttrs {
    let mut place = Url { query: BTreeMap::new(), ..url.clone() };
    let mut attrs = InputAttrs::new();
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" | "ref" | "keytype" | "publicKey" | "publicKeys" => {
                attrs.insert(name.clone(), text(value));
            }
            "shallow" | "submodules" | "lfs" | "exportIgnore" | "allRefs"
            | "verifyCommit" => {
                attrs.insert(name.clone(), InputValue::Bool(value == "1"));
            }
            _ => drop(place.query.insert(name.clone(), value.clone())),
        }
    }
    if place.application() == Some("hg") {
        place.scheme = place.transport().to_owned();
    }
    attrs.insert("url".to_owned(), text(&place.to_string()));
    attrs
}

fn download_attrs(scheme: Scheme, url: &Url) -> InputAttrs {
    let mut attrs = InputAttrs::new();
    for name in ["narHash", "rev"] {
        if let Some(value) = url.query.get(name) {
            attrs.insert(name.to_owned(), text(value));
        }
    }
    for name in ["revCount", "lastModified"] {
        if let Some(Ok(number)) = url.query.get(name).map(|value| value.parse()) {
            attrs.insert(name.to_owned(), InputValue::Number(number));
        }
    }
    let mut place = url.clone();
    place.scheme = url.transport().to_owned();
    place.query.retain(|name, _| !scheme.attributes().contains(&name.as_str()));
    attrs.insert("url".to_owned(), text(&place.to_string()));
    attrs
}

fn forge_attrs(url: &Url) -> RefResult<InputAttrs> {
    let path = url.segments();
    let [owner, repo, rest @ ..] = path.as_slice() else {
        return bad_url(format!("URL '{url}' is invalid"));
    };
    let mut attrs = InputAttrs::from([
        ("owner".to_owned(), text(owner)),
        ("repo".to_owned(), text(repo)),
    ]);
    match rest {
        [] => {}
        [rev] if is_rev(rev) => drop(attrs.insert("rev".to_owned(), text(rev))),
        branch => drop(attrs.insert("ref".to_owned(), text(&branch.join("/")))),
    }
    for (name, what) in [("rev", "commit hashes"), ("ref", "branch/tag names")] {
        if let Some(value) = url.query.get(name)
            && attrs.insert(name.to_owned(), text(value)).is_some()
        {
            return bad_url(format!("URL '{url}' contains multiple {what}"));
        }
    }
    for name in ["host", "narHash"] {
        if let Some(value) = url.query.get(name) {
            attrs.insert(name.to_owned(), text(value));
        }
    }
    Ok(attrs)
}

fn text_attr<'a>(attrs: &'a InputAttrs, name: &str) -> RefResult<Option<&'a str>> {
    match attrs.get(name) {
        None => Ok(None),
        Some(InputValue::Text(text)) => Ok(Some(text)),
        Some(_) => {
            wrong(format!("input attribute '{name}' is not a string {}", json(attrs)))
        }
    }
}

fn number_attr(attrs: &InputAttrs, name: &str) -> RefResult<()> {
    match attrs.get(name) {
        None | Some(InputValue::Number(_)) => Ok(()),
        Some(_) => wrong(format!("input attribute '{name}' is not an integer")),
    }
}

fn bool_attr(attrs: &InputAttrs, name: &str) -> RefResult<()> {
    match attrs.get(name) {
        None | Some(InputValue::Bool(_)) => Ok(()),
        Some(_) => wrong(format!("input attribute '{name}' is not a Boolean")),
    }
}

/// The attributes as JSON, for messages and lock files.
pub(super) fn attrs_json(attrs: &InputAttrs) -> serde_json::Value {
    let members = attrs.iter().map(|(name, value)| {
        let value = match value {
            InputValue::Text(text) => text.clone().into(),
            InputValue::Number(number) => (*number).into(),
            InputValue::Bool(bool) => (*bool).into(),
        };
        (name.clone(), value)
    });
    serde_json::Value::Object(members.collect())
}

fn json(attrs: &InputAttrs) -> String {
    attrs_json(attrs).to_string()
}

/// A commit's hash in small hexadecimal digits.
fn parse_rev(text: &str) -> RefResult<String> {
    let parsed = Hash::parse_any(text, None)
        .or_else(|_| Hash::parse_any(text, Some(HashAlgo::Sha1)));
    match parsed {
        Ok(hash) => Ok(hash.print(HashFormat::Base16)),
        Err(error) => wrong(error.to_string()),
    }
}

/// Whether a text is a commit hash of 40 digits.
#[must_use]
pub fn is_rev(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text names a flake in a registry.
pub(super) fn is_flake_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether Git takes a text as the name of a branch, a tag or a ref.
#[must_use]
pub fn is_legal_ref_name(name: &str) -> bool {
    const FORBIDDEN: &[u8] = b" ~^:?*[\\\x7f";
    !name.is_empty()
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.bytes().any(|byte| byte < 0x20 || FORBIDDEN.contains(&byte))
        && name.split('/').all(|part| {
            let extension = part.rsplit_once('.').map(|(_, extension)| extension);
            !part.is_empty() && !part.starts_with('.') && extension != Some("lock")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(url: &str) -> Input {
        let url = Url::parse(url, Strictness::Lenient).unwrap();
        Input::from_url(&url, true).unwrap()
    }

    #[test]
    fn urls_become_attributes_and_urls_again() {
        const REV: &str = "0123456789012345678901234567890123456789";
        for url in [
            "path:/a/b?lastModified=1",
            "path:./a",
            "github:a/b",
            "github:a/b/c%2Fd?host=example.org",
            &format!("gitlab:a/b/{REV}"),
            &format!("git+https://example.org/x?ref=y&rev={REV}&shallow=1"),
            "git+file:///a/b",
            "flake:nixpkgs/x",
            "https://example.org/x.tar.gz?a=b",
        ] {
            let found = input(url);
            assert_eq!(found.to_url().unwrap().to_string(), url);
            assert_eq!(Input::from_attrs(found.attrs.clone()).unwrap(), found);
        }
    }

    #[test]
    fn what_a_scheme_does_not_know_is_refused() {
        let attrs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
        };
        let error = |pairs| Input::from_attrs(attrs(pairs)).unwrap_err().to_string();
        assert_eq!(
            error(&[("type", "path"), ("path", "/x"), ("url", "y")]),
            "input attribute 'url' not supported by scheme 'path'"
        );
        assert_eq!(error(&[("type", "path")]), "input attribute 'path' is missing");
        assert_eq!(
            error(&[("type", "git"), ("url", "/x"), ("ref", "a..b")]),
            "invalid Git branch/tag name 'a..b'"
        );
        assert!(
            Input::from_attrs(attrs(&[("type", "future")])).unwrap().scheme.is_none()
        );
    }

    #[test]
    fn a_rev_locks_git_and_a_hash_locks_files() {
        assert!(!input("git+https://example.org/x").is_locked());
        assert!(!input("path:/a").is_locked());
        let rev = "1".repeat(40);
        assert!(input(&format!("git+https://example.org/x?rev={rev}")).is_locked());
        let null = "0".repeat(40);
        assert!(!input(&format!("git+https://example.org/x?rev={null}")).is_locked());
        let hash = Hash::zero(HashAlgo::Sha256).print(HashFormat::Sri);
        assert!(input(&format!("path:/a?narHash={hash}")).is_locked());
    }

    #[test]
    fn ref_names_are_gits() {
        for name in ["master", "a/b", "refs/heads/x", "v1.2", "HEAD"] {
            assert!(is_legal_ref_name(name), "{name}");
        }
        for name in
            ["", "@", "a..b", "a b", ".a", "a/.b", "a.lock", "a/", "-x", "a@{b", "x."]
        {
            assert!(!is_legal_ref_name(name), "{name}");
        }
    }
}
