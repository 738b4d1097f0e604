//! Messages from clients on their way to the service, and the requests among them until they are answered.
//!
//! *Scope:* handing messages over, the end of calls, cancelling. *Not in scope:* which transport a message came by: a call
//! knows the stream that its result goes to.
//!
//! ```text
//!  request ──▶ begin_call ──▶ service ─┬─ result, error ──▶ end_call ──▶ its stream
//!                                      └─ cancelled, session over ──▶ end_call, and no response
//! ```

use crate::engine::core::Core;
use crate::engine::state::calls::PendingRequest;
use crate::http::head::Head;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Message, Notification};
use crate::service::ServiceRequest;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Slot;
use crate::slab::Key;

impl Core {
    /// Gives a message to the service. What that answers is in the outbox afterwards.
    pub(crate) fn hand_over(
        &mut self,
        conn: Key,
        key: Key,
        head: &Head<'_>,
        message: &Message<'_>,
        call: Option<CallKey>,
    ) {
        let now = self.now();
        let Core { sessions, connections, service, outbox, .. } = self;
        if call.is_some_and(|call| sessions.call(call).is_none()) {
            // A message before it in its batch has cancelled it.
            return;
        }
        let (Some(entry), Some(conn_entry)) = (sessions.get_mut(key), connections.get(conn)) else { return };
        let session = SessionKey(key);
        match (message, call) {
            (Message::Request(request), Some(call)) => {
                let (method, params) = (&*request.method, request.params);
                let (id, peer) = (&request.id, &conn_entry.peer);
                let incoming = ServiceRequest { call, id, session, method, params, head, peer, now };
                service.request(&incoming, &mut entry.session, outbox);
            }
            (Message::Request(_), None) => {}
            (Message::Notification(notification), _) if notification.method == "notifications/cancelled" => {
                self.cancel_by_id(conn, key, notification);
            }
            (Message::Notification(notification), _) => {
                service.notification(session, &mut entry.session, notification, outbox);
            }
            (Message::Response(answer), _) => {
                if !service.answer(session, answer, now, outbox) {
                    self.stray_answer(conn, answer);
                }
            }
        }
    }

    /// Reserves the place of a request's answer on that stream; `None` if the session has too many open.
    pub(crate) fn begin_call(
        &mut self,
        session: Key,
        stream: Key,
        id: &IdRef<'_>,
        method: &str,
    ) -> Option<CallKey> {
        let entry = self.streams.get_mut(stream)?;
        let place = (stream, entry.call_bytes());
        let call = self.sessions.begin_call(session, place, id, method, &self.common.limits)?;
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        {
            entry.open += u32::from(entry.source.is_answer());
        }
        Some(call)
    }

    /// What is said where there is too much for one more call: an error of the transport's own, or where there are no
    /// sessions of the server (MCP 2026-07-28 keeps no code for it).
    pub(crate) fn too_much(&self, call: &PendingRequest, reason: &str) -> jsonrpc::Error {
        let entry = self.sessions.get(call.service_session());
        let stateless = entry.is_some_and(|entry| !entry.session.revision().has_sessions());
        let code = if stateless { jsonrpc::Error::INTERNAL_ERROR } else { -32000 };
        jsonrpc::Error::new(code, format!("busy: {reason}"))
    }

    /// What is said to a request for which there is no room, and counted.
    pub(crate) fn busy_with_calls(&mut self) -> jsonrpc::Error {
        self.stats.busy += 1;
        let max = self.limits().calls_max;
        let text = format!("busy: {max} requests of this session are open (limit calls_max)");
        jsonrpc::Error::new(-32000, text)
    }

    /// Takes a call out; `None` if it is not open.
    pub(crate) fn end_call(&mut self, key: CallKey) -> Option<PendingRequest> {
        let ended = self.sessions.end_call(key)?;
        // Nothing is said of progress after the end (MCP progress).
        if let Some(stream) = self.stream_of_call(&ended).and_then(|stream| self.streams.get_mut(stream))
            && let Some(owed) = &mut stream.owed
        {
            owed.remove(ended.service_session(), Slot::Progress(key));
            #[cfg(feature = "stateless")]
            ended.lone.into_iter().for_each(|lone| owed.forget(lone));
        }
        #[cfg(feature = "streamable")]
        self.touch(ended.session);
        Some(ended)
    }

    /// A call was answered or cancelled, and is out of the table.
    pub(crate) fn finish_call(&mut self, ended: &PendingRequest) {
        #[cfg(feature = "stateless")]
        if let Some(lone) = ended.lone {
            self.end_request(lone);
        }
        self.finish_if_last(ended.session);
    }

    /// Cancels the call that a notification names. One that names several cancels none: the client knows which it means,
    /// and nobody else does.
    fn cancel_by_id(&mut self, conn: Key, session: Key, notification: &Notification<'_>) {
        let id = notification.params.and_then(|params| params.member("requestId").ok().flatten());
        let Some(id) = id.and_then(IdRef::read) else { return };
        let mut calls = self.sessions.calls_of_id(session, &id);
        let Some(call) = calls.next() else { return };
        match calls.count() {
            0 => self.cancel(call),
            more => self.ambiguous_cancel(conn, &id, more + 1),
        }
    }

    /// A cancelled request gets no response (MCP cancellation), but a POST does that waits for nothing else.
    fn cancel(&mut self, call: CallKey) {
        let Some(pending) = self.sessions.call_mut(call) else { return };
        // It is still there while the service is told, so that word to its client finds the way.
        pending.cancelled = true;
        self.service.cancelled(call, &mut self.outbox);
        self.flush();
        let Some(ended) = self.end_call(call) else { return };
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        self.answer_cancelled(&ended);
        self.finish_call(&ended);
    }

    /// Cancels all calls of a session that is over.
    pub(crate) fn cancel_calls(&mut self, session: Key) {
        loop {
            let first = self.sessions.calls_of(session).next().map(|(call, _)| call);
            let Some(call) = first else { return };
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            self.note_session_over(call);
            self.cancel(call);
        }
    }
}
