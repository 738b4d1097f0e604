//! Where requests over HTTP go, and what the head of each says.
//!
//! *Scope:* heads of requests. *Not in scope:* what a message's own header fields say, and reading responses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::connection::Connection;
use crate::client::error::Error;
use crate::client::transport::{Outgoing, RequestDefaults, Transport};
use crate::sse;

/// The media type of a message, and of an answer that is no stream (RFC 8259, section 11).
pub(crate) const JSON: &str = "application/json";

/// How long it may at least take to connect again: a caller that only polls must not make it fail.
const CONNECT_MIN: Duration = Duration::from_secs(1);

/// A server, and what every request to it says.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) defaults: Arc<RequestDefaults>,
    pub(crate) transport: Transport,
    /// The session of Streamable HTTP, which every later request names.
    pub(crate) session_id: Option<String>,
    /// The field line that names the revision, for requests without a message.
    pub(crate) version: String,
}

impl Target {
    /// Sends a request again on a new connection.
    pub(crate) fn connect(&self, request: &[u8], deadline: Instant) -> Result<Connection, Error> {
        let deadline = deadline.max(Instant::now() + CONNECT_MIN);
        let mut connection = Connection::open(&self.defaults.url, deadline)?;
        connection.send(request, deadline, || Ok(()))?;
        Ok(connection)
    }

    /// Returns a request with a message in it.
    pub(crate) fn post(&self, path: &str, message: Outgoing<'_>) -> Vec<u8> {
        // Only Streamable HTTP answers a POST with a message, or with a stream of them.
        let accept = match self.transport {
            Transport::Sse => "*/*".to_owned(),
            _ => format!("{JSON}, {}", sse::MEDIA_TYPE),
        };
        let content = format!("Content-Type: {JSON}\r\nContent-Length: {}\r\n", message.text.len());
        [self.head("POST", path, &accept, &content, message.fields).as_bytes(), message.text].concat()
    }

    /// Returns a request for the stream of the session, or for the rest of a stream after the event `cursor`.
    pub(crate) fn get(&self, cursor: &str) -> Vec<u8> {
        let resume = if cursor.is_empty() { String::new() } else { format!("Last-Event-ID: {cursor}\r\n") };
        self.bare("GET", sse::MEDIA_TYPE, &resume)
    }

    /// Returns a request without a message.
    pub(crate) fn bare(&self, method: &str, accept: &str, fields: &str) -> Vec<u8> {
        let fields = [&*self.version, fields].concat();
        self.head(method, &self.defaults.url.target, accept, "Cache-Control: no-store\r\n", &fields)
            .into_bytes()
    }

    fn head(&self, method: &str, path: &str, accept: &str, content: &str, fields: &str) -> String {
        let session = self.session_id.as_ref().map(|id| format!("Mcp-Session-Id: {id}\r\n"));
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n{content}{}{}{fields}\r\n",
            self.defaults.host,
            session.unwrap_or_default(),
            self.defaults.fields()
        )
    }
}
