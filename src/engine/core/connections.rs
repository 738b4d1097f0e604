//! Connections from the first byte to the last: scheduled, expired, closed.
//!
//! *Scope:* deadlines and end of a connection, how many one address may have, answers to the request that waits. *Not in
//! scope:* its requests, the stream that it carried (`lose_stream` in `streams`), and the order in which connections are
//! served ([`Engine::poll`](crate::engine::Engine::poll)).
//!
//! ```text
//!  open ──▶ turn (bytes came, output went) ⇄ schedule ──▶ expire ──▶ close ──▶ remove ──▶ lose_stream
//! ```

use std::time::Duration;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::refusals::as_error;
use crate::engine::state::connections::Connection;
use crate::engine::state::peers::Counted;
use crate::engine::state::streams::with_stream_fields;
use crate::http::conn::Conn;
use crate::http::conn::close::CloseReason;
use crate::http::response::OwnedResponse;
use crate::slab::Key;
use crate::sse;
use crate::timers::{Nanos, earlier};

impl Core {
    /// Opens a connection of HTTP or of lines. At `connections_per_peer_max` another one of the peer is closed to make room. If
    /// none may be closed, or if all connections are in use, the new one gets 503; if too many are being refused already, it is
    /// closed without an answer.
    pub(crate) fn open_connection(&mut self, http: Conn, peer: Peer) -> Key {
        self.stats.connections_opened += 1;
        let reason = self.no_place_for(&peer);
        let Core { connections, common, .. } = self;
        let limits = &common.limits;
        let Some(reason) = reason else {
            let key = connections.open(http, peer, Counted::Connection, limits);
            self.schedule(key);
            return key;
        };
        let untold = connections.is_at_limit(&peer, Counted::Refused, limits)
            || connections.refused() >= limits.refused_connections_max;
        let key = connections.open(http, peer, Counted::Refused, limits);
        if untold {
            connections.close(key, CloseReason::Refused);
            return key;
        }
        let text = format!("busy: {reason}; try again");
        if connections.get(key).is_some_and(|conn| conn.http.is_lines()) {
            self.refuse_lines(key, &as_error(OwnedResponse::text(503, text)));
        } else if let Some(refusal) = connections.with(key, |conn| conn.http.refuse_connection(text, common))
        {
            self.report_refusal(key, refusal.status, &refusal.reason);
        }
        self.schedule(key);
        key
    }

    /// Opens a connection for health checks. One too many takes the place of the one that has waited longest.
    pub(crate) fn open_health(&mut self, peer: Peer) -> Key {
        self.stats.connections_opened += 1;
        let http = Conn::new(self.now());
        let Core { connections, common, .. } = self;
        let limits = &common.limits;
        let open = connections.iter().filter(|(_, conn)| conn.is_for_health() && !conn.is_closing());
        let open: Vec<(Duration, Key)> = open.map(|(key, conn)| (conn.http.waits_since(), key)).collect();
        if open.len() >= limits.health_connections_max {
            open.iter().min().iter().for_each(|(_, key)| connections.close(*key, CloseReason::Evicted));
        }
        let key = connections.open(http, peer, Counted::Health, limits);
        self.schedule(key);
        key
    }

    /// Sets the timer of a connection to its next deadline. `poll` calls this once a turn for every connection that was
    /// enqueued, except one with output: `sent` does then, or enqueues it again.
    pub(crate) fn schedule(&mut self, key: Key) {
        let Some(conn) = self.connections.get(key).filter(|conn| !conn.is_timed()) else { return };
        let comment = self.comment_due(conn);
        if let Some(deadline) = earlier(conn.http.due(self.limits()), comment) {
            self.connections.wake_by(key, deadline);
        }
    }

    /// Returns when a comment is due on a connection that carries a stream of events, or an answer that may become one.
    fn comment_due(&self, conn: &Connection) -> Option<Nanos> {
        self.streams.get(conn.stream?).filter(|stream| stream.takes_comments())?;
        Some(conn.http.silent_since()?.later(self.limits().keep_alive))
    }

    /// Handles a deadline of a connection, if one has passed: a refusal, a close, or a comment.
    pub(crate) fn expire(&mut self, key: Key) {
        let now = Nanos::of(self.now());
        let Some(conn) = self.connections.get(key) else { return };
        if conn.http.due(self.limits()).is_some_and(|deadline| deadline <= now) {
            let Core { connections, common, .. } = self;
            let refusal = connections.with(key, |conn| conn.http.expire(common)).flatten();
            if let Some(refusal) = refusal {
                self.report_refusal(key, refusal.status, &refusal.reason);
            }
        } else if self.comment_due(conn).is_some_and(|due| due <= now) {
            self.comment(key);
        }
        self.connections.enqueue(key);
    }

    /// Answers the request that waits, and reports the answer if it refuses the request.
    pub(crate) fn answer(&mut self, key: Key, answer: &OwnedResponse) {
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.answer(answer, common));
        self.report_answer(key, answer);
    }

    /// Answers the request that waits with `202 Accepted`.
    pub(crate) fn accept(&mut self, key: Key) {
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.accept(common));
    }

    /// Answers the request that waits with a stream of events, which ends with the connection. `stream` is what it carries.
    pub(crate) fn open_events(&mut self, key: Key, stream: Option<Key>, first: impl FnOnce(&mut Vec<u8>)) {
        let Core { connections, common, streams, sessions, settings, .. } = self;
        let entry = stream.and_then(|stream| sessions.get(streams.get(stream)?.session));
        with_stream_fields(entry.map(|entry| entry.session.id), settings, |fields| {
            connections.with(key, |conn| {
                conn.stream = stream;
                conn.http.open_stream(sse::MEDIA_TYPE, fields, common, first)
            });
        });
    }

    /// Removes a connection that is closed, and reports its end: every connection ends here. The stream that it carried is lost.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some(mut conn) = self.connections.remove(key) else { return };
        self.report_close(&mut conn);
        if let Some(stream) = conn.stream {
            self.lose_stream(stream, &conn.peer);
        }
        debug_assert!(
            self.sessions.requests() <= self.connections.len() + self.sessions.calls_count(),
            "a request without a session ends with its connection, or with its call"
        );
    }
}
