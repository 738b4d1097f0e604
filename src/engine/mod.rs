//! The server without sockets, clock or randomness: bytes in, bytes and actions out.
//!
//! *Scope:* [`Engine`]: connections, sessions, calls, deadlines, budgets, and the contract with its driver.
//! *Not in scope:* reading and writing sockets (`net` does, or a driver of your own: an in-memory test, a TLS stack). For readers
//! of the source, a table below these comments tells where to find what.
//!
//! # Driving contract
//!
//! Once, before the first turn:
//!
//! - Pass [`set_waker`](Engine::set_waker) a function that ends the sleep of step 5 from another thread. Without it, messages
//!   of a [`Handle`], a [`Reply`](crate::Reply) or a worker thread wait for the next socket event or deadline.
//! - Pass [`on_event`](Engine::on_event) an observer, if refusals and failures are to be logged: there is no other log.
//!   With [`set_clock`](Engine::set_clock) it is told how long handlers on this thread take, and with
//!   [`set_call_details`](Engine::set_call_details) more of each call; one that wants no calls is passed to
//!   [`on_event_but_calls`](Engine::on_event_but_calls).
//! - [`add_page`](Engine::add_page) adds pages for the operator, such as metrics.
//!
//! Then, turn by turn:
//!
//! 1. Do one mutation: [`open`](Engine::open) or [`open_lines`](Engine::open_lines), [`receive`](Engine::receive), [`end_of_input`](Engine::end_of_input),
//!    [`hang_up`](Engine::hang_up), [`writable`](Engine::writable), [`sent`](Engine::sent), [`tick`](Engine::tick),
//!    [`drain`](Engine::drain), [`shutdown`](Engine::shutdown).
//! 2. Any number of mutations may follow: the frames of one turn for one socket leave in one write.
//! 3. Call [`poll`](Engine::poll) and do what it returns, until that is [`Action::Wait`].
//! 4. While [`Jobs::wants_thread`] of the queue [`jobs`](Engine::jobs) returns true, start a thread that calls [`Jobs::work`].
//!    Report a thread that cannot be started to [`Jobs::thread_failed`]. Without threads the handlers of `blocking_` tools
//!    never run: their calls time out.
//! 5. Sleep until a socket is ready, the waker is called, or the deadline of `Wait` has come. After a wait that was interrupted (EINTR)
//!    look at the sockets once more. Then begin again: read what has arrived, accept, and `tick`, in this order. Otherwise an idle
//!    connection is closed for a new one although its request has arrived, or a peer is late with what it has sent in time. After a
//!    [`shutdown`](Engine::shutdown) end when [`is_finished`](Engine::is_finished) returns true. Dropping the engine
//!    ends its threads, each after its current job.
//!
//! - A driver that wakes up much later than `Wait` asked for, because its process was stopped (SIGSTOP, a frozen container, a
//!   debugger), passes to [`put_off_deadlines`](Engine::put_off_deadlines) how late it is. It then takes as many turns without `tick`
//!   as it needs to accept and to read all that has arrived: no peer is late with what the driver could not read. How long that may
//!   take is up to the driver; `net` takes a second.
//! - Call [`has_room`](Engine::has_room) before [`open`](Engine::open). If it returns false, leave the connection in the
//!   backlog and do step 3: a connection may have been closed to make room. A driver that runs out of descriptors calls
//!   [`evict`](Engine::evict). Connections for health checks alone need no room: [`open_health`](Engine::open_health).
//! - A transport that begins with a handshake: [`has_room_for_handshake`](Engine::has_room_for_handshake) besides, then
//!   [`open_handshake`](Engine::open_handshake), and [`handshake_done`](Engine::handshake_done) before the first `receive`.
//! - On [`Action::Write`] write [`outgoing`](Engine::outgoing) once and report the count to [`sent`](Engine::sent), even if it
//!   is 0. After a short count the engine does not ask again until [`writable`](Engine::writable): edge-triggered events report
//!   that, since the kernel's buffer was full.
//! - Call [`wants_read`](Engine::wants_read) before reading. If it returns false, leave the bytes in the kernel, which slows
//!   the peer down, until [`Action::Read`].
//! - Report the peer's end of input to [`end_of_input`](Engine::end_of_input), and a broken connection, in reading or in
//!   writing, to [`hang_up`](Engine::hang_up).
//! - On [`Action::HalfClose`] end the socket's write half, and go on reading.
//! - On [`Action::Close`] drop the socket: its key is dead, and calls with it are ignored.
//! - Give all of them the same [`Now`], which never goes back.
//!
//! ```text
//!   open ──▶ receive ⇄ Write/sent ──▶ (HalfClose) ──▶ Close
//!                │        ▲
//!     GET /sse   ▼        │ frames
//!             session ────┘◀── POST /messages on other connections
//!
//!     POST /mcp ──▶ session, or none ──▶ the answer to that POST; GET /mcp for what belongs to no request
//! ```
//!
//! ```
//! use mcp_rill::engine::{Action, Engine};
//! use mcp_rill::Peer;
//! use mcp_rill::{Now, Server};
//!
//! let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
//! let mut ids = 0;
//! let mut engine = Engine::new(server, move || { ids += 1; ids }).unwrap();
//! let now = Now::default();
//! assert!(engine.has_room());
//! let stream = engine.open(now, Peer { loopback: true, ..Peer::default() });
//! assert!(engine.wants_read(stream));
//! engine.receive(now, stream, b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
//! assert_eq!(engine.poll(), Action::Write(stream));
//! let text = String::from_utf8(engine.outgoing(stream).to_vec()).unwrap();
//! assert!(text.ends_with("event: endpoint\ndata: /messages?sessionId=00000000-0000-4000-8000-000000000002\n\n"));
//! engine.sent(now, stream, text.len());
//! assert!(matches!(engine.poll(), Action::Wait(Some(_))));
//! engine.hang_up(now, stream);
//! assert_eq!(engine.poll(), Action::Close(stream));
//! engine.shutdown(now, engine.limits().shutdown_grace);
//! assert!(engine.is_stopping() && engine.is_finished());
//! ```
//!
//! A handler on another thread, and an engine without sockets (steps 4 and 5):
//!
//! ```
//! # use mcp_rill::engine::{Action, Engine};
//! # use mcp_rill::Peer;
//! # use mcp_rill::{Now, Server};
//! # use std::{thread, time::Duration};
//! # if cfg!(not(feature = "stateless")) { return Ok::<(), String>(()); }
//! let server = Server::new("demo", "1.0.0").blocking_tool("nap", "Sleep", |(), _| {
//!     thread::sleep(Duration::from_millis(10));
//!     "awake"
//! });
//! let mut engine = Engine::new(server, || 1)?;
//! let driver = thread::current();
//! engine.set_waker(move || driver.unpark());
//! let now = Now::default();
//! let conn = engine.open(now, Peer { loopback: true, ..Peer::default() });
//! # let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
//! # let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"nap","_meta":{meta}}}}}"#);
//! # let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: nap\r\nContent-Type: application/json";
//! # let call = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
//! engine.receive(now, conn, call.as_bytes()); // a whole request that calls the tool
//! let answer = loop {
//!     match engine.poll() {
//!         Action::Write(conn) => break String::from_utf8_lossy(engine.outgoing(conn)).into_owned(),
//!         Action::Wait(_) => {
//!             while engine.jobs().wants_thread() {
//!                 let jobs = engine.jobs();
//!                 thread::spawn(move || jobs.work());
//!             }
//!             thread::park(); // and until the deadline, in a driver with a clock
//!             engine.tick(now);
//!         }
//!         _ => {}
//!     }
//! };
//! assert!(answer.contains("awake"));
//! # Ok::<(), String>(())
//! ```

