//! The answer to a POST of Streamable HTTP: JSON for as long as it can be, a stream as soon as it has to be.
//!
//! *Scope:* [`Post`], from the requests that were taken to the end of their answer. *Not in scope:* taking them
//! (`streamable`), and where else messages go (`deliver`).
//!
//! ```text
//!            ┌─ another message, or keep_alive passed ──▶ SSE ─── all answered ──▶ end of the stream
//!  waiting ──┤
//!            └─ all answered ──▶ JSON
//! ```

use std::time::Duration;

use crate::engine::core::Engine;
use crate::engine::refusals::{NO_SESSION, REFUSED, Refused};
use crate::engine::state::connections::Connection;
use crate::engine::state::ids::{ROOM, id_text};
use crate::engine::state::replay::Kind;
use crate::engine::state::streams::{Post, STREAM_FIELDS, Verdict};
use crate::http::response::{JSON, Response};
use crate::json::write::Array;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{self, Error};
use crate::slab::Key;
use crate::sse;
use crate::text::keep_on_one_line;
use crate::timers::Nanos;

impl Engine {
    /// All requests of a POST are handed over. What their handlers announce on other streams leaves before the answer.
    pub(crate) fn handed_over(&mut self, conn: Key) {
        self.dequeue(conn);
        self.flush();
        self.complete_post(conn);
        self.enqueue(conn);
    }

    /// One of the requests is answered.
    pub(crate) fn answer_post(&mut self, conn: Key, verdict: Verdict, write: impl FnOnce(&mut Vec<u8>)) {
        let entry = self.conns.get_mut(conn);
        let waits = |entry: &&mut Connection| {
            !entry.closing || entry.post.as_ref().is_some_and(|post| post.outlives())
        };
        let Some(post) = entry.filter(waits).and_then(|entry| entry.post.as_mut()) else {
            // Whoever asked is gone (a lost connection is no cancellation before 2026-07-28), and got no id to come back
            // with.
            self.stats.late += 1;
            return;
        };
        if let Verdict::Error(status) = verdict {
            post.failed = true;
            let open = self.sessions.get(post.session);
            if open.is_some_and(|open| !open.session.revision().has_sessions()) {
                post.status = status;
            }
        }
        self.add_reply(conn, write);
        self.post_settled(conn);
    }

    /// One of the requests was cancelled, or its session is over.
    pub(crate) fn call_cancelled(&mut self, conn: Key, id: &Id, session_over: bool) {
        let Some(post) = self.conns.get_mut(conn).and_then(|entry| entry.post.as_mut()) else { return };
        post.session_over |= session_over;
        post.ended = (session_over && !post.batch).then(|| id.clone());
        // A stream can end without a response; JSON has to say something.
        if !post.sse && !session_over {
            let error = Error::new(REFUSED, "the request was cancelled");
            self.add_reply(conn, |out| jsonrpc::write_error(out, Some(id.into()), &error));
        }
        self.post_settled(conn);
    }

    /// Adds a response to the stream, or keeps it while the answer is JSON.
    fn add_reply(&mut self, conn: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(entry) = self.conns.get_mut(conn) else { return };
        let streams = entry.http.is_chunking() || entry.http.is_stream();
        let Some(post) = entry.post.as_mut().filter(|post| !streams && !post.outlives()) else {
            return self.say(conn, Kind::Response, write);
        };
        let mut text = Vec::new();
        write(&mut text);
        keep_on_one_line(&mut text);
        post.add_reply(text);
        // A batch whose responses are many and large is better sent piece by piece; a client that cannot have it so gets
        // no more than a stream would.
        let (held, streams, limits) = (post.held_bytes(), post.sse, &self.common.limits);
        if held > limits.output_bytes_max || self.firm_bytes() > limits.buffered_bytes_max {
            self.drop_slow_reader(conn);
        } else if streams && held > limits.message_bytes_max {
            self.upgrade(conn);
        }
    }

    fn post_settled(&mut self, conn: Key) {
        let Some(post) = self.conns.get_mut(conn).and_then(|entry| entry.post.as_mut()) else { return };
        post.open = post.open.saturating_sub(1);
        self.complete_post(conn);
    }

