//! What goes wrong between a client and the server.
//!
//! *Scope:* [`Faults`], and what has happened of them. *Not in scope:* causing them.

/// What goes wrong on the connections of a [`Harness`](crate::testing::Harness), by chance from a seed. No fault loses a message for
/// good: a handler's result, its notifications and its questions reach the client. So a test that passes without faults passes
/// with them, unless it counts progress or logs: if a client reads slowly, it gets only the latest progress.
///
/// The same seed gives the same faults, as long as no handler runs on another thread.
///
/// ```
/// use mcp_rill::testing::{Faults, Harness};
/// use mcp_rill::Server;
/// use serde_json::json;
/// for seed in 0..10 {
///     let server = Server::new("long", "1.0.0").tool("text", "A long text", |(), _| "long ".repeat(1000));
///     let mut harness = Harness::new(server).faults(Faults::seed(seed));
///     assert_eq!(harness.call("text", json!({})).text().len(), 5000, "seed {seed}");
///     assert!(harness.faults_seen().cut_writes > 0);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    pub(super) seed: u64,
    pub(super) torn: bool,
    pub(super) lost_streams: bool,
    pub(super) slow_readers: bool,
}

impl Faults {
    /// All of them, by chance from this seed.
    pub fn seed(seed: u64) -> Faults {
        Faults { seed, torn: true, lost_streams: true, slow_readers: true }
    }

    /// Sets whether the server reads and writes in pieces of any length, and is told at any time that a socket takes nothing.
    pub fn torn(self, torn: bool) -> Faults {
        Faults { torn, ..self }
    }

    /// Sets whether connections break in the middle of a stream. That happens where a client can come back for the rest: over
    /// Streamable HTTP with sessions, with the feature `resume`. In other transports a connection that breaks cancels the call,
    /// as [`Harness::disconnect`](crate::testing::Harness::disconnect) does.
    pub fn lost_streams(self, lost_streams: bool) -> Faults {
        Faults { lost_streams, ..self }
    }

    /// Sets whether the client stops reading for a while.
    pub fn slow_readers(self, slow_readers: bool) -> Faults {
        Faults { slow_readers, ..self }
    }
}

/// How often something went wrong ([`Harness::faults_seen`](crate::testing::Harness::faults_seen)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultsSeen {
    /// Writes that the kernel took only a part of.
    pub cut_writes: u64,
    /// Streams whose connection broke, and for whose rest the client came back.
    pub lost_streams: u64,
    /// Times when nothing went on until the client read again.
    pub stalls: u64,
}