// Where to find what:
//
//   what a driver calls, and what it has to do next   here
//   from bytes to requests; a body too long: 413      receive, with http::conn::input and http::body
//   who may send a request: 403, 401                  gate, auth
//   which path and method is what: 404, 405           transport::routes; routes of an author: access::route
//   which connection gives way to another one         core::crowding
//   health checks, and pages beside them              health, pages
//   transports that begin with a handshake            handshakes, with http::conn
//   what each transport does with a message           transport::{sse, streamable, batch, stateless, lines}
//   which stream a message goes to, and how           deliver, core::streams, core::answers
//   a stream loses its connection                     core::streams (`lose_stream`)
//   the order of messages on a stream                 deliver, core::streams
//   a question to a client and its answer             not here: runtime::run (`take_answer`), runtime::stateless::rounds
//   a handler panics                                  not here: protocol::panics
//   how much one turn of the loop does                net, and `go_on` here
//   a field that comes twice                          http::head, and the code that reads the field
//   whose session it is                               transport::session, transport::sse, then core::sessions (`find_session`)
//   the states of a connection                        http::conn
//   what is kept of a lost stream, and for how long   state::event_log, core::logs
//   a client comes back for a lost stream             transport::resume
//   sessions begin, end, expire, make place           core::sessions, core::streamable, core::places
//   what counts against the memory budget             budget
//   an error's text, its status and its form          refusals
//   a result's shape in each revision                 not here: protocol::content

