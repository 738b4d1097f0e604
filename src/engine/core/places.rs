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

use crate::engine::core::Core;
#[cfg(feature = "streamable")]
use crate::engine::state::peers::network;
use crate::http::response::OwnedResponse;
use crate::limits::Limits;
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
        #[cfg(feature = "streamable")]
        self.end_idle_for(&peer);
        let is_crowded = self.sessions.has_all(&peer, self.limits());
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
        // A session that has a stream goes with that, and if its client is gone, the next comment shows it.
        let seconds = self.limits().keep_alive.as_millis().div_ceil(1000).min(RETRY_SECONDS_MAX);
        // One that only waits for its calls may give way when they are answered, any moment.
        #[cfg(feature = "streamable")]
        let seconds = if self.has_waiting(network(&peer).filter(|_| is_crowded)) { 1 } else { seconds };
        Err(self.busy_for(&reason, seconds))
    }
}
