//! The sessions with their calls.
//!
//! *Scope:* [`Sessions`]: entries, ids, calls. *Not in scope:* when sessions begin and end (`core`).

#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod requests;
#[cfg(feature = "streamable")]
pub(crate) mod streamable;

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::access::peer::Peer;
use crate::engine::observe::Transport;
use crate::engine::state::peers::{Counted, Peers};
#[cfg(feature = "streamable")]
use crate::engine::state::sessions::streamable::Streamable;
use crate::jsonrpc::id::{Id, IdRef};
use crate::limits::Limits;
use crate::memory::{Account, BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::keys::CallKey;
use crate::service::session::Session;
use crate::slab::{Key, Slab};
use crate::timers::{Linked, TimerLink, Timers};

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
    #[cfg(feature = "streamable")]
    pub(crate) streamable: Option<Box<Streamable>>,
    timer: TimerLink,
    /// How its requests come, and when it began, in microseconds of [`Now::mono`](crate::timers::Now::mono). Both are set once it is announced.
    pub(crate) transport: Transport,
    begun_micros: u64,
}

impl Linked for SessionEntry {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// What is kept for a request without a session that shares its connection: its entry, and what its client says of itself.
#[cfg(feature = "stateless")]
pub(crate) const LONE_BYTES: usize = size_of::<SessionEntry>() + 512;

impl SessionEntry {
    /// Notes when it began. Returns how its requests come.
    pub(crate) fn begin(&mut self, now: Duration, is_lines: bool) -> Transport {
        #[cfg(feature = "streamable")]
        let is_streamable = self.streamable.is_some();
        #[cfg(not(feature = "streamable"))]
        let is_streamable = false;
        self.begun_micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.transport = match (is_lines, is_streamable) {
            (true, _) => Transport::Lines,
            (false, true) => Transport::Streamable,
            (false, false) => Transport::Sse,
        };
        self.transport
    }

    /// How long it has been open.
    pub(crate) fn lasted(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.begun_micros))
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Its stream, whether or not a connection carries it.
    pub(crate) fn any_stream(&self) -> Option<Key> {
        #[cfg(feature = "resume")]
        if self.stream.is_none() {
            return self.streamable.as_ref()?.kept.lost;
        }
        self.stream
    }
}

/// One request that waits for its result.
pub(crate) struct PendingRequest {
    /// The session among whose calls it is.
    pub(crate) session: Key,
    /// What stands in for its session, if it has none and shares a connection of lines with others.
    #[cfg(feature = "stateless")]
    pub(crate) lone: Option<Key>,
    pub(crate) id: Id,
    /// The stream that its result goes to; the key is dead if that is gone.
    pub(crate) stream: Key,
    /// It is being cancelled: a result that comes now comes too late.
    pub(crate) cancelled: bool,
    /// The next one of its session.
    pub(crate) next: Option<CallKey>,
    pub(crate) charge: Charge,
}

impl PendingRequest {
    /// The session that the service knows it by.
    pub(crate) fn service_session(&self) -> Key {
        #[cfg(feature = "stateless")]
        if let Some(lone) = self.lone {
            return lone;
        }
        self.session
    }

    /// Returns the memory that the engine keeps for one, whose id may be as long as a message, and `besides`.
    pub(crate) fn held_bytes(id: &Id, besides: usize) -> usize {
        let id = match id {
            Id::Int(_) => 0,
            Id::Str(text) => text.len() + BLOCK_OVERHEAD_BYTES,
        };
        size_of::<PendingRequest>() + id + besides
    }
}

/// All sessions, and their calls.
#[derive(Default)]
pub(crate) struct Sessions {
    slab: Slab<SessionEntry>,
    timers: Timers,
    /// How many of them are requests without a session.
    requests: usize,
    /// The slot of each session; its entry repeats the id.
    by_id: HashMap<Uuid, u32>,
    peers: Peers,
    calls: Slab<PendingRequest>,
    /// What the calls hold.
    held: Account,
}

/// Sessions.
impl Sessions {
    /// Returns an empty table whose calls are counted in this account.
    pub(crate) fn new(held: Account) -> Sessions {
        Sessions { held, ..Sessions::default() }
    }

    /// Adds a session of this peer.
    pub(crate) fn begin(&mut self, session: Session, peer: &Peer, limits: &Limits) -> Key {
        let id = session.id;
        self.peers.add(peer, Counted::Session, limits);
        let key = self.insert(session);
        self.by_id.insert(id, key.index());
        key
    }

    fn insert(&mut self, session: Session) -> Key {
        self.slab.insert(SessionEntry {
            session,
            stream: None,
            calls: None,
            calls_count: 0,
            #[cfg(feature = "streamable")]
            streamable: None,
            timer: TimerLink::default(),
            transport: Transport::Streamable,
            begun_micros: 0,
        })
    }

    /// Removes a session whose calls have ended.
    pub(crate) fn end(&mut self, key: Key, peer: &Peer) -> Option<SessionEntry> {
        self.timers.clear(&mut self.slab, key);
        let entry = self.slab.remove(key)?;
        self.by_id.remove(&entry.session.id);
        self.peers.remove(peer, Counted::Session);
        Some(entry)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&SessionEntry> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut SessionEntry> {
        self.slab.get_mut(key)
    }

    /// Returns the place of the session with that id.
    pub(crate) fn place_of(&self, id: Uuid) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Returns the session with that id, which was at that place: it still is there, unless it has ended.
    pub(crate) fn find_at(&self, place: u128, id: Uuid) -> Option<(Key, &SessionEntry)> {
        let at = |place| self.slab.entry_at(place).filter(|(_, entry)| entry.session.id == id);
        u32::try_from(place).ok().and_then(at).or_else(|| at(self.place_of(id)?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &SessionEntry)> {
        self.slab.iter()
    }

    /// Sessions that are open, requests without one left out.
    pub(crate) fn count(&self) -> usize {
        self.slab.len() - self.requests
    }

    /// Requests without a session.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// True if the peer has as many sessions as its limit allows.
    pub(crate) fn is_at_limit(&self, peer: &Peer, limits: &Limits) -> bool {
        self.peers.is_at_limit(peer, Counted::Session, limits)
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
        let call = PendingRequest {
            session,
            #[cfg(feature = "stateless")]
            lone: None,
            id,
            stream,
            cancelled: false,
            next,
            charge,
        };
        let key = CallKey(self.calls.insert(call));
        entry.calls = Some(key);
        entry.calls_count += 1;
        Some(key)
    }

    /// Removes a call from its session and the table; `None` if it is not open.
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
