//! Where a binary cache is, and what its address says about it.
//!
//! An address is a URL, `file`, `http`, `https` or `s3`, with Nix's parameters after a `?`:
//! `priority`, `compression`, `compression-level`, `trusted`; for S3
//! `region`, `endpoint`, `scheme`, `profile`, `addressing-style`. Parameters that Nix knows and we do not
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
        // `file:/PATH` is the same as `file:///PATH`.
        let path = url.strip_prefix("file:").filter(|path| !path.starts_with("//"));
        let long = path
            .filter(|path| path.starts_with('/'))
            .map(|path| format!("file://{path}"));
        let url = long.as_deref().unwrap_or(url);
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
                Some(rest) => s3_url(rest, parameters).map_err(|why| fail(&why))?,
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

/// The URL by which the client knows a bucket, which is a part of the host's name or of the path: of the path where the
/// endpoint is not Amazon's, or where the bucket's name has dots, which no certificate covers.
fn s3_url(rest: &str, parameters: &str) -> Result<String, String> {
    let value = |wanted: &str| {
        let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
        let mut values =
            pairs.filter(|(name, value)| *name == wanted && !value.is_empty());
        let decode = |(_, value): (_, &str)| {
            let text = String::from_utf8(picnix_fetch::percent_decode(value));
            text.map_err(|_| format!("'{value}' is no UTF-8"))
        };
        values.next().map(decode).transpose()
    };
    let word = |name: &str| {
        let found = value(name)?;
        let is_word = |text: &String| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        };
        match found {
            Some(text) if !is_word(&text) => Err(format!("'{text}' is no {name}")),
            found => Ok(found),
        }
    };
    let region = word("region")?.unwrap_or_else(|| S3_REGION.to_owned());
    let profile = word("profile")?.map(|name| format!(";{name}")).unwrap_or_default();
    let scheme = word("scheme")?.unwrap_or_else(|| "https".to_owned());
    let (bucket, folder) = match rest.split_once('/') {
        Some((bucket, folder)) => (bucket, format!("/{folder}")),
        None => (rest, String::new()),
    };
    let endpoint = value("endpoint")?;
    let (scheme, host) = match &endpoint {
        Some(endpoint) => {
            let (scheme, host) =
                endpoint.split_once("://").unwrap_or((&scheme, endpoint));
            (scheme, host.trim_end_matches('/').to_owned())
        }
        None => (&*scheme, format!("s3.{region}.amazonaws.com")),
    };
    let is_in_path = match word("addressing-style")?.as_deref() {
        None | Some("auto") => endpoint.is_some() || bucket.contains('.'),
        Some("path") => true,
        Some("virtual") => false,
        Some(other) => return Err(format!("unknown S3 addressing style '{other}'")),
    };
    Ok(match is_in_path {
        true => format!("s3+{scheme}://{region}{profile}@{host}/{bucket}{folder}"),
        false => format!("s3+{scheme}://{region}{profile}@{bucket}.{host}{folder}"),
    })
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
        assert_eq!(CacheAddress::parse("file:/a").unwrap().url, "file:///a");
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
        assert_eq!(
            url("s3://b?endpoint=http%3A%2F%2Fhost:1&profile=cache-upload"),
            "s3+http://us-east-1;cache-upload@host:1/b"
        );
        assert_eq!(
            url("s3://a.b"),
            "s3+https://us-east-1@s3.us-east-1.amazonaws.com/a.b"
        );
        let styled = |style: &str| {
            url(&format!("s3://b/x?endpoint=host&addressing-style={style}"))
        };
        assert_eq!(styled("virtual"), "s3+https://us-east-1@b.host/x");
        assert_eq!(styled("path"), "s3+https://us-east-1@host/b/x");
    }

    #[test]
    fn what_is_no_address_is_named() {
        let error = |text: &str| CacheAddress::parse(text).unwrap_err().to_string();
        assert!(error("/a/b").contains("it is no URL"));
        assert!(error("file://a/b").contains("absolute"));
        assert!(error("gopher://a").contains("'gopher' caches are not supported"));
        assert!(error("http://a?priority=x").contains("'priority' is not a number"));
        assert!(error("http://a?compression=rar").contains("'rar'"));
        assert!(error("s3://a?profile=b@c").contains("'b@c' is no profile"));
        assert!(error("s3://a?region=%40").contains("'@' is no region"));
        assert!(error("s3://a?addressing-style=x").contains("addressing style 'x'"));
    }
}
