//! What a handler is given besides its arguments, and how it fails.
//!
//! *Scope:* the context of one request, and [`CallError`]. *Not in scope:* arguments and results.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde_json::value::RawValue;

use crate::jsonrpc;
use crate::mcp::{Capabilities, ClientInfo, Incoming, Peer, Principal, Revision, Session};

/// The code of a resource that is not there, up to 2025-11-25 (MCP resources, error handling).
const RESOURCE_NOT_FOUND: i64 = -32002;

/// One request as its handler sees it: who asks, in which session, with which revision and HTTP headers.
///
/// ```
/// use mcp_rill::Server;
/// let server = Server::new("whoami", "1.0.0").tool("whoami", "Say who is asking", |(), call| {
///     call.client().map_or("somebody".to_owned(), |client| format!("{} {}", client.name, client.version))
/// });
/// ```
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) incoming: &'a Incoming<'a>,
    pub(crate) session: &'a Session,
    pub(crate) meta: Option<&'a RawValue>,
}

impl Call<'_> {
    /// The session's id. It is what lets a client post into the session, so keep it out of logs.
    pub fn session_id(&self) -> String {
        uuid::Uuid::from_u128(self.session.id).to_string()
    }

    /// The revision that was negotiated.
    pub fn revision(&self) -> Revision {
        self.session.revision()
    }

    /// Who the client is; `None` if it has not initialized this session, as clients do not after a lost stream.
    pub fn client(&self) -> Option<&ClientInfo> {
        self.session.client()
    }

    /// What the client can do; nothing if it has not said.
    pub fn capabilities(&self) -> Capabilities {
        self.session.client().map(|client| client.capabilities).unwrap_or_default()
    }

    /// The other end of the connection that brought this request.
    pub fn peer(&self) -> &Peer {
        self.incoming.peer
    }

    /// Who is asking, where peers are authenticated.
    pub fn principal(&self) -> Option<&Principal> {
        self.session.principal()
    }

    /// A header field of the HTTP request, by its name in any case: the first one, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.incoming.head.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The request's `_meta` member as JSON text.
    pub fn meta(&self) -> Option<&RawValue> {
        self.meta
    }
}

/// A failure that is answered as a JSON-RPC error instead of a result that the model reads.
///
/// ```
/// use mcp_rill::{CallError, Server};
/// let server = Server::new("notes", "1.0.0").template("note:///{id}", "note", |vars, _| match vars.get("id") {
///     Some("1") => Ok("the first note"),
///     _ => Err(CallError::not_found()),
/// });
/// ```
#[derive(Clone, Debug)]
pub struct CallError(pub(crate) Failure);

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Protocol(jsonrpc::Error),
    NotFound,
}

impl CallError {
    /// The parameters are not right (−32602).
    pub fn invalid_params(message: impl Into<String>) -> CallError {
        CallError::new(jsonrpc::Error::INVALID_PARAMS, message)
    }

    /// There is no such resource: −32002 with its URI.
    pub fn not_found() -> CallError {
        CallError(Failure::NotFound)
    }

    /// Something went wrong here (−32603).
    pub fn internal(message: impl Into<String>) -> CallError {
        CallError::new(jsonrpc::Error::INTERNAL_ERROR, message)
    }

    /// An error with a code of your own; JSON-RPC keeps −32768 to −32000 for itself and MCP.
    pub fn new(code: i64, message: impl Into<String>) -> CallError {
        CallError(Failure::Protocol(jsonrpc::Error::new(code, message.into())))
    }

    /// The text of any error with its causes, unless it is one of these, which stay what they are.
    pub(crate) fn from_any(error: Box<dyn Error + Send + Sync>) -> Result<String, CallError> {
        match error.downcast::<CallError>() {
            Ok(own) => Err(*own),
            Err(error) => {
                let mut text = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    let more = error.to_string();
                    if !text.ends_with(&more) {
                        text.push_str(": ");
                        text.push_str(&more);
                    }
                    cause = error.source();
                }
                Ok(text)
            }
        }
    }

    /// For places where there is no result that could carry an error's text.
    pub(crate) fn internal_unless_own(error: Box<dyn Error + Send + Sync>) -> CallError {
        CallError::from_any(error).map_or_else(|own| own, CallError::internal)
    }

    /// The JSON-RPC error for the revision; `uri` is what was asked for.
    pub(crate) fn into_error(self, uri: Option<&str>) -> jsonrpc::Error {
        match self.0 {
            Failure::Protocol(error) => error,
            Failure::NotFound => {
                let uri = uri.unwrap_or_default();
                let error = jsonrpc::Error::new(RESOURCE_NOT_FOUND, format!("Resource not found: {uri}"));
                match serde_json::value::to_raw_value(&BTreeMap::from([("uri", uri)])) {
                    Ok(data) => error.with_data(data),
                    Err(_) => error,
                }
            }
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Protocol(error) => error.fmt(f),
            Failure::NotFound => f.write_str("resource not found"),
        }
    }
}

impl Error for CallError {}
