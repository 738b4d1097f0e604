//! Responses that refuse a request, in the form that its transport has.
//!
//! *Scope:* JSON-RPC error bodies for Streamable HTTP (MCP 2025-11-25, transports), their statuses and codes, and the 404 and
//! 405 of any path. *Not in scope:* when to refuse.

use crate::access::settings::{Settings, relative};
use crate::http::head::Head;
use crate::http::response::{JSON, OwnedResponse};
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Message, Rejected, write_error_body};
use crate::text::shown;

/// A refusal in the form of what it is asked of: Streamable HTTP has them as JSON-RPC errors.
pub(crate) fn in_body_format(answer: OwnedResponse, head: &Head<'_>, settings: &Settings) -> OwnedResponse {
    match settings.is_mcp_path(relative(head.path, settings)) {
        true => as_error(answer),
        false => answer,
    }
}

pub(crate) fn nothing_here(head: &Head<'_>, settings: &Settings) -> OwnedResponse {
    let base = settings.base_path.trim_end_matches('/');
    let (mcp, sse) = (&settings.mcp_path, &settings.sse_path);
    let places = match settings.is_mcp_path(mcp) {
        true => format!("MCP clients connect to `{base}{mcp}` or, for HTTP+SSE, to `{base}{sse}`"),
        false => format!("MCP clients connect to `{base}{sse}`, for HTTP+SSE"),
    };
    OwnedResponse::text(404, format!("nothing is served at `{}`; {places}", shown(head.path.as_bytes())))
}

pub(crate) fn not_allowed(method: &str, path: &str, allow: &'static str) -> OwnedResponse {
    OwnedResponse::text(405, format!("`{path}` takes {allow}, not {method}")).header("Allow", allow)
}

/// A refusal in terms of JSON-RPC, of which it is not said yet what it refuses.
#[derive(Debug)]
pub(crate) struct Refused {
    status: u16,
    headers: Vec<(&'static str, String)>,
    error: Error,
}

impl Refused {
    pub(crate) fn new(status: u16, error: Error) -> Refused {
        Refused { status, headers: Vec::new(), error }
    }

    /// The answer to a request whose message was read: its body is a response with the id, if there is one to answer with
    /// (JSON-RPC 2.0, section 5).
    pub(crate) fn answer(self, id: Option<IdRef<'_>>) -> OwnedResponse {
        let mut body = Vec::new();
        write_error_body(&mut body, id, &self.error);
        OwnedResponse { status: self.status, headers: self.headers, content_type: Some(JSON.into()), body }
    }
}

/// What is refused before its message is read has no id (MCP 2025-11-25, transports: "the HTTP response body MAY comprise
/// a JSON-RPC error response that has no id").
impl From<Refused> for OwnedResponse {
    fn from(refused: Refused) -> OwnedResponse {
        refused.answer(None)
    }
}

/// The id that a refusal of the message answers with: only requests want an answer.
pub(crate) fn id_of<'a>(message: &'a Message<'_>) -> Option<IdRef<'a>> {
    match message {
        Message::Request(request) => Some((&request.id).into()),
        _ => None,
    }
}

/// The same refusal with its sentence in a JSON-RPC error.
pub(crate) fn as_error(answer: OwnedResponse) -> OwnedResponse {
    as_error_of(-32000, answer).into()
}

pub(crate) fn as_error_of(code: i64, answer: OwnedResponse) -> Refused {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Refused { headers: answer.headers, ..Refused::new(answer.status, Error::new(code, text)) }
}

/// What transports say where JSON-RPC has no code of its own: `-32000` as all SDKs have it.
pub(crate) const REFUSED: i64 = -32000;
/// The session is unknown or over.
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) const NO_SESSION: i64 = -32001;

/// The refusal of what is no message.
pub(crate) fn rejection(rejected: Rejected) -> OwnedResponse {
    Refused::new(400, rejected.error).answer(rejected.id.as_ref().map(Into::into))
}

/// The HTTP status of an error that a service gives (MCP 2026-07-28, transports: only these have one of their own).
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) fn status_of(code: i64) -> u16 {
    match code {
        Error::METHOD_NOT_FOUND => 404,
        -32022..=-32020 => 400,
        _ => 200,
    }
}
