//! Which requests are admitted over HTTP, whatever they mean to MCP.
//!
//! *Scope:* paths and names of this server, routes of its author, Host, Origin and `Sec-Fetch-Site`, CORS, the hook that names the principal,
//! tokens, the protected resource's metadata. *Not in scope:* what requests mean, and when these checks run (the engine's
//! `gate`).
//!
//! No module here knows a session, a connection or a message of MCP.

#[cfg(feature = "auth")]
pub(crate) mod auth;
#[cfg(feature = "browser")]
pub(crate) mod cors;
pub(crate) mod fairness;
pub(crate) mod peer;
pub(crate) mod query;
pub(crate) mod route;
pub(crate) mod settings;
pub(crate) mod site;
