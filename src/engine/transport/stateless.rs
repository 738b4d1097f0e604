//! Requests that stand alone: POST on the path of Streamable HTTP without sessions (MCP 2026-07-28, basic/transports).
//!
//! *Scope:* which POST is one, what is checked before the service sees it, and what stands in for its session. *Not in
//! scope:* methods (the service's), how the answer is sent (`core::answers`), the tasks extension, which is not implemented,
//! older revisions on a server without sessions (`streamable`, with the setting `sessionless`).
//!
//! ```text
//!  POST ─┬ notification ──▶ 202, and nothing happens: this revision has none from clients
//!        └ request ─▶ _meta? ─▶ version header? ─▶ served? ─▶ Mcp-Method? ─▶ Mcp-Name? ─▶ service ─▶ answer
//!                      −32602    −32020             −32022     −32020        −32020       │
//!                      all of these are 400 and echo the id       no such method: 404 −32601
//!                                                                 capability missing: 400 −32021
//!                                                                 Mcp-Param-* wrong: 400 −32020, busy: 503 −32603
//!  the connection ends ──▶ the request is cancelled
//!  before 2026-07-28: the client sends no more ──▶ a stream with a comment, which a client that is gone answers with a reset
//! ```

use crate::access::peer::Principal;
use crate::engine::core::Core;
use crate::engine::negotiate::{AcceptField, Version, unsupported};
use crate::engine::refusals::{Refused, as_error_of};
use crate::engine::state::streams::Stream;
use crate::engine::state::streams::answer::Waiting;
use crate::http::head::{Head, Single};
use crate::http::response::Response;
use crate::json::value::JsonRef;
use crate::jsonrpc::{Error, Message, Request};
use crate::protocol::envelope::Envelope;
use crate::protocol::meta_names::{named_by, names_revision};
use crate::protocol::revision::Revision;
use crate::runtime::stateless::headers::{HEADER_MISMATCH, check as check_header, check_name, check_uri};
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
    let session = core.begin_request(conn, |principal| session_of(principal, envelope));
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
}

/// What is like a session for one request, of which that is all that its client says of itself.
pub(crate) fn session_of(principal: Option<Principal>, envelope: Envelope<'_>) -> Session {
    Session::of_request(principal, Revision::V2026_07_28, envelope.client, envelope.log_level)
}

/// Which kind of POST a single message is.
pub(crate) enum Era {
    /// It belongs to a session, or opens one.
    Session,
    /// It belongs to no session.
    Stateless,
}

/// Returns the era of a message that is not in a batch. The body decides; if it names no revision, the header fields do. A
/// request that names a session belongs to it, and errors about its revision are found there.
///
/// # Errors
/// A refusal if the two contradict each other.
pub(crate) fn era(message: &Message<'_>, head: &Head<'_>) -> Result<Era, Refused> {
    let version = &Version::of(head);
    let names_session = || head.usual("mcp-session-id") != Single::Absent;
    let (method, params) = match message {
        Message::Response(_) => {
            return match version {
                Version::Modern(name) if !names_session() => {
                    let text = format_args!("clients of {name} post no responses");
                    Err(Refused::new(400, Error::invalid_request(text)))
                }
                _ => Ok(Era::Session),
            };
        }
        Message::Request(request) => (&request.method, request.params),
        Message::Notification(notification) => (&notification.method, notification.params),
    };
    match version {
        // The checks find out whether the body agrees.
        Version::Modern(_) if method != "initialize" && !names_session() => Ok(Era::Stateless),
        _ if params.is_some_and(names_revision) => Ok(Era::Stateless),
        Version::Modern(_) if method != "initialize" => Ok(Era::Session),
        Version::Modern(name) => {
            let text = format!("MCP-Protocol-Version is `{name}`, a revision without `initialize`");
            Err(Refused::new(400, Error::new(HEADER_MISMATCH, text)))
        }
        _ => Ok(Era::Session),
    }
}

/// Checks what has to be right before a method is looked at (MCP 2026-07-28, transports and versioning).
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
        let check = if member == Some("uri") { check_uri } else { check_name };
        check(head, &name).map_err(|error| (400, error))?;
    } else if head.usual("Mcp-Name") != Single::Absent && member.is_some() {
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
