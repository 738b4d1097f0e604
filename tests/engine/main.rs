//! The whole server in memory, one transport or one concern a file: no socket, no clock, no thread that is not part of a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod common;

#[cfg(all(feature = "auth", feature = "browser", feature = "resume", feature = "stateless"))]
mod auth;
mod limits;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod lines;
#[cfg(all(feature = "resume", feature = "stateless"))]
mod meeting;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod messages;
mod notices;
#[cfg(feature = "streamable")]
mod places;
#[cfg(all(feature = "resume", feature = "stateless"))]
mod random;
#[cfg(feature = "resume")]
mod resume;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod sessionless;
mod shutdown;
#[cfg(feature = "streamable")]
mod soak;
mod sse;
#[cfg(feature = "stateless")]
mod stateless;
#[cfg(feature = "streamable")]
mod streamable;
