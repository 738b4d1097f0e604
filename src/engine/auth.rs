//! The principal of a request: found at its head, and checked again when tokens may have been withdrawn.
//!
//! *Scope:* when the hook of [`Server::authorize`](crate::Server::authorize) is asked, and the metadata documents, which are open
//! to all. *Not in scope:* the hook and its denials (`access::auth`), whose a session is (`core::sessions` compares).
//!
//! ```text
//!  head ─▶ metadata document? ─▶ hook ─┬─ Ok ──▶ principal of this request
//!            200, 404                  ├─ Err ─▶ 401, 403, 400; the body stays unread
//!                                      └─ panic ▶ 500
//!
//!  a hook that answers later:
//!  head ─▶ hook ─▶ the head is put back, and the connection waits ─┬─ Admission ─────────▶ the head is read again, as above
//!                                                                  ├─ authorize_timeout ─▶ the same, with 503
//!                                                                  ├─ authorizing_max ───▶ the newest of the holder with most: 503
//!                                                                  └─ the peer is gone ──▶ the answer finds nothing
//!
//!  Handle::reauthorize ─┬▶ hook, with the request of each open stream ── Err, or another principal ──▶ closed
//!                       └▶ hook, for a body that was being received, once it is whole ── the same ──▶ 401, 403, 400
//! ```
//!
//! A connection may carry requests of several principals, one after the other: `Connection::peer` has that of the current one.

use crate::access::auth::denial::denial;
use crate::access::auth::hook::{Denied, ask};
use crate::access::auth::resource::{ProtectedResource, WELL_KNOWN};
use crate::access::fairness::{self, Claim, Holder};
use crate::access::peer::Peer;
use crate::access::settings::{self, Settings};
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::refusals;
use crate::engine::state::auth::{Admitted, Asked, Auth, Purpose};
use crate::engine::state::connections::{Connection, Connections};
use crate::http::conn::close::CloseReason;
use crate::http::head::{Fields, Head, Version, parse};
use crate::http::response::{JSON, OwnedResponse};
use crate::key_map::KeyMap;
use crate::server::admission::{AuthorizeHook, Verdict, ask_later};
use crate::slab::Key;

/// Returns the request that gives way to the one that asks, by number: of the holder with most that wait the newest. `None` if that is
/// the one that asks.
fn first_to_give_way(waiting: &KeyMap<u64, Asked>, connections: &Connections, asking: Key) -> Option<u64> {
    let claim = |key: Option<u64>, conn| {
        let conn: &Connection = connections.get(conn)?;
        let order = u64::MAX - key.unwrap_or(u64::MAX);
        let (holder, proven) = (Holder::of(&conn.peer), conn.is_proven());
        Some(Claim { key, holder, proven, amount: 1, harm: 0, session: None, order })
    };
    let requests = waiting.iter().filter(|(_, asked)| asked.purpose == Purpose::Request);
    let claims = requests.filter_map(|(number, asked)| claim(Some(*number), asked.conn));
    let claims: Vec<_> = claims.chain(claim(None, asking)).collect();
    fairness::first_to_give_way(&claims).flatten()
}

impl Engine {
    /// True if a hook authorizes requests.
    pub fn authenticates(&self) -> bool {
        self.auth.hook.is_some()
    }

    /// Sets the principal of the request. Returns false if the request has to wait for an answer of the hook. `mount` and `path` are
    /// what `split` makes of the path.
    ///
    /// # Errors
    /// The response to a request that is denied, or for a metadata document.
    pub(crate) fn authorize(
        &mut self,
        key: Key,
        head: &Head<'_>,
        (mount, path): (Option<usize>, &str),
    ) -> Result<bool, OwnedResponse> {
        match metadata(head, path, &self.core.settings) {
            Some(document) => Err(document),
            // A principal of the request before on this connection is not that of this one.
            None if mount.is_none() && self.core.routes.is_public(head.method, path) => {
                let conn = self.core.connections.get_mut(key);
                if let Some(conn) = conn
                    && let Some(admitted) = &conn.admitted
                {
                    conn.peer.principal = admitted.transport.clone();
                }
                Ok(true)
            }
            None => self.identify(key, head),
        }
    }

