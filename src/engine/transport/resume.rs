//! Streams that outlive their connections (MCP 2025-11-25, transports, "Resumability and redelivery").
//!
//! *Scope:* event ids and priming events on streams of Streamable HTTP, clients that lost one and come back for the
//! rest, calls that send their client away until they are done. *Not in scope:* what is kept, and for how long
//! (`state`); HTTP+SSE, whose sessions end with their stream.
//!
//! ```text
//!             ┌──── message ──▶ event with an id ──▶ connection, if there is one; and kept
//!  stream ────┤
//!             ├ connection lost, or Call::disconnect ──▶ left ── GET with Last-Event-ID ──▶ what was missed, and on
//!             └ all answered ──▶ over ── GET with Last-Event-ID ──▶ what was missed, and the end
//! ```
//!
//! What was missed is all that has to arrive, or the client gets 400; of notifications there may be gaps: only the latest
//! are kept.

use std::time::Duration;

use crate::engine::core::Engine;
use crate::engine::refusals::{REFUSED, refusal};
use crate::engine::state::calls::OpenCall;
use crate::engine::state::ids::{ROOM, id_text};
use crate::engine::state::replay::{EventId, Kind, StreamId};
use crate::engine::state::sessions::Open;
use crate::engine::state::streams::{Held, Post, Replay, Resumable, STREAM_FIELDS, Verdict, Way};
use crate::http::head::{Head, Single};
use crate::http::response::{OwnedResponse, Response};
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::slab::Key;
use crate::sse::{self, Frame};
use crate::text::{keep_on_one_line, shown};
use crate::timers::Nanos;

/// Events.
impl Engine {
    /// The stream that a connection carries, if it is one that can be resumed, and its session.
    pub(crate) fn carried(&self, conn: Key) -> Option<(Key, StreamId)> {
        let entry = self.conns.get(conn)?;
        match &entry.post {
            Some(post) => Some((post.session, post.stream?)),
            None => Some((entry.session?, self.replay(entry.session?)?.get()?)),
        }
    }

    fn replay(&self, session: Key) -> Option<&Replay> {
        Some(&self.sessions.get(session)?.life.as_ref()?.replay)
    }

    /// Changes what a session keeps, and counts it.
    fn with_replay<R>(&mut self, session: Key, act: impl FnOnce(&mut Replay) -> R) -> Option<R> {
        let life = self.sessions.get_mut(session)?.life.as_mut()?;
        let result = act(&mut life.replay);
        life.replay.recount();
        Some(result)
    }

    /// Says something on a stream, whether or not a connection carries it now.
    pub(crate) fn tell(
        &mut self,
        session: Key,
        stream: StreamId,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let conn = self.conn_of(session, stream);
        let Some(id) = self.with_replay(session, |replay| replay.next_event(stream)).flatten() else {
            return;
        };
        if conn.is_none() && self.is_forgotten(Way::Left(session, stream)) {
            // The id is used up, so that whoever comes learns that something is missing.
            return;
        }
        let mut text = Vec::new();
        write(&mut text);
        keep_on_one_line(&mut text);
        self.stats.messages_queued += 1;
        if let Some(entry) = conn.and_then(|conn| self.conns.get_mut(conn)) {
            entry.last_output = Nanos::of(self.now);
            entry.http.push(&mut self.common, |out| write_event(out, id, &text));
        }
        let (bytes_max, timeout) = (self.common.limits.replay_bytes_max, self.common.limits.replay_timeout);
        let now = self.now.mono;
        self.with_replay(session, |replay| replay.keep(id, kind, text.into(), now, bytes_max));
        let due = now.saturating_add(timeout);
        self.session_timers.wake_by(&mut self.sessions, session, due);
        match conn {
            Some(conn) => self.framed(conn),
            None => self.relieve(),
        }
    }

    /// Whether it is a session's stream that nobody has come for in too long a time, so that nothing is kept for it.
    pub(crate) fn is_forgotten(&self, way: Way) -> bool {
        let Way::Left(session, stream) = way else { return false };
        self.replay(session).is_some_and(|replay| replay.get() == Some(stream) && !replay.keeps_get())
    }

    fn conn_of(&self, session: Key, stream: StreamId) -> Option<Key> {
        let replay = self.replay(session)?;
        match replay.get() == Some(stream) {
            true => self.sessions.get(session)?.conn,
            false => replay.conn(stream),
        }
    }

