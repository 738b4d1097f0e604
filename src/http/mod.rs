//! HTTP/1.1 for a server that reads untrusted peers: bytes in, bytes out, no sockets and no clock.
//!
//! *Scope:* the request head and every rule of its framing ([`head`]), message bodies ([`body`]), writing responses
//! ([`response`]) and reading them back ([`client`]), and one server connection with its time limits ([`conn`]).
//! *Not in scope:* routes, Host and Origin policy, JSON, SSE frames, sockets. HTTP/2, upgrades, tunnels, content and
//! transfer codings other than `chunked`, and request trailers (read, checked and dropped) are not supported at all.
//!
//! Where RFC 9112 lets a recipient repair a message, this one refuses it: a request that could be read in two ways gets a
//! refusal, and the connection is closed. A refusal is a response that names the thing, its value and what to change. For
//! the same reason HTTP/1.2 to 1.9, which RFC 9110 §2.5 would have read as 1.1, get 505: no client sends them, some readers
//! take them for 1.1 and others refuse them, and httparse, which reads the head, knows 1.0 and 1.1 only.
//!
//! ```text
//!  new ─▶ Head ──head whole, body not──▶ Body ──body whole─▶ answer ─┬─▶ Head      kept alive
//!          │ └────────────────request whole─────────────────▶        ├─▶ Stream    open until either side ends
//!          │                              │                          └─▶ Closing   Connection: close
//!          └──────────refused─────────────┴──▶ Closing ──flushed, half-closed──▶ Linger ──▶ Closed
//! ```
//!
//! An example of one connection, with a server that echoes bodies:
//!
//! ```
//! use mcp_rill::http::conn::{After, Body, CloseReason, Conn, Kept, Step};
//! use mcp_rill::http::{head::Fields, response::{Common, Response}};
//! use mcp_rill::{Limits, Now};
//!
//! fn echo(conn: &mut Conn, bytes: &[u8], common: &mut Common) {
//!     let mut kept = Kept::default();
//!     let mut input = conn.begin(bytes, &mut kept, common);
//!     loop {
//!         let mut fields = Fields::new();
//!         match conn.step(&mut input, &mut fields, common) {
//!             Step::Head(head) => match conn.read_body(&head, &mut input, common) {
//!                 Body::Whole(body) => conn.respond(&Response { body, ..Response::new(200) }, common),
//!                 Body::Awaited | Body::Refused(_) => {}
//!                 Body::TooLong(_) => conn.give_up(CloseReason::Refused, common),
//!             },
//!             Step::Request(request) => {
//!                 let mut fields = Fields::new();
//!                 let (_, body) = request.read(&mut fields, &common.limits).unwrap();
//!                 conn.respond(&Response { body, ..Response::new(200) }, common);
//!                 request.release(common);
//!             }
//!             Step::Refused(_) => {}
//!             Step::More => break,
//!         }
//!     }
//!     conn.end(input.used(), bytes, kept, common);
//! }
//!
//! let mut common = Common::new(Limits::DEFAULT);
//! let mut conn = Conn::new(Now::default());
//! echo(&mut conn, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-", &mut common); // Head
//! echo(&mut conn, b"Length: 5\r\n\r\nhel", &mut common); // Body
//! assert!(conn.outgoing().is_empty());
//! echo(&mut conn, b"lo", &mut common); // answered, and Head again
//! assert!(conn.outgoing().starts_with(b"HTTP/1.1 200 OK\r\n") && conn.outgoing().ends_with(b"\r\n\r\nhello"));
//! let _ = conn.sent(conn.outgoing().len(), &mut common);
//! assert_eq!((conn.next(), common.pool.used()), (After::Open, 0));
//!
//! echo(&mut conn, b"GET / HTTP/1.1\nHost: localhost\r\n\r\n", &mut common); // a bare LF: Closing
//! assert!(conn.outgoing().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
//! let _ = conn.sent(conn.outgoing().len(), &mut common);
//! assert_eq!(conn.next(), After::HalfClose);
//! conn.half_closed(&mut common); // Linger: the peer may read our answer while it still sends
//! echo(&mut conn, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &mut common); // never looked at
//! conn.end_input(&mut common); // Closed
//! assert_eq!(conn.closed(), Some((CloseReason::Refused, 0)));
//! assert_eq!((conn.next(), conn.outgoing()), (After::Close, &b""[..]));
//! ```

pub mod body;
pub mod client;
#[doc(hidden)]
pub mod conn;
pub mod date;
pub(crate) mod fields;
pub mod head;
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod places;
pub(crate) mod refusal;
pub(crate) mod remembered;
pub mod response;
pub(crate) mod search;
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod usual;

pub use crate::http::refusal::Refusal;
