//! Limits on all peers together in bytes, and on the output of one.
//!
//! *Scope:* the budget of [`Limits::buffered_bytes_max`](crate::Limits::buffered_bytes_max), clients
//! that do not read. *Not in scope:* refusing single requests (`receive` and the transports do), room for connections
//! (`core::crowding`).
//!
//! What counts against that budget:
//!
//! - the buffers of all connections: heads and bodies that are not whole, requests that wait, output (`Pool`);
//! - open calls with their ids, responses that wait for others of their POST, notifications that wait for a slow stream, heads
//!   that are kept to be authorized again, fields that responses repeat for CORS, and requests that are timed (`Core::held`);
//! - messages that are still to be sent, while one before them is (`Core::outbox_bytes`);
//! - what the service holds: arguments, questions, subscriptions (`Service::held_bytes`);
//! - what is kept of streams for clients that come back (`Streams::logged`): of one holder's, this gives way first;
//! - the heads that connections remember (`Common::heads`): these give way first, all together.
//!
//! ```text
//!  no room for a new body, session or reply ──▶ those give way who hold most; if that is the one who asks, it gets 503
//!  bytes over the budget ─┬─▶ spare memory is given back, and remembered heads are dropped
//!                         └─▶ those give way who hold most (`access::fairness`): what is kept for clients that may come back is
//!                             dropped, half a request and one that waits get 503, with output a connection is closed, for calls a
//!                             session is ended. Of one holder, what is kept goes first, then overdue connections. Answers do not
//!                             count before their socket was offered them
//!  one output over its cap ─▶ that connection is closed
//! ```

use crate::access::fairness::{Claim, Holder, first_to_give_way};
use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::state::connections::Connection;
use crate::http::conn::close::CloseReason;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

pub(crate) const MEMORY_FULL: &str = "the server's memory for its clients is full (limit buffered_bytes_max)";

/// What holds bytes.
#[derive(Clone, Copy)]
enum Held {
    Connection(Key),
    /// The service, for a session.
    Session(Key),
    /// The logs of a session's streams.
    Logs(Key),
}

/// What is lost with the least harm, of one holder.
const HARM_OF_LOGS: u8 = 0;
const HARM_OF_OVERDUE: u8 = 1;
const HARM_OF_OTHERS: u8 = 2;

