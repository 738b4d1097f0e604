//! Addresses, and what listens on them.
//!
//! *Scope:* [`Address`], binding it, what to say when that fails, the next peer of a listener. *Not in scope:* whether there
//! is room for that peer (`accept`); the file of a Unix socket (`unix`).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};

use super::stream::Stream;
#[cfg(unix)]
use super::unix::SocketFile;
use crate::access::peer::Peer;
#[cfg(unix)]
use crate::net::unix;

/// Only the user who runs the server.
const PRIVATE: u32 = 0o600;

/// Where to listen. As text: `HOST:PORT`, with IPv6 addresses in brackets, or `unix:PATH`.
///
/// ```
/// use mcp_rill::net::Address;
/// use std::path::PathBuf;
/// assert_eq!(Address::from("[::1]:3001"), Address::Tcp("[::1]:3001".to_owned()));
/// let path = PathBuf::from("/run/mcp.sock");
/// assert_eq!(Address::from("unix:/run/mcp.sock"), Address::Unix { path, mode: 0o600 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// `HOST:PORT`. A name is looked up, and the first of its addresses that can be bound is used. For port 0 the system
    /// chooses one. `[::]` means all addresses, also those of IPv4 where the system lets both share a socket.
    Tcp(String),
    /// A socket in the file system, only on Unix. The file has its mode from the moment at which clients can connect. The
    /// file of a server that has ended is replaced. A server that listens there, or a file that is not a socket, is an error.
    /// The file is removed when the server ends, if it is still the same one.
    Unix {
        /// The path, of at most 107 bytes, which is a bound of the system.
        path: PathBuf,
        /// Who may connect: the owner, the group, or everybody with the permission to write (octal: `0o600`, `0o660`,
        /// `0o666`).
        mode: u32,
    },
}

