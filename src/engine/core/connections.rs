//! Connections from the first byte to the last: queued, scheduled, expired, closed.
//!
//! *Scope:* turns, deadlines and end of a connection, and how many one address may have. *Not in scope:* what its requests
//! do, and the order in which connections are looked at ([`Engine::poll`]).
//!
//! ```text
//!  open ──▶ turn (bytes came, output went) ⇄ schedule ──▶ expire ──▶ close ──▶ remove
//! ```

use crate::access::peer::Peer;
use crate::engine::core::Engine;
use crate::engine::state::peers::{Share, network};
use crate::http::response::{OwnedResponse, Response};
use crate::slab::Key;
use crate::sse;

impl Engine {
    pub(crate) fn enqueue(&mut self, key: Key) {
        if let Some(conn) = self.conns.get_mut(key)
            && !conn.queued
        {
            conn.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Takes a connection out of the queue: most often it is the last one there.
    pub(crate) fn dequeue(&mut self, key: Key) {
        if let Some(at) = self.ready.iter().rposition(|ready| *ready == key) {
            self.ready.remove(at);
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.queued = false;
        }
    }

    /// Sees to it that the connection is looked at when its next deadline comes. `poll` does this for every connection
    /// that was enqueued, once in a turn, unless it is to be written to, since `sent` enqueues it again.
    pub(crate) fn schedule(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        let silent = conn.is_streaming().then(|| conn.last_output.after(self.common.limits.keep_alive));
        let deadline = conn.http.deadline(&self.common.limits).into_iter().chain(silent).min();
        if let Some(deadline) = deadline {
            self.timers.wake_by(&mut self.conns, key, deadline);
        }
    }

    pub(crate) fn expire(&mut self, key: Key) {
        let keep_alive = self.common.limits.keep_alive;
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.http.deadline(&self.common.limits).is_some_and(|deadline| deadline <= self.now.mono) {
            let backlog_bytes = conn.http.outgoing().len();
            let refused = conn.http.expire(&mut self.common);
            let lost = backlog_bytes > 0 && conn.http.outgoing().is_empty();
            if let Some(refusal) = refused {
                self.report_refusal(key, refusal.status, &refusal.reason);
            }
            if lost {
                self.tell_slow_reader(key, backlog_bytes);
            }
        } else if conn.is_streaming() && conn.last_output.after(keep_alive) <= self.now.mono {
            self.comment(key);
        }
        self.enqueue(key);
    }

    /// Answers the request that waits.
    pub(crate) fn respond(&mut self, key: Key, response: &Response<'_>) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.respond(response, &mut self.common);
        }
    }

    /// As [`respond`](Engine::respond), and reports the answer if it refuses the request.
    pub(crate) fn answer(&mut self, key: Key, answer: &OwnedResponse) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.answer(answer, &mut self.common);
        }
        self.report_answer(key, answer);
    }

    /// Answers the request that waits with `202 Accepted`.
    pub(crate) fn accept(&mut self, key: Key) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.accept(&mut self.common);
        }
    }

    /// Answers the request that waits with a stream of events, which ends with the connection.
    pub(crate) fn open_stream(
        &mut self,
        key: Key,
        fields: &[(&str, &str)],
        first: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.open_stream(sse::MEDIA_TYPE, fields, &mut self.common, first);
        }
    }

    /// Marks a connection for closing. It is taken out by `poll`, never in the middle of something.
    pub(crate) fn close(&mut self, key: Key) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.closing = true;
            self.enqueue(key);
        }
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.timers.clear(&mut self.conns, key);
        let Some(mut conn) = self.conns.remove(key) else { return };
        conn.http.release(&mut self.common);
        self.peers.remove(&conn.peer, conn.share);
        drop(conn.admitted);
        if let Some(session) = conn.session {
            self.stream_ended(session, key, &conn.peer, conn.held);
        } else if let Some(post) = conn.post {
            match post.alone {
                true => self.end_alone(post.session),
                false => self.leave_post(post, conn.held),
            }
        }
        debug_assert!(self.alone <= self.conns.len(), "a request that stands alone ends with its connection");
        self.end_sessions_if_over();
    }
}

impl Engine {
    /// What a new connection of that peer is. Where the peer has all it may, an idle one makes room.
    pub(crate) fn share_of(&mut self, peer: &Peer) -> Share {
        let now = self.now.mono;
        // Who has come in this very turn may have sent something that was not looked at yet.
        let crowded = self.peers.has_all(peer, Share::Connection, &self.common.limits)
            && !self.evict(|other, since| since < now && network(other) == network(peer));
        if crowded { Share::Refused } else { Share::Connection }
    }

    /// Counts a new connection. As many as one peer may have are told that they are too many, and more are closed.
    pub(crate) fn count_in(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let limits = &self.common.limits;
        let untold = self.peers.has_all(&conn.peer, Share::Refused, limits);
        self.peers.add(&conn.peer, conn.share, limits);
        match conn.share {
            Share::Refused if untold => self.close(key),
            Share::Refused => {
                let max = limits.connections_per_peer_max;
                let text = format!(
                    "busy: this address has {max} connections (limit connections_per_peer_max); try again"
                );
                let refusal = conn.http.refuse_connection(text, &mut self.common);
                self.report_refusal(key, refusal.status, &refusal.reason);
                self.enqueue(key);
            }
            Share::Connection | Share::Session => {}
        }
    }
}
