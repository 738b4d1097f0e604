//! Sessions of Streamable HTTP, which do not end with a stream.
//!
//! *Scope:* their deadlines and their end; batches on a connection of lines, which belong to them. *Not in scope:* a stream
//! whose connection is lost (`streams`), and the order in which sessions end to make room (`state::sessions::streamable`).
//!
//! ```text
//!  no place for another session ──▶ over, see `places`
//!  initialize ──▶ initialize_timeout ── initialized, or any request ──▶ session_idle_timeout ──▶ over
//!                      └──▶ over            anything from the client, an open call, an open stream: from the beginning
//! ```

use std::net::IpAddr;

use crate::access::fairness::network;
use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::state::message::MessageKind;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::sessions::streamable::Streamable;
use crate::engine::state::streams::answer::{Asks, Form};
use crate::http::head::Head;
use crate::jsonrpc::{self, Message, Request};
use crate::memory::KeptText;
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

    /// Ends sessions that were not used for too long. An open call or stream counts as use.
    pub(crate) fn expire_sessions(&mut self) {
        for key in self.sessions.take_due(self.now().mono) {
            let now = self.now_nanos();
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
}

const ANSWER_FULL: &str =
    "the responses to the requests before it are long; send it again alone (limit output_bytes_max)";

/// Answers of several requests.
impl Core {
    /// Hands over messages whose responses are one answer, and sends what is answered as soon as that is much. All calls are open
    /// before the first one can be answered, or cancelled by a notification further on.
    pub(crate) fn hand_over_all(
        &mut self,
        conn: Key,
        stream: Key,
        head: &Head<'_>,
        messages: &[Message<'_>],
    ) {
        let Some(session) = self.streams.get(stream).map(|stream| stream.session) else { return };
        let mut begin = |message: &Message<'_>| match message {
            Message::Request(request) => self.begin_call_of_answer(session, stream, request),
            _ => None,
        };
        if let [message] = messages {
            let call = begin(message);
            return self.hand_over_one(conn, (stream, session), head, message, call);
        }
        let calls: Vec<Option<CallKey>> = messages.iter().map(begin).collect();
        for (message, call) in messages.iter().zip(calls) {
            self.hand_over_one(conn, (stream, session), head, message, call);
        }
    }

    fn hand_over_one(
        &mut self,
        conn: Key,
        (stream, session): (Key, Key),
        head: &Head<'_>,
        message: &Message<'_>,
        call: Option<CallKey>,
    ) {
        match call {
            Some(call) if self.is_answer_full(conn, stream) => self.outbox.busy(call, ANSWER_FULL),
            _ => self.hand_over(conn, session, head, message, call),
        }
        // All results at once would take as much memory as the messages of a batch times the longest result.
        if self.outbox.is_full() {
            self.flush();
        }
    }

    /// True if the answer may have no room for another response: the longest might not fit.
    fn is_answer_full(&self, conn: Key, key: Key) -> bool {
        let Some(stream) = self.streams.get(key) else { return false };
        let unsent_bytes = self.connections.get(conn).map_or(0, |conn| conn.http.unsent_bytes());
        let waiting_bytes = stream.waiting().map_or(0, |waiting| waiting.text_bytes());
        let bytes = unsent_bytes.max(waiting_bytes).max(stream.log_bytes()) + self.outbox.bytes();
        let limits = self.limits();
        bytes > limits.output_bytes_max - limits.message_bytes_max
    }

    /// Reserves the place of a request whose response waits for others. If there is no place for it, its error is one of those
    /// responses.
    fn begin_call_of_answer(&mut self, session: Key, stream: Key, request: &Request<'_>) -> Option<CallKey> {
        let call = self.begin_call(session, stream, &request.id, &request.method);
        if let Some(entry) = self.streams.get_mut(stream) {
            if is_work(&request.method) {
                entry.answer.note_work();
            }
            if call.is_none() {
                entry.answer.note_refusal();
            }
        }
        if call.is_none() {
            let (error, mut text) = (self.busy_with_calls(), Vec::new());
            jsonrpc::write_error(&mut text, Some(request.id.clone()), &error);
            let waiting = self.streams.get_mut(stream).and_then(|stream| stream.waiting_mut());
            if let Some(waiting) = waiting {
                waiting.add_reply(KeptText::of(text));
            }
        }
        call
    }

    /// Sends the responses to a batch of lines. If there are none, as after the end of its session, nothing is sent.
    pub(crate) fn send_batch(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Form::Waiting(waiting) = std::mem::take(&mut stream.form) else { return };
        if !stream.answer.session_over && waiting.replies_count() > 0 {
            self.send(key, MessageKind::Response, |out| waiting.write_array(out));
        }
        self.streams.remove(key);
    }
}

/// Room for other sessions.
impl Core {
    /// Notes that the requests of an answer have all ended. A session that was only refused has proven nothing.
    pub(crate) fn note_served(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else { return };
        if let Some(kind) = self.sessions.streamable_mut(stream.session) {
            kind.worked |= stream.answer.asks == Asks::Works;
        }
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

/// True if a client that sends this request does more than look around: a session without such a request is ended first.
fn is_work(method: &str) -> bool {
    !(matches!(method, "initialize" | "ping") || method.ends_with("/list"))
}
