//! The server without sockets, clock or randomness: bytes in, bytes and actions out.
//!
//! *Scope:* [`Engine`]: connections, sessions, calls, deadlines, budgets, and the contract with its driver.
//! *Not in scope:* reading and writing sockets (`net` does, or a driver of your own: an in-memory test, a TLS stack).
//!
//! # Driving contract
//!
//! Once, before the first turn:
//!
//! - Give [`set_waker`](Engine::set_waker) what ends the sleep of step 5 from another thread. Without it what a
//!   [`Handle`], a [`Reply`](crate::Reply) or a worker thread leaves waits for the next socket or deadline.
//! - Give [`on_event`](Engine::on_event) what is to hear of refusals and failures, if that is wanted: there is no other log.
//!
//! Then, turn by turn:
//!
//! 1. Do one mutation: [`open`](Engine::open) or [`open_lines`](Engine::open_lines), [`receive`](Engine::receive), [`end_of_input`](Engine::end_of_input),
//!    [`hang_up`](Engine::hang_up), [`writable`](Engine::writable), [`sent`](Engine::sent), [`tick`](Engine::tick),
//!    [`shutdown`](Engine::shutdown).
//! 2. Any number of mutations may follow: the frames of one turn for one socket leave in one write.
//! 3. Drain [`poll`](Engine::poll) until it says [`Action::Wait`], doing what it says.
//! 4. Make as many threads as [`Jobs::wants_thread`] asks for, which is a question for the queue that
//!    [`jobs`](Engine::jobs) gives, and let each call [`Jobs::work`]; report one that cannot be made to
//!    [`Jobs::thread_failed`]. Without threads the handlers of `blocking_` tools never run: their calls time out.
//! 5. Sleep until a socket is ready, the waker is called, or the deadline of `Wait` has come; then `tick`, and begin again.
//!    After a [`shutdown`](Engine::shutdown) end when [`is_finished`](Engine::is_finished) says so. To drop the engine ends
//!    its threads, each after the job at hand.
//!
//! - Before [`open`](Engine::open) ask [`has_room`](Engine::has_room). Where it says no, leave the connection in the
//!   backlog and do step 3: an idle connection may have been closed to make room. A driver that runs out of descriptors calls
//!   [`evict_idle`](Engine::evict_idle).
//! - On [`Action::Write`] write [`outgoing`](Engine::outgoing) once and report the count to [`sent`](Engine::sent), even
//!   if it is 0. After a short count the engine does not ask again until [`writable`](Engine::writable): a driver with
//!   edge-triggered events hears of it, since the kernel's buffer was full.
//! - Before reading ask [`wants_read`](Engine::wants_read). Where it says no, leave the bytes in the kernel, which is
//!   the peer's backpressure, until [`Action::Read`].
//! - Report the peer's end of input to [`end_of_input`](Engine::end_of_input), and a broken connection, in reading or in
//!   writing, to [`hang_up`](Engine::hang_up).
//! - On [`Action::HalfClose`] end the socket's write half, and go on reading.
//! - On [`Action::Close`] drop the socket: its key is dead, and what still comes under it is ignored.
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
//! What is done on other threads, without sockets (steps 4 and 5):
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
//   which path and method is what: 404, 405           transport::routes
//   what each transport does with a message           transport::{sse, streamable, batch, stateless, lines}
//   which stream a message goes to, and how           deliver, core::streams, core::answers
//   a stream loses its connection                     core::connections (`remove`), then core::streamable (`detach`)
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
pub(crate) mod keys;
#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod negotiate;
pub(crate) mod observe;
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
use crate::engine::transport::lines;
use crate::http::conn::{After, Conn};
use crate::limits::Limits;
use crate::protocol::state_key::StateKey;
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::server::mailbox::Mailbox;
use crate::service::Service;
use crate::slab::Key;
use crate::timers::Now;

