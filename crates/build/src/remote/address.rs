//! Where a daemon is: Nix's store addresses, as far as they lead to one.
//!
//! `ssh-ng://[user@]host[:port]`, `unix:///socket`, `daemon`, and one of ours, `exec:///program`, which
//! runs any program that speaks the protocol on its standard streams. `ssh://` is taken for `ssh-ng://`:
//! the older protocol that it stands for in Nix is not spoken, and every machine that has the one has
//! the other. The host `localhost` means no ssh at all, as in Nix. Parameters are Nix's; those that we
//! do not need are skipped.

use std::path::PathBuf;

use crate::remote::error::RemoteError;

/// Where Nix's daemon listens.
const DAEMON_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";
/// The program that is run at the other end of `ssh`.
const REMOTE_PROGRAM: &str = "nix-daemon";

/// The address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAddress {
    /// As it was written, without secrets.
    pub text: String,
    pub(crate) transport: Transport,
}

/// How the daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A socket.
    Socket(PathBuf),
    /// A program on this machine.
    Program(Vec<String>),
    /// A program on another machine.
    Ssh(SshTarget),
}

/// How `ssh` is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshTarget {
    pub(crate) host: String,
    /// What the user wants ssh to be told.
    pub(crate) options: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) key: Option<String>,
    pub(crate) compress: bool,
    /// The key that the host must have, in base 64.
    pub(crate) host_key: Option<String>,
    /// What is run there, as the shell there reads it.
    pub(crate) command: String,
}

#[derive(Default)]
struct Parameters {
    program: Option<String>,
    store: Option<String>,
    key: Option<String>,
    host_key: Option<String>,
    compress: bool,
    args: Vec<String>,
}

impl RemoteAddress {
    /// Does the text look like such an address, rather than that of a binary cache?
    #[must_use]
    pub fn is_remote(text: &str) -> bool {
        let scheme = text.split("://").next().unwrap_or(text);
        text == "daemon" || matches!(scheme, "ssh" | "ssh-ng" | "unix" | "exec")
    }

    /// Understands an address. A word without a scheme is a host, as in the `builders` setting.
    ///
    /// # Errors
    /// [`RemoteError::Address`]
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let fail = |reason: &str| RemoteError::Address {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let parameters = Parameters::parse(query).ok_or_else(|| fail("bad escape"))?;
        let absolute = |path: &str| match path.starts_with('/') {
            true => Ok(path.to_owned()),
            false => Err(fail("the path must be absolute")),
        };
        let transport = match place.split_once("://") {
            Some(("unix", path)) => Transport::Socket(absolute(path)?.into()),
            Some(("exec", path)) => {
                let program = absolute(path)?;
                Transport::Program([vec![program], parameters.args].concat())
            }
            Some(("ssh-ng" | "ssh", host)) => parameters.ssh(host).map_err(fail)?,
            Some((scheme, _)) => {
                return Err(fail(&format!("'{scheme}' stores are not supported")));
            }
            None if place == "daemon" => Transport::Socket(DAEMON_SOCKET.into()),
            None if place.contains('/') || place == "auto" || place == "local" => {
                return Err(fail("it is no URL, such as 'ssh-ng://HOST'"));
            }
            None => parameters.ssh(place).map_err(fail)?,
        };
        Ok(Self { text: text.to_owned(), transport })
    }

    /// The same with further options for ssh, separated by blanks as in `NIX_SSHOPTS`.
    #[must_use]
    pub fn with_ssh_options(mut self, options: &str) -> Self {
        if let Transport::Ssh(target) = &mut self.transport {
            target.options = options.split_whitespace().map(str::to_owned).collect();
        }
        self
    }

    /// The same with what a line of the `builders` setting says beside the address.
    #[must_use]
    pub(crate) fn with_keys(mut self, key: Option<&str>, host_key: Option<&str>) -> Self {
        if let Transport::Ssh(target) = &mut self.transport {
            target.key = key.map(str::to_owned).or(target.key.take());
            target.host_key = host_key.map(str::to_owned).or(target.host_key.take());
        }
        self
    }
}

