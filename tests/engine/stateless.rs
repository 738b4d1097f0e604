//! Requests that stand alone (MCP 2026-07-28) in memory: what is checked, what stands in for a session, questions in
//! results, and streams of notifications.

pub mod clients;
#[cfg(feature = "streamable")]
mod eras;
mod ladder;
mod listen;
mod permits;
mod results;
mod rounds;
