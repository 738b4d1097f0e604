//! Sockets, time and randomness for the engine: the only module that names mio.
//!
//! *Scope:* [`Listening`]: connections, readiness, the clock, waking up from other threads; in its files, where to listen,
//! taking new connections, the file of a Unix socket, standard input and output. *Not in scope:* what the bytes mean.
//!
//! ```text
//!   ┌─▶ mio events ─▶ accept ─▶ read what is readable, a share each ─▶ Engine ─▶ actions: write, close ─┐
//!   └──────────────────────────── sleep until the next event or deadline ◀─────────────────────────────┘
//! ```
//!
//! What one turn may do is bounded: reading by `turn_bytes_max` and `loop_bytes_max` (`share_of`), new connections in `accept`,
//! requests that were kept in the engine (`go_on`), and the messages of a service by its outbox (`is_full`).
//!
//! Sockets are edge-triggered: an event means that something changed, not that there are bytes. So a socket that was left
//! with bytes to read stays on a list, and every write is tried at once; only a short one waits for an event.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use mcp_rill::Server;
//! let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
//! let mut listening = server.listen("127.0.0.1:3001")?;
//! let handle = listening.handle(); // for another thread: handle.shutdown(grace)
//! listening.run()
//! # }
//! ```
#![allow(clippy::disallowed_methods, reason = "this is where the clock and the random bits come from")]

mod accept;
mod adopt;
#[cfg(unix)]
mod descriptors;
pub(crate) mod listen;
mod observing;
#[cfg(all(unix, feature = "cli"))]
#[cfg_attr(not(feature = "bridge"), expect(dead_code, reason = "only bridges have descriptors of their own"))]
pub(crate) mod readiness;
pub(crate) mod socket;
mod stdio;
mod stops;
mod stream;
pub(crate) mod transport;
mod transports;
#[cfg(unix)]
pub(crate) mod unix;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Interest, Poll, Token, Waker};

use crate::engine::Action;
use crate::engine::ConnKey;
use crate::engine::Engine;
use crate::limits::Limits;
use crate::server::builder::Server;
use crate::server::stats::Stats;
use crate::threads;
use crate::timers::{Now, earlier};
use accept::Accepting;
use listen::Listener;
use observing::TurnHook;
use stdio::Stdio;
use stops::Stops;
use stream::Stream;

pub use crate::server::handle::Handle;
pub use listen::Address;
pub use socket::{ConnectedSocket, ListeningSocket};
pub use transport::{TcpSocket, Transport};

/// With fewer, system calls are more frequent: with 64 the loop is 9 % slower under load.
const EVENTS_PER_POLL: usize = 1024;

const WAKER: Token = Token(usize::MAX);
/// Listeners' tokens lie above all connections' tokens, which have 31 bits, and below the waker's.
const LISTENER_TOKENS: usize = usize::MAX - 1024;
/// Descriptors that wake the service.
#[cfg(unix)]
const SERVICE: Token = Token(LISTENER_TOKENS - 1);

/// How old the time of day may be. It is told in whole seconds, and to read it in every turn costs as much as to find a session.
const DATE_AGE_MAX: Duration = Duration::from_millis(50);

/// The least that a connection reads in a turn: a request, as a rule.
const READ_BYTES_MIN: usize = 512;

/// Returns how much each of so many connections may read in one turn.
fn share_of(count: usize, limits: &Limits) -> usize {
    let share = limits.loop_bytes_max / count.max(1);
    share.max(READ_BYTES_MIN).min(limits.turn_bytes_max)
}

