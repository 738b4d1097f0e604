//! What all transports share: the engine's state, and the steps that keep it consistent.
//!
//! *Scope:* [`Engine`], its clock and its observer; the children hold what is done with connections, sessions, calls and
//! POST streams. *Not in scope:* the driving contract ([`engine`](crate::engine)), reading requests (`receive`), and what is
//! particular to one transport (`transport`).

pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod places;
pub(crate) mod report;
pub(crate) mod sessions;
pub(crate) mod streams;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::access::hook::Authorize;
use crate::access::settings::Settings;
use crate::engine::observe::{Event, Stats};
use crate::engine::state::calls::OpenCall;
use crate::engine::state::connections::Connection;
use crate::engine::state::peers::Peers;
use crate::engine::state::sessions::{Open, Order};
use crate::http::response::Common;
use crate::json::tape::Tape;
use crate::memory::Account;
use crate::runtime::jobs::Jobs;
use crate::server::mailbox::Mailbox;
use crate::service::Service;
use crate::service::outbox::Outbox;
use crate::slab::{Key, Slab};
use crate::timers::{Now, Timers};

type Observer = Box<dyn FnMut(&Event<'_>) + Send>;

/// The server without sockets; see the [module](crate::engine) for how to drive it.
pub struct Engine {
    pub(crate) now: Now,
    pub(crate) common: Common,
    pub(crate) settings: Settings,
    pub(crate) service: Box<dyn Service>,
    pub(crate) new_id: Box<dyn FnMut() -> u128 + Send>,
    pub(crate) observer: Option<Observer>,
    pub(crate) authorize: Option<Authorize>,
    /// How often what the hook says may have changed.
    pub(crate) reauthorizations: u64,
    pub(crate) conns: Slab<Connection>,
    pub(crate) timers: Timers,
    /// Sessions, and what stands in for them while a request without one is open.
    pub(crate) sessions: Slab<Open>,
    /// How many of them only stand in.
    pub(crate) alone: usize,
    /// When sessions that have no stream to end with are looked at.
    pub(crate) session_timers: Timers,
    /// Which of them gives way to a new one.
    pub(crate) order: Order,
    /// The slot of each session; its entry repeats the id.
    pub(crate) by_id: HashMap<Uuid, u32>,
    pub(crate) calls: Slab<OpenCall>,
    pub(crate) peers: Peers,
    pub(crate) outbox: Outbox,
    /// The index of the message that is being served.
    pub(crate) tape: Tape,
    /// Connections that may have something to do; each is in it once.
    pub(crate) ready: VecDeque<Key>,
    pub(crate) service_due: Option<Duration>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) jobs: Arc<Jobs>,
    /// What is kept for connections beside their buffers: what slow streams are owed, the replies of POSTs that wait, open
    /// calls, and heads that are kept to be asked about again.
    pub(crate) held: Account,
    /// What is kept for clients that may come back: it gives way.
    pub(crate) replayed: Account,
    /// No room for another connection until there is a good deal of it.
    pub(crate) full: bool,
    pub(crate) stopping: Option<Duration>,
    /// The grace of the shutdown is over, and was seen to.
    pub(crate) over: bool,
    pub(crate) stats: Stats,
}

impl Engine {
    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now;
        self.common.set_now(now);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::sessions::Life;

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Connection>() <= 208, "{}", size_of::<Connection>());
        assert!(size_of::<Open>() <= 112, "{}", size_of::<Open>());
        assert!(size_of::<Life>() <= 136, "{}", size_of::<Life>());
    }
}
