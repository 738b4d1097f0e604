//! What is kept for clients that may come back, session by session.
//!
//! *Scope:* sending on streams that have a log, and time and memory of the logs. *Not in scope:* what one log keeps
//! (`state::event_log`), clients that come back (`transport::resume`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::core::Core;
use crate::engine::state::event_log::{EventId, EventLog};
use crate::engine::state::message::MessageKind;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::{Source, Stream};
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::slab::Key;
use crate::sse::{self, Frame};
use crate::text::keep_on_one_line;

/// Time and memory.
impl Core {
    /// The streams of a session that have a log.
    pub(crate) fn logged_streams(&self, session: Key) -> Vec<Key> {
        let Some(entry) = self.sessions.get(session) else { return Vec::new() };
        let Some(kind) = &entry.streamable else { return Vec::new() };
        let mut open: Vec<Key> = self.sessions.calls_of(session).map(|(_, call)| call.stream).collect();
        open.sort_unstable();
        open.dedup();
        let all = entry.any_stream().into_iter().chain(open).chain(kind.kept.over.iter().copied());
        all.filter(|key| self.streams.get(*key).is_some_and(|stream| stream.log.is_some())).collect()
    }

    /// Drops what was kept for too long.
    pub(crate) fn expire_logs(&mut self, session: Key) {
        let (now, timeout) = (self.now().mono, self.limits().replay_timeout);
        let streams = self.logged_streams(session);
        for key in &streams {
            if self.streams.get(*key).and_then(Stream::kept_since).is_some_and(|at| at.after(timeout) <= now)
            {
                self.drop_log(*key);
            }
        }
        let since = streams.iter().filter_map(|key| self.streams.get(*key)?.kept_since());
        if let Some(oldest) = since.min() {
            self.sessions.wake_by(session, oldest.after(timeout));
        }
    }

    /// Drops everything that is kept for a session. Its streams go on, the one included that is just being written to.
    pub(crate) fn drop_logs(&mut self, session: Key) {
        let of_session = self.streams.iter().filter(|(_, stream)| stream.session == session);
        let keys: Vec<Key> = of_session.map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.drop_log(key));
    }

    /// Drops what is kept of a stream, and the stream itself if that is over.
    pub(crate) fn drop_log(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.is_over() {
            if let Some(kind) = self.sessions.streamable_mut(stream.session) {
                kind.kept.over.retain(|over| *over != key);
            }
            self.streams.remove(key);
            return;
        }
        match (&mut stream.log, stream.source) {
            (Some(log), Source::Get) => log.stop(),
            (Some(log), _) => log.clear(),
            (None, _) => {}
        }
    }

    /// Drops what is kept for clients that may come back, of the session that has most of it. Returns true if there was any.
    pub(crate) fn shed_logs(&mut self) -> bool {
        let mut kept: BTreeMap<Key, usize> = BTreeMap::new();
        self.streams.iter().for_each(|(_, stream)| {
            *kept.entry(stream.session).or_default() += stream.log_bytes();
        });
        let most = kept.into_iter().map(|(session, bytes)| (bytes, session)).max();
        let Some((1.., session)) = most else { return false };
        self.stats.replays_shed += 1;
        self.drop_logs(session);
        true
    }
}

