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
pub(crate) mod headers;
pub(crate) mod jobs;
pub(crate) mod listen;
pub(crate) mod mail;
pub(crate) mod permit;
pub(crate) mod probing;
pub(crate) mod rounds;
pub(crate) mod run;
pub(crate) mod seal;
pub(crate) mod stateless;
pub(crate) mod subscriptions;
pub(crate) mod updates;
pub(crate) mod workers;
