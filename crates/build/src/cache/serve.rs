//! A store as a binary cache over HTTP.
//!
//! One thread a connection, no compression: a NAR is made while it is sent, its length is known, and
//! any range of it can be had. An object that is collected while it is sent ends the connection; the
//! client notices that bytes are missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picnix_store::Store;
use picnix_store_core::{
    CacheInfo, DIGEST_CHARS, NarInfo, PathInfo, SecretKey, StorePath,
};

use crate::cache::http::{Head, Method, Request, read_request};
use crate::cancel::Cancel;
use crate::lock::lock;
use crate::logs::find_log;

/// The most connections at a time; more are told to come back later.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How much is sent at a time.
const BUFFER_SIZE: usize = 256 * 1024;

/// A server of a store.
pub struct Server<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where requests come in.
    pub listener: TcpListener,
    /// A key that signs what is served; the store's own signatures are served in any case.
    pub sign_with: Option<&'a SecretKey>,
    /// What the cache says of its priority.
    pub priority: u32,
    /// The caller's request to stop.
    pub cancel: &'a Cancel,
    /// Told every request when it is done.
    pub log: &'a (dyn Fn(&Served) + Sync),
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Served {
    /// Who asked.
    pub peer: SocketAddr,
    /// For what: method and path; empty where it could not be understood.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of the answer's body.
    pub sent_bytes: u64,
}

type Connections = Arc<Mutex<BTreeMap<u64, TcpStream>>>;

impl Server<'_> {
    /// Answers requests until the caller asks to stop.
    ///
    /// # Errors
    /// The listener fails.
    pub fn run(&self) -> io::Result<()> {
        let connections = Connections::default();
        let own_address = self.listener.local_addr()?;
        let open = connections.clone();
        let closed = self.cancel.on_cancel(move || {
            for stream in lock(&open).values() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            // Wakes the loop below.
            let _ = TcpStream::connect(own_address);
        });
        let result = std::thread::scope(|scope| {
            for number in 0_u64.. {
                let accepted = self.listener.accept();
                if self.cancel.is_cancelled() {
                    break;
                }
                let Ok((stream, peer)) = accepted else {
                    // Out of descriptors, or the peer is gone: nothing that ends a server.
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let clone = stream.try_clone()?;
                let is_full = {
                    let mut open = lock(&connections);
                    open.insert(number, clone);
                    open.len() > MAX_CONNECTIONS
                };
                let connections = connections.clone();
                scope.spawn(move || {
                    // The peer's going away is no error of ours.
                    let _ = self.converse(&stream, peer, is_full);
                    lock(&connections).remove(&number);
                });
            }
            Ok(())
        });
        drop(closed);
        result
    }

    /// Answers the requests of a connection.
    fn converse(
        &self,
        stream: &TcpStream,
        peer: SocketAddr,
        is_full: bool,
    ) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut source = BufReader::new(stream);
        loop {
            let request = match read_request(&mut source) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let answer = Answer::text(400, &format!("{error}\n"));
                    return self.send(stream, peer, None, &answer).map(|_| ());
                }
                Err(error) => return Err(error),
            };
            let answer = match request.method {
                _ if is_full => Answer::text(503, "too many connections\n"),
                Method::Other => Answer::text(405, "this cache can only be read\n"),
                Method::Get | Method::Head => self.answer(&request.path),
            };
            let keeps = self.send(stream, peer, Some(&request), &answer)?;
            if !keeps || is_full {
                return Ok(());
            }
        }
    }

    /// Sends an answer; whether the connection can be used further.
    fn send(
        &self,
        stream: &TcpStream,
        peer: SocketAddr,
        request: Option<&Request>,
        answer: &Answer,
    ) -> io::Result<bool> {
        let keep_alive = request.is_some_and(|request| request.keep_alive);
        let (mut status, size) = (answer.status, answer.body.len());
        let (mut first, mut length) = (0, size);
        let mut more = Vec::new();
        if let (200, Some(tag)) = (status, &answer.tag) {
            more.push(("Accept-Ranges", "bytes".to_owned()));
            more.push(("ETag", tag.clone()));
            let is_same = |request: &&Request| {
                request.if_range.as_ref().is_none_or(|wanted| wanted == tag)
            };
            if let Some(range) = request.filter(is_same).and_then(|request| request.range)
            {
                if let Some(part) = range.within(size) {
                    (first, length) = part;
                    status = 206;
                    let last = first + length - 1;
                    more.push(("Content-Range", format!("bytes {first}-{last}/{size}")));
                } else {
                    (status, length) = (416, 0);
                    more.push(("Content-Range", format!("bytes */{size}")));
                }
            }
        }
        let content_type = answer.content_type;
        let mut sink = BufWriter::with_capacity(BUFFER_SIZE, stream);
        Head { status, content_type, length, keep_alive, more }.write(&mut sink)?;
        let is_head = request.is_some_and(|request| request.method == Method::Head);
        let mut sent = Ok(());
        if !is_head && length > 0 {
            sent = self.send_body(&answer.body, Part { sink: &mut sink, first, length });
        }
        let sent = sent.and_then(|()| sink.flush());
        (self.log)(&Served {
            peer,
            request: request.map_or_else(String::new, |request| {
                let method = if is_head { "HEAD" } else { "GET" };
                let method =
                    if request.method == Method::Other { "other" } else { method };
                format!("{method} {}", request.path)
            }),
            status,
            sent_bytes: if is_head { 0 } else { length },
        });
        sent.map(|()| keep_alive)
    }

    fn send_body(&self, body: &Body, mut part: Part<'_, impl Write>) -> io::Result<()> {
        let done = match body {
            Body::Text(text) => part.write_all(text).map_err(|error| error.to_string()),
            Body::File(file, _) => io::copy(&mut { file }, &mut part)
                .map(|_| ())
                .map_err(|error| error.to_string()),
            Body::Nar(info) => {
                self.store.dump(&info.path, &mut part).map_err(|error| error.to_string())
            }
        };
        match (part.length, done) {
            // The rest of the object was not asked for.
            (0, _) => Ok(()),
            (_, Err(error)) => Err(io::Error::other(error)),
            (_, Ok(())) => Err(io::Error::other("the object became shorter")),
        }
    }

    /// What is at a path of the cache.
    fn answer(&self, path: &str) -> Answer {
        let name = path.trim_start_matches('/');
        let found = if name == "nix-cache-info" {
            let info = CacheInfo {
                store_dir: Some(self.store.store_dir().to_string()),
                want_mass_query: true,
                priority: Some(self.priority),
            };
            Ok(Some(Answer::of("text/x-nix-cache-info", info.print())))
        } else if let Some(digest) = name.strip_suffix(".narinfo") {
            self.narinfo(digest)
        } else if let Some(nar) = name.strip_prefix("nar/") {
            self.nar(nar)
        } else if let Some(drv) = name.strip_prefix("log/") {
            self.build_log(drv)
        } else {
            Ok(None)
        };
        match found {
            Ok(Some(answer)) => answer,
            Ok(None) => Answer::text(404, "there is no such file\n"),
            Err(error) => Answer::text(500, &format!("{error}\n")),
        }
    }

    fn info(&self, digest: &str) -> picnix_store::Result<Option<PathInfo>> {
        let Ok(digest) = <[u8; DIGEST_CHARS]>::try_from(digest.as_bytes()) else {
            return Ok(None);
        };
        match self.store.path_from_digest(&digest)? {
            Some(path) => self.store.query_path_info(&path),
            None => Ok(None),
        }
    }

    fn narinfo(&self, digest: &str) -> picnix_store::Result<Option<Answer>> {
        let Some(mut info) = self.info(digest)? else { return Ok(None) };
        let store_dir = self.store.store_dir();
        if let Some(key) = self.sign_with {
            info.sign(store_dir, key)?;
        }
        let narinfo = NarInfo {
            url: format!("nar/{}", nar_name(&info)),
            compression: "none".to_owned(),
            file_hash: Some(info.nar_hash.into()),
            file_size: Some(info.nar_size),
            info,
        };
        Ok(Some(Answer::of("text/x-nix-narinfo", narinfo.print(store_dir))))
    }

    fn nar(&self, name: &str) -> picnix_store::Result<Option<Answer>> {
        let digest = name.split('-').next().unwrap_or(name);
        let info = self.info(digest)?.filter(|info| nar_name(info) == name);
        Ok(info.map(|info| Answer {
            status: 200,
            content_type: "application/x-nix-nar",
            tag: Some(format!("\"{}\"", info.nar_hash.nix32())),
            body: Body::Nar(Box::new(info)),
        }))
    }

    fn build_log(&self, drv: &str) -> picnix_store::Result<Option<Answer>> {
        let Ok(path) = StorePath::parse(drv.as_bytes()) else { return Ok(None) };
        let Some(log) = find_log(self.store, &path)? else { return Ok(None) };
        let opened = File::open(&log).and_then(|file| Ok((file.metadata()?.len(), file)));
        Ok(opened.ok().map(|(size, file)| Answer {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            tag: None,
            body: Body::File(file, size),
        }))
    }
}

