//! From the service's outbox to the streams.
//!
//! *Scope:* which stream carries a message. *Not in scope:* how it is sent there (`core::streams`, which also keeps the order of
//! the messages on one stream).
//!
//! Messages are sent in the order in which the service put them into the outbox.
//!
//! ```text
//!  outbox ─┬─ result, error ──▶ the call's POST or batch; over HTTP+SSE and in lines its session's stream
//!          ├─ for a call ─────▶ the same, or the session's stream if that POST is gone or takes no events
//!          │                    └─ there is none, and it has to arrive: `Service::unreached`
//!          └─ for sessions ───▶ their streams; where there is none, nothing is sent
//!  a stream without a connection, over Streamable HTTP ──▶ kept for a client that comes back (`resume`)
//! ```

use crate::engine::core::Core;
use crate::engine::core::timing::outcome_of;
use crate::engine::observe::Event;
use crate::engine::refusals::status_of;
use crate::engine::state::message::{Enclosed, MessageKind};
use crate::engine::state::sessions::PendingRequest;
use crate::engine::state::streams::Stream;
use crate::jsonrpc;
use crate::jsonrpc::id::Id;
use crate::memory::TEXT_BLOCK_BYTES;
use crate::protocol::level::Level;
use crate::protocol::viewers::Viewers;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Audience, Outgoing};
use crate::slab::Key;

/// Some clients silently drop an event of this size or more.
const LARGE_MESSAGE_BYTES: usize = 1 << 20;

/// What a response has around its result, so that most vectors grow once.
const ENVELOPE_BYTES_USUAL: usize = 64;

/// A message that found no way to its client.
struct Unreached {
    session: SessionKey,
    call: Option<CallKey>,
    message: Vec<u8>,
}

impl Core {
    /// Sends the messages in the outbox, and those that the service adds when a message cannot reach its client.
    pub(crate) fn flush(&mut self) {
        let (mut unreached, mut told) = (Vec::new(), 0);
        loop {
            self.flush_once(&mut unreached);
            // One at a time: its handler may run again, with a long result.
            let Some(Unreached { session, call, message }) = unreached.get_mut(told) else { return };
            let (message, now) = (std::mem::take(message), self.now());
            self.service.unreached(*session, *call, &message, now, &mut self.outbox);
            told += 1;
        }
    }

    /// Tells the observer what the service has reported.
    fn report(&mut self) {
        let faults = self.outbox.take_faults();
        faults.iter().for_each(|problem| self.observe(&Event::HandlerFault { problem }));
        let ended = self.outbox.take_ended();
        ended.iter().for_each(|end| self.report_call(end));
        self.outbox.reuse_ended(ended);
    }

    /// Sends the messages in the outbox. Those that have to arrive and could not be sent are added to `unreached`.
    fn flush_once(&mut self, unreached: &mut Vec<Unreached>) {
        // Updated even if there is nothing to send: a call that was kept or cancelled without a message has changed them.
        self.service_due = self.service.due();
        self.service_bytes = self.service.held_bytes();
        self.stats.late += self.outbox.take_late();
        if self.outbox.has_reports() {
            self.report();
        }
        if self.outbox.is_empty() {
            return;
        }
        let messages = self.outbox.take_messages();
        let max = self.limits().message_bytes_max;
        // Added, since ending a session to make room sends messages of its own meanwhile.
        self.outbox_bytes += messages.bytes();
        for (kind, text, viewers) in messages.iter() {
            // The message that is being sent is in work, and the copy of it is counted where it is put.
            self.outbox_bytes -= text.len();
            match kind {
                // A notification that is too large for clients. Results and questions are checked where they are made.
                Outgoing::Latest(..) | Outgoing::Log(..) if text.len() > max => self.stats.oversized += 1,
                Outgoing::Message(audience) => {
                    let streams = self.streams_of(*audience);
                    let forgotten = |stream: &Key| self.streams.get(*stream).is_none_or(Stream::is_forgotten);
                    let (session, call) = match audience {
                        Audience::Call(call, session) => (Some(*session), Some(*call)),
                        Audience::One(session) => (Some(*session), None),
                        Audience::All | Audience::Below(_) => (None, None),
                    };
                    match session.filter(|_| streams.iter().all(forgotten)) {
                        Some(session) => unreached.push(Unreached { session, call, message: text.to_vec() }),
                        None => streams.into_iter().for_each(|stream| {
                            self.send(stream, MessageKind::Question, |out| out.extend_from_slice(text));
                        }),
                    }
                }
                Outgoing::Disconnect(call, retry) => self.disconnect(*call, *retry),
                Outgoing::Result(call) | Outgoing::Error(call, _) | Outgoing::Busy(call) => {
                    // A cancelled call is ended by the code that cancels it.
                    let cancelled = self.sessions.call(*call).is_some_and(|call| call.cancelled);
                    match (!cancelled).then(|| self.end_call(*call)).flatten() {
                        Some(ended) => {
                            self.report_request(*call, &ended, outcome_of(kind));
                            self.reply(&ended, kind, text);
                            self.finish_call(&ended);
                        }
                        None => self.stats.late += 1,
                    }
                }
                Outgoing::Latest(audience, slot) => {
                    let mut streams = self.streams_of(*audience);
                    if let Some(viewers) = viewers {
                        streams.retain(|stream| self.is_viewer(*stream, *audience, viewers));
                    }
                    streams.into_iter().for_each(|stream| self.send_latest(stream, *audience, slot, text));
                }
                Outgoing::Log(audience, level) => {
                    let streams = self.streams_of(*audience);
                    streams.into_iter().for_each(|stream| self.send_log(stream, *audience, *level, text));
                }
            }
        }
        self.outbox.reuse(messages);
    }

