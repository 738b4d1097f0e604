//! Requests that have no session: each is like a session of its own.
//!
//! *Scope:* adding and removing them. *Not in scope:* their answers (`core::answers`).

use crate::engine::state::sessions::Sessions;
use crate::service::session::Session;
use crate::slab::Key;

impl Sessions {
    /// Adds a request that has no session.
    pub(crate) fn begin_request(&mut self, session: Session) -> Key {
        self.requests += 1;
        self.insert(session)
    }

    /// Removes a request that has no session. Returns true if it was there.
    pub(crate) fn end_request(&mut self, key: Key) -> bool {
        let ended = self.slab.remove(key).is_some();
        self.requests -= usize::from(ended);
        ended
    }
}
