//! The HTTP+SSE transport: `GET /sse` and `POST /messages` (MCP 2024-11-05, transports).
//!
//! *Scope:* sessions from the stream's first byte to its last, messages into them, frames out of them.
//! *Not in scope:* other transports; what messages mean.
//!
//! ```text
//!  GET /sse ──▶ head + `endpoint` event ──▶ frames, comments ──▶ stream ends ──▶ session gone, its calls cancelled
//!                                              ▲
//!  POST /messages ─┬ not for a live session, not JSON-RPC ──▶ 4xx: nothing happens
//!                  ├ busy ──▶ 503, and ────────┤ an error
//!                  └ 202 Accepted, then ───────┘ the reply
//! ```

use crate::access::query;
use crate::engine::core::Core;
use crate::engine::refusals::{self, REFUSED, Refused, id_of, rejection};
use crate::engine::state::ids::{ID_BUFFER, id_text, owner_hint};
use crate::engine::state::message::MessageKind;
use crate::engine::state::streams::{Source, Stream};
use crate::http::head::{Framing, Head};
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Message};
use crate::slab::Key;
use crate::sse;

/// Serves `GET /sse`.
pub(crate) fn open(core: &mut Core, conn: Key, head: &Head<'_>) {
    if let Err(answer) = core.make_place(conn) {
        return core.answer(conn, &answer);
    }
    if let Some(reason) = core.no_place_to_wait(conn) {
        let answer = core.busy(&reason);
        return core.answer(conn, &answer);
    }
    let session = core.begin_session(conn);
    let entry = core.sessions.get(session).map(|entry| (entry.session.id, entry.session.mount()));
    let Some((id, mount)) = entry else { return };
    let stream = core.streams.open(Stream::of_events(session, conn, Source::Sse));
    core.attach(stream, conn);
    let mut buffer = ID_BUFFER;
    let text = id_text(&core.settings.node_id, id, &mut buffer);
    let mut endpoint = core.settings.base_path.clone();
    if let Some(mount) = mount.and_then(|mount| core.settings.mounts.get(mount)) {
        endpoint.extend(["/", mount]);
    }
    endpoint.extend([&core.settings.message_path, "?"]);
    let theirs = |parameter: &&str| query::value_of(parameter, "sessionId").is_none();
    for parameter in query::parameters(head.query.unwrap_or_default()).filter(theirs) {
        endpoint.extend([parameter, "&"]);
    }
    endpoint.extend(["sessionId=", text]);
    core.open_events(conn, Some(stream), |out| sse::event(out, "endpoint", &endpoint));
    core.announce_session(session, conn);
}

/// Serves `HEAD /sse`: the head that a session would get.
pub(crate) fn head_only(core: &mut Core, conn: Key) {
    core.open_events(conn, None, |_| {});
}

/// Returns the session with that id, if its stream takes messages and it belongs to the request's principal.
///
/// # Errors
/// A refusal if there is no such session.
#[inline(always)]
pub(crate) fn live_session(core: &Core, conn: Key, head: &Head<'_>, id: &str) -> Result<Key, OwnedResponse> {
    let found = core.find_session(conn, head, id.as_bytes()).filter(|(key, _)| has_live_stream(core, *key));
    found.map(|(key, _)| key).ok_or_else(|| {
        let hint = owner_hint(id, &core.settings.node_id);
        OwnedResponse::text(400, format!("No transport found for sessionId{hint}"))
    })
}

/// True if it is a session of HTTP+SSE whose stream takes messages. If the stream has ended and the session is not removed yet,
/// a 202 would promise an answer that cannot be sent.
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
            core.accept(conn);
            // From here on it is answered on the session's stream, or the stream ends.
            core.accept_message(conn, session, head, &message);
        }
        Err(answer) => core.answer(conn, &answer),
    }
    core.tape = tape.emptied();
}

/// Tells a client on its session's stream too that its request was refused as busy, if the whole body is here. The response to
/// the POST says it, but widely used clients never look at that, and would wait for an answer until their own time is over.
pub(crate) fn tell_busy(
    core: &mut Core,
    conn: Key,
    session: &str,
    head: &Head<'_>,
    body: &[u8],
    answer: &OwnedResponse,
) {
    let Framing::Length(length) = head.framing else { return };
    let Some(body) = usize::try_from(length).ok().and_then(|length| body.get(..length)) else { return };
    let Ok(session) = live_session(core, conn, head, session) else { return };
    let mut tape = std::mem::take(&mut core.tape);
    if let Ok(Message::Request(request)) = jsonrpc::parse(body, core.limits(), &mut tape)
        && core.in_flight(session, &request.id).is_none()
    {
        let error = refusals::as_error_of(REFUSED, answer.clone());
        tell_refused(core, session, request.id, error);
    }
    core.tape = tape.emptied();
}

/// Puts a refusal on the stream of a session, as the answer to its request.
fn tell_refused(core: &mut Core, session: Key, id: IdRef<'_>, refused: Refused) {
    let Some(stream) = core.sessions.get(session).and_then(|entry| entry.stream) else { return };
    // A client that does not read would make room for itself to be closed.
    let is_full = no_room_for_reply(core, session, 3 * (core.limits().output_bytes_max / 4)).is_some();
    if !is_full {
        let error = refused.into_error();
        core.send(stream, MessageKind::Response, |out| jsonrpc::write_error(out, Some(id), &error));
    }
}

fn read_message<'a>(
    core: &mut Core,
    session: Key,
    body: &'a [u8],
    tape: &'a mut Tape,
) -> Result<Message<'a>, OwnedResponse> {
    let message = jsonrpc::parse(body, core.limits(), tape).map_err(rejection)?;
    // Answers and notifications get no reply, and may free memory.
    let Message::Request(request) = &message else { return Ok(message) };
    if let Some(refused) = core.in_flight(session, &request.id) {
        // Not on the stream: it would look like the answer to the other request.
        return Err(refused.answer(id_of(&message)));
    }
    let Some(reason) = no_room_for_reply(core, session, core.limits().output_bytes_max / 2) else {
        return Ok(message);
    };
    let answer = core.busy(&reason);
    tell_refused(core, session, request.id.clone(), refusals::as_error_of(REFUSED, answer.clone()));
    Err(refusals::as_error_of(REFUSED, answer).answer(id_of(&message)))
}

/// Returns why no other reply can be queued for a session; `None` if one can.
#[inline(always)]
fn no_room_for_reply(core: &Core, session: Key, bytes_max: usize) -> Option<String> {
    let stream = core.streams.get(core.sessions.get(session)?.stream?)?;
    let backlog = core.connections.get(stream.conn?)?.http.unsent_bytes();
    (backlog > bytes_max)
        .then(|| "too much waits on the session's stream; read it (limit output_bytes_max)".to_owned())
}
