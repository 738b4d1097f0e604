//! The end of the server in good order.
//!
//! *Scope:* what ends at once, what after its calls, what with the grace. *Not in scope:* signals; whoever drives the
//! engine hears of those.
//!
//! ```text
//!  shutdown ─┬─ connections between two requests ──▶ closed
//!            ├─ subscriptions/listen ──▶ result ──▶ closed
//!            ├─ questions ──▶ not waited for any more
//!            ├─ requests, sessions with calls ──▶ answered ──▶ closed
//!            ├─ other streams ──▶ what is queued ──▶ closed
//!            ├─ handlers on other threads ──▶ told to stop, and waited for
//!            └─ after the grace: all that is left is reset; handlers that go on are counted and left
//! ```

use std::time::Duration;

use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::slab::Key;
use crate::timers::Now;

impl Engine {
    /// Takes no more connections and requests, ends what is idle, streams when their calls are answered and their output
    /// is taken, and closes what is left after `grace`. Handlers on other threads see at once that they are to stop
    /// ([`Call::is_cancelled`](crate::Call::is_cancelled)); what they give within the grace is still sent. A second call may
    /// only shorten the grace.
    pub fn shutdown(&mut self, now: Now, grace: Duration) {
        let deadline = now.mono.saturating_add(grace);
        let begins = self.stopping.is_none();
        self.stopping = Some(self.stopping.map_or(deadline, |before| before.min(deadline)));
        self.service.stopping(now, &mut self.outbox);
        self.flush();
        if begins {
            // Listeners and calls with questions have their results by now.
            let unread = self.conns.iter().filter(|(_, conn)| conn.blocked).count();
            self.observe(&Event::Stopping { grace, calls: self.calls.len(), unread });
        }
        let all: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        all.into_iter().for_each(|key| self.finish(key));
        self.end_sessions_if_over();
    }

    /// Ends a connection in good order, unless calls are open that will still be answered on it.
    pub(super) fn finish(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let open = conn.session.and_then(|session| self.sessions.get(session));
        let answers = open.is_some_and(|open| open.life.is_none() && open.calls.is_some());
        // A streamed answer to HTTP/1.0 looks like a stream, and ends by itself.
        let ends = conn.post.is_some() && conn.http.is_stream();
        if !(answers || ends) {
            conn.http.finish(&mut self.common);
            self.enqueue(key);
        }
    }

    /// Whether a shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether a shutdown is complete: no connection is left, and no handler runs on a worker thread, unless the grace is over.
    pub fn is_finished(&self) -> bool {
        self.stopping.is_some_and(|deadline| {
            self.conns.is_empty() && (deadline <= self.now.mono || self.jobs.running() == 0)
        })
    }

    /// Resets what is left after the grace, and tells of handlers that cannot be ended.
    pub(super) fn end_if_over(&mut self) {
        if self.stopping.is_none_or(|deadline| deadline > self.now.mono) {
            return;
        }
        let left: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        left.into_iter().for_each(|key| self.close(key));
        let count = self.jobs.running();
        if !std::mem::replace(&mut self.over, true) && count > 0 {
            self.observe(&Event::WorkersLeft { count });
        }
    }

    /// In a shutdown a stream ends with the last of its calls.
    pub(super) fn finish_if_stopping(&mut self, session: Key) {
        let open = self.sessions.get(session).filter(|_| self.stopping.is_some());
        if let Some(conn) = open.and_then(|open| open.conn) {
            self.finish(conn);
        }
    }

    /// With its last connection a server that is shutting down loses the sessions that have none.
    pub(super) fn end_sessions_if_over(&mut self) {
        if self.stopping.is_some() && self.conns.is_empty() {
            let left: Vec<Key> = self.sessions.iter().map(|(key, _)| key).collect();
            left.into_iter().for_each(|key| self.end_streamable(key));
            self.jobs.close();
        }
    }
}
