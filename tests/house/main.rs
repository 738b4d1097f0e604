//! The rules of the house that a compiler does not check, and the fuzzers' oracles on a stable compiler.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod code;
mod documents;
// The oracles expect every transport, and manifests.
#[cfg(all(feature = "bridge", unix))]
mod fuzz;
mod layers;
mod lines;
mod sources;
