//! Who a request is from, and again when that may have changed.
//!
//! *Scope:* when the hook of [`Server::authorize`](crate::Server::authorize) is asked, and the metadata documents, which are open
//! to all. *Not in scope:* the hook and its denials (`access::auth`), whose a session is (`core::sessions` compares).
//!
//! ```text
//!  head ─▶ metadata document? ─▶ hook ─┬─ Ok ──▶ principal of this request
//!            200, 404                  ├─ Err ─▶ 401, 403, 400; the body stays unread
//!                                      └─ panic ▶ 500
//!  Handle::reauthorize ─┬▶ hook, with the request of each open stream ── Err, or another principal ──▶ closed
//!                       └▶ hook, for a body that was being received, once it is whole ── the same ──▶ 401, 403, 400
//! ```
//!
//! A connection may carry requests of several principals, one after the other: `Connection::peer` has that of the present one.

use crate::access::auth::denial::denial;
use crate::access::auth::hook::{Denied, ask};
use crate::access::auth::resource::{ProtectedResource, WELL_KNOWN};
use crate::access::peer::Peer;
use crate::access::settings::{self, Settings};
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::refusals;
use crate::engine::state::auth::{Admitted, Auth};
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::state::connections::Connection;
use crate::http::head::{Fields, Head, Version, parse};
use crate::http::response::{JSON, OwnedResponse};
use crate::slab::Key;

impl Engine {
    /// True if a hook authorizes requests.
    pub fn authenticates(&self) -> bool {
        self.auth.hook.is_some()
    }

    /// Sets the principal of the request.
    ///
    /// # Errors
    /// The response to a request that is denied, or for a metadata document.
    pub(crate) fn authorize(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        match metadata(head, &self.core.settings) {
            Some(document) => Err(document),
            None => self.identify(key, head),
        }
    }

    fn identify(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        let Engine { auth: Auth { hook, rounds }, core, .. } = self;
        let Core { connections, settings, held, .. } = core;
        let (Some(hook), Some(conn)) = (hook, connections.get_mut(key)) else { return Ok(()) };
        let peer = &mut conn.peer;
        let admitted = conn
            .admitted
            .get_or_insert_with(|| Box::new(Admitted::new(peer.principal.clone(), held.charge(0))));
        admitted.asked_at = *rounds;
        // Not who the request before was from.
        peer.principal = admitted.transport.clone();
        peer.principal = Some(ask(hook, head, peer).map_err(|denied| denial(&denied, head, settings))?);
        Ok(())
    }

    /// The body is whole: if it was on its way while tokens may have been withdrawn, the hook is asked again.
    pub(crate) fn ask_again(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        let Some(conn) = self.core.connections.get(key) else { return Ok(()) };
        if conn.admitted.as_ref().is_none_or(|admitted| admitted.asked_at == self.auth.rounds) {
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
        self.auth.rounds += 1;
        let Engine { auth: Auth { hook: Some(hook), .. }, core, .. } = self else { return };
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

#[cfg(any(feature = "streamable", feature = "stateless"))]
impl Connection {
    /// The stream or the answer that the request had left open has ended.
    pub(crate) fn forget_request(&mut self) {
        if let Some(admitted) = &mut self.admitted {
            admitted.keep(Box::default());
        }
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

/// The head as text that reads as the same head.
fn text_of(head: &Head<'_>) -> Vec<u8> {
    let version = match head.version {
        Version::Http10 => " HTTP/1.0\r\n",
        Version::Http11 => " HTTP/1.1\r\n",
    };
    let mut text = [head.method, " ", head.target, version].concat().into_bytes();
    for (name, value) in head.headers() {
        [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| text.extend_from_slice(part));
    }
    text.extend_from_slice(b"\r\n");
    text
}