    fn identify(&mut self, key: Key, head: &Head<'_>) -> Result<bool, OwnedResponse> {
        if self.auth.hook.is_none() {
            return Ok(true);
        }
        let max = self.core.limits().authorizing_max;
        if self.auth.requests() >= max {
            // Those whose peers are gone take no places.
            let connections = &self.core.connections;
            self.auth.keep(|asked| connections.get(asked.conn).is_some_and(|conn| !conn.is_closing()));
        }
        let is_full = self.auth.requests() >= max;
        let number = self.auth.next_number();
        let Engine { auth: Auth { hook, rounds, waiting, .. }, core, mailbox, .. } = self;
        let until = core.now().mono.saturating_add(core.limits().authorize_timeout);
        let Core { connections, settings, held, .. } = core;
        let (Some(hook), Some(conn)) = (hook, connections.get_mut(key)) else { return Ok(true) };
        let admitted = conn
            .admitted
            .get_or_insert_with(|| Box::new(Admitted::new(conn.peer.principal.clone(), held.charge(0))));
        // An answer from before the last call of `reauthorize` does not count.
        let known = admitted.verdict.take().filter(|_| admitted.asked_at == *rounds);
        admitted.asked_at = *rounds;
        // The principal of the previous request does not count.
        conn.peer.principal = admitted.transport.clone();
        let gives_way = if is_full { first_to_give_way(waiting, connections, key) } else { None };
        let Some(conn) = connections.get_mut(key) else { return Ok(true) };
        let peer = &mut conn.peer;
        let verdict = match (hook, known) {
            (_, Some(verdict)) => verdict,
            (AuthorizeHook::Now(hook), None) => ask(hook, head, peer),
            (AuthorizeHook::Later(hook), None) => match ask_later(hook, head, peer, number, mailbox) {
                Ok(verdict) => verdict,
                Err(unanswered) if is_full && gives_way.is_none() => {
                    unanswered.give_up();
                    let reason =
                        format!("{max} requests wait for their authorization (limit authorizing_max)");
                    return Err(core.busy(&reason));
                }
                Err(unanswered) => {
                    conn.admitted.iter_mut().for_each(|admitted| admitted.waits_for = Some(number));
                    let purpose = Purpose::Request;
                    waiting.insert(number, Asked { unanswered, conn: key, until, purpose });
                    if let Some((number, asked)) =
                        gives_way.and_then(|first| Some((first, waiting.get_mut(&first)?)))
                    {
                        asked.unanswered.give_up();
                        asked.purpose = Purpose::Refused;
                        core.stats.busy += 1;
                        // In the next turn: this one serves another connection.
                        mailbox.ask_engine(|mail| mail.admissions.push((number, Err(Denied::crowded()))));
                    }
                    return Ok(false);
                }
            },
        };
        peer.principal = Some(verdict.map_err(|denied| denial(&denied, head, settings))?);
        Ok(true)
    }

    /// The hook has answered. What it was asked about may be gone.
    pub(crate) fn take_verdict(&mut self, number: u64, verdict: Verdict) {
        let Some(asked) = self.auth.waiting.remove(&number) else { return };
        let Core { connections, common, .. } = &mut self.core;
        let Some(conn) = connections.get_mut(asked.conn) else { return };
        if asked.purpose == Purpose::Stream {
            let is_same = verdict.is_ok_and(|principal| conn.peer.principal == Some(principal));
            // Another request may have come on this connection since, which was authorized by itself.
            let is_open = conn.admitted.as_ref().is_some_and(|admitted| !admitted.request().is_empty());
            if is_open && !is_same {
                connections.close(asked.conn, CloseReason::Revoked);
            }
            return;
        }
        let Some(admitted) = conn.admitted.as_mut().filter(|admitted| admitted.waits_for == Some(number))
        else {
            return;
        };
        admitted.waits_for = None;
        // Kept only for the request that waits for it.
        if conn.http.resume_head(common) {
            admitted.verdict = Some(verdict);
            self.turn(asked.conn, b"");
        }
    }

    /// What has waited too long is denied.
    pub(crate) fn expire_admissions(&mut self) {
        let now = self.core.now().mono;
        while let Some((number, asked)) = self.auth.waiting.first_key_value()
            && asked.until <= now
        {
            let number = *number;
            asked.unanswered.give_up();
            self.take_verdict(number, Err(Denied::late()));
        }
    }

