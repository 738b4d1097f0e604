//! The real engine without a socket: a driver with virtual time, sockets that cut and stall, and a client's view of them.
//!
//! *Scope:* [`World`] drives an [`Engine`] as its contract says and asserts what every driver may rely on; [`demo`]
//! builds the server under test; [`http`] is a small reader of responses that shares no code with the library.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod demo;
pub mod http;
pub mod questions;
pub mod random;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::engine::{Action, ConnKey, Engine, Event, Stats};
use mcp_rill::{Limits, Now, Server};
use mcp_rill::{Peer, Principal};
use serde_json::Value;

use random::Random;

/// How a stream of bytes is cut into pieces.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// As much as there is.
    Whole,
    /// One byte at a time.
    Bytes,
    /// The first piece has this many bytes, the rest is whole.
    At(usize),
    /// Pieces of pseudo-random length from this seed; for writes also 0, which is `WouldBlock`.
    Torn(u64),
}

impl Cut {
    /// Every kind of cut, a few seeds of the random one.
    pub fn kinds() -> impl Iterator<Item = Cut> {
        [Cut::Whole, Cut::Bytes].into_iter().chain((1..=6).map(Cut::Torn))
    }
}

/// A client's socket, by its place in [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sock(usize);

/// Both ends of one socket and the kernel between them.
struct Side {
    key: ConnKey,
    /// Sent by the client, not yet read by the server.
    inbound: VecDeque<u8>,
    /// The client half-closed after `inbound`.
    eof: bool,
    eof_told: bool,
    /// Written by the server.
    outbound: Vec<u8>,
    /// How many bytes of `outbound` the test has looked at.
    seen: usize,
    /// How many more bytes the kernel takes; `None` is no bound: the client reads at once.
    window: Option<usize>,
    /// The engine was told of a short write and waits for `writable`.
    blocked: bool,
    /// `wants_read` said no: the driver does not ask again until `Action::Read`.
    paused: bool,
    first_write: bool,
    first_read: bool,
    half_closed: bool,
    closed: bool,
}

/// What the engine's observer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Opened,
    Closed,
    /// The port of its peer, and how long it was idle.
    Evicted(Option<u16>, Duration),
    Refused(u16, String),
    SlowReader(usize),
    Large(usize),
    /// An answer to nothing: its id, and its error.
    Stray(String, Option<String>),
    /// A cancellation by an id that so many requests have.
    Ambiguous(String, usize),
    HandlerFault(String),
    ToolName(String),
    WorkersLeft(usize),
}

/// An engine, its driver, and the clients around it.
pub struct World {
    pub engine: Engine,
    pub now: Now,
    sides: Vec<Side>,
    /// Places in `sides` that the next connections take.
    released: Vec<usize>,
    reads: Cut,
    writes: Cut,
    random: Random,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The order of the writes since the last look.
    pub written: Vec<Sock>,
}

/// A client's stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub sock: Sock,
    /// The response's head, as text.
    pub head: String,
    /// What the `endpoint` event said.
    pub endpoint: String,
}

impl Stream {
    /// The session's id.
    pub fn id(&self) -> &str {
        self.endpoint.rsplit_once("sessionId=").unwrap().1
    }
}

/// When the tests begin: 2001-09-09 01:46:40 UTC.
const UNIX: Duration = Duration::from_secs(1_000_000_000);
/// `Date` at that time.
pub const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

pub fn local() -> Peer {
    Peer { loopback: true, ..Peer::default() }
}

pub fn principal(name: &str) -> Peer {
    Peer { principal: Some(Principal::new(name)), ..local() }
}

/// Ids that tell the sessions apart; that they are unpredictable is not what is tested here.
pub fn counted() -> impl FnMut() -> u128 + Send {
    let mut ids = 0;
    move || {
        ids += 1;
        ids
    }
}

impl World {
    pub fn new(server: Server) -> World {
        World::cut(server, Cut::Whole, Cut::Whole)
    }

    /// The demo server with these limits.
    pub fn with(limits: Limits) -> World {
        World::new(demo::server().limits(limits))
    }

    /// With reads and writes cut.
    pub fn cut(server: Server, reads: Cut, writes: Cut) -> World {
        World::driving(Engine::new(server, counted()).unwrap(), reads, writes)
    }

