//! Sessions that do not end with a stream, which those of Streamable HTTP are.
//!
//! *Scope:* their deadlines and their end, and what happens when a stream of theirs loses its connection (`detach`).
//! *Not in scope:* which of them gives up its place for another one (`state::sessions::streamable` has the order).
//!
//! ```text
//!  no place for another session ──▶ over, see `places`
//!  initialize ──▶ initialize_timeout ── initialized, or any request ──▶ session_idle_timeout ──▶ over
//!                      └──▶ over            anything from the client, an open call, an open stream: from the beginning
//! ```

use std::net::IpAddr;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::engine::state::message::MessageKind;
use crate::engine::state::peers::network;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::sessions::streamable::Streamable;
use crate::engine::state::streams::answer::Form;
use crate::jsonrpc::{self, Request};
use crate::service::keys::CallKey;
use crate::slab::Key;
use crate::timers::Nanos;

impl Core {
    pub(crate) fn now_nanos(&self) -> Nanos {
        Nanos::of(self.common.now)
    }

    /// Begins a session for the peer of that connection, which does not end with a stream.
    pub(crate) fn begin_streamable(&mut self, conn: Key) -> Key {
        let now = self.now_nanos();
        let peer = self.connections.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        let session = self.begin_session(conn);
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.streamable = Some(Box::new(Streamable::new(peer, now)));
        }
        session
    }

    /// Notes that the client has used the session.
    pub(crate) fn touch(&mut self, session: Key) {
        let now = self.now_nanos();
        self.sessions.touch(session, now, &self.common.limits);
    }

    /// Ends sessions that nobody has used for too long. Open calls and an open stream are use.
    pub(crate) fn expire_sessions(&mut self) {
        let now = self.now_nanos();
        for key in self.sessions.take_due(now.duration()) {
            #[cfg(feature = "resume")]
            self.expire_logs(key);
            if self.sessions.is_expired(key, now, &self.common.limits) {
                self.end_streamable(key);
            }
        }
    }

    /// Ends a session of Streamable HTTP.
    pub(crate) fn end_streamable(&mut self, session: Key) {
        let kind = self.sessions.get(session).and_then(|entry| entry.streamable.as_ref());
        if let Some(peer) = kind.map(|kind| kind.peer.clone()) {
            self.end_session(session, &peer);
        }
    }

    /// A stream loses its connection. If its client can come back, it goes on.
    pub(crate) fn detach(&mut self, key: Key) {
        let Core { streams, sessions, connections, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        if let Some(conn) = stream.conn.take() {
            connections.with(conn, |conn| conn.stream = None);
        }
        #[cfg(feature = "resume")]
        if stream.log.is_some() {
            return self.keep_lost(key);
        }
        if let Some(entry) = sessions.get_mut(stream.session).filter(|entry| entry.stream == Some(key)) {
            entry.stream = None;
        }
        streams.remove(key);
    }
}

/// Answers of several requests.
impl Core {
    /// Reserves the place of a request whose response waits for others. One for which there is no place is told so among those.
    pub(crate) fn begin_call_of_answer(
        &mut self,
        session: Key,
        stream: Key,
        request: &Request<'_>,
    ) -> Option<CallKey> {
        let call = self.begin_call(session, stream, &request.id, &request.method);
        if call.is_none() {
            let (error, mut text) = (self.busy_with_calls(), Vec::new());
            jsonrpc::write_error(&mut text, Some(request.id.clone()), &error);
            let waiting = self.streams.get_mut(stream).and_then(|stream| stream.waiting_mut());
            waiting.into_iter().for_each(|waiting| waiting.add_reply(std::mem::take(&mut text)));
        }
        call
    }

    /// Sends the responses to a batch of lines. Where there are none, as after the end of its session, nothing is said.
    pub(crate) fn send_batch(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Form::Waiting(waiting) = std::mem::take(&mut stream.form) else { return };
        if !stream.answer.session_over && !waiting.replies().is_empty() {
            self.send(key, MessageKind::Response, |out| waiting.write_array(out));
        }
        self.streams.remove(key);
    }
}

/// Places for others.
impl Core {
    /// Ends a session where there is no place for another one of this peer, or of any.
    pub(crate) fn end_idle_for(&mut self, peer: &Peer) {
        if self.sessions.has_all(peer, self.limits()) {
            self.end_idle(network(peer));
        } else if self.sessions.count() >= self.limits().sessions_max {
            self.end_idle(None);
        }
    }

    /// Ends the session of that peer, or of all, that is first in the order.
    fn end_idle(&mut self, peer: Option<IpAddr>) {
        let Some(key) = self.sessions.first_idle(peer, &self.common.limits) else { return };
        let kind = self.sessions.get(key).and_then(|entry| entry.streamable.as_ref());
        let Some((peer, used)) = kind.map(|kind| (kind.peer.clone(), kind.used)) else { return };
        self.stats.sessions_evicted += 1;
        let idle = self.now().mono.saturating_sub(used.duration());
        self.observe(&Event::SessionEvicted { peer: &peer, idle });
        self.end_session(key, &peer);
    }

    /// True if a session of that peer, or of any, has no stream: it only waits for its calls.
    pub(crate) fn has_waiting(&self, peer: Option<IpAddr>) -> bool {
        let is_theirs = |of: &Peer| peer.is_none() || network(of) == peer;
        let waits = |entry: &SessionEntry| {
            entry.stream.is_none() && entry.streamable.as_ref().is_some_and(|kind| is_theirs(&kind.peer))
        };
        self.sessions.iter().any(|(_, entry)| waits(entry))
    }
}

/// True if a client that sends this request does more than look around.
pub(crate) fn is_work(method: &str) -> bool {
    !(matches!(method, "initialize" | "ping") || method.ends_with("/list"))
}
