//! What a stream keeps for a client that has lost it.
//!
//! *Scope:* how much that is, and since when. *Not in scope:* what is kept (`event_log`).

use crate::engine::state::event_log::EventLog;
use crate::engine::state::streams::{Source, Stream};
use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::timers::Nanos;

impl Stream {
    /// True if all is answered, and only what is kept for its client is left.
    pub(crate) fn is_over(&self) -> bool {
        self.source == Source::Post && self.open == 0 && self.conn.is_none()
    }

    /// True if it is a session's stream whose client was away for too long, so that nothing is kept for it.
    pub(crate) fn is_forgotten(&self) -> bool {
        let forgets = self.log.as_ref().is_none_or(|log| !log.keeps());
        self.source == Source::Get && self.conn.is_none() && forgets
    }

    /// What its log holds.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.held_bytes())
    }

    /// When what it keeps is to be looked at, if the time that it is kept is added.
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

/// What the log of an answer takes.
pub(crate) const LOG_BYTES: usize = size_of::<EventLog>() + BLOCK_OVERHEAD_BYTES;
