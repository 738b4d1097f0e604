//! Messages from clients on their way to the service, and the requests among them until they are answered.
//!
//! *Scope:* the table of open calls, cancelling, the end of a session. *Not in scope:* which transport a message came by,
//! beyond the one thing that a call remembers of it: where its result goes.
//!
//! ```text
//!  request ──▶ begin_call ──▶ service ─┬─ result, error ──▶ end_call ──▶ its stream, or the POST that waits for it
//!                                      └─ cancelled, session over ──▶ end_call, and no response
//! ```

use crate::access::peer::Peer;
use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::engine::state::calls::OpenCall;
use crate::engine::state::peers::Share;
use crate::engine::state::replay::StreamId;
use crate::engine::state::streams::Way;
use crate::http::head::Head;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Message, Notification};
use crate::service::ServiceRequest;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Slot;
use crate::slab::Key;

impl Engine {
    /// Gives a message to the service. What that answers is in the outbox afterwards.
    pub(crate) fn hand_over(
        &mut self,
        conn: Key,
        key: Key,
        head: &Head<'_>,
        message: &Message<'_>,
        call: Option<CallKey>,
    ) {
        let Engine { sessions, conns, service, outbox, now, .. } = self;
        let now = *now;
        let (Some(open), Some(entry)) = (sessions.get_mut(key), conns.get(conn)) else { return };
        let session = SessionKey(key);
        match (message, call) {
            (Message::Request(request), Some(call)) => {
                let (method, params) = (&*request.method, request.params);
                let (id, peer) = (&request.id, &entry.peer);
                let incoming = ServiceRequest { call, id, session, method, params, head, peer, now };
                service.request(&incoming, &mut open.session, outbox);
            }
            (Message::Request(_), None) => {}
            (Message::Notification(notification), _) if notification.method == "notifications/cancelled" => {
                self.cancel_by_id(conn, key, notification);
            }
            (Message::Notification(notification), _) => {
                service.notification(session, &mut open.session, notification, outbox);
            }
            (Message::Response(answer), _) => {
                if !service.answer(session, answer, self.now, outbox) {
                    self.stray_answer(conn, answer);
                }
            }
        }
    }

    /// The open calls of a session with that id. Over Streamable HTTP there can be several: each POST has its own answer,
    /// so clients need not number them.
    pub(crate) fn calls_of_id(&self, session: Key, id: &IdRef<'_>) -> impl Iterator<Item = CallKey> {
        let first = self.sessions.get(session).and_then(|open| open.calls);
        let all = std::iter::successors(first, |key| self.calls.get(key.0)?.next);
        all.filter(|key| self.calls.get(key.0).is_some_and(|call| call.id == *id))
    }

    /// Cancels the call that a notification names. One that names several cancels none: the client knows which it means,
    /// and nobody else does.
    fn cancel_by_id(&mut self, conn: Key, session: Key, notification: &Notification<'_>) {
        let id = notification.params.and_then(|params| params.member("requestId").ok().flatten());
        let Some(id) = id.and_then(IdRef::read) else { return };
        let mut calls = self.calls_of_id(session, &id);
        let Some(call) = calls.next() else { return };
        match calls.count() {
            0 => self.cancel(call, false),
            more => self.ambiguous_cancel(conn, &id, more + 1),
        }
    }

    /// Reserves the place of a request's answer; `None` if the session has too many open. A ping always finds room: it
    /// is answered at once.
    pub(crate) fn begin_call(
        &mut self,
        session: Key,
        post: Option<Key>,
        id: &IdRef<'_>,
        method: &str,
    ) -> Option<CallKey> {
        let open = self.sessions.get_mut(session)?;
        if open.calls_count as usize >= self.common.limits.calls_max && method != "ping" {
            return None;
        }
        let id = id.clone().into_owned();
        let charge = self.held.charge(OpenCall::held_bytes(&id, post.is_some()));
        let call = OpenCall { session, id, post, stream: None, cancelled: false, next: open.calls, charge };
        let key = CallKey(self.calls.insert(call));
        open.calls = Some(key);
        open.calls_count += 1;
        Some(key)
    }