/// Messages.
impl Core {
    /// Puts a message on a stream with a log.
    pub(crate) fn send_logged(&mut self, key: Key, kind: MessageKind, write: impl FnOnce(&mut Vec<u8>)) {
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

    /// Gives a stream that a POST has opened just now a log, if its client can come back.
    pub(crate) fn begin_log(&mut self, key: Key, retry: Option<Duration>) {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let Some(stream) = streams.get_mut(key).filter(|stream| !stream.is_refusal()) else { return };
        let Some(kind) = sessions.streamable_mut(stream.session) else { return };
        if !common.limits.replay_timeout.is_zero() {
            let charge = streams.logged.charge(0);
            let log = EventLog::of_post(kind.kept.next_number(), now, charge);
            if let Some(stream) = streams.get_mut(key) {
                stream.log = Some(Box::new(log));
            }
            self.prime(key, retry);
        }
    }

    /// Gives a session's stream that a GET has opened just now a log. Returns what it begins with.
    pub(crate) fn begin_session_log(&mut self, key: Key) -> Vec<u8> {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let session = streams.get(key).map(|stream| stream.session);
        let kind = session.and_then(|session| sessions.streamable_mut(session));
        let charge = streams.logged.charge(0);
        if let (Some(stream), Some(kind)) = (streams.get_mut(key), kind)
            && !common.limits.replay_timeout.is_zero()
        {
            stream.log = Some(Box::new(EventLog::of_session(kind.kept.next_number(), now, charge)));
        }
        self.priming_event(key, None)
    }

    /// Sends the event that lets a client come back that has seen nothing else yet, if it takes such events.
    fn prime(&mut self, key: Key, retry: Option<Duration>) {
        let frame = self.priming_event(key, retry);
        let Core { streams, connections, common, .. } = self;
        if let Some(conn) = streams.get(key).and_then(|stream| stream.conn).filter(|_| !frame.is_empty()) {
            connections.with(conn, |conn| conn.http.push(common, |out| out.extend_from_slice(&frame)));
        }
    }

    fn priming_event(&mut self, key: Key, retry: Option<Duration>) -> Vec<u8> {
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

/// Connections that are lost.
impl Core {
    /// A stream has lost its connection, and goes on: its client can come back. What it was owed is kept with the rest.
    pub(crate) fn keep_lost(&mut self, key: Key) {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        let mut owed = stream.owed.take();
        let (session, source) = (stream.session, stream.source);
        if let Some(log) = stream.log.as_mut().filter(|_| source == Source::Get) {
            log.begin(now);
            sessions.wake_by(session, now.after(common.limits.replay_timeout));
            if let Some(entry) = sessions.get_mut(session) {
                entry.stream = None;
                entry.streamable.iter_mut().for_each(|kind| kind.kept.lost = Some(key));
            }
        }
        while let Some(text) = owed.as_mut().and_then(|owed| owed.pop()) {
            self.send(key, MessageKind::Notification, |out| out.extend_from_slice(&text));
        }
    }

    /// All requests of a POST are answered: its stream waits for its client a while longer. Returns false if it cannot.
    pub(crate) fn keep_ended(&mut self, key: Key) -> bool {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let limits = &common.limits;
        let Some(stream) = streams.get_mut(key) else { return false };
        let kind = sessions.streamable_mut(stream.session).filter(|_| limits.replay_streams_max > 0);
        let (Some(log), Some(kind)) = (&mut stream.log, kind) else { return false };
        log.end(now, size_of::<Stream>());
        let session = stream.session;
        // Before there is one too many, for which the queue would grow to twice its size.
        while kind.kept.over.len() >= limits.replay_streams_max
            && let Some(oldest) = kind.kept.over.pop_front()
        {
            streams.remove(oldest);
        }
        kind.kept.over.push_back(key);
        sessions.wake_by(session, now.after(limits.replay_timeout));
        true
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
        match self.begin_events(key) {
            Some(replies) => {
                self.begin_log(key, Some(retry));
                self.send_replies(key, replies);
            }
            None => self.prime(key, Some(retry)),
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

/// Since 2025-11-25: older clients choke on empty data.
fn takes_empty_events(entry: &SessionEntry) -> bool {
    entry.streamable.is_some() && entry.session.revision() >= Revision::V2025_11_25
}

pub(crate) fn write_event(out: &mut Vec<u8>, id: EventId, text: &[u8]) {
    sse::id(out, &id.to_string());
    [sse::MESSAGE_START, text, sse::MESSAGE_END].iter().for_each(|part| out.extend_from_slice(part));
}
