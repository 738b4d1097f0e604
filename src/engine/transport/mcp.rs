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

/// Returns the refusal of a POST for which there is no room. Its body is not read, so only the head shows its revision.
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
            core.tape = tape.emptied();
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
    streamable::post(core, conn, head, &message);
    // A message that belongs to a session is refused here, with what it lacks.
    #[cfg(not(feature = "streamable"))]
    stateless::post(core, conn, head, &message);
}
