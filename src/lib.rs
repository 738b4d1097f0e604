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
//! Clients connect to `http://127.0.0.1:3001/mcp` (Streamable HTTP) or to `http://127.0.0.1:3001/sse` (HTTP+SSE). From here: [`Server`] is the builder, [`schema!`] makes argument
//! types, [`Content`] and its kin are what handlers return, [`Limits`] bounds everything.
//!
//! # Three depths
//!
//! 1. [`Server::listen`] and [`net::Listening::run`]: the server owns the thread.
//! 2. [`net::Listening::poll`]: the server takes turns in a loop of yours.
//! 3. [`engine::Engine`]: no sockets at all; you carry the bytes.
//!
//! # Layers
//!
//! Each layer uses only those before it, and only `net` and `client` touch sockets, clocks and randomness.
//!
//! | layer | modules |
//! |---|---|
//! | 0 | limits, buffer, slab, timers, [`mod@schema`] |
//! | 1 | [`http`], [`sse`], [`jsonrpc`] |
//! | 2 | [`mcp`] |
//! | 3 | [`engine`] |
//! | 4 | [`net`], [`client`] |
//!
//! # Panics and errors
//!
//! An error is bad input from outside; a panic is a bug of this crate, and no input from a peer may reach one. A panic
//! in a handler of yours is caught and answered as an internal error (−32603), if the program is built to unwind.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "net"),
    allow(rustdoc::broken_intra_doc_links, reason = "what they lead to comes with `net`")
)]
#![warn(missing_docs)]

mod buffer;
mod json;
mod limits;
mod slab;
mod timers;

pub mod http;
pub mod jsonrpc;
pub mod schema;
pub mod sse;

pub mod mcp;

pub mod engine;

#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod net;

#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use limits::{CONNECTIONS_CAP, HEADERS_CAP, Limits};
#[cfg(feature = "schemars")]
pub use mcp::Typed;
pub use mcp::uri::Vars;
pub use mcp::{
    Annotations, Answer, Arguments, CacheScope, Call, CallError, Capabilities, ClientInfo, Completer,
    Content, Deferred, Denied, Elicited, Ended, Full, Handle, HttpRequest, Icon, IntoPrompt, IntoReply,
    IntoResource, IntoToolResult, Json, Level, Partial, Peer, Principal, Prompt, PromptArgument,
    PromptMessage, PromptResult, ProtectedResource, Reply, Resource, ResourceContents, ResourceTemplate,
    Result, Revision, Role, Root, Sample, Sampled, Server, Settings, StateKey, Tokens, Tool, ToolChoice,
    ToolResult, ToolUse, Unavailable,
};
pub use timers::Now;
