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
use crate::engine::refusals::Refused;
use crate::engine::state::message::MessageKind;
use crate::engine::state::sessions::PendingRequest;
use crate::http::head::Head;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Message, Notification};
use crate::service::ServiceRequest;
use crate::service::ended::CallOutcome;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Slot;
use crate::slab::Key;

impl Core {
    /// Passes a message to the service. Its answers are in the outbox afterwards.
    pub(crate) fn hand_over(
        &mut self,
        conn: Key,
        key: Key,
        head: &Head<'_>,
        message: &Message<'_>,
        call: Option<CallKey>,
    ) {
        let now = self.now();
        if call.is_some_and(|call| self.sessions.call(call).is_none()) {
            // A message before it in its batch has cancelled it.
            return;
        }
        if let (Message::Request(request), Some(call)) = (message, call) {
            self.begin_timing(conn, call, &request.method);
        }
        let Core { sessions, connections, service, outbox, clients, .. } = self;
        let (Some(entry), Some(conn_entry)) = (sessions.get_mut(key), connections.get(conn)) else { return };
        let session = SessionKey(key);
        match (message, call) {
            (Message::Request(request), Some(call)) => {
                let (method, params) = (&*request.method, request.params);
                let (id, peer) = (&request.id, &conn_entry.peer);
                let incoming = ServiceRequest { call, id, session, method, params, head, peer, now };
                match entry.session.take_request(&incoming, clients) {
                    Ok(()) => service.request(&incoming, &mut entry.session, outbox),
                    Err(error) => outbox.error(call, &error),
                }
            }
            (Message::Request(_), None) => {}
            (Message::Notification(notification), _) if notification.method == "notifications/cancelled" => {
                self.cancel_by_id(conn, key, notification);
            }
            (Message::Notification(notification), _) => {
                if notification.method == "notifications/initialized" {
                    entry.session.operate(None);
                }
                service.notification(session, &mut entry.session, notification, outbox);
            }
            (Message::Response(answer), _) => {
                if !service.answer(session, answer, now, outbox) {
                    self.stray_answer(conn, answer);
                }
            }
        }
    }

    /// Takes a message whose answer goes on the stream of its session. Where too many requests are open, the refusal goes there too.
    #[inline]
    pub(crate) fn accept_message(&mut self, conn: Key, session: Key, head: &Head<'_>, message: &Message<'_>) {
        self.stats.messages_received += 1;
        let mut call = None;
        if let Message::Request(request) = message {
            let Some(stream) = self.sessions.get(session).and_then(|entry| entry.stream) else { return };
            call = self.begin_call(session, stream, &request.id, &request.method);
            if call.is_none() {
                let (error, id) = (self.busy_with_calls(), Some(request.id.clone()));
                let write = |out: &mut Vec<u8>| jsonrpc::write_error(out, id, &error);
                return self.send(stream, MessageKind::Response, write);
            }
        }
        self.hand_over(conn, session, head, message, call);
        self.flush();
    }

    /// The refusal of a request whose id an open one has: where all replies go on one stream, the id alone tells whose each is.
    #[inline]
    pub(crate) fn in_flight(&self, session: Key, id: &IdRef<'_>) -> Option<Refused> {
        self.sessions.calls_of_id(session, id).next()?;
        let error = jsonrpc::Error::invalid_request("a request with this id is in flight already");
        Some(Refused::new(400, error))
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
        entry.add_call();
        Some(call)
    }

    /// Returns the error of a call for which there is no room: −32000, or without sessions an internal error, because MCP
    /// 2026-07-28 has no code for it.
    pub(crate) fn too_much(&self, call: &PendingRequest, reason: &str) -> jsonrpc::Error {
        let entry = self.sessions.get(call.service_session());
        let stateless = entry.is_some_and(|entry| !entry.session.revision().has_sessions());
        let code = if stateless { jsonrpc::Error::INTERNAL_ERROR } else { -32000 };
        jsonrpc::Error::new(code, format!("busy: {reason}"))
    }

    /// Returns the error of a request over `calls_max`, and counts it.
    pub(crate) fn busy_with_calls(&mut self) -> jsonrpc::Error {
        self.stats.busy += 1;
        let max = self.limits().calls_max;
        let text = format!("busy: {max} requests of this session are open (limit calls_max)");
        jsonrpc::Error::new(-32000, text)
    }

    /// Removes a call; `None` if it is not open.
    pub(crate) fn end_call(&mut self, key: CallKey) -> Option<PendingRequest> {
        let ended = self.sessions.end_call(key)?;
        // No progress is sent after the end (MCP progress).
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

    /// Ends what ends with a call that was answered or cancelled, and removed.
    pub(crate) fn finish_call(&mut self, ended: &PendingRequest) {
        #[cfg(feature = "stateless")]
        if let Some(lone) = ended.lone {
            self.end_request(lone);
        }
        self.finish_if_last(ended.session);
    }

    /// Cancels the call that a notification names. If several have its id, none is cancelled: only the client knows which one
    /// it means.
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

    /// Cancels a call. It gets no response (MCP cancellation), but its POST is answered if nothing else is open on it.
    pub(crate) fn cancel(&mut self, call: CallKey) {
        let Some(pending) = self.sessions.call_mut(call) else { return };
        // It stays in the table until then, so that messages of the service to its client find their stream.
        pending.cancelled = true;
        let session = SessionKey(pending.service_session());
        self.service.cancelled(session, call, &mut self.outbox);
        self.flush();
        let Some(ended) = self.end_call(call) else { return };
        self.report_request(call, &ended, CallOutcome::Cancelled);
        self.answer_cancelled(&ended);
        self.finish_call(&ended);
    }

    /// Cancels all calls of a session that ends.
    pub(crate) fn cancel_calls(&mut self, session: Key) {
        loop {
            let first = self.sessions.calls_of(session).next().map(|(call, _)| call);
            let Some(call) = first else { return };
            self.note_session_over(call);
            self.cancel(call);
        }
    }
}
