//! An engine with sockets in memory.
//!
//! *Scope:* [`Sockets`]: the driver of an [`Engine`], virtual time, and both ends of each connection. *Not in scope:* what
//! the bytes mean.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::access::peer::Peer;
use crate::engine::ConnKey;
use crate::engine::observe::Event;
use crate::engine::{Action, Engine};
use crate::http::conn::close::CloseReason;
use crate::testing::random::Random;
use crate::timers::Now;

/// How a stream of bytes is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Every kind of cut but [`At`](Cut::At), with a few seeds of the random one.
    pub fn kinds() -> impl Iterator<Item = Cut> {
        [Cut::Whole, Cut::Bytes].into_iter().chain((1..=6).map(Cut::Torn))
    }
}

/// The client's end of a connection of [`Sockets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sock(usize);

/// Both ends of one connection and the kernel between them.
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
    /// What the observer was told of its end: why, and how many bytes were lost.
    end: Option<(CloseReason, usize)>,
}

/// When virtual time begins: 2001-09-09 01:46:40 UTC.
const UNIX: Duration = Duration::from_secs(1_000_000_000);

/// An engine, and connections to it in memory: it drives the engine by its
/// [contract](crate::engine#driving-contract), and the test is the other end of each connection. Bytes arrive in pieces as
/// [`Cut`] says, a client may stop reading, and time passes only by [`advance`](Sockets::advance).
///
/// It is for tests of a transport, a [`Service`](crate::service::Service) or an exact exchange of bytes.
///
/// ```
/// use mcp_rill::testing::{Cut, Sockets};
/// use mcp_rill::{Peer, Server, engine::Engine};
/// let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
/// let engine = Engine::new(server, || 1)?;
/// let mut sockets = Sockets::new(engine, Cut::Bytes, Cut::Torn(7), |event| println!("{event:?}"));
/// let sock = sockets.connect_lines_as(Peer::default());
/// sockets.send(sock, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
/// assert_eq!(sockets.take(sock), b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
/// # Ok::<(), String>(())
/// ```
///
/// # Panics
/// If the engine breaks its contract, which is a bug of this crate.
pub struct Sockets {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub now: Now,
    /// Which connections were written to, in order. It grows until the test clears it.
    pub written: Vec<Sock>,
    sides: Vec<Side>,
    /// Places in `sides` that the next connections take.
    released: Vec<usize>,
    reads: Cut,
    writes: Cut,
    random: Random,
    /// The ends that the observer was told of, and no action yet.
    ends: Arc<Mutex<Vec<(CloseReason, usize)>>>,
    /// [`Now::mono`] for other threads, in nanoseconds.
    clock: Arc<AtomicU64>,
    /// How often a write was cut short.
    cuts: u64,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets")
            .field("now", &self.now)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Sockets {
    /// Connections to this engine, whose reads and writes are cut so. `observer` gets the engine's [`Event`]s, of which
    /// [`Event::ConnectionClosed`] is looked at here, too.
    pub fn new(
        mut engine: Engine,
        reads: Cut,
        writes: Cut,
        mut observer: impl FnMut(&Event<'_>) + Send + 'static,
    ) -> Sockets {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let told = ends.clone();
        engine.on_event(move |event| {
            if let Event::ConnectionClosed { reason, unsent_bytes, .. } = event {
                told.lock().unwrap_or_else(PoisonError::into_inner).push((*reason, *unsent_bytes));
            }
            observer(event);
        });
        let mut sockets = Sockets {
            engine,
            now: Now { mono: Duration::ZERO, unix: UNIX },
            written: Vec::new(),
            sides: Vec::new(),
            released: Vec::new(),
            reads,
            writes,
            random: Random::new(0),
            ends,
            clock: Arc::default(),
            cuts: 0,
        };
        sockets.cut(reads, writes);
        sockets
    }

    /// Cuts reads and writes in another way from now on.
    pub fn cut(&mut self, reads: Cut, writes: Cut) {
        let seed = match (reads, writes) {
            (Cut::Torn(seed), _) | (_, Cut::Torn(seed)) => seed,
            _ => 0,
        };
        (self.reads, self.writes, self.random) = (reads, writes, Random::new(seed));
    }

    /// Returns a clock that shows the virtual time on any thread, for [`Engine::set_clock`].
    pub fn clock(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let clock = self.clock.clone();
        move || Duration::from_nanos(clock.load(Ordering::Relaxed))
    }

    // The client's side.

    /// Opens a connection that carries HTTP.
    pub fn connect_as(&mut self, peer: Peer) -> Sock {
        let key = self.engine.open(self.now, peer);
        self.connected(key)
    }

    /// Opens a connection whose messages are lines.
    pub fn connect_lines_as(&mut self, peer: Peer) -> Sock {
        let key = self.engine.open_lines(self.now, peer);
        self.connected(key)
    }

    /// Opens a connection for health checks alone.
    pub fn connect_health(&mut self) -> Sock {
        let key = self.engine.open_health(self.now, Peer::default());
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
            end: None,
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
        assert!(self.closed(sock), "only a closed connection is released");
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

    /// Returns what the server sent since the last look.
    pub fn take(&mut self, sock: Sock) -> Vec<u8> {
        let side = &mut self.sides[sock.0];
        let new = side.outbound[side.seen..].to_vec();
        side.seen = side.outbound.len();
        new
    }

    /// Returns how many bytes the server sent since the last look.
    pub fn unseen(&self, sock: Sock) -> usize {
        let side = &self.sides[sock.0];
        side.outbound.len() - side.seen
    }

    /// Gives back the memory of what the server sent, where there is much of it.
    pub fn forget(&mut self, sock: Sock) {
        let side = &mut self.sides[sock.0];
        (side.outbound, side.seen) = (Vec::new(), 0);
        self.written.clear();
    }

    /// Returns how many bytes the server has not read.
    pub fn unread(&self, sock: Sock) -> usize {
        self.sides[sock.0].inbound.len()
    }

    /// True if the client has seen the end of what the server sends.
    pub fn ended(&self, sock: Sock) -> bool {
        self.sides[sock.0].half_closed || self.sides[sock.0].closed
    }

    /// True if the server dropped the connection.
    pub fn closed(&self, sock: Sock) -> bool {
        self.sides[sock.0].closed
    }

    /// Returns why the server dropped the connection, and how many bytes of output were lost by that; `None` if it is open.
    pub fn end(&self, sock: Sock) -> Option<(CloseReason, usize)> {
        self.sides[sock.0].end
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

    /// Returns the engine's key of a connection.
    pub fn key(&self, sock: Sock) -> ConnKey {
        self.sides[sock.0].key
    }

    /// Returns how often the kernel took less than the server wanted to write.
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Breaks every connection that is left.
    pub fn reset_all(&mut self) {
        for at in 0..self.sides.len() {
            if !self.sides[at].closed {
                self.reset(Sock(at));
            }
            assert!(self.sides[at].closed);
        }
    }

    // The driver's side.

    /// Reads and writes until there is nothing left to do.
    pub fn run(&mut self) {
        loop {
            let (mut busy, _) = self.turn();
            for at in 0..self.sides.len() {
                busy |= self.read(at);
                busy |= self.unblock(at);
            }
            if !busy {
                break;
            }
        }
    }

    /// Lets time pass, deadline by deadline, as a driver would sleep.
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

    /// Lets time pass in one leap, as if the machine had slept: only then the server looks at the time.
    pub fn jump(&mut self, to: Duration) {
        self.now.unix += to - self.now.mono;
        self.now.mono = to;
        self.clock.store(u64::try_from(to.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.engine.tick(self.now);
    }

    /// Takes what other threads have left, without letting time pass.
    pub fn tick(&mut self) {
        self.jump(self.now.mono);
        self.run();
    }

    /// Returns when the engine wants to be called next.
    pub fn deadline(&mut self) -> Option<Duration> {
        match self.engine.poll() {
            Action::Wait(deadline) => deadline,
            action => panic!("not drained: {action:?}"),
        }
    }

    /// Begins a shutdown.
    pub fn shutdown(&mut self, grace: Duration) {
        self.engine.shutdown(self.now, grace);
        self.run();
    }

    /// Starts the threads that blocking handlers wait for, and returns how many. They end with the engine.
    pub fn start_threads(&mut self) -> usize {
        let mut started = 0;
        while self.engine.jobs().wants_thread() {
            let jobs = self.engine.jobs();
            thread::spawn(move || jobs.work());
            started += 1;
        }
        started
    }

    /// Does what the engine asks for until it waits, which is one turn of a loop. Returns true if that was anything, and until when the
    /// engine waits.
    pub fn turn(&mut self) -> (bool, Option<Duration>) {
        for done in 0..100_000 {
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
                Action::Close(key) => self.close(key),
                Action::Wait(deadline) => return (done > 0, deadline),
            }
        }
        panic!("the engine never waits");
    }

    fn close(&mut self, key: ConnKey) {
        let ends = std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        let [end] = ends[..] else { panic!("the end of one connection was reported as {ends:?}") };
        let side = self.side(key);
        assert!(!side.closed, "closed twice");
        side.end = Some(end);
        side.closed = true;
        side.inbound.clear();
        assert_eq!(self.engine.find(key.token()), None);
        assert!(
            self.engine.outgoing(key).is_empty() && !self.engine.wants_read(key),
            "the key of a closed connection still works"
        );
    }

    fn side(&mut self, key: ConnKey) -> &mut Side {
        let side = self.sides.iter_mut().find(|side| side.key == key);
        side.unwrap_or_else(|| panic!("an action names a connection that is not open: {key:?}"))
    }

    fn write(&mut self, key: ConnKey) {
        let Some(at) = self.sides.iter().position(|side| side.key == key) else {
            panic!("asked to write to a connection that was never opened: {key:?}");
        };
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
        self.cuts += u64::from(side.blocked);
        if let Some(window) = &mut side.window {
            *window -= count;
        }
        if count > 0 {
            self.written.push(Sock(at));
        }
        self.engine.sent(self.now, key, count);
    }

    /// The kernel has room again: says so once. Returns true if anything happened.
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
}
