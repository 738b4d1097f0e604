//! What is sent on streams, and their ends: a POST's answer is JSON for as long as it can be, events as soon as it has to be.
//!
//! *Scope:* messages on a stream, the answers to a POST's requests, streams that lose their connection. *Not in scope:* which
//! stream a message goes to (`deliver`), clients that come back (`transport::resume`).
//!
//! ```text
//!            ┌─ another message, or keep_alive passed ──▶ events ─── all answered ──▶ end of the stream
//!  waiting ──┤                                              │
//!            └─ all answered ──▶ JSON                       └─ connection lost, or Call::disconnect ──▶ detach
//! ```

use std::time::Duration;

use crate::engine::core::Core;
use crate::engine::refusals::{NO_SESSION, REFUSED, Refused};
use crate::engine::state::calls::PendingRequest;
use crate::engine::state::coalesced::Coalesced;
use crate::engine::state::event_log::{EventId, EventLog, MessageKind};
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::{Form, STREAM_FIELDS, Source, Stream, Waiting};
use crate::http::response::{JSON, Response};
use crate::jsonrpc::{self, Error};
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::service::outbox::{Audience, Slot};
use crate::slab::Key;
use crate::sse::{self, Frame};
use crate::text::keep_on_one_line;

/// What a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Result,
    /// With the status that it has where there is no session.
    Error(u16),
}

/// Messages.
impl Core {
    /// Puts one message on a stream, whether or not a connection carries it now.
    pub(crate) fn send(&mut self, key: Key, kind: MessageKind, write: impl FnOnce(&mut Vec<u8>)) {
        self.become_events(key, None);
        let Core { streams, connections, common, stats, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        let conn = stream.conn;
        if stream.log.is_some() {
            return self.send_logged(key, kind, write);
        }
        let (before, after) = match stream.source {
            Source::Lines | Source::Batch => (&b""[..], &b"\n"[..]),
            Source::Sse | Source::Get | Source::Post => (sse::MESSAGE_START, sse::MESSAGE_END),
        };
        let Some(conn) = conn else { return };
        let written = connections.with(conn, |conn| {
            let written = conn.http.push(common, |out| {
                out.extend_from_slice(before);
                let start = out.len();
                write(out);
                keep_on_one_line(out.get_mut(start..).unwrap_or_default());
                out.extend_from_slice(after);
            });
            written.map(|()| conn.http.outgoing().len())
        });
        if let Some(backlog_bytes) = written.flatten() {
            stats.messages_queued += 1;
            self.keep_bounds(conn, backlog_bytes);
        }
    }

    /// The same on a stream with a log.
    fn send_logged(&mut self, key: Key, kind: MessageKind, write: impl FnOnce(&mut Vec<u8>)) {
        let now = self.now_nanos();
        let Core { streams, connections, common, stats, sessions, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        let (conn, forgotten) = (stream.conn, stream.is_forgotten());
        let Some(log) = &mut stream.log else { return };
        let id = log.next_event();
        if forgotten {
            // The id is used up, so that a client that comes back learns that something is missing.
            return;
        }
        let mut text = Vec::new();
        write(&mut text);
        keep_on_one_line(&mut text);
        stats.messages_queued += 1;
        let backlog_bytes = conn.and_then(|conn| {
            connections.with(conn, |conn| {
                conn.http.push(common, |out| write_event(out, id, &text));
                conn.http.outgoing().len()
            })
        });
        let (bytes_max, timeout) = (common.limits.replay_bytes_max, common.limits.replay_timeout);
        // While nobody is there, no message makes the others of a session's stream wait longer.
        let since = (conn.is_some() || stream.source == Source::Post).then_some(now);
        log.push(id, kind, text.into(), since, bytes_max);
        sessions.wake_by(stream.session, now.after(timeout));
        match conn {
            Some(conn) => self.keep_bounds(conn, backlog_bytes.unwrap_or(0)),
            None => self.enforce_budget(),
        }
    }

    /// A message was put on a stream.
    fn keep_bounds(&mut self, conn: Key, backlog_bytes: usize) {
        if backlog_bytes > self.limits().output_bytes_max {
            self.drop_slow_reader(conn);
        }
        self.enforce_budget();
    }

    /// True if a stream takes so little that only what must be said is said.
    pub(crate) fn is_slow(&self, stream: Key) -> bool {
        let conn = self.streams.get(stream).and_then(|stream| self.connections.get(stream.conn?));
        conn.is_some_and(|conn| conn.http.outgoing().len() > self.limits().output_bytes_max / 2)
    }

    /// Sends a notification of which a slow stream gets the latest only, once it has room again.
    pub(crate) fn send_latest(&mut self, key: Key, audience: Audience, slot: &Slot, text: &[u8]) {
        if !self.is_slow(key) {
            return self.send(key, MessageKind::Notification, |out| out.extend_from_slice(text));
        }
        let session = self.session_on(key, audience);
        if let (Some(stream), Some(session)) = (self.streams.get_mut(key), session) {
            let owed = stream.owed.get_or_insert_with(|| Box::new(Coalesced::new(self.held.charge(0))));
            owed.insert(session, slot, text);
        }
    }

    /// Sends what a stream is owed, as far as it is not slow again.
    pub(crate) fn send_owed(&mut self, conn: Key) {
        let Some(key) = self.connections.get(conn).and_then(|conn| conn.stream) else { return };
        while self.streams.get(key).is_some_and(|stream| stream.owed.is_some()) && !self.is_slow(key) {
            let Some(stream) = self.streams.get_mut(key) else { return };
            match stream.owed.as_mut().and_then(|owed| owed.pop()) {
                Some(text) => {
                    self.send(key, MessageKind::Notification, |out| out.extend_from_slice(&text));
                }
                None => stream.owed = None,
            }
        }
    }

    /// Writes a comment on a silent stream, so that proxies and clients keep it.
    pub(crate) fn comment(&mut self, conn: Key) {
        let stream = self.connections.get(conn).and_then(|conn| conn.stream);
        // An answer that becomes a stream just now has its head in the output, and no more.
        let begins = stream.is_some_and(|stream| self.become_events(stream, None));
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            if begins || conn.http.outgoing().is_empty() {
                conn.http.push(common, |out| sse::comment(out, "ping"));
            }
        });
    }
}

