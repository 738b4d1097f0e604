//! From a request's head to what serves it, or to a refusal.
//!
//! *Scope:* paths, methods, query parameters: what is decided before a body is read. An author's own routes come first
//! (`access::route` matches them). *Not in scope:* Host and Origin, which are checked before (`gate`), and what the routes do.
//!
//! ```text
//!  head ─▶ (gate: Host, Origin, authorization) ─▶ path? ──▶ method? ──▶ query, Content-Type? ──▶ Route
//!           403, 401                               404       405          400, 414, 415
//!                                                  `*`: 204 with the methods that some path takes
//! ```
//!
//! Host and Origin come first and on every path, so that a web page which reached this server by DNS rebinding learns nothing
//! of what is served, not even from errors. Malformed heads are refused even before that, with a text that does not depend on
//! the path.
//!
//! Paths are compared as sent, not decoded: `/%73se` is 404, though RFC 3986 §6.2.2.2 has it mean `/sse`. So no other
//! spelling gets around what a proxy decides by the path.

use crate::access::query::{parameters, value_of};
use crate::access::route::{Found, Routes};
use crate::access::settings::Settings;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::negotiate::McpMethod;
use crate::engine::refusals::{not_allowed, nothing_here};
use crate::engine::state::connections::Target;
use crate::engine::transport::content_type::check_json;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::transport::mcp;
use crate::http::fields::{Derivation, Span};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;

/// A query that is copied into the endpoint may have this many bytes.
const QUERY_BYTES_MAX: usize = 1 << 10;

/// A message of HTTP+SSE, as a [`Derivation::Target`]: the low bits are the place of its session's id in the query.
const MESSAGE: u128 = 1 << 64;
/// A POST of Streamable HTTP, as a [`Derivation::Target`].
#[cfg(any(feature = "streamable", feature = "stateless"))]
const MCP_POST: u128 = 2 << 64;

/// Returns what serves the request, or the response to it: a refusal, or the answer to `OPTIONS *`.
/// `place` is what `split` makes of the path.
#[inline(always)]
pub(crate) fn route<'a>(
    head: &Head<'a>,
    place: (Option<usize>, &str),
    settings: &Settings,
    routes: &Routes,
) -> Result<Target<&'a str>, OwnedResponse> {
    let query = head.query.unwrap_or_default();
    let derived = head.derive(Derivation::Target, || match find(head, place, settings, routes) {
        Ok(Target::Message(session)) => {
            Span::of(session.as_bytes(), query.as_bytes()).map_or(0, |place| MESSAGE | u128::from(place))
        }
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Ok(Target::Mcp(McpMethod::Post)) => MCP_POST,
        _ => 0,
    });
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    if derived == MCP_POST {
        return Ok(Target::Mcp(McpMethod::Post));
    }
    let session = derived.checked_sub(MESSAGE).and_then(|place| Span::try_from(place).ok()?.get(query));
    session.map_or_else(|| find(head, place, settings, routes), |session| Ok(Target::Message(session)))
}

fn find<'a>(
    head: &Head<'a>,
    (mount, path): (Option<usize>, &str),
    settings: &Settings,
    routes: &Routes,
) -> Result<Target<&'a str>, OwnedResponse> {
    match routes.find(head.method, path).filter(|_| mount.is_none()) {
        Some(Found::Route(at)) => return Ok(Target::Route(at)),
        Some(Found::OtherMethods(allow)) => {
            let text = format!("`{path}` takes {allow}, not {}", head.method);
            return Err(OwnedResponse::text(405, text).header("Allow", allow));
        }
        None => {}
    }
    if mount.is_none() && !settings.serves_root && path != "*" {
        return Err(nothing_here(head, settings));
    }
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    if settings.is_mcp_path(path) {
        return mcp::route(head, path, settings).map(Target::Mcp);
    }
    if path == settings.sse_path {
        let query = head.query.unwrap_or_default();
        return match head.method {
            "GET" if query.len() <= QUERY_BYTES_MAX => Ok(Target::Stream),
            "HEAD" => Ok(Target::StreamHead),
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

pub(crate) fn message<'a>(head: &Head<'a>) -> Result<Target<&'a str>, OwnedResponse> {
    check_json(head, 400)?;
    let query = head.query.unwrap_or_default();
    let mut sessions = parameters(query).filter_map(|parameter| value_of(parameter, "sessionId"));
    match (sessions.next(), sessions.next()) {
        (None, _) => Err(OwnedResponse::text(400, "Missing sessionId parameter")),
        (Some(session), None) => Ok(Target::Message(session)),
        (Some(_), Some(_)) => {
            Err(OwnedResponse::text(400, "the query has more than one sessionId parameter"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::settings::split;
    use crate::http::head::{Fields, parse};
    use crate::http::remembered::RememberedHead;
    use crate::limits::Limits;
    use crate::memory::Account;

    #[test]
    fn a_head_that_repeats_has_the_same_target_each_time() {
        let (limits, settings, routes) = (Limits::DEFAULT, Settings::default(), Routes::default());
        for (target, accept) in [
            ("/messages?sessionId=7", "*/*"),
            ("/messages?a=b&sessionId=&c", "*/*"),
            ("/messages/?sessionId=7&sessionId=7", "*/*"),
            ("/messages", "*/*"),
            ("/mcp?sessionId=7", "*/*"),
            ("/mcp/", "text/html"),
            ("/sse?sessionId=7", "*/*"),
            ("/nothing?sessionId=7", "*/*"),
        ] {
            let fields = format!("Host: a\r\nContent-Type: application/json\r\nAccept: {accept}");
            let text = format!("POST {target} HTTP/1.1\r\n{fields}\r\nContent-Length: 2\r\n\r\n");
            let mut room = Fields::new();
            let parsed = parse(text.as_bytes(), &mut room, &limits).unwrap();
            let remembered = RememberedHead::of(&parsed, text.as_bytes(), 0, &Account::default()).unwrap();
            let place = split(parsed.path, &settings);
            let first = find(&parsed, place, &settings, &routes);
            for _ in 0..3 {
                let (head, _) = remembered.read(text.as_bytes()).unwrap();
                assert_eq!(route(&head, place, &settings, &routes), first, "{target}");
            }
        }
    }
}
