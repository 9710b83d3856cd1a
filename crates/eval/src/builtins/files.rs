//! Builtins that read files, look for them, and copy them to the store.
//!
//! Nothing here touches a file: everything is asked of the world. Paths that are copied have their symbolic
//! links resolved first, as in Nix, so that a filter sees the real paths.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use memchr::memmem;
use picnix_store_core::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, References,
};
use rustc_hash::FxBuildHasher;

use super::derivation::parse_hash;
use super::paths::file_name;
use super::store::store_path_string;
use super::{Builtin, Scope};
use crate::bail;
use crate::coerce::{Coercion, canonical_path};
use crate::error::{At, Kind, Result};
use crate::evaluator::Evaluator;
use crate::flake::{FlakeRef, RefForm, Registries};
use crate::internal;
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::{AttrsBuilder, Context, ContextElement, Held, Items, Value};
use crate::world::{FileKind, Ingestion, UrlFetch};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "readFile",
        parameters: &["path"],
        scope: Scope::Prefixed,
        doc: "Returns the contents of a file as a string.",
        function: read_file,
    },
    Builtin {
        name: "readDir",
        parameters: &["path"],
        scope: Scope::Prefixed,
        doc: "Returns a set of the names in a directory, each with its kind: `regular`, \
              `directory`, `symlink` or `unknown`.",
        function: read_dir,
    },
    Builtin {
        name: "readFileType",
        parameters: &["p"],
        scope: Scope::Prefixed,
        doc: "Returns the kind of what is at a path: `regular`, `directory`, `symlink` or `unknown`.",
        function: read_file_type,
    },
    Builtin {
        name: "pathExists",
        parameters: &["path"],
        scope: Scope::Prefixed,
        doc: "Tells whether there is anything at a path. A string that ends in `/` or `/.` asks \
              for a directory.",
        function: path_exists,
    },
    Builtin {
        name: "findFile",
        parameters: &["search-path", "lookup-path"],
        scope: Scope::Prefixed,
        doc: "Looks for a path in a list of sets `{ prefix, path }`: `<name>` means \
              `findFile nixPath \"name\"`.",
        function: find_file,
    },
    Builtin {
        name: "filterSource",
        parameters: &["filter", "path"],
        scope: Scope::Prefixed,
        doc: "Copies a path to the store without the files and directories for which *filter* \
              says `false`. It is given the path and the kind of each.",
        function: filter_source,
    },
    Builtin {
        name: "path",
        parameters: &["args"],
        scope: Scope::Prefixed,
        doc: "Copies `args.path` to the store, under another `name`, through a `filter`, without \
              a NAR (`recursive = false`), or checked by `sha256`.",
        function: path,
    },
    Builtin {
        name: "getEnv",
        parameters: &["s"],
        scope: Scope::Prefixed,
        doc: "Returns a variable of the environment; an unset one is empty.",
        function: get_env,
    },
];

const REALISING: &str = "while realising the context of a path";

// ---- reading -----------------------------------------------------------------------------------

fn read_file<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let path = ev.readable_path(args[0], pos, REALISING)?;
    let contents =
        ev.world.read_file(path).map_err(|error| ev.world_error(error, pos))?;
    if memchr::memchr(0, &contents).is_some() {
        let path = String::from_utf8_lossy(path);
        bail!(
            pos => Other,
            "the contents of the file '{path}' cannot be represented as a Nix string"
        );
    }
    let context = references_within(ev, path, &contents, pos)?;
    Ok(ev.string_of(ev.heap.bytes(&contents), context))
}

/// The references of the store object that a file belongs to, as far as they occur in its contents.
fn references_within<'h>(
    ev: &Evaluator<'h>,
    path: &[u8],
    contents: &[u8],
    pos: Pos,
) -> Result<Context<'h>> {
    let Ok((object, _)) = ev.world.store_dir().parse_path_within(path) else {
        return Ok(&[]);
    };
    let references =
        ev.world.references(&object).map_err(|error| ev.world_error(error, pos))?;
    let occurs = |digest: &[u8]| memmem::find(contents, digest).is_some();
    let elements = references
        .iter()
        .filter(|reference| occurs(&reference.digest_text()))
        .map(|reference| ContextElement::Opaque(ev.path_id(reference)));
    Ok(ev.context_from(elements.collect()))
}

fn read_dir<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let path = ev.readable_path(args[0], pos, REALISING)?;
    let path = ev.resolve_path(path, pos)?;
    let entries = ev.world.read_dir(path).map_err(|error| ev.world_error(error, pos))?;
    let mut attrs = AttrsBuilder::with_capacity(entries.len());
    for (name, kind) in entries {
        attrs.insert(ev.symbol(&name), ev.string_of(kind.name().as_bytes(), &[]));
    }
    Ok(Value::Attrs(attrs.finish(ev.heap)))
}

