//! The whole server in memory, one transport or one concern a file: no socket, no clock, no thread that is not part of a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod common;

#[cfg(all(feature = "auth", feature = "browser", feature = "resume", feature = "stateless"))]
mod auth;
#[cfg(feature = "auth")]
mod authorizing;
mod closing;
mod handshakes;
#[cfg(feature = "streamable")]
mod heads;
mod health;
mod limits;
mod lines;
#[cfg(all(feature = "resume", feature = "stateless"))]
mod meeting;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod messages;
mod notices;
mod panics;
#[cfg(feature = "streamable")]
mod places;
mod random;
#[cfg(feature = "cli")]
mod ranges;
#[cfg(feature = "resume")]
mod resume;
mod routes;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod sessionless;
mod shutdown;
mod soak;
mod sse;
#[cfg(feature = "stateless")]
mod stateless;
mod stops;
#[cfg(feature = "streamable")]
mod streamable;
