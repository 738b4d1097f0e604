//! The requests that have no response yet.
//!
//! *Scope:* [`PendingRequest`]. *Not in scope:* when calls begin and end (`core`).

use crate::engine::state::streams::ANSWER_BYTES;
use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::keys::CallKey;
use crate::slab::Key;

/// One request that waits for its result.
pub(crate) struct PendingRequest {
    pub(crate) session: Key,
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
    /// The memory that the engine keeps for one: a peer can make its id as long as a message, and the answer to a POST is a
    /// stream of its own.
    pub(crate) fn held_bytes(id: &Id, by_post: bool) -> usize {
        let id = match id {
            Id::Int(_) => 0,
            Id::Str(text) => text.len() + BLOCK_OVERHEAD_BYTES,
        };
        size_of::<PendingRequest>() + id + if by_post { ANSWER_BYTES } else { 0 }
    }
}
