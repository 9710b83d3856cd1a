//! As much of HTTP/1.1 (RFC 9112, ranges of RFC 9110 section 14) as serving files takes.
//!
//! Requests have no bodies here; a request that announces one is refused, and the connection with
//! it. Everything a peer sends is bounded.

use std::io::{self, BufRead, Read, Write};

/// The most bytes of a request's line and headers.
const HEAD_LIMIT: u64 = 16 * 1024;

/// What a peer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path without its parameters, percent signs and all.
    pub(crate) path: String,
    pub(crate) range: Option<Range>,
    /// The state of the file that the range is of.
    pub(crate) if_range: Option<String>,
    pub(crate) keep_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// A range of bytes as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// From one position to another, inclusively, or to the end.
    From(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
}

impl Range {
    /// First position and length within a file of some size; `None` if there is nothing of it.
    pub(crate) fn within(self, size: u64) -> Option<(u64, u64)> {
        let (first, last) = match self {
            Self::From(first, last) => {
                (first, last.unwrap_or(u64::MAX).min(size.saturating_sub(1)))
            }
            Self::Last(0) => return None,
            Self::Last(count) => (size.saturating_sub(count), size.saturating_sub(1)),
        };
        (first < size && first <= last).then(|| (first, last - first + 1))
    }

    /// One range; several at once are not worth the trouble, and may be ignored.
    fn parse(value: &str) -> Option<Self> {
        let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", count) => Some(Self::Last(count.parse().ok()?)),
            (first, "") => Some(Self::From(first.parse().ok()?, None)),
            (first, last) => {
                Some(Self::From(first.parse().ok()?, Some(last.parse().ok()?)))
            }
        }
    }
}

/// Reads a request's head; `None` if the peer is gone.
///
/// # Errors
/// The stream's, and `InvalidData` for what is no request.
pub(crate) fn read_request(source: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut source = source.take(HEAD_LIMIT);
    let Some(line) = read_line(&mut source)? else { return Ok(None) };
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("request line"));
    };
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    if !path.starts_with('/') || !version.starts_with("HTTP/1.") {
        return Err(malformed("request line"));
    }
    let mut request = Request {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        path: path.split(['?', '#']).next().unwrap_or(path).to_owned(),
        range: None,
        if_range: None,
        keep_alive: version != "HTTP/1.0",
    };
    loop {
        let line = read_line(&mut source)?.ok_or_else(|| malformed("headers"))?;
        if line.is_empty() {
            return Ok(Some(request));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("header"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Range::parse(value),
            "if-range" => request.if_range = Some(value.to_owned()),
            "connection" if value.eq_ignore_ascii_case("close") => {
                request.keep_alive = false;
            }
            "connection" if value.eq_ignore_ascii_case("keep-alive") => {
                request.keep_alive = true;
            }
            "content-length" if value != "0" => return Err(malformed("body")),
            "transfer-encoding" => return Err(malformed("body")),
            _ => {}
        }
    }
}

/// A line without its end; `None` at the end of the stream.
fn read_line(source: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if source.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(malformed("line"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| malformed("line"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}

/// The head of an answer.
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) length: u64,
    pub(crate) keep_alive: bool,
    /// Further headers.
    pub(crate) more: Vec<(&'static str, String)>,
}

impl Head<'_> {
    /// Writes the head.
    pub(crate) fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            416 => "Range Not Satisfiable",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let mut text = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\n",
            self.status, self.content_type, self.length
        );
        for (name, value) in &self.more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        sink.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<Option<Request>> {
        read_request(&mut text.as_bytes())
    }

    #[test]
    fn a_request_is_understood() {
        let text = "GET /nar/a.nar?x=y HTTP/1.1\r\nHost: a\r\nRANGE: bytes=5-\r\n\
                    If-Range: \"v\"\r\n\r\n";
        let request = parse(text).unwrap().unwrap();
        assert_eq!((request.method, request.path.as_str()), (Method::Get, "/nar/a.nar"));
        assert_eq!(request.range, Some(Range::From(5, None)));
        assert!(request.keep_alive && request.if_range.as_deref() == Some("\"v\""));
        assert!(!parse("HEAD / HTTP/1.0\n\n").unwrap().unwrap().keep_alive);
        assert_eq!(parse("").unwrap(), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET a HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HT",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        let within = |text: &str| Range::parse(text).and_then(|r| r.within(10));
        assert_eq!(within("bytes=0-"), Some((0, 10)));
        assert_eq!(within("bytes=3-4"), Some((3, 2)));
        assert_eq!(within("bytes=9-99"), Some((9, 1)));
        assert_eq!(within("bytes=-3"), Some((7, 3)));
        assert_eq!(within("bytes=-30"), Some((0, 10)));
        for text in ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=a-", "lines=1-2"] {
            assert_eq!(within(text), None, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-").unwrap().within(0), None);
        assert_eq!(Range::parse("bytes=1-2,4-5"), None);
    }
}
