//! The transports between a client and its server, and what passes through them.
//!
//! *Scope:* their names, what goes into every request, messages on their way. *Not in scope:* sending and receiving
//! (`carrier`), what messages say, and which answers which.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::client::error::Error;
use crate::client::url::Url;
use crate::jsonrpc::id::Id;
use crate::limits::Limits;
use crate::text::{is_token_byte, is_value_byte, shown};

/// How messages travel between a client and its server.
///
/// ```
/// use mcp_rill::client::{Client, Transport};
/// let builder = Client::builder().transport(Transport::Stateless); // nothing else will do
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The first that the server speaks: stateless, then a session over Streamable HTTP, then HTTP+SSE (MCP 2026-07-28,
    /// basic, "Versioning"). A server that does not know a transport answers the attempt with 4xx, which is normal.
    #[default]
    Auto,
    /// HTTP+SSE (MCP 2024-11-05, transports).
    Sse,
    /// Streamable HTTP with a session (MCP 2025-03-26 to 2025-11-25, transports).
    Streamable,
    /// Streamable HTTP without sessions (MCP 2026-07-28, transports).
    Stateless,
    /// Standard input and output of a child, a message a line (MCP, transports, "stdio"): what
    /// [`Builder::spawn`](crate::client::Builder::spawn) uses, whichever revision the server speaks.
    Stdio,
}

/// What goes into every request over HTTP, and bounds every response.
#[derive(Debug)]
pub(crate) struct RequestDefaults {
    pub(crate) url: Url,
    /// The value of the field `Host`.
    pub(crate) host: String,
    /// Header field lines, each with its line end.
    fields: String,
    /// One more, which may change: the token. Empty without one.
    authorization: Mutex<String>,
    pub(crate) event_bytes_max: usize,
    pub(crate) reconnects_max: u32,
    pub(crate) limits: Limits,
}

impl RequestDefaults {
    /// # Errors
    /// [`Error::Invalid`] for header fields that cannot be sent.
    pub(crate) fn new(
        url: Url,
        headers: &[(String, String)],
        event_bytes_max: usize,
        reconnects_max: u32,
    ) -> Result<RequestDefaults, Error> {
        let mut fields = format!("User-Agent: {}/{}\r\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        for (name, value) in headers {
            check_field(name, value)?;
            // Writing to a string cannot fail.
            let _ = write!(fields, "{name}: {value}\r\n");
        }
        let host = url.authority();
        let authorization = Mutex::default();
        Ok(RequestDefaults {
            url,
            host,
            fields,
            authorization,
            event_bytes_max,
            reconnects_max,
            limits: limits(),
        })
    }

    /// All later requests have this bearer token, in its form. Returns false if they had it already.
    #[cfg(feature = "bridge")]
    pub(crate) fn set_authorization(&self, token: &str) -> bool {
        let field = format!("Authorization: Bearer {token}\r\n");
        let mut known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = *known != field;
        *known = field;
        is_other
    }

    /// The header field lines of every request.
    pub(crate) fn fields(&self) -> String {
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        [&*self.fields, &*authorization].concat()
    }
}

/// What bounds a message is `event_bytes_max`.
pub(crate) fn limits() -> Limits {
    let max = usize::MAX;
    Limits { body_bytes_max: max, json_depth_max: 128, json_values_max: max, ..Limits::DEFAULT }
}

/// Names of fields that the client writes itself: sent twice they would be ambiguous.
const RESERVED: &str = "host accept cache-control connection content-length content-type last-event-id mcp-method mcp-name \
                        mcp-protocol-version mcp-session-id transfer-encoding";

pub(crate) fn check_field(name: &str, value: &str) -> Result<(), Error> {
    let shown = shown(name.as_bytes());
    let wrong = if name.is_empty() || !name.bytes().all(is_token_byte) {
        format!("`{shown}` is not the name of a header field")
    } else if !value.bytes().all(is_value_byte) {
        format!("the header field `{shown}` has a control character in its value")
    } else if RESERVED.split(' ').any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        format!("the header field `{shown}` is set by the client itself")
    } else {
        return Ok(());
    };
    Err(Error::Invalid(wrong))
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'m> {
    pub(crate) text: &'m [u8],
    /// The id of a request, whose answer `Carrier::receive` will return.
    pub(crate) request: Option<&'m Id>,
    /// Header field lines for this message, which carriers without header fields ignore.
    pub(crate) fields: &'m str,
}

/// What a carrier has received.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The text of a message; with an id if it is the whole response to the request with that id.
    Message(String, Option<Id>),
    /// The request with this id will not be answered, or was refused.
    Failed(Id, Error),
}
