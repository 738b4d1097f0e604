//! Subscriptions of sessions to resources (MCP resources, up to 2025-11-25).
//!
//! *Scope:* who wants to hear of which resource. *Not in scope:* streams of clients without sessions (`listen`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::mcp::{Audience, Outbox, Outgoing, SessionKey, Slot};

/// Who wants to hear of which resource.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// One set of all, since a set for each URI would have room for eleven sessions where most have one.
    by_uri: BTreeSet<(Arc<str>, SessionKey)>,
    by_session: BTreeMap<SessionKey, BTreeSet<Arc<str>>>,
    uris_bytes: usize,
}

impl Subscriptions {
    /// Says whether there was room. Subscribing twice is once.
    pub(crate) fn add(&mut self, session: SessionKey, uri: &str, max: usize) -> bool {
        let own = self.by_session.entry(session).or_default();
        if own.contains(uri) {
            return true;
        }
        if own.len() >= max {
            return false;
        }
        let uri: Arc<str> = uri.into();
        self.uris_bytes += held_by(&uri);
        own.insert(uri.clone());
        self.by_uri.insert((uri, session));
        true
    }

    pub(crate) fn remove(&mut self, session: SessionKey, uri: &str) {
        let Some(own) = self.by_session.get_mut(&session) else { return };
        let uri = own.take(uri);
        if own.is_empty() {
            self.by_session.remove(&session);
        }
        uri.into_iter().for_each(|uri| self.remove_from_uri(session, uri));
    }

    fn remove_from_uri(&mut self, session: SessionKey, uri: Arc<str>) {
        self.uris_bytes -= held_by(&uri);
        self.by_uri.remove(&(uri, session));
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.by_session.len() * HELD_BY_SESSION_BYTES + self.uris_bytes
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        let uris = |own: &BTreeSet<Arc<str>>| own.iter().map(|uri| held_by(uri)).sum::<usize>();
        self.by_session.iter().map(move |(session, own)| (*session, HELD_BY_SESSION_BYTES + uris(own)))
    }

    /// Tells those who subscribed to the resource; `None`: so many were updated that all may have been.
    pub(crate) fn updated(&self, uri: Option<&str>, method: &str, out: &mut Outbox) {
        let first = (uri.unwrap_or_default().into(), SessionKey::LEAST);
        let wanted = |heard: &str| uri.is_none_or(|uri| uri == heard);
        for (uri, session) in self.by_uri.range(first..).take_while(|(heard, _)| wanted(heard)) {
            let kind = Outgoing::Latest(Audience::One(*session), Slot::Updated((&**uri).into()));
            out.notify(kind, method, |params| {
                params.str("uri", uri);
            });
        }
    }

    pub(crate) fn forget(&mut self, session: SessionKey) {
        for uri in self.by_session.remove(&session).unwrap_or_default() {
            self.remove_from_uri(session, uri);
        }
    }
}

/// The least that a session's set and its place in the map take: measured, with one URI each.
const HELD_BY_SESSION_BYTES: usize = 256;

/// The memory of one subscription: the text, which two sets share, and its places in them. 136 bytes besides the text were
/// measured where URIs come in order, which leaves half of the places free.
fn held_by(uri: &str) -> usize {
    uri.len() + 144
}
