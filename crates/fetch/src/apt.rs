//! Which mirrors of the Debian archive this machine uses already.
//!
//! Reads the two forms of apt's source lists (sources.list(5)): one-line entries and deb822
//! stanzas. Only entries of the main archive count: those with the component `main` whose URI ends
//! in `/debian`, which leaves out the security archive, derivatives and third parties.

use std::fs;
use std::path::Path;

/// A larger file is no list of sources.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Reads the source lists below a root directory (`/`); unreadable ones are left out.
#[must_use]
pub fn read_apt_sources(root: &Path) -> Vec<String> {
    let etc = root.join("etc/apt");
    let mut paths = vec![etc.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        more.sort();
        paths.extend(more);
    }
    let small = |path: &Path| fs::metadata(path).is_ok_and(|m| m.len() <= MAX_LIST_BYTES);
    let texts: Vec<(bool, String)> = paths
        .iter()
        .filter(|path| small(path))
        .filter_map(|path| {
            let is_deb822 = match path.extension()?.to_str()? {
                "list" => false,
                "sources" => true,
                _ => return None,
            };
            Some((is_deb822, fs::read_to_string(path).ok()?))
        })
        .collect();
    let mut mirrors = Vec::new();
    for (is_deb822, text) in &texts {
        for mirror in debian_mirrors(text, *is_deb822) {
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
    }
    mirrors
}

/// The base URLs of the main archive in the text of one list.
#[must_use]
pub fn debian_mirrors(text: &str, is_deb822: bool) -> Vec<String> {
    let entries = if is_deb822 { stanzas(text) } else { lines(text) };
    let mut mirrors: Vec<String> = Vec::new();
    for entry in entries {
        let has_main = entry.components.iter().any(|c| c == "main");
        let is_security = !entry.suites.is_empty()
            && entry.suites.iter().all(|s| s.contains("security"));
        if !has_main || is_security {
            continue;
        }
        for uri in entry.uris {
            let base = uri.trim_end_matches('/').to_owned();
            let usable = ["http://", "https://", "file:///"];
            let fits = usable.iter().any(|scheme| base.starts_with(scheme));
            if fits && base.ends_with("/debian") && !mirrors.contains(&base) {
                mirrors.push(base);
            }
        }
    }
    mirrors
}

/// One entry, whichever form it was written in.
#[derive(Debug, Default)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// `deb [options] uri suite components...`
fn lines(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let Some(rest) =
            line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
            continue;
        };
        entries.push(Entry {
            uris: vec![uri],
            suites: vec![suite],
            components: words.collect(),
        });
    }
    entries
}

/// Stanzas of `Field: words`, continued on lines that begin with white space.
fn stanzas(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(entry_of(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn entry_of(fields: &[(String, String)]) -> Option<Entry> {
    let words = |name: &str| -> Vec<String> {
        let values = fields.iter().filter(|(field, _)| field == name);
        values
            .flat_map(|(_, value)| value.split_whitespace())
            .map(str::to_owned)
            .collect()
    };
    let disabled = words("enabled").iter().any(|word| {
        ["no", "false", "off", "0", "without", "disable"].contains(&&*word.to_lowercase())
    });
    if fields.is_empty() || disabled {
        return None;
    }
    Some(Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_give_the_main_archive_only() {
        let text = "\
# a comment
Types: deb
URIs: http://one.example/debian https://two.example/debian/
Suites: bookworm
 bookworm-updates
Components: main

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://three.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://four.example/node
Suites: nodistro
Components: main
";
        assert_eq!(
            debian_mirrors(text, true),
            ["http://one.example/debian", "https://two.example/debian"]
        );
    }

    #[test]
    fn lines_give_the_main_archive_only() {
        let text = "\
deb [arch=amd64 signed-by=/k] http://one.example/debian bookworm main # here
#deb http://off.example/debian bookworm main
deb http://one.example/debian/ bookworm-updates main contrib
deb cdrom:[Debian]/ bookworm main
deb http://sec.example/debian trixie-security main
deb-src https://src.example/debian trixie main
deb http://ppa.example/ubuntu noble main
deb
";
        assert_eq!(
            debian_mirrors(text, false),
            ["http://one.example/debian", "https://src.example/debian"]
        );
    }

    #[test]
    fn a_machine_without_apt_has_no_mirrors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_apt_sources(dir.path()).is_empty());
        let lists = dir.path().join("etc/apt/sources.list.d");
        fs::create_dir_all(&lists).unwrap();
        fs::write(lists.join("b.sources"), "URIs: http://b/debian\nComponents: main\n")
            .unwrap();
        fs::write(lists.join("a.list"), "deb http://a/debian x main\n").unwrap();
        fs::write(lists.join("c.list.save"), "deb http://c/debian x main\n").unwrap();
        assert_eq!(read_apt_sources(dir.path()), ["http://a/debian", "http://b/debian"]);
    }
}
