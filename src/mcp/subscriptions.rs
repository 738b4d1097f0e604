//! Subscriptions of sessions to resources (MCP resources, up to 2025-11-25).
//!
//! *Scope:* who wants to hear of which resource. *Not in scope:* streams of clients without sessions (`listen`).

use std::collections::{BTreeMap, BTreeSet};

use crate::mcp::{Audience, Outbox, Outgoing, SessionKey, Slot};

/// Who wants to hear of which resource.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_uri: BTreeMap<Box<str>, BTreeSet<SessionKey>>,
    by_session: BTreeMap<SessionKey, BTreeSet<Box<str>>>,
    pub(crate) held_bytes: usize,
}

impl Subscriptions {
    /// Says whether there was room. Subscribing twice is once.
    pub(crate) fn add(&mut self, session: SessionKey, uri: &str, max: usize) -> bool {
        let own = self.by_session.entry(session).or_default();
        if own.len() >= max && !own.contains(uri) {
            return false;
        }
        if own.insert(uri.into()) {
            self.held_bytes += held_by(uri);
        }
        self.by_uri.entry(uri.into()).or_default().insert(session);
        true
    }

    pub(crate) fn remove(&mut self, session: SessionKey, uri: &str) {
        if let Some(own) = self.by_session.get_mut(&session) {
            if own.remove(uri) {
                self.held_bytes -= held_by(uri);
            }
            if own.is_empty() {
                self.by_session.remove(&session);
            }
        }
        self.remove_from_uri(session, uri);
    }

    fn remove_from_uri(&mut self, session: SessionKey, uri: &str) {
        if let Some(sessions) = self.by_uri.get_mut(uri) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.by_uri.remove(uri);
            }
        }
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.by_session.iter().map(|(session, own)| (*session, own.iter().map(|uri| held_by(uri)).sum()))
    }

    /// Tells those who subscribed to the resource; `None`: so many were updated that all may have been.
    pub(crate) fn updated(&self, uri: Option<&str>, method: &str, out: &mut Outbox) {
        let heard: Vec<_> = match uri {
            Some(uri) => self.by_uri.get_key_value(uri).into_iter().collect(),
            None => self.by_uri.iter().collect(),
        };
        for (uri, sessions) in heard {
            for session in sessions {
                let kind = Outgoing::Latest(Audience::One(*session), Slot::Updated(uri.clone()));
                out.notify(kind, method, |params| {
                    params.str("uri", uri);
                });
            }
        }
    }

    pub(crate) fn forget(&mut self, session: SessionKey) {
        for uri in self.by_session.remove(&session).unwrap_or_default() {
            self.held_bytes -= held_by(&uri);
            self.remove_from_uri(session, &uri);
        }
    }
}

/// Roughly the memory of one subscription: the URI is kept by session and by URI.
fn held_by(uri: &str) -> usize {
    2 * uri.len() + 128
}
