//! Time as a value, and a wheel of deadlines.
//!
//! *Scope:* [`Now`], and [`Timers`]: at most one deadline for each entry of a [`Slab`], set and cleared in constant time
//! because the wheel's links are in the entries. *Not in scope:* reading a clock; what happens when a deadline passes.
//!
//! ```text
//!  heads[tick % SLOTS] ──▶ entry ⇄ entry ⇄ entry      every entry whose deadline falls into this slot's 10 ms,
//!                                                     in this turn of the wheel or a later one
//! ```

use std::time::Duration;

use crate::slab::{Key, Slab};

/// The present time, as the driver hands it to the engine: nothing below the driver reads a clock.
///
/// ```
/// use std::time::Duration;
/// let now = mcp_rill::Now { mono: Duration::from_secs(5), unix: Duration::from_secs(1_800_000_000) };
/// assert!(now.mono < now.unix);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Time since a fixed point, which never goes back: deadlines are measured in it.
    pub mono: Duration,
    /// Time since 1970-01-01 UTC, for the `Date` header field.
    pub unix: Duration,
}

/// A moment of [`Now::mono`] in half the room of a [`Duration`]: 584 years of it, and a connection keeps four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(u64);

impl Nanos {
    pub(crate) fn of(now: Now) -> Nanos {
        Nanos::from(now.mono)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    #[cfg(feature = "streamable")]
    pub(crate) fn count(self) -> u64 {
        self.0
    }

    pub(crate) fn later(self, wait: Duration) -> Nanos {
        Nanos(self.0.saturating_add(Nanos::from(wait).0))
    }
}

impl From<Duration> for Nanos {
    fn from(at: Duration) -> Nanos {
        Nanos(at.as_secs().saturating_mul(1_000_000_000).saturating_add(at.subsec_nanos().into()))
    }
}

/// The earlier of two moments, each of which may never come.
#[inline]
pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The width of a slot. A deadline passes at most this much late, and never early.
const TICK_MS: u64 = 10;
/// Slots of the wheel: one turn is about 10 s, so that most deadlines are looked at once or twice before they are due.
const SLOTS: usize = 1024;
const WORDS: usize = SLOTS / 64;
const NONE: u32 = u32::MAX;
/// No deadline.
const UNSET: u32 = 0;
/// The longest wait of the wheel, in ticks: 248 days.
const HORIZON: u64 = u32::MAX as u64 / 2;

/// An entry's place in the wheel.
#[derive(Debug)]
pub struct TimerLink {
    next: u32,
    prev: u32,
    /// The low bits of the tick of its deadline; [`UNSET`] while there is none. Deadlines further away than [`HORIZON`] are
    /// looked at once before they are due, so the rest is known. Half the size of a whole tick: each session has two links.
    tick: u32,
}

impl Default for TimerLink {
    fn default() -> TimerLink {
        TimerLink { next: NONE, prev: NONE, tick: UNSET }
    }
}

/// A slab entry that can have a deadline.
pub trait Linked {
    /// The entry's link; only [`Timers`] changes it.
    fn link(&mut self) -> &mut TimerLink;
}

/// The deadlines of one slab's entries.
#[derive(Debug)]
pub struct Timers {
    heads: Vec<u32>,
    /// A bit for each slot that is not empty.
    occupied: [u64; WORDS],
    /// A bit for each word of `occupied` that is not zero.
    words: u16,
    /// Everything up to this tick has been taken out.
    tick: u64,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { heads: vec![NONE; SLOTS], occupied: [0; WORDS], words: 0, tick: 0 }
    }
}

