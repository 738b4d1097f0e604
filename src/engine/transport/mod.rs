//! The transports of MCP, and the routes to those over HTTP.
//!
//! *Scope:* HTTP+SSE (`sse`), Streamable HTTP (`streamable`, `batch`, `resume`), requests without a session (`stateless`), the
//! path that the last two share (`mcp`), lines as on standard input and output (`lines`).
//! *Not in scope:* what messages mean: a service answers them.
//!
//! Transports share `batch`, `session` and `content_type`. Beyond these only `mcp` uses other transports, and `lines::lone` one.

#[cfg(feature = "streamable")]
pub(crate) mod batch;
pub(crate) mod content_type;
pub(crate) mod lines;
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod mcp;
#[cfg(feature = "resume")]
pub(crate) mod resume;
pub(crate) mod routes;
#[cfg(feature = "streamable")]
pub(crate) mod session;
pub(crate) mod sse;
#[cfg(feature = "stateless")]
pub(crate) mod stateless;
#[cfg(feature = "streamable")]
pub(crate) mod streamable;
