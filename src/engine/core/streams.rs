//! What is sent on streams.
//!
//! *Scope:* messages on a stream, which a connection carries. *Not in scope:* which stream a message goes to (`deliver`),
//! the answers to POSTs (`answers`), streams that lose their connection (`streamable`).

use crate::engine::core::Core;
use crate::engine::state::calls::PendingRequest;
use crate::engine::state::coalesced::Coalesced;
use crate::engine::state::message::MessageKind;
use crate::engine::state::streams::Source;
use crate::service::outbox::{Audience, Slot};
use crate::slab::Key;
use crate::sse;
use crate::text::keep_on_one_line;

impl Core {
    /// Puts one message on a stream, whether or not a connection carries it now.
    pub(crate) fn send(&mut self, key: Key, kind: MessageKind, write: impl FnOnce(&mut Vec<u8>)) {
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        self.become_events(key);
        let Core { streams, connections, common, stats, .. } = self;
        let Some(stream) = streams.get(key) else { return };
        #[cfg(feature = "resume")]
        if stream.log.is_some() {
            return self.send_logged(key, kind, write);
        }
        #[cfg(not(feature = "resume"))]
        let _ = kind;
        let (before, after) = match stream.source {
            Source::Lines => (&b""[..], &b"\n"[..]),
            #[cfg(feature = "streamable")]
            Source::Batch => (&b""[..], &b"\n"[..]),
            _ => (sse::MESSAGE_START, sse::MESSAGE_END),
        };
        let Some(conn) = stream.conn else { return };
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

    /// A message was put on a stream.
    pub(crate) fn keep_bounds(&mut self, conn: Key, backlog_bytes: usize) {
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
        // An answer that becomes a stream just now has its head in the output, and no more.
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        let begins = match self.connections.get(conn).and_then(|conn| conn.stream) {
            Some(stream) => self.become_events(stream),
            None => false,
        };
        #[cfg(not(any(feature = "streamable", feature = "stateless")))]
        let begins = false;
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| {
            if begins || conn.http.outgoing().is_empty() {
                conn.http.push(common, |out| sse::comment(out, "ping"));
            }
        });
    }

    /// Sends the response to a request.
    pub(crate) fn answer_call(&mut self, call: &PendingRequest, write: impl FnOnce(&mut Vec<u8>)) {
        let key = call.stream;
        let Some(stream) = self.streams.get(key) else {
            // The client is gone (a lost connection is no cancellation before 2026-07-28), and got no id to come back with.
            self.stats.late += 1;
            return;
        };
        match stream.source {
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            source if source.is_answer() => self.answer_post(key, write),
            _ => self.send(key, MessageKind::Response, write),
        }
    }

    /// A connection carries the stream from now on.
    pub(crate) fn attach(&mut self, key: Key, conn: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.conn = Some(conn);
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        if stream.source == Source::Post {
            return;
        }
        if let Some(entry) = self.sessions.get_mut(stream.session) {
            entry.stream = Some(key);
            #[cfg(feature = "resume")]
            entry.streamable.iter_mut().for_each(|kind| kind.kept.lost = None);
        }
    }
}
