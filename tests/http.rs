//! HTTP/1.1 on one connection: what is accepted, what is refused and how, and that neither depends on how the bytes
//! are cut; time, memory and backpressure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "http/cases.rs"]
mod cases;
#[path = "http/connection.rs"]
mod connection;
#[path = "http/faults.rs"]
mod faults;
#[path = "http/generated.rs"]
mod generated;
#[path = "http/harness.rs"]
mod harness;
#[path = "http/reading.rs"]
mod reading;
