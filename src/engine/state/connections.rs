//! The connections: which are ready, when each is due, and how many one address has.
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
use crate::http::conn::close::CloseReason;
use crate::http::conn::time::Rest;
use crate::http::conn::{After, Conn};
use crate::http::response::Common;
use crate::limits::Limits;
use crate::slab::{Key, Slab};
use crate::timers::{Linked, Nanos, TimerLink, Timers};

/// What a request is for. `S` names the session of a message: by its id in the URL, and once it is admitted by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<S> {
    /// `GET /sse`: a new session of HTTP+SSE. The query is copied into its endpoint.
    Stream,
    /// `HEAD /sse`: the head that a session would get, and no session.
    StreamHead,
    /// `POST /messages`: a message into this session of HTTP+SSE.
    Message(S),
    /// What Streamable HTTP has on its path, `/mcp`.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Mcp(McpMethod),
    /// A route of the server's author, by its number.
    Route(usize),
}

impl<S> Target<S> {
    /// True if its request has a body.
    pub(crate) fn has_body(&self) -> bool {
        match self {
            Target::Stream | Target::StreamHead => false,
            Target::Message(_) | Target::Route(_) => true,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            Target::Mcp(method) => *method == McpMethod::Post,
        }
    }
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) http: Conn,
    /// Who is at the other end; the principal is that of the current request.
    pub(crate) peer: Peer,
    /// How it counts against the limit of its address.
    counted: Counted,
    /// Only where a hook authorizes requests.
    #[cfg(feature = "auth")]
    pub(crate) admitted: Option<Box<crate::engine::state::auth::Admitted>>,
    /// What the request is for whose body is being received.
    pub(crate) awaited: Option<Box<Target<Key>>>,
    /// The stream that it carries.
    pub(crate) stream: Option<Key>,
    timer: TimerLink,
    queued: bool,
    /// The mount of the request that was read last, as in [`Session::mount`](crate::service::session::Session).
    pub(crate) mount: u8,
    /// What was noted of it, a bit each, so that an idle connection stays small.
    marks: u8,
    /// The last write was short, and no writable event has come since.
    pub(crate) blocked: bool,
    /// The driver was told to stop reading.
    pub(crate) paused: bool,
    /// Its kept requests wait for the next turn of the loop.
    put_off: bool,
    closing: Option<CloseReason>,
}

/// The gate has admitted a request of it.
const ADMITTED: u8 = 1;
/// A request without a session was reported.
#[cfg(any(feature = "streamable", feature = "stateless"))]
const SESSIONLESS: u8 = 2;
/// Its timer is set to no later than its deadline in this [`Rest`], and has not gone off since.
const TIMED: [(Rest, u8); 2] = [(Rest::Request, 4), (Rest::Stream, 8)];

impl Connection {
    /// Notes that the gate has admitted a request of it.
    pub(crate) fn note_admitted(&mut self) {
        self.marks |= ADMITTED;
    }

