//! The HTTP+SSE transport: `GET /sse` and `POST /messages` (MCP 2024-11-05, transports).
//!
//! *Scope:* sessions from the stream's first byte to its last, messages into them, frames out of them.
//! *Not in scope:* other transports; what messages mean.
//!
//! ```text
//!  GET /sse ──▶ head + `endpoint` event ──▶ frames, comments ──▶ stream ends ──▶ session gone, its calls cancelled
//!                                              ▲
//!  POST /messages ─┬ not for a live session, not JSON-RPC, busy ──▶ 4xx, 503: nothing happens
//!                  └ 202 Accepted, then ───────┘ the reply
//! ```

use uuid::Uuid;

use super::routes::{self, Route};
use super::{Engine, Event, Open, OpenCall};
use crate::Now;
use crate::http::conn::{Answer, Reply};
use crate::http::head::{Framing, Head};
use crate::jsonrpc::{self, Id, IdRef, Message};
use crate::mcp::{Audience, CallKey, Incoming, Level, Outgoing, Peer, Session, SessionKey, Slot};
use crate::slab::Key;
use crate::sse;
use crate::timers::Nanos;

/// From this size on clients are known to drop an event silently.
const LARGE_MESSAGE_BYTES: usize = 1 << 20;

impl Engine {
    /// Decides at the head whether there is room for what the request would need. Gives the session that a message is
    /// for.
    pub(super) fn admit(
        &mut self,
        conn: Key,
        head: &Head<'_>,
        route: Route<'_>,
    ) -> Result<Option<Key>, Answer> {
        let session = match route {
            Route::Message { session } => Some(self.find_session(conn, session)?),
            Route::Stream { .. } | Route::StreamHead => None,
        };
        let limits = &self.shared.limits;
        let spent = self.spent_bytes();
        let refusal = match route {
            Route::StreamHead => None,
            Route::Stream { .. } if self.stopping.is_some() => Some("the server is shutting down".to_owned()),
            Route::Stream { .. } if self.sessions.len() >= limits.sessions_max => {
                Some(format!("all {} sessions are in use (limit sessions_max)", limits.sessions_max))
            }
            Route::Stream { .. } => (spent >= limits.buffered_bytes_max)
                .then(|| format!("{spent} bytes are buffered (limit buffered_bytes_max)")),
            Route::Message { .. } => {
                let stream = session.and_then(|key| self.conns.get(self.sessions.get(key)?.conn));
                let backlog = stream.map_or(0, |stream| stream.http.outgoing().len());
                let body = match head.framing {
                    Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
                    Framing::None | Framing::Chunked => 0,
                };
                if backlog > limits.output_bytes_max / 2 {
                    Some(format!(
                        "{backlog} bytes are waiting on the session's stream (limit output_bytes_max)"
                    ))
                } else {
                    (spent.saturating_add(body) > limits.buffered_bytes_max)
                        .then(|| format!("{spent} bytes are buffered (limit buffered_bytes_max)"))
                }
            }
        };
        let Some(reason) = refusal else { return Ok(session) };
        self.stats.busy += 1;
        Err(Answer::text(503, format!("busy: {reason}; try again")).header("Retry-After", "1"))
    }

    /// The session of that id, if it belongs to the connection's principal: a stranger's looks like an unknown one. So
    /// does one whose stream has ended but is not yet taken out: a 202 now would be a promise that nobody can keep.
    fn find_session(&self, conn: Key, id: &str) -> Result<Key, Answer> {
        let principal = self.conns.get(conn).and_then(|conn| conn.peer.principal.as_ref());
        let find = |id: Uuid| {
            let (key, open) = self.sessions.at(*self.by_id.get(&id)?)?;
            let stream = self.conns.get(open.conn)?;
            let lives = !stream.closing && stream.http.is_stream();
            (lives && open.session.id == id && open.session.principal() == principal).then_some(key)
        };
        read_id(id).and_then(find).ok_or_else(|| Answer::text(400, "No transport found for sessionId"))
    }

    pub(super) fn serve(&mut self, now: Now, conn: Key, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        let Some(peer) = self.conns.get(conn).map(|conn| &conn.peer) else { return };
        match routes::route(head, &self.settings, peer) {
            Ok(Route::Stream { query }) => self.open_session(now, conn, query, reply),
            Ok(Route::StreamHead) => {
                reply.stream(&mut self.shared, sse::MEDIA_TYPE, &STREAM_FIELDS, |_| {});
            }
            Ok(Route::Message { session }) => match self.find_session(conn, session) {
                Ok(session) => self.take_message(now, conn, session, head, body, reply),
                Err(answer) => reply.answer(&mut self.shared, &answer),
            },
            Err(answer) => reply.answer(&mut self.shared, &answer),
        }
    }

