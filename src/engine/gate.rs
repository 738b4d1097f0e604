//! Which requests are admitted, before anything else in them is looked at.
//!
//! *Scope:* the order of the checks of Host and Origin, CORS preflights, and authorization. *Not in scope:* the checks
//! themselves (`access`), and whose a session is (`core::sessions` compares).
//!
//! ```text
//!  head ─▶ Host, Origin ─▶ preflight? ─▶ authorized? ──▶ routes
//!              403           204           401, 403, 400, 500; documents of `auth`
//! ```

#[cfg(feature = "browser")]
use crate::access::cors;
use crate::access::peer::Peer;
use crate::access::settings::Settings;
use crate::access::site::{check_host, check_origin};
use crate::engine::Engine;
use crate::engine::refusals::in_body_format;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

/// What is said to a request for what its head says.
#[derive(Debug)]
pub(crate) struct RefusedHead {
    pub(crate) answer: OwnedResponse,
    /// The client is owed nothing: a long body is not waited for.
    pub(crate) unread: bool,
}

impl From<OwnedResponse> for RefusedHead {
    fn from(answer: OwnedResponse) -> RefusedHead {
        RefusedHead { answer, unread: false }
    }
}

impl Engine {
    /// Decides who is let in. Nothing else of the request has been looked at, nor will be where it is refused here.
    pub(crate) fn let_in(&mut self, key: Key, head: &Head<'_>) -> Result<(), RefusedHead> {
        let core = &self.core;
        let Some(conn) = core.connections.get(key) else { return Ok(()) };
        check(head, &core.settings, &conn.peer)?;
        #[cfg(feature = "browser")]
        if let Some(answer) = cors::preflight(head, &core.settings, &conn.peer, core.limits()) {
            return Err(RefusedHead { answer, unread: true });
        }
        #[cfg(feature = "auth")]
        self.authorize(key, head).map_err(|answer| RefusedHead { answer, unread: true })?;
        Ok(())
    }
}

/// Checks Host and Origin, in this order and before anything else.
pub(crate) fn check(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), OwnedResponse> {
    let checked = check_host(head, settings, peer).and_then(|()| check_origin(head, settings, peer));
    checked.map_err(|answer| in_body_format(answer, head, settings))
}
