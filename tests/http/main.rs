//! HTTP/1.1 on one connection: what is accepted, what is refused and how, and that neither depends on how the bytes
//! are cut; time, memory and backpressure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cases;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../common/http.rs"]
mod client;
mod connection;
mod faults;
mod generated;
mod harness;
mod reading;
