//! What can go wrong between a client and its server.

use std::borrow::Cow;
use std::{fmt, io};

use crate::http::response::reason_phrase;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Message, Response};
use crate::limits::Limits;
use crate::text::shown;

/// Why a client could not do something. `Display` writes one sentence for a person.
///
/// ```
/// use mcp_rill::client::{Client, Error};
/// let error = Client::connect("https://localhost/sse").unwrap_err();
/// assert!(matches!(&error, Error::Invalid(text) if text.contains("https is not supported")));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The caller's argument cannot be used: a URL, a header field, params that are not an object.
    Invalid(String),
    /// A socket failed.
    Io(io::Error),
    /// The server answered an HTTP request with a status other than success (RFC 9110 §15).
    Http {
        /// The status code.
        status: u16,
        /// The body of the response, cut at 64 KiB; of a redirect, where it leads.
        body: String,
    },
    /// The server broke the rules of HTTP, event streams, JSON-RPC or MCP.
    Protocol(String),
    /// The server answered the request with an error (JSON-RPC 2.0, section 5.1).
    Rpc(jsonrpc::Error),
    /// The server did not accept a connection, take a message or answer in time.
    Timeout,
    /// The client was closed, or the stream ended before the answer came; over HTTP+SSE the session has ended with it.
    Closed,
    /// The server does not know the session any more (404 over Streamable HTTP): connect again.
    Expired,
}

impl Error {
    pub(crate) fn protocol(text: &str) -> Error {
        Error::Protocol(text.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(text) | Error::Protocol(text) => f.write_str(text),
            Error::Io(error) => error.fmt(f),
            Error::Http { status, body } => {
                write!(f, "the server refused with {status} {}", reason_phrase(*status))?;
                // A body can be a page of HTML: only its beginning fits a sentence.
                let text = shown(in_words(body).trim().as_bytes());
                if !text.is_empty() {
                    write!(f, ": {text}")?;
                }
                if is_redirect(*status) { f.write_str("; redirects are not followed") } else { Ok(()) }
            }
            Error::Rpc(error) => write!(f, "the server answered with an error: {error}"),
            Error::Timeout => f.write_str("the server did not answer in time"),
            Error::Closed => f.write_str("the session is closed, or the stream ended before the answer came"),
            Error::Expired => f.write_str("the server does not know the session any more; connect again"),
        }
    }
}

/// Returns the message of a refusal that is a JSON-RPC error, or else the whole body.
fn in_words(body: &str) -> Cow<'_, str> {
    let error = match jsonrpc::parse(body.as_bytes(), &Limits::DEFAULT, &mut Tape::new()) {
        Ok(Message::Response(Response { outcome: Err(error), .. })) => jsonrpc::Error::read(error).ok(),
        _ => None,
    };
    error.map_or(Cow::Borrowed(body), |error| error.message)
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Rpc(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// True if a status may mean that the server speaks another transport: it does not say who may ask, or when.
pub(crate) fn may_be_another_transport(status: u16) -> bool {
    matches!(status, 400..500) && !matches!(status, 401 | 403 | 407 | 408 | 429)
}

/// True if a status says that the server is elsewhere (RFC 9110 §15.4).
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 300..=303 | 307 | 308)
}
