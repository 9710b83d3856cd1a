//! Trees that were fetched: asking for them, and the sets that tell of them.

use picnix_store_core::HashFormat;
use picnix_store_core::encoding::date_digits;

use super::{Input, InputValue, RefError, Scheme};
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::pos::Pos;
use crate::value::{AttrsBuilder, ContextElement, Value};
use crate::world::FetchedTree;
use crate::{bail, err};

/// How many digits of a commit's hash its short form has.
const SHORT_REV_LEN: usize = 7;

/// What [`Evaluator::tree_value`] shows of a tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TreeShape {
    /// A tree without a commit has the commit 000... (`fetchGit`).
    pub(crate) null_rev: bool,
    /// The commit is hidden, because what was evaluated differs from it.
    pub(crate) hide_rev: bool,
}

impl<'h> Evaluator<'h> {
    /// Fetches a tree and checks it against what the input says of it.
    pub(crate) fn fetch_tree(&self, input: &Input, pos: Pos) -> Result<FetchedTree> {
        if input.scheme == Some(Scheme::Mercurial) {
            bail!(
                pos => World,
                "cannot fetch input '{}': picnix does not fetch Mercurial repositories",
                input.show();
                hint: "name a tarball of the commit, or a Git mirror"
            );
        }
        if input.scheme.is_none() {
            bail!(pos => World, "cannot show unsupported input '{}'", input.show());
        }
        let doing = || format!("while fetching the input '{}'", input.show());
        let fetched = self
            .world
            .fetch_tree(input)
            .map_err(|error| self.world_error(error, pos).trace(Pos::NONE, doing()))?;
        let locked = checked(input, fetched.locked).map_err(|error| {
            crate::Error::from(error).at(pos).trace(Pos::NONE, doing())
        })?;
        Ok(FetchedTree { locked, ..fetched })
    }

    /// Fails in restricted mode unless a URI is allowed.
    pub(crate) fn check_uri(&self, uri: &str, pos: Pos) -> Result<()> {
        let allowed = match &self.settings.allowed_uris {
            Some(allowed) => allowed.as_slice(),
            None if self.settings.restricted => &[],
            None => return Ok(()),
        };
        if allowed.iter().any(|prefix| is_allowed(uri, prefix)) {
            return Ok(());
        }
        // A file may also be fetched where it may be read.
        let path =
            if uri.starts_with('/') { Some(uri) } else { uri.strip_prefix("file://") };
        if let Some(path) = path.filter(|_| self.settings.restricted) {
            let path = crate::coerce::canonical_path(path.as_bytes());
            return self
                .world
                .check_access(&path)
                .map_err(|error| self.world_error(error, pos));
        }
        Err(err!(World, "access to URI '{uri}' is forbidden in restricted mode").at(pos))
    }

    /// The set that tells of a tree: `outPath`, `narHash`, `rev`, `lastModified` and so on.
    pub(crate) fn tree_value(
        &self,
        path: &picnix_store_core::StorePath,
        input: &Input,
        shape: TreeShape,
    ) -> Result<Value<'h>> {
        const NULL_REV: &str = "0000000000000000000000000000000000000000";
        let mut attrs = AttrsBuilder::new();
        let mut add =
            |name: &str, value| attrs.insert(self.symbol(name.as_bytes()), value);
        let text = |text: &str| self.string(text.as_bytes());
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let id = self.path_id(path);
        let context = self.heap.slice(&[ContextElement::Opaque(id)]);
        add("outPath", self.string_of(self.print_store_path(id), context));
        if let Some(hash) = input.nar_hash()? {
            add("narHash", text(&hash.print(HashFormat::Sri)));
        }
        if input.scheme == Some(Scheme::Git) {
            add("submodules", Value::Bool(input.flag("submodules")));
        }
        if !shape.hide_rev {
            let null_rev = shape.null_rev.then(|| NULL_REV.to_owned());
            if let Some(rev) = input.rev()?.or(null_rev) {
                add("rev", text(&rev));
                add("shortRev", text(&rev[..SHORT_REV_LEN.min(rev.len())]));
            }
            if let Some(count) = input.number("revCount") {
                add("revCount", number(count));
            } else if shape.null_rev {
                add("revCount", Value::Int(0));
            }
        }
        if let Some(rev) = input.text("dirtyRev") {
            add("dirtyRev", text(rev));
            add("dirtyShortRev", text(input.text("dirtyShortRev").unwrap_or_default()));
        }
        if let Some(seconds) = input.number("lastModified") {
            add("lastModified", number(seconds));
            add("lastModifiedDate", text(&date_digits(seconds)));
        }
        Ok(Value::Attrs(attrs.finish(self.heap)))
    }
}

/// What is known of a tree after fetching: the attributes of a final input as they were, if nothing that was
/// found says otherwise.
fn checked(wanted: &Input, mut got: Input) -> std::result::Result<Input, RefError> {
    let fail = |message: String| Err(RefError::Wrong(message));
    if wanted.is_final() {
        for (name, value) in &wanted.attrs {
            let differs = match name.as_str() {
                "narHash" => got.nar_hash()? != wanted.nar_hash()?,
                name => got.attrs.get(name).is_some_and(|found| found != value),
            };
            if differs {
                return fail(format!(
                    "mismatch in field '{name}' of input '{}', got '{}'",
                    super::input::attrs_json(&wanted.attrs),
                    super::input::attrs_json(&got.attrs)
                ));
            }
        }
        return Ok(wanted.clone());
    }
    if let (Some(expected), found) = (wanted.nar_hash()?, got.nar_hash()?)
        && found != Some(expected)
    {
        let found = found.map_or_else(
            || "none".to_owned(),
            |hash| format!("'{}'", hash.print(HashFormat::Sri)),
        );
        return Err(RefError::WrongHash(format!(
            "NAR hash mismatch in input '{}', expected '{}' but got {found}",
            wanted.show(),
            expected.print(HashFormat::Sri)
        )));
    }
    for name in ["lastModified", "revCount"] {
        if let Some(InputValue::Number(expected)) = wanted.attrs.get(name)
            && got.number(name) != Some(*expected)
        {
            let shown =
                got.number(name).map_or_else(|| "-1".to_owned(), |n| n.to_string());
            return fail(format!(
                "'{name}' attribute mismatch in input '{}', expected {expected}, got {shown}",
                got.show()
            ));
        }
    }
    if let Some(rev) = wanted.rev()?
        && got.rev()?.as_ref() != Some(&rev)
    {
        return fail(format!(
            "'rev' attribute mismatch in input '{}', expected {rev}",
            got.show()
        ));
    }
    got.set_final();
    Ok(got)
}

/// Whether a URI is a prefix, or below it: `https://a.b` allows `https://a.b/c`, not `https://a.bc`.
fn is_allowed(uri: &str, prefix: &str) -> bool {
    let is_scheme = prefix.strip_suffix(':').is_some_and(|scheme| {
        scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    match uri.strip_prefix(prefix) {
        Some("") => true,
        Some(rest) => {
            !prefix.is_empty()
                && (prefix.ends_with('/') || rest.starts_with('/') || is_scheme)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_uris_end_at_slashes() {
        assert!(is_allowed("https://a.b/c", "https://a.b"));
        assert!(is_allowed("https://a.b/c", "https://a.b/"));
        assert!(is_allowed("github:x/y", "github:"));
        assert!(!is_allowed("https://a.bc/d", "https://a.b"));
        assert!(!is_allowed("https://a.b", ""));
    }
}
