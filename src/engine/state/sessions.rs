//! The sessions with their calls, and which of them may end for others.
//!
//! *Scope:* [`Sessions`]: entries, ids, calls, deadlines, ranks. *Not in scope:* when sessions begin and end (`core`).
//!
//! The order is a set of sessions by rank. A message does not touch it: an entry has the rank that its session had when it
//! was last looked at, and ranks only grow. So an entry at the front that is still right is the one that is looked for, and
//! one that is not is put where it belongs, which happens at most once for each use of a session.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use uuid::Uuid;

use crate::access::peer::Peer;
use crate::engine::state::calls::PendingRequest;
use crate::engine::state::peers::{Counted, Peers, network};
use crate::jsonrpc::id::IdRef;
use crate::limits::Limits;
use crate::memory::Account;
use crate::service::keys::CallKey;
use crate::service::session::Session;
use crate::slab::{Key, Slab};
use crate::timers::{Linked, Nanos, TimerLink, Timers};

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
struct Order {
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

/// One session, or a request that has none and is like a session of its own.
pub(crate) struct SessionEntry {
    pub(crate) session: Session,
    /// Its stream, if a connection carries it: over HTTP+SSE and in lines the session ends with it, over Streamable HTTP it is the
    /// one of a GET, if there is one.
    pub(crate) stream: Option<Key>,
    /// The first of its open calls.
    calls: Option<CallKey>,
    calls_count: u32,
    /// What only a session of Streamable HTTP has.
    pub(crate) streamable: Option<Box<Streamable>>,
    timer: TimerLink,
}

/// What is kept for a request without a session that shares its connection: its entry, and what its client says of itself.
pub(crate) const LONE_BYTES: usize = size_of::<SessionEntry>() + 512;

impl SessionEntry {
    /// True if it has a call or a stream open.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.is_some() || self.stream.is_some()
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Its stream, whether or not a connection carries it.
    pub(crate) fn any_stream(&self) -> Option<Key> {
        self.stream.or_else(|| self.streamable.as_ref()?.lost)
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
    /// When it was last heard of.
    pub(crate) used: Nanos,
    /// Its client has sent something else than `initialize` and lists.
    pub(crate) worked: bool,
    /// Its stream, if that has lost its connection and may get another one.
    pub(crate) lost: Option<Key>,
    /// How many of its streams had a number.
    pub(crate) numbered: u32,
    /// Streams of POSTs that are over and kept for a client that comes back, oldest end first.
    pub(crate) over: VecDeque<Key>,
    /// Where it stands among those that may end for others.
    rank: Option<Rank>,
}

impl Streamable {
    pub(crate) fn new(peer: Peer, now: Nanos) -> Streamable {
        Streamable {
            peer,
            used: now,
            worked: false,
            lost: None,
            numbered: 0,
            over: VecDeque::new(),
            rank: None,
        }
    }

    /// The number of its next stream.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.numbered = self.numbered.saturating_add(1);
        self.numbered
    }
}

/// All sessions, and their calls.
#[derive(Default)]
pub(crate) struct Sessions {
    slab: Slab<SessionEntry>,
    /// How many of them are requests without a session.
    requests: usize,
    /// The slot of each session; its entry repeats the id.
    by_id: HashMap<Uuid, u32>,
    timers: Timers,
    order: Order,
    peers: Peers,
    calls: Slab<PendingRequest>,
    /// What the calls hold.
    held: Account,
}

/// Sessions.
impl Sessions {
    /// With the calls counted in this account.
    pub(crate) fn new(held: Account) -> Sessions {
        Sessions { held, ..Sessions::default() }
    }

    /// Adds a session of this peer.
    pub(crate) fn begin(
        &mut self,
        session: Session,
        peer: &Peer,
        streamable: Option<Box<Streamable>>,
        limits: &Limits,
    ) -> Key {
        let id = session.id;
        self.peers.add(peer, Counted::Session, limits);
        let key = self.insert(session, streamable);
        self.by_id.insert(id, key.index());
        key
    }

    /// Adds a request that has no session.
    pub(crate) fn begin_request(&mut self, session: Session) -> Key {
        self.requests += 1;
        self.insert(session, None)
    }

    fn insert(&mut self, session: Session, streamable: Option<Box<Streamable>>) -> Key {
        let timer = TimerLink::default();
        let (stream, calls, calls_count) = (None, None, 0);
        self.slab.insert(SessionEntry { session, stream, calls, calls_count, streamable, timer })
    }