/// The form of an answer.
impl Core {
    /// Makes an answer that waits one of events. `retry` is how long the client is to wait before it comes back, where the
    /// stream is about to be closed. Returns true if it was none.
    fn become_events(&mut self, key: Key, retry: Option<Duration>) -> bool {
        let Core { streams, connections, common, sessions, settings, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return false };
        let Some(conn) = stream.conn.filter(|_| stream.waiting().is_some()) else { return false };
        if !connections.get(conn).is_some_and(|conn| conn.http.is_waiting()) {
            return false;
        }
        let Form::Waiting(waiting) = std::mem::replace(&mut stream.form, Form::Events) else { return false };
        let mut buffer = ID_BUFFER;
        let id = session_to_name(stream, sessions.get(stream.session))
            .map(|entry| id_text(&settings.node_id, entry.session.id, &mut buffer));
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", id.unwrap_or_default())];
        let fields = fields.get(..if id.is_some() { 3 } else { 2 }).unwrap_or_default();
        connections.with(conn, |conn| conn.http.begin_chunks(sse::MEDIA_TYPE, fields, common));
        self.begin_log(key, retry);
        for text in waiting.into_replies() {
            self.send(key, MessageKind::Response, |out| out.extend_from_slice(&text));
        }
        true
    }

    /// Gives a stream that a POST has opened just now a log, if its client can come back.
    fn begin_log(&mut self, key: Key, retry: Option<Duration>) {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let Some(stream) = streams.get_mut(key).filter(|stream| !stream.is_refusal()) else { return };
        let Some(kind) = sessions.streamable_mut(stream.session) else { return };
        if !common.limits.replay_timeout.is_zero() {
            let charge = streams.logged.charge(0);
            let log = EventLog::of_post(kind.next_number(), now, charge);
            if let Some(stream) = streams.get_mut(key) {
                stream.log = Some(Box::new(log));
            }
            self.prime(key, retry);
        }
    }

    /// Sends the event that lets a client come back that has seen nothing else yet, if it takes such events.
    fn prime(&mut self, key: Key, retry: Option<Duration>) {
        let frame = self.priming_event(key, retry);
        let Core { streams, connections, common, .. } = self;
        if let Some(conn) = streams.get(key).and_then(|stream| stream.conn).filter(|_| !frame.is_empty()) {
            connections.with(conn, |conn| conn.http.push(common, |out| out.extend_from_slice(&frame)));
        }
    }

