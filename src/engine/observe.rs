//! What can be seen of a running engine from outside: counters, gauges and events.
//!
//! *Scope:* [`Stats`] and [`Event`]. *Not in scope:* logs and metrics formats; an observer of yours writes those.

use std::time::Duration;

use crate::access::peer::Peer;

/// Counters since the start, and gauges. A copy is cheap.
///
/// ```
/// # use mcp_rill::{Now, Peer, Server, engine::Engine};
/// let mut engine = Engine::new(Server::new("demo", "1.0.0"), || 1)?;
/// let stream = engine.open(Now::default(), Peer { loopback: true, ..Peer::default() });
/// engine.receive(Now::default(), stream, b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
/// let stats = engine.stats();
/// assert_eq!((stats.connections, stats.sessions, stats.refused), (1, 1, 0));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open now.
    pub connections: usize,
    /// Sessions that are open now.
    pub sessions: usize,
    /// Calls that are open now.
    pub calls: usize,
    /// Handlers that run on worker threads now, stuck ones included.
    pub workers_busy: usize,
    /// Worker threads that are stuck past their call's timeout now.
    pub workers_stuck: usize,
    /// Bytes of peers' data that are held now: what `buffered_bytes_max` bounds.
    pub buffered_bytes: usize,
    /// Connections opened.
    pub connections_opened: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// JSON-RPC messages taken from clients.
    pub messages_received: u64,
    /// JSON-RPC messages queued to clients.
    pub messages_queued: u64,
    /// HTTP requests that were refused.
    pub refused: u64,
    /// Requests refused because `calls_max`, `listens_max`, `output_bytes_max` or `buffered_bytes_max` was reached, or because no worker
    /// thread and no place in their queue was free, or no thread within `worker_wait_timeout`.
    pub busy: u64,
    /// Streams closed because the client did not read.
    pub slow_readers: u64,
    /// Sessions ended because more was kept for their calls and subscriptions than for anybody else when
    /// `buffered_bytes_max` was passed, or when a new body or session found no room and such took more than half of it.
    pub sessions_shed: u64,
    /// Sessions ended to make room for a new one at `sessions_max` or `sessions_per_peer_max`.
    pub sessions_evicted: u64,
    /// Sessions of which what was kept for lost streams was dropped early, because `buffered_bytes_max` was passed.
    pub replays_shed: u64,
    /// Results replaced by an error, and notifications dropped, because of `message_bytes_max`.
    pub oversized: u64,
    /// Results that came for a call which was cancelled or answered before.
    pub late: u64,
    /// Answers to requests that were never sent, or not to that client, or that were answered before.
    pub stray_answers: u64,
    /// Cancellations that cancelled nothing, because several open requests of the session have the id they name.
    pub ambiguous_cancels: u64,
    /// Log messages that slow clients did not get, or that the loop could not keep up with.
    pub logs_dropped: u64,
}

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
    },
    /// A session ended.
    SessionClosed {
        /// Who had opened it.
        peer: &'a Peer,
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
    /// A stream was closed because its client did not read.
    SlowReader {
        /// Whose stream it was.
        peer: &'a Peer,
        /// How many bytes of output it had left untaken.
        backlog_bytes: usize,
    },
    /// A client answered what it was not asked, or not any more. Counted as [`Stats::stray_answers`].
    StrayAnswer {
        /// Who sent it.
        peer: &'a Peer,
        /// The id of the answer as JSON text; `null` if it had none. A long one is cut.
        id: &'a str,
        /// What the client says has gone wrong, if the answer is an error. A long text is cut.
        error: Option<&'a str>,
    },
    /// A client cancelled a request by an id that several of its open requests have: nothing was cancelled. Counted as
    /// [`Stats::ambiguous_cancels`].
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
    /// idle connections are closed to make room. Reported once a minute at most.
    OutOfDescriptors,
    /// A handler broke a rule: it went on after a question without an answer, asked two things under one key, or failed with a
    /// question open ([`Call`](crate::Call#what-an-err-of-a-question-means)). The call ended in an error.
    HandlerFault {
        /// Names the handler and the question, and says what to change.
        problem: &'a str,
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