    /// Calls the hook again for a request whose body is now complete, if `reauthorize` was called while the body was being
    /// received.
    pub(crate) fn ask_again(&mut self, key: Key, head: &Head<'_>) -> Result<(), OwnedResponse> {
        let Some(conn) = self.core.connections.get(key) else { return Ok(()) };
        if conn.admitted.as_ref().is_none_or(|admitted| admitted.asked_at == self.auth.rounds) {
            return Ok(());
        }
        if let Some(AuthorizeHook::Later(_)) = self.auth.hook {
            let reason = "what is authorized has changed while the body was received";
            return Err(self.core.busy(reason));
        }
        let before = conn.peer.principal.clone();
        self.identify(key, head)?;
        match self.core.connections.get(key).is_some_and(|conn| conn.peer.principal == before) {
            true => Ok(()),
            false => {
                let denied = Denied::invalid_token("the token now belongs to another principal");
                Err(denial(&denied, head, &self.core.settings))
            }
        }
    }

    /// Keeps the head of a request that leaves a stream or a response open, so that the hook can be called for it again.
    pub(crate) fn keep_request(&mut self, key: Key, head: &Head<'_>) {
        let Some(conn) = self.core.connections.get_mut(key) else { return };
        if let Some(admitted) = conn.admitted.as_mut().filter(|_| conn.stream.is_some()) {
            admitted.keep(text_of(head).into());
        }
    }

    /// Closes every stream, and every connection that waits for an answer, if the hook now denies its request or returns
    /// another principal. A request whose body is still being received is checked when the body is complete.
    pub(crate) fn reauthorize(&mut self) {
        self.auth.rounds += 1;
        let until = self.core.now().mono.saturating_add(self.core.limits().authorize_timeout);
        let Engine { auth, core, mailbox, .. } = self;
        // Of two questions about one stream the newer one counts.
        auth.keep(|asked| asked.purpose != Purpose::Stream);
        let Auth { hook: Some(hook), waiting, last, .. } = auth else { return };
        let mut denied = Vec::new();
        for (key, conn) in core.connections.iter() {
            let Some(admitted) = conn.admitted.as_ref().filter(|admitted| !admitted.request().is_empty())
            else {
                continue;
            };
            let mut fields = Fields::new();
            let head = parse(admitted.request(), &mut fields, core.limits());
            let peer = Peer { principal: admitted.transport.clone(), ..conn.peer.clone() };
            let verdict = match (head, &mut *hook) {
                (Err(_), _) => None,
                (Ok(head), AuthorizeHook::Now(hook)) => Some(ask(hook, &head, &peer)),
                (Ok(head), AuthorizeHook::Later(hook)) => {
                    *last += 1;
                    match ask_later(hook, &head, &peer, *last, mailbox) {
                        Ok(verdict) => Some(verdict),
                        Err(unanswered) => {
                            let purpose = Purpose::Stream;
                            waiting.insert(*last, Asked { unanswered, conn: key, until, purpose });
                            continue;
                        }
                    }
                }
            };
            let principal = verdict.and_then(Verdict::ok);
            if principal.is_none() || principal != conn.peer.principal {
                denied.push(key);
            }
        }
        denied.into_iter().for_each(|key| core.connections.close(key, CloseReason::Revoked));
    }
}

/// The metadata documents (RFC 9728 §3): that of the resource as it was configured, and those of the paths that clients connect
/// to, where clients look for them. A client without a token must be able to read them, and gets 404 where there is none.
pub(crate) fn metadata(head: &Head<'_>, path: &str, settings: &Settings) -> Option<OwnedResponse> {
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

/// Returns the resource whose document has this path: `suffix` is what follows the well-known path. It is the path of the
/// resource as clients know it, or as this server does behind a proxy that removes a prefix.
fn asked_for(suffix: &str, own: &ProtectedResource, settings: &Settings) -> Option<ProtectedResource> {
    if suffix.is_empty() || suffix == own.path() {
        return Some(own.clone());
    }
    let here = settings::split(suffix, settings);
    let mounts = (0..settings.mounts.len()).map(Some).chain([None]);
    let places = mounts.flat_map(|mount| [(mount, &*settings.mcp_path), (mount, &*settings.sse_path)]);
    places.into_iter().find_map(|place| {
        own.served_at(place, settings).filter(|served| here == place || suffix == served.path())
    })
}

/// Returns the head as text from which the same head can be parsed.
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
