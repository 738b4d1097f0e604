//! Requests that stand alone (MCP 2026-07-28) in memory: what is checked, what stands in for a session, questions in
//! results, and streams of notifications.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "stateless/clients.rs"]
mod clients;
mod common;
#[path = "stateless/eras.rs"]
mod eras;
#[path = "stateless/ladder.rs"]
mod ladder;
#[path = "stateless/listen.rs"]
mod listen;
#[path = "stateless/permits.rs"]
mod permits;
#[path = "stateless/results.rs"]
mod results;
#[path = "stateless/rounds.rs"]
mod rounds;
