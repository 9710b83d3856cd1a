//! Fetching from servers that behave and from servers that do not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picnix_fetch::{
    Client, Config, Error, Fetched, Mirrors, Patience, Request, Upload, fetch,
};
use picnix_store_core::{Hash, HashAlgo};

/// What a request said: its first line and its headers, in small letters.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: BTreeMap<String, String>,
}

impl Seen {
    /// Where it wants to continue.
    fn start(&self) -> Option<usize> {
        let range = self.headers.get("range")?;
        range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A server whose every answer is made by a function of the request and its number.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn new(answer: impl Fn(&Seen, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty());
                let Some(line) = lines.next() else { continue };
                let headers = lines
                    .filter_map(|l| {
                        Some(l.split_once(": ")?)
                            .map(|(a, b)| (a.to_lowercase(), b.to_owned()))
                    })
                    .collect();
                let request = Seen { line, headers };
                let number = log.lock().unwrap().len();
                log.lock().unwrap().push(request.clone());
                let _ = stream.write_all(&answer(&request, number));
            }
        });
        Self { url, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn whole(body: &[u8]) -> Vec<u8> {
    announced(body.len(), body)
}

fn announced(length: usize, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn rest(body: &[u8], start: usize) -> Vec<u8> {
    let (length, total) = (body.len() - start, body.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\
         Content-Range: bytes {start}-{}/{total}\r\n\r\n",
        total - 1
    );
    [head.as_bytes(), &body[start..]].concat()
}

fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn contents() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect()
}

struct Case {
    _dir: tempfile::TempDir,
    request: Request,
}

impl Case {
    fn new(urls: &[String], expected: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            backoff: Duration::from_millis(1),
            stall_timeout: Duration::from_secs(20),
            ..Config::default()
        };
        let request = Request {
            urls: urls.to_vec(),
            mirrors: Mirrors::default(),
            expected: Some(Hash::of(HashAlgo::Sha256, expected)),
            dest: dir.path().join("dest"),
            max_bytes: None,
            config,
        };
        Self { _dir: dir, request }
    }

    fn run(&self) -> Result<Fetched, Error> {
        fetch(&self.request, &mut |_| true)
    }

    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.request.dest.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn assert_fetched(&self, body: &[u8]) -> Fetched {
        let fetched = self.run().unwrap_or_else(|error| panic!("{error}"));
        assert!(fs::read(&self.request.dest).unwrap() == body, "other bytes");
        assert_eq!(self.left(), vec![self.request.dest.clone()], "only the file remains");
        assert_eq!(fetched.size_bytes, body.len() as u64);
        fetched
    }
}

#[test]
fn the_first_url_that_works_wins() {
    let bad = Server::new(|_, _| status("404 Not Found"));
    let good = Server::new(|_, _| whole(&contents()));
    let case = Case::new(&[bad.url("a"), good.url("b"), bad.url("c")], &contents());
    assert_eq!(case.assert_fetched(&contents()).url, good.url("b"));
    assert_eq!(bad.seen().len(), 1, "a 404 is not asked for again");
    let line = &good.seen()[0].line;
    assert_eq!(line, "GET /b HTTP/1.1");
}

#[test]
fn a_truncated_download_is_continued() {
    let server = Server::new(|seen, number| match (seen.start(), number) {
        (None, _) => announced(contents().len(), &contents()[..1000]),
        (Some(start), 1) => {
            let all = rest(&contents(), start);
            all[..all.len() - 5000].to_vec()
        }
        (Some(start), _) => rest(&contents(), start),
    });
    let case = Case::new(&[server.url("x")], &contents());
    case.assert_fetched(&contents());
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1].start(), Some(1000));
    assert_eq!(seen[1].headers["if-range"], "\"v1\"");
}

#[test]
fn an_interrupted_fetch_is_continued_by_the_next() {
    let server = Server::new(|seen, _| match seen.start() {
        None => whole(&contents()),
        Some(start) => rest(&contents(), start),
    });
    let case = Case::new(&[server.url("x")], &contents());
    let mut calls = 0;
    let error = fetch(&case.request, &mut |progress| {
        calls += 1;
        progress.done_bytes == 0
    });
    assert!(matches!(error, Err(Error::Cancelled)));
    assert!(calls >= 2);
    case.assert_fetched(&contents());
    let seen = server.seen();
    assert!(seen[1].start().unwrap() > 0);
    assert_eq!(seen[1].headers["if-range"], "\"v1\"");
}

