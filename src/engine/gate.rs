//! Which requests are admitted: the checks that every request passes first, on every path.
//!
//! *Scope:* the order of the checks of Host and Origin, CORS preflights, and authorization. *Not in scope:* the checks
//! themselves (`access`), and whose a session is (`core::sessions` compares).
//!
//! ```text
//!  head ─▶ Host, Origin ─▶ preflight? ─▶ authorized? ──▶ routes
//!              403           204           401, 403, 400, 500, 503; documents of `auth`
//! ```

#[cfg(feature = "browser")]
use crate::access::cors;
use crate::access::peer::Peer;
use crate::access::settings::Settings;
use crate::access::site::{check_host, check_origin};
use crate::engine::Engine;
use crate::engine::refusals::in_body_format;
use crate::http::fields::Derivation;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

/// The response to a request that is refused because of its head.
#[derive(Debug)]
pub(crate) struct RefusedHead {
    pub(crate) answer: OwnedResponse,
    /// True if the client is not admitted: a long body is then not read before the response.
    pub(crate) unread: bool,
}

impl From<OwnedResponse> for RefusedHead {
    fn from(answer: OwnedResponse) -> RefusedHead {
        RefusedHead { answer, unread: false }
    }
}

impl Engine {
    /// Admits a request, or refuses it before anything else in it is looked at. Returns false if that is not decided yet.
    #[cfg_attr(not(feature = "auth"), expect(unused_variables, reason = "paths are for documents of `auth`"))]
    pub(crate) fn admit(
        &mut self,
        key: Key,
        head: &Head<'_>,
        place: (Option<usize>, &str),
    ) -> Result<bool, RefusedHead> {
        let core = &self.core;
        let Some(conn) = core.connections.get(key).filter(|conn| !conn.is_for_health()) else {
            return Ok(true);
        };
        let check = || check_host_and_origin(head, &core.settings, &conn.peer);
        if head.derive(Derivation::Site, || check().is_ok().into()) == 0 {
            check()?;
        }
        #[cfg(feature = "browser")]
        if let Some(answer) = cors::preflight(head, &core.settings, &conn.peer, core.limits()) {
            return Err(RefusedHead { answer, unread: true });
        }
        #[cfg(feature = "auth")]
        return self.authorize(key, head, place).map_err(|answer| RefusedHead { answer, unread: true });
        #[cfg(not(feature = "auth"))]
        Ok(true)
    }
}

/// Checks Host and Origin, in this order and before anything else.
fn check_host_and_origin(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), OwnedResponse> {
    let checked = check_host(head, settings, peer).and_then(|()| check_origin(head, settings, peer));
    checked.map_err(|answer| in_body_format(answer, head, settings))
}
