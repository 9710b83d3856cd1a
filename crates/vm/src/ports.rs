//! Which ports of the host lead to the guest.
//!
//! A port is found free by binding it for a moment. Somebody may take it before QEMU does; then
//! QEMU says so and the machine is started again with other ports.

use crate::VmError;
use crate::spec::{ForwardPort, Protocol};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// A port of the host that leads to a port of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The protocol.
    pub protocol: Protocol,
    /// The port in the guest.
    pub guest_port: u16,
    /// The port of 127.0.0.1 that leads there.
    pub host_port: u16,
    /// The port that was wanted, if any; another one than `host_port` was taken.
    pub wanted: Option<u16>,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, guest_port, host_port, wanted } = self;
        let protocol = protocol.name();
        write!(f, "{protocol} port {guest_port} of the guest is 127.0.0.1:{host_port}")?;
        match wanted {
            Some(wanted) if wanted != host_port => {
                write!(f, " ({wanted} is not available)")
            }
            _ => Ok(()),
        }
    }
}

/// Whether a wanted port is tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The wanted one if it can be had.
    Wanted,
    /// Any: the wanted one was lost to somebody else.
    Any,
}

/// Chooses a port of the host for each port to forward.
pub(crate) fn choose(
    ports: &[ForwardPort],
    choice: Choice,
) -> Result<Vec<Forward>, VmError> {
    // All are held until all are chosen, so that no two get the same.
    let mut held = Vec::with_capacity(ports.len());
    let mut forwards = Vec::with_capacity(ports.len());
    for port in ports {
        let wanted = port.host_port.filter(|_| choice == Choice::Wanted);
        let bound = wanted
            .and_then(|wanted| Held::bind(port.protocol, wanted).ok())
            .map_or_else(|| Held::bind(port.protocol, 0), Ok)
            .and_then(|held| Ok((held.port()?, held)));
        let (host_port, socket) = bound
            .map_err(|source| VmError::Port { guest_port: port.guest_port, source })?;
        held.push(socket);
        forwards.push(Forward {
            protocol: port.protocol,
            guest_port: port.guest_port,
            host_port,
            wanted: port.host_port,
        });
    }
    Ok(forwards)
}

enum Held {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Held {
    fn bind(protocol: Protocol, port: u16) -> io::Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port);
        match protocol {
            Protocol::Tcp => TcpListener::bind(address).map(Self::Tcp),
            Protocol::Udp => UdpSocket::bind(address).map(Self::Udp),
        }
    }

    fn port(&self) -> io::Result<u16> {
        let address = match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        };
        Ok(address?.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(host_port: Option<u16>) -> ForwardPort {
        ForwardPort { guest_port: 80, host_port, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_taken_port_is_replaced_and_told() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        let forwards =
            choose(&[wanting(Some(wanted)), wanting(None)], Choice::Wanted).unwrap();
        assert_ne!(forwards[0].host_port, wanted);
        assert_ne!(forwards[0].host_port, forwards[1].host_port);
        let told = forwards[0].to_string();
        assert!(told.ends_with(&format!("({wanted} is not available)")), "{told}");
        assert!(!forwards[1].to_string().contains("not available"));
    }

    #[test]
    fn datagram_ports_are_chosen_too() {
        let port = ForwardPort { protocol: Protocol::Udp, ..wanting(None) };
        assert_ne!(choose(&[port], Choice::Any).unwrap()[0].host_port, 0);
    }
}