    /// For an engine that has no waker yet.
    pub fn driving(mut engine: Engine, reads: Cut, writes: Cut) -> World {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        engine.on_event(move |event| {
            let event = match event {
                Event::SessionOpened { .. } => Seen::Opened,
                Event::SessionClosed { .. } => Seen::Closed,
                Event::SessionEvicted { peer, idle } => {
                    Seen::Evicted(peer.address.map(|address| address.port()), *idle)
                }
                Event::Refused { status, reason, .. } => Seen::Refused(*status, (*reason).to_owned()),
                Event::SlowReader { backlog_bytes, .. } => Seen::SlowReader(*backlog_bytes),
                Event::LargeMessage { bytes } => Seen::Large(*bytes),
                Event::StrayAnswer { id, error, .. } => {
                    Seen::Stray((*id).to_owned(), error.map(str::to_owned))
                }
                Event::AmbiguousCancel { id, calls, .. } => Seen::Ambiguous((*id).to_owned(), *calls),
                Event::HandlerFault { problem } => Seen::HandlerFault((*problem).to_owned()),
                Event::ToolName { name } => Seen::ToolName((*name).to_owned()),
                Event::WorkersLeft { count } => Seen::WorkersLeft(*count),
                _ => return,
            };
            sink.lock().unwrap().push(event);
        });
        let seed = match (reads, writes) {
            (Cut::Torn(seed), _) | (_, Cut::Torn(seed)) => seed,
            _ => 0,
        };
        let now = Now { mono: Duration::ZERO, unix: UNIX };
        World {
            engine,
            now,
            sides: Vec::new(),
            released: Vec::new(),
            reads,
            writes,
            random: Random::new(seed),
            seen,
            written: Vec::new(),
        }
    }

    /// What the observer saw since the last call.
    pub fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    // The client's side.

    pub fn connect(&mut self) -> Sock {
        self.connect_as(local())
    }

    pub fn connect_as(&mut self, peer: Peer) -> Sock {
        let key = self.engine.open(self.now, peer);
        self.connected(key)
    }

    /// Opens a connection whose messages are lines.
    pub fn connect_lines(&mut self) -> Sock {
        self.connect_lines_as(local())
    }

    pub fn connect_lines_as(&mut self, peer: Peer) -> Sock {
        let key = self.engine.open_lines(self.now, peer);
        self.connected(key)
    }

    fn connected(&mut self, key: ConnKey) -> Sock {
        assert_eq!(self.engine.find(key.token()), Some(key));
        let side = Side {
            key,
            inbound: VecDeque::new(),
            eof: false,
            eof_told: false,
            outbound: Vec::new(),
            seen: 0,
            window: None,
            blocked: false,
            paused: false,
            first_write: true,
            first_read: true,
            half_closed: false,
            closed: false,
        };
        let at = self.released.pop().unwrap_or(self.sides.len());
        match self.sides.get_mut(at) {
            Some(place) => *place = side,
            None => self.sides.push(side),
        }
        self.run();
        Sock(at)
    }

    /// Gives back all that is kept of a connection that is closed: the next one takes its place.
    pub fn release(&mut self, sock: Sock) {
        assert!(self.closed(sock));
        self.forget(sock);
        self.released.push(sock.0);
    }

    /// Puts bytes on their way without letting the server read them yet.
    pub fn queue(&mut self, sock: Sock, bytes: impl AsRef<[u8]>) {
        self.sides[sock.0].inbound.extend(bytes.as_ref());
    }

    /// Sends bytes and lets the server work until it waits.
    pub fn send(&mut self, sock: Sock, bytes: impl AsRef<[u8]>) {
        self.queue(sock, bytes);
        self.run();
    }

    /// The client will send no more.
    pub fn half_close(&mut self, sock: Sock) {
        self.sides[sock.0].eof = true;
        self.run();
    }

    /// The connection breaks.
    pub fn reset(&mut self, sock: Sock) {
        self.sides[sock.0].inbound.clear();
        self.engine.hang_up(self.now, self.sides[sock.0].key);
        self.run();
    }

    /// From now on the client reads this many bytes, and no more: what exceeds them fills the kernel.
    pub fn reads_only(&mut self, sock: Sock, bytes: usize) {
        self.sides[sock.0].window = Some(bytes);
        self.run();
    }

    /// The client reads again.
    pub fn reads_all(&mut self, sock: Sock) {
        self.sides[sock.0].window = None;
        self.run();
    }

    /// What the server sent since the last look.
    pub fn take(&mut self, sock: Sock) -> Vec<u8> {
        let side = &mut self.sides[sock.0];
        let new = side.outbound[side.seen..].to_vec();
        side.seen = side.outbound.len();
        new
    }

    /// Gives back the memory of what the server sent, where there is much of it.
    pub fn forget(&mut self, sock: Sock) {
        let side = &mut self.sides[sock.0];
        (side.outbound, side.seen) = (Vec::new(), 0);
        self.written.clear();
    }

    pub fn take_text(&mut self, sock: Sock) -> String {
        String::from_utf8(self.take(sock)).unwrap()
    }

    /// Bytes that the server has not read.
    pub fn unread(&self, sock: Sock) -> usize {
        self.sides[sock.0].inbound.len()
    }

