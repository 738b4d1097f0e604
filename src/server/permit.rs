//! Who may be told of changes of a resource, where a hook decides ([`Server::on_subscribe`](crate::Server::on_subscribe)).
//!
//! *Scope:* [`Permit`]: asking the hook. *Not in scope:* when it is asked, and what takes its place where there is none
//! (`permit` of `runtime`).

use crate::access::peer::Principal;
use crate::server::guard::guarded;

type Hook = Box<dyn FnMut(&str, Option<&Principal>) -> bool + Send>;

/// The hook of [`Server::on_subscribe`](crate::Server::on_subscribe), if there is one.
#[derive(Default)]
pub(crate) struct Permit(pub(crate) Option<Hook>);

impl Permit {
    /// Asks the hook about this URI in normal form; `None` if there is no hook.
    pub(crate) fn ask(&mut self, uri: &str, principal: Option<&Principal>) -> Option<bool> {
        let hook = self.0.as_mut()?;
        Some(guarded("on_subscribe", uri, || Ok(hook(uri, principal))).unwrap_or(false))
    }

    /// True if a principal that has subscribed to the URI may still be told of it.
    pub(crate) fn allows(&mut self, uri: &str, principal: Option<&Principal>) -> bool {
        self.ask(uri, principal).unwrap_or(true)
    }
}
