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

use crate::engine::core::Core;
use crate::engine::refusals::{NO_SESSION, REFUSED, Refused};
use crate::engine::state::calls::PendingRequest;
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::engine::state::message::MessageKind;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::answer::{Form, Waiting};
use crate::engine::state::streams::{STREAM_FIELDS, Source, Stream};
use crate::http::response::{JSON, Response};
use crate::jsonrpc::{self, Error};
use crate::service::keys::{CallKey, SessionKey};
use crate::service::session::Session;
use crate::slab::Key;
use crate::sse;
use crate::text::keep_on_one_line;

/// The form of an answer.
impl Core {
    /// Turns an answer that waits into a stream of events. Returns true if it did.
    pub(crate) fn become_events(&mut self, key: Key) -> bool {
        let Some(replies) = self.begin_events(key) else { return false };
        #[cfg(feature = "resume")]
        self.begin_log(key, None);
        self.send_replies(key, replies);
        true
    }

    /// Sends the head of a stream of events. Returns the responses that have waited so far; `None` if the answer does not
    /// wait.
    pub(crate) fn begin_events(&mut self, key: Key) -> Option<Vec<Vec<u8>>> {
        let Core { streams, connections, common, sessions, settings, .. } = self;
        let stream = streams.get_mut(key)?;
        let conn = stream.conn.filter(|_| stream.waiting().is_some())?;
        if !connections.get(conn).is_some_and(|conn| conn.http.is_waiting()) {
            return None;
        }
        let Form::Waiting(waiting) = std::mem::take(&mut stream.form) else { return None };
        let mut buffer = ID_BUFFER;
        let id = session_to_name(stream, sessions.get(stream.session))
            .map(|entry| id_text(&settings.node_id, entry.session.id, &mut buffer));
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", id.unwrap_or_default())];
        let fields = fields.get(..if id.is_some() { 3 } else { 2 }).unwrap_or_default();
        connections.with(conn, |conn| conn.http.begin_chunks(sse::MEDIA_TYPE, fields, common));
        Some(waiting.into_replies())
    }

    pub(crate) fn send_replies(&mut self, key: Key, replies: Vec<Vec<u8>>) {
        for text in replies {
            self.send(key, MessageKind::Response, |out| out.extend_from_slice(&text));
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

    /// A request is answered by an error, or by none. Without a session that has a status of its own.
    pub(crate) fn note_failure(&mut self, call: &PendingRequest, status: Option<u16>) {
        let (Some(stream), Some(status)) = (self.streams.get_mut(call.stream), status) else { return };
        stream.answer.failed = true;
        let entry = self.sessions.get(call.session);
        if let Some(waiting) = stream.waiting_mut()
            && entry.is_some_and(|entry| !entry.session.revision().has_sessions())
        {
            waiting.status = status;
        }
    }

    /// Adds a response to the answer of its POST.
    pub(crate) fn answer_post(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(stream) = self.streams.get(key) else { return };
        let conn = stream.conn.and_then(|conn| self.connections.get(conn));
        // The responses to a batch of lines are counted, whether or not they arrive.
        let is_lost = stream.source == Source::Post && conn.is_none_or(|conn| conn.is_closing());
        #[cfg(feature = "resume")]
        let is_lost = is_lost && stream.log.is_none();
        if is_lost {
            self.stats.late += 1;
            return;
        }
        self.add_reply(key, write);
        self.settle(key);
    }

    /// The call is cancelled because its session ends.
    pub(crate) fn note_session_over(&mut self, call: CallKey) {
        let stream = self.sessions.call(call).map(|call| call.stream);
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream)) {
            stream.answer.session_over = true;
        }
    }