    fn open_session(&mut self, now: Now, conn: Key, query: &str, reply: &mut Reply<'_>) {
        let id = uuid::Builder::from_random_bytes((self.new_id)().to_be_bytes()).into_uuid();
        let mut text = Uuid::encode_buffer();
        let text: &str = id.hyphenated().encode_lower(&mut text);
        let Some(entry) = self.conns.get_mut(conn) else { return };
        let session = Session::new(id, entry.peer.principal.clone());
        let key = self.sessions.insert(Open { session, conn, calls: None, calls_count: 0, held: None });
        entry.session = Some(key);
        entry.last_output = Nanos::of(now);
        self.by_id.insert(id, key.index());
        self.stats.sessions_opened += 1;
        let mut endpoint = format!("{}{}?", self.settings.base_path, self.settings.message_path);
        let theirs = |parameter: &&str| routes::value_of(parameter, "sessionId").is_none();
        for parameter in routes::parameters(query).filter(theirs) {
            endpoint.extend([parameter, "&"]);
        }
        endpoint.extend(["sessionId=", text]);
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", text)];
        reply
            .stream(&mut self.shared, sse::MEDIA_TYPE, &fields, |out| sse::event(out, "endpoint", &endpoint));
        if let Some(open) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut open.session);
        }
        if let (Some(observer), Some(entry)) = (&mut self.observer, self.conns.get(conn)) {
            observer(&Event::SessionOpened { peer: &entry.peer });
        }
    }

    pub(super) fn take_message(
        &mut self,
        now: Now,
        conn: Key,
        session: Key,
        head: &Head<'_>,
        body: &[u8],
        reply: &mut Reply<'_>,
    ) {
        match self.read_message(session, body) {
            Ok(message) => {
                self.stats.messages_received += 1;
                reply.accepted(&mut self.shared);
                self.take(now, conn, session, head, &message);
            }
            Err(answer) => reply.answer(&mut self.shared, &answer),
        }
    }

    fn read_message<'a>(&self, session: Key, body: &'a [u8]) -> Result<Message<'a>, Answer> {
        let message = jsonrpc::parse(body, &self.shared.limits)
            .map_err(|rejected| Answer::text(400, format!("Invalid message: {}", rejected.error.message)))?;
        match &message {
            Message::Request(request) if self.is_in_flight(session, &request.id) => {
                Err(Answer::text(400, "Invalid message: a request with this id is in flight already"))
            }
            _ => Ok(message),
        }
    }

    /// A message that is taken: from here on it is answered on the session's stream, or the stream ends.
    fn take(&mut self, now: Now, conn: Key, key: Key, head: &Head<'_>, message: &Message<'_>) {
        let call = match message {
            Message::Request(request) => match self.begin_call(key, &request.id, &request.method) {
                Some(call) => Some(call),
                None => return self.refuse_busy(now, key, &request.id),
            },
            _ => None,
        };
        let Engine { sessions, conns, service, outbox, .. } = self;
        let (Some(open), Some(entry)) = (sessions.get_mut(key), conns.get(conn)) else { return };
        let session = SessionKey(key);
        match (message, call) {
            (Message::Request(request), Some(call)) => {
                let (method, params) = (&*request.method, request.params);
                let incoming = Incoming { call, session, method, params, head, peer: &entry.peer, now };
                service.request(&incoming, &mut open.session, outbox);
            }
            (Message::Request(_), None) => {}
            (Message::Notification(notification), _) if notification.method == "notifications/cancelled" => {
                let id = notification
                    .params
                    .and_then(|params| jsonrpc::member(params, "requestId").ok().flatten());
                if let Some(id) = id.and_then(IdRef::read) {
                    self.cancel(key, &id);
                }
            }
            (Message::Notification(notification), _) => {
                service.notification(session, &mut open.session, notification, outbox);
            }
            (Message::Response(answer), _) => {
                self.stats.stray_answers += u64::from(!service.answer(session, answer, now, outbox));
            }
        }
        self.flush(now);
    }

    fn is_in_flight(&self, session: Key, id: &IdRef<'_>) -> bool {
        self.find_call(session, id).is_some()
    }

    fn find_call(&self, session: Key, id: &IdRef<'_>) -> Option<CallKey> {
        let mut next = self.sessions.get(session)?.calls;
        while let Some(key) = next {
            let call = self.calls.get(key.0)?;
            if call.id == *id {
                return Some(key);
            }
            next = call.next;
        }
        None
    }

    /// Reserves the place of a request's answer; `None` if the session has too many open. A ping always finds room: it
    /// is answered at once.
    fn begin_call(&mut self, session: Key, id: &IdRef<'_>, method: &str) -> Option<CallKey> {
        let open = self.sessions.get_mut(session)?;
        if open.calls_count as usize >= self.shared.limits.calls_max && method != "ping" {
            return None;
        }
        let id = id.clone().into_owned();
        self.held_bytes += id_bytes(&id);
        let key = CallKey(self.calls.insert(OpenCall { session, id, next: open.calls }));
        open.calls = Some(key);
        open.calls_count += 1;
        Some(key)
    }

    fn refuse_busy(&mut self, now: Now, session: Key, id: &IdRef<'_>) {
        self.stats.busy += 1;
        let max = self.shared.limits.calls_max;
        let error = jsonrpc::Error::new(
            -32000,
            format!("busy: {max} requests of this session are open (limit calls_max)"),
        );
        self.frame(now, session, |out| jsonrpc::write_error(out, Some(id.clone()), &error));
    }

    /// Takes a call out of its session and the table; `None` if it is not open.
    fn end_call(&mut self, key: CallKey) -> Option<OpenCall> {
        let ended = self.calls.remove(key.0)?;
        self.held_bytes -= id_bytes(&ended.id);
        let open = self.sessions.get_mut(ended.session)?;
        open.calls_count -= 1;
        // Nothing is said of progress after the end (MCP progress).
        let unsaid = open.held.as_mut().and_then(|held| held.0.remove(&Slot::Progress(key)));
        self.held_bytes -= unsaid.map_or(0, |text| text.len());
        if open.calls == Some(key) {
            open.calls = ended.next;
            return Some(ended);
        }
        let mut at = open.calls;
        while let Some(call) = at.and_then(|key| self.calls.get_mut(key.0)) {
            if call.next == Some(key) {
                call.next = ended.next;
                break;
            }
            at = call.next;
        }
        Some(ended)
    }

    /// A cancelled request gets no response (MCP cancellation).
    fn cancel(&mut self, session: Key, id: &IdRef<'_>) {
        if let Some(call) = self.find_call(session, id) {
            self.end_call(call);
            self.service.cancelled(call, &mut self.outbox);
            self.finish_if_stopping(session);
        }
    }

    /// In a shutdown a stream ends with the last of its calls.
    fn finish_if_stopping(&mut self, session: Key) {
        if let Some(conn) =
            self.sessions.get(session).filter(|_| self.stopping.is_some()).map(|open| open.conn)
        {
            self.finish(conn);
        }
    }

    /// Sends what a service has put into the outbox.
    pub(super) fn flush(&mut self, now: Now) {
        // Also where nothing is to be sent: a call that was kept or cancelled without a word has changed it.
        self.service_due = self.service.due();
        self.stats.late += self.outbox.take_late();
        if self.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let max = self.shared.limits.message_bytes_max;
        for (kind, text) in outbox.iter() {
            match kind {
                // A notification that clients would choke on; results and questions are seen to where they are made.
                Outgoing::Latest(..) | Outgoing::Log(..) if text.len() > max => self.stats.oversized += 1,
                Outgoing::Message(session) => self.frame(now, session.0, |out| out.extend_from_slice(text)),
                Outgoing::Result(call) | Outgoing::Error(call) => match self.end_call(*call) {
                    Some(OpenCall { session, id, .. }) => {
                        self.reply(now, session, &id, kind, text);
                        self.finish_if_stopping(session);
                    }
                    None => self.stats.late += 1,
                },
                Outgoing::Latest(Audience::One(session), slot) => self.latest(now, session.0, slot, text),
                Outgoing::Log(Audience::One(session), level) => self.log(now, session.0, *level, text),
                Outgoing::Latest(Audience::All, slot) => {
                    self.operating().into_iter().for_each(|session| self.latest(now, session, slot, text));
                }
                Outgoing::Log(Audience::All, level) => {
                    self.operating().into_iter().for_each(|session| self.log(now, session, *level, text));
                }
            }
        }
        outbox.clear();
        self.outbox = outbox;
    }

    /// The sessions that take part in operation, for what all of them are told.
    fn operating(&self) -> Vec<Key> {
        self.sessions.iter().filter(|(_, open)| open.session.is_operating()).map(|(key, _)| key).collect()
    }

    /// Whether a stream takes so little that only what must be said is said.
    fn is_slow(&self, session: Key) -> bool {
        let stream = self.sessions.get(session).and_then(|open| self.conns.get(open.conn));
        stream.is_some_and(|stream| stream.http.outgoing().len() > self.shared.limits.output_bytes_max / 2)
    }

    /// A notification of which a slow stream gets the latest only, once it has room again.
    fn latest(&mut self, now: Now, session: Key, slot: &Slot, text: &[u8]) {
        if !self.is_slow(session) {
            return self.frame(now, session, |out| out.extend_from_slice(text));
        }
        if let Some(open) = self.sessions.get_mut(session) {
            let replaced = open.held.get_or_insert_default().0.insert(slot.clone(), text.into());
            self.held_bytes += text.len();
            self.held_bytes -= replaced.map_or(0, |text: Box<[u8]>| text.len());
        }
    }

    fn log(&mut self, now: Now, session: Key, level: Level, text: &[u8]) {
        let wanted = self.sessions.get(session).is_some_and(|open| level >= open.session.log_level);
        if wanted && self.is_slow(session) {
            self.stats.logs_dropped += 1;
        } else if wanted {
            self.frame(now, session, |out| out.extend_from_slice(text));
        }
    }

    /// Sends what was held back, as far as the stream is not slow again.
    pub(super) fn release_held(&mut self, now: Now, session: Key) {
        while !self.is_slow(session) {
            let Some(open) = self.sessions.get_mut(session) else { return };
            let Some((_, text)) = open.held.as_mut().and_then(|held| held.0.pop_first()) else {
                open.held = None;
                return;
            };
            self.held_bytes -= text.len();
            self.frame(now, session, |out| out.extend_from_slice(&text));
        }
    }

    fn reply(&mut self, now: Now, session: Key, id: &Id, kind: &Outgoing, text: &[u8]) {
        let max = self.shared.limits.message_bytes_max;
        if text.len() > max {
            self.stats.oversized += 1;
            let message =
                format!("the result has {} bytes, more than the limit message_bytes_max = {max}", text.len());
            let error = jsonrpc::Error::internal(message);
            return self.frame(now, session, |out| jsonrpc::write_error(out, Some(id.into()), &error));
        }
        if text.len() >= LARGE_MESSAGE_BYTES {
            self.observe(&Event::LargeMessage { bytes: text.len() });
        }
        self.frame(now, session, |out| match kind {
            Outgoing::Error(_) => jsonrpc::write_error_text(out, id, text),
            _ => jsonrpc::write_result(out, id, |out| out.extend_from_slice(text)),
        });
    }

    /// Puts one message on the session's stream.
    fn frame(&mut self, now: Now, session: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.sessions.get(session).map(|open| open.conn) else { return };
        let Some(entry) = self.conns.get_mut(conn) else { return };
        let written = entry.http.push(now, &mut self.shared, |out| {
            out.extend_from_slice(sse::MESSAGE_START);
            let start = out.len();
            write(out);
            keep_on_one_line(out.get_mut(start..).unwrap_or_default());
            out.extend_from_slice(sse::MESSAGE_END);
        });
        if written.is_none() {
            return;
        }
        let backlog = entry.http.outgoing().len();
        entry.last_output = Nanos::of(now);
        self.stats.messages_queued += 1;
        if backlog > self.shared.limits.output_bytes_max {
            self.drop_slow_reader(conn);
        }
        self.relieve();
        self.enqueue(conn);
    }

    /// A comment on a silent stream, so that proxies and clients keep it.
    pub(super) fn comment(&mut self, now: Now, conn: Key) {
        let Some(entry) = self.conns.get_mut(conn) else { return };
        entry.last_output = Nanos::of(now);
        if entry.http.outgoing().is_empty()
            && entry.http.push(now, &mut self.shared, |out| sse::comment(out, "ping")).is_some()
        {
            self.enqueue(conn);
        }
    }

    /// The stream is gone, and with it the session and everything it held.
    pub(super) fn end_session(&mut self, key: Key, peer: &Peer) {
        while let Some(call) = self.sessions.get(key).and_then(|open| open.calls) {
            self.end_call(call);
            self.service.cancelled(call, &mut self.outbox);
        }
        let Some(open) = self.sessions.remove(key) else { return };
        self.held_bytes -=
            open.held.iter().flat_map(|held| held.0.values()).map(|text| text.len()).sum::<usize>();
        self.by_id.remove(&open.session.id);
        self.service.closed(SessionKey(key));
        // What was said to it finds nobody, but its calls' deadlines are to be forgotten.
        self.flush(self.now);
        self.observe(&Event::SessionClosed { peer });
    }
}

/// The fields of every stream's head. `X-Accel-Buffering` is what makes nginx pass events on at once.
const STREAM_FIELDS: [(&str, &str); 2] =
    [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")];

/// What an open call's id holds: a peer can make it as long as a message.
fn id_bytes(id: &Id) -> usize {
    match id {
        Id::Int(_) => 0,
        Id::Str(text) => text.len(),
    }
}

/// A session id as it was sent out: 36 characters, lower case.
fn read_id(text: &str) -> Option<Uuid> {
    let lawful = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    lawful.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A line break between two JSON tokens would end the `data:` line; within a string there can be none.
fn keep_on_one_line(json: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}
