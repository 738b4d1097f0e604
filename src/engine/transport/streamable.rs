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
//!        └ requests ──▶ wait ─┬─ all answered, and nothing else was said ──▶ JSON
//!                             └─ a message before that, or keep_alive ──▶ SSE ── all answered ──▶ end
//!  GET ──▶ what belongs to no request: list changes, updates, logs; the newest one carries it, and ends the one before
//!  the POST's client gone ──▶ its calls go on, their results are kept if it can come back
//!  DELETE, idle, its place wanted ──▶ session gone, calls cancelled
//! ```

use crate::engine::core::Core;
use crate::engine::negotiate::{AcceptField, Version};
use crate::engine::refusals::{self, REFUSED, Refused, id_of};
use crate::engine::state::streams::answer::Waiting;
use crate::engine::state::streams::{Source, Stream};
use crate::engine::transport::batch::read_batch;
#[cfg(feature = "resume")]
use crate::engine::transport::resume;
use crate::engine::transport::session::{named_session, no_question, refusal, required_session, revision_of};
use crate::http::conn::close::CloseReason;
use crate::http::head::Head;
use crate::http::response::{OwnedResponse, Response};
use crate::json::tape::Tape;
use crate::jsonrpc::{Error, Message};
use crate::service::session::{Session, read_initialize};
use crate::slab::Key;

/// What a POST carries that belongs to a session, or opens one.
struct PostedMessages<'m, 'a> {
    /// `None`: it opens one, or the server keeps none.
    session: Option<Key>,
    messages: &'m [Message<'a>],
    batch: bool,
}

/// Serves a POST of one message.
pub(crate) fn post(core: &mut Core, conn: Key, head: &Head<'_>, message: &Message<'_>) {
    let messages = std::slice::from_ref(message);
    match session_of(core, conn, head, message) {
        Ok(session) => accept(core, conn, head, &PostedMessages { session, messages, batch: false }),
        Err(answer) => core.answer(conn, &answer),
    }
}

/// Serves a POST of an array of messages.
pub(crate) fn post_batch(core: &mut Core, conn: Key, head: &Head<'_>, body: &[u8], tape: &mut Tape) {
    match read_batch(core, conn, head, body, tape) {
        Ok((session, messages)) => {
            accept(core, conn, head, &PostedMessages { session, messages: &messages, batch: true });
        }
        Err(answer) => core.answer(conn, &answer),
    }
}

fn accept(core: &mut Core, conn: Key, head: &Head<'_>, posted: &PostedMessages<'_, '_>) {
    let session = match posted.session {
        Some(session) => session,
        // A client that names no revision has to be taken for one of 2025-03-26 (MCP 2025-11-25, transports, "Protocol Version
        // Header").
        None if core.settings.sessionless => {
            let stand_in = |principal| Session::of_post(principal, revision_of(head));
            core.begin_request(conn, stand_in)
        }
        None => match begin_session(core, conn, posted) {
            Ok(session) => session,
            Err(refused) => {
                let answer = refused.answer(posted.messages.iter().find_map(id_of));
                return core.answer(conn, &answer);
            }
        },
    };
    accept_messages(core, conn, session, head, posted);
}

/// Returns the session of a message that is alone; `None` if it opens one, or the server keeps none.
fn session_of(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    message: &Message<'_>,
) -> Result<Option<Key>, OwnedResponse> {
    let session = match message {
        Message::Request(request) if request.method == "initialize" => {
            check_initialize(core, conn, head).map(|()| None)
        }
        Message::Response(_) if core.settings.sessionless => Err(no_question()),
        _ => named_session(core, conn, head, &Version::of(head)),
    };
    session.map_err(|refused| refused.answer(id_of(message)))
}

fn check_initialize(core: &Core, conn: Key, head: &Head<'_>) -> Result<(), Refused> {
    if head.header("mcp-session-id").is_none() {
        return Ok(());
    }
    required_session(core, conn, head, &Version::Absent)?;
    let text = "this session is initialized already; to open another one, leave out Mcp-Session-Id";
    Err(Refused::new(400, Error::invalid_request(text)))
}

/// Opens the session that `initialize` asks for. If its parameters are refused, it ends in the same turn, so no other session
/// is ended for it.
fn begin_session(core: &mut Core, conn: Key, posted: &PostedMessages<'_, '_>) -> Result<Key, Refused> {
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

fn accept_messages(
    core: &mut Core,
    conn: Key,
    session: Key,
    head: &Head<'_>,
    posted: &PostedMessages<'_, '_>,
) {
    core.stats.messages_received += posted.messages.len() as u64;
    core.touch(session);
    let is_request = |message: &Message<'_>| matches!(message, Message::Request(_));
    if !posted.messages.iter().any(is_request) {
        core.respond(conn, &Response::new(202));
        for message in posted.messages {
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
    core.connections.with(conn, |conn| conn.stream = Some(stream));
    core.hand_over_all(conn, stream, head, posted.messages);
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
    if let Some(point) = resume::resume_point(core, session, head)? {
        check_room(core, conn)?;
        resume::resume(core, conn, session, point);
        return Ok(());
    }
    check_room(core, conn)?;
    open_stream(core, conn, session);
    Ok(())
}

/// Opens a session's stream. A stream that is open is closed: since its client asks again, it has lost that stream or given it
/// up.
fn open_stream(core: &mut Core, conn: Key, session: Key) {
    let Some(old) = core.sessions.get(session).map(|entry| entry.any_stream()) else { return };
    let old = old.and_then(|old| core.streams.remove(old));
    if let Some(old) = old.as_ref().and_then(|old| old.conn) {
        core.connections.with(old, |conn| conn.stream = None);
        core.connections.close(old, CloseReason::Superseded);
    }
    let mut stream = Stream::of_events(session, conn, Source::Get);
    stream.owed = old.and_then(|old| old.owed);
    let key = core.streams.open(stream);
    let first = core.begin_session_log(key);
    core.open_events(conn, Some(key), |out| out.extend_from_slice(&first));
    core.attach(key, conn);
    core.touch(session);
}

/// Returns the session whose stream is wanted.
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
    let session = required_session(core, conn, head, &version)?;
    if !AcceptField::of(head).events {
        return Err(refusal(406, REFUSED, "Not acceptable: a stream is text/event-stream; accept that"));
    }
    Ok(session)
}

fn check_room(core: &mut Core, conn: Key) -> Result<(), OwnedResponse> {
    match core.no_room_to_begin(conn, 1).or_else(|| core.no_place_to_wait(conn)) {
        Some(reason) => Err(refusals::as_error(core.busy(&reason))),
        None => Ok(()),
    }
}

/// Serves a DELETE.
pub(crate) fn delete(core: &mut Core, conn: Key, head: &Head<'_>) {
    if let Version::Modern(name) = Version::of(head) {
        let text = format!("Method not allowed: {name} has no sessions to end");
        return core.answer(conn, &refusal(405, REFUSED, text).header("Allow", "POST"));
    }
    match required_session(core, conn, head, &Version::of(head)) {
        Ok(session) => {
            core.end_streamable(session);
            core.respond(conn, &Response::new(200));
        }
        Err(refused) => core.answer(conn, &refused.into()),
    }
}
