//! From a request's head to what serves it, or to a refusal.
//!
//! *Scope:* paths, methods, query parameters: what is decided before a body is read. *Not in scope:* Host and Origin, which
//! are checked before (`gate`), and what the routes do.
//!
//! ```text
//!  head ─▶ Host? ──▶ Origin? ──▶ (who?) ──▶ path? ──▶ method? ──▶ query, Content-Type? ──▶ Route
//!           403       403        401, 403    404       405          400, 414, 415
//!                                            `*`: 204 with the methods that some path takes
//! ```
//!
//! Host and Origin come first and on every path, so that a web page which reached this server by DNS rebinding learns
//! nothing of what is served, not even from errors. Heads that are not lawful were refused before, whatever is served.
//!
//! Paths are compared as sent, not decoded: `/%73se` is 404, though RFC 3986 §6.2.2.2 has it mean `/sse`. So no other
//! spelling gets around what a proxy decides by the path.

use crate::access::query::{parameters, value_of};
use crate::access::settings::{Settings, relative};
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::negotiate::McpMethod;
use crate::engine::refusals::{not_allowed, nothing_here};
use crate::engine::transport::content_type::check_json;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::transport::mcp;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;

/// A query that is copied into the endpoint may have this many bytes.
const QUERY_BYTES_MAX: usize = 1 << 10;

/// What a lawful request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `GET /sse`: a new session. The query is copied into its endpoint.
    Stream,
    /// `HEAD /sse`: the same head, and no session.
    StreamHead,
    /// `POST /messages`: a message into the session of this id.
    Message { session: &'a str },
    /// What Streamable HTTP has on its path, `/mcp`.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Mcp(McpMethod),
}

/// Decides what serves the request, or answers it: with a refusal, or with what `OPTIONS *` asks for.
pub(crate) fn route<'a>(head: &Head<'a>, settings: &Settings) -> Result<Route<'a>, OwnedResponse> {
    let path = relative(head.path, settings);
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    if settings.is_mcp_path(path) {
        return mcp::route(head, path, settings).map(Route::Mcp);
    }
    if path == settings.sse_path {
        let query = head.query.unwrap_or_default();
        return match head.method {
            "GET" if query.len() <= QUERY_BYTES_MAX => Ok(Route::Stream),
            "HEAD" => Ok(Route::StreamHead),
            "GET" => Err(OwnedResponse::text(
                414,
                format!("the query has {} bytes; {QUERY_BYTES_MAX} are allowed here", query.len()),
            )),
            method => Err(not_allowed(method, path, "GET, HEAD")),
        };
    }
    if path == settings.message_path {
        return match head.method {
            "POST" => message(head),
            method => Err(not_allowed(method, path, "POST")),
        };
    }
    Err(match path {
        // RFC 9110 §9.3.7: the server as a whole is asked, not a path. What a path takes, its 405 says.
        "*" => {
            let delete = if settings.keeps_sessions() { "DELETE, " } else { "" };
            OwnedResponse { status: 204, ..OwnedResponse::default() }
                .header("Allow", format!("GET, HEAD, POST, {delete}OPTIONS"))
        }
        _ => nothing_here(head, settings),
    })
}

pub(crate) fn message<'a>(head: &Head<'a>) -> Result<Route<'a>, OwnedResponse> {
    check_json(head, 400)?;
    let query = head.query.unwrap_or_default();
    let mut sessions = parameters(query).filter_map(|parameter| value_of(parameter, "sessionId"));
    match (sessions.next(), sessions.next()) {
        (None, _) => Err(OwnedResponse::text(400, "Missing sessionId parameter")),
        (Some(session), None) => Ok(Route::Message { session }),
        (Some(_), Some(_)) => {
            Err(OwnedResponse::text(400, "the query has more than one sessionId parameter"))
        }
    }
}
