//! Who a request is from, before anything in it is looked at, and again when that may have changed.
//!
//! *Scope:* asking the hook of [`Server::authorize`](crate::Server::authorize), denials on the wire (RFC 6750 §3, RFC 9728
//! §5.1), what is open to everybody. *Not in scope:* whose a session is (`admit` compares), lists of tokens.
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

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::routes::{self, JSON};
use super::{Engine, cors};
use crate::http::conn::{Answer, Verdict};
use crate::http::head::{Fields, Head, Single, Version, parse};
use crate::jsonrpc::Object;
use crate::mcp::{Authorize, Denied, HttpRequest, Peer, Principal, ProtectedResource, Settings, WELL_KNOWN};
use crate::slab::Key;

/// What a connection is known by where a hook decides.
#[derive(Default)]
pub(super) struct Admitted {
    /// Who the transport says it is.
    transport: Option<Principal>,
    /// The head of the request that has a stream or an answer open, to ask about it again; else empty.
    request: Box<[u8]>,
    /// The engine's count of reauthorizations when the hook was last asked about the present request.
    asked_at: u64,
}

impl Admitted {
    pub(super) fn held_bytes(&self) -> usize {
        self.request.len()
    }
}

impl Engine {
    /// Decides who is let in. Nothing else of the request has been looked at, nor will be where this gives an answer.
    pub(super) fn let_in(&mut self, key: Key, head: &Head<'_>) -> Result<(), Verdict> {
        let Some(conn) = self.conns.get(key) else { return Ok(()) };
        let (settings, limits) = (&self.settings, &self.shared.limits);
        routes::check(head, settings, &conn.peer).map_err(|answer| Verdict::Refuse(Box::new(answer)))?;
        let open = cors::preflight(head, settings, &conn.peer, limits).or_else(|| metadata(head, settings));
        let settled = open.or_else(|| self.identify(key, head).err());
        settled.map_or(Ok(()), |answer| Err(Verdict::TurnAway(Box::new(answer))))
    }

    fn identify(&mut self, key: Key, head: &Head<'_>) -> Result<(), Answer> {
        let Engine { authorize, conns, settings, reauthorizations, .. } = self;
        let (Some(hook), Some(conn)) = (authorize, conns.get_mut(key)) else { return Ok(()) };
        let peer = &mut conn.peer;
        let admitted = conn.admitted.get_or_insert_with(|| {
            Box::new(Admitted { transport: peer.principal.clone(), ..Admitted::default() })
        });
        admitted.asked_at = *reauthorizations;
        // Not who the request before was from.
        peer.principal = admitted.transport.clone();
        peer.principal = Some(ask(hook, head, peer).map_err(|denied| denial(&denied, head, settings))?);
        Ok(())
    }

    /// The body is whole: if it was on its way while tokens may have been withdrawn, the hook is asked again.
    pub(super) fn ask_again(&mut self, key: Key, head: &Head<'_>) -> Result<(), Answer> {
        let Some(conn) = self.conns.get(key) else { return Ok(()) };
        if conn.admitted.as_ref().is_none_or(|admitted| admitted.asked_at == self.reauthorizations) {
            return Ok(());
        }
        let before = conn.peer.principal.clone();
        self.identify(key, head)?;
        match self.conns.get(key).is_some_and(|conn| conn.peer.principal == before) {
            true => Ok(()),
            false => {
                let denied = Denied::invalid_token("the token has become somebody else's meanwhile");
                Err(denial(&denied, head, &self.settings))
            }
        }
    }

    /// The request leaves something open: it is kept, to be asked about again.
    pub(super) fn keep_request(&mut self, key: Key, head: &Head<'_>) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if let Some(admitted) =
            conn.admitted.as_mut().filter(|_| conn.session.is_some() || conn.post.is_some())
        {
            self.held_bytes -= admitted.held_bytes();
            admitted.request = text_of(head).into();
            self.held_bytes += admitted.held_bytes();
        }
    }

    /// What the request had left open is over.
    pub(super) fn forget_request(&mut self, key: Key) {
        if let Some(admitted) = self.conns.get_mut(key).and_then(|conn| conn.admitted.as_mut()) {
            self.held_bytes -= std::mem::take(&mut admitted.request).len();
        }
    }