impl From<&str> for Address {
    fn from(text: &str) -> Address {
        match text.strip_prefix("unix:") {
            Some(path) => Address::Unix { path: path.into(), mode: PRIVATE },
            None => Address::Tcp(text.to_owned()),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Address {
        Address::from(&*text)
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Address {
        Address::from(&**text)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address.to_string())
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Address {
        SocketAddr::from(address).into()
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Address {
        match host.parse::<Ipv6Addr>() {
            Ok(_) => Address::Tcp(format!("[{host}]:{port}")),
            Err(_) => Address::Tcp(format!("{host}:{port}")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(text) => f.write_str(text),
            Address::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound address.
pub(super) struct Listener {
    socket: Socket,
    /// True if a peer may wait.
    pub(super) pending: bool,
}

enum Socket {
    Tcp {
        socket: TcpListener,
        loopback: bool,
    },
    #[cfg(unix)]
    Unix {
        // The first to be dropped: while the socket is open, no other file can get its inode number.
        file: SocketFile,
        socket: UnixListener,
    },
}

impl Listener {
    /// Binds `address`, which others may be able to reach only if `public`.
    pub(super) fn bind(address: &Address, public: bool) -> io::Result<Listener> {
        let socket = match address {
            Address::Tcp(text) => bind_tcp(text, public),
            #[cfg(unix)]
            Address::Unix { path, mode } => {
                unix::bind(path, *mode).map(|(file, socket)| Socket::Unix { file, socket })
            }
            #[cfg(not(unix))]
            Address::Unix { .. } => Err(io::Error::new(
                ErrorKind::Unsupported,
                "this system has no Unix sockets; listen on HOST:PORT",
            )),
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        Ok(Listener { socket: socket.map_err(named)?, pending: true })
    }

    /// The next peer in the backlog.
    pub(super) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Socket::Tcp { socket, loopback } => {
                let (stream, address) = socket.accept()?;
                // Without it small replies wait up to 40 ms for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                // On [::] an IPv4 peer shows up as a mapped address (RFC 4291, section 2.5.5.2).
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let peer = Peer { address: Some(address), loopback: *loopback, ..Peer::default() };
                Ok((Stream::Tcp(stream), peer))
            }
            #[cfg(unix)]
            Socket::Unix { socket, .. } => {
                let (stream, _) = socket.accept()?;
                Ok((Stream::Unix(stream), Peer { unix: true, ..Peer::default() }))
            }
        }
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp { socket, .. } => socket.local_addr().ok(),
            #[cfg(unix)]
            Socket::Unix { .. } => None,
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match &self.socket {
            Socket::Tcp { .. } => None,
            #[cfg(unix)]
            Socket::Unix { file, .. } => Some(file.path()),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp { socket, .. } => socket.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            Socket::Unix { socket, .. } => socket.register(registry, token, Interest::READABLE),
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp { socket, .. } => socket.deregister(registry),
            #[cfg(unix)]
            Socket::Unix { socket, .. } => socket.deregister(registry),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp { socket, .. } => socket.as_fd(),
            Socket::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

/// Binds the first address that can be bound. Errors do not name `text`, but name the address if that is another one.
fn bind_tcp(text: &str, public: bool) -> io::Result<Socket> {
    let invalid = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, what));
    if text.contains('/') {
        return invalid(
            "this is a URL or a path; write HOST:PORT alone, without scheme and path, or unix:PATH",
        );
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => {
            // `::1:3001` is an address itself, and not the one that is meant.
            if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
                return invalid("an IPv6 address stands in brackets, such as [::1]:3001");
            }
        }
        _ => return invalid("write HOST:PORT, such as 127.0.0.1:3001, or unix:PATH"),
    }
    let found = text.to_socket_addrs().map_err(|error| {
        io::Error::new(error.kind(), format!("the host name is not known ({error}); write an IP address"))
    })?;
    let mut last = io::Error::new(ErrorKind::InvalidInput, "the name has no address");
    for address in found {
        match bind_one(address, public) {
            Ok(socket) => return Ok(socket),
            Err(error) if address.to_string() == text => last = error,
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

fn bind_one(address: SocketAddr, public: bool) -> io::Result<Socket> {
    let loopback = address.ip().to_canonical().is_loopback();
    if !loopback && !public {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "this can be reached by others, and peers are not authenticated; listen on 127.0.0.1, authenticate them with \
             --token-file or Server::authorize, or allow it with --insecure-public or Server::insecure_public",
        ));
    }
    let socket = TcpListener::bind(address).map_err(|error| explained(address, error))?;
    Ok(Socket::Tcp { socket, loopback })
}

/// What the system's error means here, and what to change.
fn explained(address: SocketAddr, error: io::Error) -> io::Error {
    let text = match error.kind() {
        ErrorKind::AddrInUse => {
            "the port is in use, by another program or another address of this one; choose another port, or 0 for any \
             that is free"
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "permission denied: ports below 1024 are for privileged programs; choose a higher one"
        }
        ErrorKind::AddrNotAvailable => {
            "no network interface of this machine has this address; listen on one that it has"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_put_together() {
        let tcp = |text: &str| Address::Tcp(text.to_owned());
        assert_eq!(Address::from(("::1", 80)), tcp("[::1]:80"));
        assert_eq!(Address::from(("localhost", 80)), tcp("localhost:80"));
        assert_eq!(Address::from((IpAddr::from([127, 0, 0, 1]), 80)), tcp("127.0.0.1:80"));
        assert_eq!(Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 80))), tcp("[::1]:80"));
        assert_eq!(Address::from("unix:/a b").to_string(), "unix:/a b");
    }

    #[test]
    fn the_systems_errors_say_what_to_change() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let told =
            |kind: ErrorKind, port| explained(SocketAddr::new(address.ip(), port), kind.into()).to_string();
        assert!(told(ErrorKind::PermissionDenied, 80).contains("below 1024"));
        assert!(!told(ErrorKind::PermissionDenied, 1024).contains("below 1024"));
        assert!(told(ErrorKind::AddrNotAvailable, 80).contains("no network interface"));
        assert!(told(ErrorKind::AddrInUse, 80).contains("another port"));
    }
}
