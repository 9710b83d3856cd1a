//! The two text files of a binary cache: `<digest>.narinfo` and `nix-cache-info`.
//!
//! Both are lines of `Name: value`; unknown names are skipped. A narinfo joins a [`PathInfo`] with
//! where and how its NAR is stored.

use crate::content_address::ContentAddress;
use crate::error::{Error, Result, show};
use crate::hash::{Hash, HashFormat, Sha256};
use crate::path_info::PathInfo;
use crate::signature::Signature;
use crate::store_path::{StoreDir, StorePath};

/// What a binary cache says of a store object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// The object's metadata.
    pub info: PathInfo,
    /// Where the compressed NAR is, relative to the cache.
    pub url: String,
    /// How it is compressed: `none`, `xz`, `zstd`, …
    pub compression: String,
    /// The hash of the compressed NAR.
    pub file_hash: Option<Hash>,
    /// The length of the compressed NAR in bytes.
    pub file_size: Option<u64>,
}

impl NarInfo {
    /// Parses a file; `whence` is its name, for messages.
    pub fn parse(store_dir: &StoreDir, text: &[u8], whence: &str) -> Result<Self> {
        let corrupt = |reason: String| {
            let whence = whence.to_owned();
            Error::NarInfo { whence, reason }
        };
        let mut fields = Fields::default();
        let mut rest = text;
        let mut line = 0;
        while !rest.is_empty() {
            line += 1;
            let at_line = |reason: &str| corrupt(format!("{reason} at line {line}"));
            let colon =
                memchr::memchr(b':', rest).ok_or_else(|| at_line("expecting ':'"))?;
            // The value starts after one more byte, which is a space.
            let value = rest.get(colon + 2..).unwrap_or_default();
            let end =
                memchr::memchr(b'\n', value).ok_or_else(|| at_line("expecting '\\n'"))?;
            fields
                .read(store_dir, &rest[..colon], &value[..end])
                .map_err(|error| at_line(&error.to_string()))?;
            rest = &value[end + 1..];
        }
        fields.join().map_err(|reason| corrupt(reason.to_owned()))
    }

    /// Prints the file. The fields of the compressed NAR are left out where unknown.
    pub fn print(&self, store_dir: &StoreDir) -> String {
        let info = &self.info;
        let mut text = format!(
            "StorePath: {}\nURL: {}\nCompression: {}\n",
            store_dir.print(&info.path),
            self.url,
            self.compression
        );
        let mut line = |name: &str, value: &str| {
            text.extend([name, ": ", value, "\n"]);
        };
        if let Some(hash) = &self.file_hash {
            line("FileHash", &hash.print_prefixed(HashFormat::Nix32));
        }
        if let Some(size) = self.file_size {
            line("FileSize", &size.to_string());
        }
        line("NarHash", &Hash::from(info.nar_hash).print_prefixed(HashFormat::Nix32));
        line("NarSize", &info.nar_size.to_string());
        let references: Vec<String> =
            info.references.iter().map(ToString::to_string).collect();
        line("References", &references.join(" "));
        if let Some(deriver) = &info.deriver {
            line("Deriver", &deriver.to_string());
        }
        for signature in &info.signatures {
            line("Sig", &signature.to_string());
        }
        if let Some(address) = &info.content_address {
            line("CA", &address.to_string());
        }
        text
    }
}

/// The fields as they come.
#[derive(Default)]
struct Fields {
    path: Option<StorePath>,
    url: String,
    compression: String,
    file_hash: Option<Hash>,
    file_size: Option<u64>,
    nar_hash: Option<Sha256>,
    nar_size: u64,
    references: Vec<StorePath>,
    deriver: Option<StorePath>,
    signatures: Vec<Signature>,
    content_address: Option<ContentAddress>,
}

/// A reason inside a line; it becomes part of a message.
type Reason = String;

impl Fields {
    fn read(
        &mut self,
        store_dir: &StoreDir,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Reason> {
        let text = || std::str::from_utf8(value).map_err(|_| "not UTF-8".to_owned());
        let size = |name: &str| -> Result<u64, Reason> {
            text()?.parse().map_err(|_| format!("invalid {name}"))
        };
        let hash = || -> Result<Hash, Reason> {
            Hash::parse_prefixed(text()?).map_err(|_| "bad hash".to_owned())
        };
        let words = |error: Error| error.to_string();
        match name {
            b"StorePath" => {
                self.path = Some(store_dir.parse_path(value).map_err(words)?);
            }
            b"URL" => self.url = text()?.to_owned(),
            b"Compression" => self.compression = text()?.to_owned(),
            b"FileHash" => self.file_hash = Some(hash()?),
            b"FileSize" => self.file_size = Some(size("FileSize")?),
            b"NarHash" => {
                let hash = hash()?.sha256();
                self.nar_hash = Some(hash.ok_or("NarHash is not SHA-256")?);
            }
            b"NarSize" => self.nar_size = size("NarSize")?,
            b"References" if !self.references.is_empty() => {
                return Err("extra References".to_owned());
            }
            b"References" => {
                for part in value.split(|byte| *byte == b' ').filter(|p| !p.is_empty()) {
                    self.references.push(StorePath::parse(part).map_err(words)?);
                }
            }
            b"Deriver" if value == b"unknown-deriver" => {}
            b"Deriver" => self.deriver = Some(StorePath::parse(value).map_err(words)?),
            b"Sig" => self.signatures.push(Signature::parse(text()?).map_err(words)?),
            b"CA" if self.content_address.is_some() => return Err("extra CA".to_owned()),
            b"CA" if value.is_empty() => {}
            b"CA" => {
                let address = ContentAddress::parse(text()?).map_err(words)?;
                self.content_address = Some(address);
            }
            _ => {}
        }
        Ok(())
    }

    fn join(self) -> Result<NarInfo, &'static str> {
        let path = self.path.ok_or("StorePath missing")?;
        let nar_hash = self.nar_hash.ok_or("NarHash missing")?;
        if self.url.is_empty() {
            return Err("URL missing");
        }
        if self.nar_size == 0 {
            return Err("NarSize missing or zero");
        }
        let mut info = PathInfo::new(path, nar_hash, self.nar_size);
        info.references = self.references.into_iter().collect();
        info.deriver = self.deriver;
        info.signatures = self.signatures.into_iter().collect();
        info.content_address = self.content_address;
        let compression = match self.compression.as_str() {
            // What caches meant before the field existed.
            "" => "bzip2".to_owned(),
            _ => self.compression,
        };
        let (file_hash, file_size) = (self.file_hash, self.file_size);
        Ok(NarInfo { info, url: self.url, compression, file_hash, file_size })
    }
}

