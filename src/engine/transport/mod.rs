//! The transports of MCP over HTTP, and the routes to them.
//!
//! *Scope:* HTTP+SSE (`sse`), Streamable HTTP (`streamable`, `batch`, `resume`), requests without a session (`stateless`).
//! *Not in scope:* what messages mean: a service answers them.
//!
//! No transport imports another one.

pub(crate) mod batch;
pub(crate) mod resume;
pub(crate) mod routes;
pub(crate) mod session;
pub(crate) mod sse;
pub(crate) mod stateless;
pub(crate) mod streamable;