#[cfg(feature = "auth")]
pub(crate) mod auth;
pub(crate) mod budget;
pub(crate) mod core;
pub(crate) mod deliver;
pub(crate) mod gate;
pub(crate) mod handshakes;
pub(crate) mod health;
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod negotiate;
pub(crate) mod observe;
pub(crate) mod pages;
pub(crate) mod receive;
pub(crate) mod refusals;
pub(crate) mod shutdown;
pub(crate) mod state;
pub(crate) mod transport;

use std::sync::Arc;
use std::time::Duration;

use crate::access::peer::Peer;
use crate::access::settings::Settings;
use crate::engine::core::Core;
use crate::engine::state::connections::Connection;
use crate::engine::transport::lines;
use crate::http::conn::close::CloseReason;
use crate::http::conn::{After, Conn};
use crate::limits::Limits;
use crate::protocol::state_key::StateKey;
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::server::mailbox::Mailbox;
use crate::service::Service;
use crate::slab::Key;
use crate::timers::{Now, earlier};

/// What taking up kept requests counts as at least.
const GO_ON_BYTES_MIN: usize = 512;

pub use crate::engine::observe::{Event, Transport};
pub use crate::engine::pages::StatusPage;
pub use crate::runtime::config::EngineConfig;
pub use crate::runtime::jobs::Jobs;
pub use crate::server::stats::Stats;
pub use crate::service::ended::{CallDetails, CallKind, CallOutcome};
pub use crate::service::session::SessionId;

/// The key of one connection. It is never used again for another one.
///
/// ```
/// # let mut engine = mcp_rill::engine::Engine::new(mcp_rill::Server::new("demo", "1.0.0"), || 1).unwrap();
/// let conn = engine.open(Default::default(), Default::default());
/// assert_eq!((conn.index(), engine.find(conn.token())), (0, Some(conn)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey(pub(crate) Key);

impl ConnKey {
    /// The slot number: below `connections_max`, and shared with keys that are dead.
    pub fn index(self) -> usize {
        self.0.index() as usize
    }

    /// 31 bits that [`Engine::find`](crate::engine::Engine::find) turns back into the key, for event queues that carry one word.
    pub fn token(self) -> u32 {
        self.0.token()
    }
}

/// What the driver is to do next; see the [contract](self#driving-contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write [`Engine::outgoing`] to the socket, once, and report to [`Engine::sent`].
    Write(ConnKey),
    /// The connection takes bytes again.
    Read(ConnKey),
    /// End the socket's write half; go on reading.
    HalfClose(ConnKey),
    /// Drop the socket.
    Close(ConnKey),
    /// Nothing is left to do until something happens, or until this time ([`Now::mono`]).
    Wait(Option<Duration>),
}

