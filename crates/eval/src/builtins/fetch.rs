//! Builtins that fetch: files, tarballs and trees of many kinds.
//!
//! What may be fetched is decided here (pure and restricted mode); fetching itself is the world's.

use picnix_store_core::{Hash, HashAlgo, check_name};

use super::derivation::parse_hash;
use super::store::store_path_string;
use super::{Builtin, Scope};
use crate::coerce::Coercion;
use crate::error::Result;
use crate::evaluator::Evaluator;
use crate::flake::{
    FlakeRef, Input, InputAttrs, InputValue, RefError, Registries, Scheme, Strictness,
    TreeShape, Url, fix_git_url,
};
use crate::pos::Pos;
use crate::symbol::sym;
use crate::value::Value;
use crate::world::UrlFetch;
use crate::{bail, err};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "fetchurl",
        parameters: &["arg"],
        scope: Scope::Prefixed,
        doc: "Fetches a file by its URL, or as `{ url, name, sha256 }` says, and returns its store path.",
        function: fetch_url,
    },
    Builtin {
        name: "fetchTarball",
        parameters: &["args"],
        scope: Scope::Plain,
        doc: "Fetches a tarball by its URL, or as `{ url, name, sha256 }` says, and returns the store \
              path of what is in it. A single directory around everything is left out.",
        function: fetch_tarball,
    },
    Builtin {
        name: "fetchGit",
        parameters: &["args"],
        scope: Scope::Plain,
        doc: "Fetches a Git repository by its URL, or as `{ url, ref, rev, ... }` says, and returns a \
              set with its `outPath`, `rev`, `revCount`, `lastModified` and so on.",
        function: fetch_git,
    },
    Builtin {
        name: "fetchTree",
        parameters: &["input"],
        scope: Scope::Plain,
        doc: "Fetches a tree or a file of one of the kinds that flakes know: `path`, `file`, `tarball`, \
              `git`, `github`, `gitlab`, `sourcehut`.",
        function: fetch_tree,
    },
    Builtin {
        name: "fetchMercurial",
        parameters: &["args"],
        scope: Scope::Plain,
        doc: "Always an error: picnix does not fetch Mercurial repositories.",
        function: fetch_mercurial,
    },
];

// ---- files and tarballs ------------------------------------------------------------------------

/// Which of the two builtins that fetch by a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fetcher {
    File,
    Tarball,
}

impl Fetcher {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "fetchurl",
            Self::Tarball => "fetchTarball",
        }
    }
}

/// What is to be fetched.
struct Arguments {
    url: String,
    name: Option<String>,
    expected: Option<Hash>,
    is_set: bool,
}

fn fetch_url<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    fetch(ev, args[0], pos, Fetcher::File)
}

fn fetch_tarball<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    fetch(ev, args[0], pos, Fetcher::Tarball)
}

fn fetch<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    fetcher: Fetcher,
) -> Result<Value<'h>> {
    let Arguments { url, name: given, expected, is_set } =
        arguments(ev, value, pos, fetcher)?;
    let who = fetcher.name();
    let url = if fetcher == Fetcher::Tarball { channel_url(&url) } else { url };
    ev.check_uri(&url, pos)?;
    let name = match (&given, fetcher) {
        (Some(name), _) if !name.is_empty() => name.clone(),
        (None, Fetcher::Tarball) => "source".to_owned(),
        _ => url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned(),
    };
    if let Err(error) = check_name(name.as_bytes()) {
        let advice = match (given.is_some(), is_set) {
            (true, _) => format!(
                "Please change the value for the 'name' attribute passed to '{who}', so that it can create a valid store path."
            ),
            (false, true) => format!(
                "Please add a valid 'name' attribute to the argument for '{who}', so that it can create a valid store path."
            ),
            (false, false) => format!(
                "Please pass an attribute set with 'url' and 'name' attributes to '{who}',  so that it can create a valid store path."
            ),
        };
        bail!(
            pos => Other,
            "invalid store path name when fetching URL '{url}': {error}. {advice}"
        );
    }
    if ev.settings.pure && expected.is_none() {
        bail!(
            pos => World,
            "in pure evaluation mode, '{who}' requires a 'sha256' argument"
        );
    }
    let unpack = fetcher == Fetcher::Tarball;
    let request = UrlFetch { url: &url, name: &name, unpack, expected };
    let path =
        ev.world.fetch_url(&request).map_err(|error| ev.world_error(error, pos))?;
    Ok(store_path_string(ev, &path))
}

