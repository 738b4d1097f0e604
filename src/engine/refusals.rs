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

/// Returns a refusal in the form of its path: a JSON-RPC error for Streamable HTTP, and text for the others.
pub(crate) fn in_body_format(answer: OwnedResponse, head: &Head<'_>, settings: &Settings) -> OwnedResponse {
    match settings.is_mcp_path(relative(head.path, settings)) {
        true => as_error(answer),
        false => answer,
    }
}

pub(crate) fn nothing_here(head: &Head<'_>, settings: &Settings) -> OwnedResponse {
    let base = settings.base_path.trim_end_matches('/');
    let (mcp, sse) = (&settings.mcp_path, &settings.sse_path);
    if let (Some(first), false) = (settings.mounts.first(), settings.serves_root) {
        let names = settings.mounts.join(", ");
        let text = format!(
            "nothing is served at `{}`; MCP clients connect to `{base}/NAME{mcp}`, such as `{base}/{first}{mcp}`; the names are {names}",
            shown(head.path.as_bytes())
        );
        return OwnedResponse::text(404, text);
    }
    let places = match settings.is_mcp_path(mcp) {
        true => format!("MCP clients connect to `{base}{mcp}` or, for HTTP+SSE, to `{base}{sse}`"),
        false => format!("MCP clients connect to `{base}{sse}`, for HTTP+SSE"),
    };
    OwnedResponse::text(404, format!("nothing is served at `{}`; {places}", shown(head.path.as_bytes())))
}

pub(crate) fn not_allowed(method: &str, path: &str, allow: &'static str) -> OwnedResponse {
    OwnedResponse::text(405, format!("`{path}` takes {allow}, not {method}")).header("Allow", allow)
}

/// A refusal as a status and a JSON-RPC error, before it has the id of the request that it refuses.
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

    /// With another header field.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Refused {
        self.headers.push((name, value));
        self
    }

    /// Returns the error alone.
    pub(crate) fn into_error(self) -> Error {
        self.error
    }

    /// Returns the response to a message that was read. Its body is a JSON-RPC response with the id, if the message has one
    /// (JSON-RPC 2.0, section 5).
    pub(crate) fn answer(self, id: Option<IdRef<'_>>) -> OwnedResponse {
        let mut body = Vec::new();
        write_error_body(&mut body, id, &self.error);
        OwnedResponse { status: self.status, headers: self.headers, content_type: Some(JSON.into()), body }
    }
}

/// A refusal before the message is read has no id (MCP 2025-11-25, transports: "the HTTP response body MAY comprise a JSON-RPC
/// error response that has no id").
impl From<Refused> for OwnedResponse {
    fn from(refused: Refused) -> OwnedResponse {
        refused.answer(None)
    }
}

/// Returns the id for the refusal of a message; `None` unless it is a request.
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

/// The code of refusals for which JSON-RPC has none: `-32000`, as in all SDKs.
pub(crate) const REFUSED: i64 = -32000;
/// The code for a session that is unknown or has ended.
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) const NO_SESSION: i64 = -32001;

/// Returns the refusal of a body that is not a message.
pub(crate) fn rejection(rejected: Rejected) -> OwnedResponse {
    Refused::new(400, rejected.error).answer(rejected.id.as_ref().map(Into::into))
}

/// Returns the HTTP status of a service's error (MCP 2026-07-28, transports: only these have one of their own).
pub(crate) fn status_of(code: i64) -> u16 {
    match code {
        Error::METHOD_NOT_FOUND => 404,
        -32022..=-32020 => 400,
        _ => 200,
    }
}
