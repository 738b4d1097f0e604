//! Streams: sending on them, and what happens when one loses its connection.
//!
//! *Scope:* messages on a stream, in the order in which they are sent; attaching a stream to a connection; losing the
//! connection. *Not in scope:* which stream a message goes to (`deliver`), the answers to POSTs (`answers`), what is kept of a
//! lost stream (`logs`) and how its client gets the rest (`transport::resume`).
//!
//! ```text
//!  attach ──▶ send … ──▶ connection lost ──▶ lose_stream ─┬─ HTTP+SSE, lines ────▶ the session ends
//!                                                         ├─ a POST's answer ─┬──▶ no session: the request is cancelled
//!                                                         │                   └──▶ a session: its calls go on; detach
//!                                                         └─ GET, a batch ───────▶ detach: kept if its client can resume it
//! ```
//!
//! Messages leave a stream in the order of the calls of `send`, with one exception: while the stream is slow, only the latest
//! progress, update or list change of each kind is kept (`send_latest`), and sent once there is room (`send_owed`).

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::state::coalesced::Coalesced;
use crate::engine::state::connections::Connection;
use crate::engine::state::message::{MessageKind, MessageText, Written};
use crate::engine::state::sessions::PendingRequest;
use crate::engine::state::streams::Source;
use crate::service::outbox::{Audience, Slot};
use crate::slab::Key;
use crate::sse;
use crate::text::keep_on_one_line;

impl Core {
    /// Puts one message on a stream, whether or not a connection carries it now.
    pub(crate) fn send(&mut self, key: Key, kind: MessageKind, write: impl FnOnce(&mut Vec<u8>)) {
        self.send_text(key, kind, Written(write));
    }

    /// As [`send`](Core::send), with any text.
    pub(crate) fn send_text(&mut self, key: Key, kind: MessageKind, text: impl MessageText) {
        if self.streams.get(key).is_some_and(|stream| stream.is_waiting()) {
            self.become_events(key);
        }
        let Core { streams, connections, common, stats, .. } = self;
        let Some(stream) = streams.get(key) else { return };
        if stream.is_logged() {
            return self.send_logged(key, kind, text);
        }
        let (before, after) = match stream.source {
            Source::Lines | Source::Batch => (&b""[..], &b"\n"[..]),
            _ => (sse::MESSAGE_START, sse::MESSAGE_END),
        };
        let Some(conn) = stream.conn else { return };
        let written = connections.with(conn, |conn| {
            let written = conn.http.push(common, |out| {
                out.extend_from_slice(before);
                let start = out.len();
                text.write(out);
                keep_on_one_line(out.get_mut(start..).unwrap_or_default());
                out.extend_from_slice(after);
            });
            written.map(|()| conn.http.unsent_bytes())
        });
        if let Some(backlog_bytes) = written.flatten() {
            stats.messages_queued += 1;
            self.keep_bounds(conn, backlog_bytes);
        }
    }

    /// Checks the limits after a message was put on a stream.
    pub(crate) fn keep_bounds(&mut self, conn: Key, backlog_bytes: usize) {
        if backlog_bytes > self.limits().output_bytes_max {
            self.drop_slow_reader(conn);
        }
        self.enforce_budget();
    }

    /// True if so much output waits on a stream that only messages that must arrive are sent.
    pub(crate) fn is_slow(&self, stream: Key) -> bool {
        let Some(stream) = self.streams.get(stream) else { return false };
        let conn = stream.conn.and_then(|conn| self.connections.get(conn));
        stream.is_behind()
            || conn.is_some_and(|conn| conn.http.unsent_bytes() > self.limits().output_bytes_max / 2)
    }

    /// Sends a notification. A slow stream gets only the latest one of its kind, once it has room again.
    pub(crate) fn send_latest(&mut self, key: Key, audience: Audience, slot: &Slot, text: &[u8]) {
        if !self.is_slow(key) {
            return self.send(key, MessageKind::Notification, |out| out.extend_from_slice(text));
        }
        let session = self.session_of_audience(key, audience);
        if let (Some(stream), Some(session)) = (self.streams.get_mut(key), session) {
            let owed = stream.owed.get_or_insert_with(|| Box::new(Coalesced::new(self.held.charge(0))));
            owed.insert(session, slot, text);
        }
    }

    /// Sends what a client has missed that has come back, and then the notifications that were held back for a slow stream, until
    /// it is slow again.
    pub(crate) fn send_owed(&mut self, conn: Key) {
        let Some(key) = self.connections.get(conn).and_then(|conn| conn.stream) else { return };
        self.catch_up(key);
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
        // An answer that becomes a stream just now has its head in the output, and no more.
        let stream = self.connections.get(conn).and_then(|conn| conn.stream);
        let begins = stream.is_some_and(|stream| self.become_events(stream));
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            if begins || conn.http.outgoing().is_empty() {
                conn.http.push(common, |out| sse::comment(out, "ping"));
            }
        });
    }

    /// Sends the response to a request.
    pub(crate) fn answer_call(&mut self, call: &PendingRequest, write: impl FnOnce(&mut Vec<u8>)) {
        self.answer_call_with(call, Written(write));
    }

    /// As [`answer_call`](Core::answer_call), with any text.
    pub(crate) fn answer_call_with(&mut self, call: &PendingRequest, text: impl MessageText) {
        let key = call.stream;
        let Some(stream) = self.streams.get(key) else {
            // The client is gone and has no id to resume with. (A lost connection is no cancellation before 2026-07-28.)
            self.stats.late += 1;
            return;
        };
        match stream.source.is_answer() {
            true => self.answer_post(call, text),
            false => self.send_text(key, MessageKind::Response, text),
        }
    }

    /// Attaches a stream to the connection that carries it from now on.
    pub(crate) fn attach(&mut self, key: Key, conn: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.conn = Some(conn);
        if stream.source == Source::Post {
            return;
        }
        if let Some(entry) = self.sessions.get_mut(stream.session) {
            entry.stream = Some(key);
            #[cfg(feature = "resume")]
            entry.streamable.iter_mut().for_each(|kind| kind.kept.lost = None);
        }
    }

    /// Handles the loss of a stream's connection: its client is gone, or the connection was closed.
    pub(crate) fn lose_stream(&mut self, key: Key, peer: &Peer) {
        let Some(stream) = self.streams.get(key) else { return };
        let session = stream.session;
        match stream.source {
            Source::Sse | Source::Lines => self.end_session(session, peer),
            Source::Post => self.lose_answer(key, session),
            Source::Batch => self.detach(key),
            Source::Get => {
                self.detach(key);
                #[cfg(feature = "streamable")]
                self.touch(session);
            }
        }
    }

    /// Separates a stream from its connection. It stays if its client can come back for it.
    pub(crate) fn detach(&mut self, key: Key) {
        let Core { streams, sessions, connections, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        if let Some(conn) = stream.conn.take() {
            connections.with(conn, Connection::forget_stream);
        }
        if stream.is_logged() {
            return self.keep_lost(key);
        }
        if let Some(entry) = sessions.get_mut(stream.session).filter(|entry| entry.stream == Some(key)) {
            entry.stream = None;
        }
        streams.remove(key);
    }
}
