//! Maps from keys that are numbers, in their order.
//!
//! *Scope:* [`KeyMap`]: one compiled copy of the standard library's tree for all values. The standard library compiles some 5 KiB
//! of machine code for each type of value. *Not in scope:* keys that are texts, and maps that every message looks into.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::slab::Key;

/// A key that is a number.
pub(crate) trait Numbered: Copy + Send + 'static {
    /// Two keys are in the order of their numbers, and equal if these are.
    fn place(self) -> u128;
}

impl Numbered for Key {
    fn place(self) -> u128 {
        u128::from(self.serial()) << 32 | u128::from(self.index())
    }
}

impl Numbered for u64 {
    fn place(self) -> u128 {
        self.into()
    }
}

impl Numbered for i64 {
    fn place(self) -> u128 {
        (self as u64 ^ 1 << 63).into()
    }
}

/// What a tree keeps, whatever the map is of: a `(K, V)`.
type Entry = Box<dyn Any + Send>;

/// How many bytes an entry takes, if half of the places in the tree are free.
pub(crate) const fn entry_bytes<K, V>() -> usize {
    2 * size_of::<(u128, Entry)>() + size_of::<(K, V)>() + BLOCK_OVERHEAD_BYTES
}

/// A map with the methods of [`BTreeMap`].
pub(crate) struct KeyMap<K, V>(BTreeMap<u128, Entry>, PhantomData<(K, V)>);

#[cfg_attr(not(feature = "bridge"), allow(dead_code, reason = "other builds use fewer of them"))]
impl<K: Numbered, V: Send + 'static> KeyMap<K, V> {
    pub(crate) fn new() -> KeyMap<K, V> {
        KeyMap(BTreeMap::new(), PhantomData)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        taken::<K, V>(self.0.insert(key.place(), Box::new((key, value)))?)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        // As a rule, where each message asks.
        if self.is_empty() {
            return None;
        }
        taken::<K, V>(self.0.remove(&key.place())?)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        Some(&pair::<K, V>(self.0.get(&key.place())?)?.1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        Some(&mut pair_mut::<K, V>(self.0.get_mut(&key.place())?)?.1)
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.0.first_key_value().and_then(|(_, entry)| pair(entry)).map(|(key, value)| (key, value))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.values().filter_map(|entry| pair(entry)).map(|(key, value)| (key, value))
    }

    /// The entries from that key on.
    pub(crate) fn range_from(&self, key: K) -> impl Iterator<Item = (&K, &V)> {
        self.0.range(key.place()..).filter_map(|(_, entry)| pair(entry)).map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.0.values_mut().filter_map(|entry| pair_mut(entry)).map(|(key, value)| (*key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&K, &mut V) -> bool) {
        let stays: &mut dyn FnMut(&mut Entry) -> bool =
            &mut |entry| pair_mut(entry).is_some_and(|(key, value)| stays(key, value));
        self.0.retain(|_, entry| stays(entry));
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = (K, V)>) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.0.into_values().filter_map(|entry| Some(*entry.downcast().ok()?))
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        self.into_entries().map(|(_, value)| value)
    }
}

fn pair<K: 'static, V: 'static>(entry: &Entry) -> Option<&(K, V)> {
    entry.downcast_ref()
}

fn pair_mut<K: 'static, V: 'static>(entry: &mut Entry) -> Option<&mut (K, V)> {
    entry.downcast_mut()
}

fn taken<K: 'static, V: 'static>(entry: Entry) -> Option<V> {
    entry.downcast::<(K, V)>().ok().map(|pair| pair.1)
}

impl<K: Numbered, V: Send + 'static> Default for KeyMap<K, V> {
    fn default() -> KeyMap<K, V> {
        KeyMap::new()
    }
}

impl<K: Numbered + fmt::Debug, V: Send + fmt::Debug + 'static> fmt::Debug for KeyMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_the_standard_librarys_map_does() {
        let (mut ours, mut theirs) = (KeyMap::<i64, String>::new(), BTreeMap::new());
        for step in 0..2000_i64 {
            let key = step * 7919 % 101 - 50;
            match step % 3 {
                0 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                _ => {
                    assert_eq!(ours.insert(key, step.to_string()), theirs.insert(key, step.to_string()));
                }
            }
            assert_eq!((ours.get(&key), ours.len()), (theirs.get(&key), theirs.len()));
            if let (Some(one), Some(other)) = (ours.get_mut(&key), theirs.get_mut(&key)) {
                one.push('!');
                other.push('!');
            }
        }
        assert!(ours.iter().eq(&theirs) && ours.iter().rev().eq(theirs.iter().rev()));
        assert!(ours.range_from(-3).eq(theirs.range(-3..)));
        ours.retain(|key, _| key % 2 == 0);
        theirs.retain(|key, _| key % 2 == 0);
        assert_eq!(ours.first_key_value(), theirs.first_key_value());
        assert!(ours.into_entries().eq(theirs));
    }

    #[test]
    fn keys_are_in_their_order() {
        let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
        assert!(numbers.is_sorted_by_key(|number| number.place()));
        let mut slab = crate::slab::Slab::default();
        let keys: Vec<Key> = (0..5).map(|number| slab.insert(number)).collect();
        slab.remove(keys[0]);
        let keys: Vec<Key> = keys.into_iter().chain([slab.insert(5)]).collect();
        assert!(keys.is_sorted() && keys.is_sorted_by_key(|key| key.place()));
    }
}
