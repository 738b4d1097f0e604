//! Requests to listen that wait until the handlers of their resources have decided.
//!
//! *Scope:* [`Probing`]: which handlers have still to run, and what the others have decided. *Not in scope:* running them
//! (`permit`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::jsonrpc::id::Id;
use crate::key_map::KeyMap;
use crate::runtime::stateless::listen::{Filter, Watched};
use crate::server::context::Context;
use crate::service::keys::{CallKey, SessionKey};

/// Requests to listen that wait for handlers.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    pub(crate) open: KeyMap<CallKey, Box<Probe>>,
    /// Decisions of handlers, the oldest first. One is taken in a turn.
    pub(crate) decisions: VecDeque<Decision>,
}

#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) session: SessionKey,
    pub(crate) id: Id,
    pub(crate) context: Context<'static>,
    /// With the URIs that were permitted so far.
    pub(crate) filter: Filter,
    pub(crate) asked: Option<Watched>,
    /// URIs that are not decided yet, the last one first.
    pub(crate) waiting: Vec<Watched>,
    /// How many handlers have run: it numbers the runs of the call.
    pub(crate) runs: u32,
    /// For all of its URIs together. Those that are not decided by then are not promised.
    pub(crate) deadline: Duration,
}

#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) call: CallKey,
    pub(crate) permitted: bool,
    /// The handler was given up. The others are not run: each could block another worker.
    pub(crate) given_up: bool,
}

impl Probe {
    fn held_bytes(&self) -> usize {
        let uris = self.waiting.iter().chain(&self.asked);
        size_of::<Probe>()
            + self.context.headers.held_bytes()
            + self.filter.held_bytes()
            + uris.map(Watched::held_bytes).sum::<usize>()
    }
}

impl Probing {
    /// The session ended.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        self.open.retain(|_, probe| probe.session != session);
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.open.values().map(|probe| probe.held_bytes()).sum()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.open.values().map(|probe| (probe.session, probe.held_bytes()))
    }
}
