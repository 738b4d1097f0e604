//! Requests to listen that wait until the handlers of their resources have been asked.
//!
//! *Scope:* [`Probing`]: which handlers are still to be asked, and what the others have said. *Not in scope:* asking them
//! (`permit`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::jsonrpc::id::Id;
use crate::runtime::listen::{Filter, Watched};
use crate::server::context::Context;
use crate::service::keys::{CallKey, SessionKey};

/// Requests to listen that wait for what handlers say.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    pub(crate) open: BTreeMap<CallKey, Probe>,
    /// What handlers have said, the first one first: one is taken up in a turn.
    pub(crate) judged: VecDeque<Judged>,
}

#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) session: SessionKey,
    pub(crate) id: Id,
    pub(crate) context: Context<'static>,
    /// With the URIs that the client may listen to, so far.
    pub(crate) filter: Filter,
    pub(crate) asked: Option<Watched>,
    /// Not asked yet, the last one first.
    pub(crate) waiting: Vec<Watched>,
    /// How many were asked: runs of one call are told apart by this.
    pub(crate) runs: u32,
    /// For all of its URIs together: those that have no answer by then are not promised.
    pub(crate) deadline: Duration,
}

#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) call: CallKey,
    pub(crate) permitted: bool,
    /// The handler was given up: to go on would be to take its worker's place.
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
    /// The session ended, or the request that stands for one.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        self.open.retain(|_, probe| probe.session != session);
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.open.values().map(Probe::held_bytes).sum()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.open.values().map(|probe| (probe.session, probe.held_bytes()))
    }
}
