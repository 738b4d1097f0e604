//! What is kept to authorize requests, and to do it again.
//!
//! *Scope:* [`Auth`] of the engine, [`Admitted`] of a connection. *Not in scope:* when the hook is asked (the engine's `auth`).

use crate::access::auth::hook::Authorize;
use crate::access::peer::Principal;
use crate::memory::Charge;

/// The hook of [`Server::authorize`](crate::Server::authorize).
pub(crate) struct Auth {
    pub(crate) hook: Option<Authorize>,
    /// How often [`Handle::reauthorize`](crate::Handle::reauthorize) was called.
    pub(crate) rounds: u64,
}

/// The present request of a connection, as the hook has admitted it.
pub(crate) struct Admitted {
    /// The principal that the transport knows.
    pub(crate) transport: Option<Principal>,
    /// The head of the request while its stream or its answer is open, to ask the hook again; else empty.
    request: Box<[u8]>,
    /// [`Auth::rounds`] when the hook was last asked about the present request.
    pub(crate) asked_at: u64,
    charge: Charge,
}

impl Admitted {
    pub(crate) fn new(transport: Option<Principal>, charge: Charge) -> Admitted {
        Admitted { transport, request: Box::default(), asked_at: 0, charge }
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    pub(crate) fn keep(&mut self, request: Box<[u8]>) {
        self.charge.set(request.len());
        self.request = request;
    }
}
