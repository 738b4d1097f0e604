//! What the service keeps for clients without sessions (MCP 2026-07-28): keys, listeners, and requests to listen.
//!
//! *Scope:* [`StatelessState`]. *Not in scope:* what is done with it (`stateless`, `listening`).

use std::time::Duration;

use crate::protocol::state_key::{Seal, StateKey};
use crate::runtime::listen::Listens;
use crate::runtime::probing::Probing;
use crate::server::builder::Server;
use crate::service::keys::SessionKey;

/// What the service keeps for clients without sessions.
pub(crate) struct StatelessState {
    /// The `_meta` of every result.
    pub(crate) meta: String,
    pub(crate) seal: Seal,
    pub(crate) listens: Listens,
    pub(crate) probing: Probing,
}

impl StatelessState {
    /// `key` seals what clients carry for the server, unless the server has a key of its own.
    pub(crate) fn new(server: &Server, key: StateKey) -> StatelessState {
        let [current, previous] = server.state_keys;
        StatelessState {
            meta: server.info.result_meta(),
            seal: Seal { current: current.unwrap_or(key), previous },
            listens: Listens::default(),
            probing: Probing::default(),
        }
    }

    /// The request of that session is over.
    pub(crate) fn forget(&mut self, session: SessionKey) {
        self.listens.forget(session);
        self.probing.forget(session);
    }

    /// Decisions left for the next turn are due at once.
    pub(crate) fn due(&self) -> Option<Duration> {
        (!self.probing.judged.is_empty()).then_some(Duration::ZERO)
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.listens.held_bytes() + self.probing.held_bytes()
    }

    pub(crate) fn held_by_session(&self) -> impl Iterator<Item = (SessionKey, usize)> {
        self.listens.held_by_session().chain(self.probing.held_by_session())
    }
}
