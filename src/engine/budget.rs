//! What happens when there is too much: of connections, of bytes of all peers together, of one peer's output.
//!
//! *Scope:* room for connections, the budget of [`Limits::buffered_bytes_max`](crate::Limits::buffered_bytes_max), clients
//! that do not read. *Not in scope:* refusing single requests (`receive` and the transports do).
//!
//! What counts against that budget:
//!
//! - the buffers of all connections: heads and bodies that are not whole, requests that wait, output (`Pool`);
//! - open calls with their ids, responses that wait for others of their POST, notifications that wait for a slow stream, and heads
//!   that are kept to be authorized again (`Core::held`);
//! - what the service holds: arguments, questions, subscriptions (`Service::held_bytes`);
//! - what is kept of streams for clients that come back (`Streams::logged`): this gives way first.
//!
//! ```text
//!  connections at the cap ──▶ the one idle longest is closed
//!  no room for a new body ─┬─▶ over half of the budget is kept for calls: the session with most is ended
//!                          └─▶ peers that dawdle: the connection that holds most of them gives it up
//!  bytes over the budget ─┬─▶ what is kept for clients that may come back is dropped, first that of the session with most
//!                         ├─▶ peers that dawdle: as above
//!                         ├─▶ the connection that holds most gives it up: half a request with 503, output by closing
//!                         └─▶ a session's calls hold more than that: the session is ended
//!  one output over its cap ─▶ that connection is closed
//! ```

use crate::engine::Engine;
use crate::engine::core::Core;
use crate::http::conn::Shed;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

impl Engine {
    /// Whether [`open`](Engine::open) may be called. At `connections_max` this closes the connection that has been idle
    /// longest between two requests, and says no until that is done; if none is idle it says no until a tenth is free.
    pub fn has_room(&mut self) -> bool {
        let core = &mut self.core;
        let (max, open) = (core.limits().connections_max, core.connections.len());
        if core.stopping.is_some() {
            return false;
        }
        if open < max && !(core.full && open > max - max / 10) {
            core.full = false;
            return true;
        }
        core.full = !core.connections.close_idle(|_, _| true);
        false
    }

    /// Closes the connection that has been idle longest between two requests, and returns true if there was one. For drivers
    /// that run out of descriptors.
    pub fn evict_idle(&mut self) -> bool {
        self.core.connections.close_idle(|_, _| true)
    }
}

impl Core {
    /// What `buffered_bytes_max` bounds.
    pub(crate) fn spent_bytes(&self) -> usize {
        let spent = self.firm_bytes();
        #[cfg(feature = "resume")]
        let spent = spent + self.streams.logged.bytes();
        spent
    }

    /// The part of it that does not give way as soon as room is needed.
    pub(crate) fn firm_bytes(&self) -> usize {
        self.common.pool.used() + self.held.bytes() + self.service_bytes
    }

    /// Why there is no room for that many bytes more, if that is so.
    pub(crate) fn no_room_for(&self, bytes: usize) -> Option<String> {
        let spent = self.firm_bytes();
        (spent.saturating_add(bytes) > self.limits().buffered_bytes_max)
            .then(|| format!("{spent} bytes are buffered (limit buffered_bytes_max)"))
    }

    /// What is said where there is no room, and counted.
    pub(crate) fn busy(&mut self, reason: &str) -> OwnedResponse {
        self.busy_for(reason, 1)
    }

    /// The same where it makes sense to try again after that many seconds.
    pub(crate) fn busy_for(&mut self, reason: &str, seconds: u128) -> OwnedResponse {
        self.stats.busy += 1;
        OwnedResponse::text(503, format!("busy: {reason}; try again"))
            .header("Retry-After", seconds.to_string())
    }

    /// Keeps what all connections hold within the budget: while it is over, the one that holds most gives it up.
    /// Everything counts, bodies and responses and what is kept for a session's calls too: a client that fills the
    /// budget with them must not cost others their streams.
    #[inline]
    pub(crate) fn enforce_budget(&mut self) {
        if self.spent_bytes() > self.common.limits.buffered_bytes_max {
            self.give_way();
        }
    }

