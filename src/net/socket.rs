//! Sockets of the standard library, as they are passed to the server, and who is at the other end.
//!
//! *Scope:* [`ListeningSocket`], [`ConnectedSocket`]. *Not in scope:* what is checked when they are taken over (`adopt`).

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};

use super::stream::Stream;
use crate::access::peer::Peer;

/// A socket that listens, for [`Listening::adopt`](crate::net::Listening::adopt). It is made of one of the standard library.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListeningSocket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for ListeningSocket {
    fn from(socket: TcpListener) -> ListeningSocket {
        ListeningSocket::Tcp(socket)
    }
}

#[cfg(unix)]
impl From<UnixListener> for ListeningSocket {
    fn from(socket: UnixListener) -> ListeningSocket {
        ListeningSocket::Unix(socket)
    }
}

/// A connection, for [`Listening::adopt_stream`](crate::net::Listening::adopt_stream). It is made of one of the standard library.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectedSocket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl From<TcpStream> for ConnectedSocket {
    fn from(socket: TcpStream) -> ConnectedSocket {
        ConnectedSocket::Tcp(socket)
    }
}

#[cfg(unix)]
impl From<UnixStream> for ConnectedSocket {
    fn from(socket: UnixStream) -> ConnectedSocket {
        ConnectedSocket::Unix(socket)
    }
}

impl ConnectedSocket {
    /// Returns what the system knows of the peer: its address, and that it came by a loopback address or a Unix socket.
    ///
    /// # Errors
    /// If the socket is not connected any more.
    pub fn peer(&self) -> io::Result<Peer> {
        match self {
            ConnectedSocket::Tcp(socket) => {
                let loopback = socket.local_addr()?.ip().to_canonical().is_loopback();
                Ok(peer_at(socket.peer_addr()?, loopback))
            }
            #[cfg(unix)]
            ConnectedSocket::Unix(_) => Ok(Peer { unix: true, ..Peer::default() }),
        }
    }

    /// The address that the peer connected to, where others may reach it.
    pub(super) fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            ConnectedSocket::Tcp(socket) => socket.local_addr().map(Some),
            #[cfg(unix)]
            ConnectedSocket::Unix(_) => Ok(None),
        }
    }

    pub(super) fn into_stream(self) -> io::Result<Stream> {
        match self {
            ConnectedSocket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Stream::of_tcp(mio::net::TcpStream::from_std(socket)))
            }
            #[cfg(unix)]
            ConnectedSocket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Stream::Unix(mio::net::UnixStream::from_std(socket)))
            }
        }
    }
}

/// The peer of a TCP connection. On `[::]` an IPv4 peer shows up as a mapped address (RFC 4291, section 2.5.5.2).
pub(super) fn peer_at(address: SocketAddr, loopback: bool) -> Peer {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    Peer { address: Some(address), loopback, ..Peer::default() }
}
