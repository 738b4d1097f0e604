//! What can be seen of a running engine from outside: its events.
//!
//! *Scope:* [`Event`]. *Not in scope:* counters and gauges ([`Stats`](crate::engine::Stats)), logs and formats of metrics; an observer
//! of yours writes those.

use std::time::Duration;

use crate::access::peer::Peer;
use crate::access::peer::Principal;
use crate::http::conn::close::CloseReason;
use crate::protocol::revision::Revision;
use crate::protocol::trace::TraceContext;
use crate::service::ended::{CallKind, CallOutcome};
use crate::service::session::SessionId;

/// Something worth a line in a log.
///
/// ```
/// # use mcp_rill::{Now, Peer, Server, engine::{Engine, Event}};
/// let mut engine = Engine::new(Server::new("demo", "1.0.0"), || 1)?;
/// // A log that is not read fast enough loses lines: it neither grows nor holds the engine up.
/// let (log, lines) = std::sync::mpsc::sync_channel(100);
/// engine.on_event(move |event| {
///     if let Event::Refused { status, reason, .. } = event {
///         let _ = log.try_send(format!("{status} {reason}"));
///     }
/// });
/// let conn = engine.open(Now::default(), Peer::default());
/// engine.receive(Now::default(), conn, b"GET /sse HTTP/1.1\r\nHost: evil.example\r\n\r\n");
/// assert!(lines.recv().unwrap().starts_with("403 Host `evil.example` is not allowed"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A session began.
    SessionOpened {
        /// Who opened it.
        peer: &'a Peer,
        /// Its id.
        id: SessionId,
        /// How its requests come.
        transport: Transport,
    },
    /// A session ended. What handlers have kept for it ([`Call::session_data`](crate::Call::session_data)) is dropped.
    SessionClosed {
        /// Who had opened it.
        peer: &'a Peer,
        /// Its id.
        id: SessionId,
        /// How its requests came.
        transport: Transport,
        /// The revision of MCP that was negotiated, or the oldest one if the client has not initialized it.
        revision: Revision,
        /// How long it was open.
        lasted: Duration,
    },
    /// A call of a handler ended: of a tool, a resource, a prompt, a template's list, or a completion. It is reported for calls that
    /// fail before a handler runs, too, but not for reads that only decide about a subscription.
    ///
    /// ```
    /// # use mcp_rill::{Now, Peer, Server, engine::{CallOutcome, Engine, Event}};
    /// let mut engine = Engine::new(Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello"), || 1)?;
    /// let (log, lines) = std::sync::mpsc::sync_channel(100);
    /// engine.on_event(move |event| {
    ///     if let Event::CallEnded { kind, name, principal, outcome, ran, bytes, .. } = event {
    ///         let who = principal.map_or("somebody", |principal| principal.name());
    ///         let _ = log.try_send(format!("{who} {kind:?} {name} {outcome:?} {} ms {bytes} bytes", ran.as_millis()));
    ///     }
    /// });
    /// let conn = engine.open_lines(Now::default(), Peer::default());
    /// engine.receive(Now::default(), conn, br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#);
    /// engine.receive(Now::default(), conn, b"\n");
    /// assert_eq!(lines.recv().unwrap(), "somebody Tool hello Result 0 ms 44 bytes");
    /// # Ok::<(), String>(())
    /// ```
    CallEnded {
        /// The kind of what was called.
        kind: CallKind,
        /// Its name or URI, as the client sent it. A long one is cut.
        name: &'a str,
        /// True if the server has an item of that name which this client may call. Any other name is made up by a client: counters of
        /// names would have no bound.
        is_known: bool,
        /// The other end of the connection that brought the request.
        peer: &'a Peer,
        /// Who called, where peers are authenticated.
        principal: Option<&'a Principal>,
        /// The session; `None` for a request without one.
        session: Option<SessionId>,
        /// How the request came.
        transport: Transport,
        /// The revision of MCP that was spoken.
        revision: Revision,
        /// How long it has waited for a worker thread.
        queued: Duration,
        /// How long its handler has run, or its [`Reply`](crate::Reply) was open. The time in which the client is asked does not count.
        ran: Duration,
        /// How it ended.
        outcome: CallOutcome,
        /// How often the handler was started: once, and again after each round of questions.
        runs: u32,
        /// The length of the result or error as JSON.
        bytes: usize,
        /// The length of the request's parameters as JSON.
        request_bytes: usize,
        /// The trace that the request belongs to, if [`CallDetails`](crate::engine::CallDetails) asks for it.
        trace: Option<&'a TraceContext<'a>>,
        /// The arguments as JSON text, if there are some and [`CallDetails`](crate::engine::CallDetails) asks for them.
        arguments: Option<&'a str>,
    },
    /// A request ended that no handler of the server answers: `initialize`, `server/discover` or a list. A page of
    /// `resources/list` that a template makes is a call ([`CallEnded`](Event::CallEnded)) and not reported here.
    ///
    /// ```
    /// # use mcp_rill::{Now, Peer, Server, engine::{Engine, Event}};
    /// let mut engine = Engine::new(Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello"), || 1)?;
    /// let (log, lines) = std::sync::mpsc::sync_channel(100);
    /// engine.on_event(move |event| {
    ///     if let Event::RequestEnded { method, ran, outcome, .. } = event {
    ///         let _ = log.try_send(format!("{method} {outcome:?} {} ms", ran.as_millis()));
    ///     }
    /// });
    /// let conn = engine.open_lines(Now::default(), Peer::default());
    /// engine.receive(Now::default(), conn, br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    /// engine.receive(Now::default(), conn, b"\n");
    /// assert_eq!(lines.recv().unwrap(), "tools/list Result 0 ms");
    /// # Ok::<(), String>(())
    /// ```
    RequestEnded {
        /// The method.
        method: &'static str,
        /// The other end of the connection that brought the request.
        peer: &'a Peer,
        /// How the request came.
        transport: Transport,
        /// The revision of MCP that was spoken; of `initialize`, the one that was negotiated.
        revision: Revision,
        /// How long it was open.
        ran: Duration,
        /// How it ended.
        outcome: CallOutcome,
    },
    /// A client sends requests that belong to no session: reported for the first one of each connection.
    SessionlessClient {
        /// Who sends them.
        peer: &'a Peer,
    },
    /// A session is about to be ended to make room for a new one, at `sessions_max` or `sessions_per_peer_max`.
    SessionEvicted {
        /// Who had opened it.
        peer: &'a Peer,
        /// How long it has been idle: without a request, an open call, an open stream.
        idle: Duration,
    },
    /// An HTTP request was refused, or a line.
    Refused {
        /// Who sent it.
        peer: &'a Peer,
        /// The HTTP status it got (RFC 9110, section 15), or would have got if it was a line.
        status: u16,
        /// The text it got; of a JSON body, the message in it.
        reason: &'a str,
    },
    /// A connection is closed: reported once for each one that was opened, before the end of a session that ends with it.
    ConnectionClosed {
        /// Who was at the other end.
        peer: &'a Peer,
        /// Why it is closed.
        reason: CloseReason,
        /// How many bytes of output are lost, because the client had not taken them.
        unsent_bytes: usize,
    },
    /// A client sent an answer that no request waits for. Counted as [`Stats::stray_answers`](crate::engine::Stats::stray_answers).
    StrayAnswer {
        /// Who sent it.
        peer: &'a Peer,
        /// The id of the answer as JSON text; `null` if it had none. A long one is cut.
        id: &'a str,
        /// What the client says has gone wrong, if the answer is an error. A long text is cut.
        error: Option<&'a str>,
    },
    /// A client cancelled a request by an id that several of its open requests have: nothing was cancelled. Counted as
    /// [`Stats::ambiguous_cancels`](crate::engine::Stats::ambiguous_cancels).
    AmbiguousCancel {
        /// Who sent it.
        peer: &'a Peer,
        /// The id as JSON text. A long one is cut.
        id: &'a str,
        /// How many requests have it.
        calls: usize,
    },
    /// A message is so large that clients are known to drop it: from 1 MiB on.
    LargeMessage {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A tool's name is not 1 to 64 characters of `A-Z a-z 0-9 _ -`. MCP allows it, but large model APIs refuse every request
    /// that lists such a tool. Reported in the first turn, and when a tool is added.
    ToolName {
        /// The name.
        name: &'a str,
    },
    /// The process, or the system, has no descriptor left for a new connection. Clients wait in the listener's backlog and
    /// connections are closed to make room, as at `connections_max`. Reported once a minute at most.
    OutOfDescriptors,
    /// A handler broke a rule: it went on after a question without an answer, asked two things under one key, or failed with a
    /// question open ([`Call`](crate::Call#what-an-err-of-a-question-means)). The call ended in an error.
    HandlerFault {
        /// Names the handler and the question, and says what to change.
        problem: &'a str,
    },
    /// The handshake of a transport failed: the client does not trust a certificate, say, or sends something else. The connection
    /// is closed. A client that is just gone is not reported.
    HandshakeFailed {
        /// Who was at the other end.
        peer: &'a Peer,
        /// What the transport says of it. A long text is cut.
        error: &'a str,
    },
    /// A hook panicked that has no client to answer: it decides as if it had refused.
    HookPanicked {
        /// Its name: `on_accept`, or `on_stream`, also for the transport that it returned. The connection is then closed.
        hook: &'static str,
    },
    /// A shutdown began.
    Stopping {
        /// How long it may take.
        grace: Duration,
        /// Calls that are open, whose results are waited for.
        calls: usize,
        /// Connections whose peer has not taken what was sent to it.
        unread: usize,
    },
    /// The grace of a shutdown is over while blocking handlers still run. Nothing can end their threads but the end of the
    /// process.
    WorkersLeft {
        /// How many.
        count: usize,
    },
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP+SSE (MCP 2024-11-05): `GET /sse` and `POST /messages`.
    Sse,
    /// Streamable HTTP: POST on `/mcp`, with or without a session.
    Streamable,
    /// Lines, as on standard input and output.
    Lines,
}