impl<X> Server<X> {
    /// Binds `address`, `HOST:PORT` or `unix:PATH` (see [`Address`]), and gets ready to serve; [`Listening::run`] serves.
    ///
    /// # Errors
    /// The reason why the address cannot be bound, in a message that begins with the address and says what to change.
    ///
    /// - `InvalidInput`: the address cannot be parsed, or the server is not configured correctly.
    /// - `PermissionDenied`: the system refuses it, or other machines could reach the address and peers are not
    ///   authenticated: neither [`Server::authorize`] nor [`Server::insecure_public`] was called.
    /// - `AlreadyExists`: at the path of the Unix socket is a file that is not a socket.
    /// - `AddrInUse`, `AddrNotAvailable` and others: from the system.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let listening = mcp_rill::Server::new("demo", "1.0.0").listen("127.0.0.1:0")?; // a port that the system chooses
    /// assert_ne!(listening.local_addrs().next().map(|address| address.port()), Some(0));
    /// let refused = mcp_rill::Server::new("demo", "1.0.0").listen("0.0.0.0:0").unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    /// # Ok(()) }
    /// ```
    pub fn listen(self, address: impl Into<Address>) -> io::Result<Listening> {
        let mut listening = Listening::of_server(self.retyped())?;
        listening.also_listen(address)?;
        Ok(listening)
    }
}

/// Returns 122 bits from the operating system's randomness, and six that are fixed: what [`Engine::new`] and
/// [`Engine::with_service`] want for the ids of sessions.
pub fn random_id() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

/// A server with its sockets, ready to run on this thread.
///
/// In a loop of your own:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use mcp_rill::Server;
/// use std::time::Duration;
/// let mut listening = Server::new("demo", "1.0.0").listen("127.0.0.1:0")?;
/// listening.also_listen("127.0.0.1:0")?;
/// listening.on_event(|event| eprintln!("{event:?}"));
/// for address in listening.local_addrs() {
///     println!("http://{address}/sse");
/// }
/// let handle = listening.handle();
/// while !listening.is_finished() {
///     listening.poll(Some(Duration::from_millis(10)))?;
///     handle.shutdown(Duration::from_secs(1)); // or whatever your loop does
/// }
/// assert_eq!(listening.stats().connections, 0);
/// # Ok(()) }
/// ```
pub struct Listening {
    engine: Engine,
    poll: Poll,
    /// Where services with descriptors in this poll learn which are ready.
    #[cfg(all(unix, feature = "cli"))]
    ready: Option<readiness::ReadyDescriptors>,
    events: Events,
    listeners: Vec<Listener>,
    /// By [`ConnKey::index`].
    sockets: Vec<Option<Socket>>,
    /// Sockets that may have something new to read.
    readable: Vec<ConnKey>,
    /// Sockets that had more than their share.
    unread: VecDeque<ConnKey>,
    /// The list of the turn before: two lists alternate, so that none is allocated.
    spent: Vec<ConnKey>,
    /// When the engine wants to run next, as it last said.
    deadline: Option<Duration>,
    /// True if the last events filled their buffer: there may be more, which are not announced again.
    more_events: bool,
    buffer: Vec<u8>,
    accepting: Accepting,
    turn_hook: Option<TurnHook>,
    /// Threads for blocking handlers. Some may have ended.
    workers: Vec<JoinHandle<()>>,
    started: Instant,
    /// The time of day, and until when it is not read again.
    date: Duration,
    date_until: Duration,
    stops: Stops,
    /// Standard input and output, if they are served.
    stdio: Option<Stdio>,
}

struct Socket {
    key: ConnKey,
    stream: Stream,
    /// True if it is in `readable`.
    listed: bool,
    /// True if the peer will send no more: the rest is read at once, because no event will announce it.
    ended: bool,
    /// True if it is registered for writable events.
    watches_writes: bool,
}

impl Listening {
    /// Sockets and a clock for an engine, above all for one with a [service](crate::service) of your own. The engine must be a
    /// new one, without a waker. It listens nowhere until [`also_listen`](Listening::also_listen) has bound an address.
    ///
    /// ```
    /// use mcp_rill::engine::{Engine, EngineConfig};
    /// use mcp_rill::net::{Listening, random_id};
    /// use mcp_rill::{Limits, Settings, service::Service};
    ///
    /// fn listen(service: impl Service + 'static, address: &str) -> std::io::Result<Listening> {
    ///     let config = EngineConfig::new(Settings::default(), Limits::default()).map_err(std::io::Error::other)?;
    ///     let mut listening = Listening::new(Engine::with_service(Box::new(service), config, random_id))?;
    ///     listening.also_listen(address)?;
    ///     Ok(listening)
    /// }
    /// ```
    ///
    /// # Errors
    /// If the system makes no event queue, or the engine has connections already.
    pub fn new(engine: Engine) -> io::Result<Listening> {
        Listening::with_poll(engine, Poll::new()?)
    }

