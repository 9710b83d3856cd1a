//! How patient the client is, and through which proxies it speaks.
//!
//! The caller reads the environment, this crate does not.

use std::time::Duration;

use crate::s3_keys::S3Access;

/// How patient the client is.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often all URLs are tried again after every one of them failed.
    pub retries: u32,
    /// How long to wait before the first retry; doubles with each.
    pub backoff: Duration,
    /// The longest time for making a connection.
    pub connect_timeout: Duration,
    /// The longest time without a byte from the server.
    pub stall_timeout: Duration,
    /// The proxies to use.
    pub proxies: Proxies,
    /// What objects in S3 are asked for with.
    pub s3: S3Access,
    /// What to tell servers about this program.
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retries: 3,
            backoff: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            proxies: Proxies::default(),
            s3: S3Access::default(),
            user_agent: concat!("picnix/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Proxies as the usual environment variables name them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// `http_proxy`.
    pub http: Option<String>,
    /// `https_proxy`.
    pub https: Option<String>,
    /// `all_proxy`.
    pub all: Option<String>,
    /// `no_proxy`: host names, domains, or `*`, separated by commas.
    pub none: Option<String>,
}

impl Proxies {
    /// The proxies that an environment names; small letters win, as in curl.
    #[must_use]
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            let found = lookup(name).or_else(|| {
                // `HTTP_PROXY` can be set by a request's header where this runs as a CGI program.
                (name != "http_proxy").then(|| lookup(&name.to_uppercase())).flatten()
            });
            found.filter(|value| !value.is_empty())
        };
        Self {
            http: get("http_proxy"),
            https: get("https_proxy"),
            all: get("all_proxy"),
            none: get("no_proxy"),
        }
    }

    /// The proxy for a URL, if any.
    pub(crate) fn of(&self, url: &str) -> Option<&str> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let host = host.split(':').next().unwrap_or(host);
        let excluded = self.none.as_deref().unwrap_or("").split(',').map(str::trim);
        for entry in excluded.filter(|entry| !entry.is_empty()) {
            let domain = entry.trim_start_matches('.');
            let inside = host.strip_suffix(domain).is_some_and(|h| h.ends_with('.'));
            if entry == "*" || host == domain || inside {
                return None;
            }
        }
        let special = if scheme == "https" { &self.https } else { &self.http };
        special.as_deref().or(self.all.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_chosen_by_scheme_and_host() {
        let proxies = Proxies::from_lookup(&|name| match name {
            "http_proxy" => Some("http://a:1".into()),
            "ALL_PROXY" => Some("http://b:2".into()),
            "NO_PROXY" => Some("localhost, .example.org".into()),
            _ => None,
        });
        assert_eq!(proxies.of("http://x.org/y"), Some("http://a:1"));
        assert_eq!(proxies.of("https://x.org/y"), Some("http://b:2"));
        assert_eq!(proxies.of("http://localhost:80/y"), None);
        assert_eq!(proxies.of("http://a.example.org/y"), None);
        assert_eq!(proxies.of("http://notexample.org/y"), Some("http://a:1"));
    }
}
