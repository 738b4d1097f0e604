//! What all transports share: connections, sessions and streams, the service, and the steps that keep them consistent.
//!
//! *Scope:* [`Core`] and its clock; the children hold what is done with connections, sessions, calls and streams. *Not in
//! scope:* the driving contract ([`engine`](crate::engine)), reading requests (`receive`), and what is particular to one
//! transport (`transport`).

#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod answers;
pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod crowding;
#[cfg(feature = "resume")]
pub(crate) mod links;
#[cfg(feature = "resume")]
pub(crate) mod logs;
#[cfg(not(any(feature = "streamable", feature = "stateless")))]
mod no_answers;
#[cfg(not(feature = "resume"))]
#[cfg_attr(not(feature = "streamable"), allow(dead_code, reason = "other builds have fewer streams"))]
mod no_logs;
pub(crate) mod places;
pub(crate) mod report;
pub(crate) mod sessions;
#[cfg(feature = "streamable")]
pub(crate) mod streamable;
pub(crate) mod streams;
pub(crate) mod timing;

use std::time::Duration;

use uuid::Uuid;

use crate::access::route::Routes;
use crate::access::settings::Settings;
use crate::engine::core::timing::Timing;
use crate::engine::observe::Event;
use crate::engine::state::connections::Connections;
use crate::engine::state::sessions::Sessions;
use crate::engine::state::streams::Streams;
use crate::http::response::Common;
use crate::json::tape::Tape;
use crate::limits::Limits;
use crate::memory::Account;
use crate::server::stats::Stats;
use crate::service::Service;
use crate::service::outbox::Outbox;
use crate::service::session::Clients;
use crate::timers::Now;

pub(crate) type Observer = Box<dyn FnMut(&Event<'_>) + Send>;
pub(crate) type NewId = Box<dyn FnMut() -> u128 + Send>;

/// The engine without authorization and without the queues that other threads use.
pub(crate) struct Core {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
    pub(crate) routes: Routes,
    pub(crate) connections: Connections,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Streams,
    pub(crate) service: Box<dyn Service>,
    /// `Service::due` and `Service::held_bytes`, as they were at the beginning, or when messages were last sent.
    pub(crate) service_due: Option<Duration>,
    pub(crate) service_bytes: usize,
    pub(crate) outbox: Outbox,
    pub(crate) clients: Clients,
    /// The bytes of the messages that were taken out of the outbox and are still to be sent.
    pub(crate) outbox_bytes: usize,
    /// The index of the JSON of the message that is being served.
    pub(crate) tape: Tape,
    new_id: NewId,
    pub(crate) observer: Option<Observer>,
    pub(crate) timing: Timing,
    pub(crate) stats: Stats,
    /// What is kept besides buffers: notifications for slow streams, replies that wait for others of their POST, open calls,
    /// and heads that are kept to be authorized again.
    pub(crate) held: Account,
    /// When the grace of the shutdown ends; `None` before a shutdown.
    pub(crate) stopping: Option<Duration>,
}

impl Core {
    pub(crate) fn new(
        service: Box<dyn Service>,
        settings: Settings,
        limits: Limits,
        routes: Routes,
        new_id: NewId,
    ) -> Core {
        let held = Account::default();
        Core {
            connections: Connections::new(&limits),
            common: Common::new(limits),
            settings,
            routes,
            sessions: Sessions::new(held.clone()),
            streams: Streams::default(),
            service_due: service.due(),
            service,
            service_bytes: 0,
            outbox: Outbox::default(),
            clients: Clients::default(),
            outbox_bytes: 0,
            tape: Tape::new(),
            new_id,
            observer: None,
            timing: Timing::new(),
            stats: Stats::default(),
            held,
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
        assert!(size_of::<SessionEntry>() <= 104, "{}", size_of::<SessionEntry>());
        assert!(size_of::<Stream>() <= 56, "{}", size_of::<Stream>());
        #[cfg(feature = "streamable")]
        assert!(size_of::<crate::engine::state::sessions::streamable::Streamable>() <= 120);
    }
}