    /// Returns the streams that bring a message to its audience, now or when a client resumes one.
    fn streams_of(&self, audience: Audience) -> Vec<Key> {
        match audience {
            Audience::All | Audience::Below(_) => {
                let mount = if let Audience::Below(mount) = audience { Some(mount) } else { None };
                let operating = self
                    .sessions
                    .iter()
                    .filter(|(_, entry)| entry.session.is_operating() && entry.session.mount() == mount);
                operating.filter_map(|(_, entry)| entry.any_stream()).collect()
            }
            Audience::One(session) => self.stream_of_session(session.0).into_iter().collect(),
            Audience::Call(call, session) => {
                let stream = match self.sessions.call(call) {
                    Some(call) => self.stream_of_call(call),
                    None => self.stream_of_session(session.0),
                };
                stream.into_iter().collect()
            }
        }
    }

    /// Returns the stream for a session's messages that belong to no call.
    fn stream_of_session(&self, session: Key) -> Option<Key> {
        self.sessions.get(session)?.any_stream()
    }

    /// Returns the stream for a call's messages: the answer to its POST if that can be events, else its session's stream.
    pub(crate) fn stream_of_call(&self, call: &PendingRequest) -> Option<Key> {
        let own = self.streams.get(call.stream).filter(|stream| {
            if stream.is_logged() {
                return true;
            }
            let conn = stream.conn.and_then(|conn| self.connections.get(conn));
            let is_carried = conn.is_some_and(|conn| !conn.is_closing());
            stream.source.is_session() || stream.takes_events() && is_carried
        });
        own.map(|_| call.stream).or_else(|| self.stream_of_session(call.session))
    }

    /// Returns the session whose log level and pending notifications count for this audience on that stream.
    pub(crate) fn session_of_audience(&self, stream: Key, audience: Audience) -> Option<Key> {
        match audience {
            Audience::One(session) | Audience::Call(_, session) => Some(session.0),
            Audience::All | Audience::Below(_) => self.streams.get(stream).map(|stream| stream.session),
        }
    }

    fn is_viewer(&self, stream: Key, audience: Audience, viewers: &Viewers) -> bool {
        let session = self.session_of_audience(stream, audience);
        session
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|entry| viewers.include(&entry.session.viewer()))
    }

    fn send_log(&mut self, key: Key, audience: Audience, level: Level, text: &[u8]) {
        let session = self.session_of_audience(key, audience).and_then(|session| self.sessions.get(session));
        let wanted = session.and_then(|entry| entry.session.log_level).is_some_and(|least| level >= least);
        if wanted && self.is_slow(key) {
            self.stats.logs_dropped += 1;
        } else if wanted {
            self.send(key, MessageKind::Notification, |out| out.extend_from_slice(text));
        }
    }

    fn reply(&mut self, call: &PendingRequest, kind: &Outgoing, text: &[u8]) {
        let max = self.limits().message_bytes_max;
        self.note_failure(
            call,
            match kind {
                Outgoing::Busy(_) => Some(503),
                _ if text.len() > max => Some(200),
                Outgoing::Error(_, code) => Some(status_of(*code)),
                _ => None,
            },
        );
        let id = Some((&call.id).into());
        if let Outgoing::Busy(_) = kind {
            self.stats.busy += 1;
            let error = self.too_much(call, &String::from_utf8_lossy(text));
            return self.answer_call(call, |out| jsonrpc::write_error(out, id, &error));
        }
        if text.len() > max {
            self.stats.oversized += 1;
            let message =
                format!("the result has {} bytes, more than the limit message_bytes_max = {max}", text.len());
            let error = jsonrpc::Error::internal(message);
            return self.answer_call(call, |out| jsonrpc::write_error(out, id, &error));
        }
        if text.len() >= LARGE_MESSAGE_BYTES {
            self.observe(&Event::LargeMessage { bytes: text.len() });
        }
        if text.len() > TEXT_BLOCK_BYTES
            && let Outgoing::Result(_) = kind
        {
            let (mut envelope, mut at) = (Vec::new(), 0);
            jsonrpc::write_result(&mut envelope, &call.id, |out| at = out.len());
            let (before, after) = envelope.split_at(at);
            return self.answer_call_with(call, Enclosed([before, text, after]));
        }
        let id_bytes = if let Id::Str(id) = &call.id { id.len() } else { 0 };
        self.answer_call(call, |out| {
            // A response that may wait for others is written into a vector of its own.
            if out.capacity() == 0 {
                out.reserve_exact(text.len() + id_bytes + ENVELOPE_BYTES_USUAL);
            }
            match kind {
                Outgoing::Error(..) => jsonrpc::write_error_text(out, &call.id, text),
                _ => jsonrpc::write_result(out, &call.id, |out| out.extend_from_slice(text)),
            }
        });
    }
}
