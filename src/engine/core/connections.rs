//! Connections from the first byte to the last: scheduled, expired, closed.
//!
//! *Scope:* deadlines and end of a connection, how many one address may have, answers to the request that waits. *Not in
//! scope:* what its requests do, what becomes of a stream that it carried (`streamable`), and the order in which connections
//! are looked at ([`Engine::poll`](crate::engine::Engine::poll)).
//!
//! ```text
//!  open ──▶ turn (bytes came, output went) ⇄ schedule ──▶ expire ──▶ close ──▶ remove
//! ```

use std::time::Duration;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::refusals::as_error;
use crate::engine::state::connections::Connection;
use crate::engine::state::peers::{Counted, network};
use crate::engine::state::streams::Source;
use crate::http::conn::Conn;
use crate::http::response::OwnedResponse;
use crate::slab::Key;
use crate::sse;

impl Core {
    /// Opens a connection of HTTP or of lines. Where the peer has as many as one may, an idle one makes room. As many as one
    /// peer may have are told that they are too many, and more are closed.
    pub(crate) fn open_connection(&mut self, http: Conn, peer: Peer) -> Key {
        self.stats.connections_opened += 1;
        let Core { connections, common, .. } = self;
        let (now, limits) = (common.now, &common.limits);
        // One that came in this very turn may have sent something that was not looked at yet.
        let crowded = connections.has_all(&peer, Counted::Connection, limits)
            && !connections.close_idle(|other, since| since < now.mono && network(other) == network(&peer));
        if !crowded {
            let key = connections.open(http, peer, Counted::Connection, limits);
            self.schedule(key);
            return key;
        }
        let untold = connections.has_all(&peer, Counted::Refused, limits);
        let key = connections.open(http, peer, Counted::Refused, limits);
        if untold {
            connections.close(key);
            return key;
        }
        let max = limits.connections_per_peer_max;
        let text =
            format!("busy: this address has {max} connections (limit connections_per_peer_max); try again");
        if connections.get(key).is_some_and(|conn| conn.http.is_lines()) {
            self.refuse_lines(key, &as_error(OwnedResponse::text(503, text)));
        } else if let Some(refusal) = connections.with(key, |conn| conn.http.refuse_connection(text, common))
        {
            self.report_refusal(key, refusal.status, &refusal.reason);
        }
        self.schedule(key);
        key
    }

    /// Sees to it that the connection is looked at when its next deadline comes. `poll` does this for every connection
    /// that was enqueued, once in a turn, unless it is to be written to, since `sent` enqueues it again.
    pub(crate) fn schedule(&mut self, key: Key) {
        let Some(conn) = self.connections.get(key) else { return };
        let comment = self.comment_due(conn);
        let deadline = conn.http.deadline(self.limits()).into_iter().chain(comment).min();
        if let Some(deadline) = deadline {
            self.connections.wake_by(key, deadline);
        }
    }

    /// When a connection wants a comment that carries a stream of events, or an answer that may become one.
    fn comment_due(&self, conn: &Connection) -> Option<Duration> {
        self.streams.get(conn.stream?).filter(|stream| stream.takes_comments())?;
        Some(conn.http.silent_since()?.saturating_add(self.limits().keep_alive))
    }

    pub(crate) fn expire(&mut self, key: Key) {
        let now = self.now().mono;
        let Some(conn) = self.connections.get(key) else { return };
        if conn.http.deadline(self.limits()).is_some_and(|deadline| deadline <= now) {
            let backlog_bytes = conn.http.outgoing().len();
            let Core { connections, common, .. } = self;
            let expired = connections.with(key, |conn| {
                let refusal = conn.http.expire(common);
                (refusal, backlog_bytes > 0 && conn.http.outgoing().is_empty())
            });
            let Some((refusal, lost)) = expired else { return };
            if let Some(refusal) = refusal {
                self.report_refusal(key, refusal.status, &refusal.reason);
            }
            if lost {
                self.report_slow_reader(key, backlog_bytes);
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
    pub(crate) fn open_events(
        &mut self,
        key: Key,
        stream: Option<Key>,
        fields: &[(&str, &str)],
        first: impl FnOnce(&mut Vec<u8>),
    ) {
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| {
            conn.stream = stream;
            conn.http.open_stream(sse::MEDIA_TYPE, fields, common, first)
        });
    }

    /// Takes a connection out, and what it carries from it.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some(mut conn) = self.connections.remove(key) else { return };
        conn.http.release(&mut self.common);
        if let Some(key) = conn.stream
            && let Some(stream) = self.streams.get(key)
        {
            let session = stream.session;
            match stream.source {
                Source::Sse | Source::Lines => self.end_session(session, &conn.peer),
                #[cfg(any(feature = "streamable", feature = "stateless"))]
                Source::Post => self.lose_answer(key, session),
                #[cfg(feature = "streamable")]
                Source::Batch => self.detach(key),
                #[cfg(feature = "streamable")]
                Source::Get => {
                    self.detach(key);
                    self.touch(session);
                }
            }
        }
        debug_assert!(
            self.sessions.requests() <= self.connections.len() + self.sessions.calls_count(),
            "a request without a session ends with its connection, or with its call"
        );
    }
}
