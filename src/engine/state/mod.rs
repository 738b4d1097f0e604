//! The engine's data: connections, sessions, calls, streams.
//!
//! *Scope:* the data and what can be said of it alone. *Not in scope:* the steps that change several of them together
//! (`core`).
//!
//! No module here uses the engine or its `core`.

#[cfg(feature = "auth")]
pub(crate) mod auth;
pub(crate) mod coalesced;
pub(crate) mod connections;
#[cfg(feature = "resume")]
pub(crate) mod event_log;
pub(crate) mod ids;
pub(crate) mod message;
pub(crate) mod peers;
pub(crate) mod sessions;
pub(crate) mod streams;
