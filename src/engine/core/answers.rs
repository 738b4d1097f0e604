//! Answers to POSTs on the path of Streamable HTTP: JSON for as long as they can be, events as soon as they have to be.
//!
//! *Scope:* the responses to a POST's requests, and requests that have no session. *Not in scope:* which messages a stream
//! gets (`deliver`), clients that come back (`transport::resume`).
//!
//! ```text
//!            ┌─ another message, or keep_alive passed ──▶ events ─── all answered ──▶ end of the stream
//!  waiting ──┤                                              │
//!            └─ all answered ──▶ JSON                       └─ connection lost, or Call::disconnect ──▶ detach
//! ```

use uuid::Uuid;

use crate::access::peer::Principal;
use crate::engine::budget::MEMORY_FULL;
use crate::engine::core::Core;
use crate::engine::refusals::{NO_SESSION, REFUSED, Refused};
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::engine::state::message::{MessageKind, MessageText, Written};
use crate::engine::state::sessions::PendingRequest;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::answer::{Form, Waiting, bytes_of};
use crate::engine::state::streams::{Source, Stream, with_stream_fields};
use crate::http::conn::close::CloseReason;
use crate::http::response::{JSON, Response};
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{self, Error};
use crate::memory::KeptText;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::session::Session;
use crate::slab::Key;
use crate::sse;
use crate::text::keep_on_one_line;

/// Returns a text that is not kept, in one piece and one line.
fn whole(text: impl MessageText) -> KeptText {
    let mut out = Vec::new();
    text.write(&mut out);
    keep_on_one_line(&mut out);
    KeptText::Whole(out)
}

/// The form of an answer.
impl Core {
    /// Turns an answer that waits into a stream of events. Returns true if it did.
    pub(crate) fn become_events(&mut self, key: Key) -> bool {
        let Some(replies) = self.begin_events(key) else { return false };
        self.begin_log(key, None);
        self.send_replies(key, replies);
        true
    }

    /// Sends the head of a stream of events. Returns the responses that have waited so far; `None` if the answer does not
    /// wait.
    pub(crate) fn begin_events(&mut self, key: Key) -> Option<Vec<KeptText>> {
        let Core { streams, connections, common, sessions, settings, .. } = self;
        let stream = streams.get_mut(key)?;
        let conn = stream.conn.filter(|_| stream.is_waiting())?;
        if !connections.get(conn).is_some_and(|conn| conn.http.is_waiting()) {
            return None;
        }
        let Form::Waiting(waiting) = std::mem::take(&mut stream.form) else { return None };
        let session = session_to_name(stream, sessions.get(stream.session));
        with_stream_fields(session, settings, |fields| {
            connections.with(conn, |conn| conn.http.begin_chunks(sse::MEDIA_TYPE, fields, common));
        });
        Some(waiting.into_replies())
    }

    pub(crate) fn send_replies(&mut self, key: Key, replies: Vec<KeptText>) {
        for text in replies {
            self.send_text(key, MessageKind::Response, text);
        }
    }
}

