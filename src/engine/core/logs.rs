//! What is kept of streams, session by session, for clients that may resume them.
//!
//! *Scope:* sending on streams that have a log, and time and memory of the logs. *Not in scope:* what one log keeps
//! (`state::event_log`), clients that come back (`transport::resume`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::core::Core;
use crate::engine::state::event_log::{EventId, EventLog};
use crate::engine::state::message::{MessageKind, MessageText};
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::{Source, Stream};
use crate::http::conn::close::CloseReason;
use crate::memory::KeptText;
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::slab::Key;
use crate::sort::sort_by;
use crate::sse::{self, Frame};

/// Time and memory.
impl Core {
    /// The streams of a session that have a log.
    pub(crate) fn logged_streams(&self, session: Key) -> Vec<Key> {
        let Some(entry) = self.sessions.get(session) else { return Vec::new() };
        let Some(kind) = &entry.streamable else { return Vec::new() };
        let mut open: Vec<Key> = self.sessions.calls_of(session).map(|(_, call)| call.stream).collect();
        sort_by(&mut open, Ord::cmp);
        open.dedup();
        let all = entry.any_stream().into_iter().chain(open).chain(kind.kept.over.iter().copied());
        all.filter(|key| self.streams.get(*key).is_some_and(Stream::is_logged)).collect()
    }

    /// Drops what was kept for too long.
    pub(crate) fn expire_logs(&mut self, session: Key) {
        let (now, timeout) = (self.now_nanos(), self.limits().replay_timeout);
        let streams = self.logged_streams(session);
        for key in &streams {
            if self.streams.get(*key).and_then(Stream::kept_since).is_some_and(|at| at.later(timeout) <= now)
            {
                self.drop_log(*key);
            }
        }
        let since = streams.iter().filter_map(|key| self.streams.get(*key)?.kept_since());
        if let Some(oldest) = since.min() {
            self.sessions.wake_by(session, oldest.later(timeout));
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
        if !self.close_if_torn(key) {
            self.give_unsent(key);
        }
    }

    /// Closes the connection of a client that has come back and cannot be given everything any more: it learns that when it comes
    /// again. Returns true if it did.
    fn close_if_torn(&mut self, key: Key) -> bool {
        let Core { streams, connections, common, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return false };
        let Some(log) = stream.log.as_mut().filter(|log| log.has_lost_unsent()) else { return false };
        log.forget_client();
        if let Some(conn) = stream.conn {
            connections.with(conn, |conn| conn.http.abort(CloseReason::Budget, common));
        }
        true
    }

    /// Removes a stream that is over, and ends the connection on which its client has just come back for it.
    fn remove_over(&mut self, key: Key, reason: CloseReason) {
        if let Some(conn) = self.streams.remove(key).and_then(|stream| stream.conn) {
            self.connections.with(conn, |conn| conn.stream = None);
            self.connections.close(conn, reason);
        }
    }

    /// Drops the streams without a connection of a session that was taken out.
    pub(crate) fn drop_streams_of(&mut self, entry: &SessionEntry) {
        if let Some(kind) = &entry.streamable {
            let left = kind.kept.over.iter().chain(&kind.kept.lost);
            left.for_each(|stream| self.remove_over(*stream, CloseReason::SessionEnded));
        }
    }

    /// Returns the bytes that dropping the logs of a session frees, of each session that has any.
    pub(crate) fn log_bytes_by_session(&self) -> BTreeMap<Key, usize> {
        let mut kept = BTreeMap::new();
        for (_, stream) in self.streams.iter().filter(|(_, stream)| stream.sheddable_log_bytes() > 0) {
            *kept.entry(stream.session).or_default() += stream.sheddable_log_bytes();
        }
        kept
    }
}

/// Messages.
impl Core {
    /// Puts a message on a stream with a log.
    pub(crate) fn send_logged(&mut self, key: Key, kind: MessageKind, text: impl MessageText) {
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
        let mut text = text.keep();
        text.shrink_to_fit();
        stats.messages_queued += 1;
        // A client that has come back gets it after all that it has missed.
        let carrier = conn.filter(|_| !log.has_unsent());
        let backlog_bytes = carrier.and_then(|conn| {
            connections.with(conn, |conn| {
                conn.http.push(common, |out| write_event(out, id, &text));
                conn.http.unsent_bytes()
            })
        });
        let (bytes_max, timeout) = (common.limits.replay_bytes_max, common.limits.replay_timeout);
        // Without a connection, a new message does not extend the time for which a session's stream is kept.
        let since = (conn.is_some() || stream.source == Source::Post).then_some(now);
        log.push(id, kind, text, since, bytes_max);
        sessions.wake_by(stream.session, now.later(timeout));
        self.close_if_torn(key);
        match conn {
            Some(conn) => self.keep_bounds(conn, backlog_bytes.unwrap_or(0)),
            None => self.enforce_budget(),
        }
    }

    /// Sends a client that has come back what it has missed, as far as there is room in the output of its connection.
    pub(crate) fn catch_up(&mut self, key: Key) {
        if self.streams.get(key).is_some_and(Stream::is_behind) {
            self.give_unsent(key);
            self.enforce_budget();
        }
    }