    /// Closes every stream, and every connection that waits for an answer, whose request would not be let in any more, or
    /// would be somebody else's. Requests whose body is on its way are asked about when it is whole.
    pub(super) fn reauthorize(&mut self) {
        self.reauthorizations += 1;
        let Engine { authorize: Some(hook), conns, shared, .. } = self else { return };
        let mut denied = Vec::new();
        for (key, conn) in conns.iter() {
            let Some(admitted) = conn.admitted.as_ref().filter(|admitted| !admitted.request.is_empty())
            else {
                continue;
            };
            let mut fields = Fields::new();
            let head = parse(&admitted.request, &mut fields, &shared.limits);
            let peer = Peer { principal: admitted.transport.clone(), ..conn.peer.clone() };
            let principal = head.ok().and_then(|head| ask(hook, &head, &peer).ok());
            if principal.is_none() || principal != conn.peer.principal {
                denied.push(key);
            }
        }
        denied.into_iter().for_each(|key| self.close(key));
    }
}

/// The second boundary where a panic of a user's code is caught: it lets nobody in.
fn ask(hook: &mut Authorize, head: &Head<'_>, peer: &Peer) -> Result<Principal, Denied> {
    if matches!(head.single("authorization"), Single::Several) {
        return Err(Denied::malformed("Authorization is sent more than once; send it once"));
    }
    catch_unwind(AssertUnwindSafe(|| hook(&HttpRequest::new(head, peer))))
        .unwrap_or_else(|_| Err(Denied::failed()))
}

/// The body has the form that SDK servers give it, on every route: MCP leaves it open.
fn denial(denied: &Denied, head: &Head<'_>, settings: &Settings) -> Answer {
    let mut body = Vec::new();
    let mut object = Object::new(&mut body);
    object.str("error", denied.error()).str("error_description", denied.description());
    object.end();
    let answer =
        Answer { status: denied.status(), content_type: Some(JSON.into()), body, ..Answer::default() };
    if denied.status() >= 500 {
        return answer;
    }
    let path = routes::relative(head.path, settings);
    // What is posted there belongs to a stream.
    let path = if path == settings.message_path { &settings.sse_path } else { path };
    let resource = settings.resource.as_ref();
    let metadata = resource.map(|own| own.served_at(path, settings).unwrap_or_else(|| own.clone()).url());
    // Who has no token that is good asks for one with the scopes that there are (MCP 2025-11-25, authorization).
    let scopes = resource.filter(|resource| denied.status() == 401 && !resource.scopes.is_empty());
    let scope = scopes.map(|resource| resource.scopes.join(" "));
    answer.header("WWW-Authenticate", denied.challenge(metadata.as_deref(), scope.as_deref()))
}

/// The metadata documents (RFC 9728 §3): that of the resource as it was configured, and those of the paths that clients
/// connect to, where clients look for them. A client that has no token yet must be able to read them, and to learn that they
/// are not there.
fn metadata(head: &Head<'_>, settings: &Settings) -> Option<Answer> {
    let path = routes::relative(head.path, settings);
    let suffix = path.strip_prefix(WELL_KNOWN).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let resource = settings.resource.as_ref().and_then(|own| asked_for(suffix, own, settings));
    Some(match (resource, head.method) {
        (None, _) => routes::nothing_here(head, settings),
        (Some(resource), "GET" | "HEAD") => {
            let body = resource.document().into_bytes();
            let answer = Answer { status: 200, content_type: Some(JSON.into()), body, ..Answer::default() };
            answer.header("Cache-Control", "no-store")
        }
        (Some(_), method) => routes::not_allowed(method, path, "GET, HEAD"),
    })
}

/// The resource whose document is at that place: the well-known path, and after it the path of the resource as clients know it,
/// or as this server does where a proxy has taken away what comes before.
fn asked_for(suffix: &str, own: &ProtectedResource, settings: &Settings) -> Option<ProtectedResource> {
    if suffix.is_empty() || suffix == own.path() {
        return Some(own.clone());
    }
    let here = routes::relative(suffix, settings);
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
