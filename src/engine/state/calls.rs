//! The requests that have no response yet.
//!
//! *Scope:* [`PendingRequest`]. *Not in scope:* when calls begin and end (`core`).

use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::keys::CallKey;
use crate::slab::Key;

/// One request that waits for its result.
pub(crate) struct PendingRequest {
    /// The session among whose calls it is.
    pub(crate) session: Key,
    /// What stands in for its session, if it has none and shares a connection of lines with others.
    #[cfg(feature = "stateless")]
    pub(crate) lone: Option<Key>,
    pub(crate) id: Id,
    /// The stream that its result goes to; the key is dead if that is gone.
    pub(crate) stream: Key,
    /// It is being cancelled: a result that comes now comes too late.
    pub(crate) cancelled: bool,
    /// The next one of its session.
    pub(crate) next: Option<CallKey>,
    pub(crate) charge: Charge,
}

impl PendingRequest {
    /// The session that the service knows it by.
    pub(crate) fn service_session(&self) -> Key {
        #[cfg(feature = "stateless")]
        if let Some(lone) = self.lone {
            return lone;
        }
        self.session
    }

    /// Returns the memory that the engine keeps for one, whose id may be as long as a message, and `besides`.
    pub(crate) fn held_bytes(id: &Id, besides: usize) -> usize {
        let id = match id {
            Id::Int(_) => 0,
            Id::Str(text) => text.len() + BLOCK_OVERHEAD_BYTES,
        };
        size_of::<PendingRequest>() + id + besides
    }
}
