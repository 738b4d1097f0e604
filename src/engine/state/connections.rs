//! The connections: which of them have something to do, when they are to be looked at, and how many one address has.
//!
//! *Scope:* [`Connections`], [`Connection`] and who was admitted on it. *Not in scope:* what is done with them (`core`).
//!
//! ```text
//!  open ──▶ with, turn ──▶ ready queue ──▶ next_ready ──▶ written to, or scheduled ──▶ take_due ──▶ close ──▶ remove
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::access::peer::Peer;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::negotiate::McpMethod;
use crate::engine::state::peers::{Counted, Peers};
use crate::http::conn::Conn;
use crate::limits::Limits;
use crate::slab::{Key, Slab};
use crate::timers::{Linked, TimerLink, Timers};

/// What a request is for, once it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A new session of HTTP+SSE.
    Stream,
    /// The head that a session of HTTP+SSE would get.
    StreamHead,
    /// A message into this session of HTTP+SSE.
    Message(Key),
    /// What Streamable HTTP has on its path.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Mcp(McpMethod),
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) http: Conn,
    /// Who is at the other end; the principal is that of the present request.
    pub(crate) peer: Peer,
    /// As what it is counted.
    counted: Counted,
    /// Only where a hook authorizes requests.
    #[cfg(feature = "auth")]
    pub(crate) admitted: Option<Box<crate::engine::state::auth::Admitted>>,
    /// What the request is for whose body is on its way.
    pub(crate) awaited: Option<Box<Target>>,
    /// The stream that it carries.
    pub(crate) stream: Option<Key>,
    timer: TimerLink,
    queued: bool,
    /// The observer was told of a request without a session.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) is_sessionless: bool,
    /// The last write was short, and no writable event has come since.
    pub(crate) blocked: bool,
    /// The driver was told to stop reading.
    pub(crate) paused: bool,
    closing: bool,
}

impl Connection {
    /// True if it is about to be taken out.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// All connections.
#[derive(Default)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    timers: Timers,
    /// Those that may have something to do; each is in it once.
    ready: VecDeque<Key>,
    peers: Peers,
}

impl Connections {
    pub(crate) fn open(&mut self, http: Conn, peer: Peer, counted: Counted, limits: &Limits) -> Key {
        self.peers.add(&peer, counted, limits);
        self.slab.insert(Connection {
            http,
            peer,
            counted,
            #[cfg(feature = "auth")]
            admitted: None,
            awaited: None,
            stream: None,
            timer: TimerLink::default(),
            queued: false,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            is_sessionless: false,
            blocked: false,
            paused: false,
            closing: false,
        })
    }

    /// True if the peer has as many as one may.
    pub(crate) fn has_all(&self, peer: &Peer, counted: Counted, limits: &Limits) -> bool {
        self.peers.has_all(peer, counted, limits)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Connection> {
        self.slab.get(key)
    }

    /// Changes a connection, and has it looked at afterwards: it may have something to write by then, or another deadline.
    pub(crate) fn with<R>(&mut self, key: Key, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let conn = self.slab.get_mut(key)?;
        if !conn.queued {
            conn.queued = true;
            self.ready.push_back(key);
        }
        Some(act(conn))
    }

    /// Has a connection looked at.
    pub(crate) fn enqueue(&mut self, key: Key) {
        self.with(key, |_| {});
    }

    /// A connection during its turn, which was enqueued at the beginning of it, or to change what leaves nothing to do.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.slab.get_mut(key)
    }

    /// Moves a connection behind those that are looked at because of what it has caused: most often it is the last one.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn dequeue(&mut self, key: Key) {
        if let Some(at) = self.ready.iter().rposition(|ready| *ready == key) {
            self.ready.remove(at);
        }
        if let Some(conn) = self.slab.get_mut(key) {
            conn.queued = false;
        }
    }

    /// The next one that may have something to do.
    pub(crate) fn next_ready(&mut self) -> Option<Key> {
        loop {
            let key = self.ready.pop_front()?;
            if let Some(conn) = self.slab.get_mut(key) {
                conn.queued = false;
                return Some(key);
            }
        }
    }

    /// Sees to it that the connection is looked at by this time.
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

    /// Marks a connection for closing. It is taken out when it is looked at, never in the middle of something.
    pub(crate) fn close(&mut self, key: Key) {
        self.with(key, |conn| conn.closing = true);
    }

    /// Marks the connection that has been idle longest between two requests, among those that `may` takes by their peer and
    /// the time since which they are idle. Returns true if there was one.
    pub(crate) fn close_idle(&mut self, may: impl Fn(&Peer, Duration) -> bool) -> bool {
        let open = self.slab.iter().filter(|(_, conn)| !conn.closing);
        let idle = open.filter_map(|(key, conn)| Some((conn.http.idle_since()?, key, &conn.peer)));
        let longest =
            idle.filter(|(since, _, peer)| may(peer, *since)).map(|(since, key, _)| (since, key)).min();
        longest.inspect(|(_, key)| self.close(*key)).is_some()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Connection> {
        self.timers.clear(&mut self.slab, key);
        let conn = self.slab.remove(key)?;
        self.peers.remove(&conn.peer, conn.counted);
        Some(conn)
    }

    /// The key behind a token, unless it is dead.
    pub(crate) fn find(&self, token: u32) -> Option<Key> {
        self.slab.find(token)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.slab.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slab.values_mut()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}
