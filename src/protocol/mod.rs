//! The types of MCP: revisions, descriptions, content, results, questions, and what their JSON looks like.
//!
//! *Scope:* types that are sent or received, and how each revision spells them. *Not in scope:* sessions, handlers, HTTP.
//!
//! No module here keeps state or knows a connection.

pub(crate) mod annotations;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod client_info;
pub(crate) mod content;
pub(crate) mod description;
pub(crate) mod elicitation;
#[cfg(feature = "stateless")]
pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod extensions;
pub(crate) mod forms;
pub(crate) mod icon;
pub(crate) mod into;
pub(crate) mod kinds;
pub(crate) mod level;
pub(crate) mod listing;
pub(crate) mod meta;
#[cfg(any(feature = "client", feature = "stateless"))]
pub(crate) mod meta_names;
pub(crate) mod panics;
#[cfg(any(feature = "client", feature = "stateless"))]
pub(crate) mod param_headers;
pub(crate) mod prompt;
pub(crate) mod result;
pub(crate) mod revision;
#[cfg(any(feature = "client", all(feature = "stateless", feature = "testing")))]
pub(crate) mod routing;
pub(crate) mod sampling;
pub(crate) mod setters;
pub(crate) mod siphash;
pub(crate) mod state_key;
pub(crate) mod structured;
pub(crate) mod timeouts;
pub(crate) mod trace;
pub mod uri;
pub(crate) mod uri_syntax;
pub(crate) mod viewers;
pub(crate) mod visible;
