//! What an author writes against, in memory: what handlers can do between a request and its result, what they are told, what
//! they may return, and what is offered to clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod common;

#[cfg(all(feature = "streamable", feature = "stateless"))]
mod announced;
mod cancelling;
mod completion;
mod conformance;
mod context;
mod faults;
mod items;
mod output;
mod pool;
mod questions;
mod replies;
mod sampling;
#[cfg(feature = "schemars")]
mod schemars;
mod service;
mod slow_items;
mod uri_template;
mod uris;