/// What a binary cache says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store directory that its objects are for.
    pub store_dir: Option<String>,
    /// May it be asked about many paths at once?
    pub want_mass_query: bool,
    /// Lower is asked first.
    pub priority: Option<u32>,
}

impl CacheInfo {
    /// Parses a `nix-cache-info`.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut info = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let value = show(line[colon + 1..].trim_ascii());
            match &line[..colon] {
                b"StoreDir" => info.store_dir = Some(value),
                b"WantMassQuery" => info.want_mass_query = value == "1",
                b"Priority" => {
                    let priority = value.parse().map_err(|_| {
                        Error::CacheInfo(format!("priority '{value}' is not a number"))
                    })?;
                    info.priority = Some(priority);
                }
                _ => {}
            }
        }
        Ok(info)
    }

    /// Prints a `nix-cache-info`.
    pub fn print(&self) -> String {
        let mut text = String::new();
        if let Some(dir) = &self.store_dir {
            text.push_str(&format!("StoreDir: {dir}\n"));
        }
        if self.want_mass_query {
            text.push_str("WantMassQuery: 1\n");
        }
        if let Some(priority) = self.priority {
            text.push_str(&format!("Priority: {priority}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
StorePath: /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin
URL: nar/05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56.nar.xz
Compression: xz
FileHash: sha256:05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56
FileSize: 68852
NarHash: sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0
NarSize: 196040
References: 0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0 6w8g7njm4mck5dmjxws0z1xnrxvl81xa-glibc-2.34-115
Deriver: 5rwxzi7pal3qhpsyfc16gzkh939q1np6-curl-7.82.0.drv
Sig: cache.nixos.org-1:TsTTb3WGTZKphvYdBHXwo6weVILmTytUjLB+vcX89fOjjRicCHmKA4RCPMVLkj6TMJ4GMX3HPVWRdD1hkeKZBQ==
";

    fn error(text: &str) -> String {
        let error = NarInfo::parse(&StoreDir::default(), text.as_bytes(), "x.narinfo");
        error.unwrap_err().to_string()
    }

    #[test]
    fn a_narinfo_round_trips() {
        let dir = StoreDir::default();
        let narinfo = NarInfo::parse(&dir, TEXT.as_bytes(), "x").unwrap();
        assert_eq!(narinfo.print(&dir), TEXT);
        assert_eq!(narinfo.info.references.len(), 2);
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |name: &str| -> String {
            let lines = TEXT.lines().filter(|line| !line.starts_with(name));
            lines.map(|line| format!("{line}\n")).collect()
        };
        let corrupt = "NAR info file 'x.narinfo' is corrupt: ";
        assert_eq!(error(&without("StorePath")), format!("{corrupt}StorePath missing"));
        assert_eq!(error(&without("NarHash")), format!("{corrupt}NarHash missing"));
        assert_eq!(error(&without("URL")), format!("{corrupt}URL missing"));
        assert_eq!(
            error(&without("NarSize")),
            format!("{corrupt}NarSize missing or zero")
        );
        assert_eq!(error("x"), format!("{corrupt}expecting ':' at line 1"));
        assert_eq!(error("a: b\nx: y"), format!("{corrupt}expecting '\\n' at line 2"));
        assert_eq!(error("NarSize: -1\n"), format!("{corrupt}invalid NarSize at line 1"));
        let dir = StoreDir::default();
        let text = without("Compression");
        let narinfo = NarInfo::parse(&dir, text.as_bytes(), "x").unwrap();
        assert_eq!(narinfo.compression, "bzip2");
    }

    #[test]
    fn a_cache_info_round_trips() {
        let text = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n";
        let info = CacheInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(info.priority, Some(40));
        assert_eq!(info.print(), text);
        assert!(CacheInfo::parse(b"Priority: x").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            at in 0..TEXT.len(), bytes in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut text = TEXT.as_bytes().to_vec();
            text.splice(at..at, bytes.iter().copied());
            let _ = NarInfo::parse(&StoreDir::default(), &text, "x");
            let _ = CacheInfo::parse(&bytes);
        }
    }
}
