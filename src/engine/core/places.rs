//! Room for new sessions, and which session is ended to make it.
//!
//! *Scope:* `sessions_max` and `sessions_per_peer_max`, and what happens there to sessions that their clients have left open.
//! *Not in scope:* how long a session lives while there is room (`sessions`), and the rule that chooses (`access::fairness`).
//!
//! ```text
//!  a new session, no place ──▶ of the holder with most ─┬─ idle, and was served nothing but lists ────────┐ the one idle longest
//!                                                       ├─ idle ──────────────────────────────────────────┤ ends
//!                                                       ├─ the new one's holder is that holder ──▶ 503    │
//!                                                       └─ has a stream or a call open ───────────────────┘
//! ```

use std::time::Duration;

use crate::access::fairness::{Claim, Holder, first_to_give_way, network};
use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::engine::state::sessions::SessionEntry;
use crate::http::response::OwnedResponse;
use crate::limits::Limits;
use crate::slab::Key;

/// Sessions may end at any time, so no client is told to wait longer.
const RETRY_SECONDS_MAX: u128 = 60;

impl Core {
    /// Makes sure that another session can be opened on that connection. Where there is no place, another session ends.
    ///
    /// # Errors
    /// A refusal that says why there is no room, and when to try again.
    pub(crate) fn make_place(&mut self, conn: Key) -> Result<(), OwnedResponse> {
        if let Some(reason) = self.no_room_to_begin(conn, 1) {
            return Err(self.busy(&reason));
        }
        let peer = self.connections.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        self.end_session_for(&peer);
        let is_crowded = self.sessions.is_at_limit(&peer, self.limits());
        let Limits { sessions_max, sessions_per_peer_max, .. } = self.common.limits;
        let reason = if is_crowded {
            format!(
                "all {sessions_per_peer_max} sessions of this address are in use (limit sessions_per_peer_max)"
            )
        } else if self.sessions.count() >= sessions_max {
            format!("all {sessions_max} sessions are in use (limit sessions_max)")
        } else {
            return Ok(());
        };
        // A session with a stream ends with it; if its client is gone, the next comment shows that.
        let seconds = self.limits().keep_alive.as_millis().div_ceil(1000).min(RETRY_SECONDS_MAX);
        // A session that only waits for its calls can be ended as soon as they are answered.
        #[cfg(feature = "streamable")]
        let seconds = if self.has_waiting(network(&peer).filter(|_| is_crowded)) { 1 } else { seconds };
        Err(self.busy_for(&reason, seconds))
    }

    /// True if there is no place for another session, and none that would be ended for a client of any holder.
    pub(crate) fn are_sessions_busy(&self) -> bool {
        let mut kept = self.sessions.iter().filter(|(_, entry)| entry.session.is_kept());
        let max = self.limits().sessions_max;
        // With 0 the server is for clients without sessions.
        (1..=self.sessions.count()).contains(&max) && kept.all(|(_, entry)| harm_of_end(entry).0 == BUSY)
    }

    /// Ends the session that gives way first, if there is no room for another one of this peer, or of any peer.
    fn end_session_for(&mut self, peer: &Peer) {
        let of_peer = self.sessions.is_at_limit(peer, self.limits());
        if !of_peer && self.sessions.count() < self.limits().sessions_max {
            return;
        }
        let asking = Claim { key: None, ..session_claim(peer, ASKING, u64::MAX) };
        let mut claims = vec![asking];
        for (key, entry) in self.sessions.iter().filter(|(_, entry)| entry.session.is_kept()) {
            let Some(owner) = self.peer_of(key).filter(|owner| !of_peer || network(owner) == network(peer))
            else {
                continue;
            };
            let (harm, used) = harm_of_end(entry);
            let proven = harm > UNUSED || owner.principal.is_some();
            claims.push(Claim { key: Some(key), proven, ..session_claim(owner, harm, used) });
        }
        let Some(key) = first_to_give_way(&claims).flatten() else { return };
        let Some(owner) = self.peer_of(key).cloned() else { return };
        self.stats.sessions_evicted += 1;
        let used = self.sessions.get(key).map_or(0, |entry| harm_of_end(entry).1);
        let idle = self.now().mono.saturating_sub(Duration::from_nanos(used));
        self.observe(&Event::SessionEvicted { peer: &owner, idle });
        self.end_session(key, &owner);
    }
}

/// The harm of ending a session: one that was not used, one that is idle; then the new one is refused rather than that a busy one
/// of its own holder ends.
const UNUSED: u8 = 0;
#[cfg(feature = "streamable")]
const IDLE: u8 = 1;
const ASKING: u8 = 2;
const BUSY: u8 = 3;

/// Returns the harm of ending that session, and when it was last used, in nanoseconds.
fn harm_of_end(entry: &SessionEntry) -> (u8, u64) {
    #[cfg(feature = "streamable")]
    if let Some(kind) = &entry.streamable {
        let harm = match (entry.is_busy(), kind.worked) {
            (true, _) => BUSY,
            (false, true) => IDLE,
            (false, false) => UNUSED,
        };
        return (harm, kind.used.count());
    }
    let _ = entry;
    (BUSY, 0)
}

fn session_claim(peer: &Peer, harm: u8, order: u64) -> Claim<'_, Option<Key>> {
    Claim { key: None, holder: Holder::of(peer), proven: true, amount: 1, harm, session: None, order }
}
