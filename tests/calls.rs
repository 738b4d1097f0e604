//! What happens between a request and its result: questions to the client, work on other threads, progress, cancellation,
//! and what the handler knows of the request meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

#[path = "calls/announced.rs"]
mod announced;
#[path = "calls/cancelling.rs"]
mod cancelling;
#[path = "calls/context.rs"]
mod context;
#[path = "calls/faults.rs"]
mod faults;
#[path = "calls/items.rs"]
mod items;
#[path = "calls/output.rs"]
mod output;
#[path = "calls/pool.rs"]
mod pool;
#[path = "calls/questions.rs"]
mod questions;
#[path = "calls/replies.rs"]
mod replies;
#[path = "calls/sampling.rs"]
mod sampling;