    /// What is said where there is too much for one more call: an error of the transport's own, or where there are no
    /// sessions of the server (MCP 2026-07-28 keeps no code for it).
    pub(crate) fn too_much(&self, call: &OpenCall, reason: &str) -> jsonrpc::Error {
        let alone =
            self.sessions.get(call.session).is_some_and(|open| !open.session.revision().has_sessions());
        let code = if alone { jsonrpc::Error::INTERNAL_ERROR } else { -32000 };
        jsonrpc::Error::new(code, format!("busy: {reason}"))
    }

    /// The answer to the POST on this connection has become a stream: its calls are found by that from now on.
    pub(crate) fn put_calls_on(&mut self, session: Key, conn: Key, stream: Option<StreamId>) {
        let mut next = self.sessions.get(session).and_then(|open| open.calls);
        while let Some(call) = next.and_then(|key| self.calls.get_mut(key.0)) {
            if call.post == Some(conn) && call.stream.is_none() {
                call.stream = stream;
            }
            next = call.next;
        }
    }

    /// What is said to a request for which there is no room, and counted.
    pub(crate) fn busy_with_calls(&mut self) -> jsonrpc::Error {
        self.stats.busy += 1;
        let max = self.common.limits.calls_max;
        let text = format!("busy: {max} requests of this session are open (limit calls_max)");
        jsonrpc::Error::new(-32000, text)
    }

    /// Takes a call out of its session and the table; `None` if it is not open.
    pub(crate) fn end_call(&mut self, key: CallKey) -> Option<OpenCall> {
        let mut ended = self.calls.remove(key.0)?;
        // Before its result is sent, which takes memory of its own.
        ended.charge.set(0);
        // Nothing is said of progress after the end (MCP progress).
        if let Some(Way::Conn(conn)) = self.way_of_call(&ended)
            && let Some(held) = self.conns.get_mut(conn).and_then(|conn| conn.held.as_mut())
        {
            held.remove(&Slot::Progress(key));
        }
        self.touch(ended.session);
        let open = self.sessions.get_mut(ended.session)?;
        open.calls_count -= 1;
        if open.calls == Some(key) {
            open.calls = ended.next;
            return Some(ended);
        }
        let mut at = open.calls;
        while let Some(call) = at.and_then(|key| self.calls.get_mut(key.0)) {
            if call.next == Some(key) {
                call.next = ended.next;
                break;
            }
            at = call.next;
        }
        Some(ended)
    }

    /// A cancelled request gets no response (MCP cancellation), but a POST does that waits for nothing else.
    fn cancel(&mut self, call: CallKey, session_over: bool) {
        let Some(open) = self.calls.get_mut(call.0) else { return };
        // It is still there while the service is told, so that word to its client finds the way.
        open.cancelled = true;
        self.service.cancelled(call, &mut self.outbox);
        self.flush();
        let Some(ended) = self.end_call(call) else { return };
        match (ended.stream, ended.post) {
            (Some(stream), _) => self.stream_call_cancelled(&ended, stream, session_over),
            (None, Some(conn)) => self.call_cancelled(conn, &ended.id, session_over),
            (None, None) => {}
        }
        self.finish_if_stopping(ended.session);
    }

    /// Cancels all calls of a session that is over.
    pub(crate) fn cancel_calls(&mut self, key: Key) {
        while let Some(call) = self.sessions.get(key).and_then(|open| open.calls) {
            self.cancel(call, true);
        }
    }

    /// A session is over, and with it everything it held.
    pub(crate) fn end_session(&mut self, key: Key, peer: &Peer) {
        self.cancel_calls(key);
        self.rank(key, None);
        self.session_timers.clear(&mut self.sessions, key);
        let Some(open) = self.sessions.remove(key) else { return };
        drop(open.life);
        self.by_id.remove(&open.session.id);
        self.peers.remove(peer, Share::Session);
        self.service.closed(SessionKey(key));
        // What was said to it finds nobody, but its calls' deadlines are to be forgotten.
        self.flush();
        if let Some(stream) = open.conn
            && let Some(entry) = self.conns.get_mut(stream)
        {
            entry.session = None;
            self.finish(stream);
        }
        self.observe(&Event::SessionClosed { peer });
    }
}
