//! Addresses, and what listens on them.
//!
//! *Scope:* [`Address`], binding it, what to say when that fails, the next peer of a listener; where [`Listening`] listens. *Not in
//! scope:* whether there is room for that peer (`accept`); the file of a Unix socket (`unix`).

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};

use super::Listening;
use super::socket::{ListeningSocket, peer_at};
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
    /// The file is removed when the server ends, if it is still the same one. A folder in which other users could put another file
    /// in its place is an error.
    Unix {
        /// The path, of at most 107 bytes, which is a bound of the system.
        path: PathBuf,
        /// Who may connect: the owner, the group, or everybody with the permission to write (octal: `0o600`, `0o660`,
        /// `0o666`).
        mode: u32,
    },
}

impl Address {
    /// Checks what shows without binding it.
    ///
    /// # Errors
    /// A sentence about its form or its length, which does not name the address.
    #[cfg(feature = "cli")]
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Address::Tcp(text) => check_tcp(text).map_err(str::to_owned),
            #[cfg(unix)]
            Address::Unix { path, .. } => unix::check_length(path),
            #[cfg(not(unix))]
            Address::Unix { .. } => Ok(()),
        }
    }
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(text) => f.write_str(text),
            Address::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound address, or a listening socket of the program's own.
pub(super) struct Listener {
    socket: Socket,
    /// A peer that was accepted to find out if the socket listens.
    first: Option<(Stream, Peer)>,
    /// True if a peer may wait.
    pub(super) pending: bool,
    /// True if it is for health checks and nothing else.
    pub(super) is_for_health: bool,
}

enum Socket {
    Tcp {
        socket: TcpListener,
        loopback: bool,
    },
    #[cfg(unix)]
    Unix {
        // The first to be dropped: while the socket is open, no other file can get its inode number.
        file: UnixFile,
        socket: UnixListener,
    },
}

/// The file of a Unix socket.
#[cfg(unix)]
enum UnixFile {
    Ours(SocketFile),
    /// One that another program has made, and removes. A socket without a file has no path.
    Foreign(Option<PathBuf>),
}

impl Listener {
    /// Binds `address`, which others may be able to reach only if `public`.
    pub(super) fn bind(address: &Address, public: bool) -> io::Result<Listener> {
        Listener::bind_any(address, public, false)
    }

    /// Binds `address` for health checks alone.
    pub(super) fn bind_for_health(address: &Address) -> io::Result<Listener> {
        Listener::bind_any(address, true, true)
    }

    fn bind_any(address: &Address, public: bool, is_for_health: bool) -> io::Result<Listener> {
        let socket = match address {
            Address::Tcp(text) => bind_tcp(text, public),
            #[cfg(unix)]
            Address::Unix { path, mode } => unix::bind(path, *mode)
                .map(|(file, socket)| Socket::Unix { file: UnixFile::Ours(file), socket }),
            #[cfg(not(unix))]
            Address::Unix { .. } => Err(io::Error::new(
                ErrorKind::Unsupported,
                "this system has no Unix sockets; listen on HOST:PORT",
            )),
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        Ok(Listener { socket: socket.map_err(named)?, first: None, pending: true, is_for_health })
    }

    /// Takes over a socket that listens already. Others may be able to reach it only if `public`.
    pub(super) fn adopt(socket: ListeningSocket, public: bool) -> io::Result<Listener> {
        let named = |name: &dyn fmt::Display| {
            let name = name.to_string();
            move |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"))
        };
        match socket {
            ListeningSocket::Tcp(socket) => {
                let address = socket.local_addr().map_err(named(&"a listening TCP socket"))?;
                Listener::adopt_tcp(socket, address, public).map_err(named(&address))
            }
            #[cfg(unix)]
            ListeningSocket::Unix(socket) => {
                let address = socket.local_addr().map_err(named(&"a listening Unix socket"))?;
                let path = address.as_pathname().map(Path::to_owned);
                let shown = path.as_deref().map_or("unix".into(), |path| format!("unix:{}", path.display()));
                let socket = Socket::Unix {
                    file: UnixFile::Foreign(path),
                    socket: socket.set_nonblocking(true).map(|()| UnixListener::from_std(socket))?,
                };
                Listener::of_foreign(socket).map_err(named(&shown))
            }
        }
    }

    fn adopt_tcp(socket: std::net::TcpListener, address: SocketAddr, public: bool) -> io::Result<Listener> {
        let loopback = check_reach(address, public)?;
        socket.set_nonblocking(true)?;
        Listener::of_foreign(Socket::Tcp { socket: TcpListener::from_std(socket), loopback })
    }

    /// Checks that the socket listens. The only safe way is to accept.
    fn of_foreign(socket: Socket) -> io::Result<Listener> {
        let mut listener = Listener { socket, first: None, pending: true, is_for_health: false };
        match listener.accept() {
            Ok(first) => listener.first = Some(first),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let text = "the socket does not listen; call listen(2) before it is adopted";
                return Err(io::Error::new(error.kind(), text));
            }
            // The peer may be gone, or descriptors may have run out.
            Err(_) => {}
        }
        Ok(listener)
    }

