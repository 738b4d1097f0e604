//! HTTP/1.1 for a server that reads untrusted peers: bytes in, bytes out, no sockets and no clock.
//!
//! *Scope:* the request head and every rule of its framing ([`head`]), message bodies ([`body`]), writing responses
//! and reading them back ([`response`]), and one server connection with its time limits ([`conn`]).
//! *Not in scope:* routes, Host and Origin policy, JSON, SSE frames, sockets. HTTP/2, upgrades, tunnels, content and
//! transfer codings other than `chunked`, and request trailers (read, checked and dropped) are not supported at all.
//!
//! Where RFC 9112 lets a recipient repair a message, this one refuses it: two readings of a request are a refusal
//! and a closed connection. A refusal is a response that names the thing, its value and what to change. For the same
//! reason HTTP/1.2 to 1.9, which RFC 9110 §2.5 would have read as 1.1, get 505: nobody sends them, some readers take them
//! for 1.1 and others refuse them, and httparse, which reads the head, knows 1.0 and 1.1 only.
//!
//! ```text
//!  new ─▶ Head ──head whole, body not──▶ Body ──body whole─▶ answer ─┬─▶ Head      kept alive
//!          │ └────────────────request whole─────────────────▶        ├─▶ Stream    open until either side ends
//!          │                              │                          └─▶ Closing   Connection: close
//!          └──────────refused─────────────┴──▶ Closing ──flushed, half-closed──▶ Linger ──▶ Closed
//! ```
//!
//! One connection that walks it, with a handler that echoes bodies:
//!
//! ```
//! use mcp_rill::http::{conn::{After, Conn, Handler, Reply, Verdict}, head::Head, response::{Response, Shared}};
//! use mcp_rill::{Limits, Now};
//!
//! struct Echo(Shared);
//! impl Handler for Echo {
//!     fn shared(&mut self) -> &mut Shared { &mut self.0 }
//!     fn head(&mut self, _: &Head<'_>) -> Verdict { Verdict::Read }
//!     fn request(&mut self, _: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
//!         reply.send(&mut self.0, &Response { body, ..Response::new(200) });
//!     }
//! }
//!
//! let (now, mut echo) = (Now::default(), Echo(Shared::new(Limits::DEFAULT)));
//! let mut conn = Conn::new(now);
//! conn.feed(now, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-", &mut echo); // Head
//! conn.feed(now, b"Length: 5\r\n\r\nhel", &mut echo); // Body
//! assert!(conn.outgoing().is_empty());
//! conn.feed(now, b"lo", &mut echo); // answered, and Head again
//! assert!(conn.outgoing().starts_with(b"HTTP/1.1 200 OK\r\n") && conn.outgoing().ends_with(b"\r\n\r\nhello"));
//! let _ = conn.sent(now, conn.outgoing().len(), &mut echo.0);
//! assert_eq!((conn.next(), echo.0.pool.used()), (After::Open, 0));
//!
//! conn.feed(now, b"GET / HTTP/1.1\nHost: localhost\r\n\r\n", &mut echo); // a bare LF: Closing
//! assert!(conn.outgoing().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
//! let _ = conn.sent(now, conn.outgoing().len(), &mut echo.0);
//! assert_eq!(conn.next(), After::HalfClose);
//! conn.half_closed(now); // Linger: the peer may read our answer while it still sends
//! conn.feed(now, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &mut echo); // never looked at
//! conn.end_of_input(now, &mut echo); // Closed
//! assert_eq!((conn.next(), conn.outgoing()), (After::Close, &b""[..]));
//! ```

use std::borrow::Cow;
use std::fmt;

mod advance;
pub mod body;
#[doc(hidden)]
pub mod conn;
mod deadlines;
mod exchange;
pub mod head;
pub mod response;
mod search;

/// Why a message was not accepted, and the status that says so (RFC 9110 §15).
///
/// A refusal of a request is sent as a `text/plain` response with [`reason`](Refusal::reason) as its body, and
/// the connection is closed after it: nothing that follows an unlawful message has a certain meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of the response.
    pub status: u16,
    /// One sentence for a person: the thing, its value (cut and made visible ASCII; left out where it may be a
    /// secret), and what to change.
    pub reason: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this status and sentence.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for Refusal {}

/// At most this much of a peer's value is repeated to it: enough to recognise it, too little to be abused.
const SHOWN_BYTES_MAX: usize = 80;

/// A peer's bytes made fit for a sentence: cut, and visible ASCII only, so that no log or terminal is misled.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let visible = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let mut text: String = bytes.iter().take(SHOWN_BYTES_MAX).map(visible).collect();
    if bytes.len() > SHOWN_BYTES_MAX {
        text.push_str("...");
    }
    text
}

/// A request line or its target in a sentence: without the query, which may hold a session's id or a token.
pub(crate) fn shown_target(bytes: &[u8]) -> String {
    let mut parts = bytes.splitn(2, |byte| *byte == b'?');
    let mut text = shown(parts.next().unwrap_or_default());
    if parts.next().is_some() {
        text.push_str("?...");
    }
    text
}

/// What a field line is called in a sentence: never by its value, which may be a secret, and by its number where it
/// cannot be told what is its name.
pub(crate) fn shown_field(number: usize, line: &[u8]) -> String {
    let name = line.split(|byte| !is_token_byte(*byte)).next().unwrap_or_default();
    match line.contains(&b':') && !name.is_empty() {
        true => format!("the header line `{}`", shown(name)),
        false => format!("header line {number}"),
    }
}

/// Whether a byte may be part of a token, such as a method or a field name (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may be part of a field value (RFC 9110 §5.5): control bytes other than the tab are not.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
