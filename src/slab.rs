//! A table whose keys are never reused.
//!
//! *Scope:* [`Slab`], and [`Key`]: a slot number with a serial from one counter per slab. A slot is used again, a key
//! never: an event or reply that comes late finds nothing. *Not in scope:* what is stored, and how many (the limits say).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

/// Names one entry of one slab, and never another one.
// Packed, because each session is named by several others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(4))]
pub struct Key {
    /// Never zero, so that an optional key takes no more room.
    serial: NonZeroU64,
    index: u32,
}

/// How many bits of the slot number a token carries; [`CONNECTIONS_CAP`](crate::CONNECTIONS_CAP) keeps numbers below.
const TOKEN_INDEX_BITS: u32 = 20;

impl Key {
    /// Less than all other keys. It names no entry.
    pub(crate) const LEAST: Key = Key { serial: NonZeroU64::MIN, index: 0 };

    /// A key that no slab has given: for what is tested without one.
    pub(crate) fn numbered(index: u32) -> Key {
        Key { serial: NonZeroU64::MIN.saturating_add(index.into()), index }
    }

    /// The slot number: small, and shared with keys that are no longer valid.
    pub fn index(self) -> u32 {
        self.index
    }

    /// No other entry of the slab ever had or will have it.
    pub(crate) fn serial(self) -> u64 {
        { self.serial }.get()
    }

    /// The slot number and the low bits of the serial, for event queues that carry one word. The highest bit is left to what else is
    /// in such a queue.
    pub fn token(self) -> u32 {
        ((self.serial.get() as u32) << TOKEN_INDEX_BITS | self.index) & (u32::MAX >> 1)
    }
}

/// Entries under generational keys. It returns memory when most entries are gone.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Option<(NonZeroU64, T)>>,
    /// Free slots, lowest first so that the tail empties; may name slots that were cut off or taken since.
    free: BinaryHeap<Reverse<u32>>,
    len: usize,
    serial: NonZeroU64,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { entries: Vec::new(), free: BinaryHeap::new(), len: 0, serial: NonZeroU64::MIN }
    }
}

impl<T> Slab<T> {
    /// Stores `value` in the lowest free slot, under a key that was never used before.
    pub fn insert(&mut self, value: T) -> Key {
        // 2⁶⁴ entries are more than any process will see.
        self.serial = self.serial.saturating_add(1);
        self.len += 1;
        let mut entry = Some((self.serial, value));
        while let Some(Reverse(index)) = self.free.pop() {
            if let Some(slot @ None) = self.entries.get_mut(index as usize) {
                *slot = entry.take();
                return Key { index, serial: self.serial };
            }
        }
        self.entries.push(entry);
        Key { index: (self.entries.len() - 1) as u32, serial: self.serial }
    }

    /// Takes the entry out; `None` if the key is stale.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.entries.get_mut(key.index as usize)?;
        if slot.as_ref().is_none_or(|(serial, _)| *serial != { key.serial }) {
            return None;
        }
        let (_, value) = slot.take()?;
        self.len -= 1;
        // The last one is cut off.
        if (key.index as usize) + 1 < self.entries.len() {
            self.free.push(Reverse(key.index));
        }
        self.shrink();
        Some(value)
    }

    fn shrink(&mut self) {
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
        if self.entries.is_empty() {
            self.free.clear();
        }
        let capacity = self.entries.capacity();
        if capacity > 64 && self.entries.len() < capacity / 4 {
            let room = (self.entries.len() * 2).max(64);
            self.entries.shrink_to(room);
            self.free.shrink_to(room);
        }
    }

    /// The entry, unless the key is stale.
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index as usize) {
            Some(Some((serial, value))) if *serial == { key.serial } => Some(value),
            _ => None,
        }
    }

    /// The entry, unless the key is stale.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize) {
            Some(Some((serial, value))) if *serial == { key.serial } => Some(value),
            _ => None,
        }
    }

    /// The entry that is in the slot now, with its key: for links that are kept in step with the entries.
    pub fn entry_at(&self, index: u32) -> Option<(Key, &T)> {
        let (serial, value) = self.entries.get(index as usize)?.as_ref()?;
        Some((Key { index, serial: *serial }, value))
    }

    /// As [`entry_at`](Slab::entry_at).
    pub fn entry_at_mut(&mut self, index: u32) -> Option<(Key, &mut T)> {
        let (serial, value) = self.entries.get_mut(index as usize)?.as_mut()?;
        Some((Key { index, serial: *serial }, value))
    }

    /// The key behind a [`Key::token`], unless it is stale.
    pub fn find(&self, token: u32) -> Option<Key> {
        let index = token & ((1 << TOKEN_INDEX_BITS) - 1);
        let (serial, _) = self.entries.get(index as usize)?.as_ref()?;
        let key = Key { index, serial: *serial };
        (key.token() == token).then_some(key)
    }

    /// All entries, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let slots = self.entries.iter().enumerate();
        slots.filter_map(|(index, entry)| {
            entry.as_ref().map(|(serial, value)| (Key { index: index as u32, serial: *serial }, value))
        })
    }

    /// All entries, by slot.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().flatten().map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing_whatever_came_since() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.get(first), Some(&"first"));
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index(), "the slot is used again");
        assert_ne!(second, first);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.find(first.token()), slab.find(second.token())), (None, Some(second)));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_shrunken_and_regrown_slab_matches_no_old_key() {
        let mut slab = Slab::default();
        let old: Vec<Key> = (0..5000).map(|n| slab.insert(n)).collect();
        old.iter().for_each(|key| assert!(slab.remove(*key).is_some()));
        assert!(slab.len() == 0 && slab.entries.capacity() <= 64, "{}", slab.entries.capacity());
        let new: Vec<Key> = (0..5000).map(|n| slab.insert(n)).collect();
        assert!(old.iter().all(|key| slab.get(*key).is_none()));
        assert!(new.iter().enumerate().all(|(n, key)| slab.get(*key) == Some(&n)));
    }

    #[test]
    fn the_lowest_slot_is_taken_and_no_slot_twice() {
        let mut slab = Slab::default();
        let mut keys: Vec<Key> = (0..100).map(|n| slab.insert(n)).collect();
        let mut random = 7u64;
        for round in 0..20_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if random >> 63 == 0 && !keys.is_empty() {
                let key = keys.swap_remove((random >> 20) as usize % keys.len());
                assert!(slab.remove(key).is_some());
            } else {
                keys.push(slab.insert(round));
            }
            assert_eq!(slab.len(), keys.len());
        }
        let mut live: Vec<Key> = slab.iter().map(|(key, _)| key).collect();
        live.sort();
        keys.sort();
        assert_eq!(live, keys);
    }
}