fn read_file_type<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let path = ev.readable_path(args[0], pos, REALISING)?;
    let kind = ev.world.file_kind(path).map_err(|error| ev.world_error(error, pos))?;
    let Some(kind) = kind else {
        bail!(pos => World, "path '{}' does not exist", String::from_utf8_lossy(path));
    };
    Ok(ev.string_of(kind.name().as_bytes(), &[]))
}

fn path_exists<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let value = match ev.force(args[0]).at(pos) {
        // What may not be seen is not there, as in Nix.
        Err(error) if error.kind() == Kind::Forbidden => return Ok(Value::Bool(false)),
        value => value?,
    };
    let must_be_dir = matches!(value, Value::String(string)
        if string.bytes.ends_with(b"/") || string.bytes.ends_with(b"/."));
    let path = ev.readable_path(value, pos, REALISING)?;
    let kind = match ev.world.file_kind(path) {
        Ok(Some(FileKind::Symlink)) if must_be_dir => {
            ev.world.file_kind(ev.resolve_path(path, pos)?)
        }
        answer => answer,
    };
    let exists = match kind {
        Ok(Some(FileKind::Directory)) => true,
        Ok(Some(_)) => !must_be_dir,
        Ok(None) => false,
        // What may not be seen is not there, as in Nix.
        Err(error) if error.is_forbidden => false,
        Err(error) => return Err(ev.world_error(error, pos)),
    };
    Ok(Value::Bool(exists))
}

fn get_env<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.getEnv";
    let name = ev.expect_plain_string(args[0], pos, doing)?;
    let is_hidden = ev.settings.pure || ev.settings.restricted;
    let value = if is_hidden { None } else { ev.world.env_var(name) };
    Ok(ev.string(&value.unwrap_or_default()))
}

// ---- the search path ---------------------------------------------------------------------------

/// Entries of search paths that were looked at: the directory or file, if there is one.
#[derive(Default)]
pub(crate) struct SearchPathCache {
    resolved: HashMap<Vec<u8>, Option<Vec<u8>>, FxBuildHasher>,
}

/// An entry of a search path.
#[derive(Clone, Copy)]
struct Entry<'h> {
    prefix: &'h [u8],
    path: &'h [u8],
}

fn find_file<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the first argument passed to builtins.findFile";
    let list = ev.expect_list(args[0], pos, doing)?;
    let mut entries = Items::with_capacity(ev.heap, list.len());
    for element in list.iter() {
        entries.push(entry(ev, element, pos)?);
    }
    let doing = "while evaluating the second argument passed to builtins.findFile";
    let name = ev.expect_plain_string(args[1], pos, doing)?;
    for entry in &entries {
        let Some(rest) = entry.rest(name) else { continue };
        let Some(start) = search_path_entry(ev, entry.path, pos)? else { continue };
        let found =
            ev.heap.bytes(&canonical_path(&[&start, b"/".as_slice(), rest].concat()));
        let found = ev.resolve_path(found, pos)?;
        if file_exists(ev, found, pos)? {
            return Ok(ev.path(found));
        }
    }
    if let Some(rest) = name.strip_prefix(b"nix/") {
        return Ok(ev.path(ev.heap.concat(&[internal::DIR, &canonical_path(rest)])));
    }
    let name = String::from_utf8_lossy(name);
    if ev.settings.pure {
        bail!(
            pos => Throw,
            "cannot look up '<{name}>' in pure evaluation mode (use '--impure' to override)"
        );
    }
    bail!(
        pos => Throw,
        "file '{name}' was not found in the Nix search path (add it using $NIX_PATH or -I)"
    )
}

fn entry<'h>(ev: &Evaluator<'h>, element: Value<'h>, pos: Pos) -> Result<Entry<'h>> {
    let doing = "while evaluating an element of the list passed to builtins.findFile";
    let attrs = ev.expect_attrs(element, pos, doing)?;
    let prefix = match attrs.get(sym::PREFIX) {
        Some(slot) => {
            let doing = "while evaluating the `prefix` attribute of an element of the list passed to builtins.findFile";
            ev.expect_plain_string(slot.get(), pos, doing)?
        }
        None => b"",
    };
    let path =
        ev.required_attr(attrs, sym::PATH, pos, "in an element of the __nixPath")?;
    let doing = "while evaluating the `path` attribute of an element of the list passed to builtins.findFile";
    let path = ev.coerce_to_string(path.get(), pos, Coercion::STRING, doing)?;
    ev.realise_context(path.context, pos)?;
    Ok(Entry { prefix, path: path.bytes })
}