    /// Notes that a request without a session is reported. Returns true if none was before.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn note_sessionless(&mut self) -> bool {
        let is_first = self.marks & SESSIONLESS == 0;
        self.marks |= SESSIONLESS;
        is_first
    }

    /// Ends it. Returns why, and how many bytes of output are lost.
    pub(crate) fn end(&mut self, common: &mut Common) -> Option<(CloseReason, usize)> {
        self.http.abort(self.closing.unwrap_or(CloseReason::Broken), common);
        self.http.closed()
    }

    /// How many bytes it can free. Answers that its socket was not offered yet leave at the end of this turn: what they answer
    /// was done, and a client that reads must learn of it. They end a turn at `turn_bytes_max`.
    pub(crate) fn sheddable_bytes(&self, limits: &Limits) -> usize {
        let answers = if self.has_new_answers(limits) { self.http.unsent_bytes() } else { 0 };
        self.http.held() - answers
    }

    /// How many bytes came that were not taken up.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.http.held() - self.http.unsent_bytes()
    }

    /// True if it takes bytes: what is kept already comes first.
    pub(crate) fn wants_read(&self) -> bool {
        self.http.wants_read() && !self.put_off
    }

    /// True if all of its output is answers that its socket was not offered yet.
    pub(crate) fn has_new_answers(&self, limits: &Limits) -> bool {
        let is_answers = !self.http.is_stream() && !self.http.is_lines() && !self.http.is_chunking();
        is_answers && !self.blocked && self.http.unsent_bytes() <= 2 * limits.turn_bytes_max
    }

    /// True if its client has finished a request that was admitted.
    fn has_finished_a_request(&self) -> bool {
        self.marks & ADMITTED != 0 && (self.stream.is_some() || self.http.has_finished_a_request())
    }

    /// True if its client has a principal, or has finished a request.
    pub(crate) fn is_proven(&self) -> bool {
        self.peer.principal.is_some() || self.has_finished_a_request() || self.http.is_lines()
    }

    /// True if it waits for an answer, for its client to read one, or carries a stream.
    pub(crate) fn waits(&self) -> bool {
        self.stream.is_some() || self.blocked || self.http.is_lines()
    }

    /// True if it is open only until its client has read that it is refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.counted == Counted::Refused
    }

    /// True if it carries health checks and nothing else.
    pub(crate) fn is_for_health(&self) -> bool {
        self.counted == Counted::Health
    }

    /// True if it is closed without anybody's doing in this turn, or in the next one.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closing() || !self.blocked && self.http.is_over()
    }

    /// True if it takes one of the places of `connections_max`.
    pub(crate) fn has_place(&self) -> bool {
        self.counted == Counted::Connection && !self.is_closing()
    }

    /// Returns how much harm it does to close it for a new connection, and since when it is in that state; `None` if it must
    /// not be closed for one.
    pub(crate) fn harm_of_eviction(&self) -> Option<(u8, Duration)> {
        if self.waits() || !self.has_place() {
            return None;
        }
        if let Some(since) = self.http.lingers_since() {
            return Some((0, since));
        }
        let (idle, receives) = (self.http.idle_since(), self.http.receives_since());
        match self.has_finished_a_request() {
            false => idle.or(receives).map(|since| (1, since)),
            true => idle.map(|since| (2, since)).or(receives.map(|since| (3, since))),
        }
    }

    /// True if nothing is to be done with it before something arrives for it, or its deadline passes.
    pub(crate) fn is_settled(&self, limits: &Limits) -> bool {
        let has_action = self.is_closing() || self.paused || self.http.next() != After::Open;
        !has_action && self.http.outgoing().is_empty() && !self.http.wants_turn(limits)
    }

    /// The mark of its present rest; 0 if it has none.
    fn rest_mark(&self) -> u8 {
        let rest = self.http.rest();
        TIMED.iter().find(|(timed, _)| Some(*timed) == rest).map_or(0, |(_, mark)| *mark)
    }

    /// True if its timer needs no look at its deadline, which has only become later since it was set.
    pub(crate) fn is_timed(&self) -> bool {
        self.marks & self.rest_mark() != 0
    }

    /// True if it is about to be removed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Notes that it carries no stream any more, and drops the head that was kept of its request.
    pub(crate) fn forget_stream(&mut self) {
        self.stream = None;
        #[cfg(feature = "auth")]
        if let Some(admitted) = &mut self.admitted {
            admitted.keep(Box::default());
        }
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// All connections.
pub(crate) struct Connections {
    slab: Slab<Connection>,
    timers: Timers,
    /// Connections that may have something to do; each is in the queue once.
    ready: VecDeque<Key>,
    /// Connections whose kept requests wait for the next turn of the loop.
    put_off: VecDeque<Key>,
    peers: Peers,
    /// Those that are open only until their clients have read that they are refused.
    refused: usize,
    /// Those that carry health checks and nothing else.
    for_health: usize,
    /// How many may wait for an answer or carry a stream.
    waiting_max: usize,
    /// How many more certainly have a place to wait, though not counted again.
    known_places: usize,
}

impl Connections {
    pub(crate) fn new(limits: &Limits) -> Connections {
        let reserve = limits.connections_max.saturating_mul(limits.connections_reserve_percent) / 100;
        Connections {
            slab: Slab::default(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            put_off: VecDeque::new(),
            peers: Peers::default(),
            refused: 0,
            for_health: 0,
            waiting_max: limits.connections_max.saturating_sub(reserve),
            known_places: 0,
        }
    }

    pub(crate) fn open(&mut self, http: Conn, peer: Peer, counted: Counted, limits: &Limits) -> Key {
        self.peers.add(&peer, counted, limits);
        self.refused += usize::from(counted == Counted::Refused);
        self.for_health += usize::from(counted == Counted::Health);
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
            mount: 0,
            marks: 0,
            blocked: false,
            paused: false,
            put_off: false,
            closing: None,
        })
    }

    /// True if the peer has as many connections as its limit allows.
    pub(crate) fn is_at_limit(&self, peer: &Peer, counted: Counted, limits: &Limits) -> bool {
        self.peers.is_at_limit(peer, counted, limits)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Connection> {
        self.slab.get(key)
    }

    /// Changes a connection and enqueues it, since it may then have output or another deadline.
    pub(crate) fn with<R>(&mut self, key: Key, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let conn = self.slab.get_mut(key)?;
        if !conn.queued {
            conn.queued = true;
            self.ready.push_back(key);
        }
        Some(act(conn))
    }

    /// Adds a connection to the ready queue.
    pub(crate) fn enqueue(&mut self, key: Key) {
        self.with(key, |_| {});
    }

    /// Returns a connection without enqueuing it: in its own turn, at whose beginning it was enqueued, or for a change that
    /// leaves nothing to do.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.slab.get_mut(key)
    }

    /// Removes a connection from the ready queue, so that it can be added again behind those that it has caused to be added.
    /// Most often it is the last one.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn dequeue(&mut self, key: Key) {
        if let Some(at) = self.ready.iter().rposition(|ready| *ready == key) {
            self.ready.remove(at);
        }
        if let Some(conn) = self.slab.get_mut(key) {
            conn.queued = false;
        }
    }

    /// Returns the next connection that may have something to do.
    pub(crate) fn next_ready(&mut self) -> Option<Key> {
        loop {
            let key = self.ready.pop_front()?;
            if let Some(conn) = self.slab.get_mut(key) {
                conn.queued = false;
                return Some(key);
            }
        }
    }

    /// Puts off the kept requests of a connection to the next turn of the loop.
    pub(crate) fn put_off(&mut self, key: Key) {
        if let Some(conn) = self.slab.get_mut(key).filter(|conn| !conn.put_off) {
            conn.put_off = true;
            self.put_off.push_back(key);
        }
    }

    /// Returns the next connection whose kept requests were put off.
    pub(crate) fn next_put_off(&mut self) -> Option<Key> {
        let key = self.put_off.pop_front()?;
        self.with(key, |conn| conn.put_off = false);
        Some(key)
    }

    pub(crate) fn are_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Makes the connection due at this time at the latest.
    pub(crate) fn wake_by(&mut self, key: Key, deadline: Nanos) {
        self.timers.wake_by(&mut self.slab, key, deadline);
        if let Some(conn) = self.slab.get_mut(key) {
            conn.marks |= conn.rest_mark();
        }
    }

    /// Returns the connections that are due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<Key> {
        let due = self.timers.due(&mut self.slab, now);
        for key in &due {
            if let Some(conn) = self.slab.get_mut(*key) {
                TIMED.iter().for_each(|(_, mark)| conn.marks &= !mark);
            }
        }
        due
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Marks a connection for closing. It is removed when `poll` comes to it, never in the middle of another step.
    pub(crate) fn close(&mut self, key: Key, reason: CloseReason) {
        self.with(key, |conn| conn.closing = conn.closing.or(Some(reason)));
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Connection> {
        self.timers.clear(&mut self.slab, key);
        let conn = self.slab.remove(key)?;
        self.refused -= usize::from(conn.counted == Counted::Refused);
        self.for_health -= usize::from(conn.counted == Counted::Health);
        self.peers.remove(&conn.peer, conn.counted);
        Some(conn)
    }

    /// Returns the key of a token, unless it is dead.
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

    /// How many may wait for an answer or carry a stream.
    pub(crate) fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// Notes how many more have a place to wait.
    pub(crate) fn know_places(&mut self, count: usize) {
        self.known_places = count;
    }

    /// Takes one of the places that are known. Returns false if they have to be counted again.
    pub(crate) fn take_known_place(&mut self) -> bool {
        let known = self.known_places > 0;
        self.known_places = self.known_places.saturating_sub(1);
        known
    }

    /// How many are refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// How many have a place of `connections_max`.
    pub(crate) fn placed(&self) -> usize {
        self.slab.len() - self.refused - self.for_health
    }

    /// True if there is none that a shutdown waits for.
    pub(crate) fn is_empty(&self) -> bool {
        self.slab.len() == self.for_health
    }
}