    /// Gives the answer on this connection, which has just become a stream, an id. `retry` is how long the client is to wait
    /// before it comes back, where the stream is about to be closed.
    pub(crate) fn begin_stream(&mut self, conn: Key, retry: Option<Duration>) {
        let post = self.conns.get(conn).and_then(|entry| entry.post.as_ref());
        let resumes = !self.common.limits.replay_timeout.is_zero();
        let post = post.filter(|post| resumes && !post.is_refusal());
        let Some(session) = post.map(|post| post.session) else { return };
        let now = self.now.mono;
        let stream = self.with_replay(session, |replay| replay.begin_post(conn, now));
        if let Some(post) = self.conns.get_mut(conn).and_then(|entry| entry.post.as_mut()) {
            post.stream = stream;
        }
        self.put_calls_on(session, conn, stream);
        self.prime(conn, retry);
    }

    /// The event that lets a client come back that has seen nothing else yet, if it takes such events.
    fn prime(&mut self, conn: Key, retry: Option<Duration>) {
        let Some((session, stream)) = self.carried(conn) else { return };
        let frame = self.priming(session, stream, retry);
        if let Some(entry) = self.conns.get_mut(conn).filter(|_| !frame.is_empty()) {
            entry.last_output = Nanos::of(self.now);
            entry.http.push(&mut self.common, |out| out.extend_from_slice(&frame));
        }
    }

    fn priming(&mut self, session: Key, stream: StreamId, retry: Option<Duration>) -> Vec<u8> {
        let mut frame = Vec::new();
        let primes = self.sessions.get(session).is_some_and(takes_empty_events);
        if primes && let Some(Some(id)) = self.with_replay(session, |replay| replay.next_event(stream)) {
            let retry_ms = retry.and_then(|retry| u64::try_from(retry.as_millis()).ok());
            let id = id.to_string();
            Frame { id: Some(&id), retry_ms, data: Some(""), ..Frame::default() }.encode(&mut frame);
        }
        frame
    }
}

/// Since 2025-11-25: older clients choke on empty data.
fn takes_empty_events(open: &Open) -> bool {
    open.life.is_some() && open.session.revision() >= Revision::V2025_11_25
}

fn write_event(out: &mut Vec<u8>, id: EventId, text: &[u8]) {
    sse::id(out, &id.to_string());
    [sse::MESSAGE_START, text, sse::MESSAGE_END].iter().for_each(|part| out.extend_from_slice(part));
}

fn nothing_to_resume(last: &[u8]) -> OwnedResponse {
    let text = format!(
        "Bad request: nothing can be resumed from the Last-Event-ID `{}`: it is not of this session, or what came after \
         it is kept no longer; open a stream without Last-Event-ID, and ask again for what is missing",
        shown(last)
    );
    refusal(400, REFUSED, text)
}

/// Calls whose answer is a stream.
impl Engine {
    /// What carries the messages of a call: the answer to its POST if that can be a stream, else its session's stream.
    pub(crate) fn way_of_call(&self, call: &OpenCall) -> Option<Way> {
        if let Some(stream) = call.stream {
            return Some(self.way(call.session, stream));
        }
        self.post_of_call(call).map(Way::Conn).or_else(|| self.way_of_session(call.session))
    }

    /// The connection whose POST can be answered, or is being answered, by a stream with the call's messages.
    fn post_of_call(&self, call: &OpenCall) -> Option<Key> {
        if let Some(stream) = call.stream {
            return self.conn_of(call.session, stream);
        }
        let takes_events = |conn: &Key| {
            let post = self.conns.get(*conn).filter(|conn| !conn.closing).and_then(|conn| conn.post.as_ref());
            post.is_some_and(|post| post.sse)
        };
        call.post.filter(takes_events)
    }

    /// What carries the messages that belong to no call.
    pub(crate) fn way_of_session(&self, session: Key) -> Option<Way> {
        let conn = self.sessions.get(session)?.conn.map(Way::Conn);
        conn.or_else(|| Some(Way::Left(session, self.replay(session)?.get()?)))
    }

    fn way(&self, session: Key, stream: StreamId) -> Way {
        self.conn_of(session, stream).map_or(Way::Left(session, stream), Way::Conn)
    }

