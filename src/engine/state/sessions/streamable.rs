//! What only a session of Streamable HTTP has: it does not end with a stream, so it ends when it is unused, or when another
//! one needs its place.
//!
//! *Scope:* deadlines of sessions, and which of them may end for others. *Not in scope:* ending them (`core::streamable`).
//!
//! The order is a set of sessions by rank. A message does not touch it: an entry has the rank that its session had when it
//! was last looked at, and ranks only grow. So an entry at the front that is still right is the one that is looked for, and
//! one that is not is put where it belongs, which happens at most once for each use of a session.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::access::peer::Peer;
#[cfg(feature = "resume")]
use crate::engine::state::event_log::KeptStreams;
use crate::engine::state::peers::network;
use crate::engine::state::sessions::{SessionEntry, Sessions};
use crate::limits::Limits;
use crate::slab::Key;
use crate::timers::{Linked, Nanos, TimerLink};

/// What decides which session ends first, the one of the least: when it was last used, in nanoseconds, and above that whether
/// its client has worked with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(NonZeroU64);

impl Rank {
    const LEAST: Rank = Rank(NonZeroU64::MIN);

    fn new(kind: &Streamable) -> Rank {
        Rank(NonZeroU64::MIN.saturating_add(kind.used.count()) | u64::from(kind.worked) << 63)
    }

    /// That of a session now; `None` if it has to stay.
    fn of(entry: &SessionEntry) -> Option<Rank> {
        entry.streamable.as_ref().filter(|_| !entry.is_busy()).map(|kind| Rank::new(kind))
    }
}

/// Sessions that may end for others, by rank.
#[derive(Default)]
pub(crate) struct Order {
    all: BTreeSet<(Rank, Key)>,
    /// The same for each peer, where sessions are counted by peer.
    by_peer: BTreeSet<(IpAddr, Rank, Key)>,
}

impl Order {
    fn insert(&mut self, peer: Option<IpAddr>, rank: Rank, key: Key) {
        self.all.insert((rank, key));
        self.by_peer.extend(peer.map(|peer| (peer, rank, key)));
    }

    fn remove(&mut self, peer: Option<IpAddr>, rank: Rank, key: Key) {
        self.all.remove(&(rank, key));
        if let Some(peer) = peer {
            self.by_peer.remove(&(peer, rank, key));
        }
    }

    /// The first of all, or of one peer.
    fn first(&self, peer: Option<IpAddr>) -> Option<(Rank, Key)> {
        let Some(peer) = peer else { return self.all.first().copied() };
        let (found, rank, key) = self.by_peer.range((peer, Rank::LEAST, Key::LEAST)..).next()?;
        (*found == peer).then_some((*rank, *key))
    }
}

impl SessionEntry {
    /// True if it has a call or a stream open.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.is_some() || self.stream.is_some()
    }
}

impl Linked for SessionEntry {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// What only a session of Streamable HTTP has, which does not end with a stream.
pub(crate) struct Streamable {
    /// Who opened it.
    pub(crate) peer: Peer,
    /// When the client last used it.
    pub(crate) used: Nanos,
    /// Its client has sent something else than `initialize` and lists.
    pub(crate) worked: bool,
    /// Its streams without a connection.
    #[cfg(feature = "resume")]
    pub(crate) kept: KeptStreams,
    /// Where it stands among those that may end for others.
    rank: Option<Rank>,
}

impl Streamable {
    pub(crate) fn new(peer: Peer, now: Nanos) -> Streamable {
        Streamable {
            peer,
            used: now,
            worked: false,
            #[cfg(feature = "resume")]
            kept: KeptStreams::default(),
            rank: None,
        }
    }
}

/// Time, and places for others.
impl Sessions {
    /// What only a session of Streamable HTTP has.
    pub(crate) fn streamable_mut(&mut self, key: Key) -> Option<&mut Streamable> {
        self.slab.get_mut(key)?.streamable.as_deref_mut()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    /// Sees to it that the session is looked at by this time.
    #[cfg(feature = "resume")]
    pub(crate) fn wake_by(&mut self, key: Key, deadline: Duration) {
        self.timers.wake_by(&mut self.slab, key, deadline);
    }

    /// Takes out those that are to be looked at.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<Key> {
        let mut due = Vec::new();
        self.timers.due(&mut self.slab, now, &mut due);
        due
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// How long a session may be unused.
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
        let rank = kind.rank.is_none().then(|| Rank::new(kind));
        self.timers.wake_by(&mut self.slab, key, now.after(timeout));
        if rank.is_some() {
            self.set_rank(key, rank, limits);
        }
    }

    /// True if nobody has used the session for too long; otherwise it will be looked at again. A call or a stream that is
    /// open is use.
    pub(crate) fn is_expired(&mut self, key: Key, now: Nanos, limits: &Limits) -> bool {
        let Some(entry) = self.slab.get_mut(key) else { return false };
        let (timeout, busy) = (Sessions::timeout(entry, limits), entry.is_busy());
        let Some(kind) = &mut entry.streamable else { return false };
        if busy {
            kind.used = now;
        }
        let deadline = kind.used.after(timeout);
        let expired = deadline <= now.duration();
        if !expired {
            self.timers.wake_by(&mut self.slab, key, deadline);
        }
        expired
    }

    /// The session of that peer, or of all, that is to give up its place first.
    pub(crate) fn first_idle(&mut self, peer: Option<IpAddr>, limits: &Limits) -> Option<Key> {
        loop {
            let (rank, key) = self.order.first(peer)?;
            let now = Rank::of(self.slab.get(key)?);
            if now == Some(rank) {
                return Some(key);
            }
            self.set_rank(key, now, limits);
        }
    }

    /// Puts a session where it belongs in the order; with `None` it is not in it.
    fn set_rank(&mut self, key: Key, rank: Option<Rank>, limits: &Limits) {
        let by_peer = limits.sessions_per_peer_max > 0;
        let Some(kind) = self.slab.get_mut(key).and_then(|entry| entry.streamable.as_mut()) else { return };
        let peer = network(&kind.peer).filter(|_| by_peer);
        if let Some(old) = std::mem::replace(&mut kind.rank, rank) {
            self.order.remove(peer, old, key);
        }
        if let Some(new) = rank {
            self.order.insert(peer, new, key);
        }
    }

    /// The session is about to be taken out: nothing will come of its deadlines, and it stands in no order.
    pub(crate) fn forget_time(&mut self, key: Key, limits: &Limits) {
        self.set_rank(key, None, limits);
        self.timers.clear(&mut self.slab, key);
    }
}