    fn with_poll(mut engine: Engine, poll: Poll) -> io::Result<Listening> {
        let accepting = Accepting::new(poll.registry())?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        engine.set_waker(move || {
            // A full wake-up queue means that the loop is about to wake up.
            let _ = waker.wake();
        });
        let started = Instant::now();
        engine.set_clock(move || started.elapsed());
        let buffer = vec![0; engine.limits().turn_bytes_max];
        // A service may want a turn before anything has arrived.
        let Action::Wait(deadline) = engine.poll() else {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the engine has connections already; give `Listening::new` one that was not driven",
            ));
        };
        let mut listening = Listening {
            engine,
            poll,
            #[cfg(all(unix, feature = "cli"))]
            ready: None,
            events: Events::with_capacity(EVENTS_PER_POLL),
            listeners: Vec::new(),
            sockets: Vec::new(),
            readable: Vec::new(),
            unread: VecDeque::new(),
            spent: Vec::new(),
            deadline,
            more_events: false,
            buffer,
            accepting,
            turn_hook: None,
            workers: Vec::new(),
            started,
            date: Duration::ZERO,
            date_until: Duration::ZERO,
            stops: Stops::default(),
            stdio: None,
        };
        listening.expect_turn(Now::default());
        Ok(listening)
    }

    fn of_server(server: Server) -> io::Result<Listening> {
        let engine = Engine::new(server, random_id);
        Listening::new(engine.map_err(|problem| io::Error::new(ErrorKind::InvalidInput, problem))?)
    }

    /// Binds one more address.
    ///
    /// # Errors
    /// As [`Server::listen`].
    pub fn also_listen(&mut self, address: impl Into<Address>) -> io::Result<()> {
        self.add_listener(Listener::bind(&address.into(), self.is_public())?)
    }

    /// True if others may reach the server.
    fn is_public(&self) -> bool {
        let public = self.engine.settings().insecure_public;
        #[cfg(feature = "auth")]
        let public = public || self.engine.authenticates();
        public
    }

    /// Binds an address for health checks alone: `GET /healthz`, `/livez` and `/readyz`, whatever
    /// [`Settings::health`](crate::Settings::health) says. Host, Origin and authorization are not checked there, so any address may
    /// be bound: what others learn is whether the server lives and is ready. They are answered also while `connections_max` are
    /// in use, and until a shutdown is complete.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// let mut listening = mcp_rill::Server::new("demo", "1.0.0").listen("127.0.0.1:3001")?;
    /// listening.also_listen_health("0.0.0.0:9000")?;
    /// listening.run()
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Server::listen`], but for `PermissionDenied` where peers are not authenticated.
    pub fn also_listen_health(&mut self, address: impl Into<Address>) -> io::Result<()> {
        self.add_listener(Listener::bind_for_health(&address.into())?)
    }

    fn add_listener(&mut self, mut listener: Listener) -> io::Result<()> {
        listener.register(self.poll.registry(), Token(LISTENER_TOKENS + self.listeners.len()))?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Returns a handle for other threads.
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Serves on this thread until [`Handle::shutdown`] is complete. The worker threads have ended then, except those whose
    /// handler did not return within the grace: [`Event::WorkersLeft`](crate::engine::Event::WorkersLeft) counts them, and they run until the process ends.
    ///
    /// # Errors
    /// If the system's event queue fails. An error of one connection ends that connection only.
    pub fn run(mut self) -> io::Result<()> {
        while !self.is_finished() {
            self.turn(None)?;
        }
        let workers = std::mem::take(&mut self.workers);
        let all_idle = self.engine.stats().workers_busy == 0;
        let (stdio, grace) = (self.stdio.take(), self.engine.limits().shutdown_grace);
        // The idle ones end with it.
        drop(self);
        for worker in workers {
            if all_idle || worker.is_finished() {
                // Panics of handlers are caught on the thread itself.
                let _ = worker.join();
            }
        }
        stdio.map_or(Ok(()), |stdio| stdio.finish(grace))
    }

    /// True if a shutdown is complete, as [`Engine::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.engine.is_finished()
    }

    /// One turn, for a loop of your own: waits for events, at most for `timeout` (`None`: without limit), and handles them.
    /// Returns the time until the next turn is due: zero if work is left or a shutdown is complete, `None` if only an event can
    /// bring work. The descriptor of [`AsFd`](std::os::fd::AsFd) is readable when there are events, so it can be waited for with
    /// others, level-triggered or edge-triggered:
    ///
    /// ```
    /// # #[cfg(unix)] fn main() -> std::io::Result<()> {
    /// use mcp_rill::Server;
    /// use rustix::event::{PollFd, PollFlags, Timespec, poll};
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    /// use std::time::Duration;
    ///
    /// let mut listening = Server::new("demo", "1.0.0").listen("127.0.0.1:0")?;
    /// let (commands, program) = UnixStream::pair()?; // or whatever else your program waits for
    /// # drop(program);
    /// let mut ends = false;
    /// while !listening.is_finished() {
    ///     let due = listening.poll(Some(Duration::ZERO))?;
    ///     let timeout = due.and_then(|due| Timespec::try_from(due).ok());
    ///     let mut waits = vec![PollFd::new(&listening, PollFlags::IN)];
    ///     if !ends {
    ///         waits.push(PollFd::new(&commands, PollFlags::IN));
    ///     }
    ///     poll(&mut waits, timeout.as_ref())?;
    ///     if !ends && waits.iter().skip(1).any(|other| !other.revents().is_empty()) {
    ///         ends = (&commands).read(&mut [0; 64])? == 0;
    ///         listening.handle().shutdown(Duration::from_secs(1));
    ///     }
    /// }
    /// # Ok(()) }
    /// # #[cfg(not(unix))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`run`](Listening::run).
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.turn(timeout)?;
        Ok(if self.is_finished() { Some(Duration::ZERO) } else { self.wants_in() })
    }

    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait_for_events(earlier(self.wants_in(), timeout))?;
        let now = self.now();
        self.notice_stop(now);
        let accepts_on = self.accepting.again.is_some_and(|at| at <= now.mono);
        let found = self.take_events(now) || self.has_work() || accepts_on;
        // Before accepting, which may close an idle connection: it is not idle if it has sent something.
        self.read(now);
        self.accept(now);
        if self.has_heard(now, found) {
            self.engine.tick(now);
        }
        self.act(now);
        // After acting: what a close gives up may want a thread in its place, and a write may have let a call in.
        self.start_workers();
        self.expect_turn(now);
        self.tell_turn(now);
        Ok(())
    }

    fn now(&mut self) -> Now {
        let mono = self.started.elapsed();
        if self.date_until <= mono {
            self.date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date_until = mono + DATE_AGE_MAX;
        }
        Now { mono, unix: self.date }
    }

    /// Returns the time until something is due without an event.
    fn wants_in(&self) -> Option<Duration> {
        self.stops.wait(|| self.started.elapsed())
    }

    /// True if there is something to read, or to accept, that no event announces again.
    fn has_work(&self) -> bool {
        self.more_events || !self.readable.is_empty() || !self.unread.is_empty()
    }

    /// Notes what the events announce. Returns true if there were some, besides those that wake the loop up.
    fn take_events(&mut self, now: Now) -> bool {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let (mut count, mut found) = (0, false);
        for event in &events {
            count += 1;
            let token = event.token();
            if token == WAKER {
                continue;
            }
            found = true;
            #[cfg(all(unix, feature = "cli"))]
            if self.ready.as_ref().is_some_and(|ready| ready.note(event)) {
                self.engine.wake_service();
                continue;
            }
            #[cfg(unix)]
            if token == SERVICE {
                self.engine.wake_service();
                continue;
            }
            if let Some(listener) =
                token.0.checked_sub(LISTENER_TOKENS).and_then(|at| self.listeners.get_mut(at))
            {
                listener.pending = true;
                continue;
            }
            let Some(key) = u32::try_from(token.0).ok().and_then(|token| self.engine.find(token)) else {
                continue;
            };
            if event.is_writable() {
                self.engine.writable(now, key);
                self.flush_transport(now, key);
            }
            if event.is_read_closed()
                && let Some(socket) = self.socket(key)
            {
                socket.ended = true;
            }
            // Nothing is read that would show it.
            if (event.is_error() || event.is_write_closed()) && !self.engine.wants_read(key) {
                self.engine.hang_up(now, key);
                continue;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.list_readable(key);
            }
        }
        self.more_events = count >= events.capacity();
        self.events = events;
        found
    }

    fn list_readable(&mut self, key: ConnKey) {
        if let Some(socket) = self.socket(key)
            && !socket.listed
        {
            socket.listed = true;
            self.readable.push(key);
        }
    }

    fn socket(&mut self, key: ConnKey) -> Option<&mut Socket> {
        self.sockets.get_mut(key.index())?.as_mut().filter(|socket| socket.key == key)
    }

    /// Starts the threads that blocking handlers need, and stops listening when the server ends.
    fn start_workers(&mut self) {
        while self.engine.wants_thread() {
            let jobs = self.engine.jobs();
            match threads::start("mcp-rill worker", move || jobs.work()) {
                Ok(worker) => {
                    self.workers.retain(|worker| !worker.is_finished());
                    self.workers.push(worker);
                }
                Err(_) => {
                    self.engine.jobs().thread_failed();
                    break;
                }
            }
        }
        if !self.engine.is_stopping() {
            return;
        }
        self.accepting.waiting = None;
        self.accepting.adopted.clear();
        if self.for_clients().next().is_some() {
            for mut listener in std::mem::take(&mut self.listeners) {
                let _ = listener.deregister(self.poll.registry());
                if listener.is_for_health {
                    // With the token of its new place. If that fails, the server ends without answering there.
                    let _ = self.add_listener(listener);
                }
            }
        }
    }

    /// Reads once from each socket that may have something.
    fn read(&mut self, now: Now) {
        let spent = std::mem::take(&mut self.spent);
        let mut readable = std::mem::replace(&mut self.readable, spent);
        let share = share_of(readable.len(), self.engine.limits());
        for key in readable.drain(..) {
            let (_, has_more) = self.read_one(now, key, share);
            if has_more {
                self.unread.push_back(key);
            } else if let Some(socket) = self.socket(key) {
                socket.listed = false;
            }
        }
        self.spent = readable;
        self.read_on(now);
    }

    /// Reads on from sockets that had more than their share, one after the other, and no more than a part of what a turn reads: those
    /// that have something new come before them in the next turn.
    fn read_on(&mut self, now: Now) {
        let mut left = self.engine.limits().loop_bytes_max / 4;
        while left > 0
            && let Some(key) = self.unread.pop_front()
        {
            let share = left.min(share_of(4 * (self.unread.len() + 1).min(8), self.engine.limits()));
            let (count, has_more) = self.read_one(now, key, share);
            left = left.saturating_sub(count.max(1));
            if has_more {
                self.unread.push_back(key);
            } else if let Some(socket) = self.socket(key) {
                socket.listed = false;
            }
        }
    }

    /// Reads up to `share` bytes. Returns how many, and true if there may be more to read at once.
    fn read_one(&mut self, now: Now, key: ConnKey, share: usize) -> (usize, bool) {
        if !self.engine.wants_read(key) {
            return (0, false);
        }
        let Some(Some(socket)) = self.sockets.get_mut(key.index()) else { return (0, false) };
        if socket.key != key {
            return (0, false);
        }
        if socket.stream.wrapped().is_some() {
            return self.read_transport(now, key, share);
        }
        let ended = socket.ended;
        let room = self.buffer.get_mut(..share).unwrap_or_default();
        match socket.stream.read(room) {
            Ok(0) => {
                self.engine.end_of_input(now, key);
                self.end_with_stdio(now, key);
            }
            Ok(count) => {
                self.engine.receive(now, key, self.buffer.get(..count).unwrap_or_default());
                // A short read has emptied the socket; what comes later is an event of its own, but an end that came
                // together with these bytes is not.
                return (count, ended || count == share);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return (0, true),
            Err(_) => self.engine.hang_up(now, key),
        }
        (0, false)
    }

    /// Drains the engine's actions.
    fn act(&mut self, now: Now) {
        loop {
            match self.engine.poll() {
                Action::Write(key) => self.write(now, key),
                Action::Read(key) => self.list_readable(key),
                // The reader of standard output sees its end when this connection ends.
                Action::HalfClose(key) if self.is_stdio(key) => self.engine.hang_up(now, key),
                Action::HalfClose(key) => {
                    if let Some(socket) = self.socket(key) {
                        // Fails if the peer is gone already, which the next read shows.
                        let _ = socket.stream.end_output();
                    }
                    self.watch_transport(now, key);
                    self.list_readable(key);
                }
                Action::Close(key) => {
                    if let Some(slot) = self.sockets.get_mut(key.index())
                        && let Some(mut socket) = slot.take()
                        && let Some(wrapped) = socket.stream.wrapped()
                    {
                        wrapped.close();
                    }
                    self.end_with_stdio(now, key);
                    self.shrink();
                    self.room_was_made(now);
                }
                Action::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn write(&mut self, now: Now, key: ConnKey) {
        let Some(Some(socket)) = self.sockets.get_mut(key.index()) else {
            return self.engine.hang_up(now, key);
        };
        let outgoing = self.engine.outgoing(key);
        let count = loop {
            match socket.stream.write(outgoing) {
                Ok(count) => break count,
                // Nothing was tried, so no event will say that it can be tried again.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break 0,
                Err(error) => return self.lose(now, key, &error),
            }
        };
        if count < outgoing.len() && !self.watch_writes(key) {
            return self.engine.hang_up(now, key);
        }
        self.engine.sent(now, key, count);
    }

    /// Waits for the event that the socket takes bytes again. Returns false if that fails.
    fn watch_writes(&mut self, key: ConnKey) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(key.index()) else { return false };
        if socket.watches_writes {
            return true;
        }
        socket.watches_writes = true;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(key.token() as usize);
        self.poll.registry().reregister(&mut socket.stream, token, interest).is_ok()
    }

    fn shrink(&mut self) {
        while let Some(None) = self.sockets.last() {
            self.sockets.pop();
        }
        if self.sockets.capacity() > 64 && self.sockets.len() < self.sockets.capacity() / 4 {
            self.sockets.shrink_to((self.sockets.len() * 2).max(64));
        }
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("engine", &self.engine).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::{Shutdown, SocketAddr, TcpStream as Client};

    fn listening() -> (Listening, SocketAddr) {
        let listening = Server::new("test", "1").listen("127.0.0.1:0").unwrap();
        let address = listening.local_addrs().next().unwrap();
        (listening, address)
    }

    #[test]
    fn an_engine_that_has_connections_is_refused() {
        let mut engine = Engine::new(Server::new("test", "1"), random_id).unwrap();
        let conn = engine.open(Now::default(), crate::access::peer::Peer::default());
        engine.receive(Now::default(), conn, b"GET / HTTP/1.1\r\n\r\n");
        assert!(Listening::new(engine).unwrap_err().to_string().contains("one that was not driven"));
    }

    #[test]
    fn an_end_that_came_with_the_last_bytes_is_seen() {
        let (mut listening, address) = listening();
        // All of it is there before the server looks: there is one event for the bytes and the end.
        let mut client = Client::connect(address).unwrap();
        write!(client, "GET /sse HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        for _ in 0..20 {
            listening.poll(Some(Duration::from_millis(10))).unwrap();
        }
        let stats = listening.stats();
        assert_eq!((stats.connections_opened, stats.sessions_opened, stats.connections), (1, 1, 0));
    }

    #[test]
    fn the_time_of_day_is_read_again_when_it_is_old() {
        let (mut listening, _) = listening();
        let first = listening.now();
        assert!(first.unix > Duration::from_secs(1_700_000_000));
        assert!(listening.date_until <= first.mono + DATE_AGE_MAX);
        // As if it had been read at another time, and a moment ago.
        (listening.date, listening.date_until) = (Duration::from_secs(5), Duration::MAX);
        assert_eq!(listening.now().unix, Duration::from_secs(5));
        listening.date_until = first.mono;
        assert!(listening.now().unix >= first.unix);
    }

    #[test]
    fn connections_share_what_a_turn_reads() {
        let limits = Limits { loop_bytes_max: 64 << 10, turn_bytes_max: 32 << 10, ..Limits::DEFAULT };
        for (count, share) in
            [(0, 32 << 10), (1, 32 << 10), (2, 32 << 10), (3, 21_845), (128, 512), (129, 512)]
        {
            assert_eq!(share_of(count, &limits), share, "{count}");
        }
    }

    #[test]
    fn a_request_does_not_wait_for_one_who_sends_without_end() {
        let server = Server::new("test", "1").limits(Limits { loop_bytes_max: 4096, ..Limits::DEFAULT });
        let mut listening = server.listen("127.0.0.1:0").unwrap();
        let address = listening.local_addrs().next().unwrap();
        let request = format!("GET /x HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "x".repeat(900));
        let [mut greedy, mut modest] = [(); 2].map(|()| Client::connect(address).unwrap());
        modest.set_nonblocking(true).unwrap();
        while listening.stats().connections < 2 {
            listening.poll(Some(Duration::ZERO)).unwrap();
        }
        greedy.write_all(request.repeat(60).as_bytes()).unwrap();
        while listening.stats().refused == 0 {
            listening.poll(Some(Duration::from_millis(10))).unwrap();
        }
        modest.write_all(request.as_bytes()).unwrap();
        let mut turns = 0;
        while modest.read(&mut [0; 100]).is_err() {
            listening.poll(Some(Duration::from_millis(10))).unwrap();
            turns += 1;
            assert!(turns < 20, "it waits");
        }
        // In each turn one or two of the others are served.
        let before = listening.stats().refused;
        assert!(before < 50, "{before}");
        while listening.stats().refused < 61 {
            listening.poll(Some(Duration::from_millis(10))).unwrap();
        }
    }

    #[test]
    fn interrupted_calls_are_made_again() {
        let server = Server::new("test", "1").tool("big", "Give much", |(), _| "x".repeat(1 << 20));
        let mut listening = server.listen("127.0.0.1:0").unwrap();
        let address = listening.local_addrs().next().unwrap();
        let handle = listening.handle();
        let client = std::thread::spawn(move || {
            let tell = |text: String| {
                let mut client = Client::connect(address).unwrap();
                client.write_all(text.as_bytes()).unwrap();
                client
            };
            let mut stream =
                BufReader::new(tell(format!("GET /sse HTTP/1.1\r\nHost: {address}\r\n\r\n"))).lines();
            let mut until = |begins: &str| {
                stream.find_map(|line| line.unwrap().strip_prefix(begins).map(str::to_owned)).unwrap()
            };
            let endpoint = until("data: ");
            let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"big"}}"#;
            let head =
                format!("POST {endpoint} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json");
            let _post = tell(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            let reply = until("data: ");
            handle.shutdown(Duration::ZERO);
            reply
        });
        stream::faults::INTERRUPTED.set(Some(0));
        while !listening.is_finished() {
            listening.poll(None).unwrap();
        }
        let interrupted = stream::faults::INTERRUPTED.take().unwrap();
        let reply = client.join().unwrap();
        assert!(reply.contains(&"x".repeat(1 << 20)) && interrupted >= 4, "{interrupted}");
    }

    #[test]
    fn events_that_did_not_fit_make_it_want_to_run_again() {
        let (mut listening, address) = listening();
        listening.events = Events::with_capacity(1);
        let clients: Vec<Client> = (0..4).map(|_| Client::connect(address).unwrap()).collect();
        while listening.stats().connections < clients.len() {
            listening.poll(Some(Duration::ZERO)).unwrap();
        }
        for mut client in &clients {
            client.write_all(b"GET").unwrap();
        }
        for _ in &clients {
            assert_eq!(listening.poll(Some(Duration::ZERO)).unwrap(), Some(Duration::ZERO));
        }
        assert_ne!(listening.poll(Some(Duration::ZERO)).unwrap(), Some(Duration::ZERO));
    }
}