#[test]
fn a_stale_part_is_thrown_away() {
    let server = Server::new(|seen, _| match seen.start() {
        None => whole(&contents()),
        Some(start) => rest(&contents(), start),
    });
    let case = Case::new(&[server.url("x")], &contents());
    fs::write(&case.request.dest, b"bytes of something else").unwrap();
    case.assert_fetched(&contents());
    let starts: Vec<_> = server.seen().iter().map(Seen::start).collect();
    assert_eq!(starts, [Some(23), None]);
}

#[test]
fn a_complete_part_needs_no_bytes() {
    let server = Server::new(|_, _| {
        let total = contents().len();
        format!("HTTP/1.1 416 Nope\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    });
    let case = Case::new(&[server.url("x")], &contents());
    fs::write(&case.request.dest, contents()).unwrap();
    case.assert_fetched(&contents());
}

#[test]
fn a_server_without_ranges_starts_over() {
    let server = Server::new(|_, number| match number {
        0 => announced(contents().len(), &contents()[..1000]),
        _ => whole(&contents()),
    });
    Case::new(&[server.url("x")], &contents()).assert_fetched(&contents());
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn an_unwilling_server_is_asked_again_later() {
    let server = Server::new(|_, number| match number {
        0 | 1 => status("503 Service Unavailable"),
        2 => Vec::new(),
        _ => whole(b"at last"),
    });
    Case::new(&[server.url("x")], b"at last").assert_fetched(b"at last");
}

#[test]
fn redirections_are_followed_and_chunks_joined() {
    let server = Server::new(|seen, _| {
        if seen.line.starts_with("GET /from ") {
            return b"HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n"
                .to_vec();
        }
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
            .to_vec()
    });
    Case::new(&[server.url("from")], b"hello!").assert_fetched(b"hello!");
}

#[test]
fn a_cut_chunked_answer_is_not_taken_for_the_whole() {
    let server = Server::new(|_, _| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec()
    });
    let mut case = Case::new(&[server.url("x")], b"");
    case.request.expected = None;
    let error = case.run().unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    assert!(case.left().is_empty());
}

#[test]
fn a_wrong_hash_names_both_and_keeps_nothing() {
    let lying = Server::new(|_, _| whole(b"poison"));
    let gone = Server::new(|_, _| status("410 Gone"));
    let case = Case::new(&[gone.url("a"), lying.url("b")], b"medicine");
    let error = case.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "hash mismatch in file downloaded from '{}':\n  \
             specified: sha256-{}\n  \
             got:       sha256-{}\n\
             other URLs failed too:\n  {}: HTTP error 410 Gone",
            lying.url("b"),
            sri(b"medicine"),
            sri(b"poison"),
            gone.url("a"),
        )
    );
    assert!(case.left().is_empty());
    assert_eq!(lying.seen().len(), 1);

    let honest = Server::new(|_, _| whole(b"medicine"));
    let case = Case::new(&[lying.url("b"), honest.url("c")], b"medicine");
    assert_eq!(case.assert_fetched(b"medicine").url, honest.url("c"));
}

fn sri(bytes: &[u8]) -> String {
    let text =
        Hash::of(HashAlgo::Sha256, bytes).print(picnix_store_core::HashFormat::Sri);
    text.strip_prefix("sha256-").unwrap().to_owned()
}

#[test]
fn without_a_network_every_url_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let urls = [
        format!("http://127.0.0.1:{port}/a"),
        "mirror://debian/pool/b".to_owned(),
        "gopher://x/c".to_owned(),
        "file:///nonexistent/d".to_owned(),
    ];
    let mut case = Case::new(&urls, b"");
    case.request.mirrors.apt = vec![format!("http://127.0.0.1:{port}/debian")];
    let text = case.run().unwrap_err().to_string();
    assert_eq!(
        text,
        format!(
            "unable to download 'http://127.0.0.1:{port}/a'; tried\n  \
             http://127.0.0.1:{port}/a: Connection refused (os error 111)\n  \
             http://127.0.0.1:{port}/debian/pool/b: Connection refused (os error 111)\n  \
             gopher://x/c: unsupported kind of URL\n  \
             file:///nonexistent/d: No such file or directory (os error 2)"
        )
    );
}

