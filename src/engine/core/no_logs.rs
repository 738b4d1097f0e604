//! The twin of `logs` and `state::streams::kept` for builds in which nothing is kept for clients that come back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::core::Core;
use crate::engine::state::message::{MessageKind, MessageText};
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::Stream;
use crate::service::keys::CallKey;
use crate::slab::Key;

impl Stream {
    pub(crate) const LOG_BYTES: usize = 0;

    pub(crate) fn is_logged(&self) -> bool {
        false
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        false
    }

    pub(crate) fn log_bytes(&self) -> usize {
        0
    }

    pub(crate) fn is_behind(&self) -> bool {
        false
    }
}

impl Core {
    pub(crate) fn expire_logs(&mut self, _: Key) {}

    pub(crate) fn drop_streams_of(&mut self, _: &SessionEntry) {}

    pub(crate) fn drop_logs(&mut self, _: Key) {}

    pub(crate) fn log_bytes_by_session(&self) -> BTreeMap<Key, usize> {
        BTreeMap::new()
    }

    pub(crate) fn send_logged(&mut self, _: Key, _: MessageKind, _: impl MessageText) {}

    pub(crate) fn begin_log(&mut self, _: Key, _: Option<Duration>) {}

    pub(crate) fn begin_session_log(&mut self, _: Key) -> Vec<u8> {
        Vec::new()
    }

    pub(crate) fn keep_lost(&mut self, _: Key) {}

    pub(crate) fn catch_up(&mut self, _: Key) {}

    pub(crate) fn keep_behind(&mut self, _: Key) {}

    pub(crate) fn keep_ended(&mut self, _: Key) -> bool {
        false
    }

    pub(crate) fn disconnect(&mut self, _: CallKey, _: Duration) {}
}
