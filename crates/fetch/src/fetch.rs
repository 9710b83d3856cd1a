//! Fetching: which URL next, what to keep, when to give up.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use picnix_store_core::{Hash, HashAlgo};

use crate::config::Config;
use crate::error::{Attempt, Error};
use crate::http::{self, Answer, Refusal};
use crate::mirrors::Mirrors;
use crate::part::{CHUNK_BYTES, Part};

/// A URL that delivers a little more each time is asked again at once, at most this often.
const MAX_CONTINUATIONS: u32 = 20;
/// How often a wait looks whether it should go on.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// What to fetch, and where to put it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it can be had, in order of preference: `http`, `https`, `file` or `mirror` URLs.
    pub urls: Vec<String>,
    /// What the `mirror` URLs stand for.
    pub mirrors: Mirrors,
    /// The hash of the bytes. Without one anything is accepted and nothing is continued.
    pub expected: Option<Hash>,
    /// The file to write. What an interrupted fetch of the same thing left there is continued;
    /// after a failure for want of a network it stays, after a wrong hash it does not.
    pub dest: PathBuf,
    /// The most bytes to accept.
    pub max_bytes: Option<u64>,
    /// How patient to be.
    pub config: Config,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The URL that delivered, after resolving mirrors.
    pub url: String,
    /// The hash: of the kind that was expected, or SHA-256.
    pub hash: Hash,
    /// The number of bytes.
    pub size_bytes: u64,
}

/// How far a fetch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The URL being read.
    pub url: String,
    /// The bytes that are there.
    pub done_bytes: u64,
    /// The bytes of the whole, where known.
    pub total_bytes: Option<u64>,
}

/// Fetches something.
///
/// `progress` is called now and then with how far it is; its answer says whether to go on.
///
/// # Errors
/// [`Error::HashMismatch`] where a URL delivered the wrong bytes and none the right ones,
/// [`Error::Exhausted`] where none delivered.
pub fn fetch(
    request: &Request,
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Fetched, Error> {
    let mut urls: Vec<String> = Vec::new();
    for url in &request.urls {
        for place in request.mirrors.resolve(url, request.expected.as_ref())? {
            if !urls.contains(&place) {
                urls.push(place);
            }
        }
    }
    let name = request.urls.first().ok_or(Error::NoUrl)?.clone();
    let algo = request.expected.as_ref().map_or(HashAlgo::Sha256, Hash::algo);
    let part = Part::open(&request.dest, algo, request.expected.is_some())?;
    let mut candidates: Vec<Candidate> = urls.into_iter().map(Candidate::new).collect();
    let mut job = Job { request, part, progress };
    match job.run(&mut candidates) {
        Ok(Some(fetched)) => {
            job.part.keep()?;
            Ok(fetched)
        }
        Ok(None) => {
            let error = job.give_up(name, candidates);
            if request.expected.is_none() || matches!(error, Error::HashMismatch { .. }) {
                job.part.discard()?;
            }
            Err(error)
        }
        Err(error) => {
            if matches!(error, Error::TooLarge { .. }) || request.expected.is_none() {
                job.part.discard()?;
            }
            Err(error)
        }
    }
}

/// A URL and how it did so far.
struct Candidate {
    url: String,
    reason: String,
    mismatch: Option<Hash>,
    is_hopeless: bool,
}

impl Candidate {
    fn new(url: String) -> Self {
        Self { url, reason: "not tried".to_owned(), mismatch: None, is_hopeless: false }
    }
}

/// How one try of one URL ended.
enum Try {
    Done(Fetched),
    Failed(Refusal),
    /// The connection ended early, but some bytes came.
    Advanced(Refusal),
    Mismatch(Hash),
}

struct Job<'a> {
    request: &'a Request,
    part: Part,
    progress: &'a mut dyn FnMut(&Progress) -> bool,
}