#[test]
fn a_stalled_server_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stalled = format!("http://{}/x", listener.local_addr().unwrap());
    let good = Server::new(|_, _| whole(b"quick"));
    let mut case = Case::new(&[stalled, good.url("x")], b"quick");
    case.request.config.stall_timeout = Duration::from_millis(500);
    case.assert_fetched(b"quick");
}

#[test]
fn too_much_is_refused() {
    let announces = Server::new(|_, _| whole(&contents()));
    let endless = Server::new(|_, _| [b"HTTP/1.1 200 OK\r\n\r\n", &*contents()].concat());
    for server in [announces, endless] {
        let mut case = Case::new(&[server.url("x")], &contents());
        case.request.max_bytes = Some(1000);
        assert!(matches!(case.run(), Err(Error::TooLarge { limit_bytes: 1000, .. })));
        assert!(case.left().is_empty());
    }
}

#[test]
fn files_are_fetched_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a file");
    fs::write(&path, b"local").unwrap();
    let url = format!("file://{}", path.display()).replace(' ', "%20");
    Case::new(&[url], b"local").assert_fetched(b"local");
}

#[test]
fn what_cannot_be_written_is_named() {
    let mut case = Case::new(&["file:///dev/null".to_owned()], b"");
    case.request.dest = case.request.dest.join("below-nothing");
    let error = case.run().unwrap_err();
    assert!(error.to_string().contains("below-nothing"), "{error}");
}

fn client() -> Client {
    let backoff = Duration::from_millis(1);
    Client::new(Config { backoff, ..Config::default() })
}

fn read_all(client: &Client, url: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let stream = client.get(url, Patience::Retry).unwrap().expect("there is something");
    { stream }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_stream_that_breaks_off_is_continued() {
    let body = contents();
    let server = Server::new(move |seen, _| match seen.start() {
        None => announced(body.len(), &body[..500_000]),
        Some(start) if start < 1_000_000 => rest(&body, start)[..200_000].to_vec(),
        Some(start) => rest(&body, start),
    });
    let got = read_all(&client(), &server.url("nar")).unwrap();
    assert!(got == contents(), "other bytes");
    assert!(server.seen().len() > 2);
    assert!(server.seen()[1..].iter().all(|seen| seen.headers["if-range"] == "\"v1\""));
}

#[test]
fn a_stream_is_continued_from_a_server_that_knows_no_ranges() {
    let server = Server::new(move |_, number| {
        let body = contents();
        if number == 0 { announced(body.len(), &body[..70_000]) } else { whole(&body) }
    });
    assert!(read_all(&client(), &server.url("nar")).unwrap() == contents());
}

#[test]
fn a_stream_that_never_gets_further_ends_with_an_error() {
    let server = Server::new(move |seen, _| match seen.start() {
        None => announced(1000, b"begin"),
        Some(_) => status("503 Busy"),
    });
    let error = read_all(&client(), &server.url("nar")).unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("/nar'"), "{error}");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn absent_is_not_broken() {
    let server = Server::new(|seen, _| match seen.line.contains("absent") {
        true => status("404 Not Found"),
        false => status("500 Broken"),
    });
    let client = client();
    let get = |name: &str| client.get_bytes(&server.url(name), Patience::Once, 10);
    assert_eq!(get("absent").unwrap(), None);
    assert!(get("broken").is_err());
    assert_eq!(server.seen().len(), 2, "whoever asks once asks once");
    assert!(!client.exists(&server.url("absent")).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/a/b", dir.path().display());
    assert_eq!(client.get_bytes(&url, Patience::Once, 10).unwrap(), None);
    client.put(&url, "text/plain", Upload::Bytes(b"twelve bytes")).unwrap();
    assert!(client.exists(&url).unwrap());
    assert_eq!(
        client.get_bytes(&url, Patience::Once, 12).unwrap().unwrap(),
        b"twelve bytes"
    );
    let error = client.get_bytes(&url, Patience::Once, 11).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
}

#[test]
fn an_upload_arrives_whole() {
    let server = Server::new(|seen, _| match seen.line.starts_with("PUT ") {
        true => status("201 Created"),
        false => status("405 No"),
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"nar").unwrap();
    let client = client();
    client.put(&server.url("a"), "text/x-nix-narinfo", Upload::Bytes(b"x: y\n")).unwrap();
    client.put(&server.url("b"), "application/x-nix-nar", Upload::File(&file)).unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].headers["content-length"], "5");
    assert_eq!(seen[0].headers["content-type"], "text/x-nix-narinfo");
    assert_eq!(seen[1].headers["content-length"], "3");
}
