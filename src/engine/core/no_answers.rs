//! The twin of `answers` and `state::streams::answer` for builds in which no POST has a stream of its own.

use crate::engine::core::Core;
use crate::engine::state::message::MessageText;
use crate::engine::state::sessions::PendingRequest;
use crate::engine::state::streams::Stream;
use crate::jsonrpc::id::Id;
use crate::service::keys::CallKey;
use crate::slab::Key;

impl Stream {
    pub(crate) fn is_waiting(&self) -> bool {
        false
    }

    pub(crate) fn takes_events(&self) -> bool {
        true
    }

    pub(crate) fn call_bytes(&self) -> usize {
        0
    }

    pub(crate) fn add_call(&mut self) {}
}

impl Core {
    pub(crate) fn become_events(&mut self, _: Key) -> bool {
        false
    }

    pub(crate) fn note_failure(&mut self, _: &PendingRequest, _: Option<u16>) {}

    pub(crate) fn answer_post(&mut self, _: &PendingRequest, _: impl MessageText) {}

    pub(crate) fn note_session_over(&mut self, _: CallKey) {}

    pub(crate) fn answer_cancelled(&mut self, _: &PendingRequest) {}

    pub(crate) fn answer_handed_over(&mut self, _: Key) {}

    pub(crate) fn refuse_waiting(&mut self, _: Key, _: Option<&Id>, _: &str) -> bool {
        false
    }

    pub(crate) fn waiting_bytes(&self, _: Key) -> usize {
        0
    }

    pub(crate) fn end_request(&mut self, _: Key) {}

    pub(crate) fn lose_answer(&mut self, _: Key, _: Key) {}

    pub(crate) fn end_of_input(&mut self, _: Key) {}
}