impl Job<'_> {
    /// Tries all URLs, and again after a while those that may do better then.
    fn run(&mut self, candidates: &mut [Candidate]) -> Result<Option<Fetched>, Error> {
        let config = &self.request.config;
        for round in 0..=config.retries {
            if round > 0 {
                if candidates.iter().all(|candidate| candidate.is_hopeless) {
                    break;
                }
                self.wait(config.backoff * 2_u32.saturating_pow(round - 1))?;
            }
            for candidate in candidates.iter_mut().filter(|c| !c.is_hopeless) {
                if let Some(fetched) = self.try_candidate(candidate)? {
                    return Ok(Some(fetched));
                }
            }
        }
        Ok(None)
    }

    fn try_candidate(
        &mut self,
        candidate: &mut Candidate,
    ) -> Result<Option<Fetched>, Error> {
        let mut continuations = 0;
        loop {
            match self.try_once(&candidate.url)? {
                Try::Done(fetched) => return Ok(Some(fetched)),
                Try::Advanced(refusal) => {
                    candidate.reason = refusal.reason;
                    continuations += 1;
                    if continuations > MAX_CONTINUATIONS {
                        return Ok(None);
                    }
                }
                Try::Failed(refusal) => {
                    candidate.reason = refusal.reason;
                    candidate.is_hopeless = !refusal.is_passing;
                    return Ok(None);
                }
                // What was there before may be to blame: once more, from the beginning.
                Try::Mismatch(_) if self.part.has_old_bytes => self.part.restart()?,
                Try::Mismatch(got) => {
                    self.part.restart()?;
                    candidate.reason = "wrong hash".to_owned();
                    candidate.mismatch = Some(got);
                    candidate.is_hopeless = true;
                    return Ok(None);
                }
            }
        }
    }

    fn try_once(&mut self, url: &str) -> Result<Try, Error> {
        self.report(url, None)?;
        let answer = match url.split_once("://") {
            Some(("file", path)) => open_file(path, self.part.len()),
            Some(("http" | "https", _)) => {
                let validator = self.part.validator.clone();
                http::ask(&self.request.config, url, self.part.len(), validator.as_ref())?
            }
            _ => Err(Refusal::lasting("unsupported kind of URL")),
        };
        match answer {
            Err(refusal) => Ok(Try::Failed(refusal)),
            Ok(Answer::Complete) => Ok(self.finish(url)),
            Ok(Answer::Restart) => {
                self.part.restart()?;
                Ok(Try::Advanced(Refusal::passing("the server cannot continue the file")))
            }
            Ok(Answer::Bytes { start, total_bytes, validator, body }) => {
                if start != self.part.len() {
                    self.part.restart()?;
                } else if start > 0 {
                    // These bytes and those that follow may be of two different files.
                    self.part.has_old_bytes = true;
                }
                if self.request.expected.is_some() {
                    self.part.note(validator)?;
                }
                self.receive(url, total_bytes, body)
            }
        }
    }

    /// Reads a body to its end.
    fn receive(
        &mut self,
        url: &str,
        total_bytes: Option<u64>,
        mut body: Box<dyn Read + Send>,
    ) -> Result<Try, Error> {
        self.check_size(url, total_bytes.unwrap_or(0))?;
        let before = self.part.len();
        let mut buffer = vec![0; CHUNK_BYTES];
        let ended_early = |part: &Part, reason: String| {
            let refusal = Refusal::passing(reason);
            if part.len() > before {
                Try::Advanced(refusal)
            } else {
                Try::Failed(refusal)
            }
        };
        loop {
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.part.append(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let reason = format!("download ended early: {error}");
                    return Ok(ended_early(&self.part, reason));
                }
            }
            self.check_size(url, self.part.len())?;
            self.report(url, total_bytes)?;
        }
        match total_bytes {
            Some(total) if self.part.len() < total => {
                let reason =
                    format!("download ended early: {} of {total} bytes", self.part.len());
                Ok(ended_early(&self.part, reason))
            }
            _ => Ok(self.finish(url)),
        }
    }

    fn finish(&mut self, url: &str) -> Try {
        let size_bytes = self.part.len();
        let hash = self.part.hash();
        match &self.request.expected {
            Some(expected) if *expected != hash => Try::Mismatch(hash),
            _ => Try::Done(Fetched { url: url.to_owned(), hash, size_bytes }),
        }
    }

    fn check_size(&self, url: &str, size_bytes: u64) -> Result<(), Error> {
        match self.request.max_bytes {
            Some(limit_bytes) if size_bytes > limit_bytes => {
                Err(Error::TooLarge { url: url.to_owned(), limit_bytes })
            }
            _ => Ok(()),
        }
    }

    fn report(&mut self, url: &str, total_bytes: Option<u64>) -> Result<(), Error> {
        let done_bytes = self.part.len();
        let now = Progress { url: url.to_owned(), done_bytes, total_bytes };
        if (self.progress)(&now) { Ok(()) } else { Err(Error::Cancelled) }
    }

    fn wait(&mut self, total: Duration) -> Result<(), Error> {
        let mut left = total;
        while !left.is_zero() {
            let step = left.min(CANCEL_INTERVAL);
            std::thread::sleep(step);
            left -= step;
            self.report("", None)?;
        }
        Ok(())
    }

    fn give_up(&self, name: String, candidates: Vec<Candidate>) -> Error {
        let mut mismatch = None;
        let mut attempts = Vec::new();
        for Candidate { url, reason, mismatch: got, .. } in candidates {
            match (got, &self.request.expected) {
                (Some(got), Some(wanted)) if mismatch.is_none() => {
                    mismatch = Some((url, *wanted, got));
                }
                _ => attempts.push(Attempt { url, reason }),
            }
        }
        match mismatch {
            Some((url, wanted, got)) => {
                let (wanted, got) = (Box::new(wanted), Box::new(got));
                Error::HashMismatch { url, wanted, got, others: attempts }
            }
            None => Error::Exhausted { name, attempts },
        }
    }
}

/// Opens the file of a `file` URL as if it were an answer.
pub(crate) fn open_file(path: &str, start: u64) -> Result<Answer, Refusal> {
    let path = file_path(path);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
    let (found, mut file) = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::absent(error.to_string()),
        _ => Refusal::lasting(error.to_string()),
    })?;
    if !found.is_file() {
        return Err(Refusal::lasting("not a regular file"));
    }
    let total_bytes = found.len();
    if start > total_bytes {
        return Ok(Answer::Restart);
    }
    io::Seek::seek(&mut file, io::SeekFrom::Start(start))
        .map_err(|error| Refusal::lasting(error.to_string()))?;
    let body = Box::new(file);
    Ok(Answer::Bytes { start, total_bytes: Some(total_bytes), validator: None, body })
}

/// The file of a `file` URL, given what follows its `file://`.
pub(crate) fn file_path(path: &str) -> PathBuf {
    // `file://host/path`: only the empty host and this one make sense.
    use std::os::unix::ffi::OsStringExt;
    let path = percent_decode(path.strip_prefix("localhost").unwrap_or(path));
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// A part of a URL without percent signs. One that no two digits follow stands for itself.
#[must_use]
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|c| std::str::from_utf8(c).ok());
        let code = code.and_then(|c| u8::from_str_radix(c, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    bytes
}
