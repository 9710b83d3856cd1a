//! Bytes as they come, continued where the connection breaks off.
//!
//! Nothing is kept, so what has been read cannot be taken back: a server that cannot continue is
//! asked for the whole, of which the known part is skipped. If the file changed in between, the
//! result is a mixture of two files; whoever reads knows the hash and finds out.

use std::io::{self, Read};

use crate::client::Client;
use crate::http::{Answer, Refusal};
use crate::part::Validator;

/// How often one stream is continued in all, however far each continuation gets.
const MAX_CONTINUATIONS: u32 = 50;

/// A body being read.
pub struct Stream<'c> {
    client: &'c Client,
    url: String,
    body: Box<dyn Read + Send>,
    position: u64,
    total_bytes: Option<u64>,
    validator: Option<Validator>,
    /// Failures since the last byte came.
    failures: u32,
    continuations: u32,
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stream").field(&self.url).finish()
    }
}

impl<'c> Stream<'c> {
    pub(crate) fn new(
        client: &'c Client,
        url: &str,
        body: Box<dyn Read + Send>,
        total_bytes: Option<u64>,
        validator: Option<Validator>,
    ) -> Self {
        Self {
            client,
            url: url.to_owned(),
            body,
            position: 0,
            total_bytes,
            validator,
            failures: 0,
            continuations: 0,
        }
    }

    /// The size of the whole, where the server says it.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Asks for the rest, after a while, until it comes or hope is gone.
    fn reconnect(&mut self, mut reason: String) -> io::Result<()> {
        loop {
            self.failures += 1;
            self.continuations += 1;
            if self.failures > self.client.retries()
                || self.continuations > MAX_CONTINUATIONS
            {
                return Err(self.error(&reason));
            }
            self.client.back_off(self.failures);
            let asked =
                self.client.ask(&self.url, self.position, self.validator.as_ref());
            match asked.map_err(|error| self.error(&error.to_string()))? {
                Ok(Answer::Bytes { start, total_bytes, validator, mut body }) => {
                    let skip = self.position - start;
                    let skipped =
                        io::copy(&mut body.by_ref().take(skip), &mut io::sink());
                    if skipped.is_ok_and(|count| count == skip) {
                        self.total_bytes = total_bytes;
                        self.validator = validator;
                        self.body = body;
                        return Ok(());
                    }
                    "download ended early".clone_into(&mut reason);
                }
                Ok(Answer::Complete) => {
                    self.total_bytes = Some(self.position);
                    self.body = Box::new(io::empty());
                    return Ok(());
                }
                Ok(Answer::Restart) => {
                    return Err(self.error("the server cannot continue the file"));
                }
                Err(Refusal { reason: why, is_passing: true, .. }) => reason = why,
                Err(refusal) => return Err(self.error(&refusal.reason)),
            }
        }
    }

    fn error(&self, reason: &str) -> io::Error {
        io::Error::other(format!("unable to download '{}': {reason}", self.url))
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.body.read(buffer) {
                Ok(0) => match self.total_bytes {
                    Some(total) if self.position < total => {
                        let position = self.position;
                        self.reconnect(format!(
                            "download ended early: {position} of {total} bytes"
                        ))?;
                    }
                    _ => return Ok(0),
                },
                Ok(count) => {
                    self.position += count as u64;
                    self.failures = 0;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.reconnect(error.to_string())?,
            }
        }
    }
}
