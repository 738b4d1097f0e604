//! Counters and gauges of a running server.
//!
//! *Scope:* [`Stats`]. *Not in scope:* counting, which the engine does; the formats of metrics.

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
    /// Calls of blocking handlers that wait for a worker thread now.
    pub workers_queued: usize,
    /// Bytes of peers' data that are held now: what `buffered_bytes_max` bounds, together with `remembered_bytes`.
    pub buffered_bytes: usize,
    /// Bytes of the heads that connections remember, so that the same head is read faster when it comes again. They count towards
    /// `buffered_bytes_max` too, and are dropped before anything else when it is passed.
    pub remembered_bytes: usize,
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
    /// Requests refused because `authorizing_max`, `calls_max`, `listens_max`, `output_bytes_max` or `buffered_bytes_max` was reached, or because no worker
    /// thread and no place in their queue was free, or no thread within `worker_wait_timeout`.
    pub busy: u64,
    /// Connections closed because the client did not read: [`SlowReader`](crate::http::conn::CloseReason::SlowReader), and
    /// [`WriteTimeout`](crate::http::conn::CloseReason::WriteTimeout) and [`Budget`](crate::http::conn::CloseReason::Budget) where
    /// output was lost.
    pub slow_readers: u64,
    /// Sessions ended because much was kept for their calls and subscriptions when `buffered_bytes_max` was spent.
    pub sessions_shed: u64,
    /// Sessions ended to make room for a new one at `sessions_max` or `sessions_per_peer_max`.
    pub sessions_evicted: u64,
    /// Sessions of which what was kept for lost streams was dropped early, because `buffered_bytes_max` was exceeded.
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
    /// Panics of the observer of [`Engine::on_event`](crate::engine::Engine::on_event). Each ends the report of one event.
    pub observer_panics: u64,
}
