//! Requests that a client does not send: to another host, from another origin, without a token; a health check.
//!
//! *Scope:* one request on a connection of its own, and the status of its response. *Not in scope:* what the status means.

use std::fmt::Write;
use std::time::Duration;

use crate::cli::Failure;
use crate::client::connection::{Connection, ResponseInfo};
use crate::client::deadline::{after, left};
use crate::client::error::Error;
use crate::client::transport::check_field;
use crate::client::url::Url;
use crate::http::head::Framing;
use crate::limits::Limits;
use crate::text::printable;

/// A message that does nothing, in a session or without one.
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// How long one read waits.
const SLICE: Duration = Duration::from_millis(50);
/// So much of a text is shown.
const TEXT_BYTES_MAX: usize = 1000;

pub(super) struct Probe<'u> {
    url: &'u Url,
    /// Header field lines of the user's.
    fields: String,
    timeout: Duration,
}

impl<'u> Probe<'u> {
    pub(super) fn new(
        url: &'u Url,
        fields: &[(String, String)],
        timeout: Duration,
    ) -> Result<Probe<'u>, Failure> {
        let mut lines = String::new();
        for (name, value) in fields {
            check_field(name, value).map_err(|error| Failure::usage(error.to_string()))?;
            // Writing to a string cannot fail.
            let _ = write!(lines, "{name}: {value}\r\n");
        }
        Ok(Probe { url, fields: lines, timeout })
    }

    /// The status of a ping to this host, from this origin, with the user's fields or without.
    pub(super) fn status(&self, host: &str, origin: Option<&str>, with_fields: bool) -> Result<u16, Error> {
        let fields = if with_fields { self.fields.as_str() } else { "" };
        let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json, text/event-stream\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{origin}{fields}\r\n{PING}",
            self.url.target,
            PING.len()
        );
        self.exchange(&request).map(|(_, head)| head.status)
    }

    /// The status of a GET of this path, and the text of its response, as far as its length is known.
    pub(super) fn get(&self, path: &str) -> Result<(u16, String), Error> {
        let (host, fields) = (self.url.authority(), &self.fields);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
        let (mut connection, head) = self.exchange(&request)?;
        let length = match head.framing {
            Some(Framing::Length(length)) => {
                usize::try_from(length).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX)
            }
            _ => 0,
        };
        let deadline = after(self.timeout);
        while connection.input.len() < length && connection.read(left(deadline)?.min(SLICE))? != Some(0) {}
        connection.input.truncate(length);
        Ok((head.status, printable(String::from_utf8_lossy(&connection.input).trim())))
    }

    /// Sends a request, and waits for the head of its response.
    fn exchange(&self, request: &str) -> Result<(Connection, ResponseInfo), Error> {
        let deadline = after(self.timeout);
        let mut connection = Connection::open(self.url, deadline)?;
        connection.send(request.as_bytes(), deadline, || Ok(()))?;
        loop {
            if let Some(head) = connection.head(&Limits::DEFAULT)? {
                return Ok((connection, head));
            }
            if connection.read(left(deadline)?.min(SLICE))? == Some(0) {
                return Err(connection.cut_off().into());
            }
        }
    }
}
