//! Oracles: what must hold for any input whatever. Each module has one `check(data)` that panics when it does not.
//!
//! *Scope:* the functions that the fuzz targets call. `tests/house/fuzz.rs` of the library includes this file by its path, so
//! the same functions run on a stable compiler over the committed corpus and inputs made from a seed. They use the
//! public interface of the library and nothing else: what it ships holds no code for its fuzzers.
//!
//! A naive reader stands beside each parser. It is written from the standard, reads whole texts, knows no limits and
//! takes no care of speed; where the two differ, one of them has read the standard wrongly.

pub mod argv;
pub mod chunked;
pub mod connection;
pub mod cut;
pub mod engine;
pub mod head;
pub mod jsonrpc;
pub mod lines;
pub mod long;
pub mod manifest;
pub mod query;
pub mod sse;
pub mod uri_template;

mod client;
#[path = "../../tests/common/world.rs"]
mod common;
mod naive;
#[path = "../../tests/jsonrpc/same.rs"]
mod same;
