//! What only a session of Streamable HTTP has: it does not end with a stream, so it ends when it is unused, or when another
//! one needs its place.
//!
//! *Scope:* deadlines of sessions. *Not in scope:* ending them (`core::streamable`), and which ends to make room (`core::places`).

use std::time::Duration;

use crate::access::peer::Peer;
#[cfg(feature = "resume")]
use crate::engine::state::event_log::KeptStreams;
use crate::engine::state::sessions::{SessionEntry, Sessions};
use crate::limits::Limits;
use crate::slab::Key;
use crate::timers::Nanos;

impl SessionEntry {
    /// True if it has a call or a stream open.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.is_some() || self.stream.is_some()
    }
}

/// What only a session of Streamable HTTP has, which does not end with a stream.
pub(crate) struct Streamable {
    /// Who opened it.
    pub(crate) peer: Peer,
    /// When the client last used it.
    pub(crate) used: Nanos,
    /// Its client was served something else than `initialize` and lists.
    pub(crate) worked: bool,
    /// Its streams without a connection.
    #[cfg(feature = "resume")]
    pub(crate) kept: KeptStreams,
}

impl Streamable {
    pub(crate) fn new(peer: Peer, now: Nanos) -> Streamable {
        Streamable {
            peer,
            used: now,
            worked: false,
            #[cfg(feature = "resume")]
            kept: KeptStreams::default(),
        }
    }
}

/// Time.
impl Sessions {
    /// What only a session of Streamable HTTP has.
    pub(crate) fn streamable_mut(&mut self, key: Key) -> Option<&mut Streamable> {
        self.slab.get_mut(key)?.streamable.as_deref_mut()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    /// Makes the session due at this time at the latest.
    #[cfg(feature = "resume")]
    pub(crate) fn wake_by(&mut self, key: Key, deadline: Nanos) {
        self.timers.wake_by(&mut self.slab, key, deadline);
    }

    /// Returns the sessions that are due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<Key> {
        self.timers.due(&mut self.slab, now)
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Returns how long a session may be unused.
    fn timeout(entry: &SessionEntry, limits: &Limits) -> Duration {
        match entry.session.is_operating() {
            true => limits.session_idle_timeout,
            false => limits.initialize_timeout,
        }
    }

    /// Notes that the client has used the session. One of HTTP+SSE ends with its stream, so it has no such time.
    pub(crate) fn touch(&mut self, key: Key, now: Nanos, limits: &Limits) {
        let Some(entry) = self.slab.get_mut(key) else { return };
        let timeout = Sessions::timeout(entry, limits);
        let Some(kind) = &mut entry.streamable else { return };
        kind.used = now;
        self.timers.wake_by(&mut self.slab, key, now.later(timeout));
    }

    /// True if the session was not used for too long; otherwise it becomes due again. An open call or stream counts as use.
    pub(crate) fn is_expired(&mut self, key: Key, now: Nanos, limits: &Limits) -> bool {
        let Some(entry) = self.slab.get_mut(key) else { return false };
        let (timeout, busy) = (Sessions::timeout(entry, limits), entry.is_busy());
        let Some(kind) = &mut entry.streamable else { return false };
        if busy {
            kind.used = now;
        }
        let deadline = kind.used.later(timeout);
        let expired = deadline <= now;
        if !expired {
            self.timers.wake_by(&mut self.slab, key, deadline);
        }
        expired
    }
}
