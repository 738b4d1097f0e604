//! What is kept to authorize requests, and to authorize them again.
//!
//! *Scope:* [`Auth`] of the engine, [`Admitted`] of a connection. *Not in scope:* when the hook is asked (the engine's `auth`).

use std::time::Duration;

use crate::access::peer::Principal;
use crate::key_map::KeyMap;
use crate::memory::Charge;
use crate::server::admission::{AuthorizeHook, Unanswered, Verdict};
use crate::slab::Key;

/// The hook that authorizes requests, and what waits for it.
pub(crate) struct Auth {
    pub(crate) hook: Option<AuthorizeHook>,
    /// How often [`Handle::reauthorize`](crate::Handle::reauthorize) was called.
    pub(crate) rounds: u64,
    /// Requests and streams that wait for an answer of the hook, by number: the oldest first, and with it the deadlines.
    pub(crate) waiting: KeyMap<u64, Asked>,
    pub(crate) last: u64,
}

/// What the hook was asked about.
pub(crate) struct Asked {
    pub(crate) unanswered: Unanswered,
    pub(crate) conn: Key,
    pub(crate) until: Duration,
    pub(crate) purpose: Purpose,
}

/// What an answer of the hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request that waits.
    Request,
    /// A request that has given way to another one, and is refused in the next turn.
    Refused,
    /// An open stream, which is authorized again.
    Stream,
}

impl Auth {
    pub(crate) fn new(hook: Option<AuthorizeHook>) -> Auth {
        Auth { hook, rounds: 0, waiting: KeyMap::new(), last: 0 }
    }

    /// Returns the number of the next question. None is used twice.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// How many requests wait. Streams that are authorized again do not count: each connection has at most one.
    pub(crate) fn requests(&self) -> usize {
        self.waiting.values().filter(|asked| asked.purpose == Purpose::Request).count()
    }

    /// Gives up all questions but these.
    pub(crate) fn keep(&mut self, stays: impl Fn(&Asked) -> bool) {
        self.waiting.retain(|_, asked| {
            let stays = stays(asked);
            if !stays {
                asked.unanswered.give_up();
            }
            stays
        });
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|(_, asked)| asked.until)
    }
}

/// The current request of a connection, as the hook has admitted it.
pub(crate) struct Admitted {
    /// The principal that the transport knows.
    pub(crate) transport: Option<Principal>,
    /// The head of the request while its stream or its answer is open, to ask the hook again; else empty.
    request: Box<[u8]>,
    /// [`Auth::rounds`] when the hook was last called for the current request.
    pub(crate) asked_at: u64,
    /// The question that the current request waits for.
    pub(crate) waits_for: Option<u64>,
    /// Its answer, until the request is looked at again.
    pub(crate) verdict: Option<Verdict>,
    charge: Charge,
}

impl Admitted {
    pub(crate) fn new(transport: Option<Principal>, charge: Charge) -> Admitted {
        Admitted { transport, request: Box::default(), asked_at: 0, waits_for: None, verdict: None, charge }
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    pub(crate) fn keep(&mut self, request: Box<[u8]>) {
        self.charge.set(request.len());
        self.request = request;
    }
}
