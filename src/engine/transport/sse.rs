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

use crate::access::query;
use crate::engine::core::Engine;
use crate::engine::observe::Event;
use crate::engine::refusals::{self, REFUSED, Refused, id_of, rejection};
use crate::engine::state::ids::{ROOM, id_text};
use crate::engine::state::peers::Share;
use crate::engine::state::replay::Kind;
use crate::engine::state::sessions::Open;
use crate::engine::state::streams::STREAM_FIELDS;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message};
use crate::service::keys::SessionKey;
use crate::service::session::Session;
use crate::slab::Key;
use crate::sse;
use crate::timers::Nanos;

impl Engine {
    pub(crate) fn open_session(&mut self, conn: Key, query: &str) {
        let id = self.next_id();
        let mut room = ROOM;
        let text = id_text(&self.settings.node_id, id, &mut room);
        let Some(entry) = self.conns.get_mut(conn) else { return };
        self.peers.add(&entry.peer, Share::Session, &self.common.limits);
        let session = Session::new(id, entry.peer.principal.clone());
        let key = self.sessions.insert(Open::new(session, Some(conn), None));
        entry.session = Some(key);
        entry.last_output = Nanos::of(self.now);
        self.by_id.insert(id, key.index());
        self.stats.sessions_opened += 1;
        let mut endpoint = format!("{}{}?", self.settings.base_path, self.settings.message_path);
        let theirs = |parameter: &&str| query::value_of(parameter, "sessionId").is_none();
        for parameter in query::parameters(query).filter(theirs) {
            endpoint.extend([parameter, "&"]);
        }
        endpoint.extend(["sessionId=", text]);
        let [cache, buffering] = STREAM_FIELDS;
        let fields = [cache, buffering, ("Mcp-Session-Id", text)];
        self.open_stream(conn, &fields, |out| sse::event(out, "endpoint", &endpoint));
        if let Some(open) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut open.session);
        }
        if let (Some(observer), Some(entry)) = (&mut self.observer, self.conns.get(conn)) {
            observer(&Event::SessionOpened { peer: &entry.peer });
        }
    }

    pub(crate) fn take_message(&mut self, conn: Key, session: Key, head: &Head<'_>, body: &[u8]) {
        let mut tape = std::mem::take(&mut self.tape);
        match self.read_message(session, body, &mut tape) {
            Ok(message) => {
                self.stats.messages_received += 1;
                self.accept(conn);
                self.take(conn, session, head, &message);
            }
            Err(answer) => self.answer(conn, &answer),
        }
        self.tape = tape;
    }

    fn read_message<'a>(
        &mut self,
        session: Key,
        body: &'a [u8],
        tape: &'a mut Tape,
    ) -> Result<Message<'a>, OwnedResponse> {
        let message = jsonrpc::parse(body, &self.common.limits, tape).map_err(rejection)?;
        // Answers and notifications have no reply, and free something here.
        let Message::Request(request) = &message else { return Ok(message) };
        // All replies go on one stream, where the id alone tells whose each is.
        let refused = if self.calls_of_id(session, &request.id).next().is_some() {
            Refused::new(400, Error::invalid_request("a request with this id is in flight already"))
        } else if let Some(reason) = self.no_room_for_reply(session) {
            refusals::as_error_of(REFUSED, self.busy(&reason))
        } else {
            return Ok(message);
        };
        Err(refused.answer(id_of(&message)))
    }

    /// Why no other reply can be queued for a session, if that is so.
    fn no_room_for_reply(&self, session: Key) -> Option<String> {
        let stream = self.sessions.get(session).and_then(|open| self.conns.get(open.conn?));
        let backlog = stream.map_or(0, |stream| stream.http.outgoing().len());
        (backlog > self.common.limits.output_bytes_max / 2)
            .then(|| format!("{backlog} bytes are waiting on the session's stream (limit output_bytes_max)"))
    }

    /// A message that is taken: from here on it is answered on the session's stream, or the stream ends.
    fn take(&mut self, conn: Key, key: Key, head: &Head<'_>, message: &Message<'_>) {
        let call = match message {
            Message::Request(request) => match self.begin_call(key, None, &request.id, &request.method) {
                Some(call) => Some(call),
                None => {
                    let (error, id) = (self.busy_with_calls(), Some(request.id.clone()));
                    if let Some(stream) = self.sessions.get(key).and_then(|open| open.conn) {
                        self.say(stream, Kind::Response, |out| {
                            jsonrpc::write_error(out, id, &error);
                        });
                    }
                    return;
                }
            },
            _ => None,
        };
        self.hand_over(conn, key, head, message, call);
        self.flush();
    }
}
