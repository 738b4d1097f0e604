//! Who a request is from, before anything in it is looked at, and again when that may have changed.
//!
//! *Scope:* when Host and Origin are checked and the hook of [`Server::authorize`](crate::Server::authorize) is asked, what is
//! open to everybody. *Not in scope:* whose a session is (`receive` compares), lists of tokens.
//!
//! ```text
//!  head ─▶ Host, Origin ─▶ metadata document, preflight? ─▶ hook ─┬─ Ok ──▶ principal of this request ──▶ routes
//!              403                 200, 204, 404                  ├─ Err ─▶ 401, 403, 400; the body stays unread
//!                                                                 └─ panic ▶ 500
//!  Handle::reauthorize ─┬▶ hook, with the request of each open stream ── Err, or somebody else ──▶ closed
//!                       └▶ hook, for a body that was on its way, once it is whole ── the same ──▶ 401, 403, 400
//! ```
//!
//! A connection may carry requests of several principals, one after the other: `Connection::peer` names that of the present
//! one.

use crate::access::cors;
use crate::access::denial::denial;
use crate::access::hook::{Denied, ask};
use crate::access::peer::Peer;
use crate::access::resource::{ProtectedResource, WELL_KNOWN};
use crate::access::settings::{self, Settings};
use crate::access::site::{check_host, check_origin};
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::refusals::{self, in_body_format};
use crate::engine::state::connections::Admitted;
use crate::http::head::{Fields, Head, parse, text_of};
use crate::http::response::{JSON, OwnedResponse};
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
        let Core { connections, settings, common, .. } = &self.core;
        let Some(conn) = connections.get(key) else { return Ok(()) };
        let limits = &common.limits;
        check(head, settings, &conn.peer)?;
        let open = cors::preflight(head, settings, &conn.peer, limits).or_else(|| metadata(head, settings));
        let settled = open.or_else(|| self.identify(key, head).err());
        settled.map_or(Ok(()), |answer| Err(RefusedHead { answer, unread: true }))
    }

    fn identify(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        let Engine { authorize, core, reauthorizations, .. } = self;
        let Core { connections, settings, held, .. } = core;
        let (Some(hook), Some(conn)) = (authorize, connections.get_mut(key)) else { return Ok(()) };
        let peer = &mut conn.peer;
        let admitted = conn
            .admitted
            .get_or_insert_with(|| Box::new(Admitted::new(peer.principal.clone(), held.charge(0))));
        admitted.asked_at = *reauthorizations;
        // Not who the request before was from.
        peer.principal = admitted.transport.clone();
        peer.principal = Some(ask(hook, head, peer).map_err(|denied| denial(&denied, head, settings))?);
        Ok(())
    }

    /// The body is whole: if it was on its way while tokens may have been withdrawn, the hook is asked again.
    pub(crate) fn ask_again(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        let Some(conn) = self.core.connections.get(key) else { return Ok(()) };
        if conn.admitted.as_ref().is_none_or(|admitted| admitted.asked_at == self.reauthorizations) {
            return Ok(());
        }
        let before = conn.peer.principal.clone();
        self.identify(key, head)?;
        match self.core.connections.get(key).is_some_and(|conn| conn.peer.principal == before) {
            true => Ok(()),
            false => {
                let denied = Denied::invalid_token("the token has become somebody else's meanwhile");
                Err(denial(&denied, head, &self.core.settings))
            }
        }
    }

    /// The request leaves something open: it is kept, to be asked about again.
    pub(crate) fn keep_request(&mut self, key: Key, head: &Head<'_>) {
        let Some(conn) = self.core.connections.get_mut(key) else { return };
        if let Some(admitted) = conn.admitted.as_mut().filter(|_| conn.stream.is_some()) {
            admitted.keep(text_of(head).into());
        }
    }

    /// Closes every stream, and every connection that waits for an answer, whose request would not be let in any more, or
    /// would be somebody else's. Requests whose body is on its way are asked about when it is whole.
    pub(crate) fn reauthorize(&mut self) {
        self.reauthorizations += 1;
        let Engine { authorize: Some(hook), core, .. } = self else { return };
        let mut denied = Vec::new();
        for (key, conn) in core.connections.iter() {
            let Some(admitted) = conn.admitted.as_ref().filter(|admitted| !admitted.request().is_empty())
            else {
                continue;
            };
            let mut fields = Fields::new();
            let head = parse(admitted.request(), &mut fields, core.limits());
            let peer = Peer { principal: admitted.transport.clone(), ..conn.peer.clone() };
            let principal = head.ok().and_then(|head| ask(hook, &head, &peer).ok());
            if principal.is_none() || principal != conn.peer.principal {
                denied.push(key);
            }
        }
        denied.into_iter().for_each(|key| core.connections.close(key));
    }
}

/// The metadata documents (RFC 9728 §3): that of the resource as it was configured, and those of the paths that clients
/// connect to, where clients look for them. A client that has no token yet must be able to read them, and to learn that they
/// are not there.
pub(crate) fn metadata(head: &Head<'_>, settings: &Settings) -> Option<OwnedResponse> {
    let path = settings::relative(head.path, settings);
    let suffix = path.strip_prefix(WELL_KNOWN).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let resource = settings.resource.as_ref().and_then(|own| asked_for(suffix, own, settings));
    Some(match (resource, head.method) {
        (None, _) => refusals::nothing_here(head, settings),
        (Some(resource), "GET" | "HEAD") => {
            let body = resource.document().into_bytes();
            let answer = OwnedResponse {
                status: 200,
                content_type: Some(JSON.into()),
                body,
                ..OwnedResponse::default()
            };
            answer.header("Cache-Control", "no-store")
        }
        (Some(_), method) => refusals::not_allowed(method, path, "GET, HEAD"),
    })
}

/// The resource whose document is at that place: the well-known path, and after it the path of the resource as clients know it,
/// or as this server does where a proxy has taken away what comes before.
fn asked_for(suffix: &str, own: &ProtectedResource, settings: &Settings) -> Option<ProtectedResource> {
    if suffix.is_empty() || suffix == own.path() {
        return Some(own.clone());
    }
    let here = settings::relative(suffix, settings);
    [&settings.mcp_path, &settings.sse_path].into_iter().find_map(|path| {
        own.served_at(path, settings).filter(|served| here == path || suffix == served.path())
    })
}

/// Checks Host and Origin, in this order and before anything else.
pub(crate) fn check(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), OwnedResponse> {
    let checked = check_host(head, settings, peer).and_then(|()| check_origin(head, settings, peer));
    checked.map_err(|answer| in_body_format(answer, head, settings))
}