    /// Makes the answer a stream, if it waits and is none yet. Says whether it did.
    pub(crate) fn upgrade(&mut self, conn: Key) -> bool {
        self.upgrade_with(conn, None)
    }

    /// The same for a stream that is about to be closed: `retry` is how long the client is to wait before it comes back.
    pub(crate) fn upgrade_with(&mut self, conn: Key, retry: Option<Duration>) -> bool {
        let Some(entry) = self.conns.get_mut(conn) else { return false };
        let waits = entry.http.is_waiting() && !entry.http.is_chunking();
        let Some(post) = entry.post.as_mut().filter(|_| waits) else { return false };
        let replies = post.take_replies();
        let mut room = ROOM;
        let open = self.sessions.get(post.session).filter(|_| post.names_session());
        let id = open.map(|open| id_text(&self.settings.node_id, open.session.id, &mut room));
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", id.unwrap_or_default())];
        let fields = fields.get(..if id.is_some() { 3 } else { 2 }).unwrap_or_default();
        entry.last_output = Nanos::of(self.now);
        entry.http.begin_chunks(sse::MEDIA_TYPE, fields, &mut self.common);
        self.begin_stream(conn, retry);
        for text in replies {
            self.say(conn, Kind::Response, |out| out.extend_from_slice(&text));
        }
        self.enqueue(conn);
        self.schedule(conn);
        true
    }

    /// Sends the answer, or ends it, once all of its requests are answered.
    pub(crate) fn complete_post(&mut self, conn: Key) {
        let Some(entry) = self.conns.get_mut(conn) else { return };
        if entry.post.as_ref().is_none_or(|post| post.open > 0) {
            return;
        }
        // What has a status of its own has to be told by it, in whatever form.
        let is_json =
            |post: &Post| (post.json && !(post.sse && post.replies().is_empty())) || post.status != 200;
        let json = entry.post.as_ref().is_some_and(|post| is_json(post));
        let over = entry.post.as_ref().is_some_and(|post| post.session_over && post.replies().is_empty());
        if !json && !over {
            self.upgrade(conn);
        }
        let Some(entry) = self.conns.get_mut(conn) else { return };
        let Some(mut post) = entry.post.take() else { return };
        self.forget_request(conn);
        let Some(entry) = self.conns.get_mut(conn) else { return };
        if entry.http.is_chunking() || entry.http.is_stream() {
            entry.http.end_response(&mut self.common);
        } else {
            self.stats.messages_queued += post.replies().len() as u64;
            self.respond_whole(conn, &post);
        }
        post.take_replies();
        if let Some(stream) = post.stream {
            self.stream_over(post.session, stream);
        }
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.held = None;
        }
        self.relieve();
        self.enqueue(conn);
        self.schedule(conn);
        if post.alone {
            self.end_alone(post.session);
        } else if post.is_refusal() {
            self.end_streamable(post.session);
        }
    }

    fn respond_whole(&mut self, conn: Key, post: &Post) {
        let mut room = ROOM;
        let open = self.sessions.get(post.session);
        let id = open.map(|open| id_text(&self.settings.node_id, open.session.id, &mut room));
        let id = id.filter(|_| post.names_session());
        let mut array = Vec::new();
        let (status, body, named) = match post.replies() {
            [] => {
                let refused = Refused::new(404, Error::new(NO_SESSION, "Session not found"));
                array = refused.answer(post.ended.as_ref().map(Into::into)).body;
                (404, &array, false)
            }
            [one] if !post.batch => (post.status, one, true),
            several => {
                let mut items = Array::new(&mut array);
                several.iter().for_each(|text| {
                    items.item(|out| out.extend_from_slice(text));
                });
                items.end();
                (200, &array, true)
            }
        };
        let busy = (status == 503).then_some(("Retry-After", "1"));
        let header = id.filter(|_| named).map(|id| ("Mcp-Session-Id", id)).or(busy);
        let response = Response { status, headers: header.as_slice(), content_type: Some(JSON), body };
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.http.respond(&response, &mut self.common);
        }
    }
}