    /// Whether the client has seen the end of what the server sends.
    pub fn ended(&self, sock: Sock) -> bool {
        self.sides[sock.0].half_closed || self.sides[sock.0].closed
    }

    /// Whether the server dropped the socket.
    pub fn closed(&self, sock: Sock) -> bool {
        self.sides[sock.0].closed
    }

    /// True if the server would read now what is sent.
    pub fn wants_read(&mut self, sock: Sock) -> bool {
        let side = &mut self.sides[sock.0];
        if side.closed || side.paused {
            return false;
        }
        side.paused = !self.engine.wants_read(side.key);
        !side.paused
    }

    /// True if the server waits until the client reads again.
    pub fn blocked(&self, sock: Sock) -> bool {
        self.sides[sock.0].blocked
    }

    pub fn key(&self, sock: Sock) -> ConnKey {
        self.sides[sock.0].key
    }

    // The driver's side.

    /// Reads and writes until there is nothing left to do.
    pub fn run(&mut self) {
        loop {
            self.drain();
            let mut busy = false;
            for at in 0..self.sides.len() {
                busy |= self.read(at);
                busy |= self.unblock(at);
            }
            if !busy {
                break;
            }
        }
        assert!(matches!(self.engine.poll(), Action::Wait(_)), "drained means drained");
    }