/// Responses.
impl Core {
    /// Answers the request that waits.
    pub(crate) fn respond(&mut self, key: Key, response: &Response<'_>) {
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.respond(response, common));
    }

    /// Notes that a request is answered by an error, if `status` is not `None`. Without a session the answer gets that HTTP
    /// status.
    pub(crate) fn note_failure(&mut self, call: &PendingRequest, status: Option<u16>) {
        let (Some(stream), Some(status)) = (self.streams.get_mut(call.stream), status) else { return };
        stream.answer.failed = true;
        #[cfg(feature = "streamable")]
        if status == 503 {
            stream.answer.note_refusal();
        }
        let entry = self.sessions.get(call.session);
        if let Some(waiting) = stream.waiting_mut()
            && entry.is_some_and(|entry| !entry.session.revision().has_sessions())
        {
            waiting.status = status;
        }
    }

    /// Adds a response to the answer of its POST.
    pub(crate) fn answer_post(&mut self, call: &PendingRequest, text: impl MessageText) {
        let key = call.stream;
        let Some(stream) = self.streams.get(key) else { return };
        let conn = stream.conn.and_then(|conn| self.connections.get(conn));
        // The responses to a batch of lines are counted, whether or not they arrive.
        let is_lost = stream.source == Source::Post && conn.is_none_or(|conn| conn.is_closing());
        if is_lost && !stream.is_logged() {
            self.stats.late += 1;
            return;
        }
        self.add_reply(call, text);
        self.count_answered(key);
    }

    /// Notes that the call is cancelled because its session ends.
    pub(crate) fn note_session_over(&mut self, call: CallKey) {
        let stream = self.sessions.call(call).map(|call| call.stream);
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream)) {
            stream.answer.session_over = true;
        }
    }

    /// Handles a request that gets no response: it was cancelled, or its session has ended.
    pub(crate) fn answer_cancelled(&mut self, call: &PendingRequest) {
        let key = call.stream;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.source.is_answer()) else {
            return;
        };
        let session_over = stream.answer.session_over;
        let mut says_so = false;
        let is_post = stream.source == Source::Post;
        if let Some(waiting) = stream.waiting_mut().filter(|_| is_post) {
            waiting.ended = (session_over && !waiting.batch).then(|| call.id.clone());
            // A stream can end without a response, but a JSON body must not be empty.
            says_so = !waiting.events && !session_over;
        }
        if says_so {
            let error = Error::new(REFUSED, "the request was cancelled");
            let write = |out: &mut Vec<u8>| jsonrpc::write_error(out, Some((&call.id).into()), &error);
            self.add_reply(call, Written(write));
        }
        self.count_answered(key);
    }

    /// Adds a response to the stream, or keeps it while the answer waits. If there is no room for it, the POST gets 503.
    fn add_reply(&mut self, call: &PendingRequest, text: impl MessageText) {
        let key = call.stream;
        let Some(stream) = self.streams.get(key) else { return };
        if !stream.is_waiting() {
            return self.send_text(key, MessageKind::Response, text);
        }
        let (conn, is_last) = (stream.conn, stream.open <= 1);
        let text = match is_last {
            // It leaves at once.
            true => whole(text),
            false => text.keep(),
        };
        if let Some(conn) = conn
            && !self.make_room(conn, bytes_of(&text))
        {
            return self.give_up_reply(conn, call, MEMORY_FULL);
        }
        let Some(waiting) = self.streams.get_mut(key).and_then(|stream| stream.waiting_mut()) else { return };
        waiting.add_reply(text);
        // Many large responses to a batch are sent as a stream, one by one. A client that takes no stream gets no more than the
        // limit of one. Requests that are still to be run are refused before that, so these are responses that came late.
        let (held, events) = (waiting.text_bytes(), waiting.events);
        let limits = &self.common.limits;
        if held > limits.output_bytes_max {
            let reason = "the responses to this batch are too long for one answer (limit output_bytes_max)";
            conn.into_iter().for_each(|conn| self.give_up_reply(conn, call, reason));
        } else if events && held > limits.message_bytes_max {
            self.become_events(key);
        }
    }

    /// Refuses a POST for whose responses there is no room. A connection of lines has nothing else that could be refused.
    fn give_up_reply(&mut self, conn: Key, call: &PendingRequest, reason: &str) {
        if !self.refuse_waiting(conn, Some(&call.id), reason) {
            self.drop_slow_reader(conn);
        }
    }

    /// Counts one request of the stream as answered. The last one completes the answer.
    fn count_answered(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.open = stream.open.saturating_sub(1);
            self.complete(key);
        }
    }

    /// Sends the service's answers to the requests of the POST on this connection, once all of them are handed over. What their
    /// handlers announce on other streams leaves first.
    pub(crate) fn answer_handed_over(&mut self, conn: Key) {
        let Some(key) = self.connections.get(conn).and_then(|conn| conn.stream) else { return };
        if self.streams.get(key).is_none_or(|stream| stream.source != Source::Post) {
            return;
        }
        self.connections.dequeue(conn);
        self.flush();
        // If all requests were refused, nothing has completed the answer.
        if self.streams.get(key).is_some_and(|stream| stream.conn.is_some()) {
            self.complete(key);
        }
        self.connections.enqueue(conn);
    }

    /// Sends the answer to a POST or to a batch, or ends it, once all of its requests are answered.
    pub(crate) fn complete(&mut self, key: Key) {
        let ends = |stream: &&Stream| stream.source.is_answer() && stream.open == 0;
        if self.streams.get(key).filter(ends).is_none() {
            return;
        }
        #[cfg(feature = "streamable")]
        self.note_served(key);
        let Some(stream) = self.streams.get(key) else { return };
        #[cfg(feature = "streamable")]
        if stream.source == Source::Batch {
            return self.send_batch(key);
        }
        if stream.is_behind() {
            // It ends when its client has caught up.
            return self.keep_behind(key);
        }
        let Some(conn) = stream.conn else { return self.end_stream(key) };
        let as_json = stream.waiting().is_some_and(Waiting::ends_as_json);
        let is_silent = stream.waiting().is_none_or(|waiting| waiting.replies_count() == 0);
        if !(as_json || stream.answer.session_over && is_silent) {
            self.become_events(key);
        }
        let Some(stream) = self.streams.get(key) else { return };
        let session = stream.session;
        #[cfg(feature = "streamable")]
        let is_refusal = stream.is_refusal();
        if stream.is_waiting() {
            self.respond_whole(conn, key);
        }
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            conn.forget_stream();
            conn.http.end_response(common);
        });
        self.end_stream(key);
        self.enforce_budget();
        if self.sessions.get(session).is_some_and(|entry| !entry.session.is_kept()) {
            self.end_request(session);
        }
        #[cfg(feature = "streamable")]
        if is_refusal {
            self.end_streamable(session);
        }
    }

    fn respond_whole(&mut self, conn: Key, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Form::Waiting(waiting) = std::mem::take(&mut stream.form) else { return };
        let count = waiting.replies_count();
        self.stats.messages_queued += count as u64;
        let mut buffer = ID_BUFFER;
        let id = session_to_name(stream, self.sessions.get(stream.session))
            .map(|id| id_text(&self.settings.node_id, id, &mut buffer));
        let (status, body, named) = match (count, waiting.batch) {
            (0, _) => {
                let refused = Refused::new(404, Error::new(NO_SESSION, "Session not found"));
                (404, refused.answer(waiting.ended.as_ref().map(Into::into)).body, false)
            }
            (1, false) => {
                let status = waiting.status;
                (status, waiting.into_reply().map(KeptText::into_vec).unwrap_or_default(), true)
            }
            _ => {
                let mut array = Vec::new();
                waiting.write_array(&mut array);
                (200, array, true)
            }
        };
        let busy = (status == 503).then_some(("Retry-After", "1"));
        let header = id.filter(|_| named).map(|id| ("Mcp-Session-Id", id)).or(busy);
        let response = Response { status, headers: header.as_slice(), content_type: Some(JSON), body: &body };
        self.respond(conn, &response);
    }

    /// All requests of a POST are answered. What is kept of it waits for its client a while longer.
    fn end_stream(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        (stream.conn, stream.owed) = (None, None);
        if !self.keep_ended(key) {
            self.streams.remove(key);
        }
    }
}