/// The tarball of a channel; any other URL is itself.
pub(super) fn channel_url(url: &str) -> String {
    match url.strip_prefix("channel:") {
        Some(name) => format!("https://channels.nixos.org/{name}/nixexprs.tar.xz"),
        None => url.to_owned(),
    }
}

fn arguments<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    fetcher: Fetcher,
) -> Result<Arguments> {
    let text = |value, pos, doing| -> Result<String> {
        Ok(String::from_utf8_lossy(ev.expect_plain_string(value, pos, doing)?)
            .into_owned())
    };
    const URL: &str = "while evaluating the url we should fetch";
    let Value::Attrs(attrs) = ev.force(value)? else {
        let url = text(value, pos, URL)?;
        return Ok(Arguments { url, name: None, expected: None, is_set: false });
    };
    let (mut url, mut name, mut expected) = (None, None, None);
    for attr in ev.sorted_by_name(attrs) {
        let (value, at) = (attr.slot.get(), attr.pos);
        match attr.name {
            sym::URL => url = Some(text(value, at, URL)?),
            sym::NAME => {
                let doing = "while evaluating the name of the content we should fetch";
                name = Some(text(value, at, doing)?);
            }
            sym::SHA256 => {
                let doing = "while evaluating the sha256 of the content we should fetch";
                let text = text(value, at, doing)?;
                expected = Some(parse_hash(ev, &text, Some(HashAlgo::Sha256))?);
            }
            other => {
                let (other, who) = (ev.symbols.text(other), fetcher.name());
                bail!(pos => Other, "unsupported argument '{other}' to '{who}'");
            }
        }
    }
    let Some(url) = url else { bail!(pos => Other, "'url' argument required") };
    Ok(Arguments { url, name, expected, is_set: true })
}

// ---- trees -------------------------------------------------------------------------------------

fn fetch_tree<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let input = match ev.force(args[0])? {
        value @ Value::Attrs(_) => {
            let mut attrs = input_attrs(ev, value, pos, "fetchTree")?;
            if attrs.contains_key("name") {
                bail!(pos => Other, "argument 'name' isn’t supported in call to 'fetchTree'");
            }
            if attrs.get("type") == Some(&InputValue::Text("git".to_owned())) {
                attrs.entry("shallow".to_owned()).or_insert(InputValue::Bool(true));
            }
            Input::from_attrs(attrs)
        }
        value => {
            let doing = "while evaluating the first argument passed to 'fetchTree'";
            let text = ev.coerce_to_string(value, pos, Coercion::STRING, doing)?;
            Url::parse(&text.to_string_lossy(), Strictness::Strict)
                .and_then(|url| Input::from_url(&url, true))
        }
    };
    let input = input.map_err(|error| crate::Error::from(error).at(pos))?;
    fetch_input(ev, input, pos, "fetchTree", TreeShape::default())
}

fn fetch_git<'h>(ev: &Evaluator<'h>, args: &[Value<'h>], pos: Pos) -> Result<Value<'h>> {
    let mut attrs = match ev.force(args[0])? {
        value @ Value::Attrs(set) => {
            if set.get(sym::TYPE).is_some() {
                bail!(pos => Other, "unexpected argument 'type'");
            }
            input_attrs(ev, value, pos, "fetchGit")?
        }
        value => {
            let doing = "while evaluating the first argument passed to 'fetchGit'";
            let text = ev.coerce_to_string(value, pos, Coercion::STRING, doing)?;
            let url = InputValue::Text(text.to_string_lossy().into_owned());
            InputAttrs::from([("url".to_owned(), url)])
        }
    };
    let fixed = |text: &str| -> std::result::Result<_, RefError> {
        Ok(InputValue::Text(fix_git_url(text)?.to_string()))
    };
    if let Some(InputValue::Text(url)) = attrs.get("url") {
        let url = fixed(url)?;
        attrs.insert("url".to_owned(), url);
    }
    attrs.insert("type".to_owned(), InputValue::Text("git".to_owned()));
    if attrs.get("submodules") != Some(&InputValue::Bool(true)) {
        attrs.entry("exportIgnore".to_owned()).or_insert(InputValue::Bool(true));
    }
    let input =
        Input::from_attrs(attrs).map_err(|error| crate::Error::from(error).at(pos))?;
    let shape = TreeShape { null_rev: true, ..TreeShape::default() };
    fetch_input(ev, input, pos, "fetchGit", shape)
}

fn fetch_input<'h>(
    ev: &Evaluator<'h>,
    mut input: Input,
    pos: Pos,
    who: &str,
    shape: TreeShape,
) -> Result<Value<'h>> {
    if !ev.settings.pure && input.scheme == Some(Scheme::Indirect) {
        let found = ev
            .world
            .lookup_flake(&input, Registries::Global)
            .map_err(|error| ev.world_error(error, pos))?;
        match found {
            Some(FlakeRef { input: found, .. }) => input = found,
            None => bail!(
                pos => World,
                "cannot find flake '{}' in the flake registries",
                input.show()
            ),
        }
    }
    if ev.settings.pure && !input.is_locked() {
        if input.text("narHash").is_none() {
            return Err(err!(
                World,
                "in pure evaluation mode, '{who}' doesn't fetch unlocked input '{}'",
                input.show()
            )
            .at(pos));
        }
        ev.warn(&format!(
            "Input '{}' is unlocked (e.g. lacks a Git revision) but is checked by NAR hash. This is \
             not reproducible and will break after garbage collection or when shared.",
            input.show()
        ));
    }
    ev.check_uri(&input.show(), pos)?;
    if input.is_final() {
        bail!(
            pos => Other,
            "input '{}' is not allowed to use the '__final' attribute",
            input.show()
        );
    }
    if input.scheme == Some(Scheme::Tarball)
        && let Some(url) = input.text("url")
        && url.strip_prefix("file:").is_some_and(|path| !path.starts_with('/'))
    {
        let error = err!(
            World,
            "tarball '{url}' must use an absolute path. The 'file' scheme does not support relative \
             paths."
        );
        let doing = format!("while fetching the input '{}'", input.show());
        return Err(error.at(pos).trace(pos, doing));
    }
    let fetched = ev.fetch_tree(&input, pos)?;
    ev.tree_value(&fetched.path, &fetched.locked, shape)
}

