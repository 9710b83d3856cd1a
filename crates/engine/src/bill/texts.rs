//! The texts of licences, as the packages' own sources have them.
//!
//! A source is an archive that the store has, or that is fetched again. In it, files with the usual names at
//! the top or in a folder `LICENSES` are licences; of Debian's packages it is the file `copyright`. Where a
//! package hides its licence elsewhere, its `meta.licenseFiles` name the places; of files of C and its kin only
//! the comment that speaks of it is taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use picnix_store_core::{OutputName, Sha256};

use super::{Bill, Component};
use crate::engine::{Engine, target};
use crate::{Error, deb, fetchers};

/// What licences are called, in capitals.
const NAMES: [&str; 6] =
    ["COPYING", "COPYRIGHT", "LICENCE", "LICENSE", "NOTICE", "UNLICENSE"];
/// The folder that the REUSE specification puts licences into.
const FOLDER: &str = "LICENSES";
/// Endings of files that are no texts although they are called so.
const CODE: [&str; 6] = [".c", ".h", ".py", ".sh", ".pl", ".rs"];
/// A licence that is longer is none.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// No source has more licences than this; Linux has about 50.
const MAX_TEXTS: usize = 500;

/// The text of a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenceText {
    /// The packages that have it, each with the file that it is in there.
    pub places: Vec<(String, String)>,
    /// The text.
    pub text: String,
}

/// The texts of a bill.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// Each text once.
    pub texts: Vec<LicenceText>,
    /// The packages in whose sources none was found.
    pub without: Vec<String>,
}

/// The licences' texts of the packages of a bill.
///
/// # Errors
/// A source cannot be fetched or read.
pub fn texts(engine: &Engine, bill: &Bill) -> Result<Texts, Error> {
    let out = OutputName::out();
    let targets: Vec<_> = bill
        .packages()
        .flat_map(|component| &component.sources)
        .map(|source| target(source.drv_path.clone(), [out.clone()]))
        .collect();
    engine.build(&targets)?;
    let mut found = Texts::default();
    let mut places: BTreeMap<Sha256, usize> = BTreeMap::new();
    for component in bill.packages() {
        let title = component.title();
        let mut is_found = false;
        for source in &component.sources {
            let archive = engine.store()?.real_path(&source.path);
            for (file, text) in read_archive(&archive, component)? {
                is_found = true;
                let place =
                    *places.entry(Sha256::of(text.as_bytes())).or_insert_with(|| {
                        found.texts.push(LicenceText { places: Vec::new(), text });
                        found.texts.len() - 1
                    });
                let place = &mut found.texts[place].places;
                if !place.iter().any(|(known, _)| *known == title) {
                    place.push((title.clone(), file));
                }
            }
        }
        if !is_found {
            found.without.push(title);
        }
    }
    Ok(found)
}

/// The licences in an archive, by name.
fn read_archive(
    path: &Path,
    component: &Component,
) -> Result<BTreeMap<String, String>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let data = if deb::is_package(path).map_err(failed)? {
        deb::open(path).map_err(|error| failed(std::io::Error::other(error)))?
    } else {
        let file = BufReader::new(File::open(path).map_err(failed)?);
        fetchers::decompress(file).map_err(failed)?
    };
    read_licences(data, &component.about.license_files).map_err(failed)
}

fn read_licences(
    data: impl Read,
    named: &[String],
) -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() || entry.size() > MAX_TEXT_BYTES {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(name) = licence_name(&path, named) else { continue };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = if is_code(&name) { comment(&text) } else { Some(&*text) };
        if let Some(text) = text
            && !text.trim().is_empty()
            && found.len() < MAX_TEXTS
        {
            found.insert(name, format!("{}\n", text.trim_end()));
        }
    }
    Ok(found)
}

/// The name below the archive's top folder of a file that is a licence.
fn licence_name(path: &str, named: &[String]) -> Option<String> {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if let ["usr", "share", "doc", _, "copyright"] = parts[..] {
        return Some(parts.join("/"));
    }
    let (file, folders) = parts.split_last()?;
    let inside = parts.get(1..).unwrap_or_default().join("/");
    if named.contains(&inside) {
        return Some(inside);
    }
    let is_licence = NAMES.iter().any(|name| file.to_uppercase().starts_with(name));
    let is_at_top = folders.len() <= 1 && is_licence && !is_code(file);
    (is_at_top || folders.get(1) == Some(&FOLDER)).then_some(inside)
}

fn is_code(name: &str) -> bool {
    CODE.iter().any(|end| name.ends_with(end))
}

/// The first comment of C that speaks of rights.
fn comment(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        let end = rest[start..].find("*/").map_or(rest.len(), |end| start + end + 2);
        let comment = &rest[start..end];
        let lower = comment.to_lowercase();
        if ["copyright", "licen", "permission"].iter().any(|word| lower.contains(word)) {
            return Some(comment);
        }
        rest = &rest[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn licences_are_found_by_their_names_and_places() {
        let data = archive(&[
            ("x-1/COPYING", "one\n\n"),
            ("x-1/license.txt", "two"),
            ("x-1/license.c", "/* Copyright */"),
            ("x-1/src/COPYING", "of a part"),
            ("x-1/LICENSES/MIT", "three"),
            ("x-1/README", "Copyright"),
            ("x-1/src/main.c", "/* a */ /* Copyright: me */ /* b */"),
            ("./usr/share/doc/x/copyright", "four"),
        ]);
        let named = ["src/main.c".to_owned()];
        let found = read_licences(&data[..], &named).unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(
            found,
            [
                ("COPYING", "one\n"),
                ("LICENSES/MIT", "three\n"),
                ("license.txt", "two\n"),
                ("src/main.c", "/* Copyright: me */\n"),
                ("usr/share/doc/x/copyright", "four\n"),
            ]
        );
    }

    #[test]
    fn a_comment_that_does_not_end_is_taken_to_the_end() {
        assert_eq!(comment("int a; /* permission"), Some("/* permission"));
        assert_eq!(comment("int a; // copyright"), None);
    }
}
