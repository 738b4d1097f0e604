//! How long sessions live that have no stream to end with.
//!
//! *Scope:* deadlines of sessions of Streamable HTTP and of what they keep, and their end. *Not in scope:* the end of a session as such
//! (`calls`).
//!
//! ```text
//!  no place for another session ──▶ over, see `places`
//!  initialize ──▶ initialize_timeout ── initialized, or any request ──▶ session_idle_timeout ──▶ over
//!                      └──▶ over            anything from the client, an open call, an open stream: from the beginning
//! ```

use crate::access::peer::Peer;
use crate::engine::core::Engine;
use crate::engine::state::streams::Held;
use crate::slab::Key;
use crate::timers::Nanos;

impl Engine {
    pub(crate) fn end_streamable(&mut self, session: Key) {
        let life = self.sessions.get(session).and_then(|open| open.life.as_ref());
        if let Some(peer) = life.map(|life| life.peer.clone()) {
            self.end_session(session, &peer);
        }
    }

    /// A stream's connection is gone: over HTTP+SSE the session is, too.
    pub(crate) fn stream_ended(&mut self, session: Key, conn: Key, peer: &Peer, unsaid: Option<Box<Held>>) {
        let Some(open) = self.sessions.get_mut(session) else { return };
        if open.life.is_none() {
            return self.end_session(session, peer);
        }
        // Another one may have taken its place.
        if open.conn == Some(conn) {
            self.leave_get(session, unsaid);
        }
        self.touch(session);
    }

    /// The session was heard of.
    pub(crate) fn touch(&mut self, session: Key) {
        let now = self.now;
        let Some(open) = self.sessions.get_mut(session) else { return };
        let limits = &self.common.limits;
        let timeout = match open.session.is_operating() {
            true => limits.session_idle_timeout,
            false => limits.initialize_timeout,
        };
        let Some(life) = &mut open.life else { return };
        life.used = Nanos::of(now);
        let unranked = life.rank.is_none();
        self.session_timers.wake_by(&mut self.sessions, session, now.mono.saturating_add(timeout));
        if unranked {
            self.offer_place(session);
        }
    }

    /// Ends sessions that nobody has used for too long. Open calls and an open stream are use.
    pub(crate) fn expire_sessions(&mut self) {
        let mut due = Vec::new();
        self.session_timers.due(&mut self.sessions, self.now.mono, &mut due);
        for key in due {
            self.expire_replay(key, self.now.mono);
            let limits = &self.common.limits;
            let Some(open) = self.sessions.get_mut(key) else { continue };
            let Some(life) = &mut open.life else { continue };
            if open.calls.is_some() || open.conn.is_some() {
                life.used = Nanos::of(self.now);
            }
            let timeout = match open.session.is_operating() {
                true => limits.session_idle_timeout,
                false => limits.initialize_timeout,
            };
            let deadline = life.used.after(timeout);
            if deadline <= self.now.mono {
                self.end_streamable(key);
            } else {
                self.session_timers.wake_by(&mut self.sessions, key, deadline);
            }
        }
    }
}
