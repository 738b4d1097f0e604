//! The turns of connections that have a transport between their socket and HTTP.
//!
//! *Scope:* reading and flushing them, and noticing the end of their handshakes. *Not in scope:* what a transport has to do
//! (`transport`), and connections without one (`net`).
//!
//! A transport may have plaintext that no event announces, and may write when it is read and read when it is flushed. So it is read
//! until it has nothing, and read again after each flush.

use std::io::{self, ErrorKind};

use super::Listening;
use super::transport::{TcpSocket, Transport, is_panic};
use crate::access::peer::Peer;
use crate::engine::ConnKey;
use crate::engine::observe::Event;
use crate::text::cut;
use crate::timers::Now;

impl Listening {
    /// Calls `hook` with the socket of each new TCP connection, also of those of [`adopt_stream`](Listening::adopt_stream), after
    /// [`on_accept`](Listening::on_accept). It returns what lies between that socket and HTTP: TLS, as in `examples/tls.rs`, or
    /// [`TcpSocket`] as it is. An error closes the connection without a response, and so does a panic ([`Event::HookPanicked`]). It runs
    /// on the loop's thread and must not block. Connections for health checks alone and Unix sockets have no transport.
    ///
    /// A handshake counts towards [`connections_max`](crate::Limits::connections_max), and
    /// [`handshakes_max`](crate::Limits::handshakes_max) and [`handshake_timeout`](crate::Limits::handshake_timeout) bound it. One that
    /// fails is [`Event::HandshakeFailed`].
    ///
    /// ```
    /// # fn f(listening: &mut mcp_rill::net::Listening) {
    /// listening.on_stream(|socket, peer| match peer.loopback {
    ///     true => Ok(Box::new(socket)),
    ///     // Here a transport would be made of the socket.
    ///     false => Err(std::io::ErrorKind::Unsupported.into()),
    /// });
    /// # }
    /// ```
    pub fn on_stream(
        &mut self,
        hook: impl FnMut(TcpSocket, &Peer) -> io::Result<Box<dyn Transport>> + Send + 'static,
    ) {
        self.accepting.wrap = Some(Box::new(hook));
    }

    /// Reads up to `share` bytes. Returns how many, and true if there may be more to read at once.
    pub(super) fn read_transport(&mut self, now: Now, key: ConnKey, share: usize) -> (usize, bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let room = buffer.get_mut(..share).unwrap_or_default();
        let read =
            self.socket(key).and_then(|socket| socket.stream.wrapped()).map(|wrapped| wrapped.read(room));
        // Before what was read is handed over, which may come in the same read as the end of the handshake.
        self.watch_transport(now, key);
        let outcome = match read {
            None => (0, false),
            Some(Ok(0)) => {
                self.engine.end_of_input(now, key);
                (0, false)
            }
            Some(Ok(count)) => {
                self.engine.receive(now, key, buffer.get(..count).unwrap_or_default());
                (count, true)
            }
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => (0, false),
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => (0, true),
            Some(Err(error)) => {
                self.lose(now, key, &error);
                (0, false)
            }
        };
        self.buffer = buffer;
        outcome
    }

    /// The socket of a connection takes bytes again, which is for its transport first, if there is one.
    pub(super) fn flush_transport(&mut self, now: Now, key: ConnKey) {
        let Some(wrapped) = self.socket(key).and_then(|socket| socket.stream.wrapped()) else { return };
        if let Err(error) = wrapped.flush() {
            return self.lose(now, key, &error);
        }
        self.watch_transport(now, key);
        // It may not have been able to read because it could not write.
        self.list_readable(key);
    }

    /// Notes what has become of a transport: the end of its handshake, and what it could not write.
    pub(super) fn watch_transport(&mut self, now: Now, key: ConnKey) {
        let Some(wrapped) = self.socket(key).and_then(|socket| socket.stream.wrapped()) else { return };
        let has_unsent = wrapped.has_unsent();
        if let Some(principal) = wrapped.take_handshake() {
            self.engine.handshake_done(now, key, principal);
            // Another one may have waited for it.
            self.room_was_made(now);
        }
        if has_unsent && !self.watch_writes(key) {
            self.engine.hang_up(now, key);
        }
    }

    /// A socket or a transport has failed. A peer that is gone is no failure of the handshake.
    pub(super) fn lose(&mut self, now: Now, key: ConnKey, error: &io::Error) {
        use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let wrapped = self.socket(key).and_then(|socket| socket.stream.wrapped());
        let is_handshaking = wrapped.is_some_and(|wrapped| wrapped.is_handshaking);
        if is_panic(error) {
            self.engine.core.observe(&Event::HookPanicked { hook: "on_stream" });
        } else if is_handshaking && !matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
            self.engine.report_failed_handshake(key, cut(&error.to_string()));
        }
        self.engine.hang_up(now, key);
    }
}
