//! One connection: what is known of it, and what is done with it from its first byte to its last.
//!
//! *Scope:* [`Connection`]; its turns, deadlines and end. *Not in scope:* what its requests do, and the order in which
//! connections are looked at ([`Engine::poll`]).
//!
//! ```text
//!  open ──▶ with_http (bytes came, output went) ⇄ schedule ──▶ expire ──▶ close ──▶ remove
//! ```

use super::Engine;
use super::authorize::Admitted;
use super::deliver::Held;
use super::peers::Share;
use super::post::Post;
use super::turn::Turn;
use crate::Now;
use crate::http::conn::Conn;
use crate::mcp::Peer;
use crate::slab::Key;
use crate::timers::{Link, Linked, Nanos};

/// One connection.
pub(super) struct Connection {
    pub(super) http: Conn,
    /// Who is at the other end; the principal is that of the present request.
    pub(super) peer: Peer,
    /// As what it is counted.
    pub(super) share: Share,
    /// Only where a hook says who that is.
    pub(super) admitted: Option<Box<Admitted>>,
    /// The session whose stream this is.
    pub(super) session: Option<Key>,
    /// The requests of which the answer is awaited on this connection.
    pub(super) post: Option<Box<Post>>,
    /// What a slow stream has not been told.
    pub(super) held: Option<Box<Held>>,
    timer: Link,
    /// When the stream last got output, for keep-alive comments.
    pub(super) last_output: Nanos,
    pub(super) queued: bool,
    /// The last write was short, and no writable event has come since.
    pub(super) blocked: bool,
    /// The driver was told to stop reading.
    pub(super) paused: bool,
    pub(super) closing: bool,
}

impl Connection {
    pub(super) fn new(now: Now, peer: Peer, share: Share) -> Connection {
        Connection {
            http: Conn::new(now),
            peer,
            share,
            admitted: None,
            session: None,
            post: None,
            held: None,
            timer: Link::default(),
            last_output: Nanos::of(now),
            queued: false,
            blocked: false,
            paused: false,
            closing: false,
        }
    }

    /// Whether it carries a stream, or an answer that may become one.
    pub(super) fn is_streaming(&self) -> bool {
        self.session.is_some() || self.post.as_ref().is_some_and(|post| post.sse)
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut Link {
        &mut self.timer
    }
}

impl Engine {
    /// Runs `act` on a connection's HTTP side with the rest of the engine at hand.
    pub(super) fn with_http(&mut self, now: Now, key: Key, act: impl FnOnce(&mut Conn, &mut Turn<'_>)) {
        self.at(now);
        if self.conns.get(key).is_none_or(|conn| conn.closing) {
            return;
        }
        // Before its replies are: a 202 then leaves before the frame on the stream.
        self.enqueue(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut http = std::mem::replace(&mut conn.http, Conn::new(now));
        act(&mut http, &mut Turn { engine: self, key, now, session: None });
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http = http;
        }
        if self.deferring.take().is_some() {
            // What its handler announces on other streams leaves before its answer.
            self.dequeue(key);
            self.flush(now);
            self.complete_post(now, key);
            self.enqueue(key);
        }
        if self.conns.get(key).is_some_and(|conn| conn.http.has_ended_input()) {
            self.cancel_alone(key);
        }
        self.report_refusals(key);
        self.relieve();
    }

    pub(super) fn enqueue(&mut self, key: Key) {
        if let Some(conn) = self.conns.get_mut(key)
            && !conn.queued
        {
            conn.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Takes a connection out of the queue: most often it is the last one there.
    fn dequeue(&mut self, key: Key) {
        if let Some(at) = self.ready.iter().rposition(|ready| *ready == key) {
            self.ready.remove(at);
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.queued = false;
        }
    }

    /// Sees to it that the connection is looked at when its next deadline comes. `poll` does this for every connection
    /// that was enqueued, once in a turn, unless it is to be written to, since `sent` enqueues it again.
    pub(super) fn schedule(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else { return };
        let silent = conn.is_streaming().then(|| conn.last_output.after(self.shared.limits.keep_alive));
        let deadline = conn.http.deadline(&self.shared.limits).into_iter().chain(silent).min();
        if let Some(deadline) = deadline {
            self.timers.wake_by(&mut self.conns, key, deadline);
        }
    }

    pub(super) fn expire(&mut self, now: Now, key: Key) {
        let keep_alive = self.shared.limits.keep_alive;
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.http.deadline(&self.shared.limits).is_some_and(|deadline| deadline <= now.mono) {
            let backlog_bytes = conn.http.outgoing().len();
            conn.http.expire(now, &mut self.shared);
            let lost = backlog_bytes > 0 && conn.http.outgoing().is_empty();
            self.report_refusals(key);
            if lost {
                self.tell_slow_reader(key, backlog_bytes);
            }
        } else if conn.is_streaming() && conn.last_output.after(keep_alive) <= now.mono {
            self.comment(now, key);
        }
        self.enqueue(key);
    }

    /// Marks a connection for closing. It is taken out by `poll`, never in the middle of something.
    pub(super) fn close(&mut self, key: Key) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.closing = true;
            self.enqueue(key);
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.timers.clear(&mut self.conns, key);
        let Some(mut conn) = self.conns.remove(key) else { return };
        conn.http.release(&mut self.shared);
        self.peers.remove(&conn.peer, conn.share);
        self.held_bytes -= conn.held.as_ref().map_or(0, |held| held.bytes());
        self.held_bytes -= conn.admitted.map_or(0, |admitted| admitted.held_bytes());
        self.held_bytes -= conn.post.as_ref().map_or(0, |post| post.held_bytes());
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
