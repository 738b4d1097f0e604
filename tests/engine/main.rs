//! The whole server in memory, one transport or one concern a file: no socket, no clock, no thread that is not part of a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod common;

#[cfg(all(feature = "auth", feature = "browser"))]
mod auth;
mod limits;
mod lines;
mod meeting;
mod messages;
mod notices;
mod places;
mod random;
mod resume;
mod sessionless;
mod shutdown;
mod soak;
mod sse;
mod stateless;
mod streamable;
