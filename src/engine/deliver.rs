//! From the service's outbox to the streams.
//!
//! *Scope:* which stream carries a message. *Not in scope:* how it is sent there (`core::streams`).
//!
//! ```text
//!  outbox ─┬─ result, error ──▶ the call's POST or batch; over HTTP+SSE and in lines its session's stream
//!          ├─ for a call ─────▶ the same, or the session's stream if that POST is gone or takes no events
//!          │                    └─ there is none, and it has to arrive: the service hears of it
//!          └─ for sessions ───▶ their streams; where there is none, nothing is sent
//!  a stream without a connection, over Streamable HTTP ──▶ kept for a client that comes back (`resume`)
//! ```

use std::collections::BTreeSet;

use crate::engine::core::Core;
use crate::engine::observe::Event;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::refusals::status_of;
use crate::engine::state::calls::PendingRequest;
use crate::engine::state::message::MessageKind;
use crate::jsonrpc;
use crate::protocol::level::Level;
use crate::service::keys::CallKey;
use crate::service::outbox::{Audience, Outgoing};
use crate::slab::Key;

/// From this size on clients are known to drop an event silently.
const LARGE_MESSAGE_BYTES: usize = 1 << 20;

impl Core {
    /// Sends what a service has put into the outbox, and what it puts there when it hears that something cannot arrive.
    pub(crate) fn flush(&mut self) {
        loop {
            let unreached = self.flush_once();
            if unreached.is_empty() {
                return;
            }
            let now = self.now();
            unreached.into_iter().for_each(|call| self.service.unreached(call, now, &mut self.outbox));
        }
    }

    /// Returns the calls that a message was for that had to arrive and has no way.
    fn flush_once(&mut self) -> BTreeSet<CallKey> {
        let mut unreached = BTreeSet::new();
        // Also where nothing is to be sent: a call that was kept or cancelled without a word has changed it.
        self.service_due = self.service.due();
        self.service_bytes = self.service.held_bytes();
        self.stats.late += self.outbox.take_late();
        let faults = self.outbox.take_faults();
        faults.iter().for_each(|problem| self.observe(&Event::HandlerFault { problem }));
        if self.outbox.is_empty() {
            return unreached;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let max = self.limits().message_bytes_max;
        for (kind, text) in outbox.iter() {
            match kind {
                // A notification that clients would choke on; results and questions are seen to where they are made.
                Outgoing::Latest(..) | Outgoing::Log(..) if text.len() > max => self.stats.oversized += 1,
                Outgoing::Message(audience) => {
                    let streams = self.streams_of(*audience);
                    let forgotten = |stream: &Key| match self.streams.get(*stream) {
                        #[cfg(feature = "resume")]
                        Some(stream) => stream.is_forgotten(),
                        stream => stream.is_none(),
                    };
                    match audience {
                        Audience::Call(call, _) if streams.iter().all(forgotten) => {
                            unreached.insert(*call);
                        }
                        _ => streams.into_iter().for_each(|stream| {
                            self.send(stream, MessageKind::Question, |out| out.extend_from_slice(text));
                        }),
                    }
                }
                #[cfg(feature = "resume")]
                Outgoing::Disconnect(call, retry) => self.disconnect(*call, *retry),
                #[cfg(not(feature = "resume"))]
                Outgoing::Disconnect(..) => {}
                Outgoing::Result(call) | Outgoing::Error(call, _) | Outgoing::Busy(call) => {
                    // A cancelled one is ended by whatever cancels it.
                    let cancelled = self.sessions.call(*call).is_some_and(|call| call.cancelled);
                    match (!cancelled).then(|| self.end_call(*call)).flatten() {
                        Some(ended) => {
                            self.reply(&ended, kind, text);
                            self.finish_call(&ended);
                        }
                        None => self.stats.late += 1,
                    }
                }
                Outgoing::Latest(audience, slot) => {
                    let streams = self.streams_of(*audience);
                    streams.into_iter().for_each(|stream| self.send_latest(stream, *audience, slot, text));
                }
                Outgoing::Log(audience, level) => {
                    let streams = self.streams_of(*audience);
                    streams.into_iter().for_each(|stream| self.send_log(stream, *audience, *level, text));
                }
            }
        }
        outbox.clear();
        self.outbox = outbox;
        unreached
    }

    /// The streams on which a message reaches those that it is for, now or when they come back.
    fn streams_of(&self, audience: Audience) -> Vec<Key> {
        match audience {
            Audience::All => {
                let operating = self.sessions.iter().filter(|(_, entry)| entry.session.is_operating());
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

    /// The stream of the messages that belong to no call.
    fn stream_of_session(&self, session: Key) -> Option<Key> {
        self.sessions.get(session)?.any_stream()
    }

    /// The stream of a call's messages: the answer to its POST if that can be events, else its session's stream.
    pub(crate) fn stream_of_call(&self, call: &PendingRequest) -> Option<Key> {
        let own = self.streams.get(call.stream).filter(|stream| {
            #[cfg(feature = "resume")]
            if stream.log.is_some() {
                return true;
            }
            let conn = stream.conn.and_then(|conn| self.connections.get(conn));
            let is_carried = conn.is_some_and(|conn| !conn.is_closing());
            stream.source.is_session() || stream.takes_events() && is_carried
        });
        own.map(|_| call.stream).or_else(|| self.stream_of_session(call.session))
    }

    /// The session of one audience on that stream.
    pub(crate) fn session_on(&self, stream: Key, audience: Audience) -> Option<Key> {
        match audience {
            Audience::One(session) | Audience::Call(_, session) => Some(session.0),
            Audience::All => self.streams.get(stream).map(|stream| stream.session),
        }
    }

    fn send_log(&mut self, key: Key, audience: Audience, level: Level, text: &[u8]) {
        let session = self.session_on(key, audience).and_then(|session| self.sessions.get(session));
        let wanted = session.and_then(|entry| entry.session.log_level).is_some_and(|least| level >= least);
        if wanted && self.is_slow(key) {
            self.stats.logs_dropped += 1;
        } else if wanted {
            self.send(key, MessageKind::Notification, |out| out.extend_from_slice(text));
        }
    }

    fn reply(&mut self, call: &PendingRequest, kind: &Outgoing, text: &[u8]) {
        let max = self.limits().message_bytes_max;
        #[cfg(any(feature = "streamable", feature = "stateless"))]
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
        self.answer_call(call, |out| match kind {
            Outgoing::Error(..) => jsonrpc::write_error_text(out, &call.id, text),
            _ => jsonrpc::write_result(out, &call.id, |out| out.extend_from_slice(text)),
        });
    }
}
