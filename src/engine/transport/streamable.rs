//! The Streamable HTTP transport with sessions: POST, GET and DELETE on one path (MCP 2025-03-26, 2025-06-18 and
//! 2025-11-25, basic/transports).
//!
//! *Scope:* sessions without a stream of their own, messages into them, and the answer to each POST, which is JSON for as
//! long as it can be and a stream as soon as it has to be. *Not in scope:* resuming streams (`resume`), requests that
//! stand alone (`stateless`).
//!
//! ```text
//!  POST ─┬ not acceptable, not JSON-RPC, no session ──▶ 4xx with a JSON-RPC error: nothing happens
//!        ├ notifications, answers ──▶ 202
//!        └ requests ──▶ Post ─┬─ all answered, and nothing else was said ──▶ JSON
//!                             └─ a message before that, or keep_alive ──▶ SSE ── all answered ──▶ end
//!  GET ──▶ what belongs to no request: list changes, updates, logs; the newest one carries it, and ends the one before
//!  the POST's client gone ──▶ its calls go on, their results are kept if it can come back
//!  DELETE, idle, its place wanted ──▶ session gone, calls cancelled
//! ```

use crate::engine::core::Core;
use crate::engine::core::streamable::is_work;
use crate::engine::negotiate::{AcceptField, Version};
use crate::engine::refusals::{self, REFUSED, Refused, id_of};
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::engine::state::streams::answer::Waiting;
use crate::engine::state::streams::{STREAM_FIELDS, Source, Stream};
use crate::engine::transport::batch::{PostedMessages, read_batch};
#[cfg(feature = "resume")]
use crate::engine::transport::resume::{resume, resume_point};
use crate::engine::transport::session::{no_question, refusal, session_for, session_of};
use crate::engine::transport::sessionless::stand_in;
use crate::http::head::Head;
use crate::http::response::{OwnedResponse, Response};
use crate::json::tape::Tape;
use crate::jsonrpc::{Error, Message};
use crate::service::keys::CallKey;
use crate::service::session::read_initialize;
use crate::slab::Key;

/// Serves a POST of one message.
pub(crate) fn post(core: &mut Core, conn: Key, head: &Head<'_>, message: Message<'_>) {
    let read = read_one(core, conn, head, message);
    accept(core, conn, head, read);
}

/// Serves a POST of an array of messages.
pub(crate) fn post_batch(core: &mut Core, conn: Key, head: &Head<'_>, body: &[u8], tape: &mut Tape) {
    let read = read_batch(core, conn, head, body, tape);
    accept(core, conn, head, read);
}

fn accept(core: &mut Core, conn: Key, head: &Head<'_>, read: Result<PostedMessages<'_>, OwnedResponse>) {
    let opened = read.and_then(|posted| match posted.session {
        Some(session) => Ok((session, posted)),
        None if core.settings.sessionless => Ok((stand_in(core, conn, head), posted)),
        None => match begin_session(core, conn, &posted) {
            Ok(session) => Ok((session, posted)),
            Err(refused) => Err(refused.answer(posted.messages.iter().find_map(id_of))),
        },
    });
    match opened {
        Ok((session, posted)) => accept_messages(core, conn, session, head, &posted),
        Err(answer) => core.answer(conn, &answer),
    }
}

fn read_one<'a>(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    message: Message<'a>,
) -> Result<PostedMessages<'a>, OwnedResponse> {
    let session = match &message {
        Message::Request(request) if request.method == "initialize" => {
            check_initialize(core, conn, head).map(|()| None)
        }
        Message::Response(_) if core.settings.sessionless => Err(no_question()),
        _ => session_for(core, conn, head, &Version::of(head)),
    };
    match session {
        Ok(session) => Ok(PostedMessages { session, messages: vec![message], batch: false }),
        Err(refused) => Err(refused.answer(id_of(&message))),
    }
}

fn check_initialize(core: &Core, conn: Key, head: &Head<'_>) -> Result<(), Refused> {
    if head.header("mcp-session-id").is_none() {
        return Ok(());
    }
    session_of(core, conn, head, &Version::Absent)?;
    let text = "this session is initialized already; to open another one, leave out Mcp-Session-Id";
    Err(Refused::new(400, Error::invalid_request(text)))
}

/// Opens the session that `initialize` asks for. One whose parameters will be refused ends in the same turn, so no other
/// session has to make place for it.
fn begin_session(core: &mut Core, conn: Key, posted: &PostedMessages<'_>) -> Result<Key, Refused> {
    let stays = |message: &Message<'_>| match message {
        Message::Request(request) => read_initialize(request.params).is_ok(),
        _ => true,
    };
    if posted.messages.iter().all(stays) {
        core.make_place(conn).map_err(|answer| refusals::as_error_of(REFUSED, answer))?;
    }
    let session = core.begin_streamable(conn);
    core.announce_session(session, conn);
    Ok(session)
}

