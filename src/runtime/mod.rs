//! The built-in service: runs the handlers of a [`Server`](crate::Server).
//!
//! *Scope:* methods of JSON-RPC and their results in each revision, calls that take time, subscriptions, questions.
//! *Not in scope:* how messages travel (the engine), what authors write against (`server`).

pub(crate) mod announcing;
pub(crate) mod calls;
pub(crate) mod completion;
pub(crate) mod conclusion;
pub(crate) mod config;
pub(crate) mod handler_service;
pub(crate) mod handlers;
pub(crate) mod jobs;
pub(crate) mod lists;
pub(crate) mod mail;
#[cfg(not(feature = "stateless"))]
mod no_stateless;
pub(crate) mod observed;
pub(crate) mod permit;
pub(crate) mod run;
#[cfg(feature = "stateless")]
pub(crate) mod stateless;
pub(crate) mod subscriptions;
pub(crate) mod turns;
pub(crate) mod updates;
pub(crate) mod workers;