    /// Time passes, deadline by deadline, as a driver would sleep.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            self.run();
            let next = self.deadline().filter(|due| *due <= end);
            let Some(due) = next else { break };
            // Mail may be left for a few turns more.
            let turns = (0..1000).take_while(|_| {
                self.jump(due.max(self.now.mono));
                self.run();
                self.deadline().is_some_and(|again| again <= due)
            });
            let turns = turns.count();
            assert!(turns < 1000, "a deadline that was met comes again and again: the driver would spin");
        }
        self.jump(end);
        self.run();
    }

    /// Time passes in one leap: the machine slept.
    pub fn jump(&mut self, to: Duration) {
        self.now.unix += to - self.now.mono;
        self.now.mono = to;
        self.engine.tick(self.now);
    }

    pub fn deadline(&mut self) -> Option<Duration> {
        match self.engine.poll() {
            Action::Wait(deadline) => deadline,
            action => panic!("not drained: {action:?}"),
        }
    }

    pub fn shutdown(&mut self, grace: Duration) {
        self.engine.shutdown(self.now, grace);
        self.run();
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.engine.poll() {
                Action::Write(key) => self.write(key),
                Action::Read(key) => {
                    assert!(self.engine.wants_read(key));
                    let side = self.side(key);
                    assert!(side.paused && !side.closed, "reading never stopped");
                    side.paused = false;
                }
                Action::HalfClose(key) => {
                    assert!(self.engine.outgoing(key).is_empty());
                    let side = self.side(key);
                    assert!(!side.half_closed && !side.closed);
                    side.half_closed = true;
                }
                Action::Close(key) => {
                    let side = self.side(key);
                    assert!(!side.closed, "closed twice");
                    side.closed = true;
                    side.inbound.clear();
                    assert_eq!(self.engine.find(key.token()), None);
                    assert!(
                        self.engine.outgoing(key).is_empty() && !self.engine.wants_read(key),
                        "a dead key is alive"
                    );
                }
                Action::Wait(_) => return,
            }
        }
        panic!("the engine never waits");
    }

    fn side(&mut self, key: ConnKey) -> &mut Side {
        self.sides.iter_mut().find(|side| side.key == key).expect("actions name open connections")
    }

    fn write(&mut self, key: ConnKey) {
        let at = self.sides.iter().position(|side| side.key == key).unwrap();
        let outgoing = self.engine.outgoing(key);
        assert!(!outgoing.is_empty(), "asked to write nothing");
        let side = &mut self.sides[at];
        assert!(!side.blocked, "asked to write before the socket was writable again");
        assert!(!side.closed && !side.half_closed, "asked to write to a closed socket");
        let most = outgoing.len().min(side.window.unwrap_or(usize::MAX));
        let count = match self.writes {
            Cut::Whole => most,
            Cut::Bytes => most.min(1),
            Cut::At(first) if std::mem::take(&mut side.first_write) => most.min(first),
            Cut::At(_) => most,
            Cut::Torn(_) => self.random.below(most.min(40) + 1),
        };
        side.outbound.extend_from_slice(&outgoing[..count]);
        side.blocked = count < outgoing.len();
        if let Some(window) = &mut side.window {
            *window -= count;
        }
        if count > 0 {
            self.written.push(Sock(at));
        }
        self.engine.sent(self.now, key, count);
    }

    /// The kernel has room again: says so once. Returns whether anything happened.
    fn unblock(&mut self, at: usize) -> bool {
        let side = &mut self.sides[at];
        if !side.blocked || side.closed || side.window == Some(0) {
            return false;
        }
        side.blocked = false;
        self.engine.writable(self.now, side.key);
        true
    }

    fn read(&mut self, at: usize) -> bool {
        let side = &mut self.sides[at];
        let (key, eof_due) = (side.key, side.eof && !side.eof_told);
        if side.inbound.is_empty() && !eof_due || !self.wants_read(Sock(at)) {
            return false;
        }
        let side = &mut self.sides[at];
        if side.inbound.is_empty() {
            side.eof_told = true;
            self.engine.end_of_input(self.now, key);
            return true;
        }
        let most = side.inbound.len().min(self.engine.limits().turn_bytes_max);
        let count = match self.reads {
            Cut::Whole => most,
            Cut::Bytes => 1,
            Cut::At(first) if std::mem::take(&mut side.first_read) && first > 0 => most.min(first),
            Cut::At(_) => most,
            Cut::Torn(_) => 1 + self.random.below(most.min(60)),
        };
        let bytes: Vec<u8> = side.inbound.drain(..count).collect();
        self.engine.receive(self.now, key, &bytes);
        true
    }

    // Lines.

    /// Sends messages, each as a line.
    pub fn tell(&mut self, sock: Sock, message: &str) {
        self.send(sock, format!("{message}\n"));
    }

    /// Sends a message as a line; gives the lines that came since the last look.
    pub fn say(&mut self, sock: Sock, message: &str) -> Vec<Value> {
        self.tell(sock, message);
        self.lines(sock)
    }

    /// The lines since the last look, all of them whole and JSON.
    pub fn lines(&mut self, sock: Sock) -> Vec<Value> {
        let text = self.take_text(sock);
        assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    // HTTP and SSE.

    /// Opens a stream on a new connection and reads its `endpoint` event.
    pub fn open_sse(&mut self) -> Stream {
        self.open_sse_at("/sse")
    }

    pub fn open_sse_at(&mut self, target: &str) -> Stream {
        let sock = self.connect();
        self.open_sse_on(sock, target)
    }

    pub fn open_sse_on(&mut self, sock: Sock, target: &str) -> Stream {
        self.send(sock, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let text = self.take_text(sock);
        let (head, first) = text.split_once("\r\n\r\n").expect("a whole head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        let endpoint =
            first.strip_prefix("event: endpoint\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let endpoint = endpoint.unwrap_or_else(|| panic!("no endpoint event: {text}")).to_owned();
        Stream { sock, head: head.to_owned(), endpoint }
    }

    /// The responses on a connection since the last look; nothing may be left over.
    pub fn responses(&mut self, sock: Sock) -> Vec<http::Response> {
        http::responses(&self.take(sock))
    }

    /// The one response since the last look.
    pub fn response(&mut self, sock: Sock) -> http::Response {
        let mut all = self.responses(sock);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Posts a message into the session of that endpoint.
    pub fn post(&mut self, sock: Sock, endpoint: &str, body: &str) -> http::Response {
        self.send(sock, http::post(endpoint, body));
        self.response(sock)
    }

    /// The messages on a stream since the last look. Comments are skipped; anything else must be a frame of ours.
    pub fn frames(&mut self, stream: &Stream) -> Vec<Value> {
        let bytes = self.take(stream.sock);
        http::frames(&bytes)
    }

    /// Posts a request and gives the one message that answers it.
    pub fn call(&mut self, stream: &Stream, sock: Sock, body: &str) -> Value {
        let response = self.post(sock, &stream.endpoint, body);
        assert_eq!((response.status, response.text()), (202, "Accepted"), "{body}");
        let mut frames = self.frames(stream);
        assert_eq!(frames.len(), 1, "{body} got {frames:?}");
        frames.remove(0)
    }

    /// Posts a ping whose reply is not looked at; gives the status.
    pub fn call_unread(&mut self, stream: &Stream, sock: Sock) -> u16 {
        self.post(sock, &stream.endpoint, &http::ping(1)).status
    }

    /// Breaks every connection that is left; then the engine holds nothing.
    pub fn quiesce(&mut self) {
        for at in 0..self.sides.len() {
            if !self.sides[at].closed {
                self.reset(Sock(at));
            }
            assert!(self.sides[at].closed);
        }
        // Sessions of Streamable HTTP outlive their connections, for a time.
        if self.stats().sessions > 0 {
            let limits = self.engine.limits();
            self.advance(limits.question_timeout + limits.session_idle_timeout + Duration::from_secs(1));
        }
        self.assert_empty();
    }

    pub fn assert_empty(&self) {
        let Stats { connections, sessions, calls, buffered_bytes, .. } = self.stats();
        assert_eq!((connections, sessions, calls, buffered_bytes), (0, 0, 0, 0));
    }
}
