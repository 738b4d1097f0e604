//! The data of one request that has no response yet.
//!
//! *Scope:* [`OpenCall`]. *Not in scope:* when calls begin and end (`core`).

use crate::engine::state::replay::StreamId;
use crate::engine::state::streams::{ANSWER_BYTES, Post};
use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::keys::CallKey;
use crate::slab::Key;

/// One request that waits for its result.
pub(crate) struct OpenCall {
    pub(crate) session: Key,
    pub(crate) id: Id,
    /// The connection whose POST waits for the result, over Streamable HTTP.
    pub(crate) post: Option<Key>,
    /// The stream that the answer to that POST has become, if it can be resumed.
    pub(crate) stream: Option<StreamId>,
    /// It is being cancelled: a result that comes now comes too late.
    pub(crate) cancelled: bool,
    pub(crate) next: Option<CallKey>,
    pub(crate) charge: Charge,
}

impl OpenCall {
    /// The memory that the engine keeps for one: a peer can make its id as long as a message, and the answer to a POST may
    /// become a stream that can be resumed.
    pub(crate) fn held_bytes(id: &Id, by_post: bool) -> usize {
        let id = match id {
            Id::Int(_) => 0,
            Id::Str(text) => text.len() + BLOCK_OVERHEAD_BYTES,
        };
        let answer = size_of::<Post>() + BLOCK_OVERHEAD_BYTES + ANSWER_BYTES;
        size_of::<OpenCall>() + id + if by_post { answer } else { 0 }
    }
}
