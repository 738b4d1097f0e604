//! From the service's outbox to the streams.
//!
//! *Scope:* which connection carries a message, frames, what slow streams are spared, keep-alive comments.
//! *Not in scope:* the answer to a POST that waits for one (that is `streamable`).
//!
//! ```text
//!  outbox ─┬─ result, error ──▶ the call's POST; over HTTP+SSE its session's stream
//!          ├─ for a call ─────▶ the same, or the session's stream if that POST is gone or takes no events
//!          │                    └─ there is none, and it has to arrive: the service hears of it
//!          └─ for sessions ───▶ their streams; where there is none, nothing is sent
//!  a stream without a connection, over Streamable HTTP ──▶ kept for a client that comes back (`resume`)
//! ```

use std::collections::BTreeSet;

use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::engine::refusals::status_of;
use crate::engine::state::calls::OpenCall;
use crate::engine::state::replay::Kind;
use crate::engine::state::streams::{Held, Verdict, Way};
use crate::protocol::level::Level;
use crate::service::keys::CallKey;
use crate::service::outbox::{Audience, Outgoing, Slot};
use crate::slab::Key;
use crate::text::keep_on_one_line;
use crate::timers::Nanos;
use crate::{jsonrpc, sse};

/// From this size on clients are known to drop an event silently.
const LARGE_MESSAGE_BYTES: usize = 1 << 20;

impl Engine {
    /// Sends what a service has put into the outbox, and what it puts there when it hears that something cannot arrive.
    pub(crate) fn flush(&mut self) {
        loop {
            let unreached = self.flush_once();
            if unreached.is_empty() {
                return;
            }
            unreached.into_iter().for_each(|call| self.service.unreached(call, self.now, &mut self.outbox));
        }
    }

