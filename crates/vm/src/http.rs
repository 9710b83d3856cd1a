//! One HTTP request to the guest, over a forwarded port.
//!
//! HTTP/1.0 (RFC 1945) with the connection's end as the end of the body: the only peers are small
//! servers a loopback away. QEMU accepts connections before anybody in the guest listens, so a
//! connection that closes without an answer is tried again.

use crate::VmError;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Larger answers are an error.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// How long to rest between attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long the first attempt may take: one made before the guest has a network is never answered.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// Zero would mean no timeout at all.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// Each attempt may take twice as long as the one before, up to this: the guest may be slow.
const MAX_TIMEOUT: Duration = Duration::from_secs(16);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks until a server answers, or the machine is gone.
pub(crate) fn get(
    port: u16,
    path: &str,
    deadline: Instant,
    is_gone: impl Fn() -> bool,
) -> Result<Answer, VmError> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{path}");
    let url = format!("http://127.0.0.1:{port}{path}");
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let reason = "the path holds spaces or control characters".to_owned();
        return Err(VmError::Fetch { url, reason });
    }
    let mut timeout = FIRST_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let reason = match attempt(port, &path, timeout.min(left).max(MIN_TIMEOUT)) {
            Ok(answer) => return Ok(answer),
            Err(e) if is_timeout(&e) => "the guest does not answer".to_owned(),
            Err(e) => e.to_string(),
        };
        timeout = (timeout * 2).min(MAX_TIMEOUT);
        if is_gone() || Instant::now() + RETRY_INTERVAL >= deadline {
            return Err(VmError::Fetch { url, reason });
        }
        thread::sleep(RETRY_INTERVAL);
    }
}

/// A socket's timeout shows as one or the other, depending on the call (socket(7)).
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn attempt(port: u16, path: &str, timeout: Duration) -> io::Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut answer)?;
    parse(&answer).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

fn parse(answer: &[u8]) -> Result<Answer, &'static str> {
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err("the answer is larger than 16 MiB");
    }
    if answer.is_empty() {
        return Err("the connection closed without an answer");
    }
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("the answer's header does not end")?;
    let header = std::str::from_utf8(&answer[..end]).map_err(|_| "no HTTP answer")?;
    let mut lines = header.split("\r\n");
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/"))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or("no HTTP answer")?;
    let body = &answer[end + 4..];
    let promised = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if promised.is_some_and(|length: usize| length != body.len()) {
        return Err("the answer's body is not as long as its header says");
    }
    Ok(Answer { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let count = stream.read(&mut request).unwrap();
                assert!(request[..count].starts_with(b"GET /x HTTP/1.0\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        port
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn silence_and_damage_are_tried_again() {
        let port = serve(&[
            "",
            "garbage",
            "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-length:5\r\n\r\nhello",
        ]);
        let answer = get(port, "x", soon(), || false).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    }

    #[test]
    fn an_error_page_is_an_answer() {
        let port = serve(&["HTTP/1.0 404 Not Found\r\n\r\n"]);
        assert_eq!(get(port, "/x", soon(), || false).unwrap().status, 404);
    }

    #[test]
    fn nobody_listening_names_the_address() {
        let error = get(1, "/x", soon(), || true).unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:1/x"), "{error}");
        assert!(get(1, "/a b", soon(), || false).is_err());
    }
}
