//! Places for sessions, and which session gives up its place for a new one.
//!
//! *Scope:* `sessions_max` and `sessions_per_peer_max`, and what happens there to sessions that their clients have left open.
//! *Not in scope:* how long a session lives while there is room (`sessions`).
//!
//! ```text
//!  a new session, no place ─┬▶ idle, and did nothing but initialize and list ─┐ of these the one idle longest ends
//!                           ├▶ idle ──────────────────────────────────────────┘
//!                           └▶ all have a stream or a call open, or are of HTTP+SSE ──▶ 503
//! ```

use std::net::IpAddr;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::engine::state::peers::network;
use crate::engine::state::sessions::SessionEntry;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

/// Clients may leave at any time, so nobody is told to stay away for longer.
const RETRY_SECONDS_MAX: u128 = 60;

impl Core {
    /// Makes sure that another session can be opened on that connection. Where there is no place, another session ends.
    ///
    /// # Errors
    /// A refusal that says why there is no room, and when to try again.
    pub(crate) fn make_place(&mut self, conn: Key) -> Result<(), OwnedResponse> {
        let spent = self.firm_bytes();
        if self.stopping.is_some() {
            return Err(self.busy("the server is shutting down"));
        }
        if spent >= self.common.limits.buffered_bytes_max {
            return Err(self.busy(&format!("{spent} bytes are buffered (limit buffered_bytes_max)")));
        }
        let peer = self.connections.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        if self.sessions.has_all(&peer, self.limits()) && !self.end_idle(network(&peer)) {
            let max = self.common.limits.sessions_per_peer_max;
            let text = format!("all {max} sessions of this address are in use (limit sessions_per_peer_max)");
            return Err(self.no_place(&text, network(&peer)));
        }
        if self.sessions.count() >= self.common.limits.sessions_max && !self.end_idle(None) {
            let max = self.common.limits.sessions_max;
            return Err(self.no_place(&format!("all {max} sessions are in use (limit sessions_max)"), None));
        }
        Ok(())
    }

    /// Ends the session of that peer, or of all, that is first in the order. Returns true if there was one.
    fn end_idle(&mut self, peer: Option<IpAddr>) -> bool {
        let Some(key) = self.sessions.first_idle(peer, &self.common.limits) else { return false };
        let kind = self.sessions.get(key).and_then(|entry| entry.streamable.as_ref());
        let Some((peer, used)) = kind.map(|kind| (kind.peer.clone(), kind.used)) else { return false };
        self.stats.sessions_evicted += 1;
        let idle = self.now().mono.saturating_sub(used.duration());
        self.observe(&Event::SessionEvicted { peer: &peer, idle });
        self.end_session(key, &peer);
        true
    }

    /// What is said where every session stays. One that only waits for its calls may give way when they are answered, any
    /// moment. One that has a stream goes with that, and if its client is gone, the next comment shows it.
    fn no_place(&mut self, reason: &str, peer: Option<IpAddr>) -> OwnedResponse {
        let is_theirs = |of: &Peer| peer.is_none() || network(of) == peer;
        let waits = |entry: &SessionEntry| {
            entry.stream.is_none() && entry.streamable.as_ref().is_some_and(|kind| is_theirs(&kind.peer))
        };
        let soon = self.sessions.iter().any(|(_, entry)| waits(entry));
        let comment = self.common.limits.keep_alive.as_millis().div_ceil(1000);
        self.busy_for(reason, if soon { 1 } else { comment.min(RETRY_SECONDS_MAX) })
    }
}

/// Whether a client that sends this request does more than look around.
pub(crate) fn is_work(method: &str) -> bool {
    !(matches!(method, "initialize" | "ping") || method.ends_with("/list"))
}
