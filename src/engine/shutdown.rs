//! The end of the server in good order.
//!
//! *Scope:* what ends at once, what after its calls, what with the grace. *Not in scope:* signals, which the driver handles.
//!
//! ```text
//!  shutdown ─┬─ connections between two requests ──▶ closed
//!            ├─ health checks ──▶ go on, and are not waited for
//!            ├─ subscriptions/listen ──▶ result ──▶ closed
//!            ├─ questions ──▶ not waited for any more
//!            ├─ requests, sessions with calls ──▶ answered ──▶ closed
//!            ├─ other streams ──▶ what is queued ──▶ closed
//!            ├─ handlers on other threads ──▶ told to stop, and waited for
//!            └─ after the grace: all that is left is reset; handlers that go on are counted and left
//! ```

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::observe::{Event, Transport};
use crate::engine::state::connections::Connection;
use crate::engine::state::streams::Source;
use crate::http::conn::close::CloseReason;
use crate::slab::Key;
use crate::timers::Now;

impl Engine {
    /// Announces a shutdown: from now on `GET /readyz` gets 503, and after `delay` a [`tick`](Engine::tick) begins the shutdown with
    /// this grace. Meanwhile clients are served as before. Of several calls the first one counts.
    pub fn drain(&mut self, now: Now, delay: Duration, grace: Duration) {
        self.set_now(now);
        let begins = self.core.now().mono.saturating_add(delay);
        if self.core.stopping.is_none() {
            self.draining.get_or_insert((begins, grace));
        }
    }

    /// Begins the shutdown that was announced, once its delay is over.
    pub(super) fn end_drain_if_over(&mut self, now: Now) {
        if let Some((_, grace)) = self.draining.filter(|(at, _)| *at <= self.core.now().mono) {
            self.shutdown(now, grace);
        }
    }

    /// Takes no more connections and requests, ends what is idle, streams when their calls are answered and their output is
    /// taken, and closes what is left after `grace`. Handlers on other threads see at once that they are to stop
    /// ([`Call::is_cancelled`](crate::Call::is_cancelled)); what they return within the grace is still sent. A second call may
    /// only shorten the grace.
    pub fn shutdown(&mut self, now: Now, grace: Duration) {
        self.set_now(now);
        self.draining = None;
        let core = &mut self.core;
        let now = core.now();
        let deadline = now.mono.saturating_add(grace);
        let begins = core.stopping.is_none();
        core.stopping = Some(core.stopping.map_or(deadline, |before| before.min(deadline)));
        core.service.stopping(now, &mut core.outbox);
        core.flush();
        if begins {
            // Listeners and calls with questions have their results by now.
            let unread = core.connections.iter().filter(|(_, conn)| conn.blocked).count();
            core.observe(&Event::Stopping { grace, calls: core.sessions.calls_count(), unread });
        }
        core.connections.keys().into_iter().for_each(|key| core.finish(key, CloseReason::Shutdown));
        self.end_sessions_if_over();
    }

    /// True if a shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.core.stopping.is_some()
    }

    /// True if a shutdown is complete: no connection is left, and no handler runs on a worker thread, unless the grace is over.
    pub fn is_finished(&self) -> bool {
        self.core.stopping.is_some_and(|deadline| {
            let is_over = deadline <= self.core.now().mono;
            self.core.connections.is_empty() && (is_over || self.jobs.running() == 0)
        })
    }

    /// Resets what is left after the grace, and reports handlers that cannot be ended.
    pub(super) fn end_if_over(&mut self) {
        let core = &mut self.core;
        if core.stopping.is_none_or(|deadline| deadline > core.now().mono) {
            return;
        }
        core.connections
            .keys()
            .into_iter()
            .for_each(|key| core.connections.close(key, CloseReason::Shutdown));
        let count = self.jobs.running();
        if !std::mem::replace(&mut self.over, true) && count > 0 {
            core.observe(&Event::WorkersLeft { count });
        }
    }

    /// Ends the sessions without a connection, once a server that is shutting down has lost its last connection.
    pub(super) fn end_sessions_if_over(&mut self) {
        let core = &mut self.core;
        if core.stopping.is_some() && core.connections.is_empty() {
            #[cfg(feature = "streamable")]
            core.sessions.keys().into_iter().for_each(|key| core.end_streamable(key));
            self.jobs.close();
        }
    }
}

impl Core {
    /// Ends a connection in good order, unless calls are open that will still be answered on it.
    pub(crate) fn finish(&mut self, key: Key, reason: CloseReason) {
        let Core { connections, common, streams, sessions, .. } = self;
        // A health check that has just connected is answered, and none is waited for.
        let Some(conn) = connections.get(key).filter(|conn| !conn.is_for_health()) else { return };
        let stream = conn.stream.and_then(|stream| streams.get(stream));
        let stays = stream.is_some_and(|stream| match stream.source {
            _ if stream.is_behind() => true,
            Source::Sse | Source::Lines => {
                sessions.get(stream.session).is_some_and(|entry| entry.has_calls())
            }
            // A streamed answer to HTTP/1.0 looks like a stream, and ends by itself.
            Source::Post => conn.http.is_stream(),
            Source::Get | Source::Batch => false,
        });
        if !stays {
            connections.with(key, |conn| conn.http.finish(reason, common));
        }
    }

    /// In a shutdown a stream ends with the last of its calls, and so does a connection of lines whose client sends no more.
    pub(crate) fn finish_if_last(&mut self, session: Key) {
        let Some(entry) = self.sessions.get(session) else { return };
        let is_lines = entry.transport == Transport::Lines;
        if self.stopping.is_none() && !is_lines {
            return;
        }
        let stream = entry.stream.and_then(|stream| self.streams.get(stream));
        let Some(conn) = stream.and_then(|stream| stream.conn) else { return };
        let ends = |conn: &Connection| is_lines && conn.http.is_read_to_end();
        if self.stopping.is_some() {
            self.finish(conn, CloseReason::Shutdown);
        } else if self.connections.get(conn).is_some_and(ends) {
            self.finish(conn, CloseReason::EndOfInput);
        }
    }
}
