//! The built-in service: runs the handlers of a [`Server`](crate::Server).
//!
//! *Scope:* methods of JSON-RPC and their results in each revision, calls that take time, subscriptions, questions.
//! *Not in scope:* how messages travel (the engine), what authors write against (`server`).

pub(crate) mod calls;
pub(crate) mod completion;
pub(crate) mod conclusion;
pub(crate) mod config;
pub(crate) mod handler_service;
pub(crate) mod handlers;
#[cfg(feature = "stateless")]
pub(crate) mod headers;
pub(crate) mod jobs;
#[cfg(feature = "stateless")]
pub(crate) mod listen;
#[cfg(feature = "stateless")]
pub(crate) mod listening;
pub(crate) mod mail;
pub(crate) mod permit;
#[cfg(feature = "stateless")]
pub(crate) mod probing;
pub(crate) mod results;
#[cfg(feature = "stateless")]
pub(crate) mod rounds;
pub(crate) mod run;
#[cfg(feature = "stateless")]
pub(crate) mod seal;
#[cfg(feature = "stateless")]
pub(crate) mod stateless;
#[cfg(feature = "stateless")]
pub(crate) mod stateless_state;
pub(crate) mod subscriptions;
pub(crate) mod updates;
pub(crate) mod workers;
