//! Where a binary cache is, and what its address says about it.
//!
//! An address is a URL, `file`, `http`, `https` or `s3`, with Nix's parameters after a `?`:
//! `priority`, `compression`, `compression-level`, `trusted`; for S3 `region`, `endpoint`, `scheme`. Parameters that Nix knows and we do not
//! need are skipped, so that an address works in both programs.

use crate::cache::compression::Compression;
use crate::cache::error::CacheError;

/// The public cache of NixOS. Nix built what is in it, so it cannot have what only picnix builds.
const PUBLIC_CACHE: &str = "https://cache.nixos.org";

/// Where a bucket is if nothing is said.
const S3_REGION: &str = "us-east-1";

/// Which derivations' outputs a cache is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those that Nix can build on another machine: nothing in their closure needs what only picnix
    /// has, and their own builder is in the store.
    Nix,
}

/// The address of a binary cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheAddress {
    /// The URL without parameters and without a slash at its end.
    pub url: String,
    /// Which caches are asked first, if the cache's own word is not to count; less is earlier.
    pub priority: Option<u32>,
    /// How NARs are compressed that are written to it.
    pub compression: Compression,
    /// How hard that tries.
    pub compression_level: Option<i32>,
    /// Whether it is believed without signatures.
    pub is_trusted: bool,
    /// What it is asked for.
    pub scope: Scope,
}

impl CacheAddress {
    /// Understands an address.
    ///
    /// # Errors
    /// [`CacheError::Address`]
    pub fn parse(text: &str) -> Result<Self, CacheError> {
        let fail = |reason: &str| CacheError::Address {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (url, parameters) = text.split_once('?').unwrap_or((text, ""));
        let url = url.trim_end_matches('/');
        match url.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => {}
            Some(("file", _)) => return Err(fail("the path of a file URL is absolute")),
            Some(("http" | "https" | "s3", rest)) if !rest.is_empty() => {}
            Some((scheme, _)) => {
                let reason = format!("'{scheme}' caches are not supported");
                return Err(fail(&reason));
            }
            None => return Err(fail("it is no URL: 'file:///PATH' or 'https://HOST'")),
        }
        let mut address = Self {
            url: match url.strip_prefix("s3://") {
                Some(rest) => s3_url(rest, parameters),
                None => url.to_owned(),
            },
            priority: None,
            compression: Compression::Zstd,
            compression_level: None,
            is_trusted: false,
            scope: if url == PUBLIC_CACHE { Scope::Nix } else { Scope::All },
        };
        for parameter in parameters.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let number = || fail(&format!("'{name}' is not a number"));
            match name {
                "priority" => {
                    address.priority = Some(value.parse().map_err(|_| number())?);
                }
                "compression" => address.compression = Compression::parse(value)?,
                "compression-level" => {
                    address.compression_level =
                        Some(value.parse().map_err(|_| number())?);
                }
                "trusted" => address.is_trusted = matches!(value, "true" | "1"),
                _ => {}
            }
        }
        Ok(address)
    }
}

/// The URL by which the client knows a bucket; with an endpoint of its own the bucket is a part of the path.
fn s3_url(rest: &str, parameters: &str) -> String {
    let value = |wanted: &str| {
        let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
        let mut values =
            pairs.filter(|(name, value)| *name == wanted && !value.is_empty());
        values.next().map(|(_, value)| value)
    };
    let region = value("region").unwrap_or(S3_REGION);
    let scheme = value("scheme").unwrap_or("https");
    let (bucket, folder) = match rest.split_once('/') {
        Some((bucket, folder)) => (bucket, format!("/{folder}")),
        None => (rest, String::new()),
    };
    match value("endpoint") {
        Some(endpoint) => {
            let (scheme, host) = endpoint.split_once("://").unwrap_or((scheme, endpoint));
            let host = host.trim_end_matches('/');
            format!("s3+{scheme}://{region}@{host}/{bucket}{folder}")
        }
        None => {
            format!("s3+{scheme}://{region}@{bucket}.s3.{region}.amazonaws.com{folder}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_nix_s_parameters() {
        let address = CacheAddress::parse(
            "https://c.example/x/?priority=7&compression=xz&parallel-compression=true",
        );
        let address = address.unwrap();
        assert_eq!(address.url, "https://c.example/x");
        assert_eq!((address.priority, address.is_trusted), (Some(7), false));
        assert_eq!((address.compression, address.scope), (Compression::Xz, Scope::All));
        let public = CacheAddress::parse("https://cache.nixos.org/").unwrap();
        assert_eq!(public.scope, Scope::Nix);
        assert!(CacheAddress::parse("file:///a?trusted=true").unwrap().is_trusted);
    }

    #[test]
    fn buckets_are_hosts_or_lie_at_an_endpoint() {
        let url = |text: &str| CacheAddress::parse(text).unwrap().url;
        assert_eq!(url("s3://b"), "s3+https://us-east-1@b.s3.us-east-1.amazonaws.com");
        assert_eq!(
            url("s3://b/x/?region=eu-1&priority=3"),
            "s3+https://eu-1@b.s3.eu-1.amazonaws.com/x"
        );
        let own = "s3://b/x?endpoint=host:9000&scheme=http";
        assert_eq!(url(own), "s3+http://us-east-1@host:9000/b/x");
        assert_eq!(url("s3://b?endpoint=http://host/"), "s3+http://us-east-1@host/b");
    }

    #[test]
    fn what_is_no_address_is_named() {
        let error = |text: &str| CacheAddress::parse(text).unwrap_err().to_string();
        assert!(error("/a/b").contains("it is no URL"));
        assert!(error("file://a/b").contains("absolute"));
        assert!(error("gopher://a").contains("'gopher' caches are not supported"));
        assert!(error("http://a?priority=x").contains("'priority' is not a number"));
        assert!(error("http://a?compression=rar").contains("'rar'"));
    }
}
