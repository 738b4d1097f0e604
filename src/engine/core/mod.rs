//! What all transports share: connections, sessions and streams, the service, and the steps that keep them consistent.
//!
//! *Scope:* [`Core`] and its clock; the children hold what is done with connections, sessions, calls and streams. *Not in
//! scope:* the driving contract ([`engine`](crate::engine)), reading requests (`receive`), and what is particular to one
//! transport (`transport`).

#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod answers;
pub(crate) mod calls;
pub(crate) mod connections;
#[cfg(feature = "resume")]
pub(crate) mod links;
#[cfg(feature = "resume")]
pub(crate) mod logs;
pub(crate) mod places;
pub(crate) mod report;
pub(crate) mod sessions;
#[cfg(feature = "streamable")]
pub(crate) mod streamable;
pub(crate) mod streams;

use std::time::Duration;

use uuid::Uuid;

use crate::access::settings::Settings;
use crate::engine::observe::{Event, Stats};
use crate::engine::state::connections::Connections;
use crate::engine::state::sessions::Sessions;
use crate::engine::state::streams::Streams;
use crate::http::response::Common;
use crate::json::tape::Tape;
use crate::limits::Limits;
use crate::memory::Account;
use crate::service::Service;
use crate::service::outbox::Outbox;
use crate::timers::Now;

pub(crate) type Observer = Box<dyn FnMut(&Event<'_>) + Send>;
pub(crate) type NewId = Box<dyn FnMut() -> u128 + Send>;

/// The engine but for its door: who may send requests, and what comes from other threads.
pub(crate) struct Core {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
    pub(crate) connections: Connections,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Streams,
    pub(crate) service: Box<dyn Service>,
    /// When the service wants to be called, and what it holds: as it said when its messages were last sent.
    pub(crate) service_due: Option<Duration>,
    pub(crate) service_bytes: usize,
    pub(crate) outbox: Outbox,
    /// The index of the message that is being served.
    pub(crate) tape: Tape,
    new_id: NewId,
    pub(crate) observer: Option<Observer>,
    pub(crate) stats: Stats,
    /// What is kept for connections beside their buffers: what slow streams are owed, the replies of POSTs that wait, open
    /// calls, and heads that are kept to be asked about again.
    pub(crate) held: Account,
    /// No room for another connection until there is a good deal of it.
    pub(crate) full: bool,
    /// When the grace of the shutdown ends, once that has begun.
    pub(crate) stopping: Option<Duration>,
}

impl Core {
    pub(crate) fn new(service: Box<dyn Service>, settings: Settings, limits: Limits, new_id: NewId) -> Core {
        let held = Account::default();
        Core {
            common: Common::new(limits),
            settings,
            connections: Connections::default(),
            sessions: Sessions::new(held.clone()),
            streams: Streams::default(),
            service,
            service_due: None,
            service_bytes: 0,
            outbox: Outbox::default(),
            tape: Tape::new(),
            new_id,
            observer: None,
            stats: Stats::default(),
            held,
            full: false,
            stopping: None,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.common.now
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.common.limits
    }

    /// The id of a new session: a v4 UUID (RFC 9562 §5.4).
    pub(crate) fn next_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes((self.new_id)().to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::state::connections::Connection;
    use crate::engine::state::sessions::SessionEntry;
    use crate::engine::state::streams::Stream;

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Connection>() <= 176, "{}", size_of::<Connection>());
        assert!(size_of::<SessionEntry>() <= 88, "{}", size_of::<SessionEntry>());
        assert!(size_of::<Stream>() <= 56, "{}", size_of::<Stream>());
        #[cfg(feature = "streamable")]
        assert!(size_of::<crate::engine::state::sessions::streamable::Streamable>() <= 120);
    }
}