/// What holds more gives way first.
fn order_of(bytes: usize) -> u64 {
    u64::MAX - u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Core {
    /// Returns the bytes that `buffered_bytes_max` bounds, without the remembered heads, which are spare.
    pub(crate) fn spent_bytes(&self) -> usize {
        self.firm_bytes() + self.streams.logged.bytes()
    }

    /// Returns the part of them that is not dropped as soon as room is needed: all but the logs of streams.
    pub(crate) fn firm_bytes(&self) -> usize {
        self.common.pool.used() + self.held.bytes() + self.service_bytes + self.outbox_bytes
    }

    /// Returns why there is no room for `bytes` more; `None` if there is room.
    pub(crate) fn no_room_for(&self, bytes: usize) -> Option<String> {
        (!self.has_room_for(bytes)).then(|| MEMORY_FULL.to_owned())
    }

    #[inline]
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.firm_bytes().saturating_add(bytes) <= self.limits().buffered_bytes_max
    }

    /// As [`no_room_for`](Core::no_room_for), for what a server does not begin while it is shutting down. Others give way for it.
    pub(crate) fn no_room_to_begin(&mut self, conn: Key, bytes: usize) -> Option<String> {
        match self.stopping {
            Some(_) => Some("the server is shutting down".to_owned()),
            None => (!self.make_room(conn, bytes)).then(|| MEMORY_FULL.to_owned()),
        }
    }

    /// Returns the response to a request for which there is no room, and counts it. `Retry-After` is a second: there is room as soon as
    /// some client reads, sends the rest of a body, or goes away, and nothing says when that will be.
    pub(crate) fn busy(&mut self, reason: &str) -> OwnedResponse {
        self.busy_for(reason, 1)
    }

    /// The same, with the number of seconds after which to try again.
    pub(crate) fn busy_for(&mut self, reason: &str, seconds: u128) -> OwnedResponse {
        self.stats.busy += 1;
        OwnedResponse::text(503, format!("busy: {reason}; try again"))
            .header("Retry-After", seconds.to_string())
    }

    /// Brings memory back within the budget: while it is exceeded, those who hold most give way. Bodies, responses and what is
    /// kept for a session's calls all count, because a client that fills the budget with one of these must not cost others their
    /// streams.
    #[inline]
    pub(crate) fn enforce_budget(&mut self) {
        if self.spent_bytes() + self.common.heads.bytes() > self.common.limits.buffered_bytes_max {
            self.give_way();
        }
    }

    #[cold]
    fn give_way(&mut self) {
        // Spare memory is returned before any stream is lost.
        self.connections.values_mut().for_each(|conn| conn.http.shrink(&mut self.common));
        while self.spent_bytes() > self.common.limits.buffered_bytes_max {
            if !self.shed_first(None) {
                return;
            }
        }
    }

    /// Makes room for `bytes` more that come by this connection, if there is none: others give way, unless it would be the turn
    /// of the one who asks. Returns true if there is room.
    #[inline]
    pub(crate) fn make_room(&mut self, conn: Key, bytes: usize) -> bool {
        self.has_room_for(bytes) || self.make_room_by_force(conn, bytes)
    }

    #[cold]
    fn make_room_by_force(&mut self, conn: Key, bytes: usize) -> bool {
        while !self.has_room_for(bytes) {
            if !self.shed_first(Some((conn, bytes))) {
                return false;
            }
        }
        true
    }

    /// Frees what gives way first. Returns false if that is nothing, or what the connection `asking` asks for.
    fn shed_first(&mut self, asking: Option<(Key, usize)>) -> bool {
        let (now, limits) = (self.now(), self.limits());
        let mut claims = Vec::new();
        for (key, conn) in self.connections.iter().filter(|(_, conn)| !conn.is_closing()) {
            let waiting_bytes = conn.stream.map_or(0, |stream| self.waiting_bytes(stream));
            let asked_bytes = asking.filter(|(asking, _)| *asking == key).map_or(0, |(_, bytes)| bytes);
            let amount = conn.sheddable_bytes(limits) + waiting_bytes + asked_bytes;
            if amount > 0 {
                let session = conn.stream.and_then(|stream| self.kept_session_of(stream));
                let harm = if conn.http.is_overdue(now, limits) { HARM_OF_OVERDUE } else { HARM_OF_OTHERS };
                let (holder, proven) = (Holder::of(&conn.peer), conn.is_proven());
                // Of two that hold the same, the one who asks goes first.
                let order = order_of(amount).saturating_sub(u64::from(asked_bytes > 0));
                claims.push(Claim {
                    key: Held::Connection(key),
                    holder,
                    proven,
                    amount,
                    harm,
                    session,
                    order,
                });
            }
        }
        for (session, bytes) in self.service.held_by_session() {
            let peer = self.peer_of(session.0);
            let session_kept = self.sessions.get(session.0).filter(|entry| entry.session.is_kept());
            claims.push(Claim {
                key: Held::Session(session.0),
                holder: peer.map_or(Holder::Local, Holder::of),
                proven: true,
                amount: bytes,
                harm: HARM_OF_OTHERS,
                session: session_kept.map(|_| session.0),
                order: order_of(bytes),
            });
        }
        // What is asked for finds room beside them.
        let logs = if asking.is_none() { self.log_bytes_by_session() } else { Default::default() };
        for (session, bytes) in logs {
            claims.push(Claim {
                key: Held::Logs(session),
                holder: self.peer_of(session).map_or(Holder::Local, Holder::of),
                proven: true,
                amount: bytes,
                harm: HARM_OF_LOGS,
                session: Some(session),
                order: order_of(bytes),
            });
        }
        match first_to_give_way(&claims) {
            Some(Held::Connection(key)) if asking.is_some_and(|(asking, _)| asking == key) => false,
            Some(Held::Connection(key)) => {
                self.shed(key);
                true
            }
            Some(Held::Session(session)) => self.shed_session(session),
            Some(Held::Logs(session)) => {
                self.stats.replays_shed += 1;
                self.drop_logs(session);
                true
            }
            None => false,
        }
    }

    /// Returns who opened a session, or sent a request without one; `None` if its client is gone.
    pub(crate) fn peer_of(&self, session: Key) -> Option<&Peer> {
        let entry = self.sessions.get(session)?;
        #[cfg(feature = "streamable")]
        if let Some(kind) = &entry.streamable {
            return Some(&kind.peer);
        }
        let of_call = || self.sessions.calls_of(session).next().map(|(_, call)| call.stream);
        let stream = self.streams.get(entry.stream.or_else(of_call)?)?;
        Some(&self.connections.get(stream.conn?)?.peer)
    }

    /// Frees what a connection holds: half a request is refused, a request that waits for its answer too; otherwise the connection
    /// is closed with its output, or after answers that its socket was not offered yet.
    fn shed(&mut self, key: Key) {
        if self.refuse_waiting(key, None, MEMORY_FULL) {
            return;
        }
        let Core { connections, common, .. } = self;
        let shed = |conn: &mut Connection| conn.http.shed(conn.has_new_answers(&common.limits), common);
        let Some(refusal) = connections.with(key, shed).flatten() else { return };
        match self.connections.get(key).is_some_and(|conn| conn.http.is_lines()) {
            true => self.refuse_line_for_memory(key),
            false => self.report_refusal(key, refusal.status, &refusal.reason),
        }
    }

    /// Ends a session and its stream, so that the memory kept for it is freed at once. Returns true if it was.
    fn shed_session(&mut self, session: Key) -> bool {
        let Some(entry) = self.sessions.get(session) else { return false };
        self.stats.sessions_shed += 1;
        #[cfg(feature = "streamable")]
        if entry.streamable.is_some() {
            self.end_streamable(session);
            return self.sessions.get(session).is_none();
        }
        let is_kept = entry.session.is_kept();
        // A request without a session has one call, or shares a connection of lines.
        let of_call = self.sessions.calls_of(session).next().map(|(_, call)| call.stream);
        let stream = if is_kept { entry.stream } else { of_call.or(entry.stream) };
        let Some(stream) = stream.and_then(|stream| self.streams.remove(stream)) else {
            if !is_kept {
                self.end_request(session);
            }
            return self.sessions.get(session).is_none();
        };
        let Core { connections, common, .. } = self;
        let peer = stream.conn.and_then(|conn| {
            connections.with(conn, |conn| {
                conn.http.abort(CloseReason::SessionEnded, common);
                conn.stream = None;
                conn.peer.clone()
            })
        });
        match stream.source.is_answer() {
            true => self.end_request(session),
            false => self.end_session(stream.session, &peer.unwrap_or_default()),
        }
        true
    }

    /// Closes a connection whose client does not read; its memory is free at once.
    pub(crate) fn drop_slow_reader(&mut self, key: Key) {
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.abort(CloseReason::SlowReader, common));
    }
}
