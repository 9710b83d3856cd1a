//! One request of one URL: what to ask for, and what the answer means.
//!
//! Knows HTTP's words for continuing a file (RFC 9110 sections 13 and 14) and nothing of retries.

use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, SendBody};

use crate::config::Config;
use crate::error::Error;
use crate::part::Validator;

/// The most redirections that are followed.
const MAX_REDIRECTS: u32 = 10;

/// What a server answered.
pub(crate) enum Answer {
    /// Bytes, from `start` on.
    Bytes {
        /// The position of the first byte in the whole.
        start: u64,
        /// The size of the whole, where the server says it.
        total_bytes: Option<u64>,
        /// By what to recognise the same state of the file later.
        validator: Option<Validator>,
        /// The bytes.
        body: Box<dyn Read + Send>,
    },
    /// There is nothing after the position that was asked for.
    Complete,
    /// The position that was asked for is not one of the file's.
    Restart,
}

/// Why a URL gave nothing.
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// Whether the next try may do better.
    pub(crate) is_passing: bool,
    /// Whether the server answered, and has no such thing.
    pub(crate) is_absent: bool,
}

impl Refusal {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: true, is_absent: false }
    }

    pub(crate) fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: false, is_absent: false }
    }

    pub(crate) fn absent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: false, is_absent: true }
    }
}

/// Asks a URL for its bytes from `start` on.
pub(crate) fn ask(
    config: &Config,
    url: &str,
    start: u64,
    validator: Option<&Validator>,
) -> Result<Result<Answer, Refusal>, Error> {
    Ok(ask_with(&agent(config, url)?, url, start, validator))
}

/// Asks a URL for its bytes from `start` on, by a client that is there already.
pub(crate) fn ask_with(
    agent: &Agent,
    url: &str,
    start: u64,
    validator: Option<&Validator>,
) -> Result<Answer, Refusal> {
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if start > 0 {
        request = request.header("range", format!("bytes={start}-"));
        if let Some(validator) = validator.filter(|v| v.url == url) {
            request = request.header("if-range", &validator.text);
        }
    }
    match request.call() {
        Ok(response) => interpret(url, start, response),
        Err(error) => Err(refusal(&error)),
    }
}

/// Does a URL have anything?
pub(crate) fn look(agent: &Agent, url: &str) -> Result<(), Refusal> {
    let response = agent.head(url).call().map_err(|error| refusal(&error))?;
    judge(response.status())
}

/// Stores bytes at a URL.
pub(crate) fn put(
    agent: &Agent,
    url: &str,
    content_type: &str,
    body: &mut dyn Read,
    size_bytes: u64,
) -> Result<(), Refusal> {
    let request = agent
        .put(url)
        .header("content-type", content_type)
        .header("content-length", size_bytes);
    let sent = request.send(SendBody::from_reader(body));
    judge(sent.map_err(|error| refusal(&error))?.status())
}

fn judge(status: StatusCode) -> Result<(), Refusal> {
    if status.is_success() { Ok(()) } else { Err(refused(status)) }
}

/// A client for a URL. It keeps connections open; what takes time in making it, the certificates,
/// is kept in any case.
pub(crate) fn agent(config: &Config, url: &str) -> Result<Agent, Error> {
    let proxy = match config.proxies.of(url) {
        Some(address) => {
            let proxy = address.to_owned();
            Some(Proxy::new(address).map_err(|_| Error::Proxy { proxy })?)
        }
        None => None,
    };
    let stall: Option<Duration> = Some(config.stall_timeout);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(certificates()))
        .unversioned_rustls_crypto_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        .timeout_connect(Some(config.connect_timeout))
        .timeout_resolve(Some(config.connect_timeout))
        .timeout_recv_response(stall)
        .timeout_per_read(stall)
        .user_agent(config.user_agent.as_str())
        .proxy(proxy)
        .tls_config(tls)
        .build();
    Ok(config.new_agent())
}

/// The certificates that the machine trusts; an empty list makes every HTTPS connection fail with
/// an error that says so.
fn certificates() -> Arc<Vec<Certificate<'static>>> {
    static CERTIFICATES: OnceLock<Arc<Vec<Certificate<'static>>>> = OnceLock::new();
    let load = || {
        let found = rustls_native_certs::load_native_certs().certs;
        let owned =
            found.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned());
        Arc::new(owned.collect())
    };
    CERTIFICATES.get_or_init(load).clone()
}

fn interpret(url: &str, start: u64, response: Response<Body>) -> Result<Answer, Refusal> {
    let status = response.status();
    let headers = response.headers();
    match status {
        StatusCode::OK => Ok(Answer::Bytes {
            start: 0,
            total_bytes: number(headers, "content-length"),
            validator: validator(url, headers),
            body: Box::new(response.into_body().into_reader()),
        }),
        StatusCode::PARTIAL_CONTENT => match content_range(headers) {
            Some(ContentRange { first: Some(first), total_bytes }) if first == start => {
                Ok(Answer::Bytes {
                    start,
                    total_bytes,
                    validator: validator(url, headers),
                    body: Box::new(response.into_body().into_reader()),
                })
            }
            _ => Ok(Answer::Restart),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => match content_range(headers) {
            Some(ContentRange { total_bytes: Some(total), .. }) if total == start => {
                Ok(Answer::Complete)
            }
            _ => Ok(Answer::Restart),
        },
        _ => Err(refused(status)),
    }
}

/// What a status says that is no success. Object stores answer 403 for what they do not have when
/// their list is not public.
fn refused(status: StatusCode) -> Refusal {
    let is_passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    let is_absent = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN
    );
    Refusal { reason: format!("HTTP error {status}"), is_passing, is_absent }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// A weak tag cannot vouch for a part of a file.
fn validator(url: &str, headers: &HeaderMap) -> Option<Validator> {
    let tag = text(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    let found = tag.or_else(|| text(headers, "last-modified"))?;
    Some(Validator { url: url.to_owned(), text: found.to_owned() })
}

/// `bytes FIRST-LAST/TOTAL`, `bytes FIRST-LAST/*` or `bytes */TOTAL`.
struct ContentRange {
    first: Option<u64>,
    total_bytes: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (range, total) =
        text(headers, "content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-').and_then(|(first, _)| first.trim().parse().ok());
    Some(ContentRange { first, total_bytes: total.trim().parse().ok() })
}

fn refusal(error: &ureq::Error) -> Refusal {
    let is_passing = !matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::Http(_)
            | ureq::Error::TooManyRedirects
            | ureq::Error::RedirectFailed
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_)
    );
    let reason = match error {
        ureq::Error::HostNotFound => "the host's name cannot be resolved".to_owned(),
        ureq::Error::ConnectionFailed => "cannot connect".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    Refusal { reason, is_passing, is_absent: false }
}