    /// Takes a session out, whose calls have ended.
    pub(crate) fn end(&mut self, key: Key, peer: &Peer, limits: &Limits) -> Option<SessionEntry> {
        self.set_rank(key, None, limits);
        self.timers.clear(&mut self.slab, key);
        let entry = self.slab.remove(key)?;
        self.by_id.remove(&entry.session.id);
        self.peers.remove(peer, Counted::Session);
        Some(entry)
    }

    /// Takes out a request that has no session. Returns true if it was there.
    pub(crate) fn end_request(&mut self, key: Key) -> bool {
        let ended = self.slab.remove(key).is_some();
        self.requests -= usize::from(ended);
        ended
    }

    pub(crate) fn get(&self, key: Key) -> Option<&SessionEntry> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut SessionEntry> {
        self.slab.get_mut(key)
    }

    /// What only a session of Streamable HTTP has.
    pub(crate) fn streamable_mut(&mut self, key: Key) -> Option<&mut Streamable> {
        self.slab.get_mut(key)?.streamable.as_deref_mut()
    }

    /// The session of that id.
    pub(crate) fn find(&self, id: Uuid) -> Option<(Key, &SessionEntry)> {
        let (key, entry) = self.slab.entry_at(*self.by_id.get(&id)?)?;
        (entry.session.id == id).then_some((key, entry))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &SessionEntry)> {
        self.slab.iter()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    /// Sessions that are open, requests without one left out.
    pub(crate) fn count(&self) -> usize {
        self.slab.len() - self.requests
    }

    /// Requests without a session.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// True if the peer has as many sessions as one may.
    pub(crate) fn has_all(&self, peer: &Peer, limits: &Limits) -> bool {
        self.peers.has_all(peer, Counted::Session, limits)
    }
}

/// Time, and places for others.
impl Sessions {
    /// Sees to it that the session is looked at by this time.
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

    /// The session was heard of. One of HTTP+SSE ends with its stream, so it has no such time.
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
}

/// Calls.
impl Sessions {
    /// Reserves the place of a request's answer on that stream, for which that many bytes are kept besides; `None` if the session
    /// has too many open. A ping always finds room: it is answered at once.
    pub(crate) fn begin_call(
        &mut self,
        session: Key,
        (stream, besides): (Key, usize),
        id: &IdRef<'_>,
        method: &str,
        limits: &Limits,
    ) -> Option<CallKey> {
        let entry = self.slab.get_mut(session)?;
        if entry.calls_count as usize >= limits.calls_max && method != "ping" {
            return None;
        }
        let id = id.clone().into_owned();
        let charge = self.held.charge(PendingRequest::held_bytes(&id, besides));
        let next = entry.calls;
        let call = PendingRequest { session, lone: None, id, stream, cancelled: false, next, charge };
        let key = CallKey(self.calls.insert(call));
        entry.calls = Some(key);
        entry.calls_count += 1;
        Some(key)
    }

    /// Takes a call out of its session and the table; `None` if it is not open.
    pub(crate) fn end_call(&mut self, key: CallKey) -> Option<PendingRequest> {
        let mut ended = self.calls.remove(key.0)?;
        // Before its result is sent, which takes memory of its own.
        ended.charge.set(0);
        let entry = self.slab.get_mut(ended.session)?;
        entry.calls_count -= 1;
        if entry.calls == Some(key) {
            entry.calls = ended.next;
            return Some(ended);
        }
        let mut at = entry.calls;
        while let Some(call) = at.and_then(|key| self.calls.get_mut(key.0)) {
            if call.next == Some(key) {
                call.next = ended.next;
                break;
            }
            at = call.next;
        }
        Some(ended)
    }

    pub(crate) fn call(&self, key: CallKey) -> Option<&PendingRequest> {
        self.calls.get(key.0)
    }

    pub(crate) fn call_mut(&mut self, key: CallKey) -> Option<&mut PendingRequest> {
        self.calls.get_mut(key.0)
    }

    pub(crate) fn calls_count(&self) -> usize {
        self.calls.len()
    }

    /// The open calls of a session.
    pub(crate) fn calls_of(&self, session: Key) -> impl Iterator<Item = (CallKey, &PendingRequest)> {
        let first = self.slab.get(session).and_then(|entry| entry.calls);
        let all = std::iter::successors(first, |key| self.calls.get(key.0)?.next);
        all.filter_map(|key| Some((key, self.calls.get(key.0)?)))
    }

    /// The open calls of a session with that id. Over Streamable HTTP there can be several: each POST has its own answer,
    /// so clients need not number them.
    pub(crate) fn calls_of_id(&self, session: Key, id: &IdRef<'_>) -> impl Iterator<Item = CallKey> {
        self.calls_of(session).filter(|(_, call)| call.id == *id).map(|(key, _)| key)
    }
}
