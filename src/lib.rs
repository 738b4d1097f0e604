//! A Model Context Protocol server as a library: one event loop, no async runtime, eleven crates.
//!
#![cfg_attr(feature = "net", doc = "```no_run")]
#![cfg_attr(not(feature = "net"), doc = "```ignore")]
//! use mcp_rill::{Server, schema};
//!
//! schema! { struct Add { /// First addend.
//!     a: f64, /// Second addend.
//!     b: f64 } }
//!
//! fn main() -> std::io::Result<()> {
//!     Server::new("calc", "1.0.0")
//!         .tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
//!         .listen("127.0.0.1:3001")?
//!         .run()
//! }
//! ```
//!
//! Clients connect to `http://127.0.0.1:3001/mcp` (Streamable HTTP) or to `http://127.0.0.1:3001/sse` (HTTP+SSE). With
//! `run_stdio` in the place of `listen` and `run` the program serves the client that started it, on standard input and output.
//! [`Server`] is the builder, [`schema!`] makes argument types, handlers return text, numbers, [`Content`] or [`Json`], and
//! [`Limits`] bounds everything.
//!
//! # Features
//!
//! - `net` (default): the event loop and listeners.
//! - `streamable` (default): Streamable HTTP with sessions (2025-03-26 to 2025-11-25), and batches.
//! - `resume` (default): lost streams of Streamable HTTP are resumed. It implies `streamable`.
//! - `stateless` (default): revision 2026-07-28. Alone it serves only POST on `/mcp`.
//! - `client` (default): the blocking client. It implies `net`, and speaks all revisions.
//! - `auth` (default): a hook that authorizes requests, lists of tokens, metadata of protected resources.
//! - `browser` (default): CORS, and the check of `Sec-Fetch-Site`. `Host` and `Origin` are checked without it, too.
//! - `cli` (default): the binary's command line, [`cli`]. It implies all of the above.
//! - `testing`: a client in memory for the tests of a server, [`testing`]. It is for `[dev-dependencies]`.
//! - `schemars`: arguments and results of types with serde's and schemars' derives, wrapped in `Typed`. Your crate then
//!   needs `schemars = "1"` and `serde = { version = "1", features = ["derive"] }` too.
//!
//! # Three depths
//!
//! 1. [`Server::listen`] and [`net::Listening::run`], or [`Server::run_stdio`]: the server owns the thread.
//! 2. [`net::Listening::poll`]: the server takes turns in a loop of yours.
//! 3. [`engine::Engine`]: no sockets at all; you carry the bytes.
//!
//! At each depth a [`service::Service`] of your own can take the place of a [`Server`]; [`service`] is a guide to writing one.
//!
//! # Layers
//!
//! Each layer uses only those before it, and only `net`, `client`, `testing` and `cli` use sockets, threads, clocks and randomness.
//!
//! | layer | modules |
//! |---|---|
//! | 0 | text, limits, memory, slab, timers, [`json`], base64, [`lines`], [`mod@schema`] |
//! | 1 | [`http`], [`sse`], [`jsonrpc`] |
//! | 2 | access: the checks of `Host`, `Origin` and tokens; protocol: the types of MCP |
//! | 3 | [`service`]: the interface between the engine and the handlers |
//! | 4 | server: the API for authors of servers |
//! | 5 | runtime: the service that runs their handlers |
//! | 6 | [`engine`]: the server without sockets |
//! | 7 | [`net`]: its event loop; [`client`]: the blocking client; [`testing`]: a client without sockets |
//! | 8 | [`cli`]: the command line |
//!
//! The names that an author of a server uses are here, at the root. [`guide`] shows most of them in use.
//!
//! # Panics and errors
//!
//! An error is bad input from outside. A panic is a bug of this crate, and no input from a peer may cause one. A panic
//! in your handler is caught and answered as an internal error (−32603), if the program is built to unwind.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "cli"),
    allow(rustdoc::broken_intra_doc_links, reason = "their targets come with a feature")
)]
#![warn(missing_docs)]

mod base64;
pub mod json;
mod key_map;
mod limits;
pub mod lines;
mod memory;
pub mod schema;
mod slab;
mod sort;
mod text;
mod timers;

pub mod http;
pub mod jsonrpc;
pub mod sse;

mod access;
mod protocol;

pub mod service;

mod runtime;
mod server;

pub mod engine;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "net")]
mod threads;

#[cfg(all(feature = "cli", unix))]
pub mod cli;

pub mod guide;
pub mod prelude;

/// The programs in the documentation are compiled, and run where they can.
#[cfg(all(doctest, feature = "cli"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/asking.md")]
    struct Asking;
    #[doc = include_str!("../docs/async.md")]
    struct Async;
    #[doc = include_str!("../docs/binary.md")]
    struct Binary;
    #[doc = include_str!("../docs/client.md")]
    struct Client;
    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../docs/operations.md")]
    struct Operations;
    #[doc = include_str!("../docs/security.md")]
    struct Security;
    #[doc = include_str!("../docs/slow-work.md")]
    struct SlowWork;
    #[doc = include_str!("../docs/state.md")]
    struct State;
    #[doc = include_str!("../docs/tls.md")]
    struct Tls;
    #[cfg(feature = "testing")]
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
}

#[cfg(feature = "auth")]
pub use crate::access::auth::{
    hook::{Denied, HttpRequest},
    resource::ProtectedResource,
    tokens::Tokens,
};
pub use crate::access::peer::{Peer, Principal};
pub use crate::access::route::{RouteRequest, RouteResponse};
pub use crate::access::settings::Settings;
pub use crate::limits::{CONNECTIONS_CAP, HEADERS_CAP, Limits};
pub use crate::protocol::annotations::{Annotations, Role};
pub use crate::protocol::cache::CacheScope;
pub use crate::protocol::client_info::{Capabilities, ClientInfo};
pub use crate::protocol::content::{
    Content, IntoResource, IntoToolResult, Json, ResourceContents, ToolResult,
};
pub use crate::protocol::description::{Prompt, PromptArgument, Resource, ResourceTemplate, Tool};
pub use crate::protocol::elicitation::{ClientAnswer, Elicited, Root, Unavailable};
pub use crate::protocol::error::CallError;
pub use crate::protocol::icon::Icon;
pub use crate::protocol::kinds::ItemKind;
pub use crate::protocol::level::Level;
pub use crate::protocol::listing::{IntoResourceList, PageRequest};
pub use crate::protocol::prompt::{IntoPrompt, PromptMessage, PromptResult};
pub use crate::protocol::result::Result;
pub use crate::protocol::revision::Revision;
pub use crate::protocol::sampling::{Sample, Sampled, ToolChoice, ToolUse};
pub use crate::protocol::state_key::StateKey;
pub use crate::protocol::trace::TraceContext;
pub use crate::protocol::uri;
pub use crate::protocol::viewers::Viewer;
#[cfg(feature = "auth")]
pub use crate::server::admission::Admission;
pub use crate::server::arguments::Arguments;
pub use crate::server::builder::Server;
pub use crate::server::call::Call;
pub use crate::server::complete::{Completer, CompletionRequest};
pub use crate::server::form::{Form, Kept};
pub use crate::server::handle::{Ended, Handle, MailboxFull};
pub use crate::server::item::Item;
pub use crate::server::listed::ListedTemplate;
pub use crate::server::reply::{Deferred, IntoReply, Outcome, Reply};
pub use crate::server::state::State;
#[cfg(feature = "schemars")]
pub use crate::server::typed::Typed;
pub use crate::timers::Now;
