//! What an author writes against, in memory: what handlers can do between a request and its result, what they are told, what
//! they may return, and what is offered to clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod common;

mod addressed;
mod amounts;
#[cfg(all(feature = "streamable", feature = "stateless"))]
mod announced;
mod asking_later;
mod cancelling;
mod completion;
mod conformance;
mod context;
mod faults;
mod items;
mod lists;
mod mounts;
#[cfg(all(feature = "auth", feature = "net"))]
mod notes;
mod observed;
mod output;
mod pool;
mod questions;
mod replaced;
mod replies;
mod requests_ended;
mod sampling;
#[cfg(feature = "schemars")]
mod schemars;
mod service;
mod session_data;
mod slow_items;
mod state;
#[cfg(feature = "net")]
mod tokio;
mod uri_template;
mod uris;
mod visible;
mod ways;
