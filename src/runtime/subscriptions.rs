//! Subscriptions of sessions to resources (MCP resources, up to 2025-11-25).
//!
//! *Scope:* which session has subscribed to which resource. *Not in scope:* streams of clients without sessions (`listen`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::access::peer::Principal;
use crate::key_map::KeyMap;
use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::protocol::kinds::UPDATED;
use crate::protocol::uri::normal::normalize;
use crate::runtime::announcing::SubscriptionPlace;
use crate::server::builder::Server;
use crate::service::keys::SessionKey;
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};

/// The subscriptions of all sessions, by URIs in normal form.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// One map for all, since a set for each URI would have room for eleven sessions where most have one. The value is the URI
    /// as the client wrote it, if that is another text: clients compare with it.
    by_uri: BTreeMap<(Arc<str>, SessionKey), Option<Box<str>>>,
    by_session: KeyMap<SessionKey, Own>,
    uris_bytes: usize,
}

/// The subscriptions of one session.
#[derive(Debug, Default)]
struct Own {
    principal: Option<Principal>,
    uris: BTreeSet<Arc<str>>,
}

impl Subscriptions {
    /// True if the session may subscribe to this resource, or has.
    pub(crate) fn has_room(&self, session: SessionKey, uri: &str, max: usize) -> bool {
        let own = self.by_session.get(&session);
        own.map_or(0, |own| own.uris.len()) < max
            || own.is_some_and(|own| own.uris.contains(&*normalize(uri)))
    }

    /// Adds a subscription. Returns false if there is no room. Of two to one resource the newer spelling counts.
    pub(crate) fn add(
        &mut self,
        session: SessionKey,
        uri: &str,
        principal: Option<&Principal>,
        max: usize,
    ) -> bool {
        if !self.has_room(session, uri, max) {
            return false;
        }
        let normal = normalize(uri);
        let mut own = self.by_session.remove(&session).unwrap_or_default();
        own.principal = principal.cloned();
        let normal: Arc<str> = own.uris.get(&*normal).cloned().unwrap_or_else(|| (&*normal).into());
        own.uris.insert(normal.clone());
        self.by_session.insert(session, own);
        let spelling = (*normal != *uri).then(|| uri.into());
        self.uris_bytes += held_by(&normal, spelling.as_deref());
        let key = (normal, session);
        self.remove_from_uri(&key);
        self.by_uri.insert(key, spelling);
        true
    }

    pub(crate) fn remove(&mut self, session: SessionKey, uri: &str) {
        let Some(own) = self.by_session.get_mut(&session) else { return };
        let uri = own.uris.take(&*normalize(uri));
        if own.uris.is_empty() {
            self.by_session.remove(&session);
        }
        uri.into_iter().for_each(|uri| self.remove_from_uri(&(uri, session)));
    }

    fn remove_from_uri(&mut self, key: &(Arc<str>, SessionKey)) {
        if let Some(spelling) = self.by_uri.remove(key) {
            self.uris_bytes -= held_by(&key.0, spelling.as_deref());
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.by_session.len() * HELD_BY_SESSION_BYTES + self.uris_bytes
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        let of_uri = |uri: &Arc<str>, session: SessionKey| {
            let spelling = self.by_uri.get(&(uri.clone(), session));
            held_by(uri, spelling.and_then(|spelling| spelling.as_deref()))
        };
        self.by_session.iter().map(move |(session, own)| {
            (
                *session,
                HELD_BY_SESSION_BYTES + own.uris.iter().map(|uri| of_uri(uri, *session)).sum::<usize>(),
            )
        })
    }

    /// The resource of this URI in normal form was updated; `None` if any may have been. Subscribers are notified if they see it
    /// and the server's `permit` allows it: only those of one principal, if there is one, and only those after `last`, if that is
    /// given. Returns the last one if the outbox is full.
    pub(crate) fn updated(
        &self,
        uri: Option<&str>,
        only: Option<&Principal>,
        last: Option<SubscriptionPlace>,
        server: &mut Server,
        out: &mut Outbox,
    ) -> Option<SubscriptionPlace> {
        let known = uri.map(|uri| server.registry.viewers_of(uri));
        let first = match last {
            Some(last) => Excluded(last),
            None => Included((uri.unwrap_or_default().into(), SessionKey::LEAST)),
        };
        let wanted = |heard: &str| uri.is_none_or(|uri| uri == heard);
        let rest = self.by_uri.range((first, Unbounded));
        for (key, spelling) in rest.take_while(|((heard, _), _)| wanted(heard)) {
            let (uri, session) = key;
            let principal = self.by_session.get(session).and_then(|own| own.principal.as_ref());
            if only.is_some_and(|only| principal != Some(only)) || !server.still_permits(uri, principal) {
                continue;
            }
            let viewers = known.clone().unwrap_or_else(|| server.registry.viewers_of(uri));
            let uri = spelling.as_deref().unwrap_or(uri);
            let kind = Outgoing::Latest(Audience::One(*session), Slot::Updated(uri.into()));
            out.notify_viewers(&viewers, kind, UPDATED, |params| {
                params.str("uri", uri);
            });
            if out.is_full() {
                return Some(key.clone());
            }
        }
        None
    }

    pub(crate) fn forget(&mut self, session: SessionKey) {
        for uri in self.by_session.remove(&session).unwrap_or_default().uris {
            self.remove_from_uri(&(uri, session));
        }
    }
}

/// The least bytes that a session's set and its place in the map take: measured, with one URI each.
const HELD_BY_SESSION_BYTES: usize = 256;

/// The bytes of one subscription: the text, which set and map share, its places in them, and the client's spelling. 136
/// bytes besides the text were measured where URIs come in order, which leaves half of the places free, before a place had
/// room for a spelling: that is two words, of which half may be free.
fn held_by(uri: &str, spelling: Option<&str>) -> usize {
    uri.len() + 176 + spelling.map_or(0, |spelling| spelling.len() + BLOCK_OVERHEAD_BYTES)
}
