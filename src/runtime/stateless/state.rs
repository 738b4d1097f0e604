//! What the service keeps for clients without sessions (MCP 2026-07-28): keys, listeners, and requests to listen.
//!
//! *Scope:* [`StatelessState`]. *Not in scope:* what is done with it (`stateless`, `listening`).

use crate::protocol::state_key::{Seal, StateKey};
use crate::runtime::stateless::listen::Listens;
use crate::runtime::stateless::probing::Probing;
use crate::server::builder::Server;

/// What the service keeps for clients without sessions.
pub(crate) struct StatelessState {
    /// The `_meta` of every result.
    pub(crate) meta: String,
    pub(crate) seal: Seal,
    pub(crate) listens: Listens,
    pub(crate) probing: Probing,
}

impl StatelessState {
    /// `key` seals what clients carry for the server, unless the server has a key of its own. `mount` is where the server is mounted.
    pub(crate) fn new(server: &Server, mount: Option<&str>, key: StateKey) -> StatelessState {
        let [current, previous] = server.state_keys;
        StatelessState {
            meta: server.info.result_meta(),
            seal: Seal { current: current.unwrap_or(key), previous }.of_server(&server.info.name, mount),
            listens: Listens::default(),
            probing: Probing::default(),
        }
    }
}