/// The attributes of an input that a program wrote as a set.
pub(super) fn input_attrs<'h>(
    ev: &Evaluator<'h>,
    value: Value<'h>,
    pos: Pos,
    who: &str,
) -> Result<InputAttrs> {
    let doing = format!("while evaluating the argument passed to '{who}'");
    let attrs = ev.expect_attrs(value, pos, &doing)?;
    let mut found = InputAttrs::new();
    if let Some(kind) = attrs.get(sym::TYPE) {
        let doing = format!("while evaluating the `type` argument passed to '{who}'");
        let kind = ev.expect_plain_string(kind.get(), pos, &doing)?;
        let kind = InputValue::Text(String::from_utf8_lossy(kind).into_owned());
        found.insert("type".to_owned(), kind);
    } else if who != "fetchGit" {
        bail!(pos => Other, "argument 'type' is missing in call to '{who}'");
    }
    for attr in ev.sorted_by_name(attrs) {
        let name = ev.symbols.text(attr.name);
        if attr.name == sym::TYPE {
            continue;
        }
        let value = match ev.force_slot(attr.slot)? {
            value @ (Value::String(_) | Value::Path(_)) => {
                let text = ev.coerce_to_string(value, attr.pos, Coercion::STRING, "")?;
                InputValue::Text(text.to_string_lossy().into_owned())
            }
            Value::Bool(bool) => InputValue::Bool(bool),
            Value::Int(int) => match u64::try_from(int) {
                Ok(number) => InputValue::Number(number),
                Err(_) => bail!(
                    pos => Other,
                    "negative value given for '{who}' argument '{name}': {int}"
                ),
            },
            other => bail!(
                pos => Type,
                "argument '{name}' to '{who}' is {} while a string, Boolean or integer is expected",
                other.type_phrase()
            ),
        };
        found.insert(name, value);
    }
    Ok(found)
}

fn fetch_mercurial<'h>(
    ev: &Evaluator<'h>,
    args: &[Value<'h>],
    pos: Pos,
) -> Result<Value<'h>> {
    let mut has_rev = false;
    let url = match ev.force(args[0])? {
        Value::Attrs(attrs) => match attrs.get(sym::URL) {
            Some(slot) => {
                has_rev = attrs.get(ev.symbol(b"rev")).is_some();
                slot.get()
            }
            None => bail!(pos => Other, "'url' argument required"),
        },
        value => value,
    };
    let doing = "while evaluating the first argument passed to builtins.fetchMercurial";
    let url = ev.coerce_to_string(url, pos, Coercion::STRING, doing)?.to_string_lossy();
    ev.check_uri(&url, pos)?;
    if ev.settings.pure && !has_rev {
        bail!(
            pos => World,
            "in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision"
        );
    }
    bail!(
        pos => World,
        "cannot fetch '{url}': picnix does not fetch Mercurial repositories";
        hint: "name a tarball of the commit, or a Git mirror"
    )
}
