//! The path of Streamable HTTP, `/mcp`: which transport serves a request on it.
//!
//! *Scope:* methods, the form of the answer, and the era of a POST's message. *Not in scope:* sessions (`streamable`),
//! requests without one (`stateless`).

use crate::access::settings::Settings;
use crate::engine::core::Core;
use crate::engine::negotiate::{AcceptField, McpMethod, Version};
#[cfg(feature = "stateless")]
use crate::engine::refusals::id_of;
use crate::engine::refusals::{as_error, as_error_of, not_allowed, rejection};
use crate::engine::state::streams::Source;
use crate::engine::transport::content_type::check_json;
#[cfg(feature = "stateless")]
use crate::engine::transport::stateless::{self, Era, era};
#[cfg(feature = "streamable")]
use crate::engine::transport::streamable;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error};
use crate::slab::Key;

/// Decides what a request on this path wants, or refuses it.
pub(crate) fn route(head: &Head<'_>, path: &str, settings: &Settings) -> Result<McpMethod, OwnedResponse> {
    check(head, path, settings).map_err(as_error)
}

fn check(head: &Head<'_>, path: &str, settings: &Settings) -> Result<McpMethod, OwnedResponse> {
    match head.method {
        "POST" => {
            let accepted = AcceptField::of(head);
            if !accepted.json && !accepted.events {
                let text = "Not acceptable: answers are application/json or text/event-stream; accept both";
                return Err(OwnedResponse::text(406, text));
            }
            check_json(head, 415).map(|()| McpMethod::Post)
        }
        method if !settings.keeps_sessions() => {
            let text = format!(
                "Method not allowed: `{path}` takes POST, not {method}: this server keeps no sessions"
            );
            Err(OwnedResponse::text(405, text).header("Allow", "POST"))
        }
        #[cfg(feature = "streamable")]
        "GET" => Ok(McpMethod::Get),
        #[cfg(feature = "streamable")]
        "DELETE" => Ok(McpMethod::Delete),
        method => Err(not_allowed(method, path, "GET, POST, DELETE")),
    }
}

/// The refusal of a POST for which there is no room. Its body is not read, so the head alone has to say of which revision it
/// is.
pub(crate) fn busy(head: &Head<'_>, answer: OwnedResponse) -> OwnedResponse {
    match Version::of(head) {
        Version::Modern(_) => as_error_of(Error::INTERNAL_ERROR, answer).into(),
        _ => as_error(answer),
    }
}

/// Serves a request.
pub(crate) fn serve(core: &mut Core, conn: Key, method: McpMethod, head: &Head<'_>, body: &[u8]) {
    match method {
        McpMethod::Post => {
            let mut tape = std::mem::take(&mut core.tape);
            post(core, conn, head, body, &mut tape);
            core.tape = tape;
        }
        #[cfg(feature = "streamable")]
        McpMethod::Get => streamable::get(core, conn, head),
        #[cfg(feature = "streamable")]
        McpMethod::Delete => streamable::delete(core, conn, head),
    }
}

fn post(core: &mut Core, conn: Key, head: &Head<'_>, body: &[u8], tape: &mut Tape) {
    #[cfg(feature = "streamable")]
    if jsonrpc::is_batch(body) {
        return streamable::post_batch(core, conn, head, body, tape);
    }
    let message = match jsonrpc::parse(body, core.limits(), tape) {
        Ok(message) => message,
        Err(rejected) => return core.answer(conn, &rejection(rejected)),
    };
    #[cfg(feature = "stateless")]
    match era(&message, head) {
        Ok(Era::Stateless) => return stateless::post(core, conn, head, &message),
        Ok(Era::Session) => {}
        Err(refused) => return core.answer(conn, &refused.answer(id_of(&message))),
    }
    #[cfg(feature = "streamable")]
    streamable::post(core, conn, head, message);
    // What belongs to a session hears what it lacks.
    #[cfg(not(feature = "streamable"))]
    stateless::post(core, conn, head, &message);
}

/// The client sends nothing more, which cancels a request of a revision without sessions. What was said before that request
/// is still sent. Before 2026-07-28 a client may still wait for the answer, or be gone: to a write, only the kernel of one
/// that is gone answers with a reset (RFC 9293, section 3.10.7.1). So the answer becomes a stream at once, where it can be one.
pub(crate) fn end_of_input(core: &mut Core, conn: Key) {
    let Some(entry) = core.connections.get(conn) else { return };
    let Some((key, stream)) = entry.stream.and_then(|key| Some((key, core.streams.get(key)?))) else {
        return;
    };
    let session = stream.session;
    let Some(session_entry) = core.sessions.get(session) else { return };
    if stream.source != Source::Post || session_entry.session.is_kept() {
        return;
    }
    if session_entry.session.revision().has_sessions() {
        let waits = stream.waiting().is_some_and(|waiting| waiting.events && waiting.status == 200);
        if waits && entry.http.is_waiting() {
            core.comment(conn);
        }
        return;
    }
    core.streams.remove(key);
    let Core { connections, common, .. } = core;
    connections.with(conn, |conn| {
        conn.stream = None;
        conn.http.give_up(common);
        #[cfg(feature = "auth")]
        conn.forget_request();
    });
    core.end_request(session);
}
