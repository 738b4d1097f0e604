//! Requests that stand alone: POST on the path of Streamable HTTP without sessions (MCP 2026-07-28, basic/transports), and what
//! stands in for sessions of the revisions before, where the server keeps none ([`Settings::sessionless`](crate::Settings)).
//!
//! *Scope:* which POST is one, what is checked before the service sees it, and what stands in for its session. *Not in
//! scope:* methods (the service's), how the answer is sent (`streams`), the tasks extension, which is not implemented.
//!
//! ```text
//!  POST ─┬ notification ──▶ 202, and nothing happens: this revision has none from clients
//!        └ request ─▶ _meta? ─▶ version header? ─▶ served? ─▶ Mcp-Method? ─▶ Mcp-Name? ─▶ service ─▶ Post
//!                      −32602    −32020             −32022     −32020        −32020       │
//!                      all of these are 400 and echo the id       no such method: 404 −32601
//!                                                                 capability missing: 400 −32021
//!                                                                 Mcp-Param-* wrong: 400 −32020, busy: 503 −32603
//!  the connection ends ──▶ the request is cancelled
//!  before 2026-07-28: the client sends no more ──▶ a stream with a comment, which a client that is gone answers with a reset
//! ```

use crate::engine::core::Core;
use crate::engine::negotiate::{AcceptField, revision_of, unsupported};
use crate::engine::refusals::{Refused, as_error_of};
use crate::engine::state::streams::{Source, Stream, Waiting};
use crate::http::head::{Head, Single};
use crate::http::response::Response;
use crate::json::value::JsonRef;
use crate::jsonrpc::{Error, Message, Request};
use crate::protocol::envelope::Envelope;
use crate::protocol::meta::named_by;
use crate::protocol::revision::Revision;
use crate::runtime::headers::{
    HEADER_MISMATCH, check as check_header, check_coded as check_coded_header, check_uri as check_uri_header,
};
use crate::service::session::Session;
use crate::slab::Key;

/// Serves a POST of a revision without sessions.
pub(crate) fn post(core: &mut Core, conn: Key, head: &Head<'_>, message: &Message<'_>) {
    let Message::Request(request) = message else {
        core.stats.messages_received += 1;
        return core.respond(conn, &Response::new(202));
    };
    let accepted = AcceptField::of(head);
    match check(request, head, accepted) {
        Ok(envelope) => accept_request(core, conn, head, message, (request, envelope, accepted)),
        Err((status, error)) => {
            let answer = Refused::new(status, error).answer(Some((&request.id).into()));
            core.answer(conn, &answer);
        }
    }
}

fn accept_request(
    core: &mut Core,
    conn: Key,
    head: &Head<'_>,
    message: &Message<'_>,
    (request, envelope, accepted): (&Request<'_>, Envelope<'_>, AcceptField),
) {
    core.stats.messages_received += 1;
    let principal = core.connections.get(conn).and_then(|conn| conn.peer.principal.clone());
    let Envelope { client, log_level, .. } = envelope;
    core.report_sessionless(conn);
    let session =
        core.begin_request(Session::of_request(principal, Revision::V2026_07_28, client, log_level));
    let waiting = Waiting::new(accepted.json, accepted.events, false, core.held.charge(0));
    let stream = core.streams.open(Stream::of_post(session, conn, false, waiting));
    let Some(call) = core.begin_call(session, stream, &request.id, &request.method) else {
        core.streams.remove(stream);
        core.end_request(session);
        let max = core.limits().calls_max;
        let busy = core.busy(&format!("{max} requests may be open (limit calls_max)"));
        let refused = as_error_of(Error::INTERNAL_ERROR, busy);
        return core.answer(conn, &refused.answer(Some((&request.id).into())));
    };
    core.connections.with(conn, |conn| conn.stream = Some(stream));
    core.hand_over(conn, session, head, message, Some(call));
    core.handed_over(conn, stream);
}

/// What stands in for the session of a POST, where the server keeps none. A client that names no revision has to be taken
/// for one of 2025-03-26 (MCP 2025-11-25, transports, "Protocol Version Header").
pub(crate) fn stand_in(core: &mut Core, conn: Key, head: &Head<'_>) -> Key {
    let principal = core.connections.get(conn).and_then(|conn| conn.peer.principal.clone());
    core.report_sessionless(conn);
    core.begin_request(Session::of_post(principal, revision_of(head)))
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

/// What is to be right before a method is looked at (MCP 2026-07-28, transports and versioning).
fn check<'a>(
    request: &Request<'a>,
    head: &Head<'_>,
    accepted: AcceptField,
) -> Result<Envelope<'a>, (u16, Error)> {
    let envelope = Envelope::read(request.params).map_err(|error| (400, error))?;
    check_header(head, "MCP-Protocol-Version", &envelope.version).map_err(|error| (400, error))?;
    if envelope.version != Revision::V2026_07_28.name() {
        return Err((400, unsupported(&envelope.version)));
    }
    check_header(head, "Mcp-Method", &request.method).map_err(|error| (400, error))?;
    let member = named_by(&request.method);
    let named = member.and_then(|member| envelope.params.get(member)).and_then(JsonRef::as_str);
    if let Some(name) = named {
        let check = if member == Some("uri") { check_uri_header } else { check_coded_header };
        check(head, "Mcp-Name", &name).map_err(|error| (400, error))?;
    } else if matches!(head.single("mcp-name"), Single::One(_) | Single::Several) && member.is_some() {
        let error =
            Error::new(HEADER_MISMATCH, "Header mismatch: Mcp-Name is sent, but the body has no name");
        return Err((400, error));
    }
    if request.method == "subscriptions/listen" && !accepted.events {
        let text = "Not acceptable: the answer to this is text/event-stream; accept that";
        return Err((406, Error::new(Error::INVALID_REQUEST, text)));
    }
    Ok(envelope)
}
