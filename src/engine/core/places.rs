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
//!
//! The order is a set of sessions by rank. A message does not touch it: an entry has the rank that its session had when it was
//! last looked at, and ranks only grow. So an entry at the front that is still right is the one that is looked for, and one
//! that is not is put where it belongs, which happens at most once for each use of a session.

use std::net::IpAddr;

use crate::access::peer::Peer;
use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::engine::state::peers::{Share, network};
use crate::engine::state::sessions::{Open, Rank};
use crate::http::response::OwnedResponse;
use crate::slab::Key;

/// Clients may leave at any time, so nobody is told to stay away for longer.
const RETRY_SECONDS_MAX: u128 = 60;

impl Engine {
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
        let peer = self.conns.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        if self.peers.has_all(&peer, Share::Session, &self.common.limits) && !self.end_idle(network(&peer)) {
            let max = self.common.limits.sessions_per_peer_max;
            let text = format!("all {max} sessions of this address are in use (limit sessions_per_peer_max)");
            return Err(self.no_place(&text, network(&peer)));
        }
        if self.sessions_open() >= self.common.limits.sessions_max && !self.end_idle(None) {
            let max = self.common.limits.sessions_max;
            return Err(self.no_place(&format!("all {max} sessions are in use (limit sessions_max)"), None));
        }
        Ok(())
    }

    /// Ends the session of that peer, or of all, that is first in the order. Says whether there was one.
    fn end_idle(&mut self, peer: Option<IpAddr>) -> bool {
        let Some(key) = self.first_idle(peer) else { return false };
        let life = self.sessions.get(key).and_then(|open| open.life.as_ref());
        let Some((peer, used)) = life.map(|life| (life.peer.clone(), life.used)) else { return false };
        self.stats.sessions_evicted += 1;
        let idle = self.now.mono.saturating_sub(used.duration());
        self.observe(&Event::SessionEvicted { peer: &peer, idle });
        self.end_session(key, &peer);
        true
    }

    fn first_idle(&mut self, peer: Option<IpAddr>) -> Option<Key> {
        loop {
            let (rank, key) = self.order.first(peer)?;
            let now = Rank::of(self.sessions.get(key)?);
            if now == Some(rank) {
                return Some(key);
            }
            self.rank(key, now);
        }
    }

    /// The session may end for others, unless it is busy by then.
    pub(crate) fn offer_place(&mut self, session: Key) {
        let life = self.sessions.get(session).and_then(|open| open.life.as_ref());
        if let Some(life) = life.filter(|life| life.rank.is_none()) {
            let rank = Rank::new(life);
            self.rank(session, Some(rank));
        }
    }

    /// Puts a session where it belongs in the order; with `None` it is not in it.
    pub(crate) fn rank(&mut self, session: Key, rank: Option<Rank>) {
        let by_peer = self.common.limits.sessions_per_peer_max > 0;
        let life = self.sessions.get_mut(session).and_then(|open| open.life.as_mut());
        let Some(life) = life else { return };
        let peer = network(&life.peer).filter(|_| by_peer);
        if let Some(old) = std::mem::replace(&mut life.rank, rank) {
            self.order.remove(peer, old, session);
        }
        if let Some(new) = rank {
            self.order.insert(peer, new, session);
        }
    }

    /// What is said where every session stays. One that only waits for its calls may give way when they are answered, any
    /// moment. One that has a stream goes with that, and if its client is gone, the next comment shows it.
    fn no_place(&mut self, reason: &str, peer: Option<IpAddr>) -> OwnedResponse {
        let is_theirs = |of: &Peer| peer.is_none() || network(of) == peer;
        let waits =
            |open: &Open| open.conn.is_none() && open.life.as_ref().is_some_and(|life| is_theirs(&life.peer));
        let soon = self.sessions.iter().any(|(_, open)| waits(open));
        let comment = self.common.limits.keep_alive.as_millis().div_ceil(1000);
        self.busy_for(reason, if soon { 1 } else { comment.min(RETRY_SECONDS_MAX) })
    }
}

/// Whether a client that sends this request does more than look around.
pub(crate) fn is_work(method: &str) -> bool {
    !(matches!(method, "initialize" | "ping") || method.ends_with("/list"))
}