    /// One of the requests was cancelled, or its session is over.
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
            // A stream can end without a response; JSON has to say something.
            says_so = !waiting.events && !session_over;
        }
        if says_so {
            let error = Error::new(REFUSED, "the request was cancelled");
            self.add_reply(key, |out| jsonrpc::write_error(out, Some((&call.id).into()), &error));
        }
        self.settle(key);
    }

    /// Adds a response to the stream, or keeps it while the answer waits.
    fn add_reply(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(waiting) = stream.waiting_mut() else {
            return self.send(key, MessageKind::Response, write);
        };
        let mut text = Vec::new();
        write(&mut text);
        keep_on_one_line(&mut text);
        waiting.add_reply(text);
        // A batch whose responses are many and large is better sent piece by piece; a client that cannot have it so gets
        // no more than a stream would.
        let (held, events, conn) = (waiting.held_bytes(), waiting.events, stream.conn);
        let limits = &self.common.limits;
        if held > limits.output_bytes_max || self.firm_bytes() > limits.buffered_bytes_max {
            conn.into_iter().for_each(|conn| self.drop_slow_reader(conn));
        } else if events && held > limits.message_bytes_max {
            self.become_events(key);
        }
    }

    fn settle(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.open = stream.open.saturating_sub(1);
            self.complete(key);
        }
    }

    /// Sends what the service has said to the requests of the POST on this connection, which are all handed over. What their
    /// handlers announce on other streams leaves before the answer.
    pub(crate) fn answer_handed_over(&mut self, conn: Key) {
        let Some(key) = self.connections.get(conn).and_then(|conn| conn.stream) else { return };
        if self.streams.get(key).is_none_or(|stream| stream.source != Source::Post) {
            return;
        }
        self.connections.dequeue(conn);
        self.flush();
        // Where all were refused, nothing has completed it.
        if self.streams.get(key).is_some_and(|stream| stream.conn.is_some()) {
            self.complete(key);
        }
        self.connections.enqueue(conn);
    }

    /// Sends the answer to a POST or to a batch, or ends it, once all of its requests are answered.
    pub(crate) fn complete(&mut self, key: Key) {
        let ends = |stream: &&Stream| stream.source.is_answer() && stream.open == 0;
        let Some(stream) = self.streams.get(key).filter(ends) else { return };
        #[cfg(feature = "streamable")]
        if stream.source == Source::Batch {
            return self.send_batch(key);
        }
        let Some(conn) = stream.conn else { return self.end_stream(key) };
        let as_json = stream.waiting().is_some_and(Waiting::ends_as_json);
        let is_silent = stream.waiting().is_none_or(|waiting| waiting.replies().is_empty());
        if !(as_json || stream.answer.session_over && is_silent) {
            self.become_events(key);
        }
        let Some(stream) = self.streams.get(key) else { return };
        let session = stream.session;
        #[cfg(feature = "streamable")]
        let is_refusal = stream.is_refusal();
        if stream.waiting().is_some() {
            self.respond_whole(conn, key);
        }
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            #[cfg(feature = "auth")]
            conn.forget_request();
            conn.stream = None;
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
        let Form::Waiting(waiting) = std::mem::replace(&mut stream.form, Form::Events) else { return };
        self.stats.messages_queued += waiting.replies().len() as u64;
        let mut buffer = ID_BUFFER;
        let id = session_to_name(stream, self.sessions.get(stream.session))
            .map(|entry| id_text(&self.settings.node_id, entry.session.id, &mut buffer));
        let mut array = Vec::new();
        let (status, body, named) = match waiting.replies() {
            [] => {
                let refused = Refused::new(404, Error::new(NO_SESSION, "Session not found"));
                array = refused.answer(waiting.ended.as_ref().map(Into::into)).body;
                (404, &array, false)
            }
            [one] if !waiting.batch => (waiting.status, one, true),
            _ => {
                waiting.write_array(&mut array);
                (200, &array, true)
            }
        };
        let busy = (status == 503).then_some(("Retry-After", "1"));
        let header = id.filter(|_| named).map(|id| ("Mcp-Session-Id", id)).or(busy);
        let response = Response { status, headers: header.as_slice(), content_type: Some(JSON), body };
        self.respond(conn, &response);
    }

    /// All requests of a POST are answered. What is kept of it waits for its client a while longer.
    fn end_stream(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        (stream.conn, stream.owed) = (None, None);
        #[cfg(feature = "resume")]
        if self.keep_ended(key) {
            return;
        }
        self.streams.remove(key);
    }
}

/// Requests without a session.
impl Core {
    /// Begins what is like a session of one request.
    pub(crate) fn begin_request(&mut self, session: Session) -> Key {
        let key = self.sessions.begin_request(session);
        if let Some(entry) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut entry.session);
        }
        key
    }

    /// A request without a session is over: it was answered, or its client is gone. Its stream was taken out before.
    pub(crate) fn end_request(&mut self, session: Key) {
        self.cancel_calls(session);
        if self.sessions.end_request(session) {
            self.service.closed(SessionKey(session));
            self.flush();
        }
    }

    /// The connection of a POST is lost, and with it a request without a session.
    pub(crate) fn lose_answer(&mut self, key: Key, session: Key) {
        #[cfg(feature = "streamable")]
        if self.sessions.get(session).is_some_and(|entry| entry.session.is_kept()) {
            return self.detach(key);
        }
        self.streams.remove(key);
        self.end_request(session);
    }
}

/// The session that an answer says it belongs to.
fn session_to_name<'e>(stream: &Stream, entry: Option<&'e SessionEntry>) -> Option<&'e SessionEntry> {
    entry.filter(|entry| entry.session.is_kept() && !stream.is_refusal())
}