    pub(crate) fn priming_event(&mut self, key: Key, retry: Option<Duration>) -> Vec<u8> {
        let mut frame = Vec::new();
        let Some(stream) = self.streams.get_mut(key) else { return frame };
        if self.sessions.get(stream.session).is_some_and(takes_empty_events)
            && let Some(log) = &mut stream.log
        {
            let retry_ms = retry.and_then(|retry| u64::try_from(retry.as_millis()).ok());
            let id = log.next_event().to_string();
            Frame { id: Some(&id), retry_ms, data: Some(""), ..Frame::default() }.encode(&mut frame);
        }
        frame
    }
}

/// Answers.
impl Core {
    /// Sends the response to a request.
    pub(crate) fn answer_call(
        &mut self,
        call: &PendingRequest,
        outcome: Outcome,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let key = call.stream;
        let Some(stream) = self.streams.get_mut(key) else {
            // The client is gone (a lost connection is no cancellation before 2026-07-28), and got no id to come back with.
            self.stats.late += 1;
            return;
        };
        if !stream.source.is_answer() {
            return self.send(key, MessageKind::Response, write);
        }
        let conn = stream.conn.and_then(|conn| self.connections.get(conn));
        // The responses to a batch of lines are counted, whether or not they arrive.
        let is_post = stream.source == Source::Post;
        if is_post && stream.log.is_none() && conn.is_none_or(|conn| conn.is_closing()) {
            self.stats.late += 1;
            return;
        }
        if let Outcome::Error(status) = outcome {
            stream.failed = true;
            let entry = self.sessions.get(call.session);
            if let Some(waiting) = stream.waiting_mut()
                && entry.is_some_and(|entry| !entry.session.revision().has_sessions())
            {
                waiting.status = status;
            }
        }
        self.add_reply(key, write);
        self.settle(key);
    }

    /// One of the requests was cancelled, or its session is over.
    pub(crate) fn answer_cancelled(&mut self, call: &PendingRequest, session_over: bool) {
        let key = call.stream;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.source.is_answer()) else {
            return;
        };
        stream.session_over |= session_over;
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
            self.become_events(key, None);
        }
    }

    fn settle(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.open = stream.open.saturating_sub(1);
            self.complete(key);
        }
    }

    /// All requests of a POST are handed over. What their handlers announce on other streams leaves before the answer.
    pub(crate) fn handed_over(&mut self, conn: Key, stream: Key) {
        self.connections.dequeue(conn);
        self.flush();
        // Where all were refused, nothing has completed it.
        if self.streams.get(stream).is_some_and(|stream| stream.conn.is_some()) {
            self.complete(stream);
        }
        self.connections.enqueue(conn);
    }

    /// Sends the answer to a POST or to a batch, or ends it, once all of its requests are answered.
    pub(crate) fn complete(&mut self, key: Key) {
        let ends = |stream: &&Stream| stream.source.is_answer() && stream.open == 0;
        let Some(stream) = self.streams.get(key).filter(ends) else { return };
        if stream.source == Source::Batch {
            return self.send_batch(key);
        }
        let Some(conn) = stream.conn else { return self.end_stream(key) };
        let as_json = stream.waiting().is_some_and(Waiting::ends_as_json);
        let is_silent = stream.waiting().is_none_or(|waiting| waiting.replies().is_empty());
        if !(as_json || stream.session_over && is_silent) {
            self.become_events(key, None);
        }
        let Some(stream) = self.streams.get(key) else { return };
        let (session, is_refusal) = (stream.session, stream.is_refusal());
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
        } else if is_refusal {
            self.end_streamable(session);
        }
    }

    /// Sends the responses to a batch of lines. Where there are none, as after the end of its session, nothing is said.
    pub(crate) fn send_batch(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Form::Waiting(waiting) = std::mem::replace(&mut stream.form, Form::Events) else { return };
        if !stream.session_over && !waiting.replies().is_empty() {
            self.send(key, MessageKind::Response, |out| waiting.write_array(out));
        }
        self.streams.remove(key);
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
}

