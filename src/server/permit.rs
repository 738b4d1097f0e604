//! Which clients get notifications of a resource, where a hook decides ([`Server::on_subscribe`](crate::Server::on_subscribe)).
//!
//! *Scope:* [`Permit`]: asking the hook. *Not in scope:* when it is called, and what decides without a hook (`permit` of
//! `runtime`).

use crate::access::peer::Principal;
use crate::protocol::guard::guarded;
use crate::server::state::Own;

type Hook = Box<dyn FnMut(&mut Own, &str, Option<&Principal>) -> bool + Send>;

/// The hook of [`Server::on_subscribe`](crate::Server::on_subscribe), if there is one.
#[derive(Default)]
pub(crate) struct Permit(pub(crate) Option<Hook>);

impl Permit {
    /// Asks the hook about this URI in normal form; `None` if there is no hook.
    pub(crate) fn ask(&mut self, state: &mut Own, uri: &str, principal: Option<&Principal>) -> Option<bool> {
        let hook = self.0.as_mut()?;
        Some(guarded("on_subscribe", uri, || Ok(hook(state, uri, principal))).unwrap_or(false))
    }
}