/// The name says which contents are meant: a path's contents may differ from machine to machine.
fn nar_name(info: &PathInfo) -> String {
    let digest = info.path.digest_text();
    format!("{}-{}.nar", String::from_utf8_lossy(&digest), info.nar_hash.nix32())
}

struct Answer {
    status: u16,
    content_type: &'static str,
    /// The entity tag of what can be had in parts.
    tag: Option<String>,
    body: Body,
}

enum Body {
    Text(Vec<u8>),
    File(File, u64),
    Nar(Box<PathInfo>),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, size) => *size,
            Self::Nar(info) => info.nar_size,
        }
    }
}

impl Answer {
    fn of(content_type: &'static str, text: String) -> Self {
        Self { status: 200, content_type, tag: None, body: Body::Text(text.into_bytes()) }
    }

    fn text(status: u16, text: &str) -> Self {
        Self { status, ..Self::of("text/plain; charset=utf-8", text.to_owned()) }
    }
}

/// Passes a part of what is written on, and refuses everything after it.
struct Part<'a, W> {
    sink: &'a mut W,
    /// The bytes to skip.
    first: u64,
    /// The bytes still to be passed on.
    length: u64,
}

impl<W: Write> Write for Part<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length == 0 {
            return Err(io::Error::other("that is all"));
        }
        let skip = usize::try_from(self.first).unwrap_or(usize::MAX).min(bytes.len());
        self.first -= skip as u64;
        let rest = &bytes[skip..];
        let count = usize::try_from(self.length).unwrap_or(usize::MAX).min(rest.len());
        self.sink.write_all(&rest[..count])?;
        self.length -= count as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