impl Held for Entry<'_> {
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        (self.prefix, self.path).visit(visit);
    }
}

impl Entry<'_> {
    /// What remains of a name after the prefix and a slash; nothing if the prefix is not one of the name.
    fn rest<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let rest = name.strip_prefix(self.prefix)?;
        if self.prefix.is_empty() || rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix(b"/")
        }
    }
}

/// The path of an entry; none, with a warning at the first time, if there is nothing.
fn search_path_entry(
    ev: &Evaluator<'_>,
    entry: &[u8],
    pos: Pos,
) -> Result<Option<Vec<u8>>> {
    if let Some(known) = ev.caches.search_path.borrow().resolved.get(entry) {
        return Ok(known.clone());
    }
    let shown = String::from_utf8_lossy(entry);
    let found = if is_pseudo_url(entry) {
        let url = super::fetch::channel_url(&shown);
        let request =
            UrlFetch { url: &url, name: "source", unpack: true, expected: None };
        match ev.world.fetch_url(&request) {
            Ok(path) => Some(ev.world.store_dir().print(&path).into_bytes()),
            Err(error) => {
                ev.warn(&format!(
                    "Nix search path entry '{shown}' cannot be downloaded, ignoring: {error}"
                ));
                None
            }
        }
    } else if let Some(name) = shown.strip_prefix("flake:") {
        let reference = FlakeRef::parse(name, RefForm::ABSOLUTE)?;
        let resolved = ev.resolve_flake(&reference, Registries::All)?;
        let fetched = ev.fetch_tree(&resolved.input, pos)?;
        let path =
            format!("{}/{}", ev.world.store_dir().print(&fetched.path), resolved.dir);
        Some(canonical_path(path.as_bytes()))
    } else {
        let path = join(&ev.settings.base_dir, entry);
        let real = ev.resolve_path(ev.heap.bytes(&path), pos)?;
        if file_exists(ev, real, pos)? {
            Some(path)
        } else {
            ev.warn(&format!("Nix search path entry '{shown}' does not exist, ignoring"));
            None
        }
    };
    let mut cache = ev.caches.search_path.borrow_mut();
    cache.resolved.insert(entry.to_vec(), found.clone());
    Ok(found)
}

/// Would Nix fetch this entry of a search path?
fn is_pseudo_url(entry: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 7] =
        [b"http", b"https", b"file", b"channel", b"git", b"s3", b"ssh"];
    entry.starts_with(b"channel:")
        || memmem::find(entry, b"://").is_some_and(|end| SCHEMES.contains(&&entry[..end]))
}

fn file_exists(ev: &Evaluator<'_>, path: &[u8], pos: Pos) -> Result<bool> {
    let kind = ev.world.file_kind(path).map_err(|error| ev.world_error(error, pos))?;
    Ok(kind.is_some())
}

/// Appends a path to a directory and makes it canonical; an absolute path stands for itself.
fn join(dir: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        canonical_path(path)
    } else {
        canonical_path(&[dir, b"/", path].concat())
    }
}

// ---- copying to the store ----------------------------------------------------------------------

/// A path to be copied to the store.
struct Copy<'h> {
    path: &'h [u8],
    context: Context<'h>,
    name: &'h [u8],
    filter: Option<Value<'h>>,
    ingestion: Ingestion,
    expected: Option<Hash>,
}

fn filter_source<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let doing = "while evaluating the second argument (the path to filter) passed to 'builtins.filterSource'";
    let (path, context) = ev.coerce_to_path(args[1], pos, doing)?;
    let doing = "while evaluating the first argument passed to builtins.filterSource";
    let filter = Some(ev.expect_function(args[0], pos, doing)?);
    let (name, ingestion) = (file_name(path), Ingestion::Nar);
    copy(ev, &Copy { path, context, name, filter, ingestion, expected: None }, pos)
}

