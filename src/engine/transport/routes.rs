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
use crate::engine::negotiate::AcceptField;
use crate::engine::refusals::{as_error, not_allowed, nothing_here};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::text::printable;

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
    /// `POST /mcp`: messages of Streamable HTTP.
    McpPost,
    /// `GET /mcp`: a session's stream.
    McpGet,
    /// `DELETE /mcp`: the end of a session.
    McpDelete,
}

/// Decides what serves the request, or answers it: with a refusal, or with what `OPTIONS *` asks for.
pub(crate) fn route<'a>(head: &Head<'a>, settings: &Settings) -> Result<Route<'a>, OwnedResponse> {
    let path = relative(head.path, settings);
    if path == settings.mcp_path {
        return mcp(head, path, settings).map_err(as_error);
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
            let delete = if settings.sessionless { "" } else { "DELETE, " };
            OwnedResponse { status: 204, ..OwnedResponse::default() }
                .header("Allow", format!("GET, HEAD, POST, {delete}OPTIONS"))
        }
        _ => nothing_here(head, settings),
    })
}

fn mcp<'a>(head: &Head<'_>, path: &str, settings: &Settings) -> Result<Route<'a>, OwnedResponse> {
    match head.method {
        "POST" => {
            let accepted = AcceptField::of(head);
            if !accepted.json && !accepted.events {
                let text = "Not acceptable: answers are application/json or text/event-stream; accept both";
                return Err(OwnedResponse::text(406, text));
            }
            check_json(head, 415).map(|()| Route::McpPost)
        }
        method if settings.sessionless => {
            let text = format!(
                "Method not allowed: `{path}` takes POST, not {method}: this server keeps no sessions"
            );
            Err(OwnedResponse::text(405, text).header("Allow", "POST"))
        }
        "GET" => Ok(Route::McpGet),
        "DELETE" => Ok(Route::McpDelete),
        method => Err(not_allowed(method, path, "GET, POST, DELETE")),
    }
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

/// `status` is what a wrong Content-Type gets.
fn check_json(head: &Head<'_>, status: u16) -> Result<(), OwnedResponse> {
    let mut fields = head.headers_named("content-type");
    let (first, second) = (fields.next(), fields.next());
    let value = first.unwrap_or_default();
    let is_json = |value: &[u8]| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/json")
    };
    // What almost all clients send needs no reading.
    if second.is_some() || !(value == b"application/json" || is_json(value)) {
        let found = match (first, second) {
            (None, _) => "there is none".to_owned(),
            (_, Some(_)) => "there are several".to_owned(),
            _ => format!("it is `{}`", printable(&String::from_utf8_lossy(value))),
        };
        return Err(OwnedResponse::text(
            status,
            format!("Content-Type must be application/json, but {found}"),
        ));
    }
    // A list, which may be spread over several fields (RFC 9110 §8.4); empty members of a list say nothing.
    let codings = head.headers_named("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
    let mut codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    match codings.find(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(coding) => {
            let coding = printable(&String::from_utf8_lossy(coding));
            let text = format!("Content-Encoding `{coding}` is not supported; send the JSON as it is");
            // RFC 9110 §15.5.16.
            Err(OwnedResponse::text(415, text).header("Accept-Encoding", "identity"))
        }
    }
}
