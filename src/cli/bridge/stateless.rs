//! Clients of 2026-07-28, served by a child that begins with `initialize`.
//!
//! *Scope:* removing from requests what older children do not know, and adding to results what these clients need. *Not in scope:*
//! questions (`rounds`), `subscriptions/listen` (`listens`).
//!
//! ```text
//!  server/discover ──▶ what the child has answered to `initialize`
//!  initialize, ping, logging/setLevel, resources/subscribe … ──▶ −32601: this revision has none
//!  any other ──▶ _meta without the client's description ──▶ the child ──▶ resultType, cache hints, serverInfo are added
//! ```
//!
//! Requests of a principal go to one child. Only a call whose client can be asked something has a child to itself as long as it is
//! open, because nothing else tells whose question it is that a child asks: then others go to a second one.

use super::child::Era;
use super::options::Isolation;
use super::service::{Awaiting, Bridge};
use super::tables::{Group, Lone, Owner, Pending};
use crate::cli::bounds::PRINCIPAL_CHILDREN_MAX;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::protocol::cache::CacheHint;
use crate::protocol::client_info::Capabilities;
use crate::protocol::meta_names::{SERVER_INFO, named_by};
use crate::protocol::revision::Revision;
use crate::runtime::stateless::seal::{Binding, SealedRequest};
use crate::service::ServiceRequest;
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::slab::Key;
use crate::text::printable;

/// Methods that 2026-07-28 does not have any more.
const REMOVED: [&str; 5] =
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

impl Bridge {
    pub(super) fn take_stateless(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        if REMOVED.contains(&request.method) {
            return Err(Error::method_not_found(&printable(request.method)));
        }
        let able = session.client().map_or(Capabilities::NONE, |client| client.capabilities);
        let asks = named_by(request.method).is_some();
        let state = if asks { request.member("requestState")? } else { None };
        if let Some(state) = state
            && !self.is_state_of_child(request, session, state)
        {
            return self.take_round(request, session, state, out);
        }
        self.check_headers(request)?;
        // What listens stays with one child.
        let group = match request.method {
            "server/discover" | "subscriptions/listen" => match self.owner(request.session, session) {
                Owner::Shared(group) => group,
                Owner::Session(_) => Group::default(),
            },
            _ => self.group(session, asks && able != Capabilities::NONE),
        };
        let child = match self.child_for(&Owner::Shared(group)) {
            Ok(child) => child,
            Err(reason) => {
                out.busy(request.call, &reason);
                return Ok(());
            }
        };
        match request.method {
            "server/discover" => {
                self.await_description(child, Awaiting::Discover(request.call), out);
                Ok(())
            }
            "subscriptions/listen" => self.listen(child, request, out),
            _ => {
                if let Some(level) = session.log_level() {
                    self.lower_level(child, level);
                }
                let digest = match able == Capabilities::NONE || !asks {
                    true => [0; 16],
                    false => Binding::Live(self.seal, sealed(request, session)).digest(),
                };
                let able = if asks { able } else { Capabilities::NONE };
                let level = session.log_level();
                let lone =
                    Lone { digest, able, level, is_cached: is_cached(request.method), suspended: None };
                self.forward(child, request, Some(lone), out)?;
                // Not if it was refused: then it comes again.
                if let Some(state) = state.and_then(JsonRef::as_str)
                    && self.calls.get(&request.call).is_some()
                    && let Some(child) = self.pool.get_mut(child)
                {
                    child.states.forget(&state);
                }
                Ok(())
            }
        }
    }

    /// True if a child of 2026-07-28 has made that state, which goes back to it as it is.
    fn is_state_of_child(&self, request: &ServiceRequest<'_>, session: &Session, state: JsonRef<'_>) -> bool {
        let own = state.as_str().and_then(|state| self.seal.open(&sealed(request, session), &state));
        self.is_stateless && !self.refuses_discover && own.is_none()
    }

    /// Whose child a request goes to.
    fn group(&self, session: &Session, can_be_asked: bool) -> Group {
        if self.options.isolation == Isolation::Shared {
            return Group::default();
        }
        let lane = |lane| Group { principal: session.principal().cloned(), lane };
        let room = self.pool.len() < self.options.children_max;
        let is_free = |group: &Group| {
            let child = self.shared.get(group).and_then(|place| self.pool.get(place.child?));
            child.map_or(room, |child| match can_be_asked {
                true => child.is_idle(),
                false => !child.pending.values().any(Pending::can_be_asked),
            })
        };
        // There a question belongs to its call.
        let first = self.shared.get(&lane(0)).and_then(|place| self.pool.get(place.child?));
        if first
            .map_or(self.is_stateless && !self.refuses_discover, |child| child.era == Some(Era::Stateless))
        {
            return lane(0);
        }
        // If all have a call whose client can be asked, the first one is shared: there a question is asked only if it is sure whose
        // it is.
        (0..PRINCIPAL_CHILDREN_MAX).map(lane).find(is_free).unwrap_or_else(|| lane(0))
    }

    /// Appends a child's result with the members that all results have since 2026-07-28.
    pub(super) fn complete(&self, key: Key, result: JsonRef<'_>, is_cached: bool, out: &mut Vec<u8>) {
        let Ok(members) = Members::of(result) else {
            return out.extend_from_slice(result.text().as_bytes());
        };
        let info = self.pool.get(key).and_then(|child| child.info.as_deref());
        let mut object = Object::new(out);
        for (name, value) in members.iter().filter(|(name, _)| name != "_meta") {
            object.raw(&name, value.text());
        }
        if members.get("resultType").is_none() {
            object.str("resultType", "complete");
        }
        if is_cached && members.get("ttlMs").is_none() {
            CacheHint::default().write(&mut object);
        }
        let meta = members.get("_meta").and_then(|meta| Members::of(meta).ok()).unwrap_or_default();
        write_meta(&mut object, &meta, info);
    }

    /// Appends the answer to `server/discover`.
    pub(super) fn discovered(described: &str, out: &mut Vec<u8>) {
        let mut tape = Tape::new();
        let described = tape.read(described).ok();
        let member = |name: &str| described.and_then(|described| described.get(name));
        let mut object = Object::new(out);
        object.field("supportedVersions", |out| {
            Array::new(out).str(Revision::V2026_07_28.name());
        });
        object.raw("capabilities", member("capabilities").map_or("{}", JsonRef::text));
        if let Some(instructions) = member("instructions") {
            object.raw("instructions", instructions.text());
        }
        object.str("resultType", "complete");
        CacheHint::default().write(&mut object);
        write_meta(&mut object, &Members::default(), member("serverInfo").map(JsonRef::text));
    }
}

/// The request that a state is sealed for.
pub(super) fn sealed<'a>(request: &ServiceRequest<'a>, session: &'a Session) -> SealedRequest<'a> {
    SealedRequest { method: request.method, params: request.params, principal: session.principal() }
}

/// True if results of the method say how long they may be kept.
fn is_cached(method: &str) -> bool {
    method.ends_with("/list") || method == "resources/read"
}

pub(super) fn write_meta(object: &mut Object<'_>, meta: &Members<'_>, info: Option<&str>) {
    object.field("_meta", |out| {
        let mut object = Object::new(out);
        for (name, value) in meta.iter() {
            object.raw(&name, value.text());
        }
        if let Some(info) = info.filter(|_| meta.get(SERVER_INFO).is_none()) {
            object.raw(SERVER_INFO, info);
        }
    });
}
