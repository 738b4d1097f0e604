//! What a stream keeps for a client that has lost it.
//!
//! *Scope:* how much that is, and since when. *Not in scope:* what is kept (`event_log`).

use crate::engine::state::event_log::EventLog;
use crate::engine::state::streams::{Source, Stream, Streams};
use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::slab::Key;
use crate::timers::Nanos;

impl Stream {
    /// What the log of an answer takes.
    pub(crate) const LOG_BYTES: usize = size_of::<EventLog>() + BLOCK_OVERHEAD_BYTES;

    /// True if what is sent on it is kept for a client that comes back.
    pub(crate) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// True if all is answered, and only what is kept for its client is left.
    pub(crate) fn is_over(&self) -> bool {
        self.source == Source::Post && self.open == 0 && self.conn.is_none()
    }

    /// True if it is a session's stream whose client was away for too long, so that nothing is kept for it.
    pub(crate) fn is_forgotten(&self) -> bool {
        let forgets = self.log.as_ref().is_none_or(|log| !log.keeps());
        self.source == Source::Get && self.conn.is_none() && forgets
    }

    /// True if a client that has come back was not given all that was sent on it.
    pub(crate) fn is_behind(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.has_unsent())
    }

    /// Returns the bytes that its log holds.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.held_bytes())
    }

    /// Returns the bytes that dropping its log frees: while a connection carries a stream that is over, the stream stays.
    pub(crate) fn sheddable_log_bytes(&self) -> usize {
        self.log
            .as_ref()
            .map_or(0, |log| log.held_bytes() - if self.is_over() { 0 } else { log.owner_bytes() })
    }

    /// Returns since when it waits for its client: `replay_timeout` later it is dropped. `None` while it does not wait.
    pub(crate) fn kept_since(&self) -> Option<Nanos> {
        let log = self.log.as_ref()?;
        let expires = match self.source {
            Source::Get => log.keeps(),
            // What is open and without a connection waits for as long as its calls take.
            _ => self.is_over() || self.conn.is_some() && !log.is_empty(),
        };
        expires.then(|| log.since())
    }
}

impl Streams {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Stream)> {
        self.slab.iter()
    }
}
