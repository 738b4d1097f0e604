//! Connections whose transport, such as TLS, begins with a handshake.
//!
//! *Scope:* how many there may be at once, and which one gives way; its end. *Not in scope:* the handshake itself, which the driver
//! does, and its deadline (`http::conn`).
//!
//! ```text
//!  has_room_for_handshake ─┬─ true ──▶ open_handshake ──▶ handshake_done ──▶ receive, as on any connection
//!                          └─ false: the one that gives way first is closed, if it is old enough
//! ```

use std::time::Duration;

use crate::access::fairness::{Claim, Holder, first_to_give_way};
use crate::access::peer::{Peer, Principal};
use crate::engine::ConnKey;
use crate::engine::Engine;
use crate::http::conn::Conn;
use crate::http::conn::close::CloseReason;
use crate::slab::Key;
use crate::timers::Now;

impl Engine {
    /// Returns true if [`open_handshake`](Engine::open_handshake) may be called, as far as `handshakes_max` is concerned. At that
    /// limit this closes a handshake that has had `new_connection_grace`, and returns false until that one is closed or another one
    /// is over. Call [`has_room`](Engine::has_room) before, too.
    pub fn has_room_for_handshake(&mut self) -> bool {
        let max = self.core.limits().handshakes_max;
        if self.handshakes.len() < max {
            return true;
        }
        let connections = &self.core.connections;
        let is_open = |key: &Key| {
            connections.get(*key).is_some_and(|conn| conn.http.is_handshaking() && !conn.is_closing())
        };
        self.handshakes.retain(is_open);
        if self.handshakes.len() < max {
            return true;
        }
        let (now, grace) = (self.core.now().mono, self.core.limits().new_connection_grace);
        let old = self.handshakes.iter().filter_map(|key| {
            let conn = connections.get(*key)?;
            let since = conn.http.waits_since();
            (since.saturating_add(grace) <= now).then(|| claim(*key, &conn.peer, since))
        });
        if let Some(key) = first_to_give_way(&old.collect::<Vec<_>>()) {
            self.core.connections.close(key, CloseReason::Evicted);
        }
        false
    }

    /// Opens a connection for a peer that has connected, and whose transport begins with a handshake, such as TLS. It has
    /// `handshake_timeout` for that, is among the first to be closed at `connections_max` meanwhile, and takes no bytes until
    /// [`handshake_done`](Engine::handshake_done). At `handshakes_max` it is closed at once.
    ///
    /// A response that refuses the connection may be there from the beginning. It has to wait for the handshake like any other.
    ///
    /// ```
    /// use mcp_rill::{Now, Peer, Server, engine::{Action, Engine}};
    /// use std::time::Duration;
    /// let (mut engine, now) = (Engine::new(Server::new("demo", "1.0.0"), || 1)?, Now::default());
    /// assert!(engine.has_room() && engine.has_room_for_handshake());
    /// let conn = engine.open_handshake(now, Peer { loopback: true, ..Peer::default() });
    /// assert_eq!(engine.poll(), Action::Wait(Some(Duration::from_secs(10))));
    /// engine.handshake_done(now, conn, None);
    /// engine.receive(now, conn, b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n"); // what the transport has decrypted
    /// assert_eq!(engine.poll(), Action::Write(conn));
    /// # Ok::<(), String>(())
    /// ```
    pub fn open_handshake(&mut self, now: Now, peer: Peer) -> ConnKey {
        self.set_now(now);
        let has_room =
            self.handshakes.len() < self.core.limits().handshakes_max || self.has_room_for_handshake();
        let key = self.core.open_connection(Conn::handshaking(self.core.now()), peer);
        match has_room {
            true => self.handshakes.push(key),
            false => self.core.connections.close(key, CloseReason::Refused),
        }
        ConnKey(key)
    }

    /// Notes that the handshake of a connection is complete, and who the peer is, if it has told: by a certificate, say. The time for
    /// the first head begins, and what waits to be written is offered.
    pub fn handshake_done(&mut self, now: Now, conn: ConnKey, principal: Option<Principal>) {
        self.set_now(now);
        let crate::engine::core::Core { connections, common, .. } = &mut self.core;
        connections.with(conn.0, |conn| {
            conn.http.end_handshake(common);
            conn.peer.principal = principal.or(conn.peer.principal.take());
            conn.blocked = false;
        });
    }

    /// Reports that a handshake has failed.
    #[cfg(feature = "net")]
    pub(crate) fn report_failed_handshake(&mut self, conn: ConnKey, error: &str) {
        let Some(peer) = self.core.connections.get(conn.0).map(|conn| conn.peer.clone()) else { return };
        self.core.observe(&crate::engine::observe::Event::HandshakeFailed { peer: &peer, error });
    }
}

/// The claim of a handshake to its place.
fn claim(key: Key, peer: &Peer, since: Duration) -> Claim<'_, Key> {
    let order = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let proven = peer.principal.is_some();
    Claim { key, holder: Holder::of(peer), proven, amount: 1, harm: 0, session: None, order }
}
