//! Updates of resources on their way to those who hear of them, and the results that come after them: a part in each turn.
//!
//! *Scope:* what is still to be told, and how far that is. *Not in scope:* who hears of an update (`subscriptions`,
//! `stateless::listen`), and taking the mail (`mail`).
//!
//! ```text
//!  updates ──▶ next ──▶ current ──▶ outbox ── full ──▶ the rest in the next turn
//!                                     ▲
//!  results ──▶ finished ──────────────┘ once the updates before them are told
//! ```
//!
//! All subscribers of all resources at once would take as much memory as their subscriptions, and hold up all other clients.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::access::peer::Principal;
use crate::server::mailbox::WorkerResult;
use crate::service::keys::{CallKey, SessionKey};

/// The URI of a resource in normal form, and whose clients hear of it, if not all of them.
pub(crate) type Update = (String, Option<Principal>);

#[derive(Debug, Default)]
struct Updated {
    uris: BTreeSet<Update>,
    /// Any may have been updated. Then there are no others.
    all: bool,
}

impl Updated {
    fn is_empty(&self) -> bool {
        self.uris.is_empty() && !self.all
    }
}

/// A subscription: where the list of them goes on.
pub(crate) type SubscriptionPlace = (Arc<str>, SessionKey);

/// A listener, and how many of its URIs have been looked at: where the list of them goes on.
pub(crate) type ListenPlace = (SessionKey, usize);

/// How far the first one of the current updates has been told.
#[derive(Debug)]
pub(crate) enum Place {
    Subscriptions(Option<SubscriptionPlace>),
    Listens(Option<ListenPlace>),
}

/// What is still to be told.
#[derive(Debug)]
pub(crate) struct Announcing {
    current: Updated,
    pub(crate) place: Place,
    next: Updated,
    finished: VecDeque<WorkerResult>,
    /// Mail was left for the next turn.
    pub(crate) has_mail: bool,
}

impl Default for Announcing {
    fn default() -> Announcing {
        Announcing {
            current: Updated::default(),
            place: Place::Subscriptions(None),
            next: Updated::default(),
            finished: VecDeque::new(),
            has_mail: false,
        }
    }
}

impl Announcing {
    /// True if there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && !self.has_mail
    }

    /// True if nothing of earlier mail is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.finished.is_empty() && self.next.is_empty()
    }

    /// Adds updates: of more than `uris_max` resources, any may have been updated.
    pub(crate) fn add(&mut self, updates: impl Iterator<Item = Update>, all: bool, uris_max: usize) {
        let uris = &mut self.next.uris;
        // One that is for all comes before those of the same resource that are not, and includes them.
        for (uri, only) in updates {
            let key = (uri, None);
            if only.is_none() || !uris.contains(&key) {
                uris.insert((key.0, only));
            }
        }
        self.next.all |= all || self.next.uris.len() > uris_max;
        if self.next.all {
            self.next.uris.clear();
        }
    }

    /// Takes the next result, once the updates before it are told.
    pub(crate) fn pop_finished(&mut self) -> Option<WorkerResult> {
        self.finished.pop_front()
    }

    /// Returns the calls whose results wait, with what those hold.
    pub(crate) fn waiting_results(&self) -> impl Iterator<Item = (CallKey, usize)> {
        self.finished.iter().map(|result| (result.call, result.charge.bytes()))
    }

    /// Drops the results of a call that is over, and returns how many there were.
    pub(crate) fn forget_results(&mut self, call: CallKey) -> usize {
        let before = self.finished.len();
        self.finished.retain(|result| result.call != call);
        before - self.finished.len()
    }

    /// Adds results, which come after the updates that were added before.
    pub(crate) fn add_finished(&mut self, finished: Vec<WorkerResult>) {
        if self.current.is_empty() {
            self.current = std::mem::take(&mut self.next);
        }
        self.finished.extend(finished);
    }

    /// The update that is to be told: its URI, where none stands for any resource, and whose clients hear of it.
    pub(crate) fn first(&mut self) -> Option<(Option<String>, Option<Principal>)> {
        if self.current.is_empty() && self.finished.is_empty() {
            self.current = std::mem::take(&mut self.next);
        }
        match self.current.all {
            true => Some((None, None)),
            false => self.current.uris.first().cloned().map(|(uri, only)| (Some(uri), only)),
        }
    }

    /// The first update is told.
    pub(crate) fn told(&mut self) {
        self.place = Place::Subscriptions(None);
        if !std::mem::take(&mut self.current.all) {
            self.current.uris.pop_first();
        }
    }
}