fn path<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let doing = "while evaluating the argument passed to 'builtins.path'";
    let attrs = ev.expect_attrs(args[0], pos, doing)?;
    let mut path = None;
    let mut name: &[u8] = b"";
    let (mut filter, mut expected, mut ingestion) = (None, None, Ingestion::Nar);
    for attr in ev.sorted_by_name(attrs) {
        let (value, at) = (attr.slot.get(), attr.pos);
        match attr.name {
            sym::PATH => {
                let doing =
                    "while evaluating the 'path' attribute passed to 'builtins.path'";
                path = Some(ev.coerce_to_path(value, at, doing)?);
            }
            sym::NAME => {
                let doing =
                    "while evaluating the `name` attribute passed to builtins.path";
                name = ev.expect_plain_string(value, at, doing)?;
            }
            sym::FILTER => {
                let doing =
                    "while evaluating the `filter` parameter passed to builtins.path";
                filter = Some(ev.expect_function(value, at, doing)?);
            }
            sym::RECURSIVE => {
                let doing =
                    "while evaluating the `recursive` attribute passed to builtins.path";
                let recursive = ev.expect_bool(value, at, doing)?;
                ingestion = if recursive { Ingestion::Nar } else { Ingestion::Flat };
            }
            sym::SHA256 => {
                let doing =
                    "while evaluating the `sha256` attribute passed to builtins.path";
                let text = ev.expect_plain_string(value, at, doing)?;
                let text = String::from_utf8_lossy(text);
                expected = Some(parse_hash(ev, &text, Some(HashAlgo::Sha256))?);
            }
            other => {
                let other = ev.show_name(other);
                bail!(at => Other, "unsupported argument '{other}' to 'builtins.path'");
            }
        }
    }
    let Some((path, context)) = path else {
        bail!(
            pos => Other,
            "missing required 'path' attribute in the first argument to 'builtins.path'"
        );
    };
    let name = if name.is_empty() { file_name(path) } else { name };
    copy(ev, &Copy { path, context, name, filter, ingestion, expected }, pos)
}

fn copy<'h>(ev: &Evaluator<'h>, what: &Copy<'h>, pos: Pos) -> Result<Value<'h>> {
    copy_untraced(ev, what, pos).trace(pos, || {
        format!("while adding path '{}'", String::from_utf8_lossy(what.path))
    })
}

fn copy_untraced<'h>(ev: &Evaluator<'h>, what: &Copy<'h>, pos: Pos) -> Result<Value<'h>> {
    let store_dir = ev.world.store_dir();
    let mut references = Vec::new();
    if let Ok((object, _)) = store_dir.parse_path_within(what.path)
        && !what.context.is_empty()
    {
        ev.realise_context(what.context, pos)?;
        references =
            ev.world.references(&object).map_err(|error| ev.world_error(error, pos))?;
    }
    let name = String::from_utf8_lossy(what.name);
    let expected_path = match what.expected {
        None => None,
        Some(hash) => {
            let method = match what.ingestion {
                Ingestion::Flat => ContentAddressMethod::Flat,
                Ingestion::Nar => ContentAddressMethod::Nar,
            };
            let address = ContentAddress { method, hash };
            let others: BTreeSet<_> = references.iter().cloned().collect();
            Some(store_dir.make_content_path(
                &name,
                &address,
                &References::from(others),
            )?)
        }
    };
    let source = ev.resolve_path(what.path, pos)?;
    let mut filter = what.filter.map(|function| {
        move |path: &[u8], kind: FileKind| {
            let kind = ev.string_of(kind.name().as_bytes(), &[]);
            let answer = ev.call(function, &[ev.string(path), kind], pos)?;
            let doing = "while evaluating the return value of the path filter function";
            ev.expect_bool(answer, pos, doing)
        }
    });
    let path = ev
        .world
        .add_path(
            source,
            &name,
            what.ingestion,
            filter.as_mut().map(|filter| filter as _),
            what.expected.as_ref(),
            &references,
        )
        .map_err(|error| ev.world_error(error, pos))??;
    if expected_path.is_some_and(|expected| expected != path) {
        let path = String::from_utf8_lossy(what.path);
        bail!(
            pos => World,
            "store path mismatch in (possibly filtered) path added from '{path}'"
        );
    }
    Ok(store_path_string(ev, &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_slash() {
        let rest = |prefix: &'static str, name: &'static str| {
            Entry { prefix: prefix.as_bytes(), path: b"" }
                .rest(name.as_bytes())
                .map(String::from_utf8_lossy)
        };
        assert_eq!(rest("", "a/b").unwrap(), "a/b");
        assert_eq!(rest("a", "a/b").unwrap(), "b");
        assert_eq!(rest("a", "a").unwrap(), "");
        assert_eq!(rest("a", "ab"), None);
        assert_eq!(rest("ab", "a"), None);
    }

    #[test]
    fn joining_cleans() {
        let join = |dir: &str, path: &str| {
            String::from_utf8(join(dir.as_bytes(), path.as_bytes())).unwrap()
        };
        assert_eq!(join("/a", "b/../c"), "/a/c");
        assert_eq!(join("/a", "../../.."), "/");
        assert_eq!(join("/a", "/b//./c/"), "/b/c");
        assert_eq!(join("/", ""), "/");
    }

    #[test]
    fn only_urls_are_pseudo_urls() {
        assert!(is_pseudo_url(b"channel:nixos"));
        assert!(is_pseudo_url(b"https://example.org/x.tar.gz"));
        assert!(!is_pseudo_url(b"/a://b"));
        assert!(!is_pseudo_url(b"flake:nixpkgs"));
    }
}
