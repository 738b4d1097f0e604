//! How long requests take that no handler answers: `initialize` and the pages of lists.
//!
//! *Scope:* which requests are timed, and the report when they end. *Not in scope:* calls of handlers, which the service reports
//! itself, because it knows how long they waited and asked: a list that a handler makes is one of those.
//!
//! ```text
//!  request ─▶ begin ─▶ service ─┬─ reports a call of its own ─▶ CallEnded, and nothing here
//!                               └─ result, error, cancelled ─▶ RequestEnded
//! ```
//!
//! Nothing is measured without an observer of calls.

use std::sync::Arc;
use std::time::Duration;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::{Event, Transport};
use crate::engine::state::sessions::PendingRequest;
use crate::engine::state::streams::Source;
use crate::key_map::{KeyMap, entry_bytes};
use crate::memory::Charge;
use crate::server::mailbox::Mailbox;
use crate::service::ended::CallOutcome;
use crate::service::keys::CallKey;
use crate::service::outbox::Outgoing;
use crate::slab::Key;

/// The methods whose requests are timed.
const METHODS: [&str; 6] = [
    "initialize",
    "server/discover",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
];

/// The requests that are timed and have no answer yet.
pub(crate) struct Timing {
    /// Has the clock; `None` without an observer of calls.
    clock: Option<Arc<Mailbox>>,
    open: KeyMap<CallKey, Begun>,
}

struct Begun {
    method: &'static str,
    at: Duration,
    peer: Peer,
    transport: Transport,
    _charge: Charge,
}

impl Timing {
    pub(crate) fn new() -> Timing {
        Timing { clock: None, open: KeyMap::new() }
    }

    /// From now on requests are timed.
    pub(crate) fn start(&mut self, clock: Arc<Mailbox>) {
        self.clock = Some(clock);
    }

    /// Forgets a request that the service has reported as a call.
    pub(crate) fn forget(&mut self, call: CallKey) {
        self.open.remove(&call);
    }
}

impl Core {
    /// Begins to time a request, if its method is timed.
    pub(crate) fn begin_timing(&mut self, conn: Key, call: CallKey, method: &str) {
        let Some(clock) = &self.timing.clock else { return };
        let Some(method) = METHODS.into_iter().find(|timed| *timed == method) else { return };
        let at = clock.time().unwrap_or(self.now().mono);
        let transport = self.transport_of(call);
        let Some(peer) = self.connections.get(conn).map(|conn| conn.peer.clone()) else { return };
        let _charge = self.held.charge(entry_bytes::<CallKey, Begun>());
        self.timing.open.insert(call, Begun { method, at, peer, transport, _charge });
    }

    /// Reports a request that has ended, if it was timed. Its session is still there.
    pub(crate) fn report_request(&mut self, call: CallKey, ended: &PendingRequest, outcome: CallOutcome) {
        let Some(Begun { method, at, peer, transport, .. }) = self.timing.open.remove(&call) else { return };
        let now = self.timing.clock.as_ref().and_then(|clock| clock.time()).unwrap_or(self.now().mono);
        let Some(entry) = self.sessions.get(ended.service_session()) else { return };
        let (revision, ran) = (entry.session.revision(), now.saturating_sub(at));
        self.observe(&Event::RequestEnded { method, peer: &peer, transport, revision, ran, outcome });
    }

    /// How the request of a call came, which is open.
    pub(crate) fn transport_of(&self, call: CallKey) -> Transport {
        let stream = self.sessions.call(call).and_then(|call| self.streams.get(call.stream));
        match stream.map(|stream| stream.source) {
            Some(Source::Sse) => Transport::Sse,
            Some(Source::Lines | Source::Batch) => Transport::Lines,
            Some(Source::Get | Source::Post) | None => Transport::Streamable,
        }
    }
}

/// How a request ended that got this answer.
pub(crate) fn outcome_of(answer: &Outgoing) -> CallOutcome {
    match answer {
        Outgoing::Error(_, code) => CallOutcome::Error(*code),
        Outgoing::Busy(_) => CallOutcome::Busy,
        _ => CallOutcome::Result,
    }
}