impl Timers {
    /// Makes sure that [`due`](Timers::due) returns the entry by `deadline`. An earlier deadline that is set already is kept:
    /// its handler looks again and sets the time that is left.
    pub fn wake_by<T: Linked>(&mut self, slab: &mut Slab<T>, key: Key, deadline: Nanos) {
        let tick = deadline.0.div_ceil(TICK_MS * 1_000_000).clamp(self.tick + 1, self.tick + HORIZON);
        // The mark of no deadline is left out.
        let tick = if tick as u32 == UNSET { tick + 1 } else { tick };
        let Some(entry) = slab.get_mut(key) else { return };
        let set = entry.link().tick;
        if set != UNSET && set.wrapping_sub(self.tick as u32) <= (tick - self.tick) as u32 {
            return;
        }
        self.clear(slab, key);
        let slot = (tick % SLOTS as u64) as usize;
        let Some(head) = self.heads.get_mut(slot) else { return };
        let next = std::mem::replace(head, key.index());
        if let Some((_, entry)) = slab.entry_at_mut(next) {
            entry.link().prev = key.index();
        }
        if let Some(entry) = slab.get_mut(key) {
            *entry.link() = TimerLink { next, prev: NONE, tick: tick as u32 };
        }
        if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
            self.words |= 1 << (slot / 64);
        }
    }

    /// Removes the entry's deadline. Must be called before an entry is removed from its slab.
    pub fn clear<T: Linked>(&mut self, slab: &mut Slab<T>, key: Key) {
        let Some(entry) = slab.get_mut(key) else { return };
        let TimerLink { next, prev, tick } = std::mem::take(entry.link());
        if tick == UNSET {
            return;
        }
        if let Some((_, entry)) = slab.entry_at_mut(next) {
            entry.link().prev = prev;
        }
        if let Some((_, entry)) = slab.entry_at_mut(prev) {
            entry.link().next = next;
            return;
        }
        let slot = tick as usize % SLOTS;
        if let Some(head) = self.heads.get_mut(slot) {
            *head = next;
        }
        if let Some(word) = self.occupied.get_mut(slot / 64)
            && next == NONE
        {
            *word &= !(1 << (slot % 64));
            self.words &= !(u16::from(*word == 0) << (slot / 64));
        }
    }

    /// Removes the deadlines that have passed at `now`, and returns their keys.
    pub fn due<T: Linked>(&mut self, slab: &mut Slab<T>, now: Duration) -> Vec<Key> {
        let mut due = Vec::new();
        let end = now.as_millis() as u64 / TICK_MS;
        let first = self.tick + 1;
        if end < first {
            return due;
        }
        let passed = u32::try_from(end - self.tick).unwrap_or(u32::MAX);
        let start = self.tick as u32;
        self.tick = end;
        for tick in first..=end.min(first + SLOTS as u64 - 1) {
            let slot = (tick % SLOTS as u64) as usize;
            let mut index = self.heads.get(slot).copied().unwrap_or(NONE);
            while let Some((key, entry)) = slab.entry_at_mut(index) {
                let (next, deadline) = (entry.link().next, entry.link().tick);
                index = next;
                if deadline.wrapping_sub(start) <= passed {
                    self.clear(slab, key);
                    due.push(key);
                }
            }
        }
        due
    }

    /// Returns when to call [`due`](Timers::due) next: never after the tick of the earliest deadline, sometimes before it.
    pub fn next(&self) -> Option<Duration> {
        let start = ((self.tick + 1) % SLOTS as u64) as usize;
        let bits = |word: usize| self.occupied.get(word % WORDS).copied().unwrap_or(0);
        let rest = bits(start / 64) >> (start % 64);
        let ahead = match (rest, self.words) {
            (0, 0) => return None,
            (0, words) => {
                // The words after this one, and at last its bits before `start`.
                let next = start / 64 + 1;
                let word = next + words.rotate_right((next % WORDS) as u32).trailing_zeros() as usize;
                word * 64 + bits(word).trailing_zeros() as usize - start
            }
            (rest, _) => rest.trailing_zeros() as usize,
        };
        Some(Duration::from_millis((self.tick + 1 + ahead as u64) * TICK_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Entry(TimerLink);

    impl Linked for Entry {
        fn link(&mut self) -> &mut TimerLink {
            &mut self.0
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The wheel against a plain list of deadlines, over a seeded run of sets, clears, removals and time steps.
    #[test]
    fn the_wheel_agrees_with_a_list() {
        agrees_from(0);
        // Where the low bits of ticks begin anew.
        agrees_from(((1 << 32) - 100) * TICK_MS);
    }

    fn agrees_from(start: u64) {
        let (mut slab, mut timers) = (Slab::default(), Timers::default());
        timers.due::<Entry>(&mut slab, ms(start));
        let mut list: Vec<(Key, Option<u64>)> =
            (0..50).map(|_| (slab.insert(Entry::default()), None)).collect();
        let (mut now, mut random) = (start, 99u64);
        for _ in 0..100_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (pick, what) = ((random >> 40) as usize % list.len(), (random >> 33) % 10);
            match what {
                0..=4 => {
                    let at = now + (random >> 20) % [30, 2_000, 40_000][(random >> 60) as usize % 3];
                    timers.wake_by(&mut slab, list[pick].0, ms(at).into());
                    let set = list[pick].1.map_or(at, |before| before.min(at));
                    list[pick].1 = Some(set);
                }
                5 => {
                    timers.clear(&mut slab, list[pick].0);
                    list[pick].1 = None;
                }
                6 => {
                    timers.clear(&mut slab, list[pick].0);
                    slab.remove(list[pick].0).unwrap();
                    list[pick] = (slab.insert(Entry::default()), None);
                }
                _ => {
                    now += (random >> 20) % 300;
                    let due = timers.due(&mut slab, ms(now));
                    due.iter().for_each(|key| {
                        let entry = list.iter_mut().find(|(k, _)| k == key).unwrap();
                        assert!(entry.1.unwrap() <= now, "never early");
                        entry.1 = None;
                    });
                    let left = list.iter().filter_map(|(_, at)| *at).min();
                    assert!(left.is_none_or(|at| at + 2 * TICK_MS > now), "late: {left:?} at {now}");
                    assert!(timers.next().is_none_or(|at| at > ms(now)));
                    assert!(
                        left.is_none() || timers.next().unwrap() <= ms(left.unwrap().max(now) + 2 * TICK_MS)
                    );
                    assert!(left.is_some() || timers.next().is_none());
                }
            }
        }
    }

    #[test]
    fn a_long_sleep_finds_everything() {
        let (mut slab, mut timers) = (Slab::default(), Timers::default());
        let keys: Vec<Key> = (0..3000).map(|_| slab.insert(Entry::default())).collect();
        keys.iter()
            .enumerate()
            .for_each(|(n, key)| timers.wake_by(&mut slab, *key, ms(n as u64 * 17).into()));
        let mut due = timers.due(&mut slab, ms(3_600_000));
        due.sort();
        assert_eq!(due, keys);
        assert_eq!(timers.next(), None);
    }
}