/// The server without sockets; see the [module](crate::engine) for how to drive it.
pub struct Engine {
    pub(crate) core: Core,
    #[cfg(feature = "auth")]
    pub(crate) auth: state::auth::Auth,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) jobs: Arc<Jobs>,
    /// Connections whose handshake was not over when this was last checked.
    handshakes: Vec<Key>,
    pages: Vec<StatusPage>,
    /// When the shutdown begins that was announced, and its grace.
    pub(crate) draining: Option<(Duration, Duration)>,
    /// True once the end of the grace was handled.
    pub(crate) over: bool,
    /// The time as the driver handed it over last.
    given: Now,
    /// How much of [`Now::mono`] does not count: the deadlines of all parts are in a time without it.
    put_off: Duration,
    /// How many bytes of kept requests this turn of the loop still takes up.
    kept_left_bytes: usize,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mailbox.end();
        self.jobs.close();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Returns an engine for `server`. `new_id` returns the random bits of session ids, and first those of a [`StateKey`]: they
    /// must be unpredictable, from the operating system, except in tests. (Version and variant bits of RFC 9562 are set here.)
    ///
    /// # Errors
    /// What is wrong with the server: a name used twice, a schema that is not JSON, paths that cannot be, limits that
    /// contradict each other.
    pub fn new<X>(
        server: Server<X>,
        mut new_id: impl FnMut() -> u128 + Send + 'static,
    ) -> Result<Engine, String> {
        let key = StateKey::new(new_id().to_be_bytes());
        let (service, config) = server.into_service(key)?;
        Ok(Engine::with_service(service, config, new_id))
    }

    /// Returns an engine for a service of your own, or for that of [`Server::into_service`]; see
    /// [`service`](crate::service#a-whole-service) for one at work. `new_id` returns the random bits of session ids, as in
    /// [`new`](Engine::new).
    pub fn with_service(
        service: Box<dyn Service>,
        config: EngineConfig,
        new_id: impl FnMut() -> u128 + Send + 'static,
    ) -> Engine {
        let EngineConfig { settings, limits, routes, mailbox, jobs, .. } = config;
        let kept_left_bytes = limits.loop_bytes_max;
        let core = Core::new(service, settings, limits, routes, Box::new(new_id));
        Engine {
            core,
            #[cfg(feature = "auth")]
            auth: state::auth::Auth::new(config.authorize),
            mailbox,
            jobs,
            handshakes: Vec::new(),
            pages: Vec::new(),
            draining: None,
            over: false,
            given: Now::default(),
            put_off: Duration::ZERO,
            kept_left_bytes,
        }
    }

    /// Returns a handle to the server for other threads. The next [`tick`](Engine::tick) does what they ask for.
    pub fn handle(&self) -> Handle {
        Handle(self.mailbox.clone())
    }

    /// Sets the function that any thread calls which leaves something for the engine, so that the driver wakes up and calls
    /// [`tick`](Engine::tick). It must not block. A panic of it is caught, and then the driver is not woken. Only the first call of
    /// this method counts.
    ///
    /// ```
    /// # let mut engine = mcp_rill::engine::Engine::new(mcp_rill::Server::new("demo", "1.0.0"), || 1).unwrap();
    /// let driver = std::thread::current();
    /// engine.set_waker(move || driver.unpark());
    /// ```
    pub fn set_waker(&mut self, waker: impl Fn() + Send + Sync + 'static) {
        self.mailbox.set_waker(Box::new(waker));
    }

    /// The queue of calls of blocking handlers: after each turn the driver makes as many threads as
    /// [`Jobs::wants_thread`] asks for.
    pub fn jobs(&self) -> Arc<Jobs> {
        self.jobs.clone()
    }

    /// As [`Jobs::wants_thread`] of them, for each turn.
    #[cfg(feature = "net")]
    pub(crate) fn wants_thread(&self) -> bool {
        self.jobs.wants_thread()
    }

    /// Calls `observer` for every [`Event`]: the only logging there is. If it panics, that is counted as
    /// [`Stats::observer_panics`], and it is called again with the next event.
    pub fn on_event(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.on_event_but_calls(observer);
        self.mailbox.set_observed();
        self.core.timing.start(self.mailbox.clone());
    }

    /// As [`on_event`](Engine::on_event), without [`Event::CallEnded`] and [`Event::RequestEnded`]: calls are then not timed, which takes
    /// two looks at the clock and an allocation each.
    ///
    /// ```
    /// # use mcp_rill::engine::{Engine, Event};
    /// let mut engine = Engine::new(mcp_rill::Server::new("demo", "1.0.0"), || 1)?;
    /// engine.on_event_but_calls(|event| {
    ///     if let Event::Refused { peer, reason, .. } = event {
    ///         eprintln!("{peer:?}: {reason}");
    ///     }
    /// });
    /// # Ok::<(), String>(())
    /// ```
    pub fn on_event_but_calls(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.core.observer = Some(Box::new(observer));
    }

    /// Sets which parts of a request [`Event::CallEnded`] repeats. Without this call it repeats none.
    ///
    /// ```
    /// # use mcp_rill::{Now, Peer, Server, engine::{CallDetails, Engine, Event}};
    /// let mut engine = Engine::new(Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello"), || 1)?;
    /// engine.set_call_details(CallDetails { arguments_bytes_max: 1000, ..CallDetails::default() });
    /// let (log, lines) = std::sync::mpsc::sync_channel(100);
    /// engine.on_event(move |event| {
    ///     if let Event::CallEnded { name, arguments, .. } = event {
    ///         let _ = log.try_send(format!("{name} {}", arguments.unwrap_or("without arguments")));
    ///     }
    /// });
    /// let conn = engine.open_lines(Now::default(), Peer::default());
    /// let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello","arguments":{}}}"#;
    /// engine.receive(Now::default(), conn, format!("{call}\n").as_bytes());
    /// assert_eq!(lines.recv().unwrap(), "hello {}");
    /// # Ok::<(), String>(())
    /// ```
    pub fn set_call_details(&mut self, details: CallDetails) {
        self.mailbox.set_call_details(details);
    }

    /// Sets the clock by which requests are timed for [`Event::CallEnded`] and [`Event::RequestEnded`]: it returns the same time as
    /// [`Now::mono`]. Without one the times of those events are those of turns: a handler on the loop's thread takes none. The same holds
    /// while it panics. Only the first call of this method counts.
    pub fn set_clock(&mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) {
        self.mailbox.set_clock(Box::new(clock));
    }

    /// Returns true if [`open`](Engine::open) may be called. At `connections_max` this closes connections to make room, as that
    /// limit says, and returns false until they are closed. If none may be closed, it returns true: `open` then refuses the
    /// connection. It returns false if `refused_connections_max` are being refused already, and during a shutdown.
    pub fn has_room(&mut self) -> bool {
        self.core.stopping.is_none() && self.core.has_place()
    }

    /// Closes the connection that gives way first at `connections_max`, and returns true if there was one. For drivers that run
    /// out of descriptors.
    pub fn evict(&mut self) -> bool {
        self.core.evict_connections(None)
    }

    /// Opens a connection for a peer that has connected. At `connections_per_peer_max` another one of that peer is closed, or this
    /// one is refused. At `connections_max` it is refused.
    pub fn open(&mut self, now: Now, peer: Peer) -> ConnKey {
        self.set_now(now);
        ConnKey(self.core.open_connection(Conn::new(self.core.now()), peer))
    }

    /// Opens a connection whose messages are lines, both ways: MCP over standard input and output, or over anything else that
    /// carries bytes. It is driven like any other connection.
    ///
    /// One session begins, whose revision `initialize` negotiates, and ends with the connection. Requests of 2026-07-28 may come
    /// on the same connection. When the [input has ended](Engine::end_of_input), what is open is still answered, for as long as
    /// `shutdown_grace`.
    ///
    /// The hook of [`Server::authorize`] is not called, because there are no header fields. [`Peer::principal`] is the
    /// principal.
    ///
    /// ```
    /// use mcp_rill::{Now, Peer, Server, engine::{Action, Engine}};
    /// let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
    /// let (mut engine, now) = (Engine::new(server, || 1)?, Now::default());
    /// let conn = engine.open_lines(now, Peer::default());
    /// engine.receive(now, conn, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\nno JSON\n");
    /// assert_eq!(engine.poll(), Action::Write(conn));
    /// let text = String::from_utf8(engine.outgoing(conn).to_vec()).unwrap();
    /// let mut lines = text.lines();
    /// assert_eq!(lines.next(), Some(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    /// assert!(lines.next().is_some_and(|line| line.contains(r#""id":null,"error":{"code":-32700,"#)));
    /// engine.sent(now, conn, text.len());
    /// engine.end_of_input(now, conn);
    /// assert_eq!(engine.poll(), Action::Close(conn));
    /// # Ok::<(), String>(())
    /// ```
    pub fn open_lines(&mut self, now: Now, peer: Peer) -> ConnKey {
        self.set_now(now);
        ConnKey(lines::open(&mut self.core, peer))
    }

    /// Opens a connection that carries health checks (`GET /healthz`, `/livez` and `/readyz`) and nothing else, whatever
    /// [`Settings::health`](crate::Settings::health) says. Host, Origin and authorization are not checked on it. It takes no
    /// place of `connections_max`; past `health_connections_max` the one that has waited longest is closed. A shutdown does not
    /// wait for it, and more may be opened until that is complete.
    ///
    /// ```
    /// use mcp_rill::{Now, Peer, Server, engine::Engine};
    /// let (mut engine, now) = (Engine::new(Server::new("demo", "1.0.0"), || 1)?, Now::default());
    /// let conn = engine.open_health(now, Peer::default());
    /// engine.receive(now, conn, b"GET /readyz HTTP/1.1\r\nHost: anything\r\n\r\n");
    /// assert!(engine.outgoing(conn).starts_with(b"HTTP/1.1 200 OK\r\n"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn open_health(&mut self, now: Now, peer: Peer) -> ConnKey {
        self.set_now(now);
        ConnKey(self.core.open_health(peer))
    }

    /// Takes bytes from the peer. All of them are taken, so call [`wants_read`](Engine::wants_read) before reading.
    pub fn receive(&mut self, now: Now, conn: ConnKey, bytes: &[u8]) {
        self.set_now(now);
        self.turn(conn.0, bytes);
    }

    /// Notes that the peer will send no more. What it sent is still answered, but a request without a session is cancelled by
    /// this (MCP 2026-07-28, cancellation). Where the server keeps no sessions, an older client may still wait: its answer
    /// becomes a stream, and the write shows whether it is gone. The driver then calls [`hang_up`](Engine::hang_up).
    pub fn end_of_input(&mut self, now: Now, conn: ConnKey) {
        self.set_now(now);
        let Core { connections, common, .. } = &mut self.core;
        if connections.with(conn.0, |conn| conn.http.end_input(common)).is_some() {
            self.turn(conn.0, b"");
        }
    }

    /// Notes that the connection is broken, or that the driver gave up on it.
    pub fn hang_up(&mut self, now: Now, conn: ConnKey) {
        self.set_now(now);
        self.core.connections.close(conn.0, CloseReason::Broken);
    }

    /// Notes that the socket takes bytes again after a short write.
    pub fn writable(&mut self, _: Now, conn: ConnKey) {
        self.core.connections.with(conn.0, |conn| conn.blocked = false);
    }

    /// Notes that the socket took `count` bytes of [`outgoing`](Engine::outgoing).
    pub fn sent(&mut self, now: Now, conn: ConnKey, count: usize) {
        self.set_now(now);
        let Core { connections, common, .. } = &mut self.core;
        let Some(entry) = connections.get_mut(conn.0) else { return };
        entry.blocked = count < entry.http.outgoing().len();
        let (goes_on, has_stream) = (entry.http.sent(count, common), entry.stream.is_some());
        match entry.is_settled(&common.limits) {
            true => self.core.schedule(conn.0),
            false => connections.enqueue(conn.0),
        }
        if goes_on {
            self.go_on(conn.0);
        }
        if has_stream {
            self.core.send_owed(conn.0);
        }
    }

    /// Handles deadlines that have passed, comments on silent streams, and what other threads have left. What has arrived by
    /// `now` must have been [received](Engine::receive) before.
    pub fn tick(&mut self, now: Now) {
        self.set_now(now);
        let core = &mut self.core;
        let time = core.now();
        core.connections.take_due(time.mono).into_iter().for_each(|key| core.expire(key));
        #[cfg(feature = "streamable")]
        core.expire_sessions();
        if self.mailbox.take_wake() || core.service_due.is_some_and(|due| due <= time.mono) {
            core.service.tick(time, &mut core.outbox);
            core.flush();
            let mail = self.mailbox.take_for_engine();
            mail.odd_names.iter().for_each(|name| core.observe(&Event::ToolName { name }));
            #[cfg(feature = "auth")]
            {
                mail.admissions.into_iter().for_each(|(number, verdict)| self.take_verdict(number, verdict));
                if mail.reauthorize {
                    self.reauthorize();
                }
            }
            if let Some((delay, grace)) = mail.drain {
                self.drain(now, delay, grace);
            }
            if let Some(grace) = mail.shutdown {
                self.shutdown(now, grace);
            }
        }
        #[cfg(feature = "auth")]
        self.expire_admissions();
        self.end_drain_if_over(now);
        self.end_if_over();
        // Comments, refusals and notifications for slow streams take memory without a request that would check the budget.
        self.core.enforce_budget();
    }

    /// Puts off every deadline by `time`: for a driver that was stopped for so long, and read nothing meanwhile. See the
    /// [contract](self#driving-contract).
    ///
    /// ```
    /// # use mcp_rill::engine::{Action, Engine};
    /// # use mcp_rill::{Now, Peer, Server};
    /// # use std::time::Duration;
    /// let mut engine = Engine::new(Server::new("demo", "1.0.0"), || 1)?;
    /// let at = |seconds| Now { mono: Duration::from_secs(seconds), ..Now::default() };
    /// let conn = engine.open(at(0), Peer { loopback: true, ..Peer::default() });
    /// engine.receive(at(0), conn, b"GET /sse HTTP/1.1\r\n"); // half a head, which has 10 s
    /// assert_eq!(engine.poll(), Action::Wait(Some(Duration::from_secs(10))));
    /// // Woken at 70 s, and not at 10 s as it asked for: the process was stopped.
    /// engine.put_off_deadlines(Duration::from_secs(60));
    /// engine.receive(at(70), conn, b"Host: localhost\r\n\r\n");
    /// engine.tick(at(70));
    /// assert!(engine.outgoing(conn).starts_with(b"HTTP/1.1 200 OK\r\n"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn put_off_deadlines(&mut self, time: Duration) {
        self.put_off = self.put_off.saturating_add(time);
    }

    /// Has the next [`tick`](Engine::tick) call that of the service.
    #[cfg(all(unix, feature = "net"))]
    pub(crate) fn wake_service(&self) {
        self.mailbox.note_wake();
    }

    /// Returns what the driver has to do next.
    pub fn poll(&mut self) -> Action {
        while self.kept_left_bytes > 0
            && let Some(key) = self.core.connections.next_put_off()
        {
            self.go_on(key);
        }
        while let Some(key) = self.core.connections.next_ready() {
            if let Some(action) = self.next_action(key) {
                return action;
            }
        }
        #[cfg(feature = "resume")]
        debug_assert_eq!(self.core.broken_link(), None);
        // With nothing left to reset or to wait for, the end of the grace is no reason to wake up.
        let stopping = self.core.stopping.filter(|_| !self.is_finished());
        // The service itself may have left something for the next turn.
        let mail = self.mailbox.has_mail().then_some(self.core.now().mono);
        self.kept_left_bytes = self.limits().loop_bytes_max;
        let rest = self.core.connections.are_put_off().then_some(self.core.now().mono);
        let Core { connections, service_due, .. } = &self.core;
        let draining = self.draining.map(|(at, _)| at);
        let deadline =
            earlier(earlier(connections.next_due(), *service_due), earlier(stopping, earlier(mail, rest)));
        let deadline = earlier(deadline, draining);
        #[cfg(feature = "streamable")]
        let deadline = earlier(deadline, self.core.sessions.next_due());
        #[cfg(feature = "auth")]
        let deadline = earlier(deadline, self.auth.due());
        let deadline = deadline.map(|deadline| deadline.saturating_add(self.put_off));
        self.mailbox.publish(|stats| self.write_stats(stats));
        Action::Wait(deadline)
    }

    /// Returns what the driver has to do with a connection, if anything.
    fn next_action(&mut self, key: Key) -> Option<Action> {
        let Core { connections, common, .. } = &mut self.core;
        let conn = connections.get_mut(key)?;
        if conn.is_closing() {
            return Some(self.remove(key));
        }
        // Before writing: what is answered now leaves in the same write.
        if conn.http.wants_turn(&common.limits) && self.go_on(key) {
            return None;
        }
        let Core { connections, common, .. } = &mut self.core;
        let conn = connections.get_mut(key)?;
        if !conn.http.outgoing().is_empty() {
            if !conn.blocked {
                return Some(Action::Write(ConnKey(key)));
            }
            self.core.schedule(key);
            // Answers gave no way before their peer showed that it takes them slowly.
            self.core.enforce_budget();
            return None;
        }
        match conn.http.next() {
            After::Open => {}
            After::HalfClose => {
                connections.with(key, |conn| conn.http.half_closed(common));
                return Some(Action::HalfClose(ConnKey(key)));
            }
            After::Close => return Some(self.remove(key)),
        }
        let reads_again = conn.paused && conn.wants_read();
        conn.paused &= !reads_again;
        self.core.schedule(key);
        reads_again.then_some(Action::Read(ConnKey(key)))
    }

    /// Takes up the requests that a connection has kept, such as those behind one that was answered late. Past `loop_bytes_max` of all
    /// connections together they are put off to the next turn of the loop. Returns false if they are.
    fn go_on(&mut self, key: Key) -> bool {
        if self.kept_left_bytes == 0 {
            self.core.connections.put_off(key);
            return false;
        }
        let kept_bytes = |core: &Core| core.connections.get(key).map_or(0, Connection::kept_bytes);
        let before = kept_bytes(&self.core);
        self.turn(key, b"");
        let used = before.saturating_sub(kept_bytes(&self.core));
        self.kept_left_bytes = self.kept_left_bytes.saturating_sub(used.max(GO_ON_BYTES_MIN));
        true
    }

    fn remove(&mut self, key: Key) -> Action {
        self.core.remove(key);
        self.end_sessions_if_over();
        Action::Close(ConnKey(key))
    }

    /// Sets the time, less what was put off. It never goes back.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Now) {
        // A turn has many steps at one time.
        if now != self.given {
            self.change_now(now);
        }
    }

    fn change_now(&mut self, now: Now) {
        self.given = now;
        let mono = now.mono.saturating_sub(self.put_off).max(self.core.now().mono);
        self.core.common.set_now(Now { mono, ..now });
    }

    /// Returns the bytes that are to be written to the connection. Of long output it is the first part; once that is
    /// [sent](Engine::sent), [`Action::Write`] asks for the next one.
    pub fn outgoing(&self, conn: ConnKey) -> &[u8] {
        self.core.connections.get(conn.0).map_or(&[], |conn| conn.http.outgoing())
    }

    /// Returns true if the connection takes bytes. If not, [`Action::Read`] reports when it does again.
    pub fn wants_read(&mut self, conn: ConnKey) -> bool {
        self.core.connections.get_mut(conn.0).is_some_and(|conn| {
            conn.paused = !conn.wants_read();
            !conn.paused
        })
    }

    /// Returns the connection of a [`ConnKey::token`]; `None` if it is closed.
    pub fn find(&self, token: u32) -> Option<ConnKey> {
        self.core.connections.find(token).map(ConnKey)
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        self.core.limits()
    }

    /// The HTTP settings in force.
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.write_stats(&mut stats);
        stats
    }

    fn write_stats(&self, stats: &mut Stats) {
        let core = &self.core;
        *stats = core.stats;
        stats.connections = core.connections.len();
        stats.sessions = core.sessions.count();
        stats.calls = core.sessions.calls_count();
        (stats.workers_busy, stats.workers_stuck, stats.workers_queued) = self.jobs.gauges();
        stats.buffered_bytes = core.spent_bytes();
        stats.remembered_bytes = core.common.heads.bytes();
        stats.logs_dropped += self.mailbox.logs_dropped();
    }
}