impl Parameters {
    fn parse(query: &str) -> Option<Self> {
        let mut parameters = Self::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = unescape(value)?;
            match name {
                "remote-program" => parameters.program = Some(value),
                "remote-store" => parameters.store = Some(value),
                "ssh-key" => parameters.key = Some(value),
                "base64-ssh-public-host-key" => parameters.host_key = Some(value),
                "compress" => parameters.compress = matches!(&*value, "true" | "1"),
                "arg" => parameters.args.push(value),
                _ => {}
            }
        }
        Some(parameters)
    }

    fn ssh(self, authority: &str) -> Result<Transport, &'static str> {
        let mut command = self.program.unwrap_or_else(|| REMOTE_PROGRAM.to_owned());
        command += " --stdio";
        if let Some(store) = &self.store {
            command += " --store ";
            command += &shell_quoted(store);
        }
        let authority = authority.trim_end_matches('/');
        if authority == "localhost" {
            let words = ["/bin/sh", "-c", &*command];
            return Ok(Transport::Program(words.map(str::to_owned).to_vec()));
        }
        let (user, host) =
            authority.split_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.ends_with(':') => {
                (host, Some(port.parse().map_err(|_| "the port is not a number")?))
            }
            _ => (host, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // A name that begins with a dash would be an option of ssh.
        if [Some(host), user]
            .into_iter()
            .flatten()
            .any(|s| s.is_empty() || s.starts_with('-'))
        {
            return Err(
                "the name of the host or user must not be empty or begin with '-'",
            );
        }
        let host = user.map_or(host.to_owned(), |user| format!("{user}@{host}"));
        let (key, compress, host_key) = (self.key, self.compress, self.host_key);
        let options = Vec::new();
        Ok(Transport::Ssh(SshTarget {
            host,
            options,
            port,
            key,
            compress,
            host_key,
            command,
        }))
    }
}

/// Undoes `%20` and the like.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_nix() {
        let transport = |text: &str| RemoteAddress::parse(text).unwrap().transport;
        assert_eq!(transport("daemon"), Transport::Socket(DAEMON_SOCKET.into()));
        assert_eq!(transport("unix:///a/b"), Transport::Socket("/a/b".into()));
        let words = |words: &[&str]| {
            Transport::Program(words.iter().map(|word| (*word).to_owned()).collect())
        };
        assert_eq!(transport("exec:///p?arg=a%20b&arg=c"), words(&["/p", "a b", "c"]));
        assert_eq!(
            transport("ssh-ng://localhost?remote-program=x%20y&remote-store=/it's"),
            words(&["/bin/sh", "-c", r"x y --stdio --store '/it'\''s'"])
        );
        let Transport::Ssh(target) = transport("ssh-ng://me@host:22?ssh-key=/k&x=y")
        else {
            panic!("not ssh");
        };
        assert_eq!((&*target.host, target.port), ("me@host", Some(22)));
        assert_eq!(target.key.as_deref(), Some("/k"));
        assert_eq!(target.command, "nix-daemon --stdio");
        assert!(matches!(transport("mac"), Transport::Ssh(_)));
        assert!(matches!(transport("ssh://[::1]"), Transport::Ssh(t) if t.host == "::1"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "ssh-ng://-oProxyCommand=x",
            "ssh-ng://-u@host",
            "ssh-ng://",
            "ssh-ng://host:x",
            "unix://relative",
            "https://host",
            "/path",
            "exec:///p?arg=%zz",
        ] {
            let error = RemoteAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(
            RemoteAddress::is_remote("ssh-ng://x") && RemoteAddress::is_remote("daemon")
        );
        assert!(!RemoteAddress::is_remote("file:///x"));
    }
}