pub use crate::engine::keys::ConnKey;
pub use crate::engine::observe::{Event, Stats};
pub use crate::runtime::config::EngineConfig;
pub use crate::runtime::jobs::Jobs;

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
    mailbox: Arc<Mailbox>,
    pub(crate) jobs: Arc<Jobs>,
    /// The grace of the shutdown is over, and was seen to.
    pub(crate) over: bool,
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
    /// An engine for `server`. `new_id` gives the random bits of session ids, and first those of a
    /// [`StateKey`]: they must be unpredictable, from the operating system, except in tests. (Version and variant bits of
    /// RFC 9562 are set here.)
    ///
    /// # Errors
    /// What is wrong with the server: a name used twice, a schema that is not JSON, paths that cannot be, limits that
    /// contradict each other.
    pub fn new(server: Server, mut new_id: impl FnMut() -> u128 + Send + 'static) -> Result<Engine, String> {
        let key = StateKey::new(new_id().to_be_bytes());
        let (service, config) = server.into_service(key)?;
        Ok(Engine::with_service(service, config, new_id))
    }

    /// An engine for a service of your own, or for that of [`Server::into_service`]; see
    /// [`service`](crate::service#a-whole-service) for one at work. `new_id` returns the random bits of session ids, as in
    /// [`new`](Engine::new).
    pub fn with_service(
        service: Box<dyn Service>,
        config: EngineConfig,
        new_id: impl FnMut() -> u128 + Send + 'static,
    ) -> Engine {
        let EngineConfig { settings, limits, mailbox, jobs, .. } = config;
        let core = Core::new(service, settings, limits, Box::new(new_id));
        Engine {
            core,
            #[cfg(feature = "auth")]
            auth: state::auth::Auth { hook: config.authorize, rounds: 0 },
            mailbox,
            jobs,
            over: false,
        }
    }

    /// A hold on the server for other threads. What they leave is taken up by the next [`tick`](Engine::tick).
    pub fn handle(&self) -> Handle {
        Handle(self.mailbox.clone())
    }

    /// Calls `waker` from whatever thread has left something for the engine, so that the driver wakes up and calls
    /// [`tick`](Engine::tick). It must not block. Only the first one counts.
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

    /// Calls `observer` for every [`Event`]: the only logging there is.
    pub fn on_event(&mut self, observer: impl FnMut(&Event<'_>) + Send + 'static) {
        self.core.observer = Some(Box::new(observer));
    }

    /// A peer connected. At `connections_per_peer_max` its connection idle longest is closed, or this one is refused.
    pub fn open(&mut self, now: Now, peer: Peer) -> ConnKey {
        self.set_now(now);
        ConnKey(self.core.open_connection(Conn::new(now), peer))
    }

    /// A peer connected whose messages are lines, both ways: MCP over standard input and output, or over what else carries bytes.
    /// It is driven as any other connection.
    ///
    /// One session begins, whose revision `initialize` negotiates, and ends with the connection. Requests of 2026-07-28 may come
    /// on the same connection. When the [input has ended](Engine::end_of_input), what is open is still answered, for as long as
    /// `shutdown_grace`.
    ///
    /// Nobody asks the hook of [`Server::authorize`]: there are no header fields. Who the peer is says [`Peer::principal`].
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

    /// Bytes came from the peer. All of them are taken, so ask [`wants_read`](Engine::wants_read) before reading.
    pub fn receive(&mut self, now: Now, conn: ConnKey, bytes: &[u8]) {
        self.set_now(now);
        self.turn(conn.0, bytes);
    }

    /// The peer will send no more. What it sent is still answered, but a request without a session is cancelled by this
    /// (MCP 2026-07-28, cancellation). Where the server keeps no sessions, an older client may still wait: its answer becomes
    /// a stream, and the write shows whether it is gone. The driver then calls [`hang_up`](Engine::hang_up).
    pub fn end_of_input(&mut self, now: Now, conn: ConnKey) {
        self.set_now(now);
        let Core { connections, common, .. } = &mut self.core;
        if connections.with(conn.0, |conn| conn.http.end_input(common)).is_some() {
            self.turn(conn.0, b"");
        }
    }

    /// The connection is broken, or the driver gave up on it.
    pub fn hang_up(&mut self, now: Now, conn: ConnKey) {
        self.set_now(now);
        self.core.connections.close(conn.0);
    }

    /// The socket takes bytes again after a short write.
    pub fn writable(&mut self, _: Now, conn: ConnKey) {
        self.core.connections.with(conn.0, |conn| conn.blocked = false);
    }

    /// The socket took `count` bytes of [`outgoing`](Engine::outgoing).
    pub fn sent(&mut self, now: Now, conn: ConnKey, count: usize) {
        self.set_now(now);
        let Core { connections, common, .. } = &mut self.core;
        let sent = connections.with(conn.0, |conn| {
            conn.blocked = count < conn.http.outgoing().len();
            (conn.http.sent(count, common), conn.stream.is_some())
        });
        let Some((goes_on, has_stream)) = sent else { return };
        if goes_on {
            self.turn(conn.0, b"");
        }
        if has_stream {
            self.core.send_owed(conn.0);
        }
    }

    /// Time has passed: deadlines are met, silent streams get a comment.
    pub fn tick(&mut self, now: Now) {
        self.set_now(now);
        let core = &mut self.core;
        core.connections.take_due(now.mono).into_iter().for_each(|key| core.expire(key));
        #[cfg(feature = "streamable")]
        core.expire_sessions();
        if self.mailbox.take_wake() || core.service_due.is_some_and(|due| due <= now.mono) {
            core.service.tick(now, &mut core.outbox);
            core.flush();
            for name in self.mailbox.take_odd_names() {
                core.observe(&Event::ToolName { name: &name });
            }
            #[cfg(feature = "auth")]
            if self.mailbox.take_reauthorize() {
                self.reauthorize();
            }
            if let Some(grace) = self.mailbox.take_shutdown() {
                self.shutdown(now, grace);
            }
        }
        self.end_if_over();
        // Comments, refusals and what slow streams are owed grow without a request that would look at this.
        self.core.enforce_budget();
    }

    /// What to do next.
    pub fn poll(&mut self) -> Action {
        while let Some(key) = self.core.connections.next_ready() {
            if let Some(action) = self.look_at(key) {
                return action;
            }
        }
        #[cfg(feature = "resume")]
        debug_assert_eq!(self.core.broken_link(), None);
        // With nothing left to reset or to wait for, the end of the grace is no reason to wake up.
        let stopping = self.core.stopping.filter(|_| !self.is_finished());
        // What a service has left for the next turn needs no one to wake for it.
        let mail = self.mailbox.has_mail().then_some(self.core.now().mono);
        let Core { connections, service_due, .. } = &self.core;
        let deadlines = [connections.next_due(), *service_due, stopping, mail].into_iter().flatten();
        #[cfg(feature = "streamable")]
        let deadlines = deadlines.chain(self.core.sessions.next_due());
        Action::Wait(deadlines.min())
    }

    /// What the driver is to do with a connection that may have something to do.
    fn look_at(&mut self, key: Key) -> Option<Action> {
        let Core { connections, common, .. } = &mut self.core;
        let conn = connections.get_mut(key)?;
        if conn.is_closing() {
            return Some(self.remove(key));
        }
        if conn.http.wants_turn(&common.limits) {
            // Before writing: what is answered now leaves in the same write.
            self.turn(key, b"");
            return None;
        }
        if !conn.http.outgoing().is_empty() {
            if !conn.blocked {
                return Some(Action::Write(ConnKey(key)));
            }
            self.core.schedule(key);
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
        let reads_again = conn.paused && conn.http.wants_read();
        conn.paused &= !reads_again;
        self.core.schedule(key);
        reads_again.then_some(Action::Read(ConnKey(key)))
    }

    fn remove(&mut self, key: Key) -> Action {
        self.core.remove(key);
        self.end_sessions_if_over();
        Action::Close(ConnKey(key))
    }

    fn set_now(&mut self, now: Now) {
        self.core.common.set_now(now);
    }

    /// What the connection has to write.
    pub fn outgoing(&self, conn: ConnKey) -> &[u8] {
        self.core.connections.get(conn.0).map_or(&[], |conn| conn.http.outgoing())
    }

    /// Whether the connection takes bytes. If it does not, [`Action::Read`] says when it does again.
    pub fn wants_read(&mut self, conn: ConnKey) -> bool {
        self.core.connections.get_mut(conn.0).is_some_and(|conn| {
            conn.paused = !conn.http.wants_read();
            !conn.paused
        })
    }

    /// The connection behind a [`ConnKey::token`]; `None` if it is closed.
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
        let core = &self.core;
        Stats {
            connections: core.connections.len(),
            sessions: core.sessions.count(),
            calls: core.sessions.calls_count(),
            workers_busy: self.jobs.running(),
            workers_stuck: self.jobs.stuck(),
            buffered_bytes: core.spent_bytes(),
            logs_dropped: core.stats.logs_dropped + self.mailbox.logs_dropped(),
            ..core.stats
        }
    }
}
