//! Authorization: a hook names the principal of each request, or denies the request.
//!
//! *Scope:* the hook and what it sees (`hook`), lists of tokens (`tokens`), the response to a denied request (`denial`), the
//! metadata that tells clients where to get a token (`resource`, `served`). *Not in scope:* when the hook is asked (the
//! engine's `auth`).

pub(crate) mod denial;
pub(crate) mod hook;
pub(crate) mod resource;
pub(crate) mod served;
pub(crate) mod tokens;