/// Answers that are given up.
impl Core {
    /// Returns how many bytes of responses are kept until an answer is complete.
    pub(crate) fn waiting_bytes(&self, stream: Key) -> usize {
        let waiting = self.streams.get(stream).and_then(|stream| stream.waiting());
        waiting.map_or(0, |waiting| waiting.held_bytes())
    }

    /// Answers the POST that waits on that connection with 503, and cancels its requests. The connection is closed after it.
    /// Returns false if none waits, or if its answer has begun.
    /// `answered` is the id of a request that is not open any more.
    pub(crate) fn refuse_waiting(&mut self, conn: Key, answered: Option<&Id>, reason: &str) -> bool {
        let Some(key) = self.connections.get(conn).and_then(|conn| conn.stream) else { return false };
        let waits = |stream: &&Stream| stream.source == Source::Post && stream.is_waiting();
        let Some(session) = self.streams.get(key).filter(waits).map(|stream| stream.session) else {
            return false;
        };
        let first = || self.sessions.calls_of(session).find(|(_, call)| call.stream == key);
        let id = answered.cloned().or_else(|| first().map(|(_, call)| call.id.clone()));
        let stateless =
            self.sessions.get(session).is_some_and(|entry| !entry.session.revision().has_sessions());
        let code = if stateless { Error::INTERNAL_ERROR } else { REFUSED };
        let error = Error::new(code, format!("busy: {reason}; try again"));
        self.stats.busy += 1;
        let refused = Refused::new(503, error).header("Retry-After", "1".to_owned());
        let answer = refused.answer(id.as_ref().map(Into::into));
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            conn.http.close_after_response(CloseReason::Evicted);
            conn.http.answer(&answer, common);
            conn.forget_stream();
        });
        self.report_answer(conn, &answer);
        self.abandon_answer(key, session);
        true
    }

    /// Cancels the requests of a POST that was answered otherwise.
    fn abandon_answer(&mut self, key: Key, session: Key) {
        if self.sessions.get(session).is_none_or(|entry| !entry.session.is_kept()) {
            self.streams.remove(key);
            return self.end_request(session);
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.conn = None;
            #[cfg(feature = "streamable")]
            stream.answer.note_refusal();
        }
        loop {
            let of_stream = |(_, call): &(CallKey, &PendingRequest)| call.stream == key;
            let next = self.sessions.calls_of(session).find(of_stream).map(|(call, _)| call);
            let Some(call) = next else { break };
            self.cancel(call);
        }
        self.streams.remove(key);
    }
}

