//! Notifications that wait until a slow stream takes more, the latest of each kind for each session.
//!
//! *Scope:* [`Coalesced`]. *Not in scope:* when a stream is slow (`core`).

use std::collections::BTreeMap;

use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::outbox::Slot;
use crate::slab::Key;

/// The latest notification of each kind. A connection of lines carries those of a session, and of requests without one.
pub(crate) struct Coalesced {
    latest: BTreeMap<(Key, Slot), Box<[u8]>>,
    charge: Charge,
}

impl Coalesced {
    /// Returns the memory of one, with its place in the map, which may be half empty.
    fn bytes_of(slot: &Slot, text: &[u8]) -> usize {
        let name = if let Slot::Updated(uri) = slot { uri.len() + BLOCK_OVERHEAD_BYTES } else { 0 };
        name + text.len() + BLOCK_OVERHEAD_BYTES + 2 * size_of::<((Key, Slot), Box<[u8]>)>()
    }

    pub(crate) fn new(charge: Charge) -> Coalesced {
        Coalesced { latest: BTreeMap::new(), charge }
    }

    pub(crate) fn insert(&mut self, session: Key, slot: &Slot, text: &[u8]) {
        self.charge.grow(Coalesced::bytes_of(slot, text));
        if let Some(replaced) = self.latest.insert((session, slot.clone()), text.into()) {
            self.charge.shrink(Coalesced::bytes_of(slot, &replaced));
        }
    }

    pub(crate) fn remove(&mut self, session: Key, slot: Slot) {
        let at = (session, slot);
        if let Some(text) = self.latest.remove(&at) {
            self.charge.shrink(Coalesced::bytes_of(&at.1, &text));
        }
    }

    /// Drops all of a session's.
    #[cfg(feature = "stateless")]
    pub(crate) fn forget(&mut self, session: Key) {
        let Coalesced { latest, charge } = self;
        latest.retain(|(of, slot), text| {
            let stays = *of != session;
            if !stays {
                charge.shrink(Coalesced::bytes_of(slot, text));
            }
            stays
        });
    }

    /// Takes the first one.
    pub(crate) fn pop(&mut self) -> Option<Box<[u8]>> {
        let ((_, slot), text) = self.latest.pop_first()?;
        self.charge.shrink(Coalesced::bytes_of(&slot, &text));
        debug_assert!(self.charge.bytes() > 0 || self.latest.is_empty(), "what is held is counted once");
        Some(text)
    }
}