    /// Gives the calls that a message was for that had to arrive and has no way.
    fn flush_once(&mut self) -> BTreeSet<CallKey> {
        let mut unreached = BTreeSet::new();
        // Also where nothing is to be sent: a call that was kept or cancelled without a word has changed it.
        self.service_due = self.service.due();
        self.stats.late += self.outbox.take_late();
        let faults = self.outbox.take_faults();
        faults.iter().for_each(|problem| self.observe(&Event::HandlerFault { problem }));
        if self.outbox.is_empty() {
            return unreached;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let max = self.common.limits.message_bytes_max;
        for (kind, text) in outbox.iter() {
            match kind {
                // A notification that clients would choke on; results and questions are seen to where they are made.
                Outgoing::Latest(..) | Outgoing::Log(..) if text.len() > max => self.stats.oversized += 1,
                Outgoing::Message(audience) => {
                    let ways = self.streams_of(*audience);
                    match audience {
                        Audience::Call(call, _) if ways.iter().all(|(_, way)| self.is_forgotten(*way)) => {
                            unreached.insert(*call);
                        }
                        _ => ways.into_iter().for_each(|(_, way)| self.send(way, Kind::Question, text)),
                    }
                }
                Outgoing::Disconnect(call, retry) => self.disconnect(*call, *retry),
                Outgoing::Result(call) | Outgoing::Error(call, _) | Outgoing::Busy(call) => {
                    // A cancelled one is ended by whoever cancels it.
                    let cancelled = self.calls.get(call.0).is_some_and(|call| call.cancelled);
                    match (!cancelled).then(|| self.end_call(*call)).flatten() {
                        Some(ended) => {
                            self.reply(&ended, kind, text);
                            self.finish_if_stopping(ended.session);
                        }
                        None => self.stats.late += 1,
                    }
                }
                Outgoing::Latest(audience, slot) => {
                    for (_, way) in self.streams_of(*audience) {
                        self.latest(way, slot, text);
                    }
                }
                Outgoing::Log(audience, level) => {
                    for (session, way) in self.streams_of(*audience) {
                        self.log(session, way, *level, text);
                    }
                }
            }
        }
        outbox.clear();
        self.outbox = outbox;
        unreached
    }

    /// The sessions that a message is for and that can get it, now or when they come back, each with the way to it.
    fn streams_of(&self, audience: Audience) -> Vec<(Key, Way)> {
        let one = |session: Key, way: Option<Way>| way.map(|way| (session, way)).into_iter().collect();
        match audience {
            Audience::All => {
                let operating = self.sessions.iter().filter(|(_, open)| open.session.is_operating());
                operating.filter_map(|(key, _)| Some((key, self.way_of_session(key)?))).collect()
            }
            Audience::One(session) => one(session.0, self.way_of_session(session.0)),
            Audience::Call(call, session) => {
                let way = match self.calls.get(call.0) {
                    Some(call) => self.way_of_call(call),
                    None => self.way_of_session(session.0),
                };
                one(session.0, way)
            }
        }
    }

    /// Whether a stream takes so little that only what must be said is said.
    fn is_slow(&self, conn: Key) -> bool {
        let stream = self.conns.get(conn);
        stream.is_some_and(|stream| stream.http.outgoing().len() > self.common.limits.output_bytes_max / 2)
    }

    fn slow(&self, way: Way) -> Option<Key> {
        match way {
            Way::Conn(conn) => Some(conn).filter(|conn| self.is_slow(*conn)),
            Way::Left(..) => None,
        }
    }

    fn send(&mut self, way: Way, kind: Kind, text: &[u8]) {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(text);
        match way {
            Way::Conn(conn) => self.say(conn, kind, write),
            Way::Left(session, stream) => self.tell(session, stream, kind, write),
        }
    }

    /// A notification of which a slow stream gets the latest only, once it has room again.
    fn latest(&mut self, way: Way, slot: &Slot, text: &[u8]) {
        let Some(conn) = self.slow(way) else {
            return self.send(way, Kind::Notification, text);
        };
        if let Some(entry) = self.conns.get_mut(conn) {
            let held = entry.held.get_or_insert_with(|| Box::new(Held::new(self.held.charge(0))));
            held.insert(slot, text);
        }
    }

    fn log(&mut self, session: Key, way: Way, level: Level, text: &[u8]) {
        let wanted = self
            .sessions
            .get(session)
            .and_then(|open| open.session.log_level)
            .is_some_and(|least| level >= least);
        if wanted && self.slow(way).is_some() {
            self.stats.logs_dropped += 1;
        } else if wanted {
            self.send(way, Kind::Notification, text);
        }
    }

    /// Sends what was held back, as far as the stream is not slow again.
    pub(crate) fn release_held(&mut self, conn: Key) {
        while !self.is_slow(conn) {
            let Some(entry) = self.conns.get_mut(conn) else { return };
            let Some(text) = entry.held.as_mut().and_then(|held| held.pop()) else {
                entry.held = None;
                return;
            };
            self.say(conn, Kind::Notification, |out| out.extend_from_slice(&text));
        }
    }

    fn reply(&mut self, call: &OpenCall, kind: &Outgoing, text: &[u8]) {
        let max = self.common.limits.message_bytes_max;
        let verdict = match kind {
            Outgoing::Error(_, code) => Verdict::Error(status_of(*code)),
            Outgoing::Busy(_) => {
                self.stats.busy += 1;
                let error = self.too_much(call, &String::from_utf8_lossy(text));
                let id = Some((&call.id).into());
                return self.deliver(call, Verdict::Error(503), |out| jsonrpc::write_error(out, id, &error));
            }
            _ => Verdict::Result,
        };
        if text.len() > max {
            self.stats.oversized += 1;
            let message =
                format!("the result has {} bytes, more than the limit message_bytes_max = {max}", text.len());
            let error = jsonrpc::Error::internal(message);
            let id = Some((&call.id).into());
            return self.deliver(call, Verdict::Error(200), |out| jsonrpc::write_error(out, id, &error));
        }
        if text.len() >= LARGE_MESSAGE_BYTES {
            self.observe(&Event::LargeMessage { bytes: text.len() });
        }
        self.deliver(call, verdict, |out| match verdict {
            Verdict::Error(_) => jsonrpc::write_error_text(out, &call.id, text),
            Verdict::Result => jsonrpc::write_result(out, &call.id, |out| out.extend_from_slice(text)),
        });
    }

    /// Sends the response to a request where it is waited for.
    fn deliver(&mut self, call: &OpenCall, verdict: Verdict, write: impl FnOnce(&mut Vec<u8>)) {
        match (call.stream, call.post) {
            (Some(stream), _) => self.answer_stream(call.session, stream, verdict, write),
            (None, Some(conn)) => self.answer_post(conn, verdict, write),
            (None, None) => {
                if let Some(conn) = self.sessions.get(call.session).and_then(|open| open.conn) {
                    self.say(conn, Kind::Response, write);
                }
            }
        }
    }

    /// Puts one message on a stream.
    pub(crate) fn say(&mut self, conn: Key, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        self.upgrade(conn);
        if let Some((session, stream)) = self.carried(conn) {
            return self.tell(session, stream, kind, write);
        }
        let Some(entry) = self.conns.get_mut(conn) else { return };
        let written = entry.http.push(&mut self.common, |out| {
            out.extend_from_slice(sse::MESSAGE_START);
            let start = out.len();
            write(out);
            keep_on_one_line(out.get_mut(start..).unwrap_or_default());
            out.extend_from_slice(sse::MESSAGE_END);
        });
        if written.is_some() {
            entry.last_output = Nanos::of(self.now);
            self.stats.messages_queued += 1;
            self.framed(conn);
        }
    }

    /// A message was put on a stream.
    pub(crate) fn framed(&mut self, conn: Key) {
        let backlog = self.conns.get(conn).map_or(0, |entry| entry.http.outgoing().len());
        if backlog > self.common.limits.output_bytes_max {
            self.drop_slow_reader(conn);
        }
        self.relieve();
        self.enqueue(conn);
        self.schedule(conn);
    }

    /// A comment on a silent stream, so that proxies and clients keep it.
    pub(crate) fn comment(&mut self, conn: Key) {
        // An answer that becomes a stream just now has its head in the output, and no more.
        let begins = self.upgrade(conn);
        let Some(entry) = self.conns.get_mut(conn) else { return };
        entry.last_output = Nanos::of(self.now);
        if (begins || entry.http.outgoing().is_empty())
            && entry.http.push(&mut self.common, |out| sse::comment(out, "ping")).is_some()
        {
            self.enqueue(conn);
        }
    }
}
