//! The data of one request that has no response yet.
//!
//! *Scope:* [`OpenCall`]. *Not in scope:* when calls begin and end (`core`).

use crate::engine::state::replay::StreamId;
use crate::engine::state::streams::{ANSWER_BYTES, Post};
use crate::jsonrpc::id::Id;
use crate::memory::BLOCK_OVERHEAD_BYTES;
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
}

impl OpenCall {
    /// The memory that the engine keeps for it: a peer can make its id as long as a message, and its answer may become a
    /// stream that can be resumed.
    pub(crate) fn held_bytes(&self) -> usize {
        let id = match &self.id {
            Id::Int(_) => 0,
            Id::Str(text) => text.len() + BLOCK_OVERHEAD_BYTES,
        };
        let answer = size_of::<Post>() + BLOCK_OVERHEAD_BYTES + ANSWER_BYTES;
        size_of::<OpenCall>() + id + if self.post.is_some() { answer } else { 0 }
    }
}