fn accept_messages(core: &mut Core, conn: Key, session: Key, head: &Head<'_>, posted: &PostedMessages<'_>) {
    core.stats.messages_received += posted.messages.len() as u64;
    core.touch(session);
    let is_request = |message: &Message<'_>| matches!(message, Message::Request(_));
    if !posted.messages.iter().any(is_request) {
        core.respond(conn, &Response::new(202));
        for message in &posted.messages {
            core.hand_over(conn, session, head, message, None);
        }
        core.flush();
        if core.settings.sessionless {
            core.end_request(session);
        }
        return;
    }
    let AcceptField { json, events } = AcceptField::of(head);
    let waiting = Waiting::new(json, events, posted.batch, core.held.charge(0));
    let stream = core.streams.open(Stream::of_post(session, conn, posted.session.is_none(), waiting));
    // All calls are open before the first one can be answered, or cancelled by a notification further on.
    let calls: Vec<Option<CallKey>> =
        posted.messages.iter().map(|message| begin_call(core, session, stream, message)).collect();
    core.connections.with(conn, |conn| conn.stream = Some(stream));
    for (message, call) in posted.messages.iter().zip(calls) {
        core.hand_over(conn, session, head, message, call);
    }
}

fn begin_call(core: &mut Core, session: Key, stream: Key, message: &Message<'_>) -> Option<CallKey> {
    let Message::Request(request) = message else { return None };
    if let Some(kind) = core.sessions.streamable_mut(session) {
        kind.worked = kind.worked || is_work(&request.method);
    }
    core.begin_call_of_answer(session, stream, request)
}

/// Serves a GET.
pub(crate) fn get(core: &mut Core, conn: Key, head: &Head<'_>) {
    if let Err(answer) = try_get(core, conn, head) {
        core.answer(conn, &answer);
    }
}

fn try_get(core: &mut Core, conn: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
    let session = check_get(core, conn, head)?;
    #[cfg(feature = "resume")]
    let point = resume_point(core, session, head)?;
    check_room(core)?;
    #[cfg(feature = "resume")]
    if let Some(point) = point {
        resume(core, conn, session, point);
        return Ok(());
    }
    open_stream(core, conn, session);
    Ok(())
}

/// Opens a session's stream. One that is open is closed: its client has asked for the stream again, so that one is lost or
/// given up.
fn open_stream(core: &mut Core, conn: Key, session: Key) {
    let Some(old) = core.sessions.get(session).map(|entry| entry.any_stream()) else { return };
    let old = old.and_then(|old| core.streams.remove(old));
    if let Some(old) = old.as_ref().and_then(|old| old.conn) {
        core.connections.with(old, |conn| conn.stream = None);
        core.connections.close(old);
    }
    let mut stream = Stream::of_events(session, conn, Source::Get);
    stream.owed = old.and_then(|old| old.owed);
    let key = core.streams.open(stream);
    #[cfg(feature = "resume")]
    let first = core.begin_session_log(key);
    #[cfg(not(feature = "resume"))]
    let first = [];
    let Some(id) = core.sessions.get(session).map(|entry| entry.session.id) else { return };
    let mut buffer = ID_BUFFER;
    let [cache, buffering] = STREAM_FIELDS;
    let id = id_text(&core.settings.node_id, id, &mut buffer);
    let fields = [cache, buffering, ("Mcp-Session-Id", id)];
    core.open_events(conn, Some(key), &fields, |out| out.extend_from_slice(&first));
    core.attach(key, conn);
    core.touch(session);
}

/// The session whose stream is wanted.
fn check_get(core: &mut Core, conn: Key, head: &Head<'_>) -> Result<Key, OwnedResponse> {
    let version = Version::of(head);
    if matches!(version, Version::Modern(_)) || head.header("mcp-session-id").is_none() {
        // Clients take exactly this for "there is no such stream", and go on without.
        let (text, allow) = match &version {
            Version::Modern(name) => (format!("MCP-Protocol-Version is `{name}`, which has no GET"), "POST"),
            _ => {
                let missing = || "a stream belongs to a session; send its Mcp-Session-Id".to_owned();
                (version.fault(head, false).unwrap_or_else(missing), "POST, DELETE")
            }
        };
        return Err(refusal(405, REFUSED, format!("Method not allowed: {text}")).header("Allow", allow));
    }
    let session = session_of(core, conn, head, &version)?;
    if !AcceptField::of(head).events {
        return Err(refusal(406, REFUSED, "Not acceptable: a stream is text/event-stream; accept that"));
    }
    Ok(session)
}

fn check_room(core: &mut Core) -> Result<(), OwnedResponse> {
    let spent = core.firm_bytes();
    let reason = if core.stopping.is_some() {
        "the server is shutting down".to_owned()
    } else if spent >= core.limits().buffered_bytes_max {
        format!("{spent} bytes are buffered (limit buffered_bytes_max)")
    } else {
        return Ok(());
    };
    Err(refusals::as_error(core.busy(&reason)))
}

/// Serves a DELETE.
pub(crate) fn delete(core: &mut Core, conn: Key, head: &Head<'_>) {
    if let Version::Modern(name) = Version::of(head) {
        let text = format!("Method not allowed: {name} has no sessions to end");
        return core.answer(conn, &refusal(405, REFUSED, text).header("Allow", "POST"));
    }
    match session_of(core, conn, head, &Version::of(head)) {
        Ok(session) => {
            core.end_streamable(session);
            core.respond(conn, &Response::new(200));
        }
        Err(refused) => core.answer(conn, &refused.into()),
    }
}