    /// A call on a stream is answered.
    pub(crate) fn answer_stream(
        &mut self,
        session: Key,
        stream: StreamId,
        verdict: Verdict,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        match self.conn_of(session, stream) {
            Some(conn) => self.answer_post(conn, verdict, write),
            None => {
                self.tell(session, stream, Kind::Response, write);
                self.left_settled(session, stream);
            }
        }
    }

    /// A call on a stream was cancelled, or its session is over.
    pub(crate) fn stream_call_cancelled(&mut self, call: &OpenCall, stream: StreamId, over: bool) {
        match self.conn_of(call.session, stream) {
            Some(conn) => self.call_cancelled(conn, &call.id, over),
            None => self.left_settled(call.session, stream),
        }
    }

    fn left_settled(&mut self, session: Key, stream: StreamId) {
        let settled = self.with_replay(session, |replay| {
            let post = replay.left_mut(stream)?;
            post.open = post.open.saturating_sub(1);
            Some(post.open)
        });
        if settled == Some(Some(0)) {
            self.stream_over(session, stream);
        }
    }

    /// All is answered: what is kept of it waits for its client a while longer.
    pub(crate) fn stream_over(&mut self, session: Key, stream: StreamId) {
        let (now, streams_max) = (self.now.mono, self.common.limits.replay_streams_max);
        self.with_replay(session, |replay| replay.end(stream, now, streams_max));
        let due = now.saturating_add(self.common.limits.replay_timeout);
        self.session_timers.wake_by(&mut self.sessions, session, due);
    }

    /// An answer loses its connection: its calls go on, and what they say is kept. `unsaid` is what a slow client was
    /// spared.
    pub(crate) fn leave_post(&mut self, post: Box<Post>, unsaid: Option<Box<Held>>) {
        let Some(stream) = post.stream else { return };
        let session = post.session;
        if self.with_replay(session, |replay| replay.leave(stream, post)) == Some(true) {
            self.tell_unsaid(session, stream, unsaid);
        }
    }

    /// A session's stream loses its connection.
    pub(crate) fn leave_get(&mut self, session: Key, unsaid: Option<Box<Held>>) {
        let now = self.now.mono;
        let Some(open) = self.sessions.get_mut(session) else { return };
        open.conn = None;
        self.with_replay(session, |replay| replay.leave_get(now));
        let due = now.saturating_add(self.common.limits.replay_timeout);
        self.session_timers.wake_by(&mut self.sessions, session, due);
        if let Some(stream) = self.replay(session).and_then(Replay::get) {
            self.tell_unsaid(session, stream, unsaid);
        }
    }

    fn tell_unsaid(&mut self, session: Key, stream: StreamId, unsaid: Option<Box<Held>>) {
        for text in unsaid.into_iter().flat_map(|held| held.into_texts()) {
            self.tell(session, stream, Kind::Notification, |out| out.extend_from_slice(&text));
        }
    }

    /// Ends the response to a call's POST and keeps what is still to come for when the client asks for it.
    pub(crate) fn disconnect(&mut self, call: CallKey, retry: Duration) {
        let Some(call) = self.calls.get(call.0).filter(|call| !call.cancelled) else { return };
        let resumes = self.sessions.get(call.session).is_some_and(takes_empty_events)
            && !self.common.limits.replay_timeout.is_zero();
        let Some(conn) = self.post_of_call(call).filter(|_| resumes) else { return };
        if !self.upgrade_with(conn, Some(retry)) {
            self.prime(conn, Some(retry));
        }
        let Some(entry) = self.conns.get_mut(conn) else { return };
        if entry.post.as_ref().is_none_or(|post| post.stream.is_none()) {
            return;
        }
        let (post, unsaid) = (entry.post.take(), entry.held.take());
        entry.http.end_response(&mut self.common);
        if let Some(post) = post {
            self.leave_post(post, unsaid);
        }
        self.forget_request(conn);
        self.enqueue(conn);
        self.schedule(conn);
    }
}

/// Clients that come back.
impl Engine {
    /// Closes the connection that carries the session's stream, if there is one: the client has asked for the stream again, so
    /// that one is lost or given up. Returns what had not been said on it.
    pub(crate) fn take_get(&mut self, session: Key) -> Option<Box<Held>> {
        let old = self.sessions.get_mut(session)?.conn.take()?;
        let entry = self.conns.get_mut(old)?;
        entry.session = None;
        let unsaid = entry.held.take();
        self.close(old);
        unsaid
    }

