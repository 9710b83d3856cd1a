//! Flake registries: files that say what a name such as `nixpkgs` stands for.
//!
//! Asked in this order: the user's (`picnix/registry.json` in the configuration directory, and Nix's own beside
//! it), the system's (`/etc/nix/registry.json`), the global one (the setting `flake-registry`, a file or a URL).
//! What a flake writes as an input is looked up in the global one only, as in Nix: a lock file must not depend on
//! who writes it.

use std::path::{Path, PathBuf};

use picnix_eval::flake::{FlakeRef, Input, InputAttrs, InputValue, Registries, Scheme};
use serde_json::Value as Json;

use crate::Error;
use crate::fetchers::Fetchers;

/// The most entries that may lead from one to the next.
const MAX_STEPS: usize = 100;
/// The version of the format.
const VERSION: u64 = 2;

/// One line of a registry.
struct Entry {
    from: Input,
    to: FlakeRef,
    /// Whether only the very name matches, not the name with a branch or a commit.
    exact: bool,
}

/// What a registry says that a name means; none if none has it.
pub(crate) fn lookup(
    fetchers: &Fetchers<'_>,
    input: &Input,
    registries: Registries,
) -> Result<Option<FlakeRef>, Error> {
    let entries = read_all(fetchers, registries)?;
    let mut found = FlakeRef { input: input.clone(), dir: String::new() };
    for _ in 0..MAX_STEPS {
        let matching = entries.iter().find(|entry| {
            entry.from == found.input
                || (!entry.exact && contains(&entry.from, &found.input))
        });
        let Some(entry) = matching else {
            let is_direct = found.input.scheme != Some(Scheme::Indirect);
            return Ok(is_direct.then_some(found));
        };
        found =
            if entry.exact { entry.to.clone() } else { overridden(entry, &found.input)? };
    }
    Err(Error::CannotFetch {
        what: format!("flake '{}'", input.show()),
        reason: "a cycle was found in the flake registries".to_owned(),
    })
}

/// Whether a name is an entry's, with a branch or a commit that the entry does not have.
fn contains(entry: &Input, input: &Input) -> bool {
    let mut plain = input.clone();
    plain.attrs.remove("ref");
    plain.attrs.remove("rev");
    *entry == plain
}

/// What an entry leads to, with the branch and commit that were asked for.
fn overridden(entry: &Entry, asked: &Input) -> Result<FlakeRef, Error> {
    let mut to = entry.to.clone();
    let wanted = |name: &str| {
        asked.text(name).filter(|_| entry.from.text(name).is_none()).map(str::to_owned)
    };
    let (branch, rev) = (wanted("ref"), wanted("rev"));
    if branch.is_none() && rev.is_none() {
        return Ok(to);
    }
    let fail = |reason: String| Err(Error::CannotFetch { what: asked.show(), reason });
    let shown = to.input.show();
    match to.input.scheme {
        Some(Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut) => {
            if branch.is_some() && rev.is_some() {
                return fail(format!(
                    "cannot apply both a commit hash and a branch/tag name to input '{shown}'"
                ));
            }
            to.input.attrs.remove(if rev.is_some() { "ref" } else { "rev" });
        }
        Some(Scheme::Git) if branch.is_none() && to.input.git_ref().is_none() => {
            return fail(format!(
                "Git input '{shown}' has a commit hash but no branch/tag name"
            ));
        }
        Some(Scheme::Git | Scheme::Indirect) => {}
        _ => {
            let what = if branch.is_some() { "branch/tag name" } else { "revision" };
            return fail(format!("don't know how to set {what} of input '{shown}'"));
        }
    }
    for (name, value) in [("ref", branch), ("rev", rev)] {
        if let Some(value) = value {
            to.input.set_text(name, value);
        }
    }
    Ok(to)
}

fn read_all(
    fetchers: &Fetchers<'_>,
    registries: Registries,
) -> Result<Vec<Entry>, Error> {
    let config = &fetchers.engine().config;
    let mut entries = Vec::new();
    let mut add = |path: &Path| match read(path) {
        Ok(found) => entries.extend(found),
        Err(reason) => fetchers
            .warn(&format!("cannot read flake registry '{}': {reason}", path.display())),
    };
    if registries == Registries::All {
        let folder = config
            .var("XDG_CONFIG_HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .or_else(|| config.home_dir.as_ref().map(|home| home.join(".config")));
        for program in ["picnix", "nix"] {
            if let Some(folder) = &folder {
                add(&folder.join(program).join("registry.json"));
            }
        }
        let system = config.var("NIX_CONF_DIR").map_or("/etc/nix".into(), PathBuf::from);
        add(&system.join("registry.json"));
    }
    match config.settings.flake_registry() {
        "" => {}
        path if path.starts_with('/') => add(Path::new(path)),
        url => add(&fetchers.registry_file(url)?),
    }
    Ok(entries)
}

/// The entries of a file; none if there is no file.
fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.to_string()),
    };
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Vec<Entry>, String> {
    let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match json.get("version").and_then(Json::as_u64) {
        Some(VERSION) => {}
        other => {
            return Err(format!("unsupported version {}", other.unwrap_or_default()));
        }
    }
    let flakes =
        json.get("flakes").and_then(Json::as_array).ok_or("'flakes' is no list")?;
    flakes.iter().map(entry).collect()
}

fn entry(json: &Json) -> Result<Entry, String> {
    let side = |name: &str| {
        let attrs =
            attrs(json.get(name).ok_or_else(|| format!("an entry lacks '{name}'"))?)?;
        FlakeRef::from_attrs(attrs).map_err(|error| error.to_string())
    };
    let exact = json.get("exact").and_then(Json::as_bool).unwrap_or(false);
    Ok(Entry { from: side("from")?.input, to: side("to")?, exact })
}

fn attrs(json: &Json) -> Result<InputAttrs, String> {
    let members = json.as_object().ok_or("a reference is no object")?;
    let value = |(name, json): (&String, &Json)| {
        let value = match json {
            Json::String(text) => InputValue::Text(text.clone()),
            Json::Bool(bool) => InputValue::Bool(*bool),
            json => match json.as_u64() {
                Some(number) => InputValue::Number(number),
                None => {
                    return Err(format!("attribute '{name}' has an unsupported type"));
                }
            },
        };
        Ok((name.clone(), value))
    };
    members.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_names_with_branches_match() {
        let text = br#"{"version": 2, "flakes": [{
            "from": {"type": "indirect", "id": "a"},
            "to": {"type": "github", "owner": "o", "repo": "r", "dir": "d"}}]}"#;
        let entries = parse(text).unwrap();
        let asked =
            FlakeRef::parse("a/branch", picnix_eval::flake::RefForm::ABSOLUTE).unwrap();
        assert!(contains(&entries[0].from, &asked.input));
        let found = overridden(&entries[0], &asked.input).unwrap();
        assert_eq!(found.show(), "github:o/r/branch?dir=d");
    }

    #[test]
    fn broken_files_say_why() {
        let error = |text: &[u8]| parse(text).err().unwrap();
        assert_eq!(error(b"{\"version\": 1}"), "unsupported version 1");
        assert!(error(b"{").contains("EOF"));
        assert!(error(b"{\"version\": 2}").contains("flakes"));
        let entry =
            br#"{"version": 2, "flakes": [{"from": {"type": "indirect", "id": "a"}}]}"#;
        assert_eq!(error(entry), "an entry lacks 'to'");
    }
}