    /// The next peer in the backlog.
    pub(super) fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        match &self.socket {
            Socket::Tcp { socket, loopback } => {
                let (stream, address) = socket.accept()?;
                Ok((Stream::of_tcp(stream), peer_at(address, *loopback)))
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
            Socket::Unix { file: UnixFile::Ours(file), .. } => Some(file.path()),
            #[cfg(unix)]
            Socket::Unix { file: UnixFile::Foreign(path), .. } => path.as_deref(),
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

/// Where it listens.
impl Listening {
    /// The TCP addresses on which the server listens for clients, with the ports that the system chose for port 0.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.for_clients().filter_map(Listener::local_addr)
    }

    /// The paths of the Unix sockets on which the server listens for clients, as they were given.
    pub fn local_paths(&self) -> impl Iterator<Item = &Path> {
        self.for_clients().filter_map(Listener::path)
    }

    /// The TCP addresses for health checks alone, with the ports that the system chose for port 0.
    pub fn health_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter(|listener| listener.is_for_health).filter_map(Listener::local_addr)
    }

    pub(super) fn for_clients(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| !listener.is_for_health)
    }

    /// The sockets on which the server listens, in the order in which they were bound, to set options of the system. Only on
    /// Unix.
    ///
    /// The main use is a longer backlog, by another `listen(2)`. It is 128: if more clients than that connect at once, some
    /// wait a second or more until their system tries again. A backlog that is longer than a second's work serves clients that
    /// have given up.
    ///
    /// ```
    /// # use std::{io, os::fd::BorrowedFd};
    /// # fn f(server: &mcp_rill::net::Listening, listen: fn(BorrowedFd<'_>, i32) -> io::Result<()>) -> io::Result<()> {
    /// for socket in server.listeners() {
    ///     listen(socket, 1024)?; // of the crate rustix, say
    /// }
    /// # Ok(()) }
    /// ```
    #[cfg(unix)]
    pub fn listeners(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        self.listeners.iter().map(std::os::fd::AsFd::as_fd)
    }
}

/// Checks the form of an address, without looking a name up.
fn check_tcp(text: &str) -> Result<(), &'static str> {
    if text.contains('/') {
        return Err("this is a URL or a path; write HOST:PORT alone, without scheme and path, or unix:PATH");
    }
    match text.rsplit_once(':') {
        // `::1:3001` is an address itself, and not the one that is meant. In `[::1]` the port is missing.
        Some((host, port))
            if host.contains(':')
                && !(host.starts_with('[') && host.ends_with(']'))
                && !port.ends_with(']') =>
        {
            Err("an IPv6 address stands in brackets, such as [::1]:3001")
        }
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => Ok(()),
        _ => Err("write HOST:PORT, such as 127.0.0.1:3001, or unix:PATH"),
    }
}

/// Binds the first address that can be bound. Errors do not name `text`, but name the address if that is another one.
fn bind_tcp(text: &str, public: bool) -> io::Result<Socket> {
    check_tcp(text).map_err(|problem| io::Error::new(ErrorKind::InvalidInput, problem))?;
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
    let loopback = check_reach(address, public)?;
    let socket = TcpListener::bind(address).map_err(|error| explained(address, error))?;
    Ok(Socket::Tcp { socket, loopback })
}

/// Checks that others can reach the address only if `public`. Returns true if nobody else can.
pub(super) fn check_reach(address: SocketAddr, public: bool) -> io::Result<bool> {
    let loopback = address.ip().to_canonical().is_loopback();
    match loopback || public {
        true => Ok(loopback),
        false => Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "this can be reached by others, and peers are not authenticated; listen on 127.0.0.1, authenticate them with \
             --token-file or Server::authorize, or allow it with --insecure-public or Server::insecure_public",
        )),
    }
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
