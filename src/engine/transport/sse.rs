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
use crate::engine::core::Core;
use crate::engine::refusals::{self, REFUSED, Refused, id_of, rejection};
use crate::engine::state::ids::{ID_BUFFER, id_text, owner_hint};
use crate::engine::state::message::MessageKind;
use crate::engine::state::streams::{STREAM_FIELDS, Source, Stream};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message};
use crate::slab::Key;
use crate::sse;

/// Serves `GET /sse`.
pub(crate) fn open(core: &mut Core, conn: Key, head: &Head<'_>) {
    if let Err(answer) = core.make_place(conn) {
        return core.answer(conn, &answer);
    }
    let session = core.begin_session(conn);
    let Some(id) = core.sessions.get(session).map(|entry| entry.session.id) else { return };
    let stream = core.streams.open(Stream::of_events(session, conn, Source::Sse));
    core.attach(stream, conn);
    let mut buffer = ID_BUFFER;
    let text = id_text(&core.settings.node_id, id, &mut buffer);
    let mut endpoint = format!("{}{}?", core.settings.base_path, core.settings.message_path);
    let theirs = |parameter: &&str| query::value_of(parameter, "sessionId").is_none();
    for parameter in query::parameters(head.query.unwrap_or_default()).filter(theirs) {
        endpoint.extend([parameter, "&"]);
    }
    endpoint.extend(["sessionId=", text]);
    let [cache, buffering] = STREAM_FIELDS;
    let fields = [cache, buffering, ("Mcp-Session-Id", text)];
    core.open_events(conn, Some(stream), &fields, |out| sse::event(out, "endpoint", &endpoint));
    core.announce_session(session, conn);
}

/// Serves `HEAD /sse`: the head that a session would get.
pub(crate) fn head_only(core: &mut Core, conn: Key) {
    core.open_events(conn, None, &STREAM_FIELDS, |_| {});
}

/// The session of that id.
///
/// # Errors
/// A refusal if there is none.
pub(crate) fn find_session(core: &Core, conn: Key, id: &str) -> Result<Key, OwnedResponse> {
    let found = core.find_session(conn, id).filter(|(key, _)| has_live_stream(core, *key));
    found.map(|(key, _)| key).ok_or_else(|| {
        let hint = owner_hint(id, &core.settings.node_id);
        OwnedResponse::text(400, format!("No transport found for sessionId{hint}"))
    })
}

/// True if it is a session of HTTP+SSE whose stream takes messages. If the stream has ended and the session is not taken out
/// yet, a 202 now would be a promise that nobody can keep.
fn has_live_stream(core: &Core, session: Key) -> bool {
    let stream = core.sessions.get(session).and_then(|entry| core.streams.get(entry.stream?));
    let stream = stream.filter(|stream| stream.source == Source::Sse);
    let conn = stream.and_then(|stream| core.connections.get(stream.conn?));
    conn.is_some_and(|conn| !conn.is_closing() && conn.http.is_stream())
}

/// Serves `POST /messages`.
pub(crate) fn post(core: &mut Core, conn: Key, session: Key, head: &Head<'_>, body: &[u8]) {
    if !has_live_stream(core, session) {
        return core.answer(conn, &OwnedResponse::text(400, "No transport found for sessionId"));
    }
    let mut tape = std::mem::take(&mut core.tape);
    match read_message(core, session, body, &mut tape) {
        Ok(message) => {
            core.stats.messages_received += 1;
            core.accept(conn);
            accept_message(core, conn, session, head, &message);
        }
        Err(answer) => core.answer(conn, &answer),
    }
    core.tape = tape;
}

fn read_message<'a>(
    core: &mut Core,
    session: Key,
    body: &'a [u8],
    tape: &'a mut Tape,
) -> Result<Message<'a>, OwnedResponse> {
    let message = jsonrpc::parse(body, core.limits(), tape).map_err(rejection)?;
    // Answers and notifications have no reply, and free something here.
    let Message::Request(request) = &message else { return Ok(message) };
    // All replies go on one stream, where the id alone tells whose each is.
    let refused = if core.sessions.calls_of_id(session, &request.id).next().is_some() {
        Refused::new(400, Error::invalid_request("a request with this id is in flight already"))
    } else if let Some(reason) = no_room_for_reply(core, session) {
        refusals::as_error_of(REFUSED, core.busy(&reason))
    } else {
        return Ok(message);
    };
    Err(refused.answer(id_of(&message)))
}

/// Why no other reply can be queued for a session, if that is so.
fn no_room_for_reply(core: &Core, session: Key) -> Option<String> {
    let stream = core.streams.get(core.sessions.get(session)?.stream?)?;
    let backlog = core.connections.get(stream.conn?)?.http.outgoing().len();
    (backlog > core.limits().output_bytes_max / 2)
        .then(|| format!("{backlog} bytes are waiting on the session's stream (limit output_bytes_max)"))
}

/// A message that is taken: from here on it is answered on the session's stream, or the stream ends.
fn accept_message(core: &mut Core, conn: Key, session: Key, head: &Head<'_>, message: &Message<'_>) {
    let mut call = None;
    if let Message::Request(request) = message {
        let Some(stream) = core.sessions.get(session).and_then(|entry| entry.stream) else { return };
        call = core.begin_call(session, stream, &request.id, &request.method);
        if call.is_none() {
            let (error, id) = (core.busy_with_calls(), Some(request.id.clone()));
            return core.send(stream, MessageKind::Response, |out| jsonrpc::write_error(out, id, &error));
        }
    }
    core.hand_over(conn, session, head, message, call);
    core.flush();
}
