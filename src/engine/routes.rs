//! From a request's head to what serves it, or to a refusal.
//!
//! *Scope:* Host and Origin checks, paths, methods, query parameters: everything that is decided before a body is read.
//! *Not in scope:* what the routes do.
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

use std::borrow::Cow;
use std::net::IpAddr;

use super::cors;
use super::negotiate::Accepted;
use crate::http::conn::Answer;
use crate::http::head::{Head, Single};
use crate::http::shown;
use crate::jsonrpc::{Error, IdRef, Message, write_error_body};
use crate::mcp::{Peer, Settings};

/// A query that is copied into the endpoint may have this many bytes.
const QUERY_BYTES_MAX: usize = 1 << 10;

/// The media type of JSON-RPC messages over Streamable HTTP.
pub(super) const JSON: &str = "application/json";

/// What a lawful request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `GET /sse`: a new session. The query is copied into its endpoint.
    Stream { query: &'a str },
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

/// Checks Host and Origin, in this order and before anything else.
pub(crate) fn check(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), Answer> {
    let checked = check_host(head, settings, peer).and_then(|()| check_origin(head, settings, peer));
    checked.map_err(|answer| in_kind(answer, head, settings))
}

/// A refusal in the form of what it is asked of: Streamable HTTP has them as JSON-RPC errors.
pub(crate) fn in_kind(answer: Answer, head: &Head<'_>, settings: &Settings) -> Answer {
    match relative(head.path, settings) == settings.mcp_path {
        true => as_error(answer),
        false => answer,
    }
}

/// Decides what serves the request, or answers it: with a refusal, or with what `OPTIONS *` asks for.
pub(crate) fn route<'a>(head: &Head<'a>, settings: &Settings) -> Result<Route<'a>, Answer> {
    let path = relative(head.path, settings);
    if path == settings.mcp_path {
        return mcp(head, path, settings).map_err(as_error);
    }
    if path == settings.sse_path {
        let query = head.query.unwrap_or_default();
        return match head.method {
            "GET" if query.len() <= QUERY_BYTES_MAX => Ok(Route::Stream { query }),
            "HEAD" => Ok(Route::StreamHead),
            "GET" => Err(Answer::text(
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
            Answer { status: 204, ..Answer::default() }
                .header("Allow", format!("GET, HEAD, POST, {delete}OPTIONS"))
        }
        _ => nothing_here(head, settings),
    })
}

pub(super) fn nothing_here(head: &Head<'_>, settings: &Settings) -> Answer {
    Answer::text(
        404,
        format!(
            "nothing is served at `{}`; MCP clients connect to `{}` or, for HTTP+SSE, to `{}`",
            shown(head.path.as_bytes()),
            settings.mcp_path,
            settings.sse_path
        ),
    )
}

/// The path without the base path and without a slash at its end: a proxy may have stripped the one, and clients add
/// the other. Nothing is ever redirected.
pub(super) fn relative<'a>(path: &'a str, settings: &Settings) -> &'a str {
    let path = match path.strip_prefix(settings.base_path.as_str()) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    path.strip_suffix('/').unwrap_or(path)
}

pub(super) fn not_allowed(method: &str, path: &str, allow: &'static str) -> Answer {
    Answer::text(405, format!("`{path}` takes {allow}, not {method}")).header("Allow", allow)
}

fn mcp<'a>(head: &Head<'_>, path: &str, settings: &Settings) -> Result<Route<'a>, Answer> {
    match head.method {
        "POST" => {
            let accepted = Accepted::of(head);
            if !accepted.json && !accepted.events {
                let text = "Not acceptable: answers are application/json or text/event-stream; accept both";
                return Err(Answer::text(406, text));
            }
            check_json(head, 415).map(|()| Route::McpPost)
        }
        method if settings.sessionless => {
            let text = format!(
                "Method not allowed: `{path}` takes POST, not {method}: this server keeps no sessions"
            );
            Err(Answer::text(405, text).header("Allow", "POST"))
        }
        "GET" => Ok(Route::McpGet),
        "DELETE" => Ok(Route::McpDelete),
        method => Err(not_allowed(method, path, "GET, POST, DELETE")),
    }
}

/// A refusal in terms of JSON-RPC, of which it is not said yet what it refuses.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    headers: Vec<(&'static str, String)>,
    error: Error,
}

impl Refused {
    pub(super) fn new(status: u16, error: Error) -> Refused {
        Refused { status, headers: Vec::new(), error }
    }

    /// The answer to a request whose message was read: its body is a response with the id, if there is one to answer with
    /// (JSON-RPC 2.0, section 5).
    pub(super) fn answer(self, id: Option<IdRef<'_>>) -> Answer {
        let mut body = Vec::new();
        write_error_body(&mut body, id, &self.error);
        Answer { status: self.status, headers: self.headers, content_type: Some(JSON.into()), body }
    }
}

/// What is refused before its message is read has no id (MCP 2025-11-25, transports: "the HTTP response body MAY comprise
/// a JSON-RPC error response that has no id").
impl From<Refused> for Answer {
    fn from(refused: Refused) -> Answer {
        refused.answer(None)
    }
}

/// The id that a refusal of the message answers with: only requests want an answer.
pub(super) fn id_of<'a>(message: &'a Message<'_>) -> Option<IdRef<'a>> {
    match message {
        Message::Request(request) => Some((&request.id).into()),
        _ => None,
    }
}

/// A refusal as Streamable HTTP has it, before any message is read.
pub(crate) fn refusal(status: u16, code: i64, text: impl Into<Cow<'static, str>>) -> Answer {
    Refused::new(status, Error::new(code, text)).into()
}

