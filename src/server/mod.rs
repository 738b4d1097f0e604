//! What an author writes against: the builder, handlers and their calls, results that come later.
//!
//! *Scope:* [`Server`](crate::Server), [`Call`](crate::Call), [`Handle`](crate::Handle), and the registry behind them.
//! *Not in scope:* running the handlers (`runtime`), sockets.

#[cfg(feature = "auth")]
pub(crate) mod admission;
pub(crate) mod arguments;
pub(crate) mod ask;
#[cfg(feature = "auth")]
pub(crate) mod auth;
pub(crate) mod blocking;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod complete;
pub(crate) mod context;
pub(crate) mod flags;
pub(crate) mod form;
pub(crate) mod handle;
pub(crate) mod handler;
pub(crate) mod hooks;
pub(crate) mod item;
pub(crate) mod items;
pub(crate) mod listed;
pub(crate) mod mailbox;
pub(crate) mod mounts;
pub(crate) mod pages;
pub(crate) mod questions;
pub(crate) mod registry;
pub(crate) mod reply;
pub(crate) mod state;
#[cfg(feature = "stateless")]
pub(crate) mod state_keys;
pub(crate) mod stateful;
pub(crate) mod stats;
#[cfg(feature = "schemars")]
pub(crate) mod typed;
