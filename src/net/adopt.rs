//! Sockets that the program opened itself, or was given.
//!
//! *Scope:* taking over listening sockets, and connections that were accepted elsewhere. *Not in scope:* opening and inheriting
//! them; what is checked of each connection (`accept`).
//!
//! ```text
//!  listening socket ──▶ reachable by others? ──▶ listens? ──▶ a listener like those that were bound here
//!  connection ──▶ reachable by others? ──▶ adopted_waiting_max? ──▶ served before the backlogs of listeners
//! ```

use std::io::{self, ErrorKind};

use super::Listening;
use super::listen::{Listener, check_reach};
use super::socket::{ConnectedSocket, ListeningSocket};
use crate::access::peer::Peer;
use crate::server::builder::Server;

impl<X> Server<X> {
    /// Gets ready to serve on a socket that listens already, as [`Listening::adopt`] says, instead of binding an address.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listening = mcp_rill::Server::new("demo", "1.0.0").adopt(socket.try_clone()?)?;
    /// assert_eq!(listening.local_addrs().next(), Some(socket.local_addr()?));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Listening::adopt`]; `InvalidInput` also if the server is not configured correctly.
    pub fn adopt(self, socket: impl Into<ListeningSocket>) -> io::Result<Listening> {
        let mut listening = Listening::of_server(self.retyped())?;
        listening.adopt(socket)?;
        Ok(listening)
    }
}

impl Listening {
    /// Listens on one more socket, which somebody else has opened: a service manager that starts the program at the first
    /// connection, the program's older process that hands its clients over, or code that sets options before `bind`, such as
    /// `SO_REUSEPORT` to share a port. Each connection is checked as on an address that was bound here. A shutdown closes this
    /// descriptor of the socket; where other processes have it too, they go on listening.
    ///
    /// The socket becomes non-blocking, for all processes that share it. The file of a Unix socket is left to its owner: neither
    /// are its mode and folder checked, nor is it removed at the end.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let mut listening = mcp_rill::Server::new("demo", "1.0.0").listen("127.0.0.1:0")?;
    /// // An inherited one is an `OwnedFd` first: `TcpListener::from(owned)`.
    /// listening.adopt(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_eq!(listening.local_addrs().count(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// - `PermissionDenied`: other machines could reach the address and peers are not authenticated, as in [`Server::listen`].
    /// - `InvalidInput`: the socket does not listen, or is of another kind: a Unix socket as a `TcpListener`, say.
    /// - Others from the system.
    pub fn adopt(&mut self, socket: impl Into<ListeningSocket>) -> io::Result<()> {
        self.add_listener(Listener::adopt(socket.into(), self.is_public())?)?;
        // Whether it listens was found out by accepting: the client that was waiting is announced no more.
        let now = self.now();
        self.accepting.again = Some(now.mono);
        self.expect_turn(now);
        Ok(())
    }

    /// Serves a connection that the program has accepted itself, in the next turn. It is treated as one of a listener: at
    /// [`connections_max`](crate::Limits::connections_max) another one makes room for it, or it waits, or gets 503; and
    /// [`on_accept`](Listening::on_accept) is called for it. [`ConnectedSocket::peer`] returns the peer as a listener would. Another one
    /// is for a program that knows better, for instance from the header of a proxy, or that knows the principal, which is kept
    /// unless `on_accept` returns one.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use mcp_rill::Server;
    /// use mcp_rill::engine::Engine;
    /// use mcp_rill::net::{ConnectedSocket, Listening, random_id};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let engine = Engine::new(Server::new("demo", "1.0.0"), random_id).map_err(std::io::Error::other)?;
    /// let mut listening = Listening::new(engine)?; // listens nowhere itself
    /// let own = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(own.local_addr()?)?;
    /// let socket = ConnectedSocket::from(own.accept()?.0);
    /// let peer = socket.peer()?;
    /// listening.adopt_stream(socket, peer)?;
    /// listening.poll(None)?;
    /// assert_eq!(listening.stats().connections, 1);
    /// # drop(client); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The connection is closed then.
    ///
    /// - `WouldBlock`: as many as [`adopted_waiting_max`](crate::Limits::adopted_waiting_max) wait already.
    /// - `ConnectionRefused`: the server is shutting down.
    /// - `PermissionDenied`: it came to an address that other machines can reach, and peers are not authenticated.
    /// - Others from the system.
    pub fn adopt_stream(&mut self, stream: impl Into<ConnectedSocket>, peer: Peer) -> io::Result<()> {
        let socket = stream.into();
        if let Some(address) = socket.local_addr()? {
            check_reach(address, self.is_public())
                .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        }
        if self.engine.is_stopping() {
            return Err(io::Error::new(ErrorKind::ConnectionRefused, "the server is shutting down"));
        }
        let max = self.engine.limits().adopted_waiting_max;
        if self.accepting.adopted.len() >= max {
            let text = format!(
                "{max} connections wait already (limit adopted_waiting_max); call Listening::poll before more"
            );
            return Err(io::Error::new(ErrorKind::WouldBlock, text));
        }
        self.accepting.adopted.push_back((socket.into_stream()?, peer));
        let now = self.now();
        self.accepting.again = Some(now.mono);
        self.expect_turn(now);
        Ok(())
    }
}