    #[cold]
    fn give_way(&mut self) {
        // Nobody loses a stream for memory that is merely spare.
        self.connections.values_mut().for_each(|conn| conn.http.shrink(&mut self.common));
        while self.spent_bytes() > self.common.limits.buffered_bytes_max {
            #[cfg(feature = "resume")]
            if self.shed_logs() {
                continue;
            }
            if self.shed_overdue() {
                continue;
            }
            let open = self.connections.iter().filter(|(_, conn)| !conn.is_closing());
            let largest = open.map(|(key, conn)| (conn.http.held(), key)).max();
            let kept = self.service.largest();
            if kept.is_some_and(|(bytes, _)| largest.is_none_or(|(held, _)| bytes > held)) {
                if kept.is_some_and(|(_, session)| self.shed_session(session.0)) {
                    continue;
                }
                return;
            }
            let Some((1.., key)) = largest else { return };
            self.shed(key);
            // The rest is held for calls, and freed when their sessions are taken out: closing more would not help now.
            if self.common.pool.used() <= self.common.limits.buffered_bytes_max {
                return;
            }
        }
    }

    /// Makes room for that many bytes more, if there is none. What is kept for calls and subscriptions may stay for
    /// minutes, or for ever, and gives way while it is more than half of the budget. Bodies and output go by themselves, so
    /// they are waited for, unless it is a peer's fault that they stay: a few that drip could hold all of it.
    /// Returns true if something had to.
    pub(crate) fn make_room(&mut self, bytes: usize) -> bool {
        let max = self.common.limits.buffered_bytes_max;
        let mut made = false;
        while self.firm_bytes().saturating_add(bytes) > max {
            let kept = (self.service_bytes > max / 2).then(|| self.service.largest()).flatten();
            if !kept.is_some_and(|(_, session)| self.shed_session(session.0)) && !self.shed_overdue() {
                break;
            }
            made = true;
        }
        made
    }

    /// Has the connection give up what it holds that holds most of those that are overdue. Returns true if there was one.
    fn shed_overdue(&mut self) -> bool {
        let (now, limits) = (self.now(), self.limits());
        let open = self
            .connections
            .iter()
            .filter(|(_, conn)| !conn.is_closing() && conn.http.is_overdue(now, limits));
        let largest = open.map(|(key, conn)| (conn.http.held(), key)).max();
        let Some((_, key)) = largest else { return false };
        self.shed(key);
        true
    }

    /// Has a connection give up what it holds.
    fn shed(&mut self, key: Key) {
        let Core { connections, common, .. } = self;
        let shed = connections.with(key, |conn| (conn.http.outgoing().len(), conn.http.shed(common)));
        match shed {
            Some((_, Shed::Request(refusal))) => {
                match self.connections.get(key).is_some_and(|conn| conn.http.is_lines()) {
                    true => self.refuse_line_for_memory(key),
                    false => self.report_refusal(key, refusal.status, &refusal.reason),
                }
            }
            Some((backlog_bytes, Shed::Output)) => self.report_slow_reader(key, backlog_bytes),
            Some((_, Shed::Nothing)) | None => {}
        }
    }

    /// Ends the session for which most is kept, and its stream; its memory is free at once. Returns true if there was one.
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
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            if !is_kept {
                self.end_request(session);
            }
            return self.sessions.get(session).is_none();
        };
        let Core { connections, common, .. } = self;
        let peer = stream.conn.and_then(|conn| {
            connections.with(conn, |conn| {
                conn.http.abort(common);
                conn.stream = None;
                conn.peer.clone()
            })
        });
        match stream.source {
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            source if source.is_answer() => self.end_request(session),
            _ => self.end_session(stream.session, &peer.unwrap_or_default()),
        }
        true
    }

    /// Closes a connection whose client does not read; its memory is free at once.
    pub(crate) fn drop_slow_reader(&mut self, key: Key) {
        let Core { connections, common, .. } = self;
        let backlog_bytes = connections.with(key, |conn| {
            let backlog_bytes = conn.http.outgoing().len();
            conn.http.abort(common);
            backlog_bytes
        });
        self.report_slow_reader(key, backlog_bytes.unwrap_or(0));
    }
}