    fn give_unsent(&mut self, key: Key) {
        let (now, max) = (self.now_nanos(), self.limits().turn_bytes_max);
        let Core { streams, connections, common, .. } = self;
        let Some(stream) = streams.get_mut(key).filter(|stream| stream.is_behind()) else { return };
        let (Some(log), Some(conn)) = (&mut stream.log, stream.conn) else { return };
        let is_over = stream.source == Source::Post && stream.open == 0;
        connections.with(conn, |conn| {
            log.give_unsent(now, |id, text| {
                let has_room = conn.http.unsent_bytes() < max;
                has_room && conn.http.push(common, |out| write_event(out, id, text)).is_some()
            });
            if is_over && !log.has_unsent() {
                conn.forget_stream();
                conn.http.end_response(common);
                stream.conn = None;
            }
        });
        if stream.is_over() && common.limits.replay_streams_max == 0 {
            self.drop_log(key);
        }
        if self.stopping.is_some() && self.streams.get(key).is_some_and(|stream| !stream.is_behind()) {
            self.finish(conn, CloseReason::Shutdown);
        }
    }

    /// Begins the log of a stream that a POST has just opened, if its client can resume it.
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

    /// Begins the log of a session's stream that a GET has just opened. Returns the first bytes of the stream.
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

    /// Sends an event without data, whose id lets a client resume before it has seen a message, if it takes such events.
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
    /// Keeps a stream that has lost its connection, since its client can resume it. Notifications that were held back are added
    /// to its log.
    pub(crate) fn keep_lost(&mut self, key: Key) {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let Some(stream) = streams.get_mut(key) else { return };
        let mut owed = stream.owed.take();
        let (session, source) = (stream.session, stream.source);
        stream.log.iter_mut().for_each(|log| log.forget_client());
        if let Some(log) = stream.log.as_mut().filter(|_| source == Source::Get) {
            log.begin(now);
            sessions.wake_by(session, now.later(common.limits.replay_timeout));
            if let Some(entry) = sessions.get_mut(session) {
                entry.stream = None;
                entry.streamable.iter_mut().for_each(|kind| kind.kept.lost = Some(key));
            }
        }
        while let Some(text) = owed.as_mut().and_then(|owed| owed.pop()) {
            self.send(key, MessageKind::Notification, |out| out.extend_from_slice(&text));
        }
    }

    /// Keeps the stream of a POST whose requests are all answered, so that its client can still resume it. Returns false if it
    /// cannot.
    pub(crate) fn keep_ended(&mut self, key: Key) -> bool {
        self.limits().replay_streams_max > 0 && self.add_over(key)
    }

    /// Keeps the stream of a POST whose requests are all answered while its client catches up, whatever may be kept besides.
    pub(crate) fn keep_behind(&mut self, key: Key) {
        let session = self.streams.get(key).map(|stream| stream.session);
        let kind = session.and_then(|session| self.sessions.streamable_mut(session));
        if kind.is_some_and(|kind| !kind.kept.over.contains(&key)) {
            self.add_over(key);
        }
    }

    fn add_over(&mut self, key: Key) -> bool {
        let now = self.now_nanos();
        let Core { streams, sessions, common, .. } = self;
        let limits = &common.limits;
        let Some(stream) = streams.get_mut(key) else { return false };
        let kind = sessions.streamable_mut(stream.session);
        let (Some(log), Some(kind)) = (&mut stream.log, kind) else { return false };
        log.end(now, size_of::<Stream>());
        let session = stream.session;
        // Before there is one too many, for which the queue would grow to twice its size.
        let too_many = (kind.kept.over.len() + 1).saturating_sub(limits.replay_streams_max.max(1));
        let displaced: Vec<Key> = kind.kept.over.drain(..too_many).collect();
        kind.kept.over.push_back(key);
        sessions.wake_by(session, now.later(limits.replay_timeout));
        displaced.into_iter().for_each(|oldest| self.remove_over(oldest, CloseReason::Superseded));
        true
    }

    /// Ends the response to a call's POST. What the call still sends is kept until the client asks for it.
    pub(crate) fn disconnect(&mut self, call: CallKey, retry: Duration) {
        let Some(call) = self.sessions.call(call).filter(|call| !call.cancelled) else { return };
        let resumes = self.sessions.get(call.session).is_some_and(takes_empty_events)
            && !self.limits().replay_timeout.is_zero();
        let key = call.stream;
        // A client that is behind would come back for what follows this, and miss what it was not given.
        let resumes = resumes && self.streams.get(key).is_some_and(|stream| !stream.is_behind());
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
        if self.streams.get(key).is_none_or(|stream| !stream.is_logged()) {
            return;
        }
        let Core { connections, common, .. } = self;
        connections.with(conn, |conn| conn.http.end_response(common));
        self.detach(key);
    }
}

/// True since 2025-11-25: older clients fail on events with empty data.
fn takes_empty_events(entry: &SessionEntry) -> bool {
    entry.streamable.is_some() && entry.session.revision() >= Revision::V2025_11_25
}

pub(crate) fn write_event(out: &mut Vec<u8>, id: EventId, text: &KeptText) {
    sse::id(out, &id.to_string());
    out.extend_from_slice(sse::MESSAGE_START);
    text.append_to(out);
    out.extend_from_slice(sse::MESSAGE_END);
}
