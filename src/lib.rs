//! A Model Context Protocol server without an async runtime.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod buffer;
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

#[doc(hidden)]
pub use buffer::{Buffer, Pool};
pub use limits::{CONNECTIONS_CAP, HEADERS_CAP, Limits};
pub use timers::Now;