/// Requests without a session.
impl Core {
    /// Begins the session that stands in for the one that a request does not have. It gets the principal of its connection.
    pub(crate) fn begin_request(
        &mut self,
        conn: Key,
        session: impl FnOnce(Option<Principal>) -> Session,
    ) -> Key {
        self.report_sessionless(conn);
        let conn = self.connections.get(conn);
        let (principal, mount) =
            conn.map(|conn| (conn.peer.principal.clone(), conn.mount)).unwrap_or_default();
        let key = self.sessions.begin_request(session(principal).under(mount));
        if let Some(entry) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut entry.session);
        }
        key
    }

    /// Ends a request without a session: it was answered, or its client is gone. Its stream was removed before.
    pub(crate) fn end_request(&mut self, session: Key) {
        self.cancel_calls(session);
        if self.sessions.end_request(session) {
            self.service.closed(SessionKey(session));
            self.flush();
        }
    }

    /// Handles the loss of a POST's connection, which cancels a request without a session.
    pub(crate) fn lose_answer(&mut self, key: Key, session: Key) {
        if self.sessions.get(session).is_some_and(|entry| entry.session.is_kept()) {
            return self.detach(key);
        }
        self.streams.remove(key);
        self.end_request(session);
    }

    /// The client sends nothing more, which cancels a request of a revision without sessions. What was said before that request
    /// is still sent. Before 2026-07-28 a client may still wait for the answer, or be gone: to a write, only the kernel of one
    /// that is gone answers with a reset (RFC 9293, section 3.10.7.1). So the answer becomes a stream at once, where it can be one.
    pub(crate) fn end_of_input(&mut self, conn: Key) {
        let Some(entry) = self.connections.get(conn) else { return };
        let Some((key, stream)) = entry.stream.and_then(|key| Some((key, self.streams.get(key)?))) else {
            return;
        };
        let session = stream.session;
        let Some(session_entry) = self.sessions.get(session) else { return };
        if stream.source != Source::Post || session_entry.session.is_kept() {
            return;
        }
        if session_entry.session.revision().has_sessions() {
            let waits = stream.waiting().is_some_and(|waiting| waiting.events && waiting.status == 200);
            if waits && entry.http.is_waiting() {
                self.comment(conn);
            }
            return;
        }
        self.streams.remove(key);
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            conn.forget_stream();
            conn.http.give_up(CloseReason::EndOfInput, common);
        });
        self.end_request(session);
    }
}

/// Returns the id of the session that an answer names in `Mcp-Session-Id`.
fn session_to_name(stream: &Stream, entry: Option<&SessionEntry>) -> Option<Uuid> {
    let entry = entry.filter(|entry| entry.session.is_kept() && !stream.is_refusal())?;
    Some(entry.session.id)
}
