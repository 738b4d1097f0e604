//! What happens when there is too much: of connections, of bytes of all peers together, of one peer's output.
//!
//! *Scope:* room for connections, the budget of [`Limits::buffered_bytes_max`](crate::Limits::buffered_bytes_max), clients
//! that do not read. *Not in scope:* refusing single requests; whoever takes them does.
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

use std::time::Duration;

use crate::access::peer::Peer;
use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::http::conn::Shed;
use crate::slab::Key;

impl Engine {
    /// Whether [`open`](Engine::open) may be called. At `connections_max` this closes the connection that has been idle
    /// longest between two requests, and says no until that is done; if none is idle it says no until a tenth is free.
    pub fn has_room(&mut self) -> bool {
        let max = self.common.limits.connections_max;
        if self.stopping.is_some() {
            return false;
        }
        if self.conns.len() < max && !(self.full && self.conns.len() > max - max / 10) {
            self.full = false;
            return true;
        }
        self.full = !self.evict_idle();
        false
    }

    /// Closes the connection that has been idle longest between two requests; says whether there was one. For drivers
    /// that run out of descriptors.
    pub fn evict_idle(&mut self) -> bool {
        self.evict(|_, _| true)
    }

    /// The same among those connections, by their peer and the time since which they are idle.
    pub(super) fn evict(&mut self, may: impl Fn(&Peer, Duration) -> bool) -> bool {
        let open = self.conns.iter().filter(|(_, conn)| !conn.closing);
        let idle = open.filter_map(|(key, conn)| Some((conn.http.idle_since()?, key, &conn.peer)));
        let longest =
            idle.filter(|(since, _, peer)| may(peer, *since)).map(|(since, key, _)| (since, key)).min();
        longest.is_some_and(|(_, key)| {
            self.close(key);
            true
        })
    }

    /// What `buffered_bytes_max` bounds.
    pub(super) fn spent_bytes(&self) -> usize {
        self.firm_bytes() + self.replayed.bytes()
    }

    /// The part of it that does not give way as soon as room is needed.
    pub(super) fn firm_bytes(&self) -> usize {
        self.common.pool.used() + self.held.bytes() + self.service.held_bytes()
    }

    /// Keeps what all connections hold within the budget: while it is over, the one that holds most gives it up.
    /// Everything counts, bodies and responses and what is kept for a session's calls too: whoever fills the budget with
    /// them must not cost others their streams.
    pub(super) fn relieve(&mut self) {
        if self.spent_bytes() > self.common.limits.buffered_bytes_max {
            // Nobody loses a stream for memory that is merely spare.
            self.conns.values_mut().for_each(|conn| conn.http.shrink(&mut self.common));
        }
        while self.spent_bytes() > self.common.limits.buffered_bytes_max {
            if self.shed_replay() || self.shed_overdue() {
                continue;
            }
            let open = self.conns.iter().filter(|(_, conn)| !conn.closing);
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
    /// Says whether somebody had to.
    pub(super) fn make_room(&mut self, bytes: usize) -> bool {
        let max = self.common.limits.buffered_bytes_max;
        let mut made = false;
        while self.firm_bytes().saturating_add(bytes) > max {
            let kept = (self.service.held_bytes() > max / 2).then(|| self.service.largest()).flatten();
            if !kept.is_some_and(|(_, session)| self.shed_session(session.0)) && !self.shed_overdue() {
                break;
            }
            made = true;
        }
        made
    }

    /// Has the connection give up what it holds that holds most of those that are overdue. Says whether there was one.
    fn shed_overdue(&mut self) -> bool {
        let (now, limits) = (self.now, &self.common.limits);
        let open = self.conns.iter().filter(|(_, conn)| !conn.closing && conn.http.is_overdue(now, limits));
        let largest = open.map(|(key, conn)| (conn.http.held(), key)).max();
        let Some((_, key)) = largest else { return false };
        self.shed(key);
        true
    }

    /// Has a connection give up what it holds.
    fn shed(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let backlog_bytes = conn.http.outgoing().len();
        match conn.http.shed(&mut self.common) {
            Shed::Request(refusal) => self.report_refusal(key, refusal.status, &refusal.reason),
            Shed::Output => self.tell_slow_reader(key, backlog_bytes),
            Shed::Nothing => {}
        }
        self.enqueue(key);
    }

    /// Ends the session for which most is kept, and its stream; its memory is free at once. Says whether there was one.
    fn shed_session(&mut self, session: Key) -> bool {
        let Some(open) = self.sessions.get(session) else { return false };
        let stream = open.conn.filter(|_| open.life.is_none());
        self.stats.sessions_shed += 1;
        if !open.session.is_kept() {
            return self.shed_alone(session);
        }
        let Some(conn) = stream.and_then(|key| self.conns.get_mut(key)) else {
            self.end_streamable(session);
            return self.sessions.get(session).is_none();
        };
        conn.http.abort(&mut self.common);
        conn.session = None;
        let peer = conn.peer.clone();
        stream.into_iter().for_each(|key| self.enqueue(key));
        self.end_session(session, &peer);
        true
    }

    /// The same for a request that has no session: its connection is closed.
    fn shed_alone(&mut self, session: Key) -> bool {
        let call = self.sessions.get(session).and_then(|open| self.calls.get(open.calls?.0));
        if let Some(key) = call.and_then(|call| call.post)
            && let Some(conn) = self.conns.get_mut(key)
        {
            conn.http.abort(&mut self.common);
            conn.post = None;
            self.enqueue(key);
        }
        self.end_alone(session);
        true
    }

    /// Closes a connection whose client does not read; its memory is free at once.
    pub(super) fn drop_slow_reader(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let backlog_bytes = conn.http.outgoing().len();
        conn.http.abort(&mut self.common);
        self.tell_slow_reader(key, backlog_bytes);
        self.enqueue(key);
    }

    pub(super) fn tell_slow_reader(&mut self, key: Key, backlog_bytes: usize) {
        self.stats.slow_readers += 1;
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.conns.get(key)) {
            observer(&Event::SlowReader { peer: &conn.peer, backlog_bytes });
        }
    }
}
