//! The transports of MCP, and the routes to those over HTTP.
//!
//! *Scope:* HTTP+SSE (`sse`), Streamable HTTP (`streamable`, `batch`, `resume`), requests without a session (`stateless`), lines
//! as on standard input and output (`lines`).
//! *Not in scope:* what messages mean: a service answers them.
//!
//! No transport imports another one.

pub(crate) mod batch;
pub(crate) mod lines;
pub(crate) mod resume;
pub(crate) mod routes;
pub(crate) mod session;
pub(crate) mod sse;
pub(crate) mod stateless;
pub(crate) mod streamable;
