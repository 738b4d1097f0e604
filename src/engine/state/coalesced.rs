//! Notifications that wait until a slow stream takes more, the latest of each kind.
//!
//! *Scope:* [`Coalesced`]. *Not in scope:* when a stream is slow (`core`).

use std::collections::BTreeMap;

use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::outbox::Slot;

/// The latest notification of each kind.
pub(crate) struct Coalesced {
    latest: BTreeMap<Slot, Box<[u8]>>,
    charge: Charge,
}

impl Coalesced {
    /// What one of them takes, with its place in the map, of which half may be free.
    fn bytes_of(slot: &Slot, text: &[u8]) -> usize {
        let name = if let Slot::Updated(uri) = slot { uri.len() + BLOCK_OVERHEAD_BYTES } else { 0 };
        name + text.len() + BLOCK_OVERHEAD_BYTES + 2 * size_of::<(Slot, Box<[u8]>)>()
    }

    pub(crate) fn new(charge: Charge) -> Coalesced {
        Coalesced { latest: BTreeMap::new(), charge }
    }

    pub(crate) fn insert(&mut self, slot: &Slot, text: &[u8]) {
        self.charge.grow(Coalesced::bytes_of(slot, text));
        if let Some(replaced) = self.latest.insert(slot.clone(), text.into()) {
            self.charge.shrink(Coalesced::bytes_of(slot, &replaced));
        }
    }

    pub(crate) fn remove(&mut self, slot: &Slot) {
        if let Some(text) = self.latest.remove(slot) {
            self.charge.shrink(Coalesced::bytes_of(slot, &text));
        }
    }

    /// Takes the first one.
    pub(crate) fn pop(&mut self) -> Option<Box<[u8]>> {
        let (slot, text) = self.latest.pop_first()?;
        self.charge.shrink(Coalesced::bytes_of(&slot, &text));
        debug_assert!(self.charge.bytes() > 0 || self.latest.is_empty(), "what is held is counted once");
        Some(text)
    }
}
