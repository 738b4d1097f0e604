//! Tests of a server without sockets.
//!
//! *Scope:* [`Harness`], a client of a server in memory; [`Sockets`] below it, for tests of transports and services; and
//! [`Faults`]. *Not in scope:* a real network ([`client`](crate::client)).
//!
//! ```
//! use mcp_rill::testing::{Faults, Harness, Notification, Way};
//! use mcp_rill::{Call, Elicited, Server, schema};
//! use serde_json::json;
//!
//! schema! { struct Order { /// What to buy.
//!     what: String } }
//! schema! { struct Confirm { /// Buy it?
//!     sure: bool } }
//!
//! fn buy(Order { what }: Order, call: &mut Call) -> mcp_rill::Result<String> {
//!     let sure = call.elicit::<Confirm>("sure", &format!("Buy {what}?"))?;
//!     if let Elicited::Accepted(Confirm { sure: true }) = sure {
//!         call.handle().resource_updated("shop:///orders");
//!         return Ok(format!("bought {what}"));
//!     }
//!     Err("the user does not want it".into())
//! }
//!
//! fn server() -> Server {
//!     Server::new("shop", "1.0.0").tool("buy", "Buy something", buy).resource("shop:///orders", "orders", |_| "none")
//! }
//!
//! // A test is a few lines, …
//! let mut harness = Harness::new(server()).answer("sure", json!({"sure": true}));
//! assert_eq!(harness.call("buy", json!({"what": "milk"})).text(), "bought milk");
//! assert_eq!(harness.read("shop:///orders").text(), "none");
//!
//! // … with what other clients hear, …
//! let mut other = harness.another();
//! assert!(other.subscribe("shop:///orders"));
//! assert!(harness.call("buy", json!({"what": "eggs"})).is_ok());
//! assert_eq!(other.notifications(), [Notification::ResourceUpdated("shop:///orders".into())]);
//!
//! // … with mistakes, …
//! let refused = harness.call("buy", json!({})).tool_error();
//! assert_eq!(refused, "missing argument `what` (a string)");
//!
//! // … in every transport and revision, while connections are cut, stall and break.
//! for way in Way::all() {
//!     let mut harness = Harness::new(server()).over(way).faults(Faults::seed(7)).answer("sure", json!({"sure": false}));
//!     if harness.call("buy", json!({"what": "milk"})).questions().is_empty() {
//!         continue; // forms came with 2025-06-18
//!     }
//!     assert_eq!(harness.call("buy", json!({"what": "milk"})).tool_error(), "the user does not want it", "{way}");
//! }
//! ```
//!
//! # What a harness is
//!
//! A [`Harness`] is one client of a real [`Engine`](crate::engine::Engine), in the same thread. Between the two are the bytes of the
//! transport and revision that the test chooses ([`Way`]), so what passes here passes on the wire. By default the client speaks the
//! newest revision with sessions over Streamable HTTP, or over HTTP+SSE in a build without it.
//!
//! - Handlers run while the test waits for them: [`Harness::call`] returns with the answer.
//! - Blocking handlers run on worker threads, and [`Reply`](crate::Reply)s are finished by threads of the program. They are waited for.
//!   A call that nothing finishes ends the wait after [`patience`](Harness::patience), with a text that says where it hangs.
//! - Time is the test's: [`Harness::advance`] meets a timeout of a day at once.
//! - A question that the test has no answer to ends the call at once, with a text that has the question and its key.
//! - What a test did not expect is a panic that names the tool, its arguments, the transport, and what came back.
//!
//! The crate's own tests use [`Sockets`] too. Add the feature `testing` to the dev-dependency only: then nothing of it is in
//! your program.
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; what is indexed here was made here"
)]

mod answers;
mod client;
mod faults;
mod harness;
#[cfg(feature = "stateless")]
mod listening;
mod random;
mod reading;
mod response;
mod sending;
mod shared;
mod sockets;
#[cfg(feature = "stateless")]
mod stateless;
mod stuck;
mod way;

pub use answers::{Answer, Question};
pub use faults::{Faults, FaultsSeen};
pub use harness::{Harness, Pending};
pub use random::Random;
pub use response::{Notification, Response};
pub use sockets::{Cut, Sock, Sockets};
pub use way::Way;