/// The same refusal with its sentence in a JSON-RPC error.
pub(crate) fn as_error(answer: Answer) -> Answer {
    as_error_of(-32000, answer).into()
}

pub(super) fn as_error_of(code: i64, answer: Answer) -> Refused {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Refused { headers: answer.headers, ..Refused::new(answer.status, Error::new(code, text)) }
}

fn message<'a>(head: &Head<'a>) -> Result<Route<'a>, Answer> {
    check_json(head, 400)?;
    let query = head.query.unwrap_or_default();
    let mut sessions = parameters(query).filter_map(|parameter| value_of(parameter, "sessionId"));
    match (sessions.next(), sessions.next()) {
        (None, _) => Err(Answer::text(400, "Missing sessionId parameter")),
        (Some(session), None) => Ok(Route::Message { session }),
        (Some(_), Some(_)) => Err(Answer::text(400, "the query has more than one sessionId parameter")),
    }
}

/// `status` is what a wrong Content-Type gets.
fn check_json(head: &Head<'_>, status: u16) -> Result<(), Answer> {
    let mut fields = head.headers_named("content-type");
    let (first, second) = (fields.next(), fields.next());
    let value = first.unwrap_or_default();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if second.is_some() || !essence.eq_ignore_ascii_case(b"application/json") {
        let found = match (first, second) {
            (None, _) => "there is none".to_owned(),
            (_, Some(_)) => "there are several".to_owned(),
            _ => format!("it is `{}`", printable(&String::from_utf8_lossy(value))),
        };
        return Err(Answer::text(status, format!("Content-Type must be application/json, but {found}")));
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
            Err(Answer::text(415, text).header("Accept-Encoding", "identity"))
        }
    }
}

/// Each parameter as it stands in the query.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|parameter| !parameter.is_empty())
}

/// The value of a parameter, if that is its name; names are compared as they stand, not decoded.
pub(crate) fn value_of<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    match parameter.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    }
}

fn check_host(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), Answer> {
    let Some(host) = head.host.map(|host| host.name) else { return Ok(()) };
    let listed = settings.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    let local = peer.unix || (peer.loopback && host.eq_ignore_ascii_case("localhost"));
    if listed || local || is_address(host) {
        return Ok(());
    }
    Err(Answer::text(
        403,
        format!(
            "Host `{}` is not allowed; to allow it: --allow-host {0} or Server::allow_host",
            printable(host)
        ),
    ))
}

/// An IP address cannot be rebound to another one, so it needs no list. The head has taken an IPv6 address out of its
/// brackets.
fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

fn check_origin(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), Answer> {
    let origin = match head.single("origin") {
        Single::Absent => return cors::check_site(head),
        Single::One(origin) => String::from_utf8_lossy(origin),
        Single::Several => return Err(Answer::text(403, "Origin is sent more than once; send it once")),
    };
    if origin == "null" {
        let reason = "Origin `null` is never allowed: any page can send it, from a sandboxed frame";
        return Err(Answer::text(403, reason));
    }
    if allowed_origin(head, settings, peer).is_some() {
        return Ok(());
    }
    Err(Answer::text(
        403,
        format!(
            "Origin `{}` is not allowed; to allow it: --allow-origin {0} or Server::allow_origin",
            printable(&origin)
        ),
    ))
}

/// The request's Origin, if its pages may send requests.
pub(super) fn allowed_origin<'a>(head: &Head<'a>, settings: &Settings, peer: &Peer) -> Option<&'a str> {
    let Single::One(origin) = head.single("origin") else { return None };
    let origin = std::str::from_utf8(origin).ok()?;
    let listed = settings.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    (listed || (peer.loopback && is_loopback_origin(origin))).then_some(origin)
}

fn is_loopback_origin(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let port =
            rest.get(..name.len()).filter(|host| host.eq_ignore_ascii_case(name)).and(rest.get(name.len()..));
        port.is_some_and(|port| {
            port.is_empty()
                || port
                    .strip_prefix(':')
                    .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

/// A peer's text in an error message: one line of visible characters, not too long.
fn printable(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_addresses() {
        for host in ["127.0.0.1", "10.1.2.3", "::1", "2001:db8::1"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["localhost", "127.0.0.1.example.com", "0x7f.1", "127.1", "127.0.0.01", ""] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn origins_that_are_loopback() {
        for origin in [
            "http://localhost",
            "http://localhost:6274",
            "https://LOCALHOST:1",
            "http://127.0.0.1:80",
            "http://[::1]:3000",
        ] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost.evil.example",
            "http://localhost:",
            "http://localhost:80x",
            "http://evil.example",
            "ftp://localhost",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://127.0.0.2",
            "localhost",
        ] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }

    #[test]
    fn parameters_of_a_query() {
        let all = |query| parameters(query).collect::<Vec<_>>();
        assert_eq!(all("a=1&b&=c&&d=x=y"), ["a=1", "b", "=c", "d=x=y"]);
        assert_eq!(all(""), [""; 0]);
        let values = ["a=1", "a", "a=", "b=1", "aa=1", "a=x=y"].map(|parameter| value_of(parameter, "a"));
        assert_eq!(values, [Some("1"), Some(""), Some(""), None, None, Some("x=y")]);
    }

    #[test]
    fn base_path_and_slash_do_not_matter() {
        let settings = Settings { base_path: "/base".to_owned(), ..Settings::default() };
        for path in ["/sse", "/sse/", "/base/sse", "/base/sse/"] {
            assert_eq!(relative(path, &settings), "/sse", "{path}");
        }
        assert_eq!(relative("/basement/sse", &settings), "/basement/sse");
    }
}