/// Connections that are lost.
impl Core {
    /// A stream loses its connection. If its client can come back, it goes on, and what it was owed is kept with the rest.
    pub(crate) fn detach(&mut self, key: Key) {
        let now = self.now_nanos();
        let Core { streams, sessions, connections, common, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        if let Some(conn) = stream.conn.take() {
            connections.with(conn, |conn| conn.stream = None);
        }
        let owed = stream.owed.take();
        let (session, source) = (stream.session, stream.source);
        let Some(log) = &mut stream.log else {
            if let Some(entry) = sessions.get_mut(session).filter(|entry| entry.stream == Some(key)) {
                entry.stream = None;
            }
            streams.remove(key);
            return;
        };
        if source == Source::Get {
            log.begin(now);
            sessions.wake_by(session, now.after(common.limits.replay_timeout));
            if let Some(entry) = sessions.get_mut(session) {
                entry.stream = None;
                entry.streamable.iter_mut().for_each(|kind| kind.lost = Some(key));
            }
        }
        let mut owed = owed;
        while let Some(text) = owed.as_mut().and_then(|owed| owed.pop()) {
            self.send(key, MessageKind::Notification, |out| out.extend_from_slice(&text));
        }
    }

    /// A connection carries the stream from now on.
    pub(crate) fn attach(&mut self, key: Key, conn: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.conn = Some(conn);
        if stream.source != Source::Post
            && let Some(entry) = self.sessions.get_mut(stream.session)
        {
            entry.stream = Some(key);
            entry.streamable.iter_mut().for_each(|kind| kind.lost = None);
        }
    }

    /// All requests of a POST are answered: what is kept of it waits for its client a while longer.
    fn end_stream(&mut self, key: Key) {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let limits = &common.limits;
        let Some(stream) = streams.get_mut(key) else { return };
        (stream.conn, stream.owed) = (None, None);
        let kind = sessions.streamable_mut(stream.session).filter(|_| limits.replay_streams_max > 0);
        let (Some(log), Some(kind)) = (&mut stream.log, kind) else {
            streams.remove(key);
            return;
        };
        log.end(now, size_of::<Stream>());
        let session = stream.session;
        // Before there is one too many, for which the queue would grow to twice its size.
        while kind.over.len() >= limits.replay_streams_max
            && let Some(oldest) = kind.over.pop_front()
        {
            streams.remove(oldest);
        }
        kind.over.push_back(key);
        sessions.wake_by(session, now.after(limits.replay_timeout));
    }

    /// Ends the response to a call's POST and keeps what is still to come for when the client asks for it.
    pub(crate) fn disconnect(&mut self, call: CallKey, retry: Duration) {
        let Some(call) = self.sessions.call(call).filter(|call| !call.cancelled) else { return };
        let resumes = self.sessions.get(call.session).is_some_and(takes_empty_events)
            && !self.limits().replay_timeout.is_zero();
        let key = call.stream;
        let takes_events = |stream: &&Stream| stream.source == Source::Post && stream.takes_events();
        let stream = self.streams.get(key).filter(takes_events).filter(|_| resumes);
        let Some(conn) = stream.and_then(|stream| stream.conn) else { return };
        if self.connections.get(conn).is_none_or(|conn| conn.is_closing()) {
            return;
        }
        if !self.become_events(key, Some(retry)) {
            self.prime(key, Some(retry));
        }
        if self.streams.get(key).is_none_or(|stream| stream.log.is_none()) {
            return;
        }
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            conn.http.end_response(common);
            #[cfg(feature = "auth")]
            conn.forget_request();
        });
        self.detach(key);
    }
}

/// The session that an answer says it belongs to.
fn session_to_name<'e>(stream: &Stream, entry: Option<&'e SessionEntry>) -> Option<&'e SessionEntry> {
    entry.filter(|entry| entry.session.is_kept() && !stream.is_refusal())
}

/// Since 2025-11-25: older clients choke on empty data.
fn takes_empty_events(entry: &SessionEntry) -> bool {
    entry.streamable.is_some() && entry.session.revision() >= Revision::V2025_11_25
}

pub(crate) fn write_event(out: &mut Vec<u8>, id: EventId, text: &[u8]) {
    sse::id(out, &id.to_string());
    [sse::MESSAGE_START, text, sse::MESSAGE_END].iter().for_each(|part| out.extend_from_slice(part));
}
