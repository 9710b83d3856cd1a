//! What is in an image: its bill of materials.
//!
//! An image is a derivation (`builtin:image`), and all its inputs are contents: closures that are copied, and
//! single files such as the kernel. [`contents`] follows these, finds the derivation behind each store path,
//! and reads there the name, version, sources and patches; libraries that a program is linked with leave no
//! reference in it, and are found by what it was built from. What the package set says of a package (its
//! licence, in the first place) comes from the evaluation, by the package's name.
//!
//! [`spdx`] and [`cyclonedx`] write this in the formats that others read; [`texts`] finds the licences' texts in
//! the packages' sources. Nothing depends on the time or on chance.

mod contents;
mod cyclonedx;
mod spdx;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use picnix_store_core::{Hash, Sha256, StorePath};
use serde::Deserialize;

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;
pub use texts::{LicenceText, Texts, texts};

pub(crate) use contents::contents;

/// What the package set says of a package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Description {
    /// One line.
    pub description: Option<String>,
    /// Its page.
    pub homepage: Option<String>,
    /// The licence as an SPDX expression.
    pub license: Option<String>,
    /// Files of the source that hold the licence, where their names do not say so.
    pub license_files: Vec<String>,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A package: it has a version, or the package set knows it.
    Package,
    /// Files that were made from the configuration.
    Configuration,
    /// A file of the user's, as it is.
    File,
}

/// How a component came into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Its files are there.
    Installed,
    /// A program that is there was linked with it.
    Linked,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The store path of the file.
    pub path: StorePath,
    /// The derivation that fetches it.
    pub drv_path: StorePath,
    /// Addresses, the first one first.
    pub urls: Vec<String>,
    /// The file's hash.
    pub hash: Option<Hash>,
}

/// A part of an image.
#[derive(Clone, Debug)]
pub struct Component {
    /// What it is called.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// How it came in.
    pub presence: Presence,
    /// Its store paths: those in the image, or those that were linked.
    pub paths: BTreeSet<StorePath>,
    /// What it was made from.
    pub sources: Vec<Source>,
    /// The names of the patches that were applied to that.
    pub patches: Vec<String>,
    /// The components that it refers to at run time, by their places in [`Bill::components`].
    pub needs: BTreeSet<usize>,
    /// The components that it was linked with.
    pub linked_with: BTreeSet<usize>,
    /// What the package set says of it.
    pub about: Description,
}

impl Component {
    /// The name with the version, as people write it.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }

    /// A name in documents that no other component of the image has.
    pub(crate) fn id(&self) -> String {
        let digest: String = match self.paths.first() {
            Some(path) => {
                path.digest_text()[..8].iter().copied().map(char::from).collect()
            }
            None => String::new(),
        };
        let name: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        format!("{name}-{digest}")
    }
}

/// What is in an image.
#[derive(Clone, Debug)]
pub struct Bill {
    /// The image's format.
    pub format: String,
    /// The image's store path.
    pub image: StorePath,
    /// The hash of its NAR.
    pub nar_hash: Sha256,
    /// The parts, by name.
    pub components: Vec<Component>,
}

impl Bill {
    /// Sixteen bytes as a UUID that follow from the image alone: of version 8, which is for such use (RFC 9562).
    pub(crate) fn uuid(&self) -> String {
        let digest =
            Sha256::of(format!("{} {}", self.image, self.nar_hash.base16()).as_bytes());
        let mut hex: Vec<char> = digest.base16().chars().take(32).collect();
        hex[12] = '8';
        hex[16] = 'a';
        let part = |range: std::ops::Range<usize>| hex[range].iter().collect::<String>();
        [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
    }

    /// The components that are software.
    pub fn packages(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|component| component.kind == Kind::Package)
    }
}

/// The table of `system.build.packages`.
pub(crate) type Descriptions = BTreeMap<String, Description>;

/// The address by which anybody can get a source: the snapshot archive keeps what mirrors delete.
pub(crate) fn public_url(url: &str) -> Option<String> {
    let mirrors = picnix_fetch::Mirrors {
        configured: BTreeMap::new(),
        apt: Vec::new(),
        snapshot: None,
        public: true,
    };
    mirrors.resolve(url, None).ok()?.pop()
}

#[cfg(test)]
mod tests {
    use picnix_store_core::StoreDir;

    use super::*;

    fn part(name: &str, presence: Presence) -> Component {
        let path = format!("{}-{name}", "0".repeat(32));
        Component {
            name: name.to_owned(),
            version: Some("1.0+b".to_owned()),
            kind: Kind::Package,
            presence,
            paths: BTreeSet::from([StorePath::parse(path.as_bytes()).unwrap()]),
            sources: Vec::new(),
            patches: vec!["a.patch".to_owned()],
            needs: BTreeSet::new(),
            linked_with: BTreeSet::new(),
            about: Description {
                license: Some("MIT OR LicenseRef-nixos-own".to_owned()),
                ..Description::default()
            },
        }
    }

    fn bill() -> Bill {
        let mut program = part("program", Presence::Installed);
        program.linked_with.insert(0);
        let image = format!("{}-image", "1".repeat(32));
        Bill {
            format: "initramfs".to_owned(),
            image: StorePath::parse(image.as_bytes()).unwrap(),
            nar_hash: Sha256::of(b"image"),
            components: vec![part("library", Presence::Linked), program],
        }
    }

    #[test]
    fn the_serial_number_follows_from_the_image() {
        let first = bill();
        let mut second = bill();
        assert_eq!(first.uuid(), second.uuid());
        second.nar_hash = Sha256::of(b"another");
        assert_ne!(first.uuid(), second.uuid());
        let lengths: Vec<usize> = first.uuid().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn what_is_linked_is_tied_to_the_program_and_not_contained() {
        let document = spdx(&bill(), &StoreDir::default());
        let ties: Vec<(&str, &str)> = document["relationships"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tie| {
                let text = |key: &str| tie[key].as_str().unwrap();
                (text("relationshipType"), text("relatedSpdxElement"))
            })
            .collect();
        assert_eq!(
            ties,
            [
                ("DESCRIBES", "SPDXRef-image"),
                ("CONTAINS", "SPDXRef-program-00000000"),
                ("STATIC_LINK", "SPDXRef-library-00000000"),
            ]
        );
        let own = &document["hasExtractedLicensingInfos"];
        assert_eq!(own[0]["licenseId"], "LicenseRef-nixos-own");
        let document = cyclonedx(&bill(), &StoreDir::default());
        assert_eq!(document["components"][0]["type"], "library");
        assert_eq!(document["components"][1]["purl"], "pkg:generic/program@1.0%2Bb");
        assert_eq!(document["dependencies"][0]["dependsOn"][0], "program-00000000");
    }

    #[test]
    fn public_addresses_are_such_as_keep_the_file() {
        let url = "mirror://debian/pool/main/x.deb?snapshot=20250520T000000Z";
        let found = public_url(url).unwrap();
        assert!(found.ends_with("/20250520T000000Z/pool/main/x.deb"), "{found}");
        assert_eq!(public_url("https://a/b").unwrap(), "https://a/b");
    }
}