    /// The session's stream begins anew. Returns its first event, which may be empty.
    pub(crate) fn begin_get(&mut self, session: Key) -> Vec<u8> {
        let resumes = !self.common.limits.replay_timeout.is_zero();
        let stream = resumes.then(|| self.with_replay(session, Replay::begin_get)).flatten();
        stream.map_or_else(Vec::new, |stream| self.priming(session, stream, None))
    }

    /// Where a GET wants to go on; `None` if it wants a stream from now on.
    pub(crate) fn last_event(
        &self,
        session: Key,
        head: &Head<'_>,
    ) -> Result<Option<(EventId, Resumable)>, OwnedResponse> {
        let text = match head.single("last-event-id") {
            Single::Absent => return Ok(None),
            Single::Several => {
                return Err(refusal(400, REFUSED, "Bad request: Last-Event-ID is sent more than once"));
            }
            Single::One(text) => text,
        };
        let found = EventId::read(text).and_then(|id| Some((id, self.replay(session)?.resumable(id)?)));
        found.map(Some).ok_or_else(|| nothing_to_resume(text))
    }

    /// Goes on with a stream after the event `last`. A connection that still seems to carry it is closed: its client says
    /// that it has lost it.
    pub(crate) fn resume(&mut self, conn: Key, session: Key, (last, what): (EventId, Resumable)) {
        self.touch(session);
        if let Some(old) = self.conn_of(session, last.stream) {
            self.take_from(session, old);
        }
        // What the old connection had not said is kept now, too, and that may have cost room.
        if self.replay(session).and_then(|replay| replay.resumable(last)) != Some(what) {
            return self.answer(conn, &nothing_to_resume(last.to_string().as_bytes()));
        }
        let mut missed = Vec::new();
        self.with_replay(session, |replay| {
            replay.resume(last, |id, text| write_event(&mut missed, id, text));
        });
        let Some(id) = self.sessions.get(session).map(|open| open.session.id) else { return };
        let mut room = ROOM;
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", id_text(&self.settings.node_id, id, &mut room))];
        if what == Resumable::Over {
            let content_type = Some(sse::MEDIA_TYPE);
            let response = Response { status: 200, headers: &fields, content_type, body: &missed };
            return self.respond(conn, &response);
        }
        self.open_stream(conn, &fields, |out| out.extend_from_slice(&missed));
        let carries_post = what == Resumable::Open;
        if let Some(open) = self.sessions.get_mut(session).filter(|_| !carries_post) {
            open.conn = Some(conn);
        }
        let post = self.with_replay(session, |replay| replay.carry(last.stream, conn)).flatten();
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.post = post;
            entry.session = (!carries_post).then_some(session);
            entry.last_output = Nanos::of(self.now);
        }
    }

    /// Takes a stream from the connection that carries it.
    fn take_from(&mut self, session: Key, old: Key) {
        let Some(entry) = self.conns.get_mut(old) else { return };
        let (post, unsaid) = (entry.post.take(), entry.held.take());
        entry.session = None;
        match post {
            Some(post) => self.leave_post(post, unsaid),
            None => self.leave_get(session, unsaid),
        }
        self.close(old);
    }

    /// Drops what was kept for too long.
    pub(crate) fn expire_replay(&mut self, session: Key, now: Duration) {
        let timeout = self.common.limits.replay_timeout;
        self.with_replay(session, |replay| replay.expire(now, timeout));
        if let Some(oldest) = self.replay(session).and_then(Replay::oldest) {
            self.session_timers.wake_by(&mut self.sessions, session, oldest.saturating_add(timeout));
        }
    }

    /// Drops what is kept for the session that has most of it. Says whether there was any.
    pub(crate) fn shed_replay(&mut self) -> bool {
        let kept =
            self.sessions.iter().filter_map(|(key, open)| Some((open.life.as_ref()?.replay.bytes(), key)));
        let Some((1.., session)) = kept.max() else { return false };
        self.stats.replays_shed += 1;
        self.with_replay(session, Replay::shed);
        true
    }
}
