//! The real engine without a socket: a driver with virtual time, sockets that cut and stall, and a client's view of them.
//!
//! *Scope:* [`World`] drives an [`Engine`] as its contract says and asserts what every driver may rely on; [`demo`]
//! builds the server under test; [`http`] is a small reader of responses that shares no code with the library.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod demo;
pub mod http;
pub mod questions;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::engine::{CallKind, CallOutcome, Engine, Event, Stats, Transport};
pub use mcp_rill::testing::{Cut, Sock, Sockets};
use mcp_rill::{Limits, Revision, Server};
use mcp_rill::{Peer, Principal};
use serde_json::Value;

/// What the engine's observer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Opened,
    Closed,
    /// A client without a session.
    Sessionless,
    /// The port of its peer, and how long it was idle.
    Evicted(Option<u16>, Duration),
    Refused(u16, String),
    Large(usize),
    /// An answer to nothing: its id, and its error.
    Stray(String, Option<String>),
    /// A cancellation by an id that so many requests have.
    Ambiguous(String, usize),
    HandlerFault(String),
    ToolName(String),
    WorkersLeft(usize),
    HookPanicked(&'static str),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCall {
    pub kind: CallKind,
    pub name: String,
    pub principal: Option<String>,
    /// The whole id.
    pub session: Option<String>,
    pub transport: Transport,
    pub revision: Revision,
    pub queued: Duration,
    pub ran: Duration,
    pub outcome: CallOutcome,
    pub runs: u32,
    pub bytes: usize,
    pub is_known: bool,
    pub request_bytes: usize,
}

/// How a request ended that no handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRequest {
    pub method: &'static str,
    pub transport: Transport,
    pub revision: Revision,
    pub ran: Duration,
    pub outcome: CallOutcome,
}

/// An engine, its driver, and the clients around it.
pub struct World {
    pub sockets: Sockets,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The calls that have ended.
    calls: Arc<Mutex<Vec<EndedCall>>>,
    /// The other requests that have ended.
    requests: Arc<Mutex<Vec<EndedRequest>>>,
}

impl Deref for World {
    type Target = Sockets;

    fn deref(&self) -> &Sockets {
        &self.sockets
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
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

/// `Date` when virtual time begins.
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
    pub fn new<X>(server: Server<X>) -> World {
        World::cut(server, Cut::Whole, Cut::Whole)
    }

    /// The demo server with these limits.
    pub fn with(limits: Limits) -> World {
        World::new(demo::server().limits(limits))
    }

    /// With reads and writes cut.
    pub fn cut<X>(server: Server<X>, reads: Cut, writes: Cut) -> World {
        World::driving(Engine::new(server, counted()).unwrap(), reads, writes)
    }

    /// For an engine that has no waker yet.
    pub fn driving(engine: Engine, reads: Cut, writes: Cut) -> World {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let ended = calls.clone();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let others = requests.clone();
        let observer = move |event: &Event<'_>| {
            let event = match event {
                Event::SessionOpened { .. } => Seen::Opened,
                Event::SessionClosed { .. } => Seen::Closed,
                Event::SessionlessClient { .. } => Seen::Sessionless,
                Event::SessionEvicted { peer, idle } => {
                    Seen::Evicted(peer.address.map(|address| address.port()), *idle)
                }
                Event::Refused { status, reason, .. } => Seen::Refused(*status, (*reason).to_owned()),
                Event::LargeMessage { bytes } => Seen::Large(*bytes),
                Event::StrayAnswer { id, error, .. } => {
                    Seen::Stray((*id).to_owned(), error.map(str::to_owned))
                }
                Event::AmbiguousCancel { id, calls, .. } => Seen::Ambiguous((*id).to_owned(), *calls),
                Event::HandlerFault { problem } => Seen::HandlerFault((*problem).to_owned()),
                Event::ToolName { name } => Seen::ToolName((*name).to_owned()),
                Event::WorkersLeft { count } => Seen::WorkersLeft(*count),
                Event::CallEnded {
                    kind,
                    name,
                    principal,
                    session,
                    transport,
                    revision,
                    queued,
                    ran,
                    outcome,
                    runs,
                    bytes,
                    is_known,
                    request_bytes,
                    ..
                } => {
                    ended.lock().unwrap().push(EndedCall {
                        kind: *kind,
                        name: (*name).to_owned(),
                        principal: principal.map(|principal| principal.name().to_owned()),
                        session: session.map(|id| id.whole()),
                        transport: *transport,
                        revision: *revision,
                        queued: *queued,
                        ran: *ran,
                        outcome: *outcome,
                        runs: *runs,
                        bytes: *bytes,
                        is_known: *is_known,
                        request_bytes: *request_bytes,
                    });
                    return;
                }
                Event::RequestEnded { method, transport, revision, ran, outcome, .. } => {
                    let (transport, revision, ran, outcome) = (*transport, *revision, *ran, *outcome);
                    others.lock().unwrap().push(EndedRequest { method, transport, revision, ran, outcome });
                    return;
                }
                Event::HookPanicked { hook } => Seen::HookPanicked(hook),
                _ => return,
            };
            sink.lock().unwrap().push(event);
        };
        World { sockets: Sockets::new(engine, reads, writes, observer), seen, calls, requests }
    }

    /// What the observer saw since the last call.
    pub fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The calls that have ended since the last call of this.
    pub fn calls_ended(&mut self) -> Vec<EndedCall> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// The requests without a handler that have ended since the last call of this.
    pub fn requests_ended(&mut self) -> Vec<EndedRequest> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// As [`Sockets::jump`]: here it may be called with a time that is read from the world.
    pub fn jump(&mut self, to: Duration) {
        self.sockets.jump(to);
    }

    pub fn connect(&mut self) -> Sock {
        self.connect_as(local())
    }

    /// Opens a connection whose messages are lines.
    pub fn connect_lines(&mut self) -> Sock {
        self.connect_lines_as(local())
    }

    pub fn take_text(&mut self, sock: Sock) -> String {
        String::from_utf8(self.take(sock)).unwrap()
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
        self.reset_all();
        // Sessions of Streamable HTTP outlive their connections, for a time.
        if self.stats().sessions > 0 {
            let limits = self.engine.limits();
            let time = limits.question_timeout + limits.session_idle_timeout + Duration::from_secs(1);
            self.advance(time);
        }
        let mut left = self.left();
        // A result that another thread has just made waits for the loop, which takes it in its next turn.
        for _ in 0..100 {
            if left == Default::default() {
                break;
            }
            self.tick();
            left = self.left();
        }
        assert_eq!(left, Default::default());
    }

    pub fn assert_empty(&self) {
        assert_eq!(self.left(), Default::default());
    }

    /// Connections, sessions, calls, bytes that are held, and bytes that are remembered.
    fn left(&self) -> (usize, usize, usize, usize, usize) {
        let Stats { connections, sessions, calls, buffered_bytes, remembered_bytes, .. } = self.stats();
        (connections, sessions, calls, buffered_bytes, remembered_bytes)
    }
}
