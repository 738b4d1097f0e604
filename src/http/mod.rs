//! HTTP/1.1 for a server that reads untrusted peers: bytes in, bytes out, no sockets and no clock.
//!
//! *Scope:* the request head and every rule of its framing ([`head`]), message bodies ([`body`]), writing responses
//! ([`response`]) and reading them back ([`client`]), and one server connection with its time limits ([`conn`]).
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
//! use mcp_rill::http::{conn::{After, Conn, Handler, Reply, Verdict}, head::Head, response::{Response, Common}};
//! use mcp_rill::{Limits, Now};
//!
//! struct Echo(Common);
//! impl Handler for Echo {
//!     fn common(&mut self) -> &mut Common { &mut self.0 }
//!     fn head(&mut self, _: &Head<'_>) -> Verdict { Verdict::Read }
//!     fn request(&mut self, _: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
//!         reply.send(&mut self.0, &Response { body, ..Response::new(200) });
//!     }
//! }
//!
//! let (now, mut echo) = (Now::default(), Echo(Common::new(Limits::DEFAULT)));
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

pub mod body;
pub mod client;
#[doc(hidden)]
pub mod conn;
pub mod date;
pub mod head;
pub(crate) mod refusal;
pub mod response;
pub(crate) mod search;

pub use crate::http::refusal::Refusal;
