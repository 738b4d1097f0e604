//! What an author writes against: the builder, handlers and their calls, results that come later.
//!
//! *Scope:* [`Server`](crate::Server), [`Call`](crate::Call), [`Handle`](crate::Handle), and the registry behind them.
//! *Not in scope:* running the handlers (`runtime`), sockets.

pub(crate) mod arguments;
pub(crate) mod ask;
#[cfg(feature = "auth")]
pub(crate) mod auth;
pub(crate) mod blocking;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod complete;
pub(crate) mod context;
pub(crate) mod guard;
pub(crate) mod handle;
pub(crate) mod handler;
pub(crate) mod item;
pub(crate) mod items;
pub(crate) mod mailbox;
pub(crate) mod permit;
pub(crate) mod questions;
pub(crate) mod registry;
pub(crate) mod reply;
#[cfg(feature = "stateless")]
pub(crate) mod state_keys;
#[cfg(feature = "schemars")]
pub(crate) mod typed;
