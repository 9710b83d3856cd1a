//! Where `mirror://NAME/PATH` can be had.
//!
//! For `mirror://debian`: the places of picnix's configuration, then the mirrors of the machine's
//! own apt configuration, then a public mirror, and last the snapshot archive, which keeps every
//! file that the Debian archive ever held. A snapshot is addressed by the path and a moment at
//! which the archive had the file, so the URL may say such a moment in its query:
//! `mirror://debian/pool/main/x.deb?snapshot=20250520T000000Z` (any later snapshot that still has
//! it serves as well; the archive redirects to the last one before the moment). Where the wanted
//! hash is a SHA-1, the archive is asked for that instead, which needs no moment.

use std::collections::BTreeMap;

use picnix_store_core::{Hash, HashAlgo, HashFormat};

use crate::error::Error;

/// The name of the query parameter that says when the archive had the file.
pub const SNAPSHOT_KEY: &str = "snapshot";

const SCHEME: &str = "mirror://";
const DEBIAN: &str = "debian";
/// A public mirror, for machines that have no apt.
const DEBIAN_PUBLIC: &str = "https://mirrors.kernel.org/debian";
/// The archive of everything that Debian ever published.
const DEBIAN_SNAPSHOT: &str = "https://snapshot.debian.org";

/// The places that `mirror://` URLs stand for.
#[derive(Debug, Clone, Default)]
pub struct Mirrors {
    /// Base URLs by list name, from picnix's configuration, in order of preference.
    pub configured: BTreeMap<String, Vec<String>>,
    /// Base URLs of the main Debian archive from the machine's apt configuration.
    pub apt: Vec<String>,
    /// A moment at which the Debian archive had the files whose URLs name none.
    pub snapshot: Option<String>,
    /// Whether the public places are used too; off in tests and where policy forbids it.
    pub public: bool,
}

impl Mirrors {
    /// The URLs to try for a URL, in order. One that is no `mirror://` URL stands for itself.
    ///
    /// # Errors
    /// [`Error::UnknownMirror`].
    pub fn resolve(
        &self,
        url: &str,
        expected: Option<&Hash>,
    ) -> Result<Vec<String>, Error> {
        let Some(rest) = url.strip_prefix(SCHEME) else {
            return Ok(vec![url.to_owned()]);
        };
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let configured = self.configured.get(name);
        if configured.is_none() && name != DEBIAN {
            let mut known: Vec<String> = self.configured.keys().cloned().collect();
            known.push(DEBIAN.to_owned());
            known.sort();
            known.dedup();
            let (url, name) = (url.to_owned(), name.to_owned());
            return Err(Error::UnknownMirror { url, name, known });
        }
        let mut urls: Vec<String> = Vec::new();
        let mut add = |url: String| {
            if !urls.contains(&url) {
                urls.push(url);
            }
        };
        let below = |base: &str| format!("{}/{path}", base.trim_end_matches('/'));
        for base in configured.into_iter().flatten() {
            add(below(base));
        }
        if name == DEBIAN {
            self.apt.iter().for_each(|base| add(below(base)));
            if self.public {
                add(below(DEBIAN_PUBLIC));
                if let Some(url) = self.snapshot_url(path, query, expected) {
                    add(url);
                }
            }
        }
        Ok(urls)
    }

    fn snapshot_url(
        &self,
        path: &str,
        query: &str,
        expected: Option<&Hash>,
    ) -> Option<String> {
        if let Some(hash) = expected.filter(|hash| hash.algo() == HashAlgo::Sha1) {
            let digest = hash.print(HashFormat::Base16);
            return Some(format!("{DEBIAN_SNAPSHOT}/file/{digest}"));
        }
        let mut parameters = query.split('&').filter_map(|p| p.split_once('='));
        let asked =
            parameters.find(|(key, _)| *key == SNAPSHOT_KEY).map(|(_, value)| value);
        let moment = asked.or(self.snapshot.as_deref())?;
        Some(format!("{DEBIAN_SNAPSHOT}/archive/debian/{moment}/{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors() -> Mirrors {
        Mirrors {
            configured: BTreeMap::from([
                ("debian".into(), vec!["http://mine/debian/".into()]),
                ("gnu".into(), vec!["http://a/gnu".into(), "http://b/gnu".into()]),
            ]),
            apt: vec!["http://apt/debian".into(), "http://mine/debian".into()],
            snapshot: None,
            public: true,
        }
    }

    #[test]
    fn debian_is_tried_from_near_to_far() {
        let url = "mirror://debian/pool/main/x.deb?snapshot=20250520T000000Z";
        assert_eq!(
            mirrors().resolve(url, None).unwrap(),
            [
                "http://mine/debian/pool/main/x.deb",
                "http://apt/debian/pool/main/x.deb",
                "https://mirrors.kernel.org/debian/pool/main/x.deb",
                "https://snapshot.debian.org/archive/debian/20250520T000000Z/pool/main/x.deb",
            ]
        );
    }

    #[test]
    fn a_snapshot_needs_a_moment_or_a_sha1() {
        let url = "mirror://debian/pool/x.deb";
        let mut mirrors = mirrors();
        assert_eq!(mirrors.resolve(url, None).unwrap().len(), 3);
        let sha1 = Hash::of(HashAlgo::Sha1, b"");
        assert_eq!(
            mirrors.resolve(url, Some(&sha1)).unwrap().pop().unwrap(),
            "https://snapshot.debian.org/file/da39a3ee5e6b4b0d3255bfef95601890afd80709"
        );
        mirrors.snapshot = Some("20240101T000000Z".into());
        let last = mirrors.resolve(url, None).unwrap().pop().unwrap();
        assert!(last.ends_with("/archive/debian/20240101T000000Z/pool/x.deb"));
    }

    #[test]
    fn other_lists_come_from_the_configuration() {
        let mirrors = mirrors();
        let urls = mirrors.resolve("mirror://gnu/x/y.tar", None).unwrap();
        assert_eq!(urls, ["http://a/gnu/x/y.tar", "http://b/gnu/x/y.tar"]);
        assert_eq!(mirrors.resolve("http://x/y?z", None).unwrap(), ["http://x/y?z"]);
        let error = mirrors.resolve("mirror://gno/x", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown mirror list \"gno\" in \"mirror://gno/x\"; known: debian, gnu"
        );
    }
}
