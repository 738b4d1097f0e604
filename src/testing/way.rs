//! How a client speaks with the server.
//!
//! *Scope:* [`Way`]: a transport and a revision. *Not in scope:* what travels over it.

use std::fmt;

use crate::engine::observe::Transport;
use crate::protocol::revision::Revision;

/// A transport, and the revision that the client speaks over it.
///
/// ```
/// use mcp_rill::testing::{Harness, Way};
/// use mcp_rill::Server;
/// use serde_json::json;
/// for way in Way::all() {
///     let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
///     assert_eq!(Harness::new(server).over(way).call("hello", json!({})).text(), "hello", "{way}");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    pub(super) transport: Transport,
    pub(super) revision: Revision,
}

impl Way {
    /// HTTP+SSE, with a revision that has sessions.
    pub fn sse(revision: Revision) -> Way {
        Way { transport: Transport::Sse, revision }
    }

    /// Streamable HTTP. It came with 2025-03-26.
    pub fn streamable(revision: Revision) -> Way {
        Way { transport: Transport::Streamable, revision }
    }

    /// Lines, as on standard input and output.
    pub fn lines(revision: Revision) -> Way {
        Way { transport: Transport::Lines, revision }
    }

    /// The way of most clients of this revision, in what this build serves: Streamable HTTP since 2025-03-26, else HTTP+SSE.
    pub fn of(revision: Revision) -> Way {
        match Way::streamable(revision).problem() {
            None => Way::streamable(revision),
            Some(_) => Way::sse(revision),
        }
    }

    /// Every way that this build serves: all transports with all revisions that they have.
    pub fn all() -> Vec<Way> {
        let of = |make: fn(Revision) -> Way| Revision::ALL.iter().map(move |revision| make(*revision));
        let all = of(Way::sse).chain(of(Way::streamable)).chain(of(Way::lines));
        all.filter(|way| way.problem().is_none()).collect()
    }

    /// The transport.
    pub fn transport(self) -> Transport {
        self.transport
    }

    /// The revision.
    pub fn revision(self) -> Revision {
        self.revision
    }

    /// Returns what speaks against it.
    pub(super) fn problem(self) -> Option<String> {
        let built = cfg!(feature = "streamable") || !self.revision.has_sessions();
        let exists = match self.transport {
            Transport::Sse => self.revision.has_sessions(),
            Transport::Streamable => self.revision >= Revision::V2025_03_26 && built,
            Transport::Lines => true,
        };
        (!exists).then(|| format!("there is no {self} in this build: `Way::all` lists those that it has"))
    }

    /// True if this is HTTP without sessions, since 2026-07-28.
    pub(super) fn is_stateless_http(self) -> bool {
        !self.revision.has_sessions() && self.transport == Transport::Streamable
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Sse => "HTTP+SSE",
            Transport::Streamable => "Streamable HTTP",
            Transport::Lines => "lines",
        };
        write!(f, "{} over {transport}", self.revision)
    }
}
